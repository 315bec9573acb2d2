"""Augmentation of a whole batch at a time, on the device that trains.

An augmentation takes a batch as a DataLoader returns it, and a generator::

    images, targets = augment(images.to(device), targets.to(device), torch.Generator().manual_seed(0))

images: float [n, 3, height, width] from 0 to 1 on any device; targets: labels [n] or soft labels [n, classes], which
come back as they are, or masks [n, 1, height, width], which move with their images; generator: on the CPU, so every
device draws the same random numbers. The inputs stay as they are.
"""

import torch
from torch import Generator, Tensor, nn

from isic_utils.errors import IsicError

ZOOM, STRETCH = 0.25, 0.1  # factors from e^-z to e^z of the size of a lesion, and of its height against its width
SHIFT = 0.075  # its position by this fraction of half an image
BRIGHTNESS, CONTRAST, SATURATION = 0.15, 0.15, 0.15  # these by up to 15 %
TINT = 0.05  # the balance of the colours by up to 5 %


def augment(images: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Flips, rotations by 90 degrees, and brightness jitter of ±10 %.

    A lesion has no up or down: the 8 orientations of a square are equally likely, or the 4 of an image that is wider
    than high. The order of a shuffled batch is random already, so an eighth of the batch gets each orientation, which
    is much faster than drawing one for each image. images, targets, generator: see this module.
    """
    ways = 8 if images.shape[-1] == images.shape[-2] else 4
    first = int(torch.randint(ways, (), generator=generator))
    brightness = torch.empty(len(images), 1, 1, 1).uniform_(0.9, 1.1, generator=generator)
    images = orient(images, ways, first).mul_(brightness.to(images)).clamp_(0, 1)
    return images, orient(targets, ways, first) if targets.ndim == 4 else targets


def orient(batch: Tensor, ways: int, first: int) -> Tensor:
    """A copy of a batch [n, channels, height, width], an equal part of it in each orientation, from number `first` on.

    The three bits of the number: flipped left to right, top to bottom, rows and columns exchanged.
    """
    oriented = torch.empty_like(batch)
    parts = zip(batch.tensor_split(ways), oriented.tensor_split(ways), strict=True)
    for way, (some, target) in enumerate(parts, start=first):
        axes = [axis for bit, axis in ((1, -1), (2, -2)) if way % ways & bit]
        some = some.flip(axes) if axes else some
        target.copy_(some.transpose(-1, -2) if way % ways & 4 else some)
    return oriented


def augment_strongly(images: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """`augment`, then rotation by any angle, zoom, stretch, shift and colour jitter: for long fine-tuning, in which a
    network would memorise images that it sees twenty times.

    The empty corners of a rotated image are filled by reflection. images, targets, generator: see this module; only
    labels as targets. Raises IsicError for masks.
    """
    if targets.ndim == 4:
        raise IsicError("The augmentation 'strong' moves images without their masks: use 'standard' for segmentation.")
    x, targets = augment(images, targets, generator)

    def jitter(*shape: int) -> Tensor:  # uniform from -1 to 1
        return torch.rand(len(x), *shape, generator=generator) * 2 - 1

    angle, zoom, stretch = jitter() * torch.pi, torch.exp(ZOOM * jitter()), torch.exp(STRETCH * jitter())
    across = torch.stack([zoom * stretch * angle.cos(), -zoom * stretch * angle.sin(), SHIFT * jitter()], dim=1)
    down = torch.stack([zoom / stretch * angle.sin(), zoom / stretch * angle.cos(), SHIFT * jitter()], dim=1)
    grid = nn.functional.affine_grid(torch.stack([across, down], dim=1).to(x), list(x.shape), align_corners=False)
    x = nn.functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    brightness, contrast, saturation = (1 + s * jitter(1, 1, 1).to(x) for s in (BRIGHTNESS, CONTRAST, SATURATION))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * contrast + mean * brightness
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation
    return (x * (1 + TINT * jitter(3, 1, 1).to(x))).clamp(0, 1), targets


AUGMENTATIONS = {"none": None, "standard": augment, "strong": augment_strongly}
