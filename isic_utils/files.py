"""Files that are written completely or not at all, even if the process is killed."""

import contextlib
import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from isic_utils.errors import IsicError

ADVICE = "free disk space or choose another folder with ISIC_RUNS, then start again; the run continues"
ELSEWHERE = "free disk space or choose another place"
PATIENCE = 10  # seconds until it is told what is waited for


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Write a file whole or not at all: ``with whole(file) as partial:`` gives a temporary file beside it to write to.

    At the end the temporary file replaces the file; after an error it is removed, and the old file stays.
    """
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed, perhaps another user's
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(place: Path, advice: str = ADVICE) -> Iterator[None]:
    """Raise IsicError, which ends with the advice, if the system refuses to write, e.g. on a full disk.

    It takes every OSError for that, so the block should do nothing but write.
    """
    try:
        yield
    except OSError as error:
        raise IsicError(f"{place} cannot be written ({error.strerror or error}): {advice}.") from error


@contextlib.contextmanager
def locked(lock: Path, advice: str = ADVICE) -> Iterator[None]:
    """Hold a lock, which is a file: another process that asks for it waits until this one has left the block."""
    with writing(lock, advice):
        held = acquire(lock)
    with held:
        yield


def acquire(lock: Path, wait: bool = True) -> contextlib.AbstractContextManager:
    """Acquire a lock, to be released by ``with``. After some seconds of waiting, a line says what for; without waiting,
    IsicError is raised at once.

    Who may write to its folder may have it. On a disk without locks (some network drives), a file beside it is the lock
    as long as it exists; what a killed process of this computer leaves there is no lock.
    """
    make_folder(lock.parent)
    held, seconds = FileLock(lock, mode=lock.parent.stat().st_mode & 0o666), PATIENCE if wait else 0
    while True:
        try:
            return held.acquire(timeout=seconds)
        except Timeout as error:
            if not wait:
                raise IsicError(f"Another process works in {lock.parent}: wait until it ends, or stop it.") from error
            told, seconds = "is held by another process: waiting until it has finished", -1
            print(f"{held.lock_file} {told}. If none is at work, delete this file.", flush=True)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP) or isinstance(held, SoftFileLock):
                raise
            held = SoftFileLock(lock.with_suffix(".soft"))


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it. In one that a group or all may write to, it is theirs too, whatever the umask
    (not in one with the sticky bit, as /tmp is)."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        if (mode := folder.parent.stat().st_mode) & 0o1022 in (0o002, 0o020, 0o022):
            with contextlib.suppress(OSError):  # another process has made it, or the disk knows no permissions
                folder.chmod(mode & 0o7777)


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
                if not any(words in str(error) for words in ("PytorchStreamWriter", "unexpected pos", "iostream")):
                    raise  # e.g. a GPU's, which no disk space cures
                raise OSError(errno.ENOSPC, "the disk may be full") from error


def write_json(file: Path, content: object) -> None:
    """A JSON file, whole or not at all."""
    write(file, lambda partial: partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))
