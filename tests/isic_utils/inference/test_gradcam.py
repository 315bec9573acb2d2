"""Grad-CAM points at what decides, in a network whose reason is known."""

import numpy as np
import pytest
import torch
from torch import nn

from isic_utils import models
from isic_utils.inference.gradcam import grad_cam


class Corner(nn.Module):
    """Class 1 is the redness of the upper left quarter, class 0 is nothing."""

    def __init__(self):
        super().__init__()
        self.red = nn.Conv2d(3, 2, kernel_size=1, bias=False)
        self.red.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]])[..., None, None]
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        maps = self.relu(self.red(x))
        red = 9 * maps[:, 0, :16, :16].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(red), red], dim=1)


class Pooled(Corner):
    """Corner, whose ReLU is also used on a much smaller map, before and after."""

    def __init__(self):
        super().__init__()
        self.smaller = nn.AvgPool2d(16)

    def forward(self, x):
        self.relu(self.smaller(x))
        logits = super().forward(x)
        self.relu(self.smaller(x))
        return logits


@pytest.fixture
def image() -> torch.Tensor:
    x = torch.zeros(3, 32, 32)
    x[0, 4:12, 4:12] = 1  # red where it counts
    x[1, 20:28, 20:28] = 1  # green where it does not
    return x


def narrow(name: str) -> nn.Module:
    torch.manual_seed(0)
    return models.create_model(name, pretrained=False, width=models.MODELS[name].narrow_width).eval()


@pytest.mark.parametrize("network", [Corner, Pooled])
def test_grad_cam_points_at_what_speaks_for_the_class(network, image):
    heat = grad_cam(network(), image, 1)
    assert heat.shape == (32, 32) and heat.min() == 0 and heat.max() == pytest.approx(1)
    assert heat[6:10, 6:10].min() > 0.9 and heat[16:].max() == 0
    assert np.array_equal(heat, grad_cam(network(), image[None], 1))


def test_grad_cam_is_empty_where_nothing_speaks_for_the_class(image):
    assert grad_cam(Corner(), image, 0).max() == 0


@pytest.mark.parametrize("side", [64, 128])
def test_the_heat_of_lite0_covers_the_whole_image(side):
    model = narrow("efficientnet_lite0")
    heats = [grad_cam(model, x, 3) for x in torch.rand(16, 3, side, side)]
    assert np.mean(heats, axis=0).reshape(8, side // 8, 8, side // 8).mean(axis=(1, 3)).min() > 0


@pytest.mark.parametrize("name", models.CLASSIFIERS)
def test_every_classifier_can_be_explained_and_stays_as_it_was(name):
    model = narrow(name)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        heat = grad_cam(model, x[0], 3)  # needs gradients and turns them on by itself
        assert torch.equal(model(x), before)
    assert heat.shape == (64, 64) and heat.min() >= 0 and heat.max() <= 1.0001
    assert all(weights.grad is None for weights in model.parameters())


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_a_map_that_pooling_has_enlarged_is_not_taken(name):
    model = narrow(name)
    x = torch.rand(3, 64, 64)
    assert max(np.std(grad_cam(model, x, number)) for number in range(8)) > 0.05
