"""Decoding once, reading every kind of picture right, saying what is wrong with the others, and batches."""

import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from archives import draw_2018, draw_2019, files_in, in_memory, noise, refusal
from PIL import Image

from isic_utils.datasets import images as pictures, tables

SIZE = 8
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def archive(tmp_path):
    return draw_2019(tmp_path / "archive")


@pytest.fixture
def table(archive):
    return tables.isic2019(archive)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def load(table, cache, size=SIZE):
    return pictures.load(table, size, cache, progress=False)


def must_not_decode(monkeypatch) -> None:
    def decode(path, size):
        raise AssertionError(f"{path} was opened again")

    monkeypatch.setattr(pictures, "decode", decode)


def many(folder: Path, count: int) -> pd.DataFrame:
    """A table of `count` pictures of 4 × 4 pixels."""
    folder.mkdir()
    paths = [folder / f"{number:04d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (4, 4), (number % 256, 0, 0)).save(path)
    return pd.DataFrame({"image": [path.stem for path in paths], "path": [str(path) for path in paths]})


# Decoded once


def test_pixels_are_those_of_the_pictures(table, cache):
    loaded = load(table, cache)
    assert loaded.pixels.shape == (8, SIZE, SIZE, 3) and loaded.pixels.dtype == np.uint8
    assert isinstance(loaded.pixels, np.memmap)
    assert loaded.images.tolist() == table["image"].tolist() and loaded.left_out.empty
    for number in range(8):
        wanted = np.asarray(Image.fromarray(noise(number)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        assert np.abs(loaded.pixels[number].astype(int) - wanted).mean() < 12, number


def test_a_second_call_opens_no_picture(table, cache, monkeypatch):
    first = load(table, cache)
    must_not_decode(monkeypatch)
    second = load(table, cache)
    assert np.array_equal(first.pixels, second.pixels) and first.digest == second.digest
    assert first.images.equals(second.images)


def test_a_finished_cache_can_be_read_where_nothing_can_be_written(table, cache, monkeypatch):
    load(table, cache)
    must_not_decode(monkeypatch)

    def no_lock(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pictures, "FileLock", no_lock)
    assert len(load(table, cache).images) == 8


@pytest.mark.parametrize("change", ["content", "time", "missing row", "order", "size asked for"])
def test_a_change_is_noticed(table, cache, change):
    first = load(table, cache)
    size = SIZE
    path = Path(table["path"].iloc[0])
    if change == "content":
        Image.fromarray(255 - noise(0)).save(path)
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "missing row":
        table = table.iloc[1:]
    elif change == "order":
        table = table.iloc[::-1]
    else:
        size = 2 * SIZE
    second = load(table, cache, size)
    assert second.pixels.filename != first.pixels.filename
    assert second.images.tolist() == table["image"].tolist()
    if change == "content":
        assert second.digest != first.digest and not np.array_equal(first.pixels[0], second.pixels[0])
    if change == "time":
        assert second.digest == first.digest  # the same pixels: runs trained on them stay valid


def test_in_parallel_as_one_after_another(table, cache, tmp_path, monkeypatch):
    parallel = load(table, cache)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(pictures, "CHUNK", 3)
    serial = load(table, tmp_path / "other")
    assert np.array_equal(parallel.pixels, serial.pixels) and parallel.digest == serial.digest
    expected = np.stack([pictures.decode(path, SIZE) for path in table["path"]])
    assert np.array_equal(parallel.pixels, expected)


def test_nothing_is_written_into_the_data_folder(archive, table, cache):
    before = files_in(archive)
    load(table, cache)
    assert files_in(archive) == before and files_in(cache)


def test_rows_finds_pictures_by_name(table, cache):
    loaded = load(table, cache)
    assert loaded.rows(table["image"].iloc[[3, 1]]).tolist() == [3, 1]
    refusal(lambda: loaded.rows(pd.Series(["ISIC_0000001", "nobody"])), "nobody", "left_out")


def test_a_table_without_pictures_or_rows(table, cache):
    refusal(lambda: load(table.assign(path=None), cache), "8 rows have no picture", "download")
    refusal(lambda: load(table.head(0), cache), "no rows", "choose rows")
    assert not cache.exists()


# The cache: damaged, of another version, contended for, without space


def store_of(cache: Path) -> Path:
    [folder] = [path for path in cache.iterdir() if path.is_dir()]
    return folder


@pytest.mark.parametrize(
    "damage",
    [
        "pixels cut short",
        "pixels gone",
        "index cut short",
        "index gone",
        "another version",
        "no index but a list",
        "empty",
    ],
)
def test_a_damaged_cache_is_made_anew(table, cache, damage):
    expected = np.array(load(table, cache).pixels)
    pixels, index = store_of(cache) / "pixels.bin", store_of(cache) / "index.json"
    content = json.loads(index.read_text(encoding="utf-8"))
    if damage == "pixels cut short":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "pixels gone":
        pixels.unlink()
    elif damage == "index cut short":
        index.write_text(index.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    elif damage == "index gone":
        index.unlink()
    elif damage == "another version":
        pixels.write_bytes(bytes(expected.size))
        index.write_text(json.dumps(content | {"version": pictures.VERSION + 1}), encoding="utf-8")
    elif damage == "no index but a list":
        index.write_text("[]", encoding="utf-8")
    else:
        pixels.unlink()
        index.unlink()
    assert np.array_equal(load(table, cache).pixels, expected)
    assert pictures.read_store(store_of(cache), (SIZE, SIZE, 3)) is not None


def test_a_cache_of_another_way_of_decoding_is_not_used(table, cache, monkeypatch):
    first = load(table, cache)
    monkeypatch.setattr(pictures, "VERSION", pictures.VERSION + 1)
    assert load(table, cache).pixels.filename != first.pixels.filename


def test_what_a_killed_process_left_is_not_used_and_goes(table, cache):
    load(table, cache)
    partial = store_of(cache).rename(cache / f".{store_of(cache).name}")
    (partial / "pixels.bin").write_bytes(b"half")
    assert load(table, cache).pixels.shape == (8, SIZE, SIZE, 3)
    assert not partial.exists()


class FullDisk:
    """Stands for `open`: the files that it opens can take 100 bytes."""

    def __init__(self, number=errno.ENOSPC, reason="No space left on device"):
        self.error = OSError(number, reason)

    def __call__(self, file, mode="r", **options):
        stream = open(file, mode, **options)  # noqa: SIM115
        return stream if "w" not in mode else self.Stream(stream, self.error)

    class Stream:
        def __init__(self, stream, error):
            self.stream, self.error, self.room = stream, error, 100

        def write(self, content):
            self.room -= len(content)
            if self.room < 0:
                raise self.error
            return self.stream.write(content)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()


def test_a_full_disk_leaves_nothing_half_written(table, cache, monkeypatch):
    monkeypatch.setattr(pictures, "open", FullDisk(), raising=False)
    refusal(lambda: load(table, cache), str(cache), "No space left on device", "that 1 MB are free")
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]
    monkeypatch.undo()
    assert len(load(table, cache).images) == 8


def test_a_read_only_cache_folder(table, cache, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        refusal(lambda: load(table, cache), str(cache), "Read-only file system", "make the folder writable")
    assert not cache.exists()


def test_a_file_in_the_place_of_the_cache_folder(table, cache):
    cache.write_text("mine")
    refusal(lambda: load(table, cache), str(cache), "cannot be kept", "make the folder writable")
    assert cache.read_text() == "mine"


def test_an_interrupted_decoding_leaves_nothing(table, cache, monkeypatch):
    real = pictures.decode

    def interrupted(path, size):
        if path == table["path"].iloc[5]:
            raise KeyboardInterrupt
        return real(path, size)

    monkeypatch.setattr(pictures, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(table, cache)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


PREPARE = """
import sys, time
from pathlib import Path
from isic_utils.datasets import images as pictures
from isic_utils.datasets import tables
real = pictures.decode
def slow(path, size):
    sys.stderr.write(path + "\\n")  # in one piece: threads write at the same time
    time.sleep(0.02)
    return real(path, size)
pictures.decode = slow
print("ready", flush=True)
sys.stdin.readline()
print(pictures.load(tables.isic2019(sys.argv[1]), 8, Path(sys.argv[2]), progress=False).digest)
"""


def test_two_processes_that_prepare_the_same_cache_at_once(archive, table, cache):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, archive, cache],
            env=os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    answers = [process.stdin.write("go\n") and process.stdin.flush() for process in processes]
    answers = [process.communicate(timeout=60) for process in processes]
    opened = "".join(errors for _, errors in answers).split("\n")[:-1]
    assert sorted(opened) == sorted(table["path"]), "each picture is decoded once, by one of the two"
    assert len({digest for digest, _ in answers}) == 1
    assert load(table, cache).digest == answers[0][0].strip()
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == [store_of(cache).name]


# Pictures that are read right, whatever their kind


def saved(tmp_path: Path, picture: Image.Image, name: str = "picture.png", **options) -> np.ndarray:
    """What is read back of a picture that is saved: int array [height, width, 3]."""
    picture.save(tmp_path / name, **options)
    return np.asarray(pictures.read_picture(tmp_path / name)).astype(int)


GREY = np.array([[0, 60, 120], [180, 240, 255]], np.uint8)


@pytest.mark.parametrize("kind", ["L", "I;16", "1-bit", "palette"])
def test_one_channel_becomes_three_equal_ones(tmp_path, kind):
    wanted = GREY
    if kind == "L":
        picture = Image.fromarray(GREY)
    elif kind == "I;16":
        picture = Image.fromarray(GREY.astype(np.uint16) * 257)
    elif kind == "1-bit":
        picture, wanted = Image.fromarray(GREY > 100), np.where(GREY > 100, 255, 0)
    else:
        picture = Image.fromarray(GREY, "L").convert("P")
    read = saved(tmp_path, picture)
    assert Image.open(tmp_path / "picture.png").mode == {"1-bit": "1", "palette": "P"}.get(kind, kind)
    assert (read == wanted[..., np.newaxis]).all()


def test_16_bit_values_are_scaled_down_and_not_cut_off(tmp_path):
    values = np.array([[0, 257, 255 * 128, 65535]], np.uint16)
    assert saved(tmp_path, Image.fromarray(values))[0, :, 0].tolist() == [0, 1, 127, 255]


def png(colour_type: int, depth: int, rows: bytes, width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file written by hand, for the kinds that Pillow reads and does not write."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_16_bit_colours(tmp_path):
    row = b"\0" + struct.pack(">6H", 65535, 0, 32896, 0, 65535, 257)
    (tmp_path / "p.png").write_bytes(png(2, 16, row, 2, 1))
    assert np.asarray(pictures.read_picture(tmp_path / "p.png")).tolist() == [[[255, 0, 128], [0, 255, 1]]]


def test_2_bit_grey(tmp_path):
    (tmp_path / "p.png").write_bytes(png(0, 2, b"\0" + bytes([0b00011011]), 4, 1))
    assert np.asarray(pictures.read_picture(tmp_path / "p.png"))[0, :, 0].tolist() == [0, 85, 170, 255]


def test_transparency_lies_on_white(tmp_path):
    colours = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 100, 128]]], np.uint8)
    assert saved(tmp_path, Image.fromarray(colours)).tolist() == [[[200, 0, 0], [255, 255, 255], [227, 127, 177]]]
    grey = np.array([[[50, 255], [50, 0]]], np.uint8)
    assert saved(tmp_path, Image.fromarray(grey)).tolist() == [[[50, 50, 50], [255, 255, 255]]]


def test_palettes_with_and_without_transparency(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    assert saved(tmp_path, picture).tolist() == [[[10, 20, 30], [200, 100, 50], [0, 255, 0]]]
    assert saved(tmp_path, picture, transparency=1).tolist() == [[[10, 20, 30], [255, 255, 255], [0, 255, 0]]]
    alphas = saved(tmp_path, picture, transparency=bytes([255, 0, 0]))
    assert alphas.tolist() == [[[10, 20, 30], [255, 255, 255], [255, 255, 255]]]


def test_a_colour_that_stands_for_transparent(tmp_path):
    colours = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert saved(tmp_path, Image.fromarray(colours), transparency=(1, 2, 3)).tolist() == [[[255] * 3, [4, 5, 6]]]


def test_cmyk(tmp_path):
    colours = np.zeros((16, 16, 4), np.uint8)
    colours[:, :8] = (0, 255, 255, 0)  # magenta and yellow ink: red
    colours[:, 8:] = (255, 0, 255, 0)  # green
    read = saved(tmp_path, Image.fromarray(colours, "CMYK"), "picture.jpg", quality=100, subsampling=0)
    assert Image.open(tmp_path / "picture.jpg").mode == "CMYK"
    assert np.abs(read[4, 2] - (255, 0, 0)).max() <= 3 and np.abs(read[4, 13] - (0, 255, 0)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["picture.jpg", "picture.png"])
def test_exif_rotation_is_undone(tmp_path, name, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = (255, 0, 0)
    upright[8:, 16:] = (0, 0, 255)
    as_taken = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
        6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    exact = dict(quality=100, subsampling=0) if name.endswith(".jpg") else {}
    read = saved(tmp_path, Image.fromarray(np.ascontiguousarray(as_taken)), name, exif=exif, **exact)
    assert read.shape == upright.shape and np.abs(read - upright).max() <= 8
    decoded = pictures.decode(str(tmp_path / name), 2)
    assert decoded.argmax(axis=2)[0, 0] == 0 and decoded[0, 0, 0] > 150 and decoded[1, 1, 2] > 150


def test_a_jpeg_named_png_and_the_other_way_round(tmp_path):
    Image.fromarray(noise(0)).save(tmp_path / "a.png", "JPEG", quality=95)
    Image.fromarray(noise(0)).save(tmp_path / "b.jpg", "PNG")
    assert np.abs(np.asarray(pictures.read_picture(tmp_path / "a.png")).astype(int) - noise(0)).mean() < 5
    assert np.array_equal(np.asarray(pictures.read_picture(tmp_path / "b.jpg")), noise(0))


def test_large_jpegs_are_read_faster_and_as_well(tmp_path):
    picture = Image.fromarray(noise(3, 300, 400))
    picture.save(tmp_path / "large.jpg", quality=95)
    reduced = pictures.open_picture(tmp_path / "large.jpg", at_least=32)
    assert 32 <= min(reduced.size) < 100
    wanted = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pictures.decode(str(tmp_path / "large.jpg"), 32) - wanted).max() <= 12


@pytest.mark.parametrize("shape", [(120, 160), (41, 300), (64, 64), (20, 10), (1, 1)])
@pytest.mark.parametrize("size", [(64, 64), (9, 64), (1, 1)])
def test_resizing_gives_the_numbers_of_pillow(shape, size):
    picture = Image.fromarray(noise(0, *shape))
    wanted = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    resized = pictures.resize(picture, size)
    assert resized.dtype == np.uint8 and resized.flags["C_CONTIGUOUS"]
    assert np.abs(resized - wanted).max() <= 1


# Pictures that cannot be read


def damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "picture.jpg"
    Image.fromarray(noise(0, 60, 80)).save(path)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "only the start":
        path.write_bytes(content[:20])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "a text":
        path.write_text("<html>not found</html>")
    elif kind == "another format":
        Image.fromarray(noise(0)).save(path, "GIF")
    elif kind == "a bomb":
        path.write_bytes(png(0, 1, b"", 50_000, 50_000))
    elif kind == "a smaller bomb":
        path.write_bytes(png(0, 1, b"", 9_000, 9_000))
    elif kind == "png with a wrong byte":
        Image.fromarray(noise(0)).save(path, "PNG", compress_level=0)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255  # the value of a pixel: only the checksum tells
        path.write_bytes(content)
    elif kind == "missing":
        path.unlink()
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    elif kind == "a pipe":
        path.unlink()
        os.mkfifo(path)
    return path


WHAT_IS_WRONG = {
    "truncated": "is cut short or damaged",
    "only the start": "is cut short or damaged",
    "empty": "is empty",
    "a text": "is not a JPEG or PNG picture, whatever its name says",
    "another format": "is not a JPEG or PNG picture, whatever its name says",
    "a bomb": "claims more than 80,000,000 pixels",
    "a smaller bomb": "claims more than 80,000,000 pixels",
    "png with a wrong byte": "is cut short or damaged",
    "missing": "is missing",
    "a folder": "is a folder or device",
    "a pipe": "is a folder or device",
}
REMEDIES = ("download or unpack it again", "replace it by the original", "put the picture there")


@pytest.mark.parametrize("kind", WHAT_IS_WRONG)
def test_a_picture_that_cannot_be_read(tmp_path, kind):
    if kind == "a pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes among its files")
    path = damaged(tmp_path, kind)
    refusal(lambda: pictures.read_picture(path), str(path), WHAT_IS_WRONG[kind])
    reason = pictures.decode(str(path), SIZE)
    assert isinstance(reason, str) and WHAT_IS_WRONG[kind] in reason
    assert any(remedy in reason for remedy in REMEDIES)


def test_large_pictures_of_others_open_as_before(tmp_path):
    """Importing the course must not turn Pillow's warning, from 90 million pixels on, into an error for all code."""
    path = tmp_path / "map.png"
    path.write_bytes(png(0, 1, b"", 10_000, 10_000))
    command = f"import isic_utils.datasets.images; from PIL import Image; print(Image.open({str(path)!r}).size)"
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("(10000, 10000)\n", "")


def test_a_picture_that_may_not_be_opened(tmp_path, monkeypatch):
    path = tmp_path / "picture.jpg"
    Image.fromarray(noise(0)).save(path)

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    refusal(lambda: pictures.read_picture(path), str(path), "cannot be read (Permission denied)", "start again")


@pytest.mark.parametrize("kind", ["truncated", "empty", "missing"])
def test_one_bad_picture_among_many_is_listed_counted_and_left_out(tmp_path, cache, kind, capsys, monkeypatch):
    table = many(tmp_path / "pictures", 150)
    bad = damaged(tmp_path, kind)
    table.loc[70, "path"] = str(bad)
    loaded = load(table, cache)
    assert loaded.left_out.iloc[0].tolist() == ["0070", str(bad), pictures.decode(str(bad), SIZE)]
    assert len(loaded.left_out) == 1 and loaded.images.tolist() == table["image"].drop(70).tolist()
    assert loaded.pixels[:, 0, 0, 0].tolist() == [number for number in range(150) if number != 70]
    said = capsys.readouterr().out
    assert "1 of 150 pictures cannot be used and are left out" in said and str(bad) in said
    must_not_decode(monkeypatch)
    assert load(table, cache).left_out.equals(loaded.left_out)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    "owner, name, error",
    [
        (Image, "open", OSError(errno.EIO, "Input/output error")),
        (Image, "open", MemoryError()),
        (os, "stat", PermissionError(errno.EACCES, "Permission denied")),
    ],
)
def test_what_the_machine_cannot_read_now_is_not_left_out_for_good(tmp_path, cache, owner, name, error, monkeypatch):
    table = many(tmp_path / "pictures", 150)
    real, bad = getattr(owner, name), table["path"][70]

    def refuse(path, *arguments, **options):
        if str(path) == bad:
            raise error
        return real(path, *arguments, **options)

    table_fingerprint = pictures.fingerprint(table, SIZE)
    monkeypatch.setattr(pictures, "fingerprint", lambda *_: table_fingerprint)  # it has seen the file before
    monkeypatch.setattr(owner, name, refuse)
    refusal(lambda: load(table, cache), bad, "cannot be read (", "start again")
    monkeypatch.setattr(owner, name, real)
    assert load(table, cache).left_out.empty


