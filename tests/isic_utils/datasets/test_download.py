"""Downloading archives from servers on this machine that do everything servers and networks do wrong."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from archives import OFFICIAL, is_one_clear_message, names, write_tables
from filelock import FileLock, SoftFileLock
from web import PAGE, Site, below, image_bytes, serve_as_isic, served, zip_of

from isic_utils.datasets import download, tables
from isic_utils.errors import IsicError

COUNT = 200
CODES = [tables.CODES[number % 8 if number < 80 else 1] for number in range(COUNT)]  # 10 of each class, 130 of NV
SIZE = 3000
ZIP = f"{tables.IMAGES_2019}.zip"
TABLES = [tables.GROUND_TRUTH_2019, tables.METADATA_2019]
FILES_2019 = [*((name, "training", "table", COUNT) for name in TABLES), (ZIP, "training", "images", COUNT)]
FILES_2018 = [
    (f"{tables.MASKS_2018}.zip", "training", "masks", 30),
    (f"{tables.IMAGES_2018}.zip", "training", "images", 30),
]
CHUNK = 1 << 16  # bytes that an interruption loses at most


@pytest.fixture(scope="session")
def official(tmp_path_factory) -> dict[str, bytes]:
    """Small files with the names and the layout of ISIC 2019's and 2018's."""
    folder = tmp_path_factory.mktemp("official")
    write_tables(folder, names(COUNT), CODES)
    inside = tables.IMAGES_2019
    texts = {f"{inside}/": "", f"{inside}/LICENSE.txt": "CC BY-NC", f"{inside}/ATTRIBUTION.txt": "ISIC"}
    images = {f"{inside}/{name}.jpg": image_bytes(number, SIZE) for number, name in enumerate(names(COUNT))}
    masks = {f"{tables.MASKS_2018}/{name}_segmentation.png": image_bytes(7) for name in names(30)}
    superpixels = {f"{tables.IMAGES_2018}/{name}_superpixels.png": image_bytes(8) for name in names(30)}
    inputs = {f"{tables.IMAGES_2018}/{name}.jpg": image_bytes(9) for name in names(30)}
    return {path.name: path.read_bytes() for path in folder.iterdir()} | {
        ZIP: zip_of(texts | images),
        f"{tables.MASKS_2018}.zip": zip_of(masks),
        f"{tables.IMAGES_2018}.zip": zip_of(inputs | superpixels),
    }


@pytest.fixture
def sites(official, monkeypatch):
    """Two servers that `download` takes for ISIC's."""
    with served(Site(dict(official))) as first, served(Site(dict(official))) as second:
        serve_as_isic(monkeypatch, 2019, FILES_2019, [first, second])
        serve_as_isic(monkeypatch, 2018, FILES_2018, [first, second])
        yield first, second


def fetch(folder: Path, images: int | None = None, year: int = 2019) -> None:
    download.download(year, "training", folder, images)


def put_tables(folder: Path, official: dict[str, bytes]) -> None:
    """What a test does not look at is there already, so that faults meet the zip alone."""
    for name in TABLES:
        (folder / name).write_bytes(official[name])


def assert_complete(folder: Path, official: dict[str, bytes]) -> None:
    """Assert that tables and all images are there, bit for bit, and nothing unfinished."""
    for number, name in enumerate(names(COUNT)):
        assert (folder / tables.IMAGES_2019 / f"{name}.jpg").read_bytes() == image_bytes(number, SIZE)
    assert all((folder / name).read_bytes() == official[name] for name in TABLES)
    kept = {*TABLES, "ISIC_2019_licence.txt", *(f"{tables.IMAGES_2019}/{name}.jpg" for name in names(COUNT))}
    assert below(folder) == kept


def assert_whole(folder: Path) -> int:
    """Assert that each image there is the archive's and nothing is unfinished. Returns how many there are."""
    paths = list((folder / tables.IMAGES_2019).glob("*"))
    for path in paths:
        assert path.read_bytes() == image_bytes(int(path.stem.removeprefix("ISIC_")), SIZE)
    assert not [name for name in below(folder) if name.startswith(".download")]
    return len(paths)


