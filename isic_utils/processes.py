"""Processes that work for this one: how they start, and that none outlives the one that started it."""

import multiprocessing.connection
import os
import signal
import threading

# a server imports what is needed once and is then forked; Windows cannot fork, so there each process imports it anew
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def follow_the_caller() -> None:
    """To be called in a new process: Ctrl-C is left to the caller, and when the caller is gone, this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_the_caller, daemon=True).start()


def end_with_the_caller() -> None:
    """Wait until the process that started this one is gone, however it ended, and end this one."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
