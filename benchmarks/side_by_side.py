"""What the comparisons share: timing turn by turn, images to measure on, the machine's name, the table of results.

A comparison is a dictionary of contenders, name -> function without arguments. They run turn by turn in one process
(A B C A B C …), so that whatever else the machine does meets them all; the first turn warms up and does not count.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from isic_course import synthetic
from isic_utils.settings import SAMPLE, Settings
from isic_utils.training.loop import fastest_precision

RESULTS = Path(__file__).resolve().parent / "results"
COURSE = "course"  # the contender that the others are compared with
DRAWN = 32  # different images; each is written many times, under names of its own


def measure(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round. A contender that returns a float has timed itself."""
    seconds = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            timed_itself = run()
            elapsed = time.perf_counter() - start
            if turn:
                seconds[name].append(timed_itself if isinstance(timed_itself, float) else elapsed)
    return seconds


def rows(what: str, images: int, seconds: dict[str, list[float]], required: dict[str, float]) -> list[dict]:
    """A row per contender: median seconds, and how many times as long as the course it takes (median over rounds).

    what: the comparison's name; images: how many were worked on; required: the least such ratio, by contender.
    """
    table = []
    for name, values in seconds.items():
        ratio = statistics.median(other / own for own, other in zip(seconds[COURSE], values, strict=True))
        row = {"comparison": what, "images": images, "contender": name, "seconds": statistics.median(values)}
        table.append(row | {"per second": images / row["seconds"], "ratio": ratio, "required": required.get(name)})
    return table


def report(script: str, table: list[dict], packages: list[str], save: bool) -> None:
    """Print the rows and what they were measured on; save: also as results/<script>.csv, from which plot.py draws."""
    where = machine(packages)
    frame = pd.DataFrame(table)
    print(where)
    print(frame.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep=""))
    if save:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{script}.csv"
        frame = frame.assign(machine=where)
        if file.exists():  # what was measured on another kind of processor stays
            earlier = pd.read_csv(file)
            frame = pd.concat([earlier[~earlier["comparison"].isin(frame["comparison"])], frame])
        frame.to_csv(file, index=False, float_format="%.5g")


def processor() -> str:
    """The arithmetic that this process uses, e.g. AVX2, 32 bits, or the graphics card and its bits."""
    bits = 32 if (os.environ.get("ACCELERATE_MIXED_PRECISION") or fastest_precision()) == "no" else 16
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {bits} bits"
    return f"{torch.backends.cpu.get_cpu_capability().replace('AVX512', 'AVX-512')}, {bits} bits"


def machine(packages: list[str]) -> str:
    """The processor, its cores, and the versions of Python and of some packages."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"{name}, {os.cpu_count()} cores, no graphics card used; Python {platform.python_version()}, {versions}"


def require_real_images(settings: Settings) -> None:
    """End the script if these settings name no real images."""
    if settings.data == SAMPLE or settings.synthetic:
        sys.exit("This is measured on real images: let ISIC_DATA name a folder with some.")


def write_images(folder: Path, count: int, size: tuple[int, int]) -> pd.DataFrame:
    """Write that many JPEGs of one size into an empty folder: drawings of the synthetic sample, each many times.

    size: (width, height). Returns a table with the columns image and path.
    """
    drawn = synthetic.draw(
        folder / "drawn", images=DRAWN, size=size, pairs=0, least_images=0, least_lesions=0, progress=False
    )
    # each clinic of the sample has sizes of its own, on purpose; here all shall be of one
    contents = [path.read_bytes() for path in sorted(drawn.rglob("*.jpg")) if size_of(path) == size]
    (folder / "jpegs").mkdir()
    paths = [folder / "jpegs" / f"{number:06}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % len(contents)])
    return pd.DataFrame({"image": [path.stem for path in paths], "path": [str(path) for path in paths]})


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an image file."""
    with Image.open(path) as image:
        return image.size


def use_cores(cores: int) -> None:
    """Let this process run on so many cores only (where the system can: Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(cores))
