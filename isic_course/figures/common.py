"""Elements of figures that several lessons share."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from isic_utils.plots import COLOURS, HATCHES


def grouped_bars(axis: plt.Axes, values: pd.DataFrame) -> None:
    """A group of bars for each row of a table, with a colour and a hatch for each column."""
    places, width = np.arange(len(values)), 0.8 / values.shape[1]
    for i, column in enumerate(values):
        aside = (i - (values.shape[1] - 1) / 2) * width
        style = {"color": COLOURS[i], "hatch": HATCHES[i], "edgecolor": "white"}
        axis.bar(places + aside, values[column], width, label=column, **style)
    axis.set_xticks(places, values.index)


def name_ticks(axis: plt.Axes, names: Sequence[str], size: float = 9) -> None:
    """Label the positions 0, 1, 2, … of an axis so that no label touches its neighbour: on one line if there is room,
    otherwise broken at spaces and hyphens, otherwise slanted. size: font size in points.

    Call it last: a legend or title added later would leave less room.
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
