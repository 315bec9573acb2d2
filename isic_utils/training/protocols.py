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
FOLD_NUMBERS = [0, 1, 2, 3, 4]


def load_data(protocol: str, settings: Settings, akiec: bool = False) -> tuple[pd.DataFrame, ImageStore]:
    """The table of a protocol and its decoded images, with masks for segmentation; decoded first if need be.
    akiec: whether HAM10000's seven classes will do, as for `read_isic2019`.

    Raises IsicError where something is wrong with the data.
    """
    if settings.data == SAMPLE and not SAMPLE.is_dir():
        raise IsicError("The synthetic sample is not drawn yet: python -m isic_course.synthetic draws it.")
    table = read_isic2018(settings.data) if protocol == "segmentation" else read_isic2019(settings.data, akiec)
    size = settings.segmentation_size if protocol == "segmentation" else settings.image_size
    return table, ImageStore(table, size, settings.cache)


def models_of(protocol: str) -> list[str]:
    """The models that a protocol trains."""
    return models.SEGMENTERS if protocol == "segmentation" else models.CLASSIFIERS


def arrange(
    protocol: str, model: str, table: pd.DataFrame, settings: Settings, group_by: str = "lesion", **changes
) -> tuple[TrainConfig, pd.DataFrame, pd.Series]:
    """What `fit` needs to train a model by a protocol: the config, the table (drawn anew for the balanced protocol) and
    the split.

    table: of `load_data`; group_by: ``"lesion"`` or ``"image"`` (masks always by image if the table has no lesion_id);
    changes: fields of `TrainConfig` that shall be otherwise, such as seed, or fold: of the cross-validation, whose fold
    0 is the run of the standard protocol.
    Raises IsicError for an unknown protocol, a model of the other task and an unknown fold.
    """
    group_by = grouping(protocol, table, group_by)
    config = config_of(protocol, model, settings, group_by, **changes)
    return config, *draw(protocol, table, group_by, config.seed, config.fold)


def grouping(protocol: str, table: pd.DataFrame, group_by: str) -> str:
    """How `arrange` groups: as asked, but masks by image where the table knows no lesions, as ISIC 2018's alone."""
    return "image" if protocol == "segmentation" and "lesion_id" not in table else group_by


def config_of(protocol: str, model: str, settings: Settings, group_by: str, **changes) -> TrainConfig:
    """The config of `arrange`."""
    fold = changes.get("fold", 0)
    if protocol not in PROTOCOLS:
        raise IsicError(f"There is no protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}.")
    if models.model_info(model).task != ("segmentation" if protocol == "segmentation" else "classification"):
        raise IsicError(f"{protocol} does not train {model!r}: choose one of {', '.join(models_of(protocol))}.")
    if fold not in FOLD_NUMBERS or (fold and protocol != "cross-validation"):
        raise IsicError(f"There is no fold {fold} of {protocol}: cross-validation has the folds 0 to 4.")
    if protocol == "balanced" and settings.profile == "laptop":
        changes = {"epochs": 4} | changes  # enough for what lesson 05 shows
    name = "standard" if protocol == "cross-validation" and fold == 0 else protocol
    return TrainConfig.from_settings(settings, model, protocol=name, group_by=group_by, **changes)


def draw(protocol: str, table: pd.DataFrame, group_by: str, seed: int, fold: int) -> tuple[pd.DataFrame, pd.Series]:
    """The table and the split of `arrange`, which are the same for all models."""
    if protocol == "segmentation":
        return table, splits.segmentation(table, group_by, seed)
    if protocol == "balanced":
        table = splits.balanced(table, group_by, seed)
        return table, table["split"]
    return table, splits.standard(table, group_by, seed, fold)
