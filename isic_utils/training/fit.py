"""One training loop: the protocol of thesis §5.2 to the letter, for both tasks.

An epoch over the training part, then a pass over validation without gradients; checkpoints are kept, with the lowest
loss, the highest accuracy and the highest BMA, or for masks (§5.5) the lowest loss and the highest Jaccard index; at
the end each checkpoint answers for the test part. What a run's config is made of is in `configuration`, how a model
answers for a part in `predicting`, what differs between the tasks in `tasks`, and what several processes need to work
on one run (``accelerate launch``) in `processes`.
"""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from isic_utils import models
from isic_utils.datasets import splits, transforms as augmentation
from isic_utils.datasets.images import Pictures, batches, number_of_batches
from isic_utils.errors import IsicError
from isic_utils.settings import Profile
from isic_utils.training import imbalance as remedies, losses, memory, processes, runs, tasks
from isic_utils.training.config import (
    LEARNING_RATE,  # noqa: F401 (lesson 04 reads it here)
    WEIGHT_DECAY,
    at_once,
    configuration,
    learning_rates,
    made_with,
    place_of,
    schedule,
)
from isic_utils.training.predicting import mixed_precision, predict_part, predict_parts
from isic_utils.training.processes import accelerator
from isic_utils.training.runs import Run


def fit(
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
    progress: bool = True,
) -> Run:
    """Train a model by the protocol of thesis §5.2 (a classifier) or §5.5 (a U-Net) and return its run.

    name: one of `models.TITLES`; table: the column image, and label (categorical) for a classifier; parts: train,
    validation or test for each row (`splits`); pictures: decoded ones that include the table's, for a U-Net with masks
    (`pictures.load_pairs`); settings: how large, how long, where to.
    protocol, by, seed, stage: the names under which the run is kept; the seed also starts weights, order and
    augmentation.
    learning_rate: the peak; None takes `LEARNING_RATE`.
    loss: for a U-Net, one of `losses.OF_MASKS`; None: cross-entropy for classes, "both" for masks.
    remedy: for a classifier, one of `remedies.REMEDIES`; None: plain cross-entropy. It changes what is trained on, and
    not how the parts are scored.

    A finished run is returned at once, an interrupted one continues to exactly the result it would have had, and one
    with another config gets another folder. Raises IsicError if the loss is no longer finite, memory runs out (both say
    what to try), a part is empty, or the disk is full.
    """
    task = tasks.of(name, table, loss)
    data = {part: select(table, parts, pictures, part, task) for part in splits.PARTS}
    config = configuration(
        name, table, parts, pictures, settings, protocol, by, seed, stage, learning_rate, loss, remedy
    )
    place = place_of(config, settings)
    run, finished = look(place, config)
    if finished:
        return run

    torch.manual_seed(seed)
    model = task.build(name, settings)
    if model.pretrained != config["pretrained"]:  # ImageNet weights were wanted and could not be had
        config |= schedule(task, model.pretrained, settings, learning_rate)

    while True:
        run, finished = look(place, config)
        if finished:
            return run
        # another training of the same run waits here and then finds it finished
        with runs.writing(run.folder), lock(run):
            again, finished = look(place, config)
            if again != run:  # while this one waited, a run with another config began here
                continue
            if not finished:
                tell_what_differs(run, place, config, settings)
                try:
                    train(run, task, model, config, data, pictures, progress)
                    predict_parts(run, task, model, config, data, pictures)
                except RuntimeError as error:
                    if not memory.is_out_of_memory(error):
                        raise
                    raise memory.out_of_memory(config, pictures) from error
            processes.wait()  # until the main process has written everything
        return run


def tell_what_differs(run: Run, place: Path, config: dict, settings: Profile) -> None:
    """Print why a run goes to a folder beside its usual place, if it does: there lies one with another config."""
    if run.folder == place or not processes.is_main():
        return
    other = Run(place).config
    differs = [key for key in runs.compared(config) if other.get(key) != config[key]]
    print(
        f"{place.relative_to(settings.runs)} keeps a run with other {', '.join(differs)}; "
        f"this one goes to {run.folder.name} beside it."
    )


