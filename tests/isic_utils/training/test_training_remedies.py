"""Training with remedies, strong augmentation and averaged weights; and a classifier that is asked eight times."""

import contextlib
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from archives import assert_same_result, draw_2019, in_memory, interrupt_at, pairs_in_memory, refusal, tiny_settings

from isic_utils import __main__, models
from isic_utils.datasets import images as pictures, splits, tables, transforms as augmentation
from isic_utils.inference import predict as answers
from isic_utils.training import fit as training, imbalance as remedies, losses, runs
from isic_utils.training.imbalance import Remedy

CODES = ["NV"] * 48 + [code for code in tables.CODES for _ in range(10)]
STRONG = dict(strong_augmentation=True, averaging=0.9)


@pytest.fixture(scope="module")
def data():
    table, decoded = in_memory(CODES, size=16)
    return table, splits.standard(table), decoded


def fit(data, settings, **options) -> runs.Run:
    table, parts, decoded = data
    return training.fit("residual", table, parts, decoded, settings, progress=False, **options)


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory) -> runs.Run:
    """Plain training."""
    return fit(data, tiny_settings(tmp_path_factory.mktemp("reference")))


@pytest.mark.parametrize("remedy", [name for name, one in remedies.REMEDIES.items() if one.loss or one.mixup])
def test_a_remedy_has_a_folder_of_its_own_and_another_result(reference, data, remedy):
    settings = tiny_settings(reference.folder.parents[4])
    run = fit(data, settings, remedy=remedy)
    assert run.folder.parent.name == f"residual-{remedy.replace(' ', '-')}" and run.finished
    assert run.config["remedy"] == {"name": remedy, **remedies.description(remedies.REMEDIES[remedy])}
    assert not run.history["train_loss"].equals(reference.history["train_loss"])
    table, parts, decoded = data
    assert training.find("residual", table, parts, decoded, settings, remedy=remedy) == run


def test_plain_cross_entropy_is_no_remedy(reference, data, tmp_path):
    assert "remedy" not in reference.config
    run = fit(data, tiny_settings(tmp_path), remedy="cross-entropy")
    assert run.config == reference.config and run.folder.parent.name == "residual"
    assert_same_result(run, reference)


@pytest.mark.parametrize("remedy", ["deferred re-weighting", "mixup", "weighted sampler", "undersampling", None])
@pytest.mark.parametrize("size", [{}, STRONG], ids=["plain", "strong, averaged"])
def test_an_interrupted_run_continues_to_the_same_result(data, tmp_path, remedy, size):
    whole = fit(data, tiny_settings(tmp_path / "whole", **size), remedy=remedy)
    settings = tiny_settings(tmp_path / "interrupted", **size)
    steps = pictures.number_of_batches(whole.config["parts"]["train"], 16)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, torch.optim.AdamW, "step", 2 * steps + 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            fit(data, settings, remedy=remedy)
    assert_same_result(fit(data, settings, remedy=remedy), whole)


def test_the_loss_is_asked_from_its_epoch_on_and_knows_the_counts(data, tmp_path, monkeypatch):
    table, parts, _ = data
    asked = []

    def spy(logits, label, counts):
        asked.append((label, counts))
        return losses.class_cross_entropy(logits, label)

    monkeypatch.setitem(remedies.REMEDIES, "spy", Remedy(loss=spy, begins=0.5))
    fit(data, tiny_settings(tmp_path), remedy="spy")
    train = table["label"][parts == "train"]
    steps = pictures.number_of_batches(len(train), 16)
    assert len(asked) == 2 * steps, "epochs 2 and 3 of 3"
    assert asked[0][1].tolist() == train.value_counts()[tables.CODES].tolist()
    assert sum(len(label) for label, _ in asked) == 2 * len(train)


@pytest.mark.parametrize("remedy", ["class-weighted", "class-balanced", "logit adjustment", "deferred re-weighting"])
def test_a_class_without_training_pictures_is_named_as_the_cause(data, tmp_path, remedy):
    table, parts, decoded = data
    without = parts.mask((table["label"] == "SCC") & (parts == "train"), "test")
    refusal(
        lambda: fit((table, without, decoded), tiny_settings(tmp_path), remedy=remedy),
        "no training picture",
        "choose more pictures",
    )


