"""A photograph of a drawn lesion: the person's skin, the camera's view and light, and what lies on the skin.

Colours are mixed as light is absorbed: what is left of the light after passing pigment of density d is exp(-d x
absorption), separately for red, green and blue (the Beer-Lambert law). Melanin and blood of the lesion are added to
those of the skin, so the skin's texture goes on through the lesion. Images are float32 [3, height, width], 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .clinics import Clinic
from .lesions import LAYERS, Lesion
from .textures import Stroke, blobs, fractal, lines, soft_step, spots, wander

# Red, green, blue. Chosen so that pale, tanned, reddened and pigmented skin have the colours of dermoscopic images.
MELANIN_ABSORPTION = np.array([0.46, 0.92, 1.28], np.float32)
SKIN_MELANIN_ABSORPTION = np.array([0.60, 0.86, 1.06], np.float32)  # lies deeper and finer: dark skin is less red
BLOOD_ABSORPTION = np.array([0.13, 0.74, 0.45], np.float32)
BLOODLESS_SKIN = np.array([0.94, 0.84, 0.885], np.float32)
VEIL_COLOUR = np.array([0.42, 0.43, 0.53], np.float32)
WHITE_COLOUR = np.array([0.93, 0.84, 0.85], np.float32)
CRUST_COLOUR = np.array([0.80, 0.62, 0.38], np.float32)
RULER_COLOUR = np.array([0.12, 0.10, 0.12], np.float32)
REFERENCE_HEIGHT = 120  # images are drawn at least this high, and reduced where they shall be smaller

# Density of melanin in healthy skin, least and most. In neutral light the individual typology angle of such skin is
# above 60, 25 to 60, -25 to 10 and below -30 degrees.
SKIN_TONES = {"light": (0.04, 0.35), "intermediate": (0.42, 0.58), "brown": (0.65, 0.88), "dark": (0.95, 1.25)}


@dataclass(frozen=True)
class Person:
    """What all photographs of a lesion share besides the lesion: the skin around it and the clinic's camera."""

    melanin: float
    blood: float
    sun_damage: float  # 0 to 1: mottled pigment and widened vessels
    hairs: float  # hairs in the image, on average
    white_balance: np.ndarray  # gain of red, green and blue
    border: float  # chance that the border of the round field of view is seen, 0 to 1


@dataclass(frozen=True)
class Marks:
    """What was planned to lie on the skin: ruler marks, and as much of the same ink that is no ruler."""

    ruler: bool = False
    ink: bool = False


def draw_person(rng: np.random.Generator, years: int, skin_tone: str, clinic: Clinic) -> Person:
    """Draw the skin around one lesion and the clinic's camera; older skin is more sun-damaged."""
    gains = np.log(clinic.gains) + rng.normal(0, 0.035, size=3)  # on a log scale
    return Person(
        melanin=float(rng.uniform(*SKIN_TONES[skin_tone])),
        blood=float(rng.uniform(0.03, 0.23)),
        sun_damage=float(np.clip(rng.beta(1.2, 3) + 0.006 * (years - 50), 0, 1)),
        hairs=float(rng.choice([0, 0, 0, 0, 0, 1, 3, 12])),
        white_balance=np.exp(gains).astype(np.float32),
        border=0.95 if rng.random() < clinic.border else 0.03,
    )