def look(place: Path, config: dict) -> tuple[Run, bool]:
    """The run with this config (`runs.find`), and whether it is finished."""
    folder, finished = processes.as_main_says(lambda: (folder := runs.find(place, config), Run(folder).finished))
    return Run(folder), finished


@contextlib.contextmanager
def lock(run: Run):
    """Hold a run's folder for this training alone; of several processes that train together, the main one holds it."""
    if not processes.is_main():
        yield
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder / ".lock"):
        yield


def find(
    name: str,
    table: pd.DataFrame,
    parts: pd.Series,
    pictures: Pictures,
    settings: Profile,
    protocol: str = "standard",
    by: str = "picture",
    **options,
) -> Run:
    """The run that `fit` returns for the same arguments, as far as it has come: nothing is trained (`Run.finished`).

    Where ImageNet weights are wanted, a finished run counts that had to do without, since they could not be downloaded,
    until one with them is finished; `fit` tries again to get them.
    options: seed, stage, learning_rate, loss and remedy, as `fit` takes them.
    """
    config = configuration(name, table, parts, pictures, settings, protocol, by, **options)
    run = Run(runs.find(place_of(config, settings), config))
    if run.finished or config["pretrained"] != "ImageNet":
        return run
    task = tasks.of(name, table, options.get("loss"))
    config |= schedule(task, models.NOT_DOWNLOADED, settings, options.get("learning_rate"))
    without = Run(runs.find(place_of(config, settings), config))
    return without if without.finished else run


