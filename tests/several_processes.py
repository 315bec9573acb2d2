"""What `test_several_processes` starts, alone or in several processes: trainings whose results it compares.

``python tests/several_processes.py FOLDER``, or the same after ``accelerate launch --num_processes 3``.
"""

import contextlib
import sys
from pathlib import Path

import torch
from archives import interrupt_at
from pytest import MonkeyPatch
from small_runs import CLASSIFIER, classify, labelled, segment
from torch import nn

from isic_utils import files
from isic_utils.errors import IsicError
from isic_utils.models import MODELS, ModelInfo
from isic_utils.training import TrainConfig, fit_all, get_accelerator

# A network whose outputs for an image do not depend on the other images, nor on chance.
PLAIN = dict(model="plain", width=1.0, augmentation="none", batch_size=6, epochs=3)
EXACT = {  # in 64 bits, so that rounding stays far below what is compared
    "shuffled": dict(),
    "micro-batches": dict(micro_batch_size=1, method="logit adjustment", ema_decay=0.5),
    "weighted sampler": dict(method="weighted sampler"),
}
BEGUN = dict(seed=7)  # a run that one process has begun


def build(num_classes: int, pretrained: bool, width: float) -> nn.Module:
    layers = [nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(54, num_classes))


def in_64_bits(folder: Path) -> None:
    MODELS["plain"] = ModelInfo("Plain net", build, pretrained=False, weights=None)
    torch.set_default_dtype(torch.float64)
    data = labelled(107)  # 21 of them to test, which neither two nor three processes nor batches of six divide
    for changes in EXACT.values():
        classify(folder, data, **PLAIN | changes)
    if get_accelerator().num_processes == 1:
        classify(folder / "whole", data, **PLAIN | BEGUN)
        with MonkeyPatch.context() as patch:
            interrupt_at(patch, torch.optim.AdamW, "step", 20, KeyboardInterrupt())  # in the second epoch
            with contextlib.suppress(KeyboardInterrupt):
                classify(folder / "begun", data, **PLAIN | BEGUN)
    else:
        classify(folder / "begun", data, **PLAIN | BEGUN)
    torch.set_default_dtype(torch.float32)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    index = get_accelerator().process_index
    real = files.whole

    def noted(file):
        with (folder / f"written by {index}").open("a") as stream:
            print(file, file=stream)
        return real(file)

    files.whole = noted
    in_64_bits(folder)
    usual = folder / "usual"
    store, table, split = labelled()
    fields = CLASSIFIER | dict(batch_size=12, ema_decay=0.9)
    jobs = [(TrainConfig(**fields | dict(seed=seed)), table, split) for seed in (0, 1)]
    fit_all(jobs, store, usual, progress=False)  # one after the other where several processes share each
    segment(usual, batch_size=6, micro_batch_size=1)
    try:
        segment(folder / "refused", batch_size=8, micro_batch_size=2)
    except IsicError as error:
        (folder / f"refused by {index}").write_text(str(error), encoding="utf-8")
    get_accelerator().end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
