"""Draws the synthetic archive: images in ISIC's own layout that look like dermoscopy and are not.

Every image is drawn by this code from a seed. The classes follow ISIC 2019's proportions, carry the structures
that a dermatologist looks for, overlap, and show the same lesion several times, so that the lessons of the course
happen on them. Nothing learnt on them is medical.

How an image comes about, module by module: planning (what to draw), clinics (who sees whom, with which camera),
lesions (outlines and recipes, made from textures), camera (skin, view, light, hairs), masks; and the files, here.
"""

import dataclasses
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from isic_utils import archive
from isic_utils.errors import IsicError
from isic_utils.files import acquire
from isic_utils.processes import follow_the_caller
from isic_utils.settings import MARKER, SAMPLE

from . import camera, masks, planning
from .clinics import CLINICS
from .lesions import draw_lesion
from .planning import Options, PlannedLesion

VERSION = 5  # raise it when a drawn image, a table or the marker changes, and samples are drawn anew
STRUCTURES_FILE = "SYNTHETIC_structures.csv"
STRUCTURES = (  # what recipes draw into a lesion, then what lies on the skin
    "network", "globules", "streaks", "veil", "scar", "vessels", "nests", "ulcer", "follicles", "scale", "crust",
    "ridges", "openings", "cysts", "grains", "lacunae", "hair", "bubbles", "glints", "pen", "ink", "ruler",
)  # fmt: skip
TOGETHER = 16  # lesions that one process draws before it is given others
STATEMENT = (
    "Every image, mask and table row in this folder is synthetic: drawn by isic_course.synthetic, it shows no person "
    "and no real lesion. Nothing learnt from it is medical."
)
DEFAULT = Options()


def draw(folder: Path | str, seed: int = 0, workers: int = 2, progress: bool = True, **options) -> Path:
    """Draw a synthetic archive into `folder`, which must not exist yet or be empty, and return its path.

    seed: 0 or above; the same seed and options give the same bytes, whatever the number of workers.
    workers: processes that draw (several only below `if __name__ == "__main__":` in a script); 1: this one.
    progress: whether to show a progress bar.
    options: proportions, overlap, images, size, pairs, least_images, least_lesions, shortcut and sources, as `Options`
        explains them.

    The folder appears complete or not at all. Raises IsicError for options that make no sense, a folder that holds
    something, and a disk that is full or read-only.
    """
    folder, wanted = Path(folder), Options(**options)
    with _alone(folder):
        if folder.exists() and any(folder.iterdir()):
            raise IsicError(f"{folder} is not empty: name a new folder for the sample, or delete this one first.")
        _draw_whole(folder, wanted, seed, workers, progress)
    return folder


def ensure(folder: Path | str | None = None, seed: int = 0, progress: bool = True, **options) -> Path:
    """Return the folder of a synthetic archive, drawing it first unless it is there as this version draws it.

    folder: None: ``data/sample``, or ``data/sample_without_shortcut`` beside it; the others as for `draw`.

    Two processes at once draw it once. A sample of another version, seed or options is replaced. Raises IsicError
    as `draw` does; a folder that holds anything but a synthetic sample is never touched.
    """
    wanted = dataclasses.replace(DEFAULT, **options)
    folder = Path(folder or (SAMPLE if wanted.shortcut else SAMPLE.with_name(f"{SAMPLE.name}_without_shortcut")))
    marker = _marker(wanted, seed).items()
    if marker <= _marker_in(folder).items():
        return folder
    with _alone(folder):
        if folder.exists() and not (folder / MARKER).exists() and any(folder.iterdir()):
            raise IsicError(f"{folder} holds something else than a synthetic sample: move it away (see ISIC_DATA).")
        if not marker <= _marker_in(folder).items():  # else another process has drawn it in the meantime
            _draw_whole(folder, wanted, seed, workers=2, progress=progress)
    return folder


def _marker(options: Options, seed: int) -> dict:
    """The content of the marker file that tells what a folder holds, but for the plan."""
    content = {"statement": STATEMENT, "version": VERSION, "seed": seed, "options": dataclasses.asdict(options)}
    return json.loads(json.dumps(content))  # as it will be read


def _marker_in(folder: Path) -> dict:
    """What the marker file in a folder says; empty if there is none, or if it is damaged."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process draws into `folder`, and turn what the disk refuses into a sentence."""
    try:
        with acquire(folder.parent / f".{folder.name}.lock"):
            yield
    except OSError as error:
        needed = f"make {folder.parent} writable and see that 30 MB are free"
        raise IsicError(f"The sample cannot be drawn into {folder} ({error.strerror or error}): {needed}.") from error


