"""Cross-validation where it is difficult: classes of few lesions, runs of another split, and what leaks by picture."""

import numpy as np
import pandas as pd
import pytest
from archives import files_in, in_memory, is_one_clear_message, names, tiny_settings
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from isic_course import synthetic as sample
from isic_course.thesis import published
from isic_utils.datasets import splits, tables
from isic_utils.errors import IsicError
from isic_utils.metrics import classification as metrics, intervals as statistics
from isic_utils.training import fit as training


def make_table(counts: dict[str, int]) -> pd.DataFrame:
    """Two pictures of each lesion. counts: class -> lesions."""
    codes = [code for code, count in counts.items() for _ in range(2 * count)]
    lesions = [f"L{number // 2}" for number in range(len(codes))]
    label = pd.Categorical(codes, tables.CODES, ordered=True)
    return pd.DataFrame({"image": names(len(codes)), "label": label, "lesion_id": lesions})


# Classes of few lesions


def test_a_class_with_fewer_lesions_than_stages_is_named(capsys):
    table = make_table({"NV": 20, "MEL": 5, "DF": 3})
    stages = splits.cross_validation(table, by="lesion")
    said = capsys.readouterr().out
    assert said.startswith("Class DF has 3 lesions for 5 stages: ") and said.count("\n") == 1
    of_class = table["label"] == "DF"
    tested = [(stages.loc[of_class, number] == "test").any() for number in stages]
    assert sum(tested) == 3, "and in the two other stages no picture of it tests"
    splits.cross_validation(table, by="picture")
    assert capsys.readouterr().out == "", "six pictures are enough for five stages"


def test_a_class_with_one_picture_is_named_and_tests_once(capsys):
    table = make_table({"NV": 20, "DF": 1}).iloc[:-1]
    for by in ("picture", "lesion"):
        stages = splits.cross_validation(table, by=by)
        assert capsys.readouterr().out.startswith(f"Class DF has 1 {by} for 5 stages: ")
        only = stages.loc[table["label"] == "DF"].iloc[0]
        assert (only == "test").sum() == 1


def test_pictures_without_a_lesion_count_as_lesions_of_their_own(capsys):
    table = make_table({"NV": 20, "DF": 3})
    splits.cross_validation(table.assign(lesion_id=None), by="lesion")
    assert capsys.readouterr().out == ""


def test_bma_without_a_class_in_the_test_part_says_so():
    table = make_table({"NV": 20, "DF": 1})
    stage = splits.cross_validation(table, by="lesion")
    without = next(number for number in stage if not (stage.loc[table["label"] == "DF", number] == "test").any())
    true = table["label"].cat.codes.to_numpy()[stage[without] == "test"]
    with pytest.warns(UserWarning, match="the mean over the other 1 classes"):
        assert metrics.balanced_accuracy(true, true, classes=8) == 1


# Runs


def test_a_run_of_another_split_stays_and_the_new_one_says_where_it_goes(tmp_path, capsys):
    table, photos = in_memory(tables.CODES * 10, size=16)
    settings = tiny_settings(tmp_path, epochs=1)
    by_picture, by_lesion = splits.standard(table), splits.standard(table, by="lesion")
    first = training.fit("residual", table, by_picture, photos, settings, progress=False)
    assert capsys.readouterr().out == ""
    before = files_in(first.folder)
    second = training.fit("residual", table, by_lesion, photos, settings, progress=False)
    said = capsys.readouterr().out
    assert "seed0 keeps a run with other split" in said and second.folder.name in said and said.count("\n") == 1
    assert files_in(first.folder) == before and second.folder.parent == first.folder.parent
    again = [training.fit("residual", table, parts, photos, settings) for parts in (by_picture, by_lesion)]
    assert [run.folder for run in again] == [first.folder, second.folder]
    assert capsys.readouterr().out == "", "what is found needs no word"


def test_a_draw_too_small_for_three_parts_is_refused_and_nothing_is_written(tmp_path):
    table, photos = in_memory([*tables.CODES * 10, "NV"], size=16)
    one = table[(table["label"] != "BKL") | (table["image"] == table.loc[table["label"] == "BKL", "image"].iloc[0])]
    drawn = splits.balanced(one)
    assert drawn["label"].value_counts().tolist() == [1] * 5
    settings = tiny_settings(tmp_path, epochs=1)
    with pytest.raises(IsicError) as raised:
        training.fit("residual", drawn, drawn["part"], photos, settings, protocol="balanced", progress=False)
    is_one_clear_message(raised.value, "part is empty")
    assert not settings.runs.exists()


