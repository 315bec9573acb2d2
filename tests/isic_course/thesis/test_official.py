"""The official test sets: their readers, the answers that a run gives to them, the official score, and the file that a
challenge takes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019, is_one_clear_message, refusal, tiny_settings
from official_archive import KINDS, draw_2018_test, draw_2019_test, softmax

from isic_course.thesis import official, reproduce as thesis, submission, tables as results
from isic_course.thesis.tables import Step
from isic_utils.datasets import images as pictures, tables
from isic_utils.errors import IsicError
from isic_utils.inference import ood as scope, predict as answers, second_opinion as inference
from isic_utils.training import fit as training, protocols, runs


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Training pictures and both official test sets, and a classifier and a U-Net, trained for a second."""
    folder = tmp_path_factory.mktemp("official")
    draw_2019(folder / "data", count=96)
    draw_2018(folder / "data", count=20)
    draw_2019_test(folder / "data")
    draw_2018_test(folder / "data", [(30, 60), (45, 61), (60, 45)])
    return tiny_settings(folder, epochs=2, segmentation_epochs=2)


@pytest.fixture(scope="module")
def classifier(settings):
    return protocols.train("standard", "residual", *protocols.prepare("standard", settings), settings)


@pytest.fixture(scope="module")
def segmenter(settings):
    return protocols.train("segmentation", "unet", *protocols.prepare("segmentation", settings), settings)


def change(folder, old: str, new: str) -> None:
    """Replace a text in the ground truth of the 2019 test set, once."""
    file = folder / tables.GROUND_TRUTH_2019_TEST
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


# the readers


def test_the_2019_test_table_has_unknown_pictures_and_weights(tmp_path, capsys):
    table = tables.isic2019_test(draw_2019_test(tmp_path))
    assert list(table.columns) == ["image", "path", "label", "weight"] and len(table) == 45
    assert table["label"].cat.categories.tolist() == KINDS and (table["label"] == "UNK").sum() == 5
    assert table.groupby("weight").size().to_dict() == {0.0: 4, 0.5: 12, 1.0: 29}
    assert table["path"][0].endswith("ISIC_9000000.jpg") and capsys.readouterr().out == ""


def test_without_weights_every_picture_counts_one_but_the_one_that_the_scorer_leaves_out(tmp_path):
    draw_2019_test(tmp_path, count=9)
    file = tmp_path / tables.GROUND_TRUTH_2019_TEST
    truth = pd.read_csv(file).drop(columns=["score_weight", "validation_weight"])
    (tmp_path / tables.PICTURES_2019_TEST / "ISIC_9000000.jpg").rename(
        tmp_path / tables.PICTURES_2019_TEST / f"{tables.NOT_SCORED}.jpg"
    )
    truth.replace({"ISIC_9000000": tables.NOT_SCORED}).to_csv(file, index=False)
    table = tables.isic2019_test(tmp_path)
    assert table.set_index("image")["weight"].to_dict().pop(tables.NOT_SCORED) == 0 and table["weight"].sum() == 8


def test_a_part_of_the_2019_test_pictures_is_said(tmp_path, capsys):
    draw_2019_test(tmp_path)
    (tmp_path / tables.PICTURES_2019_TEST / "ISIC_9000000.jpg").unlink()
    assert len(tables.isic2019_test(tmp_path)) == 44 and "44 of 45 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",0.5,1.0", ",half,1.0", "score_weight"),
        (",0.5,1.0", ",-1,1.0", "score_weight"),
        (",0.5,1.0", ",inf,1.0", "score_weight"),
        (",UNK", ",OTHER", "UNK"),
        ("ISIC_9000000,1.0", "ISIC_9000000,0.0", "exactly one label"),
    ],
)
def test_what_is_wrong_in_the_2019_test_table(tmp_path, old, new, said):
    change(draw_2019_test(tmp_path), old, new)
    refusal(lambda: tables.isic2019_test(tmp_path), tables.GROUND_TRUTH_2019_TEST, said)


