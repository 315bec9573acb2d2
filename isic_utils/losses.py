"""What training makes small. Every loss takes logits and the truth and returns a value for each picture [n]."""

import torch
from torch import nn

SMOOTH = 1.0  # a pixel added to both areas, so that an empty mask has a slope too


def class_cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """-ln of the probability that the softmax gives to the right class. logits: [n, classes]; label: integer [n]."""
    return nn.functional.cross_entropy(logits.float(), label, reduction="none")


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
