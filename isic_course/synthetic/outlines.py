"""The outline of one synthetic lesion: how large it is, how irregular, and how softly it passes into the skin."""

import math
from dataclasses import dataclass

import numpy as np

from .textures import blobs, fractal, soft_step

MARGIN = 1.75  # half the canvas, in lesion radii


@dataclass(frozen=True)
class Form:
    """How the outline of a class tends to look. `softness`, `lobes` and `ragged` are in lesion radii."""

    softness: tuple[float, float]  # width of the transition from lesion to skin: least, most
    lobes: float  # how far the outline departs from a circle in large bulges
    ragged: float  # and in fine irregularities
    twin: float  # chance of a second centre beside the first, which makes the lesion asymmetric
    radius: tuple[float, float]  # typical share of the image's height, and its spread (log scale)


FORMS = {
    "MEL": Form((0.06, 0.24), 0.17, 0.13, 0.65, (0.29, 0.30)),
    "NV": Form((0.07, 0.30), 0.09, 0.06, 0.10, (0.24, 0.32)),
    "BCC": Form((0.20, 0.45), 0.13, 0.20, 0.35, (0.25, 0.32)),
    "AK": Form((0.25, 0.50), 0.15, 0.24, 0.40, (0.36, 0.24)),
    "BKL": Form((0.04, 0.20), 0.13, 0.11, 0.35, (0.27, 0.32)),
    "DF": Form((0.24, 0.48), 0.07, 0.10, 0.05, (0.26, 0.24)),
    "VASC": Form((0.07, 0.22), 0.08, 0.08, 0.25, (0.26, 0.28)),
    "SCC": Form((0.18, 0.45), 0.17, 0.24, 0.40, (0.28, 0.30)),
}


@dataclass(frozen=True)
class Outline:
    """The canvas of one lesion. All arrays are float32 [size, size]; `radius` is in pixels."""

    radius: float
    x: np.ndarray  # position relative to the centre, in radii
    y: np.ndarray
    depth: np.ndarray  # above 0 inside the lesion, 0 on its border, about 1 in its middle, below 0 outside
    soft: np.ndarray  # 1 in the middle, about half just inside the border, 0 outside, gradual between

    @property
    def shape(self) -> tuple[int, int]:
        return self.depth.shape

    def band(self, centre: float, width: float) -> np.ndarray:
        """1 where the depth is `centre`, fading to 0 within `width`: a ring along the border."""
        return np.exp(-(((self.depth - centre) / width) ** 2))


def draw_outline(rng: np.random.Generator, form: Form, radius: float) -> Outline:
    """Draw an irregular outline of about `radius` pixels on a canvas just large enough for it."""
    size = 16 * int(np.ceil(2 * MARGIN * radius / 16))
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / radius
    shape = (size, size)
    x, y = np.broadcast_to(axis, shape), np.broadcast_to(axis[:, None], shape)
    bent_x = x + form.lobes * 0.6 * blobs(rng, shape, radius)
    bent_y = y + form.lobes * 0.6 * blobs(rng, shape, radius)
    distance = _distance(rng, bent_x, bent_y, form.lobes)
    if rng.random() < form.twin:
        away, direction = rng.uniform(0.45, 0.8), rng.uniform(0, 2 * np.pi)
        scale = rng.uniform(0.45, 0.75)
        other_x = (bent_x - away * math.cos(direction)) / scale
        other_y = (bent_y - away * math.sin(direction)) / scale
        distance = np.minimum(distance, _distance(rng, other_x, other_y, form.lobes))
    ragged = form.ragged * rng.uniform(0.6, 1.3)
    depth = 1 - distance + ragged * fractal(rng, shape, max(8, int(0.8 * radius)), 2.4)
    depth -= 6 * np.clip(np.hypot(x, y) - 1.45, 0, None)  # nothing reaches the edge of the canvas
    softness = rng.uniform(*form.softness)
    soft = soft_step((depth + 0.2 * softness) / (0.5 * softness)) * (0.6 + 0.4 * np.clip(2.5 * depth, 0, 1))
    return Outline(radius, x, y, depth.astype(np.float32), soft.astype(np.float32))


def _distance(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, lobes: float) -> np.ndarray:
    """Distance from the centre, in units of the outline's own radius in that direction."""
    stretch, turn = 1 + abs(rng.normal(0, 0.18)), rng.uniform(0, np.pi)
    along = (x * math.cos(turn) + y * math.sin(turn)) / math.sqrt(stretch)
    across = (y * math.cos(turn) - x * math.sin(turn)) * math.sqrt(stretch)
    angle = np.arctan2(across, along)
    outline = np.ones_like(x)
    for wave in range(2, 6):
        outline += lobes * rng.normal(0, 1.2 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(along, across) / np.clip(outline, 0.55, 1.35)
