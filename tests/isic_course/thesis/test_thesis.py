"""The whole thesis with one command: the order, the tables beside the published ones, and a report that is always
valid."""

import dataclasses
import errno
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019, tiny_settings

from isic_course.thesis import published, report, reproduce as thesis, tables as results
from isic_course.thesis.tables import Step
from isic_utils import models, plots as figures, settings as profile
from isic_utils.__main__ import main
from isic_utils.datasets import splits, tables
from isic_utils.errors import IsicError
from isic_utils.models import TITLES
from isic_utils.training import fit as training, protocols, runs

MODELS = ["alexnet", "residual"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A folder with both archives, and runs of a second."""
    folder = tmp_path_factory.mktemp("thesis")
    draw_2019(folder / "data", count=120)
    draw_2018(folder / "data", count=20)
    return tiny_settings(folder, epochs=1, segmentation_epochs=1, picture_size=64, segmentation_size=(16, 32))


@pytest.fixture
def short(monkeypatch):
    """The thesis has two networks and its cross-validation two stages: nine steps."""
    monkeypatch.setattr(thesis, "CHEAP_FIRST", MODELS)
    monkeypatch.setattr(protocols, "STAGES", [1, 2])


@pytest.fixture
def plain(monkeypatch):
    """Reports without figures, which take most of their time."""
    monkeypatch.setattr(report, "figures_of", lambda table, found: [])


@pytest.fixture(scope="module")
def done(settings):
    """Everything of the short thesis is trained. Returns what there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thesis, "CHEAP_FIRST", MODELS)
        patch.setattr(protocols, "STAGES", [1, 2])
        patch.setattr(report, "figures_of", lambda table, found: [])
        _, failed = thesis.reproduce(settings)
        assert failed == {}
        return results.find(settings, thesis.plan())


def nothing(folder) -> results.Found:
    """Nothing is trained yet."""
    return results.Found(tiny_settings(folder), {}, None, {})


class Page(HTMLParser):
    """What a browser would find: unclosed tags, texts, pictures, and addresses outside the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.words, self.images, self.outside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        self.outside += [v for k, v in attributes.items() if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_plan_is_the_whole_thesis_and_gives_results_early():
    plan = thesis.plan()
    assert len(plan) == len(set(plan)) == 5 + 1 + 5 + 4 * 5
    assert [step.protocol for step in plan] == (
        ["standard"] * 5 + ["segmentation"] + ["balanced"] * 5 + ["cross-validation"] * 20
    )
    assert [step.stage for step in plan[11:]] == [2] * 5 + [3] * 5 + [4] * 5 + [5] * 5
    for protocol in ("standard", "balanced"):
        assert {step.model for step in plan if step.protocol == protocol} == set(results.CLASSIFIERS)
    assert {TITLES[name] for name in results.CLASSIFIERS} == set(published.STANDARD.index)
    assert str(plan[0]) == "standard, AlexNet" and str(plan[-1]) == "cross-validation, stage 5, VGG16"


def test_every_step_is_found_again_and_where_the_lessons_look(done, settings):
    assert len(done.runs) == 2 + 1 + 2 + 2 and done.missing == {}
    table, photos = protocols.prepare("standard", settings)
    stage = splits.cross_validation(table)[2]
    lesson_06 = training.find("residual", table, stage, photos, settings, "cross-validation", stage=2)
    assert done.runs[Step("cross-validation", "residual", 2)] == lesson_06
    assert done.stages("residual") == {1: done.runs[Step("standard", "residual")], 2: lesson_06}


def test_balanced_runs_in_laptop_are_those_of_lesson_05(settings):
    laptop = dataclasses.replace(settings, name="laptop", epochs=8)
    table, photos = protocols.prepare("balanced", settings)
    drawn = splits.balanced(table)
    lesson_05 = training.find(
        "residual", drawn, drawn["part"], photos, dataclasses.replace(laptop, epochs=4), "balanced"
    )
    assert protocols.find("balanced", "residual", table, photos, laptop) == lesson_05
    assert protocols.balanced_settings(laptop).epochs == 4 and protocols.balanced_settings(settings) == settings


def answers_of(run: runs.Run) -> pd.DataFrame:
    """The test answers of the checkpoint with the best validation BMA, read without the course's own reader."""
    answers = pd.read_csv(run.folder / "predictions_test.csv")
    return answers[answers["checkpoint"] == "bma"]


