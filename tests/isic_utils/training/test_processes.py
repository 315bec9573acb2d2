"""Several processes that train one run: the result is the one of a single process, and only one of them writes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from archives import in_memory, interrupt_at, pairs_in_memory, refusal, tiny_settings
from torch import nn

from isic_utils import __main__
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.training import fit as training, predicting, processes, runs, tasks

TESTS = Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "docs" / "several_gpus.md"
CODES = [tables.CODES[n % 8] for n in range(107)]  # 21 of them to test, which two processes cannot share evenly
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]

# What the two processes do: this file, started by accelerate.
CHILD = """
import sys
from pathlib import Path

import test_processes

test_processes.in_two_processes(Path(sys.argv[1]))
"""


def in_64_bits(patch: pytest.MonkeyPatch) -> None:
    """Training with 64 bits instead of 32: there rounding stays far below what the tests compare."""

    def doubled(*arguments, **options):
        for x, y in pictures.batches(*arguments, **options):
            yield x.double(), y if y.dtype == torch.int64 else y.double()

    for task in (tasks.Classification, tasks.Segmentation):
        build = task.build
        patch.setattr(task, "build", lambda *arguments, build=build: kept(build(*arguments)))
    for module in (training, predicting):
        patch.setattr(module, "batches", doubled)
    in_32_bits(patch)


def kept(model: nn.Module) -> nn.Module:
    pretrained = model.pretrained
    model = model.double()
    model.pretrained = pretrained
    return model


def in_32_bits(patch: pytest.MonkeyPatch) -> None:
    for module in (training, predicting):
        patch.setattr(module, "mixed_precision", lambda device, model: torch.autocast("cpu", torch.bfloat16, False))


def classify(folder: Path) -> runs.Run:
    table, decoded = in_memory(CODES, size=16)
    settings = tiny_settings(folder, batch_size=15)
    return training.fit("residual", table, splits.standard(table), decoded, settings, progress=False)


def segment(folder: Path) -> runs.Run:
    """A batch of eight, four at once, so that slopes are added up in each process and over them."""
    table, decoded = pairs_in_memory(40, 16, 32)
    settings = tiny_settings(folder, segmentation_at_once=4)
    return training.fit("unet", table, splits.segmentation(table), decoded, settings, "segmentation", progress=False)


def in_two_processes(folder: Path) -> None:
    """Whole runs, one that a single process began, and the predictions of one; notes what each process writes."""
    torch.set_num_threads(1)
    note = folder / f"written by {processes.accelerator().process_index}"
    real = runs.write

    def noted(file, *arguments):
        with note.open("a") as stream:
            print(file, file=stream)
        real(file, *arguments)

    runs.write = noted
    with pytest.MonkeyPatch.context() as patch:
        in_64_bits(patch)
        classify(folder / "two")
        segment(folder / "two")
        classify(folder / "begun by one")
    with pytest.MonkeyPatch.context() as patch:
        in_32_bits(patch)
        classify(folder / "predicted by two")
    processes.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Runs of one process and of two, with what is written by each of the two."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        in_64_bits(patch)
        classify(folder / "one")
        segment(folder / "one")
        interrupt_at(patch, runs, "best_epoch", 4, KeyboardInterrupt())  # the second epoch is in last.pt only
        with pytest.raises(KeyboardInterrupt):
            classify(folder / "begun by one")
    with pytest.MonkeyPatch.context() as patch:
        in_32_bits(patch)
        run = classify(folder / "predicted by two")
    for part in ("validation", "test"):
        file = run.folder / f"predictions_{part}.csv"
        file.rename(folder / file.name)
    child = folder / "child.py"
    child.write_text(CHILD)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS), str(Path(__file__).parent)]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TMPDIR": str(folder),  # the launcher leaves a folder for each start
    }
    done = subprocess.run([*LAUNCH, child, folder], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def run_in(folder: Path, model: str = "residual") -> runs.Run:
    (config,) = (folder / "runs").rglob(f"*/{model}*/seed0/config.json")
    return runs.Run(config.parent)


@pytest.mark.parametrize("model", ["residual", "unet"])
def test_two_processes_come_to_the_result_of_one(folder, model):
    one, two = (run_in(folder / name, model) for name in ("one", "two"))
    assert one.config["made_with"]["processes"] == 1 and two.config["made_with"]["processes"] == 2
    assert runs.compared(one.config) == runs.compared(two.config), "a notebook finds either"
    pd.testing.assert_frame_equal(one.history, two.history, rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(runs.scores(one), runs.scores(two), rtol=0, atol=1e-4)
    for checkpoint in one.kept:
        ours, theirs = (one_.predictions("test", checkpoint) for one_ in (one, two))
        pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-4)
    weights = [runs.read_weights(run.checkpoints["loss"]) for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for layer in weights[0]:
        torch.testing.assert_close(weights[0][layer], weights[1][layer], rtol=1e-6, atol=1e-9)


def test_what_one_process_began_two_go_on_with(folder):
    one, continued = run_in(folder / "one"), run_in(folder / "begun by one")
    assert continued.finished and continued.config["made_with"]["processes"] == 2
    pd.testing.assert_frame_equal(one.history, continued.history, rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(one.predictions(), continued.predictions(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_each_picture_is_predicted_exactly_once_and_as_by_one_process(folder, part):
    run = run_in(folder / "predicted by two")
    ours, before = (
        runs.read_csv(run.folder / f"predictions_{part}.csv"),
        runs.read_csv(folder / f"predictions_{part}.csv"),
    )
    assert len(ours) == 3 * run.config["parts"][part] and run.config["parts"]["test"] % 2 == 1
    assert ours["image"].groupby(ours["checkpoint"]).nunique().eq(run.config["parts"][part]).all()
    pd.testing.assert_frame_equal(ours, before, rtol=0, atol=1e-4)


def test_only_the_main_process_writes(folder):
    assert "predictions_test.csv" in (folder / "written by 0").read_text()
    assert not (folder / "written by 1").exists()
    for name in ("residual", "unet"):
        assert len(list(run_in(folder / "two", name).folder.glob("events.*"))) == 1


# The layers and the shares


def three_processes(monkeypatch, index: int) -> None:
    here = SimpleNamespace(num_processes=3, process_index=index, is_main_process=index == 0, device=torch.device("cpu"))
    monkeypatch.setattr(processes, "accelerator", lambda: here)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_the_positions_of_all_processes_are_every_picture(monkeypatch, count):
    everyones = []
    for index in range(3):
        three_processes(monkeypatch, index)
        everyones.append(processes.share_of_positions(count))
    assert len({len(mine) for mine in everyones}) == 1, "as many in each process"
    assert set(np.concatenate(everyones)) == set(range(count))


def test_gathering_gives_each_picture_once_and_in_order(monkeypatch):
    everyones = np.array([0, 3, 6, 1, 4, 1, 2, 5, 2])  # of seven pictures two came twice
    three_processes(monkeypatch, 0)
    monkeypatch.setattr(
        processes.accelerator(),
        "gather_for_metrics",
        lambda tensors: [torch.from_numpy(everyones), torch.from_numpy(10.0 * everyones)],
        raising=False,
    )
    (gathered,) = processes.gather(np.array([0, 3, 6]), np.array([0.0, 30.0, 60.0]))
    assert gathered.tolist() == [0, 10, 20, 30, 40, 50, 60]


def test_shares_put_together_are_the_batch(monkeypatch):
    batch = torch.arange(16).reshape(8, 2)
    shares = []
    for index in range(3):
        three_processes(monkeypatch, index)
        shares.append(processes.share(batch))
    assert torch.equal(torch.cat(shares), batch) and min(map(len, shares)) == 2


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    three_processes(monkeypatch, 0)
    processes.check_share(3)
    refusal(lambda: processes.check_share(2), "3 processes", "--num_processes", "batch_size")


def test_whole_batch_norm_is_batch_norm_for_one_process():
    torch.manual_seed(0)
    x = torch.randn(6, 4, 5, 5, dtype=torch.float64)
    ours, theirs = processes.WholeBatchNorm(4).double(), nn.BatchNorm2d(4).double()
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [layer(some) for layer, some in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        (output * torch.arange(output.numel()).reshape(output.shape)).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.3)])
def test_whole_dropout_draws_what_dropout_draws(layer):
    model = nn.Sequential(layer)
    processes.exchange_layers(model)
    assert isinstance(model[0], processes.WholeDropout)
    x = torch.randn(8, 4, 3, 3) if isinstance(layer, nn.Dropout2d) else torch.randn(8, 40)
    results = []
    for dropout in (layer, model):
        torch.manual_seed(1)
        results.append(dropout(x))
    assert torch.equal(*results) and not torch.equal(results[0], x)
    assert torch.equal(model.eval()(x), x)


def test_a_config_says_how_many_processes_but_does_not_compare_it(folder):
    config = json.loads((run_in(folder / "two").folder / "config.json").read_text())
    assert config["made_with"]["processes"] == 2 and "made_with" not in runs.compared(config)


# What the page about it tells people to type


@pytest.mark.parametrize("line", re.findall(r"accelerate launch [^`'\n]*-m isic_utils[^`'\n]*", PAGE.read_text()))
def test_the_commands_of_the_page_are_understood(monkeypatch, line):
    monkeypatch.setenv("SLURM_NODEID", "1")
    monkeypatch.setenv("FIRST", "node1")
    words = shlex.split(os.path.expandvars(line))[2:]
    arguments = launch_command_parser().parse_args(words)
    assert arguments.module and arguments.training_script == "isic_utils"
    assert arguments.num_machines in (None, 2) or arguments.main_process_ip
    asked = []
    monkeypatch.setattr(__main__, "train", asked.append)
    assert __main__.main(arguments.training_script_args) == 0
    assert asked[0].protocol in ("standard", "cross-validation")


def test_the_page_has_commands_for_one_machine_and_for_two():
    page = PAGE.read_text()
    assert page.count("accelerate launch") >= 4 and page.count("#!/bin/bash") == 2 and "--num_machines 2" in page
