"""The size of a run, and the folders of data and runs.

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
CORES = os.cpu_count() or 1
MARKER = "SYNTHETIC.json"  # in a folder whose images are drawn by code


@dataclass(frozen=True)
class Settings:
    """The sizes of one profile, and the folders.

    image_size: side in pixels of the square images that classifiers see.
    segmentation_size: (height, width) in pixels of the images that a U-Net sees.
    epochs: passes over the training set; fine_tuning_epochs: the same for a network that starts from ImageNet weights.
    batch_size: images per step.
    segmentation_epochs, segmentation_batch_size: the same for a U-Net; segmentation_micro_batch_size: how many images
    of a batch are in memory at a time (gradient accumulation).
    narrow: whether networks are built with a fraction of their channels (`models.MODELS[name].narrow_width`).
    pretrained: True, False, or None for each model's own default (`models.MODELS[name].pretrained`).
    threads: how many processor threads one training uses. In laptop one, so that no result depends on the number of
    cores, and `fit_all` trains several side by side; the first cell of a lesson sets it.
    data, cache, runs: the folders with the data, the decoded images and the trained runs.
    """

    profile: str
    image_size: int
    segmentation_size: tuple[int, int]
    epochs: int
    fine_tuning_epochs: int
    batch_size: int
    segmentation_epochs: int
    segmentation_batch_size: int
    segmentation_micro_batch_size: int
    narrow: bool
    pretrained: bool | None
    threads: int
    data: Path
    cache: Path
    runs: Path

    @property
    def data_name(self) -> str:
        """The last component of the data folder's path, e.g. ``sample``."""
        return self.data.name

    @property
    def synthetic(self) -> bool:
        """Whether the images are drawn by code rather than taken of patients."""
        return (self.data / MARKER).exists()


# fmt: off
PROFILES = {
    "laptop": dict(image_size=64, epochs=5, fine_tuning_epochs=2, batch_size=32, narrow=True, pretrained=None,
                   threads=1, segmentation_size=(48, 64), segmentation_epochs=5,
                   segmentation_batch_size=16, segmentation_micro_batch_size=16),
    "lab": dict(image_size=128, epochs=20, fine_tuning_epochs=10, batch_size=64, narrow=False, pretrained=True,
                threads=CORES, segmentation_size=(192, 256), segmentation_epochs=30,
                segmentation_batch_size=16, segmentation_micro_batch_size=16),
    "full": dict(image_size=256, epochs=100, fine_tuning_epochs=100, batch_size=32, narrow=False, pretrained=None,
                 threads=CORES, segmentation_size=(768, 1024), segmentation_epochs=100,
                 segmentation_batch_size=8, segmentation_micro_batch_size=2),
}
# fmt: on


def load_settings() -> Settings:
    """The settings that the environment variables ask for.

    Raises IsicError if ``ISIC_PROFILE`` is none of laptop, lab, full, or if ``ISIC_DATA`` names a folder that is not
    there.
    """
    profile = os.environ.get("ISIC_PROFILE") or "laptop"
    if profile not in PROFILES:
        raise IsicError(f"ISIC_PROFILE is {profile!r}, which is no profile: set it to one of {', '.join(PROFILES)}.")
    data = folder_from("ISIC_DATA", default=SAMPLE)
    if data != SAMPLE and not data.is_dir():
        named = os.environ["ISIC_DATA"]
        raise IsicError(f"ISIC_DATA is {named!r}, but there is no folder {data}: correct or unset it.")
    runs = folder_from("ISIC_RUNS", default=PROJECT / "runs")
    return Settings(profile, **PROFILES[profile], data=data, cache=PROJECT / "data" / "cache", runs=runs)


def folder_from(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, absolute; `default` if the variable is unset or empty."""
    value = os.environ.get(variable)
    return (PROJECT / Path(value).expanduser()).resolve() if value else default
