"""The thesis from end to end: its order, its tables recomputed another way, and a report that survives what fails."""

import re

import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019, interrupt_at, tiny_settings
from sklearn import metrics as sklearn_metrics

from isic_utils import models, protocols, published, results, splits, tables, thesis, training
from isic_utils.errors import IsicError

MODELS = ["residual", "efficientnet_lite0"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thesis")
    draw_2019(folder / "data", 120)
    draw_2018(folder / "data", 30)
    return tiny_settings(folder, picture_size=32, epochs=1, fine_tuning_epochs=1, segmentation_epochs=1)


@pytest.fixture
def few(monkeypatch):
    """Two classifiers and a U-Net instead of all."""
    monkeypatch.setattr(thesis, "CHEAP_FIRST", MODELS)
    monkeypatch.setattr(models, "SEGMENTERS", ["unet_lite0"])


def page(settings) -> str:
    return thesis.report_file(settings).read_text(encoding="utf-8")


def test_the_order_gives_each_protocol_early_and_has_every_run_once():
    steps = thesis.steps()
    assert len(set(steps)) == len(steps) == 6 + 2 + 6 + 4 * 6
    assert [step.protocol for step in steps[:8]] == ["standard"] * 6 + ["segmentation"] * 2
    assert {step.protocol for step in steps[14:]} == {"cross-validation"}
    for protocol in protocols.NAMES:
        asked = {step.model for step in steps if step.protocol == protocol}
        assert asked == set(protocols.models_of(protocol)), protocol
    assert {step.stage for step in steps if step.protocol == "cross-validation"} == {2, 3, 4, 5}


def test_the_whole_thesis_and_its_report(settings, few, capsys):
    report, failed = thesis.run(settings)
    assert report == settings.runs / "data-tiny" / "report.html" and not failed
    text = page(settings)
    for number in range(1, 7):
        assert f"Table 6.{number}" in text
    assert "13 of 13 runs are finished" in text and "Not medical advice" in text and "What failed" not in text
    assert '<meta name="viewport"' in text and re.findall(r'<img alt="[^"]+', text)
    assert not re.findall(r'(?:src|href)="(?!data:)', text), "one file, nothing to fetch"
    assert "[13/13]" in capsys.readouterr().out

    table, photos = protocols.prepare("standard", settings)
    found = {name: protocols.find("standard", name, table, photos, settings) for name in MODELS}
    measured = results.standard(found)
    assert measured.loc["VGG16", (results.THESIS, "BMA")] == 0.125 and pd.isna(measured.loc["VGG16", ("here", "BMA")])
    for name, run in found.items():
        answers = run.predictions()
        bma = sklearn_metrics.balanced_accuracy_score(answers["label"], answers["predicted"])
        row = measured.loc[models.TITLES[name]]
        assert row["here", "BMA"] == pytest.approx(bma) and row["here", "pretrained"] == run.config["pretrained"]
        assert f"{bma:.3f}" in text
    check_cross_validation(settings, table, photos)
    check_balanced(settings, table, photos)


def check_cross_validation(settings, table, photos) -> None:
    crossed = {
        name: {
            stage: protocols.find("cross-validation", name, table, photos, settings, stage=stage)
            for stage in range(1, 6)
        }
        for name in MODELS
    }
    by_stage, interval = results.cross_validation(crossed), results.intervals(crossed, table)
    for name, stages in crossed.items():
        answers = [run.predictions() for run in stages.values()]
        bma = [sklearn_metrics.balanced_accuracy_score(one["label"], one["predicted"]) for one in answers]
        row = by_stage.loc[models.TITLES[name], "here"]
        assert row[list(range(1, 6))].tolist() == pytest.approx(bma) and row["mean"] == pytest.approx(np.mean(bma))
        together = pd.concat(answers)
        accuracy = (together["label"] == together["predicted"]).mean()
        row = interval.loc[models.TITLES[name], "here"]
        assert row["pictures"] == len(table) and row["accuracy"] == pytest.approx(accuracy)
        assert row["low"] <= accuracy <= row["high"] and row["low"] < row["high"]
    without = {name: {stage: run for stage, run in stages.items() if stage != 3} for name, stages in crossed.items()}
    assert ("here", "accuracy") not in results.intervals(without, table), "an interval over five stages needs five"
    assert results.cross_validation(without)["here"]["mean"].isna().all()
    assert (
        results.leaderboard(crossed)["leaderboard, hidden test part"].dropna().tolist()
        == published.LEADERBOARD.tolist()
    )


def check_balanced(settings, table, photos) -> None:
    run = protocols.find("balanced", "residual", table, photos, settings)
    row = results.balanced({"residual": run}, table).loc["Residual net", "here"]
    answers = run.predictions()
    five = sklearn_metrics.balanced_accuracy_score(answers["label"], answers["predicted"])
    assert row["five classes"] == pytest.approx(five) and row["BMA"] == pytest.approx(5 / 8 * five)
    assert row["accuracy"] == pytest.approx(5 / 8 * (answers["label"] == answers["predicted"]).mean())


def test_five_classes_are_translated_exactly():
    """Never wrong on five classes: the merged answer names the most frequent of the four, and misses the others."""
    codes = ["MEL", "NV", "BCC", "BKL", "AK", "AK", "DF", "VASC", "SCC"]
    table = pd.DataFrame({"image": [f"p{n}" for n in range(9)], "label": pd.Categorical(codes, tables.CODES)})
    five = splits.merged(table["label"]).astype(str)

    class Perfect:
        config = {"pretrained": "no", "epochs": 1, "classes": sorted(set(five))}
        headline = "bma"

        def predictions(self):
            return pd.DataFrame({"image": table["image"], "label": five, "predicted": five})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "headline", lambda run: pd.Series({"loss": 0.0, "accuracy": 1.0, "BMA": 1.0}))
        row = results.balanced({"residual": Perfect()}, table).loc["Residual net", "here"]
    assert row["BMA"] == 5 / 8 and row["exact"] == 5 / 8, "MEL, NV, BCC, BKL and AK, of eight"


