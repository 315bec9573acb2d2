"""Scores of masks, beside scikit-learn's and beside values worked by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as sklearn_metrics

from isic_utils import metrics

mask_pairs = arrays.array_shapes(min_dims=3, max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(*[arrays.arrays(np.bool_, shape)] * 2)
)


@settings(max_examples=60, deadline=None)
@given(mask_pairs)
def test_scores_and_areas_are_scikit_learns(pair):
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
    assert np.array_equal(metrics.jaccard(true, predicted), scores["jaccard"])
    assert np.array_equal(metrics.thresholded_jaccard(true, predicted), scores["thresholded_jaccard"])
    from_table = metrics.mask_scores(pd.DataFrame(areas))
    assert all(np.array_equal(values, from_table[name]) for name, values in scores.items())


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
    """Where the denominator is 0, the score is 1: the conventions of isic-challenge-scoring."""
    kinds = {"empty": np.zeros((1, 4, 4), bool), "full": np.ones((1, 4, 4), bool)}
    kinds["half"] = np.arange(16).reshape(1, 4, 4) < 8
    scores = metrics.mask_scores(metrics.overlap(kinds[true], kinds[predicted]))
    expected = [jaccard, jaccard if jaccard == 1 else 0, dice, sensitivity, specificity]
    assert [values.tolist() for values in scores.values()] == [[pytest.approx(value)] for value in expected]


def masks(*intersection_and_union: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of masks [n, 10, 10] with so many pixels in both, and in either."""
    true, predicted = np.zeros((2, len(intersection_and_union), 100), bool)
    for row, (both, either) in enumerate(intersection_and_union):
        true[row, :either] = True
        predicted[row, :both] = True
    return true.reshape(-1, 10, 10), predicted.reshape(-1, 10, 10)


def test_the_threshold_is_65_hundredths_and_counts_itself():
    pairs = masks((64, 100), (65, 100), (90, 100), (0, 0), (1, 4))
    assert metrics.jaccard(*pairs).tolist() == [0.64, 0.65, 0.9, 1, 0.25]
    assert metrics.thresholded_jaccard(*pairs).tolist() == [0, 0.65, 0.9, 1, 0]
    assert metrics.thresholded_jaccard(*pairs, threshold=0.8).tolist() == [0, 0, 0.9, 1, 0]
    just_below = {"pixels": [10_000], "true": [10_000], "predicted": [6_499], "both": [6_499]}
    assert metrics.mask_scores(just_below)["thresholded_jaccard"].tolist() == [0]


@pytest.mark.parametrize(
    "true, predicted",
    [
        (np.zeros((2, 3, 3), bool), np.zeros((1, 3, 3), bool)),
        (np.zeros((3, 3), bool), np.zeros((3, 3), bool)),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3), bool)),
        (np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3))),
        (True, True),
    ],
)
def test_what_are_no_masks(true, predicted):
    for call in (metrics.overlap, metrics.jaccard, metrics.thresholded_jaccard):
        with pytest.raises(ValueError, match="must be boolean arrays"):
            call(true, predicted)
