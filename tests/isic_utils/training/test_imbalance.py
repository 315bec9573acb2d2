"""Methods for imbalanced classes: each does what it says, and repeats itself bit for bit."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, WeightedRandomSampler

from isic_utils.errors import IsicError
from isic_utils.training import imbalance, losses
from isic_utils.training.imbalance import METHODS, Method

LABELS = np.repeat([0, 1, 2], [600, 90, 10])


def drawn(name: str, epoch: int = 1, seed: int = 0, **options) -> np.ndarray:
    sampler = getattr(imbalance, name)(LABELS, seed, **options)
    sampler.set_epoch(epoch)
    return np.array(list(sampler))


@pytest.mark.parametrize("name", ["weighted_sampler", "undersampling"])
def test_a_sampler_follows_from_seed_and_epoch(name):
    sampler = getattr(imbalance, name)(LABELS, 0)
    first, second = list(sampler), list(sampler)
    assert first != second, "without set_epoch too, each pass has an order of its own"
    assert len(sampler) == len(first) == len(LABELS), "every method takes as many images an epoch"
    assert list(drawn(name, epoch=3)) == list(drawn(name, epoch=3)) != list(drawn(name, epoch=4))
    assert list(drawn(name, seed=1)) != list(drawn(name, seed=0))
    sampler.set_epoch(3)
    batches = list(DataLoader(LABELS, batch_size=70, sampler=sampler))
    assert torch.cat(batches).tolist() == LABELS[drawn(name, epoch=3)].tolist()


def test_the_weighted_sampler_draws_classes_equally_often():
    epochs = np.concatenate([drawn("weighted_sampler", epoch) for epoch in range(30)])
    assert np.bincount(LABELS[epochs]) / len(epochs) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert len(np.unique(epochs)) == len(LABELS), "no image is thrown away for good"
    assert isinstance(imbalance.weighted_sampler(LABELS, 0), WeightedRandomSampler)
    assert np.bincount(LABELS[drawn("weighted_sampler", power=0.0)])[0] > 500, "power 0 is no weight"


def test_undersampling_keeps_as_many_of_each_and_always_the_same():
    first, second = drawn("undersampling", epoch=1), drawn("undersampling", epoch=2)
    assert set(first) == set(second) != set(drawn("undersampling", seed=1))
    assert np.bincount(LABELS[np.unique(first)]).tolist() == [10, 10, 10]
    balance, times = np.bincount(LABELS[first]), np.bincount(first)[np.unique(first)]
    assert np.ptp(balance) <= 1 and np.ptp(times) <= 1, "700 is no multiple of 30, and still the epoch is balanced"


def test_mixup_mixes_images_and_labels_by_the_same_ratio():
    """With images that are one-hot labels, what comes out on both sides must be equal."""
    label = torch.arange(4).repeat(3)
    images = torch.nn.functional.one_hot(label, 4).float()
    generator = torch.Generator().manual_seed(0)
    mixed = [imbalance.mixup(images, label, 4, 1.0, generator) for _ in range(20)]
    for x, y in mixed:
        assert torch.allclose(x, y) and torch.allclose(y.sum(dim=1), torch.ones(12))
    assert len({float(y.max(dim=1).values.min()) for _, y in mixed}) > 15, "each batch has a ratio of its own"
    again = imbalance.mixup(images, label, 4, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(again[0], mixed[0][0]) and torch.equal(again[1], mixed[0][1])
    small = [imbalance.mixup(images, label, 4, 0.05, generator)[1].max(dim=1).values.mean() for _ in range(20)]
    assert np.mean(small) > 0.9, "with a small α most images stay nearly as they were"


def test_post_hoc_adjustment_is_bayes_rule():
    """Probabilities made with the priors π come back as they were with equal priors."""
    likelihood = np.random.default_rng(0).uniform(0.1, 1, (50, 3))
    counts = np.array([600, 90, 10])
    imbalanced, even = likelihood * counts, likelihood / likelihood.sum(axis=1, keepdims=True)
    imbalanced = imbalanced / imbalanced.sum(axis=1, keepdims=True)
    assert imbalance.adjust_logits_post_hoc(imbalanced, counts) == pytest.approx(even)
    assert imbalance.adjust_logits_post_hoc(even, counts, strength=0) == pytest.approx(even)
    unseen = imbalance.adjust_logits_post_hoc(even, np.array([600, 90, 0]))
    assert (unseen[:, 2] == 0).all() and unseen.sum(axis=1) == pytest.approx(1)


def test_adjusting_the_loss_and_post_hoc_agree():
    """The loss of z + ln π is the cross-entropy of the probabilities from which the adjustment takes π back."""
    z, counts = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), np.array([600.0, 90.0, 10.0])
    label = torch.tensor([0, 1, 2, 2, 1, 0])
    biased = (z + torch.log(torch.tensor(counts / counts.sum()))).softmax(dim=1).numpy()
    assert imbalance.adjust_logits_post_hoc(biased, counts) == pytest.approx(z.softmax(dim=1).numpy(), rel=1e-4)
    loss = losses.logit_adjusted(z, label, torch.tensor(counts))
    assert loss.numpy() == pytest.approx(-np.log(biased[np.arange(6), label]), rel=1e-4)


def test_a_deferred_loss_begins_after_its_share_of_the_epochs():
    z, label, counts = torch.tensor([[0.0, 1.0]]), torch.tensor([1]), np.array([30, 10])
    plain = float(losses.class_cross_entropy(z, label))
    method = METHODS["deferred re-weighting"]
    values = [float(imbalance.loss_of_epoch(method, epoch, 10, counts)(z, label)) for epoch in range(1, 11)]
    assert values[:5] == [plain] * 5 and values[5:] == pytest.approx([2 * plain] * 5)
    assert float(imbalance.loss_of_epoch(METHODS["class-weighted"], 1, 10, counts)(z, label)) > plain


def test_a_class_without_training_images_cannot_be_weighted():
    for name in ("class-weighted", "deferred re-weighting"):
        with pytest.raises(IsicError, match="no training image"):
            imbalance.loss_of_epoch(METHODS[name], 1, 10, np.array([30, 0]))
    assert imbalance.loss_of_epoch(Method(), 1, 10, np.array([30, 0])) is losses.class_cross_entropy
