"""Diagrams of lessons 03 and 07: what a convolution computes, and how data runs through a network.

Each function returns a matplotlib Figure for `plots.show`. Nothing depends on colour alone.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from isic_utils.plots import ORANGE, SKY, grid

Shape = tuple[int, int, int]  # channels, height, width


def convolution(numbers: np.ndarray, kernel: np.ndarray, feature_map: np.ndarray, place: tuple[int, int]) -> Figure:
    """A step of a convolution: the numbers with the window on them, the kernel, and the feature map with that output.

    numbers, kernel, feature_map: arrays [height, width]; place: row and column of the window's upper left corner.
    """
    height, width = kernel.shape
    row, column = place
    outlines = [(place, kernel.shape), ((0, 0), kernel.shape), (place, (1, 1))]
    titles = ["numbers, with the window", "kernel", "feature map"]
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 3.1), width_ratios=[numbers.shape[1], width, feature_map.shape[1]])
    for axis, array, title, outline in zip(axes, (numbers, kernel, feature_map), titles, outlines, strict=True):
        (top, left), (high, wide) = outline
        for (i, j), value in np.ndenumerate(array):
            inside = top <= i < top + high and left <= j < left + wide
            axis.add_patch(Rectangle((j, i), 1, 1, facecolor="0.88" if inside else "white", edgecolor="0.6"))
            axis.text(j + 0.5, i + 0.5, f"{value:g}", ha="center", va="center", weight="bold" if inside else "normal")
        axis.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor="black", linewidth=2.5))
        axis.set(xlim=(-0.1, array.shape[1] + 0.1), ylim=(numbers.shape[0] + 0.1, -0.1), aspect="equal", title=title)
        axis.axis("off")
    return figure


def feature_maps(arrays: Sequence[np.ndarray], titles: Sequence[str], columns: int, side: float = 1.6) -> Figure:
    """Images and feature maps in rows, each map in greys of its own: mid-grey is 0, brighter positive, darker negative.

    arrays: float [height, width] for a map, [height, width, 3] from 0 to 1 for an image; side: inches of each.
    """
    figure, axes = grid(len(arrays), columns, side, side + 0.25)
    for axis, array, title in zip(axes, arrays, titles, strict=False):
        axis.axis("off")
        largest = max(abs(array).max(), 1e-12)
        axis.imshow(array, cmap="gray", vmin=-largest, vmax=largest, interpolation="nearest")
        axis.set_title(title, fontsize=9)
    return figure


def receptive_fields(image: np.ndarray, fields: Mapping[str, int]) -> Figure:
    """The square of the image that a number in the middle of each layer depends on, and a line from it to its name.

    image: array [height, width, 3]; fields: name of the layer -> side of its square in pixels, the smallest first.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4))
    height, width = image.shape[:2]
    axis.imshow(image, alpha=0.75)
    heights = np.linspace(0.5, 0.05, len(fields)) * height  # of the names, from the smallest square's to the largest's
    for (name, side), place in zip(fields.items(), heights, strict=True):
        left, top = width / 2 - side / 2 - 0.5, height / 2 - side / 2 - 0.5
        axis.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor="black", linewidth=1.6))
        line = {"color": "black", "linewidth": 0.7, "path_effects": [withStroke(linewidth=2.2, foreground="white")]}
        axis.plot([left + side, width + 1], [top, place], clip_on=False, **line)  # seen on dark corners too
        axis.text(width + 2, place, f"{name}: {side} × {side}", va="center", fontsize=10)
    axis.axis("off")
    return figure


def residual_net(shapes: Sequence[Shape], dense: Sequence[int]) -> Figure:
    """The course's residual net: what goes from block to block, and in each block the residual connection. An output is
    as high as the logarithm of its height, as wide as that of its channels.

    shapes: channels, height and width of the image, of the output of its stem and of each block; dense: outputs of each
    dense layer.
    """
    figure, axis = plt.subplots(figsize=(12, 2.9))
    x = 0.0
    for number, (channels, height, width) in enumerate(shapes):
        tall, wide = 0.32 * np.log2(height) + 0.15, 0.06 * np.log2(channels) + 0.1
        axis.add_patch(Rectangle((x, -tall / 2), wide, tall, facecolor=SKY, edgecolor="black"))
        axis.text(x + wide / 2, -1.35, f"{channels}\n{height}×{width}", ha="center", va="top", fontsize=9)
        right = x + wide
        if number == len(shapes) - 1:
            break
        if number == 0:
            arrow(axis, (right, 0), (right + 0.35, 0))
            box(axis, right + 0.62, 0, "conv 3×3,\nstride 2", rotation=90)
            arrow(axis, (right + 0.9, 0), (right + 1.2, 0))
            x = right + 1.2
            continue
        axis.text(right + 1.0, 1.62, f"block {number}", ha="center", fontsize=10)
        arrow(axis, (right, 0), (right + 0.35, 0))
        box(axis, right + 0.62, 0, "conv 3×3\nconv 3×3", rotation=90)
        arrow(axis, (right + 0.9, 0), (right + 1.2, 0))
        axis.plot([right + 0.12, right + 0.12, right + 1.3, right + 1.3], [0, 1.2, 1.2, 0.15], "k--", linewidth=1.2)
        box(axis, right + 0.72, 1.2, "1×1")
        axis.text(right + 1.3, 0, "+", ha="center", va="center", bbox={"boxstyle": "circle", "facecolor": "white"})
        box(axis, right + 1.72, 0, "pool,\ndropout", rotation=90)
        arrow(axis, (right + 1.97, 0), (right + 2.2, 0))
        x = right + 2.2
    arrow(axis, (right, 0), (right + 0.35, 0))
    box(axis, right + 0.55, 0, "global average pooling", rotation=90)
    right += 0.75
    for size in dense:
        arrow(axis, (right, 0), (right + 0.35, 0))
        box(axis, right + 0.55, 0, f"dense: {size}", rotation=90)
        right += 0.75
    axis.set(xlim=(-0.3, right + 0.2), ylim=(-2.1, 1.9))
    axis.axis("off")
    return figure


