"""Faults that happen in a class, each many times: kill -9 at random moments, a full disk, damaged files, two notebooks.

    python benchmarks/faults.py [--times 100] [killed one_of_two_killed full_disk damaged_files two_notebooks]

What is there afterwards must be what an undisturbed machine gives, bit for bit, and an error must be one sentence;
otherwise the script ends with a traceback. It needs Linux, and for `full_disk` root, who mounts a disk of 200 MB.
"""

import argparse
import contextlib
import datetime
import functools
import io
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fuzz_readers
import pytest
from jupyter_client.manager import start_new_kernel
from side_by_side import machine

from isic_utils.datasets import ImageStore, download, read_isic2018, tables
from isic_utils.errors import IsicError
from isic_utils.training import Run, TrainConfig, fit_all

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from archives import assert_same_result, draw_pairs, files_in, is_one_clear_message, names, write_tables  # noqa: E402
from kill_again_and_again import kill, start  # noqa: E402
from small_runs import CLASSIFIER, classify, labelled, segment  # noqa: E402
from web import Site, serve_as_isic, served, zip_of  # noqa: E402

# The work: each function takes the folder to work in, and returns its runs or the files that it has written


def train_two(folder: Path, seed: int = 0) -> list[Run]:
    store, table, split = labelled()
    jobs = [(TrainConfig(**CLASSIFIER | dict(seed=seed + number)), table, split) for number in (0, 1)]
    return fit_all(jobs, store, folder, progress=False)


def decode(table, folder: Path) -> dict[str, bytes]:
    ImageStore(table, (48, 64), folder / "cache", progress=False)
    return files_in(folder)


def fetch(folder: Path) -> dict[str, bytes]:
    with contextlib.redirect_stdout(io.StringIO()):
        download.download(2019, "training", folder)
    return files_in(folder)


def serve_a_small_archive(folder: Path, patch: pytest.MonkeyPatch, count: int = 300) -> None:
    """From now on `download` takes another process of this machine for ISIC's server, which has `count` images."""
    write_tables(folder, names(count), [tables.CODES[number % 8] for number in range(count)])
    site = Site(files_in(folder) | {f"{tables.IMAGES_2019}.zip": zip_of({}, count)})
    receiver, sender = multiprocessing.Pipe()

    def serve() -> None:
        with served(site):
            sender.send(site.address)
            threading.Event().wait()

    multiprocessing.get_context("fork").Process(target=serve, daemon=True).start()
    site.address = receiver.recv()
    kinds = {tables.GROUND_TRUTH_2019: "table", tables.METADATA_2019: "table", f"{tables.IMAGES_2019}.zip": "images"}
    serve_as_isic(patch, 2019, [(name, "training", kind, count) for name, kind in kinds.items()], [site])


def same(found: object, expected: object) -> None:
    """Assert that two results are the same."""
    if isinstance(found, dict):
        assert found == expected, f"other files: {found.keys() ^ expected.keys()}, or other bytes"
    else:
        for pair in zip(*([one] if isinstance(one, Run) else one for one in (found, expected)), strict=True):
            assert_same_result(*pair)


# The faults: each function takes the work, how often and an empty folder, and returns what came of it


def killed(work: Callable, times: int, folder: Path) -> str:
    """kill -9 at a random moment, then started again"""
    return f"{kill(work, folder, times, random.Random(0), same)} came to their end, bit-identical"


def one_of_two_killed(work: Callable, times: int, folder: Path) -> str:
    """kill -9 of one of two processes that do the same at once"""
    chance, began = random.Random(0), time.perf_counter()
    expected = work(folder / "whole")
    needed = time.perf_counter() - began
    for number in range(times):
        both = [start(work, folder / str(number)) for _ in range(2)]
        time.sleep(chance.uniform(0, 1.5 * needed))
        os.kill(both[number % 2], signal.SIGKILL)
        assert [os.waitpid(child, 0)[1] for child in both][1 - number % 2] == 0
        same(files_in(folder / str(number)), expected)
        shutil.rmtree(folder / str(number))
    return "the other came to its end each time, bit-identical"


