"""The figures of lesson 11: a score for each training set on each clinic, and what an OOD detector sees."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isic_utils import plots


def matrix(tables: dict[str, pd.DataFrame], classes: Sequence[int]) -> Figure:
    """BMA with its interval: a panel for each table, a group for each clinic that is tested, a marker for each training
    set, filled where it is the clinic's own. tables: title -> `clinics.matrix`; classes: their number in each."""
    figure, axes = plt.subplots(1, len(tables), figsize=(5 * len(tables), 3.4), sharey=True, squeeze=False)
    for axis, (title, table), count in zip(axes[0], tables.items(), classes, strict=True):
        tested, names = list(table["tested on"].unique()), list(table["trained on"].unique())
        for row in table.to_dict("records"):
            i = names.index(row["trained on"])
            place = tested.index(row["tested on"]) + 0.16 * (i - (len(names) - 1) / 2)
            style = {"color": plots.COLOURS[i], "marker": plots.MARKERS[i], "markersize": 8}
            inside = None if row["trained on"] == row["tested on"] else "white"
            axis.vlines(place, row["low"], row["high"], color=plots.COLOURS[i], linewidth=2)
            axis.plot(place, row["BMA"], markerfacecolor=inside, **style)
        axis.axhline(1 / count, color=plots.GREY, linestyle=":", linewidth=1)
        axis.set_xticks(range(len(tested)), [f"tested on {name}" for name in tested])
        axis.set(title=title, xlim=(-0.6, len(tested) - 0.4), ylim=(0, 1))
        for i, name in enumerate(names):
            axis.plot([], [], plots.MARKERS[i], color=plots.COLOURS[i], label=f"trained on {name}")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(names), fontsize=8)
    axes[0, 0].set_ylabel("BMA")
    return figure


def score_histograms(usual: pd.DataFrame, odd: dict[str, pd.DataFrame]) -> Figure:
    """The scores of each OOD detector, a panel each: usual images against some kinds of odd ones. Grey: what the
    threshold rejects that accepts 95 % of the usual images.

    usual: a column per detector, higher where more usual; odd: kind -> the same.
    """
    figure, axes = plt.subplots(1, len(usual.columns), figsize=(11, 3))
    for axis, name in zip(axes, usual, strict=True):
        groups = {"known classes": usual[name]} | {kind: table[name] for kind, table in odd.items()}
        low, high = np.quantile(np.concatenate(list(groups.values())), [0.02, 1])
        for i, (kind, values) in enumerate(groups.items()):
            style = {"color": plots.COLOURS[i], "linestyle": plots.DASHES[i], "linewidth": 2, "label": kind}
            axis.hist(values.clip(low), np.linspace(low, high, 25), density=True, histtype="step", **style)
        left = axis.get_xlim()[0]
        axis.axvspan(left, usual[name].quantile(0.05), color="0.9", zorder=0)
        axis.set(xlabel=name, yticks=[], xlim=(left, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(odd) + 1)
    return figure


def image_rows(rows: dict[str, Sequence[np.ndarray]]) -> Figure:
    """Images in a grid, a row for each look. rows: name -> images, uint8 [height, width, 3], as many for each."""
    columns = len(next(iter(rows.values())))
    images = [image for some in rows.values() for image in some]
    figure = plots.image_grid(images, [""] * len(images), columns, side=1.25)
    for axis, name in zip(figure.axes[::columns], rows, strict=True):
        axis.text(-0.08, 0.5, name, transform=axis.transAxes, ha="right", va="center", fontsize=9)
    return figure
