"""Whether training the classic U-Net at the full profile's size fits a graphics card of 8 GB: an estimate.

    python benchmarks/unet_memory.py
    python benchmarks/unet_memory.py --card 6 --micro-batch 1

Needs no graphics card. What a training step keeps for the backward pass is counted on the processor, at small sizes and
in the precision of a card (`torch.autograd.graph.saved_tensors_hooks`; each storage once). It grows with the number of
pixels, which the table shows, and is scaled up to the profile's size. Added are the weights, their gradients, AdamW's
two moments and the weights' copies in 16 bits, what the largest layer needs besides while it is worked on, the batch
itself, and an allowance for what no count shows: CUDA's own context, cuDNN's workspace, and gaps between blocks.
"""

import argparse

import pandas as pd
import torch

from isic_utils.models import UNet
from isic_utils.settings import PROFILES
from isic_utils.training import losses

GB = 1e9
CONTEXT = 0.6 * GB  # CUDA's context and libraries, before the first tensor
WORKSPACE = 0.5 * GB  # cuDNN's and cuBLAS's scratch memory
GAPS = 0.10  # fraction of the tensors' memory that is lost between blocks
COUNTED_SIZES = [(48, 64), (96, 128), (192, 256)]


def main() -> None:
    sizes = PROFILES["full"]
    parser = argparse.ArgumentParser(description="The memory of training the U-Net: an estimate.")
    parser.add_argument("--card", type=float, default=8.0, help="memory of the card in GB")
    parser.add_argument(
        "--micro-batch", type=int, default=sizes["segmentation_micro_batch_size"], help="images in memory at a time"
    )
    parser.add_argument("--channels", type=int, default=64, help="of the first level")
    arguments = parser.parse_args()
    height, width = sizes["segmentation_size"]
    model = UNet(arguments.channels)

    rows = {f"{h} × {w}": counted(model, h, w) for h, w in COUNTED_SIZES}
    table = pd.DataFrame(rows).T
    print("Kept for the backward pass, for one image:")
    print(table.round(2).to_string(formatters={"pixels": "{:,.0f}".format, "MB": "{:.1f}".format}))

    last = table.iloc[-1]
    kept = last["bytes per pixel"] * height * width
    passing = last["largest layer, bytes per pixel"] * height * width
    parts = estimate(model, kept, passing, height * width, sizes["segmentation_batch_size"], arguments.micro_batch)
    print(f"\nmicro-batch of {arguments.micro_batch}, {height} × {width} pixels, {arguments.channels} channels, in GB:")
    print((parts / GB).round(2).to_string())
    total = parts.sum() / GB
    verdict = "fits" if total <= arguments.card else "does not fit"
    print(f"\ntotal {total:.1f} GB: {verdict} a card of {arguments.card:g} GB")
    for micro_batch in range(1, sizes["segmentation_batch_size"] + 1):
        parts = estimate(model, kept, passing, height * width, sizes["segmentation_batch_size"], micro_batch)
        if parts.sum() / GB > arguments.card:
            print(f"The largest micro-batch that fits: {micro_batch - 1}.")
            break


def counted(model: torch.nn.Module, height: int, width: int) -> dict[str, float]:
    """What one image's training step keeps for the backward pass, and the largest layer's need besides, in bytes."""
    x = torch.rand(1, 3, height, width).to(memory_format=torch.channels_last)
    mask = (torch.rand(1, 1, height, width) < 0.3).float()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}
    alive = []  # so that no storage is freed and its address used again while we count

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    largest = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, given, result: largest.append(sum(t.nbytes for t in (*given, result)))
        )
        for layer in model.modules()
        if not list(layer.children())
    ]
    model.train().to(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        losses.cross_entropy_and_jaccard(logits, mask).sum()
    for hook in hooks:
        hook.remove()
    copies = sum(2 * parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)  # weights in 16 bits
    total = sum(kept.values()) - copies
    pixels = height * width
    return {
        "pixels": pixels,
        "MB": total / 1e6,
        "bytes per pixel": total / pixels,
        "largest layer, bytes per pixel": max(largest) / pixels,
    }


def estimate(
    model: torch.nn.Module, kept: float, passing: float, pixels: int, batch_size: int, micro_batch: int
) -> pd.Series:
    """Bytes by what they are for. kept, passing: of one image; pixels: of one image."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    parts = {
        "weights, gradients, two moments (16 bytes each)": 16 * weights,
        "weights in 16 bits": 2 * weights,
        "kept for the backward pass": micro_batch * kept,
        "gradients of the largest layer": micro_batch * passing,
        "the batch, bytes and floats": batch_size * pixels * (4 + 4 * 4),
    }
    parts["gaps between blocks"] = GAPS * sum(parts.values())
    parts |= {"workspace of cuDNN": WORKSPACE, "CUDA's context": CONTEXT}
    return pd.Series(parts)


if __name__ == "__main__":
    main()
