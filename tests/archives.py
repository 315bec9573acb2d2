"""Tiny archives in ISIC's layout, drawn in a second, for the tests: coloured noise, a few pixels wide."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from isic_utils.datasets import ImageStore, read_isic2018, splits, tables
from isic_utils.errors import IsicError
from isic_utils.settings import PROFILES, PROJECT, Settings
from isic_utils.training import Run, TrainConfig, fit, runs

torch.set_num_threads(1)  # threads would wait for each other longer than networks of this size take

COLUMNS_2019 = ["image", *tables.CODES, "UNK"]
METADATA_COLUMNS = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
SHARED = PROJECT.parent / "shared"  # real images beside the project, not part of the repository
OFFICIAL = SHARED / "isic" / "tables"
needs_official_tables = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")


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
    """The two tables of ISIC 2019; every two images are of one lesion."""
    truth = [truth_row(image, code) for image, code in zip(images, codes, strict=True)]
    metadata = [metadata_row(image, f"L{number // 2}") for number, image in enumerate(images)]
    write_csv(folder / tables.GROUND_TRUTH_2019, [COLUMNS_2019, *truth], **form)
    write_csv(folder / tables.METADATA_2019, [METADATA_COLUMNS, *metadata], **form)


def noise(seed: int, height: int = 15, width: int = 20) -> np.ndarray:
    """A smooth image, uint8 [height, width, 3]: JPEG changes it little."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def draw_2019(folder: Path, count: int = 8, codes: list[str] | None = None) -> Path:
    """An archive of `count` images, whose classes take turns."""
    codes = codes or [tables.CODES[number % 8] for number in range(count)]
    place = folder / tables.IMAGES_2019
    place.mkdir(parents=True)
    for number, image in enumerate(names(count)):
        Image.fromarray(noise(number)).save(place / f"{image}.jpg", quality=95)
    write_tables(folder, names(count), codes)
    return folder


def draw_2018(folder: Path, count: int = 3) -> Path:
    """An archive of `count` images with a mask each: a rectangle."""
    (folder / tables.IMAGES_2018).mkdir(parents=True)
    (folder / tables.MASKS_2018).mkdir()
    for number, image in enumerate(names(count)):
        Image.fromarray(noise(number)).save(folder / tables.IMAGES_2018 / f"{image}.jpg")
        mask = np.zeros((15, 20), np.uint8)
        mask[4:10, 5 : 10 + number] = 255
        Image.fromarray(mask).save(folder / tables.MASKS_2018 / f"{image}_segmentation.png")
    return folder


def lesion(seed: int, height: int, width: int) -> np.ndarray:
    """A mask: an ellipse inside an image, boolean [height, width]."""
    chance = np.random.default_rng(seed)
    y, x, tall, wide = *chance.uniform(0.4, 0.6, 2), *chance.uniform(0.2, 0.35, 2)
    rows, columns = (np.mgrid[:height, :width] + 0.5) / np.array([height, width]).reshape(2, 1, 1)
    return ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 < 1


