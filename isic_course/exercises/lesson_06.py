"""The exercises of lesson 06, cross-validation."""

import numpy as np
import pandas as pd

from isic_course.exercises.answers import COMPLEMENT, PERCENT, exercise, otherwise, wrong


def gain_on_seen_lesions(predictions: pd.DataFrame) -> float:
    """Exercise 06.5: the BMA on images whose lesion was in training, minus the BMA on the others."""
    correct = predictions["predicted"] == predictions["label"]
    seen, unseen = (correct[predictions["seen"] == was].groupby(predictions["label"]).mean() for was in (True, False))
    return seen.mean() - unseen.mean()


NEEDED = round(1.96**2 * 0.733 * 0.267 / 0.01**2)  # images, for an accuracy of 0.733 ± 0.01
P_VALUE = 0.0356996  # of McNemar's exact test

EXERCISES = {
    "06.1": exercise(
        0.7875,
        PERCENT,
        wrong(0.9, "an eighth of those nine folds is the validation set.", 0.0005),
        wrong(0.7, "that is with five folds, as in the thesis.", 0.0005),
        wrong(0.1125, "that is the validation set's proportion."),
        praise="more training images than with five folds, at the cost of twice as many trainings.",
    ),
    "06.2": exercise(
        NEEDED,
        wrong(4 * NEEDED, "that is for ± 0.005, an interval with a total width of 0.01; ± 0.01 is 0.02 wide.", 20),
        wrong(NEEDED / 1.96**2, "that is for one standard deviation; 95 % takes 1.96 of them, and n 1.96 squared.", 5),
        wrong(1.96**2 / 4 / 0.01**2, "that is for an accuracy of a half, the worst case; here it is 0.733.", 5),
        tolerance=5,
        praise="and they must be independent: eight images of one lesion are not.",
    ),
    "06.3": exercise(
        1.959964**2 / (20 + 1.959964**2),
        PERCENT,
        COMPLEMENT,
        wrong(0, "that is the normal interval, which has no width here.", 0),
        wrong(3 / 20, "that is the rule of three, 3/n, a good guess; Wilson's upper end is a little higher.", 0.002),
        tolerance=0.002,
        praise="a model that misses none of 20 might still miss one melanoma in six.",
    ),
    "06.4": exercise(
        P_VALUE,
        PERCENT,
        wrong(P_VALUE / 2, "that is one side; either model might have been better, so count both sides.", 0.0005),
        wrong(0.0253, "that is the chi-square approximation without correction; take stats.binom.", 0.0005),
        tolerance=0.0005,
        praise="the 955 images on which they agree play no part.",
    ),
    "06.5": exercise(
        gain_on_seen_lesions,
        PERCENT,
        wrong(np.negative, "that is the other way round: take seen minus not seen."),
        otherwise("that is another difference. Is it the accuracy? The BMA is the mean of the recalls of the classes."),
        praise="a hint of the leak but no measure of it, because the two groups show different lesions.",
    ),
    "06.6": exercise(
        2,
        wrong(4, "that is without a correction.", 0),
        wrong(1, "that is Bonferroni's correction, which takes all p-values × 5.", 0),
        wrong(3, "the third, 0.030, is multiplied by 3.", 0),
        tolerance=0,
        praise="0.005 × 5 and 0.010 × 4 stay below 0.05; 0.030 × 3 does not.",
    ),
    "06.7": exercise(
        0.02 / (0.03 * 0.35**0.5),
        wrong(2.108, "that is the plain t-test, without the correction."),
        wrong(1.217, "the test set is 20 of 80, not 20 of 100: the ratio is to the training set."),
        wrong(1.333, "the 1/10 belongs under the root, too."),
        praise="the plain t-test would have said 2.11, nearly twice as much.",
    ),
}
