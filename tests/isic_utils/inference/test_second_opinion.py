"""A second opinion: the run's own predictions, calibrated, with limits that the validation set sets; and the shell."""

import dataclasses
import errno
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from archives import draw_2019, draw_pairs, noise, refusal, tiny_settings
from PIL import Image
from scipy import ndimage

from isic_utils.__main__ import main
from isic_utils.datasets import images, read_isic2019, tables
from isic_utils.files import write_json
from isic_utils.inference import second_opinion
from isic_utils.inference.second_opinion import SecondOpinion, assemble, best_run, opinion_on, opinions_on
from isic_utils.metrics import calibration
from isic_utils.settings import Settings
from isic_utils.training import Run, fit, protocols, runs

CODES = [tables.CODES[number % 8] for number in range(160)]


def train(settings: Settings, protocol: str = "standard", model: str = "residual", **options) -> Run:
    table, store = protocols.load_data(protocol, settings)
    config, table, split = protocols.arrange(protocol, model, table, settings, **options)
    return fit(config, store, table, split, settings.runs, progress=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Settings, a store, a classifier's and a U-Net's run, trained for a moment on an archive of noise."""
    folder = tmp_path_factory.mktemp("opinions")
    draw_2019(folder / "data", codes=CODES, count=len(CODES))
    draw_pairs(folder / "data", [(30, 60), (45, 61)] * 12)
    settings = tiny_settings(folder, epochs=2, segmentation_epochs=2)
    made = train(settings), train(settings, "segmentation", "unet")
    return settings, protocols.load_data("standard", settings)[1], *made


@pytest.fixture(scope="module")
def table(trained) -> pd.DataFrame:
    return read_isic2019(trained[0].data)


@pytest.fixture(scope="module")
def opinions(trained, table) -> SecondOpinion:
    _, store, run, mask_run = trained
    return assemble(run, mask_run, store, table)


@pytest.fixture(scope="module")
def paths(trained) -> list[str]:
    """The files of the run's test set."""
    settings, _, run, _ = trained
    return read_isic2019(settings.data).set_index("image")["path"][run.predictions()["image"]].tolist()


# one opinion


def test_an_opinion_is_the_runs_own_prediction_calibrated(trained, opinions, paths):
    test = trained[2].predictions()
    expected = calibration.apply_temperature(test[opinions.classes].to_numpy(), opinions.temperature)
    table = opinions_on(opinions, paths)
    predicted = table["abstained"].isna().to_numpy()
    assert predicted.mean() > 0.5
    np.testing.assert_allclose(table[opinions.classes].to_numpy(float)[predicted], expected[predicted], atol=1e-5)
    malignant = expected[:, [code in tables.MALIGNANT for code in opinions.classes]].sum(axis=1)
    np.testing.assert_allclose(table["malignant"].to_numpy(float)[predicted], malignant[predicted], atol=1e-5)
    assert table["lesion_share"][predicted].between(0, 1).all()


def validation_of(run: Run) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    validation, classes = run.predictions("validation"), run.config["classes"]
    return validation[classes].to_numpy(), validation["label"].map(classes.index).to_numpy(), validation["image"]


def test_the_limits_come_from_validation(trained, opinions, table):
    _, store, run, _ = trained
    probabilities, true, images = validation_of(run)
    lesions = table.set_index("image")["lesion_id"][images]
    low, high = calibration.temperature_interval(probabilities, true, lesions)
    fitted = calibration.fit_temperature(probabilities, true)
    assert opinions.temperature == (1 if low <= 1 <= high else fitted)
    calibrated = calibration.apply_temperature(probabilities, opinions.temperature)
    scores = calibration.malignant_probability(calibrated, opinions.classes)
    malignant = np.isin(np.array(opinions.classes)[true], tables.MALIGNANT)
    assert (scores >= opinions.threshold)[malignant].mean() >= opinions.sensitivity == 0.95
    assert opinions.threshold == calibration.threshold_for(0.95, scores, malignant)


def test_a_temperature_is_used_only_if_its_interval_excludes_1(trained, table, tmp_path):
    settings, store, run, _ = trained
    classes, chance = run.config["classes"], np.random.default_rng(0)
    for sharpened in (1.0, 4.0):
        changed = Run(shutil.copytree(run.folder, tmp_path / str(sharpened)))
        predictions = runs.read_table(changed.folder / "predictions_validation.csv")
        calibrated = chance.dirichlet(np.full(8, 0.3), len(predictions))
        predictions["label"] = [chance.choice(classes, p=row) for row in calibrated]
        predictions[classes] = calibration.apply_temperature(calibrated, 1 / sharpened)
        runs.write_csv(changed.folder / "predictions_validation.csv", predictions)
        decided = second_opinion.decide(changed, store, table)
        fitted = calibration.fit_temperature(*validation_of(changed)[:2])
        assert fitted != 1 and decided["temperature"] == (1 if sharpened == 1 else fitted)


def usual(opinions: SecondOpinion, paths: list[str]) -> str:
    """An image on which the second opinion does not abstain."""
    return next(path for path in paths if not opinion_on(opinions, path).abstained)


def test_files_images_and_arrays_get_the_same_opinion(opinions, paths):
    path = usual(opinions, paths)
    opened = Image.open(path)
    first, second = (opinion_on(opinions, one) for one in (path, Path(path).read_bytes()))
    assert first.probabilities.equals(second.probabilities)
    third, fourth = (opinion_on(opinions, one) for one in (opened, np.asarray(opened)))  # whole, as so small a file is
    assert first.probabilities.equals(third.probabilities) and third.probabilities.equals(fourth.probabilities)
    assert np.array_equal(first.heat, second.heat)
    assert first.contour.shape == (opened.height, opened.width) and first.contour.dtype == bool
    assert first.heat.shape == (16, 16) and torch.is_grad_enabled()
    assert first.probabilities.sum() == pytest.approx(1) and first.predicted == first.probabilities.idxmax()


def test_a_large_jpeg_is_decoded_as_for_training(opinions, tmp_path, monkeypatch):
    file, seen = tmp_path / "large.jpg", []
    Image.fromarray(noise(0, 300, 400)).save(file)
    monkeypatch.setattr(type(opinions.detector), "reasons", lambda self, pixels: seen.append(pixels[0]) or ["seen"])
    for image in (file, file.read_bytes()):
        opinion_on(opinions, image)
        assert np.array_equal(seen.pop(), images.decode(str(file), None, (16, 16)))


def test_an_expert_is_asked_from_the_threshold_on(opinions, paths):
    path = usual(opinions, paths)
    malignant = opinion_on(opinions, path).malignant
    at, above = (dataclasses.replace(opinions, threshold=limit) for limit in (malignant, malignant + 1e-6))
    assert opinion_on(at, path).ask_expert and opinion_on(at, path).reason.startswith("ask an expert")
    silent = opinion_on(above, path)
    assert not silent.ask_expert and silent.reason.startswith("no alarm") and "excludes nothing" in silent.reason


def test_it_abstains_on_a_black_image(opinions):
    opinion = opinion_on(opinions, np.zeros((40, 50, 3), np.uint8))
    assert opinion.abstained and opinion.ask_expert and opinion.predicted is None
    assert opinion.probabilities.isna().all() and np.isnan(opinion.malignant)
    assert opinion.contour is None and opinion.heat is None and opinion.abstained in opinion.summary


def test_the_contour_is_one_region(opinions):
    height, width = opinions.mask_run.config["image_size"]
    logits = torch.full((1, 1, height, width), -5.0)
    logits[..., : height // 2, : width // 2] = 5  # a large lesion, and a small one in the opposite corner
    logits[..., -2:, -2:] = 5
    drawn = dataclasses.replace(opinions, mask_model=lambda images: logits)
    contour = second_opinion.draw_contour(drawn, Image.new("RGB", (12 * width, 10 * height)))
    assert contour.shape == (10 * height, 12 * width)
    assert ndimage.label(contour)[1] == 1 and contour[3 * height, 3 * width] and not contour[-1, -1]
    assert contour.mean() == pytest.approx(0.25, abs=0.05)


def test_arrays_that_are_no_image_are_refused(opinions):
    wrong_shapes = [np.zeros(shape, np.uint8) for shape in [(4, 4), (4, 4, 1), (4, 4, 4), (0, 4, 3)]]
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), *wrong_shapes):
        refusal(lambda wrong=wrong: opinion_on(opinions, wrong), "uint8 [height, width, 3]")


