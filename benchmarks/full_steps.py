"""Two training steps of every network in the profile `full`, at its sizes: seconds and memory on a processor.

    python benchmarks/full_steps.py                every network, each in a process of its own, 32 bits
    python benchmarks/full_steps.py alexnet unet   only these

A step is a batch as `fit` trains it: 32 images of 256×256 pixels, or eight of 768×1024, two at a time, for a U-Net. The
images are drawn. Memory is the most that the process has held at once, with PyTorch itself. Prints a table in Markdown.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

os.environ["ACCELERATE_USE_CPU"] = "true"
import torch  # noqa: E402
from gpu_check import Check, models  # noqa: E402

from isic_utils.processes import keep_memory  # noqa: E402
from isic_utils.training import train_one_epoch  # noqa: E402
from isic_utils.training.fit import batch_transform, training_loss  # noqa: E402

STEPS = 2


def measure(name: str) -> str:
    """A row of the table: network, batch, seconds a step, gigabytes, mean loss."""
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        training = Check(smallest=False, minutes=60).start(name, "full", Path(folder), learning_rate=1e-5)
    config, (height, width) = training.config, training.data["train"].store.size
    at_a_time = config.micro_batch_size or config.batch_size
    batches = list(islice(training.batches["train"], STEPS))
    start = time.perf_counter()
    loss = train_one_epoch(
        training.model, batches, training_loss(training, 1), training.optimizer, training.scheduler,
        training.accelerator, batch_transform(training), at_a_time,
    )  # fmt: skip
    seconds = (time.perf_counter() - start) / STEPS
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    batch = f"{config.batch_size} of {height}×{width}" + (f", {at_a_time} at a time" if config.micro_batch_size else "")
    return f"| {models.TITLES[name]} | {batch} | {seconds:.1f} | {gigabytes:.1f} | {loss:.2f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of networks; none means all")
    parser.add_argument("--only", help="used by the script itself: measure this one here")
    chosen = parser.parse_args()
    if chosen.only:
        print(measure(chosen.only))
        return 0
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}\n")
    print("| network | batch | seconds a step | GB | loss |\n|---|---|---|---|---|", flush=True)
    failed = [
        name for name in chosen.names or models.MODELS
        if subprocess.run([sys.executable, __file__, "--only", name]).returncode
    ]  # fmt: skip
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
