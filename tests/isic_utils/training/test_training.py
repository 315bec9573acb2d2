"""The loop: it is what it says, keeps the right checkpoints, repeats itself bit for bit, and survives interruption."""

import contextlib
import dataclasses
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from archives import assert_same_result, files_in, in_memory, interrupt_at, leftovers, refusal, tiny_settings
from sklearn import metrics as sklearn_metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from isic_utils import models
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.training import config as configuration, fit as training, predicting, runs, tasks

CODES = [tables.CODES[n % 8] for n in range(96)]
TASK = tasks.Classification(tables.CODES)
TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data():
    table, decoded = in_memory(CODES, size=16)
    return table, splits.standard(table), decoded


def fit(data, settings, **options) -> runs.Run:
    table, parts, decoded = data
    return training.fit("residual", table, parts, decoded, settings, progress=False, **options)


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory) -> runs.Run:
    """An undisturbed run, which no test changes."""
    return fit(data, tiny_settings(tmp_path_factory.mktemp("reference")))


# What a run leaves


def test_the_history_has_a_row_per_epoch(reference):
    history = reference.history
    assert history.index.tolist() == [1, 2, 3]
    columns = ["learning_rate", "train_loss", "validation_loss", "validation_accuracy", "validation_bma"]
    assert list(history) == columns and np.isfinite(history).all(axis=None)
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert reference.seconds > 0


def test_files_and_config(reference, data):
    names = {path.name for path in reference.folder.iterdir() if not path.name.startswith((".", "events"))}
    checkpoints = {"best_loss.pt", "best_accuracy.pt", "best_bma.pt", "last.pt"}
    tables_ = {"history.csv", "seconds.csv", "predictions_validation.csv", "predictions_test.csv"}
    assert names == {"config.json", *checkpoints, *tables_}
    assert reference.finished
    config = reference.config
    assert config["model"] == "residual" and config["classes"] == tables.CODES and config["seed"] == 0
    assert config["parts"] == data[1].value_counts().to_dict()
    assert config["made_with"]["torch"] == torch.__version__


def test_it_lies_where_its_names_say(data, tmp_path):
    settings = tiny_settings(tmp_path, epochs=1)
    run = fit(data, settings, protocol="cross-validation", by="lesion", seed=4, stage=2)
    assert run.folder == settings.runs / "data-tiny" / "cross-validation-lesion" / "residual" / "seed4" / "stage2"
    assert not list(settings.runs.rglob("*.partial"))


def test_predictions_have_a_row_per_picture_of_their_part(reference, data):
    table, parts, _ = data
    for part in ("validation", "test"):
        for checkpoint in runs.CHECKPOINTS:
            predictions = reference.predictions(part, checkpoint)
            assert predictions["image"].tolist() == table["image"][parts == part].tolist()
            assert predictions["label"].tolist() == table["label"][parts == part].tolist()
            probabilities = predictions[tables.CODES].to_numpy()
            assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
            assert predictions["predicted"].tolist() == [tables.CODES[best] for best in probabilities.argmax(axis=1)]
            right = probabilities[np.arange(len(predictions)), predictions["label"].map(tables.CODES.index)]
            assert predictions["loss"].to_numpy() == pytest.approx(-np.log(right), rel=1e-4)


def test_checkpoints_are_those_of_the_best_epochs(reference):
    history = reference.history
    best = {"loss": history["validation_loss"].idxmin()}
    best |= {metric: history[f"validation_{metric}"].idxmax() for metric in ("accuracy", "bma")}
    for checkpoint, epoch in best.items():
        predictions = reference.predictions("validation", checkpoint)
        row = history.loc[epoch]
        assert runs.best_epoch(history, checkpoint) == epoch
        assert predictions["loss"].mean() == pytest.approx(row["validation_loss"], rel=1e-6)
        assert (predictions["label"] == predictions["predicted"]).mean() == pytest.approx(row["validation_accuracy"])
        bma = sklearn_metrics.balanced_accuracy_score(predictions["label"], predictions["predicted"])
        assert bma == pytest.approx(row["validation_bma"])


@pytest.mark.parametrize("worse", ["loss", "bma"])
def test_a_worse_epoch_leaves_the_checkpoint(data, tmp_path, monkeypatch, worse):
    """The learning rate of later epochs spoils the weights; only the last file changes then."""
    rates = training.learning_rates

    def spoiling(epoch, epochs, steps, peak):
        return rates(epoch, epochs, steps, peak) if epoch < 3 else [0.9] * steps

    monkeypatch.setattr(training, "learning_rates", spoiling)
    run = fit(data, tiny_settings(tmp_path))
    assert run.history["validation_loss"].idxmin() < 3
    weights = runs.read_weights(run.checkpoints[worse])
    last = runs.read_weights(run.folder / "last.pt")["model"]
    epoch = runs.best_epoch(run.history, worse)
    assert (epoch == 3) == all(torch.equal(weights[layer], last[layer]) for layer in weights)
    assert runs.scores(run).loc[worse, "epoch"] == epoch


