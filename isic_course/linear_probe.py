"""Heads on frozen features: how lesson 08 tries every remedy within a minute.

EfficientNet-Lite0 as ImageNet has made it looks at each picture once, and what it sees, 1 280 numbers, is kept. Only
the last layer is trained: from these numbers to the classes. That takes a second where fine-tuning takes minutes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from isic_utils.datasets import splits
from isic_utils.errors import IsicError
from isic_utils.metrics import classification as metrics
from isic_utils.training import fit as training, imbalance as remedies, runs
from isic_utils.training.imbalance import REMEDIES, Remedy

SIDE = 128  # pixels; the network was trained on 224, and sees little at the 64 of the profile laptop
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 20, 64, 1e-3, 1.0  # of every head, whatever the remedy


def train_head(
    seen: np.ndarray, labels: np.ndarray, train: np.ndarray, remedy: Remedy, seed: int, classes: int = 8
) -> np.ndarray:
    """Train the last layer with a remedy, and return what it says of every picture: probabilities [n, classes].

    seen: features [n, 1280]; labels: integer [n]; train: positions of the training pictures. Every remedy takes as many
    steps. Raises IsicError if a class has no training picture.
    """
    counts = np.bincount(labels[train], minlength=classes)
    if not counts.all():
        raise IsicError(remedies.NO_PICTURE)
    mean, spread = seen[train].mean(axis=0), seen[train].std(axis=0) + 1e-6
    x, y = torch.from_numpy((seen - mean) / spread), torch.from_numpy(labels)
    torch.manual_seed(seed)
    head = nn.Linear(x.shape[1], classes)
    optimizer = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    steps = -(-len(train) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    for epoch in range(1, EPOCHS + 1):
        drawn = train[remedy.draw(labels[train], seed, epoch)]
        drawn = torch.from_numpy(np.random.default_rng([seed, epoch, 1]).permutation(drawn))
        part = ((x[rows], y[rows]) for rows in drawn.split(BATCH_SIZE))
        if remedy.mixup:
            part = remedies.mixup(part, remedy.mixup, classes, training.epoch_seed(seed, epoch))
        loss = remedies.loss_at(remedy, epoch, EPOCHS, counts)
        for some, truth in part:
            loss(head(some), truth).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    with torch.no_grad():
        probabilities = head(x).softmax(dim=1).numpy()
    return remedies.adjusted(probabilities, counts, remedy.afterwards) if remedy.afterwards else probabilities


def grid(
    table: pd.DataFrame, seen: np.ndarray, seeds: Sequence[int], candidates: Mapping[str, Remedy] = REMEDIES
) -> pd.DataFrame:
    """Every remedy with every seed, each seed with a lesion-wise split of its own: a row per remedy, seed and picture.

    table: image, label, lesion_id; seen: their features, in the same order; candidates: remedies by name.
    Columns: remedy, seed, image, lesion_id, part, label, predicted, and the probability of each class.
    """
    codes = table["label"].cat.categories
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    answers = []
    for seed in seeds:
        part = splits.standard(table, by="lesion", seed=seed)
        told = table[["image", "lesion_id"]].assign(seed=seed, part=part, label=codes[labels])
        train = np.flatnonzero(part == "train")
        for name, remedy in candidates.items():
            probabilities = train_head(seen, labels, train, remedy, seed, len(codes))
            said = pd.DataFrame(probabilities, columns=codes, index=table.index)
            predicted = codes[probabilities.argmax(axis=1)]
            answers.append(pd.concat([told.assign(remedy=name, predicted=predicted), said], axis=1))
    return pd.concat(answers, ignore_index=True)


def scores(answers: pd.DataFrame, part: str) -> pd.DataFrame:
    """Accuracy and BMA on a part, and the recall of each class: a row per remedy and seed. answers: of `grid`."""
    codes = list(answers.columns[list(answers.columns).index("predicted") + 1 :])
    rows = {}
    for key, some in answers[answers["part"] == part].groupby(["remedy", "seed"], sort=False):
        pair = runs.class_numbers(some, codes)
        recall = pd.Series(metrics.per_class_recall(*pair, len(codes)), codes)
        rows[key] = {"accuracy": metrics.accuracy(*pair), "BMA": recall.mean(), **recall}
    return pd.DataFrame(rows).T.rename_axis(["remedy", "seed"])
