"""Everything that can be chosen about a training, in one flat dataclass."""

from dataclasses import dataclass
from typing import Self

from isic_utils import models
from isic_utils.datasets.transforms import AUGMENTATIONS
from isic_utils.errors import IsicError
from isic_utils.settings import Settings
from isic_utils.training import imbalance, losses

# The thesis does not state its optimizer or learning rate. Ours: AdamW with these peaks.
LEARNING_RATE_PRETRAINED, LEARNING_RATE = 1e-3, 2e-3


@dataclass(frozen=True)
class TrainConfig:
    """One training. Together with the images and the split it determines the result, and the folder of the run.

    model: a name of `models.MODELS`, or ``timm:<name>``; pretrained: start from ImageNet weights; width: the width
    multiplier (`models.create_model`); frozen_blocks: how many blocks of EfficientNet-Lite0 keep ImageNet's weights.
    protocol, group_by, fold: which split this is, for the reader and the folder's name; the split itself is an argument
    of `fit`.
    seed: of the initial weights, the order of the images, augmentation and dropout.
    epochs: passes over the training set; batch_size: images per optimizer step; micro_batch_size: images of a batch
    that are in memory at a time on a device (gradient accumulation), None: all.
    learning_rate: the peak, reached after the fraction warm_up of all steps, then cosine decay to 0; weight_decay: of
    AdamW.
    augmentation: a key of `transforms.AUGMENTATIONS`.
    method: of a classifier, a key of `imbalance.METHODS`; mask_loss: of a U-Net, a key of `losses.MASK_LOSSES`.
    ema_decay: d of the exponential moving average of the weights, which then validates and is kept; 0: no average.

    Raises IsicError for an unknown name, and for an option of the other task.
    """

    model: str = "residual"
    pretrained: bool = False
    width: float = 1.0
    frozen_blocks: int = 0
    protocol: str = "standard"
    group_by: str = "lesion"
    fold: int = 0
    seed: int = 0
    epochs: int = 8
    batch_size: int = 32
    micro_batch_size: int | None = None
    learning_rate: float = LEARNING_RATE
    warm_up: float = 0.2
    weight_decay: float = 0.02
    augmentation: str = "standard"
    method: str = "cross-entropy"
    mask_loss: str = "cross-entropy + Jaccard"
    ema_decay: float = 0.0

    def __post_init__(self):
        named = {"augmentation": AUGMENTATIONS, "mask_loss": losses.MASK_LOSSES}
        # a post-hoc method changes no training
        named["method"] = [name for name, method in imbalance.METHODS.items() if not method.post_hoc]
        for field, choices in named.items():
            if getattr(self, field) not in choices:
                raise IsicError(f"There is no {field} {getattr(self, field)!r}: choose one of {', '.join(choices)}.")
        other = "mask_loss" if self.task == "classification" else "method"
        if getattr(self, other) != type(self).__dataclass_fields__[other].default:
            raise IsicError(f"{self.model} does {self.task}: leave out {other}={getattr(self, other)!r}.")
        if not 0 <= self.seed < 2**32:
            raise IsicError(f"seed={self.seed} is no seed: choose a whole number from 0 to 2^32 - 1.")
        if self.frozen_blocks and not (self.model == "efficientnet_lite0" and self.pretrained):
            raise IsicError(f"Only a pretrained efficientnet_lite0 has blocks to freeze, not {self.model}.")

    @property
    def task(self) -> str:
        """classification or segmentation."""
        return models.model_info(self.model).task

    @classmethod
    def from_settings(cls, settings: Settings, model: str, **changes) -> Self:
        """The usual training of a model at the size of a profile. changes: fields that shall be otherwise."""
        info = models.model_info(model)
        width = changes.setdefault("width", info.narrow_width if settings.narrow else 1.0)
        pretrained = models.resolve_pretrained(model, changes.pop("pretrained", settings.pretrained), width)
        if info.task == "segmentation":
            size = {"epochs": settings.segmentation_epochs, "batch_size": settings.segmentation_batch_size}
            size["micro_batch_size"] = settings.segmentation_micro_batch_size
        else:
            epochs = settings.fine_tuning_epochs if pretrained else settings.epochs
            size = {"epochs": epochs, "batch_size": settings.batch_size}
        learning_rate = LEARNING_RATE_PRETRAINED if pretrained else LEARNING_RATE
        return cls(model=model, pretrained=pretrained, **({"learning_rate": learning_rate} | size | changes))
