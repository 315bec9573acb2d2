"""PyTorch's Dataset and DataLoader over decoded images.

A DataLoader asks a dataset that has ``__getitems__`` for a whole batch at a time. `IsicDataset` reads the batch from
the memory map in one step, which is fast enough without worker processes, so Windows behaves like Linux.
"""

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from isic_utils.datasets.images import ImageStore


class IsicDataset(Dataset):
    """The images of some rows of a table, each with its label, or with its mask if the store has masks.

    store: has decoded the images of these rows; table: the column image, and label (categorical) where it is known.
    Rows of images that could not be read (`store.left_out`) are dropped.

    An item is a tuple: the image, float [3, height, width] from 0 to 1 (in PyTorch's default dtype), and its label, an
    int (-1 if the table has no label), or its mask, float [1, height, width], 1 on the lesion and 0 elsewhere.

    Attributes: store; table: the rows that are left; classes: the codes of the labels, or None without labels; labels:
    int64 [n], or None for masks. Raises IsicError if no row is left, or a row's image is not in the store.
    """

    def __init__(self, store: ImageStore, table: pd.DataFrame):
        self.store = store
        self.table = table[~table["image"].isin(store.left_out["image"])]
        self.rows = store.rows(self.table["image"])
        labelled = "label" in table and not store.has_masks
        self.classes = list(table["label"].cat.categories) if labelled else None
        codes = self.table["label"].cat.codes if labelled else np.full(len(self.table), -1)
        self.labels = None if store.has_masks else np.array(codes, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int | torch.Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, int | torch.Tensor]]:
        """The items with these indices, read in one step."""
        pixels = torch.from_numpy(self.store.take(self.rows[indices]))
        images = pixels[..., :3].to(torch.get_default_dtype()).div_(255).permute(0, 3, 1, 2)
        if self.labels is not None:
            return list(zip(images, self.labels[indices].tolist(), strict=True))
        masks = (pixels[..., 3] > 127).to(images.dtype)[:, None]
        return list(zip(images, masks, strict=True))


class EpochSampler(Sampler):
    """All indices of a dataset in a random order, which (seed, epoch) determines.

    The epoch, from 0 on, advances with each pass; `set_epoch` chooses it, e.g. to resume.
    """

    def __init__(self, count: int, seed: int):
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        self.epoch += 1
        return iter(order.tolist())


def loader(
    dataset: Dataset, batch_size: int, shuffle: bool = False, seed: int = 0, sampler: Sampler | None = None
) -> DataLoader:
    """A DataLoader for training (shuffle=True, or a sampler) or for validation and test (neither).

    In training the last, incomplete batch is dropped, because a few images would disturb batch normalisation; a
    batch is at most the whole set. Otherwise each image comes once, in the order of the dataset.
    shuffle: another order in each epoch, determined by (seed, epoch); ``.sampler.set_epoch(epoch)`` chooses the epoch.
    sampler: chooses the order instead.
    """
    if not shuffle and sampler is None:
        return DataLoader(dataset, batch_size)
    sampler = EpochSampler(len(dataset), seed) if sampler is None else sampler
    return DataLoader(dataset, min(batch_size, len(sampler)), sampler=sampler, drop_last=True)
