"""A run is a folder: everything that determined the result, and everything from which the course's tables are made.

``runs/<data>-<profile>/<protocol>-<by>/<model>[-<loss or remedy>]/seed<k>[/stage<i>]`` holds

- ``config.json``: model, sizes, learning rate, split, data, seed, and the versions and device it was made with;
- ``history.csv``: a row per epoch; ``seconds.csv``: how long each took; TensorBoard's events;
- ``best_loss.pt``, ``best_accuracy.pt``, ``best_bma.pt``: the weights of the thesis's three checkpoints (§5.2), or of
  its two for masks, ``best_loss.pt`` and ``best_jaccard.pt`` (§5.5);
- ``last.pt``: what an interrupted run needs to continue;
- ``predictions_validation.csv``, ``predictions_test.csv``: a row per checkpoint and picture, written last.

Files appear whole or not at all, so a run can be killed at any moment.
"""

import contextlib
import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from isic_utils import files
from isic_utils.errors import IsicError
from isic_utils.metrics import classification as metrics

CHECKPOINTS = {"loss": "lowest loss", "accuracy": "highest accuracy", "bma": "highest BMA"}  # thesis §5.2
MASK_CHECKPOINTS = {"loss": "lowest loss", "jaccard": "highest Jaccard index"}  # thesis §5.5
# The last one is where the course's headline figures come from; the thesis does not say which one it used.
HEADLINE = "bma"
NOT_COMPARED = ["made_with"]  # the part of a config that says how a run was made and not what it is


@dataclass(frozen=True)
class Run:
    """A trained (or half-trained) model's folder, read when asked. Its model tells classes, or it draws masks."""

    folder: Path

    @property
    def config(self) -> dict:
        """Everything that determined the result: the content of config.json. Raises FileNotFoundError if there is none,
        and IsicError if it cannot be read."""
        file = self.folder / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError("it is no object")
            return config
        except FileNotFoundError:
            raise
        except (ValueError, OSError) as error:
            raise IsicError(
                f"{file} cannot be read ({error}): move or delete the folder {self.folder} and train again."
            ) from error

    @property
    def finished(self) -> bool:
        """Whether training is over and the predictions are written."""
        return (self.folder / "predictions_test.csv").exists()

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch, indexed by epoch: learning_rate, train_loss, validation_loss, and validation_accuracy and
        validation_bma, or validation_jaccard."""
        return read_csv(self.folder / "history.csv").set_index("epoch")

    @property
    def seconds(self) -> float:
        """How long the epochs took, all together."""
        return float(read_csv(self.folder / "seconds.csv")["seconds"].sum())

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The weight files of the checkpoints: loss, accuracy, bma (or loss, jaccard) -> path."""
        return {metric: self.folder / f"best_{metric}.pt" for metric in self.kept}

    @property
    def kept(self) -> dict[str, str]:
        """The checkpoints that a run of this task keeps: `CHECKPOINTS` or `MASK_CHECKPOINTS`."""
        return CHECKPOINTS if "classes" in self.config else MASK_CHECKPOINTS

    @property
    def headline(self) -> str:
        """The checkpoint that headline figures come from: bma or jaccard."""
        return list(self.kept)[-1]

    def predictions(self, part: str = "test", checkpoint: str | None = None) -> pd.DataFrame:
        """A row per picture of a part. Of a classifier: image, label, predicted (class codes), loss, and the
        probability of each class; of a U-Net: image, loss, the areas of `metrics.overlap` and the scores of
        `metrics.mask_scores`.

        part: validation or test; checkpoint: loss, accuracy, bma, or jaccard; None: `headline`.
        """
        file = self.folder / f"predictions_{part}.csv"
        if not (self.folder / "config.json").exists():
            raise IsicError(f"{file} is missing, since this run has not begun: call training.fit, which trains it.")
        kept = self.kept
        checkpoint = self.headline if checkpoint is None else checkpoint
        if part not in ("validation", "test") or checkpoint not in kept:
            raise IsicError(
                f"There are no predictions for part {part!r}, checkpoint {checkpoint!r}: parts are validation "
                f"and test, checkpoints {', '.join(kept)}."
            )
        if not file.exists():
            raise IsicError(
                f"{file} is missing, since this run is not finished: call training.fit again, it continues the run."
            )
        table = read_csv(file)
        if "checkpoint" not in table:
            raise IsicError(f"{file} is not as a run writes it: delete the folder {self.folder} and train again.")
        return table[table["checkpoint"] == checkpoint].drop(columns="checkpoint").reset_index(drop=True)

    def true_and_predicted(self, part: str = "test", checkpoint: str = HEADLINE) -> tuple[np.ndarray, np.ndarray]:
        """The classes of a part's pictures as numbers, in the order of ``config["classes"]``: two integer arrays
        [n]."""
        return class_numbers(self.predictions(part, checkpoint), self.config["classes"])


def check(run: Run, classifies: bool) -> None:
    """Raise IsicError unless a run is finished and its model tells classes (or, if not `classifies`, draws masks)."""
    if not (run.folder / "config.json").exists() or not run.finished:
        raise IsicError(f"{run.folder} holds no finished run: `python -m isic_utils runs` lists those that there are.")
    if ("classes" in run.config) != classifies:
        wanted, found = ("classifier", "U-Net") if classifies else ("U-Net", "classifier")
        raise IsicError(f"{run.folder} holds a {found} and no {wanted}: name the run of a {wanted}.")


