"""Scores of a classifier. Lesson 01 computes them by hand; here scikit-learn does.

Labels may be class codes or integers, as lists, arrays or columns of a table [n], but `true` and `predicted` must be of
the same kind. scikit-learn raises ValueError for inputs that are empty, differ in length or hold no labels (for
instance probabilities).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, recall_score


def bma(true: ArrayLike, predicted: ArrayLike) -> float:
    """BMA, the balanced multi-class accuracy: the mean of the recalls of the classes, from 0 to 1.

    BMA = (1/C) Σ_c correct_c / n_c, scikit-learn's *balanced accuracy*. This is what thesis §4.2.1 means; its Eq. 4.2.1
    is printed upside down and without 1/C. A class without an image in `true` has no recall: the mean is over the
    classes that occur there.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    return float(recall_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0))


def recall_per_class(true: ArrayLike, predicted: ArrayLike, classes: Sequence) -> pd.Series:
    """The share of each class's images that are recognised: floats from 0 to 1 indexed by class, NaN where a class has
    no image.

    classes: the labels to score, in the order of the result.
    """
    true, predicted, classes = np.asarray(true), np.asarray(predicted), list(classes)
    recall = recall_score(true, predicted, labels=classes, average=None, zero_division=np.nan)
    return pd.Series(recall, index=classes, name="recall")


def scores(predictions: pd.DataFrame) -> dict[str, float]:
    """Accuracy and BMA of a table with the columns label and predicted, a row per image."""
    true, predicted = np.asarray(predictions["label"]), np.asarray(predictions["predicted"])
    return {"accuracy": float(accuracy_score(true, predicted)), "bma": bma(true, predicted)}
