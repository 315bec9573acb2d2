"""The thesis's protocols by name: which table, which split, which config. Shell, notebooks and report share the runs.

``python -m isic_utils train`` trains overnight what a notebook then finds finished.
"""

import pandas as pd

from isic_utils import models
from isic_utils.datasets import ImageStore, read_isic2018, read_isic2019, splits
from isic_utils.errors import IsicError
from isic_utils.settings import SAMPLE, Settings
from isic_utils.training.config import TrainConfig

PROTOCOLS = {
    "standard": "70 % train, 10 % validation, 20 % test (thesis §5.2, lesson 04)",
    "balanced": "five classes of one size (thesis §5.3, lesson 05)",
    "cross-validation": "five folds, of which each image tests one (thesis §5.4, lesson 06)",
    "segmentation": "U-Net predicts masks (thesis §5.5, lesson 07)",
}
FOLDS = [0, 1, 2, 3, 4]


def load_data(protocol: str, settings: Settings) -> tuple[pd.DataFrame, ImageStore]:
    """The table of a protocol and its decoded images, with masks for segmentation; decoded first if need be.

    Raises IsicError for an unknown protocol, and where something is wrong with the data.
    """
    check(protocol)
    if settings.data == SAMPLE and not SAMPLE.is_dir():
        raise IsicError("The synthetic sample is not drawn yet: python -m isic_course.synthetic draws it.")
    segments = protocol == "segmentation"
    table = read_isic2018(settings.data) if segments else read_isic2019(settings.data)
    size = settings.segmentation_size if segments else settings.image_size
    return table, ImageStore(table, size, settings.cache)


def check(protocol: str) -> None:
    """Raise IsicError if there is no such protocol."""
    if protocol not in PROTOCOLS:
        raise IsicError(f"There is no protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}.")


def models_of(protocol: str) -> list[str]:
    """The models that a protocol trains."""
    return models.SEGMENTERS if protocol == "segmentation" else models.CLASSIFIERS


def arrange(
    protocol: str,
    model: str,
    table: pd.DataFrame,
    settings: Settings,
    group_by: str = "lesion",
    seed: int = 0,
    fold: int = 0,
    **changes,
) -> tuple[TrainConfig, pd.DataFrame, pd.Series]:
    """What `fit` needs to train a model by a protocol: the config, the table (drawn anew for the balanced protocol) and
    the split.

    table: of `load_data`; group_by: ``"lesion"`` or ``"image"`` (masks always by image if the table has no lesion_id);
    fold: of the cross-validation, whose fold 0 is the run of the standard protocol; changes: fields of `TrainConfig`.
    Raises IsicError for an unknown protocol, a model of the other task and an unknown fold.
    """
    check(protocol)
    group_by = grouping(protocol, table, group_by)
    config = config_of(protocol, model, settings, group_by, seed, fold, **changes)
    return config, *draw(protocol, table, group_by, seed, fold)


def grouping(protocol: str, table: pd.DataFrame, group_by: str) -> str:
    """How `arrange` groups: as asked, but masks by image where the table knows no lesions, as ISIC 2018's alone."""
    return "image" if protocol == "segmentation" and "lesion_id" not in table else group_by


def config_of(
    protocol: str, model: str, settings: Settings, group_by: str, seed: int = 0, fold: int = 0, **changes
) -> TrainConfig:
    """The config of `arrange`."""
    if models.model_info(model).task != ("segmentation" if protocol == "segmentation" else "classification"):
        raise IsicError(f"{protocol} does not train {model!r}: choose one of {', '.join(models_of(protocol))}.")
    if fold not in FOLDS or (fold and protocol != "cross-validation"):
        raise IsicError(f"There is no fold {fold} of {protocol}: cross-validation has the folds 0 to 4.")
    if protocol == "balanced" and settings.profile == "laptop":
        changes = {"epochs": 4} | changes  # enough for what lesson 05 shows
    name = "standard" if protocol == "cross-validation" and fold == 0 else protocol
    return TrainConfig.from_settings(settings, model, protocol=name, group_by=group_by, seed=seed, fold=fold, **changes)


def draw(
    protocol: str, table: pd.DataFrame, group_by: str = "lesion", seed: int = 0, fold: int = 0
) -> tuple[pd.DataFrame, pd.Series]:
    """The table and the split of `arrange`, which are the same for all models."""
    if protocol == "segmentation":
        return table, splits.segmentation(table, group_by, seed)
    if protocol == "balanced":
        table = splits.balanced(table, group_by, seed)
        return table, table["split"]
    if fold == 0:
        return table, splits.standard(table, group_by, seed)
    return table, splits.cross_validation(table, group_by, seed)[fold]
