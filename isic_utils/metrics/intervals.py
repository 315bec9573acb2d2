"""How sure a figure is: intervals for accuracy and BMA, and tests of two models on the same pictures.

Lesson 06 writes the normal interval, the bootstrap and McNemar's test out by hand; these are the same, for any lesson.
An interval is a tuple (low, high), and each is a 95 % one unless `level` says otherwise.
"""

import numpy as np
import pandas as pd
from scipy import stats

from isic_utils.metrics.classification import class_numbers


def normal_interval(correct: int, pictures: int, level: float = 0.95) -> tuple[float, float]:
    """p ± z · sqrt(p (1 - p) / n), where p = correct / pictures: what most papers print, the thesis perhaps too (§5.4).

    It takes pictures for independent, may leave 0 to 1, and has no width at all where none or all are correct.
    Raises ValueError if `correct` is not from 0 to `pictures`, or `pictures` is 0.
    """
    p = share(correct, pictures)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(p * (1 - p) / pictures)
    return float(p - half), float(p + half)


def wilson_interval(correct: int, pictures: int, level: float = 0.95) -> tuple[float, float]:
    """All true shares p that z · sqrt(p (1 - p) / n) would still let produce the observed one; always within 0 to 1.

    E. B. Wilson 1927, doi:10.1080/01621459.1927.10502953; computed by scipy. Takes pictures for independent.
    Raises ValueError as `normal_interval`.
    """
    share(correct, pictures)
    interval = stats.binomtest(int(correct), int(pictures)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def share(correct: int, pictures: int) -> float:
    """correct / pictures, checked: whole numbers, 0 <= correct <= pictures, and at least one picture."""
    if int(correct) != correct or int(pictures) != pictures or not 0 <= correct <= pictures or pictures < 1:
        raise ValueError(
            f"{correct} of {pictures} pictures is no share: both are whole numbers, 0 <= correct <= pictures."
        )
    return correct / pictures


def bootstrap(
    true: np.ndarray, predicted: np.ndarray, lesions: np.ndarray, classes: int, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy and BMA of `draws` test sets, drawn with replacement from the one there is: whole lesions, not pictures.

    Pictures of one lesion succeed or fail together, so the lesion is the unit of chance. B. Efron 1979,
    doi:10.1214/aos/1176344552; drawing whole groups is called the cluster bootstrap.

    true, predicted: integer arrays [n] from 0 to classes - 1; lesions: a name for each picture [n], all different to
    draw pictures. Returns the columns accuracy and BMA with a row per draw; a class that a draw does not have is left
    out of that draw's mean. Same seed, same draws.
    """
    of_lesion = counts_by_lesion(true, [predicted], lesions, classes)
    return scores_of_draws(of_lesion, 0, draws, seed)


def paired_bootstrap(
    true: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    lesions: np.ndarray,
    classes: int,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """By how much the first model's accuracy and BMA exceed the second's, in `draws` test sets that both answer.

    first, second: the two models' answers to the same pictures; all else as in `bootstrap`. Because both face the same
    draw, what makes a draw hard or easy for both cancels. Returns the differences, first minus second.
    """
    of_lesion = counts_by_lesion(true, [first, second], lesions, classes)
    return scores_of_draws(of_lesion, 0, draws, seed) - scores_of_draws(of_lesion, 1, draws, seed)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle 95 % of what a bootstrap gave: from its 2.5th to its 97.5th percentile."""
    low, high = np.quantile(np.asarray(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def counts_by_lesion(true: np.ndarray, answers: list[np.ndarray], lesions: np.ndarray, classes: int) -> np.ndarray:
    """All that a bootstrap needs of each lesion: its pictures, and how many of them each model gets right, by class.

    Returns integers [lesions, 1 + models, classes]: at [:, 0] the pictures, at [:, 1] the first model's right answers.
    Raises ValueError if the arrays differ in length, or a class is not from 0 to classes - 1.
    """
    lesions = np.asarray(lesions)
    if lesions.shape != np.shape(true):
        raise ValueError(f"`lesions` is of shape {lesions.shape} and `true` of {np.shape(true)}: both must be [n].")
    if pd.isna(lesions).any():
        raise ValueError("A picture has no lesion: give it a name of its own, e.g. lesions.fillna(table['image']).")
    numbers, names = pd.factorize(lesions)
    counts = np.zeros((len(names), 1 + len(answers), classes), dtype=int)
    for model, predicted in enumerate(answers, start=1):
        true, predicted = class_numbers(true, predicted)
        if true.min() < 0 or true.max() >= classes:
            raise ValueError(
                f"`true` has classes from {true.min()} to {true.max()}; they must be from 0 to {classes - 1}."
            )
        np.add.at(counts, (numbers, model, true), true == predicted)
    np.add.at(counts, (numbers, 0, true), 1)
    return counts


def scores_of_draws(of_lesion: np.ndarray, model: int, draws: int, seed: int) -> pd.DataFrame:
    """Accuracy and BMA of one model in each draw of lesions. of_lesion: as `counts_by_lesion` returns it.

    How often each of m lesions comes up in m draws with replacement is multinomial, so a table of times [draws,
    lesions] does for all draws at once.
    """
    lesions = len(of_lesion)
    times = np.random.default_rng(seed).multinomial(lesions, np.full(lesions, 1 / lesions), size=draws)
    pictures = times @ of_lesion[:, 0]  # [draws, classes]
    correct = times @ of_lesion[:, 1 + model]
    recall = np.divide(correct, pictures, out=np.full(pictures.shape, np.nan), where=pictures > 0)
    accuracy = correct.sum(axis=1) / pictures.sum(axis=1)
    return pd.DataFrame({"accuracy": accuracy, "BMA": np.nanmean(recall, axis=1)})


def mcnemar(true: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """McNemar's exact test of whether two models are right equally often on the same pictures.

    Only pictures that one model gets right and the other wrong tell anything; if the models were equally good, each
    such picture would fall to either side like a coin. Q. McNemar 1947, doi:10.1007/BF02295996; recommended for two
    classifiers on one test set by T. Dietterich 1998, doi:10.1162/089976698300017197. Takes pictures for independent.

    Returns only_first and only_second, the pictures that only one of them gets right, and p, the two-sided p-value.
    """
    true, first = class_numbers(true, first)
    true, second = class_numbers(true, second)
    only_first = int(np.sum((first == true) & (second != true)))
    only_second = int(np.sum((first != true) & (second == true)))
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return {"only_first": only_first, "only_second": only_second, "p": p}
