"""The one training loop with masks: a U-Net learns, keeps the right checkpoints, repeats itself, survives."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import (
    assert_same_result,
    files_in,
    in_memory,
    interrupt_at,
    is_one_clear_message,
    lesion,
    pairs_in_memory,
    refusal,
    tiny_settings,
)
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from isic_utils import models
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.errors import IsicError
from isic_utils.metrics import classification as metrics
from isic_utils.training import fit as training, losses, runs, tasks

TESTS = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 16, 32


@pytest.fixture(scope="module")
def data():
    return easy_pairs()


def easy_pairs():
    table, decoded = pairs_in_memory(40, HEIGHT, WIDTH)
    return table, splits.segmentation(table), decoded


def fit(data, settings, name="unet", **options) -> runs.Run:
    table, parts, decoded = data
    return training.fit(name, table, parts, decoded, settings, "segmentation", progress=False, **options)


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory) -> runs.Run:
    """An undisturbed run, which no test changes."""
    return fit(data, tiny_settings(tmp_path_factory.mktemp("reference")))


RESULTS = ["history.csv", "predictions_validation.csv", "predictions_test.csv"]
WEIGHTS = ["best_loss.pt", "best_jaccard.pt"]


# What a run leaves


def test_a_u_net_learns(data, tmp_path):
    run = fit(data, tiny_settings(tmp_path, segmentation_epochs=6))
    history = run.history
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] - 0.2
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    assert runs.scores(run).loc["jaccard", "jaccard"] > 0.85 > 0.5 > history["validation_jaccard"].iloc[0]


def test_a_pretrained_u_net_trains_through_the_same_loop(data, tmp_path):
    run = fit(data, tiny_settings(tmp_path, segmentation_epochs=2), name="unet_lite0")
    assert run.config["pretrained"] == "ImageNet" and run.config["learning_rate"] == 1e-3
    assert run.config["epochs"] == 2, "as often as the classic one"
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0]


def test_files_history_and_config(reference, data):
    found = {path.name for path in reference.folder.iterdir() if not path.name.startswith((".", "events"))}
    assert found == {"config.json", "seconds.csv", "last.pt", *RESULTS, *WEIGHTS}
    history = reference.history
    assert history.index.tolist() == [1, 2, 3] and np.isfinite(history).all(axis=None)
    assert list(history) == ["learning_rate", "train_loss", "validation_loss", "validation_jaccard"]
    config = reference.config
    assert config["model"] == "unet" and config["loss"] == "both" and "classes" not in config
    assert config["picture_size"] == [HEIGHT, WIDTH] and config["batch_size"] == config["at_once"] == 8
    assert config["pretrained"] == "no" and config["slim"] and config["learning_rate"] == 2e-3
    assert config["parts"] == data[1].value_counts().to_dict() == {"train": 28, "validation": 4, "test": 8}
    assert list(reference.checkpoints) == ["loss", "jaccard"] and reference.headline == "jaccard"
    assert reference.folder.parts[-4:] == ("data-tiny", "segmentation-picture", "unet-both", "seed0")


def test_predictions_have_a_row_per_picture_of_their_part(reference, data):
    table, parts, decoded = data
    for part in ("validation", "test"):
        true = decoded.pixels[decoded.rows(table["image"][parts == part]), ..., 3] == 255
        for checkpoint in reference.kept:
            predictions = reference.predictions(part, checkpoint)
            assert predictions["image"].tolist() == table["image"][parts == part].tolist()
            assert (predictions["pixels"] == HEIGHT * WIDTH).all()
            assert predictions["true"].tolist() == true.sum(axis=(1, 2)).tolist()
            assert (predictions["both"] <= predictions[["true", "predicted"]].min(axis=1)).all()
            for name, values in metrics.mask_scores(predictions).items():
                assert predictions[name].tolist() == values.tolist(), name
    assert reference.predictions("test").equals(reference.predictions("test", "jaccard"))


def test_predictions_are_the_checkpoints_answers(reference, data):
    table, parts, decoded = data
    for checkpoint in reference.kept:
        model, mixed, device = training.load(reference, checkpoint)
        rows = decoded.rows(table["image"][parts == "test"])
        [(x, mask)] = pictures.batches(decoded, rows, None, 8, device)
        with torch.no_grad(), mixed:
            logits = model(x)
        areas = metrics.overlap(mask[:, 0].numpy() == 1, (logits[:, 0] > 0).numpy())
        predictions = reference.predictions("test", checkpoint)
        for name, values in areas.items():
            assert predictions[name].tolist() == values.tolist(), name
        wanted = losses.cross_entropy_and_jaccard(logits, mask)
        assert predictions["loss"].to_numpy() == pytest.approx(wanted.numpy(), rel=1e-5)


def test_scores_and_checkpoints_follow_from_the_predictions(reference):
    history = reference.history
    scores = runs.scores(reference, "validation")
    for checkpoint, epoch in (
        ("loss", history["validation_loss"].idxmin()), ("jaccard", history["validation_jaccard"].idxmax()),
    ):  # fmt: skip
        predictions = reference.predictions("validation", checkpoint)
        row = scores.loc[checkpoint]
        assert row["epoch"] == epoch
        assert row["loss"] == pytest.approx(predictions["loss"].mean())
        assert predictions["loss"].mean() == pytest.approx(history.loc[epoch, "validation_loss"], rel=1e-6)
        assert row["jaccard"] == pytest.approx(predictions["jaccard"].mean())
        assert row["jaccard"] == pytest.approx(history.loc[epoch, "validation_jaccard"])
        for name in ("thresholded_jaccard", "dice", "sensitivity", "specificity"):
            assert row[name] == pytest.approx(predictions[name].mean())


@pytest.mark.parametrize("metric", ["loss", "jaccard"])
def test_a_worse_epoch_leaves_the_checkpoint(data, tmp_path, monkeypatch, metric):
    """The validation part's figures are made up: best in epoch 2 by the loss, in epoch 1 by the Jaccard index."""
    made_up = {"loss": [0.5, 0.3, 0.4], "jaccard": [0.9, 0.1, 0.2]}
    kept = []
    write = runs.write_weights

    def told(file, content):
        if file.name == f"best_{metric}.pt":
            kept.append(file.name)
        write(file, content)

    real, calls = training.predict_part, []

    def predict_part(*arguments):
        predictions = real(*arguments)
        calls.append(None)
        if len(calls) <= 3:
            predictions["loss"], predictions["jaccard"] = (values[len(calls) - 1] for values in made_up.values())
        return predictions

    monkeypatch.setattr(training, "predict_part", predict_part)
    monkeypatch.setattr(runs, "write_weights", told)
    run = fit(data, tiny_settings(tmp_path))
    assert len(kept) == {"loss": 2, "jaccard": 1}[metric]
    assert runs.best_epoch(run.history, metric) == {"loss": 2, "jaccard": 1}[metric]


