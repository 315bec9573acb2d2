"""How fast the course's training loop is: beside a bare loop, fastai's Learner and Lightning's Trainer.

    python benchmarks/training_speed.py                  the residual net at 64×64 and 128×128
    python benchmarks/training_speed.py --quick          few images, one round, nothing saved
    python benchmarks/training_speed.py --choices        the effect of each setting of the loop, for all six networks
    python benchmarks/training_speed.py --together       two runs of each network, one after the other and side by side

All train an epoch of the narrow residual net, turn by turn in one process, on the same batches of 32, which are ready
in memory, with fused AdamW and cross-entropy. The *bare* loop is forward, backward, step. The course's is
`training.train_one_epoch`, with model, optimizer and scheduler prepared as `fit` does it. It multiplies in 16 bits
where the processor is faster with them, and so does the bare loop; fastai and Lightning run as they come, in 32 bits,
and there once more in 16 bits, so that the loops alone are compared. Progress bars, logging, checkpoints and
validation are off in all of them, and only the epoch itself is timed, not what Learner and Trainer set up before.
"""

import argparse
import logging
import os
import tempfile
import time
import warnings
from pathlib import Path

import side_by_side
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from isic_utils.datasets.transforms import augment
from isic_utils.models import CLASSIFIERS, MODELS, TITLES, create_model
from isic_utils.processes import keep_memory
from isic_utils.settings import PROFILES, load_settings
from isic_utils.training import TrainConfig, fit, fit_all, get_accelerator, protocols, train_one_epoch
from isic_utils.training.loop import prepare_model
from isic_utils.training.losses import class_cross_entropy

BATCH = 32
RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128], help="of the images, in pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="few images, one round, nothing saved")
    parser.add_argument("--choices", action="store_true", help="other settings of the loop instead, nothing saved")
    parser.add_argument("--together", action="store_true", help="two runs of each network, side by side, instead")
    arguments = parser.parse_args()
    counts, rounds = ([64], 1) if arguments.quick else (arguments.images, arguments.rounds)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    keep_memory()
    packages = ["torch", "fastai", "lightning"]
    table = []
    if arguments.together:
        packages = ["torch"]
        table = rows_together(1 if arguments.quick else 2)
    elif arguments.choices:
        packages = ["torch"]
        for name in CLASSIFIERS:
            table += rows_of_choices(name, PROFILES["laptop"]["image_size"], max(counts), rounds)
    else:
        for side in arguments.sides:
            for count in counts:
                table += rows_beside_rivals(side, count, rounds)
    side_by_side.report("training_speed", table, packages, save=not (arguments.quick or arguments.choices))


def rows_together(epochs: int) -> list[dict]:
    """Two runs of each network on the sample: one after the other with a thread per core, and by `fit_all` with one
    thread each. Only the epochs are timed, not the start of a process."""
    settings, table = load_settings(), []
    images, store = protocols.load_data("standard", settings)
    for name in CLASSIFIERS:
        jobs = [protocols.arrange("standard", name, images, settings, seed=seed, epochs=epochs) for seed in (0, 1)]
        with tempfile.TemporaryDirectory() as folder:
            torch.set_num_threads(os.cpu_count())
            alone = [fit(config, store, *data, Path(folder, "alone"), progress=False) for config, *data in jobs]
            torch.set_num_threads(1)
            together = fit_all(jobs, store, Path(folder, "together"), progress=False)
            seconds = {side_by_side.COURSE: [max(run.seconds for run in together)]}
            seconds["one after the other"] = [sum(run.seconds for run in alone)]
        count = len(jobs) * epochs * int((jobs[0][2] == "train").sum())
        table += side_by_side.rows(f"two runs, {TITLES[name]}, {side_by_side.processor()}", count, seconds, {})
    return table


class Mixed(nn.Module):
    """A network whose forward pass multiplies in 16 bits where the course's does: the same work for every loop."""

    def __init__(self, network: nn.Module, enabled: bool):
        super().__init__()
        self.network = network
        self.enabled = enabled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.enabled):
            return self.network(x).float()


