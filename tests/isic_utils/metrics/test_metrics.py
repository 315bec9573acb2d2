"""The metrics, beside scikit-learn's and beside values worked by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as sklearn_metrics

from isic_utils.metrics import classification as metrics

few = settings(max_examples=60, deadline=None)
classes = st.integers(0, 7)
answers = st.integers(1, 60).flatmap(lambda n: st.tuples(*[arrays.arrays(np.int64, n, elements=classes)] * 2))
mask_pairs = arrays.array_shapes(min_dims=3, max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(*[arrays.arrays(np.bool_, shape)] * 2)
)
TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 2, 2])


def test_values_worked_by_hand():
    assert metrics.accuracy(TRUE, PREDICTED) == 6 / 8
    assert metrics.per_class_recall(TRUE, PREDICTED, 3).tolist() == [3 / 4, 1 / 2, 1]
    assert metrics.balanced_accuracy(TRUE, PREDICTED, 3) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert metrics.confusion_matrix(TRUE, PREDICTED, 3).tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 2]]


def test_always_answering_nv_has_the_accuracy_of_its_share_and_a_bma_of_one_eighth():
    true = np.repeat(np.arange(8), [4522, 12875, 3323, 867, 2624, 239, 253, 628])
    assert metrics.accuracy(true, np.ones_like(true)) == pytest.approx(0.508, abs=0.0005)
    assert metrics.balanced_accuracy(true, np.ones_like(true), 8) == 1 / 8


@few
@given(answers)
def test_accuracy_and_confusion_matrix_are_scikit_learns(pair):
    true, predicted = pair
    assert metrics.accuracy(true, predicted) == pytest.approx(sklearn_metrics.accuracy_score(true, predicted))
    theirs = sklearn_metrics.confusion_matrix(true, predicted, labels=range(8))
    assert np.array_equal(metrics.confusion_matrix(true, predicted, 8), theirs)


@few
@given(answers)
@pytest.mark.filterwarnings("ignore")
def test_recall_and_bma_are_scikit_learns(pair):
    true, predicted = pair
    recall = metrics.per_class_recall(true, predicted, 8)
    present = np.isin(range(8), true)
    theirs = sklearn_metrics.recall_score(true, predicted, labels=range(8), average=None, zero_division=0)
    assert recall[present] == pytest.approx(theirs[present]) and np.isnan(recall[~present]).all()
    bma = metrics.balanced_accuracy(true, predicted, 8)
    assert bma == pytest.approx(sklearn_metrics.balanced_accuracy_score(true, predicted))


def test_an_absent_class_is_said():
    with pytest.warns(UserWarning, match="No picture of class 1, 3 is in this part: BMA is the mean over the other 2"):
        value = metrics.balanced_accuracy(np.array([0, 2]), np.array([0, 1]), 4)
    assert value == 1 / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.balanced_accuracy(TRUE, PREDICTED, 3)


@few
@given(mask_pairs)
def test_jaccard_is_scikit_learns(pair):
    true, predicted = pair
    ours = metrics.jaccard(true, predicted)
    assert ours.shape == (len(true),) and ours.dtype == float
    for value, a, b in zip(ours, true, predicted, strict=True):
        assert value == pytest.approx(sklearn_metrics.jaccard_score(a.ravel(), b.ravel(), zero_division=1))


def masks(*intersection_and_union: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of masks [n, 10, 10] with so many pixels in both, and in either."""
    true, predicted = np.zeros((2, len(intersection_and_union), 100), bool)
    for row, (both, either) in enumerate(intersection_and_union):
        true[row, :either] = True
        predicted[row, :both] = True
    return true.reshape(-1, 10, 10), predicted.reshape(-1, 10, 10)


def test_jaccard_worked_by_hand():
    assert metrics.jaccard(*masks((1, 4), (0, 5), (7, 7), (0, 0))).tolist() == [0.25, 0, 1, 1]


def test_below_the_threshold_counts_nothing():
    pairs = masks((64, 100), (65, 100), (90, 100), (0, 0))
    assert metrics.thresholded_jaccard(*pairs).tolist() == [0, 0.65, 0.9, 1]
    assert metrics.thresholded_jaccard(*pairs, threshold=0.8).tolist() == [0, 0, 0.9, 1]


def test_the_threshold_is_65_hundredths_and_belongs_to_what_counts():
    shares = np.arange(60, 71)
    values = metrics.thresholded_jaccard(*masks(*[(share, 100) for share in shares]))
    assert values.tolist() == [0] * 5 + (shares[5:] / 100).tolist()
    just_below = {"pixels": [10_000], "true": [10_000], "predicted": [6_499], "both": [6_499]}
    assert metrics.mask_scores(just_below)["thresholded_jaccard"].tolist() == [0]


