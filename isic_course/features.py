"""Images as features, computed by a network trained on ImageNet: the frozen encoder of lessons 06, 08, 11 and 13."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from isic_utils import files
from isic_utils.datasets import ImageStore
from isic_utils.models import create_model
from isic_utils.processes import keep_memory

BATCH_SIZE = 64


def extract(store: ImageStore, cache: Path) -> np.ndarray:
    """The features of each image, in the order of `store.images`: float32 [n, 1280].

    These are the means over the image of the last 1280 feature maps of EfficientNet-Lite0, trained on ImageNet and
    frozen. Computed once for these pixels and kept in `cache`; raises IsicError if they cannot be written there.
    """
    file = cache / f"features-lite0-{store.digest}.npy"
    if not file.exists():
        advice = f"make {cache} writable, free disk space, and run the cell again"
        with files.locked(file.with_suffix(".lock"), advice):  # a second lesson waits, and then finds the work done
            if not file.exists():
                features = of_pixels(store.pixels)
                files.write(file, lambda partial: save(partial, features), advice)
    return np.load(file)


def of_pixels(pixels: np.ndarray, look: Callable[[np.ndarray], np.ndarray] = np.array) -> np.ndarray:
    """The features of any images: float32 [n, 1280].

    pixels: uint8 [n, height, width, 3]; look: changes the images of a batch, such as `clinics.shades_of_gray`.
    Two batches are computed side by side, whatever the number of cores, and use two of them even where PyTorch may use
    one thread. With one thread a batch of fewer than 16 images differs from that of several threads by rounding, 1e-5.
    """
    keep_memory()
    # channels_last: faster for convolutions
    model = create_model("efficientnet_lite0", pretrained=True).eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def of_batch(start: int) -> np.ndarray:
        batch = torch.from_numpy(look(pixels[start : start + BATCH_SIZE]))
        images = batch.permute(0, 3, 1, 2).contiguous().float() / 255
        feature_maps = model.network.forward_features((images - model.mean) / model.std)  # [n, 1280, h/32, w/32]
        return feature_maps.mean(dim=(2, 3)).numpy()

    with ThreadPoolExecutor(2) as threads:
        return np.concatenate(list(threads.map(of_batch, range(0, len(pixels), BATCH_SIZE))))


def save(file: Path, values: np.ndarray) -> None:
    """Write an array to a file of any name; `np.save` by itself would add .npy to it."""
    with file.open("wb") as stream:
        np.save(stream, values)
