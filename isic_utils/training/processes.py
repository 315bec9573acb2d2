"""Several processes, one result: ``accelerate launch`` starts one for each graphics card, and they share a run.

Each process sees the whole batch, works on its share of it, and all add their slopes up. So a batch is as large as with
one process, and the result is the same but for rounding. Two kinds of layers need the whole batch for that: batch
normalisation, which takes its means over it, and dropout, which draws its chance for it. EfficientNet-Lite0's drop
connect alone is drawn by each process for its share, so its results differ between one and several processes as those
of two seeds do (docs/several_gpus.md). Only the main process writes.
With a single process every function here does nothing, or hands back what it was given.
"""

import functools
import os
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import broadcast_object_list
from torch import nn

from isic_utils.errors import IsicError

PATIENCE = timedelta(hours=4)  # how long processes wait for one that decodes pictures, or trains a run of another job


@functools.cache
def accelerator() -> Accelerator:
    """Finds the device: a graphics card (CUDA), Apple's (MPS), or the processor; and the other processes, if any. Mixed
    precision is ours (`predicting.mixed_precision`)."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_processor = several and not torch.cuda.is_available()  # accelerate must be told, or each works for itself
    waiting = InitProcessGroupKwargs(timeout=PATIENCE)
    return Accelerator(mixed_precision="no", cpu=on_processor, kwargs_handlers=[waiting])


def is_main() -> bool:
    """Whether this process is the one that writes; the only one is."""
    return accelerator().is_main_process


def wait() -> None:
    """Wait until every process has come to this line."""
    accelerator().wait_for_everyone()


def end() -> None:
    """Say goodbye to the other processes; nothing of them can be used afterwards."""
    accelerator().end_training()


def as_main_says(question: Callable[[], object]):
    """The main process's answer to a question (a function without arguments), in every process.

    What files say can change between two looks at them; so one process looks, and all do the same.
    """
    answer = [question() if is_main() else None]
    if accelerator().num_processes > 1:
        broadcast_object_list(answer)
    return answer[0]


def check_share(pictures: int) -> None:
    """Raise IsicError if the smallest batch, of that many pictures, leaves a process without any."""
    processes = accelerator().num_processes
    if pictures < processes:
        raise IsicError(
            f"{pictures} pictures at a time cannot be shared by {processes} processes: start fewer "
            "(accelerate launch --num_processes), or take a larger batch_size (segmentation_at_once for masks)."
        )


def share(batch: torch.Tensor) -> torch.Tensor:
    """This process's share of a batch: some of its rows."""
    here = accelerator()
    return batch if here.num_processes == 1 else batch.tensor_split(here.num_processes)[here.process_index]


def share_of_positions(count: int) -> np.ndarray:
    """Which of `count` pictures this process answers for: integer [m], with the same m in each process, so that some
    positions come twice if it cannot be otherwise."""
    here = accelerator()
    mine = np.arange(here.process_index, count, here.num_processes)
    return np.resize(mine if len(mine) else np.arange(count), -(-count // here.num_processes))


def gather(positions: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    """Every process's values in the order of the pictures, in every process: each picture exactly once.

    positions: as `share_of_positions` returned them, integer [m]; values: arrays [m, …].
    """
    here = accelerator()
    if here.num_processes == 1:
        return list(values)
    tensors = [torch.from_numpy(array).to(here.device) for array in (positions, *values)]
    everyones, *gathered = [tensor.cpu().numpy() for tensor in here.gather_for_metrics(tensors)]
    _, first = np.unique(everyones, return_index=True)  # in the order of the pictures; one that came twice, once
    return [array[first] for array in gathered]


def together(model: nn.Module) -> nn.Module:
    """The model on this process's device, ready to be trained by all processes; itself if there is only one."""
    here = accelerator()
    if here.num_processes > 1:
        if here.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        exchange_layers(model)
    return here.prepare(model)


def exchange_layers(model: nn.Module) -> None:
    """Put `WholeBatchNorm` and `WholeDropout` in the place of the layers that see their share of a batch only."""
    for name, layer in model.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            whole = WholeBatchNorm(layer.num_features, layer.eps, layer.momentum).to(
                layer.weight.device, layer.weight.dtype
            )
            whole.load_state_dict(layer.state_dict())
            setattr(model, name, whole)
        elif isinstance(layer, (nn.Dropout, nn.Dropout2d)):
            setattr(model, name, WholeDropout(layer.p, whole_channels=isinstance(layer, nn.Dropout2d)))
        else:
            exchange_layers(layer)


def sum_of(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of what each process has, in every process."""
    return accelerator().reduce(tensor, "sum")


class SumOverProcesses(torch.autograd.Function):
    """A tensor of each process -> their sum, in every process. The slope of a sum that all use is a sum as well."""

    @staticmethod
    def forward(context, tensor: torch.Tensor) -> torch.Tensor:
        return sum_of(tensor.clone())

    @staticmethod
    def backward(context, slope: torch.Tensor) -> torch.Tensor:
        return sum_of(slope.clone())


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the shares of all processes (Ioffe and Szegedy 2015, arXiv:1502.03167).

    PyTorch's own, ``SyncBatchNorm``, is for graphics cards only.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, h, w] -> the same, each channel with mean 0 and variance 1 over the whole batch, scaled."""
        if not self.training:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))  # sums need more than 16 bits
        over = (0, 2, 3)
        count = sum_of(torch.tensor(values[:, 0].numel(), device=x.device))
        mean = SumOverProcesses.apply(values.sum(over)) / count
        apart = values - mean[:, None, None]
        variance = SumOverProcesses.apply(apart.square().sum(over)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scaled = apart * (self.weight * torch.rsqrt(variance + self.eps))[:, None, None] + self.bias[:, None, None]
        return scaled.to(x.dtype)


class WholeDropout(nn.Module):
    """Dropout whose chance is drawn for the whole batch, of which each process then takes its share.

    probability: that a value becomes 0; whole_channels: as ``nn.Dropout2d``, not value by value.
    """

    def __init__(self, probability: float, whole_channels: bool):
        super().__init__()
        self.probability, self.whole_channels = probability, whole_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, …] -> the same, with some values 0 and the others larger, so that the mean stays."""
        if not self.training:
            return x
        pictures = int(sum_of(torch.tensor(len(x), device=x.device)))
        shape = (pictures, x.shape[1], 1, 1) if self.whole_channels else (pictures, *x.shape[1:])
        kept = torch.empty(shape, dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.probability).div_(1 - self.probability)
        return x * share(kept)
