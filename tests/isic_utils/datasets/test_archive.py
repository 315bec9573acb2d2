"""Downloading whole archives from a server on this machine that does everything servers and networks do wrong."""

import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from archives import OFFICIAL, is_one_clear_message, names, write_tables
from web import PAGE, SHORT, Site, below, picture_bytes, served, tiny, zip_of

from isic_utils.datasets import archive, tables, transfer, unpacking
from isic_utils.errors import IsicError

COUNT = 40
FILES_2019 = [
    (tables.GROUND_TRUTH_2019, "training", "table", COUNT),
    (tables.METADATA_2019, "training", "table", COUNT),
    (f"{tables.PICTURES_2019}.zip", "training", "pictures", COUNT),
]
FILES_2018 = [
    (f"{tables.MASKS_2018}.zip", "training", "masks", 5),
    (f"{tables.PICTURES_2018}.zip", "training", "pictures", 5),
]
ZIP = f"{tables.PICTURES_2019}.zip"


@pytest.fixture(scope="session")
def official_files(tmp_path_factory) -> dict[str, bytes]:
    """Small files with the names and the layout of ISIC 2019's and 2018's."""
    folder = tmp_path_factory.mktemp("official")
    write_tables(folder, names(COUNT), [tables.CODES[number % 8] for number in range(COUNT)])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    inside = tables.PICTURES_2019
    texts = {f"{inside}/": "", f"{inside}/LICENSE.txt": "CC BY-NC", f"{inside}/ATTRIBUTION.txt": "ISIC"}
    pictures = {f"{inside}/{name}.jpg": picture_bytes(number, 10_000) for number, name in enumerate(names(COUNT))}
    files[ZIP] = zip_of(texts | pictures)
    masks = {f"{tables.MASKS_2018}/{name}_segmentation.png": picture_bytes(7) for name in names(5)}
    superpixels = {f"{tables.PICTURES_2018}/{name}_superpixels.png": picture_bytes(8) for name in names(5)}
    inputs = {f"{tables.PICTURES_2018}/{name}.jpg": picture_bytes(9) for name in names(5)}
    return files | {
        f"{tables.MASKS_2018}.zip": zip_of(masks),
        f"{tables.PICTURES_2018}.zip": zip_of(inputs | superpixels),
    }


@pytest.fixture
def first(official_files):
    with served(Site(dict(official_files))) as site:
        yield site


@pytest.fixture
def second(official_files):
    with served(Site(dict(official_files))) as site:
        yield site


@pytest.fixture
def tiny_2019(first, second):
    return tiny(FILES_2019, [first, second])


def download(wanted, folder, **options):
    archive.download(wanted, "training", folder, **{"patience": SHORT} | options)


def assert_complete(folder: Path, official_files: dict[str, bytes]) -> None:
    """Assert that the folder holds ISIC 2019's tables and all pictures, bit for bit, and nothing unfinished."""
    assert len(tables.isic2019(folder)["path"].map(os.path.isfile)) == COUNT
    for number, name in enumerate(names(COUNT)):
        assert (folder / tables.PICTURES_2019 / f"{name}.jpg").read_bytes() == picture_bytes(number, 10_000)
    for table in (tables.GROUND_TRUTH_2019, tables.METADATA_2019):
        assert (folder / table).read_bytes() == official_files[table]
    kept = {tables.GROUND_TRUTH_2019, tables.METADATA_2019, "downloaded.json", "ISIC_tiny_licence.txt"}
    assert below(folder) == kept | {f"{tables.PICTURES_2019}/{name}.jpg" for name in names(COUNT)}


def refused(wanted, folder, *parts: str) -> None:
    """Assert that a download stops with one clear message and that no picture or half-named thing appears."""
    with pytest.raises(IsicError) as caught:
        download(wanted, folder)
    is_one_clear_message(caught.value, *parts)
    assert not (folder / tables.PICTURES_2019).exists()
    assert not [
        name for name in below(folder) if not name.startswith(".download/") and "ISIC" in name and "zip" in name
    ]


# The registry


