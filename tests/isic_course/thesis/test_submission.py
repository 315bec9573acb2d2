"""Masks written as ISIC writes them, and the score of UNK."""

import errno
from pathlib import Path

import numpy as np
import pytest
from archives import files_in, names, refusal
from PIL import Image
from small_runs import segmenter_of_files

from isic_course.thesis import submission
from isic_course.thesis.submission import export_masks
from isic_utils import metrics
from isic_utils.datasets.images import read_mask
from isic_utils.inference.postprocess import enlarge, one_region
from isic_utils.inference.predict import iterate_masks


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return segmenter_of_files(tmp_path_factory.mktemp("unet"))


def test_unknown_score():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_allclose(submission.unknown_score(probabilities), [0.1, 0.5, 0.1])
    outside = np.array([False, False, True])
    np.testing.assert_allclose(submission.unknown_score(probabilities, outside), [0.1, 0.5, 1])


def export(unet, folder: Path, **options) -> list[Path]:
    run, table, store = unet
    return export_masks(run, table, store, folder, **options)


@pytest.mark.parametrize("tta, postprocess", [(False, True), (True, False)])
def test_an_export_has_the_official_form(unet, tmp_path, tta, postprocess):
    run, table, store = unet
    written = export(unet, tmp_path / "export", tta=tta, postprocess=postprocess)
    assert sorted(written) == sorted((tmp_path / "export").iterdir())
    assert [file.name for file in written] == [f"{image}_segmentation.png" for image in table["image"]]
    probabilities = iterate_masks(run, store, table["image"], tta)
    for file, path, probability in zip(written, table["path"], probabilities, strict=True):
        with Image.open(file) as mask, Image.open(path) as image:
            assert (mask.format, mask.mode, mask.size) == ("PNG", "L", image.size)
        mask = read_mask(file)
        expected = enlarge(probability, *mask.shape) > 0.5
        assert np.array_equal(mask, one_region(expected) if postprocess else expected)


def test_exported_masks_are_as_good_as_those_that_were_scored(unet, tmp_path):
    run, table, _ = unet
    written = dict(zip(table["image"], export(unet, tmp_path, postprocess=False), strict=True))
    true = dict(zip(table["image"], table["mask_path"], strict=True))
    for row in run.predictions().itertuples():
        pair = [read_mask(path)[np.newaxis] for path in (true[row.image], written[row.image])]
        assert metrics.jaccard(*pair)[0] == pytest.approx(row.jaccard, abs=0.12)


def test_an_interrupted_export_leaves_whole_files_alone(unet, tmp_path, monkeypatch):
    save, calls = Image.Image.save, []

    def interrupted(self, file, **options):
        calls.append(file)
        save(self, file, **options)
        if len(calls) == 4:
            Path(file).write_bytes(Path(file).read_bytes()[:20])
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(unet, tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{image}_segmentation.png" for image in names(3)]
    for path in tmp_path.iterdir():
        read_mask(path)


def test_a_full_disk_says_so_and_leaves_the_older_file(unet, tmp_path, monkeypatch):
    first = tmp_path / f"{names(1)[0]}_segmentation.png"
    first.write_bytes(b"old")

    def full(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    refusal(lambda: export(unet, tmp_path), f"{first} cannot be written (No space left on device)")
    assert files_in(tmp_path) == {first.name: b"old"}


def test_an_original_that_is_gone(unet, tmp_path):
    run, table, store = unet
    table = table.assign(path=table["path"].where(table.index != 2, str(tmp_path / "gone.jpg")))
    refusal(lambda: export_masks(run, table, store, tmp_path / "export"), "gone.jpg is missing")
    assert len(list((tmp_path / "export").iterdir())) == 2
