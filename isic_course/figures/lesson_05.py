"""The figures of lesson 05: the imbalance dial, and recalls beside a reference.

`curves` and `recall_panels` return a figure and its alternative text, for `plots.show`.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from isic_course.dial import ORDER, TRAINING, class_sizes
from isic_utils import plots
from isic_utils.archive import CODES


def curves(results: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy and BMA against the ratio, with a dot for each training and a line through the means, and the accuracy
    of always predicting NV; beside them the mean recall of each class, with thicker lines for the smaller half.

    results: a row per training, indexed by ratio, with the columns that `dial.try_ratios` returns.
    """
    mean = results.groupby(level=0).mean()
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True, width_ratios=[1, 1.25])
    legend = {"accuracy": "accuracy, if the test set\nis as imbalanced as the training set", "BMA": "BMA"}
    plots.lines(mean[list(legend)].rename(columns=legend), "largest : smallest class", "score", axis=axes[0])
    for i, name in enumerate(legend):
        axes[0].plot(results.index, results[name], plots.MARKERS[i], color=plots.COLOURS[i], alpha=0.35)
    always_nv = [class_sizes(ratio).max() / TRAINING for ratio in mean.index]
    axes[0].plot(mean.index, always_nv, ":", color="0.3", label="accuracy of always NV")
    axes[0].legend(fontsize=8)
    plots.lines(mean[CODES], "largest : smallest class", "recall", axis=axes[1])
    axes[0].axhline(1 / len(ORDER), color="0.6", linewidth=1, zorder=0)
    text = {"color": "0.4", "fontsize": 8, "ha": "right"}
    axes[0].annotate("BMA of guessing, 1/8", (mean.index[-1], 1 / len(ORDER) + 0.015), **text)
    axes[1].get_legend().remove()
    for code in ORDER[len(ORDER) // 2 :]:
        axes[1].lines[CODES.index(code)].set_linewidth(2.8)
    last = mean[CODES].iloc[-1]
    for (name, height), line in zip(heights_apart(last).items(), axes[1].lines, strict=True):
        axes[1].annotate(
            name, (mean.index[-1], last[name]), (1.06, height), textcoords=axes[1].get_yaxis_transform(),
            va="center", fontsize=9, arrowprops={"arrowstyle": "-", "color": line.get_color(), "shrinkA": 1},
        )  # fmt: skip
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xticks(mean.index, [f"{ratio:g}:1" for ratio in mean.index])
        axis.minorticks_off()
        axis.set_ylim(-0.03, 1.03)
        axis.grid(axis="y", alpha=0.3)
    changes = [f"{name} goes from {mean[name].iloc[0]:.3f} to {mean[name].iloc[-1]:.3f}" for name in legend]
    return figure, (
        "Left: accuracy and BMA against the ratio of largest to smallest class, a dot for each training. From "
        f"{mean.index[0]}:1 to {mean.index[-1]}:1, {' and '.join(changes)}. Right: the mean recall of each of the "
        "eight classes, the four smallest with thick lines."
    )


def heights_apart(ends: pd.Series, gap: float = 0.06) -> pd.Series:
    """The height of the name beside the end of each line: as near to that end as possible, clear of the other names.

    ends: the heights of the lines' ends, from 0 to 1; gap: the least distance between two names.
    """
    heights = ends.sort_values(kind="stable")
    for i in range(1, len(heights)):  # from the lowest upwards
        heights.iloc[i] = max(heights.iloc[i], heights.iloc[i - 1] + gap)
    heights.iloc[-1] = min(heights.iloc[-1], 1)
    for i in range(len(heights) - 2, -1, -1):  # and back, where the topmost name has left the panel
        heights.iloc[i] = min(heights.iloc[i], heights.iloc[i + 1] - gap)
    return heights[ends.index]


def recall_panels(recalls: pd.DataFrame, limits: pd.DataFrame, reference: pd.Series, xlabel: str) -> tuple[Figure, str]:
    """A panel for each column: its values and intervals against the table's index, and the reference as a dashed line.

    recalls: values from 0 to 1; limits: (low, high) of each; reference: a value for each column, named for the legend.
    """
    figure, axes = plots.grid(recalls.shape[1], 3, 3, 2.3, sharex=True, sharey=True)
    for axis, column in zip(axes, recalls.columns, strict=True):
        axis.plot(recalls.index, recalls[column], "o", label="balanced")
        axis.vlines(recalls.index, *zip(*limits[column], strict=True), alpha=0.4, linewidth=4, label="95 % interval")
        axis.axhline(reference[column], color=plots.RED, linestyle="--", label=reference.name)
        axis.set(title=column, ylim=(-0.03, 1.03))
        axis.set_xticks(recalls.index, [f"{number:g}" for number in recalls.index])
        axis.grid(axis="y", alpha=0.3)
    for axis in axes[-3:]:
        axis.set_xlabel(xlabel)
    figure.supylabel("recall", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure, f"Recall of each class and BMA against the {xlabel}, with intervals; dashed: {reference.name}."
