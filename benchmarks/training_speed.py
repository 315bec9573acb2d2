"""How fast the course's training loop is: beside a bare loop, fastai's Learner and Lightning's Trainer.

    python benchmarks/training_speed.py                  the residual net at 64×64 and 128×128
    python benchmarks/training_speed.py --quick          few pictures, one round, nothing saved
    python benchmarks/training_speed.py --choices        what each choice of the loop is worth, for all six networks

All train an epoch of the slim residual net, turn by turn in one process, on the same batches of 32, which are ready in
memory, with fused AdamW and cross-entropy. The *bare* loop is forward, backward, step. The course's is
`training.train_one_epoch`. It multiplies in 16 bits where the processor is faster with them, and so does the bare loop;
fastai and Lightning run as they come, in 32 bits, and once more in 16 bits, so that the loops alone are compared.
Progress bars, logging, checkpoints and validation are off in all of them, and only the epoch itself is timed, not what
Learner and Trainer set up before.
"""

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import side_by_side
import torch
from torch import nn
from torch.utils.data import DataLoader

from isic_utils import models, settings as profile
from isic_utils.datasets import images as pictures
from isic_utils.training import config as configuration, fit as training, predicting

BATCH = 32
RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128], help="of the pictures, in pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="few pictures, one round, nothing saved")
    parser.add_argument("--choices", action="store_true", help="other settings of the loop instead, nothing saved")
    arguments = parser.parse_args()
    counts, rounds = ([64], 1) if arguments.quick else (arguments.pictures, arguments.rounds)
    packages = ["torch", "fastai", "lightning"]
    table = []
    if arguments.choices:
        packages = ["torch"]
        for name in models.NAMES:
            table += rows_of_choices(name, profile.SIZES["laptop"]["picture_size"], max(counts), rounds)
    else:
        for side in arguments.sides:
            for count in counts:
                table += rows_beside_rivals(side, count, rounds)
    side_by_side.report("training_speed", table, packages, save=not (arguments.quick or arguments.choices))


class Mixed(nn.Module):
    """A network whose forward pass multiplies in 16 bits where the course's does: the same work for every loop."""

    def __init__(self, network: nn.Module, mixed: torch.autocast):
        super().__init__()
        self.network = network
        self.mixed = mixed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.mixed:
            return self.network(x).float()


def new_model(name: str = "residual") -> tuple[nn.Module, torch.autocast]:
    """A slim network and the context of its forward pass, as `training.fit` sets them up."""
    model = models.classifier(name, slim=True).to(memory_format=torch.channels_last)
    return model, predicting.mixed_precision(torch.device("cpu"), model)


def new_optimizer(parameters, lr: float = RATE, **options) -> torch.optim.AdamW:
    """The course's optimiser."""
    return torch.optim.AdamW(parameters, lr, weight_decay=configuration.WEIGHT_DECAY, **({"fused": True} | options))


def rows_beside_rivals(side: int, count: int, rounds: int) -> list[dict]:
    """The rows of all loops on pictures of one size."""
    with tempfile.TemporaryDirectory() as folder:
        store = noise(Path(folder), count, side)
        ready = list(pictures.batches(store, np.arange(count), np.arange(count) % 8, BATCH))
    contenders = {
        side_by_side.COURSE: course_loop(ready, *new_model()),
        "bare loop": bare_loop(ready, *new_model()),
        "fastai": fastai_loop(ready, new_model()[0]),
        "fastai, 16 bits": fastai_loop(ready, Mixed(*new_model())),
        "Lightning": lightning_loop(ready, new_model()[0]),
        "Lightning, 16 bits": lightning_loop(ready, Mixed(*new_model())),
    }
    required = dict.fromkeys(contenders, 1.0) | {side_by_side.COURSE: None, "bare loop": 0.95}
    return side_by_side.rows(f"training, {side}×{side}", count, side_by_side.measure(contenders, rounds), required)


