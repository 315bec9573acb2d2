"""Run folders: files whole or not at all, one folder per config, and errors that say what to do."""

import errno
import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from archives import is_one_clear_message, refusal, tiny_settings

from isic_utils.errors import IsicError
from isic_utils.training import runs


def run_with(folder, config: dict) -> runs.Run:
    runs.write_json(folder / "config.json", config)
    return runs.Run(folder)


# Where a run lies


def test_place(tmp_path):
    settings = tiny_settings(tmp_path)
    folder = settings.runs / "data-tiny" / "standard-lesion" / "vgg16" / "seed3"
    assert runs.place(settings, "standard", "lesion", "vgg16", 3) == folder
    assert runs.place(settings, "standard", "lesion", "vgg16", 3, stage=5) == folder / "stage5"
    assert runs.place(settings, "standard", "lesion", "unet", 3, special="soft Dice").parent.name == "unet-soft-dice"


def test_each_config_finds_its_own_folder(tmp_path):
    place = tmp_path / "seed0"
    configs = [{"epochs": epochs} for epochs in (1, 2, 3)]
    folders = []
    for config in configs:
        folders.append(runs.find(place, config))
        run_with(folders[-1], config)
    assert folders[0] == place and len(set(folders)) == 3
    assert all(folder.parent == tmp_path and folder.name.startswith("seed0") for folder in folders)
    assert [runs.find(place, config) for config in configs] == folders


def test_how_a_run_was_made_does_not_make_it_another(tmp_path):
    run_with(tmp_path / "seed0", {"epochs": 1, "made_with": {"torch": "2.6"}})
    assert runs.find(tmp_path / "seed0", {"epochs": 1, "made_with": {"torch": "2.14"}}) == tmp_path / "seed0"
    assert runs.find(tmp_path / "seed0", {"epochs": 1}) == tmp_path / "seed0"


def test_a_folder_of_stages_is_no_run(tmp_path):
    run_with(tmp_path / "seed0" / "stage1", {"epochs": 1})
    assert runs.find(tmp_path / "seed0", {"epochs": 1}) == tmp_path / "seed0"


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"epochs": 1'])
def test_a_damaged_config(tmp_path, content):
    file = tmp_path / "seed0" / "config.json"
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")
    refusal(
        lambda: runs.find(tmp_path / "seed0", {"epochs": 1}), str(file), "cannot be read", "move or delete the folder"
    )
    assert file.read_text(encoding="utf-8") == content


def test_a_foreign_run_in_both_places(tmp_path):
    own = runs.find(tmp_path / "seed0", {"epochs": 1})
    run_with(own, {"epochs": 2})
    second = runs.find(tmp_path / "seed0", {"epochs": 1})
    run_with(second, {"epochs": 3})
    refusal(lambda: runs.find(tmp_path / "seed0", {"epochs": 1}), str(second), "move or delete")


# Files


def test_files_give_back_what_was_written(tmp_path):
    losses = np.random.default_rng(0).random(1000) ** 9
    runs.write_csv(tmp_path / "a" / "history.csv", pd.DataFrame({"epoch": range(1000), "loss": losses}))
    assert np.array_equal(runs.Run(tmp_path / "a").history["loss"], losses)
    runs.write_json(tmp_path / "config.json", {"by": "lesion", "stage": None})
    assert runs.Run(tmp_path).config == {"by": "lesion", "stage": None}
    runs.write_weights(tmp_path / "w.pt", {"layer": torch.arange(3)})
    assert runs.read_weights(tmp_path / "w.pt")["layer"].tolist() == [0, 1, 2]


def half_then(error: Exception):
    def save(partial):
        partial.write_text("half")
        raise error

    return save


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "the disk may be full"),
        (OSError("1000000 requested and 12484 written"), "the disk may be full"),
    ],
)
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, error, reason):
    file = tmp_path / "last.pt"
    file.write_text("old")
    refusal(lambda: runs.write(file, half_then(error)), str(file), f"cannot be written ({reason})", "free disk space")
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"] and file.read_text() == "old"


