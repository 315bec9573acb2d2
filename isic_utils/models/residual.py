"""The residual net of the thesis, written out."""

import torch
from torch import nn

from isic_utils.models.unet import two_convolutions


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a residual connection around them, then pooling to half the size, then dropout (thesis
    §3.2.1)."""

    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__()
        self.convolutions = two_convolutions(inputs, outputs)[:-1]  # the last ReLU comes after the sum
        # 1×1, so that both terms of the sum have as many channels
        self.residual = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [n, inputs, h, w] -> [n, outputs, h/2, w/2]
        x = torch.relu(self.convolutions(x) + self.residual(x))
        return self.dropout(self.pool(x))


class ResidualNet(nn.Module):
    """The thesis's own net as we read it: a convolution with stride 2, as in most residual networks, then four residual
    blocks, each with twice the channels of the one before, then dense layers: [n, 3, h, w] -> logits [n, num_classes].

    channels: of the first block. The thesis gives the kinds of layers and not their number, channels or stride;
    those are ours.
    """

    def __init__(self, num_classes: int, channels: int = 64, dropout: float = 0.05):
        super().__init__()
        stem = nn.Conv2d(3, channels, kernel_size=3, stride=2, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(channels), nn.ReLU())
        levels = [channels, channels, 2 * channels, 4 * channels, 8 * channels]
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, dropout) for a, b in zip(levels, levels[1:], strict=False)))
        self.dense = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * channels, 4 * channels), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(4 * channels, num_classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(self.blocks(self.stem(x)))