def test_a_table_of_opinions_has_a_row_for_what_cannot_be_read(opinions, paths, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no more")
    good = usual(opinions, paths)
    table = opinions_on(opinions, [broken, good, np.zeros((20, 20, 3), np.uint8)])
    assert table["image"].tolist() == [str(broken), good, "image 3"]
    assert "cut short or damaged" in table["abstained"][0] and table["ask_expert"][0]
    assert np.isfinite(table["malignant"][1]) and table["lesion_share"].isna().tolist() == [True, False, True]


def test_five_classes_work_and_the_merged_one_counts_as_malignant(trained, table, paths):
    settings, store, _, _ = trained
    five = assemble(train(settings, "balanced"), None, store, table)
    opinion = opinion_on(five, usual(five, paths))
    malignant = opinion.probabilities[["MEL", "BCC", "AK+DF+VASC+SCC"]]
    assert len(opinion.probabilities) == 5 and opinion.malignant == pytest.approx(malignant.sum())


# which runs


def test_the_best_run_has_eight_classes_is_grouped_by_lesion_and_has_the_best_validation_bma(trained, tmp_path):
    settings, store, run, mask_run = trained
    own = dataclasses.replace(settings, runs=tmp_path)
    assert best_run(own) is None and best_run(own, "segmentation") is None
    balanced = train(own, "balanced")
    assert best_run(own, store=store) == balanced
    by_image = train(own, group_by="image")
    assert best_run(own, store=store) == by_image
    both = [train(own), train(own, seed=1)]
    scores = {one: one.scores("validation").loc["bma", "BMA"] for one in both}
    assert scores[best_run(own, store=store)] == max(scores.values())
    assert best_run(settings, "segmentation") == mask_run


def test_runs_on_other_images_or_sizes_are_passed_over(trained, tmp_path):
    settings, store, _, _ = trained
    own = dataclasses.replace(settings, runs=tmp_path)
    train(dataclasses.replace(own, image_size=settings.image_size * 2))
    (tmp_path / "data" / "broken").mkdir()
    (tmp_path / "data" / "broken" / "config.json").write_text("{")
    assert best_run(own, store=store) is None and best_run(own) is not None


def test_runs_of_the_other_task_and_other_data_are_refused(trained, table, tmp_path):
    settings, store, run, mask_run = trained
    refusal(lambda: assemble(mask_run, None, store, table), str(mask_run.folder), "classification")
    refusal(lambda: assemble(run, run, store, table), str(run.folder), "segmentation")
    refusal(lambda: assemble(Run(tmp_path), None, store, table), str(tmp_path))
    changed = dataclasses.replace(settings, data=draw_2019(tmp_path / "other", codes=CODES[:40], count=40))
    other = protocols.load_data("standard", changed)[1]
    refusal(lambda: second_opinion.decide(run, other, table), "other images", "ISIC_DATA")


# what lies with the run


@pytest.fixture
def copy(trained, tmp_path) -> Run:
    """The classifier's run, as it was when its training ended."""
    copied = Run(shutil.copytree(trained[2].folder, tmp_path / "copy"))
    (copied.folder / "decisions.json").unlink(missing_ok=True)
    return copied


def test_once_decided_a_second_opinion_needs_no_training_image(trained, opinions, table, copy, paths):
    _, store, _, mask_run = trained
    refusal(lambda: assemble(copy, mask_run), "decisions.json")
    first, again = assemble(copy, mask_run, store, table), assemble(copy, mask_run)
    for one in (first, again):
        decided = [getattr(one, name) for name in ("temperature", "threshold", "sensitivity")]
        assert decided == [opinions.temperature, opinions.threshold, opinions.sensitivity]
    pd.testing.assert_frame_equal(opinions_on(opinions, paths), opinions_on(again, paths))  # abstentions too


@pytest.mark.parametrize("damage", [lambda text: text[:200], lambda text: "[]", lambda text: text.replace("mean", "m")])
def test_a_damaged_file_is_made_anew_where_the_images_are_at_hand(trained, table, copy, damage):
    _, store, _, _ = trained
    whole = assemble(copy, None, store, table)
    file = copy.folder / "decisions.json"
    file.write_text(damage(file.read_text(encoding="utf-8")), encoding="utf-8")
    refusal(lambda: assemble(copy, None), "decisions.json", "damaged")
    assert assemble(copy, None, store, table).threshold == whole.threshold
    assert assemble(copy, None).threshold == whole.threshold


def test_the_file_of_another_training_is_not_believed(trained, table, copy, tmp_path, monkeypatch):
    settings, store, _, _ = trained
    assemble(copy, None, store, table)
    other = train(dataclasses.replace(settings, runs=tmp_path / "other"), seed=1)
    shutil.copy(copy.folder / "decisions.json", other.folder)
    assert second_opinion.read_decisions(copy) is not None and second_opinion.read_decisions(other) is None
    monkeypatch.setattr(second_opinion, "SENSITIVITY", 0.9)
    assert second_opinion.read_decisions(copy) is None


def test_a_run_in_a_folder_that_cannot_be_written_is_decided_each_time(trained, table, copy, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    assert assemble(copy, None, trained[1], table).threshold == assemble(trained[2], None, trained[1], table).threshold
    assert second_opinion.read_decisions(copy) is None


# from a shell


@pytest.fixture
def shell(trained, monkeypatch):
    monkeypatch.setattr("isic_utils.__main__.load_settings", lambda: trained[0])


def test_predict_takes_files_and_folders(shell, paths, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number, path in enumerate(paths[:3]):
        Image.open(path).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    csv, drawn = tmp_path / "opinions.csv", tmp_path / "drawn"
    assert main(["predict", str(folder), paths[3], "--csv", str(csv), "--save", str(drawn)]) == 0
    told = capsys.readouterr()
    assert "not a medical device" in told.out and "Classifier: " in told.out and told.err == ""
    assert "0.png: " in told.out and f"{paths[3]}: " in told.out
    assert runs.read_table(csv)["image"].tolist()[-1] == paths[3] and len(pd.read_csv(csv)) == 4
    assert len(list(drawn.glob("*.png"))) == 4 and Image.open(sorted(drawn.glob("*.png"))[0]).width > 500


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps file names that are no valid text")
def test_predict_takes_files_with_odd_names_and_bad_files(shell, paths, tmp_path, capsys):
    for name in (b"cost_$5_and_$6.jpg", b"mu\xf1eca.jpg", b"$a$ b.jpg"):
        shutil.copy(paths[0], os.fsencode(tmp_path) + b"/" + name)
    with open(os.fsencode(tmp_path) + b"/empt\xed.jpg", "wb"):
        pass
    csv, drawn = tmp_path / "opinions.csv", tmp_path / "drawn"
    assert main(["predict", str(tmp_path), "--csv", str(csv), "--save", str(drawn)]) == 1
    told = capsys.readouterr()
    assert r"mu\udcf1eca.jpg: " in told.out and r"empt\udced.jpg is empty" in told.err and "1 of 4" in told.err
    assert len(list(drawn.glob("*.png"))) == 3 and len(pd.read_csv(csv)) == 4


def test_hidden_files_and_folders_are_no_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "._a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "older.jpg").mkdir()
    assert second_opinion.image_files([tmp_path]) == [tmp_path / "a.jpg", tmp_path / "b.PNG"]


def test_predict_refuses_what_it_cannot_begin_with(shell, trained, paths, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, part in (
        ([str(tmp_path / "empty")], "holds no JPEG, PNG or WebP"),
        ([paths[0], "--run", str(tmp_path)], str(tmp_path)),
        ([paths[0], "--run", str(trained[3].folder)], "choose one of classification"),
    ):
        assert main(["predict", *arguments]) == 1
        assert part in capsys.readouterr().err


def test_train_decides_and_predict_then_needs_no_image_of_the_archive(trained, paths, tmp_path, monkeypatch, capsys):
    own = dataclasses.replace(trained[0], **{name: tmp_path / name for name in ("data", "cache", "runs")})
    shutil.copytree(trained[0].data, own.data)
    monkeypatch.setattr("isic_utils.__main__.load_settings", lambda: own)
    train(own)  # here, since a process for it takes seconds to start
    assert main(["train", "standard", "residual"]) == 0
    [run] = [file.parent for file in own.runs.rglob("config.json")]
    assert second_opinion.read_decisions(Run(run)) is not None
    shutil.rmtree(own.data)
    shutil.rmtree(own.cache)
    capsys.readouterr()
    assert main(["predict", paths[0]]) == 0
    assert paths[0] in capsys.readouterr().out
    (run / "decisions.json").unlink()
    assert main(["predict", paths[0]]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_second_opinion_from_synthetic_images_says_so(trained, opinions, paths, capsys, shell):
    run = trained[2]
    config = run.config
    assert not opinions.run.config["synthetic"]
    try:
        write_json(run.folder / "config.json", config | {"synthetic": True})
        assert main(["predict", paths[0], "--run", str(run.folder)]) == 0
        assert second_opinion.SYNTHETIC_STATEMENT in capsys.readouterr().out
    finally:
        write_json(run.folder / "config.json", config)
