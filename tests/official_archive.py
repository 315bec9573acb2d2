"""Made-up official test sets in ISIC's layout: ISIC 2019 with UNK and weights, ISIC 2018 Task 1 with masks."""

from pathlib import Path

import numpy as np
from archives import image_of, lesion, noise, write_csv
from PIL import Image

from isic_utils import archive
from isic_utils.datasets import tables

HEADER = ["image", *tables.CODES, archive.UNKNOWN, "score_weight", "validation_weight"]
KINDS = [*tables.CODES, archive.UNKNOWN]


def draw_2019_test(folder: Path, count: int = 45, seed: int = 3) -> Path:
    """Images of noise, whose classes take turns, UNK with them; every fourth counts half, every tenth nothing.

    The rows are sorted by image, as ISIC's are: the official scorer sorts them and leaves the weights where they were.
    """
    place = folder / archive.IMAGES_2019_TEST
    place.mkdir(parents=True)
    rows = []
    for number in range(count):
        image, code = f"ISIC_{9_000_000 + number}", KINDS[number % 9]
        Image.fromarray(noise(seed * 1000 + number)).save(place / f"{image}.jpg", quality=95)
        weight = "0.0" if number % 10 == 9 else "0.5" if number % 4 == 0 else "1.0"
        rows.append([image, *("1.0" if code == other else "0.0" for other in KINDS), weight, "1.0"])
    write_csv(folder / archive.GROUND_TRUTH_2019_TEST, [HEADER, *rows])
    return folder


def draw_2018_test(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """Images of these sizes (height, width), each bright where its mask is."""
    images, masks = (folder / name.replace("Training", "Test") for name in (tables.IMAGES_2018, tables.MASKS_2018))
    images.mkdir(parents=True)
    masks.mkdir()
    for number, (height, width) in enumerate(sizes):
        mask = lesion(500 + number, height, width)
        Image.fromarray(image_of(mask, number)).save(images / f"ISIC_{8_000_000 + number}.jpg", quality=95)
        Image.fromarray(mask).convert("L").save(masks / f"ISIC_{8_000_000 + number}{archive.MASK_ENDING}.png")
    return folder


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows of numbers as probabilities."""
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
