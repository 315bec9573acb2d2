"""The exercises of lesson 01, data analysis."""

import pandas as pd

from isic_course.exercises.answers import COMPLEMENT, PERCENT, UPSIDE_DOWN, Exercise, Mistake, close
from isic_utils.datasets import splits
from isic_utils.datasets.tables import MALIGNANT


def share_seen_in_training(table: pd.DataFrame) -> float:
    """Exercise 01.3: of the test pictures of the split by picture, seed 1, the share whose lesion is in training."""
    part = splits.standard(table, by="picture", seed=1)
    trained = table.loc[part == "train", "lesion_id"].dropna()
    return table.loc[part == "test", "lesion_id"].isin(trained).mean()


def balanced_accuracy_of_places(table: pd.DataFrame) -> float:
    """Exercise 01.5: the BMA of answering, for each place on the body, the class that is most frequent there."""
    place = table["anatom_site_general"].fillna("unknown")
    predicted = table.groupby(place)["label"].transform(lambda labels: labels.value_counts().idxmax())
    return (predicted == table["label"]).groupby(table["label"], observed=True).mean().mean()


EXERCISES = {
    "01.1": Exercise(
        right=lambda table: table["label"].isin(MALIGNANT).mean(),
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(lambda answer, right: answer > 100, "that is a number of pictures; divide by all of them."),
            Mistake(
                lambda answer, right: 0 < answer < right,
                "that is too few. The course counts four classes as malignant, actinic keratosis among them.",
            ),
        ),
        praise="in the street it is far less: whoever was photographed had been chosen by a doctor.",
    ),
    "01.2": Exercise(
        right=0.25,
        tolerance=0.0005,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, 0.5, 0.005),
                "that is the mean of three recalls; there are eight, and six of them are 0.1.",
            ),
            Mistake(
                lambda answer, right: close(answer, 2, 0.005), "that is the sum of the recalls; divide by the classes."
            ),
            Mistake(
                lambda answer, right: 0.55 < answer < 0.7,
                "that is the accuracy, where a large class weighs more. For BMA each class weighs an eighth.",
            ),
        ),
        praise="two classes decently, six hardly: BMA says so, while the accuracy on ISIC 2019 would be above a half.",
    ),
    "01.3": Exercise(
        right=share_seen_in_training,
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(
                lambda answer, right: answer == 0 and right > 0,
                'that is what by="lesion" gives; the question is by="picture".',
            ),
            Mistake(
                lambda answer, right: answer > 1, "that is a number of pictures; divide by those of the test part."
            ),
            Mistake(
                lambda answer, right: 0 < answer < right,
                "that is too few. Count pictures rather than lesions, and divide by those of the test part alone.",
            ),
        ),
        praise="another seed, the same leak: it is the way of splitting, not bad luck.",
    ),
    "01.4": Exercise(
        right=lambda masks: masks["share"].mean(),  # the union with a whole picture is the whole picture
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(
                lambda answer, right: answer == 0,
                "that is the index of a program that marks nothing. Here the intersection is the whole lesion.",
            ),
            Mistake(
                lambda answer, right: answer == 1,
                "all of the lesion is found, but the union is the whole picture, so the quotient is smaller.",
            ),
            UPSIDE_DOWN,
        ),
        praise="a segmenter has to beat this number before it has learnt anything.",
    ),
    "01.5": Exercise(
        right=balanced_accuracy_of_places,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, 1 / 8, 0.0005) and not close(right, 1 / 8, 0.005),
                "that is the lazy model. Let the answer depend on the place on the body.",
            ),
            Mistake(
                lambda answer, right: answer > right + 0.1,
                "that is more. Is it the accuracy? BMA is the mean of the eight recalls, also of those that are 0.",
            ),
            Mistake(
                lambda answer, right: answer > right,
                "that is more. The mean is over all classes, also over those that the rule never answers.",
            ),
        ),
        praise="compare it with 1/8: so much can be had without a picture, from knowing the place alone.",
    ),
}