def test_it_goes_on_where_it_was_stopped(settings, few, monkeypatch):
    """Stopped in the third run; then only the missing ones are trained."""
    fresh = tiny_settings(
        settings.data.parent / "again", picture_size=32, epochs=1, fine_tuning_epochs=1, segmentation_epochs=1
    )
    fresh = fresh.__class__(**{**fresh.__dict__, "data": settings.data, "cache": settings.cache})
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, training, "train_one_epoch", 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            thesis.run(fresh)
    assert "2 of 13 runs are finished" in page(fresh)
    trained = []
    train = training.train
    monkeypatch.setattr(training, "train", lambda run, *rest: (trained.append(run), train(run, *rest)))
    thesis.run(fresh)
    assert len(trained) == 11 and "13 of 13" in page(fresh)


def test_a_run_that_fails_is_reported_and_the_others_go_on(settings, few, monkeypatch):
    """A folder without masks: the classifiers are trained, and the report says what is missing."""
    folder = settings.data.parent / "no masks"
    draw_2019(folder / "data", 120)
    bare = tiny_settings(folder, picture_size=32, epochs=1, fine_tuning_epochs=1)
    monkeypatch.setattr(
        thesis, "steps", lambda: [thesis.Step("segmentation", "unet_lite0"), thesis.Step("standard", "residual")]
    )
    report, failed = thesis.run(bare)
    assert [step.protocol for step in failed] == ["segmentation"]
    text = page(bare)
    assert "What failed" in text and "segmentation, unet_lite0" in text and "1 of 2 runs are finished" in text
    assert "Table 6.1" in text and "Table 6.6" not in text


def test_a_failure_gives_the_shell_an_exit_status(settings, monkeypatch, capsys):
    from isic_utils import __main__

    step = thesis.Step("standard", "residual")
    monkeypatch.setattr(__main__.profile, "current", lambda: settings)
    monkeypatch.setattr(thesis, "run", lambda *arguments: (settings.runs / "report.html", {step: "No pictures."}))
    assert __main__.main(["thesis"]) == 1
    assert "report.html" in capsys.readouterr().out
    monkeypatch.setattr(thesis, "run", lambda *arguments: (settings.runs / "report.html", {}))
    assert __main__.main(["thesis"]) == 0


def test_every_reason_is_escaped(settings):
    failed = {thesis.Step("standard", "residual"): "a <b> & c"}
    text = thesis.render(thesis.Work(settings, "picture"), [], 0, failed)
    assert "a &lt;b&gt; &amp; c" in text


def test_looking_for_a_stage_that_does_not_exist_is_refused(settings):
    table, photos = protocols.prepare("standard", settings)
    with pytest.raises(IsicError):
        protocols.find("standard", "residual", table, photos, settings, stage=2)
