"""Tiny archives in ISIC's layout, drawn in a second, for the tests: coloured noise, a few pixels wide."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from isic_utils import pictures, profile, tables
from isic_utils.errors import IsicError

torch.set_num_threads(1)  # threads would wait for each other longer than networks of this size take

COLUMNS_2019 = ["image", *tables.CODES, "UNK"]
METADATA_COLUMNS = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
OFFICIAL = Path(__file__).resolve().parents[2] / "shared" / "isic" / "tables"  # not part of the repository


def names(count: int) -> list[str]:
    return [f"ISIC_{number:07d}" for number in range(count)]


def truth_row(image: str, code: str) -> list[str]:
    return [image, *("1.0" if code == other else "0.0" for other in [*tables.CODES, "UNK"])]


def metadata_row(image: str, lesion: str) -> list[str]:
    return [image, "55.0", "anterior torso", lesion, "female"]


def write_csv(file: Path, rows: list[list[str]], separator: str = ",", encoding: str = "utf-8") -> None:
    with open(file, "w", newline="", encoding=encoding) as stream:
        csv.writer(stream, delimiter=separator, lineterminator="\n").writerows(rows)


def write_tables(folder: Path, images: list[str], codes: list[str], **form) -> None:
    """The two tables of ISIC 2019; every two pictures are of one lesion."""
    truth = [truth_row(image, code) for image, code in zip(images, codes, strict=True)]
    metadata = [metadata_row(image, f"L{number // 2}") for number, image in enumerate(images)]
    write_csv(folder / tables.GROUND_TRUTH_2019, [COLUMNS_2019, *truth], **form)
    write_csv(folder / tables.METADATA_2019, [METADATA_COLUMNS, *metadata], **form)


def noise(seed: int, height: int = 15, width: int = 20) -> np.ndarray:
    """A smooth picture, uint8 [height, width, 3]: JPEG changes it little."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def draw_2019(folder: Path, count: int = 8, codes: list[str] | None = None) -> Path:
    """An archive of `count` pictures, whose classes take turns."""
    codes = codes or [tables.CODES[number % 8] for number in range(count)]
    place = folder / tables.PICTURES_2019
    place.mkdir(parents=True)
    for number, image in enumerate(names(count)):
        Image.fromarray(noise(number)).save(place / f"{image}.jpg", quality=95)
    write_tables(folder, names(count), codes)
    return folder


def draw_2018(folder: Path, count: int = 3) -> Path:
    """An archive of `count` pictures with a mask each: a rectangle."""
    (folder / tables.PICTURES_2018).mkdir(parents=True)
    (folder / tables.MASKS_2018).mkdir()
    for number, image in enumerate(names(count)):
        Image.fromarray(noise(number)).save(folder / tables.PICTURES_2018 / f"{image}.jpg")
        mask = np.zeros((15, 20), np.uint8)
        mask[4:10, 5 : 10 + number] = 255
        Image.fromarray(mask).save(folder / tables.MASKS_2018 / f"{image}_segmentation.png")
    return folder


def in_memory(codes: list[str], size: int, seed: int = 0) -> tuple[pd.DataFrame, pictures.Pictures]:
    """A table and decoded pictures without any file: each class has a colour of its own, with noise."""
    chance = np.random.default_rng(seed)
    images = pd.Index(names(len(codes)))
    label = pd.Categorical(codes, tables.CODES, ordered=True)
    colours = np.random.default_rng(99).integers(40, 200, (8, 1, 1, 3))
    pixels = (colours[label.codes] + chance.integers(-40, 40, (len(codes), size, size, 3))).astype(np.uint8)
    nothing = pd.DataFrame(columns=["image", "path", "reason"])
    table = pd.DataFrame({"image": images, "label": label, "lesion_id": [f"L{n // 2}" for n in range(len(codes))]})
    return table, pictures.Pictures(images, pixels, nothing, digest=f"seed {seed}")


def tiny_settings(folder: Path, **changes) -> profile.Profile:
    """A run of seconds: the slim residual net on pictures of 16 × 16 pixels."""
    sizes = profile.SIZES["laptop"] | dict(picture_size=16, epochs=3, fine_tuning_epochs=3, batch_size=16) | changes
    return profile.Profile("tiny", data=folder / "data", cache=folder / "cache", runs=folder / "runs", **sizes)


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_one_clear_message(error: Exception, *parts: str) -> None:
    """Assert that an error is the course's own, short, and says `parts`: file, fault, remedy."""
    assert type(error) is IsicError, repr(error)
    message = str(error)
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"
    assert message.rstrip().endswith(".") and len(message) < 900, message
    assert ". " not in message.replace("e.g. ", "") and "Traceback" not in message, message
