"""U-Net, written out, and the same idea with a pretrained encoder.

Both return logits [n, 1, h, w] for images [n, 3, h, w] of any size.
"""

import torch
from torch import nn


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597; thesis §3.2.3): the encoder goes down to a sixteenth of the
    size, the decoder back up, and a skip connection carries each level's feature maps from one to the other.

    channels: of the first level, twice as many on each level below. As in most re-implementations, convolutions
    pad, so the mask is as large as the image, and batches are normalised.
    """

    def __init__(self, channels: int = 64):
        super().__init__()
        levels = [channels, 2 * channels, 4 * channels, 8 * channels, 16 * channels]
        self.encoder = nn.ModuleList([two_convolutions(a, b) for a, b in zip([3, *levels[:-1]], levels, strict=True)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * c, c, kernel_size=2, stride=2) for c in reversed(levels[:-1])])
        self.decoder = nn.ModuleList([two_convolutions(2 * c, c) for c in reversed(levels[:-1])])
        self.mask = nn.Conv2d(channels, 1, kernel_size=1)  # one output channel per mask (thesis §3.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, 16)  # so that it can be halved four times
        skips = []
        for block in self.encoder[:-1]:
            x = block(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.encoder[-1](x)
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        return self.mask(x)[..., :height, :width]


class PretrainedUNet(nn.Module):
    """A U-Net whose encoder is pretrained on ImageNet: any network that halves its feature maps five times can be one.

    encoder: one of timm's with ``features_only=True``, which returns five feature maps, of 1/2 to 1/32 of the image's
    size. The decoder is narrower than the classic one and ends at half the size of the image, where it costs a quarter;
    the logits are then enlarged.
    """

    CHANNELS = [128, 64, 48, 32]  # of the decoder, from the bottom up

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        *skips, bottom = encoder.feature_info.channels()
        sizes = zip([bottom, *self.CHANNELS[:-1]], reversed(skips), self.CHANNELS, strict=True)
        self.decoder = nn.ModuleList([two_convolutions(below + skip, channels) for below, skip, channels in sizes])
        self.mask = nn.Conv2d(self.CHANNELS[-1], 1, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        *skips, x = self.encoder(pad_to_multiple(x, 32))  # so that it can be halved five times
        for block in self.decoder:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([skips.pop(), x], dim=1))
        x = nn.functional.interpolate(self.mask(x), scale_factor=2, mode="bilinear", align_corners=False)
        return x[..., :height, :width]


def pad_to_multiple(x: torch.Tensor, number: int) -> torch.Tensor:
    """[n, channels, h, w], continued to the right and below by its edge until both sides are multiples of a number."""
    height, width = x.shape[-2:]
    return nn.functional.pad(x, (0, -width % number, 0, -height % number), mode="replicate")


def two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """[n, inputs, h, w] -> [n, outputs, h, w]: twice a 3×3 convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
