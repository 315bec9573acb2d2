"""Processes: how others start that work for this one and end with it, and how this one keeps its memory."""

import ctypes
import multiprocessing.connection
import os
import platform
import signal
import threading

# On Linux a server imports what is needed once and is then forked. Windows cannot fork, and on a Mac a forked process
# may not use the system's libraries, so there each process imports it anew.
START_METHOD = "forkserver" if platform.system() == "Linux" else "spawn"


def start_fork_server() -> None:
    """Start the process that `fit_all` forks its processes from, and return at once. In some seconds, beside whatever
    this process does next, it imports PyTorch. On Windows and on a Mac nothing happens."""
    if START_METHOD == "forkserver":
        multiprocessing.get_context(START_METHOD).set_forkserver_preload(["isic_utils.training.fit_all"])
        multiprocessing.forkserver.ensure_running()


def follow_the_caller() -> None:
    """To be called in a new process: Ctrl-C is left to the caller, and when the caller is gone, this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_the_caller, daemon=True).start()


def end_with_the_caller() -> None:
    """Wait until the process that started this one is gone, however it ended, and end this one."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def keep_memory() -> None:
    """Let this process keep memory that it has used, for the next batch.

    On Linux a large block goes back to the system after each use, and is got anew and cleared page by page: up to half
    of the time of a training step on a CPU. The settings are those of mallopt(3); no result changes.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-4, 0)  # M_MMAP_MAX: how many blocks may be borrowed from the system one by one
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: bytes that may lie free before they are given back