def refused(folder: Path, *parts: str, images: int | None = None) -> None:
    with pytest.raises(IsicError) as caught:
        fetch(folder, images)
    is_one_clear_message(caught.value, *parts)


# The registry


def test_counts_and_sizes_are_those_that_isic_publishes():
    counts = {(year, file.split, file.kind): file.count for year, files in download.ARCHIVES.items() for file in files}
    assert {counts[2019, "training", kind] for kind in ("images", "table")} == {25_331}
    assert {counts[2019, "test", kind] for kind in ("images", "table")} == {8_238}
    for kind in ("images", "masks"):
        assert [counts[2018, split, kind] for split in ("training", "validation", "test")] == [2_594, 100, 1_000]
    for file in (file for files in download.ARCHIVES.values() for file in files):
        bytes_each = file.size / file.count
        assert 30 < bytes_each < 120 if file.kind == "table" else 5_000 < bytes_each < 6_000_000
    assert "CC BY-NC 4.0" in download.TERMS[2019] and "CC0" in download.TERMS[2018]


def test_files_are_those_that_the_tables_read():
    places = {
        download.place_of(file, Path()).name
        for files in download.ARCHIVES.values()
        for file in files
        if file.split == "training"
    }
    assert places == {tables.IMAGES_2019, tables.IMAGES_2018, tables.MASKS_2018, *TABLES}


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")
def test_the_official_tables_pass_the_check(tmp_path):
    for file in download.ARCHIVES[2019][:2]:
        (tmp_path / "copy").write_bytes((OFFICIAL / file.name).read_bytes())
        assert (tmp_path / "copy").stat().st_size == file.size
        download.unpack(tmp_path / "copy", file, tmp_path)


# The way it should go


def test_a_download_is_complete_and_the_second_call_asks_for_nothing(tmp_path, sites, official, capsys):
    folder = tmp_path / "new" / "isic"
    fetch(folder)
    assert_complete(folder, official)
    assert [name for name, _ in sites[0].requests] == [name for name, *_ in FILES_2019] and sites[1].requests == []
    assert "CC BY-NC 4.0" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    fetch(folder)
    assert len(sites[0].requests) == 3 and "CC BY-NC" not in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_isic_2018_comes_without_superpixels(tmp_path, sites):
    fetch(tmp_path, year=2018)
    for folder, ending in ((tables.IMAGES_2018, ".jpg"), (tables.MASKS_2018, "_segmentation.png")):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [name + ending for name in names(30)]


@pytest.mark.parametrize(("year", "split"), [(2019, "validation"), (2017, "training")])
def test_a_split_that_is_not_there(tmp_path, sites, year, split):
    with pytest.raises(IsicError) as caught:
        download.download(year, split, tmp_path / "new")
    is_one_clear_message(caught.value, str(year), split)
    assert not (tmp_path / "new").exists()


# Transfers that break


def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path, sites, official):
    put_tables(tmp_path, official)
    sites[0].faults.extend([("drop", 200_000), ("drop", 150_000)])
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert [bool(wanted) for _, wanted in sites[0].requests] == [False, True, True]
    assert len(official[ZIP]) <= sites[0].sent < len(official[ZIP]) + 2 * CHUNK and sites[1].sent == 0


def test_many_breaks_are_no_reason_to_stop_while_each_brings_something(tmp_path, sites, official):
    put_tables(tmp_path, official)
    sites[0].always = ("drop", CHUNK)
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert len(sites[0].requests) > download.RETRIES + 2 and sites[1].requests == []


