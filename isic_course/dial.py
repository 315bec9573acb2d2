"""The imbalance dial of lesson 05: the same pictures, the same network, and one thing that changes, how skewed the
classes are.

A pool of synthetic pictures is drawn once, with a validation and a test part that hold as many pictures of each class.
From the rest a training part of 600 pictures is taken, at any ratio between the largest and the smallest class.
"""

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isic_course import synthetic as sample
from isic_course.thesis import published
from isic_utils import plots as figures, settings as profile
from isic_utils.datasets import images as pictures, tables
from isic_utils.errors import IsicError
from isic_utils.metrics import classification as metrics
from isic_utils.training import fit as training, runs

LARGEST_RATIO = 54  # NV to DF in ISIC 2019: 12 875 / 239
RATIOS = (1, 4, 15, LARGEST_RATIO)
ORDER = list(published.CLASS_COUNTS.sort_values(ascending=False).index)  # NV the largest, DF the smallest
TRAINING = 600  # pictures of all classes
VALIDATION = 12  # of each class
TEST = 100  # of each class
LARGEST_LESION = 8  # pictures of one lesion, which all go to one part
OVERLAP = 0.2  # about half of the sample's, so that what is seen comes from the skew
DRAWN = (64, 64)  # width and height of most pictures in pixels
SMALL = dict(picture_size=48, epochs=7, batch_size=16, slim=True)  # the dial's size, in every profile


def class_sizes(ratio: float) -> pd.Series:
    """How many of 600 training pictures each class gets: from the largest to the smallest class by equal factors.

    ratio: largest to smallest class, from 1 to 54. Returns whole numbers indexed by class, the largest (NV) first.
    """
    if not 1 <= ratio <= LARGEST_RATIO:
        raise IsicError(f"The ratio is {ratio}: the dial goes from 1 (balanced) to {LARGEST_RATIO} (as ISIC 2019).")
    shares = pd.Series(np.geomspace(ratio, 1, len(ORDER)), index=ORDER)
    exact = TRAINING * shares / shares.sum()
    sizes = np.floor(exact).astype(int)
    fullest = (exact - sizes).sort_values(ascending=False, kind="stable").index[: TRAINING - sizes.sum()]
    sizes[fullest] += 1  # so that they add up to 600
    return sizes


def pool(overlap: float = OVERLAP) -> pd.DataFrame:
    """The pictures that the dial takes its parts from, drawn into the cache folder unless they are there.

    overlap: 0 (plain) to 1 (hardest), see `sample.draw`. Returns the table of `tables.isic2019` with the column part:
    12 pictures of each class validate, 100 test, the others may train. No lesion is in two parts.
    """
    folder = pool_folder(overlap)
    if not (folder / sample.MARKER).exists():
        try:
            sample.draw(folder, **pool_options(overlap))
        except IsicError:
            if not (folder / sample.MARKER).exists():  # else another process has drawn it in the meantime
                raise
    return with_parts(tables.isic2019(folder))


def pool_options(overlap: float) -> dict:
    """What `sample.draw` is asked for: of each class as many pictures as any ratio needs of it."""
    counts = pd.DataFrame([class_sizes(ratio) for ratio in np.geomspace(1, LARGEST_RATIO, 50)]).max()
    counts += TEST + VALIDATION + 2 * LARGEST_LESION
    total = int(counts.sum())
    return dict(proportions=counts.to_dict(), overlap=overlap, pictures=total, size=DRAWN, pairs=0, least_pictures=0)


def pool_folder(overlap: float) -> Path:
    """Where the pool with this overlap lies; other options, or another version of the sample, have another folder."""
    key = runs.digest(f"{sample.VERSION} {pool_options(overlap)}")[:8]
    return profile.current().cache / f"dial-overlap{overlap:g}-{key}"


