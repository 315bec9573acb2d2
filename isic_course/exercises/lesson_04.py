"""The exercises of lesson 04, standard classification."""

import math

import numpy as np
import pandas as pd

from isic_course.exercises.answers import PERCENT, exercise, too_large, too_small, wrong
from isic_utils.datasets import IsicDataset
from isic_utils.training.runs import Run


def lesions_on_both_sides(table: pd.DataFrame) -> int:
    """Exercise 04.4: how many lesions have an image in the training set and one in the test set."""
    of_lesion = table.dropna(subset="lesion_id").groupby("lesion_id")["split"]
    return int(of_lesion.agg(lambda split: {"train", "test"} <= set(split)).sum())


def top_two_balanced_accuracy(run: Run) -> float:
    """Exercise 04.5: the top-2 BMA: a prediction is correct if one of the two most likely classes is the true one."""
    predictions = run.predictions()
    second_best = predictions[run.config["classes"]].apply(lambda row: row.nlargest(2).iloc[-1], axis=1)
    of_true_class = [row[row["label"]] for _, row in predictions.iterrows()]
    return (of_true_class >= second_best).groupby(predictions["label"]).mean().mean()


def mean_of_each_channel(dataset: IsicDataset) -> np.ndarray:
    """Exercise 04.7: the mean of red, green and blue over all images of a dataset, from 0 to 1."""
    return np.mean([dataset.store.pixels[row].mean(axis=(0, 1)) for row in dataset.rows], axis=0) / 255


EXERCISES = {
    "04.1": exercise(
        0.55,
        wrong(92 / 110, "that is the accuracy, 92/110. BMA is the mean of the two recalls."),
        wrong(1.1 / 8, "that divides by eight, but this test set has only two classes."),
        PERCENT,
        praise="the recalls 0.9 and 0.2 count once each, although there are ten times as many images of NV.",
    ),
    "04.2": exercise(
        155,
        wrong(160, "that counts the last, incomplete batch of each epoch; `drop_last=True` leaves it out."),
        wrong(156, "that divides the images of all epochs at once; an incomplete batch is dropped in each epoch."),
        wrong(31, "that is the number of calls in one epoch."),
        wrong(5, "this scheduler is called after each step, not once per epoch."),
        tolerance=0,
        praise="31 full batches in each of five epochs; the schedule has to be made for exactly this number of steps.",
    ),
    "04.3": exercise(
        4 / 7,
        wrong(7 / 12, "that is the arithmetic mean of precision and recall; F1 is the harmonic mean."),
        wrong(1 / 2, "that is the recall."),
        wrong(2 / 3, "that is the precision."),
        PERCENT,
        praise="precision 2/3, recall 1/2; the harmonic mean lies nearer to the smaller of the two.",
    ),
    "04.4": exercise(
        lesions_on_both_sides,
        wrong(0, "0 is what group_by='lesion' gives, the split of this notebook. Take the split by image."),
        too_large("that is more. Count a lesion with images in both once."),
        tolerance=0,
        praise="a network can recognise these lesions instead of their diseases. Lesson 06 measures the effect.",
    ),
    "04.5": exercise(
        top_two_balanced_accuracy,
        PERCENT,
        too_large("that is too high. First average within each class."),
        too_small("that is too low. The most likely class counts, too."),
        praise="this is called the top-2 BMA. Its difference from the BMA shows how often the true class came second.",
    ),
    "04.6": exercise(
        0.1 * math.log(2),
        wrong(0.9 * math.log(2), "that is the bound for an accuracy of 0.1. Use the proportion that is *wrong*."),
        wrong(0.1 * math.log10(2), "that is the logarithm to base 10; cross-entropy uses the natural one.", 0.001),
        wrong(0.1, "one prediction in ten is wrong, and each of these has a loss of at least ln 2.", 0.002),
        wrong(0.05, "that is what the paper says. But each wrong prediction costs at least ln 2.", 0.002),
        tolerance=0.001,
        praise="so a loss of 0.05 and an accuracy of 0.9 cannot both describe the same predictions.",
    ),
    "04.7": exercise(
        mean_of_each_channel,
        wrong(lambda right: 255 * right, "those are bytes; a batch has values 0 to 1.", 1),
        wrong(lambda right: right, "nearly: each image must count once. Drop none, weight short batches less.", 0.02),
        tolerance=1e-4,
        praise="normalising the input subtracts these means; pretrained networks keep those of ImageNet.",
    ),
}
