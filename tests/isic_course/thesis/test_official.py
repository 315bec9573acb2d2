"""The official test sets: what a run predicts for them, the official score, and the file that a challenge takes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from archives import (
    COLUMNS_2019,
    draw_2018,
    draw_2019,
    is_one_clear_message,
    names,
    refusal,
    tiny_settings,
    truth_row,
    write_csv,
)
from official_archive import KINDS, draw_2018_test, draw_2019_test
from PIL import Image

from isic_course.thesis import official, report, reproduce as thesis, submission, tables as results
from isic_course.thesis.tables import Step
from isic_utils import archive
from isic_utils.datasets import ImageStore, images, read_isic2018, tables
from isic_utils.errors import IsicError
from isic_utils.inference.predict import predict_probabilities
from isic_utils.inference.second_opinion import fit_detector
from isic_utils.training import Run, fit, protocols, runs

SIZES = [(30, 60), (45, 61), (60, 45)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Training images and both official test sets."""
    folder = tmp_path_factory.mktemp("official")
    draw_2018_test(draw_2019_test(draw_2018(draw_2019(folder / "data", count=96), count=20)), SIZES)
    return tiny_settings(folder, epochs=2, segmentation_epochs=2)


def trained(step: Step, settings) -> Run:
    table, store = protocols.load_data(step.data, settings)
    config, *drawn = protocols.arrange(step.protocol, step.model, table, settings, "image")
    return fit(config, store, *drawn, settings.runs, progress=False)


@pytest.fixture(scope="module")
def classifier(settings):
    return trained(Step("standard", "residual"), settings)


@pytest.fixture(scope="module")
def segmenter(settings):
    return trained(Step("segmentation", "unet"), settings)


# what a run predicts


def test_a_run_predicts_the_2019_test_set_once(settings, classifier, monkeypatch):
    found = official.predict_2019(classifier, settings)
    assert list(found.columns) == ["image", "label", "weight", *KINDS] and len(found) == 45
    store = ImageStore(official.read_isic2019_test(settings.data), settings.image_size, settings.cache)
    raw = predict_probabilities(classifier, store, found["image"])
    assert np.array_equal(raw.argmax(axis=1), found[tables.CODES].to_numpy().argmax(axis=1))
    assert np.allclose(found[tables.CODES].sum(axis=1), 1)
    detector = fit_detector(classifier, protocols.load_data("standard", settings)[1])
    unusual = detector.out_of_distribution(store, found["image"])
    assert np.allclose(found["UNK"], np.where(unusual, 1, 1 - found[tables.CODES].max(axis=1)))
    assert 0 < unusual.mean() < 1, "both kinds are among the made-up images"
    monkeypatch.setattr(Run, "load_model", lambda *_: pytest.fail("predicted again"))
    pd.testing.assert_frame_equal(official.predict_2019(classifier, settings), found)
    scores = official.scores_2019(classifier)
    expected = official.weighted_bma(found[found["label"] != "UNK"], tables.CODES)
    assert scores["official test, 8 classes"] == expected and 0 <= scores["official test, 9 classes"] <= 1


def test_a_test_set_that_has_grown_is_predicted_anew(settings, classifier, tmp_path):
    assert len(official.predict_2019(classifier, settings)) == 45
    draw_2019(tmp_path, count=96)  # the same training images
    more = dataclasses.replace(settings, data=draw_2019_test(tmp_path, count=50))
    assert len(official.predict_2019(classifier, more)) == 50
    (classifier.folder / "official_2019.csv").unlink()


