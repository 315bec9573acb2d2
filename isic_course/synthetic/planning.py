"""What the synthetic archive will hold, decided before anything is drawn: how many images and lesions of each
class, whose they are, which clinic took them, and what each photograph shows besides the lesion.

The plan takes milliseconds, so a test or a lesson can look at it without drawing an image.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from isic_utils.archive import CODES, COUNTS_2019
from isic_utils.errors import IsicError

from .camera import Marks
from .clinics import CLINICS, SOURCES, shares_by_source

# The planted shortcut (docs/teaching.md, lesson 10): ruler marks say something about the diagnosis that the
# skin does not. It is written into no table; a lesson finds it from the images.
RULER_CLASS = "SCC"
RULER_SHARE_IN_THAT_CLASS = 0.45  # elsewhere, and everywhere without the shortcut, the clinic's
INK_SHARE = 0.10  # of the images of every class: the placebo

# Dealt to lesions whatever their class and clinic; recorded in the marker file, and in no table. ISIC 2019 has hardly
# any dark skin: here are enough images to see whether it matters.
SKIN_TONE_SHARES = {"light": 0.56, "intermediate": 0.16, "brown": 0.14, "dark": 0.14}

# Near-duplicates, as shares of the lesions of BCN and HAM: lesions photographed anew under another lesion_id, and
# images that are there a second time, byte for byte, as another lesion's.
ANEW_SHARE, TWICE_SHARE = 0.012, 0.008
TWO_LABELS = ("MEL", "NV")  # the first of the images that are there twice is labelled as both

MASK_CARES = {"exact": 0.4, "polygon": 0.35, "jagged": 0.25}  # how the mask of a pair was made, and how often

# Below, measured on the official metadata of ISIC 2019 and rounded.
LARGEST_LESION = 8  # images; one of ISIC 2019 has 31
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
    """What `synthetic.draw` is asked for. Raises IsicError for what makes no sense.

    proportions: class code -> share of the images, in any unit; a class left out gets none. Usually ISIC 2019's.
    overlap: 0 to 1: how strongly lesions borrow the look of a neighbouring class, and how faint their structures
        are.
    images: number of classification images, before `least_images` raises the rare classes.
    size: usual width and height in pixels; each clinic has its own sizes, relative to these.
    pairs: number of images with a mask for segmentation (all, if there are fewer); 0: none, and no folders for them.
    least_images, least_lesions: every class with a share has at least so many.
    shortcut: whether the planted one is there (docs/teaching.md); the archive without it differs in nothing else.
    sources: which of BCN, HAM, MSK and none give images; those without lesion_id ("none") are taken by MSK's camera.
    """

    proportions: Mapping[str, float] = field(default_factory=lambda: dict(COUNTS_2019))
    overlap: float = 0.32
    images: int = 2200
    size: tuple[int, int] = (160, 120)
    pairs: int = 400
    least_images: int = 40
    least_lesions: int = 15
    shortcut: bool = True
    sources: Collection[str] = SOURCES

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
        if any(share and not sum(shares_by_source(code, self.sources)) for code, share in self.proportions.items()):
            raise IsicError(f"sources is {self.sources}: name some of {SOURCES} that have all classes asked for.")


@dataclass(frozen=True)
class PlannedImage:
    """One photograph. `index` seeds its drawing, and is unique but for images that are there twice; `size` is (width,
    height); `care` says how its mask is made (None: no mask)."""

    index: int
    name: str
    size: tuple[int, int]
    marks: Marks
    care: str | None = None


@dataclass(frozen=True)
class PlannedLesion:
    """One lesion with its photographs. `index` seeds its drawing, and is unique but for near-duplicates; None means
    that the table has a gap."""

    index: int
    code: str  # the class that is drawn
    label: str  # the class in the tables: another in one near-duplicate
    borrowed: str
    borrowed_share: float
    clearness: float
    source: str  # one of SOURCES
    skin_tone: str
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
    """All lesions of the archive, with their images."""
    rng = np.random.default_rng([seed, 0])
    groups = []
    for code, count in class_counts(options).items():
        groups += [(code, *lesion) for lesion in _sources_and_sizes(rng, code, count, options)]
    count = sum(size for *_, size in groups)
    numbers = rng.permutation(9_000_000 + np.cumsum(rng.integers(1, 60, size=count)))  # they say nothing of the lesion
    names = [f"ISIC_{number}" for number in numbers]
    lesions = []
    for number, (code, source, size) in zip(rng.permutation(len(groups)), groups, strict=True):
        own = [names.pop() for _ in range(size)]
        lesions.append(_plan_lesion(rng, options, len(lesions), int(number), code, source, own))
    lesions = _with_masks(rng, _with_ink(rng, lesions), options.pairs)
    return _with_near_duplicates(rng, lesions)


def _some(rng: np.random.Generator, names: list[str], count: int) -> set[str]:
    """So many of the names, drawn by chance."""
    return {names[place] for place in rng.permutation(len(names))[:count]}


def _for_each_image(
    lesions: list[PlannedLesion], change: Callable[[PlannedImage], PlannedImage]
) -> list[PlannedLesion]:
    return [replace(lesion, images=tuple(change(image) for image in lesion.images)) for lesion in lesions]


def _with_ink(rng: np.random.Generator, lesions: list[PlannedLesion]) -> list[PlannedLesion]:
    """The lesions with the placebo on the same share of the images of every class."""
    chosen: set[str] = set()
    for code in CODES:
        names = [image.name for lesion in lesions if lesion.code == code for image in lesion.images]
        chosen |= _some(rng, names, round(INK_SHARE * len(names)))
    return _for_each_image(lesions, lambda image: replace(image, marks=replace(image.marks, ink=image.name in chosen)))


def _with_masks(rng: np.random.Generator, lesions: list[PlannedLesion], pairs: int) -> list[PlannedLesion]:
    """The lesions with masks for as many images: from MSK or without lesion_id, as ISIC 2018's, while there are any."""
    first, others = [], []
    for lesion in lesions:
        (first if lesion.source in ("MSK", "none") else others).extend(image.name for image in lesion.images)
    chosen = _some(rng, first, pairs)
    chosen |= _some(rng, others, pairs - len(chosen))
    return _for_each_image(
        lesions, lambda image: replace(image, care=_one_of(rng, MASK_CARES)) if image.name in chosen else image
    )


