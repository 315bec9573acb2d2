"""Diagrams of lessons 03 and 07: what a convolution looks at, and how data runs through a network.

Each function returns a matplotlib Figure for `figures.show`. Nothing depends on colour alone.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from isic_utils.plots import BLUE, COLOURS, ORANGE, SKY

Shape = tuple[int, int, int]  # filters, height, width


def convolution(numbers: np.ndarray, kernel: np.ndarray, answers: np.ndarray, place: tuple[int, int]) -> Figure:
    """A step of a convolution: the numbers with the window on them, the kernel, the answers with the one of that step.

    numbers, kernel, answers: arrays [height, width]; place: row and column of the window's upper left corner.
    """
    height, width = kernel.shape
    row, column = place
    outlines = [(place, kernel.shape), ((0, 0), kernel.shape), (place, (1, 1))]
    titles = ["numbers, with the window", "kernel", "answers"]
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 3.1), width_ratios=[numbers.shape[1], width, answers.shape[1]])
    for axis, array, title, outline in zip(axes, (numbers, kernel, answers), titles, outlines, strict=True):
        (top, left), (high, wide) = outline
        for (i, j), value in np.ndenumerate(array):
            inside = top <= i < top + high and left <= j < left + wide
            axis.add_patch(Rectangle((j, i), 1, 1, facecolor="0.88" if inside else "white", edgecolor="0.6"))
            axis.text(j + 0.5, i + 0.5, f"{value:g}", ha="center", va="center", weight="bold" if inside else "normal")
        axis.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor="black", linewidth=2.5))
        axis.set(xlim=(-0.1, array.shape[1] + 0.1), ylim=(numbers.shape[0] + 0.1, -0.1), aspect="equal", title=title)
        axis.axis("off")
    return figure


def maps(arrays: Sequence[np.ndarray], titles: Sequence[str], columns: int, side: float = 1.6) -> Figure:
    """Pictures and maps in rows, each map in greys of its own: mid-grey is 0, brighter positive, darker negative.

    arrays: float [height, width] for a map, [height, width, 3] from 0 to 1 for a picture; side: inches of each.
    """
    rows = -(-len(arrays) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * side, rows * (side + 0.25)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, array, title in zip(axes.flat, arrays, titles, strict=False):
        largest = max(abs(array).max(), 1e-12)
        axis.imshow(array, cmap="gray", vmin=-largest, vmax=largest, interpolation="nearest")
        axis.set_title(title, fontsize=9)
    return figure


def receptive_fields(picture: np.ndarray, fields: Mapping[str, int]) -> Figure:
    """The square of the picture that a number in the middle of each layer depends on, and a line from it to its name.

    picture: array [height, width, 3]; fields: name of the layer -> side of its square in pixels, the smallest first.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4))
    height, width = picture.shape[:2]
    axis.imshow(picture, alpha=0.75)
    heights = np.linspace(0.5, 0.05, len(fields)) * height  # of the names, from the smallest square's to the largest's
    for (name, side), place in zip(fields.items(), heights, strict=True):
        left, top = width / 2 - side / 2 - 0.5, height / 2 - side / 2 - 0.5
        axis.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor="black", linewidth=1.6))
        line = {"color": "black", "linewidth": 0.7, "path_effects": [withStroke(linewidth=2.2, foreground="white")]}
        axis.plot([left + side, width + 1], [top, place], clip_on=False, **line)  # seen on dark corners too
        axis.text(width + 2, place, f"{name}: {side} × {side}", va="center", fontsize=10)
    axis.axis("off")
    return figure


def bar(axis: plt.Axes, x: float, shape: Shape, middle: float = 0, scale: float = 0.32) -> float:
    """Draw what a layer answers: as high as the logarithm of its height, as wide as that of its filters. Returns its
    right edge."""
    filters, height, _ = shape
    tall, wide = scale * np.log2(height) + 0.15, 0.06 * np.log2(filters) + 0.1
    axis.add_patch(Rectangle((x, middle - tall / 2), wide, tall, facecolor=SKY, edgecolor="black"))
    return x + wide


def residual_net(shapes: Sequence[Shape], dense: Sequence[int]) -> Figure:
    """The course's residual net: what goes from block to block, and inside each block the two ways that meet.

    shapes: filters, height and width of the picture and of each block's answer; dense: answers of each dense layer.
    """
    figure, axis = plt.subplots(figsize=(12, 2.9))
    x = 0.0
    for number, shape in enumerate(shapes):
        right = bar(axis, x, shape)
        axis.text((x + right) / 2, -1.35, f"{shape[0]}\n{shape[1]}×{shape[2]}", ha="center", va="top", fontsize=9)
        if number == len(shapes) - 1:
            break
        axis.text(right + 1.0, 1.62, f"block {number + 1}", ha="center", fontsize=10)
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
    box(axis, right + 0.55, 0, "mean of each", rotation=90)
    right += 0.75
    for size in dense:
        arrow(axis, (right, 0), (right + 0.35, 0))
        box(axis, right + 0.55, 0, f"dense: {size}", rotation=90)
        right += 0.75
    axis.set(xlim=(-0.3, right + 0.2), ylim=(-2.1, 1.9))
    axis.axis("off")
    return figure