def bma_of(answers: pd.DataFrame) -> float:
    return (answers["predicted"] == answers["label"]).groupby(answers["label"]).mean().mean()


def test_table_6_1_is_what_the_predictions_say(done):
    table = results.standard(done)
    pd.testing.assert_frame_equal(table[results.THESIS], published.STANDARD, check_names=False)
    answers = answers_of(done.runs[Step("standard", "residual")])
    row = table.loc["Residual net", done.here]
    assert row["loss"] == pytest.approx(answers["loss"].mean()) and row["pretrained"] == "no"
    assert row["accuracy"] == pytest.approx((answers["predicted"] == answers["label"]).mean())
    assert row["BMA"] == pytest.approx(bma_of(answers))
    assert table.loc["VGG16", done.here].isna().all() and done.here == "here, data"


def test_table_6_2_has_three_ways_to_eight_classes(done):
    answers = answers_of(done.runs[Step("balanced", "residual")])
    row = results.balanced(done).loc["Residual net", done.here]
    assert row["M_b"] == pytest.approx(bma_of(answers)) and row["5/8 · M_b"] == pytest.approx(0.625 * row["M_b"])
    drawn = splits.balanced(done.table)
    original = drawn.set_index("image")["original_label"].astype(str)
    rarest = original[original.isin(splits.RAREST)].value_counts().idxmax()
    recalls = []
    for code in tables.CODES:
        own = answers[answers["image"].map(original) == code]
        said = splits.MERGED if code == rarest else code
        recalls.append((own["predicted"] == said).mean())
    assert row["exact, 8 classes"] == pytest.approx(np.nanmean(recalls))


def test_the_exact_bma_counts_three_classes_as_missed():
    codes = ["MEL", "NV", "BCC", "BKL", "AK", "AK", "DF", "SCC", "VASC"]
    label = splits.merged(pd.Series(codes))
    drawn = pd.DataFrame({"image": list("abcdefghi"), "label": label, "original_label": codes})
    perfect = pd.DataFrame({"image": drawn["image"], "predicted": label.astype(str)})
    assert results.exact_bma(perfect, drawn) == pytest.approx(5 / 8)
    of_the_others = drawn["original_label"].isin(splits.RAREST[1:])
    only_ak = perfect.assign(predicted=perfect["predicted"].where(~of_the_others, "NV"))
    assert splits.RAREST[0] == "AK" and results.exact_bma(only_ak, drawn) == pytest.approx(5 / 8)
    without_ak = perfect.assign(predicted=perfect["predicted"].where(drawn["original_label"] != "AK", "NV"))
    assert results.exact_bma(without_ak, drawn) == pytest.approx(4 / 8), "AK, the most frequent, stands for the four"
    always_nv = perfect.assign(predicted="NV")
    assert results.exact_bma(always_nv, drawn) == pytest.approx(1 / 8)


def test_table_6_3_pools_the_stages(done):
    both = pd.concat([answers_of(run) for run in done.stages("residual").values()])
    row = results.intervals(done).loc["Residual net", done.here]
    p, n = (both["predicted"] == both["label"]).mean(), len(both)
    half = 1.959964 * np.sqrt(p * (1 - p) / n)
    assert row["pictures"] == n and row["stages"] == 2 and row["accuracy"] == pytest.approx(p)
    assert row["low"] == pytest.approx(p - half, abs=1e-6) and row["high"] == pytest.approx(p + half, abs=1e-6)
    assert row["low, lesions"] < p < row["high, lesions"]


def test_table_6_4_has_a_mean_only_where_all_stages_are_there(done, monkeypatch):
    table = results.cross_validation(done)
    row = table.loc["Residual net", done.here]
    expected = [bma_of(answers_of(run)) for run in done.stages("residual").values()]
    assert row[[1, 2]].tolist() == pytest.approx(expected) and np.isnan(row["mean"])
    monkeypatch.setattr(protocols, "STAGES", [1, 2])
    assert results.cross_validation(done).loc["Residual net", (done.here, "mean")] == pytest.approx(np.mean(expected))