def full_disk(work: Callable, times: int, folder: Path) -> str:
    """a disk of 200 MB that fills at a random moment, then has room again"""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], check=True)
    chance, refused = random.Random(0), 0
    try:
        empty, expected = free(folder), work(folder / "whole")
        needed = empty - free(folder)
        for number in range(times):
            with open(folder / "of another program", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, free(folder) - chance.randrange(needed))
            try:
                work(folder / str(number))
            except IsicError as error:
                refused += 1
                is_one_clear_message(error, str(folder))
                assert not list((folder / str(number)).rglob("*.partial")), "something half-written is left"
            (folder / "of another program").unlink()
            same(work(folder / str(number)), expected)
            shutil.rmtree(folder / str(number))
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
    return f"{refused} refused in a sentence; with room again all bit-identical"


def free(folder: Path) -> int:
    """The bytes that are free on a disk."""
    return os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize


def damaged_files(work: None, times: int, folder: Path) -> str:
    """damaged tables, images and masks, a hundred times as many"""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        fuzz_readers.main(100 * times)
    counts = [line.split()[:3] for line in told.getvalue().splitlines() if line.startswith("  ")]
    refused = sum(int(count.replace(",", "")) for _, count, outcome in counts if outcome == "refused:")
    return f"{refused:,} refused in a sentence, the others read right"


def two_notebooks(work: None, times: int, folder: Path) -> str:
    """two notebooks that train the same two runs at once"""
    with contextlib.ExitStack() as stack:
        clients = []
        for manager, client in (start_new_kernel(), start_new_kernel()):
            stack.callback(manager.shutdown_kernel, now=True)
            stack.callback(client.stop_channels)
            code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom faults import Path, train_two"
            assert client.execute(code, reply=True, timeout=300)["content"]["status"] == "ok"
            clients.append(client)
        for number in range(times):
            place = folder / str(number)
            for client in clients:
                client.execute(f"train_two(Path({str(place)!r}), {2 * number})")
            replies = [client.get_shell_msg(timeout=300)["content"] for client in clients]
            assert all(reply["status"] == "ok" for reply in replies), replies
            assert len(list(place.rglob("*tfevents*"))) == 2, "a run was trained twice"
            same(train_two(place, 2 * number), [classify(folder / "alone", seed=2 * number + one) for one in (0, 1)])
    return "each run trained once, bit-identical"


def main(chosen: list[str], times: int, scratch: Path, patch: pytest.MonkeyPatch) -> None:
    """Print a row for each fault and the work that it disturbs."""
    for name in ("official", "pairs"):
        (scratch / name).mkdir()
    serve_a_small_archive(scratch / "official", patch)
    patch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e12))  # the disk fills up afterwards
    decoding = functools.partial(decode, read_isic2018(draw_pairs(scratch / "pairs", [(300, 400)] * 60)))
    works = {"classifier": classify, "U-Net": segment, "`fit_all`": train_two, "download": fetch, "decoding": decoding}
    faults = {killed: works, one_of_two_killed: {"decoding": decoding}}
    faults[full_disk] = {name: work for name, work in works.items() if name != "`fit_all`"}
    faults |= {damaged_files: {"readers": None}, two_notebooks: {"`fit_all`": None}}
    print(f"{machine(['torch'])}; {datetime.date.today()}\n")
    print("| fault | work | times | result | seconds |\n|---|---|---|---|---|")
    for fault, disturbed in faults.items():
        for name, work in disturbed.items() if fault.__name__ in chosen else ():
            began = time.perf_counter()
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                result = fault(work, times, Path(folder))
            print(f"| {fault.__doc__} | {name} | {times} | {result} | {time.perf_counter() - began:.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    every = [fault.__name__ for fault in (killed, one_of_two_killed, full_disk, damaged_files, two_notebooks)]
    parser.add_argument("faults", nargs="*", choices=every, default=every)
    parser.add_argument("--times", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as monkeypatch:
        main(arguments.faults, arguments.times, Path(place), monkeypatch)
