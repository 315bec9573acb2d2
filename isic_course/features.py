"""Images as features, which a network trained on ImageNet computes of them: the frozen encoder of lessons 08 and 11."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from isic_utils import files
from isic_utils.datasets import ImageStore, IsicDataset, loader
from isic_utils.models import create_model


def extract(store: ImageStore, cache: Path) -> np.ndarray:
    """The features of each image, in the order of `store.images`: float32 [n, 1280].

    These are the means over the image of the last 1280 feature maps of EfficientNet-Lite0, trained on ImageNet and
    frozen. Computed once for these pixels and kept in `cache`; raises IsicError if they cannot be written there.
    """
    file = cache / f"features-lite0-{store.digest}.npy"
    if not file.exists():
        advice = f"make {cache} writable, free disk space, and run the cell again"
        with files.writing(cache, advice):
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_suffix(".lock")):  # a second lesson waits here and then finds the work done
                if not file.exists():
                    features = compute(store)
                    files.write(file, lambda partial: save(partial, features), advice)
    return np.load(file)


@torch.inference_mode()
def compute(store: ImageStore) -> np.ndarray:
    """The features themselves (see `extract`)."""
    model = create_model("efficientnet_lite0", pretrained=True).eval()
    model.to(memory_format=torch.channels_last)  # faster for convolutions
    features = []
    for images, _ in loader(IsicDataset(store, pd.DataFrame({"image": store.images})), batch_size=64):
        feature_maps = model.network.forward_features((images - model.mean) / model.std)  # [n, 1280, h/32, w/32]
        features.append(feature_maps.mean(dim=(2, 3)).numpy())
    return np.concatenate(features)


def save(file: Path, values: np.ndarray) -> None:
    """Write an array to a file of any name; `np.save` by itself would add .npy to it."""
    with file.open("wb") as stream:
        np.save(stream, values)
