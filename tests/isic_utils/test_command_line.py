"""``python -m isic_utils``: what a student sees, where it goes, and the exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from archives import draw_2019, draw_pairs, tiny_settings

from isic_utils.__main__ import main
from isic_utils.datasets import download as downloads
from isic_utils.settings import PROJECT
from isic_utils.training import Run


def shell(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    command = [sys.executable, "-m", "isic_utils", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture
def downloaded(monkeypatch):
    """What the command asks `download` for."""
    asked = []
    monkeypatch.setattr(downloads, "download", lambda *arguments: asked.append(arguments))
    return asked


def test_help_lists_the_commands_and_explains_each(capsys):
    result = shell("--help")
    assert result.returncode == 0 and result.stderr == ""
    for command in ("download", "prepare", "train", "evaluate", "predict", "runs"):
        assert f"\n    {command}" in result.stdout
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0 and f"isic_utils {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["download"], "year"),
        (["download", "2017"], "2017"),
        (["download", "2019", "--split", "some"], "--split"),
        (["download", "2019", "--images", "many"], "--images"),
        (["train", "cross-validation", "--folds", "5"], "--folds"),
        (["train", "standard", "--method", "post-hoc logit adjustment"], "--method"),
        (["train", "standard", "--group-by", "patient"], "--group-by"),
        (["fly"], "fly"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, part, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert part in capsys.readouterr().err


# download


def test_download_says_what_to_do_next(tmp_path, downloaded, capsys):
    assert main(["download", "2019", "--split", "all", "--images", "16", "--folder", str(tmp_path / "isic")]) == 0
    assert downloaded == [(2019, "all", tmp_path / "isic", 16)]
    assert f"ISIC_DATA to {tmp_path / 'isic'}" in capsys.readouterr().out
    assert main(["download", "2018"]) == 0
    assert downloaded[1] == (2018, "training", PROJECT / "data" / "isic", None)


def test_what_goes_wrong_is_one_line_on_stderr_and_status_1(tmp_path):
    (tmp_path / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    result = shell("download", "2019", "--folder", str(tmp_path))
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and str(tmp_path) in result.stderr


def test_a_file_that_may_not_be_read_is_one_line_on_stderr(tmp_path, monkeypatch, capsys):
    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("isic_utils.__main__.load_settings", lambda: tiny_settings(tmp_path))
    draw_2019(tmp_path / "data")
    monkeypatch.setattr(Path, "read_text", refuse)
    assert main(["prepare", "standard"]) == 1
    told = capsys.readouterr().err
    assert "Permission denied" in told and "GroundTruth.csv" in told and told.count("\n") == 1


def test_control_c_says_that_it_can_continue(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "download", interrupted)
    assert main(["download", "2019", "--folder", str(tmp_path)]) == 130
    assert "the same command continues" in capsys.readouterr().err


# prepare, train, evaluate, runs


@pytest.fixture
def settings(tmp_path, monkeypatch):
    draw_2019(tmp_path / "data", count=80)
    draw_pairs(tmp_path / "data", [(15, 20)] * 12)
    tiny = tiny_settings(tmp_path, epochs=1, fine_tuning_epochs=1, segmentation_epochs=1)
    monkeypatch.setattr("isic_utils.__main__.load_settings", lambda: tiny)
    return tiny


def test_prepare_train_list_and_evaluate(settings, capsys):
    assert main(["runs"]) == 0 and "no runs" in capsys.readouterr().out
    assert main(["prepare", "standard"]) == 0 and "80 images are ready, 16×16 pixels" in capsys.readouterr().out
    command = ["train", "cross-validation", "residual", "--folds", "0", "3", "--seeds", "1", "--method", "mixup"]
    assert main([*command, "--group-by", "image"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("accuracy" in line and "BMA" in line for line in lines)
    first, second = (Run(settings.runs / line.split(": ")[0]).config for line in lines)
    assert (first["protocol"], second["protocol"], second["fold"]) == ("standard", "cross-validation", 3)
    assert all((config["method"], config["group_by"], config["seed"]) == ("mixup", "image", 1)
               for config in (first, second))  # fmt: skip
    assert main(["train", "segmentation", "unet", "--mask-loss", "soft Dice", "--group-by", "image"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    folder = line.split(": ")[0]
    assert Run(settings.runs / folder).config["mask_loss"] == "soft Dice" and "thresholded jaccard" in line
    assert main(["runs"]) == 0 and folder in capsys.readouterr().out
    for place in (folder, str(settings.runs / folder)):
        assert main(["evaluate", place, "--split", "validation"]) == 0
        assert "jaccard" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["standard", "unet"], "'unet'"),
        (["segmentation", "unet", "--method", "mixup"], "method"),
        (["standard", "residual", "--mask-loss", "soft Dice"], "mask_loss"),
        (["standard", "lenet"], "lenet"),
        (["balanced", "residual", "--folds", "2"], "fold 2"),
    ],
)
def test_train_refuses_what_does_not_fit_together(settings, arguments, part, capsys):
    assert main(["train", *arguments]) == 1
    told = capsys.readouterr().err
    assert part in told and told.count("\n") == 1


@pytest.mark.parametrize("content", [None, "{", "[]", '{"epochs": 3}'])
def test_a_damaged_run_is_named(settings, tmp_path, capsys, content):
    folder = tmp_path / "mine"
    folder.mkdir()
    if content:
        (folder / "config.json").write_text(content)
    assert main(["evaluate", str(folder)]) == 1
    told = capsys.readouterr().err
    assert str(folder) in told and told.count("\n") == 1