def test_what_a_remedy_draws_is_what_is_trained_on(data, tmp_path, monkeypatch):
    table, parts, decoded = data
    seen = []
    real = training.batches

    def spy(photos, rows, labels, batch_size, device="cpu", seed=None, *rest):
        if seed is not None:
            seen.append((rows, labels))
        return real(photos, rows, labels, batch_size, device, seed, *rest)

    monkeypatch.setattr(training, "batches", spy)
    fit(data, tiny_settings(tmp_path), remedy="undersampling")
    rows, labels = seen[-1]
    truth = table["label"].cat.codes.to_numpy()
    assert np.array_equal(truth[rows], labels)
    kept = np.bincount(truth[np.unique(rows)])
    assert kept.tolist() == [table["label"][parts == "train"].value_counts().min()] * 8
    assert set(rows) <= set(np.flatnonzero(parts == "train")) and len(rows) == (parts == "train").sum()


def test_averaged_weights_are_the_moving_mean_of_the_steps(data, tmp_path, monkeypatch):
    steps = []
    real = training.AveragedModel.update_parameters

    def spy(self, model):
        steps.append({name: weights.clone() for name, weights in model.state_dict().items()})
        real(self, model)

    monkeypatch.setattr(training.AveragedModel, "update_parameters", spy)
    run = fit(data, tiny_settings(tmp_path, epochs=1, averaging=0.8))
    assert len(steps) == pictures.number_of_batches(run.config["parts"]["train"], 16)
    kept = runs.read_weights(run.checkpoints["loss"])
    for name, weights in kept.items():
        if weights.is_floating_point():
            mean = steps[0][name]
            for step in steps[1:]:
                mean = 0.8 * mean + 0.2 * step[name]
            assert torch.allclose(weights, mean, atol=1e-5), name
    last = runs.read_weights(run.folder / "last.pt")["model"]
    assert not all(torch.equal(kept[name], last[name]) for name in kept), "the mean is not the last step"


def test_the_config_says_what_was_asked_for_and_no_more(reference, data, tmp_path):
    assert not {"remedy", "strong_augmentation", "averaging"} & set(reference.config)
    run = fit(data, tiny_settings(tmp_path, epochs=1, **STRONG))
    assert run.config["strong_augmentation"] is True and run.config["averaging"] == 0.9


