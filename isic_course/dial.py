"""The imbalance dial of lesson 05: the same images and the same network; only the imbalance between the classes
changes.

A pool of synthetic images is drawn once, with a validation and a test set that hold as many images of each class. From
the rest a training set of 600 images is taken, at any ratio between the largest and the smallest class.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from isic_course import synthetic
from isic_course.thesis import published
from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, read_isic2019
from isic_utils.errors import IsicError
from isic_utils.metrics import recall_per_class
from isic_utils.models import model_info
from isic_utils.settings import load_settings
from isic_utils.training import Run, TrainConfig, fit_all

LARGEST_RATIO = 54  # NV to DF in ISIC 2019: 12 875 / 239
RATIOS = (1, 4, 15, LARGEST_RATIO)
ORDER = list(published.CLASS_COUNTS.sort_values(ascending=False).index)  # NV the largest, DF the smallest
TRAINING = 600  # images of all classes
VALIDATION = 12  # of each class
TEST = 100  # of each class
LARGEST_LESION = 8  # images of one lesion, which all go to one set
OVERLAP = 0.2  # less than the sample's, so that what changes comes from the imbalance
DRAWN_SIZE = (64, 64)  # width and height of most images in pixels
IMAGE_SIZE, EPOCHS, BATCH_SIZE = 32, 7, 16  # of the trainings, in every profile


def class_sizes(ratio: float) -> pd.Series:
    """How many of 600 training images each class gets: from the largest to the smallest class by equal factors.

    ratio: largest to smallest class, from 1 to 54. Returns whole numbers indexed by class, the largest (NV) first.
    """
    if not 1 <= ratio <= LARGEST_RATIO:
        raise IsicError(f"The ratio is {ratio}: the dial goes from 1 (balanced) to {LARGEST_RATIO} (as ISIC 2019).")
    priors = pd.Series(np.geomspace(ratio, 1, len(ORDER)), index=ORDER)
    exact = TRAINING * priors / priors.sum()
    sizes = np.floor(exact).astype(int)
    fullest = (exact - sizes).sort_values(ascending=False, kind="stable").index[: TRAINING - sizes.sum()]
    sizes[fullest] += 1  # so that they add up to 600
    return sizes


def pool(overlap: float = OVERLAP) -> pd.DataFrame:
    """The images that the dial takes its sets from, drawn into the cache folder unless they are there.

    overlap: 0 (plain) to 1 (hardest), see `synthetic.Options`. Returns the table of `read_isic2019` with the column
    split: 12 images of each class are for validation, 100 for test, the others for training. No lesion is in two sets.
    """
    folder = load_settings().cache / f"dial-overlap{overlap:g}"
    return with_split(read_isic2019(synthetic.ensure(folder, **pool_options(overlap))))


def pool_options(overlap: float) -> dict:
    """The options for `synthetic.ensure`: of each class as many images as any ratio needs."""
    counts = pd.DataFrame([class_sizes(ratio) for ratio in np.geomspace(1, LARGEST_RATIO, 50)]).max()
    counts += TEST + VALIDATION + 2 * LARGEST_LESION
    total = int(counts.sum())
    drawn = dict(proportions=counts.to_dict(), overlap=overlap, images=total, size=DRAWN_SIZE, pairs=0, least_images=0)
    return drawn | {"sources": ("HAM",)}  # one clinic: else the classes would differ in their cameras, too


def with_split(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column split, grouped by lesion: the validation and the test set hold as many images of each
    class.

    The lesions of a class come in random order: the first ones are for test, the next ones for validation, the others
    for training. What a last lesion brings beyond 100 and 12 images is left out.
    """
    shuffled = table.sort_values("image").sample(frac=1, random_state=0)
    lesion = shuffled["lesion_id"].fillna(shuffled["image"])
    shuffled = shuffled.assign(lesion=lesion, size=lesion.map(lesion.value_counts()))
    lesions = shuffled.drop_duplicates("lesion").set_index("lesion")
    before = lesions.groupby("label", observed=True)["size"].cumsum() - lesions["size"]  # images of its class
    tests, validates = before < TEST, before < TEST + LARGEST_LESION + VALIDATION
    split = pd.Series(np.select([tests, validates], ["test", "validation"], "train"), lesions.index)
    shuffled["split"] = shuffled["lesion"].map(split)
    most = shuffled["split"].map({"train": len(table), "validation": VALIDATION, "test": TEST})
    place = shuffled.groupby(["label", "split"], observed=True).cumcount()
    return shuffled[place < most].drop(columns=["lesion", "size"]).reset_index(drop=True)


def subset(pooled: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """600 training images at this ratio, and the whole validation and test set. pooled: as `pool` returns it.

    A class's smaller subset is contained in its larger one, so turning the dial exchanges as few images as can be.
    """
    place = pooled.groupby(["label", "split"], observed=True).cumcount()
    wanted = pooled["label"].astype(str).map(class_sizes(ratio))
    return pooled[(pooled["split"] != "train") | (place < wanted)].reset_index(drop=True)


def train_at(ratios: Sequence[float], overlap: float = OVERLAP, seeds: Sequence[int] = (0,)) -> list[tuple[float, Run]]:
    """Train the narrow residual net at some settings of the dial. Returns a ratio and a run for each ratio and seed.

    ratios: largest to smallest class, from 1 to 54; overlap: as in `pool`, and a new one draws a new pool first;
    seeds: of the weights, the order and the augmentation.
    """
    pooled = pool(overlap)
    store = ImageStore(pooled, IMAGE_SIZE, load_settings().cache)
    size = dict(width=model_info("residual").narrow_width, epochs=EPOCHS, batch_size=BATCH_SIZE)
    jobs, settings = [], list(itertools.product(ratios, seeds))
    for ratio, seed in settings:
        table = subset(pooled, ratio)
        jobs.append((TrainConfig("residual", protocol=f"dial-{ratio:g}", seed=seed, **size), table, table["split"]))
    return [(ratio, run) for (ratio, _), run in zip(settings, fit_all(jobs, store), strict=True)]


def try_ratios(ratios: Sequence[float], overlap: float = OVERLAP, seeds: Sequence[int] = (0,)) -> pd.DataFrame:
    """Train at some settings of the dial, and score on the balanced test set. ratios, overlap, seeds: as in `train_at`.

    A row for each ratio and seed, indexed by ratio. Columns: accuracy (what a test set as imbalanced as the training
    set would give: each class's recall weighted with its prior in training), BMA, and the recall of each class, the
    largest first.
    """
    rows = []
    for ratio, run in train_at(ratios, overlap, seeds):
        predictions = run.predictions("test")
        rows.append(row_of(ratio, recall_per_class(predictions["label"], predictions["predicted"], CODES)))
    return pd.DataFrame(rows)


def row_of(ratio: float, recall: pd.Series) -> pd.Series:
    """A row of `try_ratios`. recall: of each class, by its code."""
    accuracy = (recall * class_sizes(ratio) / TRAINING).sum()
    return pd.Series({"accuracy": accuracy, "BMA": recall.mean(), **recall[ORDER]}, name=ratio)
