"""What a model is judged by, computed from the predictions for each picture and never from averages over batches."""

import warnings
from collections.abc import Mapping

import numpy as np


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """The share of pictures whose class is right, from 0 to 1. true, predicted: integer arrays [n]."""
    true, predicted = class_numbers(true, predicted)
    return float(np.mean(true == predicted))


def balanced_accuracy(true: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """BMA, the balanced multi-class accuracy: the mean of the recalls of the classes, from 0 to 1.

    BMA = (1/C) Σ_c correct_c / n_c. This is what thesis §4.2.1 means; its Eq. 4.2.1 is printed upside down and without
    1/C.

    true, predicted: integer arrays [n] with values from 0 to classes - 1. A class that no picture in `true` has cannot
    be judged: the mean is over the others, and a warning says so.
    """
    recall = per_class_recall(true, predicted, classes)
    absent = np.flatnonzero(np.isnan(recall))
    if len(absent):
        warnings.warn(
            f"No picture of class {', '.join(map(str, absent))} is in this part: BMA is the mean over the other "
            f"{classes - len(absent)} classes.",
            stacklevel=2,
        )
    return float(np.nanmean(recall))


def per_class_recall(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """For each class the share of its pictures that are recognised: float array [classes], NaN where a class has no
    picture."""
    confusion = confusion_matrix(true, predicted, classes)
    pictures = confusion.sum(axis=1)
    return np.divide(confusion.diagonal(), pictures, out=np.full(classes, np.nan), where=pictures > 0)


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many pictures of class i (row) were given class j (column): integer array [classes, classes].

    Raises ValueError if an array is empty, the lengths differ, or a value is not from 0 to classes - 1.
    """
    true, predicted = class_numbers(true, predicted)
    for name, values in (("true", true), ("predicted", predicted)):
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(
                f"`{name}` has classes from {values.min()} to {values.max()}; they must be from 0 to {classes - 1}."
            )
    confusion = np.zeros((classes, classes), dtype=int)
    np.add.at(confusion, (true, predicted), 1)
    return confusion


def overlap(true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """The areas of each pair of masks in pixels, from which every score of a mask can be computed.

    true, predicted: boolean arrays [n, height, width]. Returns integer arrays [n] by name: pixels (of the picture),
    true, predicted, and both (lesion in both masks). Raises ValueError for other arrays.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.dtype != bool or predicted.dtype != bool or true.shape != predicted.shape or true.ndim != 3:
        raise ValueError(
            f"Masks must be boolean arrays [n, height, width] of one shape, not {true.dtype} {true.shape} and "
            f"{predicted.dtype} {predicted.shape}: compare with a threshold first, e.g. mask > 128."
        )
    return {
        "pixels": np.full(len(true), true.shape[1] * true.shape[2]),
        "true": true.sum(axis=(1, 2)),
        "predicted": predicted.sum(axis=(1, 2)),
        "both": (true & predicted).sum(axis=(1, 2)),
    }


def mask_scores(areas: Mapping[str, np.ndarray], threshold: float = 0.65) -> dict[str, np.ndarray]:
    """Every score of each pair of masks from its areas, as ISIC 2018 Task 1 is scored (arXiv:1902.03368).

    areas: as `overlap` returns them, or a table with these columns. Returns float arrays [n] from 0 to 1 by name:
    jaccard |A ∩ B| / |A ∪ B| (thesis §4.2.2); thresholded_jaccard, which is 0 where it is below the threshold; dice
    2 |A ∩ B| / (|A| + |B|); sensitivity, the share of the lesion that was found; specificity, the share of the skin
    that was left alone. Where nothing is to be found and nothing was, a score is 1, as in the official scorer.
    """
    pixels, true, predicted, both = (np.asarray(areas[name]) for name in ("pixels", "true", "predicted", "both"))
    either = true + predicted - both
    jaccard = share(both, either)
    return {
        "jaccard": jaccard,
        "thresholded_jaccard": np.where(jaccard < threshold, 0.0, jaccard),
        "dice": share(2 * both, true + predicted),
        "sensitivity": share(both, true),
        "specificity": share(pixels - either, pixels - true),
    }


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 1 where the whole is 0. Integer arrays [n]; returns a float array [n]."""
    return np.divide(part, whole, out=np.ones(len(whole)), where=whole > 0)


def jaccard(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Jaccard index |A ∩ B| / |A ∪ B| of each pair of masks (thesis §4.2.2), from 0 to 1; two empty masks count 1.

    true, predicted: boolean arrays [n, height, width]. Returns a float array [n].
    """
    return mask_scores(overlap(true, predicted))["jaccard"]


def thresholded_jaccard(true: np.ndarray, predicted: np.ndarray, threshold: float = 0.65) -> np.ndarray:
    """As `jaccard`, but a value below the threshold counts 0: the score of ISIC 2018 Task 1 (arXiv:1902.03368)."""
    return mask_scores(overlap(true, predicted), threshold)["thresholded_jaccard"]


def class_numbers(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, which must be whole numbers [n] of one length and not empty."""
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) == 0:
        raise ValueError(
            f"`true` is of shape {true.shape} and `predicted` of {predicted.shape}: both must be [n], n at least 1."
        )
    for name, values in (("true", true), ("predicted", predicted)):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"`{name}` holds {values.dtype} and no class numbers: take the argmax of probabilities first."
            )
    return true, predicted
