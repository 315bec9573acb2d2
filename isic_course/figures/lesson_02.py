"""The figures of lesson 02: a dense network, the chain rule along a chain of numbers, and decision boundaries.

Each function returns a matplotlib Figure for `plots.show`.
"""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from isic_utils.plots import BLUE, RED


def dense_network(layers: dict[str, Sequence[str]], weights: Sequence[np.ndarray] = ()) -> Figure:
    """A diagram: a column of circles per layer, each circle connected to all circles of the next column.

    layers: name of the layer -> the texts in its circles. weights: for each pair of neighbouring layers an array
    [circles on the left, circles on the right]; a weight is the width of its line, dashed where negative. Without
    weights all lines are thin.
    """
    figure, axis = plt.subplots(figsize=(2.6 * len(layers) + 0.8, 0.7 * max(map(len, layers.values())) + 0.7))
    places = [[(2.6 * k, (len(c) - 1) / 2 - i) for i in range(len(c))] for k, c in enumerate(layers.values())]
    for k, (left, right) in enumerate(zip(places, places[1:], strict=False)):
        for i, j in np.ndindex(len(left), len(right)):
            weight = weights[k][i][j] if len(weights) else 0.5
            style = {"linestyle": "--", "color": RED} if weight < 0 else {"color": BLUE}
            axis.plot(*zip(left[i], right[j], strict=True), zorder=1, linewidth=2 * abs(weight), **style)
    for column, (name, circles) in zip(places, layers.items(), strict=True):
        axis.text(column[0][0], max(map(len, layers.values())) / 2 + 0.25, name, ha="center", va="bottom")
        for place, text in zip(column, circles, strict=True):
            axis.add_patch(plt.Circle(place, 0.36, facecolor="white", edgecolor="black", zorder=2))
            axis.text(*place, text, ha="center", va="center", fontsize=9, zorder=3)
    axis.set_aspect("equal")
    axis.axis("off")
    return figure


def chain(values: dict[str, str], steps: dict[str, str]) -> Figure:
    """A row of numbers, each computed from the one before, and the gradients that go back from the last to the first.

    values: the text in each circle -> its gradient, or "" for none; steps: the operation between two circles -> the
    gradient of the weight there.
    """
    figure, axis = plt.subplots(figsize=(1.9 * len(values), 2))
    circle = {"boxstyle": "circle", "facecolor": "white"}
    for place, (value, gradient) in enumerate(values.items()):
        axis.text(place, 0, value, ha="center", va="center", bbox=circle)
        axis.text(place, -0.7, gradient, ha="center", fontsize=9)
    for place, (step, gradient) in enumerate(steps.items()):
        axis.annotate("", (place + 0.72, 0.12), (place + 0.28, 0.12), arrowprops={"arrowstyle": "->"})
        back = {"arrowstyle": "->", "linestyle": "--"}
        axis.annotate("", (place + 0.28, -0.12), (place + 0.72, -0.12), arrowprops=back)
        axis.text(place + 0.5, 0.25, step, ha="center", fontsize=9)
        axis.text(place + 0.5, -0.4, gradient, ha="center", fontsize=9, weight="bold")
    axis.set(xlim=(-0.4, len(values) - 0.6), ylim=(-0.85, 0.6))
    axis.axis("off")
    return figure


def decision_boundaries(
    points: np.ndarray, is_first: np.ndarray, names: Sequence[str], probabilities: dict[str, Callable]
) -> Figure:
    """The predictions of several models in the plane of two features, a panel each, with the points to classify.

    points: float [n, 2]; is_first: boolean [n], True for the first of the two names; probabilities: title -> function
    that takes points [m, 2] and returns the probability of the first class [m].
    """
    columns = len(probabilities)
    figure, axes = plt.subplots(1, columns, figsize=(2.5 * columns, 2.9), sharey=True, squeeze=False)
    low, high = points.min(axis=0) - 0.3, points.max(axis=0) + 0.3
    across, up = np.meshgrid(np.linspace(low[0], high[0], 120), np.linspace(low[1], high[1], 120))
    for axis, (title, probability) in zip(axes[0], probabilities.items(), strict=True):
        first = probability(np.column_stack([across.ravel(), up.ravel()])).reshape(across.shape)
        axis.contourf(across, up, first, levels=[0, 0.25, 0.5, 0.75, 1], colors=["1", "0.93", "0.8", "0.65"])
        axis.plot(*points[is_first].T, "o", color=BLUE, markersize=2.5, alpha=0.6, label=names[0])
        axis.plot(*points[~is_first].T, "^", color=RED, markersize=3.5, fillstyle="none", alpha=0.6, label=names[1])
        for colour, width in (("white", 4), ("black", 2)):
            axis.contour(across, up, first, levels=[0.5], colors=colour, linewidths=width, zorder=3)
        axis.set_title(title, fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
