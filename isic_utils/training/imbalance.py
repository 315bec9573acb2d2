"""Remedies for skewed classes that throw no picture away, beside the thesis's own, which does (§5.3).

A remedy acts in one of four places: on the loss (`losses`), on what an epoch sees (`weighted_sampler`,
`undersampling`), on the batches (`mixup`), or on the finished answer (`adjusted`). `REMEDIES` is a grid: one more line
is one more remedy, for lesson 08, for `training.fit` and for the shell alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from isic_utils.errors import IsicError
from isic_utils.training import losses

# What an epoch sees. labels: integer [n]; each returns n positions, so that every remedy takes as many steps.


def everything(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Each picture once."""
    return np.arange(len(labels))


def weighted_sampler(labels: np.ndarray, seed: int, epoch: int, power: float = 1.0) -> np.ndarray:
    """n pictures with replacement, each with a chance ∝ (1 / n_c)^power, where n_c is the size of its class; power: 1
    draws every class equally often.

    The chance belongs to a *picture*. PyTorch's WeightedRandomSampler wants n weights too: given one for each class, it
    draws the first eight pictures of the table and no other.
    """
    weights = np.bincount(labels)[labels] ** -float(power)
    return np.random.default_rng([seed, epoch]).choice(len(labels), size=len(labels), p=weights / weights.sum())


def undersampling(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """As many pictures of each class as the smallest one has, the same ones in every epoch; the others are thrown away.

    This is the idea of thesis §5.3 (which merges the four smallest classes first, to throw away less). What is left
    comes several times in an epoch.
    """
    chance = np.random.default_rng(seed)
    classes = [chance.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    fewest = min(map(len, classes))
    in_turn = np.stack([positions[:fewest] for positions in classes], axis=1)  # one of each class, then the next ones
    return np.resize(in_turn, len(labels))  # again from the start; wherever it ends, the classes are balanced


def mixup(
    part: Iterator[tuple[torch.Tensor, torch.Tensor]], alpha: float, classes: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches in which every picture is laid over another one, and their labels too: x = λ x₁ + (1 - λ) x₂,
    y = λ y₁ + (1 - λ) y₂, with λ from Beta(α, α), one for each batch (Zhang et al. 2018, arXiv:1710.09412).

    part: yields (anything [n, …], label [n]); alpha: α, small: most pictures stay nearly as they were. Yields the
    mixture and the shares of the classes in it, float [n, classes].
    """
    chance = np.random.default_rng(seed)
    for x, label in part:
        share = chance.beta(alpha, alpha)
        others = torch.from_numpy(chance.permutation(len(x))).to(x.device)
        y = nn.functional.one_hot(label, classes).float()
        yield share * x + (1 - share) * x[others], share * y + (1 - share) * y[others]


def adjusted(probabilities: np.ndarray, counts: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Logit adjustment afterwards: the probabilities divided by π_c^τ, where π_c is the class's share of the training
    pictures, and scaled to add up to 1 again (Menon et al. 2021, arXiv:2007.07314, Eq. 9).

    A trained network knows which class is frequent and uses it; this takes it back, without training. probabilities:
    float [n, classes]; counts: training pictures of each class [classes]; strength: τ. A class without a training
    picture gets 0.
    """
    counts = np.asarray(counts, float)
    odds = np.divide(1, (counts / counts.sum()) ** strength, out=np.zeros_like(counts), where=counts > 0)
    raised = probabilities * odds
    return raised / raised.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Remedy:
    """What a remedy changes; what it leaves as it is, is plain training with cross-entropy.

    loss: takes logits [n, classes], labels and the training pictures of each class [classes], and returns a value for
    each picture; None: cross-entropy. begins: the share of the epochs after which this loss takes over.
    draw: which pictures an epoch sees. mixup: its α; 0: none.
    afterwards: the strength τ of `adjusted`, applied to the finished answer; 0: not at all.
    """

    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    begins: float = 0.0
    draw: Callable[[np.ndarray, int, int], np.ndarray] = everything
    mixup: float = 0.0
    afterwards: float = 0.0


NO_PICTURE = "A class has no training picture, so no remedy can weight it: choose more pictures."

REMEDIES = {
    "cross-entropy": Remedy(),
    "undersampling": Remedy(draw=undersampling),
    "class-weighted": Remedy(loss=losses.class_weighted),
    "class-balanced": Remedy(loss=losses.class_balanced),
    "focal": Remedy(loss=losses.focal),
    "weighted sampler": Remedy(draw=weighted_sampler),
    "logit adjustment": Remedy(loss=losses.logit_adjusted),
    "logit adjustment afterwards": Remedy(afterwards=1.0),
    "deferred re-weighting": Remedy(loss=losses.class_weighted, begins=0.5),
    "mixup": Remedy(mixup=0.2),
    "logit adjustment and mixup": Remedy(loss=losses.logit_adjusted, mixup=0.2),
}


def named(name: str | None) -> Remedy:
    """The remedy of this name; None: plain cross-entropy. Raises IsicError for a name that is not in `REMEDIES`."""
    name = "cross-entropy" if name is None else name
    if name not in REMEDIES:
        raise IsicError(f"There is no remedy {name!r}: choose one of {', '.join(REMEDIES)}.")
    return REMEDIES[name]


def for_training(name: str | None) -> Remedy:
    """As `named`, for `training.fit`. Raises IsicError for one that acts on the finished answer: nothing is trained."""
    remedy = named(name)
    if remedy.afterwards:
        raise IsicError(
            f"{name!r} does not change training: train with cross-entropy and give the probabilities of the run to "
            "remedies.adjusted."
        )
    return remedy


def loss_at(remedy: Remedy, epoch: int, epochs: int, counts: np.ndarray) -> Callable:
    """The loss of an epoch, of logits and labels alone. epoch: from 1 on; counts: training pictures of each class.

    Raises IsicError, in the first epoch already, if the remedy has a loss of its own and a class no training picture.
    """
    if remedy.loss is not None and not np.all(counts):
        raise IsicError(NO_PICTURE)
    if remedy.loss is None or epoch <= remedy.begins * epochs:
        return losses.class_cross_entropy
    counts = torch.tensor(counts, dtype=torch.float32)
    return lambda logits, label: remedy.loss(logits, label, counts.to(logits.device))


def description(remedy: Remedy) -> dict:
    """What a remedy changes, as plain values, for a run's config: empty for plain cross-entropy.

    Raises IsicError for a lambda, which two different remedies could have in common.
    """
    texts = {name: in_words(value) for name, value in vars(remedy).items() if value != getattr(Remedy(), name)}
    if any("<lambda>" in str(text) for text in texts.values()):
        raise IsicError("A remedy's loss or draw is a lambda, which has no name to be found by: write it with def.")
    return texts


def in_words(value: object) -> object:
    """A function as its name, with the options that `functools.partial` gave it; a number as it is."""
    if isinstance(value, partial):
        return f"{value.func.__name__}, {', '.join(f'{name} {option}' for name, option in value.keywords.items())}"
    return value.__name__ if callable(value) else value