def test_weights_that_no_file_can_be_made_for_do_not_speak_of_a_full_disk(tmp_path):
    (tmp_path / ".last.pt.partial").mkdir()
    with pytest.raises(IsicError, match="cannot be written") as caught:
        runs.write_weights(tmp_path / "last.pt", {"layer": torch.arange(3)})
    is_one_clear_message(caught.value, str(tmp_path / "last.pt"))
    assert "full" not in str(caught.value)


def test_a_file_that_belongs_to_no_run_has_a_remedy_of_its_own(tmp_path):
    def full(partial):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(IsicError) as caught:
        runs.write(tmp_path / "mask.png", full, remedy="choose another folder")
    is_one_clear_message(caught.value, "(No space left on device): choose another folder.")
    assert "ISIC_RUNS" not in str(caught.value)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "runs").write_text("mine")
    refusal(lambda: runs.write_json(tmp_path / "runs" / "config.json", {}), "cannot be written", "ISIC_RUNS")
    assert (tmp_path / "runs").read_text() == "mine"


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps(Hostile(), protocol=2)])
def test_weights_that_are_none(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best_bma.pt").write_bytes(content)
    refusal(
        lambda: runs.read_weights(tmp_path / "best_bma.pt"), str(tmp_path / "best_bma.pt"), "damaged", "train again"
    )
    assert not (tmp_path / "hostile").exists()


def test_weights_with_code_in_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"layer": torch.zeros(1), "code": Hostile()}, tmp_path / "best_bma.pt")
    refusal(lambda: runs.read_weights(tmp_path / "best_bma.pt"), "damaged or no weight file", "train again")
    assert not (tmp_path / "hostile").exists()


def test_weights_that_may_not_be_read_are_not_called_damaged(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refused)
    refusal(lambda: runs.read_weights(tmp_path / "best_bma.pt"), "Permission denied", "check its permissions")


