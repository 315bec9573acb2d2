"""A run is a folder: named by what determines it, its files whole, and errors that say what to do."""

import dataclasses
import errno
import json
import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from archives import refusal
from small_runs import CLASSIFIER, SEGMENTER, classify

from isic_utils import files
from isic_utils.datasets import splits, tables
from isic_utils.training import Run, TrainConfig, run_of, runs

CONFIG = TrainConfig(**CLASSIFIER)

# The folder's name


def name_of(config: TrainConfig, data, folder) -> str:
    return run_of(config, *data, folder).folder.name


def test_a_folder_is_named_for_the_reader_and_by_what_determines_the_result(images, pairs, tmp_path):
    run = run_of(CONFIG, *images, tmp_path)
    assert run.folder.parent == tmp_path / "memory", "the data's name"
    assert run.folder.name.startswith("standard-image-residual-seed0-") and len(run.folder.name.split("-")[-1]) == 8
    config = dataclasses.replace(CONFIG, method="logit adjustment", protocol="cross-validation", fold=3, seed=2)
    name = name_of(config, images, tmp_path)
    assert name.startswith("cross-validation-image-residual-logit-adjustment-fold3-seed2-")
    config = TrainConfig(**SEGMENTER | {"mask_loss": "soft Dice"})
    assert name_of(config, pairs, tmp_path).startswith("segmentation-image-unet-soft-dice-seed0-")
    name = name_of(dataclasses.replace(CONFIG, model="timm:resnet18"), images, tmp_path)
    assert not set(name) & set(':/\\ "'), "Windows takes it too"


CHANGES = dict(
    model="alexnet", pretrained=True, width=1 / 8, protocol="balanced", group_by="lesion", fold=1, seed=1, epochs=4,
    batch_size=8, micro_batch_size=8, learning_rate=0.1, warm_up=0.1, weight_decay=0.1, augmentation="none",
    method="focal", ema_decay=0.9,
)  # fmt: skip


def test_every_field_of_the_config_makes_another_folder(images, tmp_path):
    names = [name_of(CONFIG, images, tmp_path)]
    names += [name_of(dataclasses.replace(CONFIG, **{field: CHANGES[field]}), images, tmp_path) for field in CHANGES]
    assert len(set(names)) == len(CHANGES) + 1
    untried = {field.name for field in dataclasses.fields(CONFIG)} - set(CHANGES)
    assert untried == {"frozen_blocks", "mask_loss"}, "these need another model"
    lite0 = TrainConfig(model="efficientnet_lite0", pretrained=True)
    frozen = dataclasses.replace(lite0, frozen_blocks=1)
    assert name_of(lite0, images, tmp_path) != name_of(frozen, images, tmp_path)


def test_a_whole_number_is_the_same_as_a_float(images, tmp_path):
    one, other = (dataclasses.replace(CONFIG, width=width) for width in (1, 1.0))
    assert name_of(one, images, tmp_path) == name_of(other, images, tmp_path)


def test_another_split_label_or_pixel_makes_another_folder_and_another_order_of_rows_does_not(
    images, tmp_path, monkeypatch
):
    store, table, split = images
    name = name_of(CONFIG, images, tmp_path)
    order = np.random.default_rng(0).permutation(len(table))
    assert name_of(CONFIG, (store, table.iloc[order], split.iloc[order]), tmp_path) == name
    other_split = splits.standard(table, group_by="image", seed=5)
    assert name_of(CONFIG, (store, table, other_split), tmp_path) != name
    label = table["label"].copy()
    label.iloc[0] = tables.CODES[3]
    assert name_of(CONFIG, (store, table.assign(label=label), split), tmp_path) != name
    assert name_of(CONFIG, (store, table.assign(age_approx=50), split), tmp_path) == name, "it is not learnt from"
    monkeypatch.setattr(store, "digest", "other pixels")
    assert name_of(CONFIG, images, tmp_path) != name


# Files