def u_net(encoder: Sequence[Shape], decoder: Sequence[Shape], mask: Shape) -> Figure:
    """U-Net: the encoder down on the left, the decoder up on the right, copies across.

    encoder: filters, height and width of each level's answer, from the top down; decoder: the same, from below up.
    """
    figure, axis = plt.subplots(figsize=(9.5, 5.2))
    for level, shape in enumerate(encoder):
        place = (1.1 * level, -level)
        box(axis, *place, text(shape), color=SKY)
        if level:
            arrow(axis, (place[0] - 1.1, -level + 0.72), (place[0] - 0.2, -level + 0.25), "pool")
    bottom, far = len(encoder) - 1, 2.2 * (len(encoder) - 1) + 1
    for step, shape in enumerate(decoder, start=1):
        level = bottom - step
        place = (far - 1.1 * level, -level)
        box(axis, *place, text(shape), color=ORANGE)
        below = (1.1 * bottom, -bottom) if step == 1 else (place[0] - 1.1, -level - 1)
        arrow(axis, (below[0] + 0.3, below[1] + 0.25), (place[0] - 0.1, place[1] - 0.28), "up")
        arrow(axis, (1.1 * level + 0.75, -level), (place[0] - 0.75, -level), "copy", linestyle="--")
    box(axis, far + 1.8, 0, "mask\n" + text(mask))
    arrow(axis, (far + 0.7, 0), (far + 1.2, 0))
    axis.set(xlim=(-0.9, far + 2.6), ylim=(-bottom - 0.5, 0.4))
    axis.axis("off")
    return figure


def text(shape: Shape) -> str:
    """A shape in two lines: the number of filters, and height × width."""
    return f"{shape[0]:,} filters\n{shape[1]} × {shape[2]}" if shape[0] > 1 else f"{shape[1]} × {shape[2]}"


def box(axis: plt.Axes, x: float, y: float, words: str, color: str = "white", rotation: int = 0) -> None:
    """Words in a box, its middle at (x, y)."""
    style = {"boxstyle": "round,pad=0.3", "facecolor": color, "edgecolor": "black", "alpha": 1}
    axis.text(x, y, words, ha="center", va="center", fontsize=8.5, rotation=rotation, bbox=style)


def arrow(axis: plt.Axes, start: tuple, end: tuple, words: str = "", linestyle: str = "-") -> None:
    """An arrow from start to end, with words beside its middle."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "linestyle": linestyle, "linewidth": 1.3})
    if words:
        aside = 0.2 if start[1] != end[1] else 0  # right of a slanted arrow, above a level one
        middle = ((start[0] + end[0]) / 2 + aside, (start[1] + end[1]) / 2 + 0.07 - aside / 2)
        axis.text(*middle, words, ha="left" if aside else "center", fontsize=8.5)


def pair_of_bars(values: Mapping[str, tuple[float, float]], names: tuple[str, str], xlabel: str) -> Figure:
    """A bar per model, in two parts, the second hatched. values: model -> its two parts."""
    figure, axis = plt.subplots(figsize=(8, 0.4 * len(values) + 1))
    first, second = np.array(list(values.values())).T
    axis.barh(list(values), first, color=BLUE, edgecolor="black", label=names[0])
    axis.barh(list(values), second, left=first, color=COLOURS[1], edgecolor="black", hatch="///", label=names[1])
    axis.set(xlabel=xlabel)
    axis.invert_yaxis()
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def unet(down: Sequence[Shape], up: Sequence[Shape]) -> Figure:
    """A U-Net as the letter it is named after: the way down, the way up, and the copies from one to the other.

    down: what each level of the encoder answers, from the top to the bottom; up: the same for the decoder, from the
    level above the bottom to the top.
    """
    figure, axis = plt.subplots(figsize=(9, 0.95 * len(down) + 0.6))
    bottom = len(down) - 1
    places = [(0.55 * level, -level, shape) for level, shape in enumerate(down)]
    places += [(0.55 * bottom + 1.6 + 0.55 * step, step + 1 - bottom, shape) for step, shape in enumerate(up)]
    tall, edges = 0.42, []
    for x, y, (filters, height, width) in places:
        wide = 0.05 * np.log2(filters) + 0.12
        axis.add_patch(Rectangle((x, y - tall / 2), wide, tall, facecolor=SKY, edgecolor="black"))
        axis.text(
            x + wide / 2, y - tall / 2 - 0.03, f"{filters} × {height} × {width}", ha="center", va="top", fontsize=7
        )
        edges.append((x, x + wide, y))
    arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 2, "shrinkB": 2}
    for (left, right, y), (next_left, next_right, next_y) in zip(edges, edges[1:], strict=False):
        start, end = ((left + right) / 2, y), ((next_left + next_right) / 2, next_y)
        gap = 0.33 if next_y < y else 0.22
        axis.annotate(
            "",
            (end[0], end[1] + (gap if next_y < y else -0.36)),
            (start[0], start[1] + (-0.36 if next_y < y else gap)),
            arrowprops=arrow,
        )
    for level in range(bottom):
        _, right, y = edges[level]
        left = edges[len(down) + bottom - 1 - level][0]
        axis.annotate(
            "", (left, y), (right, y), arrowprops={**arrow, "linestyle": "--", "color": ORANGE, "linewidth": 1.8}
        )
        axis.text((left + right) / 2, y + 0.05, "copy", ha="center", va="bottom", fontsize=8)
    axis.text(edges[0][0] - 0.1, 0, "picture", ha="right", va="center", fontsize=9)
    axis.text(edges[-1][1] + 0.1, 0, "mask", ha="left", va="center", fontsize=9)
    axis.set(xlim=(-0.7, edges[-1][1] + 0.6), ylim=(-bottom - 0.6, 0.5))
    axis.axis("off")
    return figure
