"""The learning-rate schedule: how large the steps of a training are, from its first step to its last."""

import math


def warm_up_and_cosine(step: int, steps: int, warm_up: float) -> float:
    """The learning rate of a step as a fraction of the peak: a linear warm-up from a tenth of it over the fraction
    `warm_up` of all steps, then cosine decay to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    rise = warm_up * steps
    if step < rise:
        return 0.1 + 0.9 * step / rise
    return (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2