def test_a_csv_gives_back_exactly_what_was_written(tmp_path):
    chance = np.random.default_rng(0)
    values = chance.random(2000) * 10.0 ** chance.integers(-12, 12, 2000)
    table = pd.DataFrame({"image": [f"{n:04}" for n in range(2000)], "loss": values, "count": range(2000)})
    runs.write_csv(tmp_path / "a" / "some.csv", table)
    pd.testing.assert_frame_equal(
        runs.read_table(tmp_path / "a" / "some.csv"), table, check_exact=True, check_dtype=False
    )
    assert b"\r" not in (tmp_path / "a" / "some.csv").read_bytes()


def test_config_is_readable_json(classifier):
    text = (classifier.folder / "config.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert text.endswith("}\n") and config["made_with"]["processes"] == 1
    assert {name: config[name] for name in CLASSIFIER} == CLASSIFIER


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps(Hostile(), protocol=2)])
def test_weights_that_are_none(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best_bma.pt").write_bytes(content)
    refusal(lambda: runs.read_state(tmp_path / "best_bma.pt"), str(tmp_path / "best_bma.pt"), "damaged")
    assert not (tmp_path / "hostile").exists()


def test_weights_with_code_in_them_do_not_run_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"layer": torch.zeros(1), "code": Hostile()}, tmp_path / "best_bma.pt")
    refusal(lambda: runs.read_state(tmp_path / "best_bma.pt"), "damaged", "train again")
    assert not (tmp_path / "hostile").exists()


def test_weights_that_cannot_be_read_are_not_called_damaged(tmp_path, monkeypatch):
    refusal(lambda: runs.read_state(tmp_path / "best_bma.pt"), str(tmp_path / "best_bma.pt"), "missing")
    errors = [PermissionError(errno.EACCES, "Permission denied"), MemoryError()]

    def refused(*arguments, **options):
        raise errors.pop(0)

    monkeypatch.setattr(torch, "load", refused)
    for error in (PermissionError, MemoryError):
        with pytest.raises(error):
            runs.read_state(tmp_path / "best_bma.pt")