def test_a_damaged_test_image_is_left_out_and_the_others_are_predicted_once(
    settings, classifier, segmenter, tmp_path, monkeypatch
):
    monkeypatch.setattr(images, "MAX_LEFT_OUT", 0.5)  # of as few images one is more than 1 %
    draw_2018_test(draw_2019_test(draw_2018(draw_2019(tmp_path, count=96), count=20)), SIZES)
    for name in (archive.IMAGES_2019_TEST, tables.IMAGES_2018.replace("Training", "Test")):
        next((tmp_path / name).glob("*.jpg")).write_bytes(b"\xff\xd8 cut short")
    damaged = dataclasses.replace(settings, data=tmp_path)
    found = official.predict_2019(classifier, damaged), official.predict_2018(segmenter, damaged)
    assert [len(predictions) for predictions in found] == [44, 2]
    monkeypatch.setattr(Run, "load_model", lambda *_: pytest.fail("predicted again"))
    pd.testing.assert_frame_equal(official.predict_2019(classifier, damaged), found[0])
    pd.testing.assert_frame_equal(official.predict_2018(segmenter, damaged), found[1])
    (classifier.folder / "official_2019.csv").unlink()
    (segmenter.folder / "official_2018.csv").unlink()


def test_a_unet_predicts_the_2018_test_set_in_the_images_own_sizes(settings, segmenter):
    found = official.predict_2018(segmenter, settings)
    assert found["pixels"].tolist() == [height * width for height, width in SIZES]
    masks = sorted((segmenter.folder / "official_2018").iterdir())
    assert [mask.name for mask in masks] == [f"{image}_segmentation.png" for image in found["image"]]
    true = [images.read_mask(path) for path in read_isic2018(settings.data, "test")["mask_path"]]
    jaccard = [(a & b).sum() / (a | b).sum() for a, b in zip(true, map(images.read_mask, masks), strict=True)]
    assert found["jaccard"].tolist() == pytest.approx(jaccard)
    scores = official.scores_2018(segmenter)
    assert scores["official test, Jaccard"] == pytest.approx(np.mean(jaccard))
    assert scores["official test, thresholded"] == pytest.approx(np.mean([j if j >= 0.65 else 0 for j in jaccard]))


def test_a_run_without_predictions_has_no_official_score(tmp_path):
    assert official.scores_2019(Run(tmp_path)) == {} == official.scores_2018(Run(tmp_path))


def test_the_thesis_ends_with_the_official_test_sets(settings, classifier, segmenter, monkeypatch, capsys):
    monkeypatch.setattr(report, "figures_of", lambda table, found: [])  # they take most of the time
    monkeypatch.setattr(thesis, "plan", lambda: [Step("standard", "residual"), Step("segmentation", "unet")])
    file, failed = thesis.reproduce(settings)
    assert failed == {} and capsys.readouterr().out.count("official test set: ") == 2
    found = results.find(settings, thesis.plan())
    row = results.table_6_5(found).loc["Residual net", found.here]
    assert row["official test, 9 classes"] == official.scores_2019(classifier)["official test, 9 classes"]
    row = results.table_6_6(found).loc["U-Net", found.here]
    assert row["official test, thresholded"] == official.scores_2018(segmenter)["official test, thresholded"]
    assert f"{official.scores_2019(classifier)['official test, 8 classes']:.3f}" in file.read_text(encoding="utf-8")


def test_a_damaged_test_set_is_told_and_stops_nothing(settings, classifier, segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "figures_of", lambda table, found: [])
    data = draw_2019_test(draw_2018(draw_2019(tmp_path / "data", count=96), count=20))
    truth = data / archive.GROUND_TRUTH_2019_TEST
    truth.write_text(truth.read_text(encoding="utf-8").replace("UNK", "other", 1), encoding="utf-8")
    monkeypatch.setattr(thesis, "plan", lambda: [Step("standard", "residual"), Step("segmentation", "unet")])
    file, failed = thesis.reproduce(dataclasses.replace(settings, data=data))
    assert list(failed) == ["official test set, standard, Residual net"]
    assert isinstance(*failed.values(), IsicError)
    assert "UNK" in file.read_text(encoding="utf-8")


# the official score


