"""Memory while a network trains: how a processor hands it out, and what to say when it runs out."""

import ctypes
import functools
import platform

from isic_utils.datasets.images import Pictures
from isic_utils.errors import IsicError
from isic_utils.training.config import at_once

BORROWED, KEPT_FREE = -4, -1  # the numbers of M_MMAP_MAX and M_TRIM_THRESHOLD in glibc's malloc.h


@functools.cache
def keep() -> None:
    """Let this process keep memory that it has used, for the next batch.

    On Linux a large block goes back to the system after each use, and is got anew and cleared page by page: up to a
    third of the time of a training step on a processor, and nothing on a graphics card, where PyTorch keeps blocks by
    itself. The settings are those of mallopt(3); no result changes. Other systems are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(BORROWED, 0)  # how many blocks may be borrowed from the system one by one
        library.mallopt(KEPT_FREE, 2**31 - 1)  # bytes that may lie free at the end before they are given back


def out_of_memory(config: dict, pictures: Pictures) -> IsicError:
    """What to say when memory ran out: which setting to lower, and to what."""
    height, width = pictures.pixels.shape[1:3]
    half = max(1, at_once(config) // 2)
    setting = "batch_size" if "classes" in config else "segmentation_at_once"
    return IsicError(
        f"Memory ran out with {at_once(config)} pictures of {height}×{width} at a time: lower {setting} or the "
        f"size of the pictures, e.g. settings = dataclasses.replace(settings, {setting}={half}), or use a smaller "
        "ISIC_PROFILE."
    )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch means that memory ran out, on a graphics card or on the processor."""
    said = str(error)
    return any(words in said for words in ("out of memory", "allocate memory", "not enough memory"))
