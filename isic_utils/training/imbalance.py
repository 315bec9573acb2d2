"""Methods for imbalanced classes that need no other split, beside the thesis's own, which throws images away (§5.3).

A method acts in one of four places: on the loss (`losses`), on the images of an epoch (`weighted_sampler`,
`undersampling`), on a batch (`mixup`), or on the predictions (`adjust_logits_post_hoc`). A new line in `METHODS` is a
new method, for lesson 08, for `training.fit` and for the command line alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Sampler, SubsetRandomSampler, WeightedRandomSampler

from isic_utils.errors import IsicError
from isic_utils.metrics.calibration import correct_prior
from isic_utils.training import losses

# Samplers: torch's own, whose order follows from the seed and the epoch, so that an interrupted run can go on.
# Both draw as many images as there are, so that every method takes the same number of steps.


class SeededByEpoch:
    """Gives a sampler that has a `generator` the method `set_epoch`, which `DataLoader`s of accelerate call too."""

    def __init__(self, *arguments, seed: int):
        super().__init__(*arguments, generator=Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Start the random numbers of this epoch; without a call, each pass goes on with the next ones."""
        self.generator.manual_seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))


class WeightedSampler(SeededByEpoch, WeightedRandomSampler):
    """torch's WeightedRandomSampler with `set_epoch`."""


class UndersamplingSampler(SeededByEpoch, SubsetRandomSampler):
    """torch's SubsetRandomSampler with `set_epoch`."""


def weighted_sampler(labels: np.ndarray, seed: int, power: float = 1.0) -> WeightedRandomSampler:
    """n images with replacement, each with a probability ∝ (1 / n_c)^power, where n_c is the size of its class.

    labels: integer [n]; power: 1 draws every class equally often, 0 every image. The weight belongs to an *image*:
    given one weight per class, WeightedRandomSampler would draw the first eight images of the table and no other.
    """
    weights = np.bincount(labels)[labels] ** -float(power)
    return WeightedSampler(torch.from_numpy(weights), len(labels), seed=seed)


def undersampling(labels: np.ndarray, seed: int) -> Sampler:
    """As many images of each class as the smallest one has, the same in every epoch; the others are thrown away.

    This is the idea of thesis §5.3 (which merges the four smallest classes first, to throw away less). labels: integer
    [n]. What is left comes several times in an epoch of n images, in an order of its own.
    """
    generator = np.random.default_rng(seed)
    classes = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    in_turn = list(zip(*classes, strict=False))  # an image of each class, and again, until the smallest has no more
    return UndersamplingSampler(np.resize(in_turn, len(labels)).tolist(), seed=seed)  # repeated up to n: still balanced


def mixup(images: Tensor, labels: Tensor, classes: int, alpha: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """A batch in which every image is blended with another one, and their labels too: x = λ x₁ + (1 - λ) x₂,
    y = λ y₁ + (1 - λ) y₂, with one λ from Beta(α, α) for the batch (Zhang et al. 2018, arXiv:1710.09412).

    images: float [n, …]; labels: integer [n]; alpha: a small α leaves most images nearly as they were; generator: on
    the CPU. Returns the blended images and soft labels, float [n, classes].
    """
    seed = int(torch.randint(2**32, (), generator=generator))  # torch's beta distribution takes no generator
    ratio = np.random.default_rng(seed).beta(alpha, alpha)
    others = torch.randperm(len(images), generator=generator).to(images.device)
    soft = torch.nn.functional.one_hot(labels, classes).to(images.dtype)
    return ratio * images + (1 - ratio) * images[others], ratio * soft + (1 - ratio) * soft[others]


def adjust_logits_post_hoc(probabilities: np.ndarray, counts: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Post-hoc logit adjustment: the probabilities divided by π_c^τ, where π_c is the class's prior, its share of the
    training images, and scaled to sum to 1 again (Menon et al. 2021, arXiv:2007.07314, Eq. 9).

    A trained network has learnt which class is frequent; the division removes that, without training. In logits it is
    the subtraction of τ ln π_c; with τ = 1 it is `correct_prior` to equal priors. probabilities: float [n, classes];
    counts: training images of each class [classes]; strength: τ. A class without a training image gets 0.
    """
    counts = np.asarray(counts, float)
    return correct_prior(probabilities, (counts / counts.sum()) ** strength, counts > 0)


@dataclass(frozen=True)
class Method:
    """What a method changes in plain training with cross-entropy.

    loss: takes logits [n, classes], labels and the training images of each class [classes], and returns a value for
    each image; None: cross-entropy. deferred: the share of the epochs, from 0 to 1, before this loss takes over.
    sampler: takes labels [n] and a seed; None: each image once, shuffled. mixup: its α; 0: no mixup.
    post_hoc: the strength τ of `adjust_logits_post_hoc`, which changes predictions and no training; 0: none.
    """

    loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    deferred: float = 0.0
    sampler: Callable[[np.ndarray, int], Sampler] | None = None
    mixup: float = 0.0
    post_hoc: float = 0.0


METHODS = {
    "cross-entropy": Method(),
    "undersampling": Method(sampler=undersampling),
    "class-weighted": Method(loss=losses.class_weighted),
    "class-balanced": Method(loss=losses.class_balanced),
    "focal": Method(loss=losses.focal),
    "weighted sampler": Method(sampler=weighted_sampler),
    "logit adjustment": Method(loss=losses.logit_adjusted),
    "post-hoc logit adjustment": Method(post_hoc=1.0),
    "deferred re-weighting": Method(loss=losses.class_weighted, deferred=0.5),
    "mixup": Method(mixup=0.2),
    "logit adjustment and mixup": Method(loss=losses.logit_adjusted, mixup=0.2),
}


def loss_of_epoch(method: Method, epoch: int, epochs: int, counts: np.ndarray) -> Callable:
    """The loss of an epoch: takes logits [n, classes] and labels, and returns a value for each image [n].

    epoch: from 1 to epochs; counts: training images of each class [classes]. Raises IsicError, in the first epoch
    already, if the method has a loss of its own and a class no training image.
    """
    if method.loss is not None and not np.all(counts):
        raise IsicError("A class has no training image, so no loss can weight it: choose more images.")
    if method.loss is None or epoch <= method.deferred * epochs:
        return losses.class_cross_entropy
    counts = torch.tensor(counts, dtype=torch.float32)
    return lambda logits, label: method.loss(logits, label, counts.to(logits.device))
