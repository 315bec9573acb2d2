"""A photograph of a drawn lesion: the person's skin, the camera's view and light, and what lies on the skin.

Colours are mixed as light is absorbed: what is left of the light after passing pigment of density d is exp(-d x
absorption), separately for red, green and blue (the Beer-Lambert law). Melanin and blood of the lesion are added to
those of the skin, so the skin's texture goes on through the lesion. Images are float32 [height, width, 3], 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .lesions import LAYERS, Lesion
from .textures import Stroke, blobs, fractal, lines, soft_step, spots, wander

# Red, green, blue. Chosen so that pale, tanned, reddened and pigmented skin have the colours of dermoscopic images.
MELANIN_ABSORPTION = np.array([0.46, 0.92, 1.28], np.float32)
BLOOD_ABSORPTION = np.array([0.13, 0.74, 0.45], np.float32)
BLOODLESS_SKIN = np.array([0.94, 0.84, 0.885], np.float32)
VEIL_COLOUR = np.array([0.42, 0.43, 0.53], np.float32)
WHITE_COLOUR = np.array([0.93, 0.84, 0.85], np.float32)
CRUST_COLOUR = np.array([0.80, 0.62, 0.38], np.float32)
REFERENCE_HEIGHT = 120  # images are drawn at least this high, and reduced where they shall be smaller


@dataclass(frozen=True)
class Person:
    """What all photographs of a lesion share besides the lesion: the skin around it and the clinic's camera."""

    melanin: float
    blood: float
    sun_damage: float  # 0 to 1: mottled pigment and widened vessels
    hairs: float  # hairs in the image, on average
    white_balance: np.ndarray  # gain of red, green and blue
    corners: float  # chance that the corners are dark, 0 to 1


def draw_person(rng: np.random.Generator, years: int) -> Person:
    """Draw the skin and the clinic of one lesion; older skin is more sun-damaged."""
    tone = rng.choice(3, p=[0.88, 0.09, 0.03])
    melanin = rng.uniform(*((0.04, 0.22), (0.22, 0.50), (0.50, 1.0))[tone])
    return Person(
        melanin=float(melanin),
        blood=float(rng.uniform(0.03, 0.23)),
        sun_damage=float(np.clip(rng.beta(1.2, 3) + 0.006 * (years - 50), 0, 1)),
        hairs=float(rng.choice([0, 0, 0, 0, 0, 1, 3, 12])),
        white_balance=np.exp(rng.normal(0, [0.03, 0.03, 0.04])).astype(np.float32),
        corners=float(rng.choice([0.05, 0.05, 0.05, 0.9])),
    )


def take(
    rng: np.random.Generator, lesion: Lesion, person: Person, size: tuple[int, int], ruler: bool
) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Photograph a lesion. Returns the image, uint8 [height, width, 3], the exact mask, bool [height, width], and the
    names of what lies on the skin (but for a ruler, which the caller knows of)."""
    width, height = size
    enlarge = max(1.0, REFERENCE_HEIGHT / height)
    shape = (round(height * enlarge), round(width * enlarge))
    layers, inside = _view(rng, lesion, shape)
    image = _skin_and_lesion(rng, person, layers)
    image = _light(rng, person, image)
    image, on_the_skin = _on_the_skin(rng, person, image, ruler)
    image = _corners(rng, person, image)
    focus = rng.uniform(0.25, 0.75)  # blur, in pixels
    image = ndimage.gaussian_filter(image, (focus, focus, 0))
    image += 0.010 * rng.standard_normal(image.shape, dtype=np.float32)
    taken = Image.fromarray((255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8))
    mask = Image.fromarray(inside.astype(np.float32))
    if enlarge > 1:
        taken, mask = taken.resize(size, Image.Resampling.LANCZOS), mask.resize(size, Image.Resampling.BOX)
    return np.asarray(taken), np.asarray(mask) > 0.5, on_the_skin


def _view(rng: np.random.Generator, lesion: Lesion, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The layers and the mask of the lesion as the camera sees them: turned, nearer or farther, a little slanted."""
    height, width = shape
    zoom = (height / REFERENCE_HEIGHT) * np.exp(rng.normal(0, 0.08))
    turn, slant_direction = rng.normal(0, 0.5), rng.uniform(0, np.pi)
    squeeze = rng.uniform(0.88, 1.0)
    slant = _rotation(slant_direction) @ np.diag([1 / squeeze, 1.0]) @ _rotation(-slant_direction)
    to_canvas = slant @ _rotation(turn) / zoom
    middle = np.array([width / 2, height / 2]) + rng.normal(0, 0.05, size=2) * [width, height]
    offset = lesion.layers.shape[1] / 2 - to_canvas @ middle
    affine = (*to_canvas[0], offset[0], *to_canvas[1], offset[1])
    seen = []
    for layer in (*lesion.layers, lesion.mask.astype(np.float32)):
        canvas = Image.fromarray(layer)
        view = canvas.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
        seen.append(np.asarray(view))
    return np.stack(seen[:-1]), seen[-1] > 0.5


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
    melanin = np.clip(melanin + of_lesion["melanin"] * (1 + 0.08 * mottle), 0, 3.2)
    blood = np.clip(blood + of_lesion["blood"] * (1 + 0.08 * mottle), 0, 2.6)
    absorbed = melanin[..., None] * MELANIN_ABSORPTION + blood[..., None] * BLOOD_ABSORPTION
    image = BLOODLESS_SKIN * np.exp(-absorbed)
    for name, colour in (("veil", VEIL_COLOUR), ("crust", CRUST_COLOUR), ("white", WHITE_COLOUR)):
        share = np.clip(of_lesion[name], 0, 0.95)[..., None]
        image += share * (colour - image)
    return image


