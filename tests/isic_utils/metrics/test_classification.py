"""Scores of a classifier, beside scikit-learn's and beside lesson 01's work by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import balanced_accuracy_score

from isic_utils import metrics
from isic_utils.archive import CODES, COUNTS_2019

label_pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[arrays.arrays(np.int64, n, elements=st.integers(0, 7))] * 2)
)


def test_values_worked_by_hand():
    true = ["NV", "NV", "NV", "NV", "MEL", "MEL", "BCC", "BCC"]
    predicted = ["NV", "NV", "NV", "MEL", "MEL", "NV", "BCC", "BCC"]
    recall = metrics.recall_per_class(true, predicted, ["MEL", "NV", "BCC"])
    assert recall.to_dict() == {"MEL": 1 / 2, "NV": 3 / 4, "BCC": 1}
    assert metrics.bma(true, predicted) == pytest.approx((1 / 2 + 3 / 4 + 1) / 3)
    table = pd.DataFrame({"label": true, "predicted": predicted})
    assert metrics.scores(table) == {"accuracy": 6 / 8, "bma": pytest.approx(0.75)}


def by_hand(true: pd.Series, predicted: pd.Series) -> pd.Series:
    """The recall of each class as lesson 01 computes it: the class's images are counted, then the correct ones."""
    images = true.value_counts(sort=False)
    correct = true[true == predicted].value_counts(sort=False)
    return (correct / images).reindex(range(8))


@settings(max_examples=60, deadline=None)
@given(label_pairs)
def test_recall_and_bma_are_those_by_hand_and_scikit_learns(pair):
    true, predicted = pair
    expected = by_hand(*(pd.Series(pd.Categorical(labels, range(8))) for labels in pair))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class without an image is no reason for a warning
        recall = metrics.recall_per_class(true, predicted, range(8))
        bma = metrics.bma(true, predicted)
    assert recall.to_numpy() == pytest.approx(expected.to_numpy(), nan_ok=True)
    assert bma == pytest.approx(expected.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert bma == pytest.approx(balanced_accuracy_score(true, predicted))


def test_the_majority_class_baseline_has_its_share_as_accuracy_and_a_bma_of_one_eighth():
    true = pd.Series(pd.Categorical(np.repeat(CODES, [COUNTS_2019[code] for code in CODES]), CODES, ordered=True))
    result = metrics.scores(pd.DataFrame({"label": true, "predicted": "NV"}))
    assert result == {"accuracy": pytest.approx(12875 / 25331), "bma": 1 / 8}


@pytest.mark.parametrize(
    "true, predicted",
    [
        ([0, 1], [0]),
        ([], []),
        (np.array([0, 1]), np.array([0.2, 0.7])),
        (np.array([0, 1]), np.eye(2) * 0.5),
        (np.array([0, 1]), np.array(["MEL", "NV"])),
    ],
)
def test_what_are_no_labels(true, predicted):
    for call in (metrics.bma, lambda *pair: metrics.recall_per_class(*pair, [0, 1])):
        with pytest.raises((ValueError, TypeError)):
            call(true, predicted)
