"""The shortcut of lesson 10: what a painted ruler, or as much of the same ink that is no ruler, does to a network that
tells four classes apart which look alike.

Images are uint8 [height, width, 3] of any size; lengths are in pixels.
"""

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import nn

from isic_utils.datasets import splits
from isic_utils.datasets.images import resize
from isic_utils.settings import Settings
from isic_utils.training import Run, TrainConfig, get_accelerator
from isic_utils.training.runs import read_weights

ALIKE = ["BCC", "AK", "BKL", "SCC"]
MOST = 120  # images of a class, so that predicting the largest class helps little
EPOCHS = 20
INK = (40, 35, 40)
UPPER = 0.12  # of the height: there the round field of view shows what is painted


def ruler(height: int, width: int) -> list[np.ndarray]:
    """Marks along the upper side, each fifth one longer: the two ends of each, x and y [2, 2]."""
    marks = np.arange(17)
    x, lengths = width * (0.1 + marks / 24), height * np.where(marks % 5 == 0, 0.1, 0.06)
    return [
        np.array([(left, UPPER * height), (left, UPPER * height + length)])
        for left, length in zip(x, lengths, strict=True)
    ]


def wavy_line(height: int, width: int) -> list[np.ndarray]:
    """A wavy line along the upper side, of about as many pixels of ink as the marks of `ruler`: points [n, 2]."""
    ink = sum(np.ptp(mark, axis=0).max() + 1 for mark in ruler(height, width))
    x = np.arange(0.1, 0.98, 1 / 80)
    y = UPPER + 0.05 + 0.04 * np.sin(2 * np.pi * 8 * x)
    line = np.stack([width * x, height * y], axis=1).round()
    pixels = np.abs(np.diff(line, axis=0)).max(axis=1).cumsum()  # a thin line has one in each column or in each row
    return [line[: 1 + np.searchsorted(pixels, ink)]]


def with_ruler(image: np.ndarray) -> np.ndarray:
    """An image with a painted ruler."""
    return painted(image, ruler(*image.shape[:2]))


def with_placebo(image: np.ndarray) -> np.ndarray:
    """An image with a painted wavy line, in the place and with the ink of the ruler."""
    return painted(image, wavy_line(*image.shape[:2]))


def painted(image: np.ndarray, strokes: list[np.ndarray]) -> np.ndarray:
    """A copy of an image with lines of ink, each through the points x and y [n, 2]."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    for points in strokes:
        pen.line([tuple(point) for point in points], fill=INK, width=max(1, canvas.width // 160))
    return np.asarray(canvas)


def without_marks(image: np.ndarray) -> np.ndarray:
    """An image with thin dark marks in its outer fifth painted over, rulers and hairs alike."""
    height, width = image.shape[:2]
    closed = ndimage.grey_closing(image, size=(width // 24 | 1, width // 24 | 1, 1))
    marks = (closed.astype(int) - image).max(axis=-1) > 25
    marks[height // 5 : -(height // 5), width // 5 : -(width // 5)] = False
    return np.where(ndimage.binary_dilation(marks)[..., None], closed, image)


def arrange(
    table: pd.DataFrame, settings: Settings, seed: int = 0
) -> tuple[TrainConfig, pd.DataFrame, pd.Series, pd.DataFrame]:
    """What `fit` needs to train the network of the four classes, and the images to test it on.

    table: of `read_isic2019`. Returns config, table and split of at most `MOST` images of each class, and the rows of
    all images of these classes that show a lesion which the network neither trains nor validates on (images without a
    lesion_id may show any lesion, and are left out).
    """
    images = table[table["label"].isin(ALIKE)].copy()
    images["label"] = images["label"].cat.set_categories(ALIKE)
    few = images.sample(frac=1, random_state=seed).groupby("label", observed=True).head(MOST).sort_index()
    split = splits.standard(few, "lesion", seed)
    known = few.loc[split != "test", "lesion_id"]
    config = TrainConfig.from_settings(settings, "efficientnet_lite0", protocol="four alike", epochs=EPOCHS, seed=seed)
    return config, few, split, images[~images["lesion_id"].isin(known) & images["lesion_id"].notna()]


def load_last(run: Run) -> nn.Module:
    """The network of a run after its last epoch, for evaluation: after as many steps as any other of these runs."""
    model = run.load_model()
    model.load_state_dict(read_weights(run.folder / "last.pt")["model"])
    return model


@torch.no_grad()
def log_odds(model: nn.Module, images: list[np.ndarray], side: int) -> np.ndarray:
    """log(p / (1 - p)) of each class for images, which the network sees at side × side pixels: float64 [n, classes]."""
    pixels = torch.from_numpy(np.stack([resize(Image.fromarray(image), (side, side)) for image in images]))
    batches = pixels.permute(0, 3, 1, 2).split(64)
    device = get_accelerator().device
    logits = torch.cat([model(batch.to(device) / 255).cpu().double() for batch in batches])  # MPS has no float64
    classes = range(logits.shape[1])
    others = [logits[:, [other for other in classes if other != one]].logsumexp(dim=1) for one in classes]
    return (logits - torch.stack(others, dim=1)).numpy()
