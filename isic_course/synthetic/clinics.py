"""The three clinics of the synthetic archive: whom they see, and how their cameras show it.

They follow the sources of ISIC 2019: BCN in Barcelona (BCN20000), HAM in Vienna and Queensland (HAM10000), MSK in New
York (MSK-4), and the images without a lesion_id, which MSK's camera takes here. Patients and classes are measured on
the official tables and rounded; the cameras are set by eye to look like the real images beside each other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

# Images of each class by source in ISIC 2019, in the order of SOURCES. MSK counts four times: else only 71 images of
# the sample would come from it, and far fewer than the 400 that have masks.
SOURCES = ("BCN", "HAM", "MSK", "none")
IMAGES_2019_BY_SOURCE = {
    "MEL": (2857, 1113, 215, 337),
    "NV": (4206, 6705, 415, 1549),
    "BCC": (2809, 514, 0, 0),
    "AK": (737, 130, 0, 0),
    "BKL": (1138, 1099, 189, 198),
    "DF": (124, 115, 0, 0),
    "VASC": (111, 142, 0, 0),
    "SCC": (431, 197, 0, 0),
}
MSK_TIMES = 4


@dataclass(frozen=True)
class Clinic:
    """One clinic. Shares are from 0 to 1; lengths marked (width) are in widths of the image.

    Patients and names:

    - prefix: how a lesion_id begins, with ISIC's underscore; downsampled: share of names that end in ``_downsampled``;
    - images_per_lesion: class code -> mean number; other: of the classes not named;
    - years: added to the mean age of the class; male: added to the class's share of men;
    - sites: site -> how many times as frequent as in all clinics together; a site not named: once.

    Camera:

    - sizes: width and height relative to the usual image, and how often;
    - border: share of the lesions whose images show the border of the round field of view; radius: of the field, least
      and most (width);
    - zoom: enlargement of the lesion, typical; gains: of red, green and blue, typical; gain_spread: their standard
      deviation (log scale); exposure, saturation: factors, typical; focus: least and most blur in pixels; noise:
      standard deviation, where white is 1; quality: of the JPEG file, 1 to 95;
    - ruler: share of images with ruler marks, but for the class of the planted shortcut; pen: with a surgeon's violet
      marks; bubbles, glints: with air in the gel, with reflections of the light.
    """

    prefix: str
    downsampled: float
    images_per_lesion: Mapping[str, float]
    other: float
    years: float
    male: float
    sizes: Mapping[tuple[float, float], float]
    border: float
    radius: tuple[float, float]
    zoom: float
    gains: tuple[float, float, float]
    gain_spread: float
    exposure: float
    saturation: float
    focus: tuple[float, float]
    noise: float
    quality: int
    ruler: float
    pen: float
    bubbles: float
    glints: float
    sites: Mapping[str | None, float]


CLINICS = {
    "BCN": Clinic(
        prefix="BCN_9",
        downsampled=0.0,
        images_per_lesion={"MEL": 4.6, "BCC": 2.9},
        other=3.2,
        years=-0.5,
        male=-0.02,
        sizes={(0.8, 16 / 15): 1.0},  # square
        border=0.5,
        radius=(0.34, 0.62),
        zoom=1.25,
        gains=(0.975, 1.015, 0.95),
        gain_spread=0.035,
        exposure=1.0,
        saturation=0.89,
        focus=(0.20, 0.50),
        noise=0.008,
        quality=88,
        ruler=0.07,
        pen=0.03,
        bubbles=0.20,
        glints=0.25,
        sites={"anterior torso": 1.5, "posterior torso": 0, "lateral torso": 0, "palms/soles": 1.9, None: 0.2},
    ),
    "HAM": Clinic(
        prefix="HAM_9",
        downsampled=0.0,
        images_per_lesion={"MEL": 1.8, "NV": 1.25},
        other=1.5,
        years=1.0,
        male=0.02,
        sizes={(1.0, 1.0): 1.0},
        border=0.12,
        radius=(0.48, 0.62),
        zoom=0.90,
        gains=(1.025, 0.94, 1.015),
        gain_spread=0.035,
        exposure=1.0,
        saturation=1.07,
        focus=(0.50, 0.95),
        noise=0.010,
        quality=84,
        ruler=0.06,
        pen=0.01,
        bubbles=0.12,
        glints=0.20,
        sites={"anterior torso": 0.5, "posterior torso": 1.8, "lateral torso": 0, "palms/soles": 0.1, None: 1.3},
    ),
    "MSK": Clinic(
        prefix="MSK4_9",
        downsampled=0.45,
        images_per_lesion={},
        other=1.25,
        years=6.0,
        male=-0.03,
        sizes={(1.0, 1.0): 0.65, (1.2, 1.2): 0.10, (0.9, 1.2): 0.10, (1.125, 1.0): 0.15},
        border=0.5,
        radius=(0.56, 0.66),
        zoom=0.88,
        gains=(1.0, 0.99, 0.90),
        gain_spread=0.035,
        exposure=0.91,
        saturation=0.90,
        focus=(0.25, 0.60),
        noise=0.014,
        quality=76,
        ruler=0.15,
        pen=0.18,
        bubbles=0.05,
        glints=0.10,
        sites={"anterior torso": 0.6, "posterior torso": 1.9, "upper extremity": 1.6, "lateral torso": 10, None: 0.2},
    ),
}


def shares_by_source(code: str, sources: Collection[str] = SOURCES) -> list[float]:
    """Which share of the images of a class comes from each of SOURCES, if only those named give any; they add up to 1,
    or to 0 if none of them has the class."""
    times = [(source in sources) * (MSK_TIMES if source == "MSK" else 1) for source in SOURCES]
    counts = [images * more for images, more in zip(IMAGES_2019_BY_SOURCE[code], times, strict=True)]
    return [count / max(1, sum(counts)) for count in counts]