KILLED = """
import sys
from isic_utils.datasets import download
download.SERVERS, (name, size, count, folder) = [sys.argv[1]], sys.argv[2:]
download.ARCHIVES[2019] = [download.File(name, "training", "images", int(size), int(count))]
download.download(2019, "training", folder)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_after_kill_9_only_the_rest_moves(tmp_path, sites, official):
    first, _ = sites
    put_tables(tmp_path, official)
    first.faults.append(("hang", 3 * CHUNK))
    arguments = [first.address, ZIP, str(len(official[ZIP])), str(COUNT), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(download.PROJECT)}
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], env=environment, stderr=subprocess.DEVNULL)
    part, deadline = tmp_path / ".download" / ZIP, time.monotonic() + 60
    while not part.exists() or part.stat().st_size < 2 * CHUNK:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (tmp_path / tables.IMAGES_2019).exists()
    kept, first.sent = part.stat().st_size, 0
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert first.sent == len(official[ZIP]) - kept and first.requests[-1] == (ZIP, f"bytes={kept}-")


def changed(content: bytes) -> bytes:
    """A zip of the same size with other images."""
    images = {f"ISIC_{number:07d}.jpg": image_bytes(number + 1000, SIZE) for number in range(COUNT)}
    other = zip_of(images)
    with zipfile.ZipFile(Path("other.zip"), "w") as archive:
        archive.comment = bytes(len(content) - len(other))
        for name, image in images.items():
            archive.writestr(name, image, zipfile.ZIP_DEFLATED)
    return Path("other.zip").read_bytes()


@pytest.mark.parametrize("etag", [True, False], ids=["with ETag", "without"])
def test_another_version_is_not_joined_to_the_old_part(tmp_path, sites, official, monkeypatch, etag):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "isic"
    folder.mkdir()
    put_tables(folder, official)
    sites[0].etag, sites[1].always = etag, ("status", 404)
    sites[0].faults.extend([("drop", 200_000), ("status", 403)])
    refused(folder, "403", "404", ZIP)
    assert (folder / ".download" / ZIP).stat().st_size > 100_000
    sites[0].files[ZIP] = changed(official[ZIP])
    assert len(sites[0].files[ZIP]) == len(official[ZIP])
    fetch(folder)
    assert (folder / tables.IMAGES_2019 / "ISIC_0000000.jpg").read_bytes() == image_bytes(1000, SIZE)
    assert len(list((folder / tables.IMAGES_2019).iterdir())) == COUNT


def test_the_other_server_continues_the_same_version_and_begins_another_anew(tmp_path, sites, official):
    for folder, flip, expected in (("same", 0, len(official[ZIP]) - 200_000), ("other", 0xFF, len(official[ZIP]))):
        (tmp_path / folder).mkdir()
        put_tables(tmp_path / folder, official)
        content = bytearray(official[ZIP])
        content[1000] ^= flip
        sites[0].files[ZIP], sites[1].sent = bytes(content), 0
        sites[0].faults.extend([("drop", 200_000), ("status", 403)])
        fetch(tmp_path / folder)
        assert_complete(tmp_path / folder, official)
        assert expected <= sites[1].sent < expected + CHUNK


def test_a_server_that_ignores_ranges_begins_again_and_is_left_if_it_always_breaks(tmp_path, sites, official):
    put_tables(tmp_path, official)
    sites[0].ranges, sites[0].always = False, ("drop", 300_000)
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert len(sites[0].requests) == download.RETRIES + 2 and len(sites[1].requests) == 1


# Servers that fail


@pytest.mark.parametrize(
    "fault", [("status", 403), ("status", 404), ("status", 500), ("page", None), ("drop", 0)], ids=str
)
def test_the_second_server_takes_over(tmp_path, sites, official, fault):
    sites[0].always = fault
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert len(sites[1].requests) == 3


def test_the_second_server_takes_over_from_one_that_is_silent_or_answers_another_range(
    tmp_path, sites, official, monkeypatch
):
    put_tables(tmp_path, official)
    monkeypatch.setattr(download, "TIMEOUT", 1)
    monkeypatch.setattr(download, "RETRIES", 0)
    sites[0].faults.extend([("hang", 200_000), ("hang", 0)])
    sites[1].faults.append(("shift", 100))
    refused(tmp_path, "broke off", "another range")
    fetch(tmp_path)
    assert_complete(tmp_path, official)


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_that_is_well_again_is_not_left(tmp_path, sites, official, code):
    sites[0].faults.extend([("status", code)] * download.RETRIES)
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert sites[1].requests == []


def test_when_every_server_fails_the_message_names_each_with_its_reason(tmp_path, sites, monkeypatch):
    with served(Site()) as away:
        pass
    monkeypatch.setattr(download, "SERVERS", [away.address.rstrip("/"), sites[1].address.rstrip("/")])
    sites[1].always = ("status", 503)
    refused(tmp_path, away.address, sites[1].address, "503", tables.GROUND_TRUTH_2019)
    assert below(tmp_path) == {"ISIC_2019_licence.txt", f".download/{tables.GROUND_TRUTH_2019}"}


# Wrong files


def replace_zip(monkeypatch, sites, content: bytes, size: int | None = None) -> None:
    """Both servers give `content` for the zip, whose size is known."""
    for site in sites:
        site.files[ZIP] = content
    *others, images = download.ARCHIVES[2019]
    monkeypatch.setitem(download.ARCHIVES, 2019, (*others, replace(images, size=size or len(content))))


WRONG = {
    "page": (PAGE * 100, "damaged"),
    "cut short": (zip_of({}, COUNT)[:-30], "damaged"),
    "too few": (zip_of({}, COUNT - 1), "199 images instead of 200"),
    "too many": (zip_of({}, COUNT + 1), "201 images"),
    "outside": (zip_of({"../evil.jpg": b"x"}, COUNT - 1), "'../evil.jpg'"),
    "outside below": (zip_of({"a/../../evil.jpg": b"x"}, COUNT - 1), "outside"),
    "absolute": (zip_of({"/tmp/evil.jpg": b"x"}, COUNT - 1), "'/tmp/evil.jpg'"),
    "Windows": (zip_of({"..\\evil.jpg": b"x"}, COUNT - 1), "outside"),
    "drive": (zip_of({"C:evil.jpg": b"x"}, COUNT - 1), "outside"),
    "text outside": (zip_of({"../evil.txt": b"x"}, COUNT), "outside"),
    "bomb": (zip_of({"ISIC_9999999.jpg": bytes(9_000_000)}, COUNT - 1), "would unpack to"),
    "twice": (zip_of({"a/ISIC_0000000.jpg": b"x"}, COUNT - 1), "199 images"),
}


@pytest.mark.parametrize("images", [None, 50], ids=["all", "some"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_zip_is_refused_and_writes_nothing(tmp_path, sites, official, monkeypatch, wrong, images):
    folder = tmp_path / "isic"
    folder.mkdir()
    put_tables(folder, official)
    content, fault = WRONG[wrong]
    replace_zip(monkeypatch, sites, content)
    refused(folder, fault, ZIP, images=images)
    assert below(tmp_path) == {f"isic/{name}" for name in (*TABLES, "ISIC_2019_licence.txt")}


def test_links_and_encrypted_members_are_refused(tmp_path, sites, official, monkeypatch):
    put_tables(tmp_path, official)
    link = zipfile.ZipInfo("ISIC_9999999.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    (tmp_path / "link.zip").write_bytes(zip_of({}, COUNT - 1))
    with zipfile.ZipFile(tmp_path / "link.zip", "a") as archive:
        archive.writestr(link, "/etc/passwd")
    replace_zip(monkeypatch, sites, (tmp_path / "link.zip").read_bytes())
    refused(tmp_path, "link", "ISIC_9999999.jpg")
    encrypted = bytearray(zip_of({}, COUNT))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    replace_zip(monkeypatch, sites, bytes(encrypted))
    refused(tmp_path, "damaged", "encrypted")


def test_a_damaged_image_is_not_written_and_the_second_server_asked(tmp_path, sites, official, monkeypatch):
    content = bytearray(official[ZIP])
    content[len(content) // 2] ^= 0xFF
    sites[0].files[ZIP] = bytes(content)
    fetch(tmp_path / "all")
    assert_complete(tmp_path / "all", official)
    sites[1].files[ZIP] = bytes(content)
    refused(tmp_path / "new", ZIP, "damaged", "Bad CRC-32")
    assert assert_whole(tmp_path / "new") == COUNT - 1
    sites[0].files[ZIP] = official[ZIP]  # the next call fetches it anew
    fetch(tmp_path / "new")
    assert_complete(tmp_path / "new", official)


@pytest.mark.parametrize("size", [10_000, 10_000_000])
def test_a_file_of_quite_another_size_is_not_even_fetched(tmp_path, sites, official, monkeypatch, size):
    put_tables(tmp_path, official)
    replace_zip(monkeypatch, sites, official[ZIP], size)
    refused(tmp_path, f"{len(official[ZIP]):,}", f"{size:,}")
    assert (tmp_path / ".download" / ZIP).stat().st_size == 0


def test_a_wrong_table_is_refused(tmp_path, sites, official):
    right = official[tables.GROUND_TRUTH_2019]
    for content in (right[: right.rindex(b"ISIC")], right.replace(b"image", b"names", 1), zip_of({}, 3)):
        sites[0].files[tables.GROUND_TRUTH_2019] = sites[1].files[tables.GROUND_TRUTH_2019] = content
        refused(tmp_path, tables.GROUND_TRUTH_2019, "200 rows")
        assert below(tmp_path) == {"ISIC_2019_licence.txt"}


def test_whatever_byte_is_damaged_images_are_whole_or_refused(tmp_path):
    content = zip_of({f"a/{name}.jpg": image_bytes(number, 30) for number, name in enumerate(names(5))})
    file = download.File("damaged.zip", "training", "images", len(content), 5)
    chance, outcomes = np.random.default_rng(0), set()
    for trial in range(400):
        damaged = bytearray(content)
        for position in chance.integers(0, len(content), chance.integers(1, 4)):
            damaged[position] = chance.integers(0, 256)
        folder = tmp_path / str(trial)
        folder.mkdir()
        (folder / "damaged.zip").write_bytes(damaged)
        try:
            download.unpack(folder / "damaged.zip", file, folder)
            outcomes.add("unpacked")
            assert len(list((folder / "damaged").iterdir())) == 5
        except download.Unusable:
            outcomes.add("refused")
        for path in (folder / "damaged").glob("*"):
            assert path.read_bytes() in [image_bytes(number, 30) for number in range(5)]
    assert outcomes == {"unpacked", "refused"}


# The folder and the disk


def test_a_full_disk_is_seen_before_anything_is_asked_for(tmp_path, sites, official, monkeypatch):
    put_tables(tmp_path, official)
    needed = 2 * len(official[ZIP]) + 100_000_000
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    refused(tmp_path, str(tmp_path), "GB", "free disk space")
    assert sites[0].requests == []
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed))
    fetch(tmp_path)
    assert_complete(tmp_path, official)


@pytest.mark.parametrize("call", [1, 5, 40])  # while a table, the zip or an image is written
def test_a_disk_that_fills_up_meanwhile(tmp_path, sites, official, monkeypatch, call):
    calls, real = [], download.shutil.copyfileobj

    def full(source, target, *length):
        calls.append(target)
        if len(calls) >= call:
            raise OSError(28, "No space left on device")
        real(source, target, *length)

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    refused(tmp_path, str(tmp_path), "No space left on device", "free disk space")
    assert not [name for name in below(tmp_path) if name.endswith(".partial")]
    monkeypatch.setattr(download.shutil, "copyfileobj", real)
    fetch(tmp_path)
    assert_complete(tmp_path, official)


def test_stopped_while_unpacking_it_goes_on_without_asking_again(tmp_path, sites, official, monkeypatch):
    put_tables(tmp_path, official)
    real, moved = os.replace, []

    def stop(source, target):
        if Path(target).suffix == ".jpg":
            moved.append(target)
            if len(moved) > 10:
                raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path)
    monkeypatch.setattr(os, "replace", real)
    assert 10 <= len(list((tmp_path / tables.IMAGES_2019).iterdir())) < COUNT
    (tmp_path / tables.IMAGES_2019 / f".{names(COUNT)[-1]}.jpg.partial").write_bytes(b"left by kill -9")
    sites[0].requests.clear()
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert sites[0].requests == []


def test_a_zip_left_by_a_process_killed_at_its_very_end_is_removed(tmp_path, sites, official):
    fetch(tmp_path)
    (tmp_path / ".download" / ZIP).write_bytes(official[ZIP])
    fetch(tmp_path)
    assert_complete(tmp_path, official)


def test_the_synthetic_sample_is_not_mixed_with_real_images(tmp_path, sites):
    (tmp_path / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    refused(tmp_path, "synthetic", str(tmp_path))
    assert sites[0].requests == [] and below(tmp_path) == {"SYNTHETIC.json"}


def test_two_processes_do_not_download_into_one_folder(tmp_path, sites, official):
    (tmp_path / ".download").mkdir()
    with FileLock(tmp_path / ".download" / "lock"):
        refused(tmp_path, "Another process", str(tmp_path))
    assert sites[0].requests == []
    fetch(tmp_path)
    assert_complete(tmp_path, official)


def test_a_disk_without_locks(tmp_path, sites, official, monkeypatch):
    class WithoutLocks(FileLock):
        def acquire(self, *arguments, **options):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("isic_utils.files.FileLock", WithoutLocks)
    (tmp_path / ".download").mkdir()
    with SoftFileLock(tmp_path / ".download" / "lock.soft"):
        refused(tmp_path, "Another process", str(tmp_path))
    fetch(tmp_path)
    assert_complete(tmp_path, official)


def test_images_that_are_there_stay(tmp_path, sites, official):
    place = tmp_path / tables.IMAGES_2019
    place.mkdir()
    (place / "ISIC_0000003.jpg").write_bytes(image_bytes(3, SIZE))
    at = (place / "ISIC_0000003.jpg").stat().st_mtime_ns
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert (place / "ISIC_0000003.jpg").stat().st_mtime_ns == at and len(sites[0].requests) == 3


# Some images: which


def a_table(counts: dict[str, int]) -> pd.DataFrame:
    """A table with lesions of one to six images."""
    labels = [code for code, count in counts.items() for _ in range(count)]
    lesions = np.repeat(np.arange(len(labels)), np.random.default_rng(0).integers(1, 7, len(labels)))[: len(labels)]
    lesion_ids = [f"{code}{number}" for code, number in zip(labels, lesions, strict=True)]
    return pd.DataFrame({"image": names(len(labels)), "label": labels, "lesion_id": lesion_ids})


def test_classes_come_in_proportion_but_none_below_the_least():
    table = a_table(dict(MEL=2000, NV=6000, DF=40, VASC=10))
    chosen = table.set_index("image").loc[download.choose(table, 1000)]["label"].value_counts()
    assert chosen["VASC"] == 10  # all that there are
    assert download.AT_LEAST <= chosen["DF"] <= download.AT_LEAST + 5
    assert 745 <= chosen["NV"] <= 751 and 248 <= chosen["MEL"] <= 254


def test_the_choice_has_whole_lesions_depends_on_the_seed_alone_and_grows():
    table = a_table(dict(MEL=500, NV=1000, DF=60))
    small, larger = download.choose(table, 200), download.choose(table, 400)
    assert len(set(small)) == len(small)
    inside = table["image"].isin(small)
    assert not set(table["lesion_id"][inside]) & set(table["lesion_id"][~inside])
    assert set(small) == set(download.choose(table.sample(frac=1, random_state=1), 200))
    assert set(small) < set(larger) < set(download.choose(table, 800))
    assert set(small) != set(download.choose(table, 200, seed=1))
    assert set(download.choose(table, 5000)) == set(table["image"])
    assert table.set_index("image")["label"][download.choose(table, 2)].nunique() == 3  # at least one of each class


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")
def test_three_thousand_of_the_official_table():
    table = download.image_table(2019, "training", OFFICIAL)
    assert table["label"].value_counts()["VASC"] == 253 and table["lesion_id"].notna().all()
    chosen = table.set_index("image").loc[download.choose(table, 3000)]
    assert 3000 <= len(chosen) < 3030
    shares = chosen["label"].value_counts(normalize=True) - table["label"].value_counts(normalize=True)
    assert shares.abs().max() < 0.005


def test_the_official_test_set_has_unknown_images_and_no_lesions(tmp_path):
    (tmp_path / "ISIC_2019_Test_GroundTruth.csv").write_text(
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,score_weight\nA,0,1,0,0,0,0,0,0,0,1.0\nB,0,0,0,0,0,0,0,0,1,0.0\n"
    )
    (tmp_path / "ISIC_2019_Test_Metadata.csv").write_text("image,age_approx,anatom_site_general,sex\nB,50,,male\n")
    table = download.image_table(2019, "test", tmp_path)
    assert table.to_dict("list") == {"image": ["A", "B"], "label": ["NV", "UNK"], "lesion_id": ["A", "B"]}


# Some images: bringing them


def test_only_the_bytes_of_the_chosen_images_move_and_more_can_be_had_later(tmp_path, sites, official):
    put_tables(tmp_path, official)
    fetch(tmp_path, 50)
    few = assert_whole(tmp_path)
    assert 50 <= few < 65 and all(wanted for _, wanted in sites[0].requests)
    openings = 1 + download.THREADS  # each opening of the zip costs its end and its directory
    assert sites[0].sent < few * (SIZE + 300) + openings * (64 * 1024 + COUNT * 120)
    sites[0].requests.clear()
    fetch(tmp_path, 50)
    assert sites[0].requests == [] and assert_whole(tmp_path) == few
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / tables.IMAGES_2019).iterdir()}
    fetch(tmp_path, 120)
    assert few < assert_whole(tmp_path) < COUNT
    fetch(tmp_path)
    assert_complete(tmp_path, official)
    assert all(path.stat().st_mtime_ns == at for path, at in there.items())


def test_no_image_but_the_tables_and_images_later(tmp_path, sites, official):
    fetch(tmp_path, 0)
    assert below(tmp_path) == {*TABLES, "ISIC_2019_licence.txt"} and len(sites[0].requests) == 2
    fetch(tmp_path, 50)
    assert assert_whole(tmp_path) >= 50


def test_some_of_isic_2018_are_pairs(tmp_path, sites):
    fetch(tmp_path, 10, 2018)
    images = sorted(path.stem for path in (tmp_path / tables.IMAGES_2018).iterdir())
    assert len(images) == 10 and images != names(10) and len(list((tmp_path / tables.MASKS_2018).iterdir())) == 30


@pytest.mark.parametrize("faults", [[("drop", 900)] * 3, [("status", 503)] * 3, [("drop", 0)] * 3], ids=str)
def test_broken_connections_are_tried_again(tmp_path, sites, official, monkeypatch, faults):
    put_tables(tmp_path, official)
    monkeypatch.setattr(download, "THREADS", 1)
    sites[0].faults.extend([*faults[:1], *[(None, None)] * 9, *faults[1:]])
    fetch(tmp_path, 50)
    assert assert_whole(tmp_path) >= 50 and sites[1].requests == []


@pytest.mark.parametrize(
    "faults", [[("status", 403)] * 99, [("drop", 30)] * 99, [(None, None)] * 30 + [("status", 404)] * 99], ids=len
)
def test_the_second_server_takes_over_for_some_images(tmp_path, sites, official, faults):
    put_tables(tmp_path, official)
    sites[0].faults.extend(faults)
    fetch(tmp_path, 50)
    assert assert_whole(tmp_path) >= 50 and sites[1].requests


def test_servers_that_do_not_give_parts_of_a_file(tmp_path, sites, official):
    put_tables(tmp_path, official)
    sites[0].ranges, sites[1].always = False, ("status", 403)
    refused(tmp_path, ZIP, "range", "403", images=50)
    assert not (tmp_path / tables.IMAGES_2019).exists()


def test_stopped_midway_it_keeps_the_images_that_came(tmp_path, sites, official, monkeypatch):
    put_tables(tmp_path, official)
    real, moved = os.replace, []

    def full(source, target):
        if Path(target).suffix == ".jpg":
            moved.append(target)
            if len(moved) > 20:
                raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    refused(tmp_path, "No space left on device", images=50)
    monkeypatch.setattr(os, "replace", real)
    there = assert_whole(tmp_path)
    assert there == 20
    sites[0].requests.clear()
    fetch(tmp_path, 50)
    whole = assert_whole(tmp_path)
    assert whole >= 50 and len(sites[0].requests) <= whole - there + 2 * (1 + download.THREADS)
