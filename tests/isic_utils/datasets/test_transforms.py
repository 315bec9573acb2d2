"""Augmentation: every way to lay an image on itself, masks with their images, and the same chance on every device."""

import numpy as np
import pytest
import torch
from archives import refusal

from isic_utils.datasets.transforms import AUGMENTATIONS, augment, augment_strongly


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=seeded(9))


@pytest.mark.parametrize("height, width, ways", [(6, 6, 8), (4, 6, 4), (6, 4, 4)])
def test_each_way_that_keeps_the_shape_is_as_likely(height, width, ways):
    image = noise(1, 3, height, width) * 0.8
    augmented, _ = augment(image.repeat(1600, 1, 1, 1), torch.zeros(1600), seeded())
    rotations = [torch.rot90(image[0], k, (1, 2)) for k in range(4)]
    lays = [lay for lay in rotations + [lay.flip(2) for lay in rotations] if lay.shape == image[0].shape]
    brightness = augmented.mean(dim=(1, 2, 3)) / image.mean()
    assert 0.9 <= brightness.min() < 0.91 and 1.09 < brightness.max() <= 1.1
    plain = augmented / brightness.view(-1, 1, 1, 1)
    counts = [int(torch.isclose(plain, lay, atol=1e-5).all(dim=3).all(dim=2).all(dim=1).sum()) for lay in lays]
    assert len(lays) == ways and sum(counts) == 1600 and min(counts) > 0.8 * 1600 / ways, counts


@pytest.mark.parametrize("height, width", [(12, 16), (16, 16), (5, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_a_mask_moves_with_its_image(height, width, seed):
    masks = (noise(20, 1, height, width) > 0.5).float()
    images, moved = augment(masks.repeat(1, 3, 1, 1), masks, seeded(seed))
    assert torch.equal((images > 0.5).float(), moved.expand(-1, 3, -1, -1)) and not torch.equal(moved, masks)
    assert torch.unique(moved).tolist() == [0, 1] and moved.shape == masks.shape


@pytest.mark.parametrize("name", ["standard", "strong"])
@pytest.mark.parametrize("targets", [torch.arange(50), torch.rand(50, 8)], ids=["labels", "soft labels"])
def test_labels_come_back_and_values_stay_from_0_to_1(name, targets):
    images = noise(50, 3, 9, 9)
    images[:10] = 1
    before = images.clone()
    augmented, returned = AUGMENTATIONS[name](images, targets, seeded())
    assert returned is targets and augmented.shape == images.shape and augmented.dtype == images.dtype
    assert augmented.min() >= 0 and augmented.max() == 1 and not torch.equal(augmented, images)
    assert torch.equal(images, before), "the batch stays as it is"


@pytest.mark.parametrize("name", ["standard", "strong"])
def test_the_generator_decides(name):
    images, labels = noise(16, 3, 8, 8), torch.arange(16)
    first, again, other = (AUGMENTATIONS[name](images, labels, seeded(seed))[0] for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    exact, _ = AUGMENTATIONS[name](images.double(), labels, seeded(5))
    assert exact.dtype == torch.float64 and torch.allclose(exact.float(), first, atol=1e-4)


def test_strong_augmentation_zooms_about_the_middle():
    rows, columns = np.mgrid[:65, :65] - 32
    disc = torch.from_numpy(0.3 + 0.4 * (np.hypot(rows, columns) < 12)).float().repeat(200, 3, 1, 1)
    augmented, _ = augment_strongly(disc, torch.zeros(200), seeded())
    middle, darkest = augmented[:, :, 32, 32], augmented.amin(dim=(2, 3))
    assert (middle > darkest + 0.1).all(), "a disc in the middle stays there"
    size = (augmented > (middle + darkest)[..., None, None] / 2).float().mean(dim=(1, 2, 3))
    assert size.std() > 0.1 * size.mean(), "zoomed"


def test_masks_are_not_augmented_strongly():
    assert list(AUGMENTATIONS) == ["none", "standard", "strong"] and AUGMENTATIONS["none"] is None
    refusal(lambda: augment_strongly(noise(4, 3, 8, 8), noise(4, 1, 8, 8), seeded()), "'standard'")