def _with_near_duplicates(rng: np.random.Generator, lesions: list[PlannedLesion]) -> list[PlannedLesion]:
    """Some lesions become others photographed anew, and some images others byte for byte: under the lesion_id, the
    names and the label that they had."""
    lesions = list(lesions)
    free = [place for place in rng.permutation(len(lesions)) if lesions[place].source in ("BCN", "HAM")]
    twice, anew = round(TWICE_SHARE * len(free)), round(ANEW_SHARE * len(free))
    for kind in ["two labels"] * min(1, twice) + ["twice"] * (twice - 1) + ["anew"] * anew:
        pairs = ((kept, other) for kept in free for other in free if _may_copy(lesions[kept], lesions[other], kind))
        kept, other = next(pairs, (None, None))
        if kept is None:
            continue
        first, second = lesions[kept], lesions[other]
        copied = (replace(first.images[0], name=second.images[0].name),)
        images = second.images if kind == "anew" else copied
        lesions[other] = replace(first, lesion_id=second.lesion_id, label=second.label, images=images)
        free = [place for place in free if place not in (kept, other)]
    return lesions


def _may_copy(first: PlannedLesion, second: PlannedLesion, kind: str) -> bool:
    """Whether `second` may become a near-duplicate of `first`."""
    classes = TWO_LABELS if kind == "two labels" else (first.code, first.code)
    one_image = kind == "anew" or len(second.images) == 1
    alike = (first.code, second.code) == classes and first.source == second.source
    return alike and one_image and first.index != second.index


