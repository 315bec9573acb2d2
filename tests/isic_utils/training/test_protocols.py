"""The protocols by name and from a shell: the notebooks' own runs, found again; clear words where that cannot be."""

import pandas as pd
import pytest
from archives import draw_2018, draw_2019, is_one_clear_message, tiny_settings

from isic_utils import settings as profile
from isic_utils.__main__ import main
from isic_utils.datasets import splits, tables
from isic_utils.errors import IsicError
from isic_utils.training import fit as training, protocols, runs


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A folder with both archives, and runs of a second."""
    folder = tmp_path_factory.mktemp("protocols")
    draw_2019(folder / "data", count=120)
    draw_2018(folder / "data", count=20)
    return tiny_settings(folder, epochs=1, segmentation_epochs=1, picture_size=16, segmentation_size=(16, 32))


@pytest.fixture
def shell(settings, monkeypatch, capsys):
    """Runs a command on these data; returns the exit status, and what was said on stdout and stderr."""
    monkeypatch.setattr(profile, "current", lambda: settings)

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        return status, *capsys.readouterr()

    return call


@pytest.mark.parametrize("by", ["picture", "lesion"])
def test_what_a_shell_has_trained_the_notebooks_find(settings, shell, by):
    assert shell("train", "cross-validation", "residual", "--by", by, "--stages", "1", "3")[0] == 0
    table, photos = protocols.prepare("standard", settings)
    stages = splits.cross_validation(table, by=by)
    standard = training.find("residual", table, splits.standard(table, by), photos, settings, by=by)
    third = training.find("residual", table, stages[3], photos, settings, "cross-validation", by, stage=3)
    assert standard.finished and third.finished and standard != third
    second = training.find("residual", table, stages[2], photos, settings, "cross-validation", by, stage=2)
    assert not second.finished


def test_balanced_and_segmentation_runs_too(settings, shell):
    assert shell("train", "balanced", "residual", "--seeds", "4")[0] == 0
    table, photos = protocols.prepare("balanced", settings)
    drawn = splits.balanced(table, "picture", 4)
    assert training.find("residual", drawn, drawn["part"], photos, settings, "balanced", seed=4).finished
    assert shell("train", "segmentation", "unet", "--loss", "soft Dice")[0] == 0
    table, pairs = protocols.prepare("segmentation", settings)
    parts = splits.segmentation(table)
    assert training.find("unet", table, parts, pairs, settings, "segmentation", loss="soft Dice").finished
    assert not training.find("unet", table, parts, pairs, settings, "segmentation").finished


def test_what_is_trained_is_not_trained_again(settings, shell, monkeypatch):
    first = shell("train", "standard", "residual")

    def must_not_train(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train", must_not_train)
    assert first[0] == 0 and shell("train", "standard", "residual")[:2] == first[:2]
    assert first[1].startswith("data-tiny/standard-picture/residual/seed0: accuracy 0.") and "BMA 0." in first[1]


def test_runs_are_listed_with_their_scores(settings, shell, tmp_path):
    shell("train", "standard", "residual")
    shell("train", "segmentation", "unet")
    place = settings.runs / "data-tiny" / "standard-picture"
    begun = {"epochs": 3, "pretrained": "no", "classes": tables.CODES}
    runs.write_json(place / "alexnet" / "seed0" / "config.json", begun)
    for name, content in (("damaged", "{"), ("other", "[1]")):
        (place / name).mkdir(exist_ok=True)
        (place / name / "config.json").write_text(content)
    listed = protocols.overview(settings)
    run = runs.Run(place / "residual" / "seed0")
    row = listed.loc["data-tiny/standard-picture/residual/seed0"]
    assert row["epochs"] == "1 of 1" and row["BMA"] == runs.scores(run).loc["bma", "BMA"] and pd.isna(row["Jaccard"])
    assert 0 <= listed.loc["data-tiny/segmentation-picture/unet-both/seed0", "Jaccard"] <= 1
    row = listed.loc["data-tiny/standard-picture/alexnet/seed0"]
    assert row["epochs"] == "0 of 3" and pd.isna(row["BMA"])
    assert not listed.index.str.contains("damaged|other").any()
    status, said, _ = shell("runs")
    assert status == 0 and "residual/seed0" in said and f"{listed['BMA'].max():.3f}" in said


def test_a_run_is_evaluated_from_its_predictions(settings, shell):
    shell("train", "standard", "residual")
    status, said, _ = shell("evaluate", "data-tiny/standard-picture/residual/seed0", "--part", "validation")
    expected = runs.scores(runs.Run(settings.runs / "data-tiny/standard-picture/residual/seed0"), "validation")
    assert status == 0 and said.rstrip("\n") == expected.round(4).to_string()


def test_pictures_are_prepared_once(settings, shell):
    status, said, _ = shell("prepare", "segmentation")
    assert status == 0 and said.startswith("20 pictures are ready, 16×32 pixels")
    assert shell("prepare", "standard")[1].startswith("120 pictures are ready, 16×16 pixels")


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["train", "standard", "unet"], ["does not train 'unet'", "choose one of vgg16"]),
        (["train", "segmentation", "vgg16"], ["does not train 'vgg16'", "choose one of unet"]),
        (["train", "standard", "residual", "--stages", "2"], ["has no stages", "leave out --stages"]),
        (["train", "segmentation", "unet", "--by", "lesion"], ["no lesion_id", "goes by picture"]),
        (["train", "standard", "residual", "--loss", "both"], ["cross-entropy", "leave out loss"]),
        (["evaluate", "nothing"], ["nothing is no run's folder", "python -m isic_utils runs"]),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(shell, arguments, parts):
    status, said, error = shell(*arguments)
    assert status == 1 and said == "" and all(part in error for part in parts), error
    assert error.count("\n") == 1 and "Traceback" not in error


def test_stages_and_protocols_that_there_are_not(settings):
    table, photos = protocols.prepare("standard", settings)
    for call, part in (
        (lambda: protocols.train("standard", "residual", table, photos, settings, stage=2), "no stage 2 of standard"),
        (lambda: protocols.train("cross-validation", "residual", table, photos, settings, stage=6), "no stage 6"),
        (lambda: protocols.prepare("balance", settings), "no protocol 'balance'"),
    ):
        with pytest.raises(IsicError) as caught:
            call()
        is_one_clear_message(caught.value, part)


def test_no_runs_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(profile, "current", lambda: tiny_settings(tmp_path))
    assert main(["runs"]) == 0 and "There are no runs in" in capsys.readouterr().out