def train(run: Run, task, model: nn.Module, config: dict, data: dict, pictures: Pictures, progress: bool) -> None:
    """All epochs that are not done yet, from the last complete one on. task: of `tasks`."""
    size = config["batch_size"]
    steps = number_of_batches(len(data["train"][0]), size)
    processes.check_share(min(len(data["train"][0]) // steps, at_once(config)))
    device = accelerator().device
    memory.keep()
    if device.type != "mps":
        model.to(memory_format=torch.channels_last)
    mixed = mixed_precision(device, model)
    main = processes.is_main()  # only the main process writes
    if "frozen_blocks" in config:
        models.freeze(model, config["frozen_blocks"])
    config["made_with"] = made_with(device, mixed)
    if main:
        runs.write_json(run.folder / "config.json", config)
    trained = processes.together(model)
    optimizer = torch.optim.AdamW(model.parameters(), config["learning_rate"], weight_decay=WEIGHT_DECAY, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=mixed.fast_dtype == torch.float16)
    average = mean_of_weights(model, config)
    answering = average.module if average else model  # validates, and is kept

    state = {"epoch": 0, "history": [], "seconds": []}
    if processes.as_main_says((run.folder / "last.pt").exists):
        state = runs.read_weights(run.folder / "last.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        if average:
            average.load_state_dict(state["average"])
        if main:
            write_results(run, state, answering.state_dict())  # which a killed process may not have come to

    title = models.TITLES[config["model"]]
    done, total = state["epoch"] * steps, config["epochs"] * steps
    bar = tqdm(desc=title, total=total, initial=done, leave=False, disable=not (progress and main))
    events = SummaryWriter(run.folder, purge_step=state["epoch"] + 1) if main else contextlib.nullcontext()
    with events as board, bar:
        if main and state["epoch"] == 0:
            first, _ = next(training_batches(config, data["train"], pictures, "cpu", epoch=1))
            board.add_images("training pictures, augmented", first[:16], 1)
        for epoch in range(state["epoch"] + 1, config["epochs"] + 1):
            start = time.perf_counter()
            torch.manual_seed(epoch_seed(config["seed"], epoch))  # dropout
            rates = learning_rates(epoch, config["epochs"], steps, config["learning_rate"])
            part = training_batches(config, data["train"], pictures, device, epoch)
            loss = training_loss(config, task, data["train"], epoch)
            train_loss = train_one_epoch(
                trained, optimizer, scaler, mixed, part, rates, bar, loss, at_once(config), average
            )
            predictions = predict_part(task, answering, mixed, config, data["validation"], pictures)
            validation_loss = float(predictions["loss"].mean())
            if not math.isfinite(train_loss + validation_loss):
                raise IsicError(
                    f"The loss of {title} is no longer finite in epoch {epoch}, since its weights have grown without "
                    f"bound: try a smaller learning rate, e.g. learning_rate={config['learning_rate'] / 10:g} "
                    f"instead of {config['learning_rate']:g}."
                )
            row = {
                "epoch": epoch,
                "learning_rate": rates[-1],
                "train_loss": train_loss,
                "validation_loss": validation_loss,
            }
            row |= {f"validation_{metric}": value for metric, value in task.scores(predictions).items()}
            state["history"].append(row)
            state["seconds"].append({"epoch": epoch, "seconds": time.perf_counter() - start})
            bar.set_postfix({name.replace("_", " "): f"{value:.3f}" for name, value in list(row.items())[2:]})
            if main:
                write_events(board, row)
                part = batches(pictures, *data["validation"], at_once(config), device)  # read if the task asks for it
                task.write_events(board, epoch, predictions, answering, mixed, part)
                state |= {
                    "epoch": epoch,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scaler": scaler.state_dict(),
                }
                if average:
                    state["average"] = average.state_dict()
                write_epoch(run, state, answering.state_dict())


def training_batches(config: dict, data: tuple, pictures: Pictures, device, epoch: int):
    """The augmented batches of an epoch, as the run's remedy wants them. data: as `select` returns it."""
    rows, labels = data
    seed = epoch_seed(config["seed"], epoch)
    vary = augmentation.strongly if config.get("strong_augmentation") else None
    if "remedy" not in config:
        return batches(pictures, rows, labels, config["batch_size"], device, seed, vary)
    remedy = remedies.named(config["remedy"]["name"])
    seen = remedy.draw(labels, config["seed"], epoch)
    part = batches(pictures, rows[seen], labels[seen], config["batch_size"], device, seed, vary)
    return remedies.mixup(part, remedy.mixup, len(config["classes"]), seed) if remedy.mixup else part


def training_loss(config: dict, task, data: tuple, epoch: int) -> Callable:
    """The loss of an epoch: the run's remedy's, or the task's own. data: as `select` returns it."""
    if "remedy" not in config:
        return task.loss
    counts = np.bincount(data[1], minlength=len(config["classes"]))
    return remedies.loss_at(remedies.named(config["remedy"]["name"]), epoch, config["epochs"], counts)


def mean_of_weights(model: nn.Module, config: dict) -> AveragedModel | None:
    """The moving mean of a model's weights over the steps, if the config asks for it: mean ← d · mean + (1 - d) ·
    weights, with d as ``averaging``. The idea of a mean is that of Polyak and Juditsky 1992, doi:10.1137/0330046."""
    if "averaging" not in config:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config["averaging"]), use_buffers=True)


def write_epoch(run: Run, state: dict, weights: dict) -> None:
    """Keep an epoch: what it takes to continue, then the history and the weights of the checkpoints whose best it is.

    state: history and seconds (a dictionary per epoch), epoch, and the states of model, optimizer, scaler and, where
    there is one, the moving mean; weights: of the model that has validated. From the first file on the epoch counts as
    done: killed after it, a run that continues writes the others again (`write_results`).
    """
    runs.write_weights(run.folder / "last.pt", state)
    write_results(run, state, weights)


def write_results(run: Run, state: dict, weights: dict) -> None:
    """Write the history, and the weights of the checkpoints whose best the last epoch is (see `write_epoch`)."""
    history = pd.DataFrame(state["history"]).set_index("epoch")
    for metric, file in run.checkpoints.items():
        if runs.best_epoch(history, metric) == state["epoch"]:
            runs.write_weights(file, weights)
    runs.write_csv(run.folder / "history.csv", history.reset_index())
    runs.write_csv(run.folder / "seconds.csv", pd.DataFrame(state["seconds"]))


def train_one_epoch(
    model, optimizer, scaler, mixed, part, rates, bar=None, loss=losses.class_cross_entropy, at_once=None, average=None
) -> float:
    """One pass over the training part: forward, backward, step for each batch.

    part: yields (pictures, truth); rates: the learning rate of each step; mixed: the context of the forward pass;
    loss: takes logits and truth and returns a value for each picture.
    at_once: how many pictures of a batch are in memory at a time; their slopes add up to the batch's. None: all.
    average: the moving mean of the weights, which each step moves; None: there is none.
    Of several processes each works on its share, and backward() gives all of them the mean of their slopes.
    Returns the mean loss over the pictures, each taken when it was seen; it ends early if that is no longer finite.
    """
    model.train()
    total, seen = 0.0, 0
    count = accelerator().num_processes
    for step, ((x, y), rate) in enumerate(zip(part, rates, strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for some_x, some_y in zip(x.split(at_once or len(x)), y.split(at_once or len(y)), strict=True):
            with mixed:
                logits = model(processes.share(some_x))
            value = loss(logits, processes.share(some_y)).sum()
            scaler.scale(value * count / len(y)).backward()
            total = total + processes.sum_of(value.detach())
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if average is not None:
            average.update_parameters(model)
        seen += len(y)
        if bar is not None:
            bar.update()
        if step % 20 == 0 and not torch.isfinite(total):  # asking makes a graphics card wait, so not at each step
            break
    return total.item() / seen


def load(run: Run, checkpoint: str | None = None) -> tuple[nn.Module, torch.autocast, torch.device]:
    """A trained model, ready to answer: the model, the context of its forward pass, and the device it is on.

    checkpoint: loss, accuracy, bma or jaccard; None: the run's `headline`. Raises IsicError if the run does not keep
    this one, or its file is missing or of another network.
    """
    checkpoint = run.headline if checkpoint is None else checkpoint
    if checkpoint not in run.kept:
        raise IsicError(f"There is no checkpoint {checkpoint!r} of this run: choose one of {', '.join(run.kept)}.")
    config = run.config
    device = accelerator().device
    if "classes" in config:
        model = models.classifier(config["model"], len(config["classes"]), pretrained=False, slim=config["slim"])
    else:
        model = models.segmenter(config["model"], pretrained=False, slim=config["slim"])
    try:
        model.load_state_dict(runs.read_weights(run.checkpoints[checkpoint]))
    except RuntimeError as error:
        raise IsicError(
            f"{run.checkpoints[checkpoint]} holds the weights of another network than {models.TITLES[config['model']]} "
            f"as it is built now: delete the folder {run.folder} and train again."
        ) from error
    model.to(device).eval()
    return model, mixed_precision(device, model), device


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch's order, augmentation and dropout: a run that continues draws the same chance as one in one
    go."""
    return seed * 10_000 + epoch


def select(
    table: pd.DataFrame, parts: pd.Series, pictures: Pictures, part: str, task=None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Where the pictures of a part are decoded, and their classes as numbers: two integer arrays [n]; for segmentation
    None instead of the second, since the masks are decoded with the pictures. task: of `tasks`; None: classification.
    """
    if not parts.index.equals(table.index):
        raise IsicError("`parts` and `table` have different rows: draw the split from the same table.")
    chosen = table[(parts == part) & ~table["image"].isin(pictures.left_out["image"])]
    if chosen.empty:
        raise IsicError(f"The {part} part is empty: the protocol needs pictures to train, to validate and to test.")
    labels = (task or tasks.of("residual", table, loss=None)).labels(chosen)
    if labels is None and pictures.pixels.shape[-1] != 4:
        raise IsicError(
            "The decoded pictures have no masks, from which a U-Net learns: decode them with `pictures.load_pairs`."
        )
    return pictures.rows(chosen["image"]), labels


def write_events(board: SummaryWriter, row: dict) -> None:
    """An epoch's figures as TensorBoard events: losses, learning rate and the validation scores."""
    titles = {"bma": "BMA", "jaccard": "Jaccard"}
    for name, value in row.items():
        part, _, metric = name.partition("_")
        if metric == "loss":
            board.add_scalar(f"loss/{part}", value, row["epoch"])
        elif part == "validation":
            board.add_scalar(f"{titles.get(metric, metric)}/validation", value, row["epoch"])
    board.add_scalar("learning_rate", row["learning_rate"], row["epoch"])
