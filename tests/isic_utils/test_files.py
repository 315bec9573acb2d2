"""Files that appear whole or not at all."""

import errno
import os
import stat
import threading

import pytest
from archives import refusal
from filelock import FileLock, SoftFileLock, Timeout

from isic_utils import files


@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt(), OSError("the disk is full")])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, stopped_by):
    file = tmp_path / "last.pt"
    file.write_text("old")
    with pytest.raises(type(stopped_by)), files.whole(file) as partial:
        partial.write_text("half")
        raise stopped_by
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"] and file.read_text() == "old"


def test_a_new_file_takes_the_old_ones_place_only_when_whole(tmp_path, monkeypatch):
    file = tmp_path / "history.csv"
    file.write_text("old")
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append((file.read_text(), a.read_text())), replace(a, b)))
    with files.whole(file) as partial:
        partial.write_text("new")
    assert seen == [("old", "new")] and file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path):
    with files.whole(tmp_path / "last.pt") as partial:
        partial.write_text("new")
    assert (tmp_path / "last.pt").read_text() == "new"
    partial.write_text("half of one, by a process that was killed")
    with files.whole(tmp_path / "last.pt") as again:
        again.write_text("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"] and (tmp_path / "last.pt").read_text() == "newer"


def test_an_error_that_is_not_the_disks_is_not_called_a_full_disk(tmp_path):
    def save(partial):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="CUDA error"):
        files.write(tmp_path / "last.pt", save)
    assert not list(tmp_path.iterdir())


# locks


def test_who_waits_is_told_for_what(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    lock, done = tmp_path / "run" / ".lock", []

    def second():
        with files.locked(lock):
            done.append(True)

    with files.locked(lock):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(1.5)
        assert waiting.is_alive() and not done
    waiting.join(20)
    assert done
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.startswith(
        f"{lock} is held by another process: waiting until it has finished."
    )
    with files.locked(lock):
        pass
    assert not capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_a_file_is_the_lock(tmp_path, monkeypatch, number):
    class WithoutLocks(FileLock):
        def acquire(self, *arguments, **options):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "FileLock", WithoutLocks)
    for _ in range(2):
        with files.locked(tmp_path / "features.lock"), pytest.raises(Timeout):
            SoftFileLock(tmp_path / "features.soft").acquire(timeout=0)
        assert not (tmp_path / "features.soft").exists()

    class NotEvenFiles(SoftFileLock):
        def acquire(self, *arguments, **options):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "SoftFileLock", NotEvenFiles)
    refusal(lambda: files.locked(tmp_path / "features.lock").__enter__(), os.strerror(number), "ISIC_RUNS")


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize(
    ("above", "made", "lock"),
    [(0o775, 0o775, 0o664), (0o777, 0o777, 0o666), (0o755, 0o700, None), (0o1777, 0o700, None)],
)
def test_a_folder_is_as_open_as_the_one_above_whatever_the_umask(tmp_path, above, made, lock):
    tmp_path.chmod(above)
    before = os.umask(0o077)
    try:
        with files.locked(tmp_path / "sample" / "run" / ".lock"):
            pass
    finally:
        os.umask(before)
    for folder in (tmp_path / "sample", tmp_path / "sample" / "run"):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o1777 == made
    assert lock in (None, stat.S_IMODE((tmp_path / "sample" / "run" / ".lock").stat().st_mode))
