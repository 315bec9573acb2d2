"""Linear probes: how lesson 08 tries every method against class imbalance within a minute.

EfficientNet-Lite0, trained on ImageNet and frozen, turns each image once into 1280 features (`features.extract`). Only
a linear layer from these features to the classes is trained, a **linear probe**. That takes a second where fine-tuning
takes minutes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import BatchSampler

from isic_utils import metrics
from isic_utils.datasets import splits
from isic_utils.datasets.dataset import EpochSampler
from isic_utils.errors import IsicError
from isic_utils.training.imbalance import METHODS, Method, adjust_logits_post_hoc, loss_function, mixup
from isic_utils.training.loop import epoch_seed

IMAGE_SIZE = 128  # pixels; the network was trained on 224, and recognises little at the 64 of the profile laptop
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 20, 64, 1e-3, 1.0  # of every probe, whatever the method


def train_linear_probe(
    features: np.ndarray, labels: np.ndarray, train: np.ndarray, method: Method, seed: int, num_classes: int = 8
) -> np.ndarray:
    """Train a linear layer with a method, and return the probabilities of every image: float [n, num_classes].

    features: float32 [n, features]; labels: integer [n]; train: positions of the training images. Every method takes
    as many steps. Raises IsicError if a class has no training image.
    """
    counts = np.bincount(labels[train], minlength=num_classes)
    if not counts.all():
        raise IsicError("A class has no training image, so no probe can learn it: choose more images.")
    mean, std = features[train].mean(axis=0), features[train].std(axis=0) + 1e-6
    x, y = torch.from_numpy((features - mean) / std), torch.from_numpy(labels)
    torch.manual_seed(seed)
    probe = nn.Linear(x.shape[1], num_classes)
    optimizer = torch.optim.AdamW(probe.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    sampler = method.sampler(labels[train], seed) if method.sampler else EpochSampler(len(train), seed)
    batches = BatchSampler(sampler, BATCH_SIZE, drop_last=False)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
    for epoch in range(1, EPOCHS + 1):
        sampler.set_epoch(epoch)
        generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        criterion = loss_function(method, epoch, EPOCHS, counts)
        for batch in batches:
            inputs, targets = x[train[batch]], y[train[batch]]
            if method.mixup:
                inputs, targets = mixup(inputs, targets, num_classes, method.mixup, generator)
            criterion(probe(inputs), targets).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    with torch.no_grad():
        probabilities = probe(x).softmax(dim=1).numpy()
    return adjust_logits_post_hoc(probabilities, counts, method.post_hoc) if method.post_hoc else probabilities


def compare(
    table: pd.DataFrame, features: np.ndarray, seeds: Sequence[int], methods: Mapping[str, Method] = METHODS
) -> pd.DataFrame:
    """The predictions of every method with every seed: a row per method, seed and image.

    Each seed has a split of its own, grouped by lesion. table: image, label, lesion_id; features: in the same order.
    Columns: method, seed, image, lesion_id, split, label, predicted, and the probability of each class.
    """
    codes = table["label"].cat.categories
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    predictions = []
    for seed in seeds:
        split = splits.standard(table, group_by="lesion", seed=seed)
        train = np.flatnonzero(split == "train")
        images = table[["image", "lesion_id"]].assign(seed=seed, split=split, label=codes[labels])
        for name, method in methods.items():
            probabilities = train_linear_probe(features, labels, train, method, seed, len(codes))
            rows = images.assign(method=name, predicted=codes[probabilities.argmax(axis=1)])
            predictions.append(rows.join(pd.DataFrame(probabilities, columns=codes, index=table.index)))
    return pd.concat(predictions, ignore_index=True)


def scores(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """Accuracy and BMA on the train, validation or test set, and the recall of each class: a row per method and seed.

    predictions: of `compare`.
    """
    codes = list(predictions.columns[predictions.columns.get_loc("predicted") + 1 :])
    rows = {}
    for key, some in predictions[predictions["split"] == split].groupby(["method", "seed"], sort=False):
        found = metrics.scores(some)
        recall = metrics.recall_per_class(some["label"], some["predicted"], codes)
        rows[key] = {"accuracy": found["accuracy"], "BMA": found["bma"], **recall}
    return pd.DataFrame(rows).T.rename_axis(["method", "seed"])
