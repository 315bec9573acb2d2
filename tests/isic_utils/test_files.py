"""Files that appear whole or not at all."""

import os

import pytest

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
