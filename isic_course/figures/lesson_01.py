"""What lesson 01 draws: images of each class, tables of proportions, and sketches of skin in cross-section.

Each function returns a matplotlib Figure for `plots.show`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import ImageOps

from isic_course.figures.common import grouped_bars
from isic_utils.archive import MALIGNANT
from isic_utils.datasets.images import read_image
from isic_utils.plots import SKY


def class_images(table: pd.DataFrame, each: int = 8, seed: int = 0) -> Figure:
    """A row of randomly chosen images for each class. table: the columns path and label."""
    codes = [code for code in table["label"].cat.categories if (table["label"] == code).any()]
    figure, axes = plt.subplots(len(codes), each, figsize=(each * 1.25, len(codes) * 0.98), squeeze=False)
    for row, code in zip(axes, codes, strict=True):
        paths = table.loc[table["label"] == code, "path"]
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, path in zip(row, paths.sample(min(each, len(paths)), random_state=seed), strict=False):
            axis.imshow(ImageOps.fit(read_image(path, at_least=160), (160, 120)))
        row[0].set_ylabel(code + ("*" if code in MALIGNANT else ""), rotation=0, ha="right", va="center", fontsize=11)
    return figure


def class_counts(counts: pd.DataFrame, ylabel: str = "images", xlabel: str = "") -> Figure:
    """Bars per class, one group per column. counts: classes as rows, e.g. the columns published and here."""
    figure, axis = plt.subplots(figsize=(8, 3.2))
    grouped_bars(axis, counts)
    for bars, column in zip(axis.containers, counts.columns, strict=True):
        axis.bar_label(bars, fmt="{:.1%}" if counts[column].max() <= 1 else "{:,.0f}", fontsize=7)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if len(counts.columns) > 1:
        axis.legend()
    return figure


def share_maps(shares: dict[str, pd.DataFrame]) -> Figure:
    """Tables of shares side by side, written in per cent. shares: title -> classes as rows, values from 0 to 1."""
    widths = [table.shape[1] for table in shares.values()]
    size = (2.5 + 0.72 * sum(widths), 3.6)
    figure, axes = plt.subplots(1, len(shares), figsize=size, width_ratios=widths, squeeze=False)
    for axis, (title, table) in zip(axes.flat, shares.items(), strict=True):
        sns.heatmap(100 * table, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, cbar=False, ax=axis)
        axis.set(title=title, xlabel="", ylabel="")
        axis.set_xticks(axis.get_xticks(), [str(name).replace(" ", "\n", 1) for name in table.columns], rotation=0)
        axis.tick_params(axis="y", rotation=0)
        axis.tick_params(axis="x", labelsize=8)
    figure.colorbar(axes.flat[-1].collections[0], ax=axes, label="per cent", pad=0.01)
    return figure


def boxes(table: pd.DataFrame, column: str, label: str) -> Figure:
    """A box for each class: the median and middle half of a column's values. table: the columns label and column."""
    values = {code: rows[column].dropna() for code, rows in table.groupby("label", observed=True)}
    figure, axis = plt.subplots(figsize=(8, 3.2))
    axis.boxplot(
        list(values.values()), tick_labels=list(values), patch_artist=True, widths=0.6,
        boxprops={"facecolor": SKY}, medianprops={"color": "black", "linewidth": 2}, flierprops={"markersize": 3},
    )  # fmt: skip
    axis.set_ylabel(label)
    axis.grid(axis="y", alpha=0.3)
    return figure


def cross_section(axis: plt.Axes) -> None:
    """Skin in cross-section: horny layer, epidermis, and dermis with a blood vessel; 10 wide and 5 deep."""
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
    nests = np.repeat([3.2, 4.4, 5.6, 6.8], 12) + rng.normal(0, 0.15, 48)
    places = {
        "mole: orderly nests": (nests, rng.normal(-1.7, 0.15, 48)),
        "early melanoma: within the epidermis": (rng.uniform(2, 8, 80), rng.uniform(-1.3, -0.5, 80)),
        "late melanoma: down to the vessels": (rng.normal(5, 1.2, 260), rng.uniform(-4.4, -0.5, 260)),
    }
    for axis, (title, (x, y)) in zip(axes, places.items(), strict=True):
        cross_section(axis)
        axis.plot(x, y, "o", markersize=4, color="#4A2C1A", markeredgecolor="white", markeredgewidth=0.3)
        axis.set_ylim(-5, 0.2)
        axis.set_title(title, fontsize=10)
    for depth, name in ((-0.2, "horny layer"), (-0.9, "epidermis"), (-3, "dermis"), (-3.9, "blood vessel")):
        axes[0].text(0.1, depth, name, va="center", fontsize=7)
    return figure


def sketch_dermatoscope() -> Figure:
    """A sketch, not to scale: skin seen with the naked eye and a dermatoscope, and the colour of melanin by depth."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    titles = ("naked eye: glare hides the layers", "dermatoscope: layers are visible", "colour of melanin by depth")
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
        "black": (-0.2, "#1B1B1B"), "brown": (-1.0, "#7B4A24"), "grey": (-2.3, "#77777F"), "blue": (-3.4, "#50688F"),
    }  # fmt: skip
    for name, (depth, colour) in depths.items():
        axes[2].plot([3, 3.7, 4.4], [depth] * 3, "o", markersize=11, color=colour)
        axes[2].text(5.4, depth, name, va="center", fontsize=9)
    return figure
