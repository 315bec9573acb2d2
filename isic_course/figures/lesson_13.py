"""What lesson 13 draws: images with captions, the probabilities of words, a beam search as a tree, slots as bars."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isic_course.captioning import Hypothesis
from isic_course.figures.common import grouped_bars
from isic_course.sentences import END, Vocabulary
from isic_utils import plots


def captioned(images: plots.Images, captions: dict[str, Sequence[str]], columns: int = 2) -> Figure:
    """Images with their captions below.

    images: files or arrays [height, width, 3]; captions: whose they are -> a caption for each image.
    """
    figure = plots.image_grid(images, [""] * len(images), columns, side=3.6)
    tallest = max(np.divide(*axis.images[0].get_array().shape[:2]) for axis in figure.axes[: len(images)])
    figure.set_figheight(len(figure.axes) / columns * (3.6 * tallest + 0.2 + 0.7 * len(captions)))
    for place, axis in enumerate(figure.axes[: len(images)]):
        lines = [
            textwrap.fill(f"{who}: {texts[place]}.", 44, subsequent_indent="   ") for who, texts in captions.items()
        ]
        axis.text(0, -0.04, "\n".join(lines), transform=axis.transAxes, va="top", fontsize=9)
        axis.set_anchor("N")
    return figure


def next_words(probabilities: np.ndarray, words: Sequence[str], predicted: Sequence[int], most: int = 3) -> Figure:
    """For each position of a caption the most probable words, with their probabilities as bars; the predicted one is
    blue.

    probabilities: float [places, words]; words: the vocabulary; predicted: the number of the word at each position.
    """
    columns = min(len(predicted), 10)
    rows = -(-len(predicted) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.05 * columns, 2.1 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(predicted) :]:
        axis.axis("off")
    for axis, chances, chosen in zip(axes.flat, probabilities, predicted, strict=False):
        best = np.argsort(-chances, kind="stable")[:most]
        axis.bar(range(most), chances[best], color=[plots.BLUE if word == chosen else plots.GREY for word in best])
        axis.set_xticks(range(most), [words[word] for word in best], rotation=90, fontsize=8)
        axis.set_ylim(0, 1)
    figure.supylabel("probability", fontsize=9)
    return figure


def beam_tree(steps: Sequence[Sequence[Hypothesis]], width: int, vocabulary: Vocabulary, dropped: int = 2) -> Figure:
    """A beam search from left to right: a column for each word, the most probable on top, joined to what it continues.

    steps: for each word what `captioning.expand` returned; width: how many of them were kept (blue; green: finished);
    dropped: how many of the others to show, in grey.
    """
    figure, axis = plt.subplots(figsize=(1.05 * (len(steps) + 1), 0.55 * (width + dropped) + 0.6))
    places = {steps[0][0].words[:1]: (0, 0)}
    axis.text(0, 0, "start", ha="center", va="center", fontsize=8, bbox={"boxstyle": "round", "facecolor": "white"})
    for column, longer in enumerate(steps, start=1):
        for rank, hypothesis in enumerate(longer[: width + dropped]):
            finished, kept = hypothesis.words[-1] == END, rank < width
            colour = (plots.GREEN if finished else plots.BLUE) if kept else plots.GREY
            if kept:
                places[hypothesis.words] = (column, -rank)
            left, height = places[hypothesis.words[:-1]]
            line = {"color": colour, "linestyle": "-" if kept else ":", "linewidth": 1.5 if kept else 0.8, "zorder": 0}
            axis.plot([left, column], [height, -rank], **line)
            text = f"{vocabulary.words[hypothesis.words[-1]]}\n{np.exp(hypothesis.log_probability):.2g}"
            box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colour}
            axis.text(column, -rank, text, ha="center", va="center", fontsize=7.5, bbox=box)
    axis.set(xlim=(-0.5, len(steps) + 0.5), ylim=(-width - dropped + 0.4, 0.6))
    axis.axis("off")
    return figure


def slot_bars(scores: pd.DataFrame, ylabel: str) -> Figure:
    """A group of bars for each slot. scores: slots as rows, whose sentences as columns, values from 0 to 1."""
    figure, axis = plt.subplots(figsize=(max(6, 1.4 * len(scores)), 3))
    grouped_bars(axis, scores)
    axis.set(ylabel=ylabel, ylim=(0, 1))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def dots(panels: dict[str, pd.DataFrame], xlabel: str) -> Figure:
    """A panel for each table and a line for each of its rows, from the lowest to the highest value, with a marker for
    each column; the columns low and high are ends of the line only.

    panels: title -> a table; all have the same rows, and two columns with markers at most.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.2), sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        places = np.arange(len(table))
        axis.axvline(0, color="0.7", linestyle=":")
        axis.hlines(places, table.min(axis=1), table.max(axis=1), color="0.6", zorder=0)
        marked = table.columns.drop(["low", "high"], errors="ignore")
        for column, marker, colour in zip(marked, "ox", (plots.BLUE, plots.RED), strict=False):
            axis.plot(table[column], places, marker, color=colour, label=column)
        axis.set(title=title, xlabel=xlabel)
        axis.set_yticks(places, table.index)
    axes[0, 0].invert_yaxis()
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
