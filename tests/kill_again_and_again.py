"""Kill training at random moments (kill -9), start it again, and compare with a run that was left alone.

``python tests/kill_again_and_again.py 150`` is the stress test, of some minutes; `test_resume` calls it with twelve
kills. Every killed run is continued until it is finished: history, predictions and weights must then be bit-identical
to those of the undisturbed run, and nothing half-written may be left.
"""

import functools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from archives import assert_same_result
from small_runs import classify, segment

from isic_utils.training import Run

TRAININGS = {
    "a classifier": classify,
    "a classifier with mixup, micro-batches and an average": functools.partial(
        classify, method="mixup", ema_decay=0.9, micro_batch_size=5
    ),
    "a U-Net with micro-batches and an average": functools.partial(segment, ema_decay=0.9, micro_batch_size=3),
}


def start(train: Callable[[Path], Run], folder: Path) -> int:
    """The number of a new process that trains."""
    child = os.fork()
    if child == 0:
        try:
            train(folder)
        finally:
            os._exit(0)
    return child


def kill(train: Callable[[Path], Run], folder: Path, kills: int, chance: random.Random) -> int:
    """Kill that many trainings, each at a moment of its own, beginning a new run whenever one has come to its end.

    Every finished run is compared with an undisturbed one. Returns how many were finished.
    """
    began = time.perf_counter()
    os.waitpid(start(train, folder / "whole"), 0)
    needed = time.perf_counter() - began
    expected = train(folder / "whole")
    killed, finished = 0, 0
    while killed < kills:
        child = start(train, folder / f"run{finished}")
        time.sleep(chance.uniform(0, 0.8) * needed)
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if list((folder / f"run{finished}").rglob("predictions_test.csv")) or killed == kills:
            assert_same_result(train(folder / f"run{finished}"), expected)
            finished += 1
    return finished


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    kills = int(sys.argv[1]) // len(TRAININGS)
    for name, train in TRAININGS.items():
        with tempfile.TemporaryDirectory() as scratch:
            compared = kill(train, Path(scratch), kills, random.Random(seed))
        print(f"{name}: {kills} kills, {compared} runs as if nothing had happened (seed {seed})")
