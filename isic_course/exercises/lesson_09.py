"""The exercises of lesson 09, a second opinion."""

import numpy as np

from isic_course.exercises.answers import PERCENT, Exercise, Mistake, close, is_number, wrong
from isic_utils.metrics import calibration


def share_of_alarms(scores: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """Exercise 09.4: what proportion of the test images raises the alarm if it is to find 80 % of the malignant ones.

    scores: the malignant probability on validation, whether those images are malignant, and the one on the test set.
    """
    validation, malignant, test = scores
    return float(np.mean(test >= calibration.threshold_for(0.8, validation, malignant)))


EXERCISES = {
    "09.1": Exercise(
        right=1 / (1 + np.exp(-1)),
        mistakes=(
            PERCENT,
            wrong(1 / (1 + np.exp(-2)), "that is the probability without temperature."),
            wrong(1 / (1 + np.exp(-4)), "the logits have been multiplied by the temperature; it divides them."),
            wrong(1 / (1 + np.exp(-2)) / 2, "the temperature divides the logits and not the probability."),
        ),
        praise="less confident than the 0.88 before, and still the same prediction.",
    ),
    "09.2": Exercise(
        right=0.12,
        tolerance=0.0005,
        mistakes=(
            PERCENT,
            wrong(
                0,
                "overconfidence in one bin does not make up for underconfidence in the other: take the absolute gaps.",
                0.0005,
            ),
            wrong(0.125, "the bins have different numbers of images.", 0.0005),
            wrong(0.25, "take the mean over all images, not a sum.", 0.0005),
        ),
        praise="its mean confidence equals its accuracy, and yet no bin is calibrated.",
    ),
    "09.3": Exercise(
        right=0.01 * 0.95 / (0.01 * 0.95 + 0.99 * 0.5),
        tolerance=0.0006,
        mistakes=(
            PERCENT,
            wrong(0.95, "that is the sensitivity: the proportion of malignant lesions that is found."),
            wrong(
                0.0095, "that is the proportion among all lesions; the question is about those with an alarm.", 0.0002
            ),
            wrong(0.95 / 1.45, "that would hold if half of all lesions were malignant."),
        ),
        praise="about fifty alarms for each malignant lesion: what an alarm means depends on the prevalence.",
    ),
    "09.4": Exercise(
        right=share_of_alarms,
        tolerance=0.003,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: is_number(answer) and 0 <= answer <= 1,
                "that is another value. Take `calibration.threshold_for(0.8, …)` on the validation set, then the "
                "proportion of test images at or above it.",
            ),
        ),
        praise="fewer alarms, and about one malignant image in five missed: arithmetic cannot decide whether "
        "that is acceptable.",
    ),
    "09.5": Exercise(
        right=4 / (4 + 1.959964**2),
        mistakes=(
            PERCENT,
            wrong(1, "that is the normal interval, which has no width here (06.3); take Wilson's."),
            Mistake(
                lambda answer, right: close(answer, 1 - right, 0.005), "that is the proportion that may be *missed*."
            ),
        ),
        praise="four of four is compatible with an alarm that misses nearly every second malignant image.",
    ),
}
