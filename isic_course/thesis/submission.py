"""Predictions in the form in which ISIC's challenges take them.

Classes (2019): one CSV file, a row per image. Masks (2018 Task 1): a PNG per image.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from isic_utils import files
from isic_utils.archive import CODES, MASK_ENDING, UNKNOWN
from isic_utils.datasets import ImageStore
from isic_utils.datasets.images import read_image
from isic_utils.errors import IsicError
from isic_utils.inference.postprocess import enlarge, one_region
from isic_utils.inference.predict import iterate_masks
from isic_utils.training import Run


def write(predictions: pd.DataFrame, file: Path | str, unknown: bool = True) -> Path:
    """Write predicted classes in the official form of ISIC 2019 and return the file.

    The form: the columns image, the eight codes and UNK, each a number from 0 to 1; rows sorted by image.
    predictions: these columns, and maybe others, as `official.predict_2019` returns them; unknown: whether UNK is among
    them. Written whole or not at all. Raises KeyError if a column is missing, and IsicError if an image occurs twice, a
    value is not from 0 to 1, or the file cannot be written.
    """
    file, columns = Path(file), [*CODES, *([UNKNOWN] if unknown else [])]
    table = predictions[["image", *columns]].sort_values("image").astype(dict.fromkeys(columns, float))
    wrong = table["image"].duplicated() | ~((table[columns] >= 0) & (table[columns] <= 1)).all(axis=1)
    if wrong.any():
        why = f"{table['image'][wrong].iloc[0]} occurs twice, or has a value that is not from 0 to 1"
        raise IsicError(f"{file} is not written, since {why}: give each image one row of probabilities.")
    advice = "free disk space or choose another file for the predictions"
    files.write(file, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"), advice)
    return file


def unknown_score(probabilities: np.ndarray, out_of_distribution: np.ndarray | None = None) -> np.ndarray:
    """How likely an image shows none of the classes, float [n] from 0 to 1: 1 minus the largest probability, and 1
    where the image is out of distribution.

    probabilities: calibrated; out_of_distribution: boolean [n], what a detector found. Beside the probabilities, as the
    score of a ninth class, it wins where no class has more than one half. Hendrycks and Gimpel 2017, arXiv:1610.02136.
    """
    score = 1 - probabilities.max(axis=1)
    return score if out_of_distribution is None else np.where(out_of_distribution, 1.0, score)


def export_masks(
    run: Run, table: pd.DataFrame, store: ImageStore, folder: Path, tta: bool = False, postprocess: bool = True
) -> list[Path]:
    """Write a mask for each image of a table in the form of ISIC 2018 Task 1, and return the files.

    The form: ``<image>_segmentation.png``, 255 on the lesion and 0 elsewhere, as large as the original image.
    table: the columns image and path; store, tta: as in `predict_masks`; postprocess: keep `one_region`.
    Each file appears whole or not at all. Raises IsicError as `predict_masks` does, if an original cannot be read, or
    if the folder cannot be written.
    """
    masks = tqdm(iterate_masks(run, store, table["image"], tta), "masks", len(table), leave=False)
    written = []
    for image, path, probability in zip(table["image"], table["path"], masks, strict=True):
        original = read_image(path)
        mask = enlarge(probability, original.height, original.width) > 0.5
        mask = Image.fromarray(one_region(mask) if postprocess else mask).convert("L")
        written.append(Path(folder) / f"{image}{MASK_ENDING}.png")
        files.write(written[-1], partial(mask.save, format="PNG"), advice="free disk space or choose another folder")
    return written
