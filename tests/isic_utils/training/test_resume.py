"""Interrupted at any moment, even by kill -9, and started again: the result is the same, bit for bit."""

import contextlib
import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from archives import assert_same_result, interrupt_at, leftovers, refusal
from filelock import FileLock
from small_runs import CLASSIFIER, classify, segment
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from isic_utils import files
from isic_utils.training import TrainConfig, run_of, runs

TESTS = Path(__file__).resolve().parents[2]
VARIANTS = {
    "plain": dict(),
    "weighted sampler, average": dict(method="weighted sampler", ema_decay=0.9),
    "undersampling, micro-batches": dict(method="undersampling", micro_batch_size=5),
    "mixup, strong augmentation, average": dict(method="mixup", augmentation="strong", ema_decay=0.9),
    "logit adjustment and mixup": dict(method="logit adjustment and mixup"),
    "deferred re-weighting": dict(method="deferred re-weighting"),
}
MASK_VARIANTS = {"plain": dict(), "average, micro-batches": dict(ema_decay=0.9, micro_batch_size=3)}


def trainings(images, pairs) -> dict:
    found = {f"classifier: {name}": (classify, images, changes) for name, changes in VARIANTS.items()}
    return found | {f"U-Net: {name}": (segment, pairs, changes) for name, changes in MASK_VARIANTS.items()}


def interrupted(owner, name: str, call: int, train, *arguments, **changes) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, owner, name, call, KeyboardInterrupt())
        train(*arguments, **changes)


@pytest.mark.parametrize("name", trainings(None, None))
def test_a_run_interrupted_within_an_epoch_continues_to_the_same_result(images, pairs, tmp_path, name):
    """In the second step of the second epoch, and of the third."""
    train, data, changes = trainings(images, pairs)[name]
    expected = train(tmp_path / "expected", data, **changes)
    steps = (data[2] == "train").sum() // expected.config["batch_size"]
    for step in (steps + 2, steps + 2):
        interrupted(torch.optim.AdamW, "step", step, train, tmp_path / "runs", data, **changes)
    run = train(tmp_path / "runs", data, **changes)
    assert_same_result(run, expected)
    assert set(map(str, runs.read_table(run.folder / "seconds.csv")["epoch"])) == {"1", "2", "3"}


@pytest.mark.parametrize("train", [classify, segment])
def test_tensorboard_shows_each_epoch_of_a_resumed_run_once(train, images, pairs, tmp_path):
    """TensorBoard sorts a run's files by the second at which each was begun, so each begins in a second of its own."""
    data = images if train is classify else pairs
    for epoch in (2, 1):  # of the call: both are shown in TensorBoard before they are kept, and so trained again
        interrupted(sys.modules["isic_utils.training.fit"], "write_epoch", epoch, train, tmp_path, data)
        time.sleep(1.1)
    run = train(tmp_path, data)
    assert len(list(run.folder.glob("events.out.tfevents.*"))) == 3
    board = EventAccumulator(str(run.folder)).Reload()
    assert [event.step for event in board.Scalars("loss/train")] == [1, 2, 3]


@pytest.mark.parametrize("train", [classify, segment])
def test_a_run_interrupted_at_any_file_continues_to_the_same_result(train, images, pairs, tmp_path, monkeypatch):
    data, changes = (images if train is classify else pairs), dict(epochs=2, ema_decay=0.5)
    expected, written = tmp_path / "expected", []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda *places: (written.append(places), real(*places)))
    expected = train(expected, data, **changes)
    monkeypatch.undo()
    assert len(written) >= 10
    for number in range(1, len(written) + 1, 1 if train is classify else 4):
        interrupted(os, "replace", number, train, tmp_path / str(number), data, **changes)
        run = train(tmp_path / str(number), data, **changes)
        assert_same_result(run, expected)


def test_what_is_resumed_twice_at_the_same_place_goes_on(classifier, images, tmp_path):
    steps = (images[2] == "train").sum() // 16
    for _ in range(2):
        interrupted(torch.optim.AdamW, "step", steps + 1 if _ == 0 else 1, classify, tmp_path, images)
    assert_same_result(classify(tmp_path, images), classifier)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process, which the test's killer does")
def test_runs_that_are_killed_again_and_again_continue_to_the_same_result():
    """Kills (kill -9) at random moments; the script, called by hand, makes hundreds."""
    command = [sys.executable, TESTS / "kill_again_and_again.py", "6"]
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    killer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert killer.returncode == 0, killer.stdout + killer.stderr
    assert killer.stdout.count("2 kills") == 3, killer.stdout