def _light(rng: np.random.Generator, person: Person, image: np.ndarray) -> np.ndarray:
    """Uneven light from one side, exposure, and the camera's colours."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    tilt = rng.uniform(0, 0.08) * (x * np.cos(direction) + y * np.sin(direction))
    falloff = rng.uniform(0.0, 0.16) * (x * x + y * y) / 2
    exposure = np.exp(rng.normal(0, 0.05))
    gain = person.white_balance * np.exp(rng.normal(0, 0.015, size=3)).astype(np.float32)
    image = image * ((1 + tilt - falloff) * exposure)[..., None] * gain
    grey = image.mean(axis=2, keepdims=True)
    return grey + np.float32(np.exp(rng.normal(0, 0.08))) * (image - grey)


def _blend(image: np.ndarray, share: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    return image + share[..., None] * (np.array(colour, np.float32) - image)


def _on_the_skin(
    rng: np.random.Generator, person: Person, image: np.ndarray, ruler: bool
) -> tuple[np.ndarray, set[str]]:
    """The image with what lies on the skin, and the names of it."""
    shape, names = image.shape[:2], set()
    hairs = rng.poisson(person.hairs)
    if hairs:
        names.add("hair")
        brown = rng.uniform(0.08, 0.35)
        share = 0.85 * lines(shape, _hairs(rng, shape, hairs))
        image = _blend(image, share, (brown, 0.75 * brown, 0.6 * brown))
    if rng.random() < 0.15:
        names.add("bubbles")
        image = _bubbles(rng, image)
    if rng.random() < 0.20:  # glints of the gel
        names.add("glints")
        where = np.clip(fractal(rng, shape, 50, 2.0) - 0.6, 0, None)
        glints = spots(rng, where, int(rng.integers(4, 25)), (0.4, 1.1), 0.4)
        image = _blend(image, 0.8 * glints, (1.0, 0.98, 1.0))
    if rng.random() < 0.02:  # a surgeon's violet pen
        names.add("pen")
        start = (rng.uniform(0.1, 0.9) * shape[1], rng.uniform(0.05, 0.2) * shape[0])
        line = wander(rng, start, rng.uniform(0, 2 * np.pi), 14, 2.5, 0.35)
        image = _blend(image, 0.7 * lines(shape, [(line, 3.0, 0.8)]), (0.36, 0.22, 0.62))
    if ruler:
        image = _blend(image, 0.85 * lines(shape, _ruler(rng, shape)), (0.12, 0.10, 0.12))
    return image, names


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
    height, width = image.shape[:2]
    rows, columns = np.indices((height, width), dtype=np.float32)
    side = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 8))):
        radius = rng.uniform(1.5, 8)
        x, y = columns - rng.uniform(0, width), rows - rng.uniform(0, height)
        distance = np.hypot(x, y)
        lit = 0.5 + 0.5 * np.cos(np.arctan2(y, x) - side)
        image = image * (1 - 0.18 * np.exp(-(((distance - radius + 1.2) / 0.8) ** 2)))[..., None]
        image = _blend(image, 0.55 * lit * np.exp(-(((distance - radius) / 0.6) ** 2)), (1.0, 0.97, 1.0))
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
        strokes.append((np.array([top, top + length * across]), 0.8, 0.9))
    if rng.random() < 0.4:
        strokes.append((np.array([start, start + (marks - 1) * step * along]), 0.8, 0.9))
    turned = int(rng.integers(4))
    return [(_turn(points, turned, width, height), *style) for points, *style in strokes]


def _turn(points: np.ndarray, side: int, width: int, height: int) -> np.ndarray:
    """Move points given along the upper side to the upper, lower, left or right one (`side` 0 to 3)."""
    x, y = points[:, 0], points[:, 1]
    moved = ((x, y), (x, height - y), (y, x), (width - y, x))[side]
    return np.stack(moved, axis=1)


def _corners(rng: np.random.Generator, person: Person, image: np.ndarray) -> np.ndarray:
    """The round field of view of some dermatoscopes leaves the corners dark."""
    if rng.random() >= person.corners:
        return image
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    centre_x, centre_y = width * rng.normal(0.5, 0.02), height * rng.normal(0.5, 0.02)
    distance = np.hypot(x - centre_x, y - centre_y)
    radius = width * rng.uniform(0.44, 0.62)
    dimmed = 1 - 0.35 * np.clip(distance / radius, 0, 1.3) ** 4
    seen = soft_step((radius - distance) / rng.uniform(0.7, 2.5))
    return image * dimmed[..., None] * (0.03 + 0.97 * seen[..., None])
