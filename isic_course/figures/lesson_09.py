"""What lesson 09 draws, and what `python -m isic_utils predict --save` keeps: an answer as a picture, and curves."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from isic_utils import plots as figures
from isic_utils.inference import second_opinion as inference
from isic_utils.inference.second_opinion import Answer, SecondOpinion
from isic_utils.metrics import calibration
from isic_utils.training import runs


def answer(opinion: SecondOpinion, picture: np.ndarray, said: Answer, title: str = "") -> Figure:
    """One picture's answer: the picture with its contour, the heat of Grad-CAM over it, and the probabilities.

    picture: uint8 [height, width, 3]; said: what `inference.answer` says of it. Of a refused picture, the reason.
    """
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.1), width_ratios=[1, 1, 1.1])
    for axis in axes[:2]:
        axis.imshow(picture)
        axis.axis("off")
    axes[0].set_title(title, fontsize=9, parse_math=False)
    axes[0].set_anchor("W")
    if said.contour is not None:
        figures.contour(axes[0], said.contour, "white", "-")
    if said.refused:
        axes[2].axis("off")
    else:
        probability_bars(axes[2], opinion, said)
    if said.heat is not None:
        heat_over(axes[1], said.heat, picture.shape[:2])
        axes[1].set_title(f"what speaks for {said.likeliest} (Grad-CAM)", fontsize=9)
    note = "\n".join([said.reason.capitalize() + ".", inference.STATEMENT])
    figure.suptitle(note if not opinion.synthetic else f"{note} {inference.SYNTHETIC}", fontsize=8, y=-0.02, va="top")
    return figure


def save(opinion: SecondOpinion, picture: Image.Image, said: Answer, file: Path) -> None:
    """Write `answer` as a PNG file, whole or not at all. Raises IsicError if it cannot be written."""
    shown = picture.copy()
    shown.thumbnail((800, 800))
    figure = answer(opinion, np.asarray(shown), said, title=file.stem)
    try:
        runs.write(
            file,
            lambda partial: figure.savefig(partial, format="png", dpi=120, bbox_inches="tight"),
            remedy="free disk space or choose another folder for --save",
        )
    finally:
        plt.close(figure)


def probability_bars(axis: plt.Axes, opinion: SecondOpinion, said: Answer) -> None:
    """The calibrated probabilities as bars, those of malignant classes hatched, and the alarm's limit for their sum."""
    for place, (code, value) in enumerate(said.probabilities.items()):
        malignant = calibration.is_malignant(code)
        style = {"color": figures.ORANGE, "hatch": "///"} if malignant else {"color": figures.BLUE}
        axis.barh(place, value, edgecolor="white", **style)
    axis.set_yticks(range(len(said.probabilities)), [code.replace("+", "+\u200b") for code in said.probabilities.index])
    axis.invert_yaxis()
    axis.axvline(opinion.threshold, color="black", linestyle=":")
    axis.set(xlim=(0, 1), xlabel="probability, after calibration")
    verdict = "ask an expert" if said.ask_expert else "no alarm"
    axis.set_title(
        f"malignant (hatched): {said.malignant:.0%}; alarm from {opinion.threshold:.0%}: {verdict}", fontsize=9
    )


def heat_over(axis: plt.Axes, heat: np.ndarray, shape: tuple[int, int]) -> None:
    """A map of 0 to 1 laid over what an axis shows: transparent where it is 0. shape: (height, width)."""
    grown = Image.fromarray(heat.astype(np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR)
    grown = np.asarray(grown)
    axis.imshow(grown, cmap="cividis", vmin=0, vmax=1, alpha=0.75 * grown.clip(0, 1))


def reliability(tables: dict[str, pd.DataFrame]) -> Figure:
    """Reliability diagrams side by side. tables: title -> `calibration.reliability`."""
    figure, axes = plt.subplots(1, len(tables), figsize=(3.6 * len(tables), 3.3), sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.6", linestyle="--")
        axis.vlines(
            table["confidence"], table["accuracy"], table["confidence"], color=figures.RED, linewidth=3, alpha=0.5
        )
        sizes = 12 + 400 * table["pictures"] / table["pictures"].sum()
        axis.scatter(table["confidence"], table["accuracy"], s=sizes, color=figures.BLUE, zorder=3)
        axis.set(xlim=(0, 1.06), ylim=(-0.02, 1.06), xlabel="how sure", title=title)  # room for the largest dot at 1
    axes[0, 0].set_ylabel("how often right")
    return figure


def intervals(table: pd.DataFrame, xlabel: str, whole: float) -> Figure:
    """A dot with its interval for each group. table: the columns value, low, high, pictures; whole: all pictures'."""
    figure, axis = plt.subplots(figsize=(7.5, 0.6 + 0.27 * len(table)))
    places = np.arange(len(table))
    axis.hlines(places, table["low"], table["high"], color=figures.BLUE, linewidth=2)
    axis.plot(table["value"], places, "o", color=figures.BLUE)
    axis.axvline(whole, color="0.5", linestyle="--")
    axis.set_yticks(places, [f"{name} ({count:,})" for name, count in zip(table.index, table["pictures"], strict=True)])
    axis.invert_yaxis()
    axis.set(xlabel=xlabel, xlim=(0, 1.02))
    return figure
