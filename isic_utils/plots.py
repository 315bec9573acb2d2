"""What the notebooks draw. Each function returns a matplotlib Figure; `show` displays it with a text for those who
cannot see it.

The colours are Okabe and Ito's with a darker grey, which the colour-blind can tell apart (a test simulates it); lines
and bars also differ in dash, marker or hatch, so a grey print can be read.
"""

import base64
import html
import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import Image, ImageOps

from isic_utils import settings as profile
from isic_utils.datasets.images import read_picture
from isic_utils.datasets.tables import MALIGNANT
from isic_utils.training.runs import Run, best_epoch

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#666666",
)  # fmt: skip
COLOURS = [BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY]
DASHES = ["-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (8, 2))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
HATCHES = ["", "///", "...", "xxx", "\\\\\\", "ooo", "+++", "**"]

SCREEN_DPI = 80
SYNTHETIC = "synthetic sample, drawn by code"  # stands under each figure that shows nothing else

plt.rcParams.update(
    {
        "axes.prop_cycle": plt.cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.constrained_layout.use": True,
        "figure.dpi": SCREEN_DPI,
        "font.size": 10,
        "legend.frameon": False,
    }
)


def show(figure: Figure, alt: str, synthetic: bool | None = None, note: str = SYNTHETIC) -> None:
    """Display a figure with its alternative text; drawn from the synthetic sample, it says so at its lower edge.

    alt: what the figure shows, in a sentence, for readers who cannot see it.
    synthetic: whether it was drawn from the synthetic sample; None: if the profile's data are that.
    note: what it says then, where the usual words do not hold for all of it.
    """
    if profile.current().synthetic if synthetic is None else synthetic:
        figure.supxlabel(note, fontsize=7, color="0.45", x=0.995, ha="right")
    photographs = any(axis.images for axis in figure.axes)
    kind, quality = ("jpeg", {"quality": 85}) if photographs else ("png", {})
    buffer = io.BytesIO()
    dpi = 2 * SCREEN_DPI  # sharp on screens with fine pixels too
    figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", pil_kwargs=quality)
    plt.close(figure)
    width = Image.open(buffer).width // 2
    pixels = base64.b64encode(buffer.getvalue()).decode()
    page = f'<img src="data:image/{kind};base64,{pixels}" alt="{html.escape(alt)}" width="{width}">'
    # as HTML, since JupyterLab drops the alternative text of a bare picture
    display({"text/html": page, "text/plain": alt}, raw=True)


def thumbnail(path: str | Path) -> np.ndarray:
    """A picture reduced to at most 400 pixels a side, which is quick to draw: uint8 [height, width, 3]."""
    picture = read_picture(path, at_least=400)
    picture.thumbnail((400, 400))
    return np.asarray(picture)


def picture_grid(
    paths: Sequence[str | Path | np.ndarray], titles: Sequence[str], columns: int = 8, side: float = 1.4
) -> Figure:
    """Pictures in rows. paths: files or arrays [height, width, 3]; titles: one above each; side: inches of each."""
    rows = -(-len(paths) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * side, rows * side), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, path, title in zip(axes.flat, paths, titles, strict=False):
        axis.imshow(path if isinstance(path, np.ndarray) else thumbnail(path))
        axis.set_title(title, fontsize=8)
    return figure


def class_pictures(table: pd.DataFrame, each: int = 8, seed: int = 0) -> Figure:
    """A row of pictures, drawn by chance, for each class. table: the columns path and label."""
    codes = [code for code in table["label"].cat.categories if (table["label"] == code).any()]
    figure, axes = plt.subplots(len(codes), each, figsize=(each * 1.25, len(codes) * 0.98), squeeze=False)
    for row, code in zip(axes, codes, strict=True):
        paths = table.loc[table["label"] == code, "path"]
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, path in zip(row, paths.sample(min(each, len(paths)), random_state=seed), strict=False):
            axis.imshow(ImageOps.fit(read_picture(path, at_least=160), (160, 120)))
        row[0].set_ylabel(code + ("*" if code in MALIGNANT else ""), rotation=0, ha="right", va="center", fontsize=11)
    return figure


def class_counts(counts: pd.DataFrame, ylabel: str = "pictures", xlabel: str = "") -> Figure:
    """Bars per class, one group per column. counts: classes as rows, e.g. the columns published and here."""
    figure, axis = plt.subplots(figsize=(8, 3.2))
    grouped_bars(axis, counts)
    for bars, column in zip(axis.containers, counts.columns, strict=True):
        axis.bar_label(bars, fmt="{:.1%}" if counts[column].max() <= 1 else "{:,.0f}", fontsize=7)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if len(counts.columns) > 1:
        axis.legend()
    return figure


def grouped_bars(axis: plt.Axes, values: pd.DataFrame) -> None:
    """A group of bars for each row of a table, a colour and a hatching for each column."""
    places, width = np.arange(len(values)), 0.8 / values.shape[1]
    for i, column in enumerate(values):
        aside = (i - (values.shape[1] - 1) / 2) * width
        style = {"color": COLOURS[i], "hatch": HATCHES[i], "edgecolor": "white"}
        axis.bar(places + aside, values[column], width, label=column, **style)
    axis.set_xticks(places, values.index)


def curves(run: Run) -> Figure:
    """The loss and the validation scores of a run, epoch by epoch, with the epochs of its checkpoints marked.

    The dotted line in the panel of the BMA is what guessing gets, 1 / classes.
    """
    history = run.history
    titles = {"loss": "loss", "bma": "validation BMA", "jaccard": "validation Jaccard"}
    figure, axes = plt.subplots(1, len(run.kept), figsize=(3.3 * len(run.kept), 2.6))
    figure.get_layout_engine().set(wspace=0.08)
    axes[0].plot(history.index, history["train_loss"], label="train", linestyle="--", marker="s", markersize=3)
    axes[0].plot(history.index, history["validation_loss"], label="validation", marker="o", markersize=3)
    axes[0].legend()
    for axis, (metric, checkpoint) in zip(axes, run.kept.items(), strict=True):
        values = history[f"validation_{metric}"]
        if metric != "loss":
            axis.plot(history.index, values, color=ORANGE, marker="o", markersize=3)
            axis.set_ylim(0, 1)
        if metric == "bma":
            axis.axhline(1 / len(run.config["classes"]), color=GREY, linestyle=":", linewidth=1, zorder=0)
        epoch = best_epoch(history, metric)
        axis.plot(epoch, values[epoch], marker="*", markersize=14, color=RED, linestyle="none", label="checkpoint")
        axis.set(xlabel="epoch", ylabel=titles.get(metric, f"validation {metric}"))
        axis.set_title(f"★ {checkpoint}", fontsize=10)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str], title: str = "", axis: plt.Axes | None = None) -> Figure:
    """A confusion matrix: rows are the true classes, each row in shares of its pictures, with the counts written in."""
    figure, axis = (axis.figure, axis) if axis is not None else plt.subplots(figsize=(5.2, 4.4))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    sns.heatmap(
        shares, annot=matrix, fmt="d", cmap="cividis", vmin=0, vmax=1, cbar=False, square=True,
        xticklabels=classes, yticklabels=classes, annot_kws={"fontsize": 7}, ax=axis,
    )  # fmt: skip
    axis.set(xlabel="predicted", ylabel="true", title=title)
    axis.tick_params(axis="x", rotation=45)
    axis.tick_params(axis="y", rotation=0)
    return figure


