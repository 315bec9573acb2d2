"""Kill training at random moments (kill -9), start it again, and compare with a run that was left alone.

``python tests/kill_again_and_again.py 100`` is the stress test, of half a minute; `test_training` calls it with ten
kills. Every killed run is continued until it is finished: history, predictions and weights must then be bit-identical
to those of the undisturbed run, and nothing half-written may be left.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from archives import assert_same_result, in_memory, pairs_in_memory, tiny_settings

from isic_utils.datasets import splits, tables
from isic_utils.training import fit as training, runs


def classify(folder: Path) -> runs.Run:
    """A classifier, trained for a second."""
    table, decoded = in_memory([tables.CODES[n % 8] for n in range(96)], size=16)
    return training.fit("residual", table, splits.standard(table), decoded, tiny_settings(folder), progress=False)


def segment(folder: Path) -> runs.Run:
    """A U-Net, trained for a second."""
    table, decoded = pairs_in_memory(40, 16, 32)
    parts = splits.segmentation(table)
    return training.fit("unet", table, parts, decoded, tiny_settings(folder), "segmentation", progress=False)


def start(fit: Callable[[Path], runs.Run], folder: Path) -> int:
    """The number of a new process that trains."""
    child = os.fork()
    if child == 0:
        try:
            fit(folder)
        finally:
            os._exit(0)
    return child


def kill(fit: Callable[[Path], runs.Run], folder: Path, kills: int, chance: random.Random) -> int:
    """Kill that many trainings, each at a moment of its own, beginning a new run whenever one has come to its end.

    Every finished run is compared with an undisturbed one. Returns how many were finished.
    """
    began = time.perf_counter()
    os.waitpid(start(fit, folder / "whole"), 0)
    needed = time.perf_counter() - began
    expected = fit(folder / "whole")
    killed, finished = 0, 0
    while killed < kills:
        child = start(fit, folder / f"run{finished}")
        time.sleep(chance.uniform(0, 0.8) * needed)
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if list((folder / f"run{finished}").rglob("predictions_test.csv")) or killed == kills:
            assert_same_result(fit(folder / f"run{finished}"), expected)
            finished += 1
    return finished


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    for task in (classify, segment):
        with tempfile.TemporaryDirectory() as scratch:
            compared = kill(task, Path(scratch), int(sys.argv[1]) // 2, random.Random(seed))
        print(
            f"{task.__name__}: {int(sys.argv[1]) // 2} kills, {compared} runs as if nothing had happened (seed {seed})"
        )
