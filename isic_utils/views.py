"""Test-time augmentation: a lesion has no up or down, so a classifier may be asked eight times."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from isic_utils import training
from isic_utils.pictures import Pictures, batches
from isic_utils.runs import Run


def eight(x: torch.Tensor) -> list[torch.Tensor]:
    """The eight ways to lay a square on itself: [n, 3, side, side] -> eight of them, the first as it is."""
    turned = [x.rot90(quarters, dims=(-2, -1)) for quarters in range(4)]
    return turned + [view.flip(-1) for view in turned]


@torch.no_grad()
def probabilities(
    run: Run, pictures: Pictures, images: pd.Series, checkpoint: str | None = None, batch_size: int = 16
) -> np.ndarray:
    """What a trained classifier says of some pictures: the mean over eight views of each, float [n, classes].

    checkpoint: as in `Run.predictions`; batch_size: how many pictures are in memory at a time.
    """
    model, mixed, device = training.load(run, checkpoint)
    rows = pictures.rows(images)
    answers = []
    for x, _ in batches(pictures, rows, np.zeros(len(rows), np.int64), batch_size, device):
        with mixed:
            logits = [model(view) for view in eight(x)]
        answers.append(torch.stack([nn.functional.softmax(one.float(), dim=1) for one in logits]).mean(dim=0).cpu())
    return torch.cat(answers).numpy()
