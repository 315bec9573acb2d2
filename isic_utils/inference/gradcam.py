"""Where a network looks: Grad-CAM asks its slopes. It does not say why the network looks there."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

# they put a rim around a map, or make one of another size from it: its cells no longer say where in the picture
REFRAMING = (nn.ConstantPad2d, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.AdaptiveAvgPool2d)
CELLS = 4  # a map of fewer cells a side says hardly more than "in the picture"


def grad_cam(model: nn.Module, picture: torch.Tensor, number: int) -> np.ndarray:
    """Where a picture speaks for a class: float [height, width] from 0 to 1, as large as the picture.

    The filters of a late layer are added up, each by how much the class's logit rises with it, and what speaks
    against the class is left out (Selvaraju et al. 2017, arXiv:1610.02391). The map is the last one of at least 4 cells
    a side; the last of all, which the paper takes, has four cells in all where pictures are small.

    picture: float [1, 3, height, width] from 0 to 1; number: the class. The map is 0 everywhere if nothing speaks for
    the class.
    """
    with torch.enable_grad(), kept_maps(model) as maps:
        logit = model(picture)[0, number]
    kept = next((one for one in reversed(maps) if min(one.shape[-2:]) >= CELLS), maps[0])
    (slopes,) = torch.autograd.grad(logit, kept)
    weights = slopes.mean(dim=(2, 3), keepdim=True)
    speaks = (weights * kept).sum(dim=1, keepdim=True).relu()
    speaks = nn.functional.interpolate(speaks.float(), picture.shape[-2:], mode="bilinear", align_corners=False)
    return (speaks / speaks.max().clamp_min(1e-12))[0, 0].detach().cpu().numpy()


@contextmanager
def kept_maps(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Keeps every map [1, filters, height, width] that a layer answers while the model answers, in a list, in order.

    Layers that only frame a map anew (`REFRAMING`) are left out.
    """
    maps = []

    def keep(layer: nn.Module, before: tuple, after: torch.Tensor) -> torch.Tensor | None:
        if after.dim() == 4:
            maps.append(after)
            return after.clone()  # so that a ReLU that works in place leaves the kept one alone
        return None

    leaves = [layer for layer in model.modules() if not list(layer.children()) and not isinstance(layer, REFRAMING)]
    hooks = [layer.register_forward_hook(keep) for layer in leaves]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()