def take(
    rng: np.random.Generator, lesion: Lesion, person: Person, clinic: Clinic, size: tuple[int, int], marks: Marks
) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Photograph a lesion. Returns the image, uint8 [height, width, 3], the exact mask, bool [height, width], and the
    names of what lies on the skin (but for a ruler, which the caller knows of)."""
    width, height = size
    enlarge = max(1.0, REFERENCE_HEIGHT / height)
    shape = (round(height * enlarge), round(width * enlarge))
    (of_marks,) = rng.spawn(1)  # so that an image without them is the same in all else
    radius = rng.uniform(*clinic.radius) if rng.random() < person.border else None
    zoom = clinic.zoom * (1 if radius is None else min(1, radius / 0.56))
    layers, inside = _view(rng, lesion, shape, zoom)
    image = _skin_and_lesion(rng, person, layers)
    image = _light(rng, person, clinic, image)
    image, on_the_skin = _on_the_skin(rng, person, clinic, image)
    if marks.ink:
        on_the_skin.add("ink")
        image = _blend(image, 0.9 * lines(shape, _within(_ink(of_marks, shape), shape, radius)), RULER_COLOUR)
    if marks.ruler:
        image = _blend(image, 0.9 * lines(shape, _within(_ruler(of_marks, shape), shape, radius)), RULER_COLOUR)
    if radius is not None:
        image = _field_of_view(rng, image, radius * shape[1])
    focus = rng.uniform(*clinic.focus)  # blur, in pixels
    image = ndimage.gaussian_filter(image, (0, focus, focus), truncate=3)
    image += np.float32(clinic.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    taken = (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8).transpose(1, 2, 0)
    if enlarge == 1:
        return taken, inside, on_the_skin
    taken = Image.fromarray(np.ascontiguousarray(taken)).resize(size, Image.Resampling.LANCZOS)
    mask = Image.fromarray(inside.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.asarray(taken), np.asarray(mask) > 0.5, on_the_skin


def _view(
    rng: np.random.Generator, lesion: Lesion, shape: tuple[int, int], zoom: float
) -> tuple[np.ndarray, np.ndarray]:
    """The layers and the mask of the lesion as the camera sees them: rotated, nearer or farther, a little slanted."""
    height, width = shape
    zoom *= height / REFERENCE_HEIGHT * float(np.exp(rng.normal(0, 0.08)))
    turn, slant_direction = rng.normal(0, 0.5), rng.uniform(0, np.pi)
    squeeze = rng.uniform(0.88, 1.0)
    slant = _rotation(slant_direction) @ np.diag([1 / squeeze, 1.0]) @ _rotation(-slant_direction)
    to_canvas = slant @ _rotation(turn) / zoom
    middle = np.array([width / 2, height / 2]) + rng.normal(0, 0.05, size=2) * [width, height]
    offset = lesion.layers.shape[1] / 2 - to_canvas @ middle
    affine = (*to_canvas[0], offset[0], *to_canvas[1], offset[1])
    seen = np.zeros((len(lesion.layers) + 1, height, width), np.float32)
    for view, layer in zip(seen, (*lesion.layers, lesion.mask.astype(np.float32)), strict=True):
        if layer.any():
            canvas = Image.fromarray(layer)
            view[:] = canvas.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return seen[:-1], seen[-1] > 0.5


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _skin_and_lesion(rng: np.random.Generator, person: Person, layers: np.ndarray) -> np.ndarray:
    shape = layers.shape[1:]
    of_lesion = dict(zip(LAYERS, layers, strict=True))
    clouds, mottle, grain = fractal(rng, shape, 90, 2.0), fractal(rng, shape, 20, 2.2), blobs(rng, shape, 2.5)
    furrows = np.exp(-((blobs(rng, shape, 6) / 0.22) ** 2))  # the fine lines of the skin
    freckles = np.clip(fractal(rng, shape, 30, 2.6) - 0.8, 0, 1.5)
    coarseness = rng.uniform(0.2, 1.2)
    melanin = person.melanin * (1 + 0.10 * clouds + 0.08 * mottle) + person.sun_damage * 0.22 * freckles
    melanin = melanin + coarseness * (0.012 * grain - 0.015 * furrows)
    blood = person.blood * (1 + 0.10 * clouds) + (0.010 + 0.05 * person.sun_damage) * mottle
    blood = blood + coarseness * 0.012 * grain
    of_skin = np.clip(melanin, 0, 2)
    melanin = np.clip(of_lesion["melanin"] * (1 + 0.08 * mottle), 0, 3.2)
    blood = np.clip(blood + of_lesion["blood"] * (1 + 0.08 * mottle), 0, 2.6)
    absorbed = of_skin * _per_channel(SKIN_MELANIN_ABSORPTION) + melanin * _per_channel(MELANIN_ABSORPTION)
    absorbed += blood * _per_channel(BLOOD_ABSORPTION)
    image = _per_channel(BLOODLESS_SKIN) * np.exp(-absorbed)
    for name, colour in (("veil", VEIL_COLOUR), ("crust", CRUST_COLOUR), ("white", WHITE_COLOUR)):
        if of_lesion[name].any():
            image = _blend(image, np.clip(of_lesion[name], 0, 0.95), colour)
    return image


def _per_channel(values: np.ndarray) -> np.ndarray:
    """Three numbers as [3, 1, 1], to be combined with an image."""
    return np.asarray(values, np.float32)[:, None, None]


def _light(rng: np.random.Generator, person: Person, clinic: Clinic, image: np.ndarray) -> np.ndarray:
    """Uneven light from one side, exposure, and the camera's colours."""
    height, width = image.shape[1:]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    direction, tilt, falloff = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.08), rng.uniform(0.0, 0.16)
    light = 1 + tilt * float(np.cos(direction)) * x - falloff / 2 * x * x
    light = light + (tilt * float(np.sin(direction)) * y - falloff / 2 * y * y)
    exposure = clinic.exposure * np.exp(rng.normal(0, 0.05))
    gain = person.white_balance * np.exp(rng.normal(0, 0.015, size=3))
    image = image * light * _per_channel(exposure * gain)
    grey = image.mean(axis=0)
    return grey + float(clinic.saturation * np.exp(rng.normal(0, 0.08))) * (image - grey)


