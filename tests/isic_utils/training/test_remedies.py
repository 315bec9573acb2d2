"""Remedies for skewed classes: each does what it says, waste is where it should be, and heads repeat bit for bit."""

import dataclasses
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from archives import in_memory, refusal
from torch.utils.data import WeightedRandomSampler

from isic_course import features, linear_probe as heads
from isic_utils.datasets import splits, tables
from isic_utils.training import imbalance as remedies, losses
from isic_utils.training.imbalance import REMEDIES, Remedy

LABELS = np.repeat([0, 1, 2], [600, 90, 10])


def drawn(name: str, seed: int = 0, epoch: int = 1) -> np.ndarray:
    return REMEDIES[name].draw(LABELS, seed, epoch)


def test_every_remedy_takes_as_many_pictures_an_epoch():
    assert {len(drawn(name)) for name in REMEDIES} == {len(LABELS)}


def test_plain_training_sees_each_picture_once():
    assert sorted(drawn("cross-entropy")) == list(range(len(LABELS)))


def test_the_sampler_draws_classes_equally_often_and_anew_in_every_epoch():
    epochs = [drawn("weighted sampler", epoch=epoch) for epoch in range(1, 31)]
    counts = np.bincount(LABELS[np.concatenate(epochs)])
    assert counts / counts.sum() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert len(np.unique(np.concatenate(epochs))) == len(LABELS), "no picture is thrown away for good"
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(epochs[0], drawn("weighted sampler")), "the same seed and epoch draw the same"
    assert not np.array_equal(epochs[0], drawn("weighted sampler", seed=1))


def test_the_sampler_draws_as_pytorchs_does():
    weights = 1 / np.bincount(LABELS)[LABELS]
    theirs = list(WeightedRandomSampler(weights, 20 * len(LABELS), generator=torch.Generator().manual_seed(0)))
    ours = np.concatenate([drawn("weighted sampler", epoch=epoch) for epoch in range(20)])
    for some in (theirs, ours):
        assert np.bincount(LABELS[some]) / len(some) == pytest.approx([1 / 3] * 3, abs=0.02)
        one_class = np.bincount(np.asarray(some)[LABELS[some] == 1], minlength=690)[600:690]
        assert one_class.min() > 0 and one_class.mean() == pytest.approx(14000 / 3 / 90, rel=0.05)


def test_power_0_is_no_weight():
    counts = np.bincount(LABELS[remedies.weighted_sampler(LABELS, 0, 1, power=0.0)])
    assert counts[0] > 500


def test_undersampling_keeps_as_many_of_each_and_always_the_same():
    first, second = drawn("undersampling"), drawn("undersampling", epoch=2)
    assert set(first) == set(second) and len(set(first)) == 30
    assert np.bincount(LABELS[np.unique(first)]).tolist() == [10, 10, 10]
    balance = np.bincount(LABELS[first])
    assert balance.max() - balance.min() <= 1, "700 pictures are not 30 a whole number of times: balanced all the same"
    times = np.bincount(first)[np.unique(first)]
    assert times.max() - times.min() <= 1, "what is left comes equally often"
    assert set(first) != set(drawn("undersampling", seed=1))


def test_mixup_mixes_pictures_and_labels_by_the_same_share():
    """With features that are one-hot labels, what comes out on both sides must be equal."""
    label = torch.arange(4).repeat(3)
    part = [(torch.nn.functional.one_hot(label, 4).float(), label)] * 20
    shares = []
    for x, y in remedies.mixup(iter(part), 1.0, 4, seed=0):
        assert torch.allclose(x, y) and torch.allclose(y.sum(dim=1), torch.ones(12))
        shares.append(float(y.max(dim=1).values.min()))
    assert len(set(shares)) > 15, "each batch has a share of its own"
    again = [y for _, y in remedies.mixup(iter(part), 1.0, 4, seed=0)]
    assert all(torch.equal(a, b) for a, (_, b) in zip(again, remedies.mixup(iter(part), 1.0, 4, seed=0), strict=True))
    small = [float(y.max(dim=1).values.mean()) for _, y in remedies.mixup(iter(part), 0.05, 4, seed=0)]
    assert np.mean(small) > 0.9, "with a small α most pictures stay nearly as they were"


