"""The experiment of lesson 10: a painted ruler, and as much of the same ink that is no ruler.

Images are uint8 [height, width, 3] of any size; lengths are in pixels. A shape is a list of lines along the upper side,
each given by its points, x and y [n, 2].
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy.special import logsumexp

from isic_utils.datasets.images import resize

ALIKE = ["BCC", "AK", "BKL", "SCC"]  # classes that look alike: a cue beside the lesion is worth most for them
IMAGE_SIZE = 128  # pixels of an image of which features are computed
INK = (40, 35, 40)
UPPER = 0.12  # of the height: there the round field of view shows what is painted


def ruler(height: int, width: int) -> list[np.ndarray]:
    """Marks, each fifth one longer."""
    marks = np.arange(17)
    x, lengths = width * (0.1 + marks / 24), height * np.where(marks % 5 == 0, 0.1, 0.06)
    return [
        np.array([(left, UPPER * height), (left, UPPER * height + length)])
        for left, length in zip(x, lengths, strict=True)
    ]


def ink(height: int, width: int) -> float:
    """The length of the marks of a ruler together."""
    return sum(np.ptp(mark, axis=0).max() + 1 for mark in ruler(height, width))


def wavy_line(height: int, width: int) -> list[np.ndarray]:
    """A wavy line of as many pixels as a ruler, like those that the sample shows in every class."""
    x = np.arange(0.1, 0.98, 1 / 80)
    y = UPPER + 0.05 + 0.04 * np.sin(2 * np.pi * 8 * x)
    line = np.stack([width * x, height * y], axis=1).round()
    pixels = np.abs(np.diff(line, axis=0)).max(axis=1).cumsum()  # a thin line has one in each column or in each row
    return [line[: 1 + np.searchsorted(pixels, ink(height, width))]]


def crosses(height: int, width: int) -> list[np.ndarray]:
    """A row of diagonal crosses of as many pixels as a ruler, which the sample does not show."""
    side, y = 0.06 * height, UPPER * height
    places = np.linspace(0.1, 0.74, round(ink(height, width) / (2 * (side + 1)))) * width
    return [np.array([(x, y + down), (x + side, y + side - down)]) for x in places for down in (0, side)]


SHAPES = {"ruler": ruler, "crosses": crosses, "wavy line": wavy_line}


def painted(image: np.ndarray, shape: Callable[[int, int], list[np.ndarray]]) -> np.ndarray:
    """A copy of an image with a shape of ink."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    for points in shape(canvas.height, canvas.width):
        pen.line([tuple(point) for point in points], fill=INK, width=max(1, canvas.width // 160))
    return np.asarray(canvas)


def shrunk(images: list[np.ndarray], side: int) -> np.ndarray:
    """Images of any sizes as a network sees them: uint8 [n, side, side, 3]."""
    return np.stack([resize(Image.fromarray(image), (side, side)) for image in images])


def log_odds(logits: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) of the softmax p of each class: float [n, classes], as are the logits."""
    classes = np.arange(logits.shape[1])
    return np.stack([logits[:, one] - logsumexp(logits[:, classes != one], axis=1) for one in classes], axis=1)
