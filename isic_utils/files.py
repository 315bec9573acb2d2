"""Files that are written completely or not at all, even if the process is killed."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from isic_utils.errors import IsicError

ADVICE = "free disk space or choose another folder with ISIC_RUNS, then start again; the run continues"


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Write a file whole or not at all: ``with whole(file) as partial:`` gives a temporary file beside it to write to.

    At the end the temporary file replaces the file; after an error it is removed, and the old file stays.
    """
    partial = file.with_name(f".{file.name}.partial")  # what a killed process left there is overwritten
    try:
        yield partial
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(place: Path, advice: str = ADVICE) -> Iterator[None]:
    """Raise IsicError, which ends with the advice, if the system refuses to write, e.g. on a full disk."""
    try:
        yield
    except OSError as error:
        raise IsicError(f"{place} cannot be written ({error.strerror or error}): {advice}.") from error


def write(file: Path, save: Callable[[Path], None], advice: str = ADVICE) -> None:
    """Write a file whole or not at all; `save` is given the place to write to.

    Raises IsicError, which ends with the advice, if the disk is full or read-only; the old file stays.
    """
    with writing(file, advice):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as partial:
            partial.write_bytes(b"")  # so that the system says why, if no file can be created there
            try:
                save(partial)
            except RuntimeError as error:  # torch.save's on a full disk comes without the system's reason
                if "PytorchStreamWriter" not in str(error) and "unexpected pos" not in str(error):
                    raise  # e.g. a GPU's, which no disk space cures
                raise OSError(errno.ENOSPC, "the disk may be full") from error


def write_json(file: Path, content: object) -> None:
    """A JSON file, whole or not at all."""
    write(file, lambda partial: partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))
