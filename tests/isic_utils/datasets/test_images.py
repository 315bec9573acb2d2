"""Decoding once, reading every kind of image and mask right, and saying what is wrong with the others."""

import errno
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019, draw_pairs, files_in, lesion, noise, refusal
from PIL import Image

from isic_utils import files
from isic_utils.datasets import ImageStore, images, tables
from isic_utils.errors import IsicError
from isic_utils.settings import PROJECT

SIZE = 8


@pytest.fixture
def archive(tmp_path):
    return draw_2019(tmp_path / "archive")


@pytest.fixture
def table(archive):
    return tables.read_isic2019(archive)


@pytest.fixture
def pairs(tmp_path):
    return tables.read_isic2018(draw_pairs(tmp_path / "pairs", [(30, 40), (45, 60), (40, 30)]))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def make_store(table, cache, size=SIZE) -> ImageStore:
    return ImageStore(table, size, cache, progress=False)


def must_not_decode(monkeypatch) -> None:
    def decode(path, *arguments):
        raise AssertionError(f"{path} was opened again")

    monkeypatch.setattr(images, "decode", decode)


def many(folder: Path, count: int, masks: bool = False) -> pd.DataFrame:
    """A table of `count` images of 4 × 6 pixels; with masks, the lesion is one pixel high."""
    folder.mkdir()
    rows = []
    for number in range(count):
        path, mask_path = folder / f"{number:04d}.png", folder / f"{number:04d}_segmentation.png"
        mask = np.zeros((4, 6), np.uint8)
        mask[number % 4, 1:5] = 255
        Image.fromarray(np.dstack([mask] * 3)).save(path)
        Image.fromarray(mask).save(mask_path)
        rows.append({"image": path.stem, "path": str(path), "mask_path": str(mask_path)})
    table = pd.DataFrame(rows)
    return table if masks else table.drop(columns="mask_path")


def finished(cache: Path) -> list[Path]:
    """What lies in the cache, but for the locks."""
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


# Decoded once


