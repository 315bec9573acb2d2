"""Figures that several lessons share, and their style. Each function returns a matplotlib Figure; `show` displays it
with an alternative text for those who cannot see it.

A notebook's first cell calls `use_style`. The colours are Okabe and Ito's with a darker grey, which the colour-blind
can tell apart (a test simulates it); lines and bars also differ in dash, marker or hatch, so a grey print can be read.
"""

import base64
import html
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from isic_utils import files
from isic_utils.datasets.images import read_image
from isic_utils.inference.postprocess import enlarge
from isic_utils.inference.second_opinion import STATEMENT, SYNTHETIC_STATEMENT, Opinion, SecondOpinion
from isic_utils.metrics.calibration import is_malignant
from isic_utils.settings import load_settings
from isic_utils.training.runs import Run, best_epoch

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#666666"]
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = COLOURS
DASHES = ["-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (8, 2))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
HATCHES = ["", "///", "...", "xxx", "\\\\\\", "ooo", "+++", "**"]

Images = Sequence[str | Path | np.ndarray]  # files, or uint8 [height, width, 3]
Masks = Sequence[np.ndarray]
SCREEN_DPI = 80
SYNTHETIC = "synthetic sample, drawn by code"  # stands under each figure that shows nothing else
STYLE = {
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": SCREEN_DPI,
    "legend.frameon": False,
}


def use_style() -> None:
    """Give all figures of this process the course's style, also those that a notebook draws itself.

    For some figures alone: ``with plt.style.context(plots.STYLE):``.
    """
    plt.style.use(STYLE)


def show(figure: Figure, alt: str, synthetic: bool | None = None, note: str = SYNTHETIC) -> None:
    """Display a figure with its alternative text. All arguments are those of `as_html`."""
    # as HTML, since JupyterLab drops the alternative text of a plain image
    display({"text/html": as_html(figure, alt, synthetic, note), "text/plain": alt}, raw=True)


def as_html(figure: Figure, alt: str, synthetic: bool | None = None, note: str = SYNTHETIC) -> str:
    """A figure as an HTML image that carries its pixels with it; the figure is closed. Drawn from the synthetic sample,
    it says so at its lower edge.

    alt: what the figure shows, in a sentence, for readers who cannot see it.
    synthetic: whether it was drawn from the synthetic sample; None: if the data of these settings are.
    note: what it says then, if the default does not hold for the whole figure.
    """
    if load_settings().synthetic if synthetic is None else synthetic:
        figure.supxlabel(note, fontsize=7, color="0.45", x=0.995, ha="right")
    kind, options = ("jpeg", {"quality": 85}) if any(axis.images for axis in figure.axes) else ("png", {})
    buffer = io.BytesIO()  # drawn at twice the size, so that it is sharp on screens with fine pixels too
    figure.savefig(buffer, format=kind, dpi=2 * SCREEN_DPI, bbox_inches="tight", pil_kwargs=options)
    plt.close(figure)
    width = Image.open(buffer).width // 2
    pixels = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/{kind};base64,{pixels}" alt="{html.escape(alt)}" width="{width}">'


def thumbnail(path: str | Path) -> np.ndarray:
    """An image reduced to at most 400 pixels a side, which is quick to draw: uint8 [height, width, 3]."""
    image = read_image(path, at_least=400)
    image.thumbnail((400, 400))
    return np.asarray(image)


def grid(count: int, columns: int, width: float, height: float, **options) -> tuple[Figure, np.ndarray]:
    """A figure with panels in rows, and its `count` axes. width, height: inches of each; options: of `plt.subplots`."""
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * width, rows * height), squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, axes.flat[:count]


def image_grid(images: Images, titles: Sequence[str], columns: int = 8, side: float = 1.4) -> Figure:
    """Images in rows. images: files or arrays [height, width, 3]; titles: one above each; side: inches of each."""
    figure, axes = grid(len(images), columns, side, side)
    for axis, image, title in zip(axes, images, titles, strict=False):
        axis.axis("off")
        axis.imshow(image if isinstance(image, np.ndarray) else thumbnail(image))
        axis.set_title(title, fontsize=8)
    return figure


