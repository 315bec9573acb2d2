"""Masks after training: averaged over flips, one region, written down as ISIC writes them."""

import dataclasses
import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from archives import files_in, in_memory, names, refusal, tiny_settings, trained_pairs
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy import ndimage

from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.inference import masks, postprocess as regions
from isic_utils.metrics import classification as metrics
from isic_utils.training import fit as training, runs

few = settings(max_examples=60, deadline=None)
any_mask = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, its table and its decoded pairs, which no test changes."""
    return trained_pairs(tmp_path_factory.mktemp("trained"))


# Probabilities


def by_hand(run, loaded, images, checkpoint, axes) -> np.ndarray:
    """The mean over some flips, picture after picture."""
    model, mixed, _ = training.load(run, checkpoint)
    answers = []
    for row in loaded.rows(images):
        x = torch.from_numpy(np.array(loaded.pixels[row, ..., :3])).permute(2, 0, 1)[np.newaxis] / 255
        with torch.no_grad(), mixed:
            turned = [torch.sigmoid(model(torch.flip(x, axis)).float()) for axis in axes]
        back = [torch.flip(answer, axis)[0, 0] for answer, axis in zip(turned, axes, strict=True)]
        answers.append(torch.stack(back).mean(dim=0).numpy())
    return np.stack(answers)


@pytest.mark.parametrize("flips, axes", [(False, [()]), (True, [(), (2,), (3,), (2, 3)])])
@pytest.mark.parametrize("checkpoint", ["loss", "jaccard"])
def test_probabilities_are_the_mean_over_the_flips(trained, flips, axes, checkpoint, monkeypatch):
    """In 32 bits, so that a mean of logits, or over other flips, is seen to be another."""
    monkeypatch.setattr(training, "mixed_precision", lambda device, model: torch.autocast("cpu", enabled=False))
    run, table, loaded = trained
    images = table["image"].iloc[[5, 2, 9]]
    sure = masks.probabilities(run, loaded, images, checkpoint, flips)
    assert sure.shape == (3, *loaded.pixels.shape[1:3]) and sure.min() >= 0 and sure.max() <= 1
    assert sure == pytest.approx(by_hand(run, loaded, images, checkpoint, axes), abs=1e-5)
    other = masks.probabilities(run, loaded, images, checkpoint, not flips)
    assert not np.allclose(sure, other, atol=0.001), "flips change something"


def test_half_sure_is_what_the_predictions_count(trained):
    run, table, loaded = trained
    for checkpoint in run.kept:
        predictions = run.predictions("test", checkpoint)
        sure = masks.probabilities(run, loaded, predictions["image"], checkpoint)
        true = loaded.pixels[loaded.rows(predictions["image"]), ..., 3] > 127
        areas = metrics.overlap(true, sure > 0.5)
        for name, values in areas.items():
            assert predictions[name].tolist() == values.tolist()


def test_the_checkpoint_is_the_jaccard_one_unless_asked(trained):
    run, table, loaded = trained
    default = masks.probabilities(run, loaded, table["image"].head(2))
    assert np.array_equal(default, masks.probabilities(run, loaded, table["image"].head(2), "jaccard"))
    refusal(
        lambda: masks.probabilities(run, loaded, table["image"], "bma"), "checkpoint 'bma'", "choose one of loss, jac"
    )


def test_a_classifier_draws_no_masks(trained, tmp_path):
    table, decoded = in_memory([tables.CODES[n % 8] for n in range(96)], size=16)
    small = tiny_settings(tmp_path, epochs=1)
    run = training.fit("residual", table, splits.standard(table), decoded, small, progress=False)
    refusal(lambda: masks.probabilities(run, trained[2], table["image"]), str(run.folder), "classifier", "of a U-Net")


def test_a_run_that_is_not_finished(trained, tmp_path):
    run, table, loaded = trained
    for name in ("config.json", "history.csv", "best_jaccard.pt"):
        (tmp_path / name).write_bytes((run.folder / name).read_bytes())
    for folder in (tmp_path, tmp_path / "nowhere"):
        refusal(
            lambda folder=folder: masks.probabilities(runs.Run(folder), loaded, table["image"]),
            f"{folder} holds no finished run", "python -m isic_utils runs",
        )  # fmt: skip


def test_a_picture_that_is_not_decoded(trained):
    run, _, loaded = trained
    refusal(lambda: masks.probabilities(run, loaded, pd.Series(["nobody"])), "nobody", "load the pictures")


# One region


def test_the_sample_and_the_networks_use_the_same_function():
    from isic_course.synthetic import masks as sample_masks

    assert masks.one_region is regions.one_region and sample_masks.one_region is regions.one_region


@few
@given(any_mask)
def test_one_region_is_one_without_holes_and_stays(mask):
    before = mask.copy()
    region = masks.one_region(mask)
    assert region.dtype == bool and region.shape == mask.shape and np.array_equal(mask, before)
    assert ndimage.label(region)[1] == int(mask.any())
    outside, _ = ndimage.label(np.pad(~region, 1, constant_values=True))
    assert outside.max() == 1, "no holes: all that is outside hangs together"
    assert np.array_equal(masks.one_region(region), region)


@few
@given(any_mask)
def test_one_region_is_the_largest_and_loses_none_of_it(mask):
    labelled, count = ndimage.label(mask)
    region = masks.one_region(mask)
    sizes = [(labelled == number).sum() for number in range(1, count + 1)]
    kept = [number for number in range(1, count + 1) if (region & (labelled == number)).any()]
    if count:
        largest = [number for number in kept if sizes[number - 1] == max(sizes)]
        assert any(region[labelled == number].all() for number in largest)
        assert region.sum() >= max(sizes)


def test_one_region_worked_by_hand():
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 1], [0, 0, 0, 1, 0]], bool)
    wanted = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    assert np.array_equal(masks.one_region(mask), wanted), "touching at a corner is not enough"
    assert not masks.one_region(np.zeros((3, 4), bool)).any()
    assert masks.one_region(np.ones((3, 4), bool)).all()


# Larger


def test_enlarging_keeps_values_and_places():
    small = np.zeros((4, 6), np.float32)
    small[1:3, 2:5] = 1
    large = masks.enlarge(small, 40, 90)
    assert large.shape == (40, 90) and large.min() == 0 and large.max() == 1
    assert large[15:25, 37:68].min() > 0.8 and large[:5].max() == 0 and large[:, :20].max() == 0
    assert np.array_equal(masks.enlarge(small, 4, 6), small)
    ramp = masks.enlarge(np.array([[0.2, 0.6]]), 1, 4)
    assert ramp[0] == pytest.approx([0.2, 0.3, 0.5, 0.6])


# Export


def export(trained, folder, **options) -> list[Path]:
    run, table, loaded = trained
    return masks.export(run, table, loaded, folder, progress=False, **options)


def test_an_export_has_the_official_form(trained, tmp_path):
    _, table, _ = trained
    files = export(trained, tmp_path / "export")
    assert sorted(files) == sorted((tmp_path / "export").iterdir())
    assert [file.name for file in files] == [f"{image}_segmentation.png" for image in table["image"]]
    shapes = set()
    for file, path in zip(files, table["path"], strict=True):
        with Image.open(file) as mask, Image.open(path) as picture:
            assert mask.format == "PNG" and mask.mode == "L" and mask.size == picture.size
            assert set(np.unique(np.asarray(mask))) <= {0, 255}
            shapes.add(mask.size)
        assert pictures.read_mask(file).any()
    assert len(shapes) == 3


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("treated", [False, True])
def test_an_export_is_the_enlarged_probability_cut_at_one_half(trained, tmp_path, flips, treated):
    run, table, loaded = trained
    files = export(trained, tmp_path, flips=flips, treated=treated, checkpoint="loss")
    sure = masks.probabilities(run, loaded, table["image"], "loss", flips)
    for file, probability in zip(files, sure, strict=True):
        mask = pictures.read_mask(file)
        wanted = masks.enlarge(probability, *mask.shape) > 0.5
        assert np.array_equal(mask, masks.one_region(wanted) if treated else wanted)


def test_the_after_treatment_can_be_left_out(trained, tmp_path, monkeypatch):
    """A network that sees two spots and a hole in one."""
    _, table, loaded = trained
    spots = np.zeros((len(table), *loaded.pixels.shape[1:3]), np.float32)
    spots[:, 2:10, 4:16] = 1
    spots[:, 5:7, 8:12] = 0
    spots[:, 12:15, 24:30] = 1
    monkeypatch.setattr(masks, "one_by_one", lambda *arguments: spots)
    for treated, count, holes in ((True, 1, 0), (False, 2, 1)):
        for file in export(trained, tmp_path, treated=treated):
            mask = pictures.read_mask(file)
            assert ndimage.label(mask)[1] == count
            assert (ndimage.label(np.pad(~mask, 1, constant_values=True))[1] - 1) == holes


def test_a_network_that_sees_nothing_exports_empty_masks(trained, tmp_path, monkeypatch):
    _, table, loaded = trained
    nothing = np.full((len(table), *loaded.pixels.shape[1:3]), 0.5, np.float32)
    monkeypatch.setattr(masks, "one_by_one", lambda *arguments: nothing)
    assert not any(pictures.read_mask(file).any() for file in export(trained, tmp_path))


def test_exported_masks_are_as_good_as_those_that_were_scored(trained, tmp_path):
    run, table, _ = trained
    test = run.predictions("test")
    files = dict(zip(table["image"], export(trained, tmp_path, treated=False), strict=True))
    true = dict(zip(table["image"], table["mask_path"], strict=True))
    for row in test.itertuples():
        pair = [pictures.read_mask(path)[np.newaxis] for path in (true[row.image], files[row.image])]
        assert metrics.jaccard(*pair)[0] == pytest.approx(row.jaccard, abs=0.12)


def test_an_interrupted_export_leaves_whole_files_alone(trained, tmp_path, monkeypatch):
    save = Image.Image.save
    calls = []

    def interrupted(self, file, **options):
        calls.append(file)
        save(self, file, **options)
        if len(calls) == 4:
            Path(file).write_bytes(Path(file).read_bytes()[:20])
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(trained, tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{image}_segmentation.png" for image in names(3)]
    for path in tmp_path.iterdir():
        pictures.read_mask(path)


def test_an_older_export_is_replaced_whole(trained, tmp_path):
    export(trained, tmp_path / "fresh")
    fresh = files_in(tmp_path / "fresh")
    (tmp_path / "old").mkdir()
    for name in fresh:
        (tmp_path / "old" / name).write_bytes(b"an older file, longer than the new one" * 1000)
    (tmp_path / "old" / "notes.txt").write_text("mine")
    export(trained, tmp_path / "old")
    assert files_in(tmp_path / "old") == fresh | {"notes.txt": b"mine"}


def test_a_full_disk_says_so_and_leaves_the_older_file(trained, tmp_path, monkeypatch):
    first = tmp_path / f"{names(1)[0]}_segmentation.png"
    first.write_bytes(b"old")

    def full(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    refusal(
        lambda: export(trained, tmp_path), f"{first} cannot be written (No space left on device)",
        "free disk space or choose another folder.",
    )  # fmt: skip
    assert files_in(tmp_path) == {first.name: b"old"}


def test_an_original_that_is_gone(trained, tmp_path):
    run, table, loaded = trained
    table = table.assign(path=table["path"].where(table.index != 2, str(tmp_path / "gone.jpg")))
    refusal(
        lambda: masks.export(run, table, loaded, tmp_path / "export", progress=False),
        f"{tmp_path / 'gone.jpg'} is missing", "put the picture there",
    )  # fmt: skip
    assert len(list((tmp_path / "export").iterdir())) == 2


def test_pictures_without_masks_can_be_segmented_too(trained, tmp_path):
    """A test set has no ground truth: three channels are enough."""
    run, table, loaded = trained
    without = dataclasses.replace(loaded, pixels=loaded.pixels[..., :3])
    answers = [masks.probabilities(run, some, table["image"]) for some in (loaded, without)]
    assert np.array_equal(*answers)
