"""What TensorBoard shows of a run: losses and scores by epoch."""

import contextlib

import pandas as pd
from torch.utils.tensorboard import SummaryWriter

from isic_utils import files, metrics
from isic_utils.training.runs import Run

NAMES = {"bma": "BMA", "jaccard": "Jaccard"}


def writer(run: Run, training) -> contextlib.AbstractContextManager:
    """The writer of the main process; the others have none. Events of epochs that a resumed run repeats are purged."""
    if not training.accelerator.is_main_process:
        return contextlib.nullcontext()
    with files.writing(run.folder):
        return SummaryWriter(run.folder, purge_step=len(training.history) + 1)


def add_epoch(board: SummaryWriter, training, predictions: pd.DataFrame) -> None:
    """The figures of the last epoch. predictions: those for the validation set."""
    row, epoch = training.history[-1], len(training.history)
    board.add_scalar("learning_rate", row["learning_rate"], epoch)
    for name, value in row.items():
        split, _, metric = name.partition("_")
        if split in ("train", "validation"):
            board.add_scalar(f"{NAMES.get(metric, metric)}/{split}", value, epoch)
    if training.config.task == "classification":
        recall = metrics.recall_per_class(predictions.label, predictions.predicted, training.data["train"].classes)
        for code, value in recall.items():
            board.add_scalar(f"recall/{code}", value, epoch)
    else:
        board.add_scalar("thresholded Jaccard/validation", predictions["thresholded_jaccard"].mean(), epoch)
    board.flush()  # so that a full disk is noticed now
