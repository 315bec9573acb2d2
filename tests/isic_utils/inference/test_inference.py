"""One picture in, an answer out: the same as the run's own predictions, with limits that validation set."""

import dataclasses
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from archives import draw_2019, draw_pairs, refusal, tiny_settings
from PIL import Image
from scipy import ndimage

from isic_utils.__main__ import main
from isic_utils.datasets import images as pictures, tables
from isic_utils.inference import second_opinion as inference
from isic_utils.metrics import calibration
from isic_utils.training import protocols, runs

CODES = [tables.CODES[number % 8] for number in range(160)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Settings, a classifier's and a U-Net's run, trained for a moment on an archive of noise."""
    folder = tmp_path_factory.mktemp("inference")
    draw_2019(folder / "data", codes=CODES, count=len(CODES))
    draw_pairs(folder / "data", [(30, 60), (45, 61)] * 12)
    settings = tiny_settings(folder, epochs=2, segmentation_epochs=2)
    made = [
        protocols.train(protocol, model, *protocols.prepare(protocol, settings), settings)
        for protocol, model in (("standard", "residual"), ("segmentation", "unet"))
    ]
    return settings, *made


@pytest.fixture(scope="module")
def opinion(trained) -> inference.SecondOpinion:
    settings, run, mask_run = trained
    return inference.assemble(run, mask_run, settings)


def paths_of(settings, images) -> list[str]:
    return tables.isic2019(settings.data).set_index("image")["path"][images].tolist()


def test_an_answer_is_the_runs_own_prediction_calibrated(trained, opinion):
    settings, run, _ = trained
    test = run.predictions()
    expected = calibration.soften(test[opinion.classes].to_numpy(), opinion.temperature)
    said = inference.answers(opinion, paths_of(settings, test["image"]))
    answered = said["refused"].isna().to_numpy()
    assert answered.mean() > 0.5
    np.testing.assert_allclose(said[opinion.classes].to_numpy(float)[answered], expected[answered], atol=2e-3)
    malignant = expected[:, [code in tables.MALIGNANT for code in opinion.classes]].sum(axis=1)
    np.testing.assert_allclose(said["malignant"].to_numpy(float)[answered], malignant[answered], atol=4e-3)


def test_the_limits_come_from_validation(trained, opinion):
    _, run, _ = trained
    validation = run.predictions("validation")
    probabilities = validation[opinion.classes].to_numpy()
    true, _ = runs.class_numbers(validation, opinion.classes)
    assert opinion.temperature == calibration.fit_temperature(probabilities, true)
    scores = calibration.malignant_probability(calibration.soften(probabilities, opinion.temperature), opinion.classes)
    malignant = validation["label"].isin(tables.MALIGNANT).to_numpy()
    assert (scores >= opinion.threshold)[malignant].mean() >= opinion.sensitivity == 0.95


def test_a_lower_sensitivity_has_a_higher_threshold(trained, opinion):
    settings, run, _ = trained
    relaxed = inference.assemble(run, settings=settings, sensitivity=0.4)
    assert relaxed.threshold > opinion.threshold and relaxed.outliner is None


def test_files_pictures_and_arrays_get_the_same_answer(trained, opinion):
    path = paths_of(trained[0], trained[1].predictions()["image"])[0]
    opened = Image.open(path)
    first, second, third = (inference.answer(opinion, one) for one in (path, opened, np.asarray(opened)))
    assert first.probabilities.equals(second.probabilities) and second.probabilities.equals(third.probabilities)
    assert first.contour.shape == (opened.height, opened.width) and first.contour.dtype == bool
    assert first.heat.shape == (16, 16)
    assert first.probabilities.sum() == pytest.approx(1) and first.likeliest == first.probabilities.idxmax()


def test_the_alarm_rings_from_the_threshold_on(trained, opinion):
    picture = paths_of(trained[0], trained[1].predictions()["image"])[0]
    malignant = inference.answer(opinion, picture).malignant
    at, above = (dataclasses.replace(opinion, threshold=limit) for limit in (malignant, malignant + 1e-6))
    assert inference.answer(at, picture).ask_expert and inference.answer(at, picture).reason.startswith("ask an expert")
    silent = inference.answer(above, picture)
    assert not silent.ask_expert and silent.reason.startswith("no alarm") and "excludes nothing" in silent.reason


def test_a_black_picture_is_refused_and_gets_no_probabilities(opinion):
    said = inference.answer(opinion, np.zeros((40, 50, 3), np.uint8))
    assert said.refused and said.ask_expert and said.likeliest is None
    assert said.probabilities.isna().all() and np.isnan(said.malignant)
    assert said.contour is None and said.heat is None


def test_the_contour_is_one_region(opinion):
    height, width = opinion.outliner.run.config["picture_size"]
    logits = torch.full((1, 1, height, width), -5.0)
    logits[..., : height // 2, : width // 2] = 5  # a large lesion, and a small one in the opposite corner
    logits[..., -2:, -2:] = 5
    drawn = dataclasses.replace(opinion.outliner, model=lambda x: logits)
    contour = inference.outline(drawn, Image.new("RGB", (12 * width, 10 * height)))
    assert contour.shape == (10 * height, 12 * width)
    assert ndimage.label(contour)[1] == 1 and contour[3 * height, 3 * width] and not contour[-1, -1]
    assert contour.mean() == pytest.approx(0.25, abs=0.05)


def test_arrays_that_are_no_picture_are_refused(opinion):
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        refusal(lambda wrong=wrong: inference.answer(opinion, wrong), "uint8 [height, width, 3]")


def test_a_table_of_answers_has_a_row_for_what_cannot_be_read(trained, opinion, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no more")
    good = paths_of(trained[0], trained[1].predictions()["image"])[0]
    table = inference.answers(opinion, [broken, good, np.zeros((20, 20, 3), np.uint8)], explain=False)
    assert table["picture"].tolist() == [str(broken), good, "picture 3"]
    assert "cut short or damaged" in table["refused"][0] and table["ask_expert"][0]
    assert np.isfinite(table["malignant"][1]) and table["lesion_share"].isna().all()


def test_five_classes_work_and_the_merged_one_counts_as_malignant(trained):
    settings, _, _ = trained
    table, photos = protocols.prepare("balanced", settings)
    run = protocols.train("balanced", "residual", table, photos, settings)
    five = inference.assemble(run, settings=settings)
    several = (inference.answer(five, path) for path in paths_of(settings, run.predictions()["image"]))
    said = next(one for one in several if not one.refused)
    parts = said.probabilities[["MEL", "BCC", "AK+DF+VASC+SCC"]]
    assert len(said.probabilities) == 5 and said.malignant == pytest.approx(parts.sum())


def test_the_best_run_has_eight_classes_and_the_best_validation_bma(trained):
    settings, run, mask_run = trained
    table, photos = protocols.prepare("standard", settings)
    protocols.train("balanced", "residual", table, photos, settings)
    others = [run, protocols.train("standard", "residual", table, photos, settings, seed=1)]
    best = max(others, key=lambda one: runs.scores(one, "validation").loc["bma", "BMA"])
    assert inference.best_run(settings).folder == best.folder
    assert inference.best_run(settings, "segmentation").folder == mask_run.folder
    by_lesion = protocols.train("standard", "residual", table, photos, settings, by="lesion")
    assert inference.best_run(settings).folder == by_lesion.folder


def test_without_a_run_it_says_how_to_train_one(tmp_path):
    settings = tiny_settings(tmp_path)
    refusal(lambda: inference.best_run(settings), "no finished run", "train standard efficientnet_lite0")
    assert inference.best_mask_run(settings) is None


def test_runs_on_other_pictures_or_sizes_are_passed_over(trained, tmp_path):
    settings, run, _ = trained
    own = dataclasses.replace(settings, runs=tmp_path)
    double = dataclasses.replace(own, picture_size=settings.picture_size * 2)
    table, larger = protocols.prepare("standard", double)
    protocols.train("standard", "residual", table, larger, double, by="lesion")  # would be the best, but for its size
    refusal(lambda: inference.best_run(own), "no finished run", "as they are now, but 1 on others", "train one")
    table, photos = protocols.prepare("standard", own)
    usable = protocols.train("standard", "residual", table, photos, own, seed=1)
    assert inference.best_run(own).folder == usable.folder


@pytest.mark.parametrize("content", ["{", "[]", '{"epochs": 3}'])
def test_a_damaged_run_from_a_shell(tmp_path, capsys, content):
    (tmp_path / "config.json").write_text(content)
    assert main(["evaluate", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / "config.json") in said and "train again" in said and said.count("\n") == 1


def test_runs_of_the_other_task_and_unfinished_ones_are_refused(trained, tmp_path):
    settings, run, mask_run = trained
    refusal(lambda: inference.assemble(mask_run, settings=settings), "U-Net and no classifier")
    refusal(lambda: inference.assemble(run, run, settings), "classifier and no U-Net")
    refusal(lambda: inference.assemble(runs.Run(tmp_path), settings=settings), "no finished run")
    refusal(lambda: inference.assemble(run, settings=settings, sensitivity=0), "sensitivity above 0")


def test_data_that_are_not_the_runs_are_refused(trained, tmp_path):
    settings, run, _ = trained
    other = draw_2019(tmp_path / "other", codes=CODES[:40], count=40)
    changed = dataclasses.replace(settings, data=other)
    refusal(lambda: inference.assemble(run, settings=changed), "other pictures", "ISIC_DATA")


# from a shell


@pytest.fixture
def shell(trained, monkeypatch):
    settings, run, mask_run = trained
    monkeypatch.setattr("isic_utils.settings.current", lambda: settings)
    return settings, run, mask_run, paths_of(settings, run.predictions()["image"])


def test_predict_answers_files_and_folders(shell, tmp_path, capsys):
    settings, _, _, paths = shell
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in paths[:3]:
        Image.open(path).save(folder / f"{len(list(folder.iterdir()))}.png")
    (folder / "notes.txt").write_text("no picture")
    csv, drawn = tmp_path / "answers.csv", tmp_path / "drawn"
    assert main(["predict", str(folder), paths[3], "--csv", str(csv), "--save", str(drawn)]) == 0
    said = capsys.readouterr()
    assert "not a medical device" in said.out and "Classifier: " in said.out and said.err == ""
    assert "0.png: " in said.out and f"{paths[3]}: " in said.out
    table = runs.read_csv(csv)
    assert len(table) == 4 and table["picture"].tolist()[-1] == paths[3]
    assert len(list(drawn.glob("*.png"))) == 4 and Image.open(sorted(drawn.glob("*.png"))[0]).width > 500


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps file names that are no valid text")
def test_predict_answers_files_with_odd_names(shell, tmp_path, capsys):
    names = [b"cost_$5_and_$6.jpg", b"mu\xf1eca.jpg", b"$a$ b.jpg"]
    for name in names:
        shutil.copy(shell[3][0], os.fsencode(tmp_path) + b"/" + name)
    with open(os.fsencode(tmp_path) + b"/empt\xed.jpg", "wb"):
        pass
    csv, drawn = tmp_path / "answers.csv", tmp_path / "drawn"
    assert main(["predict", str(tmp_path), "--csv", str(csv), "--save", str(drawn)]) == 1
    said = capsys.readouterr()
    assert r"mu\udcf1eca.jpg: " in said.out and r"empt\udced.jpg is empty" in said.err
    assert len(list(drawn.glob("*.png"))) == 3 and len(runs.read_csv(csv)) == 4


def test_predict_prepares_the_pictures_once(shell, monkeypatch):
    real, asked = protocols.prepare, []

    def prepare(protocol, settings):
        asked.append(protocol)
        return real(protocol, settings)

    monkeypatch.setattr(protocols, "prepare", prepare)
    assert main(["predict", shell[3][0]]) == 0 and asked == ["standard"]


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    for name in ("b.PNG", "a.jpg", "._a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "older.jpg").mkdir()
    assert inference.files_of([tmp_path]) == [tmp_path / "a.jpg", tmp_path / "b.PNG"]


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch, capsys):
    def refused(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refused)
    assert main(["predict", str(tmp_path)]) == 1
    said = f"The folder {tmp_path} cannot be read (Permission denied): check its permissions.\n"
    assert capsys.readouterr().err == said


def test_predict_with_a_bad_file_answers_the_others_and_says_so(shell, tmp_path, capsys):
    _, run, mask_run, paths = shell
    bad, csv = tmp_path / "bad.jpg", tmp_path / "answers.csv"
    bad.write_text("hello")
    arguments = ["predict", str(bad), paths[0], "--run", str(run.folder), "--masks", str(mask_run.folder)]
    assert main([*arguments, "--csv", str(csv)]) == 1
    said = capsys.readouterr()
    assert "bad.jpg is not a JPEG or PNG picture" in said.err and "1 of 2 pictures cannot be read" in said.err
    assert f"{paths[0]}: " in said.out and len(runs.read_csv(csv)) == 2


def test_predict_refuses_what_it_cannot_begin_with(shell, tmp_path, capsys):
    _, run, mask_run, paths = shell
    (tmp_path / "empty").mkdir()
    for arguments, part in (
        ([str(tmp_path / "empty")], "holds no JPEG or PNG"),
        ([paths[0], "--run", str(tmp_path)], "no run's folder"),
        ([paths[0], "--run", str(mask_run.folder)], "U-Net and no classifier"),
    ):
        assert main(["predict", *arguments]) == 1
        assert part in capsys.readouterr().err


def test_a_synthetic_run_says_so(trained, opinion, monkeypatch, capsys, shell):
    _, run, _, paths = shell
    assert not opinion.synthetic
    (trained[0].data / "SYNTHETIC.json").write_text("{}")
    config = run.config
    try:
        runs.write_json(run.folder / "config.json", config | {"synthetic": True})
        assert main(["predict", paths[0], "--run", str(run.folder)]) == 0
        assert "synthetic pictures, drawn by code" in capsys.readouterr().out
    finally:
        runs.write_json(run.folder / "config.json", config)
        (trained[0].data / "SYNTHETIC.json").unlink()


def test_the_same_picture_gets_the_same_answer(trained, opinion):
    picture = Image.open(paths_of(trained[0], trained[1].predictions()["image"])[0])
    first, second = (inference.answer(opinion, picture) for _ in range(2))
    assert first.probabilities.equals(second.probabilities) and np.array_equal(first.heat, second.heat)


def test_nothing_is_left_in_the_runs(trained, opinion):
    before = {file.name for file in trained[1].folder.iterdir()}
    inference.assemble(trained[1], settings=trained[0])
    assert {file.name for file in trained[1].folder.iterdir()} == before
    assert torch.is_grad_enabled()


def test_large_pictures_are_read(opinion):
    said = inference.answer(opinion, pictures.to_rgb(Image.new("L", (3000, 2000), 120)))
    assert said.refused