@pytest.mark.parametrize("checkpoint", runs.CHECKPOINTS)
def test_loading_a_checkpoint_gives_the_predictions(reference, data, checkpoint):
    table, parts, decoded = data
    model = models.classifier("residual", slim=True)
    model.load_state_dict(torch.load(reference.checkpoints[checkpoint], weights_only=True))
    rows, labels = training.select(table, parts, decoded, "test")
    mixed = predicting.mixed_precision(torch.device("cpu"), model)
    probabilities, losses = predicting.predict(model, mixed, pictures.batches(decoded, rows, labels, 16), TASK)
    predictions = reference.predictions("test", checkpoint)
    assert predictions[tables.CODES].to_numpy() == pytest.approx(probabilities, abs=2e-3)
    assert predictions["loss"].to_numpy() == pytest.approx(losses, abs=2e-2)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_scores_are_scikit_learns_on_the_predictions(reference, part):
    scores = runs.scores(reference, part)
    assert list(scores.index) == ["loss", "accuracy", "bma"]
    for checkpoint in scores.index:
        predictions = reference.predictions(part, checkpoint)
        pair = predictions["label"], predictions["predicted"]
        assert scores.loc[checkpoint, "accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(*pair))
        assert scores.loc[checkpoint, "BMA"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(*pair))
        assert scores.loc[checkpoint, "loss"] == pytest.approx(predictions["loss"].mean())


def test_every_file_of_weights_is_tensors_and_plain_values(reference):
    for file in reference.folder.glob("*.pt"):
        assert torch.load(file, weights_only=True)
    assert len(list(reference.folder.glob("*.pt"))) == 4


def test_tensorboard_reads_the_history_back(reference):
    board = EventAccumulator(str(reference.folder)).Reload()
    history = reference.history
    columns = {"loss/train": "train_loss", "loss/validation": "validation_loss", "BMA/validation": "validation_bma"}
    columns |= {"accuracy/validation": "validation_accuracy", "learning_rate": "learning_rate"}
    for tag, column in columns.items():
        events = board.Scalars(tag)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx(history[column].tolist(), rel=1e-5), tag
    recalls = [board.Scalars(f"recall/{code}")[-1].value for code in tables.CODES]
    assert np.mean(recalls) == pytest.approx(history["validation_bma"].iloc[-1], rel=1e-5)


# The loop


def test_an_epoch_is_the_plain_pytorch_loop(reference, data, tmp_path, monkeypatch):
    """Written out once more, as a student would, it gives the same weights and the same loss to the last bit."""
    table, parts, decoded = data
    kept = {}
    write = runs.write_weights
    monkeypatch.setattr(
        runs, "write_weights", lambda file, content: (kept.setdefault(file.name, copied(content)), write(file, content))
    )
    run = fit(data, tiny_settings(tmp_path))

    torch.manual_seed(0)
    model = models.classifier("residual", slim=True)
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02, fused=True)
    rows = decoded.rows(table["image"][parts == "train"])
    labels = table["label"].cat.codes.to_numpy()[parts == "train"].astype(np.int64)
    steps = -(-len(rows) // 16)
    rates = configuration.learning_rates(1, 3, steps, 2e-3)
    seed = training.epoch_seed(0, 1)
    torch.manual_seed(seed)
    model.train()
    total = 0.0
    for (x, y), rate in zip(pictures.batches(decoded, rows, labels, 16, seed=seed), rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        with predicting.mixed_precision(torch.device("cpu"), model):
            logits = model(x)
        loss = nn.functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(y)
    after_one_epoch = kept["best_loss.pt"]
    for layer, values in model.state_dict().items():
        assert torch.equal(values, after_one_epoch[layer]), layer
    assert total.item() / len(rows) == run.history["train_loss"].iloc[0] == reference.history["train_loss"].iloc[0]


def copied(content: dict) -> dict:
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in content.items()}


def test_epochs_and_seeds_never_share_their_chance():
    drawn = [training.epoch_seed(seed, epoch) for seed in range(5) for epoch in range(1, 101)]
    assert len(set(drawn)) == len(drawn)


# Again, other, interrupted


def test_the_same_seed_gives_the_same_result_and_another_one_another(reference, data, tmp_path):
    settings = tiny_settings(tmp_path)
    assert_same_result(fit(data, settings), reference)
    other = fit(data, settings, seed=1)
    assert other.folder.name == "seed1" and not other.history.equals(reference.history)


def test_a_finished_run_is_returned_at_once(reference, data, monkeypatch):
    def must_not_build(*arguments, **options):
        raise AssertionError("the model was built again")

    monkeypatch.setattr(models, "classifier", must_not_build)
    before = files_in(reference.folder)
    again = fit(data, tiny_settings(reference.folder.parents[4]))
    assert again == reference and files_in(reference.folder) == before


@pytest.mark.parametrize("change", ["epochs", "learning_rate", "parts", "pictures"])
def test_another_config_goes_to_another_folder(reference, data, change):
    table, parts, decoded = data
    before = files_in(reference.folder)
    settings = tiny_settings(reference.folder.parents[4])
    options = {}
    if change == "epochs":
        settings = dataclasses.replace(settings, epochs=1)
    elif change == "learning_rate":
        options = dict(learning_rate=1e-3)
    elif change == "parts":
        parts = splits.standard(table, seed=5)
    else:
        decoded = dataclasses.replace(decoded, digest="other pixels")
    run = fit((table, parts, decoded), settings, **options)
    assert run.folder != reference.folder and run.folder.parent == reference.folder.parent and run.finished
    assert files_in(reference.folder) == before
    assert fit((table, parts, decoded), settings, **options) == run


def test_a_training_that_waited_does_not_take_another_configs_run(reference, data, tmp_path, monkeypatch):
    settings = tiny_settings(tmp_path)
    began = []

    @contextlib.contextmanager
    def lock_after_another(run):
        if not began:  # another process held the lock, and its run lies here now
            began.append(run)
            shutil.copytree(reference.folder, run.folder)
        yield

    monkeypatch.setattr(training, "lock", lock_after_another)
    run = fit(data, settings, learning_rate=0.004)
    assert files_in(began[0].folder) == files_in(reference.folder)
    assert run.folder != began[0].folder and run.finished
    assert run.config["learning_rate"] == 0.004


@pytest.mark.parametrize("step", [1, 4, 7, 12])
def test_an_interrupted_run_continues_to_the_same_result(reference, data, tmp_path, step):
    settings = tiny_settings(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, torch.optim.AdamW, "step", step, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            fit(data, settings)
    assert_same_result(fit(data, settings), reference)


@pytest.mark.parametrize("replaced", range(1, 22, 2))
def test_a_run_interrupted_at_any_file_continues_to_the_same_result(reference, data, tmp_path, replaced):
    settings = tiny_settings(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, os, "replace", replaced, KeyboardInterrupt())
        try:
            run = fit(data, settings)
        except KeyboardInterrupt:
            run = None
    assert run is None or replaced > 12, "there are more files than that"
    run = fit(data, settings)
    assert_same_result(run, reference)
    board = EventAccumulator(str(run.folder)).Reload()
    assert [event.step for event in board.Scalars("loss/train")] == [1, 2, 3], "no epoch twice in TensorBoard"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process, which the test's killer does")
def test_runs_that_are_killed_again_and_again_continue_to_the_same_result():
    """Five kills at random moments for each task; the script, called by hand, does it a hundred times."""
    command = [sys.executable, TESTS / "kill_again_and_again.py", "10"]
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    killer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert killer.returncode == 0, killer.stdout + killer.stderr
    assert "classify: 5 kills" in killer.stdout and "segment: 5 kills" in killer.stdout, killer.stdout


# What can go wrong


def test_a_full_disk_keeps_the_last_good_checkpoint(reference, data, tmp_path, monkeypatch):
    settings = tiny_settings(tmp_path)
    real, saved = torch.save, []

    def save(content, file):
        saved.append(file)
        real(content, file)
        if len(saved) == 7:
            os.truncate(file, 1000)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    refusal(lambda: fit(data, settings), "cannot be written (No space left on device)", "free disk space", "ISIC_RUNS")
    run = runs.Run(settings.runs / "data-tiny" / "standard-picture" / "residual" / "seed0")
    assert not run.finished and leftovers(run) == []
    for file in run.folder.glob("*.pt"):
        assert runs.read_weights(file)
    assert runs.read_weights(run.folder / "last.pt")["epoch"] in (1, 2)
    monkeypatch.setattr(torch, "save", real)
    assert_same_result(fit(data, settings), reference)


@pytest.mark.parametrize("batch_size", [8, 96])
def test_a_loss_that_is_not_finite_stops_and_says_what_to_try(data, tmp_path, batch_size):
    settings = tiny_settings(tmp_path, batch_size=batch_size)
    refusal(
        lambda: fit(data, settings, learning_rate=1e30),
        "loss of Residual net is no longer finite in epoch 1", "smaller learning rate", "learning_rate=1e+29",
    )  # fmt: skip
    assert not list(settings.runs.rglob("last.pt"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
    ],
    ids=["CUDA", "Linux", "MPS", "Windows"],
)
def test_out_of_memory_says_which_setting_to_lower(data, tmp_path, monkeypatch, error):
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 3, error)
    refusal(lambda: fit(data, tiny_settings(tmp_path)), "16 pictures of 16×16", "batch_size=8", "ISIC_PROFILE")


def test_other_errors_are_not_taken_for_memory(data, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 3, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(data, tiny_settings(tmp_path))


@pytest.mark.parametrize("part", splits.PARTS)
def test_an_empty_part(data, tmp_path, part):
    table, parts, decoded = data
    parts = parts.replace(part, "test" if part == "train" else "train")
    refusal(
        lambda: fit((table, parts, decoded), tiny_settings(tmp_path)), f"The {part} part is empty", "needs pictures"
    )
    assert not (tmp_path / "runs").exists()


def test_a_split_of_another_table(data, tmp_path):
    table, parts, decoded = data
    refusal(lambda: fit((table.head(50), parts, decoded), tiny_settings(tmp_path)), "different rows", "same table")


def test_a_picture_that_is_not_decoded(data, tmp_path):
    table, parts, decoded = data
    table = table.assign(image=table["image"].replace("ISIC_0000005", "ISIC_0000005x"))
    refusal(lambda: fit((table, parts, decoded), tiny_settings(tmp_path)), "ISIC_0000005x", "load the pictures")


def test_pictures_that_could_not_be_read_are_left_out(data, tmp_path):
    table, parts, decoded = data
    image = table["image"][parts == "test"].iloc[0]
    left_out = pd.DataFrame([{"image": image, "path": "somewhere", "reason": "is empty"}])
    without = dataclasses.replace(
        decoded, images=decoded.images.where(decoded.images != image, "nobody"), left_out=left_out
    )
    run = fit((table, parts, without), tiny_settings(tmp_path, epochs=1))
    assert image not in run.predictions("test")["image"].tolist()
    assert len(run.predictions("test")) == (parts == "test").sum() - 1


def test_a_damaged_last_checkpoint(data, tmp_path, monkeypatch):
    settings = tiny_settings(tmp_path)
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 8, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        fit(data, settings)
    [last] = settings.runs.rglob("last.pt")
    last.write_bytes(last.read_bytes()[:-500])
    refusal(lambda: fit(data, settings), str(last), "damaged", "delete the folder")


def test_weights_of_another_network(data, tmp_path):
    run = fit(data, tiny_settings(tmp_path))
    runs.write_weights(run.checkpoints["bma"], torch.nn.Linear(3, 2).state_dict())
    refusal(lambda: training.load(run), str(run.checkpoints["bma"]), "another network", "delete the folder")


@pytest.mark.parametrize("owner, name", [(training, "FileLock"), (training.SummaryWriter, "add_scalar")])
def test_a_folder_that_cannot_be_written(data, tmp_path, monkeypatch, owner, name):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(owner, name, refuse)
    refusal(lambda: fit(data, tiny_settings(tmp_path)), "cannot be written (Read-only file system)", "ISIC_RUNS")


def test_a_finished_run_that_had_to_do_without_imagenet_weights_is_found(data, tmp_path):
    settings = dataclasses.replace(tiny_settings(tmp_path), slim=False, pretrained=True)
    table, parts, decoded = data
    wanted = configuration.configuration("resnet101", table, parts, decoded, settings)
    assert wanted["pretrained"] == "ImageNet"
    had = wanted | configuration.schedule(TASK, models.NOT_DOWNLOADED, settings, None)
    run = runs.Run(configuration.place_of(had, settings))
    runs.write_json(run.folder / "config.json", had)
    assert training.find("resnet101", table, parts, decoded, settings).folder != run.folder, "it is not finished"
    (run.folder / "predictions_test.csv").touch()
    assert training.find("resnet101", table, parts, decoded, settings).folder == run.folder


def test_an_unknown_model(data, tmp_path):
    table, parts, decoded = data
    refusal(
        lambda: training.fit("resnet18", table, parts, decoded, tiny_settings(tmp_path)),
        "'resnet18'",
        "choose one of vgg16",
    )
    assert not (tmp_path / "runs").exists()
