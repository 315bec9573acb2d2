"""The exercises of lesson 09, calibrated decisions."""

import numpy as np

from isic_course.exercises.answers import PERCENT, between, exercise, too_small, wrong
from isic_utils.metrics import calibration

ODDS = 4 * (0.02 / 0.98) / (0.25 / 0.75)  # of exercise 09.4: those of 80 %, times the ratio of the prior odds


def share_of_alarms(scores: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """Exercise 09.7: what proportion of the test images raises the alarm if it is to find 80 % of the malignant ones.

    scores: the malignant probability on validation, whether those images are malignant, and the one on the test set.
    """
    validation, malignant, test = scores
    return float(np.mean(test >= calibration.threshold_for(0.8, validation, malignant)))


def size_of_sets(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """Exercise 09.8: how many classes a prediction set has on average if each class has a threshold of its own, for a
    coverage of 90 % within the class.

    data: validation probabilities [n, classes], their true classes [n], and the test probabilities [m, classes].
    """
    validated, true, test = data
    limits = [
        calibration.conformal_threshold(validated[true == label], true[true == label], 0.1)
        for label in range(validated.shape[1])
    ]
    return float((test >= np.array(limits)).sum(axis=1).mean())


EXERCISES = {
    "09.1": exercise(
        1 / (1 + np.exp(-1)),
        PERCENT,
        wrong(1 / (1 + np.exp(-2)), "that is the probability without temperature."),
        wrong(1 / (1 + np.exp(-4)), "the logits have been multiplied by the temperature; it divides them."),
        wrong(1 / (1 + np.exp(-2)) / 2, "the temperature divides the logits and not the probability."),
        praise="less confident than the 0.88 before, and still the same prediction.",
    ),
    "09.2": exercise(
        0.12,
        PERCENT,
        wrong(0, "overconfidence in one bin does not make up for the other bin: take absolute gaps.", 0.0005),
        wrong(0.125, "the bins have different numbers of images.", 0.0005),
        wrong(0.25, "take the mean over all images, not a sum.", 0.0005),
        tolerance=0.0005,
        praise="its mean confidence equals its accuracy, and yet no bin is calibrated.",
    ),
    "09.3": exercise(
        0.01 * 0.95 / (0.01 * 0.95 + 0.99 * 0.5),
        PERCENT,
        wrong(0.95, "that is the sensitivity: the proportion of malignant lesions that is found."),
        wrong(0.0095, "that is the proportion among all lesions; the question is about those with an alarm.", 0.0002),
        wrong(0.95 / 1.45, "that would hold if half of all lesions were malignant."),
        tolerance=0.0012,
        praise="about fifty alarms for each malignant lesion: what an alarm means depends on the prevalence.",
    ),
    "09.4": exercise(
        ODDS / (1 + ODDS),
        PERCENT,
        wrong(0.8 * 0.02 / 0.25, "that scales the probability; it is the odds that scale.", 0.0005),
        wrong(ODDS, "those are the odds o; the probability is o / (1 + o).", 0.0005),
        wrong(0.8, "the same image is less often malignant where malignant lesions are rarer.", 0.0005),
        wrong(0.985, "the ratio of the odds is upside down: this place has fewer malignant lesions."),
        wrong(0.0755, "without the old odds, you assume that half of the training images are malignant.", 0.0005),
        tolerance=0.0035,
        praise="from four in five to one in five, although nothing in the image has changed.",
    ),
    "09.5": exercise(
        0.04 - 0.2 * 0.1 / 0.9,
        wrong(-0.16, "a false alarm counts t / (1 - t) times, not once.", 0.0005),
        wrong(0.04 - 0.2 * 0.1, "the weight of a false alarm is the odds t / (1 - t), not t.", 0.0005),
        wrong(0.05 - 0.95 / 9, "that is the net benefit of alarms for all patients.", 0.0005),
        wrong(40 - 200 / 9, "that is the sum over the 1 000 patients; divide by their number.", 0.05),
        tolerance=0.0005,
        praise="as good as 18 of 1 000 malignant lesions found without a false alarm; alarms for all: -0.056.",
    ),
    "09.6": exercise(
        19,
        wrong(20, "20 suffice, too, but one fewer does: solve (n + 1) · 0.95 ≤ n.", 0.5),
        wrong(18, "with n = 18, k = ceil(19 · 0.95) = 19: there is no 19th of 18 scores.", 0.5),
        wrong(9, "that is enough for α = 0.1.", 0.5),
        praise="with fewer images than 1 / α - 1 only the set of all classes keeps the promise; think of DF and VASC.",
    ),
    "09.7": exercise(
        share_of_alarms,
        PERCENT,
        between(0, 1, "take `threshold_for(0.8, …)` on validation, then the proportion of test images at or above it."),
        tolerance=0.003,
        praise="fewer alarms, and one malignant image in five missed: arithmetic cannot decide if that is acceptable.",
    ),
    "09.8": exercise(
        size_of_sets,
        too_small("too few. A class with fewer than nine validation images has threshold 0: it belongs to every set."),
        praise="every class now has its coverage, and the sets grow: a class with few calibration images is in all.",
    ),
}
