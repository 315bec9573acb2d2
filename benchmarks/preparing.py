"""Preparing JPEGs of 1024×768 pixels for training: the course's store against decoding and resizing in a loop.

    python benchmarks/preparing.py                 1 000 images, and fewer, to see how it grows
    python benchmarks/preparing.py --quick         a minute less, nothing saved

The course's side is `ImageStore`: decode, resize, check, write the store and its digest. The loops are Pillow's
``Image.open``, ``convert`` and ``resize`` into an array in memory, with Pillow's default filter (bicubic) and with the
course's (bilinear). For the comparison per core, every contender is limited to one core; then the course may use all.
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import side_by_side
import torch
from PIL import Image

from isic_utils.datasets import ImageStore

SIZE = (1024, 768)
CORES = os.cpu_count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[125, 250, 500, 1000])
    parser.add_argument("--side", type=int, default=256, help="of the prepared images, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few images, one round, nothing saved")
    arguments = parser.parse_args()
    counts, rounds = ([40], 1) if arguments.quick else (arguments.images, arguments.rounds)
    torch.set_num_threads(1)
    table = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = side_by_side.write_images(folder, max(counts), SIZE)
        mean = np.mean([os.path.getsize(path) for path in files["path"]])
        print(f"JPEGs of {SIZE[0]}×{SIZE[1]}, {mean / 1000:.0f} KB on average, prepared at {arguments.side} pixels")
        for count in counts:
            table += compare(files.head(count), arguments.side, folder, rounds)
    side_by_side.report("preparing", table, ["pillow", "torch"], save=not arguments.quick)


def compare(files: pd.DataFrame, side: int, folder: Path, rounds: int) -> list[dict]:
    """The rows of both comparisons: the loops on one core, and the course on one core against all."""
    contenders = {
        side_by_side.COURSE: partial(prepare, files, side, folder, cores=1),
        "Pillow loop, same filter": partial(loop, files, side, Image.Resampling.BILINEAR),
        "Pillow loop, default filter": partial(loop, files, side, None),
        "all cores": partial(prepare, files, side, folder, cores=CORES),
    }
    seconds = side_by_side.measure(contenders, rounds)
    alone = seconds[side_by_side.COURSE]
    on_all = {side_by_side.COURSE: seconds.pop("all cores"), "course on one core": alone}
    required = {"Pillow loop, default filter": 2.5}
    return side_by_side.rows("preparing, one core", len(files), seconds, required) + side_by_side.rows(
        f"preparing, {CORES} cores", len(files), on_all, {"course on one core": 0.9 * CORES}
    )


def prepare(files: pd.DataFrame, side: int, folder: Path, cores: int) -> None:
    """The course: from files to a store, which is thrown away."""
    side_by_side.use_cores(cores)
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        ImageStore(files, side, Path(cache), progress=False)


def loop(files: pd.DataFrame, side: int, resampling: Image.Resampling | None) -> None:
    """What one writes without a library."""
    side_by_side.use_cores(1)
    prepared = np.empty((len(files), side, side, 3), np.uint8)
    for number, path in enumerate(files["path"]):
        prepared[number] = Image.open(path).convert("RGB").resize((side, side), resampling)


if __name__ == "__main__":
    main()