def test_a_missing_test_set_is_named(tmp_path):
    refusal(lambda: tables.isic2019_test(tmp_path), tables.GROUND_TRUTH_2019_TEST, "is missing")
    refusal(lambda: tables.isic2018(tmp_path, "test"), "ISIC2018_Task1-2_Test_Input", "no folder")
    refusal(lambda: tables.isic2018(tmp_path, "exam"), "'exam'", "training, validation or test")


def test_the_2018_parts_are_apart(settings):
    assert len(tables.isic2018(settings.data)) == 20
    test = tables.isic2018(settings.data, "test")
    assert test["image"].tolist() == ["ISIC_8000000", "ISIC_8000001", "ISIC_8000002"]
    assert "Test_GroundTruth" in test["mask_path"][0] and "Test_Input" in test["path"][0]


# what a run answers


def test_probabilities_are_those_of_the_run(settings, classifier):
    _, photos = protocols.prepare("standard", settings)
    kept = classifier.predictions()
    found = answers.probabilities(classifier, photos, kept["image"])
    assert found.shape == (len(kept), 8) and np.allclose(found, kept[tables.CODES], atol=1e-5)


def test_eight_views_do_not_depend_on_how_the_picture_lies(settings, classifier):
    _, photos = protocols.prepare("standard", settings)
    images = pd.Series(photos.images[:10])
    laid = dataclasses.replace(photos, pixels=np.ascontiguousarray(photos.pixels.swapaxes(1, 2)[:, :, ::-1]))
    eight = [answers.probabilities(classifier, some, images, views=8) for some in (photos, laid)]
    one = [answers.probabilities(classifier, some, images, views=1) for some in (photos, laid)]
    assert np.allclose(*eight, atol=1e-6) and not np.allclose(*one, atol=1e-4)
    assert np.allclose(eight[0].sum(axis=1), 1, atol=1e-5)


def test_what_cannot_answer_is_refused(settings, classifier, segmenter, tmp_path):
    table, photos = protocols.prepare("standard", settings)
    images = table["image"]
    refusal(lambda: answers.probabilities(segmenter, photos, images), "U-Net", "classifier")
    refusal(lambda: answers.probabilities(runs.Run(tmp_path), photos, images), str(tmp_path), "no finished run")
    refusal(lambda: answers.probabilities(classifier, photos, images, views=4), "1 or 8 views")


def test_a_good_network_outweighs_a_guessing_one():
    chance = np.random.default_rng(0)
    true = chance.integers(0, 8, 400)
    good = softmax(chance.normal(0, 1, (400, 8)) + 3 * np.eye(8)[true])
    guess = softmax(chance.normal(0, 1, (400, 8)))
    weights = answers.validation_weights([good, guess], true)
    assert weights.sum() == pytest.approx(1) and weights[0] > 0.85
    assert answers.validation_weights([guess, good], true) == pytest.approx(weights[::-1], abs=1e-6)
    assert answers.validation_weights([good, good], true) == pytest.approx([0.5, 0.5])


def test_the_weights_are_the_likeliest():
    chance = np.random.default_rng(1)
    true = chance.integers(0, 3, 300)
    two = [softmax(chance.normal(0, 1, (300, 3)) + strength * np.eye(3)[true]) for strength in (1.5, 1.2)]
    of_true = [network[np.arange(300), true] for network in two]
    grid = np.linspace(0, 1, 2001)
    best = grid[np.argmax([np.log(w * of_true[0] + (1 - w) * of_true[1]).sum() for w in grid])]
    assert answers.validation_weights(two, true)[0] == pytest.approx(best, abs=0.01)


# the official score


def answered(labels: list[str], columns: dict[str, list[float]], weights: list[float]) -> pd.DataFrame:
    zero = dict.fromkeys(KINDS, [0.0] * len(labels))
    return pd.DataFrame({"label": labels, "weight": weights} | zero | columns)


def test_the_score_is_a_mean_of_weighted_recalls():
    table = answered(
        ["MEL", "MEL", "NV", "UNK"],
        {"MEL": [0.9, 0.2, 0.1, 0.1], "NV": [0.1, 0.8, 0.9, 0.1], "UNK": [0, 0, 0, 0.8]},
        [0.5, 1.0, 1.0, 1.0],
    )
    assert official.weighted_bma(table, KINDS) == pytest.approx((0.5 / 1.5 + 1 + 1) / 3)
    assert official.weighted_bma(table[:3], tables.CODES) == pytest.approx((0.5 / 1.5 + 1) / 2)
    tied = table.assign(NV=[0.9, 0.8, 0.9, 0.1])
    assert official.weighted_bma(tied, KINDS) == pytest.approx((0 + 1 + 1) / 3), "a tie counts as wrong"


