"""What TensorBoard shows of a run: losses and scores by epoch, and predicted masks."""

import contextlib

import pandas as pd
import torch
from torch.utils.tensorboard import SummaryWriter

from isic_utils.datasets import loader
from isic_utils.metrics import recall_per_class
from isic_utils.training.runs import Run

SHOWN, WIDTH = 8, 256  # as many of the validation images, so many pixels wide at most
TITLES = {"bma": "BMA", "jaccard": "Jaccard"}


def writer(run: Run, training) -> contextlib.AbstractContextManager:
    """The writer of the main process; the others have none. Events of epochs that a resumed run repeats are purged."""
    if not training.accelerator.is_main_process:
        return contextlib.nullcontext()
    return SummaryWriter(run.folder, purge_step=len(training.history) + 1)


def write(board: SummaryWriter, training, predictions: pd.DataFrame) -> None:
    """The figures of the last epoch. predictions: those for the validation set."""
    row = training.history[-1]
    epoch = row["epoch"]
    board.add_scalar("learning_rate", row["learning_rate"], epoch)
    for name, value in row.items():
        split, _, metric = name.partition("_")
        if split in ("train", "validation"):
            board.add_scalar(f"{TITLES.get(metric, metric)}/{split}", value, epoch)
    if training.config.task == "classification":
        recall = recall_per_class(predictions["label"], predictions["predicted"], training.data["train"].classes)
        for code, value in recall.items():
            board.add_scalar(f"recall/{code}", value, epoch)
    else:
        board.add_scalar("thresholded Jaccard/validation", predictions["thresholded_jaccard"].mean(), epoch)
        board.add_images("validation, true mask green, predicted red, both yellow", masks(training), epoch)
    board.flush()  # so that a full disk is noticed now


@torch.no_grad()
def masks(training) -> torch.Tensor:
    """Some validation images under their masks: float [count, 3, h, w] from 0 to 1."""
    shown, device = next(iter(loader(training.data["validation"], SHOWN))), training.accelerator.device
    images, true = (values.to(device) for values in shown)
    model = training.accelerator.unwrap_model(training.evaluated)  # the other processes do not take part
    predicted = (model(images) > 0).to(images.dtype)
    step = -(-images.shape[-1] // WIDTH)
    images, true, predicted = (values[..., ::step, ::step] for values in (images, true, predicted))
    return 0.7 * images + 0.3 * torch.cat([predicted, true, torch.zeros_like(true)], dim=1)
