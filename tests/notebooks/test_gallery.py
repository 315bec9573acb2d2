"""The gallery shows what the notebooks show."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools"))
import gallery  # noqa: E402
import lesson_figures  # noqa: E402

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def assert_same(file: Path, expected: Image.Image) -> None:
    kept, expected = Image.open(file).convert("RGB"), expected.convert("RGB")
    assert kept.size == expected.size, "run python tools/gallery.py"
    difference = np.abs(np.asarray(kept, float) - np.asarray(expected, float)).mean()
    assert difference < 2, "run python tools/gallery.py"  # other versions of Pillow choose other colours


def test_the_large_figure_is_up_to_date():
    image, _ = gallery.figure(gallery.lesson("04"), gallery.LARGE)
    assert_same(PROJECT / "docs" / "recall.png", gallery.small(image, 4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_gallery_is_up_to_date(path):
    image, text = gallery.figure(path)
    assert_same(PROJECT / "docs" / "gallery" / f"{path.stem[:2]}.png", gallery.small(image))
    page = (PROJECT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert gallery.cell(path, text) in page, "run python tools/gallery.py"


def test_a_row_that_is_not_full_is_filled():
    page = f"before {gallery.START} old {gallery.END} after"
    made = gallery.with_gallery(page, ["a", "b", "c", "d"])
    assert made == f"before {gallery.START}\n| a | b | c |\n| --- | --- | --- |\n| d |  |  |\n{gallery.END} after"
    assert gallery.with_gallery(made, ["a", "b", "c", "d"]) == made


def test_a_figure_that_is_gone_is_named(monkeypatch):
    monkeypatch.setitem(lesson_figures.CHOSEN, NOTEBOOKS[0].stem[:2], "no such figure")
    with pytest.raises(ValueError, match="no such figure"):
        gallery.figure(NOTEBOOKS[0])
