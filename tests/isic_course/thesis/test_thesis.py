"""The whole thesis with one command: the order, the tables beside the published ones, and a report that is always
valid."""

import dataclasses
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019, tiny_settings

from isic_course.__main__ import main
from isic_course.thesis import published, report, reproduce as thesis, tables as results
from isic_course.thesis.tables import Step
from isic_utils import files, settings as environment
from isic_utils.datasets import splits, tables
from isic_utils.errors import IsicError
from isic_utils.models import TITLES
from isic_utils.training import Run, TrainConfig, fit, protocols, run_of

pytestmark = pytest.mark.slow

MODELS = ["alexnet", "residual"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A folder with both archives, and runs of a second."""
    folder = tmp_path_factory.mktemp("thesis")
    draw_2018(draw_2019(folder / "data", count=120), count=20)
    return tiny_settings(folder, epochs=1, segmentation_epochs=1, image_size=64)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """The thesis has two networks and its cross-validation two folds: seven steps."""
    patch.setattr(thesis, "CHEAP_FIRST", MODELS)
    patch.setattr(protocols, "FOLD_NUMBERS", [0, 1])


def leave_out_figures(patch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which take most of their time."""
    patch.setattr(report, "figures_of", lambda table, found: [])


@pytest.fixture
def short(monkeypatch):
    shorten(monkeypatch)


@pytest.fixture
def plain(monkeypatch):
    leave_out_figures(monkeypatch)


@pytest.fixture(scope="module")
def done(settings):
    """Everything of the short thesis is trained. Returns what there is."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        leave_out_figures(patch)
        _, failed = thesis.reproduce(settings)
        assert failed == {}
        return results.find(settings, thesis.plan())


def nothing(folder) -> results.Found:
    """Nothing is trained yet."""
    return results.Found(tiny_settings(folder), "image", {}, {}, {})


def read(file) -> "Page":
    return Page(file.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a browser would find: unclosed tags, texts, images, and addresses outside the file."""

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
    assert [step.fold for step in plan[11:]] == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5
    for protocol in ("standard", "balanced"):
        assert {step.model for step in plan if step.protocol == protocol} == set(results.THESIS_CLASSIFIERS)
    assert {TITLES[name] for name in results.THESIS_CLASSIFIERS} == set(published.STANDARD.index)
    assert str(plan[0]) == "standard, AlexNet" and str(plan[-1]) == "cross-validation, fold 4, VGG16"


def test_every_step_is_found_again_and_where_the_lessons_look(done, settings):
    assert len(done.runs) == 2 + 1 + 2 + 2 and done.missing == {}
    table, store = protocols.load_data("standard", settings)
    fold = splits.cross_validation(table, group_by="image")[1]
    config = TrainConfig.from_settings(
        settings, "residual", protocol="cross-validation", group_by="image", seed=0, fold=1
    )
    lesson_06 = run_of(config, store, table, fold, settings.runs)
    assert done.runs[Step("cross-validation", "residual", 1)] == lesson_06
    assert done.folds("residual") == {0: done.runs[Step("standard", "residual")], 1: lesson_06}


def predictions_of(run: Run) -> pd.DataFrame:
    """The test predictions of the checkpoint with the best validation BMA, read without the course's own reader."""
    predictions = pd.read_csv(run.folder / "predictions_test.csv")
    return predictions[predictions["checkpoint"] == "bma"]


def bma_of(predictions: pd.DataFrame) -> float:
    return (predictions["predicted"] == predictions["label"]).groupby(predictions["label"]).mean().mean()


def test_table_6_1_is_what_the_predictions_say(done):
    table = results.table_6_1(done)
    pd.testing.assert_frame_equal(table[results.THESIS], published.STANDARD, check_names=False)
    predictions = predictions_of(done.runs[Step("standard", "residual")])
    row = table.loc["Residual net", done.here]
    assert row["loss"] == pytest.approx(predictions["loss"].mean())
    assert row["network"] == "Residual net, 1/4 width, from scratch"
    assert row["accuracy"] == pytest.approx((predictions["predicted"] == predictions["label"]).mean())
    assert row["BMA"] == pytest.approx(bma_of(predictions))
    assert table.loc["VGG16", done.here].isna().all() and done.here == "here, data"


def test_table_6_2_has_three_ways_to_eight_classes(done):
    predictions = predictions_of(done.runs[Step("balanced", "residual")])
    row = results.table_6_2(done).loc["Residual net", done.here]
    assert row["M_b"] == pytest.approx(bma_of(predictions)) and row["5/8 · M_b"] == pytest.approx(0.625 * row["M_b"])
    drawn = splits.balanced(done.table, "image")
    original = drawn.set_index("image")["original_label"].astype(str)
    rarest = original[original.isin(splits.RAREST)].value_counts().idxmax()
    recalls = []
    for code in tables.CODES:
        own = predictions[predictions["image"].map(original) == code]
        said = splits.MERGED if code == rarest else code
        recalls.append((own["predicted"] == said).mean())
    assert row["exact, 8 classes"] == pytest.approx(np.nanmean(recalls))


def test_the_exact_bma_counts_three_classes_as_missed():
    codes = ["MEL", "NV", "BCC", "BKL", "AK", "AK", "DF", "SCC", "VASC"]
    label = splits.merge_rarest(pd.Series(codes))
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


def test_table_6_3_pools_the_folds(done):
    both = pd.concat([predictions_of(run) for run in done.folds("residual").values()])
    row = results.table_6_3(done).loc["Residual net", done.here]
    p, n = (both["predicted"] == both["label"]).mean(), len(both)
    half = 1.959964 * np.sqrt(p * (1 - p) / n)
    assert row["images"] == n and row["folds"] == 2 and row["accuracy"] == pytest.approx(p)
    assert row["low"] == pytest.approx(p - half, abs=1e-6) and row["high"] == pytest.approx(p + half, abs=1e-6)
    assert row["low, lesions"] < p < row["high, lesions"]
    printed = results.formatted(results.table_6_3(done), done)[results.THESIS].loc["AlexNet"]
    assert printed.tolist() == ["0.631", "0.6252", "0.6368"], "four digits, as the thesis prints the ends"


def test_table_6_4_has_a_mean_only_where_all_folds_are_there(done, monkeypatch):
    table = results.table_6_4(done)
    row = table.loc["Residual net", done.here]
    expected = [bma_of(predictions_of(run)) for run in done.folds("residual").values()]
    assert row[[0, 1]].tolist() == pytest.approx(expected) and np.isnan(row["mean"])
    monkeypatch.setattr(protocols, "FOLD_NUMBERS", [0, 1])
    assert results.table_6_4(done).loc["Residual net", (done.here, "mean")] == pytest.approx(np.mean(expected))


def test_table_6_5_sets_own_models_and_the_leaderboard_side_by_side(done, monkeypatch):
    monkeypatch.setattr(protocols, "FOLD_NUMBERS", [0, 1])
    table = results.table_6_5(done)
    assert table[results.THESIS, "BMA"].dropna().tolist() == [
        0.125, 0.346, 0.542, 0.614, 0.612, 0.636, 0.607, 0.593, 0.578,
    ]  # fmt: skip
    mean = results.table_6_4(done).loc["AlexNet", (done.here, "mean")]
    assert table.loc["AlexNet", (done.here, "BMA, cross-validation")] == mean


def test_table_6_6_has_both_jaccard_indices(done):
    run = done.runs[Step("segmentation", "unet")]
    predictions = pd.read_csv(run.folder / "predictions_test.csv")
    predictions = predictions[predictions["checkpoint"] == "jaccard"]
    index = predictions["both"] / (predictions["true"] + predictions["predicted"] - predictions["both"])
    table = results.table_6_6(done)
    row = table.loc["U-Net", done.here]
    assert row["Jaccard"] == pytest.approx(index.mean())
    assert row["thresholded Jaccard"] == pytest.approx(index.where(index >= 0.65, 0).mean())
    assert table.loc["U-Net", ("published, ISIC 2018", "Jaccard")] == 0.773
    assert table["published, ISIC 2018", "thresholded Jaccard"].max() == 0.802


def test_every_table_can_be_made_from_nothing_and_says_what_is_missing(tmp_path):
    found = nothing(tmp_path)
    for function in results.ALL.values():
        table = function(found)
        text = results.formatted(table, found)
        ours = table[found.here]
        assert ours.isna().all(axis=None) and (text[found.here].isin(["missing", ""])).all(axis=None)
        own = [name for name in table.index if name in TITLES.values()]
        assert (text.loc[own, found.here] == "missing").all(axis=None) and len(own) >= 1
        assert table[table.columns.levels[0].drop(found.here)[0]].notna().any(axis=None)


def test_a_protocol_that_cannot_be_drawn_does_not_stop_the_others(tmp_path):
    codes = [code for code in tables.CODES for _ in range(12) if code not in splits.RAREST]
    draw_2019(tmp_path / "data", len(codes), codes)
    found = results.find(tiny_settings(tmp_path), [Step("balanced", "alexnet"), Step("standard", "alexnet")])
    assert list(found.missing) == ["balanced"] and found.runs == {}
    assert results.table_6_2(found)[found.here].isna().all(axis=None)


def test_what_is_wrong_with_the_images_is_found_once(tmp_path, plain, monkeypatch):
    asked = []

    def load_data(protocol, settings):
        asked.append(protocol)
        raise IsicError(f"The images of {protocol} are damaged: unpack them again.")

    monkeypatch.setattr(protocols, "load_data", load_data)
    _, failed = thesis.reproduce(tiny_settings(tmp_path))
    assert len(failed) == 31 and sorted(asked) == ["segmentation", "standard"]


def test_the_report_is_one_whole_page(done, settings, short):
    file = report.write(done, thesis.plan(), {})
    assert file == settings.runs / "data" / "thesis-tiny.html"
    page = read(file)
    assert page.open == [] and page.outside == []
    assert len(page.images) >= 3 and all(len(image["alt"]) > 20 for image in page.images)
    for words in ("7 of 7 trainings", "Not medical advice", "120 of ISIC 2019's 25,331", "torch", "Profile", "tiny"):
        assert words in page.text
    for title in results.ALL:
        assert title in page.text
    bma = results.table_6_1(done).loc["Residual net", (done.here, "BMA")]
    assert f"{bma:.3f}" in page.text and "SYNTHETIC" not in page.text
    assert "width=device-width" in file.read_text(encoding="utf-8") and plt.get_fignums() == []


@pytest.mark.parametrize("there", [True, False])
def test_a_report_of_synthetic_images_says_so(done, tmp_path, short, plain, there):
    (tmp_path / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    settings = dataclasses.replace(done.settings, data=tmp_path)
    synthetic = dataclasses.replace(done, settings=settings, runs={}, data=done.data if there else {})
    page = Page(report.page(synthetic, thesis.plan(), {}))
    assert f"Data {'120 ' * there}SYNTHETIC images, drawn by code" in page.text
    assert f"here, {tmp_path.name} (SYNTHETIC)" in page.text and "0 of 7 trainings" in page.text


def test_without_data_there_is_a_report_that_says_why(tmp_path, short, plain):
    settings = tiny_settings(tmp_path)
    settings.data.mkdir()
    file, failed = thesis.reproduce(settings, train=False)
    page = read(file)
    assert failed == {} and "0 of 7 trainings" in page.text and page.open == []
    assert tables.GROUND_TRUTH_2019 in page.text and "is missing" in page.text and tables.IMAGES_2018 in page.text


def test_a_training_that_fails_does_not_lose_the_others(settings, tmp_path, short, plain, monkeypatch, capsys):
    own = dataclasses.replace(settings, runs=tmp_path / "runs")
    monkeypatch.setattr(environment, "load_settings", lambda: own)
    order = []

    def fit_or_fail(config, *arguments):
        order.append(config.model)
        if config.model == "residual" and config.protocol != "balanced":
            raise IsicError("Memory ran out: lower <batch_size>.")
        return fit(config, *arguments, progress=False)

    monkeypatch.setattr(thesis, "fit", fit_or_fail)
    assert main(["thesis"]) == 1
    assert order == [*MODELS, "unet", *MODELS, *MODELS]
    told = capsys.readouterr()
    assert "[7/7] cross-validation, fold 1, Residual net" in told.out and told.err.count("\n") == 1
    assert "2 of the steps" in told.err and "standard, Residual net" in told.err
    page = read(own.runs / "data" / "thesis-tiny.html")
    assert "5 of 7 trainings" in page.text and "lower <batch_size>" in page.text and page.open == []
    assert "standard, Residual net; cross-validation, fold 1, Residual net: Memory ran out" in page.text

    monkeypatch.setattr(thesis, "fit", fit)
    assert main(["thesis"]) == 0
    assert re.findall(r"\[(\d)/7\]", capsys.readouterr().out) == ["2", "7"], "only what was missing is trained"
    page = read(own.runs / "data" / "thesis-tiny.html")
    assert "7 of 7 trainings" in page.text and "Memory ran out" not in page.text


def test_stopped_at_any_training_a_valid_report_stays(done, tmp_path, short, plain, monkeypatch):
    own = dataclasses.replace(done.settings, runs=tmp_path / "runs")
    monkeypatch.setattr(environment, "load_settings", lambda: own)
    finished = iter([done.runs[step] for step in thesis.plan()[:2]])

    def fit_or_stop(*arguments):
        run = next(finished, None)
        if run is None:
            raise KeyboardInterrupt
        return run

    monkeypatch.setattr(thesis, "fit", fit_or_stop)
    assert main(["thesis"]) == 130
    page = read(own.runs / "data" / "thesis-tiny.html")
    assert "2 of 7 trainings" in page.text and page.open == []


def test_report_only_trains_nothing(done, short, plain, monkeypatch, capsys):
    monkeypatch.setattr(environment, "load_settings", lambda: done.settings)
    monkeypatch.setattr(thesis, "fit", lambda *_: pytest.fail("trained"))
    assert main(["thesis", "--report-only"]) == 0
    assert str(done.settings.runs / "data" / "thesis-tiny.html") in capsys.readouterr().out


# several processes

TWO_STEPS = [Step("standard", "alexnet"), Step("segmentation", "unet")]
CHILD = """
import sys
from pathlib import Path

import pytest
import test_thesis
from archives import tiny_settings

from isic_course import __main__
from isic_utils import settings

with pytest.MonkeyPatch.context() as patch:
    patch.setattr(test_thesis.thesis, "plan", lambda: test_thesis.TWO_STEPS)
    test_thesis.leave_out_figures(patch)
    own = tiny_settings(Path(sys.argv[1]), epochs=1, image_size=64, batch_size=12, segmentation_micro_batch_size=2)
    patch.setattr(settings, "load_settings", lambda: own)
    sys.exit(__main__.main(["thesis"]))
"""


def launch(processes: int, folder) -> subprocess.CompletedProcess:
    """Run CHILD in several processes, as `accelerate launch` does."""
    (folder / "child.py").write_text(CHILD, encoding="utf-8")
    here = [os.path.dirname(__file__), os.path.dirname(files.__file__) + "/..", *sys.path]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(here), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(folder / "child.py"), str(folder)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)


def test_what_several_processes_cannot_divide_ends_each_with_one_sentence(tmp_path):
    """Three processes share a batch of 12, and of the U-Net's of 8 each says that it cannot be divided."""
    draw_2018(draw_2019(tmp_path / "data", count=96), count=20)
    refused = launch(3, tmp_path)
    assert refused.returncode and re.search("3 processes.*batch of 8|batch of 8.*3 processes", refused.stderr), (
        refused.stderr
    )
    assert "isic_course" not in refused.stderr, "a traceback"
    assert re.findall(r"\[(\d)/2\]", refused.stdout) == ["1", "2"]
    assert "1 of 2 trainings" in read(tmp_path / "runs" / "data" / "thesis-tiny.html").text
