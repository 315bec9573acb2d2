"""Kill training at random moments (kill -9), start it again, and compare with a run that was left alone.

``python tests/kill_again_and_again.py 150`` is the stress test, of some minutes; `test_resume` calls it with six kills.
Every killed run is continued until it is finished: history, predictions and weights must then be bit-identical to those
of the undisturbed run, and nothing half-written may be left. ``benchmarks/faults.py`` kills other work, too.
"""

import functools
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from archives import assert_same_result
from small_runs import classify, segment

TRAININGS = {
    "a classifier": classify,
    "a classifier with mixup, micro-batches and an average": functools.partial(
        classify, method="mixup", ema_decay=0.9, micro_batch_size=5
    ),
    "a U-Net with micro-batches and an average": functools.partial(segment, ema_decay=0.9, micro_batch_size=3),
}


def start(work: Callable[[Path], object], folder: Path) -> int:
    """The number of a new process that works in a folder. It ends with 0, or with 1 after an error."""
    child = os.fork()
    if child == 0:
        try:
            work(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def kill(work: Callable, folder: Path, kills: int, chance: random.Random, check: Callable = assert_same_result) -> int:
    """Kill that many processes, each at a moment of its own, and begin in a new folder whenever one has ended itself.

    work: takes the folder and returns the result; check: asserts that two results are the same, of the work that was
    killed and of an undisturbed one. Returns how many came to their end.
    """
    began = time.perf_counter()
    assert os.waitpid(start(work, folder / "whole"), 0)[1] == 0
    needed = time.perf_counter() - began
    expected = work(folder / "whole")
    killed, finished = 0, 0
    while killed < kills:
        fresh, began, ended = not (folder / f"run{finished}").exists(), time.perf_counter(), 0
        child, moment = start(work, folder / f"run{finished}"), began + chance.uniform(0, 1.1) * needed
        while not ended and time.perf_counter() < moment:
            time.sleep(0.002)
            ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        elif fresh:
            needed = time.perf_counter() - began  # the machine has become faster
        assert status in (0, signal.SIGKILL), f"a process ended with {status}"
        killed += status == signal.SIGKILL
        if status == 0 or killed == kills:
            check(work(folder / f"run{finished}"), expected)
            finished += 1
    return finished


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    kills = int(sys.argv[1]) // len(TRAININGS)
    for name, train in TRAININGS.items():
        with tempfile.TemporaryDirectory() as scratch:
            compared = kill(train, Path(scratch), kills, random.Random(seed))
        print(f"{name}: {kills} kills, {compared} runs as if nothing had happened (seed {seed})")
