"""Scores of masks, beside scikit-learn's and beside values worked by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance
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


def border_pixels(mask: np.ndarray) -> np.ndarray:
    """Row and column of each pixel of a mask that has a neighbour outside, pixel by pixel: integers [n, 2]."""
    padded = np.pad(mask, 1)
    return np.array(
        [
            (row, column)
            for row, column in np.argwhere(mask)
            if not all(padded[row + 1 + i, column + 1 + j] for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0)))
        ]
    )


@settings(max_examples=60, deadline=None)
@given(mask_pairs, st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_boundary_scores_are_those_of_all_pairs_of_border_pixels(pair, tolerance):
    scores = metrics.boundary_scores(*pair, tolerance)
    for number, (a, b) in enumerate(zip(*pair, strict=True)):
        first, second = border_pixels(a), border_pixels(b)
        if not len(first) or not len(second):
            diagonal = np.hypot(*a.shape)
            expected = [0, 1] if len(first) == len(second) else [diagonal, float(diagonal <= tolerance)]
            assert [scores["hd95"][number], scores["surface_dice"][number]] == pytest.approx(expected)
            continue
        distances = cdist(first, second)
        to_second, to_first = distances.min(axis=1), distances.min(axis=0)
        assert scores["hd95"][number] == pytest.approx(max(np.percentile(to_second, 95), np.percentile(to_first, 95)))
        within = (to_second <= tolerance).sum() + (to_first <= tolerance).sum()
        assert scores["surface_dice"][number] == pytest.approx(within / (len(first) + len(second)))
        borders = [np.zeros(a.shape, bool), np.zeros(a.shape, bool)]
        for border, pixels in zip(borders, (first, second), strict=True):
            border[tuple(pixels.T)] = True
        assert scores["hd95"][number] <= hausdorff_distance(*borders) + 1e-9  # scikit-image's is the largest distance


def test_boundary_scores_of_squares_worked_by_hand():
    """A square with a side of 11 pixels has a border of 40, one with a side of 15 a border of 56. Of these, 44 lie
    straight opposite the small one, 2 away; the 4 corners are √8 away, the 8 pixels beside the corners √5."""
    inner, outer, with_dot = np.zeros((3, 1, 31, 31), bool)
    inner[:, 10:21, 10:21] = outer[:, 8:23, 8:23] = with_dot[:, 10:21, 10:21] = True
    with_dot[:, 15, 30] = True  # a pixel 10 away from the square: 1 of 41, which the 95th percentile leaves out
    for tolerance, surface_dice in {1: 0, 2: (40 + 44) / 96, 2.5: (40 + 52) / 96, 3: 1}.items():
        scores = metrics.boundary_scores(inner, outer, tolerance)
        assert scores["hd95"] == pytest.approx([np.sqrt(8)]) and scores["surface_dice"] == pytest.approx([surface_dice])
    scores = metrics.boundary_scores(inner, with_dot)
    assert scores["hd95"].tolist() == [0] and scores["surface_dice"] == pytest.approx([80 / 81])
    scores = metrics.boundary_scores(np.concatenate([inner, inner, ~inner & inner]), np.concatenate([inner] * 3))
    assert scores["hd95"] == pytest.approx([0, 0, 31 * np.sqrt(2)]) and scores["surface_dice"].tolist() == [1, 1, 0]


def test_boundary_scores_of_a_library():
    """Values of MONAI 1.6.1: compute_hausdorff_distance(percentile=95), compute_surface_dice(class_thresholds=[1])."""
    y, x = np.mgrid[:24, :32]
    discs = (y - 11) ** 2 + (x - 15) ** 2 <= 49, (y - 12) ** 2 + (x - 18) ** 2 <= 64
    region = (y - 11) ** 2 + (x - 11) ** 2 <= 49, (y - 11) ** 2 + (x - 11) ** 2 <= 36
    pairs = [discs, (region[0], region[1] | ((y - 19) ** 2 + (x - 27) ** 2 <= 4))]
    true, predicted = (np.stack(masks) for masks in zip(*pairs, strict=True))
    scores = metrics.boundary_scores(true, predicted, tolerance=1)
    assert scores["hd95"] == pytest.approx([4.123105, 12.222726], abs=1e-5)
    assert scores["surface_dice"] == pytest.approx([0.35, 0.894737], abs=1e-5)
    assert metrics.boundary_scores(true, predicted, 2)["surface_dice"] == pytest.approx([0.575, 0.894737], abs=1e-5)


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
    for call in (metrics.overlap, metrics.jaccard, metrics.thresholded_jaccard, metrics.boundary_scores):
        with pytest.raises(ValueError, match="must be boolean arrays"):
            call(true, predicted)
