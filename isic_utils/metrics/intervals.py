"""How certain a score is: confidence intervals for accuracy and BMA, tests of two models on the same images, and of two
methods over several splits.

Lesson 06 writes most of these out by hand; they are the same, for any lesson.
An interval is a tuple (low, high), at the 95 % level.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.utils import check_consistent_length

Labels = ArrayLike  # class codes or integers, or the names of lesions [n]


def normal_interval(correct: int, images: int) -> tuple[float, float]:
    """p ± z · sqrt(p (1 - p) / n), where p = correct / images: what most papers print, the thesis perhaps too (§5.4).

    It takes images for independent, may leave the range from 0 to 1, and has no width where none or all are correct.
    """
    p = correct / images
    half = stats.norm.ppf(0.975) * np.sqrt(p * (1 - p) / images)
    return float(p - half), float(p + half)


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """All true proportions p from which the observed one is at most z · sqrt(p (1 - p) / n) away; within 0 to 1.

    E. B. Wilson 1927, doi:10.1080/01621459.1927.10502953; computed by scipy. Takes images for independent.
    Raises ValueError if `correct` is no whole number from 0 to `images`, or `images` is 0.
    """
    if correct not in range(images + 1) or images == 0:
        raise ValueError(f"{correct} of {images} images is no proportion.")
    return tuple(map(float, stats.binomtest(correct, images).proportion_ci(method="wilson")))


def bootstrap(
    true: Labels, predicted: Labels, lesions: Labels, draws: int = 2000, seed: int = 0, strata: Labels | None = None
) -> pd.DataFrame:
    """Accuracy and BMA of `draws` test sets, drawn with replacement from the one there is: whole lesions, not images.

    Images of one lesion are often right or wrong together, so the lesion is the unit to draw. B. Efron 1979,
    doi:10.1214/aos/1176344552; drawing whole groups is called the **cluster bootstrap**.

    true, predicted: labels [n]; lesions: the lesion of each image [n], all different to draw single images; strata: as
    in `draw_lesions`. Returns the columns accuracy and bma with a row per draw; a class that a draw does not contain is
    left out of that draw's BMA. Rare classes are often recognised badly, so without them the BMA is too high: with the
    classes as strata (``strata=true``) each draw contains all of them.
    The same seed gives the same draws. Raises ValueError if the lengths differ or an image has no lesion.

    The percentile interval of a score that rests on few lesions is too narrow: lesson 06 measures by how much.
    """
    return scores_of_draws(true, [predicted], lesions, draws, seed, strata)[0]


def bootstrap_mean(values: ArrayLike, lesions: Labels, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """The mean over the images of any number, in `draws` test sets drawn as in `bootstrap`: float [draws].

    values: numbers or booleans [n], e.g. by how much an image's prediction changes. Raises ValueError as `bootstrap`.
    """
    values, lesions = same_length(values, lesions)
    lesion, times = numbered(lesions)[0], draw_lesions(lesions, None, draws, seed)
    return times @ np.bincount(lesion, values) / (times @ np.bincount(lesion))


def draw_lesions(lesions: Labels, strata: Labels | None = None, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each of m lesions comes up in each of `draws` test sets: integers [draws, m], in the order of
    `pd.unique(lesions)`.

    How often each of m lesions comes up in m draws with replacement is multinomial. strata: of each image [n], e.g. its
    class, None: all images are one. Lesions are drawn within each stratum, so every draw has as many of each as there
    are; a lesion with images in several strata is drawn among those with images in the same ones.
    """
    lesions, strata = same_length(lesions, np.zeros(len(lesions)) if strata is None else strata)
    lesion, names = numbered(lesions)
    stratum, kinds = pd.factorize(strata, use_na_sentinel=False)
    has = np.zeros((len(names), len(kinds)), dtype=bool)
    has[lesion, stratum] = True
    kind = np.unique(has, axis=0, return_inverse=True)[1].reshape(-1)
    times, chance = np.zeros((draws, len(names)), dtype=int), np.random.default_rng(seed)
    for members in (np.flatnonzero(kind == number) for number in range(kind.max() + 1)):
        times[:, members] = chance.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return times


def paired_bootstrap(
    true: Labels, first: Labels, second: Labels, lesions: Labels, draws: int = 2000, seed: int = 0,
    strata: Labels | None = None,
) -> pd.DataFrame:  # fmt: skip
    """By how much the first model's accuracy and BMA exceed the second's, in `draws` test sets that both predict.

    first, second: the predictions of two models for the same images; all else as in `bootstrap`. Both are scored on the
    same draws, so what makes a draw easy or hard for both cancels. Returns the differences, first minus second.
    """
    scores = scores_of_draws(true, [first, second], lesions, draws, seed, strata)
    return scores[0] - scores[1]


