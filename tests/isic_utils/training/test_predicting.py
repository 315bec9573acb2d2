"""What a model says of pictures: without gradients, without dropout, without a change of its weights."""

import numpy as np
import torch
from archives import in_memory

from isic_utils import models
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.training import fit as training, predicting, tasks

CODES = [tables.CODES[n % 8] for n in range(96)]


def test_validation_takes_no_gradients_and_leaves_the_weights():
    table, decoded = in_memory(CODES, size=16)
    task = tasks.Classification(tables.CODES)
    torch.manual_seed(0)
    model = models.classifier("residual", slim=True)
    before = {layer: value.clone() for layer, value in model.state_dict().items()}
    rows, labels = training.select(table, splits.standard(table), decoded, "validation")
    mixed = predicting.mixed_precision(torch.device("cpu"), model)
    first = predicting.predict(model, mixed, pictures.batches(decoded, rows, labels, 4), task)
    assert all(torch.equal(value, before[layer]) for layer, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    second = predicting.predict(model, mixed, pictures.batches(decoded, rows, labels, 4), task)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)), "dropout is off"
