"""What trained classifiers answer to pictures at hand: to one view or to eight, one network or several.

Probabilities are float arrays [pictures, classes] from 0 to 1, each row adding up to 1.
"""

import numpy as np
import pandas as pd
import torch

from isic_utils import training
from isic_utils.errors import IsicError
from isic_utils.pictures import Pictures, batches
from isic_utils.runs import Run

LEAST = 1e-38  # so that no picture has a likelihood of 0 under every network


@torch.no_grad()
def probabilities(run: Run, photos: Pictures, images: pd.Series, views: int = 1) -> np.ndarray:
    """The probability of each class for each picture: float [n, classes], in the order of ``run.config["classes"]``.

    run: a finished one of a classifier; photos: `pictures.load`, which include the named images.
    views: 1, the picture as it is; or 8, the mean over the eight ways to lay a square on itself (test-time
    augmentation).
    Raises IsicError if the run draws masks or is not finished, or an image is not among the pictures.
    """
    if not run.finished:
        raise IsicError(f"{run.folder} holds no finished run: call training.fit again, it continues the run.")
    if "classes" not in run.config:
        raise IsicError(f"{run.folder} holds a U-Net, which names no classes: choose the run of a classifier.")
    if views not in (1, 8):
        raise IsicError(f"A square picture has 1 or 8 views, not {views}.")
    model, mixed, device = training.load(run)
    if device.type != "mps":
        model.to(memory_format=torch.channels_last)  # as in training: faster
    found = []
    labels = np.zeros(len(images), dtype=np.int64)  # not used: `batches` wants labels or masks
    for x, _ in batches(photos, photos.rows(images), labels, run.config["batch_size"], device):
        answer = 0
        for view in range(views):
            laid = x.flip(-1) if view & 1 else x
            laid = laid.flip(-2) if view & 2 else laid
            laid = laid.transpose(-1, -2) if view & 4 else laid
            with mixed:
                logits = model(laid)
            answer = answer + logits.float().softmax(dim=1) / views
        found.append(answer.cpu().numpy())
    return np.concatenate(found).astype(float)


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
