"""The figures of lesson 08: the plane of accuracy and BMA, and what each method does.

Each function returns a figure and its alternative text, for `plots.show`.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from isic_course import fine_tuning
from isic_utils import plots
from isic_utils.archive import CODES


def plane(scores: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy to the right, BMA upwards: a marker with its name for each method, which is a row of `scores` with these
    columns. No two of them share a marker and a colour."""
    figure, axis = plt.subplots(figsize=(9, 4.8))
    for i, (_, row) in enumerate(scores.iterrows()):
        marker, colour = plots.MARKERS[i % 8], plots.COLOURS[(i + i // 8) % 8]
        axis.plot(row["accuracy"], row["BMA"], marker, color=colour, markersize=9, markeredgecolor="black")
    axis.set(xlabel="accuracy", ylabel="BMA")
    axis.margins(0.12)
    axis.grid(alpha=0.3)
    name_points(axis, scores[["accuracy", "BMA"]])
    return figure, "Accuracy and BMA on the validation set: a marker with its name for each method and cross-entropy."


def name_points(axis: plt.Axes, points: pd.DataFrame) -> None:
    """Write the name of each point beside it, so that it covers no marker and no other name, and join the two.

    points: x and y, indexed by name. Call it last: another layout would move the names away from where there is room.
    """
    axis.figure.draw_without_rendering()
    pixels = dict(zip(points.index, axis.transData.transform(points), strict=True))
    taken = [Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in pixels.values()]
    for name, pixel in pixels.items():
        text = axis.text(0, 0, name, fontsize=9, va="center")
        for far, across, up in itertools.product((10, 22, 34, 46, 58), (1, -1, 0), (0, 1, -1)):
            end = axis.transData.inverted().transform(pixel + far * np.array([across, up]))
            text.set(position=end, ha={1: "left", 0: "center", -1: "right"}[across])
            box = text.get_window_extent()
            inside = axis.bbox.x0 < box.x0 and box.x1 < axis.bbox.x1 and axis.bbox.y0 < box.y0 and box.y1 < axis.bbox.y1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        axis.annotate("", end, points.loc[name], arrowprops={"arrowstyle": "-", "color": "0.5", "shrinkB": 0})
        taken.append(box)


def principal_components(features: np.ndarray, labels: pd.Series, shown: list[str]) -> tuple[Figure, str]:
    """Features [n, 1280] on their first two principal components; a colour and a marker for each class shown."""
    centred = features - features.mean(axis=0)
    _, _, directions = np.linalg.svd(centred[:: max(1, len(features) // 1000)], full_matrices=False)
    across, down = (centred @ directions[:2].T).T
    figure, axis = plt.subplots(figsize=(7, 4.2))
    for marker, code in zip(plots.MARKERS, shown, strict=False):
        rows, colour = (labels == code).to_numpy(), plots.COLOURS[CODES.index(code)]
        axis.scatter(across[rows], down[rows], s=14, marker=marker, color=colour, alpha=0.6, linewidths=0,
                     label=f"{code}, {rows.sum():,}")  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second principal component")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), title="class, images")
    return figure, f"The features of the images of {', '.join(shown)} on two directions: overlapping clusters."


def two_classes(prior: float = 0.95) -> tuple[Figure, str]:
    """Two classes on one feature, one of them frequent: the density of each times its prior, and the decision boundary,
    with the priors of the data and with equal priors. prior: of the frequent class."""
    x = np.linspace(-4, 6, 400)
    frequent, rare = (np.exp(-((x - middle) ** 2) / 2) for middle in (0, 2))
    figure, axes = plt.subplots(1, 2, figsize=(10, 2.9), sharey=True)
    for axis, weight, title in zip(axes, (prior, 0.5), ("priors of the data", "equal priors"), strict=True):
        border = 1 + np.log(weight / (1 - weight)) / 2
        axis.fill_between(x, weight * frequent, color=plots.BLUE, alpha=0.5, label="frequent class")
        axis.fill_between(x, (1 - weight) * rare, color=plots.ORANGE, alpha=0.8, hatch="///", label="rare class")
        axis.axvline(border, color="black", linestyle="--", label="decision boundary")
        axis.set(title=title, xlabel="a feature", yticks=[])
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return figure, (
        "Two bell curves on one feature. Left, the frequent one is high, and the decision boundary lies far in the "
        "rare one's territory; right, with equal priors, in the middle."
    )


def steps(measured: pd.DataFrame) -> tuple[Figure, str]:
    """The test BMA after each step of the recipe, from top to bottom: a line for each seed, and a tick for the mean of
    the seeds where every seed has been measured. Dotted where the line leaves out a step, and where it goes on to the
    control, which is no further step. measured: as `fine_tuning.measured` returns it."""
    table = measured.pivot_table(index="step", columns="seed", values="test BMA", sort=False)
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(table) + 1.2), layout="constrained")
    for i, (seed, scores) in enumerate(table.items()):
        style = {"marker": plots.MARKERS[i], "color": plots.COLOURS[i]}
        axis.plot(scores.mask(scores.index == [*fine_tuning.STEPS][-1]), scores.index, label=f"seed {seed}", **style)
        axis.plot(scores.dropna(), scores.dropna().index, ":", **style)
    means = table.dropna().mean(axis=1)
    axis.plot(means, means.index, "|", color="black", markersize=22, label="mean")
    axis.invert_yaxis()
    axis.set(xlabel="BMA on the test set, real images")
    axis.grid(alpha=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, "Test BMA from step to step: a line for each seed, dotted across gaps and to the control; the mean."
