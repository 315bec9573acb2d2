"""The recipe of lesson 08: EfficientNet-Lite0, fine-tuned on photographs within a quarter of an hour on two cores.

``benchmarks/fine_tuning.py`` trains its steps, and what they brought is kept in ``benchmarks/results/fine_tuning.csv``;
the lesson shows that table, and the runs where they are at hand.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isic_utils import settings as profile
from isic_utils.settings import Profile
from isic_utils.training import runs
from isic_utils.training.runs import Run

MODEL = "efficientnet_lite0"
RESULTS = profile.PROJECT / "benchmarks" / "results" / "fine_tuning.csv"

SHORT = dict(name="fine-tuning-short", picture_size=128, batch_size=16, fine_tuning_epochs=4)
LARGER = SHORT | dict(name="fine-tuning-larger", picture_size=192, batch_size=12, frozen_blocks=3)
RECIPE = LARGER | dict(name="fine-tuning", fine_tuning_epochs=18, strong_augmentation=True, averaging=0.999)


@dataclass(frozen=True)
class Step:
    """One step towards the recipe, or beside it. size: the fields of a Profile that it changes; remedy: of `remedies`,
    None for plain cross-entropy; views: whether the answer is the mean over eight views (`answers.probabilities`)."""

    size: dict
    remedy: str | None = None
    views: bool = False


STEPS = {
    "128 pixels, 4 epochs, cross-entropy": Step(SHORT),
    "with logit adjustment": Step(SHORT, "logit adjustment"),
    "192 pixels, the first blocks frozen": Step(LARGER, "logit adjustment"),
    "18 epochs, strong augmentation, averaged weights": Step(RECIPE, "logit adjustment"),
    "with mixup": Step(RECIPE, "logit adjustment and mixup"),
    "eight views: the recipe": Step(RECIPE, "logit adjustment and mixup", views=True),
    "the recipe with plain cross-entropy": Step(RECIPE, views=True),
}


def settings(step: Step) -> Profile:
    """The profile that a step is trained with, on the data that ISIC_DATA names."""
    return dataclasses.replace(profile.current(), **step.size)


def run_of(step: Step, seed: int) -> Run:
    """Where a step's run lies, whether it is there yet or not."""
    return Run(runs.place(settings(step), "standard", "lesion", MODEL, seed, None, step.remedy))


def measured(file: Path = RESULTS) -> pd.DataFrame:
    """What the steps brought on real pictures: a row per step and seed, with validation and test BMA, test accuracy,
    and minutes of training; empty if nothing has been measured yet."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame()