def _blend(image: np.ndarray, share: np.ndarray, colour: np.ndarray | tuple[float, float, float]) -> np.ndarray:
    return image + share * (_per_channel(colour) - image)


def _on_the_skin(
    rng: np.random.Generator, person: Person, clinic: Clinic, image: np.ndarray
) -> tuple[np.ndarray, set[str]]:
    """The image with what lies on the skin, and the names of it."""
    shape, names = image.shape[1:], set()
    hairs = rng.poisson(person.hairs)
    if hairs:
        names.add("hair")
        brown = rng.uniform(0.08, 0.35)
        share = 0.85 * lines(shape, _hairs(rng, shape, hairs))
        image = _blend(image, share, (brown, 0.75 * brown, 0.6 * brown))
    if rng.random() < clinic.bubbles:
        names.add("bubbles")
        image = _bubbles(rng, image)
    if rng.random() < clinic.glints:  # of the gel
        names.add("glints")
        where = np.clip(fractal(rng, shape, 50, 2.0) - 0.6, 0, None)
        glints = spots(rng, where, int(rng.integers(4, 25)), (0.4, 1.1), 0.4)
        image = _blend(image, 0.8 * glints, (1.0, 0.98, 1.0))
    if rng.random() < clinic.pen:
        names.add("pen")
        image = _blend(image, 0.7 * lines(shape, _pen(rng, shape)), (0.36, 0.22, 0.62))
    return image, names


def _pen(rng: np.random.Generator, shape: tuple[int, int]) -> list[Stroke]:
    """A surgeon's marks: short lines around the lesion, or one long line beside it."""
    height, width = shape
    if rng.random() < 0.4:
        start = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.05, 0.2) * height)
        return [(wander(rng, start, rng.uniform(0, 2 * np.pi), 14, 2.5, 0.35), 3.0, 0.8)]
    count, first, strokes = int(rng.integers(3, 7)), rng.uniform(0, 2 * np.pi), []
    for number in range(count):
        angle = first + 2 * np.pi * number / count
        away = rng.uniform(0.36, 0.46) * np.array([width, height])
        start = np.array([width, height]) / 2 + away * [np.cos(angle), np.sin(angle)]
        strokes.append((wander(rng, start, angle + rng.normal(0, 0.5), 3, 2.0, 0.3), 2.6, rng.uniform(0.6, 0.9)))
    return strokes


def _hairs(rng: np.random.Generator, shape: tuple[int, int], count: int) -> list[Stroke]:
    height, width = shape
    combed, strokes = rng.uniform(0, 2 * np.pi), []
    thickness = rng.uniform(0.5, 1.2)
    for _ in range(count):
        start = (rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height)
        steps = int(rng.integers(8, 26))
        bend = rng.normal(0, 0.06)
        points = wander(rng, start, combed + rng.normal(0, 0.5), steps, 0.045 * height, 0.05)
        along = np.linspace(0, 1, len(points))[:, None] ** 2
        points = points + along * bend * height * np.array([np.sin(combed), -np.cos(combed)]) * 4
        strokes.append((points, thickness * rng.uniform(0.7, 1.3), rng.uniform(0.5, 1.0)))
    return strokes