@few
@given(mask_pairs)
def test_scores_of_masks_are_scikit_learns(pair):
    true, predicted = pair
    areas = metrics.overlap(true, predicted)
    scores = metrics.mask_scores(areas)
    assert list(scores) == ["jaccard", "thresholded_jaccard", "dice", "sensitivity", "specificity"]
    assert all(values.shape == (len(true),) and values.dtype == float for values in scores.values())
    for number, (a, b) in enumerate(zip(true.reshape(len(true), -1), predicted.reshape(len(true), -1), strict=True)):
        confusion = sklearn_metrics.confusion_matrix(a, b, labels=[False, True])
        assert areas["pixels"][number] == a.size and areas["both"][number] == confusion[1, 1]
        assert areas["true"][number] == confusion[1].sum() and areas["predicted"][number] == confusion[:, 1].sum()
        theirs = {
            "jaccard": sklearn_metrics.jaccard_score(a, b, zero_division=1),
            "dice": sklearn_metrics.f1_score(a, b, zero_division=1),
            "sensitivity": sklearn_metrics.recall_score(a, b, zero_division=1),
            "specificity": sklearn_metrics.recall_score(~a, ~b, zero_division=1),
        }
        theirs["thresholded_jaccard"] = theirs["jaccard"] if theirs["jaccard"] >= 0.65 else 0
        for name, value in theirs.items():
            assert scores[name][number] == pytest.approx(value), name


@pytest.mark.parametrize(
    "true, predicted, jaccard, dice, sensitivity, specificity",
    [
        ("empty", "empty", 1, 1, 1, 1),
        ("empty", "full", 0, 0, 1, 0),
        ("full", "empty", 0, 0, 0, 1),
        ("full", "full", 1, 1, 1, 1),
        ("empty", "half", 0, 0, 1, 0.5),
        ("full", "half", 0.5, 2 / 3, 0.5, 1),
        ("half", "empty", 0, 0, 0, 1),
        ("half", "full", 0.5, 2 / 3, 1, 0),
    ],
)
def test_empty_and_full_masks_are_scored_as_officially(true, predicted, jaccard, dice, sensitivity, specificity):
    """What has nothing to find is a score of 1: the conventions of isic-challenge-scoring."""
    kinds = {"empty": np.zeros((1, 4, 4), bool), "full": np.ones((1, 4, 4), bool)}
    kinds["half"] = np.arange(16).reshape(1, 4, 4) < 8
    scores = metrics.mask_scores(metrics.overlap(kinds[true], kinds[predicted]))
    expected = [jaccard, jaccard if jaccard == 1 else 0, dice, sensitivity, specificity]
    assert [values.tolist() for values in scores.values()] == [[pytest.approx(value)] for value in expected]


def test_scores_come_from_a_table_of_areas_as_well():
    areas = metrics.overlap(*masks((64, 100), (0, 0), (7, 9)))
    from_table = metrics.mask_scores(pd.DataFrame(areas))
    for name, values in metrics.mask_scores(areas).items():
        assert np.array_equal(values, from_table[name]), name


def test_one_empty_mask_of_two_has_nothing_in_common():
    empty, full = np.zeros((1, 3, 3), bool), np.ones((1, 3, 3), bool)
    assert metrics.jaccard(empty, full) == metrics.jaccard(full, empty) == 0


@pytest.mark.parametrize(
    "true, predicted, says",
    [
        (TRUE, PREDICTED[:-1], r"both must be \[n\]"),
        (np.array([], int), np.array([], int), "at least 1"),
        (TRUE, PREDICTED[:, np.newaxis], r"both must be \[n\]"),
        (TRUE, np.eye(8), r"both must be \[n\]"),
        (1, 1, r"both must be \[n\]"),
        (TRUE, PREDICTED / 2, "argmax"),
        (TRUE == 1, PREDICTED, "`true` holds bool"),
        (TRUE, PREDICTED - 1, "`predicted` has classes from -1 to 1"),
        (TRUE + 1, PREDICTED, "`true` has classes from 1 to 3; they must be from 0 to 2"),
    ],
)
def test_arrays_that_make_no_sense(true, predicted, says):
    for call in (metrics.balanced_accuracy, metrics.per_class_recall, metrics.confusion_matrix):
        with pytest.raises(ValueError, match=says):
            call(true, predicted, 3)
    if "classes from" not in says:
        with pytest.raises(ValueError, match=says):
            metrics.accuracy(true, predicted)


@pytest.mark.parametrize(
    "true, predicted",
    [
        (np.zeros((2, 3, 3), bool), np.zeros((2, 3, 4), bool)),
        (np.zeros((2, 3, 3), bool), np.zeros((1, 3, 3), bool)),
        (np.zeros((3, 3), bool), np.zeros((3, 3), bool)),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3), bool)),
        (np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3))),
        (True, True),
    ],
)
def test_masks_that_make_no_sense(true, predicted):
    for call in (metrics.overlap, metrics.jaccard, metrics.thresholded_jaccard):
        with pytest.raises(ValueError, match="must be boolean arrays"):
            call(true, predicted)