def test_what_cannot_be_trained(data, tmp_path):
    settings = tiny_settings(tmp_path)
    refusal(lambda: fit(data, settings, remedy="magic"), "no remedy 'magic'", "choose one of")
    refusal(lambda: fit(data, settings, remedy="logit adjustment afterwards"), "does not change training")
    table, decoded = pairs_in_memory(20, 16, 32)
    refusal(
        lambda: training.fit("unet", table, splits.segmentation(table), decoded, settings, remedy="focal"),
        "draws masks", "leave out remedy",
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_from_a_shell(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ISIC_DATA", str(draw_2019(tmp_path / "tiny", 64)))
    monkeypatch.setenv("ISIC_RUNS", str(tmp_path / "runs"))
    settings = dataclasses.replace(__main__.profile.current(), epochs=1, picture_size=16, cache=tmp_path / "cache")
    monkeypatch.setattr(__main__.profile, "current", lambda: settings)
    assert __main__.main(["train", "standard", "residual", "--remedy", "focal"]) == 0
    assert "residual-focal" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        __main__.main(["train", "standard", "residual", "--remedy", "logit adjustment afterwards"])
    refused = ["train", "segmentation", "--remedy", "focal"]
    assert __main__.main(refused) == 1


# Strong augmentation


def strong(x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augmentation.strongly(x, torch.Generator().manual_seed(seed))


def test_strong_augmentation_stays_a_picture_and_repeats_itself():
    x = torch.rand(8, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    changed = strong(x)
    assert changed.shape == x.shape and changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(changed, strong(x)) and not torch.equal(changed, strong(x, seed=1))
    assert not torch.allclose(changed[0], strong(x[:1].expand(8, -1, -1, -1))[1]), "each picture in its own way"


def test_without_colour_and_zoom_only_the_angle_is_left(monkeypatch):
    for name in ("ZOOM", "STRETCH", "SHIFT", "LIGHT", "CONTRAST", "SATURATION", "TINT"):
        monkeypatch.setattr(augmentation, name, 0.0)
    y, x = np.mgrid[-16:16, -16:16] + 0.5
    disc = torch.from_numpy(np.hypot(x, y) < 9).float().expand(6, 3, -1, -1) * 0.6 + 0.2
    assert (strong(disc) - disc).abs().mean() < 0.02, "a disc looks the same from everywhere"
    half = torch.from_numpy(x < 0).float().expand(6, 3, -1, -1)
    turned = strong(half)
    assert turned[:, 0].mean(dim=(1, 2)).numpy() == pytest.approx(0.5, abs=0.1)
    assert len({round(float((one - half[0]).abs().mean()), 2) for one in turned}) == 6, "six angles"


def test_zoom_makes_a_lesion_larger_or_smaller(monkeypatch):
    monkeypatch.setattr(augmentation, "ZOOM", 0.25)
    y, x = np.mgrid[-24:24, -24:24] + 0.5
    disc = torch.from_numpy(np.hypot(x, y) < 10).float().expand(200, 3, -1, -1)
    areas = (strong(disc).mean(dim=1) > 0.5).float().sum(dim=(1, 2)) / disc[0, 0].sum()
    assert areas.min() < 0.75 and areas.max() > 1.35
    assert areas.min() > np.exp(-0.5) * 0.85 and areas.max() < np.exp(0.5) * 1.15


# Eight views


def test_there_are_eight_different_views():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    seen = answers.eight(x)
    assert len({tuple(view.flatten().tolist()) for view in seen}) == 8 and torch.equal(seen[0], x)
    assert all(sorted(view.flatten().tolist()) == list(range(16)) for view in seen)


def test_the_answer_is_the_mean_over_the_views_and_turning_a_picture_does_not_change_it(reference, data):
    table, _, decoded = data
    images = table["image"].iloc[:20]  # more than a batch
    told = answers.probabilities(reference, decoded, images, views=8)
    assert told.shape == (20, 8) and told.sum(axis=1) == pytest.approx(1, abs=1e-5)
    turned = dataclasses.replace(decoded, pixels=np.rot90(decoded.pixels, axes=(1, 2)).copy())
    assert answers.probabilities(reference, turned, images, views=8) == pytest.approx(told, abs=2e-3)


def test_it_is_the_mean_of_probabilities(reference, data, monkeypatch):
    """A network that looks at one corner sees each of the four corners in two of the eight views."""

    class Corner(torch.nn.Module):
        def forward(self, x):
            return torch.stack([5 * x[:, 0, 0, 0], *[torch.zeros(len(x))] * 7], dim=1)

    loaded = Corner(), contextlib.nullcontext(), torch.device("cpu")
    monkeypatch.setattr(training, "load", lambda run: loaded)
    table, _, decoded = data
    told = answers.probabilities(reference, decoded, table["image"].iloc[:3], views=8)
    corners = decoded.pixels[:3][:, [0, 0, -1, -1], [0, -1, 0, -1], 0] / 255
    expected = (np.exp(5 * corners) / (np.exp(5 * corners) + 7)).mean(axis=1)
    assert told[:, 0] == pytest.approx(expected, abs=1e-5)


# frozen blocks


def test_frozen_blocks_stay_as_imagenet_made_them(tmp_path):
    table, decoded = in_memory(tables.CODES * 5, size=33)  # Lite0 takes none that are smaller
    parts = pd.Series(["train"] * 16 + ["validation"] * 12 + ["test"] * 12, index=table.index)
    settings = tiny_settings(tmp_path, picture_size=33, fine_tuning_epochs=1, frozen_blocks=2)
    run = training.fit("efficientnet_lite0", table, parts, decoded, settings, progress=False)
    assert run.config["frozen_blocks"] == 2 and run.config["pretrained"] == "ImageNet"
    before = dict(models.classifier("efficientnet_lite0").named_parameters())
    after = runs.read_weights(run.checkpoints["loss"])
    frozen = ("network._conv_stem.", "network._bn0.", "network._blocks.0.", "network._blocks.1.")
    for name, weights in before.items():
        if not name.startswith("network._fc"):
            assert torch.equal(after[name], weights) == name.startswith(frozen), name
