"""Stronger augmentation, for long fine-tuning: a network that sees the same pictures twenty times learns them by heart.

`pictures.augment` mirrors and lights; this turns, zooms and colours as well. A whole batch is changed at a time, on the
device that trains.
"""

import math

import torch
from torch import nn

ZOOM = 0.25  # the size of a lesion varies by a factor from e^-0.25 to e^0.25
STRETCH = 0.1  # its height against its width by the same kind of factor
SHIFT = 0.075  # its place by this share of half a picture
LIGHT, CONTRAST, SATURATION = 0.15, 0.15, 0.15  # these by up to 15 %
TINT = 0.05  # the balance of the colours by up to 5 %


def strongly(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A batch of pictures, each turned by any angle, zoomed, stretched, shifted and coloured by chance.

    x: float [n, 3, height, width] from 0 to 1 on any device, and so is what is returned; generator: on the CPU, so
    every device draws the same chance. What a turned picture lacks at its corners is mirrored into them.
    """

    def chance(*shape: int) -> torch.Tensor:  # from -1 to 1
        return torch.rand(len(x), *shape, generator=generator) * 2 - 1

    angle, zoom, stretch = chance() * math.pi, torch.exp(ZOOM * chance()), torch.exp(STRETCH * chance())
    across = torch.stack([zoom * stretch * angle.cos(), -zoom * stretch * angle.sin(), SHIFT * chance()], dim=1)
    down = torch.stack([zoom / stretch * angle.sin(), zoom / stretch * angle.cos(), SHIFT * chance()], dim=1)
    grid = nn.functional.affine_grid(torch.stack([across, down], dim=1).to(x.device), x.shape, align_corners=False)
    x = nn.functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    light, contrast, saturation = (
        1 + strength * chance(1, 1, 1).to(x.device) for strength in (LIGHT, CONTRAST, SATURATION)
    )
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * contrast + mean * light
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation
    return (x * (1 + TINT * chance(3, 1, 1).to(x.device))).clamp(0, 1)
