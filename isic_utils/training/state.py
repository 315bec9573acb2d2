"""A training in progress: what it works with, how it is set up, kept on disk, and resumed after any interruption."""

import contextlib
import functools
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from isic_utils import files, models, processes
from isic_utils.datasets import IsicDataset, loader
from isic_utils.training import imbalance
from isic_utils.training.config import TrainConfig
from isic_utils.training.loop import prepare_model
from isic_utils.training.runs import Run, best_epoch, read_state, write_csv
from isic_utils.training.schedule import warm_up_and_cosine


@dataclass
class Training:
    """What one training works with, and how far it is: the history has an entry for each finished epoch."""

    config: TrainConfig
    data: dict[str, IsicDataset]
    accelerator: Accelerator
    network: torch.nn.Module  # as `create_model` returned it: its state_dict is what is kept
    model: torch.nn.Module  # the same, as accelerate has prepared it
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    batches: dict[str, DataLoader]
    ema: AveragedModel | None
    generator: torch.Generator = field(default_factory=torch.Generator)  # of the augmentation
    history: list[dict] = field(default_factory=list)
    seconds: list[dict] = field(default_factory=list)

    @property
    def parts(self) -> dict:
        """What has a state that last.pt keeps, by name."""
        parts = {"model": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler, "ema": self.ema}
        return {name: part for name, part in (parts | {"scaler": self.accelerator.scaler}).items() if part is not None}


def set_up(run: Run, config: TrainConfig, data: dict[str, IsicDataset], accelerator: Accelerator) -> Training:
    """Build model, optimizer, scheduler and loaders; load the state of an interrupted run."""
    processes.keep_memory()
    if accelerator.device.type != "cpu":
        accelerator.free_memory()  # which the training before may have left to the garbage collector
    torch.manual_seed(config.seed)
    network = models.create_model(config.model, len(data["train"].classes or [1]), config.pretrained, config.width)
    if config.frozen_blocks:
        models.freeze(network, config.frozen_blocks)
    network.to(accelerator.device)
    ema = None
    if config.ema_decay:
        ema = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)
        prepare_model(ema.module, accelerator)
    model = prepare_model(network, accelerator, trains=True)
    decay = config.weight_decay
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=decay, fused=True)
    draw = imbalance.METHODS[config.method].sampler
    sampler = draw and draw(data["train"].labels, config.seed)  # else each image once an epoch
    batches = {"train": loader(data["train"], config.batch_size, shuffle=not draw, seed=config.seed, sampler=sampler)}
    steps = config.epochs * len(batches["train"])
    scheduler = LambdaLR(optimizer, functools.partial(warm_up_and_cosine, steps=steps, warm_up=config.warm_up))
    at_a_time = (config.micro_batch_size or config.batch_size // accelerator.num_processes) * accelerator.num_processes
    batches |= {name: loader(data[name], at_a_time) for name in ("validation", "test")}
    batches = {name: accelerator.prepare_data_loader(one) for name, one in batches.items()}
    optimizer, scheduler = accelerator.prepare(optimizer, scheduler)
    training = Training(config, data, accelerator, network, model, optimizer, scheduler, batches, ema)
    if from_main((run.folder / "last.pt").exists()):
        resume(run, training)
    return training


def resume(run: Run, training: Training) -> None:
    """Continue from last.pt. One that began without ImageNet weights starts over, if they can be had now."""
    begun_as = from_main(run.config["pretrained"])
    if from_main(begun_as == models.NOT_DOWNLOADED != training.network.pretrained):
        return
    training.network.pretrained = begun_as
    state = read_state(run.folder / "last.pt")
    for name, part in training.parts.items():
        if name in state:  # a scaler is not, if the run began on a device that needs none
            part.load_state_dict(state[name])
    training.history, training.seconds = state["history"], state["seconds"]
    write_results(run, training)  # which a killed process may not have come to


def write_config(run: Run, training: Training, split: str) -> None:
    """config.json: what determines the result, and what it was made with."""
    data, accelerator = training.data, training.accelerator
    store, classes = data["train"].store, data["train"].classes
    # pretrained: "ImageNet", or "no" with the reason
    content = asdict(training.config) | {"pretrained": training.network.pretrained, "classes": classes, "split": split}
    content |= {"data": store.data_name, "synthetic": store.synthetic, "images": store.digest}
    content |= {"image_size": list(store.size), "counts": {name: len(dataset) for name, dataset in data.items()}}
    content["made_with"] = {
        "processes": accelerator.num_processes,
        "device": torch.cuda.get_device_name() if accelerator.device.type == "cuda" else accelerator.device.type,
        "precision": accelerator.mixed_precision if accelerator.autocast_handler.enabled else "no",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if accelerator.is_main_process:
        if not training.history:  # nothing of an earlier training may be taken for this one's
            for file in [*run.folder.glob("predictions_*.csv"), run.folder / "last.pt"]:
                file.unlink(missing_ok=True)
        files.write_json(run.folder / "config.json", content)


def write_epoch(run: Run, training: Training) -> None:
    """Keep an epoch; the main process does. It counts from last.pt on: killed after that, a resumed run writes the
    other files again."""
    state = {name: part.state_dict() for name, part in training.parts.items()}
    state |= {"history": training.history, "seconds": training.seconds}
    files.write(run.folder / "last.pt", functools.partial(torch.save, state))
    write_results(run, training)


def write_results(run: Run, training: Training) -> None:
    """Write the history, and the weights of the checkpoints whose best epoch is the last one."""
    if not training.accelerator.is_main_process:
        return
    history = pd.DataFrame(training.history).set_index("epoch")
    weights = (training.ema.module if training.ema else training.network).state_dict()
    for checkpoint in run.checkpoints:
        if best_epoch(history, checkpoint) == len(history):
            files.write(run.weights(checkpoint), functools.partial(torch.save, weights))
    write_csv(run.folder / "history.csv", history.reset_index())
    write_csv(run.folder / "seconds.csv", pd.DataFrame(training.seconds))


def is_finished(run: Run, config: TrainConfig) -> bool:
    """Whether a run needs no more training. One that had to do without ImageNet weights does, once they can be had."""
    finished = run.finished
    if finished and config.pretrained and run.config["pretrained"] == models.NOT_DOWNLOADED:
        finished = models.create_model(config.model, pretrained=True).pretrained == models.NOT_DOWNLOADED
    return from_main(finished)


def from_main(value: object) -> object:
    """The main process's value, in every process: what files say can change between two looks at them."""
    return broadcast_object_list([value])[0]


@contextlib.contextmanager
def lock(run: Run, accelerator: Accelerator) -> Iterator[None]:
    """Hold a run's folder for this training alone; of several processes that train together, the main one holds it."""
    with files.locked(run.folder / ".lock") if accelerator.is_main_process else contextlib.nullcontext():
        accelerator.wait_for_everyone()
        yield
        accelerator.wait_for_everyone()  # until the main process has written everything
