"""What the synthetic archive will hold, decided before anything is drawn: how many images and lesions of each
class, whose they are, and what each photograph shows besides the lesion.

The plan takes milliseconds, so a test or a lesson can look at it without drawing an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from isic_utils.datasets.tables import CODES, COUNTS_2019
from isic_utils.errors import IsicError

# The planted shortcut (data/README.md, "For instructors"): ruler marks say something about the diagnosis that the
# skin does not. It is written into no table; a lesson finds it from the images.
RULER_CLASS = "SCC"
RULER_SHARE_IN_THAT_CLASS = 0.45
RULER_SHARE_ELSEWHERE = 0.08

DOWNSAMPLED_SHARE = 0.08  # of the names end in _downsampled; 2 074 of 25 331 in ISIC 2019
OTHER_SIZE_SHARE = 0.10  # of the images are not of the usual size, but of one of these, relative to it
OTHER_SIZES = ((0.9, 1.2), (1.2, 1.2), (1.125, 1.0), (0.75, 1.0))
SEGMENTATION_PROPORTIONS = {"NV": 0.55, "MEL": 0.20, "BKL": 0.15, "BCC": 0.10}
MASK_CARES = {"exact": 0.4, "polygon": 0.35, "jagged": 0.25}  # how the mask of a pair was made, and how often

# Below, measured on the official metadata of ISIC 2019 and rounded.
IMAGES_PER_LESION = {
    "MEL": 3.1, "NV": 1.6, "BCC": 2.5, "AK": 2.7, "BKL": 1.9, "DF": 2.1, "VASC": 1.9, "SCC": 2.4,
}  # fmt: skip
AGES = {
    "MEL": (61, 16), "NV": (45, 16), "BCC": (66, 15), "AK": (67, 12),
    "BKL": (64, 14), "DF": (52, 15), "VASC": (53, 20), "SCC": (71, 11),
}  # mean and standard deviation in years  # fmt: skip
MALE_SHARE = {
    "MEL": 0.55, "NV": 0.49, "BCC": 0.60, "AK": 0.53, "BKL": 0.57, "DF": 0.51, "VASC": 0.51, "SCC": 0.68,
}  # fmt: skip
SITES = (
    "anterior torso", "head/neck", "lower extremity", "upper extremity", "posterior torso", "palms/soles",
    "lateral torso", "oral/genital", None,
)  # fmt: skip
SITE_SHARES = {  # percent, in the order of SITES; the last one is the share of rows without a site
    "MEL": (29, 19, 18, 16, 10, 4, 0.3, 0.2, 3),
    "NV": (29, 6, 22, 10, 15, 1, 0.3, 0.2, 16),
    "BCC": (34, 34, 14, 11, 6, 0.2, 0.2, 0.1, 2),
    "AK": (11, 69, 8, 9, 0.4, 0.6, 0.1, 0.1, 3),
    "BKL": (17, 38, 16, 9, 9, 0.4, 0.2, 0.7, 10),
    "DF": (18, 0.2, 58, 22, 1, 0.2, 0.2, 0.1, 2),
    "VASC": (31, 14, 23, 9, 9, 1, 0.2, 1, 12),
    "SCC": (18, 28, 29, 18, 4, 2, 0.1, 0.2, 1),
}
NO_AGE = {"MEL": 0.019, "NV": 0.025, "BKL": 0.010}  # share of lesions; none in the other classes
NO_SEX = {"MEL": 0.018, "NV": 0.021, "BKL": 0.009}
NO_LESION_ID = {"MEL": 0.15, "NV": 0.15, "BKL": 0.15}  # share of the lesions with a single image

# Which classes a lesion of each class may be mistaken for, and so borrows its look from.
NEIGHBOURS = {
    "MEL": ("NV", "NV", "BKL", "BCC"),
    "NV": ("MEL", "MEL", "MEL", "BKL", "DF", "BCC"),
    "BCC": ("SCC", "NV", "NV", "BKL"),
    "AK": ("SCC", "BKL", "BCC"),
    "BKL": ("NV", "MEL", "AK", "BCC"),
    "DF": ("NV", "BCC", "BKL"),
    "VASC": ("NV", "BCC", "MEL"),
    "SCC": ("AK", "BCC", "BKL"),
}
# How much of the overlap asked for a class takes part in. The rare ones are kept plainer: otherwise a small network
# would not learn anything of the few images they have.
SHARE_OF_OVERLAP = {
    "MEL": 1.2, "NV": 1.2, "BCC": 1.1, "AK": 0.3, "BKL": 0.5, "DF": 0.3, "VASC": 0.2, "SCC": 0.4,
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What `synthetic.draw` was asked for; its docstring explains each."""

    proportions: Mapping[str, float] = field(default_factory=lambda: dict(COUNTS_2019))
    overlap: float = 0.42
    images: int = 2200
    size: tuple[int, int] = (160, 120)
    pairs: int = 400
    least_images: int = 40
    least_lesions: int = 15

    def __post_init__(self):
        unknown = [code for code in self.proportions if code not in CODES]
        if unknown:
            raise IsicError(f"proportions names the class {unknown[0]!r}: it may name {', '.join(CODES)} only.")
        if any(share < 0 for share in self.proportions.values()) or sum(self.proportions.values()) <= 0:
            raise IsicError("proportions are wrong: they must hold no negative share and at least one above 0.")
        if not 0 <= self.overlap <= 1:
            raise IsicError(f"overlap is {self.overlap}: it must lie between 0 (plain) and 1 (hardest).")
        if min(self.size) < 32:
            raise IsicError(f"size is {tuple(self.size)}: width and height must be 32 pixels or more.")
        if min(self.images, self.pairs, self.least_images, self.least_lesions) < 0:
            raise IsicError("images, pairs, least_images and least_lesions must not be negative.")


