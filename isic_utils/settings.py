"""How large a run is and where the data lies.

Three environment variables choose everything, so no notebook has a switch of its own:

- ``ISIC_DATA``: the folder with the data, laid out as the ISIC archives unpack. Unset: the synthetic sample.
- ``ISIC_PROFILE``: ``laptop`` (minutes on two cores), ``lab`` (one GPU, part of the archive) or ``full`` (the thesis's
sizes).
- ``ISIC_RUNS``: where trained runs are kept. Unset: ``runs/`` in the project.

Relative paths are relative to the project folder, the one that holds ``README.md``.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from isic_utils.errors import IsicError

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE = PROJECT / "data" / "sample"
MARKER = "SYNTHETIC.json"  # in a folder whose pictures are drawn by code


@dataclass(frozen=True)
class Profile:
    """One size of the course.

    picture_size: side in pixels of the square pictures that classifiers see.
    segmentation_size: (height, width) in pixels of the pictures that U-Net sees.
    epochs: passes over the training part; fine_tuning_epochs: the same for a network that starts from ImageNet weights.
    batch_size: pictures per step.
    segmentation_epochs, segmentation_batch_size: the same for U-Net; segmentation_at_once: how many pictures of a batch
    are in memory at a time (their slopes are added up).
    slim: whether the networks are built with a fraction of their channels (`models.classifier`).
    pretrained: True, False, or None for each model's own default (`models.MODELS`).
    data, cache, runs: the folders with the data, the decoded pictures and the trained runs.
    strong_augmentation: whether a classifier's training pictures are also turned, zoomed and coloured
    (`augmentation.strongly`).
    averaging: how much of the mean of the weights so far a step keeps, e.g. 0.999; that mean is then what validates and
    is kept. 0: no mean, the last weights count.
    frozen_blocks: how many blocks of EfficientNet-Lite0, from the picture on, stay as ImageNet made them
    (`models.freeze`).
    """

    name: str
    picture_size: int
    segmentation_size: tuple[int, int]
    epochs: int
    fine_tuning_epochs: int
    batch_size: int
    segmentation_epochs: int
    segmentation_batch_size: int
    segmentation_at_once: int
    slim: bool
    pretrained: bool | None
    data: Path
    cache: Path
    runs: Path
    strong_augmentation: bool = False
    averaging: float = 0.0
    frozen_blocks: int = 0

    @property
    def data_name(self) -> str:
        """The last part of the data folder's name, e.g. ``sample``: the first part of a run's folder."""
        return self.data.name

    @property
    def synthetic(self) -> bool:
        """Whether the data are drawn by code rather than photographed."""
        return (self.data / MARKER).exists()


SIZES = {
    "laptop": dict(
        picture_size=64,
        segmentation_size=(72, 96),
        epochs=8,
        fine_tuning_epochs=3,
        batch_size=32,
        segmentation_epochs=7,
        segmentation_batch_size=16,
        segmentation_at_once=16,
        slim=True,
        pretrained=None,
    ),
    "lab": dict(
        picture_size=128,
        segmentation_size=(192, 256),
        epochs=20,
        fine_tuning_epochs=10,
        batch_size=64,
        segmentation_epochs=30,
        segmentation_batch_size=16,
        segmentation_at_once=16,
        slim=False,
        pretrained=True,
    ),
    "full": dict(
        picture_size=256,
        segmentation_size=(768, 1024),
        epochs=100,
        fine_tuning_epochs=100,
        batch_size=32,
        segmentation_epochs=100,
        segmentation_batch_size=8,
        segmentation_at_once=2,
        slim=False,
        pretrained=None,
    ),
}


def current() -> Profile:
    """The profile that the environment variables ask for.

    Raises IsicError if ``ISIC_PROFILE`` is none of laptop, lab, full, or if ``ISIC_DATA`` names a folder that is not
    there.
    """
    name = os.environ.get("ISIC_PROFILE") or "laptop"
    if name not in SIZES:
        raise IsicError(f"ISIC_PROFILE is {name!r}, which is no profile: set it to one of {', '.join(SIZES)}.")
    data = folder_from("ISIC_DATA", default=SAMPLE)
    if data != SAMPLE and not data.is_dir():
        raise IsicError(
            f"ISIC_DATA is {os.environ['ISIC_DATA']!r}, but there is no folder {data}: set it to the folder that holds "
            "ISIC_2019_Training_GroundTruth.csv, or unset it to work on the synthetic sample."
        )
    return Profile(
        name=name,
        data=data,
        cache=PROJECT / "data" / "cache",
        runs=folder_from("ISIC_RUNS", default=PROJECT / "runs"),
        **SIZES[name],
    )


def folder_from(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, absolute; `default` if the variable is unset or empty."""
    value = os.environ.get(variable)
    return (PROJECT / Path(value).expanduser()).resolve() if value else default
