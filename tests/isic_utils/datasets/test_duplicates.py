"""Near-duplicates: found by their hashes, by features, and byte for byte, and nothing else is."""

import numpy as np
import pandas as pd
import pytest
from archives import SHARED, refusal
from PIL import Image

from isic_utils.datasets import near_duplicates, read_isic2019


def image(seed: int) -> Image.Image:
    """A smooth image, 80 x 60."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    """Six images: b is a's file, c is a at half the size, d is a rotated, e and f are others."""
    first = image(0)
    images = {
        "a": first,
        "c": first.resize((40, 30)),
        "d": first.transpose(Image.Transpose.ROTATE_180),
        "e": image(1),
        "f": image(2),
    }
    for name, content in images.items():
        content.save(tmp_path / f"{name}.jpg", quality=90)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    names = sorted("abcdef")
    return pd.DataFrame({"image": names, "path": [str(tmp_path / f"{name}.jpg") for name in names]}, index=range(5, 11))


def test_copies_are_found_by_their_hash_and_told_from_what_was_made_smaller(table):
    pairs = near_duplicates(table)
    assert list(pairs) == ["image", "other", "identical", "bits"]
    assert pairs[["image", "other"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert pairs["identical"].tolist() == [True, False, False]
    assert pairs["bits"].between(0, 10).all() and pairs["bits"][0] == 0


def test_features_find_what_was_rotated(table):
    features = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [3, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    pairs = near_duplicates(table, features, max_distance=0.01)
    assert set(pairs["image"] + pairs["other"]) == {"ab", "ac", "bc", "ad", "bd", "cd"}
    rotated = pairs[pairs["other"] == "d"]
    assert (rotated["bits"] > 10).all() and rotated["distance"].between(1e-5, 0.01).all()


def test_every_pair_is_compared_once_across_blocks(table, monkeypatch):
    expected = near_duplicates(table, max_bits=256)
    assert len(expected) == 15
    monkeypatch.setattr("isic_utils.datasets.duplicates.BLOCK", 2)
    pd.testing.assert_frame_equal(near_duplicates(table, max_bits=256), expected)


def test_a_damaged_image_is_named(table, tmp_path):
    (tmp_path / "e.jpg").write_bytes(b"no image")
    refusal(lambda: near_duplicates(table), "e.jpg")
    refusal(lambda: near_duplicates(table.assign(path=None)), "None is missing")


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "isic84").is_dir(), reason=f"the small images are not in {SHARED}")
def test_the_real_archive_holds_36_images_under_two_names_two_of_them_with_two_labels():
    """As `md5sum` counts them; about 20 seconds."""
    table = read_isic2019(SHARED / "isic84")
    pairs = near_duplicates(table, max_bits=0)
    label = table.set_index("image")["label"].astype(str)
    assert pairs["identical"].all() and len(pairs) == 36
    assert (label[pairs["image"]].to_numpy() != label[pairs["other"]].to_numpy()).sum() == 2
