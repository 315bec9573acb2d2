"""How long each lesson takes, and how much memory, on the sample and in order, with all processes that it starts.

``make times`` runs this twice, as a laptop's processor without 16-bit arithmetic and as the present one, and writes
`benchmarks/results/lessons.csv`, from which the times in the README, the documents and the lessons come (``--write``).
A pass over all lessons begins as a fresh clone does, without runs, decoded images and features; a lesson finds what
those before it have left, as a student does. Nothing else should be running. The rows "AVX2, 32 bits, older" are those
of an earlier pass on a processor half as fast, kept for comparison.
"""

import argparse
import os
import re
import shutil
import sys
import threading
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
from side_by_side import processor

from isic_course import synthetic
from isic_utils import files
from isic_utils.settings import PROJECT, load_settings

sys.path.insert(0, str(PROJECT / "tools"))
import execute_notebooks  # noqa: E402
from execute_notebooks import chosen_notebooks, execute  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results" / "lessons.csv"
RUNS = PROJECT / "build" / "times-runs"
ORDINARY = "AVX2, 32 bits"
IN_LESSON = re.compile(r"([Aa]bout) \d+ seconds on two processor cores")
AVX512, OLDER = "AVX-512, 32 bits", "AVX2, 32 bits, older"
IN_DOCUMENTS = [  # where the time of all lessons stands
    ("README.md", ORDINARY, r"(all lessons take )\d+( minutes)"),
    ("README.md", OLDER, r"(older processors: )\d+(;)"),
    ("README.md", AVX512, r"(AVX-512: )\d+(\))"),
    ("docs/setup.md", ORDINARY, r"(lessons together took )\d+( minutes)"),
    ("docs/setup.md", AVX512, r"(with AVX-512: )\d+( minutes)"),
    ("CONTRIBUTING.md", ORDINARY, r"(`make execute` \| )\d+( minutes)"),
]
IN_README = re.compile(r"^(\| (\d\d) \|.*?\|.*?\| )[^|]*?( \|)", re.MULTILINE)


def measure(path: Path, in_place: bool) -> tuple[float, float]:
    """Execute a notebook: seconds, and the largest memory of its processes in gigabytes."""
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(1):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().uss
                except psutil.Error:  # it has just ended
                    continue
            peak = max(peak, total / 1e9)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    notebook, start = nbformat.read(path, as_version=4), time.perf_counter()
    failure = execute(notebook, path)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    if failure:
        sys.exit(f"{path.name}\n{failure}")
    if in_place:
        execute_notebooks.clean(notebook)
        execute_notebooks.write(notebook, path)
    return seconds, peak


def told(seconds: float) -> str:
    """A time to the next five seconds, e.g. 45 s."""
    return f"{max(5, round(seconds / 5) * 5)} s"


def write(table: pd.DataFrame) -> None:
    """Put the times into the README's table of lessons, the documents and the lessons."""
    seconds = table.pivot_table(index="lesson", columns="processor", values="seconds", sort=False)
    by_number = {lesson[:2]: told(row[ORDINARY]) for lesson, row in seconds.iterrows()}
    readme = PROJECT / "README.md"
    text = IN_README.sub(lambda row: row[1] + by_number.get(row[2], "?") + row[3], readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")
    for name, kind, pattern in IN_DOCUMENTS:
        if kind in seconds:
            file, minutes = PROJECT / name, round(seconds[kind].sum() / 60)
            file.write_text(re.sub(pattern, rf"\g<1>{minutes}\2", file.read_text(encoding="utf-8")), encoding="utf-8")
    for lesson, row in seconds.iterrows():
        path = PROJECT / "notebooks" / f"{lesson}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        time_told = told(row[ORDINARY]).replace(" s", " seconds")
        for cell in notebook.cells:
            cell.source = IN_LESSON.sub(rf"\1 {time_told} on two processor cores", cell.source)
        nbformat.write(notebook, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 04; none means all")
    parser.add_argument("--write", action="store_true", help="only write the measured times into README and lessons")
    parser.add_argument("--in-place", action="store_true", help="also save the outputs, as make execute does")
    chosen = parser.parse_args()
    table = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=["lesson", "processor"])
    if chosen.write:
        return write(table)
    if not chosen.names:
        for folder in (RUNS, load_settings().cache):
            shutil.rmtree(folder, ignore_errors=True)
    os.environ["ISIC_RUNS"] = str(RUNS)
    synthetic.ensure()
    for path in chosen_notebooks(PROJECT / "notebooks", chosen.names):
        seconds, gigabytes = measure(path, chosen.in_place)
        row = {"lesson": path.stem, "processor": processor(), "cores": os.cpu_count(), "seconds": round(seconds, 1)}
        row["gigabytes"] = round(gigabytes, 2)
        same = (table["lesson"] == row["lesson"]) & (table["processor"] == row["processor"])
        table = pd.concat([table[~same], pd.DataFrame([row])]).sort_values(["processor", "lesson"], kind="stable")
        files.write(RESULTS, lambda partial, table=table: table.to_csv(partial, index=False, lineterminator="\n"))
        print(f"{path.stem:<32} {seconds:6.1f} s  {gigabytes:4.1f} GB", flush=True)
    print(f"together {table.loc[table['processor'] == processor(), 'seconds'].sum() / 60:.1f} minutes, {processor()}")


if __name__ == "__main__":
    main()
