"""Several processes that train one run: each image is predicted once, one process writes, batches are divided."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from several_processes import BEGUN, EXACT, PLAIN
from small_runs import CLASSIFIER, labelled

from isic_utils.models import MODELS, ModelInfo
from isic_utils.training import Run, TrainConfig, run_of, runs

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[2]
LAUNCH = "-m accelerate.commands.launch --num_machines 1 --mixed_precision no --dynamo_backend no"


def start(folder: Path, processes: int) -> subprocess.Popen:
    launch = [*LAUNCH.split(), "--multi_gpu", "--num_processes", str(processes), "--main_process_port", "0"]
    environment = os.environ | {
        "PYTHONPATH": str(TESTS.parent),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "ACCELERATE_MIXED_PRECISION": "no",
        "TMPDIR": str(folder),  # the launcher leaves a folder for each start
    }
    command = [sys.executable, *(launch if processes > 1 else []), TESTS / "several_processes.py", folder]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """The runs of one process, of two and of three, each number in a folder of its own."""
    folders = {processes: tmp_path_factory.mktemp(f"processes{processes}") for processes in (1, 2, 3)}
    alone = start(folders[1], 1)
    assert alone.wait(300) == 0, alone.stdout.read()
    for processes in (2, 3):
        shutil.copytree(folders[1] / "begun", folders[processes] / "begun")
    several = [start(folders[processes], processes) for processes in (2, 3)]
    for one in several:
        said, _ = one.communicate(timeout=300)
        assert one.returncode == 0, said
        assert "Warning" not in said, said
    return folders


def find(folder: Path, **changes) -> Run:
    MODELS["plain"] = ModelInfo("Plain net", None, pretrained=False, weights=None)
    try:
        return run_of(TrainConfig(**CLASSIFIER | changes), *labelled(107), folder)
    finally:
        del MODELS["plain"]


def assert_close(ours: Run, theirs: Run) -> None:
    pd.testing.assert_frame_equal(ours.history, theirs.history, rtol=0, atol=1e-6)
    for split in ("validation", "test"):
        for checkpoint in theirs.checkpoints:
            tables = [run.predictions(split, checkpoint) for run in (ours, theirs)]
            pd.testing.assert_frame_equal(*tables, rtol=0, atol=1e-6)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("name", EXACT)
def test_several_processes_come_to_the_history_of_one(folders, processes, name):
    several, one = (find(folders[number], **PLAIN | EXACT[name]) for number in (processes, 1))
    assert several.config["made_with"]["processes"] == processes and several.folder.name == one.folder.name
    assert one.history["validation_loss"].nunique() == 3
    assert_close(several, one)


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_go_on_with_what_one_began(folders, processes):
    whole = find(folders[1] / "whole", **PLAIN | BEGUN)
    assert not find(folders[1] / "begun", **PLAIN | BEGUN).finished
    assert_close(find(folders[processes] / "begun", **PLAIN | BEGUN), whole)


def usual(folder: Path) -> list[Run]:
    return [Run(file.parent) for file in sorted((folder / "usual").rglob("config.json"))]


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_each_image_is_predicted_exactly_once_and_in_order(folders, processes, split):
    for ours, alone in zip(usual(folders[processes]), usual(folders[1]), strict=True):
        table, expected = (runs.read_table(run.folder / f"predictions_{split}.csv") for run in (ours, alone))
        assert ours.finished and ours.folder.name == alone.folder.name
        assert table[["checkpoint", "image"]].equals(expected[["checkpoint", "image"]])
        assert len(table) == len(ours.checkpoints) * ours.config["counts"][split]


@pytest.mark.parametrize("processes", [2, 3])
def test_what_was_validated_is_what_was_kept(folders, processes):
    """Batch normalisation has seen other images in each process; all validate with those of the main one."""
    for run in usual(folders[processes]):
        for checkpoint in run.checkpoints:
            noted = run.history.loc[runs.best_epoch(run.history, checkpoint), "validation_loss"]
            assert run.predictions("validation", checkpoint)["loss"].mean() == pytest.approx(noted, rel=1e-6)


@pytest.mark.parametrize("processes", [2, 3])
def test_only_the_main_process_writes(folders, processes):
    folder = folders[processes]
    assert "predictions_test.csv" in (folder / "written by 0").read_text()
    assert [path.name for path in folder.glob("written by *")] == ["written by 0"]
    for run in usual(folder):
        assert len(list(run.folder.glob("events.*"))) == 1


def test_a_batch_that_the_processes_do_not_divide_is_refused_in_a_sentence_by_all(folders):
    for processes in (1, 2):
        assert not list(folders[processes].glob("refused by *"))
        assert list((folders[processes] / "refused").rglob("predictions_test.csv"))
    said = {path.name: path.read_text() for path in folders[3].glob("refused by *")}
    assert len(said) == 3 and len(set(said.values())) == 1
    assert "batch of 8" in said["refused by 0"] and "3 processes" in said["refused by 0"]
    assert not list((folders[3] / "refused").rglob("config.json"))
