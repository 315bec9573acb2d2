"""How fast the course's training loop is beside a bare one, and what each choice of the loop is worth.

    python benchmarks/training_speed.py                      the six networks at the laptop profile's sizes
    python benchmarks/training_speed.py alexnet --rounds 9   one network, more rounds

For each network the loops train turn by turn in one process. The *bare* one is forward, backward, step on tensors that
are ready in memory. The course's, `training.train_one_epoch`, runs on these tensors (*loop*), and on batches that are
read from the store on disk, shuffled and augmented (*loop and data*). Ratios are to the bare loop, medians over rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from isic_utils import models, pictures, profile, training


def main() -> None:
    parser = argparse.ArgumentParser(description="The course's training loop beside a bare one.")
    parser.add_argument("names", nargs="*", default=models.NAMES, help="networks; none means all six")
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    settings = profile.current()
    device = training.accelerator().device
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {settings.picture_size} pixels")
    with tempfile.TemporaryDirectory() as folder:
        photos = random_pictures(Path(folder), arguments.pictures, settings.picture_size)
        rows = [measure(name, photos, settings, device, arguments.rounds) for name in arguments.names]
    print(pd.DataFrame(rows).set_index("model").to_string())


def random_pictures(folder: Path, count: int, size: int) -> pictures.Pictures:
    """Pictures of noise, mapped from disk as the course's are."""
    shape = (count, size, size, 3)
    np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).tofile(folder / "pixels.bin")
    pixels = np.memmap(folder / "pixels.bin", np.uint8, mode="r", shape=shape)
    return pictures.Pictures(pd.Index([str(i) for i in range(count)]), pixels, pd.DataFrame(), "noise")


def measure(name: str, photos: pictures.Pictures, settings: profile.Profile, device: torch.device, rounds: int) -> dict:
    """Pictures per second of both loops, and of the bare one with other settings."""
    labels = np.random.default_rng(1).integers(0, 8, len(photos.images))
    rows = np.arange(len(labels))
    size = settings.batch_size
    steps = pictures.number_of_batches(len(rows), size)
    model = models.classifier(name, slim=settings.slim).to(device, memory_format=torch.channels_last)
    mixed = training.mixed_precision(device, model)
    off = torch.autocast(device.type, enabled=False)
    on = torch.autocast(device.type, torch.bfloat16)
    fused = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    plain = torch.optim.AdamW(model.parameters(), 1e-4, fused=False, foreach=False)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    ready = list(pictures.batches(photos, rows, labels, size, device))

    def course(batches: Iterable) -> None:
        training.train_one_epoch(model, fused, scaler, mixed, batches, [1e-4] * steps)

    loops = {
        "bare": lambda: bare(model, fused, mixed, ready),
        "loop": lambda: course(ready),
        "loop and data": lambda: course(pictures.batches(photos, rows, labels, size, device, seed=0)),
        "32 bits": lambda: bare(model, fused, off, ready),
        "16 bits": lambda: bare(model, fused, on, ready),
        "optimizer not fused": lambda: bare(model, plain, mixed, ready),
    }
    seconds = {title: [] for title in loops}
    for turn in range(rounds + 1):
        for title, loop in loops.items():
            start = time.perf_counter()
            loop()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                seconds[title].append(time.perf_counter() - start)
    speed = {title: round(len(rows) / statistics.median(values)) for title, values in seconds.items()}
    for title in ("loop", "loop and data"):
        ratios = [bare / other for bare, other in zip(seconds["bare"], seconds[title], strict=True)]
        speed[f"{title} / bare"] = round(statistics.median(ratios), 3)
    return {"model": name, **speed}


def bare(model: nn.Module, optimizer: torch.optim.Optimizer, mixed: torch.autocast, batches: list) -> None:
    """The least that training can be: forward, backward, step."""
    model.train()
    for x, y in batches:
        with mixed:
            logits = model(x)
        loss = nn.functional.cross_entropy(logits.float(), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main()
