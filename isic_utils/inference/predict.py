"""What trained classifiers answer to pictures at hand: to one view or to eight, one network or several.

Probabilities are float arrays [pictures, classes] from 0 to 1, each row adding up to 1.
"""

import numpy as np
import pandas as pd
import torch

from isic_utils.datasets.images import Pictures, batches
from isic_utils.errors import IsicError
from isic_utils.training import fit as training, memory, runs
from isic_utils.training.runs import Run

LEAST = 1e-38  # so that no picture has a likelihood of 0 under every network


@torch.no_grad()
def probabilities(run: Run, photos: Pictures, images: pd.Series, views: int = 1) -> np.ndarray:
    """The probability of each class for each picture: float [n, classes], in the order of ``run.config["classes"]``.

    run: a finished one of a classifier; photos: `pictures.load`, which include the named images.
    views: 1, the picture as it is; or 8, the mean over the eight ways to lay a square on itself (test-time
    augmentation).
    Raises IsicError if the run draws masks or is not finished, or an image is not among the pictures.
    """
    runs.check(run, classifies=True)
    if views not in (1, 8):
        raise IsicError(f"A square picture has 1 or 8 views, not {views}.")
    model, mixed, device = training.load(run)
    memory.keep()
    if device.type != "mps":
        model.to(memory_format=torch.channels_last)  # as in training: faster
    found = []
    for x, _ in batches(photos, photos.rows(images), None, run.config["batch_size"], device):
        looks = eight(x) if views == 8 else [x]
        with mixed:
            logits = [model(look) for look in looks]
        found.append(torch.stack([one.float().softmax(dim=1) for one in logits]).mean(dim=0).cpu().numpy())
    return np.concatenate(found).astype(float)


def eight(x: torch.Tensor) -> list[torch.Tensor]:
    """The eight ways to lay a square on itself: [n, 3, side, side] -> eight of them, the first as it is."""
    turned = [x.rot90(quarters, dims=(-2, -1)) for quarters in range(4)]
    return turned + [view.flip(-1) for view in turned]


def validation_weights(networks: list[np.ndarray], true: np.ndarray) -> np.ndarray:
    """How much each network should count in a weighted mean of their probabilities: float [networks], adding up to 1.

    They are the weights under which the mean gives the right classes the highest likelihood, found on pictures that
    none of the networks was trained on: the validation part, never the test part. (Expectation maximisation for the
    weights of a mixture, Dempster et al. 1977, doi:10.1111/j.2517-6161.1977.tb01600.x.)

    networks: probabilities [n, classes] of each network; true: classes as integers [n].
    """
    of_true = np.stack([answers[np.arange(len(true)), true] for answers in networks], axis=1).astype(float) + LEAST
    weights = np.full(len(networks), 1 / len(networks))
    for _ in range(500):
        shares = weights * of_true
        weights = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    return weights