@pytest.mark.parametrize("file", [2, 4, 9, 13])
def test_a_full_disk_keeps_the_last_good_epoch(classifier, images, tmp_path, monkeypatch, file):
    """The disk is full while a file is written: half of it is there."""
    real, opened = Path.write_bytes, []

    def write_bytes(self, content):
        opened.append(self)
        real(self, b"half of a file")
        if len(opened) == file:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    refusal(
        lambda: classify(tmp_path, images),
        str(tmp_path), "cannot be written (No space left on device)", "free disk space", "ISIC_RUNS",
    )  # fmt: skip
    run = run_of(TrainConfig(**CLASSIFIER), *images, tmp_path)
    assert not run.finished and leftovers(run.folder) == []
    for weights in run.folder.glob("*.pt"):
        assert runs.read_state(weights)
    monkeypatch.undo()
    assert_same_result(classify(tmp_path, images), classifier)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("unexpected pos 576"),
        RuntimeError("basic_ios::clear: iostream error"),
    ],
)
def test_a_disk_that_is_full_while_weights_are_saved(classifier, images, tmp_path, error):
    real, saved = torch.save, []

    def save(content, file):
        saved.append(file)
        real(content, file)
        if len(saved) == 6:
            os.truncate(file, 1000)
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", save)
        refusal(lambda: classify(tmp_path, images), ".pt cannot be written", "free disk space")
    assert_same_result(classify(tmp_path, images), classifier)


@pytest.mark.parametrize("name, damage", [("last.pt", lambda content: content[:-500]), ("config.json", lambda _: b"{")])
def test_a_damaged_file_is_named(images, tmp_path, name, damage):
    interrupted(torch.optim.AdamW, "step", 8, classify, tmp_path, images)
    [file] = tmp_path.rglob(name)
    file.write_bytes(damage(file.read_bytes()))
    refusal(lambda: classify(tmp_path, images), str(file), "damaged", "train again")


def test_of_two_trainings_of_the_same_run_the_second_waits_and_finds_it_finished(
    classifier, images, tmp_path, monkeypatch
):
    run = run_of(TrainConfig(**CLASSIFIER), *images, tmp_path)
    run.folder.mkdir(parents=True)
    asked, found = threading.Event(), []

    class Noted(FileLock):
        def acquire(self, *arguments, **options):
            asked.set()
            return super().acquire(*arguments, **options)

    with FileLock(run.folder / ".lock"):
        monkeypatch.setattr(files, "FileLock", Noted)
        second = threading.Thread(target=lambda: found.append(classify(tmp_path, images)))
        second.start()
        assert asked.wait(60)
        second.join(0.5)
        assert second.is_alive() and not (run.folder / "config.json").exists()
        for file in classifier.folder.glob("*.[cp]*"):
            (run.folder / file.name).write_bytes(file.read_bytes())
        (run.folder / "history.csv").write_text("what the first training wrote")
    second.join(60)
    assert found == [run] and run.finished
    assert (run.folder / "history.csv").read_text() == "what the first training wrote"


@contextlib.contextmanager
def user(number: int, group: int) -> Iterator[None]:
    """What another user may do, with the usual umask. Only root can become one."""
    groups, umask = os.getgroups(), os.umask(0o022)
    os.setgroups([])
    os.setegid(group)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(umask)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can become two users")
def test_in_a_class_one_user_continues_what_another_has_begun_and_a_third_reads_it(classifier, images):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "runs"
        Path(name).chmod(0o755)
        place.mkdir()
        os.chown(place, 0, 1500)
        place.chmod(0o2775)
        with user(1001, 1500):
            interrupted(torch.optim.AdamW, "step", 7, classify, place, images)
            folder = run_of(TrainConfig(**CLASSIFIER), *images, place).folder
            (folder / ".history.csv.partial").write_text("half of one, by a process that was killed")
        with user(1002, 1500):
            run = classify(place, images)
        assert_same_result(run, classifier)
        assert {file.stat().st_uid for file in folder.iterdir()} == {1001, 1002}
        with user(1003, 1003):
            assert classify(place, images) == run and len(run.predictions())
            refusal(lambda: classify(place, images, seed=1), "cannot be written (Permission denied)", "ISIC_RUNS")
