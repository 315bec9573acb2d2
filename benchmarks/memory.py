"""How much memory preparing and training take with as many images as ISIC 2019 has, at 256×256 pixels.

    python benchmarks/memory.py                    25 331 images, and fewer; needs Linux, and 8 GB of disk for a while
    python benchmarks/memory.py --quick            few images, nothing saved

The JPEGs are written into a temporary folder (a few drawings of the synthetic sample, many times). Preparing
(`ImageStore`) and an epoch with all that belongs to it (`fit`: training, validation, checkpoints,
predictions; narrow AlexNet, batches of 32) each run in a process of their own, whose memory is read from /proc while it
works. *Peak* is the largest amount of memory that it held. *Own* excludes pages that are mapped from files, which the
system can reclaim at any moment.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import side_by_side

from isic_utils.archive import CODES, COUNTS_2019
from isic_utils.datasets import ImageStore, splits
from isic_utils.training import TrainConfig, fit

SIDE = 256
LIMIT = 3000  # MB
STEPS = {"preparing": "prepare", "an epoch": "train"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2500, 25_331])
    parser.add_argument("--quick", action="store_true", help="few images, nothing saved")
    parser.add_argument("--step", choices=STEPS.values(), help="used by the script itself: do one step in --folder")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.step:
        files = pd.read_csv(arguments.folder / "table.csv", dtype=str)
        {"prepare": prepare, "train": train}[arguments.step](files, arguments.folder)
        return
    table = []
    for count in [200] if arguments.quick else arguments.images:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            side_by_side.write_images(folder, count, (SIDE, SIDE)).to_csv(folder / "table.csv", index=False)
            for name, step in STEPS.items():
                row = {"comparison": f"memory, {name}", "images": count}
                table.append(row | watched([sys.executable, __file__, "--step", step, "--folder", place]))
                table[-1]["limit MB"] = LIMIT
    side_by_side.report("memory", table, ["torch", "pillow"], save=not arguments.quick)


def prepare(files: pd.DataFrame, folder: Path) -> None:
    """Decode every image into the store."""
    ImageStore(files, SIDE, folder / "cache", progress=False)


def train(files: pd.DataFrame, folder: Path) -> None:
    """An epoch of narrow AlexNet on the prepared images."""
    store = ImageStore(files, SIDE, folder / "cache", progress=False)
    counts = pd.Series(COUNTS_2019)
    drawn = counts.sample(len(files), replace=True, weights=counts, random_state=0)
    table = files.assign(label=pd.Categorical(drawn.index, CODES))
    config = TrainConfig("alexnet", width=1 / 8, group_by="image", epochs=1, batch_size=32)
    fit(config, store, table, splits.standard(table, group_by="image"), folder / "runs", progress=False)


def watched(command: list[str]) -> dict[str, float]:
    """Run a command; returns how many seconds it took and its highest memory in MB, looked at every 20 ms."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    peak, own = 0.0, 0.0
    while process.poll() is None:
        states = [memory(number) for number in family(process.pid)]
        peak = max(peak, sum(total for total, _ in states))
        own = max(own, sum(anonymous for _, anonymous in states))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"seconds": time.perf_counter() - start, "peak MB": peak, "own MB": own}


def family(number: int) -> list[int]:
    """A process and those that it started, by number."""
    try:
        children = Path(f"/proc/{number}/task/{number}/children").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []
    return [number, *(grandchild for child in children for grandchild in family(int(child)))]


def memory(number: int) -> tuple[float, float]:
    """What a process holds in memory, and how much of it is not mapped from files, in MB."""
    try:
        lines = Path(f"/proc/{number}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "RssFile"))}
    total, mapped = (int(kilobytes.get(name, 0)) / 1000 for name in ("VmRSS", "RssFile"))
    return total, total - mapped


if __name__ == "__main__":
    main()