@dataclass(frozen=True)
class PlannedImage:
    """One photograph. `index` is unique and seeds its drawing; `size` is (width, height); `care` says how its mask is
    made (None: no mask, a classification image)."""

    index: int
    name: str
    size: tuple[int, int]
    ruler: bool
    care: str | None


@dataclass(frozen=True)
class PlannedLesion:
    """One lesion with its photographs. `index` is unique and seeds its drawing; None means that the table has a gap."""

    index: int
    code: str
    borrowed: str
    borrowed_share: float
    clearness: float
    years: int  # true age, which the skin shows even where the table has a gap
    age: int | None
    sex: str | None
    site: str | None
    lesion_id: str | None
    images: tuple[PlannedImage, ...]


def class_counts(options: Options) -> dict[str, int]:
    """Number of classification images of each class: its share of `images`, but at least `least_images`.

    A class with share 0 gets none.
    """
    total = sum(options.proportions.values())
    counts = {}
    for code in CODES:
        share = options.proportions.get(code, 0) / total
        counts[code] = max(round(share * options.images), options.least_images) if share > 0 else 0
    return counts


def plan(options: Options, seed: int) -> list[PlannedLesion]:
    """All lesions of the archive, those of the classification images first, then those of the segmentation pairs."""
    rng = np.random.default_rng([seed, 0])
    groups = []
    for code, count in class_counts(options).items():
        least = min(options.least_lesions, count)
        groups += [(code, size) for size in _lesion_sizes(rng, count, IMAGES_PER_LESION[code], least)]
    images = _image_names(rng, 9_000_000, sum(size for _, size in groups), DOWNSAMPLED_SHARE)
    lesions = []
    for code, size in groups:
        names = [images.pop() for _ in range(size)]
        lesions.append(_plan_lesion(rng, options, len(lesions), code, names, care=None))

    for name in _image_names(rng, 9_500_000, options.pairs, downsampled_share=0):
        code, care = _one_of(rng, SEGMENTATION_PROPORTIONS), _one_of(rng, MASK_CARES)
        lesions.append(_plan_lesion(rng, options, len(lesions), code, [name], care))
    return lesions


def _one_of(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """One of the names, each as often as its share says."""
    return str(rng.choice(list(shares), p=list(shares.values())))


def _lesion_sizes(rng: np.random.Generator, count: int, mean: float, least: int) -> list[int]:
    """Divide `count` images among lesions of `mean` images on average, `least` lesions or more."""
    sizes = []
    while sum(sizes) < count:
        sizes.append(min(int(rng.geometric(1 / mean)), 8, count - sum(sizes)))
    while len(sizes) < least:
        largest = int(np.argmax(sizes))
        sizes[largest] -= 1
        sizes.append(1)
    return sizes


def _image_names(rng: np.random.Generator, first: int, count: int, downsampled_share: float) -> list[str]:
    """Distinct names in random order, so that the order of names says nothing about class or lesion."""
    numbers = rng.permutation(first + np.cumsum(rng.integers(1, 60, size=count)))
    endings = np.where(rng.random(count) < downsampled_share, "_downsampled", "")
    return [f"ISIC_{number}{ending}" for number, ending in zip(numbers, endings, strict=True)]


def _plan_lesion(
    rng: np.random.Generator, options: Options, index: int, code: str, names: list[str], care: str | None
) -> PlannedLesion:
    overlap = min(1.0, options.overlap * SHARE_OF_OVERLAP[code])
    borrows = overlap > 0 and rng.random() < 0.2 + 0.5 * overlap
    borrowed_share = float(np.clip(overlap * rng.uniform(0.2, 1.5), 0, 0.9)) if borrows else 0.0
    clearness = float(1 - overlap * rng.uniform(0.0, 0.9))
    mean_age, age_spread = AGES[code]
    years = int(np.clip(5 * round(rng.normal(mean_age, age_spread) / 5), 0, 85))
    sex = "male" if rng.random() < MALE_SHARE[code] else "female"
    site_shares = np.array(SITE_SHARES[code], float)
    site = SITES[rng.choice(len(SITES), p=site_shares / site_shares.sum())]
    ruler_share = RULER_SHARE_IN_THAT_CLASS if code == RULER_CLASS else RULER_SHARE_ELSEWHERE
    images = []
    for name in names:
        image_index = int(rng.integers(2**62))
        ruler = bool(rng.random() < ruler_share)
        images.append(PlannedImage(image_index, name, _image_size(rng, options.size), ruler, care))
    without_id = len(names) == 1 and rng.random() < NO_LESION_ID.get(code, 0)
    return PlannedLesion(
        index=index,
        code=code,
        borrowed=str(rng.choice(NEIGHBOURS[code])),
        borrowed_share=borrowed_share,
        clearness=clearness,
        years=years,
        age=None if rng.random() < NO_AGE.get(code, 0) else years,
        sex=None if rng.random() < NO_SEX.get(code, 0) else sex,
        site=site,
        lesion_id=None if without_id else f"SYN_{index:07d}",
        images=tuple(images),
    )


def _image_size(rng: np.random.Generator, usual: tuple[int, int]) -> tuple[int, int]:
    wide, high = OTHER_SIZES[rng.integers(len(OTHER_SIZES))] if rng.random() < OTHER_SIZE_SHARE else (1, 1)
    return round(wide * usual[0]), round(high * usual[1])