def test_more_than_one_percent_stops(tmp_path, cache):
    table = many(tmp_path / "pictures", 150)
    for row in (7, 8):
        Path(table["path"][row]).write_bytes(b"")
    refusal(
        lambda: load(table, cache), "2 of 150 pictures cannot be used, more than 1%", "unpack the archive again",
        table["path"][7], "is empty",
    )  # fmt: skip
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


# Masks


def mask(tmp_path: Path, values: np.ndarray, mode: str | None = None, name: str = "mask.png") -> np.ndarray:
    picture = Image.fromarray(values.astype(np.uint8))
    (picture.convert(mode) if mode else picture).save(tmp_path / name)
    return pictures.read_mask(tmp_path / name)


LESION = np.zeros((6, 9), bool)
LESION[2:4, 3:7] = True


@pytest.mark.parametrize("mode", [None, "1"])
def test_masks_of_one_channel(tmp_path, mode):
    read = mask(tmp_path, LESION * 255, mode)
    assert read.dtype == bool and np.array_equal(read, LESION)


MASK_MODES = {"RGB": "three colours", "P": "a palette", "RGBA": "colours and transparency", "LA": "transparency"}


@pytest.mark.parametrize("mode", MASK_MODES)
def test_masks_that_have_not_one_channel(tmp_path, mode):
    refusal(
        lambda: mask(tmp_path, LESION * 255, mode),
        f"{tmp_path / 'mask.png'} has {MASK_MODES[mode]} and not one grey channel", "write it as a grey PNG",
    )  # fmt: skip


