"""The exercises of lesson 10, shortcuts and subgroups."""

import numpy as np
import pandas as pd

from isic_course.exercises.answers import COMPLEMENT, PERCENT, between, exercise, wrong


def alarms_of_nevi(test: pd.DataFrame) -> float:
    """Exercise 10.6: the proportion of nevi with an alarm in patients of 60 years or more, minus that in younger ones.

    test: label, age_approx (unknown ages do not count) and alarm, a row per image.
    """
    nevi = test[(test["label"] == "NV") & test["age_approx"].notna()]
    old = nevi["age_approx"] >= 60
    return float(nevi["alarm"][old].mean() - nevi["alarm"][~old].mean())


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


EXERCISES = {
    "10.1": exercise(
        0.25,
        wrong(0.5, "by so much the recall of MEL rises; BMA is the mean of two recalls."),
        wrong(1 / 70, "by so much the accuracy rises.", 0.001),
        praise="one image of 70 moves the group's BMA by a quarter, so recall per class says more.",
    ),
    "10.2": exercise(
        (1 - 2 / 50) ** 50,
        PERCENT,
        COMPLEMENT,
        wrong((1 - 1 / 50) ** 50, "that is the probability for a class with a single lesion."),
        praise="about one draw in eight scores the network without this class.",
    ),
    "10.3": exercise(
        1 - 0.95**24,
        PERCENT,
        COMPLEMENT,
        wrong(1.2, "that is the expected number of such p-values; a probability is at most 1."),
        praise="without a correction, a difference somewhere is what to expect of 24 groups that do not differ.",
    ),
    "10.4": exercise(
        4 / (4 + 1.959964**2),
        PERCENT,
        COMPLEMENT,
        wrong(1, "the normal interval has no width here (06.3); take Wilson's."),
        praise="four of four is compatible with an alarm that misses nearly every second malignant image.",
    ),
    "10.5": exercise(
        log_odds(0.28) - log_odds(0.14),
        wrong(log_odds(0.28) - log_odds(0.12), "that is the effect of the ruler and its ink together."),
        wrong(log_odds(0.14) - log_odds(0.12), "that is the effect of the ink alone: the placebo's."),
        wrong(0.14, "that is a difference of probabilities; take the logarithms of the odds first."),
        praise="of the 1.05 by which the ruler raises the log-odds, 0.18 is due to ink of any shape.",
    ),
    "10.6": exercise(
        alarms_of_nevi,
        PERCENT,
        wrong(lambda right: -right, "that is younger minus older.", 0.002),
        between(-1, 1, "that is another value. Keep the nevi whose age is known, then compare the means of `alarm`."),
        tolerance=0.002,
        praise="this compares like with like: no other benign class can cause this difference.",
    ),
}
