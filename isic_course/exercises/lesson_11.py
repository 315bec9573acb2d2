"""The exercises of lesson 11, other clinics."""

import numpy as np
import pandas as pd

from isic_course import clinics
from isic_course.exercises.answers import PERCENT, Mistake, exercise, wrong


def lost_melanomas(given: tuple[pd.DataFrame, list[str]]) -> float:
    """Exercise 11.5: the recall of MEL in HAM minus that in BCN of the probes trained on HAM, among some classes.

    given: the table of `clinics.predict`, and the classes.
    """
    predictions, classes = given
    of_ham = predictions[predictions["trained_on"] == "HAM"]
    home, abroad = (clinics.recalls(of_ham[of_ham["source"] == one], classes, draws=0) for one in ("HAM", "BCN"))
    return float(home["MEL"][0] - abroad["MEL"][0])


def fpr_by_hand(scores: tuple[np.ndarray, np.ndarray]) -> float:
    """Exercise 11.6. scores: of the usual and of the odd images, higher where more usual."""
    return float(clinics.detection(*scores, draws=0)["FPR95"][0])


def lacks(letter: str, hint: str) -> Mistake:
    """The mistake of leaving a letter out of a set."""
    return Mistake(lambda answer, right: letter not in {str(one).strip().lower() for one in answer}, hint)


def holds(letter: str, hint: str) -> Mistake:
    """The mistake of taking a letter into a set."""
    return Mistake(lambda answer, right: letter in {str(one).strip().lower() for one in answer}, hint)


EXERCISES = {
    "11.1": exercise(
        0.2,
        PERCENT,
        wrong(0.62, "that is the accuracy in the second clinic; by how much is it lower?"),
        wrong(-0.2, "the accuracy falls: the answer is positive."),
        wrong(0, "the recalls, and so the BMA, stay the same, but the accuracy weights them by the class shares."),
        praise="not a single image is predicted differently: the whole drop is the mix of classes.",
    ),
    "11.2": exercise(
        {"c", "e"},
        holds("a", "in (a) each clinic is on both sides of the split."),
        holds("b", "in (b) the other clinic has chosen the checkpoint: it is no longer outside."),
        holds("d", "(d) is temporal validation: the same clinic, later."),
        lacks("c", "nothing of the clinic in (c) has been used before. Is there more to ask?"),
        lacks("e", "two clinics may well train together: what counts is that the third one gave nothing."),
        praise="training on several clinics is allowed; what counts is that the tested one contributed nothing.",
    ),
    "11.3": exercise(
        (0.6 + 0.8 + 0.5) / 3 - 0.55,
        wrong(-0.025, "the BMA at home is over eight classes, the other over three: take the same three.", 0.001),
        wrong(0.025, "the BMA at home is over eight classes, the other over three: take the same three.", 0.001),
        wrong(0.55 - 1.9 / 3, "home minus abroad: a fall is positive.", 0.001),
        wrong(0.25, "a mean of three recalls, not their sum.", 0.001),
        tolerance=0.0035,
        praise="compared over eight and three classes, the BMA seems to rise by 0.025; over the same three it falls.",
    ),
    "11.4": exercise(
        0.2 / (0.6 - 0.4 / 7),
        PERCENT,
        wrong(0.2, "that would lower the recall by 0.2 times 0.6 only."),
        wrong(1 / 3, "nearly: a wrong label may fit a wrong prediction by chance. How often, with seven others?"),
        wrong(0.4, "the recall that is left is not the share of wrong labels."),
        praise="more than a third of the labels: wrong labels alone are no likely reason for a drop of this size.",
    ),
    "11.5": exercise(
        lost_melanomas,
        PERCENT,
        wrong(lambda right: -right, "home minus abroad, please.", 0.002),
        tolerance=0.002,
        praise="this is the number that a patient with a melanoma feels; the BMA hides it among seven others.",
    ),
    "11.6": exercise(
        fpr_by_hand,
        PERCENT,
        wrong(lambda right: 1 - right, "that is the share of odd images that are *rejected*.", 0.002),
        tolerance=0.002,
        praise="the threshold comes from the usual images alone; no odd image is needed to set it.",
    ),
}
