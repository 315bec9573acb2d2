"""Trainings of a second, for the tests: a narrow residual net on images of 16 × 16, a narrow U-Net on 16 × 32."""

from pathlib import Path

import pandas as pd
from archives import in_memory, pairs_in_memory

from isic_utils.datasets import ImageStore, splits, tables
from isic_utils.training import Run, TrainConfig, fit

Data = tuple[ImageStore, pd.DataFrame, pd.Series]  # as `fit` takes them
CLASSIFIER = dict(width=1 / 16, group_by="image", epochs=3, batch_size=16)
SEGMENTER = dict(model="unet", width=1 / 16, protocol="segmentation", group_by="image", epochs=3, batch_size=8)


def labelled(count: int = 96) -> Data:
    """Images whose classes take turns; each class has a colour of its own."""
    table, store = in_memory([tables.CODES[number % 8] for number in range(count)], size=16)
    return store, table, splits.standard(table, group_by="image")


def masked(count: int = 40) -> Data:
    """Images that are bright where their mask is."""
    table, store = pairs_in_memory(count, 16, 32)
    return store, table, splits.segmentation(table)


def classify(folder: Path, data: Data | None = None, **changes) -> Run:
    """Train a classifier. folder: of all runs; changes: fields of the config."""
    return fit(TrainConfig(**CLASSIFIER | changes), *(data or labelled()), folder, progress=False)


def segment(folder: Path, data: Data | None = None, **changes) -> Run:
    """Train a U-Net."""
    return fit(TrainConfig(**SEGMENTER | changes), *(data or masked()), folder, progress=False)