def image_of(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """An image that is bright where the mask is, uint8 [height, width, 3], with noise."""
    chance = np.random.default_rng(seed)
    return (np.where(mask, 180, 70)[..., np.newaxis] + chance.integers(-20, 20, (*mask.shape, 3))).astype(np.uint8)


def draw_pairs(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """An archive of images of these sizes (height, width), each bright where its mask is."""
    (folder / tables.IMAGES_2018).mkdir(parents=True)
    (folder / tables.MASKS_2018).mkdir()
    for number, (image, (height, width)) in enumerate(zip(names(len(sizes)), sizes, strict=True)):
        mask = lesion(number, height, width)
        Image.fromarray(image_of(mask, number)).save(folder / tables.IMAGES_2018 / f"{image}.jpg", quality=95)
        Image.fromarray(mask).convert("L").save(folder / tables.MASKS_2018 / f"{image}_segmentation.png")
    return folder


class MemoryStore(ImageStore):
    """An ImageStore of pixels that are there already, without any file."""

    def __init__(self, images: list[str], pixels: np.ndarray, digest: str):
        self.images, self.pixels, self.digest = pd.Index(images), pixels, digest
        self.left_out = pd.DataFrame(columns=["image", "path", "reason"])
        self.size, self.has_masks = pixels.shape[1:3], pixels.shape[3] == 4
        self.data_name, self.synthetic = "memory", False

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.pixels[rows]

    def __getstate__(self) -> dict:
        return self.__dict__

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state


def pairs_in_memory(count: int, height: int, width: int) -> tuple[pd.DataFrame, ImageStore]:
    """A segmentation table and decoded pairs without any file: images that are bright where their mask is."""
    masks = np.stack([lesion(number, height, width) for number in range(count)])
    photos = np.stack([image_of(mask, number) for number, mask in enumerate(masks)])
    pixels = np.concatenate([photos, (255 * masks[..., np.newaxis]).astype(np.uint8)], axis=-1)
    table = pd.DataFrame({"image": names(count), "path": "nowhere", "mask_path": "nowhere"})
    return table, MemoryStore(names(count), pixels, digest=f"{count} pairs")


def in_memory(codes: list[str], size: int, seed: int = 0) -> tuple[pd.DataFrame, ImageStore]:
    """A table and decoded images without any file: each class has a colour of its own, with noise."""
    chance = np.random.default_rng(seed)
    images = names(len(codes))
    label = pd.Categorical(codes, tables.CODES, ordered=True)
    colours = np.random.default_rng(99).integers(40, 200, (8, 1, 1, 3))
    pixels = (colours[label.codes] + chance.integers(-40, 40, (len(codes), size, size, 3))).astype(np.uint8)
    table = pd.DataFrame({"image": images, "label": label, "lesion_id": [f"L{n // 2}" for n in range(len(codes))]})
    return table, MemoryStore(images, pixels, digest=f"seed {seed}")


def tiny_settings(folder: Path, **changes) -> Settings:
    """A run of seconds: narrow networks on images of 16 × 16 pixels, the U-Net on 16 × 32."""
    sizes = PROFILES["laptop"] | dict(image_size=16, epochs=3, fine_tuning_epochs=3, batch_size=16)
    sizes |= dict(segmentation_size=(16, 32), segmentation_epochs=3)
    sizes |= dict(segmentation_batch_size=8, segmentation_micro_batch_size=8)
    sizes |= changes
    return Settings("tiny", data=folder / "data", cache=folder / "cache", runs=folder / "runs", **sizes)


def trained_pairs(folder: Path) -> tuple[Run, pd.DataFrame, ImageStore]:
    """A U-Net, trained for a second on an archive whose images have three sizes; its table and decoded pairs."""
    table = read_isic2018(draw_pairs(folder / "data", [(30, 60), (45, 61), (60, 45)] * 12))
    settings = tiny_settings(folder, segmentation_epochs=6)
    store = ImageStore(table, settings.segmentation_size, settings.cache, progress=False)
    config = TrainConfig.from_settings(settings, "unet", protocol="segmentation", group_by="image")
    return fit(config, store, table, splits.segmentation(table), settings.runs, progress=False), table, store


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_one_clear_message(error: Exception, *parts: str) -> None:
    """Assert that an error is the course's own, short, and says `parts`: file, fault, remedy."""
    assert isinstance(error, IsicError), repr(error)
    message = str(error)
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"
    assert message.rstrip().endswith(".") and len(message) < 900, message
    assert ". " not in message.replace("e.g. ", "") and "Traceback" not in message, message


def refusal(call, *parts: str) -> None:
    """Assert that a call is refused with one clear message, which says `parts`."""
    with pytest.raises(IsicError) as caught:
        call()
    is_one_clear_message(caught.value, *parts)


def interrupt_at(monkeypatch, owner, name: str, call: int, error: BaseException) -> None:
    """The given call of a function raises instead of doing its work."""
    real, calls = getattr(owner, name), []

    def counted(*arguments, **options):
        calls.append(None)
        if len(calls) == call:
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)


def leftovers(folder: Path) -> list[str]:
    """The half-written files in a folder."""
    return [path.name for path in folder.iterdir() if path.name.endswith(".partial")]


def assert_same_result(run: Run, expected: Run) -> None:
    """Assert that two runs have the same history, predictions and weights, bit for bit, and nothing half-written."""
    for name in ("history.csv", "predictions_validation.csv", "predictions_test.csv"):
        assert (run.folder / name).read_bytes() == (expected.folder / name).read_bytes(), name
    for name in expected.checkpoints:
        ours, theirs = (runs.read_state(one.weights(name)) for one in (run, expected))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[layer], theirs[layer]) for layer in ours), name
    assert leftovers(run.folder) == []
