"""The three clinics of the synthetic archive: whom they see, and how their cameras show it.

They follow the sources of ISIC 2019: BCN in Barcelona (BCN20000), HAM in Vienna and Queensland (HAM10000), MSK in New
York (MSK-4), and the images without a lesion_id, which MSK's camera takes here. Patients and classes are measured on
the official tables and rounded; the cameras are set by eye to look like the real images beside each other.
"""

from collections import namedtuple
from collections.abc import Collection

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


# Each property of BCN, HAM and MSK. Shares are from 0 to 1; lengths marked (width) are in widths of the image.
PROPERTIES = {
    # Patients and names
    "prefix": ("BCN_9", "HAM_9", "MSK4_9"),  # how a lesion_id begins, with ISIC's underscore
    "downsampled": (0.0, 0.0, 0.45),  # share of names that end in ``_downsampled``
    "images_per_lesion": ({"MEL": 4.6, "BCC": 2.9}, {"MEL": 1.8, "NV": 1.25}, {}),  # class code -> mean number
    "other": (3.2, 1.5, 1.25),  # images per lesion of the classes not named
    "years": (-0.5, 1.0, 6.0),  # added to the mean age of the class
    "male": (-0.02, 0.02, -0.03),  # added to the class's share of men
    "sites": (  # site -> how many times as frequent as in all clinics together; a site not named: once
        {"anterior torso": 1.5, "posterior torso": 0, "lateral torso": 0, "palms/soles": 1.9, None: 0.2},
        {"anterior torso": 0.5, "posterior torso": 1.8, "lateral torso": 0, "palms/soles": 0.1, None: 1.3},
        {"anterior torso": 0.6, "posterior torso": 1.9, "upper extremity": 1.6, "lateral torso": 10, None: 0.2},
    ),
    # Camera
    "sizes": (  # width and height relative to the usual image, and how often
        {(0.8, 16 / 15): 1.0},  # square
        {(1.0, 1.0): 1.0},
        {(1.0, 1.0): 0.65, (1.2, 1.2): 0.10, (0.9, 1.2): 0.10, (1.125, 1.0): 0.15},
    ),
    "border": (0.5, 0.12, 0.5),  # share of the lesions whose images show the border of the round field of view
    "radius": ((0.34, 0.62), (0.48, 0.62), (0.56, 0.66)),  # of that field, least and most (width)
    "zoom": (1.25, 0.90, 0.88),  # enlargement of the lesion, typical
    "gains": ((0.975, 1.015, 0.95), (1.025, 0.94, 1.015), (1.0, 0.99, 0.90)),  # of red, green and blue, typical
    "exposure": (1.0, 1.0, 0.91),  # a factor, typical
    "saturation": (0.89, 1.07, 0.90),  # a factor, typical
    "focus": ((0.20, 0.50), (0.50, 0.95), (0.25, 0.60)),  # least and most blur in pixels
    "noise": (0.008, 0.010, 0.014),  # standard deviation, where white is 1
    "quality": (88, 84, 76),  # of the JPEG file, 1 to 95
    "ruler": (0.07, 0.06, 0.15),  # share of images with ruler marks, but for the class of the planted shortcut
    "pen": (0.03, 0.01, 0.18),  # share of images with a surgeon's violet marks
    "bubbles": (0.20, 0.12, 0.05),  # share of images with air in the gel
    "glints": (0.25, 0.20, 0.10),  # share of images with reflections of the light
}
Clinic = namedtuple("Clinic", PROPERTIES)
BCN, HAM, MSK = (Clinic(*values) for values in zip(*PROPERTIES.values(), strict=True))
CLINICS = {"BCN": BCN, "HAM": HAM, "MSK": MSK, "none": MSK}  # whose camera takes the images of a source


def shares_by_source(code: str, sources: Collection[str] = SOURCES) -> list[float]:
    """Which share of the images of a class comes from each of SOURCES, if only those named give any; they add up to 1,
    or to 0 if none of them has the class."""
    times = [(source in sources) * (MSK_TIMES if source == "MSK" else 1) for source in SOURCES]
    counts = [images * more for images, more in zip(IMAGES_2019_BY_SOURCE[code], times, strict=True)]
    return [count / max(1, sum(counts)) for count in counts]
