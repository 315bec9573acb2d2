"""Masks after the network: one region without holes, and the size of the original image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from isic_utils.inference.postprocess import enlarge, one_region


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=8)))
def test_one_region_is_the_largest_without_holes(mask):
    before = mask.copy()
    region = one_region(mask)
    assert region.dtype == bool and region.shape == mask.shape and np.array_equal(mask, before)
    labelled, count = ndimage.label(mask)
    assert ndimage.label(region)[1] == int(count > 0)
    _, outside = ndimage.label(np.pad(~region, 1, constant_values=True))
    assert outside == 1, "no holes: all that is outside is connected"
    assert np.array_equal(one_region(region), region)
    sizes = np.bincount(labelled.ravel())[1:]
    largest = 1 + np.flatnonzero(sizes == sizes.max(initial=0))
    assert not count or any(region[labelled == number].all() for number in largest)


def test_one_region_worked_by_hand():
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 1], [0, 0, 0, 1, 0]], bool)
    expected = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    assert np.array_equal(one_region(mask), expected), "touching at a corner is not enough"
    assert not one_region(np.zeros((3, 4), bool)).any() and one_region(np.ones((3, 4), bool)).all()


def test_enlarge_is_bilinear_and_keeps_height_and_width_apart():
    enlarged = enlarge(np.array([[0.0, 1.0]]), height=3, width=8)
    assert enlarged.shape == (3, 8) and enlarged.dtype == np.float32
    expected = [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    assert enlarged.tolist() == [pytest.approx(expected, abs=0.01)] * 3
    probability = np.random.default_rng(0).random((5, 7))
    assert np.allclose(enlarge(probability, 5, 7), probability)
