"""What training minimises. Every loss takes logits and the truth and returns a value for each image [n].

A loss for masks is used through `MASK_LOSSES`, one for imbalanced classes through `imbalance.METHODS`.
Logits of 16 bits (mixed precision) are computed with in 32, because sums over many pixels leave the range of 16.
"""

import torch
from torch import Tensor
from torch.nn import functional

SMOOTH = 1.0  # a pixel added to both areas, so that an empty mask has a gradient too


def widened(logits: Tensor) -> Tensor:
    """Logits in at least 32 bits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def class_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-ln of the probability that the softmax gives to the true class.

    logits: [n, classes]; label: integer [n], or soft labels, float [n, classes], as `imbalance.mixup` makes them.
    """
    return functional.cross_entropy(widened(logits), label, reduction="none")


# Losses for imbalanced classes. counts: float [classes], the training images of each class, at least one.


def class_weighted(logits: Tensor, label: Tensor, counts: Tensor, power: float = 1.0) -> Tensor:
    """Cross-entropy, times a weight that is large for a rare class: w_c ∝ (1 / n_c)^power.

    power: 1 gives every class the same total weight, 0 is plain cross-entropy, values between are milder. The mean
    weight over the training images is 1, as with scikit-learn's ``class_weight="balanced"``.
    """
    return weighted(logits, label, counts, counts**-power)


def class_balanced(logits: Tensor, label: Tensor, counts: Tensor, beta: float = 0.999) -> Tensor:
    """Cross-entropy, weighted by the effective number of images: w_c ∝ (1 - β) / (1 - β^n_c) (Cui et al. 2019,
    arXiv:1901.05555, Eq. 2).

    The thousandth image of a class shows less that is new than the tenth. n images count as (1 - β^n) / (1 - β), which
    is about n while n is small and never more than 1 / (1 - β). beta: 0 is plain cross-entropy, near 1 is
    `class_weighted`.
    """
    effective = (1 - beta**counts) / (1 - beta)
    return weighted(logits, label, counts, 1 / effective)


def weighted(logits: Tensor, label: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy times the weight of the true class. weights: float [classes]; they are scaled to a mean of 1 over
    the training images, because otherwise the size of the optimiser's steps would change too."""
    weights = weights * counts.sum() / (weights * counts).sum()
    logits = widened(logits)
    return functional.cross_entropy(logits, label, weights.to(logits.dtype), reduction="none")


def focal(logits: Tensor, label: Tensor, counts: Tensor, gamma: float = 2.0) -> Tensor:
    """-(1 - p)^γ ln p, where p is the probability of the true class (Lin et al. 2017, arXiv:1708.02002, Eq. 4).

    An image that is already predicted with confidence counts little, whatever its class: the loss weights by difficulty
    and ignores `counts`. gamma: 0 is plain cross-entropy.
    """
    entropy = class_cross_entropy(logits, label)  # -ln p
    return (1 - torch.exp(-entropy)) ** gamma * entropy


def logit_adjusted(logits: Tensor, label: Tensor, counts: Tensor, strength: float = 1.0) -> Tensor:
    """Cross-entropy of z_c + τ ln π_c, where π_c is the class's prior, its share of the training images (Menon et al.
    2021, arXiv:2007.07314, Eq. 10; with τ = 1 the balanced softmax of Ren et al. 2020, arXiv:2007.10740).

    In training the prior is added to the logits, so the network need not learn it; in prediction it is left out, which
    makes all classes equally likely a priori. strength: τ; 0 is plain cross-entropy.
    """
    return class_cross_entropy(widened(logits) + strength * torch.log(counts / counts.sum()), label)


# Losses for masks. logits: [n, 1, height, width]; mask: the same shape, 1 on the lesion and 0 elsewhere.


def mask_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """-ln of the probability that the sigmoid gives to the truth of a pixel, averaged over the image.

    Every pixel counts the same, so a small lesion counts little.
    """
    return functional.binary_cross_entropy_with_logits(widened(logits), mask, reduction="none").mean(dim=(1, 2, 3))


def soft_areas(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """|A ∩ B| and |A| + |B| with probabilities in place of 0 and 1, so that both have a gradient: float [n]."""
    probability = widened(logits).sigmoid()
    return (probability * mask).sum(dim=(1, 2, 3)), (probability + mask).sum(dim=(1, 2, 3))


def soft_jaccard(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - |A ∩ B| / |A ∪ B| of soft areas, from 0 to 1 (Rahman and Wang 2016, doi:10.1007/978-3-319-50835-1_22)."""
    both, total = soft_areas(logits, mask)
    return 1 - (both + SMOOTH) / (total - both + SMOOTH)


def soft_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - 2 |A ∩ B| / (|A| + |B|) of soft areas, from 0 to 1 (Milletari et al. 2016, arXiv:1606.04797)."""
    both, total = soft_areas(logits, mask)
    return 1 - (2 * both + SMOOTH) / (total + SMOOTH)


def cross_entropy_and_jaccard(logits: Tensor, mask: Tensor) -> Tensor:
    """The sum of `mask_cross_entropy` and `soft_jaccard`: the first has a gradient at every pixel, the second is close
    to the score."""
    return mask_cross_entropy(logits, mask) + soft_jaccard(logits, mask)


MASK_LOSSES = {
    "cross-entropy": mask_cross_entropy,
    "soft Jaccard": soft_jaccard,
    "soft Dice": soft_dice,
    "cross-entropy + Jaccard": cross_entropy_and_jaccard,
}
