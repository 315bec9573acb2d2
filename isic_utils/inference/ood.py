"""Out-of-distribution (OOD) detection: whether an image is of the kind that a model was trained on.

A softmax shares 1 among the classes that it knows, whatever the image shows, a black one too. So the image itself is
measured, by properties that a sentence can name: its colours and its sharpness, both at the size that the model sees.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import ndimage

from isic_utils.datasets import ImageStore

FALSE_POSITIVE_RATE = 0.01  # of each score, among in-distribution images; sets its limits


@dataclass(frozen=True)
class OodDetector:
    """What is usual among images. mean [10], inverse [10, 10] (of the covariance): of their `image_features`;
    max_distance: the largest usual distance from the mean; sharpness: the lowest and the highest usual one."""

    mean: np.ndarray
    inverse: np.ndarray
    max_distance: float
    sharpness: tuple[float, float]

    @classmethod
    def fit(cls, training: np.ndarray, validation: np.ndarray) -> Self:
        """A detector of what is unlike the training images; validation sets its limits, for `FALSE_POSITIVE_RATE`.

        training, validation: uint8 [n, height, width, 3], of the same size as the images to be judged later.
        """
        features = image_features(training)
        unlimited = cls(features.mean(axis=0), np.linalg.pinv(np.cov(features.T)), np.inf, (-np.inf, np.inf))
        scores = unlimited.scores(validation)
        max_distance = float(scores["distance"].quantile(1 - FALSE_POSITIVE_RATE))
        sharpness = scores["sharpness"].quantile([FALSE_POSITIVE_RATE / 2, 1 - FALSE_POSITIVE_RATE / 2])
        return cls(unlimited.mean, unlimited.inverse, max_distance, tuple(sharpness))

    def scores(self, pixels: np.ndarray) -> pd.DataFrame:
        """A row per image: distance, the Mahalanobis distance of its `image_features` from their mean, which counts in
        standard deviations and knows how features correlate (Mahalanobis 1936); and sharpness, the last feature.

        pixels: uint8 [n, height, width, 3].
        """
        features = image_features(pixels)
        difference = features - self.mean
        squared = np.einsum("ni,ij,nj->n", difference, self.inverse, difference)
        return pd.DataFrame({"distance": np.sqrt(squared.clip(0)), "sharpness": features[:, -1]})

    def reasons(self, pixels: np.ndarray) -> list[str | None]:
        """Why each image is out of distribution, in words; None for one in distribution. pixels: as in `scores`."""
        scores, (lowest, highest) = self.scores(pixels), self.sharpness
        reasons = {
            "it is blurred or empty: nothing in it is as sharp as in the training images": scores["sharpness"] < lowest,
            "it has more fine detail than any skin in the training images": scores["sharpness"] > highest,
            "its colours are not those of the training images": scores["distance"] > self.max_distance,
        }
        return np.select(list(reasons.values()), list(reasons), default=None).tolist()

    def out_of_distribution(self, store: ImageStore, images: pd.Series) -> np.ndarray:
        """Whether each of the named images, which the store has decoded, is out of distribution: boolean [n]."""
        chunks = np.array_split(store.rows(images), -(-len(images) // 256))  # which bounds the memory in use
        return np.array([reason is not None for rows in chunks for reason in self.reasons(store.take(rows))])


def image_features(pixels: np.ndarray) -> np.ndarray:
    """Ten features of each image, float [n, 10]: the means of red, green and blue, their standard deviations, those of
    red - green and green - blue, and the logarithms of contrast and sharpness.

    Contrast is the standard deviation of the grey image; sharpness that of its Laplacian, which is large where pixels
    differ from their neighbours (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548). pixels: uint8
    [n, height, width, 3].
    """
    rows = []
    for image in pixels:
        colours = image.transpose(2, 0, 1).astype(np.float32, order="C")
        grey, differences = colours.mean(axis=0), colours[:2] - colours[1:]
        contrasts = np.log([grey.std() + 0.1, ndimage.laplace(grey).std() + 0.1])
        rows.append([*colours.mean((1, 2)), *colours.std((1, 2)), *differences.std((1, 2)), *contrasts])
    return np.array(rows, dtype=float)
