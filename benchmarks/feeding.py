"""Feeding an epoch of 256×256 pictures to a network: the course's batches against torchvision's usual pipeline.

    python benchmarks/feeding.py                   2 000 pictures, and fewer, to see how it grows
    python benchmarks/feeding.py --quick           few pictures, nothing saved

The course's side is `pictures.batches` on pictures that were prepared before. The other side is built as torchvision's
references/classification are: ImageFolder, transforms.v2 (with the references' PIL backend and with their tensor
backend) and a DataLoader with a worker for each core, kept alive between epochs. It decodes JPEGs of 1024×768, or, as a
careful user would have it, JPEGs that were shrunk to 256×256 before. All shuffle and do the same to each picture:
mirror, turn upside down, exchange rows and columns, each with chance ½, and light from 0.9 to 1.1.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import side_by_side
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from isic_utils.datasets import images as pictures

SIZE = (1024, 768)
SIDE = 256
BATCH = 32
CLASSES = 8
CORES = os.cpu_count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few pictures, one round, nothing saved")
    arguments = parser.parse_args()
    counts, rounds = ([64], 1) if arguments.quick else (arguments.pictures, arguments.rounds)
    table = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos = in_class_folders(side_by_side.write_pictures(folder, max(counts), SIZE), folder / "large")
        shrink(photos, folder / "large", folder / "small")
        store = pictures.load(photos, SIDE, folder / "cache", progress=False)
        for count in counts:
            table += compare(store, folder, count, rounds)
    side_by_side.report("feeding", table, ["torch", "torchvision", "pillow"], save=not arguments.quick)


def compare(store: pictures.Pictures, folder: Path, count: int, rounds: int) -> list[dict]:
    """The rows for an epoch of so many pictures."""
    loaders = {
        "torchvision, PIL backend": loader(folder / "large", "pil", count),
        "torchvision, tensor backend": loader(folder / "large", "tensor", count),
        "torchvision, shrunk JPEGs": loader(folder / "small", "tensor", count),
    }
    chosen = np.arange(count)

    def course() -> None:
        exhaust(pictures.batches(store, chosen, chosen % CLASSES, BATCH, seed=0), count)

    contenders = {side_by_side.COURSE: course}
    contenders |= {name: lambda batches=batches: exhaust(batches, count) for name, batches in loaders.items()}
    required = {name: 5.0 for name in loaders if "shrunk" not in name}
    return side_by_side.rows(f"feeding, {CORES} cores", count, side_by_side.measure(contenders, rounds), required)


def exhaust(batches, count: int) -> None:
    """Take every batch, as training would, and see that all pictures came, in the form that a network takes."""
    seen = 0
    for x, y in batches:
        assert x.dtype == torch.float32 and x.shape[1:] == (3, SIDE, SIDE)
        seen += len(y)
    assert seen == count


def loader(folder: Path, backend: str, count: int) -> DataLoader:
    """ImageFolder and DataLoader as in torchvision's references, on the first so many pictures of each class."""
    data = ImageFolder(folder, transform(backend))
    order = sorted(range(len(data)), key=lambda number: Path(data.samples[number][0]).name)
    return DataLoader(
        Subset(data, order[:count]), BATCH, shuffle=True, num_workers=CORES, persistent_workers=True, pin_memory=False
    )


def transform(backend: str) -> v2.Compose:
    """The references' order: (tensor) resize, flip, (tensor), float; then what the course does besides."""
    resize = v2.Resize((SIDE, SIDE), antialias=True)
    flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    first = [v2.PILToTensor(), resize, *flips] if backend == "tensor" else [resize, *flips, v2.PILToTensor()]
    exchange = v2.RandomApply([v2.Lambda(lambda x: x.transpose(-1, -2))])
    return v2.Compose([*first, exchange, v2.ToDtype(torch.float32, scale=True), v2.ColorJitter(brightness=0.1)])


def in_class_folders(photos: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Move the pictures into a folder per class, as ImageFolder wants them; returns the table with the new paths."""
    paths = []
    for number, path in enumerate(map(Path, photos["path"])):
        paths.append(folder / str(number % CLASSES) / path.name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        path.rename(paths[-1])
    return photos.assign(path=list(map(str, paths)))


def shrink(photos: pd.DataFrame, folder: Path, small: Path) -> None:
    """The same folders with JPEGs of 256×256."""
    for path in map(Path, photos["path"]):
        target = small / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(target, quality=90)


if __name__ == "__main__":
    main()
