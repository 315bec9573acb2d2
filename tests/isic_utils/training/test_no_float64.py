"""Apple's MPS has no numbers of 64 bits, and no computer with it is at hand: so PyTorch must not be asked for any.

The course computes with 64 bits where it needs them, but in NumPy, after what a device has computed is in the memory of
the processor.
"""

import numpy as np
import pytest
import torch
from small_runs import classify, segment
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from isic_utils.datasets.transforms import AUGMENTATIONS
from isic_utils.inference import second_opinion
from isic_utils.inference.gradcam import grad_cam
from isic_utils.inference.predict import predict_masks, predict_probabilities
from isic_utils.training import imbalance, losses


class OnlyFloat32(TorchDispatchMode):
    """Whatever PyTorch computes inside `with OnlyFloat32():`, gradients too, is refused if it has 64 bits."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **options or {})
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{function} gives {value.dtype}, which MPS does not have")
        return result


@pytest.fixture(autouse=True)
def a_device_without_float64():
    with OnlyFloat32():
        yield


def test_the_device_refuses():
    logits = torch.zeros(2, 3)
    for wrong in (
        lambda: logits.double().cpu(),
        lambda: logits.to(torch.float64).softmax(dim=1).cpu(),
        lambda: torch.zeros(2, dtype=torch.float64),
        lambda: logits * torch.tensor(np.ones(3)),
    ):
        with pytest.raises(TypeError, match="MPS does not have"):
            wrong()
    assert logits.cpu().numpy().astype(float).dtype == np.float64


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_a_classifier(images, tmp_path, augmentation):
    data = store, table, _ = images
    changes = dict(augmentation=augmentation, ema_decay=0.9, micro_batch_size=8, epochs=1)
    run = classify(tmp_path, data, **changes, method="logit adjustment and mixup")
    assert predict_probabilities(run, store, table["image"], tta=True).dtype == np.float64
    pixels = store.take(np.arange(1))
    image = second_opinion.as_batch(pixels[0])
    assert grad_cam(run.load_model(), image, class_index=2).shape == store.size


@pytest.mark.parametrize("name", imbalance.METHODS)
def test_the_losses_of_classes(name):
    loss = imbalance.loss_of_epoch(imbalance.METHODS[name], 2, 2, np.arange(1, 9))
    for label in (torch.arange(8), torch.eye(8)):
        logits = torch.randn(8, 8, requires_grad=True)
        loss(logits, label).sum().backward()
        assert logits.grad.dtype == torch.float32


@pytest.mark.parametrize("mask_loss", losses.MASK_LOSSES)
def test_a_unet(pairs, tmp_path, mask_loss):
    data = store, table, _ = pairs
    run = segment(tmp_path, data, epochs=1, mask_loss=mask_loss)
    assert predict_masks(run, store, table["image"][:3], tta=True).max() <= 1
