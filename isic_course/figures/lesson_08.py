"""What lesson 08 draws: the plane of accuracy and BMA, and what each remedy does, in a small picture."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from isic_utils import plots as figures
from isic_utils.training import losses


def plane(scores: pd.DataFrame) -> Figure:
    """Accuracy to the right, BMA upwards: every remedy as the mean of its seeds, with bars of a standard deviation each
    way. scores: the columns accuracy and BMA, a row per remedy and seed."""
    figure, axis = plt.subplots(figsize=(9, 4.6))
    groups = scores.groupby(level="remedy", sort=False)[["accuracy", "BMA"]]
    for i, (name, some) in enumerate(groups):
        mean, spread = some.mean(), some.std()
        marker, colour = figures.MARKERS[i % 8], figures.COLOURS[(i + i // 8) % 8]
        axis.errorbar(
            mean["accuracy"], mean["BMA"], xerr=spread["accuracy"], yerr=spread["BMA"], marker=marker, color=colour,
            markersize=9, elinewidth=1, linestyle="none", label=name, markeredgecolor="black", markeredgewidth=0.5,
        )  # fmt: skip
    axis.set(xlabel="accuracy", ylabel="BMA")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def features_on_paper(seen: np.ndarray, labels: pd.Series, shown: list[str]) -> Figure:
    """Features [n, 1280] on the two directions in which they vary most; a colour and a marker for each class shown."""
    centred = seen - seen.mean(axis=0)
    _, _, directions = np.linalg.svd(centred[:: max(1, len(seen) // 1000)], full_matrices=False)
    across, down = (centred @ directions[:2].T).T
    figure, axis = plt.subplots(figsize=(7, 4.2))
    for i, code in enumerate(shown):
        rows = (labels == code).to_numpy()
        axis.scatter(across[rows], down[rows], s=14, marker=figures.MARKERS[i], color=figures.COLOURS[i], alpha=0.6,
                     linewidths=0, label=f"{code}, {rows.sum():,}")  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="direction in which the features vary most", ylabel="second such direction")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), title="class, pictures")
    return figure


def weights(table: pd.DataFrame) -> Figure:
    """Weights by class, a bar for each column of the table. table: classes as rows, values above 0."""
    figure, axis = plt.subplots(figsize=(9, 3.2))
    figures.grouped_bars(axis, table)
    axis.axhline(1, color="0.4", linewidth=1)
    axis.set(yscale="log", ylabel="weight of a picture")
    axis.yaxis.set_major_locator(LogLocator(base=2))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.legend()
    return figure


def focal_curves(gammas: tuple[float, ...] = (0, 1, 2, 5)) -> Figure:
    """The focal loss of a picture against the probability of its class, a line for each γ."""
    p = np.linspace(0.02, 0.999, 200)
    logits = torch.from_numpy(np.column_stack([np.log(p / (1 - p)), np.zeros_like(p)]))
    right = torch.zeros(len(p), dtype=torch.long)
    curves = {f"γ = {gamma}": losses.focal(logits, right, None, gamma).numpy() for gamma in gammas}
    return figures.lines(pd.DataFrame(curves, index=p), "probability that the right class got", "loss")


def two_classes(share: float = 0.95) -> Figure:
    """Two classes on one feature, one of them frequent: what each has at a place, and where the answer changes, with
    the classes as frequent as they are and with both equally frequent."""
    x = np.linspace(-4, 6, 400)
    frequent, rare = (np.exp(-((x - middle) ** 2) / 2) for middle in (0, 2))
    figure, axes = plt.subplots(1, 2, figsize=(10, 2.9), sharey=True)
    for axis, prior, title in zip(axes, (share, 0.5), ("as frequent as they are", "adjusted"), strict=True):
        border = 1 + np.log(prior / (1 - prior)) / 2
        axis.fill_between(x, prior * frequent, color=figures.BLUE, alpha=0.5, label="frequent class")
        axis.fill_between(x, (1 - prior) * rare, color=figures.ORANGE, alpha=0.8, hatch="///", label="rare class")
        axis.axvline(border, color="black", linestyle="--", label="here the answer changes")
        axis.set(title=title, xlabel="a feature", yticks=[])
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return figure


def steps(measured: pd.DataFrame) -> Figure:
    """What each step of the recipe brought: from top to bottom, a line for each seed and a tick for their mean where
    every seed has been measured. measured: as `fine_tuning.measured` returns it."""
    names, seeds = list(measured["step"].unique()), list(measured["seed"].unique())
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(names) + 1.2), layout="constrained")
    for i, seed in enumerate(seeds):
        some = measured[measured["seed"] == seed].set_index("step")["test BMA"].reindex(names).dropna()
        places = [names.index(name) for name in some.index]
        axis.plot(some, places, marker=figures.MARKERS[i], color=figures.COLOURS[i], label=f"seed {seed}")
    means = measured.groupby("step", sort=False)["test BMA"].agg(["mean", "size"])
    means = means.loc[means["size"] == len(seeds), "mean"]
    axis.plot(means, [names.index(name) for name in means.index], "|", color="black", markersize=22, label="mean")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="BMA of the test part, on photographs")
    axis.grid(alpha=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
