"""What training makes small. Every loss takes logits and the truth and returns a value for each picture [n]."""

import torch
from torch import nn

SMOOTH = 1.0  # a pixel added to both areas, so that an empty mask has a slope too


def class_cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """-ln of the probability that the softmax gives to the right class. logits: [n, classes]; label: integer [n], or
    the shares of the classes, float [n, classes], where `remedies.mixup` has mixed."""
    return nn.functional.cross_entropy(logits.float(), label, reduction="none")


# Remedies for skewed classes. counts: float [classes], the training pictures of each class, at least one.


def class_weighted(logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    """Cross-entropy, times a weight that is large for a small class: w_c ∝ (1 / n_c)^power.

    power: 1 gives every class the same say in sum, 0 is plain cross-entropy, and what lies between is milder. An old
    idea; the mean weight over the training pictures is 1, as scikit-learn's ``class_weight="balanced"`` has it.
    """
    return weighted(logits, label, counts, counts**-power)


def class_balanced(
    logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, beta: float = 0.999
) -> torch.Tensor:
    """Cross-entropy, weighted by the effective number of pictures: w_c ∝ (1 - β) / (1 - β^n_c) (Cui et al. 2019,
    arXiv:1901.05555, Eq. 2).

    The thousandth picture of a class shows less that is new than the tenth. n pictures count as (1 - β^n) / (1 - β),
    which is n while n is small and never more than 1 / (1 - β). beta: 0 is plain cross-entropy, near 1 is
    `class_weighted`.
    """
    effective = (1 - beta**counts) / (1 - beta)
    return weighted(logits, label, counts, 1 / effective)


def weighted(logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy times the weight of the right class. weights: float [classes], scaled so that the mean over the
    training pictures is 1: else a remedy would also change the size of the steps."""
    weights = weights * counts.sum() / (weights * counts).sum()
    return nn.functional.cross_entropy(logits.float(), label, weights.float(), reduction="none")


def focal(logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """-(1 - p)^γ ln p, where p is the probability of the right class (Lin et al. 2017, arXiv:1708.02002, Eq. 4).

    What is sure already counts little, whichever class it is of: it looks at difficulty and not at `counts`.
    gamma: 0 is plain cross-entropy.
    """
    entropy = class_cross_entropy(logits, label)  # -ln p
    return (1 - torch.exp(-entropy)) ** gamma * entropy


def logit_adjusted(
    logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, strength: float = 1.0
) -> torch.Tensor:
    """Cross-entropy of z_c + τ ln π_c, where π_c is the class's share of the training pictures (Menon et al. 2021,
    arXiv:2007.07314, Eq. 10; with τ = 1 it is the balanced softmax of Ren et al. 2020, arXiv:2007.10740).

    In training a frequent class gets a start, so the network need not learn that it is frequent; when it is asked, the
    start is gone, and all classes are equally likely beforehand. strength: τ; 0 is plain cross-entropy.
    """
    return class_cross_entropy(logits.float() + strength * torch.log(counts / counts.sum()), label)


def mask_cross_entropy(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """-ln of the probability that the sigmoid gives to what a pixel is, lesion or not; the mean over the picture.

    logits: [n, 1, height, width]; mask: the same shape, 1 on the lesion and 0 elsewhere. Every pixel counts the same,
    so a small lesion counts little.
    """
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), mask, reduction="none").mean(dim=(1, 2, 3))


def soft_jaccard(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """1 - |A ∩ B| / |A ∪ B| with probabilities in the place of yes and no, so that it has a slope (Rahman and Wang
    2016, doi:10.1007/978-3-319-50835-1_22). Arguments as in `mask_cross_entropy`; from 0 to 1."""
    probability = logits.float().sigmoid()
    both = (probability * mask).sum(dim=(1, 2, 3))
    either = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3)) - both
    return 1 - (both + SMOOTH) / (either + SMOOTH)


def soft_dice(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """1 - 2 |A ∩ B| / (|A| + |B|) with probabilities in the place of yes and no (Milletari et al. 2016,
    arXiv:1606.04797). Arguments as in `mask_cross_entropy`; from 0 to 1."""
    probability = logits.float().sigmoid()
    both = (probability * mask).sum(dim=(1, 2, 3))
    areas = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    return 1 - (2 * both + SMOOTH) / (areas + SMOOTH)


def cross_entropy_and_jaccard(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The sum of `mask_cross_entropy` and `soft_jaccard`: the first gives slopes everywhere, the second asks for what
    is scored."""
    return mask_cross_entropy(logits, mask) + soft_jaccard(logits, mask)


OF_MASKS = {
    "cross-entropy": mask_cross_entropy,
    "soft Jaccard": soft_jaccard,
    "soft Dice": soft_dice,
    "both": cross_entropy_and_jaccard,
}
