"""How certain a score is: confidence intervals for accuracy and BMA, and tests of two models on the same images.

Lesson 06 writes the normal interval, the bootstrap and McNemar's test out by hand; these are the same, for any lesson.
An interval is a tuple (low, high), at the 95 % level unless `level` says otherwise. Labels are codes or integers [n].
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats


def normal_interval(correct: int, images: int, level: float = 0.95) -> tuple[float, float]:
    """p ± z · sqrt(p (1 - p) / n), where p = correct / images: what most papers print, the thesis perhaps too (§5.4).

    It takes images for independent, may leave the range from 0 to 1, and has no width where none or all are correct.
    Raises ValueError if `correct` is not a whole number from 0 to `images`, or `images` is 0.
    """
    p = proportion(correct, images)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(p * (1 - p) / images)
    return float(p - half), float(p + half)


def wilson_interval(correct: int, images: int, level: float = 0.95) -> tuple[float, float]:
    """All true proportions p from which the observed one is at most z · sqrt(p (1 - p) / n) away; within 0 to 1.

    E. B. Wilson 1927, doi:10.1080/01621459.1927.10502953; computed by scipy. Takes images for independent.
    Raises ValueError as `normal_interval`.
    """
    proportion(correct, images)
    interval = stats.binomtest(int(correct), int(images)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def proportion(correct: int, images: int) -> float:
    """correct / images, checked: whole numbers, 0 <= correct <= images, and at least one image."""
    if int(correct) != correct or int(images) != images or not 0 <= correct <= images or images < 1:
        raise ValueError(
            f"{correct} of {images} images is no proportion: both are whole numbers, 0 <= correct <= images."
        )
    return correct / images


def bootstrap(
    true: ArrayLike, predicted: ArrayLike, lesions: ArrayLike, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy and BMA of `draws` test sets, drawn with replacement from the one there is: whole lesions, not images.

    Images of one lesion are often right or wrong together, so the lesion is the unit to draw. B. Efron 1979,
    doi:10.1214/aos/1176344552; drawing whole groups is called the **cluster bootstrap**.

    true, predicted: labels [n]; lesions: the lesion of each image [n], all different to draw single images. Returns the
    columns accuracy and bma with a row per draw; a class that a draw does not contain is left out of that draw's BMA.
    The same seed gives the same draws. Raises ValueError if the lengths differ or an image has no lesion.
    """
    return scores_of_draws(true, [predicted], lesions, draws, seed)[0]


def paired_bootstrap(
    true: ArrayLike, first: ArrayLike, second: ArrayLike, lesions: ArrayLike, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """By how much the first model's accuracy and BMA exceed the second's, in `draws` test sets that both predict.

    first, second: the predictions of two models for the same images; all else as in `bootstrap`. Both are scored on the
    same draws, so what makes a draw easy or hard for both cancels. Returns the differences, first minus second.
    """
    scores = scores_of_draws(true, [first, second], lesions, draws, seed)
    return scores[0] - scores[1]


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The middle 95 % of bootstrapped values: from their 2.5th to their 97.5th percentile."""
    low, high = np.quantile(np.asarray(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def scores_of_draws(
    true: ArrayLike, predictions: list[ArrayLike], lesions: ArrayLike, draws: int, seed: int
) -> list[pd.DataFrame]:
    """Accuracy and BMA in each draw of lesions: a table for each model, all on the same draws.

    How often each of m lesions comes up in m draws with replacement is multinomial. So each lesion's images and correct
    predictions are counted by class once, and one matrix product gives the counts of all draws.
    """
    true, lesions, *predictions = same_length(true, lesions, *predictions)
    if pd.isna(lesions).any():
        raise ValueError("An image has no lesion: give it a name of its own, e.g. lesions.fillna(table['image']).")
    lesion, lesion_names = pd.factorize(lesions)
    label, classes = pd.factorize(true)
    count = len(lesion_names)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)  # [draws, lesions]

    def counts_of_draws(counted: np.ndarray) -> np.ndarray:  # counted: boolean [n]; returns integers [draws, classes]
        of_lesion = np.zeros((count, len(classes)), dtype=int)
        np.add.at(of_lesion, (lesion, label), counted)
        return times @ of_lesion

    images = counts_of_draws(np.ones(len(true), dtype=bool))
    tables = []
    for predicted in predictions:
        correct = counts_of_draws(true == predicted)
        recall = np.divide(correct, images, out=np.full(images.shape, np.nan), where=images > 0)
        accuracy = correct.sum(axis=1) / images.sum(axis=1)
        tables.append(pd.DataFrame({"accuracy": accuracy, "bma": np.nanmean(recall, axis=1)}))
    return tables


def mcnemar(true: ArrayLike, first: ArrayLike, second: ArrayLike) -> dict[str, float]:
    """McNemar's exact test of whether two models are right equally often on the same images.

    Only images that one model gets right and the other wrong carry information; if the models were equally good, each
    such image would be the first's or the second's like a coin toss. Q. McNemar 1947, doi:10.1007/BF02295996;
    recommended for two classifiers on one test set by T. Dietterich 1998, doi:10.1162/089976698300017197. Takes images
    for independent.

    Returns only_first and only_second, the images that only one of them gets right, and p, the two-sided p-value.
    """
    true, first, second = same_length(true, first, second)
    only_first = int(np.sum((first == true) & (second != true)))
    only_second = int(np.sum((first != true) & (second == true)))
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return {"only_first": only_first, "only_second": only_second, "p": p}


def same_length(*columns: ArrayLike) -> list[np.ndarray]:
    """All as arrays [n], n at least 1. Raises ValueError if their shapes are others."""
    arrays = [np.asarray(column) for column in columns]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or shapes[0][0] == 0:
        raise ValueError(
            f"Labels and lesions of shapes {shapes} do not fit: each must be [n], with one n of at least 1."
        )
    return arrays
