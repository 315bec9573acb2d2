"""The dataset and its loader: PyTorch's own DataLoader gives the same batches, however it asks for them."""

import numpy as np
import pandas as pd
import pytest
import torch
from archives import draw_2019, draw_pairs, in_memory, pairs_in_memory, refusal
from torch.utils.data import DataLoader, Subset, WeightedRandomSampler

from isic_utils.datasets import ImageStore, IsicDataset, loader, tables

CODES = [tables.CODES[n % 8] for n in range(50)]


@pytest.fixture(scope="module")
def dataset():
    table, store = in_memory(CODES, size=8)
    return IsicDataset(store, table)


@pytest.fixture(scope="module")
def pairs():
    table, store = pairs_in_memory(20, 12, 16)
    return IsicDataset(store, table)


def same(first, second) -> bool:
    """Whether two passes have the same batches."""
    passes = [[tensor for batch in one for tensor in batch] for one in (first, second)]
    return len(passes[0]) == len(passes[1]) and all(map(torch.equal, *passes))


# What an item is


def test_an_item_is_an_image_and_its_label(dataset):
    image, label = dataset[3]
    assert image.dtype == torch.get_default_dtype() and image.shape == (3, 8, 8) and type(label) is int
    assert torch.equal(image, torch.from_numpy(dataset.store.pixels[3]).permute(2, 0, 1) / 255)
    assert label == 3 and dataset.classes == tables.CODES and len(dataset) == 50
    assert dataset.labels.dtype == np.int64 and dataset.labels.tolist() == [n % 8 for n in range(50)]


def test_an_item_of_a_segmentation_is_an_image_and_its_mask(pairs):
    image, mask = pairs[4]
    assert image.shape == (3, 12, 16) and mask.shape == (1, 12, 16) and image.dtype == mask.dtype
    pixels = torch.from_numpy(pairs.store.pixels[4]).permute(2, 0, 1)
    assert torch.equal(image, pixels[:3] / 255) and torch.equal(mask, pixels[3:] / 255)
    assert pairs.classes is None and pairs.labels is None
    images, masks = next(iter(loader(pairs, 8)))
    assert images.shape == (8, 3, 12, 16) and torch.unique(masks).tolist() == [0, 1]


def test_the_default_dtype_is_the_images(dataset):
    torch.set_default_dtype(torch.float64)
    try:
        image, _ = dataset[0]
        assert image.dtype == torch.float64 and image.max() <= 1
        assert torch.allclose(image, torch.from_numpy(dataset.store.pixels[0]).permute(2, 0, 1) / 255)
    finally:
        torch.set_default_dtype(torch.float32)


def test_some_rows_of_a_table_in_its_order():
    table, store = in_memory(CODES, size=8)
    chosen = table.iloc[[7, 3, 12]]
    dataset = IsicDataset(store, chosen)
    assert dataset.labels.tolist() == [7, 3, 4] and dataset.classes == tables.CODES
    assert torch.equal(dataset[0][0], torch.from_numpy(store.pixels[7]).permute(2, 0, 1) / 255)
    assert IsicDataset(store, chosen.drop(columns="label")).labels.tolist() == [-1, -1, -1]


def test_images_that_could_not_be_read_are_dropped_and_unknown_ones_refused():
    table, store = in_memory(CODES, size=8)
    store.left_out.loc[0] = ["broken", "nowhere", "is empty"]
    broken = table.head(1).assign(image="broken", label=table["label"].iloc[:1])
    assert IsicDataset(store, pd.concat([broken, table])).table["image"].tolist() == table["image"].tolist()
    refusal(lambda: IsicDataset(store, table.assign(image="nobody")), "nobody")


# Batches


def test_a_plain_dataloader_gives_the_same_batches(dataset, pairs):
    for some in (dataset, pairs):
        batches = list(loader(some, 4))
        assert same(batches, DataLoader(some, batch_size=4))
        assert same(batches, DataLoader(some, batch_size=4, collate_fn=lambda items: stacked(items)))
        one_by_one = [some[index] for index in range(len(some))]
        assert same(batches, [stacked(one_by_one[i : i + 4]) for i in range(0, len(some), 4)])