def test_adjusted_is_bayes_rule():
    """Probabilities that were made with the shares π come back as they were with equal shares."""
    fits = np.random.default_rng(0).uniform(0.1, 1, (50, 3))
    counts = np.array([600, 90, 10])
    skewed, even = fits * counts, fits / fits.sum(axis=1, keepdims=True)
    assert remedies.adjusted(skewed / skewed.sum(axis=1, keepdims=True), counts) == pytest.approx(even)
    assert remedies.adjusted(even, counts, strength=0) == pytest.approx(even)
    unseen = remedies.adjusted(even, np.array([600, 90, 0]))
    assert (unseen[:, 2] == 0).all() and unseen.sum(axis=1) == pytest.approx(1)


def test_adjusting_in_training_and_afterwards_ask_for_the_same():
    """The loss of z + ln π is the cross-entropy of what `adjusted` takes back."""
    z, counts = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), np.array([600.0, 90.0, 10.0])
    label = torch.tensor([0, 1, 2, 2, 1, 0])
    biased = (z + torch.log(torch.tensor(counts / counts.sum()))).softmax(dim=1).numpy()
    assert remedies.adjusted(biased, counts) == pytest.approx(z.softmax(dim=1).numpy(), rel=1e-4)
    loss = losses.logit_adjusted(z, label, torch.tensor(counts))
    assert loss.numpy() == pytest.approx(-np.log(biased[np.arange(6), label]), rel=1e-4)


def test_a_deferred_loss_begins_after_its_share_of_the_epochs():
    z, label, counts = torch.tensor([[0.0, 1.0]]), torch.tensor([1]), np.array([30, 10])
    remedy = Remedy(loss=losses.class_weighted, begins=0.5)
    plain = float(losses.class_cross_entropy(z, label))
    values = [float(remedies.loss_at(remedy, epoch, 10, counts)(z, label)) for epoch in range(1, 11)]
    assert values[:5] == [plain] * 5 and values[5:] == pytest.approx([2 * plain] * 5)
    assert float(remedies.loss_at(Remedy(loss=losses.class_weighted), 1, 10, counts)(z, label)) > plain


def test_a_description_tells_remedies_apart():
    texts = [str(remedies.description(remedy)) for remedy in REMEDIES.values()]
    assert len(set(texts)) == len(REMEDIES) and remedies.description(Remedy()) == {}
    options = [remedies.description(Remedy(loss=partial(losses.focal, gamma=gamma))) for gamma in (2, 5)]
    assert options == [{"loss": "focal, gamma 2"}, {"loss": "focal, gamma 5"}]
    refusal(lambda: remedies.description(Remedy(loss=lambda z, y, n: z)), "lambda", "write it with def")


def test_an_unknown_remedy_and_one_that_trains_nothing():
    refusal(lambda: remedies.named("magic"), "'magic'", "choose one of cross-entropy")
    assert remedies.named(None) == Remedy()
    refusal(
        lambda: remedies.for_training("logit adjustment afterwards"), "does not change training", "remedies.adjusted"
    )


# Heads


