"""Frozen features and linear probes: features are the network's and computed once, probes repeat bit for bit, and
only training images teach."""

import errno

import numpy as np
import pandas as pd
import pytest
import torch
from archives import MemoryStore, in_memory, refusal
from sklearn.metrics import balanced_accuracy_score

from isic_course import features, linear_probe
from isic_utils.archive import CODES
from isic_utils.datasets import splits
from isic_utils.models import create_model
from isic_utils.training.imbalance import METHODS, Method


def imbalanced_data(dimensions: int = 6) -> tuple[pd.DataFrame, np.ndarray]:
    """Eight classes whose features overlap; the first has two hundred images and the others sixteen."""
    codes = [CODES[0]] * 200 + CODES[1:] * 16
    table, _ = in_memory(codes, size=2)
    chance = np.random.default_rng(0)
    middle = chance.normal(size=(8, dimensions))
    x = middle[table["label"].cat.codes] + chance.normal(size=(len(codes), dimensions))
    return table, x.astype(np.float32)


def labels_of(table: pd.DataFrame) -> np.ndarray:
    return table["label"].cat.codes.to_numpy().astype(np.int64)


@pytest.fixture(scope="module", autouse=True)
def large_steps():
    """Six features and few batches need larger steps than 1 280 features do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_probe, "LEARNING_RATE", 0.05)
        patch.setattr(linear_probe, "BIAS_RATE", 0.2)
        patch.setattr(linear_probe, "WEIGHT_DECAY", 0.01)
        yield


@pytest.fixture(scope="module")
def predictions(large_steps) -> pd.DataFrame:
    table, x = imbalanced_data()
    return linear_probe.compare(table, x, linear_probe.splits_of_seeds(table, [0, 1]))


def test_there_is_a_row_for_every_method_seed_and_image(predictions):
    table, _ = imbalanced_data()
    assert len(predictions) == len(METHODS) * 2 * len(table)
    assert predictions[CODES].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert (predictions["predicted"] == predictions[CODES].idxmax(axis=1)).all()
    for seed, some in predictions.groupby("seed"):
        split = linear_probe.splits_of_seeds(table, [seed])[seed].tolist()
        assert all(one["split"].tolist() == split for _, one in some.groupby("method"))


def test_every_seed_has_the_same_test_set_and_eight_in_a_row_have_validation_sets_of_their_own():
    table, _ = imbalanced_data()
    table["lesion_id"] = [f"lesion {row // 2}" for row in range(len(table))]
    drawn = linear_probe.splits_of_seeds(table, range(9))
    assert (drawn[0] == splits.standard(table, group_by="lesion", seed=0)).all()
    test = drawn[0] == "test"
    assert all(((split == "test") == test).all() for _, split in drawn.items())
    assert (drawn.loc[~test, list(range(8))] == "validation").sum(axis=1).eq(1).all()
    assert drawn[8].equals(drawn[0].rename(8))
    assert (drawn.groupby(table["lesion_id"]).nunique() == 1).all(axis=None)
    shuffled = linear_probe.splits_of_seeds(table.sample(frac=1, random_state=0), range(9))
    assert shuffled.reindex(table.index).equals(drawn)


def test_the_mean_probability_of_a_plain_head_is_the_share_of_the_class(predictions):
    plain = predictions[(predictions["method"] == "cross-entropy") & (predictions["split"] == "train")]
    share = plain["label"].value_counts(normalize=True)[CODES]
    assert plain[CODES].mean().to_numpy() == pytest.approx(share.to_numpy(), rel=0.1)
    adjusted = predictions[(predictions["method"] == "logit adjustment") & (predictions["split"] == "train")]
    assert adjusted[CODES].mean()["MEL"] < 0.8 * share["MEL"]  # by far the largest class


def test_it_repeats_itself_bit_for_bit(predictions):
    table, x = imbalanced_data()
    drawn = linear_probe.splits_of_seeds(table, [1])
    for name in ("focal", "mixup", "weighted sampler"):
        again = linear_probe.compare(table, x, drawn, methods={name: METHODS[name]})
        before = predictions[(predictions["method"] == name) & (predictions["seed"] == 1)]
        assert np.array_equal(again[CODES].to_numpy(), before[CODES].to_numpy()), name


def test_methods_for_imbalanced_classes_recognise_the_rare_ones_more_often(predictions):
    recall = linear_probe.scores_per_seed(predictions, "train").groupby("method")[CODES[1:]].mean().mean(axis=1)
    for name in ("class-weighted", "class-balanced", "weighted sampler", "logit adjustment", "undersampling",
                 "post-hoc logit adjustment", "deferred re-weighting"):  # fmt: skip
        assert recall[name] > recall["cross-entropy"] + 0.03, name


def test_only_training_images_teach():
    table, x = imbalanced_data()
    labels = labels_of(table)
    train = np.flatnonzero(splits.standard(table) == "train")
    wrong = labels.copy()
    wrong[np.setdiff1d(np.arange(len(labels)), train)] = 0
    for name in ("class-balanced", "undersampling", "post-hoc logit adjustment", "logit adjustment and mixup"):
        pair = (linear_probe.train_linear_probe(x, truth, train, METHODS[name], 0) for truth in (labels, wrong))
        first, second = pair
        assert np.array_equal(first, second), name


def test_scores_are_those_of_the_predictions(predictions):
    for (method, seed), row in linear_probe.scores_per_seed(predictions, "test").iterrows():
        some = predictions[predictions[["method", "seed", "split"]].eq([method, seed, "test"]).all(axis=1)]
        assert row["BMA"] == pytest.approx(balanced_accuracy_score(some["label"], some["predicted"]))
        assert row["accuracy"] == pytest.approx((some["label"] == some["predicted"]).mean())


def test_a_class_without_training_images():
    table, x = imbalanced_data()
    labels = labels_of(table)
    train = np.flatnonzero(labels != 3)
    refusal(lambda: linear_probe.train_linear_probe(x, labels, train, Method(), 0), "no training image")


# Features


def three_images() -> MemoryStore:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    return MemoryStore(list("abc"), pixels, "first")


def test_features_are_the_networks_and_computed_once_for_the_same_pixels(tmp_path, monkeypatch):
    store = three_images()
    found = features.extract(store, tmp_path)
    model = create_model("efficientnet_lite0", pretrained=True).eval()
    x = torch.from_numpy(store.pixels).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = model.network.forward_head(model.network.forward_features((x - model.mean) / model.std), True)
    assert found.shape == (3, 1280) and found.dtype == np.float32
    assert found == pytest.approx(expected.numpy(), abs=1e-4)
    monkeypatch.setattr(features, "of_pixels", None)  # a second time would fail
    assert np.array_equal(features.extract(store, tmp_path), found)
    store.digest = "other pixels"
    with pytest.raises(TypeError):
        features.extract(store, tmp_path)


def test_features_for_which_the_disk_has_no_room_leave_nothing_half_written(tmp_path, monkeypatch):
    def fails(file, values):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(features, "of_pixels", lambda pixels: np.zeros((3, 1280)))
    monkeypatch.setattr(features, "save", fails)
    refusal(lambda: features.extract(three_images(), tmp_path), "features-lite0-first.npy", "free disk space")
    assert [file.name for file in tmp_path.iterdir()] == ["features-lite0-first.lock"]