def test_the_score_is_a_mean_of_weighted_recalls():
    zeros = dict.fromkeys(KINDS, [0.0] * 4)
    columns = {"MEL": [0.9, 0.2, 0.1, 0.1], "NV": [0.1, 0.8, 0.9, 0.1], "UNK": [0, 0, 0, 0.8]}
    labels = {"label": ["MEL", "MEL", "NV", "UNK"], "weight": [0.5, 1.0, 1.0, 1.0]}
    table = pd.DataFrame(labels | zeros | columns)
    assert official.weighted_bma(table, KINDS) == pytest.approx((0.5 / 1.5 + 1 + 1) / 3)
    assert official.weighted_bma(table[:3], tables.CODES) == pytest.approx((0.5 / 1.5 + 1) / 2)
    tied = table.assign(NV=[0.9, 0.8, 0.9, 0.1])
    assert official.weighted_bma(tied, KINDS) == pytest.approx((0 + 1 + 1) / 3), "a tie counts as wrong"
    unweighted = table.assign(weight=[0.5, 1, 0, 1])
    assert official.weighted_bma(unweighted, KINDS) == pytest.approx((0.5 / 1.5 + 1) / 2), "NV has no weight"


# the file for the challenge


def test_a_submission_is_sorted_and_written_whole(tmp_path):
    table = pd.DataFrame({"image": ["b", "a"], "label": "MEL"} | {code: [0, 1 / 3] for code in KINDS})
    file = submission.write(table, tmp_path / "predictions.csv")
    text = file.read_text(encoding="utf-8").splitlines()
    assert text[0] == "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK" and text[2] == "b" + ",0.0" * 9
    read = runs.read_table(file)
    assert read["image"].tolist() == ["a", "b"] and read["MEL"][0] == 1 / 3
    without = submission.write(table.drop(columns="UNK"), tmp_path / "eight.csv", unknown=False)
    assert list(runs.read_table(without).columns) == ["image", *tables.CODES]


def test_a_submission_that_cannot_be_written_says_what_to_do(tmp_path):
    table = pd.DataFrame({"image": ["a"]} | {code: [0.5] for code in KINDS})
    (tmp_path / "predictions.csv").mkdir()
    with pytest.raises(IsicError) as raised:
        submission.write(table, tmp_path / "predictions.csv")
    is_one_clear_message(raised.value, "predictions.csv")
    assert "ISIC_RUNS" not in str(raised.value), "it is no run"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda table: table.assign(image="a"), "since a occurs twice"),
        (lambda table: table.assign(NV=[0.1, 1.5]), "since a "),
        (lambda table: table.assign(NV=[0.1, np.nan]), "since a "),
        (lambda table: table.assign(NV=[-0.1, 0.1]), "since b "),
    ],
)
def test_predictions_that_no_challenge_takes_are_not_written(tmp_path, spoil, said):
    table = pd.DataFrame({"image": ["b", "a"]} | {code: [0.5, 0.25] for code in KINDS})
    file = tmp_path / "predictions.csv"
    refusal(lambda: submission.write(spoil(table), file), str(file), said)
    assert list(tmp_path.iterdir()) == []


# The official test set


def draw_test_set(folder, weights: list[str] | None) -> None:
    (folder / archive.IMAGES_2019_TEST).mkdir()
    images = [*names(2), official.NOT_SCORED]
    for image in images:
        Image.new("RGB", (4, 4)).save(folder / archive.IMAGES_2019_TEST / f"{image}.jpg")
    rows = [truth_row(image, code) for image, code in zip(images, ("MEL", "UNK", "NV"), strict=True)]
    rows = [COLUMNS_2019, *rows]
    if weights:
        rows = [[*row, weight] for row, weight in zip(rows, ["score_weight", *weights], strict=True)]
    write_csv(folder / archive.GROUND_TRUTH_2019_TEST, rows)


@pytest.mark.parametrize("weights, expected", [(None, [1, 1, 0]), (["0.5", "2", "1"], [0.5, 2, 0])])
def test_the_official_test_set_has_weights_and_unknown_classes(tmp_path, weights, expected):
    draw_test_set(tmp_path, weights)
    table = official.read_isic2019_test(tmp_path)
    assert list(table) == ["image", "path", "label", "weight"]
    assert table["label"].tolist() == ["MEL", "UNK", "NV"] and table["weight"].tolist() == expected