def test_every_file_has_two_addresses_of_isic_and_a_plausible_size():
    for year, known in archive.ARCHIVES.items():
        for file in known.files:
            new, old = file.addresses
            assert new == f"https://isic-archive.s3.amazonaws.com/challenges/{year}/{file.name}"
            assert old == f"https://isic-challenge-data.s3.amazonaws.com/{year}/{file.name}"
            bytes_each = file.size / file.count
            assert 30 < bytes_each < 120 if file.kind == "table" else 5_000 < bytes_each < 6_000_000


def test_counts_are_those_that_isic_publishes():
    found = {
        (year, file.part, file.kind): file.count for year in archive.ARCHIVES for file in archive.ARCHIVES[year].files
    }
    for kind in ("pictures", "table"):
        assert found[2019, "training", kind] == 25_331 and found[2019, "test", kind] == 8_238
    for kind in ("pictures", "masks"):
        counts = [found[2018, part, kind] for part in ("training", "validation", "test")]
        assert counts == [2_594, 100, 1_000]
    assert archive.ARCHIVES[2019].licence.startswith("CC BY-NC 4.0")
    assert archive.ARCHIVES[2018].licence.startswith("CC0")
    for known in archive.ARCHIVES.values():
        assert any("doi:10.1038/sdata.2018.161" in text for text in known.citation)


def test_files_unpack_to_what_the_tables_read():
    training = {file.unpacked for known in archive.ARCHIVES.values() for file in known.files if file.part == "training"}
    pictures = {tables.PICTURES_2019, tables.PICTURES_2018, tables.MASKS_2018}
    assert training == pictures | {tables.GROUND_TRUTH_2019, tables.METADATA_2019}


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")
def test_the_official_tables_have_the_registered_sizes_and_pass_the_check():
    for file in archive.ARCHIVES[2019].files:
        if file.part == "training" and file.kind == "table":
            assert (OFFICIAL / file.name).stat().st_size == file.size
            archive.check_table(OFFICIAL / file.name, file)


# The way it should go


def test_a_download_is_complete_readable_and_leaves_nothing_else(tmp_path, first, tiny_2019, official_files, capsys):
    download(tiny_2019, tmp_path / "new" / "isic")
    assert_complete(tmp_path / "new" / "isic", official_files)
    assert {name for name, _ in first.requests} == {name for name, *_ in FILES_2019} and len(first.requests) == 3
    assert "CC0 of the tests" in capsys.readouterr().out


def test_isic_2018_unpacks_to_pairs_without_superpixels(tmp_path, first):
    download(tiny(FILES_2018, [first]), tmp_path)
    assert tables.isic2018(tmp_path)["image"].tolist() == names(5)
    assert not list(tmp_path.rglob("*superpixels*"))


def test_the_second_call_asks_for_nothing_and_shows_no_licence(tmp_path, first, tiny_2019, capsys):
    download(tiny_2019, tmp_path)
    before, times = below(tmp_path), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    first.requests.clear()
    capsys.readouterr()
    download(tiny_2019, tmp_path)
    assert first.requests == [] and below(tmp_path) == before
    assert all(path.stat().st_mtime_ns == at for path, at in times.items() if path.name != "lock")
    said = capsys.readouterr().out
    assert f"{tables.PICTURES_2019} is there." in said and "CC0" not in said


def test_only_the_part_that_is_asked_for_comes_and_the_licence_once(tmp_path, first, official_files, capsys):
    first.files["ISIC_2019_Test_GroundTruth.csv"] = official_files[tables.GROUND_TRUTH_2019]
    wanted = tiny([*FILES_2019, ("ISIC_2019_Test_GroundTruth.csv", "test", "table", COUNT)], [first])
    archive.download(wanted, "test", tmp_path, SHORT)
    assert [name for name, _ in first.requests] == ["ISIC_2019_Test_GroundTruth.csv"]
    archive.download(wanted, "all", tmp_path, SHORT)
    assert len(first.requests) == 4
    assert capsys.readouterr().out.count("CC0 of the tests") == 1


def test_a_part_that_the_archive_lacks(tmp_path, tiny_2019):
    with pytest.raises(IsicError) as caught:
        archive.download(tiny_2019, "validation", tmp_path / "new", SHORT)
    is_one_clear_message(caught.value, "ISIC tiny has no part 'validation'", "training")
    assert not (tmp_path / "new").exists()


# Transfers that break


