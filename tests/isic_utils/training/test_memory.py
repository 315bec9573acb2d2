"""Memory that a process has used stays with it."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from isic_utils.training import memory

if "keep" in sys.argv:
    memory.keep()

def pages_got(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(25_000_000)  # 100 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages_got(10)
print(pages_got(5))
"""


def pages_got(*arguments: str) -> int:
    """How many pages of memory a new process gets for five blocks of 100 MB, one after the other."""
    done = subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc, on Linux, hands large blocks back and is told"
)
def test_a_block_of_memory_is_got_once():
    assert 10 * pages_got("keep") < pages_got()