def _one_of(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """One of the names, each as often as its share says."""
    return str(rng.choice(list(shares), p=list(shares.values())))


def _sources_and_sizes(rng: np.random.Generator, code: str, count: int, options: Options) -> list[tuple[str, int]]:
    """Divide `count` images of a class among the sources, and within each among lesions, enough of them."""
    lesions = []
    bounds = np.round(count * np.cumsum([0, *shares_by_source(code, options.sources)])).astype(int)
    for source, images in zip(SOURCES, np.diff(bounds), strict=True):
        clinic = CLINICS[source]
        mean = 1 if source == "none" else clinic.images_per_lesion.get(code, clinic.other)
        lesions += [(source, size) for size in _lesion_sizes(rng, int(images), mean)]
    while len(lesions) < min(options.least_lesions, count):
        largest = int(np.argmax([size for _, size in lesions]))
        source, size = lesions[largest]
        lesions[largest] = (source, size - 1)
        lesions.append((source, 1))
    return lesions


def _lesion_sizes(rng: np.random.Generator, count: int, mean: float) -> list[int]:
    """Divide `count` images among lesions of `mean` images on average."""
    sizes = []
    while sum(sizes) < count:
        sizes.append(min(int(rng.geometric(1 / mean)), LARGEST_LESION, count - sum(sizes)))
    return sizes


def _plan_lesion(
    rng: np.random.Generator, options: Options, index: int, number: int, code: str, source: str, names: list[str]
) -> PlannedLesion:
    """Plan one lesion. number: of its lesion_id, in an order that says nothing about class or clinic."""
    clinic = CLINICS[source]
    overlap = min(1.0, options.overlap * SHARE_OF_OVERLAP[code])
    borrows = overlap > 0 and rng.random() < 0.2 + 0.5 * overlap
    borrowed_share = float(np.clip(overlap * rng.uniform(0.2, 1.5), 0, 0.9)) if borrows else 0.0
    clearness = float(1 - overlap * rng.uniform(0.0, 0.9))
    mean_age, age_spread = AGES[code]
    years = int(np.clip(5 * round(rng.normal(mean_age + clinic.years, age_spread) / 5), 0, 85))
    sex = "male" if rng.random() < MALE_SHARE[code] + clinic.male else "female"
    times = [clinic.sites.get(site, 1.0) for site in SITES]
    site_shares = np.array(SITE_SHARES[code], float) * times
    site = SITES[rng.choice(len(SITES), p=site_shares / site_shares.sum())]
    ruler_share = RULER_SHARE_IN_THAT_CLASS if options.shortcut and code == RULER_CLASS else clinic.ruler
    images = []
    for name in names:
        image_index = int(rng.integers(2**62))
        marks = Marks(ruler=bool(rng.random() < ruler_share))
        ending = "_downsampled" if rng.random() < clinic.downsampled else ""
        wide, high = list(clinic.sizes)[rng.choice(len(clinic.sizes), p=list(clinic.sizes.values()))]
        size = round(wide * options.size[0]), round(high * options.size[1])
        images.append(PlannedImage(image_index, name + ending, size, marks))
    return PlannedLesion(
        index=index,
        code=code,
        label=code,
        borrowed=str(rng.choice(NEIGHBOURS[code])),
        borrowed_share=borrowed_share,
        clearness=clearness,
        source=source,
        skin_tone=_one_of(rng, SKIN_TONE_SHARES),
        years=years,
        age=None if rng.random() < NO_AGE.get(code, 0) else years,
        sex=None if rng.random() < NO_SEX.get(code, 0) else sex,
        site=site,
        lesion_id=None if source == "none" else f"{clinic.prefix}{number:06d}",
        images=tuple(images),
    )
