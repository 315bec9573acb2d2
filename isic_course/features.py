"""What a network sees in a picture, as numbers: the frozen encoder of lessons 08 and 11."""

from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from isic_utils import models
from isic_utils.datasets.images import Pictures, batches
from isic_utils.training import runs


def lite0(photos: Pictures, cache: Path) -> np.ndarray:
    """What EfficientNet-Lite0, trained on ImageNet and frozen, sees in each picture: float32 [n, 1280].

    These are the means over the picture of its last 1280 filters. Computed once for these pixels and kept in `cache`;
    raises IsicError if they cannot be.
    """
    file = cache / f"features-efficientnet_lite0-{photos.digest}.npy"
    if file.exists():
        return np.load(file)
    remedy = f"make {cache} writable, free disk space, and run the cell again"
    with runs.writing(cache, remedy):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):  # a second lesson waits here and then finds the work done
            if not file.exists():
                seen = seen_by_lite0(photos)
                runs.write(file, lambda partial: save(partial, seen), remedy)
    return np.load(file)


def seen_by_lite0(photos: Pictures) -> np.ndarray:
    """The features themselves, computed (see `lite0`)."""
    encoder = models.classifier("efficientnet_lite0", pretrained=True).eval()
    seen = []
    with torch.inference_mode():
        for x, _ in batches(photos, np.arange(len(photos.images)), None, 64):
            filters = encoder.network.extract_features((x - encoder.mean) / encoder.std)  # [n, 1280, h/32, w/32]
            seen.append(filters.mean(dim=(2, 3)).numpy())
    return np.concatenate(seen)


def save(file: Path, values: np.ndarray) -> None:
    """Write an array to a file of any name; `np.save` by itself would add .npy to it."""
    with file.open("wb") as stream:
        np.save(stream, values)
