"""``python -m isic_utils``: what a student sees, where it goes, and the exit status."""

import os
import subprocess
import sys

import pytest
from archives import names, write_tables
from web import Site, served, tiny, zip_of

from isic_utils.__main__ import main
from isic_utils.datasets import archive, tables

COUNT = 40


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "official"
    folder.mkdir()
    write_tables(folder, names(COUNT), [tables.CODES[number % 8] for number in range(COUNT)])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with served(Site(files | {f"{tables.PICTURES_2019}.zip": zip_of({}, COUNT)})) as site:
        yield site


@pytest.fixture
def tiny_2019(site, monkeypatch):
    """What the command takes for ISIC 2019: a small archive on this machine."""
    kinds = [(tables.GROUND_TRUTH_2019, "table"), (tables.METADATA_2019, "table")]
    kinds += [(f"{tables.PICTURES_2019}.zip", "pictures")]
    wanted = tiny([(name, "training", kind, COUNT) for name, kind in kinds], [site])
    monkeypatch.setitem(archive.ARCHIVES, 2019, wanted)
    return wanted


def shell(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(archive.profile.PROJECT), "COLUMNS": "200"}
    command = [sys.executable, "-m", "isic_utils", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_help_lists_the_commands_and_explains_each():
    result = shell("--help")
    assert result.returncode == 0 and result.stderr == ""
    assert "download" in result.stdout and "bring the real pictures" in result.stdout
    result = shell("download", "--help")
    assert result.returncode == 0
    for part in ("--part", "--pictures N", "--folder", "2018,2019", "GB", "Ctrl-C", "data/isic", "download 2019 --pic"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["download"], "year"),
        (["download", "2017"], "2017"),
        (["download", "2019", "--part", "some"], "--part"),
        (["download", "2019", "--pictures", "0"], "--pictures"),
        (["download", "2019", "--pictures", "many"], "--pictures"),
        (["train", "standard", "--seeds", "0", "-1"], "invalid seed value: '-1'"),
        (["train", "standard", "--seeds", str(2**32)], f"invalid seed value: '{2**32}'"),
        (["fly"], "fly"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, part, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert part in capsys.readouterr().err


def test_download_brings_the_archive_and_says_what_to_do_next(tmp_path, tiny_2019, capsys):
    assert main(["download", "2019", "--folder", str(tmp_path / "isic")]) == 0
    assert len(tables.isic2019(tmp_path / "isic")) == COUNT
    said = capsys.readouterr().out
    assert f"ISIC_DATA to {tmp_path / 'isic'}" in said and "Licence: CC0 of the tests" in said


def test_download_of_some_pictures(tmp_path, tiny_2019):
    assert main(["download", "2019", "--pictures", "16", "--folder", str(tmp_path / "isic")]) == 0
    assert 16 <= len(tables.isic2019(tmp_path / "isic")) <= 24


def test_the_default_folder_is_in_the_project(tmp_path, tiny_2019, monkeypatch):
    assert archive.profile.PROJECT / "data" / "isic" == archive.FOLDER
    monkeypatch.setattr(archive, "FOLDER", tmp_path / "data" / "isic")
    assert main(["download", "2019", "--part", "all"]) == 0
    assert (tmp_path / "data" / "isic" / tables.PICTURES_2019).is_dir()


def test_what_goes_wrong_is_one_line_on_stderr_and_status_1(tmp_path, site, tiny_2019, capsys):
    site.always = ("status", 404)
    assert main(["download", "2019", "--folder", str(tmp_path / "isic")]) == 1
    result = capsys.readouterr()
    (line,) = result.err.strip().splitlines()
    assert "answered 404 Not Found" in line and "404" not in result.out


def test_no_traceback_from_a_real_shell(tmp_path):
    (tmp_path / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    result = shell("download", "2019", "--folder", str(tmp_path))
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "synthetic" in result.stderr


def test_a_part_that_is_not_there(tmp_path, capsys):
    assert main(["download", "2019", "--part", "validation", "--folder", str(tmp_path)]) == 1
    assert "ISIC 2019 has no part 'validation'" in capsys.readouterr().err


def test_control_c_says_that_it_can_go_on(tmp_path, tiny_2019, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "download", interrupted)
    assert main(["download", "2019", "--folder", str(tmp_path)]) == 130
    assert capsys.readouterr().err.strip() == "Stopped; the same command goes on from here."