def scores(run: Run, part: str = "test") -> pd.DataFrame:
    """The scores of each checkpoint on a part, from the predictions: a row per checkpoint.

    Of a classifier loss, accuracy and BMA; of a U-Net loss and the means of `metrics.mask_scores`.
    """
    rows = {}
    for checkpoint in run.kept:
        predictions = run.predictions(part, checkpoint)
        row = {"epoch": best_epoch(run.history, checkpoint), "loss": predictions["loss"].mean()}
        if "classes" in run.config:
            classes = run.config["classes"]
            true, predicted = class_numbers(predictions, classes)
            row["accuracy"] = metrics.accuracy(true, predicted)
            row["BMA"] = metrics.balanced_accuracy(true, predicted, len(classes))
        else:
            row |= {name: values.mean() for name, values in metrics.mask_scores(predictions).items()}
        rows[checkpoint] = row
    return pd.DataFrame(rows).T.astype({"epoch": int}).rename_axis("checkpoint")


def class_numbers(predictions: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The columns label and predicted as numbers, in the order of `classes`: two integer arrays [n]."""
    order = pd.Index(classes)
    return order.get_indexer(predictions["label"]), order.get_indexer(predictions["predicted"])


def best_epoch(history: pd.DataFrame, checkpoint: str) -> int:
    """The first epoch with the lowest validation loss, or the highest validation accuracy, BMA or Jaccard index."""
    values = history[f"validation_{checkpoint}"]
    return int(values.idxmin() if checkpoint == "loss" else values.idxmax())


def find(place: Path, config: dict) -> Path:
    """The folder of the run with this config, whether it exists yet or not.

    It is `place` itself, unless a run with another config lies there: that one stays, and this one's folder gets a name
    of its own.
    """
    key = digest(json.dumps(compared(config), sort_keys=True))[:8]
    for folder in (place, place.with_name(f"{place.name}-{key}")):
        try:
            if compared(Run(folder).config) == compared(config):
                return folder
        except FileNotFoundError:
            return folder
    raise IsicError(f"{folder} holds a run that does not belong there: move or delete it.")


def compared(config: dict) -> dict:
    """The part of a config that decides whether two runs are the same."""
    return {key: value for key, value in config.items() if key not in NOT_COMPARED}


def digest(text: str) -> str:
    """A short text that changes when `text` does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def place(
    settings, protocol: str, by: str, model: str, seed: int, stage: int | None = None, special: str | None = None
) -> Path:
    """Where a run belongs: ``runs/<data>-<profile>/<protocol>-<by>/<model>[-<special>]/seed<k>[/stage<i>]``.

    special: a loss of masks or a remedy, by which it differs from the usual training.
    """
    name = model if special is None else f"{model}-{special.lower().replace(' ', '-')}"
    folder = settings.runs / f"{settings.data_name}-{settings.name}" / f"{protocol}-{by}" / name / f"seed{seed}"
    return folder if stage is None else folder / f"stage{stage}"


CONTINUES = (
    "free disk space or choose another folder with ISIC_RUNS, then start again; the run continues from its last "
    "complete epoch"
)


NOT_TO_BE_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


@contextlib.contextmanager
def writing(folder: Path, remedy: str | None = None) -> Iterator[None]:
    """What is done inside writes into a folder. Raises IsicError, which ends with the remedy, if the disk is full or
    the folder may not be written to. remedy: None is that of a run, `CONTINUES`."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_TO_BE_WRITTEN:
            raise
        raise IsicError(f"{folder} cannot be written ({error.strerror or error}): {remedy or CONTINUES}.") from error


def write(file: Path, save: Callable[[Path], None], remedy: str = CONTINUES) -> None:
    """Write a file whole or not at all (`files.whole`); `save` is given the place to write to.

    Raises IsicError, which ends with the remedy, if the disk is full or read-only; the old file stays.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(file) as partial:
            partial.write_bytes(b"")  # so that the system says why, if no file can be made there
            save(partial)
    except (OSError, RuntimeError) as error:
        # on a full disk torch.save and np.save raise errors without the system's reason: "unexpected pos 576 vs 534"
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise IsicError(f"{file} cannot be written ({reason}): {remedy}.") from error


def write_json(file: Path, content: dict) -> None:
    """A dictionary as a JSON file, whole or not at all."""
    write(file, lambda partial: partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))


def write_csv(file: Path, table: pd.DataFrame, remedy: str = CONTINUES) -> None:
    """A table as a CSV file, whole or not at all, with as many digits as give every number back exactly. remedy: as in
    `write`."""
    write(file, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"), remedy)


def read_csv(file: Path) -> pd.DataFrame:
    """A table that `write_csv` wrote, every number exactly as it was."""
    exact_unasked = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    exact = {} if exact_unasked else {"float_precision": "round_trip"}
    return pd.read_csv(file, dtype={"image": str}, **exact)  # a name may be made of digits


def write_weights(file: Path, content: dict) -> None:
    """Tensors and plain values as a PyTorch file, whole or not at all."""
    write(file, lambda partial: torch.save(content, partial))


def read_weights(file: Path) -> dict:
    """A PyTorch file, read into the processor's memory; only tensors and plain values are read, so a file from
    elsewhere cannot run code. Raises IsicError if it is missing, cannot be read, or is damaged."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise IsicError(f"{file} is missing: train the run again.") from error
    except OSError as error:
        raise IsicError(f"{file} cannot be read ({error.strerror or error}): check its permissions.") from error
    except MemoryError:
        raise
    except Exception as error:
        raise IsicError(
            f"{file} is damaged or no weight file: delete the folder {file.parent} and train again."
        ) from error