def stacked(items) -> list[torch.Tensor]:
    """A batch of items, put together by hand."""
    images, targets = zip(*items, strict=True)
    return [torch.stack(images), torch.stack(targets) if torch.is_tensor(targets[0]) else torch.tensor(targets)]


def test_through_subset(dataset):
    chosen = [9, 2, 40, 2, 7]
    assert same(DataLoader(Subset(dataset, chosen), batch_size=4), loader(Subset(dataset, chosen), 4))
    [(images, labels)] = loader(Subset(dataset, chosen), 5)
    assert labels.tolist() == [1, 2, 0, 2, 7] and torch.equal(images[1], dataset[2][0])


@pytest.mark.slow
def test_with_two_spawned_workers(tmp_path):
    """Each opens the memory map by itself."""
    classes = tables.read_isic2019(draw_2019(tmp_path / "archive"))
    masks = tables.read_isic2018(draw_pairs(tmp_path / "pairs", [(30, 40)] * 5))
    for table in (classes, masks):
        dataset = IsicDataset(ImageStore(table, (12, 16), tmp_path / "cache", progress=False), table)
        workers = DataLoader(dataset, batch_size=3, num_workers=2, multiprocessing_context="spawn")
        assert same(workers, loader(dataset, 3))


def test_batches_leave_the_store_as_it_is(dataset):
    before = dataset.store.pixels.copy()
    for images, _ in loader(dataset, 8, shuffle=True):
        images.zero_()
    assert np.array_equal(dataset.store.pixels, before)


# The loader's order


def order(batches) -> list[int]:
    """Which images come, by their labels: 0 to 49."""
    return [int(label) for _, labels in batches for label in labels]


@pytest.fixture
def numbered():
    table, store = in_memory(CODES, size=8)
    dataset = IsicDataset(store, table)
    dataset.labels = np.arange(50)
    return dataset


def test_without_shuffling_each_image_comes_once_in_order(numbered):
    assert order(loader(numbered, 16)) == list(range(50))
    assert [len(labels) for _, labels in loader(numbered, 16)] == [16, 16, 16, 2]


def test_the_same_seed_gives_the_same_order_and_each_epoch_another(numbered):
    first, again = loader(numbered, 10, shuffle=True, seed=5), loader(numbered, 10, shuffle=True, seed=5)
    epochs = [order(first) for _ in range(3)]
    assert epochs == [order(again) for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    others = [order(loader(numbered, 10, shuffle=True, seed=seed)) for seed in (0, 6)]
    assert len({tuple(epoch) for epoch in [*epochs, *others, list(range(50))]}) == 6


def test_set_epoch_resumes(numbered):
    expected = [order(epoch_loader) for epoch_loader in [loader(numbered, 10, shuffle=True)] * 4]
    resumed = loader(numbered, 10, shuffle=True)
    resumed.sampler.set_epoch(2)
    assert [order(resumed), order(resumed)] == expected[2:]


def test_a_pass_that_breaks_off_advances_the_epoch_too(numbered):
    whole, broken = (loader(numbered, 10, shuffle=True) for _ in range(2))
    order(whole)
    next(iter(broken))
    assert order(whole) == order(broken)


@pytest.mark.parametrize("count, sizes", [(33, [32]), (64, [32, 32]), (20, [20]), (1, [1])])
def test_in_training_no_batch_is_incomplete(count, sizes):
    table, store = in_memory(CODES * 2, size=4)
    dataset = IsicDataset(store, table.head(count))
    batches = loader(dataset, 32, shuffle=True)
    assert [len(labels) for _, labels in batches] == sizes and len(batches) == len(sizes)


def test_a_sampler_of_ones_own(numbered):
    generator = torch.Generator().manual_seed(0)
    sampler = WeightedRandomSampler([0.0] * 40 + [1.0] * 10, 25, generator=generator)
    batches = list(loader(numbered, 10, sampler=sampler))
    assert [len(labels) for _, labels in batches] == [10, 10] and min(order(batches)) >= 40
    assert [len(labels) for _, labels in loader(numbered, 32, sampler=sampler)] == [25]