def test_table_6_5_sets_own_models_and_the_leaderboard_side_by_side(done, monkeypatch):
    monkeypatch.setattr(protocols, "STAGES", [1, 2])
    table = results.leaderboard_2019(done)
    assert table[results.THESIS, "BMA"].dropna().tolist() == [
        0.125, 0.346, 0.542, 0.614, 0.612, 0.636, 0.607, 0.593, 0.578,
    ]  # fmt: skip
    mean = results.cross_validation(done).loc["AlexNet", (done.here, "mean")]
    assert table.loc["AlexNet", (done.here, "BMA, cross-validation")] == mean


def test_table_6_6_has_both_jaccard_indices(done):
    run = done.runs[Step("segmentation", "unet")]
    answers = pd.read_csv(run.folder / "predictions_test.csv")
    answers = answers[answers["checkpoint"] == "jaccard"]
    index = answers["both"] / (answers["true"] + answers["predicted"] - answers["both"])
    table = results.segmentation(done)
    row = table.loc["U-Net", done.here]
    assert row["Jaccard"] == pytest.approx(index.mean())
    assert row["thresholded Jaccard"] == pytest.approx(index.where(index >= 0.65, 0).mean())
    assert table.loc["U-Net", ("published, ISIC 2018", "Jaccard")] == 0.773
    assert table["published, ISIC 2018", "thresholded Jaccard"].max() == 0.802


def test_every_table_can_be_made_from_nothing_and_says_what_is_missing(tmp_path):
    found = nothing(tmp_path)
    for function in results.ALL.values():
        table = function(found)
        text = results.shown(table, found)
        ours = table[found.here]
        assert ours.isna().all(axis=None) and (text[found.here].isin(["missing", ""])).all(axis=None)
        own = [name for name in table.index if name in TITLES.values()]
        assert (text.loc[own, found.here] == "missing").all(axis=None) and len(own) >= 1
        assert table[table.columns.levels[0].drop(found.here)[0]].notna().any(axis=None)


def test_a_class_without_pictures_does_not_stop_the_tables(tmp_path):
    table = pd.DataFrame({"image": ["a", "b"], "label": pd.Categorical(["NV", "NV"], tables.CODES, ordered=True)})
    found = dataclasses.replace(nothing(tmp_path), table=table)
    assert results.balanced(found)[found.here].isna().all(axis=None)


def test_what_is_wrong_with_the_pictures_is_found_once(tmp_path, monkeypatch):
    asked = []

    def prepare(protocol, settings):
        asked.append(protocol)
        raise IsicError(f"The pictures of {protocol} are damaged: unpack them again.")

    monkeypatch.setattr(protocols, "prepare", prepare)
    _, failed = thesis.reproduce(tiny_settings(tmp_path))
    assert len(failed) == 31 and sorted(asked) == ["segmentation"] * 2 + ["standard"] * 2  # to look, and to train


def test_the_report_is_one_whole_page(done, settings, short):
    file = report.write(done, thesis.plan(), {})
    assert file == settings.runs / "data-tiny" / "thesis.html"
    page = Page(file.read_text(encoding="utf-8"))
    assert page.open == [] and page.outside == []
    assert len(page.images) >= 3 and all(len(image["alt"]) > 20 for image in page.images)
    for words in ("7 of 7 trainings", "Not medical advice", "120 of ISIC 2019's 25,331", "torch", "Profile", "tiny"):
        assert words in page.text
    for title in results.ALL:
        assert title in page.text
    bma = results.standard(done).loc["Residual net", (done.here, "BMA")]
    assert f"{bma:.3f}" in page.text and "SYNTHETIC" not in page.text
    assert "width=device-width" in file.read_text(encoding="utf-8")


