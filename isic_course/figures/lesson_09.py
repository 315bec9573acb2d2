"""What lesson 09 draws: reliability diagrams, temperatures, intervals. One image's opinion is `plots.draw_opinion`."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isic_utils import plots


def reliability(tables: dict[str, pd.DataFrame], xlabel: str = "confidence", ylabel: str = "accuracy") -> Figure:
    """Reliability diagrams side by side. tables: title -> `calibration.reliability`."""
    figure, axes = plt.subplots(1, len(tables), figsize=(3.3 * len(tables), 3.2), sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.6", linestyle="--")
        confidence, accuracy = table["confidence"], table["accuracy"]
        axis.vlines(confidence, accuracy, confidence, color=plots.RED, linewidth=3, alpha=0.5)
        sizes = 12 + 400 * table["images"] / table["images"].sum()
        axis.scatter(confidence, accuracy, s=sizes, color=plots.BLUE, zorder=3)
        axis.set(xlim=(0, 1.06), ylim=(-0.02, 1.06), xlabel=xlabel, title=title)  # room for the largest dot at 1
    axes[0, 0].set_ylabel(ylabel)
    return figure


def temperatures(losses: pd.DataFrame, fitted: pd.DataFrame) -> Figure:
    """The loss on the validation set over the temperature, a column per network, and below it the interval of the best
    temperature. fitted: T, low and high, a row per network."""
    figure = plots.lines(losses, "temperature T (logarithmic)", "cross-entropy, validation set")
    [axis] = figure.axes
    lowest, highest = losses.min().min(), losses.max().max()
    axis.set_xscale("log")
    axis.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axis.minorticks_off()
    axis.axvline(1, color="0.6", linestyle="--")
    for place, (name, row) in enumerate(fitted.iterrows()):
        height = lowest - (0.08 + 0.08 * place) * (highest - lowest)
        axis.hlines(height, row["low"], row["high"], color=plots.COLOURS[place], linewidth=3)
        axis.plot(row["T"], height, "o", color=plots.COLOURS[place])
        axis.annotate(f" {name}", (row["high"], height), fontsize=8, va="center")
    return figure


def intervals(table: pd.DataFrame, xlabel: str, whole: float) -> Figure:
    """A dot with its interval for each group. table: the columns value, low, high, images; whole: the value of all."""
    figure, axis = plt.subplots(figsize=(7.5, 0.6 + 0.27 * len(table)))
    places = np.arange(len(table))
    axis.hlines(places, table["low"], table["high"], color=plots.BLUE, linewidth=2)
    axis.plot(table["value"], places, "o", color=plots.BLUE)
    axis.axvline(whole, color="0.5", linestyle="--")
    axis.set_yticks(places, [f"{name} ({count:,})" for name, count in zip(table.index, table["images"], strict=True)])
    axis.invert_yaxis()
    axis.set(xlabel=xlabel, xlim=(0, 1.02))
    return figure