def test_weights_that_do_not_fit_the_memory_are_not_called_damaged(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(MemoryError):
        runs.read_weights(tmp_path / "best_bma.pt")


def test_missing_weights(tmp_path):
    refusal(lambda: runs.read_weights(tmp_path / "best_bma.pt"), str(tmp_path / "best_bma.pt"), "missing", "train")


# Results


def test_the_best_epoch_is_the_first_of_equals():
    values = dict(validation_loss=[0.5, 0.2, 0.2], validation_accuracy=[0.7, 0.7, 0.6], validation_bma=[0.1, 0.3, 0.3])
    history = pd.DataFrame(values, index=pd.Index([1, 2, 3], name="epoch"))
    assert [runs.best_epoch(history, checkpoint) for checkpoint in runs.CHECKPOINTS] == [2, 1, 2]


def finished_run(folder) -> runs.Run:
    run = run_with(folder, {"classes": ["MEL", "NV"]})
    columns = dict(image=["a", "b", "c"], label=["MEL", "NV", "NV"], loss=[0.5, 0.25, 0.75], MEL=[0.6, 0.2, 0.8])
    tables = []
    for checkpoint, predicted in (("loss", "MEL"), ("accuracy", "NV"), ("bma", "NV")):
        tables.append(pd.DataFrame({"checkpoint": checkpoint, **columns, "predicted": predicted}))
    for part in ("validation", "test"):
        runs.write_csv(folder / f"predictions_{part}.csv", pd.concat(tables))
    rows = dict(epoch=[1, 2], validation_loss=[0.2, 0.5], validation_accuracy=[0.3, 0.6], validation_bma=[0.3, 0.6])
    runs.write_csv(folder / "history.csv", pd.DataFrame(rows))
    return run


def test_scores_worked_by_hand(tmp_path):
    scores = runs.scores(finished_run(tmp_path))
    assert scores.to_dict("index") == {
        "loss": {"epoch": 1, "loss": 0.5, "accuracy": pytest.approx(1 / 3), "BMA": 0.5},
        "accuracy": {"epoch": 2, "loss": 0.5, "accuracy": pytest.approx(2 / 3), "BMA": 0.5},
        "bma": {"epoch": 2, "loss": 0.5, "accuracy": pytest.approx(2 / 3), "BMA": 0.5},
    }


def finished_mask_run(folder) -> runs.Run:
    """Of two pictures: one lesion found by half, one missed where there was none."""
    run = run_with(folder, {"model": "unet"})
    areas = dict(pixels=[100, 100], true=[40, 0], predicted=[20, 10], both=[20, 0])
    rows = [pd.DataFrame({"checkpoint": checkpoint, "image": ["a", "b"], "loss": loss, **areas})
            for checkpoint, loss in (("loss", 0.25), ("jaccard", 0.5))]  # fmt: skip
    for part in ("validation", "test"):
        runs.write_csv(folder / f"predictions_{part}.csv", pd.concat(rows))
    history = dict(epoch=[1, 2, 3], validation_loss=[0.5, 0.25, 0.3], validation_jaccard=[0.1, 0.2, 0.3])
    runs.write_csv(folder / "history.csv", pd.DataFrame(history))
    return run


def test_scores_of_masks_worked_by_hand(tmp_path):
    means = dict(jaccard=0.25, thresholded_jaccard=0, dice=1 / 3, sensitivity=0.75, specificity=0.95)
    means = {name: pytest.approx(value) for name, value in means.items()}
    assert runs.scores(finished_mask_run(tmp_path)).to_dict("index") == {
        "loss": {"epoch": 2, "loss": 0.25, **means},
        "jaccard": {"epoch": 3, "loss": 0.5, **means},
    }


def test_a_run_of_masks_keeps_two_checkpoints_and_headlines_the_second(tmp_path):
    run = finished_mask_run(tmp_path)
    assert run.kept == runs.MASK_CHECKPOINTS and run.headline == "jaccard"
    assert run.checkpoints == {name: tmp_path / f"best_{name}.pt" for name in ("loss", "jaccard")}
    assert (run.predictions()["loss"] == 0.5).all() and (run.predictions("validation", "loss")["loss"] == 0.25).all()
    refusal(lambda: run.predictions("test", "bma"), "checkpoint 'bma'", "checkpoints loss, jaccard")
    (tmp_path / "classes").mkdir()
    classifier = finished_run(tmp_path / "classes")
    assert list(classifier.kept) == ["loss", "accuracy", "bma"] and classifier.headline == "bma"
    assert classifier.predictions().equals(classifier.predictions("test", "bma"))


def test_predictions_of_a_run_that_has_not_begun(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        for checkpoint in (None, "bma", "jaccard"):
            refusal(
                lambda folder=folder, checkpoint=checkpoint: runs.Run(folder).predictions("test", checkpoint),
                str(folder / "predictions_test.csv"), "has not begun", "call training.fit",
            )  # fmt: skip


def test_names_made_of_digits_stay_names(tmp_path):
    table = pd.DataFrame({"image": ["0007", "12"], "loss": [0.5, 0.25]})
    runs.write_csv(tmp_path / "some.csv", table)
    pd.testing.assert_frame_equal(runs.read_csv(tmp_path / "some.csv"), table, check_dtype=False)


def test_predictions_of_another_version(tmp_path):
    run = finished_run(tmp_path)
    runs.write_csv(run.folder / "predictions_test.csv", run.predictions())
    refusal(run.predictions, "predictions_test.csv", "train again")


def test_classes_as_numbers_are_in_the_configs_order(tmp_path):
    true, predicted = finished_run(tmp_path).true_and_predicted("validation", "loss")
    assert np.array_equal(true, [0, 1, 1]) and np.array_equal(predicted, [0, 0, 0])


def test_unfinished_is_what_has_no_test_predictions(tmp_path):
    run = finished_run(tmp_path)
    assert run.finished
    (tmp_path / "predictions_test.csv").rename(tmp_path / ".predictions_test.csv.partial")
    assert not run.finished
    refusal(
        lambda: run.predictions("test"), "predictions_test.csv is missing", "not finished", "call training.fit again"
    )


def test_parts_and_checkpoints_that_there_are_not(tmp_path):
    run = finished_run(tmp_path)
    refusal(lambda: run.predictions("train"), "part 'train'", "parts are validation and test")
    refusal(lambda: run.predictions("test", "last"), "checkpoint 'last'", "checkpoints loss, accuracy, bma")


def test_config_is_readable_json(tmp_path):
    run_with(tmp_path, {"model": "vgg16"})
    text = (tmp_path / "config.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"model": "vgg16"} and text.endswith("}\n")
