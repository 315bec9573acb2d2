"""The exercises of lesson 01, data analysis."""

import pandas as pd

from isic_course.exercises.answers import COMPLEMENT, PERCENT, UPSIDE_DOWN, Exercise, Mistake, close
from isic_utils.datasets import splits
from isic_utils.datasets.tables import MALIGNANT


def share_seen_in_training(table: pd.DataFrame) -> float:
    """Exercise 01.3: the share of the test images of the split by image, seed 1, whose lesion is in training."""
    split = splits.standard(table, group_by="image", seed=1)
    trained = table.loc[split == "train", "lesion_id"].dropna()
    return table.loc[split == "test", "lesion_id"].isin(trained).mean()


def balanced_accuracy_of_places(table: pd.DataFrame) -> float:
    """Exercise 01.5: the BMA of predicting, for each place on the body, the class that is most frequent there."""
    place = table["anatom_site_general"].fillna("unknown")
    predicted = table.groupby(place)["label"].transform(lambda labels: labels.value_counts().idxmax())
    return (predicted == table["label"]).groupby(table["label"], observed=True).mean().mean()


EXERCISES = {
    "01.1": Exercise(
        right=lambda table: table["label"].isin(MALIGNANT).mean(),
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(lambda answer, right: answer > 100, "that is a number of images; divide by all of them."),
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
                'that is what group_by="lesion" gives; the question is about group_by="image".',
            ),
            Mistake(lambda answer, right: answer > 1, "that is a number of images; divide by those of the test set."),
            Mistake(
                lambda answer, right: 0 < answer < right,
                "that is too few. Count images rather than lesions, and divide by those of the test set alone.",
            ),
        ),
        praise="another seed, the same leak: it is the way of splitting, not bad luck.",
    ),
    "01.4": Exercise(
        right=lambda masks: masks["share"].mean(),  # the union with a whole image is the whole image
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(
                lambda answer, right: answer == 0,
                "that is the index of an empty mask. Here the intersection is the whole lesion.",
            ),
            Mistake(
                lambda answer, right: answer == 1,
                "all of the lesion is found, but the union is the whole image, so the quotient is smaller.",
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
                "that is the majority-class baseline. Let the prediction depend on the place on the body.",
            ),
            Mistake(
                lambda answer, right: answer > right + 0.1,
                "that is more. Is it the accuracy? BMA is the mean of the eight recalls, also of those that are 0.",
            ),
            Mistake(
                lambda answer, right: answer > right,
                "that is more. The mean is over all classes, also over those that the rule never predicts.",
            ),
        ),
        praise="compare it with 1/8: so much can be had without an image, from knowing the place alone.",
    ),
}