def test_a_balanced_run_leaves_the_standard_one_alone(tmp_path):
    table, photos = in_memory(tables.CODES * 25, size=16)
    settings = tiny_settings(tmp_path, epochs=1)
    standard = training.fit("residual", table, splits.standard(table), photos, settings, progress=False)
    before = files_in(standard.folder)
    for within in (None, table.index[splits.standard(table, by="lesion") != "test"]):
        drawn = splits.balanced(table, within=within)
        run = training.fit("residual", drawn, drawn["part"], photos, settings, protocol="balanced", progress=False)
        assert run.config["classes"] == ["MEL", "NV", "BCC", "BKL", splits.MERGED]
        assert set(run.predictions()["image"]) == set(drawn.loc[drawn["part"] == "test", "image"])
    assert files_in(standard.folder) == before


def test_find_looks_without_training(tmp_path):
    table, photos = in_memory(tables.CODES * 10, size=16)
    settings = tiny_settings(tmp_path, epochs=1)
    stages = splits.cross_validation(table)
    asked = dict(protocol="cross-validation", stage=2)
    assert not training.find("residual", table, stages[2], photos, settings, **asked).finished
    assert not settings.runs.exists()
    run = training.fit("residual", table, stages[2], photos, settings, **asked, progress=False)
    found = training.find("residual", table, stages[2], photos, settings, **asked)
    assert found == run and found.finished
    assert not training.find("residual", table, stages[3], photos, settings, **asked).finished, "of another split"


# The published tables


def test_published_stage_1_is_the_standard_result():
    assert (published.CROSS_VALIDATION[1] == published.STANDARD["BMA"]).all()
    means = published.CROSS_VALIDATION[[1, 2, 3, 4, 5]].mean(axis=1)
    assert np.allclose(means, published.CROSS_VALIDATION["mean"], atol=0.00051)


def test_published_balanced_results_are_of_a_balanced_test_part_and_below_their_cap():
    assert (published.BALANCED["accuracy"] == published.BALANCED["BMA"]).all()
    assert (published.BALANCED["BMA"] < 5 / 8).all()
    assert published.BALANCED.loc["VGG16", "BMA"] == 5 / 8 * 1 / 5
    wrong = 1 - published.BALANCED["accuracy"] * 8 / 5
    assert (published.BALANCED["loss"] < wrong * np.log(2)).all(), "no mean cross-entropy is so small, lesson 04"
    same_loss = published.BALANCED["loss"] == published.STANDARD["loss"]
    assert same_loss[same_loss].index.tolist() == ["Residual net", "ResNet101", "Wide ResNet"]


def test_published_intervals_are_centred_and_need_these_numbers_of_pictures():
    p, low, high = (published.INTERVALS[column] for column in ("accuracy", "low", "high"))
    assert np.allclose((low + high) / 2, p)
    needed = 1.96**2 * p * (1 - p) / ((high - low) / 2) ** 2
    assert needed.round().tolist() == [62156, 26590, 17346, 11181, 19132]
    n = 26590
    assert statistics.normal_interval(round(p["AlexNet"] * n), n) == pytest.approx((0.6252, 0.6368), abs=1e-4)


# Leakage


@pytest.fixture(scope="module")
def small_sample(tmp_path_factory) -> pd.DataFrame:
    """A synthetic archive of a few hundred small pictures, with several pictures of most lesions."""
    folder = tmp_path_factory.mktemp("leak") / "sample"
    sample.draw(folder, pictures=500, size=(48, 36), pairs=0, progress=False)
    return tables.isic2019(folder)


def test_by_picture_the_synthetic_sample_leaks(small_sample):
    """A classifier that does nothing but remember scores higher when it may meet the same lesions again."""
    pixels = [
        np.asarray(Image.open(path).convert("RGB").resize((8, 8), Image.Resampling.BOX))
        for path in small_sample["path"]
    ]
    pixels = np.array(pixels, dtype=float).reshape(len(pixels), -1)
    true = small_sample["label"].cat.codes.to_numpy()
    for seed in range(3):
        bma = {}
        for by in ("picture", "lesion"):
            stages = splits.cross_validation(small_sample, by=by, seed=seed)
            predicted = np.empty_like(true)
            for stage in stages:
                train, test = (stages[stage] == "train").to_numpy(), (stages[stage] == "test").to_numpy()
                memory = KNeighborsClassifier(1, algorithm="brute").fit(pixels[train], true[train])
                predicted[test] = memory.predict(pixels[test])
            bma[by] = metrics.balanced_accuracy(true, predicted, classes=8)
        assert bma["picture"] > bma["lesion"] + 0.03, f"seed {seed}: {bma}"