def new_model(name: str = "residual") -> nn.Module:
    """A narrow network, its weights in the order that `fit` gives them."""
    return create_model(name, width=MODELS[name].narrow_width, pretrained=False).to(memory_format=torch.channels_last)


def sixteen_bits(name: str = "residual") -> bool:
    """Whether the course multiplies in 16 bits here."""
    accelerator = get_accelerator()
    prepare_model(new_model(name), accelerator)
    return accelerator.mixed_precision == "bf16" and accelerator.autocast_handler.enabled


def new_optimizer(parameters, lr: float = RATE, **options) -> torch.optim.AdamW:
    """The course's optimizer."""
    return torch.optim.AdamW(parameters, lr, weight_decay=TrainConfig().weight_decay, **({"fused": True} | options))


def noise(count: int, side: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of images of noise, as a loader gives them."""
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return list(zip(images.split(BATCH), (torch.arange(count) % 8).split(BATCH), strict=True))


def rows_beside_rivals(side: int, count: int, rounds: int) -> list[dict]:
    """The rows of all loops on images of one size."""
    ready, mixed = noise(count, side), sixteen_bits()
    contenders = {
        side_by_side.COURSE: course_loop(ready, new_model()),
        "bare loop": bare_loop(ready, Mixed(new_model(), mixed)),
        "fastai": fastai_loop(ready, new_model()),
        "Lightning": lightning_loop(ready, new_model()),
    }
    if mixed:
        contenders["fastai, 16 bits"] = fastai_loop(ready, Mixed(new_model(), mixed))
        contenders["Lightning, 16 bits"] = lightning_loop(ready, Mixed(new_model(), mixed))
    required = dict.fromkeys(contenders, 1.0) | {side_by_side.COURSE: None, "bare loop": 0.95}
    what = f"training, {side}×{side}, {side_by_side.processor()}"
    return side_by_side.rows(what, count, side_by_side.measure(contenders, rounds), required)


def rows_of_choices(name: str, side: int, count: int, rounds: int) -> list[dict]:
    """The rows of the loop with other settings: precision, optimizer, and with augmentation."""
    ready, mixed = noise(count, side), sixteen_bits(name)
    contenders = {
        side_by_side.COURSE: course_loop(ready, new_model(name)),
        "course, augmenting": course_loop(ready, new_model(name), augments=True),
        "bare loop": bare_loop(ready, Mixed(new_model(name), mixed)),
        "bare loop, 32 bits": bare_loop(ready, Mixed(new_model(name), False)),
        "bare loop, 16 bits": bare_loop(ready, Mixed(new_model(name), True)),
        "bare loop, optimizer not fused": bare_loop(ready, Mixed(new_model(name), mixed), fused=False, foreach=False),
    }
    seconds = side_by_side.measure(contenders, rounds)
    return side_by_side.rows(f"{TITLES[name]}, {side}×{side}", count, seconds, {})


def course_loop(ready: list, model: nn.Module, augments: bool = False):
    """An epoch of the course."""
    accelerator, generator = get_accelerator(), torch.Generator().manual_seed(0)
    model = prepare_model(model, accelerator, trains=True)
    optimizer = new_optimizer(model.parameters())
    optimizer, scheduler = accelerator.prepare(optimizer, LambdaLR(optimizer, lambda step: 1.0))
    transform = (lambda images, labels: augment(images, labels, generator)) if augments else None

    def epoch() -> None:
        train_one_epoch(model, ready, class_cross_entropy, optimizer, scheduler, accelerator, transform)

    return epoch


def bare_loop(ready: list, model: nn.Module, **options):
    """The least that an epoch can be: forward, backward, step."""
    optimizer = new_optimizer(model.parameters(), **options)

    def epoch() -> None:
        model.train()
        for x, y in ready:
            nn.functional.cross_entropy(model(x), y).backward()
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