@pytest.mark.parametrize("etag", [True, False], ids=["with ETag", "without"])
def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path, first, tiny_2019, official_files, etag):
    size = len(official_files[ZIP])
    download(replace(tiny_2019, files=tiny_2019.files[:2]), tmp_path)
    first.etag, first.sent = etag, 0
    first.requests.clear()
    first.faults.extend([("drop", 150_000), ("drop", 100_000)])
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    ranges = [wanted for _, wanted in first.requests]
    assert ranges[0] is None and len(ranges) == 3 and all(wanted.startswith("bytes=") for wanted in ranges[1:])
    assert size <= first.sent < size + 2 * transfer.CHUNK


def test_many_breaks_are_no_reason_to_stop_while_each_brings_something(
    tmp_path, first, second, tiny_2019, official_files
):
    download(replace(tiny_2019, files=tiny_2019.files[:2]), tmp_path)
    first.always = ("drop", transfer.CHUNK)
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert len(first.requests) > SHORT.attempts + 2 and second.requests == []


def test_an_address_that_brings_nothing_new_is_given_up(tmp_path, first, second, tiny_2019, official_files):
    first.always = ("drop", 10)
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert len(second.requests) == 3


KILLED = """
import sys
from isic_utils.datasets import archive
from isic_utils.datasets.transfer import Patience
address, name, size, count, folder = sys.argv[1:]
file = archive.File(name, "training", "pictures", int(size), int(count), (address,))
from pathlib import Path
archive.download(archive.Archive("ISIC tiny", "CC0", (), (file,)), "training", Path(folder), Patience(3, 0, 30))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_kill_9_in_the_middle_then_the_same_command_moves_only_the_rest(tmp_path, first, tiny_2019, official_files):
    size, stop = len(official_files[ZIP]), 3 * transfer.CHUNK
    first.faults.append(("hang", stop))
    arguments = [first.address + ZIP, ZIP, str(size), str(COUNT), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(archive.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], env=environment, stderr=subprocess.DEVNULL)
    part = tmp_path / ".download" / f"{ZIP}.part"
    deadline = time.monotonic() + 60
    while transfer.length(part) < stop - transfer.CHUNK:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = part.stat().st_size
    assert kept >= stop - transfer.CHUNK and not (tmp_path / tables.PICTURES_2019).exists()
    first.sent = 0
    download(replace(tiny_2019, files=tiny_2019.files[2:]), tmp_path)
    assert first.sent == size - kept
    assert first.requests[-1] == (ZIP, f"bytes={kept}-")
    assert len(unpacking.pictures_in(tmp_path / tables.PICTURES_2019)) == COUNT


def test_another_version_of_a_file_is_not_joined_to_the_old_part(tmp_path, first, tiny_2019, official_files):
    first.faults.extend([(None, None), (None, None), ("drop", 200_000), *[("status", 403)]])
    with served(Site()) as nothing:
        pictures = tiny_2019.files[2]
        only = replace(pictures, addresses=(pictures.addresses[0], nothing.address + ZIP))
        wanted = replace(tiny_2019, files=(*tiny_2019.files[:2], only))
        refused(wanted, tmp_path, "403", "404")
        assert (tmp_path / ".download" / f"{ZIP}.part").stat().st_size > 0
        with zipfile.ZipFile(io.BytesIO(official_files[ZIP])) as old:
            members = {name: old.read(name) for name in old.namelist()}
        pictures = {name: bytes(reversed(member)) for name, member in members.items() if name.endswith(".jpg")}
        other = zip_of(members | pictures)
        assert len(other) == len(official_files[ZIP])
        first.files[ZIP] = other
        download(wanted, tmp_path)
    picture = (tmp_path / tables.PICTURES_2019 / "ISIC_0000000.jpg").read_bytes()
    assert picture == bytes(reversed(picture_bytes(0, 10_000)))
    assert read_json(tmp_path)[ZIP]["sha256"] == hashlib.sha256(other).hexdigest()


def test_a_server_that_answers_another_range_begins_again(tmp_path, first, second, tiny_2019, official_files):
    first.faults.extend([(None, None), (None, None), ("drop", 200_000), ("shift", 100)])
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert [name for name, _ in first.requests].count(ZIP) == 3 and second.requests == []


def test_another_address_continues_the_same_version(tmp_path, first, second, tiny_2019, official_files):
    size = len(official_files[ZIP])
    download(replace(tiny_2019, files=tiny_2019.files[:2]), tmp_path)
    first.faults.extend([("drop", 200_000), ("status", 403)])
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert size - 200_000 <= second.sent < size - 200_000 + transfer.CHUNK


@pytest.mark.parametrize("etag", [True, False], ids=["with ETag", "without"])
def test_another_address_with_another_version_begins_again(tmp_path, first, second, tiny_2019, official_files, etag):
    download(replace(tiny_2019, files=tiny_2019.files[:2]), tmp_path)
    content = bytearray(official_files[ZIP])
    content[1000] ^= 0xFF
    first.files[ZIP], first.etag, second.etag = bytes(content), etag, etag
    first.faults.extend([("drop", 200_000), ("status", 403)])
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert second.sent == len(official_files[ZIP])


def test_a_server_that_ignores_ranges_begins_again_from_zero(tmp_path, first, second, tiny_2019, official_files):
    first.ranges = False
    first.faults.extend([(None, None), (None, None), ("drop", 200_000)])
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert [name for name, _ in first.requests].count(ZIP) == 2 and second.requests == []


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(tmp_path, first, second, tiny_2019, official_files):
    first.ranges, first.always = False, ("drop", 300_000)
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert [name for name, _ in second.requests] == [ZIP]


def test_the_address_that_gave_the_part_is_asked_first(tmp_path, first, second, tiny_2019, official_files):
    first.always = ("status", 403)
    second.faults.extend([(None, None), (None, None), ("drop", 200_000), *[("status", 403)]])
    refused(tiny_2019, tmp_path, "403")
    first.always = None
    first.requests.clear()
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert first.requests == [] and second.requests[-1][1] is not None


# Addresses that fail


@pytest.mark.parametrize(
    "fault", [("status", 403), ("status", 404), ("status", 410), ("status", 500), ("page", None)], ids=str
)
def test_the_second_address_takes_over(tmp_path, first, second, tiny_2019, official_files, fault):
    first.always = fault
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert len(second.requests) == 3
    assert read_json(tmp_path)[ZIP]["address"] == second.address + ZIP


def test_the_second_address_takes_over_from_a_server_that_is_away(tmp_path, second, official_files):
    with served(Site(dict(official_files))) as away:
        pass
    download(tiny(FILES_2019, [away, second]), tmp_path)
    assert_complete(tmp_path, official_files)


def test_a_server_that_says_nothing_is_left(tmp_path, first, second, tiny_2019, official_files):
    download(replace(tiny_2019, files=tiny_2019.files[:2]), tmp_path)
    first.always = ("hang", 1000)
    download(tiny_2019, tmp_path, patience=transfer.Patience(attempts=0, wait=0, timeout=0.2))
    assert_complete(tmp_path, official_files)
    assert [name for name, _ in second.requests] == [ZIP] and first.hanging == 1


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_that_is_well_again_is_not_left(tmp_path, first, second, tiny_2019, official_files, code):
    first.faults.extend([("status", code)] * SHORT.attempts)
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert second.requests == []


def test_when_every_address_fails_the_message_names_each_with_its_reason(tmp_path, first, second, tiny_2019):
    first.always, second.always = ("status", 404), ("status", 503)
    hosts = [transfer.host(site.address) for site in (first, second)]
    refused(
        tiny_2019,
        tmp_path,
        f"{hosts[0]} answered 404 Not Found",
        f"{hosts[1]} answered 503 Service Unavailable",
        f"{tables.GROUND_TRUTH_2019} cannot be downloaded",
        "same command",
    )
    assert below(tmp_path) == {"ISIC_tiny_licence.txt"}


# Wrong files


def test_a_web_page_of_the_right_size_is_refused_at_once(tmp_path, first, official_files):
    first.always = ("page", len(official_files[tables.GROUND_TRUTH_2019]))
    refused(tiny(FILES_2019, [first]), tmp_path, "answered with a web page instead of the file")


def serving_instead(content: bytes, first: Site, size: int | None = None):
    """An archive of pictures alone, whose one address gives `content`."""
    first.files[ZIP] = content
    wanted = tiny(FILES_2019[2:], [first])
    return replace(wanted, files=(replace(wanted.files[0], size=size or len(content)),))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (PAGE * 100, "is cut short or no zip file"),
        (zip_of({}, COUNT)[:-30], "is cut short or no zip file"),
        (zip_of({}, COUNT)[:100_000], "is cut short or no zip file"),
        (b"PK\x05\x06" + b"\xff" * 18, "is cut short or no zip file"),
        (zip_of({}, COUNT - 1), "is another archive: it holds 39 pictures .jpg instead of 40"),
        (zip_of({}, COUNT + 1), "is another archive: it holds 41 pictures"),
        (zip_of({"../evil.jpg": b"x"}, COUNT - 1), "leads out of its folder ('../evil.jpg')"),
        (zip_of({"a/../../evil.jpg": b"x"}, COUNT - 1), "leads out of its folder"),
        (zip_of({"/tmp/evil.jpg": b"x"}, COUNT - 1), "leads out of its folder ('/tmp/evil.jpg')"),
        (zip_of({"..\\evil.jpg": b"x"}, COUNT - 1), "leads out of its folder"),
        (zip_of({"C:evil.jpg": b"x"}, COUNT - 1), "leads out of its folder"),
        (zip_of({"../evil.txt": b"x"}, COUNT), "leads out of its folder"),
        (zip_of({"ISIC_9999999.jpg": bytes(3_000_000)}, COUNT - 1), "would unpack to"),
        (zip_of({"a/ISIC_0000000.jpg": b"x"}, COUNT - 1), "holds ISIC_0000000.jpg twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_zip_is_refused_and_writes_nothing(tmp_path, first, content, fault):
    folder = tmp_path / "isic"
    refused(serving_instead(content, first), folder, fault, f"{ZIP} cannot be downloaded")
    assert below(tmp_path) == {"isic/ISIC_tiny_licence.txt"}


def with_changed_member(change) -> bytes:
    """A good zip, but for one member that `change` was called with."""
    content = zip_of({}, COUNT - 1)
    member = zipfile.ZipInfo("ISIC_9999999.jpg")
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    change(member)
    path = Path("changed.zip")
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr(member, "/etc/passwd")
    return path.read_bytes()


def make_link(member):
    member.external_attr = (stat.S_IFLNK | 0o777) << 16


def compress_unusually(member):
    member.compress_type = zipfile.ZIP_BZIP2


@pytest.mark.parametrize(
    ("change", "fault"), [(make_link, "holds a link"), (compress_unusually, "compressed in an unusual way")]
)
def test_links_and_unusual_members_are_refused(tmp_path, first, monkeypatch, change, fault):
    monkeypatch.chdir(tmp_path)
    refused(serving_instead(with_changed_member(change), first), tmp_path / "isic", fault, "ISIC_9999999.jpg")


def test_an_encrypted_member_is_refused(tmp_path, first):
    content = bytearray(zip_of({}, COUNT))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    refused(serving_instead(bytes(content), first), tmp_path, "is encrypted")


def test_a_damaged_picture_is_found_and_the_second_address_asked(tmp_path, first, second, tiny_2019, official_files):
    content = bytearray(official_files[ZIP])
    content[len(content) // 2] ^= 0xFF
    first.files[ZIP] = bytes(content)
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert [name for name, _ in second.requests] == [ZIP]


def test_a_damaged_picture_everywhere_stops_and_the_next_call_fetches_afresh(tmp_path, first, official_files):
    content = bytearray(official_files[ZIP])
    content[len(content) // 2] ^= 0xFF
    wanted = serving_instead(bytes(content), first)
    refused(wanted, tmp_path, "is damaged", "Bad CRC-32")
    first.files[ZIP] = official_files[ZIP]
    download(wanted, tmp_path)
    assert len(unpacking.pictures_in(tmp_path / tables.PICTURES_2019)) == COUNT


@pytest.mark.parametrize("size", [10_000, 10_000_000])
def test_a_file_of_quite_another_size_is_not_even_fetched(tmp_path, first, official_files, size):
    wanted = serving_instead(official_files[ZIP], first, size=size)
    refused(wanted, tmp_path, f"offers another file, of {len(official_files[ZIP]):,} bytes instead of about {size:,}")
    assert first.sent < len(official_files[ZIP]) or below(tmp_path) == {"ISIC_tiny_licence.txt"}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"image,MEL\n" + b"ISIC_0000000,1.0\n" * 39, "has 39 rows instead of 40"),
        (b"name,MEL\n" + b"ISIC_0000000,1.0\n" * 40, "is no table with a column image"),
        (zip_of({}, 1), "is no table with a column image"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, first, content, fault):
    first.files[tables.GROUND_TRUTH_2019] = content
    refused(tiny(FILES_2019[:1], [first]), tmp_path, fault)
    assert below(tmp_path) == {"ISIC_tiny_licence.txt"}


def test_whatever_byte_is_damaged_the_zip_is_unpacked_whole_or_refused(tmp_path):
    content = zip_of({f"a/{name}.jpg": picture_bytes(number, 30) for number, name in enumerate(names(5))})
    chance = np.random.default_rng(0)
    file, outcomes = tmp_path / "damaged.zip", set()
    for trial in range(400):
        damaged = bytearray(content)
        for position in chance.integers(0, len(content), chance.integers(1, 4)):
            damaged[position] = chance.integers(0, 256)
        file.write_bytes(damaged)
        target = tmp_path / str(trial)
        try:
            with unpacking.opened(file) as archive_file:
                found = unpacking.members(archive_file, ".jpg", 5, len(content))
                unpacking.unpack(archive_file, found, target, tmp_path / "work")
            outcomes.add("unpacked")
            unpacked = sorted(path.read_bytes() for path in target.iterdir())
            assert unpacked == sorted(picture_bytes(number, 30) for number in range(5))
        except unpacking.Damaged:
            outcomes.add("refused")
            assert not target.exists()
    assert outcomes == {"unpacked", "refused"}


# What was seen the first time


def read_json(folder: Path) -> dict:
    return json.loads((folder / "downloaded.json").read_text(encoding="utf-8"))


def test_size_and_digest_are_noted_and_another_file_is_refused_later(
    tmp_path, first, second, tiny_2019, official_files
):
    download(tiny_2019, tmp_path)
    noted = read_json(tmp_path)[ZIP]
    assert noted["size"] == len(official_files[ZIP])
    assert noted["sha256"] == hashlib.sha256(official_files[ZIP]).hexdigest()
    shutil.rmtree(tmp_path / tables.PICTURES_2019)
    first.files[ZIP] = second.files[ZIP] = zip_of({}, COUNT) + bytes(100)
    refused(
        replace(tiny_2019, files=(replace(tiny_2019.files[2], size=200_000),)), tmp_path, "first came here", "delete"
    )
    first.files[ZIP] = official_files[ZIP]
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"size": 1}}'])
def test_a_damaged_note_is_said(tmp_path, tiny_2019, content):
    (tmp_path / "downloaded.json").write_text(content, encoding="utf-8")
    refused(tiny_2019, tmp_path, str(tmp_path / "downloaded.json"), "is damaged", "delete it")


# The folder and the disk


def test_a_full_disk_is_seen_before_anything_is_asked_for(tmp_path, first, tiny_2019, monkeypatch):
    monkeypatch.setattr(archive, "free_bytes", lambda folder: 1_000_000)
    monkeypatch.setattr(archive, "SPARE", 500_000)
    refused(tiny_2019, tmp_path, str(tmp_path), "0.0 GB free", "--folder", "--pictures")
    assert first.requests == []


def test_zip_and_pictures_must_fit_and_what_is_there_counts(tmp_path, first, tiny_2019, monkeypatch, official_files):
    needed = sum(file.size for file in tiny_2019.files) + tiny_2019.files[2].size
    monkeypatch.setattr(archive, "SPARE", 0)
    monkeypatch.setattr(archive, "free_bytes", lambda folder: needed - 1)
    refused(tiny_2019, tmp_path, "GB free")
    monkeypatch.setattr(archive, "free_bytes", lambda folder: needed)
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)


def test_room_is_looked_at_again_before_unpacking_and_the_zip_stays(
    tmp_path, first, tiny_2019, official_files, monkeypatch
):
    free = iter([10**12, 1000])
    monkeypatch.setattr(archive, "free_bytes", lambda folder: next(free))
    refused(tiny_2019, tmp_path, "0.0 GB free")
    monkeypatch.undo()
    first.requests.clear()
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert first.requests == []


@pytest.mark.parametrize("module", [transfer, unpacking])
def test_a_disk_that_fills_up_meanwhile(tmp_path, first, tiny_2019, official_files, monkeypatch, module):
    real_open, written = open, []

    def full(file, mode="r", **options):
        if "a" in mode or "w" in mode:
            written.append(file)
            if len(written) > 2:
                raise OSError(28, "No space left on device", str(file))
        return real_open(file, mode, **options)

    monkeypatch.setattr(module, "open", full, raising=False)
    refused(tiny_2019, tmp_path, "cannot be written (No space left on device)", "free disk space", "same command")
    monkeypatch.undo()
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)


def test_a_folder_that_cannot_be_made(tmp_path, tiny_2019):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    refused(tiny_2019, tmp_path / "file" / "isic", "cannot be written", "--folder")


def test_the_synthetic_sample_is_not_mixed_with_real_pictures(tmp_path, first, tiny_2019):
    (tmp_path / "SYNTHETIC.json").write_text("{}", encoding="utf-8")
    refused(tiny_2019, tmp_path, "synthetic", str(tmp_path))
    assert first.requests == []


def test_two_processes_do_not_download_into_one_folder(tmp_path, first, tiny_2019):
    with archive.at_work_in(tmp_path):
        refused(tiny_2019, tmp_path, "Another process downloads", str(tmp_path), "wait")
    assert first.requests == []
    download(tiny_2019, tmp_path)


def test_stopped_while_unpacking_it_goes_on_without_asking_again(
    tmp_path, first, tiny_2019, official_files, monkeypatch
):
    copied = []

    def stop(member, stream):
        copied.append(member)
        if len(copied) > 10:
            raise KeyboardInterrupt
        stream.write(member.read())

    monkeypatch.setattr(unpacking.shutil, "copyfileobj", stop)
    monkeypatch.setattr(unpacking.shutil, "rmtree", lambda *_, **__: None)  # as if killed: nothing is tidied up
    with pytest.raises(KeyboardInterrupt):
        download(tiny_2019, tmp_path)
    assert not (tmp_path / tables.PICTURES_2019).exists() and ZIP not in read_json(tmp_path)
    assert len(list((tmp_path / ".download" / tables.PICTURES_2019).iterdir())) == 11
    monkeypatch.undo()
    first.requests.clear()
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert first.requests == []


def test_a_zip_left_by_a_process_killed_at_its_very_end_is_removed(tmp_path, first, tiny_2019, official_files):
    download(tiny_2019, tmp_path)
    (tmp_path / ".download" / ZIP).write_bytes(official_files[ZIP])
    (tmp_path / ".download" / f"{ZIP}.part").write_bytes(b"begun")
    (tmp_path / ".download" / tables.PICTURES_2019).mkdir()
    (tmp_path / ".download" / tables.PICTURES_2019 / "ISIC_0000000.jpg").write_bytes(b"half")
    download(tiny_2019, tmp_path)
    assert_complete(tmp_path, official_files)
    assert len(first.requests) == 3


def test_pictures_that_are_there_stay_and_the_others_come(tmp_path, tiny_2019, official_files):
    place = tmp_path / tables.PICTURES_2019
    place.mkdir()
    for number in (3, 7):
        (place / f"{names(COUNT)[number]}.jpg").write_bytes(picture_bytes(number, 10_000))
    times = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    (place / "notes.txt").write_text("my own", encoding="utf-8")
    download(tiny_2019, tmp_path)
    assert (place / "notes.txt").read_text(encoding="utf-8") == "my own"
    (place / "notes.txt").unlink()
    assert_complete(tmp_path, official_files)
    assert all(path.stat().st_mtime_ns == at for path, at in times.items())


def test_another_picture_of_the_same_name_is_not_overwritten(tmp_path, tiny_2019):
    place = tmp_path / tables.PICTURES_2019
    place.mkdir()
    (place / "ISIC_0000003.jpg").write_bytes(b"reduced by me")
    with pytest.raises(IsicError) as caught:
        download(tiny_2019, tmp_path)
    is_one_clear_message(caught.value, str(place / "ISIC_0000003.jpg"), "13 bytes instead of 10,000", "move the folder")
    assert [path.read_bytes() for path in place.iterdir()] == [b"reduced by me"]