def _bubbles(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Air in the gel: thin bright rims, a little darker just inside."""
    height, width = image.shape[1:]
    rows, columns = np.indices((height, width), dtype=np.float32)
    side = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 8))):
        radius = rng.uniform(1.5, 8)
        x, y = columns - rng.uniform(0, width), rows - rng.uniform(0, height)
        distance = np.hypot(x, y)
        bright = 0.5 + 0.5 * np.cos(np.arctan2(y, x) - side)
        image = image * (1 - 0.18 * np.exp(-(((distance - radius + 1.2) / 0.8) ** 2)))
        image = _blend(image, 0.55 * bright * np.exp(-(((distance - radius) / 0.6) ** 2)), (1.0, 0.97, 1.0))
    return image


def _ruler(rng: np.random.Generator, shape: tuple[int, int]) -> list[Stroke]:
    """Millimetre marks along one side of the image."""
    height, width = shape
    step, long, strokes = rng.uniform(5, 8), rng.uniform(6, 9), []
    tilt = rng.normal(0, 0.12)
    along = np.array([np.cos(tilt), np.sin(tilt)])
    across = np.array([-along[1], along[0]])
    start = np.array([rng.uniform(0.02, 0.5) * width, rng.uniform(0.02, 0.10) * height])
    marks = int(rng.integers(8, 24))
    for mark in range(marks):
        top = start + mark * step * along
        length = long if mark % 5 == 0 else 0.6 * long
        strokes.append((np.array([top, top + length * across]), 1.0, 1.0))
    if rng.random() < 0.4:
        strokes.append((np.array([start, start + (marks - 1) * step * along]), 1.0, 1.0))
    quarters = int(rng.integers(4))
    return [(_turn(points, quarters, width, height), *style) for points, *style in strokes]


def _ink(rng: np.random.Generator, shape: tuple[int, int]) -> list[Stroke]:
    """A wavy line along one side of the image: as long in all as a ruler's marks, as thick, and no ruler."""
    length = sum(np.hypot(*np.diff(points, axis=0).T).sum() for points, *_ in _ruler(rng, shape))
    height, width = shape
    rise, wave = rng.uniform(2, 4), rng.uniform(9, 16)
    along = np.arange(0, 0.9 * width, 0.5)
    bent = rise * np.sin(2 * np.pi * along / wave + np.cumsum(rng.normal(0, 0.05, size=len(along))))
    start = np.array([rng.uniform(0.02, 0.2) * width, rng.uniform(0.04, 0.10) * height])
    points = start + np.stack([along, bent], axis=1)
    drawn = np.cumsum(np.hypot(*np.diff(points, axis=0).T)) < length
    points = points[: max(2, int(drawn.sum()))]
    return [(_turn(points, int(rng.integers(4)), width, height), 1.0, 1.0)]


def _within(strokes: list[Stroke], shape: tuple[int, int], radius: float | None) -> list[Stroke]:
    """The strokes moved to where the round field of view shows them; radius in widths of the image, None: no field."""
    middle, nearer = np.array(shape[::-1]) / 2, min(1, 1.6 * (radius or 1))
    return [(middle + nearer * (points - middle), *style) for points, *style in strokes]


def _turn(points: np.ndarray, side: int, width: int, height: int) -> np.ndarray:
    """Move points given along the upper side to the upper, lower, left or right one (`side` 0 to 3)."""
    x, y = points[:, 0], points[:, 1]
    moved = ((x, y), (x, height - y), (y, x), (width - y, x))[side]
    return np.stack(moved, axis=1)


def _field_of_view(rng: np.random.Generator, image: np.ndarray, radius: float) -> np.ndarray:
    """The round field of view of a dermatoscope, its radius in pixels: dimmer towards its border, black outside."""
    height, width = image.shape[1:]
    centre_x, centre_y = width * rng.normal(0.5, 0.02), height * rng.normal(0.5, 0.02)
    y, x = np.arange(height, dtype=np.float32)[:, None] - centre_y, np.arange(width, dtype=np.float32) - centre_x
    distance = np.sqrt(x * x + y * y)
    dimmed = 1 - 0.35 * np.clip(distance / radius, 0, 1.3) ** 4
    seen = soft_step((radius - distance) / rng.uniform(0.7, 2.5))
    return image * (dimmed * (0.03 + 0.97 * seen)).astype(np.float32)