def rows_of_choices(name: str, side: int, count: int, rounds: int) -> list[dict]:
    """The rows of the loop with other settings: precision, optimiser, and with the data's reading and augmentation."""
    rows = np.arange(count)
    off, on = torch.autocast("cpu", enabled=False), torch.autocast("cpu", torch.bfloat16)
    with tempfile.TemporaryDirectory() as folder:
        store = noise(Path(folder), count, side)
        ready = list(pictures.batches(store, rows, rows % 8, BATCH))
        model, mixed = new_model(name)
        optimizer = new_optimizer(model.parameters())
        scaler = torch.amp.GradScaler("cpu", enabled=False)

        def with_data() -> None:
            part = pictures.batches(store, rows, rows % 8, BATCH, seed=0)
            training.train_one_epoch(model, optimizer, scaler, mixed, part, [RATE] * len(ready))

        contenders = {
            side_by_side.COURSE: course_loop(ready, model, mixed),
            "course, reading and augmenting": with_data,
            "bare loop": bare_loop(ready, model, mixed),
            "bare loop, 32 bits": bare_loop(ready, model, off),
            "bare loop, 16 bits": bare_loop(ready, model, on),
            "bare loop, optimizer not fused": bare_loop(ready, model, mixed, fused=False, foreach=False),
        }
        seconds = side_by_side.measure(contenders, rounds)
    return side_by_side.rows(f"{models.TITLES[name]}, {side}×{side}", count, seconds, {})


def noise(folder: Path, count: int, side: int) -> pictures.Pictures:
    """Pictures of noise, mapped from disk as the course's are."""
    shape = (count, side, side, 3)
    np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).tofile(folder / "pixels.bin")
    pixels = np.memmap(folder / "pixels.bin", np.uint8, mode="r", shape=shape)
    return pictures.Pictures(pd.Index([str(i) for i in range(count)]), pixels, pd.DataFrame(), "noise")


def course_loop(ready: list, model: nn.Module, mixed: torch.autocast):
    """An epoch of the course."""
    optimizer = new_optimizer(model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=False)

    def epoch() -> None:
        training.train_one_epoch(model, optimizer, scaler, mixed, ready, [RATE] * len(ready))

    return epoch


def bare_loop(ready: list, model: nn.Module, mixed: torch.autocast, **options):
    """The least that an epoch can be: forward, backward, step."""
    optimizer = new_optimizer(model.parameters(), **options)

    def epoch() -> None:
        model.train()
        for x, y in ready:
            with mixed:
                logits = model(x)
            nn.functional.cross_entropy(logits.float(), y).backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def fastai_loop(ready: list, model: nn.Module):
    """An epoch of fastai's Learner, without the progress bar and the recorder."""
    from fastai.callback.core import Callback, CancelValidException
    from fastai.callback.progress import ProgressCallback
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastaiLoader
    from fastai.learner import Learner, Recorder
    from fastai.optimizer import OptimWrapper

    class Clock(Callback):
        def before_train(self):
            self.start = time.perf_counter()

        def after_train(self):
            self.seconds = time.perf_counter() - self.start

        def before_validate(self):
            raise CancelValidException

    def optimizer(parameters, lr):
        return OptimWrapper(parameters, new_optimizer, lr=lr)

    clock = Clock()
    loaders = DataLoaders(FastaiLoader(ready, bs=None), FastaiLoader([], bs=None), device=torch.device("cpu"))
    learner = Learner(loaders, model, nn.functional.cross_entropy, optimizer, lr=RATE, cbs=[clock])
    learner.remove_cbs([ProgressCallback, Recorder])

    def epoch() -> float:
        learner.fit(1)
        return clock.seconds

    return epoch


def lightning_loop(ready: list, model: nn.Module):
    """An epoch of Lightning's Trainer, without progress bar, model summary, logger, checkpoints and sanity check."""
    import lightning

    class Task(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, number):
            x, y = batch
            return nn.functional.cross_entropy(self.model(x), y)

        def configure_optimizers(self):
            return new_optimizer(self.parameters())

        def on_train_epoch_start(self):
            self.start = time.perf_counter()

        def on_train_epoch_end(self):
            self.seconds = time.perf_counter() - self.start

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # that a list is no DataLoader with workers, on purpose
    task, loader = Task(), DataLoader(ready, batch_size=None)

    def epoch() -> float:
        lightning.Trainer(max_epochs=1, accelerator="cpu", barebones=True).fit(task, loader)
        return task.seconds

    return epoch


if __name__ == "__main__":
    main()
