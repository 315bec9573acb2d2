"""Trainings of a second, for the tests: a narrow residual net on images of 16 × 16, a narrow U-Net on 16 × 32."""

import time
from pathlib import Path

import pandas as pd
from archives import MemoryStore, draw_pairs, in_memory, pairs_in_memory, tiny_settings

from isic_utils.datasets import ImageStore, read_isic2018, splits, tables
from isic_utils.training import Run, TrainConfig, fit

Data = tuple[ImageStore, pd.DataFrame, pd.Series]  # as `fit` takes them
CLASSIFIER = dict(width=1 / 16, group_by="image", epochs=3, batch_size=16)
SEGMENTER = dict(model="unet", width=1 / 16, protocol="segmentation", group_by="image", epochs=3, batch_size=8)


class SlowStore(MemoryStore):
    """One that makes an epoch last a tenth of a second, so that it can be interrupted."""

    def take(self, rows):
        time.sleep(0.02)
        return super().take(rows)


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


def train(
    folder: Path, model: str, store: ImageStore, table: pd.DataFrame, split: pd.Series, **changes
) -> tuple[Run, pd.DataFrame, ImageStore]:
    """A run of an epoch, at the sizes of `tiny_settings`, with the table and the store that it was trained on."""
    config = TrainConfig.from_settings(tiny_settings(folder), model, **{"epochs": 1, **changes})
    return fit(config, store, table, split, folder / "runs", progress=False), table, store


def segmenter_of_files(folder: Path) -> tuple[Run, pd.DataFrame, ImageStore]:
    """A U-Net, its table and its store, of image files of three sizes."""
    table = read_isic2018(draw_pairs(folder / "data", [(30, 60), (45, 61), (60, 45)] * 12))
    store = ImageStore(table, (16, 32), folder / "cache", progress=False)
    return train(folder, "unet", store, table, splits.segmentation(table), epochs=6)
