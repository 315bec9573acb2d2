"""`fit`: the protocol of thesis §5.2 for classifiers and §5.5 for masks, resumable at any moment.

An epoch over the training set, then an evaluation of the validation set; checkpoints are kept, with the lowest loss,
the highest accuracy and the highest BMA, or for masks the lowest loss and the highest Jaccard index; at the end each
checkpoint predicts the test set.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate.utils import broadcast
from tqdm.auto import tqdm

from isic_utils import files, models
from isic_utils.datasets import ImageStore, IsicDataset, splits, transforms
from isic_utils.errors import IsicError
from isic_utils.metrics import scores
from isic_utils.training import imbalance, losses, tensorboard
from isic_utils.training.config import TrainConfig
from isic_utils.training.loop import Loss, epoch_seed, evaluate, get_accelerator, train_one_epoch
from isic_utils.training.runs import Run, best_epoch, read_state, run_of, split_digest, write_csv
from isic_utils.training.state import Training, is_finished, lock, set_up, write_config, write_epoch


def fit(
    config: TrainConfig,
    store: ImageStore,
    table: pd.DataFrame,
    split: pd.Series,
    runs: Path | None = None,
    progress: bool = True,
    after_epoch: Callable[[], object] = lambda: None,
) -> Run:
    """Train a model and return its run.

    store: decoded images that include the table's, with masks for a U-Net; table: a row per image, with the column
    label (categorical) for a classifier; split: train, validation or test for each row (`splits`); runs: the folder of
    all runs, None: ISIC_RUNS; after_epoch: called when an epoch is kept.

    A finished run is returned at once, and an interrupted one continues to exactly the result it would have had
    on this device and with these versions. One
    that had to do without ImageNet weights is trained again once they can be had.
    Raises IsicError if a set is empty, a class has no training image where the method needs one, the loss is no longer
    finite, memory runs out, the disk is full, or several processes cannot divide a batch.
    """
    data = datasets(config, store, table, split)
    run, accelerator = run_of(config, store, table, split, runs), get_accelerator()
    size, processes = min(config.batch_size, len(data["train"])), accelerator.num_processes
    if size % processes:
        raise IsicError(f"{processes} processes cannot divide a batch of {size} images: choose another batch_size.")
    if is_finished(run, config):
        return run
    with lock(run, accelerator):  # another training of the same run waits here, and then finds it finished
        if is_finished(run, config):
            return run
        try:
            training = set_up(run, config, data, accelerator)
            write_config(run, training, split_digest(table, split))
            steps, title = len(training.batches["train"]), models.model_info(config.model).title
            done, hidden = len(training.history) * steps, not (progress and accelerator.is_main_process)
            bar = tqdm(desc=title, total=config.epochs * steps, initial=done, leave=False, disable=hidden)
            with bar, tensorboard.writer(run, training) as board:
                for epoch in range(len(training.history) + 1, config.epochs + 1):
                    predictions = train_and_validate(training, epoch, bar)
                    if board:  # in the main process alone
                        with files.writing(run.folder):
                            tensorboard.add_epoch(board, training, predictions)
                        write_epoch(run, training)
                    after_epoch()
            write_predictions(run, training)
        except (RuntimeError, MemoryError) as error:
            if not any(words in str(error) for words in ("out of memory", "allocate", "not enough memory")):
                raise
            size = config.micro_batch_size or config.batch_size
            raise IsicError(f"Memory ran out with {size} images: set micro_batch_size={size // 2 or 1}.") from error
    return run


def train_and_validate(training: Training, epoch: int, bar: tqdm) -> pd.DataFrame:
    """Train and validate one epoch, note it in the history, and return the predictions for the validation set."""
    config, accelerator, batches = training.config, training.accelerator, training.batches
    optimizer, scheduler, ema = training.optimizer, training.scheduler, training.ema
    start, learning_rate = time.perf_counter(), scheduler.get_last_lr()[0]  # of the first step
    seed = epoch_seed(config.seed, epoch) + accelerator.process_index * 10**9
    torch.manual_seed(seed)  # dropout
    training.generator.manual_seed(seed)
    batches["train"].set_epoch(epoch)
    train_loss = train_one_epoch(
        training.model, batches["train"], training_loss(training, epoch), optimizer, scheduler, accelerator,
        transform=batch_transform(training), micro_batch_size=config.micro_batch_size, ema=ema, after_step=bar.update,
    )  # fmt: skip
    if ema:
        broadcast([*ema.buffers()])  # batch normalisation saw another share of the images in each process
    evaluated = ema.module if ema else training.model  # what is kept
    predictions = evaluate(evaluated, batches["validation"], evaluation_loss(config), accelerator)
    validation_loss = float(predictions["loss"].mean())
    if not np.isfinite(train_loss + validation_loss):
        rates = f"learning_rate={config.learning_rate / 10:g} instead of {config.learning_rate:g}"
        raise IsicError(f"The loss of {config.model} is no longer finite in epoch {epoch}: try {rates}.")
    found = scores(predictions) if config.task == "classification" else {"jaccard": predictions["jaccard"].mean()}
    row = {"epoch": epoch, "learning_rate": learning_rate, "train_loss": train_loss}
    row |= {"validation_loss": validation_loss, **{f"validation_{name}": float(found[name]) for name in found}}
    training.history.append(row)
    training.seconds.append({"epoch": epoch, "seconds": time.perf_counter() - start})
    bar.set_postfix({name.replace("_", " "): f"{value:.3f}" for name, value in list(row.items())[2:]})
    return predictions


def batch_transform(training: Training) -> Callable:
    """What happens to a training batch on its device: augmentation, then mixup, as the config says."""
    augment, generator = transforms.AUGMENTATIONS[training.config.augmentation], training.generator
    alpha, classes = imbalance.METHODS[training.config.method].mixup, training.data["train"].classes

    def transform(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if augment:
            images, targets = augment(images, targets, generator)
        return imbalance.mixup(images, targets, len(classes), alpha, generator) if alpha else (images, targets)

    return transform


def training_loss(training: Training, epoch: int) -> Loss:
    """The loss of an epoch."""
    config, dataset = training.config, training.data["train"]
    if config.task == "segmentation":
        return losses.MASK_LOSSES[config.mask_loss]
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    return imbalance.loss_of_epoch(imbalance.METHODS[config.method], epoch, config.epochs, counts)


def evaluation_loss(config: TrainConfig) -> Loss:
    """The loss by which checkpoints are compared: a method against imbalance changes training, and not this."""
    return losses.MASK_LOSSES[config.mask_loss] if config.task == "segmentation" else losses.class_cross_entropy


def datasets(config: TrainConfig, store: ImageStore, table: pd.DataFrame, split: pd.Series) -> dict[str, IsicDataset]:
    """The three sets. Raises IsicError if one is empty or the table, the split and the store do not fit."""
    if not split.index.equals(table.index):  # else pandas would give rows the places of others
        raise IsicError("`split` and `table` have different rows: draw the split from the same table.")
    if (config.task == "segmentation") != store.has_masks:
        masks = "without" if store.has_masks else "with"
        raise IsicError(f"{config.model} needs images {masks} masks: build the ImageStore from the table of its task.")
    if config.task == "classification" and table["label"].isna().any():
        raise IsicError("A row of the table has no label to learn from: drop it, or fill it in.")
    for name in splits.SPLITS:
        if not (split == name).any():
            raise IsicError(f"The {name} set is empty: the protocol needs images to train, to validate and to test.")
    # sorted, so that the result does not depend on the order of the rows, as the folder does not
    return {name: IsicDataset(store, table[split == name].sort_values("image")) for name in splits.SPLITS}


def write_predictions(run: Run, training: Training) -> None:
    """Each checkpoint's predictions for validation and test; this ends the run."""
    accelerator, loss = training.accelerator, evaluation_loss(training.config)
    sets, found = ("validation", "test"), {}
    accelerator.wait_for_everyone()  # until the main process has written the last epoch
    epochs = {name: best_epoch(pd.DataFrame(training.history).set_index("epoch"), name) for name in run.checkpoints}
    for checkpoint, epoch in epochs.items():
        if epoch not in found:  # two checkpoints of the same epoch are the same weights
            training.network.load_state_dict(read_state(run.weights(checkpoint)))
            found[epoch] = {name: evaluate(training.model, training.batches[name], loss, accelerator) for name in sets}
    if accelerator.is_main_process:
        for name in sets:
            table = pd.concat({checkpoint: found[epoch][name] for checkpoint, epoch in epochs.items()})
            write_csv(run.folder / f"predictions_{name}.csv", table.reset_index(0, names="checkpoint"))
