"""Scores of a predicted mask against the true one: of its area, as ISIC 2018 Task 1 is scored (arXiv:1902.03368), and
of its border.

Masks are boolean arrays [n, height, width]; each score is a float array [n], a value per image.
"""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage


def overlap(true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """The areas of each pair of masks in pixels, from which every score of a mask can be computed.

    Returns integer arrays [n] by name: pixels (of the image), true, predicted, and both (lesion in both masks). Raises
    ValueError for arrays that are not boolean, not [n, height, width] or not of one shape.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.dtype != bool or predicted.dtype != bool or true.shape != predicted.shape or true.ndim != 3:
        raise ValueError("Masks must be boolean arrays of one shape [n, height, width]: compare with a threshold.")
    return {
        "pixels": np.full(len(true), true.shape[1] * true.shape[2]),
        "true": true.sum(axis=(1, 2)),
        "predicted": predicted.sum(axis=(1, 2)),
        "both": (true & predicted).sum(axis=(1, 2)),
    }


def mask_scores(areas: Mapping[str, np.ndarray], threshold: float = 0.65) -> dict[str, np.ndarray]:
    """Every score of each pair of masks, computed from its areas.

    areas: as `overlap` returns them, or a table with these columns. Returns float arrays [n] by name: jaccard
    |A ∩ B| / |A ∪ B| (thesis §4.2.2); thresholded_jaccard, which is 0 where it is below the threshold; dice
    2 |A ∩ B| / (|A| + |B|); sensitivity, the share of the lesion that was found; specificity, the share of the skin
    that was left out. Where the denominator is 0 a score is 1, as in the official scorer: two empty masks agree.
    """
    pixels, true, predicted, both = (np.asarray(areas[name]) for name in ("pixels", "true", "predicted", "both"))
    either = true + predicted - both
    jaccard = ratio(both, either)
    return {
        "jaccard": jaccard,
        "thresholded_jaccard": np.where(jaccard < threshold, 0.0, jaccard),
        "dice": ratio(2 * both, true + predicted),
        "sensitivity": ratio(both, true),
        "specificity": ratio(pixels - either, pixels - true),
    }


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, and 1 where the denominator is 0. Integer arrays [n]; returns a float array [n]."""
    return np.divide(numerator, denominator, out=np.ones(len(denominator)), where=denominator > 0)


def jaccard(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The Jaccard index (IoU) |A ∩ B| / |A ∪ B| of each pair of masks (thesis §4.2.2); two empty masks count 1."""
    return mask_scores(overlap(true, predicted))["jaccard"]


def thresholded_jaccard(true: np.ndarray, predicted: np.ndarray, threshold: float = 0.65) -> np.ndarray:
    """As `jaccard`, but a value below the threshold counts 0: the score that ISIC 2018 Task 1 ranks by."""
    return mask_scores(overlap(true, predicted), threshold)["thresholded_jaccard"]


def boundary_scores(true: np.ndarray, predicted: np.ndarray, tolerance: float = 1.0) -> dict[str, np.ndarray]:
    """How far apart the borders of each pair of masks are; the unit of a distance is a pixel of these masks.

    The border of a mask consists of its pixels that touch the outside, or the edge of the image, at a side. Returns
    float arrays [n] by name: hd95, the Hausdorff distance at the 95th percentile, which is the larger one of the two
    95th percentiles of the distances from one border to the other, from 0 to the image's diagonal; surface_dice, the
    normalised surface Dice, which is the share of both borders' pixels that lie within `tolerance` of the other border,
    from 0 to 1 (Nikolov et al. 2021, arXiv:1809.04430; both are recommended by Metrics Reloaded, Maier-Hein et al.
    2024, doi:10.1038/s41592-023-02151-z). Two empty masks have 0 and 1; the border of one empty mask counts as a
    diagonal away. Raises ValueError as `overlap` does.
    """
    overlap(true, predicted)  # checks the masks
    scores = np.empty((len(true), 2))
    for row, pair in enumerate(zip(true, predicted, strict=True)):
        borders = [mask & ~ndimage.binary_erosion(mask) for mask in pair]
        diagonal = np.full(borders[0].shape, np.hypot(*borders[0].shape))
        away = [ndimage.distance_transform_edt(~border) if border.any() else diagonal for border in borders]
        found = [away[1][borders[0]], away[0][borders[1]]]
        within = np.concatenate(found) <= tolerance
        hd95 = max(np.percentile(distances, 95) if len(distances) else 0 for distances in found)
        scores[row] = hd95, within.mean() if len(within) else 1
    return {"hd95": scores[:, 0], "surface_dice": scores[:, 1]}
