"""Feeding an epoch of 256×256 images to a network: the course's batches against torchvision's usual pipeline.

    python benchmarks/feeding.py                   2 000 images, and fewer, to see how it grows
    python benchmarks/feeding.py --quick           few images, nothing saved

The course's side is `loader` on images that were decoded before, and `transforms.augment` on each batch. The other side
is built like torchvision's references/classification: ImageFolder, transforms.v2 (with the references' PIL backend
and with their tensor backend) and a DataLoader with a worker for each core, kept alive between epochs. It decodes JPEGs
of 1024×768 pixels, or, as a careful user would prepare them, JPEGs that were shrunk to 256×256 before. All pipelines
shuffle and augment alike: horizontal flip, vertical flip and transposition, each with probability ½, and brightness
jitter from 0.9 to 1.1.
"""

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd
import side_by_side
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, IsicDataset, loader, transforms

SIZE = (1024, 768)
SIDE = 256
BATCH = 32
CLASSES = 8
CORES = os.cpu_count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few images, one round, nothing saved")
    arguments = parser.parse_args()
    counts, rounds = ([64], 1) if arguments.quick else (arguments.images, arguments.rounds)
    table = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = in_class_folders(side_by_side.write_images(folder, max(counts), SIZE), folder / "large")
        shrink(files, folder / "large", folder / "small")
        labels = pd.Categorical([CODES[number % CLASSES] for number in range(len(files))], CODES)
        files = files.assign(label=labels)
        store = ImageStore(files, SIDE, folder / "cache", progress=False)
        for count in counts:
            table += compare(IsicDataset(store, files.head(count)), folder, rounds)
    side_by_side.report("feeding", table, ["torch", "torchvision", "pillow"], save=not arguments.quick)


def compare(dataset: IsicDataset, folder: Path, rounds: int) -> list[dict]:
    """The rows for an epoch of a dataset."""
    count = len(dataset)
    loaders = {
        "torchvision, PIL backend": usual_loader(folder / "large", "pil", count),
        "torchvision, tensor backend": usual_loader(folder / "large", "tensor", count),
        "torchvision, shrunk JPEGs": usual_loader(folder / "small", "tensor", count),
    }
    batches, generator = loader(dataset, BATCH, shuffle=True), torch.Generator().manual_seed(0)

    def course() -> None:
        augmented = (transforms.augment(x, y, generator) for x, y in batches)
        exhaust(augmented, count - count % BATCH)  # the last, incomplete batch is dropped

    contenders = {side_by_side.COURSE: course}
    contenders |= {name: lambda batches=batches: exhaust(batches, count) for name, batches in loaders.items()}
    required = {name: 5.0 for name in loaders if "shrunk" not in name}
    return side_by_side.rows(f"feeding, {CORES} cores", count, side_by_side.measure(contenders, rounds), required)


def exhaust(batches, count: int) -> None:
    """Take every batch, as training would, and check that all images came, in the form that a network takes."""
    seen = 0
    for x, y in batches:
        assert x.dtype == torch.float32 and x.shape[1:] == (3, SIDE, SIDE)
        seen += len(y)
    assert seen == count


def usual_loader(folder: Path, backend: str, count: int) -> DataLoader:
    """ImageFolder and DataLoader as in torchvision's references, on the first so many images of each class."""
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


def in_class_folders(files: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Move the images into a folder per class, as ImageFolder wants them; returns the table with the new paths."""
    paths = []
    for number, path in enumerate(map(Path, files["path"])):
        paths.append(folder / str(number % CLASSES) / path.name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        path.rename(paths[-1])
    return files.assign(path=list(map(str, paths)))


def shrink(files: pd.DataFrame, folder: Path, small: Path) -> None:
    """The same folders with JPEGs of 256×256."""
    for path in map(Path, files["path"]):
        target = small / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(target, quality=90)


if __name__ == "__main__":
    main()
