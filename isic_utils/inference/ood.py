"""Whether a picture is of the kind that a network was trained on; if not, its answer means nothing, however sure.

A softmax shares 1 among the classes it knows, of a black picture too. So the picture itself is measured, by what can be
said in a sentence: its colours, and how sharp it is, both as the network gets to see it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from isic_utils.datasets.images import Pictures

FALSE_REFUSALS = 0.01  # the share of pictures in scope that each measure may refuse, by which its limits are set


@dataclass(frozen=True)
class Scope:
    """What is usual among some pictures. mean [10], inverse [10, 10] (of covariance): of their `look`; farthest: the
    largest usual distance from it; sharpness: the least and the greatest usual one."""

    mean: np.ndarray
    inverse: np.ndarray
    farthest: float
    sharpness: tuple[float, float]


def fit(training: np.ndarray, validation: np.ndarray) -> Scope:
    """The scope of some training pictures; its limits are set on validation, for `FALSE_REFUSALS`.

    training, validation: uint8 [n, height, width, 3], of the same size as those to be judged later.
    """
    usual = look(training)
    inverse = np.linalg.pinv(np.cov(usual.T))
    unlimited = Scope(usual.mean(axis=0), inverse, np.inf, (-np.inf, np.inf))
    measured = measures(unlimited, validation)
    farthest = measured["distance"].quantile(1 - FALSE_REFUSALS)
    least, greatest = measured["sharpness"].quantile([FALSE_REFUSALS / 2, 1 - FALSE_REFUSALS / 2])
    return Scope(unlimited.mean, inverse, float(farthest), (float(least), float(greatest)))


def measures(scope: Scope, pictures: np.ndarray) -> pd.DataFrame:
    """A row per picture: distance, the Mahalanobis distance of its `look` from the usual one, which counts in standard
    deviations and knows which figures go together (Mahalanobis 1936); and sharpness, the last figure of the look."""
    looks = look(pictures)
    apart = looks - scope.mean
    squares = np.einsum("ni,ij,nj->n", apart, scope.inverse, apart)
    return pd.DataFrame({"distance": np.sqrt(squares.clip(0)), "sharpness": looks[:, -1]})


def look(pictures: np.ndarray) -> np.ndarray:
    """Ten figures about each picture, float [n, 10]: the means of red, green and blue, their standard deviations, those
    of red - green and green - blue, and the logarithms of contrast and sharpness.

    Contrast is the standard deviation of the grey picture; sharpness that of its Laplacian, which is large where pixels
    differ from their neighbours (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548). pictures: uint8
    [n, height, width, 3].
    """
    return np.concatenate([look_of(pictures[start : start + 256]) for start in range(0, len(pictures), 256)])


def look_of(pictures: np.ndarray) -> np.ndarray:
    """`look` for as many pictures as may be in memory as decimals at a time."""
    pixels = pictures.reshape(len(pictures), -1, 3).astype(np.float32)
    differences = pixels[..., :2] - pixels[..., 1:]
    contrast = pixels.mean(axis=-1).std(axis=1)
    sharpness = [ndimage.laplace(picture.mean(axis=-1, dtype=np.float32)).std() for picture in pictures]
    colours = [pixels.mean(axis=1), pixels.std(axis=1), differences.std(axis=1)]
    return np.column_stack([*colours, np.log(contrast + 0.1), np.log(np.array(sharpness) + 0.1)]).astype(float)


def refused(scope: Scope, photos: Pictures, images: pd.Series) -> np.ndarray:
    """Whether each of some decoded pictures is out of scope: boolean [n]. images: their names."""
    some = np.array_split(photos.rows(images), -(-len(images) // 256))
    return np.concatenate([[reason is not None for reason in reasons(scope, photos.take(rows))] for rows in some])


def reasons(scope: Scope, pictures: np.ndarray) -> list[str | None]:
    """For each picture why it is refused, in words; None for a picture in scope. pictures: uint8 [n, h, w, 3]."""
    least, greatest = scope.sharpness
    said = []
    for row in measures(scope, pictures).itertuples():
        if row.sharpness < least:
            said.append("it is blurred or empty: nothing in it is as sharp as in the pictures learnt from")
        elif row.sharpness > greatest:
            said.append("it has more fine detail than any skin in the pictures learnt from")
        elif row.distance > scope.farthest:
            said.append("its colours are not those of the pictures learnt from")
        else:
            said.append(None)
    return said