def test_a_report_of_synthetic_pictures_says_so(done, tmp_path, short):
    data = tmp_path / "sample"
    data.mkdir()
    (data / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    synthetic = dataclasses.replace(done, settings=dataclasses.replace(done.settings, data=data), runs={})
    page = Page(report.page(synthetic, thesis.plan(), {}))
    assert "120 SYNTHETIC pictures" in page.text and "here, sample (SYNTHETIC)" in page.text
    assert "0 of 7 trainings" in page.text


def test_synthetic_pictures_without_a_table_are_told_without_their_number(done, tmp_path, short):
    (tmp_path / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    settings = dataclasses.replace(done.settings, data=tmp_path)
    page = Page(report.page(dataclasses.replace(done, settings=settings, table=None, runs={}), thesis.plan(), {}))
    assert "Data SYNTHETIC pictures, drawn by code" in " ".join(page.text.split())


def test_without_data_there_is_a_report_that_says_why(tmp_path, short):
    settings = tiny_settings(tmp_path)
    settings.data.mkdir()
    file, failed = thesis.reproduce(settings, train=False)
    page = Page(file.read_text(encoding="utf-8"))
    assert failed == {} and "0 of 7 trainings" in page.text and page.open == []
    assert tables.GROUND_TRUTH_2019 in page.text and "is missing" in page.text and tables.PICTURES_2018 in page.text


def test_a_training_that_fails_does_not_lose_the_others(settings, tmp_path, short, plain, monkeypatch, capsys):
    own = dataclasses.replace(settings, runs=tmp_path / "runs")
    monkeypatch.setattr(profile, "current", lambda: own)
    real, order = training.fit, []

    def fit(name, table, **options):
        order.append(name)
        if name == "residual" and "label" in table and len(table["label"].cat.categories) == 8:
            raise IsicError("Memory ran out: lower <batch_size>.")
        return real(name, table, **options)

    monkeypatch.setattr(training, "fit", fit)
    assert main(["thesis"]) == 1
    assert order == [*MODELS, "unet", *MODELS, *MODELS]
    said = capsys.readouterr()
    assert "[7/7] cross-validation, stage 2, Residual net" in said.out and said.err.count("\n") == 1
    assert "2 of the steps could not be done" in said.err and "standard, Residual net" in said.err
    text = (own.runs / "data-tiny" / "thesis.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "5 of 7 trainings" in page.text and "lower <batch_size>" in page.text and page.open == []
    assert "standard, Residual net; cross-validation, stage 2, Residual net: Memory ran out" in page.text

    monkeypatch.setattr(training, "fit", real)
    order.clear()
    assert main(["thesis"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"\[(\d)/7\]", said) == ["2", "7"], "only what was missing is trained"
    page = Page((own.runs / "data-tiny" / "thesis.html").read_text(encoding="utf-8"))
    assert "7 of 7 trainings" in page.text and "Memory ran out" not in page.text


def test_stopped_at_any_training_a_valid_report_stays(settings, tmp_path, short, plain, monkeypatch):
    own = dataclasses.replace(settings, runs=tmp_path / "runs")
    monkeypatch.setattr(profile, "current", lambda: own)
    real, calls = training.fit, []

    def fit(**options):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(**options)

    monkeypatch.setattr(training, "fit", fit)
    assert main(["thesis"]) == 130
    page = Page((own.runs / "data-tiny" / "thesis.html").read_text(encoding="utf-8"))
    assert "2 of 7 trainings" in page.text and page.open == []


def test_a_run_that_had_to_do_without_imagenet_weights_is_trained_again(done, tmp_path, short, monkeypatch):
    step = Step("standard", "residual")
    without = runs.Run(tmp_path / "run")
    shutil.copytree(done.runs[step].folder, without.folder)
    runs.write_json(without.folder / "config.json", without.config | {"pretrained": models.NOT_DOWNLOADED})
    found, trained = dataclasses.replace(done, runs=done.runs | {step: without}), []

    def train(*arguments, **options):
        trained.append(arguments[:2])
        return done.runs[step]

    monkeypatch.setattr(results, "find", lambda settings, steps: found)
    monkeypatch.setattr(protocols, "train", train)
    thesis.reproduce(done.settings)
    assert trained == [("standard", "residual")]


def test_a_fault_that_may_pass_is_not_kept(tmp_path, monkeypatch):
    def prepare(protocol, settings):
        raise IsicError("It cannot be read now: start again.") from OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(protocols, "prepare", prepare)
    prepared = protocols.once(tiny_settings(tmp_path))
    with pytest.raises(IsicError):
        prepared("standard")
    monkeypatch.setattr(protocols, "prepare", lambda protocol, settings: "there")
    assert prepared("standard") == "there"


def test_report_only_trains_nothing(done, short, monkeypatch, capsys):
    monkeypatch.setattr(profile, "current", lambda: done.settings)
    monkeypatch.setattr(training, "fit", lambda **_: pytest.fail("trained"))
    assert main(["thesis", "--report-only"]) == 0
    assert str(done.settings.runs / "data-tiny" / "thesis.html") in capsys.readouterr().out


def test_figures_are_closed(done, short):
    report.page(done, thesis.plan(), {})
    assert figures.plt.get_fignums() == []
