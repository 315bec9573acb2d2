"""Predictions in the form in which ISIC's challenges take them.

Classes (2019): one CSV file, a row per image. Masks (2018 Task 1): a PNG per image, which
`predict.export_masks` writes.
"""

from pathlib import Path

import pandas as pd

from isic_utils import files
from isic_utils.datasets.tables import CODES, UNKNOWN
from isic_utils.errors import IsicError


def write(predictions: pd.DataFrame, file: Path | str, unknown: bool = True) -> Path:
    """Write predicted classes in the official form of ISIC 2019 and return the file.

    The form: the columns image, the eight codes and UNK, each a number from 0 to 1; rows sorted by image.
    predictions: these columns, and maybe others, as `official.predict_2019` returns them; unknown: whether UNK is among
    them. Written whole or not at all. Raises IsicError if a column is missing, an image occurs twice, a value is not
    from 0 to 1, or the file cannot be written.
    """
    file, columns = Path(file), [*CODES, *([UNKNOWN] if unknown else [])]
    missing = [column for column in ["image", *columns] if column not in predictions]
    if missing:
        raise IsicError(f"{file} is not written, since the predictions lack the column {missing[0]}: add it.")
    table = predictions[["image", *columns]].sort_values("image").astype(dict.fromkeys(columns, float))
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise IsicError(f"{file} is not written, since {twice.iloc[0]} occurs twice: keep one of the two rows.")
    outside = table["image"][~table[columns].apply(lambda column: column.between(0, 1)).all(axis=1)]
    if len(outside):
        raise IsicError(
            f"{file} is not written, since {outside.iloc[0]} has a value that is not from 0 to 1: give probabilities."
        )
    advice = "free disk space or choose another file for the predictions"
    files.write(file, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"), advice)
    return file
