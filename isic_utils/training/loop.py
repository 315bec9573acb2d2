"""The training loop, in one sitting: an epoch of training, and an evaluation without gradients.

The loop is the one that every PyTorch project writes. `accelerator` is Hugging Face's: its `prepare` has put model and
batches on the device, switched mixed precision on where the device has it, and given each process its share of a batch.
"""

import math
import os
from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import AutocastKwargs, DataLoaderConfiguration
from torch import nn
from torch.utils.data import DataLoader

from isic_utils.metrics import mask_scores

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (logits, targets) -> a loss per image [n]
AREAS = ["pixels", "true", "predicted", "both"]


def train_one_epoch(
    model: nn.Module,
    batches: DataLoader,
    loss_function: Loss,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    accelerator: Accelerator,
    transform: Callable | None = None,
    micro_batch_size: int | None = None,
    ema: torch.optim.swa_utils.AveragedModel | None = None,
    after_step: Callable[[], object] = lambda: None,
) -> float:
    """One pass over the training set. Returns the mean loss, each image's taken when the model saw it.

    batches: yield (images, targets); transform: changes a batch on its device (augmentation): (images, targets) ->
    (images, targets).
    micro_batch_size: images in memory at a time, at most; the gradients of the micro-batches add up to that of the
    batch (batch normalisation alone sees a micro-batch at a time).
    ema: moving average of the weights, updated after each step; after_step: called after each step (a progress bar).
    """
    model.train()
    total, count = torch.zeros((), device=accelerator.device), 0
    for images, targets in batches:
        if transform is not None:
            images, targets = transform(images, targets)
        # micro-batches as equal as can be, so none is of one image
        parts = math.ceil(len(images) / (micro_batch_size or len(images)))
        for some_images, some_targets in zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True):
            loss = loss_function(model(some_images), some_targets).sum()
            accelerator.backward(loss / len(images))
            total += loss.detach()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if ema is not None:
            ema.update_parameters(accelerator.unwrap_model(model))
        count += len(images)
        after_step()
    return accelerator.reduce(total, "sum").item() / (count * accelerator.num_processes)


@torch.no_grad()
def evaluate(model: nn.Module, batches: DataLoader, loss_function: Loss, accelerator: Accelerator) -> pd.DataFrame:
    """The model's predictions for all images of ``batches.dataset``, in its order: a row per image.

    Of a classifier: image, label, predicted (codes), loss, and the probability of each class. Of a U-Net: image, loss,
    the areas of `metrics.overlap` in pixels, and the scores of `metrics.mask_scores`. Where several processes share the
    work, each returns all rows, every image once.
    """
    model.eval()
    dataset, outputs, losses = batches.dataset, [], []
    for images, targets in batches:
        logits = model(images)
        output = logits.softmax(dim=1) if dataset.classes else areas(logits, targets)
        output, loss = accelerator.gather_for_metrics((output, loss_function(logits, targets)))
        outputs.append(output.cpu())
        losses.append(loss.cpu())
    outputs, losses = torch.cat(outputs).numpy(), torch.cat(losses).numpy()
    images = pd.DataFrame({"image": dataset.table["image"].to_numpy()})
    if not dataset.classes:
        table = pd.DataFrame(outputs, columns=AREAS)
        return pd.concat([images.assign(loss=losses), table, pd.DataFrame(mask_scores(table))], axis=1)
    codes = pd.Index(dataset.classes)
    images["label"], images["predicted"] = codes[dataset.labels], codes[outputs.argmax(axis=1)]
    return pd.concat([images.assign(loss=losses), pd.DataFrame(outputs, columns=codes)], axis=1)


def areas(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """What `metrics.overlap` counts, on the device: [n, 1, h, w] twice -> integers [n, 4] in the order of `AREAS`."""
    predicted, true = logits.flatten(1) > 0, masks.flatten(1) > 0.5
    pixels = torch.full((len(true),), true.shape[1], device=true.device)
    return torch.stack([pixels, true.sum(1), predicted.sum(1), (true & predicted).sum(1)], dim=1)


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch's augmentation and dropout: a resumed run draws the same numbers as an uninterrupted one."""
    return seed * 10_000 + epoch


def get_accelerator() -> Accelerator:
    """An Accelerator, which knows the device (CUDA, Apple's MPS or CPU) and the other processes.

    It keeps all that it has prepared, so each training has its own; what connects the processes is set up once. Mixed
    precision is what ``ACCELERATE_MIXED_PRECISION`` says, else 16 bits where the device is faster with them.
    """
    return Accelerator(
        # the batch size is that of the whole batch, however many processes share it
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        mixed_precision=os.environ.get("ACCELERATE_MIXED_PRECISION") or fastest_precision(),
        # without a GPU; else each of several processes would train alone
        cpu=int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available(),
        # so long the others wait while one process decodes images for all
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=4))],
    )


def fastest_precision() -> str:
    """accelerate's name of the number format that this device multiplies fastest in: bf16, fp16 or no (32 bits).

    Among processors only those with a matrix unit (Intel's AMX) gain from 16 bits; others with AVX-512 may lose.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of PyTorch do not tell
    return "bf16" if capabilities.get("amx_bf16", False) else "no"


def prepare_model(model: nn.Module, accelerator: Accelerator, trains: bool = False) -> nn.Module:
    """The model on the accelerator's device and in its precision. trains: gradients are averaged over the processes.

    On a CPU depthwise convolutions (EfficientNet's) are slower in 16 bits than in 32, so such a model keeps 32.
    """
    depthwise = any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in model.modules())
    accelerator.autocast_handler = AutocastKwargs(enabled=not (depthwise and accelerator.device.type == "cpu"))
    if accelerator.device.type != "mps":
        model.to(memory_format=torch.channels_last)  # faster for convolutions
    return accelerator.prepare_model(model, evaluation_mode=not trains)