def test_a_mask_of_16_bits(tmp_path):
    Image.fromarray(LESION.astype(np.uint16) * 65535).save(tmp_path / "mask.png")
    refusal(
        lambda: pictures.read_mask(tmp_path / "mask.png"),
        f"{tmp_path / 'mask.png'} has the mode I;16", "one grey channel of 8 bits", "write it as a grey PNG",
    )  # fmt: skip


@pytest.mark.parametrize("share", [0, 255])
def test_empty_and_full_masks(tmp_path, share):
    assert (mask(tmp_path, np.full((4, 4), share)) == bool(share)).all()


def test_masks_of_an_archive(tmp_path):
    for number, path in enumerate(tables.isic2018(draw_2018(tmp_path))["mask_path"]):
        assert pictures.read_mask(path).sum() == 6 * (5 + number)


@pytest.mark.parametrize(
    "values, remedy",
    [([[0, 1]], "multiply it by 255"), ([[1, 1]], "multiply it by 255"), ([[0, 7, 255]], "255 on the lesion")],
)
def test_a_mask_with_other_values(tmp_path, values, remedy):
    refusal(lambda: mask(tmp_path, np.array(values)), str(tmp_path / "mask.png"), "not only 0 and 255", remedy)


def test_a_damaged_mask(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    refusal(lambda: pictures.read_mask(tmp_path / "mask.png"), str(tmp_path / "mask.png"), "cut short", "download")


# Batches


@pytest.fixture(scope="module")
def decoded():
    return in_memory([tables.CODES[n % 8] for n in range(50)], size=8)


def all_batches(decoded, seed, batch_size=16):
    table, loaded = decoded
    labels = table["label"].cat.codes.to_numpy().astype(np.int64)
    return list(pictures.batches(loaded, np.arange(50), labels, batch_size, seed=seed))


def test_without_a_seed_pictures_come_in_order_and_as_they_are(decoded):
    batches = all_batches(decoded, seed=None)
    pixels = torch.cat([x for x, _ in batches])
    assert torch.equal(pixels, torch.from_numpy(decoded[1].pixels).permute(0, 3, 1, 2) / 255)
    assert torch.cat([y for _, y in batches]).tolist() == decoded[0]["label"].cat.codes.tolist()
    assert all(y.dtype == torch.int64 for _, y in batches)


def test_the_same_seed_gives_the_same_batches_and_another_one_others(decoded):
    first, again, other = (all_batches(decoded, seed) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, again, strict=True))
    assert not torch.equal(first[0][1], other[0][1])