def test_weights_that_are_missing(images, tmp_path):
    run = classify(tmp_path, images, epochs=1)
    run.weights("bma").unlink()
    refusal(run.load_model, str(run.weights("bma")), "missing")
    assert run.load_model("loss")


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9])
@pytest.mark.parametrize("name", ["predictions_test.csv", "history.csv"])
def test_a_table_that_is_cut_short(classifier, tmp_path, name, share):
    run = Run(shutil.copytree(classifier.folder, tmp_path / "cut"))
    content = (run.folder / name).read_bytes()
    (run.folder / name).write_bytes(content[: int(share * len(content))].rstrip(b"\n"))
    refusal(run.scores, str(run.folder / name), "cut short", "train again")
    assert runs.list_runs(tmp_path).empty


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"epochs": 1'])
def test_a_damaged_config(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    refusal(lambda: Run(tmp_path).config, str(tmp_path / "config.json"), "damaged", "train again")


def test_a_folder_that_is_none_of_a_run(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        refusal(lambda folder=folder: Run(folder).config, str(folder), "python -m isic_utils runs")
        refusal(Run(folder).predictions, str(folder))


# Results


def test_the_best_epoch_is_the_first_of_equals():
    values = dict(validation_loss=[0.5, 0.2, 0.2], validation_accuracy=[0.7, 0.7, 0.6], validation_bma=[0.1, 0.3, 0.3])
    history = pd.DataFrame(values, index=pd.Index([1, 2, 3], name="epoch"))
    assert [runs.best_epoch(history, checkpoint) for checkpoint in runs.CHECKPOINTS] == [2, 1, 2]


def write_predictions(folder, rows: dict[str, pd.DataFrame]) -> None:
    table = pd.concat([table.assign(checkpoint=checkpoint) for checkpoint, table in rows.items()])
    for split in ("validation", "test"):
        runs.write_csv(folder / f"predictions_{split}.csv", table)


def finished_run(folder) -> Run:
    files.write_json(folder / "config.json", {"model": "residual", "classes": ["MEL", "NV"], "epochs": 2})
    table = pd.DataFrame(dict(image=["1", "02", "c"], label=["MEL", "NV", "NV"], loss=[0.5, 0.25, 0.75]))
    rows = zip(runs.CHECKPOINTS, ["MEL", "NV", "NV"], strict=True)
    write_predictions(folder, {checkpoint: table.assign(predicted=predicted) for checkpoint, predicted in rows})
    history = dict(epoch=[1, 2], validation_loss=[0.2, 0.5], validation_accuracy=[0.3, 0.6], validation_bma=[0.3, 0.6])
    runs.write_csv(folder / "history.csv", pd.DataFrame(history))
    return Run(folder)


def test_scores_worked_by_hand(tmp_path):
    assert finished_run(tmp_path).scores().to_dict("index") == {
        "loss": {"epoch": 1, "loss": 0.5, "accuracy": pytest.approx(1 / 3), "BMA": 0.5},
        "accuracy": {"epoch": 2, "loss": 0.5, "accuracy": pytest.approx(2 / 3), "BMA": 0.5},
        "bma": {"epoch": 2, "loss": 0.5, "accuracy": pytest.approx(2 / 3), "BMA": 0.5},
    }


def test_scores_of_masks_worked_by_hand(tmp_path):
    """Two images: one lesion found by half, one that was found where there was none."""
    files.write_json(tmp_path / "config.json", {"model": "unet", "classes": None})
    areas = pd.DataFrame(dict(image=["a", "b"], pixels=[100, 100], true=[40, 0], predicted=[20, 10], both=[20, 0]))
    write_predictions(tmp_path, {"loss": areas.assign(loss=0.25), "jaccard": areas.assign(loss=0.5)})
    history = dict(epoch=[1, 2, 3], validation_loss=[0.5, 0.25, 0.3], validation_jaccard=[0.1, 0.2, 0.3])
    runs.write_csv(tmp_path / "history.csv", pd.DataFrame(history))
    run = Run(tmp_path)
    means = dict(jaccard=0.25, thresholded_jaccard=0, dice=1 / 3, sensitivity=0.75, specificity=0.95)
    means = {name: pytest.approx(value) for name, value in means.items()}
    assert run.scores().to_dict("index") == {
        "loss": {"epoch": 2, "loss": 0.25, **means},
        "jaccard": {"epoch": 3, "loss": 0.5, **means},
    }
    assert run.headline == "jaccard" and (run.predictions()["loss"] == 0.5).all()
    refusal(lambda: run.predictions("test", "bma"), "checkpoint 'bma'", "loss, jaccard")


def test_names_made_of_digits_stay_names(tmp_path):
    assert finished_run(tmp_path).predictions()["image"].tolist() == ["1", "02", "c"]


def test_what_a_run_does_not_have(tmp_path):
    run = finished_run(tmp_path)
    refusal(lambda: run.predictions("train"), "predictions_train.csv", "validation or test")
    refusal(lambda: run.predictions("test", "last"), "checkpoint 'last'", "loss, accuracy, bma")
    (tmp_path / "predictions_test.csv").unlink()
    assert not run.finished
    refusal(run.predictions, "predictions_test.csv", "not finished", "fit again")


def test_runs_are_listed_with_their_scores(classifier, segmenter, tmp_path):
    begun = json.loads((classifier.folder / "config.json").read_text())
    files.write_json(tmp_path / "begun" / "config.json", begun)
    for name, content in (("damaged", "{"), ("other", "[1]"), ("foreign", '{"model": 1, "classes": 2}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    (tmp_path / "unreadable" / "config.json").mkdir(parents=True)
    cut = shutil.copytree(classifier.folder, tmp_path / "cut")
    (cut / "predictions_test.csv").write_text("image\nISIC_1\n")
    listed = runs.list_runs(tmp_path)
    assert listed.loc["begun", "epochs"] == "0 of 3" and pd.isna(listed.loc["begun", "BMA"])
    assert not {"damaged", "other", "foreign", "unreadable", "cut"} & set(listed.index)
    assert runs.list_runs(tmp_path / "nowhere").empty
    for run in (classifier, segmenter):
        row = runs.list_runs(run.folder.parents[1]).loc[f"memory/{run.folder.name}"]
        assert row["epochs"] == "3 of 3" and row["pretrained"] == "no"
        scores = run.scores().loc[run.headline]
        assert row["BMA" if run == classifier else "jaccard"] == scores["BMA" if run == classifier else "jaccard"]
