"""The exercises of lesson 01, data analysis."""

import pandas as pd

from isic_course.exercises.answers import (
    COMPLEMENT,
    PERCENT,
    UPSIDE_DOWN,
    Mistake,
    exercise,
    too_large,
    too_small,
    wrong,
)
from isic_utils.archive import MALIGNANT
from isic_utils.datasets import splits


def share_seen_in_training(table: pd.DataFrame) -> float:
    """Exercise 01.3: the share of test images whose lesion is also in the training set; split by image, seed 1."""
    split = splits.standard(table, group_by="image", seed=1)
    trained = table.loc[split == "train", "lesion_id"].dropna()
    return table.loc[split == "test", "lesion_id"].isin(trained).mean()


def balanced_accuracy_of_sites(table: pd.DataFrame) -> float:
    """Exercise 01.5: the BMA of predicting, for each body site, the class that is most frequent there."""
    site = table["anatom_site_general"].fillna("unknown")
    predicted = table.groupby(site)["label"].transform(lambda labels: labels.value_counts().idxmax())
    return (predicted == table["label"]).groupby(table["label"], observed=True).mean().mean()


def highest_balanced_accuracy_of_sites(table: pd.DataFrame) -> float:
    """Exercise 01.6: the highest BMA of a rule that predicts one class for each body site."""
    counts = pd.crosstab(table["label"], table["anatom_site_general"].fillna("unknown"))
    return counts.div(counts.sum(axis=1), axis=0).max().sum() / len(counts)


def known_test_images(handed_over: tuple[pd.DataFrame, pd.DataFrame]) -> int:
    """Exercise 01.7: the test images, grouped by lesion, seed 0, with a near-duplicate in the training set.

    handed_over: the table, and the pairs that `near_duplicates` finds in it.
    """
    table, pairs = handed_over
    split = splits.standard(table, seed=0).set_axis(table["image"])
    both = pd.concat([pairs, pairs.rename(columns={"image": "other", "other": "image"})])
    leaks = (both["image"].map(split) == "test") & (both["other"].map(split) == "train")
    return both.loc[leaks, "image"].nunique()


EXERCISES = {
    "01.1": exercise(
        lambda table: table["label"].isin(MALIGNANT).mean(),
        PERCENT,
        COMPLEMENT,
        Mistake(lambda answer, right: answer > 100, "that is a number of images; divide it by the total."),
        too_small("that is too small. Malignant are MEL, BCC, SCC and AK."),
        praise="in the general population the share is far smaller: doctors chose the lesions of this table.",
    ),
    "01.2": exercise(
        0.25,
        PERCENT,
        wrong(0.5, "that is the mean of three recalls; take the mean of all eight."),
        wrong(2, "that is the sum of the recalls; divide it by 8."),
        Mistake(lambda answer, right: 0.55 < answer < 0.7, "that is the accuracy; in BMA each class weighs 1/8."),
        tolerance=0.0005,
        praise="BMA shows that six classes are hardly recognised; the accuracy on ISIC 2019 would be above one half.",
    ),
    "01.3": exercise(
        share_seen_in_training,
        PERCENT,
        COMPLEMENT,
        Mistake(lambda answer, right: answer == 0 < right, 'that is what group_by="lesion" gives, not "image".'),
        Mistake(lambda answer, right: answer > 1, "that is a number of images; divide it by the test set's size."),
        too_small("that is too small. Count images rather than lesions, and divide by the size of the test set alone."),
        praise="another seed, and as much leakage: the cause is the way of splitting, not bad luck.",
    ),
    "01.4": exercise(
        lambda masks: masks["share"].mean(),  # the union with a whole image is the whole image
        PERCENT,
        COMPLEMENT,
        wrong(0, "that is the index of an empty prediction; here every pixel is marked.", 0),
        wrong(1, "the whole lesion is found, but the union is the whole image.", 0),
        UPSIDE_DOWN,
        praise="this is a baseline that every segmentation model has to beat.",
    ),
    "01.5": exercise(
        balanced_accuracy_of_sites,
        PERCENT,
        wrong(1 / 8, "that is the majority-class baseline. Let the prediction depend on the body site.", 0.0005),
        too_large("that is too high. Is it the accuracy? BMA is the mean of all eight recalls, including the zeros."),
        praise="compare it with 1/8: the difference comes from the body site alone, without any image.",
    ),
    "01.6": exercise(
        highest_balanced_accuracy_of_sites,
        PERCENT,
        too_small("a higher BMA is possible. For each site, choose the class with the largest share of its images."),
        praise="it is above the BMA of 01.5, and its accuracy is lower: the rule was made for this metric.",
    ),
    "01.7": exercise(
        known_test_images,
        too_small("that is too few. A test image may be in either column."),
        too_large("that is too many. Count an image of the test set only once."),
        praise="the split is grouped by lesion and leaks all the same.",
    ),
}
