"""`fit_all`: the same results as `fit`, whatever happens to a process; and no process outlives its caller."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from archives import MemoryStore, assert_same_result, draw_2019, refusal
from filelock import FileLock
from jupyter_client.manager import start_new_kernel
from small_runs import CLASSIFIER, classify, labelled

from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.errors import IsicError
from isic_utils.settings import PROJECT
from isic_utils.training import TrainConfig, fit_all

pytestmark = pytest.mark.slow

METHODS = [name for name in ("forkserver", "spawn") if name in multiprocessing.get_all_start_methods()]
SCRIPT = """
import sys
sys.path[:0] = [{project!r}, {project!r} + "/tests"]
from small_runs import CLASSIFIER, SlowStore, labelled
from isic_utils.training import TrainConfig, fit_all
import torch
torch.set_num_threads(1)
sys.modules["isic_utils.training.fit_all"].START_METHOD = {method!r}
if __name__ == "__main__":
    store, table, split = labelled()
    store.__class__ = SlowStore
    jobs = [(TrainConfig(**CLASSIFIER | dict(epochs={epochs}, seed=seed)), table, split) for seed in (0, 1)]
    fit_all(jobs, store, {folder!r})
"""


@pytest.fixture
def jobs():
    store, table, split = labelled()
    return [(TrainConfig(**CLASSIFIER | dict(seed=seed)), table, split) for seed in (0, 1, 2)], store


@pytest.fixture
def start_method(monkeypatch):
    def use(name: str) -> None:
        for module in ("isic_utils.training.fit_all", "isic_utils.processes"):
            monkeypatch.setattr(sys.modules[module], "START_METHOD", name)

    return use


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("method", METHODS)  # spawn: what Windows and macOS start
def test_results_are_those_of_fit_and_come_in_order(jobs, start_method, tmp_path, method):
    start_method(method)
    together = fit_all(*jobs, tmp_path / "together")
    for run, (config, *_) in zip(together, jobs[0], strict=True):
        assert run.config["seed"] == config.seed
        assert_same_result(run, classify(tmp_path / "alone", seed=config.seed))


def test_finished_runs_start_no_process(jobs, tmp_path, monkeypatch):
    trained = fit_all(*jobs, tmp_path)
    module = sys.modules["isic_utils.training.fit_all"]
    monkeypatch.setattr(module, "fit_side_by_side", lambda *_: pytest.fail("it starts processes"))
    assert fit_all(*jobs, tmp_path) == trained


class LoudStore(MemoryStore):
    def take(self, rows):
        print("loud")
        os.write(2, b"loud")
        return super().take(rows)


def test_what_processes_print_does_not_reach_the_caller_and_one_bar_counts_the_epochs_of_all(jobs, tmp_path, capfd):
    configs, store = jobs
    store.__class__ = LoudStore
    fit_all(configs, store, tmp_path)
    said = capfd.readouterr()
    assert "loud" not in said.out + said.err and "/9 [" in said.err


def test_if_one_fails_the_others_finish_and_the_error_names_it_with_its_sentence(jobs, tmp_path, capfd):
    configs, store = jobs
    configs[0] = (TrainConfig(**CLASSIFIER | dict(learning_rate=1e30)), *configs[0][1:])
    with pytest.raises(IsicError, match=r"image-residual-seed0-\w+: The loss of residual is no longer finite"):
        fit_all(configs, store, tmp_path, progress=False)
    assert len(list(tmp_path.rglob("predictions_test.csv"))) == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="on Windows a killed process has another exit status")
def test_a_process_that_the_system_stopped_gets_a_sentence(jobs, tmp_path):
    configs, store = jobs
    configs[0] = (TrainConfig(**CLASSIFIER | dict(epochs=100_000, seed=7)), *configs[0][1:])
    stop = subprocess.Popen([sys.executable, "-c", STOP, str(os.getpid()), str(tmp_path)])
    with pytest.raises(IsicError, match=r"seed7-\w+: its process ended with -9. Most often memory ran out"):
        fit_all(configs, store, tmp_path, progress=False)
    assert stop.wait() == 0
    assert len(list(tmp_path.rglob("predictions_test.csv"))) == 2


STOP = """
import pathlib, psutil, sys, time
while not list(pathlib.Path(sys.argv[2]).rglob("*seed7*/last.pt")):
    time.sleep(0.1)
for process in psutil.Process(int(sys.argv[1])).children(recursive=True):
    if any("seed7" in file.path for file in process.open_files()):
        process.kill()
"""


def wait_for_both(folder: Path) -> list[Path]:
    """The folders of both runs, once each has an epoch."""
    for _ in range(3000):
        found = list(folder.rglob("seconds.csv"))
        if len(found) == 2:
            return [file.parent for file in found]
        time.sleep(0.1)
    raise AssertionError(f"the runs in {folder} did not start")


def test_decoded_images_that_are_gone_are_named(tmp_path):
    table = read_isic2019(draw_2019(tmp_path / "archive", 96))
    store, split = ImageStore(table, 8, tmp_path / "cache", progress=False), splits.standard(table, group_by="image")
    shutil.rmtree(store.folder)
    job = TrainConfig(**CLASSIFIER), table, split
    refusal(lambda: fit_all([job], store, tmp_path, progress=False), str(store.folder), "ImageStore again")


def assert_nobody_trains(folders: list[Path]) -> None:
    """Within five seconds each run can be taken over."""
    for folder in folders:
        FileLock(folder / ".lock").acquire(timeout=5)


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither of these signals")
@pytest.mark.parametrize("end, method", [*(("SIGKILL", method) for method in METHODS), ("SIGINT", METHODS[0])])
def test_no_process_outlives_its_caller_and_the_next_call_continues(jobs, tmp_path, end, method):
    script, runs = tmp_path / "script.py", tmp_path / "runs"
    text = SCRIPT.format(project=str(PROJECT), folder=str(runs), epochs=60, method=method)
    script.write_text(text, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL) as caller:
        folders = wait_for_both(runs)
        processes = psutil.Process(caller.pid).children(recursive=True)
        caller.send_signal(getattr(signal, end))
        assert_nobody_trains(folders)
        assert not psutil.wait_procs(processes, timeout=60)[1]
    done = {folder: (folder / "seconds.csv").read_text(encoding="utf-8") for folder in folders}
    configs, store = jobs
    both = [(replace(config, epochs=60), table, split) for config, table, split in configs[:2]]
    for run in fit_all(both, store, runs, progress=False):
        assert 1 < len(done[run.folder].splitlines()) < 61
        assert (run.folder / "seconds.csv").read_text(encoding="utf-8").startswith(done[run.folder])  # not repeated
    assert_same_result(run, classify(tmp_path / "alone", epochs=60, seed=1))


@pytest.mark.parametrize("end", ["interrupt_kernel", "restart_kernel"])
def test_no_process_outlives_a_notebook_s_cell(tmp_path, end):
    manager, client = start_new_kernel()
    try:
        client.execute(SCRIPT.format(project=str(PROJECT), folder=str(tmp_path), epochs=100_000, method=METHODS[0]))
        folders = wait_for_both(tmp_path)
        getattr(manager, end)()
        assert_nobody_trains(folders)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
