"""Grad-CAM points at what decides, in a network whose reason is known."""

import numpy as np
import pytest
import torch
from torch import nn

from isic_utils import models
from isic_utils.inference import gradcam as explanations


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


@pytest.fixture
def picture() -> torch.Tensor:
    x = torch.zeros(1, 3, 32, 32)
    x[:, 0, 4:12, 4:12] = 1  # red where it counts
    x[:, 1, 20:28, 20:28] = 1  # green where it does not
    return x


def test_grad_cam_points_at_what_speaks_for_the_class(picture):
    heat = explanations.grad_cam(Corner(), picture, 1)
    assert heat.shape == (32, 32) and heat.min() == 0 and heat.max() == pytest.approx(1)
    assert heat[6:10, 6:10].min() > 0.9 and heat[16:].max() == 0


def test_grad_cam_is_empty_where_nothing_speaks_for_the_class(picture):
    assert explanations.grad_cam(Corner(), picture, 0).max() == 0


class Rimmed(Corner):
    """Corner, whose picture gets a rim first, and whose ReLU is used twice, the second time on a much smaller map."""

    def __init__(self):
        super().__init__()
        self.rim = nn.ZeroPad2d((0, 32, 0, 32))
        self.smaller = nn.AvgPool2d(16)

    def forward(self, x):
        self.relu(self.smaller(self.rim(x)))
        logits = super().forward(x)
        self.relu(self.smaller(x))
        self.rim(x)
        return logits


def test_a_rim_or_a_layer_used_twice_does_not_move_the_heat(picture):
    assert np.array_equal(explanations.grad_cam(Rimmed(), picture, 1), explanations.grad_cam(Corner(), picture, 1))


@pytest.mark.parametrize("side", [64, 128])
def test_the_map_of_lite0_covers_the_whole_picture(side):
    torch.manual_seed(0)
    model = models.classifier("efficientnet_lite0", pretrained=False, slim=True).eval()
    heats = [explanations.grad_cam(model, x, 3) for x in torch.rand(16, 1, 3, side, side)]
    assert np.mean(heats, axis=0).reshape(8, side // 8, 8, side // 8).mean(axis=(1, 3)).min() > 0


@pytest.mark.parametrize("name", models.NAMES)
def test_every_classifier_can_be_explained_and_stays_as_it_was(name):
    torch.manual_seed(0)
    model = models.classifier(name, pretrained=False, slim=True).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        heat = explanations.grad_cam(model, x, 3)  # turns slopes on by itself
        assert torch.equal(model(x), before)
    assert heat.shape == (64, 64) and heat.min() >= 0 and heat.max() <= 1.0001
    assert not any(layer._forward_hooks for layer in model.modules())
    assert all(weights.grad is None for weights in model.parameters())


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_a_map_that_pooling_has_blown_up_is_not_taken(name):
    torch.manual_seed(0)
    model = models.classifier(name, pretrained=False, slim=True).eval()
    x = torch.rand(1, 3, 64, 64)
    heats = [explanations.grad_cam(model, x, number) for number in range(8)]
    assert max(np.std(heat) for heat in heats) > 0.05
