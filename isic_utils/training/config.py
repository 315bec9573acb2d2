"""What determines a run's result, before anything is trained: its config, its learning rates, and where it belongs.

Two runs with the same config are the same run (`runs.find`). So what is added here later is written only into the
configs of runs that use it (`extras`): runs of before are still found.
"""

import math
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from isic_utils import models
from isic_utils.datasets import splits
from isic_utils.datasets.images import Pictures
from isic_utils.errors import IsicError
from isic_utils.settings import Profile
from isic_utils.training import imbalance as remedies, runs, tasks
from isic_utils.training.processes import accelerator

# The thesis does not state its optimiser, learning rate or loss. Ours: cross-entropy, AdamW, and these.
LEARNING_RATE = {"ImageNet": 1e-3, "random": 2e-3}  # the peak, by what the weights start from
WEIGHT_DECAY = 0.02
WARM_UP = 0.2  # the share of the steps in which the learning rate rises


def configuration(
    name: str,
    table: pd.DataFrame,
    parts: pd.Series,
    pictures: Pictures,
    settings: Profile,
    protocol: str = "standard",
    by: str = "picture",
    seed: int = 0,
    stage: int | None = None,
    learning_rate: float | None = None,
    loss: str | None = None,
    remedy: str | None = None,
) -> dict:
    """Everything that determines a run's result, as plain values. The arguments are those of `training.fit`.

    Raises IsicError as `tasks.of` and `extras` do.
    """
    task = tasks.of(name, table, loss)
    pretrained = models.starts_from(name, models.if_it_has_weights(name, settings.pretrained), settings.slim)
    split = table[[column for column in ("image", "label") if column in table]].assign(part=parts)
    return {
        "model": name,
        **task.configuration(settings),
        **schedule(task, pretrained, settings, learning_rate),
        "slim": settings.slim,
        "weight_decay": WEIGHT_DECAY,
        "warm_up": WARM_UP,
        "seed": seed,
        "protocol": protocol,
        "by": by,
        "stage": stage,
        "data": settings.data_name,
        "synthetic": settings.synthetic,
        "pictures": pictures.digest,
        "split": runs.digest(split.sort_values("image").to_csv(index=False)),
        "parts": {part: int((parts == part).sum()) for part in splits.PARTS},
        **extras(name, pretrained, settings, remedy),
    }


def schedule(task, pretrained: str, settings: Profile, learning_rate: float | None) -> dict:
    """What depends on whether a network starts from ImageNet weights: how long it trains, and how fast."""
    fine_tuning = pretrained == "ImageNet"
    if learning_rate is None:
        learning_rate = LEARNING_RATE["ImageNet" if fine_tuning else "random"]
    return {
        "pretrained": pretrained,
        "epochs": task.epochs(settings, fine_tuning),
        "learning_rate": learning_rate,
    }


def learning_rates(epoch: int, epochs: int, steps: int, peak: float) -> list[float]:
    """The learning rate of each step of an epoch (the first epoch is 1).

    Over the whole run it rises in a line from a tenth of the peak, then falls to 0 along half a cosine.
    """
    rise = WARM_UP * epochs * steps
    rates = []
    for step in range((epoch - 1) * steps, epoch * steps):
        if step < rise:
            rates.append(peak * (0.1 + 0.9 * step / rise))
        else:
            rates.append(peak * (1 + math.cos(math.pi * (step - rise) / (epochs * steps - rise))) / 2)
    return rates


def extras(name: str, pretrained: str, settings: Profile, remedy: str | None) -> dict:
    """What a config says of a remedy, strong augmentation, averaging and frozen blocks, where a classifier's run has
    them.

    Raises IsicError for a remedy that training does not know, or of a U-Net, and for frozen blocks of a network that
    has none or starts from random weights.
    """
    check_remedy(name, remedy)
    if name in models.SEGMENTERS:
        return {}
    changes = remedies.description(remedies.for_training(remedy))
    if settings.frozen_blocks and (name != "efficientnet_lite0" or pretrained != "ImageNet"):
        raise IsicError(
            f"{models.TITLES[name]} that starts from {pretrained} weights has no blocks to leave as they are: train "
            "efficientnet_lite0 from ImageNet weights, or set frozen_blocks=0."
        )
    wanted = {name: getattr(settings, name) for name in ("strong_augmentation", "averaging", "frozen_blocks")}
    extra = {key: value for key, value in wanted.items() if value}
    return ({"remedy": {"name": remedy, **changes}} if changes else {}) | extra


def check_remedy(name: str, remedy: str | None) -> None:
    """Raise IsicError for a remedy that training does not know, or of a U-Net; None is none."""
    if name in models.SEGMENTERS and remedy is not None:
        raise IsicError(f"{name} draws masks: leave out remedy={remedy!r}, which is for classes.")
    remedies.for_training(remedy)


def made_with(device: torch.device, mixed: torch.autocast) -> dict:
    """How a run was made: noted in its config, and not compared when a run is looked for."""
    return {
        "processes": accelerator().num_processes,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "precision": str(mixed.fast_dtype).removeprefix("torch.") if mixed._enabled else "float32",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def at_once(config: dict) -> int:
    """How many pictures are in memory at a time: a whole batch, unless the config says fewer."""
    return config.get("at_once", config["batch_size"])


def place_of(config: dict, settings: Profile) -> Path:
    """Where the run with this config belongs, unless another one lies there (`runs.find`)."""
    special = config.get("loss") or config.get("remedy", {}).get("name")
    names = (config[name] for name in ("protocol", "by", "model", "seed", "stage"))
    return runs.place(settings, *names, special)
