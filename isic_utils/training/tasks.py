"""The two tasks of the course, classification and segmentation: what is different about them in the one training loop.

Both have the same functions, which `training.fit` calls, and the metrics that choose their checkpoints.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from isic_utils import models
from isic_utils.errors import IsicError
from isic_utils.metrics import classification as metrics
from isic_utils.settings import Profile
from isic_utils.training import losses, runs

SHOWN_WIDTH = 256  # pixels, at most
SHOWN = 8  # validation pictures whose masks TensorBoard shows after each epoch


@dataclass(frozen=True)
class Classification:
    """One of several classes for each picture. classes: their codes, in the order of the model's outputs."""

    classes: list[str]

    def build(self, name: str, settings: Profile) -> nn.Module:
        """A new model."""
        return models.classifier(
            name, len(self.classes), models.if_it_has_weights(name, settings.pretrained), settings.slim
        )

    def configuration(self, settings: Profile) -> dict:
        """What this task adds to a run's config."""
        return {
            "classes": self.classes,
            "picture_size": settings.picture_size,
            "batch_size": settings.batch_size,
        }

    def epochs(self, settings: Profile, fine_tuning: bool) -> int:
        """How often the training part is seen; fine_tuning: whether the model starts from ImageNet weights."""
        return settings.fine_tuning_epochs if fine_tuning else settings.epochs

    def labels(self, chosen: pd.DataFrame) -> np.ndarray:
        """The truth for some rows of the table: classes as numbers, integer [n]."""
        return chosen["label"].cat.codes.to_numpy().astype(np.int64)

    def loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of each picture [n]."""
        return losses.class_cross_entropy(logits, label)

    def answer(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """What is kept of the model's answer: the probability of each class [n, classes]."""
        return nn.functional.softmax(logits.float(), dim=1)

    def predictions(
        self, images: pd.Index, labels: np.ndarray, answers: np.ndarray, losses: np.ndarray
    ) -> pd.DataFrame:
        """A row per picture: image, label, predicted, loss, and the probability of each class."""
        classes = np.array(self.classes)
        table = pd.DataFrame({"image": images, "label": classes[labels]})
        table["predicted"] = classes[answers.argmax(axis=1)]
        table["loss"] = losses
        return pd.concat([table, pd.DataFrame(answers, columns=classes)], axis=1)

    def scores(self, predictions: pd.DataFrame) -> dict[str, float]:
        """The figures that choose checkpoints, from a row per picture."""
        true, predicted = runs.class_numbers(predictions, self.classes)
        return {
            "accuracy": metrics.accuracy(true, predicted),
            "bma": metrics.balanced_accuracy(true, predicted, len(self.classes)),
        }

    def write_events(self, board: SummaryWriter, epoch: int, predictions: pd.DataFrame, model, mixed, part) -> None:
        """What TensorBoard shows of this task after an epoch: the recall of each class."""
        true, predicted = runs.class_numbers(predictions, self.classes)
        for code, value in zip(self.classes, metrics.per_class_recall(true, predicted, len(self.classes)), strict=True):
            board.add_scalar(f"recall/{code}", value, epoch)


@dataclass(frozen=True)
class Segmentation:
    """A mask for each picture. loss_name: one of `losses.OF_MASKS`."""

    loss_name: str

    def build(self, name: str, settings: Profile) -> nn.Module:
        """A new model."""
        return models.segmenter(name, models.if_it_has_weights(name, settings.pretrained), settings.slim)

    def configuration(self, settings: Profile) -> dict:
        """What this task adds to a run's config."""
        return {
            "loss": self.loss_name,
            "picture_size": list(settings.segmentation_size),
            "batch_size": settings.segmentation_batch_size,
            "at_once": settings.segmentation_at_once,
        }

    def epochs(self, settings: Profile, fine_tuning: bool) -> int:
        """How often the training part is seen: as often with ImageNet weights as without."""
        return settings.segmentation_epochs

    def labels(self, chosen: pd.DataFrame) -> None:
        """None: the truth is the mask, which comes with the pixels."""

    def loss(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The loss of each picture [n]."""
        return losses.OF_MASKS[self.loss_name](logits, mask)

    def answer(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What is kept of the model's answer: the four areas of `metrics.overlap`, integer [n, 4]."""
        areas = metrics.overlap((mask[:, 0] > 0.5).cpu().numpy(), (logits[:, 0] > 0).cpu().numpy())
        return torch.from_numpy(np.column_stack(list(areas.values())))

    def predictions(self, images: pd.Index, labels: None, answers: np.ndarray, losses: np.ndarray) -> pd.DataFrame:
        """A row per picture: image, loss, the four areas in pixels, and every score that follows from them."""
        areas = pd.DataFrame(answers, columns=["pixels", "true", "predicted", "both"])
        scores = pd.DataFrame(metrics.mask_scores(areas))
        return pd.concat([pd.DataFrame({"image": images, "loss": losses}), areas, scores], axis=1)

    def scores(self, predictions: pd.DataFrame) -> dict[str, float]:
        """The figures that choose checkpoints, from a row per picture."""
        return {"jaccard": float(predictions["jaccard"].mean())}

    def write_events(self, board: SummaryWriter, epoch: int, predictions: pd.DataFrame, model, mixed, part) -> None:
        """What TensorBoard shows of this task after an epoch: some pictures, true lesion green and predicted red."""
        x, mask = (values[:SHOWN] for values in next(part))
        with torch.no_grad(), mixed:
            predicted = (model(x) > 0).float()
        step = -(-x.shape[-1] // SHOWN_WIDTH)
        x, mask, predicted = (values[..., ::step, ::step] for values in (x, mask, predicted))
        tint = torch.cat([predicted, mask, torch.zeros_like(mask)], dim=1)  # yellow where both are
        board.add_images("validation, true mask green, predicted red, both yellow", 0.7 * x + 0.3 * tint, epoch)
        board.add_scalar("thresholded Jaccard/validation", predictions["thresholded_jaccard"].mean(), epoch)


def check_loss(name: str, loss: str | None) -> None:
    """Raise IsicError for a loss that the task of this model does not have; None is each task's usual one."""
    if loss is None:
        return
    if name not in models.SEGMENTERS:
        raise IsicError(f"{name} is trained with cross-entropy: leave out loss={loss!r}, which is for masks.")
    if loss not in losses.OF_MASKS:
        raise IsicError(f"There is no loss {loss!r} for masks: choose one of {', '.join(losses.OF_MASKS)}.")


def of(name: str, table: pd.DataFrame, loss: str | None) -> Classification | Segmentation:
    """The task of a model. name: one of `models.TITLES`; table: its column label says which classes there are.

    loss: of `losses.OF_MASKS` for a U-Net, None: both. Raises IsicError for a loss that the task does not have, and
    if a classifier's table has no labels.
    """
    check_loss(name, loss)
    if name in models.SEGMENTERS:
        return Segmentation("both" if loss is None else loss)
    if "label" not in table:
        raise IsicError(f"The table has no column label, from which {name} learns: use `tables.isic2019`, or a U-Net.")
    return Classification(list(table["label"].cat.categories))
