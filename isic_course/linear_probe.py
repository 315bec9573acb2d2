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
from isic_utils.training.imbalance import METHODS, Method, adjust_logits_post_hoc, loss_of_epoch, mixup
from isic_utils.training.loop import epoch_seed

IMAGE_SIZE = 128  # pixels; the network was trained on 224, and recognises little at the 64 of the profile laptop
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 20, 64, 1e-3, 1.0  # of every probe, whatever the method
BIAS_RATE = 0.03  # the bias must reach ln π of a rare class; at 1e-3 it stays near 0, and rare classes are overrated


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
    weight, bias = {"params": [probe.weight], "weight_decay": WEIGHT_DECAY}, {"params": [probe.bias], "lr": BIAS_RATE}
    optimizer = torch.optim.AdamW([weight, bias], LEARNING_RATE, weight_decay=0, fused=True)
    sampler = method.sampler(labels[train], seed) if method.sampler else EpochSampler(len(train), seed)
    batches = BatchSampler(sampler, BATCH_SIZE, drop_last=False)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
    for epoch in range(1, EPOCHS + 1):
        sampler.set_epoch(epoch)
        generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        criterion = loss_of_epoch(method, epoch, EPOCHS, counts)
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


def splits_of_seeds(table: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """A split for each seed, grouped by lesion: a column per seed, with "train", "validation" or "test" for each image.

    The test set is the same for all seeds: fold 0 of five. The other images form eight folds, and the seed says which
    of them is the validation set, so eight seeds in a row validate on different images. Seed 0 is `splits.standard`.
    """
    rows = splits.rows_to_split(table, "lesion")
    test = splits.folds(rows, splits.FOLDS, "lesion", seed=0)[0]
    validation = splits.folds(rows.drop(test), splits.VALIDATION_FOLDS, "lesion", seed=0)
    drawn = pd.DataFrame("train", table.index, list(seeds))
    drawn.loc[test] = "test"
    for seed in seeds:
        drawn.loc[validation[seed % len(validation)], seed] = "validation"
    return drawn


def compare(
    table: pd.DataFrame, features: np.ndarray, drawn: pd.DataFrame, methods: Mapping[str, Method] = METHODS
) -> pd.DataFrame:
    """The predictions of every method with every seed: a row per method, seed and image.

    table: image, label, lesion_id; features: in the same order; drawn: the split of each seed (`splits_of_seeds`). The
    seed also determines the first weights and the order of the images.
    Columns: method, seed, image, lesion_id, split, label, predicted, and the probability of each class.
    """
    codes = table["label"].cat.categories
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    predictions = []
    for seed, split in drawn.items():
        train = np.flatnonzero(split == "train")
        images = table[["image", "lesion_id"]].assign(seed=seed, split=split, label=codes[labels])
        for name, method in methods.items():
            probabilities = train_linear_probe(features, labels, train, method, seed, len(codes))
            rows = images.assign(method=name, predicted=codes[probabilities.argmax(axis=1)])
            predictions.append(rows.join(pd.DataFrame(probabilities, columns=codes, index=table.index)))
    return pd.concat(predictions, ignore_index=True)


def scores_per_seed(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """Accuracy and BMA on the train, validation or test set, and the recall of each class: a row per method and seed.

    predictions: of `compare`.
    """
    codes = list(predictions.columns[predictions.columns.get_loc("predicted") + 1 :])
    rows = {}
    for key, some in predictions[predictions["split"] == split].groupby(["method", "seed"], sort=False):
        recall = metrics.recall_per_class(some["label"], some["predicted"], codes)
        rows[key] = {**metrics.scores(some), **recall}
    return pd.DataFrame(rows).T.rename(columns={"bma": "BMA"}).rename_axis(["method", "seed"])
