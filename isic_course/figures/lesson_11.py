"""What lesson 11 draws: pictures with captions, how sure each word is, a beam search as a tree, and slots as bars."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isic_course.captioning import Beginning
from isic_course.sentences import END, Vocabulary
from isic_utils import plots as figures


def captioned(paths: Sequence[str | Path | np.ndarray], captions: dict[str, Sequence[str]], columns: int = 2) -> Figure:
    """Pictures with what is said of each below it.

    paths: files or arrays [height, width, 3]; captions: who says it -> a caption for each picture.
    """
    rows = -(-len(paths) // columns)
    height = 2.8 + 0.7 * len(captions)  # inches for a picture and four lines of each caption
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, height * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for place, (axis, path) in enumerate(zip(axes.flat, paths, strict=False)):
        axis.imshow(path if isinstance(path, np.ndarray) else figures.thumbnail(path))
        said = [
            textwrap.fill(f"{who}: {texts[place]}.", 44, subsequent_indent="   ") for who, texts in captions.items()
        ]
        axis.text(0, -0.04, "\n".join(said), transform=axis.transAxes, va="top", fontsize=9)
        axis.set_anchor("N")
    return figure


def next_words(probabilities: np.ndarray, words: Sequence[str], said: Sequence[int], most: int = 3) -> Figure:
    """For each place of a caption the likeliest words there, with their probabilities as bars; the word said is blue.

    probabilities: float [places, words]; words: the vocabulary; said: the number of the word said at each place.
    """
    columns = min(len(said), 10)
    rows = -(-len(said) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.05 * columns, 2.1 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(said) :]:
        axis.axis("off")
    for axis, chances, chosen in zip(axes.flat, probabilities, said, strict=False):
        best = np.argsort(-chances, kind="stable")[:most]
        colours = [figures.BLUE if word == chosen else figures.GREY for word in best]
        axis.bar(range(most), chances[best], color=colours)
        axis.set_xticks(range(most), [words[word] for word in best], rotation=90, fontsize=8)
        axis.set_ylim(0, 1)
        axis.tick_params(axis="y", labelsize=8)
    figure.supylabel("probability", fontsize=9)
    return figure


def beam_tree(steps: Sequence[Sequence[Beginning]], width: int, vocabulary: Vocabulary, dropped: int = 2) -> Figure:
    """A beam search from left to right: a column for each word, likeliest on top, joined to what it continues.

    steps: for each word what `captions.grow` returned; width: how many of them were kept (blue; green: finished);
    dropped: how many of the others to show, in grey.
    """
    figure, axis = plt.subplots(figsize=(1.05 * (len(steps) + 1), 0.55 * (width + dropped) + 0.6))
    places = {steps[0][0].words[:1]: (0, 0)}
    axis.text(0, 0, "start", ha="center", va="center", fontsize=8, bbox={"boxstyle": "round", "facecolor": "white"})
    for column, longer in enumerate(steps, start=1):
        for rank, beginning in enumerate(longer[: width + dropped]):
            finished, kept = beginning.words[-1] == END, rank < width
            colour = (figures.GREEN if finished else figures.BLUE) if kept else figures.GREY
            if kept:
                places[beginning.words] = (column, -rank)
            left, height = places[beginning.words[:-1]]
            line = {"color": colour, "linestyle": "-" if kept else ":", "linewidth": 1.5 if kept else 0.8, "zorder": 0}
            axis.plot([left, column], [height, -rank], **line)
            text = f"{vocabulary.words[beginning.words[-1]]}\n{np.exp(beginning.log_probability):.2g}"
            box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colour}
            axis.text(column, -rank, text, ha="center", va="center", fontsize=7.5, bbox=box)
    axis.set(xlim=(-0.5, len(steps) + 0.5), ylim=(-width - dropped + 0.4, 0.6))
    axis.axis("off")
    return figure


def slot_bars(scores: pd.DataFrame, ylabel: str) -> Figure:
    """A group of bars for each slot. scores: slots as rows, who speaks as columns, values from 0 to 1."""
    figure, axis = plt.subplots(figsize=(max(6, 1.4 * len(scores)), 3))
    figures.grouped_bars(axis, scores)
    axis.set(ylabel=ylabel, ylim=(0, 1))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def found_dots(found: dict[str, pd.DataFrame]) -> Figure:
    """A panel for each decoder: how often each structure is mentioned where it is, and where it is not.

    found: title -> structures as rows, the columns found and false alarm, values from 0 to 1.
    """
    figure, axes = plt.subplots(1, len(found), figsize=(4.5 * len(found), 3.2), sharey=True, squeeze=False)
    for axis, (title, shares) in zip(axes[0], found.items(), strict=True):
        places = np.arange(len(shares))
        axis.hlines(places, shares["false alarm"], shares["found"], color="0.7", zorder=0)
        axis.plot(shares["found"], places, "o", color=figures.BLUE, label="found")
        axis.plot(shares["false alarm"], places, "x", color=figures.RED, label="false alarm")
        axis.set(title=title, xlim=(-0.03, 1.03), xlabel="share of pictures in which it is mentioned")
        axis.set_yticks(places, shares.index)
    axes[0, 0].invert_yaxis()
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