def with_parts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column part, dealt by lesion: the same number of each class validates and tests.

    The lesions of a class come in random order: the first ones test, the next ones validate, the others train. What a
    last lesion brings beyond 100 and 12 pictures is left out.
    """
    shuffled = table.sort_values("image").sample(frac=1, random_state=0)
    lesion = shuffled["lesion_id"].fillna(shuffled["image"])
    shuffled = shuffled.assign(lesion=lesion, size=lesion.map(lesion.value_counts()))
    lesions = shuffled.drop_duplicates("lesion").set_index("lesion")
    before = lesions.groupby("label", observed=True)["size"].cumsum() - lesions["size"]  # pictures of its class
    tests, validates = before < TEST, before < TEST + LARGEST_LESION + VALIDATION
    part = pd.Series(np.select([tests, validates], ["test", "validation"], "train"), lesions.index)
    shuffled["part"] = shuffled["lesion"].map(part)
    most = shuffled["part"].map({"train": len(table), "validation": VALIDATION, "test": TEST})
    place = shuffled.groupby(["label", "part"], observed=True).cumcount()
    return shuffled[place < most].drop(columns=["lesion", "size"]).reset_index(drop=True)


def subset(pooled: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """600 training pictures at this ratio, and the whole validation and test part. pooled: as `pool` returns it.

    A class's smaller subset is contained in its larger one, so turning the dial exchanges as few pictures as can be.
    """
    place = pooled.groupby(["label", "part"], observed=True).cumcount()
    wanted = pooled["label"].astype(str).map(class_sizes(ratio))
    return pooled[(pooled["part"] != "train") | (place < wanted)].reset_index(drop=True)


def try_ratio(ratio: float, overlap: float = OVERLAP, seed: int = 0) -> pd.Series:
    """Train the small residual net at one setting of the dial, and score it on the balanced test part.

    ratio: largest to smallest class, from 1 to 54; overlap: as in `pool`, and a new one draws a new pool first;
    seed: of the weights, the order and the augmentation.
    Returns accuracy (what a test part as skewed as the training part would give: each class's recall weighted with its
    share of the training pictures), BMA, and the recall of each class, the largest first. Its name is the ratio.
    """
    pooled = pool(overlap)
    rows = subset(pooled, ratio)
    settings = dataclasses.replace(profile.current(), data=pool_folder(overlap), **SMALL)
    photos = pictures.load(pooled, settings.picture_size, settings.cache)
    run = training.fit("residual", rows, rows["part"], photos, settings, f"dial-{ratio:g}", by="lesion", seed=seed)
    recall = pd.Series(metrics.per_class_recall(*run.true_and_predicted(), len(tables.CODES)), index=tables.CODES)
    share = class_sizes(ratio) / TRAINING
    return pd.Series({"accuracy": (recall * share).sum(), "BMA": recall.mean(), **recall[ORDER]}, name=ratio)


def curves(results: pd.DataFrame) -> Figure:
    """Accuracy and BMA against the ratio, a dot for each training and a line through the means; beside them the mean
    recall of each class, thicker for the smaller half of them.

    results: a row per training, indexed by ratio, with the columns that `try_ratio` returns.
    """
    mean = results.groupby(level=0).mean()
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True, width_ratios=[1, 1.25])
    legend = {"accuracy": "accuracy, if the test part\nis as skewed as the training part", "BMA": "BMA"}
    figures.lines(mean[list(legend)].rename(columns=legend), "largest : smallest class", "score", axis=axes[0])
    for i, name in enumerate(legend):
        axes[0].plot(results.index, results[name], figures.MARKERS[i], color=figures.COLOURS[i], alpha=0.35)
    figures.lines(mean[ORDER], "largest : smallest class", "recall", axis=axes[1])
    axes[0].axhline(1 / len(ORDER), color="0.6", linewidth=1, zorder=0)
    axes[0].annotate("BMA of guessing, 1/8", (mean.index[0], 1 / len(ORDER) + 0.015), color="0.4", fontsize=8)
    axes[1].get_legend().remove()
    for line in axes[1].lines[len(ORDER) // 2 :]:
        line.set_linewidth(2.8)
    last = mean[ORDER].iloc[-1]
    for (name, height), line in zip(heights_apart(last).items(), axes[1].lines, strict=True):
        axes[1].annotate(
            name, (mean.index[-1], last[name]), (1.06, height), textcoords=axes[1].get_yaxis_transform(),
            va="center", fontsize=9, arrowprops={"arrowstyle": "-", "color": line.get_color(), "shrinkA": 1},
        )  # fmt: skip
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xticks(mean.index, [f"{ratio:g}:1" for ratio in mean.index])
        axis.minorticks_off()
        axis.set_ylim(-0.03, 1.03)
        axis.grid(axis="y", alpha=0.3)
    return figure


def heights_apart(ends: pd.Series, gap: float = 0.06) -> pd.Series:
    """Where to write a name beside the end of each line so that none touches its neighbour: as near to it as can be.

    ends: the heights of the lines' ends, from 0 to 1; gap: the least distance between two names.
    """
    heights = ends.sort_values(kind="stable")
    for i in range(1, len(heights)):  # from the lowest upwards
        heights.iloc[i] = max(heights.iloc[i], heights.iloc[i - 1] + gap)
    heights.iloc[-1] = min(heights.iloc[-1], 1)
    for i in range(len(heights) - 2, -1, -1):  # and back, where the topmost name has left the panel
        heights.iloc[i] = min(heights.iloc[i], heights.iloc[i + 1] - gap)
    return heights[ends.index]


def recall_panels(recalls: pd.DataFrame, reference: pd.Series, xlabel: str, reference_label: str) -> Figure:
    """A panel per column: points joined over the table's index, and the reference as a dashed line.

    recalls: values from 0 to 1; reference: one for each column of it, drawn in every panel.
    """
    across = 3
    down = -(-recalls.shape[1] // across)
    figure, axes = plt.subplots(down, across, figsize=(9, 2.3 * down), sharex=True, sharey=True, squeeze=False)
    for axis, column in zip(axes.flat, recalls.columns, strict=False):
        axis.plot(recalls.index, recalls[column], marker="o", label="balanced")
        axis.axhline(reference[column], color=figures.RED, linestyle="--", label=reference_label)
        axis.set(title=column, ylim=(-0.03, 1.03))
        axis.set_xticks(recalls.index, [f"{number:g}" for number in recalls.index])
        axis.grid(axis="y", alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel(xlabel)
    figure.supylabel("recall", fontsize=10)
    for axis in axes.flat[recalls.shape[1] :]:
        axis.axis("off")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
