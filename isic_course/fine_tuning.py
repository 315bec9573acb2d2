"""The recipe of lesson 08: EfficientNet-Lite0, fine-tuned on real images within a quarter of an hour on two cores.

``benchmarks/fine_tuning.py`` trains its steps, and their results are kept in ``benchmarks/results/fine_tuning.csv``;
the lesson shows that table.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from isic_utils.settings import PROJECT, Settings
from isic_utils.training import TrainConfig

MODEL, PROTOCOL = "efficientnet_lite0", "fine-tuning"
RESULTS = PROJECT / "benchmarks" / "results" / "fine_tuning.csv"

SHORT = dict(epochs=4, batch_size=16)
LARGER = dict(epochs=4, batch_size=12, frozen_blocks=3)
LONG = LARGER | dict(epochs=18, augmentation="strong", ema_decay=0.999)
ADJUSTED = dict(method="logit adjustment")
MIXED = dict(method="logit adjustment and mixup")


@dataclass(frozen=True)
class Step:
    """One step towards the recipe, or a variant beside it.

    image_size: side in pixels; changes: the fields of `TrainConfig` that it chooses; tta: whether the prediction is the
    mean over eight orientations of the image (test-time augmentation, `predict_probabilities`).
    """

    image_size: int
    changes: dict = field(default_factory=dict)
    tta: bool = False


STEPS = {
    "128 pixels, 4 epochs, cross-entropy": Step(128, SHORT),
    "with logit adjustment": Step(128, SHORT | ADJUSTED),
    "192 pixels, the first blocks frozen": Step(192, LARGER | ADJUSTED),
    "18 epochs, strong augmentation, EMA": Step(192, LONG | ADJUSTED),
    "with mixup": Step(192, LONG | MIXED),
    "TTA: the recipe": Step(192, LONG | MIXED, tta=True),
    "the recipe with plain cross-entropy": Step(192, LONG, tta=True),
}


def config(step: Step, seed: int, settings: Settings) -> TrainConfig:
    """The training of a step."""
    return TrainConfig.from_settings(settings, MODEL, protocol=PROTOCOL, seed=seed, pretrained=True, **step.changes)


def table_of_steps() -> pd.DataFrame:
    """What each step chooses: a row per step, a dash where it is the default."""
    shown = {"epochs": "epochs", "batch_size": "batch size", "method": "method", "frozen_blocks": "frozen blocks"}
    shown |= {"augmentation": "augmentation", "ema_decay": "EMA"}
    rows = {}
    for name, step in STEPS.items():
        rows[name] = {"pixels": step.image_size} | {title: step.changes.get(key, "–") for key, title in shown.items()}
        rows[name]["TTA"] = "8 orientations" if step.tta else "–"
    return pd.DataFrame(rows).T


def measured(file: Path = RESULTS) -> pd.DataFrame:
    """The steps' results on real images: a row per step and seed, with validation and test BMA, test accuracy, and
    minutes of training; empty if nothing has been measured yet."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame()
