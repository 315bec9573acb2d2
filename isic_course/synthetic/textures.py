"""Building blocks of the drawn images: noise, lattices, spots and lines.

Every function returns one field, a float32 array [height, width], and draws its randomness from the generator it
is given, so that the same generator state gives the same field. Lengths are in pixels of that field.
"""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft

# points [n, 2] as x and y in pixels; width in pixels; strength from 0 to 1
Stroke = tuple[np.ndarray, float, float]

FINENESS = 3  # lines are drawn this many times larger and averaged down, which smooths their edges


@lru_cache(maxsize=128)
def _frequencies(shape: tuple[int, int]) -> np.ndarray:
    """Length of each spatial frequency of a real Fourier transform, in waves per pixel: [height, width // 2 + 1]."""
    vertical = np.fft.fftfreq(shape[0])[:, None]
    horizontal = np.fft.rfftfreq(shape[1])[None, :]
    return np.hypot(vertical, horizontal).astype(np.float32)


@lru_cache(maxsize=1024)
def _fractal_filter(shape: tuple[int, int], largest: int, exponent: float) -> np.ndarray:
    return _scaled((_frequencies(shape) ** 2 + (1.0 / largest) ** 2) ** (-exponent / 2))


@lru_cache(maxsize=256)
def _blob_filter(shape: tuple[int, int], size: float) -> np.ndarray:
    return _scaled(np.exp(-((_frequencies(shape) * (1.5 * size)) ** 2)))


def _scaled(passing: np.ndarray) -> np.ndarray:
    """Scale a filter so that white noise comes out with mean 0 and, on average, standard deviation 1."""
    passing[0, 0] = 0
    passing[:, [0, -1]] *= np.float32(np.sqrt(2))  # of these columns the inverse transform uses half the noise
    power = 4 * (passing**2).sum() - 3 * (passing[:, [0, -1]] ** 2).sum()
    return passing * np.float32(passing.shape[0] * 2 * (passing.shape[1] - 1) / np.sqrt(power))


def _filtered(rng: np.random.Generator, shape: tuple[int, int], passing: np.ndarray) -> np.ndarray:
    """Filtered noise, drawn as its frequencies, which saves the transform of white noise to them."""
    rows, columns = passing.shape
    noise = rng.standard_normal((rows, 2 * columns), dtype=np.float32).view(np.complex64)
    noise *= passing
    return fft.irfft2(noise, s=shape, overwrite_x=True)


def fractal(rng: np.random.Generator, shape: tuple[int, int], largest: int, exponent: float = 1.8) -> np.ndarray:
    """Cloudy noise with detail at every scale up to `largest` pixels; mean 0, standard deviation about 1.

    A larger exponent makes it smoother (1 is grainy, 2.5 is soft clouds).
    """
    return _filtered(rng, shape, _fractal_filter(shape, largest, exponent))


def blobs(rng: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    """Smooth noise with bumps of about `size` pixels and none smaller; mean 0, standard deviation about 1."""
    return _filtered(rng, shape, _blob_filter(shape, size))


def lattice(rng: np.random.Generator, shape: tuple[int, int], spacing: float, disorder: float) -> np.ndarray:
    """A honeycomb: 1 in the middle of each cell, falling to about 0 on the lines between the cells.

    Three plane waves at 120 degrees add up to a hexagonal pattern; `disorder` (0 to about 1, in cells) bends it
    so that the cells differ in size and shape.
    """
    rows, columns = np.indices(shape, dtype=np.float32)
    rows += disorder * spacing * blobs(rng, shape, 2.5 * spacing)
    columns += disorder * spacing * blobs(rng, shape, 2.5 * spacing)
    start = rng.uniform(0, 2 * np.pi)
    waves = np.zeros(shape, np.float32)
    for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3):
        direction = start + turn
        phase = 2 * np.pi / (spacing * 0.866) * (columns * math.cos(direction) + rows * math.sin(direction))
        waves += np.cos(phase)
    return (waves + 1.5) / 4.5


def spots(
    rng: np.random.Generator, where: np.ndarray, count: int, radius: tuple[float, float], softness: float = 0.6
) -> np.ndarray:
    """About `count` round spots, 1 inside and 0 outside, their centres drawn where the field `where` is large.

    Radii are drawn between the two given; `softness` is the width of a spot's edge in pixels.
    """
    field = np.zeros(where.shape, np.float32)
    weights = np.clip(where, 0, None).ravel().astype(np.float64)
    if count < 1 or weights.sum() <= 0:
        return field
    centres = rng.choice(weights.size, size=count, p=weights / weights.sum())
    radii = rng.uniform(*radius, size=count)
    heights = rng.uniform(0.6, 1.0, size=count)
    for centre, one_radius, height in zip(centres, radii, heights, strict=True):
        row, column = divmod(int(centre), where.shape[1])
        reach = int(one_radius + 3 * softness) + 2
        top, left = max(row - reach, 0), max(column - reach, 0)
        window = field[top : row + reach + 1, left : column + reach + 1]
        rows = np.arange(top, top + window.shape[0], dtype=np.float32)[:, None] - row
        columns = np.arange(left, left + window.shape[1], dtype=np.float32)[None, :] - column
        distance = np.sqrt(rows * rows + columns * columns)
        np.maximum(window, height * soft_step((one_radius - distance) / softness), out=window)
    return field


def lines(shape: tuple[int, int], strokes: list[Stroke]) -> np.ndarray:
    """Draw lines with smooth edges, each as strong (0 to 1) as its stroke says; strokes that cross do not add up."""
    height, width = shape
    canvas = Image.new("L", (width * FINENESS, height * FINENESS))
    pen = ImageDraw.Draw(canvas)
    for points, thickness, strength in strokes:
        corners = [(float(x) * FINENESS, float(y) * FINENESS) for x, y in points]
        pen.line(corners, fill=int(255 * strength), width=max(1, round(thickness * FINENESS)), joint="curve")
    return np.asarray(canvas.reduce(FINENESS), np.float32) / 255


def wander(
    rng: np.random.Generator, start: tuple[float, float], heading: float, steps: int, stride: float, turn: float
) -> np.ndarray:
    """Points [steps + 1, 2] of a line that starts at x, y and changes its heading a little at each step."""
    headings = heading + np.cumsum(rng.normal(0, turn, size=steps))
    moves = stride * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.concatenate([[start], np.asarray(start) + np.cumsum(moves, axis=0)])


def soft_step(field: np.ndarray) -> np.ndarray:
    """The logistic function: 0 far below zero, 1 far above it."""
    return 1 / (1 + np.exp(-np.clip(field, -20, 20)))
