"""The benchmarks: the plan of the whole thesis holds what is computed, and the results' tables are made right."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from archives import draw_2019, interrupt_at, tiny_settings

from isic_course import synthetic
from isic_course.thesis import reproduce as thesis
from isic_utils import models
from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.metrics import intervals
from isic_utils.settings import PROFILES, Settings
from isic_utils.training import Run, TrainConfig

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts can be imported by name, as they import one another."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))


def test_the_plan_holds_the_tables_that_are_computed(tmp_path):
    import cost

    page = (PROJECT / "docs" / "plan.md").read_text(encoding="utf-8")
    (tmp_path / "plan.md").write_text(page, encoding="utf-8")
    cost.write(tmp_path / "plan.md", cost.tables())
    assert (tmp_path / "plan.md").read_text(encoding="utf-8") == page, "run python benchmarks/cost.py --write"


@pytest.mark.skipif(sys.platform != "linux", reason="the script forks processes and mounts a disk")
def test_a_killed_process_harms_nothing_and_the_script_says_so():
    command = [sys.executable, PROJECT / "benchmarks" / "faults.py", "--times", "2", "one_of_two_killed"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("| decoding | 2 |") == told.stdout.count("bit-identical") == 1, told.stdout


def test_a_lesson_of_lab_ends_within_an_hour():
    import cost

    assert cost.of_lab()["with all else, minutes"].astype(int).max() <= 60


def test_multiply_adds_are_those_of_the_literature():
    import cost

    work = cost.counted("resnet50", 224, 224)
    assert work.forward == pytest.approx(4.09e9, rel=0.01)  # torchvision's documentation: 4.09 GFLOPS
    assert work.backward == pytest.approx(2 * work.forward, rel=0.03)
    assert work.weights == 25_557_032
    depthwise = cost.counted("efficientnet_lite0", 224, 224)
    assert depthwise.forward == pytest.approx(0.385e9, rel=0.03)  # 407 million in the authors' count, with 1000 classes
    assert depthwise.backward <= 2 * depthwise.forward


def test_the_thesis_trains_the_cheap_networks_first():
    import cost

    side = PROFILES["full"]["image_size"]
    multiplications = [cost.counted(name, side, side).forward for name in thesis.CHEAP_FIRST]
    assert len(multiplications) == 5 and multiplications == sorted(multiplications)


def test_a_text_comes_between_its_marks_and_nothing_else_changes():
    import marks

    assert marks.replaced("a <1>old<2> b", "<1>", "<2>", "new") == "a <1>\nnew\n<2> b"
    with pytest.raises(ValueError):
        marks.replaced("a <1>old b", "<1>", "<2>", "new")


def test_contenders_take_turns_and_are_compared_round_by_round():
    import side_by_side

    order = []
    own, other = iter([9.0, 1.0, 2.0, 4.0]), iter([9.0, 3.0, 8.0, 4.0])

    def turn(name, times):
        order.append(name)
        return next(times)

    contenders = {"course": lambda: turn("course", own), "rival": lambda: turn("rival", other)}
    seconds = side_by_side.measure(contenders, rounds=3)
    assert order == ["course", "rival"] * 4
    assert seconds == {"course": [1.0, 2.0, 4.0], "rival": [3.0, 8.0, 4.0]}  # the first turn does not count
    _, rival = side_by_side.rows("what", 100, seconds, {"rival": 2.5})
    assert rival["ratio"] == 3.0 and rival["required"] == 2.5 and rival["per second"] == 25.0


# on a graphics card


def test_the_check_of_a_card_runs_on_a_processor_at_the_smallest_sizes(tmp_path, monkeypatch, capsys):
    import gpu_check

    parts = [part for part in gpu_check.PARTS if part != "lessons"]
    file = tmp_path / "check.csv"
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--smallest", "--parts", *parts, "--write", str(file)])
    assert gpu_check.main() == 0, capsys.readouterr().out
    table, said = pd.read_csv(file), capsys.readouterr().out
    assert list(table["part"].unique()) == parts and all(f"**{part}**" in said for part in parts)
    networks = table[table["part"] == "networks"]
    assert list(networks["network"]) == list(models.TITLES.values())
    assert (networks[["images/s", "images/s, read", "images/s, predicting"]] > 0).all(axis=None)
    if not torch.cuda.is_available():
        assert (table[["loss, resumed", "weights, resumed"]].dropna() == 0).all(axis=None)


def test_the_check_of_a_card_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    import gpu_check

    def out_of_memory(self, name, profile):
        if name != "unet":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"network": name}

    monkeypatch.setattr(gpu_check.Check, "network", out_of_memory)
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--smallest", "--parts", "networks"])
    monkeypatch.setattr(gpu_check, "RESULTS", tmp_path / "check.csv")
    assert gpu_check.main() == 1
    said = capsys.readouterr().out
    assert "FAILED networks, vgg16, smallest: OutOfMemoryError: CUDA out of memory" in said and "| unet |" in said


def test_the_check_of_a_card_has_the_plan_s_speed_beside_its_own():
    import gpu_check

    check = gpu_check.Check(True, minutes=60)
    check.card = gpu_check.cost.T4
    row = check.network("alexnet", "smallest")
    assert min(row[f"images/s{what}"] for what in (", plan", ", read, plan", ", predicting, plan")) > 0


def test_the_check_of_a_card_executes_a_lesson_and_says_where_it_failed(monkeypatch):
    import gpu_check

    check, ended = gpu_check.Check(True, minutes=60), subprocess.CompletedProcess([], 0, b"[1/1] 04")
    monkeypatch.setattr(gpu_check.subprocess, "run", lambda command, **_: ended if "04" in command else None)
    assert check.lesson("04")["lesson"] == "04"
    ended.returncode, ended.stdout = 1, b"[1/1] 04\n  failed in code cell 3, which begins: x\n    NameError: x"
    with pytest.raises(ValueError, match="failed in code cell 3, which begins: x / NameError: x"):
        check.lesson("04")


def test_the_check_of_a_card_begins_nothing_when_its_time_is_over():
    import gpu_check

    check = gpu_check.Check(True, minutes=-1)
    check.networks()
    assert len(check.skipped) == len(models.MODELS) and not check.rows and not check.failures


# what the lessons show of real images


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Settings:
    """A small archive, on which lesson 04 shows two trainings of a second, of three epochs each."""
    import measured

    def two(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[measured.Row]:
        configs = [TrainConfig.from_settings(settings, "residual", width=1 / 16, seed=seed) for seed in (0, 1)]
        split = splits.standard(table, group_by="lesion", seed=0)
        return [measured.training_row(config, settings, store, table, split) for config in configs]

    monkeypatch.setitem(measured.LESSONS, "04", two)
    draw_2019(tmp_path / "data", 160, [CODES[number // 2 % 8] for number in range(160)])
    return tiny_settings(tmp_path)


@pytest.fixture
def steps(monkeypatch) -> list:
    """Grows with each step of an optimizer."""
    real, taken = torch.optim.AdamW.step, []

    def step(optimizer, *arguments, **options):
        taken.append(None)
        return real(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return taken


def test_an_interrupted_measurement_goes_on(archive, steps, tmp_path):
    import measured

    assert measured.measure("04", archive, tmp_path / "expected.csv") == {}
    expected, of_an_epoch = pd.read_csv(tmp_path / "expected.csv"), len(steps) // 6
    elsewhere = dataclasses.replace(archive, runs=tmp_path / "other-runs")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, torch.optim.AdamW, "step", 4 * of_an_epoch + 1, KeyboardInterrupt())
        measured.measure("04", elsewhere, tmp_path / "table.csv")
    assert len(pd.read_csv(tmp_path / "table.csv")) == 1  # written when it was done
    steps.clear()
    assert measured.measure("04", elsewhere, tmp_path / "table.csv") == {}
    assert len(steps) == 2 * of_an_epoch  # the rest of the second
    table = pd.read_csv(tmp_path / "table.csv")
    assert table.drop(columns="seconds").equals(expected.drop(columns="seconds"))
    assert (table["test_images"] == 32).all() and (table["test_lesions"] == 16).all()
    for score in ("accuracy", "BMA"):
        assert table[score].between(table[f"{score}_low"], table[f"{score}_high"]).all()


def test_a_row_that_is_there_is_not_measured_again(archive, steps, tmp_path):
    import measured

    file = tmp_path / "table.csv"
    measured.measure("04", archive, file)
    of_an_epoch = len(steps) // 6
    table = pd.read_csv(file)
    kept, of_other_data = table.iloc[[0]].assign(accuracy=0.125), table.iloc[[1]].assign(data="other")
    pd.concat([kept, of_other_data]).to_csv(file, index=False)
    shutil.rmtree(archive.runs)
    steps.clear()
    measured.measure("04", archive, file)
    assert len(steps) == 3 * of_an_epoch
    assert pd.read_csv(file)["accuracy"].tolist() == [0.125, table["accuracy"][1]]  # and the other data's is gone
    steps.clear()
    measured.measure("04", archive, file)
    assert not steps


def test_missing_rows_are_named_with_the_reason(archive, tmp_path, monkeypatch, capsys):
    import measured

    def without_weights(name, *arguments, **options):
        return SimpleNamespace(pretrained=models.NOT_DOWNLOADED)

    two, large = measured.LESSONS["04"], TrainConfig.from_settings(archive, "resnet101", width=1.0)

    def one(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[measured.Row]:
        split = splits.standard(table, group_by="lesion", seed=0)
        return [measured.training_row(large, settings, store, table, split)]

    monkeypatch.setitem(measured.LESSONS, "04", one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "create_model", without_weights)
        missing = measured.measure("04", archive, tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()
    assert missing == {
        "ResNet101, width 1, ImageNet weights, 3 epochs, seed 0": "its ImageNet weights cannot be had here."
    }
    assert "Missing: ResNet101, width 1" in capsys.readouterr().out

    clock = iter([0, 0, 0, 0, *[3500] * 9])  # in seconds: the second epoch ends when hardly any time is left
    monkeypatch.setattr(measured, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(Run, "seconds", 400)
    monkeypatch.setitem(measured.LESSONS, "04", two)
    measured.measure("04", archive, tmp_path / "table.csv")
    said = capsys.readouterr().out
    assert "0 of 2 rows" in said and not (tmp_path / "table.csv").exists()
    assert "width 0.0625, random weights, 3 epochs, seed 0: no time was left after 2 of 3 epochs" in said


def test_only_real_images_are_measured(monkeypatch):
    import measured

    monkeypatch.setattr("sys.argv", ["measured.py"])
    with pytest.raises(SystemExit, match="ISIC_DATA"):
        measured.main()


def test_the_lessons_tables_hold_what_they_promise():
    import measured

    settings = Settings("laptop", **PROFILES["laptop"], data=Path("a"), cache=Path("b"), runs=Path("c"))
    table = read_isic2019(synthetic.ensure())
    plans = {lesson: plan(settings, table, None) for lesson, plan in measured.LESSONS.items()}
    six = [row.work.args[0] for row in plans["04"][:6]]
    assert {config.model for config in six} == set(models.CLASSIFIERS)
    assert all(config == TrainConfig.from_settings(settings, config.model) for config in six)
    pretrained, random = [row.work.args[0] for row in plans["03"]][::2]
    assert pretrained.pretrained and random == dataclasses.replace(pretrained, pretrained=False)
    for lesson, rows in plans.items():
        keys = [tuple(getattr(row, name) for name in measured.KEY[3:]) for row in rows]
        assert len(set(keys)) == len(keys), "two rows that nothing tells apart"
        file = measured.RESULTS / f"measured_{lesson}.csv"
        found = {key[3:] for key in measured.rows_of(file)}
        assert found <= set(keys), f"{file.name} holds rows of other trainings: make measured"
    page = (PROJECT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert measured.written(page) == page, "run python benchmarks/measured.py --write"


def test_the_dense_networks_of_lesson_02_stand_beside_their_baseline(archive, tmp_path, monkeypatch):
    import dense
    import measured

    monkeypatch.setattr(dense, "EPOCHS", 3)
    assert measured.measure("02", archive, tmp_path / "table.csv") == {}
    table = pd.read_csv(tmp_path / "table.csv")
    baseline, networks = table.iloc[0], table.iloc[1:]
    assert baseline["BMA"] == baseline["accuracy"] == 1 / 8 and len(networks) == 6 and (networks["epochs"] == 3).all()
    assert table["accuracy"].between(table["accuracy_low"], table["accuracy_high"]).all()
    data, split = read_isic2019(archive.data), splits.standard(read_isic2019(archive.data), group_by="lesion", seed=0)

    def predicted(stop_early: bool, seed: int) -> list[str]:
        return list(dense.predictions(data, split, archive, stop_early, seed, end=0.0)[0]["predicted"])

    assert predicted(False, 0) == predicted(False, 0) != predicted(False, 1)
    monkeypatch.setattr(dense, "EPOCHS", 1)
    assert predicted(True, 0) == predicted(False, 0)  # of one epoch, the lowest is the last


def test_the_gain_of_a_method_comes_with_a_paired_interval():
    import measured

    images = [f"image {number}" for number in range(80)]
    labels = np.array(["MEL", "NV"] * 40)
    before = pd.DataFrame({"image": images, "label": labels, "predicted": "NV"}).assign(**dict.fromkeys(CODES, 1e-9))
    before["NV"], before["MEL"] = 0.6, 0.4
    counts = np.array([10, 90, *[1] * 6])
    after, seconds = measured.adjusted(lambda end: (before, 5.0), counts, end=0.0)
    assert seconds == 5.0 and set(after["predicted"]) == {"MEL"} and set(after["compared_with"]) == {"NV"}
    lesions = pd.Series([f"lesion {number // 4}" for number in range(80)], images)  # two images of each class
    found = measured.results_of(after, lesions)
    assert found["BMA gain"] == found["BMA gain_low"] == found["BMA gain_high"] == 0  # a recall of 1 for another
    half = after.assign(predicted=np.where(np.arange(80) < 40, labels, after["compared_with"]))
    found = measured.results_of(half, lesions)
    assert found["BMA gain"] == pytest.approx(0.25) and found["accuracy gain"] == pytest.approx(0.25)
    assert 0 < found["BMA gain_low"] < 0.25 < found["BMA gain_high"]


def test_a_group_of_another_mix_of_classes_differs_over_all_classes_and_not_within_them():
    import measured_subgroups

    lesions = pd.Index([f"lesion {number}" for number in range(60)])
    labels = np.repeat(["NV", "BKL", "BKL", "NV", "NV", "BKL"], 10)  # the group: 10 NV, 20 BKL; the rest the reverse
    some = pd.DataFrame({"lesion_id": lesions, "label": labels, "source": "BCN", "alarm": labels == "BKL"})
    member = np.arange(60) < 30
    found = measured_subgroups.compare(some.sample(frac=1, random_state=0), "alarm", lesions, member, ~member)
    assert found["all"] == pytest.approx(1 / 3) and found["same classes"] == found["and clinic"] == found["low"] == 0
    assert found["of lesions"] == 30 and found["value"] == pytest.approx(2 / 3) and found["p"] == 1


def test_lesions_of_masks_are_the_official_ones_and_near_duplicates_are_one_lesion(tmp_path):
    import measured_masks

    table = pd.DataFrame({"image": ["a", "b", "c", "d", "e"]})
    assert measured_masks.known_lesions(table, tmp_path).isna().all()
    (tmp_path / "tables").mkdir()
    rows = "image,lesion_id\nb_downsampled,L1\na,L1\nc,\nd,L2\n"
    (tmp_path / "tables" / "ISIC_2019_Training_Metadata.csv").write_text(rows, encoding="utf-8")
    known = measured_masks.known_lesions(table, tmp_path)
    assert known.fillna("-").tolist() == ["L1", "L1", "-", "L2", "-"]
    pairs = pd.DataFrame({"image": ["b"], "other": ["e"]})
    groups = measured_masks.groups_of(known.fillna(table["image"]), table["image"], pairs)
    assert (groups[[0, 1, 4]] == groups[0]).all() and groups.nunique() == 3
    assert measured_masks.groups_of(table["image"], table["image"], pairs.iloc[:0]).nunique() == 5


def test_a_lesion_drawn_twice_counts_twice_in_the_regression():
    import measured_masks

    chance = np.random.default_rng(0)
    lesions = pd.Series(np.repeat(np.arange(30), 2))
    x, y = pd.DataFrame({"ITA": chance.normal(size=60)}), pd.Series(chance.normal(size=60))
    times = intervals.draw_lesions(lesions, draws=20)[:, lesions]
    fits = [np.polyfit(np.repeat(x["ITA"], row), np.repeat(y, row), 1)[0] for row in (np.ones(60, int), *times)]
    expected = [fits[0], *np.quantile(fits[1:], [0.025, 0.975])]
    assert measured_masks.effects(x, y, lesions, draws=20).iloc[0].tolist() == pytest.approx(expected)


def test_the_table_of_lesson_11_holds_the_units_of_its_benchmark_and_no_others():
    import measured_clinics

    table = read_isic2019(synthetic.ensure())
    units = {unit for look in measured_clinics.APPEARANCES for unit in measured_clinics.units(table, look)}
    measured = pd.read_csv(measured_clinics.TABLE)
    assert set(zip(measured["look"], measured["trained on"], strict=True)) <= units
    assert not measured.duplicated(measured_clinics.KEY).any()
    for score in ("BMA", "accuracy"):
        assert measured[score].between(measured[f"{score}_low"], measured[f"{score}_high"]).all()


def test_an_interrupted_measurement_of_the_clinics_goes_on(tmp_path, monkeypatch):
    import measured_clinics

    from isic_course import clinics, features

    monkeypatch.setattr(measured_clinics, "APPEARANCES", {measured_clinics.AS_IT_IS: lambda pixels, ratios: pixels})
    monkeypatch.setattr(features, "of_pixels", lambda pixels: pixels.reshape(len(pixels), -1)[:, ::997].astype("f4"))
    draw_2019(tmp_path / "data", 160, [("MEL", "NV")[number // 2 % 2] for number in range(160)])
    file = tmp_path / "data" / "ISIC_2019_Training_Metadata.csv"
    rows = pd.read_csv(file)
    rows["lesion_id"] = np.where(rows["lesion_id"].str[1:].astype(int) % 4 < 2, "BCN_", "HAM_") + rows["lesion_id"]
    rows.to_csv(file, index=False)
    data = measured_clinics.load(tiny_settings(tmp_path))
    measured_clinics.measure(data, tmp_path / "expected.csv")
    monkeypatch.setattr(clinics, "predict", None)  # predictions that are there are not made again
    measured_clinics.measure(data, tmp_path / "table.csv")
    assert len(list(data.runs.glob("*.pkl"))) == 4
    assert pd.read_csv(tmp_path / "table.csv").equals(pd.read_csv(tmp_path / "expected.csv"))