def test_pixels_are_those_of_the_images(table, cache):
    store = make_store(table, cache)
    assert store.pixels.shape == (8, SIZE, SIZE, 3) and store.pixels.dtype == np.uint8 and len(store) == 8
    assert isinstance(store.pixels, np.memmap) and not store.pixels.flags.writeable
    assert store.images.tolist() == table["image"].tolist() and store.left_out.empty
    assert store.size == (SIZE, SIZE) and not store.has_masks
    for number in range(8):
        wanted = np.asarray(Image.fromarray(noise(number)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        assert np.abs(store.pixels[number].astype(int) - wanted).mean() < 12, number


def test_a_second_store_opens_no_image_and_needs_no_lock(table, cache, monkeypatch):
    first = make_store(table, cache)
    must_not_decode(monkeypatch)

    def no_lock(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "FileLock", no_lock)
    second = make_store(table, cache)
    assert np.array_equal(first.pixels, second.pixels) and first.digest == second.digest
    assert first.images.equals(second.images)


def test_a_disk_that_maps_files_for_one_process_alone(table, cache, monkeypatch):
    expected, real = make_store(table, cache), np.memmap

    def memmap(file, dtype, mode, **options):
        if mode == "r":
            raise OSError(errno.ENODEV, "No such device")
        return real(file, dtype, mode, **options)

    must_not_decode(monkeypatch)
    monkeypatch.setattr(np, "memmap", memmap)
    store = make_store(table, cache)
    assert isinstance(store.pixels, real) and not store.pixels.flags.writeable
    assert np.array_equal(store.pixels, expected.pixels)
    assert np.array_equal(store.take(np.arange(2)), expected.take(np.arange(2)))
    assert np.array_equal(pickle.loads(pickle.dumps(store)).pixels, expected.pixels)
    monkeypatch.setattr(np, "memmap", lambda *arguments, **options: memmap(arguments[0], np.uint8, "r"))
    refusal(lambda: make_store(table, cache), "No such device")


def test_the_order_of_the_rows_does_not_matter(table, cache, monkeypatch):
    first = make_store(table, cache)
    must_not_decode(monkeypatch)
    assert make_store(table.iloc[::-1], cache).digest == first.digest


@pytest.mark.parametrize("change", ["content", "time", "missing row", "size asked for", "a side"])
def test_a_change_is_noticed(table, cache, change):
    first = make_store(table, cache)
    size = SIZE
    path = Path(table["path"].iloc[0])
    if change == "content":
        Image.fromarray(255 - noise(0)).save(path)
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "missing row":
        table = table.iloc[1:]
    else:
        size = 2 * SIZE if change == "size asked for" else (SIZE, 2 * SIZE)
    second = make_store(table, cache, size)
    assert second.folder != first.folder and second.images.tolist() == table["image"].tolist()
    if change == "content":
        assert second.digest != first.digest and not np.array_equal(first.pixels[0], second.pixels[0])
    if change == "time":
        assert second.digest == first.digest  # the same pixels: runs trained on them stay valid


@pytest.mark.parametrize("change", ["mask", "time of the mask", "image", "height and width"])
def test_a_change_of_a_pair_is_noticed(pairs, cache, change):
    first = make_store(pairs, cache, (12, 16))
    mask_path = Path(pairs["mask_path"][0])
    if change == "mask":
        Image.fromarray(255 - np.asarray(Image.open(mask_path))).save(mask_path)
    elif change == "time of the mask":
        os.utime(mask_path, ns=(1, 1))
    elif change == "image":
        Image.new("RGB", (40, 30)).save(pairs["path"][0])
    second = make_store(pairs, cache, (16, 12) if change == "height and width" else (12, 16))
    assert second.folder != first.folder
    assert (second.digest == first.digest) == (change == "time of the mask")


def test_in_parallel_as_one_after_another(table, cache, tmp_path, monkeypatch):
    parallel = make_store(table, cache)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(images, "CHUNK", 3)
    serial = make_store(table, tmp_path / "other")
    assert np.array_equal(parallel.pixels, serial.pixels) and parallel.digest == serial.digest


def test_nothing_is_written_into_the_data_folder(archive, table, cache):
    before = files_in(archive)
    make_store(table, cache)
    assert files_in(archive) == before and files_in(cache)


def test_a_store_knows_the_name_of_its_data_and_whether_they_are_synthetic(archive, cache):
    store = make_store(tables.read_isic2019(archive), cache)
    assert store.data_name == "archive" and not store.synthetic
    place = archive / tables.IMAGES_2019
    place.rename(archive / "images")
    place.mkdir()
    (archive / "images").rename(place / tables.IMAGES_2019)  # unpacked one folder too deep
    (archive / "SYNTHETIC.json").write_text("{}")
    store = make_store(tables.read_isic2019(archive), cache)
    assert store.data_name == "archive" and store.synthetic


def test_rows_finds_images_by_name_and_take_copies_them(table, cache):
    store = make_store(table, cache)
    rows = store.rows(table["image"].iloc[[3, 1]])
    assert rows.tolist() == [3, 1]
    taken = store.take(rows)
    assert np.array_equal(taken, store.pixels[[3, 1]]) and taken.flags.writeable
    refusal(lambda: store.rows(pd.Series(["ISIC_0000001", "nobody"])), "nobody", "left_out")


def test_a_store_is_pickled_without_its_pixels(table, cache):
    store = make_store(table, cache, 256)
    content = pickle.dumps(store)
    assert len(content) < 10_000
    again = pickle.loads(content)
    assert isinstance(again.pixels, np.memmap) and again.pixels.filename == store.pixels.filename
    assert np.array_equal(again.pixels, store.pixels) and again.images.equals(store.images)
    assert again.digest == store.digest and again.data_name == store.data_name


def test_a_pickled_store_says_if_its_cache_is_gone(table, cache):
    store = make_store(table, cache)
    content = pickle.dumps(store)
    shutil.rmtree(store.folder)
    refusal(lambda: pickle.loads(content), str(store.folder), "ImageStore again")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_what_was_read_is_let_go_of(table, cache):
    store = make_store(table, cache)
    store.pixels.sum()
    assert mapped_kilobytes(store.pixels.filename) > 0
    store.take(np.arange(8))
    assert mapped_kilobytes(store.pixels.filename) == 0


def mapped_kilobytes(file: str) -> int:
    """How much of a mapped file is counted as this process's memory."""
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(file), 1)[1].splitlines()
    return int(next(line for line in lines if line.startswith("Rss:")).split()[1])


def test_a_table_without_images_masks_or_rows(table, pairs, cache):
    refusal(lambda: make_store(table.assign(path=None), cache), "8 rows have no path")
    refusal(lambda: make_store(pairs.assign(mask_path=[None, "a", "b"]), cache), "1 rows have no mask_path")
    assert not cache.exists()


# The cache: damaged, of another version, contended for, without space


DAMAGE = ["pixels short", "pixels gone", "index short", "index gone", "a list", "both gone"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_anew(table, cache, damage):
    store = make_store(table, cache)
    expected = np.array(store.pixels)
    pixels, index = store.folder / "pixels.bin", store.folder / "index.json"
    text = index.read_text(encoding="utf-8")
    if damage == "pixels short":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    if damage in ("pixels gone", "both gone"):
        pixels.unlink()
    if damage in ("index gone", "both gone"):
        index.unlink()
    if damage == "index short":
        index.write_text(text[:-20], encoding="utf-8")
    if damage == "a list":
        index.write_text("[]", encoding="utf-8")
    assert np.array_equal(make_store(table, cache).pixels, expected)
    assert store.open()


def test_a_cache_of_another_way_of_decoding_is_not_used(table, cache, monkeypatch):
    first = make_store(table, cache)
    monkeypatch.setattr(images, "VERSION", images.VERSION + 1)
    assert make_store(table, cache).folder != first.folder


def test_what_a_killed_process_left_is_not_used_and_goes(table, cache):
    folder = make_store(table, cache).folder
    partial = folder.rename(cache / f".{folder.name}")
    (partial / "pixels.bin").write_bytes(b"half")
    assert make_store(table, cache).pixels.shape == (8, SIZE, SIZE, 3)
    assert not partial.exists()


class FullDisk:
    """Stands for `open`: the files that it opens can take 100 bytes."""

    def __call__(self, file, mode="r", **options):
        stream = open(file, mode, **options)  # noqa: SIM115
        return stream if "w" not in mode else self.Stream(stream)

    class Stream:
        def __init__(self, stream):
            self.stream, self.room = stream, 100

        def write(self, content):
            self.room -= len(content)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(content)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()


def test_a_full_disk_leaves_nothing_half_written(table, cache, monkeypatch):
    monkeypatch.setattr(images, "open", FullDisk(), raising=False)
    refusal(lambda: make_store(table, cache), str(cache), "No space left on device", "1 MB")
    assert finished(cache) == []
    monkeypatch.undo()
    assert len(make_store(table, cache)) == 8


def test_a_read_only_cache_folder_and_a_file_in_its_place(table, cache, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        refusal(lambda: make_store(table, cache), str(cache), "Read-only file system")
    cache.write_text("mine")
    refusal(lambda: make_store(table, cache), str(cache))
    assert cache.read_text() == "mine"


def test_an_interrupted_decoding_leaves_nothing(table, cache, monkeypatch):
    real = images.decode

    def interrupted(path, *arguments):
        if path == table["path"].iloc[5]:
            raise KeyboardInterrupt
        return real(path, *arguments)

    monkeypatch.setattr(images, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_store(table, cache)
    assert finished(cache) == []


PREPARE = """
import sys, time
from pathlib import Path
from isic_utils.datasets import ImageStore, images, read_isic2019
real = images.decode
def slow(path, *arguments):
    sys.stderr.write(path + "\\n")  # in one piece: threads write at the same time
    time.sleep(0.02)
    return real(path, *arguments)
images.decode = slow
print("ready", flush=True)
sys.stdin.readline()
print(ImageStore(read_isic2019(sys.argv[1]), 8, Path(sys.argv[2]), progress=False).digest)
"""


@pytest.mark.slow
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
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in processes]
    opened = "".join(errors for _, errors in outputs).split("\n")[:-1]
    assert sorted(opened) == sorted(table["path"]), "each image is decoded once, by one of the two"
    store = make_store(table, cache)
    assert [digest.strip() for digest, _ in outputs] == [store.digest] * 2
    assert finished(cache) == [store.folder]


# Images that are read right, whatever their kind


def saved(tmp_path: Path, image: Image.Image, name: str = "image.png", **options) -> np.ndarray:
    """What is read back of an image that is saved: int array [height, width, 3]."""
    image.save(tmp_path / name, **options)
    return np.asarray(images.read_image(tmp_path / name)).astype(int)


GREY = np.array([[0, 60, 120], [180, 240, 255]], np.uint8)
KINDS = {
    "L": Image.fromarray(GREY),
    "I;16": Image.fromarray(GREY.astype(np.uint16) * 257),
    "1": Image.fromarray(GREY > 100),
    "P": Image.fromarray(GREY).convert("P"),
}


@pytest.mark.parametrize("mode", KINDS)
def test_one_channel_becomes_three_equal_ones(tmp_path, mode):
    read = saved(tmp_path, KINDS[mode])
    wanted = np.where(GREY > 100, 255, 0) if mode == "1" else GREY
    assert Image.open(tmp_path / "image.png").mode == mode
    assert (read == wanted[..., np.newaxis]).all()


def png(colour_type: int, depth: int, rows: bytes, width: int, height: int) -> bytes:
    """A PNG file written by hand, for the kinds that Pillow reads and does not write."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_16_bit_values_are_scaled_down_and_not_cut_off(tmp_path):
    values = np.array([[0, 257, 255 * 128, 65535]], np.uint16)
    assert saved(tmp_path, Image.fromarray(values))[0, :, 0].tolist() == [0, 1, 127, 255]


def test_16_bit_colours_and_2_bit_grey(tmp_path):
    row = b"\0" + struct.pack(">6H", 65535, 0, 32896, 0, 65535, 257)
    (tmp_path / "p.png").write_bytes(png(2, 16, row, 2, 1))
    assert np.asarray(images.read_image(tmp_path / "p.png")).tolist() == [[[255, 0, 128], [0, 255, 1]]]
    (tmp_path / "p.png").write_bytes(png(0, 2, b"\0" + bytes([0b00011011]), 4, 1))
    assert np.asarray(images.read_image(tmp_path / "p.png"))[0, :, 0].tolist() == [0, 85, 170, 255]


def test_transparency_lies_on_white(tmp_path):
    colours = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 100, 128]]], np.uint8)
    assert saved(tmp_path, Image.fromarray(colours)).tolist() == [[[200, 0, 0], [255, 255, 255], [227, 127, 177]]]
    grey = np.array([[[50, 255], [50, 0]]], np.uint8)
    assert saved(tmp_path, Image.fromarray(grey)).tolist() == [[[50, 50, 50], [255, 255, 255]]]
    colours = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)  # a colour that stands for transparent
    assert saved(tmp_path, Image.fromarray(colours), transparency=(1, 2, 3)).tolist() == [[[255] * 3, [4, 5, 6]]]


def test_palettes_with_and_without_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("L")
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    assert saved(tmp_path, image).tolist() == [[[10, 20, 30], [200, 100, 50], [0, 255, 0]]]
    assert saved(tmp_path, image, transparency=1).tolist() == [[[10, 20, 30], [255, 255, 255], [0, 255, 0]]]
    alphas = saved(tmp_path, image, transparency=bytes([255, 0, 0]))
    assert alphas.tolist() == [[[10, 20, 30], [255, 255, 255], [255, 255, 255]]]


def test_cmyk(tmp_path):
    colours = np.zeros((16, 16, 4), np.uint8)
    colours[:, :8] = (0, 255, 255, 0)  # magenta and yellow ink: red
    colours[:, 8:] = (255, 0, 255, 0)  # green
    read = saved(tmp_path, Image.fromarray(colours, "CMYK"), "image.jpg", quality=100, subsampling=0)
    assert Image.open(tmp_path / "image.jpg").mode == "CMYK"
    assert np.abs(read[4, 2] - (255, 0, 0)).max() <= 3 and np.abs(read[4, 13] - (0, 255, 0)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["image.jpg", "image.png"])
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


def test_a_jpeg_named_png_and_the_other_way_round(tmp_path):
    Image.fromarray(noise(0)).save(tmp_path / "a.png", "JPEG", quality=95)
    Image.fromarray(noise(0)).save(tmp_path / "b.jpg", "PNG")
    assert np.abs(np.asarray(images.read_image(tmp_path / "a.png")).astype(int) - noise(0)).mean() < 5
    assert np.array_equal(np.asarray(images.read_image(tmp_path / "b.jpg")), noise(0))


def test_large_jpegs_are_read_faster_and_as_well(tmp_path):
    image = Image.fromarray(noise(3, 300, 400))
    image.save(tmp_path / "large.jpg", quality=95)
    reduced = images.read_image(tmp_path / "large.jpg", at_least=32)
    assert 32 <= min(reduced.size) < 100
    wanted = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(images.decode(str(tmp_path / "large.jpg"), None, (32, 32)) - wanted).max() <= 12


@pytest.mark.parametrize("shape", [(120, 160), (41, 300), (64, 64), (20, 10), (1, 1)])
@pytest.mark.parametrize("size", [(64, 64), (9, 64), (1, 1)])
def test_resizing_gives_the_numbers_of_pillow(shape, size):
    image = Image.fromarray(noise(0, *shape))
    wanted = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    resized = images.resize(image, size)
    assert resized.dtype == np.uint8 and resized.flags["C_CONTIGUOUS"]
    assert np.abs(resized - wanted).max() <= 1


# Images that cannot be read


def damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "image.jpg"
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
    else:
        path.unlink()
        if kind == "a folder":
            path.mkdir()
    return path


WHAT_IS_WRONG = {
    "truncated": "damaged",
    "only the start": "damaged",
    "empty": "empty",
    "a text": "not a JPEG, PNG or WebP",
    "another format": "not a JPEG, PNG or WebP",
    "a bomb": "80,000,000 pixels",
    "a smaller bomb": "80,000,000 pixels",
    "png with a wrong byte": "damaged",
    "missing": "missing",
    "a folder": "missing",
}


@pytest.mark.parametrize("kind", WHAT_IS_WRONG)
def test_an_image_that_cannot_be_read(tmp_path, kind):
    path = damaged(tmp_path, kind)
    refusal(lambda: images.read_image(path), str(path), WHAT_IS_WRONG[kind])
    if path.is_file():  # the bytes of a file are read as the file is
        refusal(lambda: images.read_image(path.read_bytes()), "The image", WHAT_IS_WRONG[kind])


def test_large_images_of_others_open_as_before(tmp_path):
    """Importing the package changes no warning: Pillow's, from 90 million pixels on, is shown as ever."""
    path = tmp_path / "map.png"
    path.write_bytes(png(0, 1, b"", 10_000, 10_000))
    command = f"import isic_utils.datasets; from PIL import Image; print(Image.open({str(path)!r}).size)"
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert done.stdout == "(10000, 10000)\n" and "DecompressionBombWarning" in done.stderr


@pytest.mark.parametrize("kind", ["truncated", "empty", "missing"])
def test_one_bad_image_among_many_is_listed_counted_and_left_out(tmp_path, cache, kind, capsys, monkeypatch):
    table = many(tmp_path / "images", 150)
    bad = damaged(tmp_path, kind)
    table.loc[70, "path"] = str(bad)
    store = make_store(table, cache, (4, 6))
    [left_out] = store.left_out.itertuples(index=False)
    assert left_out.image == "0070" and left_out.path == str(bad) and str(bad) in left_out.reason
    assert store.images.tolist() == table["image"].drop(70).tolist() and len(store) == 149
    assert store.pixels[..., 0].any(axis=2).argmax(axis=1).tolist() == [n % 4 for n in range(150) if n != 70]
    said = capsys.readouterr().out
    assert "1 of 150" in said
    must_not_decode(monkeypatch)
    assert make_store(table, cache, (4, 6)).left_out.equals(store.left_out)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    "owner, name, error, stops_with",
    [
        (Path, "read_bytes", PermissionError(errno.EACCES, "Permission denied", "0070.png"), IsicError),
        (Image, "open", MemoryError(), MemoryError),
    ],
)
def test_what_the_machine_cannot_read_now_is_not_left_out_for_good(
    tmp_path, cache, owner, name, error, stops_with, monkeypatch
):
    table = many(tmp_path / "images", 150)
    real, bad = getattr(owner, name), table["path"][70]
    fingerprint = images.fingerprint(table, (SIZE, SIZE))
    monkeypatch.setattr(images, "fingerprint", lambda *_: fingerprint)  # it has seen the file before

    def refuse(path, *arguments, **options):
        if str(path) == bad or name == "open":
            raise error
        return real(path, *arguments, **options)

    monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(stops_with, match="0070.png cannot be read" if stops_with is IsicError else None):
        make_store(table, cache)
    monkeypatch.setattr(owner, name, real)
    assert make_store(table, cache).left_out.empty


def test_a_table_without_rows(table, cache):
    refusal(lambda: make_store(table.head(0), cache), "no rows")


def test_more_than_one_percent_and_three_stop(tmp_path, cache):
    table = many(tmp_path / "images", 150)
    for row in (7, 8, 9, 10):
        Path(table["path"][row]).write_bytes(b"")
    refusal(lambda: make_store(table, cache), "4 of 150", "1%", table["path"][7])
    assert finished(cache) == []


# Masks


def mask(tmp_path: Path, values: np.ndarray, mode: str | None = None) -> np.ndarray:
    image = Image.fromarray(values.astype(np.uint8))
    (image.convert(mode) if mode else image).save(tmp_path / "mask.png")
    return images.read_mask(tmp_path / "mask.png")


LESION = np.zeros((6, 9), bool)
LESION[2:4, 3:7] = True


@pytest.mark.parametrize("mode", [None, "1"])
def test_masks_of_one_channel(tmp_path, mode):
    read = mask(tmp_path, LESION * 255, mode)
    assert read.dtype == bool and np.array_equal(read, LESION)
    assert mask(tmp_path, np.full((4, 4), 255)).all() and not mask(tmp_path, np.zeros((4, 4))).any()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_masks_that_are_transparent(tmp_path, mode):
    refusal(lambda: mask(tmp_path, LESION * 255, mode), f"{tmp_path / 'mask.png'}", mode)


@pytest.mark.parametrize("values, said", [([0, 1], "up to 1"), ([1, 1], "up to 1"), ([0, 70, 255], "67%")])
def test_a_mask_with_other_values(tmp_path, values, said):
    refusal(lambda: mask(tmp_path, np.array([values])), str(tmp_path / "mask.png"), said)


def test_a_mask_of_16_bits_and_a_damaged_one(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(LESION.astype(np.uint16) * 65535).save(path)
    refusal(lambda: images.read_mask(path), str(path), "I;16")
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    refusal(lambda: images.read_mask(path), str(path), "damaged")


def test_masks_of_an_archive(tmp_path):
    for number, path in enumerate(tables.read_isic2018(draw_2018(tmp_path))["mask_path"]):
        assert images.read_mask(path).sum() == 6 * (5 + number)


# Images with their masks


@pytest.mark.parametrize("size", [(12, 16), (7, 5), (64, 48)])
def test_a_mask_stays_binary_and_on_its_image(tmp_path, pairs, cache, size):
    """The images are white where the mask is, so both must be resized in the same way."""
    for number, row in pairs.iterrows():
        white = tmp_path / f"{number}.png"
        Image.fromarray(np.dstack([np.asarray(Image.open(row["mask_path"]))] * 3)).save(white)
        pairs.loc[number, "path"] = str(white)
    store = make_store(pairs, cache, size)
    assert store.pixels.shape == (3, *size, 4) and store.has_masks and store.size == size
    masks = store.pixels[..., 3]
    assert np.unique(masks).tolist() == [0, 255]
    for number in range(3):
        assert np.array_equal(masks[number] == 255, store.pixels[number, ..., 0] > 127)
        wanted = lesion(number, *size)
        assert (wanted & (masks[number] == 255)).sum() / (wanted | (masks[number] == 255)).sum() > 0.75


@pytest.mark.parametrize("rows, lesion_rows", [(5, 1), (7, 2), (9, 2), (11, 3)])
def test_a_pixel_is_lesion_where_more_than_half_of_it_is(tmp_path, cache, rows, lesion_rows):
    """Four rows become one."""
    table = many(tmp_path / "images", 1, masks=True)
    tall = np.where(np.arange(16) < rows, 255, 0)[:, np.newaxis].repeat(8, 1).astype(np.uint8)
    Image.fromarray(tall).save(table["mask_path"][0])
    Image.new("RGB", (8, 16)).save(table["path"][0])
    mask = make_store(table, cache, (4, 2)).pixels[0, ..., 3]
    assert mask.tolist() == [[255, 255]] * lesion_rows + [[0, 0]] * (4 - lesion_rows)


def test_the_image_is_the_one_that_a_classifier_would_see(pairs, cache):
    together = make_store(pairs, cache, (24, 24))
    alone = make_store(pairs.drop(columns="mask_path"), cache, 24)
    assert np.array_equal(together.pixels[..., :3], alone.pixels)
    assert together.digest != alone.digest and together.folder != alone.folder


def test_a_rotated_image_is_upright_before_its_mask_is_laid_on_it(tmp_path, cache):
    table = many(tmp_path / "images", 1, masks=True)
    mask = np.asarray(Image.open(table["mask_path"][0]))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(np.dstack([mask] * 3)).copy()).save(table["path"][0], exif=exif)
    pixels = make_store(table, cache, (4, 6)).pixels[0]
    assert np.array_equal(pixels[..., 0], mask) and np.array_equal(pixels[..., 3], mask)


def spoil(row: pd.Series, kind: str) -> None:
    """Do something wrong to a pair of `many`."""
    mask_path = Path(row["mask_path"])
    mask = np.asarray(Image.open(mask_path))
    if kind == "another size":
        Image.fromarray(mask.repeat(2, axis=0)).save(mask_path)
    elif kind == "turned":
        Image.fromarray(np.ascontiguousarray(mask.T)).save(mask_path)
    elif kind == "0 and 1":
        Image.fromarray(mask // 255).save(mask_path)
    elif kind == "empty":
        Image.fromarray(0 * mask).save(mask_path)
    elif kind == "full":
        Image.fromarray(np.full_like(mask, 255)).save(mask_path)
    elif kind == "missing mask":
        mask_path.unlink()


WRONG = {
    "another size": "differ in size",
    "turned": "differ in size",
    "0 and 1": "multiply it by 255",
    "empty": "empty",
    "full": "whole image",
    "missing mask": "missing",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_pair_stops_or_is_left_out_among_many(tmp_path, cache, kind):
    table = many(tmp_path / "images", 120, masks=True)
    spoil(table.iloc[70], kind)
    refusal(lambda: make_store(table.iloc[70:71], cache), "1 of 1", table["mask_path"][70], WRONG[kind])
    store = make_store(table, cache, (4, 6))
    assert store.images.tolist() == table["image"].drop(70).tolist()
    [left_out] = store.left_out.itertuples()
    assert left_out.image == "0070" and table["mask_path"][70] in left_out.reason
