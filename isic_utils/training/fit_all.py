"""`fit_all`: independent runs side by side on a processor, each in a process of its own."""

import copy
import multiprocessing.connection
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

import joblib
import pandas as pd
import psutil
import torch
from tqdm.auto import tqdm

from isic_utils.datasets import ImageStore
from isic_utils.errors import IsicError
from isic_utils.processes import START_METHOD, follow_the_caller, start_fork_server
from isic_utils.settings import load_settings
from isic_utils.training.config import TrainConfig
from isic_utils.training.fit import fit
from isic_utils.training.loop import get_accelerator
from isic_utils.training.runs import Run, run_of
from isic_utils.training.state import is_finished

Job = tuple[TrainConfig, pd.DataFrame, pd.Series]
MEMORY_OF_A_RUN = 1.5e9  # bytes that must be free for each process
OUT_OF_MEMORY = "Most often memory ran out: close other programs; or a script lacks `if __name__ == '__main__':`."


def fit_all(jobs: Sequence[Job], store: ImageStore, runs: Path | None = None, progress: bool = True) -> list[Run]:
    """Train several models and return their runs, in the order of the jobs.

    jobs: (config, table, split), as `fit` takes them; store, runs: the same for all.

    On a processor as many train at a time as cores and memory allow, each with as many threads as this process has
    (`torch.set_num_threads`), so the results are those of `fit`. On a GPU, and under ``accelerate launch``, one trains
    after the other. Called again after an interruption, it continues; its processes end with the one that called it.
    Raises IsicError, after all others are trained, for those that failed.
    """
    runs = load_settings().runs if runs is None else Path(runs)
    accelerator = get_accelerator()
    found = [run_of(config, store, table, split, runs) for config, table, split in jobs]
    waiting = {run.folder.name: job for run, job in zip(found, jobs, strict=True) if not is_finished(run, job[0])}
    if accelerator.device.type == "cpu" and accelerator.num_processes == 1:
        errors = fit_side_by_side(waiting, store, runs, progress) if waiting else {}
    else:
        errors = {}
        for name, (config, table, split) in waiting.items():
            try:
                fit(config, store, table, split, runs, progress)
            except IsicError as error:
                errors[name] = error
    if errors:
        raise IsicError("\n".join(f"{name}: {error}" for name, error in errors.items()))
    return found


def fit_side_by_side(jobs: dict[str, Job], store: ImageStore, runs: Path, progress: bool) -> dict[str, IsicError]:
    """Train the jobs, each in a process of its own. Returns what went wrong, by the job's name."""
    store = copy.copy(store)  # as a process gets it: raises IsicError if its images are gone
    context = multiprocessing.get_context(START_METHOD)
    start_fork_server()
    memory = int(psutil.virtual_memory().available / MEMORY_OF_A_RUN)
    at_a_time = max(1, min(joblib.cpu_count() // torch.get_num_threads(), memory))
    waiting, running, errors = list(jobs), {}, {}
    total = sum(config.epochs for config, *_ in jobs.values())
    bar = tqdm(total=total, unit="epoch", leave=False, disable=not progress)
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                name, (receiver, sender) = waiting.pop(0), context.Pipe(duplex=False)
                process = context.Process(target=work, args=(sender, torch.get_num_threads(), store, runs, *jobs[name]))
                process.start()
                sender.close()  # so that the receiver notices when the process ends
                running[receiver] = name, process
            for receiver in multiprocessing.connection.wait(list(running)):
                name, process = running[receiver]
                try:
                    told = receiver.recv()
                except EOFError:
                    del running[receiver]
                    process.join()
                    if process.exitcode:
                        errors[name] = IsicError(f"its process ended with {process.exitcode}. {OUT_OF_MEMORY}")
                    continue
                bar.update(told == "epoch")
                if told != "epoch":
                    errors[name] = told
    finally:
        bar.close()
        for _, process in running.values():
            process.kill()  # at any moment: files are written whole
            process.join()
    return errors


def work(sender, threads: int, store: ImageStore, runs: Path, *job: TrainConfig | pd.DataFrame | pd.Series) -> None:
    """What a process does: train one run, and send ``epoch`` after each epoch, or what went wrong."""
    follow_the_caller()
    for stream in (1, 2):  # whatever it prints does not belong into the caller's cell
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    torch.set_num_threads(threads)
    config, table, split = job
    try:
        fit(config, store, table, split, runs, progress=False, after_epoch=lambda: sender.send("epoch"))
    except IsicError as error:
        sender.send(error)
    except Exception:
        sender.send(IsicError(traceback.format_exc()))
