"""Where a network looks: Grad-CAM asks its slopes. It does not say why the network looks there."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

CELLS = 7  # a map of fewer cells a side says hardly more than "in the picture"


def grad_cam(model: nn.Module, picture: torch.Tensor, number: int) -> np.ndarray:
    """Where a picture speaks for a class: float [height, width] from 0 to 1, as large as the picture.

    The filters of a late layer are added up, each by how much the class's logit rises with it, and what speaks
    against the class is left out (Selvaraju et al. 2017, arXiv:1610.02391). The layer is the last one whose map has at
    least 7 cells a side; the last of all, which the paper takes, has four cells in all where pictures are small.

    picture: float [1, 3, height, width] from 0 to 1; number: the class. The map is 0 everywhere if nothing speaks for
    the class.
    """
    with torch.enable_grad(), kept_map(model, late_layer(model, picture)) as kept:
        logit = model(picture)[0, number]
        (slopes,) = torch.autograd.grad(logit, kept)
    weights = slopes.mean(dim=(2, 3), keepdim=True)
    speaks = (weights * kept[0]).sum(dim=1, keepdim=True).relu()
    speaks = nn.functional.interpolate(speaks.float(), picture.shape[-2:], mode="bilinear", align_corners=False)
    return (speaks / speaks.max().clamp_min(1e-12))[0, 0].detach().cpu().numpy()


@torch.no_grad()
def late_layer(model: nn.Module, picture: torch.Tensor) -> nn.Module:
    """The last layer whose answer is a map of at least `CELLS` cells a side; of a smaller picture the first layer."""
    maps = []

    def note(layer: nn.Module, before: tuple, after: torch.Tensor) -> None:
        if after.dim() == 4:
            maps.append((layer, min(after.shape[-2:])))

    leaves = [layer for layer in model.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in leaves]
    try:
        model(picture)
    finally:
        for hook in hooks:
            hook.remove()
    return next((layer for layer, side in reversed(maps) if side >= CELLS), maps[0][0])


@contextmanager
def kept_map(model: nn.Module, layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Keeps what a layer answers while the model answers, in a list."""
    kept = []

    def keep(layer: nn.Module, before: tuple, after: torch.Tensor) -> torch.Tensor:
        kept[:] = [after]
        return after.clone()  # so that a ReLU that works in place leaves the kept one alone

    hook = layer.register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()