def test_shuffled_pictures_keep_their_labels_and_come_once(decoded):
    pixels, loaded = decoded[1].pixels, decoded[1]
    ids = np.arange(50)
    seen = [
        (float(x.mean()), int(y))
        for batch in pictures.batches(loaded, ids, ids, 16, seed=1)
        for x, y in zip(*batch, strict=True)
    ]
    assert sorted(number for _, number in seen) == list(range(50))
    for mean, number in seen:
        assert mean == pytest.approx(pixels[number].mean() / 255, rel=0.11)


@pytest.mark.parametrize("seed", [None, 1])
def test_values_layout_and_sizes_of_batches(decoded, seed):
    batches = all_batches(decoded, seed)
    assert [len(y) for _, y in batches] == [13, 13, 12, 12]  # no tiny last one, which upsets batch normalisation
    assert len(batches) == pictures.number_of_batches(50, 16)
    for x, _ in batches:
        assert x.dtype == torch.float32 and x.shape[1:] == (3, 8, 8) and x.min() >= 0 and x.max() <= 1
        assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_batches_let_go_of_what_they_have_read(table, cache):
    loaded = load(table, cache)
    loaded.pixels.sum()
    assert mapped_kilobytes(loaded.pixels.filename) > 0
    assert len(list(pictures.batches(loaded, np.arange(8), np.arange(8), batch_size=3))) == 3
    assert mapped_kilobytes(loaded.pixels.filename) == 0


