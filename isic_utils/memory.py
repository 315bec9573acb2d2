"""How the processor's memory is handed out while a network trains on it."""

import ctypes
import functools
import platform

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