def test_a_run_answers_the_2019_test_set_once(settings, classifier, monkeypatch):
    found = official.answer_2019(classifier, settings)
    assert list(found.columns) == ["image", "label", "weight", *KINDS] and len(found) == 45
    photos = pictures.load(tables.isic2019_test(settings.data), settings.picture_size, settings.cache)
    raw = answers.probabilities(classifier, photos, found["image"])
    assert np.array_equal(raw.argmax(axis=1), found[tables.CODES].to_numpy().argmax(axis=1))
    assert np.allclose(found[tables.CODES].sum(axis=1), 1)
    limits = inference.learn_scope(classifier, settings)
    refused = pd.notna(scope.reasons(limits, photos.take(photos.rows(found["image"]))))
    assert np.allclose(found["UNK"], np.where(refused, 1, 1 - found[tables.CODES].max(axis=1)))
    assert 0 < refused.mean() < 1, "both kinds are among the made-up pictures"
    monkeypatch.setattr(training, "load", lambda *_: pytest.fail("answered again"))
    again = official.answer_2019(classifier, settings)
    pd.testing.assert_frame_equal(again, found)
    scores = official.scores_2019(classifier)
    expected = official.weighted_bma(found[found["label"] != "UNK"], tables.CODES)
    assert scores["official test, 8 classes"] == expected and 0 <= scores["official test, 9 classes"] <= 1


def test_more_test_pictures_are_answered_anew(settings, classifier, tmp_path):
    assert len(official.answer_2019(classifier, settings)) == 45
    draw_2019(tmp_path, count=96)  # the same ones to learn from
    more = dataclasses.replace(settings, data=draw_2019_test(tmp_path, count=50))
    assert len(official.answer_2019(classifier, more)) == 50
    (classifier.folder / "official_2019.csv").unlink()


def test_a_damaged_test_picture_is_left_out_and_the_others_are_answered_once(
    settings, classifier, segmenter, tmp_path, monkeypatch
):
    monkeypatch.setattr(pictures, "MAX_LEFT_OUT", 0.5)  # of as few pictures one is more than 1 %
    draw_2019(tmp_path, count=96)
    draw_2018(tmp_path, count=20)
    draw_2018_test(draw_2019_test(tmp_path), [(30, 60), (45, 61), (60, 45)])
    for name in (tables.PICTURES_2019_TEST, tables.PICTURES_2018.replace("Training", "Test")):
        next((tmp_path / name).glob("*.jpg")).write_bytes(b"\xff\xd8 cut short")
    damaged = dataclasses.replace(settings, data=tmp_path)
    found = official.answer_2019(classifier, damaged), official.answer_2018(segmenter, damaged)
    assert [len(answered) for answered in found] == [44, 2]
    monkeypatch.setattr(training, "load", lambda *_: pytest.fail("answered again"))
    pd.testing.assert_frame_equal(official.answer_2019(classifier, damaged), found[0])
    pd.testing.assert_frame_equal(official.answer_2018(segmenter, damaged), found[1])
    (classifier.folder / "official_2019.csv").unlink()
    (segmenter.folder / "official_2018.csv").unlink()


def test_a_unet_answers_the_2018_test_set_in_the_pictures_own_sizes(settings, segmenter):
    found = official.answer_2018(segmenter, settings)
    assert found["pixels"].tolist() == [30 * 60, 45 * 61, 60 * 45]
    masks = sorted((segmenter.folder / "official_2018").iterdir())
    assert [mask.name for mask in masks] == [f"{image}_segmentation.png" for image in found["image"]]
    true = [pictures.read_mask(path) for path in tables.isic2018(settings.data, "test")["mask_path"]]
    drawn = [pictures.read_mask(mask) for mask in masks]
    jaccard = [(a & b).sum() / (a | b).sum() for a, b in zip(true, drawn, strict=True)]
    assert found["jaccard"].tolist() == pytest.approx(jaccard)
    scores = official.scores_2018(segmenter)
    assert scores["official test, Jaccard"] == pytest.approx(np.mean(jaccard))
    assert scores["official test, thresholded"] == pytest.approx(np.mean([j if j >= 0.65 else 0 for j in jaccard]))


