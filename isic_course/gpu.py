"""Whether PyTorch can use the GPU of this machine, and if not, what to do."""

import re

import torch

from isic_utils.errors import IsicError


def check_gpu(device: torch.device, cards: str | None) -> None:
    """Raise IsicError if something keeps PyTorch from the GPU; nothing happens if it can use it, or if there is none.

    device: the one that training takes; cards: the names of NVIDIA's cards in this machine, as the driver gives them.
    """
    if device.type == "cuda" and torch.version.cuda:  # not AMD's
        check_build(torch.cuda.get_device_capability(), torch.cuda.get_arch_list())
    unused = "PyTorch cannot use this GPU: install its version for your CUDA (https://pytorch.org/get-started)."
    if cards and device.type != "cuda":
        raise IsicError(unused)


def check_build(capability: tuple[int, int], built_for: list[str]) -> None:
    """Raise IsicError, which says what to do, if a build of PyTorch has no code for a card.

    capability: the card's, e.g. (8, 6); built_for: `torch.cuda.get_arch_list()`. Code for sm_80 runs on 8.0 to 8.9;
    the driver translates that for compute_80 for every card from 8.0 on.
    """
    for kind, major, minor in re.findall(r"(sm|compute)_(\d+)(\d)", " ".join(built_for)):
        if (int(major), int(minor)) <= capability and (kind == "compute" or int(major) == capability[0]):
            return
    has_it = "install the one for CUDA 12.6, which has" if capability < (7, 5) else "update PyTorch: the newest one has"
    advice = has_it if capability >= (5, 0) else "hide the card (CUDA_VISIBLE_DEVICES=-1), since no build has"
    version = ".".join(map(str, capability))
    raise IsicError(f"This build of PyTorch has no code for this card (compute capability {version}): {advice}.")
