"""The dense network of lesson 02 and its training as the lesson writes them out, for measured.py: on real images."""

import time

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, splits
from isic_utils.settings import Settings

PIXELS, HIDDEN_NEURONS, EPOCHS, BATCH_SIZE, LEARNING_RATE = 24, 64, 60, 32, 0.02


class DenseNetwork(nn.Module):
    """One hidden layer: images as vectors, float [n, 1728] -> logits [n, 8]."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(PIXELS * PIXELS * 3, HIDDEN_NEURONS)
        self.output = nn.Linear(HIDDEN_NEURONS, len(CODES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.output(F.relu(self.hidden(images)))


def majority_class(table: pd.DataFrame, split: pd.Series, end: float) -> tuple[pd.DataFrame, float]:
    """The predictions of the majority-class baseline for the test set, and the seconds: none. end: as `Row.work`."""
    most_frequent = table["label"][split == "train"].mode()[0]
    return table[["image", "label"]][split == "test"].assign(predicted=most_frequent), 0.0


def predictions(
    table: pd.DataFrame, split: pd.Series, settings: Settings, stop_early: bool, seed: int, end: float
) -> tuple[pd.DataFrame, float]:
    """The predictions of a trained network for the test set, and the seconds of its training, one for both rows.

    stop_early: by the weights of the epoch with the lowest validation loss, instead of those of the last epoch; seed:
    of the first weights and of the order of the images; end: as `Row.work`, not needed in a training of a minute.
    """
    trained = joblib.Memory(settings.runs / "lesson_02", verbose=0).cache(train, ignore=["settings"])
    stopped, last, seconds = trained(table, split, settings, seed, EPOCHS)
    return table[["image", "label"]][split == "test"].assign(predicted=stopped if stop_early else last), seconds


def train(
    table: pd.DataFrame, split: pd.Series, settings: Settings, seed: int, epochs: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Train with plain gradient descent. Returns the predicted codes of the test set in the epoch with the lowest
    validation loss and in the last epoch, and the seconds."""
    start = time.monotonic()
    known, validation, test = (torch.from_numpy(split.to_numpy() == name) for name in splits.SPLITS)
    vectors, labels = standardised(table, settings, known), torch.from_numpy(table["label"].cat.codes.to_numpy("int64"))
    torch.manual_seed(seed)
    network, shuffle = DenseNetwork(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    own, own_labels, losses = vectors[known], labels[known], []
    for _ in range(epochs):
        for batch in torch.randperm(len(own), generator=shuffle).split(BATCH_SIZE):
            optimizer.zero_grad()
            F.cross_entropy(network(own[batch]), own_labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(network(vectors[validation]), labels[validation]).item())
            last = np.array(CODES)[network(vectors[test]).argmax(dim=1).numpy()]
        if losses[-1] == min(losses):
            stopped = last
    return stopped, last, time.monotonic() - start


def standardised(table: pd.DataFrame, settings: Settings, known: torch.Tensor) -> torch.Tensor:
    """The images as vectors, minus the mean image of the training set and divided by its one standard deviation: float
    [n, 1728]. known: boolean [n], the training set."""
    store = ImageStore(table, PIXELS, settings.cache, progress=False)
    vectors = torch.from_numpy(store.take(store.rows(table["image"]))).reshape(len(table), -1).float() / 255
    return (vectors - vectors[known].mean(dim=0)) / vectors[known].std()
