"""Pictures and their masks: decoded together, refused with a sentence, turned together."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from archives import draw_pairs, files_in, is_one_clear_message, lesion, pairs_in_memory
from PIL import Image

from isic_utils.datasets import images as pictures, tables
from isic_utils.errors import IsicError

HEIGHT, WIDTH = 12, 16
SIZE = (HEIGHT, WIDTH)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def table(tmp_path):
    return tables.isic2018(draw_pairs(tmp_path / "archive", [(30, 40), (45, 60), (40, 30)]))


def load_pairs(table, cache, size=SIZE):
    return pictures.load_pairs(table, size, cache, progress=False)


def many(folder: Path, count: int) -> pd.DataFrame:
    """A table of `count` pairs of 4 × 6 pixels; the lesion is one pixel high."""
    folder.mkdir()
    rows = []
    for number in range(count):
        mask = np.zeros((4, 6), np.uint8)
        mask[number % 4, 1:5] = 255
        row = [f"{number:04d}", folder / f"{number:04d}.png", folder / f"{number:04d}_segmentation.png"]
        Image.fromarray(np.dstack([mask] * 3)).save(row[1])
        Image.fromarray(mask).save(row[2])
        rows.append([str(cell) for cell in row])
    return pd.DataFrame(rows, columns=["image", "path", "mask_path"])


# Decoded together


@pytest.mark.parametrize("size", [SIZE, (7, 5), (64, 48)])
def test_a_mask_stays_binary_and_on_its_picture(tmp_path, cache, size):
    """The pictures are white where the mask is, so both must be resized in the same way."""
    table = tables.isic2018(draw_pairs(tmp_path / "archive", [(30, 40), (45, 60), (40, 30)]))
    for number, row in table.iterrows():
        mask = np.asarray(Image.open(row["mask_path"]))
        white = tmp_path / "archive" / f"{number}.png"
        Image.fromarray(np.dstack([mask] * 3)).save(white)
        table.loc[number, "path"] = str(white)
    loaded = load_pairs(table, cache, size)
    assert loaded.pixels.shape == (3, *size, 4) and loaded.pixels.dtype == np.uint8
    assert isinstance(loaded.pixels, np.memmap) and loaded.images.tolist() == table["image"].tolist()
    masks = loaded.pixels[..., 3]
    assert np.unique(masks).tolist() == [0, 255]
    for number in range(3):
        assert np.array_equal(masks[number] == 255, loaded.pixels[number, ..., 0] > 127)
        wanted = lesion(number, *size)
        assert (wanted & (masks[number] == 255)).sum() / (wanted | (masks[number] == 255)).sum() > 0.75


@pytest.mark.parametrize("rows, lesion_rows", [(5, 1), (7, 2), (9, 2), (11, 3)])
def test_a_pixel_is_lesion_where_more_than_half_of_it_is(tmp_path, cache, rows, lesion_rows):
    """Four rows become one."""
    table = many(tmp_path / "pictures", 1)
    Image.fromarray(np.where(np.arange(16) < rows, 255, 0)[:, np.newaxis].repeat(8, 1).astype(np.uint8)).save(
        table["mask_path"][0]
    )
    Image.new("RGB", (8, 16)).save(table["path"][0])
    mask = load_pairs(table, cache, (4, 2)).pixels[0, ..., 3]
    assert mask.tolist() == [[255, 255]] * lesion_rows + [[0, 0]] * (4 - lesion_rows)


def test_the_picture_is_the_one_that_a_classifier_would_see(table, cache):
    pairs = load_pairs(table, cache, (24, 24))
    alone = pictures.load(table, 24, cache, progress=False)
    assert alone.pixels.shape == (3, 24, 24, 3)
    assert np.array_equal(pairs.pixels[..., :3], alone.pixels)
    assert pairs.digest != alone.digest and pairs.pixels.filename != alone.pixels.filename


def test_a_rotated_picture_is_upright_before_its_mask_is_laid_on_it(tmp_path, cache):
    table = many(tmp_path / "pictures", 1)
    mask = np.asarray(Image.open(table["mask_path"][0]))
    exif = Image.Exif()
    exif[0x0112] = 6
    as_taken = np.rot90(np.dstack([mask] * 3)).copy()
    Image.fromarray(as_taken).save(table["path"][0], exif=exif)
    pixels = load_pairs(table, cache, (4, 6)).pixels[0]
    assert np.array_equal(pixels[..., 0], mask) and np.array_equal(pixels[..., 3], mask)


# The cache


def test_a_second_call_opens_no_pair(table, cache, monkeypatch):
    first = load_pairs(table, cache)
    before = files_in(cache)

    def must_not_decode(*arguments):
        raise AssertionError("a pair was opened again")

    monkeypatch.setattr(pictures, "decode_pair", must_not_decode)
    second = load_pairs(table, cache)
    assert np.array_equal(first.pixels, second.pixels) and first.digest == second.digest
    assert files_in(cache) == before


@pytest.mark.parametrize("change", ["mask", "time of the mask", "picture", "size asked for", "height and width"])
def test_a_change_is_noticed(table, cache, change):
    first = load_pairs(table, cache)
    size = SIZE
    mask_path = Path(table["mask_path"][0])
    if change == "mask":
        Image.fromarray(255 - np.asarray(Image.open(mask_path))).save(mask_path)
    elif change == "time of the mask":
        os.utime(mask_path, ns=(1, 1))
    elif change == "picture":
        Image.new("RGB", (40, 30)).save(table["path"][0])
    elif change == "size asked for":
        size = (24, 32)
    else:
        size = (WIDTH, HEIGHT)
    second = load_pairs(table, cache, size)
    assert second.pixels.filename != first.pixels.filename
    assert (second.digest == first.digest) == (change == "time of the mask")
    if change == "mask":
        inverse = first.pixels[0, ..., 3] != second.pixels[0, ..., 3]
        assert inverse.mean() > 0.95 and np.array_equal(first.pixels[1:], second.pixels[1:])


# Pairs with something wrong


def spoil(row: pd.Series, kind: str) -> None:
    """Do something wrong to a pair of `many`."""
    path, mask_path = Path(row["path"]), Path(row["mask_path"])
    mask = np.asarray(Image.open(mask_path))
    if kind == "another size":
        Image.fromarray(mask.repeat(2, axis=0)).save(mask_path)
    elif kind == "turned":
        Image.fromarray(np.ascontiguousarray(mask.T)).save(mask_path)
    elif kind == "0 and 1":
        Image.fromarray(mask // 255).save(mask_path)
    elif kind == "grey borders":
        Image.fromarray(np.where(mask == 255, 254, mask)).save(mask_path)
    elif kind in ("RGB", "RGBA", "P", "LA"):
        Image.fromarray(mask).convert(kind).save(mask_path)
    elif kind == "16 bits":
        Image.fromarray(mask.astype(np.uint16) * 257).save(mask_path)
    elif kind == "empty":
        Image.fromarray(0 * mask).save(mask_path)
    elif kind == "full":
        Image.fromarray(np.full_like(mask, 255)).save(mask_path)
    elif kind == "damaged mask":
        mask_path.write_bytes(mask_path.read_bytes()[:50])
    elif kind == "damaged picture":
        path.write_bytes(path.read_bytes()[:50])
    elif kind == "missing mask":
        mask_path.unlink()
    elif kind == "missing picture":
        path.unlink()


WRONG = {
    "another size": ("mask_path", "has 6×8 pixels and its picture 6×4", "unpack both again"),
    "turned": ("mask_path", "has 4×6 pixels and its picture 6×4", "unpack both again"),
    "0 and 1": ("mask_path", "holds the values 0, 1 and not only 0 and 255", "multiply it by 255"),
    "grey borders": (
        "mask_path",
        "holds the values 0, 254 and not only 0 and 255",
        "255 on the lesion and 0 elsewhere",
    ),
    "RGB": ("mask_path", "has three colours and not one grey channel", "write it as a grey PNG"),
    "RGBA": ("mask_path", "has colours and transparency", "write it as a grey PNG"),
    "P": ("mask_path", "has a palette", "write it as a grey PNG"),
    "LA": ("mask_path", "has transparency", "write it as a grey PNG"),
    "16 bits": ("mask_path", "has the mode I;16", "write it as a grey PNG"),
    "empty": ("mask_path", "is empty, while every picture of the task shows one lesion", "draw the mask anew"),
    "full": ("mask_path", "covers the whole picture", "draw the mask anew or leave out its row"),
    "damaged mask": ("mask_path", "is cut short or damaged", "download or unpack it again"),
    "damaged picture": ("path", "is cut short or damaged", "download or unpack it again"),
    "missing mask": ("mask_path", "is missing", "leave out its row"),
    "missing picture": ("path", "is missing", "leave out its row"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_pair_stops_with_a_sentence(tmp_path, cache, kind):
    table = many(tmp_path / "pictures", 3)
    spoil(table.iloc[1], kind)
    column, fault, remedy = WRONG[kind]
    with pytest.raises(IsicError) as caught:
        load_pairs(table, cache)
    is_one_clear_message(caught.value, "1 of 3 pictures", "more than 1%", f"{table[column][1]} {fault}", remedy)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("kind", ["another size", "0 and 1", "empty", "missing mask"])
def test_one_wrong_pair_among_many_is_listed_and_left_out(tmp_path, cache, kind, capsys):
    table = many(tmp_path / "pictures", 120)
    spoil(table.iloc[70], kind)
    loaded = load_pairs(table, cache, (4, 6))
    assert loaded.images.tolist() == table["image"].drop(70).tolist()
    [left_out] = loaded.left_out.itertuples()
    assert left_out.image == "0070" and table["mask_path"][70] in left_out.reason
    said = capsys.readouterr().out
    assert "1 of 120 pictures cannot be used and are left out" in said and left_out.reason in said
    for number, pixels in zip(table.index.drop(70), loaded.pixels, strict=True):
        assert pixels[..., 3].any(axis=1).tolist() == [row == number % 4 for row in range(4)]


def test_more_than_one_percent_of_wrong_pairs_stops(tmp_path, cache):
    table = many(tmp_path / "pictures", 120)
    spoil(table.iloc[7], "empty")
    spoil(table.iloc[8], "RGB")
    with pytest.raises(IsicError) as caught:
        load_pairs(table, cache, (4, 6))
    is_one_clear_message(caught.value, "2 of 120 pictures cannot be used", table["mask_path"][7], "is empty")


def test_rows_without_a_mask_or_a_picture(table, cache):
    for column, says in (("mask_path", "1 rows have no mask"), ("path", "1 rows have no picture")):
        with pytest.raises(IsicError) as caught:
            load_pairs(table.assign(**{column: table[column].where(table.index != 1)}), cache)
        is_one_clear_message(caught.value, says, "keep the rows with a")
    assert not cache.exists()


# Batches


@pytest.fixture(scope="module")
def decoded():
    return pairs_in_memory(20, HEIGHT, WIDTH)


def equal_pairs(count: int, height: int, width: int) -> pictures.Pictures:
    """Pictures that are white where their mask is and black elsewhere, without any symmetry."""
    table, loaded = pairs_in_memory(count, height, width)
    masks = np.random.default_rng(0).integers(0, 2, (count, height, width, 1), dtype=np.uint8) * 255
    return pictures.Pictures(loaded.images, masks.repeat(4, axis=-1), loaded.left_out, "equal")


@pytest.mark.parametrize("height, width", [(HEIGHT, WIDTH), (16, 16), (5, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_a_mask_is_laid_as_its_picture(height, width, seed):
    """Shuffled and turned: a picture that equals its mask still does."""
    loaded = equal_pairs(20, height, width)
    for x, mask in pictures.batches(loaded, np.arange(20), None, 7, seed=seed):
        assert torch.equal((x > 0.5).float(), mask.expand(-1, 3, -1, -1))
        assert torch.unique(mask).tolist() == [0, 1]


@pytest.mark.parametrize("seed", [None, 3])
def test_shapes_and_values_of_batches(decoded, seed):
    batches = list(pictures.batches(decoded[1], np.arange(20), None, 8, seed=seed))
    assert [len(x) for x, _ in batches] == [7, 7, 6]
    for x, mask in batches:
        assert x.shape[1:] == (3, HEIGHT, WIDTH) and mask.shape == (len(x), 1, HEIGHT, WIDTH)
        assert x.dtype == mask.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        assert torch.unique(mask).tolist() == [0, 1]


def test_without_a_seed_pairs_come_in_order_and_as_they_are(decoded):
    rows = np.array([4, 0, 9])
    [(x, mask)] = pictures.batches(decoded[1], rows, None, 8)
    pixels = torch.from_numpy(np.array(decoded[1].pixels[rows])).permute(0, 3, 1, 2)
    assert torch.equal(x, pixels[:, :3] / 255) and torch.equal(mask, pixels[:, 3:] / 255)


def test_the_same_seed_gives_the_same_batches_and_another_one_others(decoded):
    first, again, other = (list(pictures.batches(decoded[1], np.arange(20), None, 8, seed=seed)) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, again, strict=True))
    assert not torch.equal(first[0][1], other[0][1])


def test_masks_change_nothing_in_what_a_network_sees(decoded):
    """Pictures with masks and labels are shuffled and augmented as those without masks."""
    loaded = decoded[1]
    without = pictures.Pictures(loaded.images, loaded.pixels[..., :3], loaded.left_out, "without")
    labels = np.arange(20)
    streams = [list(pictures.batches(some, labels, labels, 8, seed=2)) for some in (loaded, without)]
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(*streams, strict=True))


def test_batches_leave_the_store_as_it_is(decoded):
    before = decoded[1].pixels.copy()
    list(pictures.batches(decoded[1], np.arange(20), None, 8, seed=3))
    assert np.array_equal(decoded[1].pixels, before)


@pytest.mark.parametrize("height, width, ways", [(4, 6, 4), (6, 4, 4), (5, 5, 8)])
def test_a_picture_is_laid_in_every_way_that_keeps_its_shape(height, width, ways):
    mask = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (1, height, width), dtype=np.uint8) * 255)
    many = mask.repeat(800, 4, 1, 1)
    pictures.augment(many, torch.Generator().manual_seed(0))
    lays = [mask[0], mask[0].flip(1), mask[0].flip(0), mask[0].flip(0, 1)]
    if height == width:
        lays += [lay.T for lay in lays]
    counts = [int((many[:, 3] == lay).all(dim=(1, 2)).sum()) for lay in lays]
    assert len(lays) == ways and counts == [800 // ways] * ways
