"""Where a network looks, computed from its gradients (Grad-CAM). It does not say why the network looks there."""

from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

CELLS = 4  # a feature map of fewer cells a side says hardly more than "in the image"


def grad_cam(model: nn.Module, image: torch.Tensor, class_index: int) -> np.ndarray:
    """Where an image supports a class: float [height, width] from 0 to 1, as large as the image.

    The feature maps of a late layer are added up, each weighted by how much the class's logit rises with it on average,
    and evidence against the class is left out (Selvaraju et al. 2017, arXiv:1610.02391). The layer is the last one
    whose maps have at least 4 cells a side: the last of all, which the paper takes, has four cells in all where images
    are small. Adaptive pooling is no such layer: it enlarges small maps, so they have cells but no more to say.

    model: a convolutional network, [n, 3, height, width] -> logits; image: float [3, height, width] from 0 to 1, or a
    batch of one. The map is 0 everywhere if nothing supports the class.
    """
    size, recorded = image.shape[-2:], []  # the feature maps [1, channels, h, w] of every layer, in order

    def record(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor | None:
        if output.dim() == 4:
            recorded.append(output)
            return output.clone()  # so that a ReLU that works in place leaves the recorded one alone

    with torch.enable_grad(), ExitStack() as hooks:
        for layer in model.modules():
            if not list(layer.children()) and not isinstance(layer, nn.AdaptiveAvgPool2d):
                hooks.enter_context(layer.register_forward_hook(record))
        logit = model(image.reshape(1, 3, *size))[0, class_index]
    maps = next((maps for maps in reversed(recorded) if min(maps.shape[-2:]) >= CELLS), recorded[0])
    (gradients,) = torch.autograd.grad(logit, maps)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * maps).sum(dim=1, keepdim=True).relu().float()
    heat = nn.functional.interpolate(heat, size, mode="bilinear", align_corners=False)[0, 0]
    return (heat / heat.max().clamp_min(1e-12)).detach().cpu().numpy()
