"""The losses, beside slow formulas, beside PyTorch's and scikit-learn's, and where they could break."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as sklearn_metrics
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from isic_utils.training import losses

few = settings(max_examples=40, deadline=None)
shapes = st.tuples(st.integers(1, 3), st.just(1), st.integers(1, 5), st.integers(1, 6))
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.float32, shape, elements=st.floats(-20, 20, width=32)),
        arrays.arrays(np.float32, shape, elements=st.sampled_from([0, 1])),
    )
)


def by_hand(name: str, logits: np.ndarray, mask: np.ndarray) -> list[float]:
    """The formulas pixel by pixel; a pixel is added to both areas."""
    values = []
    for image, truth in zip(logits.astype(float), mask.astype(float), strict=True):
        entropy = both = predicted = true = 0.0
        for z, y in zip(image.ravel(), truth.ravel(), strict=True):
            p = 1 / (1 + math.exp(-z))
            entropy += math.log1p(math.exp(-z)) if y == 1 else math.log1p(math.exp(z))
            both, predicted, true = both + p * y, predicted + p, true + y
        entropy /= truth.size
        jaccard = 1 - (both + 1) / (predicted + true - both + 1)
        dice = 1 - (2 * both + 1) / (predicted + true + 1)
        values.append(
            {
                "cross-entropy": entropy,
                "soft Jaccard": jaccard,
                "soft Dice": dice,
                "cross-entropy + Jaccard": entropy + jaccard,
            }[name]
        )
    return values


@few
@given(pairs)
def test_every_loss_of_masks_is_its_formula(pair):
    logits, mask = pair
    for name, loss in losses.MASK_LOSSES.items():
        values = loss(torch.from_numpy(logits), torch.from_numpy(mask))
        assert values.shape == (len(mask),) and values.dtype == torch.float32
        assert values.tolist() == pytest.approx(by_hand(name, logits, mask), abs=2e-5), name


def random_masks(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return tuple((torch.rand(6, 1, 9, 11, generator=chance) < 0.4).float() for _ in range(2))


def test_with_confident_logits_they_are_the_metrics():
    """Logits of ±1000 are probabilities of 0 and 1; only the pixel that is added to both areas differs."""
    mask, predicted = random_masks(0)
    jaccard = losses.soft_jaccard(2000 * predicted - 1000, mask)
    dice = losses.soft_dice(2000 * predicted - 1000, mask)
    for number, (a, b) in enumerate(zip(mask.bool().flatten(1), predicted.bool().flatten(1), strict=True)):
        both, either = int((a & b).sum()), int((a | b).sum())
        assert both / either == pytest.approx(sklearn_metrics.jaccard_score(a, b))
        assert float(jaccard[number]) == pytest.approx(1 - (both + 1) / (either + 1), abs=1e-6)
        assert float(dice[number]) == pytest.approx(1 - (2 * both + 1) / (int(a.sum() + b.sum()) + 1), abs=1e-6)
        assert abs(1 - float(dice[number]) - sklearn_metrics.f1_score(a, b)) < 0.02


def test_cross_entropies_are_pytorchs():
    mask, _ = random_masks(1)
    logits = torch.randn(mask.shape, generator=torch.Generator().manual_seed(2))
    values = losses.mask_cross_entropy(logits, mask)
    assert float(values.mean()) == pytest.approx(float(nn.BCEWithLogitsLoss()(logits, mask)))
    logits, label = logits[:, 0, 0], torch.arange(6)
    values = losses.class_cross_entropy(logits, label)
    assert values.shape == (6,) and torch.equal(values, nn.CrossEntropyLoss(reduction="none")(logits, label))


@pytest.mark.parametrize("name", losses.MASK_LOSSES)
@pytest.mark.parametrize("truth", ["empty", "full", "one pixel"])
@pytest.mark.parametrize("size", [0, 1, 1e4])
def test_gradients_are_finite_whatever_the_mask_and_the_logits(name, truth, size):
    mask = torch.zeros(2, 1, 6, 8) if truth != "full" else torch.ones(2, 1, 6, 8)
    if truth == "one pixel":
        mask[:, 0, 2, 3] = 1
    for sign in (-1, 1):
        logits = (sign * size * torch.ones(2, 1, 6, 8)).requires_grad_()
        value = losses.MASK_LOSSES[name](logits, mask)
        value.sum().backward()
        assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all()
    if size == 0:
        assert (logits.grad[mask == 0] > 0).all(), "skin asks for less"
        assert (logits.grad[mask == 1] < 0).all(), "lesion asks for more"


@pytest.mark.parametrize("name", losses.MASK_LOSSES)
def test_a_better_mask_has_a_smaller_loss(name):
    mask, _ = random_masks(3)
    loss = losses.MASK_LOSSES[name]
    values = [float(loss(factor * (2 * mask - 1), mask).mean()) for factor in (-8, -1, 0, 1, 8)]
    assert values == sorted(values, reverse=True) and len(set(values)) == 5 and values[-1] < 0.05


@pytest.mark.parametrize("name", losses.MASK_LOSSES)
def test_each_image_has_its_own_loss(name):
    mask, predicted = random_masks(4)
    logits = 3 * predicted - 1
    values = losses.MASK_LOSSES[name](logits, mask)
    for number in range(6):
        alone = losses.MASK_LOSSES[name](logits[number : number + 1], mask[number : number + 1])
        assert float(alone) == pytest.approx(float(values[number]), rel=1e-6)


def test_logits_of_64_bits_stay_so():
    mask, _ = random_masks(5)
    assert {loss(mask.double(), mask.double()).dtype for loss in losses.MASK_LOSSES.values()} == {torch.float64}
    logits, label = torch.zeros(1, 4, dtype=torch.float64), torch.tensor([3])
    for loss in (losses.class_weighted, losses.class_balanced, losses.focal, losses.logit_adjusted):
        assert loss(logits, label, COUNTS).dtype == torch.float64


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", losses.MASK_LOSSES)
def test_logits_of_16_bits_are_added_up_in_32(name, kind):
    """An image of 512 × 512 has more pixels than 16 bits can count."""
    mask = torch.zeros(1, 1, 512, 512)
    mask[..., :256] = 1
    logits = 4 * mask - 2
    values = losses.MASK_LOSSES[name](logits.to(kind), mask)
    assert values.dtype == torch.float32
    assert float(values) == pytest.approx(float(losses.MASK_LOSSES[name](logits, mask)), rel=1e-4)


# Losses for imbalanced classes

COUNTS = torch.tensor([100.0, 30.0, 10.0, 2.0])
CLASSES = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float32, (n, 4), elements=st.floats(-20, 20, width=32)),
        arrays.arrays(np.int64, (n,), elements=st.integers(0, 3)),
    )
)


def class_loss_by_hand(name: str, z: np.ndarray, label: int) -> float:
    """The formulas for one image, written out."""
    n = COUNTS.numpy().astype(float)
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    if name == "focal":
        return (1 - p[label]) ** 2 * -math.log(p[label])
    if name == "logit_adjusted":
        prior = n / n.sum()
        return -math.log(prior[label] * p[label] / (prior * p).sum())
    weight = 1 / n if name == "class_weighted" else (1 - 0.999) / (1 - 0.999**n)
    return weight[label] / (weight * n).sum() * n.sum() * -math.log(p[label])


@pytest.mark.parametrize("name", ["class_weighted", "class_balanced", "focal", "logit_adjusted"])
@few
@given(CLASSES)
def test_every_loss_of_classes_is_its_formula(name, pair):
    logits, label = pair
    values = getattr(losses, name)(torch.from_numpy(logits), torch.from_numpy(label), COUNTS)
    expected = [class_loss_by_hand(name, z.astype(float), y) for z, y in zip(logits, label, strict=True)]
    assert values.shape == label.shape and values.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    "loss, option", [("class_weighted", "power"), ("class_balanced", "beta"), ("focal", "gamma"),
                     ("logit_adjusted", "strength")],
)  # fmt: skip
def test_with_its_option_at_0_a_loss_is_cross_entropy(loss, option):
    logits, label = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 3])
    values = getattr(losses, loss)(logits, label, COUNTS, **{option: 0.0})
    assert values.tolist() == pytest.approx(losses.class_cross_entropy(logits, label).tolist(), rel=1e-5)


def test_focal_is_torchvisions_with_two_classes():
    """A sigmoid of z is a softmax of (0, z)."""
    z = torch.linspace(-6, 6, 13)
    for gamma in (0.0, 1.0, 2.0, 5.0):
        for label in (0, 1):
            truth = torch.full((13,), label)
            theirs = sigmoid_focal_loss(z, truth.float(), alpha=-1, gamma=gamma)
            ours = losses.focal(torch.stack([torch.zeros(13), z], dim=1), truth, COUNTS[:2], gamma)
            assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-3, abs=1e-6)


def test_class_weights_are_scikit_learns():
    label = torch.repeat_interleave(torch.arange(4), COUNTS.long())
    theirs = compute_class_weight("balanced", classes=np.arange(4), y=label.numpy())
    logits = torch.randn(len(label), 4, generator=torch.Generator().manual_seed(1))
    mean = losses.class_weighted(logits, label, COUNTS).mean()
    weighted = nn.CrossEntropyLoss(torch.tensor(theirs, dtype=torch.float32))(logits, label)  # over the weights' sum
    assert float(mean) == pytest.approx(float(weighted), rel=1e-4)


def test_near_beta_1_class_balanced_is_class_weighted():
    """Near β = 1 every image counts, and the loss is the weighted one."""
    logits, label = torch.randn(4, 4, generator=torch.Generator().manual_seed(2)), torch.arange(4)
    near = losses.class_balanced(logits, label, COUNTS.double(), beta=1 - 1e-9)
    assert near.tolist() == pytest.approx(losses.class_weighted(logits, label, COUNTS.double()).tolist(), rel=1e-4)


def test_soft_labels_give_the_mean_of_the_losses():
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(3))
    soft = torch.tensor([[0.7, 0.0, 0.0, 0.3]])
    for loss in (losses.class_weighted, losses.class_balanced, losses.logit_adjusted):
        one, other = (float(loss(logits, torch.tensor([label]), COUNTS)) for label in (0, 3))
        assert float(loss(logits, soft, COUNTS)) == pytest.approx(0.7 * one + 0.3 * other, rel=1e-5)
