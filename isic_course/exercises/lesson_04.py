"""The exercises of lesson 04, standard classification."""

import math

import pandas as pd

from isic_course.exercises.answers import PERCENT, Exercise, Mistake, close, is_number
from isic_utils.training.runs import Run


def top_two_balanced_accuracy(run: Run) -> float:
    """Exercise 04.2: the top-2 BMA: a prediction is correct if one of the two most likely classes is the true one."""
    predictions = run.predictions()
    second_best = predictions[run.config["classes"]].apply(lambda row: row.nlargest(2).iloc[-1], axis=1)
    of_true_class = [row[row["label"]] for _, row in predictions.iterrows()]
    return (of_true_class >= second_best).groupby(predictions["label"]).mean().mean()


def lesions_on_both_sides(table: pd.DataFrame) -> int:
    """Exercise 04.4: how many lesions have an image in the training set and one in the test set."""
    of_lesion = table.dropna(subset="lesion_id").groupby("lesion_id")["split"]
    return int(of_lesion.agg(lambda split: {"train", "test"} <= set(split)).sum())


EXERCISES = {
    "04.1": Exercise(
        right=0.55,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 92 / 110, 0.005),
                "that is the accuracy, 92 of 110. BMA is the mean of the two recalls.",
            ),
            Mistake(
                lambda answer, right: close(answer, 1.1 / 8, 0.005),
                "that divides by eight, but this test set has only two classes.",
            ),
            PERCENT,
        ),
        praise="the recalls 0.9 and 0.2 count once each, although there are ten times as many images of NV.",
    ),
    "04.2": Exercise(
        right=top_two_balanced_accuracy,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: is_number(answer) and right < answer <= 1,
                "that is too high. Did you take the mean over all images? BMA takes it within each class first.",
            ),
            Mistake(
                lambda answer, right: is_number(answer) and 0 <= answer < right,
                "that is too low. Does the most likely class still count as correct, too?",
            ),
        ),
        praise="this is called the top-2 BMA. Its distance from the BMA shows how often the true class came second.",
    ),
    "04.3": Exercise(
        right=0.1 * math.log(2),
        tolerance=0.0006,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 0.9 * math.log(2), 0.005),
                "that is the bound for an accuracy of 0.1. Multiply ln 2 by the proportion of wrong predictions.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.1 * math.log10(2), 0.001),
                "that uses the logarithm to base 10; cross-entropy uses the natural logarithm.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.1, 0.002) or close(answer, 0.05, 0.002),
                "each wrong prediction has a loss of at least ln 2, and one prediction in ten is wrong.",
            ),
        ),
        praise="so a loss of 0.05 and an accuracy of 0.9 cannot both describe the same predictions.",
    ),
    "04.4": Exercise(
        right=lesions_on_both_sides,
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: answer == 0,
                "0 is what group_by='lesion' gives. The split of this notebook has group_by='image'.",
            ),
            Mistake(
                lambda answer, right: answer > right,
                "that is more than there are. Count a lesion once, and only if it has images in both sets.",
            ),
        ),
        praise="a network can recognise these lesions instead of their diseases. Lesson 06 measures the effect.",
    ),
}