def percentile_interval(values: ArrayLike) -> tuple[float, float]:
    """The middle 95 % of bootstrapped values: from their 2.5th to their 97.5th percentile."""
    return tuple(np.quantile(np.asarray(values), [0.025, 0.975]).tolist())


def scores_of_draws(
    true: Labels, predictions: list[Labels], lesions: Labels, draws: int, seed: int, strata: Labels | None = None
) -> list[pd.DataFrame]:
    """Accuracy and BMA in each draw of lesions: a table for each model, all on the same draws.

    Each lesion's images and correct predictions are counted by class once, and one matrix product gives the counts of
    all draws.
    """
    true, lesions, *predictions = same_length(true, lesions, *predictions)
    lesion, (label, classes) = numbered(lesions)[0], pd.factorize(true)
    times = draw_lesions(lesions, strata, draws, seed)

    def counts_of_draws(counted: np.ndarray) -> np.ndarray:  # counted: boolean [n]; returns integers [draws, classes]
        of_lesion = np.zeros((times.shape[1], len(classes)), dtype=int)
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


def mcnemar(true: Labels, first: Labels, second: Labels) -> dict[str, float]:
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


def sign_flip_test(
    true: Labels, first: Labels, second: Labels, lesions: Labels, draws: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Whether two models are equally good on the same images, of which several may show one lesion.

    If they were, their predictions for a lesion could as well be exchanged, all its images together, which flips the
    sign of the lesion's contribution to the difference. p is the proportion of `draws` random flips of all lesions in
    which the difference is at least as large as it is. With one image per lesion and the accuracy, this is McNemar's
    exact test, by simulation. Obuchowski 1998 and Durkalski et al. 2003, doi:10.1002/sim.1438, compare the same
    contributions with a normal distribution, which takes many lesions.

    Arguments as in `paired_bootstrap`. Returns the two-sided p-values of the differences in accuracy and bma.
    """
    true, lesions, first, second = same_length(true, lesions, first, second)
    label = pd.factorize(true)[0]
    gain = (first == true).astype(float) - (second == true)  # of each image: 1, 0 or -1
    of_image = pd.DataFrame({"accuracy": gain, "bma": gain / np.bincount(label)[label]})
    of_lesion = of_image.groupby(numbered(lesions)[0]).sum()
    signs = np.random.default_rng(seed).choice(np.float32([-1, 1]), size=(draws, len(of_lesion)))
    as_large = np.abs(signs @ of_lesion.to_numpy()) >= np.abs(of_lesion.sum().to_numpy()) - 1e-9
    p_values = (1 + as_large.sum(axis=0)) / (1 + draws)  # the observed signs are one of the possible flips
    return dict(zip(of_lesion.columns, p_values.tolist(), strict=True))


def corrected_t_test(differences: ArrayLike, test_to_train: float) -> dict[str, float]:
    """Whether two methods differ, from the differences of their scores in several random splits of the same images.

    The splits share most of their training images, so the differences are not independent, and their variance divided
    by their number is too small for the variance of their mean. The corrected resampled t-test adds the ratio of the
    test set's size to the training set's: t = mean / sqrt((1 / n + test_to_train) · variance), n - 1 degrees of
    freedom. C. Nadeau and Y. Bengio 2003, doi:10.1023/A:1024068626366; for repeated k-fold cross-validation
    R. Bouckaert and E. Frank 2004, doi:10.1007/978-3-540-24775-3_3. The correction is a rule of thumb: no estimator of
    that variance is unbiased (Y. Bengio and Y. Grandvalet 2004, JMLR 5:1089-1105). With test_to_train 0 it is the plain
    t-test.

    differences: one per split [n], n at least 2 and not all alike. Returns t and the two-sided p-value p.
    """
    differences = np.asarray(differences, dtype=float)
    splits = len(differences)
    t = differences.mean() / np.sqrt((1 / splits + test_to_train) * differences.var(ddof=1))
    return {"t": float(t), "p": float(2 * stats.t.sf(abs(t), splits - 1))}


def holm(p_values: ArrayLike) -> np.ndarray:
    """The p-values [n] of n tests, adjusted so that the probability of any type I error stays below the level.

    The smallest is multiplied by n, the next by n - 1, and so on; none becomes smaller than one before it, or more
    than 1. S. Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    ordered = pd.Series(np.asarray(p_values, dtype=float)).sort_values(kind="stable")
    adjusted = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return adjusted.sort_index().to_numpy()


def numbered(lesions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each image's lesion [n], from 0, and the lesions' names. Raises ValueError if one is missing."""
    if pd.isna(lesions).any():
        raise ValueError("An image has no lesion: give it a name of its own, e.g. lesions.fillna(table['image']).")
    return pd.factorize(lesions)


def same_length(*columns: ArrayLike) -> list[np.ndarray]:
    """All as arrays [n]. Raises ValueError if their lengths differ."""
    arrays = [np.asarray(column) for column in columns]
    check_consistent_length(*arrays)
    return arrays
