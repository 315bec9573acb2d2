"""The exercises of lesson 12, published results."""

import numpy as np

from isic_course.exercises.answers import COMPLEMENT, PERCENT, Mistake, between, exercise, is_number, wrong
from isic_utils.metrics import bma


def geometric(handed: tuple[list[np.ndarray], np.ndarray]) -> float:
    """Exercise 12.3: the BMA of the geometric mean.

    handed: each network's probabilities [n, classes]; the true classes, integers [n].
    """
    networks, true = handed
    logarithms = [np.log(np.clip(probabilities, 1e-12, None)) for probabilities in networks]
    return bma(true, np.mean(logarithms, axis=0).argmax(axis=1))


def oracle(handed: tuple[list[np.ndarray], np.ndarray]) -> float:
    """Exercise 12.4: the BMA of a model that is right wherever any network is. handed: as in `geometric`."""
    networks, true = handed
    anyone = np.any([probabilities.argmax(axis=1) == true for probabilities in networks], axis=0)
    return bma(true, np.where(anyone, true, -1))


EXERCISES = {
    "12.1": exercise(
        0.56,
        PERCENT,
        wrong(0.63, "that leaves the ninth recall out; it is 0, and it counts.", 0.0005),
        wrong(0.63 * 9 / 8, "the other way round: a recall of 0 is added, which lowers the mean.", 0.0005),
        tolerance=0.0005,
        praise="the network loses 0.07 to a class on which it was never trained.",
    ),
    "12.2": exercise(
        1 - 0.067 / np.log(2),
        PERCENT,
        COMPLEMENT,
        wrong(
            (1 - 0.643) * np.log(2),
            "that is the least loss of the published accuracy; solve the bound for the accuracy instead.",
            0.001,
        ),
        wrong(
            np.exp(-0.067),
            "that is the probability of the true class that a loss of 0.067 means for one image; use the bound of "
            "finding 10.",
            0.002,
        ),
        tolerance=0.0035,
        praise="Table 6.1 prints 0.643, so this loss is not the mean cross-entropy of a softmax over these images.",
    ),
    "12.3": exercise(
        geometric,
        PERCENT,
        between(
            0,
            1,
            "that is another number. Is it the accuracy, or the plain mean? Take the mean of the logarithms over "
            "the networks, the largest class of each image, and then the BMA.",
        ),
        tolerance=0.002,
        praise="compare it with the plain mean: a veto helps where a network that rules a class out is right.",
    ),
    "12.4": exercise(
        oracle,
        PERCENT,
        Mistake(
            lambda answer, right: is_number(answer) and right < answer <= 1,
            "that is more than any choice among the five can reach. Is it an accuracy? Take the recall of each "
            "class first, then their mean.",
        ),
        Mistake(
            lambda answer, right: is_number(answer) and 0 <= answer < right,
            "that is less. An image counts as right if at least one of the five is right.",
        ),
        tolerance=0.005,
        praise="no choice among the five predictions can exceed this value. A mean of probabilities can do a little "
        "better, as it may predict the second choice of every network; the rest takes another network or other images.",
    ),
}