def curves(run: Run) -> Figure:
    """The loss and the validation scores of a run by epoch, with the epochs of its checkpoints marked.

    The dotted line in the BMA panel is the majority-class baseline, 1 / classes.
    """
    history, checkpoints = run.history, run.checkpoints
    figure, axes = plt.subplots(1, len(checkpoints), figsize=(3.3 * len(checkpoints), 2.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    axes[0].plot(history.index, history["train_loss"], label="training", linestyle="--", marker="s", markersize=3)
    for axis, checkpoint in zip(axes, checkpoints, strict=True):
        values, epoch = history[f"validation_{checkpoint}"], best_epoch(history, checkpoint)
        is_loss = checkpoint == "loss"
        name = {"bma": "BMA", "jaccard": "Jaccard index"}.get(checkpoint, checkpoint)
        axis.plot(history.index, values, label="validation", color=ORANGE, marker="o", markersize=3)
        axis.plot(epoch, values[epoch], marker="*", markersize=14, color=RED, linestyle="none")
        if checkpoint == "bma":
            axis.axhline(1 / len(run.config["classes"]), color=GREY, linestyle=":", linewidth=1, zorder=0)
        axis.set(xlabel="epoch", ylabel=name if is_loss else f"validation {name}", ylim=None if is_loss else (0, 1))
        axis.set_title(f"★ {'lowest' if is_loss else 'highest'} {name}", fontsize=10)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    return figure


def confusions(matrices: dict[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Confusion matrices, three in a row: coloured by the proportions of each row, with the counts written in.

    matrices: title -> matrix, integers [classes, classes], whose rows are the true classes.
    """
    figure, axes = grid(len(matrices), min(3, len(matrices)), 11 / 3, 3.7)
    style = {"cmap": "cividis", "cbar": False, "square": True, "fmt": "d", "annot_kws": {"fontsize": 7}}
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=True):
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        sns.heatmap(shares, vmin=0, vmax=1, annot=matrix, xticklabels=classes, yticklabels=classes, ax=axis, **style)
        axis.set(xlabel="predicted", ylabel="true", title=title)
        axis.tick_params(axis="x", rotation=45)
        axis.tick_params(axis="y", rotation=0)
    figure.colorbar(axes[0].collections[0], ax=list(axes), shrink=0.7, label="proportion of the row")
    return figure


def recall_dots(recalls: pd.DataFrame, counts: pd.Series) -> Figure:
    """Recall per class, a marker per model. recalls: classes as rows, models as columns; counts: training images of
    each class, of which the largest comes first. The markers of a class stand side by side, centred on its tick.
    """
    recalls = recalls.loc[counts[recalls.index].sort_values(ascending=False, kind="stable").index]
    figure, axis = plt.subplots(figsize=(9, 3.4))
    places = np.arange(len(recalls))
    for i, column in enumerate(recalls.columns):
        shift = 0.12 * (i - (len(recalls.columns) - 1) / 2)
        axis.plot(places + shift, recalls[column], MARKERS[i % 8], color=COLOURS[i % 8], label=column, markersize=6)
    axis.set_xticks(places, [f"{code}\n{counts[code]:,}" for code in recalls.index])
    axis.set(xlabel="class and its number of training images", ylabel="recall")
    axis.set(xlim=(-0.6, len(recalls) - 0.4), ylim=(-0.03, 1.03))
    axis.grid(axis="y", alpha=0.3)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def masks_over(images: Images, masks: Masks, titles: Sequence[str], columns: int = 4, predicted: Masks = ()) -> Figure:
    """Images with the contour of their mask: white on black; and of a predicted one: blue dashes on black.

    images: files or arrays [height, width, 3]; masks, predicted: arrays [height, width], boolean, or probabilities from
    0 to 1, whose contour is at one half.
    """
    figure = image_grid(images, titles, columns, side=2.2)
    for drawn, colour, dash in ((masks, "white", "-"), (predicted, SKY, "--")):
        for axis, mask in zip(figure.axes, drawn, strict=False):
            contour(axis, mask, colour, dash)
    return figure


def contour(axis: plt.Axes, mask: np.ndarray, colour: str, dash: str) -> None:
    """Draw where a mask ends on the image that an axis shows. mask: array [height, width] from 0 to 1, any size."""
    values = enlarge(np.asarray(mask), *axis.images[0].get_array().shape[:2])
    if values.min() < 0.5 < values.max():  # else there is no border to draw
        axis.contour(values, levels=[0.5], colors=["black"], linewidths=2.8)
        axis.contour(values, levels=[0.5], colors=[colour], linewidths=1.6, linestyles=[dash])


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
        style = {"color": COLOURS[i % 8], "linestyle": DASHES[i % 8], "marker": MARKERS[i % 8], "markersize": 4}
        axis.plot(table.index, table[column], label=column, markevery=(i * every // len(table.columns), every), **style)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.legend()
    return figure


def draw_opinion(second_opinion: SecondOpinion, image: np.ndarray, opinion: Opinion, title: str = "") -> Figure:
    """An opinion: the image with its contour, Grad-CAM's heat map over it, and the probabilities.

    image: uint8 [height, width, 3]; opinion: what `second_opinion.opinion_on` returned for it. Of an abstention: the
    reason.
    """
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.1), width_ratios=[1, 1, 1.1])
    for axis in axes[:2]:
        axis.imshow(image)
        axis.axis("off")
    axes[0].set_title(title, fontsize=9, parse_math=False)
    if opinion.contour is not None:
        contour(axes[0], opinion.contour, "white", "-")
    if opinion.heat is not None:
        heat_over(axes[1], opinion.heat, image.shape[:2])
        axes[1].set_title(f"what speaks for {opinion.predicted} (Grad-CAM)", fontsize=9)
        figure.colorbar(plt.cm.ScalarMappable(cmap="cividis"), ax=axes[1], shrink=0.8, label="support (largest: 1)")
    probability_bars(axes[2], second_opinion, opinion)
    statement = f"{STATEMENT} {SYNTHETIC_STATEMENT}" if second_opinion.run.config["synthetic"] else STATEMENT
    figure.suptitle(f"{opinion.reason.capitalize()}.\n{statement}", fontsize=8, y=-0.02, va="top")
    return figure


def save_opinion(second_opinion: SecondOpinion, image: Image.Image, opinion: Opinion, file: Path) -> None:
    """`draw_opinion` into a PNG file, in the course's style. The image is reduced to at most 800 pixels a side."""
    image.thumbnail((800, 800))
    with plt.style.context(STYLE):
        figure = draw_opinion(second_opinion, np.asarray(image), opinion, file.stem)
        files.write(file, partial(figure.savefig, format="png", dpi=120, bbox_inches="tight"), files.ELSEWHERE)
        plt.close(figure)


def probability_bars(axis: plt.Axes, second_opinion: SecondOpinion, opinion: Opinion) -> None:
    """The calibrated probabilities as bars, those of malignant classes hatched, and the threshold for their sum."""
    axis.set_visible(not opinion.abstained)
    for place, (code, value) in enumerate(opinion.probabilities.items()):
        style = {"color": ORANGE, "hatch": "///"} if is_malignant(code) else {"color": BLUE}
        axis.barh(place, value, edgecolor="white", **style)
    axis.set_yticks(range(len(opinion.probabilities)), opinion.probabilities.index)
    axis.invert_yaxis()
    axis.axvline(second_opinion.threshold, color="black", linestyle=":")
    axis.set(xlim=(0, 1), xlabel=f"probability (T = {second_opinion.temperature:.2f})")
    told = f"malignant (hatched): {opinion.malignant:.0%}; threshold {second_opinion.threshold:.0%}: "
    axis.set_title(told + ("ask an expert" if opinion.ask_expert else "no alarm"), fontsize=9)


def heat_over(axis: plt.Axes, heat: np.ndarray, shape: tuple[int, int]) -> None:
    """A map from 0 to 1 over what an axis shows: transparent where it is 0. shape: (height, width)."""
    enlarged = enlarge(heat, *shape)
    axis.imshow(enlarged, cmap="cividis", vmin=0, vmax=1, alpha=0.75 * enlarged.clip(0, 1))
