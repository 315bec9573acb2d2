"""What a model says of the pictures of a part, while it is trained and at the end: without gradients, a row each."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from isic_utils.datasets.images import Pictures, batches
from isic_utils.training import processes, runs
from isic_utils.training.config import at_once
from isic_utils.training.processes import accelerator
from isic_utils.training.runs import Run


@torch.no_grad()
def predict(model, mixed, part, task) -> tuple[np.ndarray, np.ndarray]:
    """What the model says of some pictures, without gradients: the task's answers (the probabilities [n, classes], or
    the areas of the masks [n, 4]) and the loss of each picture [n].

    part: yields (pictures, truth); mixed: the context of the forward pass; task: of `tasks`.
    """
    model.eval()
    answers, values = [], []
    for x, y in part:
        with mixed:
            logits = model(x)
        answers.append(task.answer(logits, y).cpu().numpy())
        values.append(task.loss(logits, y).cpu().numpy())
    return np.concatenate(answers), np.concatenate(values)


def predict_part(task, model, mixed, config: dict, data: tuple, pictures: Pictures) -> pd.DataFrame:
    """The model's predictions for a part, a row per picture. data: as `training.select` returns it."""
    rows, labels = data
    device = next(model.parameters()).device
    mine = processes.share_of_positions(len(rows))
    part = batches(pictures, rows[mine], None if labels is None else labels[mine], at_once(config), device)
    everyones = processes.gather(mine, *predict(model, mixed, part, task))
    return task.predictions(pictures.images[rows], labels, *everyones)


def predict_parts(run: Run, task, model: nn.Module, config: dict, data: dict, pictures: Pictures) -> None:
    """Each checkpoint's predictions for validation and test, a row per picture; this ends the run."""
    processes.wait()  # until the main process has written the last epoch
    device = accelerator().device
    model.to(device)
    mixed = mixed_precision(device, model)
    for part in ("validation", "test"):
        answers, tables = {}, []
        for checkpoint, file in run.checkpoints.items():
            epoch = runs.best_epoch(run.history, checkpoint)
            if epoch not in answers:  # two checkpoints of the same epoch are the same weights
                model.load_state_dict(runs.read_weights(file))
                answers[epoch] = predict_part(task, model, mixed, config, data[part], pictures)
            tables.append(answers[epoch].assign(checkpoint=checkpoint))
        table = pd.concat(tables)
        if processes.is_main():
            runs.write_csv(run.folder / f"predictions_{part}.csv", table[["checkpoint", *table.columns[:-1]]])


def mixed_precision(device: torch.device, model: nn.Module) -> torch.autocast:
    """The context for a forward pass: multiplications in 16 bits where the device is faster with them, else 32 bits
    throughout.

    On a processor, depthwise convolutions (EfficientNet's) are slower in 16 bits; measured in
    ``benchmarks/training_speed.py``.
    """
    if device.type == "cuda":
        return torch.autocast(
            "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        )
    depthwise = any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in model.modules())
    fast = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=fast and not depthwise)
