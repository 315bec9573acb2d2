"""Predictions of trained models for images at hand, with test-time augmentation."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from isic_utils.datasets import ImageStore, IsicDataset, loader
from isic_utils.errors import IsicError
from isic_utils.processes import keep_memory
from isic_utils.training import Run, get_accelerator


@torch.no_grad()
def predict_probabilities(run: Run, store: ImageStore, images: pd.Series, tta: bool = False) -> np.ndarray:
    """The probability of each class for each image: float [n, classes], in the order of ``run.config["classes"]``.

    run: a finished one of a classifier; store: has decoded the named images, at the size of the run.
    tta: test-time augmentation, the mean over the eight `orientations` of a square.
    Raises IsicError if the run predicts masks or is not finished, or an image is not in the store.
    """
    check_run(run, "classification")
    model, probabilities = run.load_model(), []
    for batch in image_batches(run, store, images):
        views = orientations(batch) if tta else [batch]
        mean = torch.stack([model(view).softmax(dim=1) for view in views]).mean(dim=0)
        probabilities.append(mean.cpu().numpy())
    return np.concatenate(probabilities).astype(float)


def orientations(images: torch.Tensor) -> list[torch.Tensor]:
    """The eight orientations of a square, by rotations and a flip: eight times [n, 3, side, side], the first as
    it is."""
    rotated = [images.rot90(quarters, dims=(-2, -1)) for quarters in range(4)]
    return rotated + [view.flip(-1) for view in rotated]


def predict_masks(run: Run, store: ImageStore, images: pd.Series, tta: bool = False) -> np.ndarray:
    """The probability that a pixel is lesion: float [n, height, width] from 0 to 1, at the size of the store.

    run: a finished one of a U-Net, whose headline checkpoint predicts. tta: test-time augmentation, the mean over the
    image and its three flips, each prediction flipped back.
    Raises IsicError if the run predicts classes or is not finished, or an image is not in the store.
    """
    return np.stack(list(iterate_masks(run, store, images, tta)))


@torch.no_grad()
def iterate_masks(run: Run, store: ImageStore, images: pd.Series, tta: bool) -> Iterator[np.ndarray]:
    """`predict_masks` for one image after another, so that no more than a batch is in memory."""
    check_run(run, "segmentation")
    model = run.load_model()
    axes = [(), (-1,), (-2,), (-1, -2)] if tta else [()]
    for batch in image_batches(run, store, images):
        probability = sum(model(batch.flip(axis)).sigmoid().flip(axis) for axis in axes) / len(axes)
        yield from probability[:, 0].cpu().numpy()


def check_run(run: Run, task: str) -> None:
    """Raise IsicError if a run is not finished, or not of the task: classification or segmentation."""
    is_of = "classification" if run.config["classes"] else "segmentation"
    if is_of != task:
        raise IsicError(f"{run.folder} is a run of {is_of}: choose one of {task} (python -m isic_utils runs).")
    if not run.finished:
        raise IsicError(f"{run.folder} holds no finished run: train it to its end, or choose another.")


def image_batches(run: Run, store: ImageStore, images: pd.Series) -> Iterator[torch.Tensor]:
    """Some images in batches on the model's device: float [n, 3, height, width] from 0 to 1."""
    keep_memory()
    store.rows(images)  # raises IsicError for an image that is not there; IsicDataset would leave it out
    if list(store.size) != run.config["image_size"]:
        raise IsicError(f"{run.folder} was trained at another size: decode at {run.config['image_size']} pixels.")
    dataset, device = IsicDataset(store, pd.DataFrame({"image": images})), get_accelerator().device
    for batch, _ in loader(dataset, run.config["micro_batch_size"] or run.config["batch_size"]):
        yield batch.to(device)