def _draw_whole(folder: Path, options: Options, seed: int, workers: int, progress: bool) -> None:
    """Draw beside `folder`, and put the result in its place when all is there; delete it if something goes wrong."""
    unfinished = folder.parent / f".{folder.name}-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    unfinished.mkdir()
    try:
        lesions = planning.plan(options, seed)
        drawn = _draw_all_images(unfinished, lesions, seed, workers, progress)
        ground_truth, metadata = _tables(lesions)
        ground_truth.to_csv(unfinished / archive.GROUND_TRUTH_2019, index=False, lineterminator="\n")
        metadata.to_csv(unfinished / archive.METADATA_2019, index=False, lineterminator="\n")
        names = pd.Series({image: " ".join(sorted(drawn[image])) for image in metadata["image"]}, name="structures")
        names.to_csv(unfinished / STRUCTURES_FILE, index_label="image", lineterminator="\n")
        tones = {image.name: lesion.skin_tone for lesion in lesions for image in lesion.images}
        skin = {"skin_tone_shares": planning.SKIN_TONE_SHARES, "skin_tone": dict(sorted(tones.items()))}
        marker = json.dumps(_marker(options, seed) | {"plan": skin}, indent=2)
        (unfinished / MARKER).write_text(marker + "\n", encoding="utf-8", newline="\n")
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def structures(folder: Path | str) -> pd.DataFrame:
    """What was drawn into each classification image of a synthetic archive, however faint.

    Returns booleans with a row per image, indexed by image, and the columns `STRUCTURES`. The ruler stands in no
    file and is taken from the plan. Raises IsicError if the folder holds no sample of this version.
    """
    marker = _marker_of_this_version(folder)
    listed = pd.read_csv(Path(folder) / STRUCTURES_FILE, index_col="image", keep_default_na=False)["structures"]
    lesions = planning.plan(Options(**marker["options"]), marker["seed"])
    ruler = {image.name: image.marks.ruler for lesion in lesions for image in lesion.images}
    table = listed.str.get_dummies(" ").reindex(columns=STRUCTURES, fill_value=0).astype(bool)
    return table.assign(ruler=table.index.map(ruler))


def skin_tones(folder: Path | str) -> pd.Series:
    """The skin that each classification image of a synthetic archive was drawn on, as the marker file has it.

    Returns an ordered categorical from light to dark, indexed by image. Raises IsicError as `structures` does.
    """
    tones = pd.Series(_marker_of_this_version(folder)["plan"]["skin_tone"], name="skin_tone")
    return tones.rename_axis("image").astype(pd.CategoricalDtype(list(planning.SKIN_TONE_SHARES), ordered=True))


def _marker_of_this_version(folder: Path | str) -> dict:
    """The content of the marker file of a complete sample; IsicError if there is none."""
    marker = _marker_in(Path(folder))
    if marker.get("version") != VERSION or not (Path(folder) / STRUCTURES_FILE).exists():
        raise IsicError(f"{folder} holds no synthetic sample of this version: only drawn images list their structures.")
    return marker


def _draw_all_images(
    folder: Path, lesions: list[PlannedLesion], seed: int, workers: int, progress: bool
) -> dict[str, set[str]]:
    """Draw and write all images. Returns the structures in each, by the image's name."""
    (folder / archive.IMAGES_2019).mkdir()
    if any(image.care for lesion in lesions for image in lesion.images):
        (folder / archive.IMAGES_2018).mkdir()
        (folder / archive.MASKS_2018).mkdir()
    drawn, bar = {}, {"unit": "lesion", "leave": False, "disable": not progress}
    with _mapped(workers) as run:
        found = run(partial(_draw_images, folder, seed=seed), lesions)
        for names in tqdm(found, "drawing the synthetic sample", len(lesions), **bar):
            drawn |= names
    return drawn


@contextmanager
def _mapped(workers: int) -> Iterator[Callable]:
    """`map`, with so many processes side by side if more than one. They end with the process that called them."""
    if workers == 1:
        yield map
        return
    # "spawn": a fork server that has only drawn would be the one that `fit_all` trains with, without PyTorch in it
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=follow_the_caller) as pool:
        try:
            yield partial(pool.map, chunksize=TOGETHER)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _draw_images(folder: Path, planned: PlannedLesion, seed: int) -> dict[str, set[str]]:
    """Draw one lesion and write all its photographs. Returns the structures in each, by the image's name."""
    drawn, clinic = {}, CLINICS[planned.source]
    rng = np.random.default_rng([seed, 1, planned.index])
    person = camera.draw_person(rng, planned.years, planned.skin_tone, clinic)
    look = (planned.code, planned.borrowed, planned.borrowed_share, planned.clearness)
    lesion = draw_lesion(rng, *look, camera.REFERENCE_HEIGHT)
    for image in planned.images:
        rng = np.random.default_rng([seed, 2, image.index])
        pixels, mask, on_the_skin = camera.take(rng, lesion, person, clinic, image.size, image.marks)
        drawn[image.name] = lesion.structures | on_the_skin
        _write_jpeg(folder / archive.IMAGES_2019 / f"{image.name}.jpg", pixels, clinic.quality)
        if image.care is not None:
            name = image.name.removesuffix("_downsampled")  # as the image is named in ISIC 2018
            _write_jpeg(folder / archive.IMAGES_2018 / f"{name}.jpg", pixels, clinic.quality)
            mask = masks.with_care(rng, mask, pixels, image.care)
            mask = Image.fromarray(mask.astype(np.uint8) * 255)
            mask.save(folder / archive.MASKS_2018 / f"{name}{archive.MASK_ENDING}.png")
    return drawn


def _write_jpeg(path: Path, pixels: np.ndarray, quality: int) -> None:
    Image.fromarray(pixels).save(path, quality=quality, comment=b"synthetic, drawn by isic_course.synthetic")


def _tables(lesions: list[PlannedLesion]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ground truth and metadata of the classification images, with ISIC 2019's columns, sorted by image."""
    columns = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex", "label"]
    rows = [(image.name, of.age, of.site, of.lesion_id, of.sex, of.label) for of in lesions for image in of.images]
    table = pd.DataFrame(rows, columns=columns).sort_values("image", ignore_index=True).astype({"age_approx": float})
    codes = pd.get_dummies(table["label"], dtype=float).reindex(columns=[*archive.CODES, "UNK"], fill_value=0.0)
    return table[["image"]].join(codes), table.drop(columns="label")