def skewed_data(dimensions: int = 6) -> tuple[pd.DataFrame, np.ndarray]:
    """Eight classes whose features overlap; the first has a hundred pictures and the others sixteen."""
    codes = [tables.CODES[0]] * 200 + tables.CODES[1:] * 16
    table, _ = in_memory(codes, size=2)
    chance = np.random.default_rng(0)
    middle = chance.normal(size=(8, dimensions))
    seen = middle[table["label"].cat.codes] + chance.normal(size=(len(codes), dimensions))
    return table, seen.astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def large_steps():
    """Six features need larger steps than 1 280 do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "LEARNING_RATE", 0.05)
        patch.setattr(heads, "WEIGHT_DECAY", 0.01)
        yield


@pytest.fixture(scope="module")
def answers(large_steps) -> pd.DataFrame:
    return heads.grid(*skewed_data(), seeds=[0, 1])


def test_the_grid_has_every_remedy_seed_and_picture(answers):
    table, _ = skewed_data()
    assert len(answers) == len(REMEDIES) * 2 * len(table)
    assert answers[tables.CODES].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert (answers["predicted"] == answers[tables.CODES].idxmax(axis=1)).all()
    for seed, some in answers.groupby("seed"):
        for _, one in some.groupby("remedy"):
            assert one["part"].tolist() == splits.standard(table, by="lesion", seed=seed).tolist()


def test_it_repeats_itself_bit_for_bit(answers):
    again = heads.grid(*skewed_data(), seeds=[1], candidates={"focal": REMEDIES["focal"]})
    before = answers[(answers["remedy"] == "focal") & (answers["seed"] == 1)]
    assert np.array_equal(again[tables.CODES].to_numpy(), before[tables.CODES].to_numpy())


def test_remedies_against_skew_recognise_the_rare_classes_more_often(answers):
    recall = heads.scores(answers, "train").groupby("remedy")[tables.CODES[1:]].mean().mean(axis=1)
    plain = recall["cross-entropy"]
    names = ["class-weighted", "class-balanced", "weighted sampler", "logit adjustment"]
    for name in [*names, "logit adjustment afterwards", "deferred re-weighting", "undersampling"]:
        assert recall[name] > plain + 0.03, name


def test_only_training_pictures_teach():
    table, seen = skewed_data()
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    train = np.flatnonzero(splits.standard(table) == "train")
    for name, remedy in REMEDIES.items():
        wrong = labels.copy()
        others = np.setdiff1d(np.arange(len(labels)), train)
        wrong[others] = 0
        first, second = (heads.train_head(seen, truth, train, remedy, 0) for truth in (labels, wrong))
        assert np.array_equal(first, second), name


def test_scores_are_those_of_the_answers(answers):
    from sklearn import metrics as sklearn_metrics

    scores = heads.scores(answers, "test")
    for (remedy, seed), row in scores.iterrows():
        some = answers[(answers["remedy"] == remedy) & (answers["seed"] == seed) & (answers["part"] == "test")]
        assert row["BMA"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(some["label"], some["predicted"]))
        assert row["accuracy"] == pytest.approx((some["label"] == some["predicted"]).mean())


def test_a_class_without_training_pictures():
    table, seen = skewed_data()
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    train = np.flatnonzero(labels != 3)
    refusal(lambda: heads.train_head(seen, labels, train, Remedy(), 0), "no training picture", "choose more pictures")


def test_mixup_draws_other_shares_for_every_seed_and_epoch(monkeypatch):
    table, seen = skewed_data()
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    seeds, real = [], remedies.mixup

    def spy(part, alpha, classes, seed):
        seeds.append(seed)
        return real(part, alpha, classes, seed)

    monkeypatch.setattr(remedies, "mixup", spy)
    for seed in (0, 1):
        heads.train_head(seen, labels, np.arange(len(labels)), REMEDIES["mixup"], seed)
    assert len(set(seeds)) == len(seeds) == 2 * heads.EPOCHS


def test_features_are_the_networks_and_computed_once(tmp_path, monkeypatch):
    _, decoded = in_memory(["NV", "MEL", "NV"], size=32)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        seen = features.lite0(decoded, tmp_path)
    assert not [one for one in warned if one.category is ResourceWarning], "the file is closed"
    network = features.models.classifier("efficientnet_lite0", pretrained=True).eval().network
    x = (torch.from_numpy(decoded.pixels).permute(0, 3, 1, 2) / 255 - 0.498) / 0.502
    with torch.no_grad():
        expected = network.extract_features(x).mean(dim=(2, 3)).numpy()
    assert seen.shape == (3, 1280) and seen == pytest.approx(expected, abs=1e-3)
    monkeypatch.setattr(features.models, "classifier", None)
    assert np.array_equal(features.lite0(decoded, tmp_path), seen)
    other = dataclasses.replace(decoded, digest="other pixels")
    with pytest.raises(TypeError):
        features.lite0(other, tmp_path)