def test_a_run_that_has_not_answered_has_no_official_score(tmp_path):
    assert official.scores_2019(runs.Run(tmp_path)) == {} == official.scores_2018(runs.Run(tmp_path))


def test_the_thesis_ends_with_the_official_test_sets(settings, classifier, segmenter, monkeypatch, capsys):
    monkeypatch.setattr(thesis, "plan", lambda: [Step("standard", "residual"), Step("segmentation", "unet")])
    file, failed = thesis.reproduce(settings)
    assert failed == {} and capsys.readouterr().out.count("official test set: ") == 2
    found = results.find(settings, thesis.plan())
    row = results.leaderboard_2019(found).loc["Residual net", found.here]
    assert row["official test, 9 classes"] == official.scores_2019(classifier)["official test, 9 classes"]
    row = results.segmentation(found).loc["U-Net", found.here]
    assert row["official test, thresholded"] == official.scores_2018(segmenter)["official test, thresholded"]
    assert f"{official.scores_2019(classifier)['official test, 8 classes']:.3f}" in file.read_text(encoding="utf-8")


def test_a_damaged_test_set_is_told_and_stops_nothing(settings, classifier, segmenter, tmp_path, monkeypatch):
    data = tmp_path / "data"
    draw_2019(data, count=96)
    draw_2018(data, count=20)
    change(draw_2019_test(data), ",0.5,1.0", ",half,1.0")
    own = dataclasses.replace(settings, data=data)
    monkeypatch.setattr(thesis, "plan", lambda: [Step("standard", "residual"), Step("segmentation", "unet")])
    file, failed = thesis.reproduce(own)
    assert list(failed) == ["official test set, standard, Residual net"]
    assert "score_weight" in file.read_text(encoding="utf-8")


# the file for the challenge


def test_a_submission_is_sorted_and_written_whole(tmp_path):
    table = pd.DataFrame({"image": ["b", "a"], "label": "MEL"} | {code: [0, 1 / 3] for code in KINDS})
    file = submission.write(table, tmp_path / "answers.csv")
    text = file.read_text(encoding="utf-8").splitlines()
    assert text[0] == "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK" and text[2] == "b" + ",0.0" * 9
    read = runs.read_csv(file)
    assert read["image"].tolist() == ["a", "b"] and read["MEL"][0] == 1 / 3
    without = submission.write(table.drop(columns="UNK"), tmp_path / "eight.csv", unknown=False)
    assert list(runs.read_csv(without).columns) == ["image", *tables.CODES]


def test_a_submission_that_cannot_be_written_says_what_to_do(tmp_path):
    table = pd.DataFrame({"image": ["a"]} | {code: [0.5] for code in KINDS})
    (tmp_path / "answers.csv").mkdir()
    with pytest.raises(IsicError) as raised:
        submission.write(table, tmp_path / "answers.csv")
    is_one_clear_message(raised.value, "answers.csv", "cannot be written", "choose another file")
    assert "ISIC_RUNS" not in str(raised.value), "it is no run"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda table: table.drop(columns="UNK"), "lack the column UNK"),
        (lambda table: table.assign(image="a"), "a is answered twice"),
        (lambda table: table.assign(NV=[0.1, 1.5]), "a has a value that is not from 0 to 1"),
        (lambda table: table.assign(NV=[0.1, np.nan]), "not from 0 to 1"),
        (lambda table: table.assign(NV=[-0.1, 0.1]), "b has a value"),
    ],
)
def test_answers_that_no_challenge_takes_are_not_written(tmp_path, spoil, said):
    table = pd.DataFrame({"image": ["b", "a"]} | {code: [0.5, 0.25] for code in KINDS})
    file = tmp_path / "answers.csv"
    refusal(lambda: submission.write(spoil(table), file), str(file), said)
    assert list(tmp_path.iterdir()) == []
