"""Answers in the form in which ISIC's challenges take them.

Classes (2019): one CSV file, a row per picture. Masks (2018 Task 1): a PNG per picture, which `masks.export` writes.
"""

from pathlib import Path

import pandas as pd

from isic_utils.datasets.tables import CODES, UNKNOWN
from isic_utils.errors import IsicError
from isic_utils.training import runs


def write(answered: pd.DataFrame, file: Path | str, unknown: bool = True) -> Path:
    """Write classes in the official form of ISIC 2019 and return the file.

    The form: the columns image, the eight codes and UNK, each a number from 0 to 1 with a point in it; sorted by image.
    answered: these columns, and maybe others, as `official.answer_2019` returns them; unknown: whether UNK is among
    them. Written whole or not at all. Raises IsicError if a column is missing, a picture stands there twice, a
    value is not from 0 to 1, or the file cannot be written.
    """
    file, columns = Path(file), [*CODES, *([UNKNOWN] if unknown else [])]
    missing = [column for column in ["image", *columns] if column not in answered]
    if missing:
        raise IsicError(f"{file} is not written, since the answers lack the column {missing[0]}: add it.")
    table = answered[["image", *columns]].sort_values("image")
    if table["image"].duplicated().any():
        name = table["image"][table["image"].duplicated()].iloc[0]
        raise IsicError(f"{file} is not written, since {name} is answered twice: keep one of the two rows.")
    values = table[columns].astype(float)
    outside = ~values.ge(0).all(axis=1) | ~values.le(1).all(axis=1)
    if outside.any():
        raise IsicError(
            f"{file} is not written, since {table['image'][outside].iloc[0]} has a value that is not from 0 to 1: "
            "give probabilities."
        )
    remedy = "free disk space or choose another file for the answers"
    runs.write_csv(file, pd.concat([table[["image"]], values], axis=1), remedy)
    return file