def test_tensorboard_has_the_history_and_pictures_with_both_masks(reference):
    board = EventAccumulator(str(reference.folder)).Reload()
    history = reference.history
    columns = {"loss/train": "train_loss", "loss/validation": "validation_loss"}
    columns |= {"Jaccard/validation": "validation_jaccard", "learning_rate": "learning_rate"}
    for tag, column in columns.items():
        assert [event.value for event in board.Scalars(tag)] == pytest.approx(history[column].tolist(), rel=1e-5), tag
    last = board.Scalars("thresholded Jaccard/validation")[-1].value
    assert 0 <= last <= history["validation_jaccard"].iloc[-1] + 1e-6
    [tag] = [tag for tag in board.Tags()["images"] if "mask" in tag]
    events = board.Images(tag)
    assert [event.step for event in events] == [1, 2, 3]
    shown = np.asarray(Image.open(io.BytesIO(events[-1].encoded_image_string))).astype(int)
    assert shown.shape[0] >= HEIGHT and shown.shape[1] >= 4 * WIDTH, "the four validation pictures side by side"


def test_tensorboards_masks_are_the_true_and_the_predicted_ones():
    table, decoded = pairs_in_memory(3, HEIGHT, WIDTH)
    x, mask = next(pictures.batches(decoded, np.arange(3), None, 3))
    seen = {}

    class Board:
        def add_images(self, tag, images, epoch):
            seen["images"] = images

        def add_scalar(self, tag, value, epoch):
            seen[tag] = value

    left = torch.full_like(mask, -1)
    left[..., : WIDTH // 2] = 1
    task = tasks.Segmentation("both")
    predictions = task.predictions(table["image"], None, task.answer(left, mask).numpy(), np.zeros(3))
    task.write_events(
        Board(), 1, predictions, lambda given: left, torch.autocast("cpu", enabled=False), iter([(x, mask)])
    )
    tint = (seen["images"] - 0.7 * x) / 0.3
    assert torch.allclose(tint[:, :1], (left > 0).float(), atol=1e-5)
    assert torch.allclose(tint[:, 1:2], mask, atol=1e-5) and tint[:, 2:].abs().max() < 1e-5
    assert seen["thresholded Jaccard/validation"] == predictions["thresholded_jaccard"].mean()


# The loop


class Convolution(nn.Module):
    """No batch normalisation, so that a picture's slopes do not depend on its neighbours."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))

    def forward(self, x):
        return self.layers(x)


class Recorder(torch.optim.SGD):
    """Plain steps, with the slopes of each noted down."""

    slopes: list

    def step(self):
        self.slopes = [
            *getattr(self, "slopes", []),
            [p.grad.clone() for group in self.param_groups for p in group["params"]],
        ]
        super().step()


def one_epoch(at_once, count=10, batch=7):
    _, decoded = pairs_in_memory(count, HEIGHT, WIDTH)
    model = Convolution()
    optimizer = Recorder(model.parameters(), lr=0.1)
    mixed = torch.autocast("cpu", enabled=False)
    part = pictures.batches(decoded, np.arange(count), None, batch, seed=1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    loss = losses.cross_entropy_and_jaccard
    value = training.train_one_epoch(model, optimizer, scaler, mixed, part, [0.1] * 2, loss=loss, at_once=at_once)
    return value, optimizer.slopes, model


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 100])
def test_slopes_of_a_batch_in_pieces_add_up_to_the_batchs(at_once):
    whole, pieces = one_epoch(None), one_epoch(at_once)
    assert pieces[0] == pytest.approx(whole[0], rel=1e-5)
    assert len(pieces[1]) == len(whole[1]) == 2, "one step per batch, however many pieces"
    for ours, theirs in zip(pieces[1], whole[1], strict=True):
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(ours, theirs, strict=True))


def test_slopes_are_those_of_the_mean_over_the_batch():
    _, slopes, _ = one_epoch(at_once=2)
    _, decoded = pairs_in_memory(10, HEIGHT, WIDTH)
    x, mask = next(pictures.batches(decoded, np.arange(10), None, 7, seed=1))
    model = Convolution()
    losses.cross_entropy_and_jaccard(model(x), mask).mean().backward()
    assert all(
        torch.allclose(ours, theirs.grad, rtol=1e-4, atol=1e-7)
        for ours, theirs in zip(slopes[0], model.parameters(), strict=True)
    )


def test_no_more_pictures_are_in_memory_at_a_time_than_asked(data, tmp_path, monkeypatch):
    sizes = {True: [], False: []}
    forward = models.UNet.forward

    def noted(self, x):
        sizes[self.training].append(len(x))
        return forward(self, x)

    monkeypatch.setattr(models.UNet, "forward", noted)
    run = fit(data, tiny_settings(tmp_path, segmentation_epochs=1, segmentation_batch_size=7, segmentation_at_once=3))
    assert sizes[True] == [3, 3, 1] * 4 and max(sizes[False]) == 3
    assert run.config["at_once"] == 3 and run.config["batch_size"] == 7


@pytest.mark.parametrize("loss", losses.OF_MASKS)
def test_the_loss_is_the_one_that_was_asked_for(reference, data, loss):
    task = tasks.of("unet", data[0], loss)
    logits, mask = torch.randn(2, 1, 4, 5), torch.ones(2, 1, 4, 5)
    assert torch.equal(task.loss(logits, mask), losses.OF_MASKS[loss](logits, mask))
    found = training.find("unet", *data, tiny_settings(reference.folder.parents[4]), "segmentation", loss=loss)
    assert (found == reference) == (loss == "both")


# Again, other, interrupted


def test_the_same_seed_gives_the_same_result_and_another_one_another(reference, data, tmp_path):
    settings = tiny_settings(tmp_path)
    run = fit(data, settings)
    assert_same_result(run, reference)
    other = fit(data, settings, seed=1)
    assert other.folder.name == "seed1" and not other.history.equals(reference.history)


def test_a_finished_run_is_returned_at_once(reference, data, monkeypatch):
    def must_not_build(*arguments, **options):
        raise AssertionError("the model was built again")

    monkeypatch.setattr(models, "segmenter", must_not_build)
    before = files_in(reference.folder)
    settings = tiny_settings(reference.folder.parents[4])
    assert fit(data, settings) == fit(data, settings, loss="both") == reference
    assert files_in(reference.folder) == before
    table, parts, decoded = data
    assert training.find("unet", table, parts, decoded, settings, "segmentation") == reference


@pytest.mark.parametrize("change", ["loss", "at_once", "size", "masks"])
def test_another_config_has_another_folder(reference, data, change):
    table, parts, decoded = data
    settings = tiny_settings(reference.folder.parents[4])
    options = {}
    if change == "loss":
        options = dict(loss="soft Dice")
    elif change == "at_once":
        settings = dataclasses.replace(settings, segmentation_at_once=4)
    elif change == "size":
        settings = dataclasses.replace(settings, segmentation_size=(WIDTH, HEIGHT))
    else:
        decoded = dataclasses.replace(decoded, digest="other masks")
    run = training.find("unet", table, parts, decoded, settings, "segmentation", **options)
    assert run.folder != reference.folder and not run.finished
    assert (run.folder.parent == reference.folder.parent) == (change != "loss")


def test_another_loss_leaves_the_first_run_alone(reference, data):
    before = files_in(reference.folder)
    run = fit(data, tiny_settings(reference.folder.parents[4]), loss="soft Dice")
    assert (
        run.folder.parts[-2:] == ("unet-soft-dice", "seed0") and run.finished and files_in(reference.folder) == before
    )
    assert run.history["train_loss"].iloc[0] != reference.history["train_loss"].iloc[0]


@pytest.mark.parametrize("step", [1, 6, 12])
def test_an_interrupted_run_continues_to_the_same_result(reference, data, tmp_path, step):
    settings = tiny_settings(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, torch.optim.AdamW, "step", step, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            fit(data, settings)
    assert_same_result(fit(data, settings), reference)


@pytest.mark.parametrize("replaced", [4, 11, 15])
def test_a_run_interrupted_at_any_file_continues_to_the_same_result(reference, data, tmp_path, replaced):
    settings = tiny_settings(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, os, "replace", replaced, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            fit(data, settings)
    run = fit(data, settings)
    assert_same_result(run, reference)
    board = EventAccumulator(str(run.folder)).Reload()
    assert [event.step for event in board.Scalars("loss/train")] == [1, 2, 3], "no epoch twice in TensorBoard"


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from archives import tiny_settings
from test_unet_training import easy_pairs, fit

data = easy_pairs()
real, steps = torch.optim.AdamW.step, []

def step(self, *arguments):
    steps.append(None)
    if len(steps) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *arguments)

torch.optim.AdamW.step = step
fit(data, tiny_settings(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_that_is_killed_continues_to_the_same_result(reference, data, tmp_path):
    """Killed in the second step of the second epoch."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS), str(Path(__file__).parent)])}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=environment, capture_output=True, timeout=120)
    assert killed.returncode == -9, killed.stderr.decode()
    [last] = tmp_path.rglob("last.pt")
    assert runs.read_weights(last)["epoch"] == 1
    assert_same_result(fit(data, tiny_settings(tmp_path)), reference)


# What can go wrong


@pytest.mark.parametrize("name", models.SEGMENTERS)
def test_an_unknown_loss(data, tmp_path, name):
    refusal(
        lambda: fit(data, tiny_settings(tmp_path), name, loss="focal"),
        "no loss 'focal' for masks", "choose one of cross-entropy, soft Jaccard, soft Dice, both",
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_a_classifier_has_no_choice_of_losses(tmp_path):
    table, decoded = in_memory([tables.CODES[n % 8] for n in range(96)], size=16)
    refusal(
        lambda: training.fit(
            "residual", table, splits.standard(table), decoded, tiny_settings(tmp_path), loss="soft Dice"
        ),
        "residual is trained with cross-entropy", "leave out loss='soft Dice'",
    )  # fmt: skip


def test_pictures_without_masks(data, tmp_path):
    table, parts, decoded = data
    without = dataclasses.replace(decoded, pixels=decoded.pixels[..., :3])
    refusal(
        lambda: fit((table, parts, without), tiny_settings(tmp_path)),
        "decoded pictures have no masks", "`pictures.load_pairs`",
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_a_table_without_labels_given_to_a_classifier(data, tmp_path):
    refusal(
        lambda: fit(data, tiny_settings(tmp_path), "residual"),
        "no column label, from which residual learns", "`tables.isic2019`, or a U-Net",
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_a_classifier_learns_from_pictures_that_have_masks_as_from_others(tmp_path):
    """The fourth channel is not shown to it."""
    table, decoded = in_memory([tables.CODES[n % 8] for n in range(96)], size=16)
    masks = np.stack([lesion(n, 16, 16) for n in range(96)])[..., np.newaxis] * np.uint8(255)
    with_masks = dataclasses.replace(decoded, pixels=np.concatenate([decoded.pixels, masks], axis=-1))
    histories = []
    for number, some in enumerate((decoded, with_masks)):
        settings = tiny_settings(tmp_path / str(number), epochs=1)
        histories.append(
            training.fit("residual", table, splits.standard(table), some, settings, progress=False).history
        )
    assert histories[0].equals(histories[1])


@pytest.mark.parametrize("at_once, half", [(8, 4), (3, 1), (1, 1)])
def test_out_of_memory_names_the_setting_for_masks(data, tmp_path, monkeypatch, at_once, half):
    interrupt_at(monkeypatch, torch.optim.AdamW, "step", 3, torch.OutOfMemoryError("CUDA out of memory."))
    refusal(
        lambda: fit(data, tiny_settings(tmp_path, segmentation_at_once=at_once)),
        f"{at_once} pictures of {HEIGHT}×{WIDTH} at a time", f"segmentation_at_once={half}", "ISIC_PROFILE",
    )  # fmt: skip


def test_a_loss_that_is_not_finite_stops_and_says_what_to_try(data, tmp_path):
    settings = tiny_settings(tmp_path)
    refusal(
        lambda: fit(data, settings, learning_rate=1e30),
        "loss of U-Net is no longer finite in epoch 1", "learning_rate=1e+29",
    )  # fmt: skip
    assert not list(settings.runs.rglob("last.pt"))


def test_a_pair_that_was_left_out_is_not_asked_for(data, tmp_path):
    table, parts, decoded = data
    image = table["image"][parts == "test"].iloc[0]
    left_out = decoded.left_out.reindex([0]).assign(image=image, path="somewhere", reason="is empty")
    images = decoded.images.where(decoded.images != image, "nobody")
    without = dataclasses.replace(decoded, images=images, left_out=left_out)
    run = fit((table, parts, without), tiny_settings(tmp_path, segmentation_epochs=1))
    assert image not in run.predictions("test")["image"].tolist()
    assert len(run.predictions("test")) == (parts == "test").sum() - 1


def test_a_run_that_was_made_by_masks_is_read_without_training(reference):
    """The config tells the task: nothing else needs to be known."""
    config = json.loads((reference.folder / "config.json").read_text(encoding="utf-8"))
    assert "classes" not in config and runs.Run(reference.folder).kept == runs.MASK_CHECKPOINTS
    with pytest.raises(IsicError) as caught:
        reference.predictions("test", "bma")
    is_one_clear_message(caught.value, "checkpoint 'bma'", "checkpoints loss, jaccard")
