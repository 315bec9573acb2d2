"""Predictions for images at hand: test-time augmentation, and masks."""

import numpy as np
import pandas as pd
import pytest
import torch
from archives import in_memory, names, pairs_in_memory, refusal
from small_runs import segmenter_of_files, train

from isic_utils import metrics
from isic_utils.datasets import ImageStore, splits, tables
from isic_utils.inference import predict
from isic_utils.inference.predict import orientations, predict_masks
from isic_utils.training import Run, get_accelerator


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    table, store = in_memory([tables.CODES[n % 8] for n in range(96)], size=16)
    return train(tmp_path_factory.mktemp("classifier"), "residual", store, table, splits.standard(table))


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return segmenter_of_files(tmp_path_factory.mktemp("unet"))


def batch_of(store: ImageStore, images: pd.Series) -> torch.Tensor:
    pixels = torch.from_numpy(store.take(store.rows(images))[..., :3]).permute(0, 3, 1, 2) / 255
    return pixels.to(get_accelerator().device)


# classes


def test_probabilities_are_the_runs_own_and_tta_their_mean_over_eight_orientations(classifier):
    run, _, store = classifier
    test = run.predictions()
    found = predict.predict_probabilities(run, store, test["image"])
    np.testing.assert_allclose(found, test[run.config["classes"]], atol=2e-3)
    images, model = test["image"].head(8), run.load_model()
    with torch.no_grad():
        views = [model(view).softmax(dim=1) for view in orientations(batch_of(store, images))]
    expected = torch.stack(views).mean(dim=0).cpu().numpy()
    found = predict.predict_probabilities(run, store, images, tta=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, predict.predict_probabilities(run, store, images), atol=1e-5)


def test_orientations_are_the_eight_of_a_square():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    views = orientations(image)
    assert torch.equal(views[0], image)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    assert all(view[0, 0, 1, 1] == 4 for view in views), "the middle stays"


# masks


@pytest.mark.parametrize("tta, axes", [(False, [()]), (True, [(), (2,), (3,), (2, 3)])])
def test_masks_are_the_mean_over_the_flips(unet, tta, axes):
    run, table, store = unet
    images, model = table["image"].iloc[[5, 2, 9]], run.load_model("jaccard")
    batch = batch_of(store, images)
    with torch.no_grad():
        views = [model(batch.flip(axis)).sigmoid().flip(axis)[:, 0] for axis in axes]
    expected = torch.stack(views).mean(dim=0).cpu().numpy()
    found = predict_masks(run, store, images, tta)
    assert found.shape == (3, 16, 32)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, predict_masks(run, store, images, not tta), atol=1e-4)


def test_a_mask_cut_at_one_half_is_what_the_predictions_count(unet):
    run, _, store = unet
    predictions = run.predictions()
    true = store.take(store.rows(predictions["image"]))[..., 3] > 127
    areas = metrics.overlap(true, predict_masks(run, store, predictions["image"]) > 0.5)
    for name, values in areas.items():
        np.testing.assert_allclose(predictions[name], values, atol=2)


def test_runs_of_the_other_task_unfinished_ones_and_unknown_images_are_refused(unet, classifier, tmp_path):
    run, table, store = unet
    images = table["image"]
    refusal(lambda: predict_masks(classifier[0], store, images), str(classifier[0].folder), "segmentation")
    refusal(lambda: predict.predict_probabilities(run, store, images), str(run.folder), "classification")
    refusal(lambda: run.load_model("bma"), "'bma'", "loss, jaccard")
    refusal(lambda: predict_masks(run, store, pd.Series(["nobody"])), "nobody")
    (tmp_path / "config.json").write_bytes((run.folder / "config.json").read_bytes())
    refusal(lambda: predict_masks(Run(tmp_path), store, images), f"{tmp_path} holds no finished run")


def test_an_image_that_was_left_out_is_refused_and_does_not_move_the_others(classifier):
    run, table, _ = classifier
    _, store = in_memory([tables.CODES[n % 8] for n in range(96)], size=16)
    store.left_out = pd.DataFrame({"image": [names(4)[3]], "path": "", "reason": ""})
    store.images, store.pixels = store.images.delete(3), np.delete(store.pixels, 3, axis=0)
    refusal(lambda: predict.predict_probabilities(run, store, table["image"]), names(4)[3])


def test_images_without_masks_can_be_segmented(unet):
    run, table, store = unet
    without = ImageStore(table.drop(columns="mask_path"), (16, 32), store.folder.parent, progress=False)
    images = table["image"].head(4)  # other ways to decode: read at a smaller size
    np.testing.assert_allclose(predict_masks(run, without, images), predict_masks(run, store, images), atol=0.1)


def test_masks_of_pairs_in_memory_come_in_the_order_that_was_asked_for(unet):
    table, store = pairs_in_memory(6, 16, 32)
    images = table["image"]
    found = predict_masks(unet[0], store, images)
    np.testing.assert_allclose(predict_masks(unet[0], store, images[::-1])[::-1], found, atol=1e-2)
