"""Files that appear whole or not at all, whenever the process is killed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Write a file whole or not at all: ``with whole(file) as partial:`` gives a place beside it to write to.

    At the end that takes the file's place at once; after an error it is gone, and the old file stays.
    """
    partial = file.with_name(f".{file.name}.partial")  # one that a killed process left is written over
    try:
        yield partial
        os.replace(partial, file)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