def mapped_kilobytes(file: str) -> int:
    """How much of a mapped file is counted as this process's memory."""
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(file), 1)[1].splitlines()
    return int(next(line for line in lines if line.startswith("Rss:")).split()[1])


def test_batches_leave_the_store_as_it_is(decoded):
    before = decoded[1].pixels.copy()
    all_batches(decoded, seed=3)
    assert np.array_equal(decoded[1].pixels, before)


def lays(picture: torch.Tensor) -> list[torch.Tensor]:
    """The 8 ways to lay a square picture [3, size, size] on itself."""
    turned = [torch.rot90(picture, k, (1, 2)) for k in range(4)]
    return turned + [x.flip(2) for x in turned]


def test_augmentation_lays_a_picture_in_one_of_eight_ways_and_changes_its_light():
    picture = torch.from_numpy(np.random.default_rng(0).integers(20, 200, (3, 6, 6), dtype=np.uint8))
    many = picture.repeat(800, 1, 1, 1)
    augmented = pictures.augment(many.clone(), torch.Generator().manual_seed(0)) * 255
    gain = augmented.mean(dim=(2, 3)) / picture.float().mean(dim=(1, 2))
    assert 0.9 < gain.min() < 0.93 and 1.07 < gain.max() < 1.11
    without_light = (augmented / gain[..., None, None]).round()
    counts = [int((without_light == lay).all(dim=(1, 2, 3)).sum()) for lay in lays(picture)]
    assert sum(counts) == 800 and min(counts) > 60, counts


def test_augmented_pictures_stay_between_0_and_1():
    bright = torch.full((50, 3, 4, 4), 255, dtype=torch.uint8)
    augmented = pictures.augment(bright, torch.Generator().manual_seed(0))
    assert augmented.max() == 1 and augmented.min() > 0.9
