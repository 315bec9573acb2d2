"""What is done with masks that a network has drawn: averaging over flips, keeping one region, writing them down."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm.auto import tqdm

from isic_utils.datasets.images import Pictures, batches, read_picture
from isic_utils.datasets.tables import MASK_ENDING
from isic_utils.inference.postprocess import one_region
from isic_utils.training import fit as training, runs
from isic_utils.training.config import at_once
from isic_utils.training.runs import Run


def probabilities(
    run: Run, pictures: Pictures, images: pd.Series, checkpoint: str | None = None, flips: bool = False
) -> np.ndarray:
    """How sure a trained U-Net is that a pixel is lesion: float [n, height, width] from 0 to 1.

    run: finished, of a U-Net; pictures: `pictures.load_pairs`, which include the named images; checkpoint: loss or
    jaccard, None: jaccard. flips: the mean over the picture and its three mirror images, each answer mirrored back.
    Raises IsicError if the run draws no masks or is not finished, or an image is not among the pictures.
    """
    return np.stack(list(one_by_one(run, pictures, images, checkpoint, flips)))


@torch.no_grad()
def one_by_one(
    run: Run, pictures: Pictures, images: pd.Series, checkpoint: str | None, flips: bool
) -> Iterator[np.ndarray]:
    """The `probabilities` of one picture after another, so that no more than a batch is in memory."""
    runs.check(run, classifies=False)
    model, mixed, device = training.load(run, checkpoint)
    axes = [(), (-1,), (-2,), (-1, -2)] if flips else [()]
    for x, _ in batches(pictures, pictures.rows(images), None, at_once(run.config), device):
        with mixed:
            sure = sum(model(x.flip(axis)).float().sigmoid().flip(axis) for axis in axes) / len(axes)
        yield from sure[:, 0].cpu().numpy()


def enlarge(probability: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map of probabilities at another size, bilinear: float [height, width]."""
    picture = Image.fromarray(probability.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def export(
    run: Run,
    table: pd.DataFrame,
    pictures: Pictures,
    folder: Path,
    checkpoint: str | None = None,
    flips: bool = False,
    treated: bool = True,
    progress: bool = True,
) -> list[Path]:
    """Write a mask for each picture of a table in the form of ISIC 2018 Task 1, and return the files.

    The form: ``<image>_segmentation.png``, 255 on the lesion and 0 elsewhere, as large as the original picture.
    table: the columns image and path; pictures, checkpoint, flips: as in `probabilities`; treated: keep `one_region`.
    Each file appears whole or not at all. Raises IsicError as `probabilities` does, if an original cannot be read, or
    if the folder cannot be written.
    """
    folder = Path(folder)
    files = []
    rows = zip(table["image"], table["path"], one_by_one(run, pictures, table["image"], checkpoint, flips), strict=True)
    for image, path, probability in tqdm(rows, total=len(table), desc="masks", leave=False, disable=not progress):
        original = read_picture(path)
        mask = enlarge(probability, original.height, original.width) > 0.5
        mask = Image.fromarray(one_region(mask) if treated else mask).convert("L")
        files.append(folder / f"{image}{MASK_ENDING}.png")
        runs.write(
            files[-1],
            lambda partial, mask=mask: mask.save(partial, format="PNG"),
            remedy="free disk space or choose another folder",
        )
    return files
