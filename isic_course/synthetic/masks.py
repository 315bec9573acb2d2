"""Masks of the segmentation pairs, made with differing care, as those of ISIC 2018 are.

ISIC's were drawn by hand as polygons, filled by hand from a seed point, or computed and then accepted by an expert
(the description of ISIC 2018 Task 1). Masks are bool [height, width].
"""

import numpy as np
from scipy import ndimage
from skimage import draw, measure

from isic_utils.inference.postprocess import one_region

from .textures import fractal


def with_care(rng: np.random.Generator, exact: np.ndarray, image: np.ndarray, care: str) -> np.ndarray:
    """Redraw the exact mask in one of three ways: `exact` (one region without holes), `polygon` or `jagged`."""
    exact = one_region(exact)
    if care == "exact" or exact.sum() < 60:
        return exact
    return _polygon(rng, exact) if care == "polygon" else _jagged(rng, exact, image)


def _polygon(rng: np.random.Generator, exact: np.ndarray) -> np.ndarray:
    """A few corners clicked near the border, joined by a smooth curve, a little generous."""
    padded = np.pad(exact, 1)
    contour = max(measure.find_contours(padded.astype(float), 0.5), key=len)[:-1] - 1
    corners = int(rng.integers(9, 18))
    clicked = contour[np.linspace(0, len(contour), corners, endpoint=False).astype(int)]
    middle = clicked.mean(axis=0)
    clicked = middle + (clicked - middle) * rng.normal(1.05, 0.03, size=(corners, 1))
    places = np.linspace(0, corners, 8 * corners, endpoint=False)
    rows = ndimage.map_coordinates(clicked[:, 0], [places], order=2, mode="grid-wrap")
    columns = ndimage.map_coordinates(clicked[:, 1], [places], order=2, mode="grid-wrap")
    return draw.polygon2mask(exact.shape, np.stack([rows, columns], axis=1))


def _jagged(rng: np.random.Generator, exact: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A fill that stopped where the colour changed: its border frays with the darkness of the image, and it may
    have holes and islands."""
    distance = ndimage.distance_transform_edt(exact) - ndimage.distance_transform_edt(~exact)
    darkness = -image.mean(axis=2)
    darkness = (darkness - darkness.mean()) / (darkness.std() + 1e-6)
    frayed = distance + 1.2 * darkness + 1.8 * fractal(rng, exact.shape, 12, 1.2)
    jagged = frayed > 0
    return jagged if rng.random() < 0.25 else one_region(jagged)