def confusions(matrices: dict[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Several confusion matrices, three in a row. matrices: title -> matrix as in `confusion`."""
    rows = -(-len(matrices) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(11, 3.7 * rows), squeeze=False)
    for axis, (title, matrix) in zip(axes.flat, matrices.items(), strict=False):
        confusion(matrix, classes, title, axis)
    for axis in axes.flat[len(matrices) :]:
        axis.axis("off")
    return figure


def recall_dots(recalls: pd.DataFrame, counts: pd.Series | None = None) -> Figure:
    """Recall per class, a marker per model. recalls: classes as rows, models as columns; counts: training pictures of
    each class. The markers of a class stand side by side, their middle at its place."""
    figure, axis = plt.subplots(figsize=(9, 3.4))
    shift = 0.12 * (np.arange(len(recalls.columns)) - (len(recalls.columns) - 1) / 2)
    for i, column in enumerate(recalls.columns):
        axis.plot(
            np.arange(len(recalls)) + shift[i],
            recalls[column],
            MARKERS[i],
            color=COLOURS[i],
            label=column,
            markersize=6,
        )
    labels = [code if counts is None else f"{code}\n{counts[code]:,}" for code in recalls.index]
    axis.set_xticks(np.arange(len(recalls)), labels)
    axis.set(
        xlim=(-0.6, len(recalls) - 0.4),
        ylim=(-0.03, 1.03),
        ylabel="recall",
        xlabel="" if counts is None else "class and its number of training pictures",
    )
    axis.grid(axis="y", alpha=0.3)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def name_ticks(axis: plt.Axes, names: Sequence[str], size: float = 9) -> None:
    """Write a name under each of the places 0, 1, 2, … of an axis so that none touches its neighbour: in one line if
    there is room, else broken at spaces and hyphens, else slanted. size: of the letters, in points.

    Call it last: a legend or a title that comes later takes away room.
    """
    gap = size * axis.figure.dpi / 72 / 2  # half the height of a letter
    broken = [textwrap.fill(name, max(map(len, name.replace("-", "- ").split()))) for name in names]
    for written in (names, broken):
        axis.set_xticks(range(len(names)), written, fontsize=size)
        axis.figure.draw_without_rendering()  # lays the figure out
        boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
        if all(left.x1 + gap < right.x0 for left, right in zip(boxes, boxes[1:], strict=False)):
            return
    axis.set_xticks(range(len(names)), names, fontsize=size, rotation=30, ha="right", rotation_mode="anchor")


def masks_over(
    paths: Sequence[str | Path | np.ndarray],
    masks: Sequence[np.ndarray],
    titles: Sequence[str],
    columns: int = 4,
    predicted: Sequence[np.ndarray] = (),
) -> Figure:
    """Pictures with the contour of their mask: white on black; and of a predicted one: blue dashes on black.

    paths: files or arrays [height, width, 3]; masks, predicted: arrays [height, width], boolean, or probabilities from
    0 to 1, whose contour is at one half.
    """
    figure = picture_grid(paths, titles, columns, side=2.2)
    for axis, mask in zip(figure.axes, masks, strict=False):
        contour(axis, mask, "white", "-")
    for axis, mask in zip(figure.axes, predicted, strict=False):
        contour(axis, mask, SKY, "--")
    return figure


def contour(axis: plt.Axes, mask: np.ndarray, colour: str, dash: str) -> None:
    """Draw where a mask ends on the picture that an axis shows. mask: array [height, width] from 0 to 1, any size."""
    height, width = axis.images[0].get_array().shape[:2]
    values = Image.fromarray(np.asarray(mask, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(values)
    if values.min() < 0.5 < values.max():  # else there is no border to draw
        axis.contour(values, levels=[0.5], colors=["black"], linewidths=2.8)
        axis.contour(values, levels=[0.5], colors=[colour], linewidths=1.6, linestyles=[dash])


def share_maps(shares: dict[str, pd.DataFrame]) -> Figure:
    """Tables of shares side by side, written in per cent. shares: title -> classes as rows, values from 0 to 1."""
    widths = [table.shape[1] for table in shares.values()]
    figure, axes = plt.subplots(
        1, len(shares), figsize=(1.5 + 0.72 * sum(widths), 3.6), width_ratios=widths, squeeze=False
    )
    for axis, (title, table) in zip(axes.flat, shares.items(), strict=True):
        sns.heatmap(100 * table, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, cbar=False, ax=axis)
        axis.set(title=title, xlabel="", ylabel="")
        axis.set_xticks(axis.get_xticks(), [str(name).replace(" ", "\n", 1) for name in table.columns], rotation=0)
        axis.tick_params(axis="y", rotation=0)
        axis.tick_params(axis="x", labelsize=8)
    return figure


def boxes(table: pd.DataFrame, column: str, label: str) -> Figure:
    """A box for each class: the middle half of the values of a column, with the median. table: label and the column."""
    values = {code: rows[column].dropna() for code, rows in table.groupby("label", observed=True)}
    figure, axis = plt.subplots(figsize=(8, 3.2))
    axis.boxplot(
        list(values.values()), tick_labels=list(values), patch_artist=True, widths=0.6,
        boxprops={"facecolor": SKY}, medianprops={"color": "black", "linewidth": 2}, flierprops={"markersize": 3},
    )  # fmt: skip
    axis.set_ylabel(label)
    axis.grid(axis="y", alpha=0.3)
    return figure


def histogram(values: Sequence[float], xlabel: str, ylabel: str, limit: float | None = None) -> Figure:
    """How often values between 0 and 1 occur, in twenty steps, with their mean; limit: a value to mark."""
    figure, axis = plt.subplots(figsize=(7, 2.8))
    axis.hist(values, bins=np.linspace(0, 1, 21), edgecolor="white")
    axis.axvline(np.mean(values), color=RED, linestyle="--", label="mean")
    if limit is not None:
        axis.axvline(limit, color="black", linestyle=":", linewidth=2, label=f"{limit:g}")
    axis.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1))
    axis.legend()
    return figure


def lines(table: pd.DataFrame, xlabel: str, ylabel: str, title: str = "", axis: plt.Axes | None = None) -> Figure:
    """A line per column over the table's index, each with a dash and a marker of its own."""
    figure, axis = (axis.figure, axis) if axis is not None else plt.subplots(figsize=(6, 3))
    every = -(-len(table) // 10)
    for i, column in enumerate(table.columns):
        style = {"color": COLOURS[i], "linestyle": DASHES[i], "marker": MARKERS[i], "markersize": 4}
        axis.plot(table.index, table[column], label=column, markevery=(i * every // len(table.columns), every), **style)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.legend()
    return figure


def dense_network(layers: dict[str, Sequence[str]], weights: Sequence[np.ndarray] = ()) -> Figure:
    """A diagram: a column of circles per layer, every circle joined to all of the next column.

    layers: name of the layer -> what stands in its circles. weights: for each gap between two layers an array
    [circles on the left, circles on the right], drawn as width, dashed where negative; none: thin lines.
    """
    figure, axis = plt.subplots(figsize=(2.6 * len(layers) + 0.8, 0.7 * max(map(len, layers.values())) + 0.7))
    places = [
        [(2.6 * k, (len(circles) - 1) / 2 - i) for i in range(len(circles))]
        for k, circles in enumerate(layers.values())
    ]
    for k, (left, right) in enumerate(zip(places, places[1:], strict=False)):
        for i, j in np.ndindex(len(left), len(right)):
            weight = weights[k][i][j] if len(weights) else 0.5
            line = {
                "linewidth": 2 * abs(weight),
                "linestyle": "--" if weight < 0 else "-",
                "color": RED if weight < 0 else BLUE,
            }
            axis.plot(*zip(left[i], right[j], strict=True), zorder=1, **line)
    for column, (name, circles) in zip(places, layers.items(), strict=True):
        axis.text(column[0][0], max(map(len, layers.values())) / 2 + 0.25, name, ha="center", va="bottom")
        for place, text in zip(column, circles, strict=True):
            axis.add_patch(plt.Circle(place, 0.36, facecolor="white", edgecolor="black", zorder=2))
            axis.text(*place, text, ha="center", va="center", fontsize=9, zorder=3)
    axis.set_aspect("equal")
    axis.axis("off")
    return figure


def chain(values: dict[str, str], steps: dict[str, str]) -> Figure:
    """Numbers in a row, computed one from the other, and the slopes that come back from the last to the first.

    values: what stands in each circle -> its slope, or "" for none; steps: what happens between two circles -> the
    slope of the weight there.
    """
    figure, axis = plt.subplots(figsize=(1.9 * len(values), 2))
    circle = {"boxstyle": "circle", "facecolor": "white"}
    for place, (value, slope) in enumerate(values.items()):
        axis.text(place, 0, value, ha="center", va="center", bbox=circle)
        axis.text(place, -0.7, slope, ha="center", fontsize=9)
    for place, (step, slope) in enumerate(steps.items()):
        axis.annotate("", (place + 0.72, 0.12), (place + 0.28, 0.12), arrowprops={"arrowstyle": "->"})
        back = {"arrowstyle": "->", "linestyle": "--"}
        axis.annotate("", (place + 0.28, -0.12), (place + 0.72, -0.12), arrowprops=back)
        axis.text(place + 0.5, 0.25, step, ha="center", fontsize=9)
        axis.text(place + 0.5, -0.4, slope, ha="center", fontsize=9, weight="bold")
    axis.set(xlim=(-0.4, len(values) - 0.6), ylim=(-0.85, 0.6))
    axis.axis("off")
    return figure


def decision_boundaries(
    points: np.ndarray, is_first: np.ndarray, names: Sequence[str], probabilities: dict[str, Callable]
) -> Figure:
    """What several models answer in the plane of two features, a panel each, with the points they are to tell apart.

    points: float [n, 2]; is_first: boolean [n], True for the first of the two names; probabilities: title -> function
    that takes points [m, 2] and returns the probability of the first class [m].
    """
    figure, axes = plt.subplots(
        1, len(probabilities), figsize=(2.5 * len(probabilities), 2.9), sharey=True, squeeze=False
    )
    low, high = points.min(axis=0) - 0.3, points.max(axis=0) + 0.3
    across, up = np.meshgrid(np.linspace(low[0], high[0], 120), np.linspace(low[1], high[1], 120))
    for axis, (title, probability) in zip(axes[0], probabilities.items(), strict=True):
        answers = probability(np.column_stack([across.ravel(), up.ravel()])).reshape(across.shape)
        axis.contourf(across, up, answers, levels=[0, 0.25, 0.5, 0.75, 1], colors=["1", "0.93", "0.8", "0.65"])
        axis.plot(*points[is_first].T, "o", color=BLUE, markersize=2.5, alpha=0.6, label=names[0])
        axis.plot(*points[~is_first].T, "^", color=RED, markersize=3.5, fillstyle="none", alpha=0.6, label=names[1])
        for colour, width in (("white", 4), ("black", 2)):
            axis.contour(across, up, answers, levels=[0.5], colors=colour, linewidths=width, zorder=3)
        axis.set_title(title, fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def cross_section(axis: plt.Axes) -> None:
    """Skin, cut and seen from the side: horny layer, epidermis, and dermis with a blood vessel, 10 wide and 5 deep."""
    x = np.linspace(0, 10, 200)
    border = -1.6 + 0.25 * np.sin(2.5 * x)
    axis.fill_between(x, -5, border, color="#F3BDA8")
    axis.fill_between(x, border, -0.35, color="#F7DCC0")
    axis.fill_between(x, -0.35, 0, color="#D9C39A")
    axis.plot(x, -4.3 + 0.15 * np.sin(x), color="#B03A2E", linewidth=6)
    axis.set(xlim=(0, 10), ylim=(-5, 4.2), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def sketch_growth() -> Figure:
    """A sketch, not to scale: a mole, a melanoma that is still in the epidermis, one that has grown to the vessels."""
    rng = np.random.default_rng(0)
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.4))
    places = {
        "mole: in orderly nests": (
            np.repeat([3.2, 4.4, 5.6, 6.8], 12) + rng.normal(0, 0.15, 48),
            rng.normal(-1.7, 0.15, 48),
        ),
        "early melanoma: in the epidermis": (rng.uniform(2, 8, 80), rng.uniform(-1.3, -0.5, 80)),
        "late melanoma: down to the vessels": (rng.normal(5, 1.2, 260), rng.uniform(-4.4, -0.5, 260)),
    }  # fmt: skip
    for axis, (title, (x, y)) in zip(axes, places.items(), strict=True):
        cross_section(axis)
        axis.plot(x, y, "o", markersize=4, color="#4A2C1A", markeredgecolor="white", markeredgewidth=0.3)
        axis.set_ylim(-5, 0.2)
        axis.set_title(title, fontsize=10)
    for depth, name in ((-0.2, "horny layer"), (-0.9, "epidermis"), (-3, "dermis"), (-3.9, "blood vessel")):
        axes[0].text(0.1, depth, name, va="center", fontsize=7)
    return figure


def sketch_dermatoscope() -> Figure:
    """A sketch, not to scale: what the naked eye and a dermatoscope see of skin, and melanin's colour at each depth."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    titles = ("naked eye: glare hides the depth", "dermatoscope: the depth shows", "the colour of melanin by its depth")
    for axis, title in zip(axes, titles, strict=True):
        cross_section(axis)
        axis.set_title(title, fontsize=10)
    rays = {0: [(2, 3.8), (5, 0), (8, 3.8)], 1: [(3.4, 2.4), (5, -3), (6.6, 2.4)]}
    for panel, points in rays.items():
        for start, end in zip(points, points[1:], strict=False):
            arrow = {"arrowstyle": "->", "color": "black", "linewidth": 1.8}
            axes[panel].annotate("", xy=end, xytext=start, arrowprops=arrow)
    axes[0].text(2, 1.6, "light", fontsize=9)
    axes[1].fill_between([1.5, 8.5], 0, 0.35, color=SKY, alpha=0.6)
    axes[1].fill_between([1.5, 8.5], 0.35, 0.75, color="0.75")
    axes[1].add_patch(Ellipse((5, 2.9), 6, 0.9, facecolor=SKY, edgecolor="black", alpha=0.7))
    axes[1].text(8.7, 2.7, "lens", fontsize=9)
    axes[1].text(8.7, 0.35, "glass", fontsize=9)
    axes[1].text(0.1, 0.05, "fluid", fontsize=9)
    depths = {
        "black": (-0.2, "#1B1B1B"),
        "brown": (-1.0, "#7B4A24"),
        "grey": (-2.3, "#77777F"),
        "blue": (-3.4, "#50688F"),
    }
    for name, (depth, colour) in depths.items():
        axes[2].plot([3, 3.7, 4.4], [depth] * 3, "o", markersize=11, color=colour)
        axes[2].text(5.4, depth, name, va="center", fontsize=9)
    return figure