UNET_KEY = """pool: max pooling 2 × 2, then 2 × conv 3×3
up: transposed convolution 2 × 2, stride 2
touching boxes: concatenated channels
arrow to their right: 2 × conv 3×3
above a box: channels; below: height × width"""


def u_net(encoder: Sequence[Shape], decoder: Sequence[Shape], mask: Shape) -> Figure:
    """U-Net: the encoder down on the left, the decoder up on the right, skip connections across. A box is as high as
    its feature maps, and the wider the more channels it has.

    encoder: channels, height and width of each level's output, from the top down; decoder: the same, from below up.
    """
    figure, axis = plt.subplots(figsize=(11, 4.6))
    bottom = len(encoder) - 1
    tall = [max(1.7 / 2**level, 0.12) for level in range(bottom + 1)]
    middle = [-sum(tall[:level]) - tall[level] / 2 - 0.62 * level for level in range(bottom + 1)]

    def maps(x: float, level: int, shape: Shape, colour: str, side: str = "") -> float:
        wide, low = 0.065 * np.log2(shape[0]) + 0.08, middle[level] - tall[level] / 2
        axis.add_patch(Rectangle((x, low), wide, tall[level], facecolor=colour, edgecolor="black"))
        axis.text(x + wide / 2, low + tall[level] + 0.03, shape[0], ha="center", va="bottom", fontsize=8)
        if side:
            place = (x + wide * (side == "right"), low - 0.05)
            axis.text(*place, f"{shape[1]} × {shape[2]}", ha=side, va="top", fontsize=8)
        return x + wide

    right, place, ends = maps(-2.2, 0, (3, *encoder[0][1:]), "white", "right"), (0, 0), []
    arrow(axis, (right, middle[0]), (-0.02, middle[0]), "2 × conv 3×3")
    for level, shape in enumerate(encoder):
        if level:
            arrow(axis, place, (1.4 * level - 0.03, middle[level]), "pool")
        ends.append(maps(1.4 * level, level, shape, SKY, "right"))
        place = (ends[-1] + 0.03, middle[level] - 0.3 * tall[level])
    for step, shape in enumerate(decoder, start=1):
        level, x = bottom - step, 1.4 * bottom + 1.6 + 1.9 * (step - 1)
        joined = maps(maps(x, level, shape, SKY), level, shape, ORANGE)
        arrow(axis, place, (joined - 0.15, middle[level] - tall[level] / 2 - 0.03), "up")
        arrow(axis, (ends[level], middle[level]), (x, middle[level]), "skip connection", linestyle="--")
        arrow(axis, (joined, middle[level]), (joined + 0.55, middle[level]))
        place = (maps(joined + 0.57, level, shape, ORANGE, "left") + 0.03, middle[level])
    arrow(axis, place, (place[0] + 1.3, middle[0]), "conv 1×1")
    right = maps(place[0] + 1.32, 0, mask, "white", "left")
    axis.text(-3.2, middle[bottom] - 0.3, UNET_KEY, va="bottom", fontsize=8.5, linespacing=1.4)
    axis.set(xlim=(-3.3, right + 1.2), ylim=(middle[bottom] - 0.5, 0.25))
    axis.axis("off")
    return figure


def box(axis: plt.Axes, x: float, y: float, words: str, rotation: int = 0) -> None:
    """Words in a box, its middle at (x, y)."""
    style = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "black"}
    axis.text(x, y, words, ha="center", va="center", fontsize=8.5, rotation=rotation, bbox=style)


def arrow(axis: plt.Axes, start: tuple, end: tuple, words: str = "", linestyle: str = "-") -> None:
    """An arrow from start to end, with words beside its middle."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "linestyle": linestyle, "linewidth": 1.3})
    if words:
        aside = 0.2 if start[1] != end[1] else 0  # right of a slanted arrow, above a level one
        middle = ((start[0] + end[0]) / 2 + aside, (start[1] + end[1]) / 2 + 0.07 - aside / 2)
        axis.text(*middle, words, ha="left" if aside else "center", fontsize=8.5)
