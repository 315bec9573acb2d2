"""What lesson 10 draws: differences between groups and effects of changed images, with intervals; heat maps."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isic_utils import plots


def differences(tables: dict[str, pd.DataFrame]) -> Figure:
    """Each group's difference from the rest, side by side for each rate. tables: rate -> a table with a row per group
    and the columns all, same classes, low, high (the interval of the second), with the same groups."""
    size = (10, 0.9 + 0.27 * len(next(iter(tables.values()))))
    figure, axes = plt.subplots(1, len(tables), figsize=size, sharey=True)
    for axis, (rate, table) in zip(axes, tables.items(), strict=True):
        places = np.arange(len(table))
        axis.axvline(0, color="0.5", linestyle="--")
        axis.hlines(places, table["low"], table["high"], color=plots.BLUE, linewidth=2)
        axis.plot(table["same classes"], places, "o", color=plots.BLUE, label="same classes, with interval")
        axis.plot(table["all"], places, "D", color=plots.RED, fillstyle="none", label="all classes")
        axis.set(xlabel=f"{rate}: group minus rest")
    axes[0].set_yticks(places, table.index)
    axes[0].invert_yaxis()
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def effects(tables: dict[str, pd.DataFrame]) -> Figure:
    """What changed images do to networks, side by side. tables: network -> columns change, low, high, a row for each
    change of the image and class, of which the first is the name of a marker."""
    size = (1 + 0.9 * sum(len(table.index.unique(1)) for table in tables.values()), 3.2)
    figure, axes = plt.subplots(1, len(tables), figsize=size, sharey=True, squeeze=False)
    for axis, (network, table) in zip(axes[0], tables.items(), strict=True):
        names, classes = table.index.unique(0), table.index.unique(1)
        axis.axhline(0, color="0.5", linestyle="--")
        for i, name in enumerate(names):
            some, x = table.loc[name], np.arange(len(classes)) + 0.15 * (i - (len(names) - 1) / 2)
            axis.vlines(x, some["low"], some["high"], color=plots.COLOURS[i], linewidth=2)
            axis.plot(x, some["change"], plots.MARKERS[i], color=plots.COLOURS[i], label=name)
        axis.set_xticks(range(len(classes)), classes)
        axis.set_title(network, fontsize=10)
    axes[0, 0].set_ylabel("change of the log-odds")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def heat_maps(images: list[np.ndarray], maps: list[np.ndarray], titles: list[str], columns: int) -> Figure:
    """Images in rows with a heat map over each, and what the colours mean. images: uint8 [height, width, 3]; maps:
    floats [height, width] from 0 to 1, as `gradcam.grad_cam` returns them; zeros leave an image as it is."""
    figure = plots.image_grid(images, titles, columns, side=1.8)
    for axis, image, heat in zip(figure.axes, images, maps, strict=True):
        plots.heat_over(axis, heat, image.shape[:2])
    figure.colorbar(plt.cm.ScalarMappable(cmap="cividis"), ax=figure.axes, label="relative activation (largest: 1)")
    return figure
