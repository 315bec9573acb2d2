"""A run is a folder: everything that determined the result, and everything from which the course's tables are made.

``runs/<data>-<profile>/<protocol>-<by>/<model>/seed<k>[/stage<i>]`` holds

- ``config.json``: model, sizes, learning rate, split, data, seed, and the versions and device it was made with;
- ``history.csv``: a row per epoch; ``seconds.csv``: how long each took; TensorBoard's events;
- ``best_loss.pt``, ``best_accuracy.pt``, ``best_bma.pt``: the weights of the thesis's three checkpoints (§5.2);
- ``last.pt``: what an interrupted run needs to continue;
- ``predictions_validation.csv``, ``predictions_test.csv``: a row per checkpoint and picture, written last.

Files appear whole or not at all, so a run can be killed at any moment.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from isic_utils import metrics
from isic_utils.errors import IsicError

CHECKPOINTS = {"loss": "lowest loss", "accuracy": "highest accuracy", "bma": "highest BMA"}  # thesis §5.2
HEADLINE = "bma"  # the checkpoint that the course's headline figures come from; the thesis does not say which it used
NOT_COMPARED = ["made_with"]  # the part of a config that says how a run was made and not what it is


@dataclass(frozen=True)
class Run:
    """A trained (or half-trained) model's folder, read when asked."""

    folder: Path

    @property
    def config(self) -> dict:
        """Everything that determined the result: the content of config.json."""
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))

    @property
    def finished(self) -> bool:
        """Whether training is over and the predictions are written."""
        return (self.folder / "predictions_test.csv").exists()

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch, indexed by epoch: learning_rate, train_loss, validation_loss, validation_accuracy,
        validation_bma."""
        return read_csv(self.folder / "history.csv").set_index("epoch")

    @property
    def seconds(self) -> float:
        """How long the epochs took, all together."""
        return float(read_csv(self.folder / "seconds.csv")["seconds"].sum())

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The weight files of the three checkpoints: loss, accuracy, bma -> path."""
        return {metric: self.folder / f"best_{metric}.pt" for metric in CHECKPOINTS}

    def predictions(self, part: str = "test", checkpoint: str = HEADLINE) -> pd.DataFrame:
        """A row per picture of a part: image, label, predicted (class codes), loss, and the probability of each class.

        part: validation or test; checkpoint: loss, accuracy or bma.
        """
        if part not in ("validation", "test") or checkpoint not in CHECKPOINTS:
            raise IsicError(
                f"There are no predictions for part {part!r}, checkpoint {checkpoint!r}: parts are validation "
                f"and test, checkpoints {', '.join(CHECKPOINTS)}."
            )
        file = self.folder / f"predictions_{part}.csv"
        if not file.exists():
            raise IsicError(
                f"{file} is missing, since this run is not finished: call training.fit again, it continues the run."
            )
        table = read_csv(file)
        return table[table["checkpoint"] == checkpoint].drop(columns="checkpoint").reset_index(drop=True)

    def true_and_predicted(self, part: str = "test", checkpoint: str = HEADLINE) -> tuple[np.ndarray, np.ndarray]:
        """The classes of a part's pictures as numbers, in the order of ``config["classes"]``: two integer arrays
        [n]."""
        table = self.predictions(part, checkpoint)
        classes = pd.Index(self.config["classes"])
        return classes.get_indexer(table["label"]), classes.get_indexer(table["predicted"])


def scores(run: Run, part: str = "test") -> pd.DataFrame:
    """Loss, accuracy and BMA of the three checkpoints on a part, from the predictions: a row per checkpoint."""
    rows = []
    for checkpoint in CHECKPOINTS:
        true, predicted = run.true_and_predicted(part, checkpoint)
        rows.append(
            {
                "checkpoint": checkpoint,
                "epoch": best_epoch(run.history, checkpoint),
                "loss": run.predictions(part, checkpoint)["loss"].mean(),
                "accuracy": metrics.accuracy(true, predicted),
                "BMA": metrics.balanced_accuracy(true, predicted, len(run.config["classes"])),
            }
        )
    return pd.DataFrame(rows).set_index("checkpoint")


def best_epoch(history: pd.DataFrame, checkpoint: str) -> int:
    """The first epoch with the lowest validation loss, or the highest validation accuracy or BMA."""
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
        except (ValueError, AttributeError, OSError) as error:  # AttributeError: JSON, but no dictionary
            raise IsicError(
                f"{folder / 'config.json'} cannot be read ({error}): move or delete the folder {folder}."
            ) from error
    raise IsicError(f"{folder} holds a run that does not belong there: move or delete it.")


def compared(config: dict) -> dict:
    """The part of a config that decides whether two runs are the same."""
    return {key: value for key, value in config.items() if key not in NOT_COMPARED}


def digest(text: str) -> str:
    """A short text that changes when `text` does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def place(settings, protocol: str, by: str, model: str, seed: int, stage: int | None = None) -> Path:
    """Where a run belongs: ``runs/<data>-<profile>/<protocol>-<by>/<model>/seed<k>[/stage<i>]``."""
    folder = settings.runs / f"{settings.data_name}-{settings.name}" / f"{protocol}-{by}" / model / f"seed{seed}"
    return folder if stage is None else folder / f"stage{stage}"


def write(file: Path, save: Callable[[Path], None]) -> None:
    """Write a file whole or not at all: `save` writes beside it, then the new file takes the old one's place.

    Raises IsicError if the disk is full or read-only; the old file stays.
    """
    partial = file.with_name(f".{file.name}.partial")  # one that a killed process left is written over
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(partial)
        os.replace(partial, file)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError when the disk is full
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise IsicError(
            f"{file} cannot be written ({reason}): free disk space or choose another folder with ISIC_RUNS, then "
            "start again; the run continues from its last complete epoch."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_json(file: Path, content: dict) -> None:
    """A dictionary as a JSON file, whole or not at all."""
    write(file, lambda partial: partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))


def write_csv(file: Path, table: pd.DataFrame) -> None:
    """A table as a CSV file, whole or not at all, with as many digits as give every number back exactly."""
    write(file, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"))


def read_csv(file: Path) -> pd.DataFrame:
    """A table that `write_csv` wrote, every number exactly as it was."""
    before_3_1 = tuple(map(int, pd.__version__.split(".")[:2])) < (
        3,
        1,
    )  # since then pandas is exact without being asked
    return pd.read_csv(file, **({"float_precision": "round_trip"} if before_3_1 else {}))


def write_weights(file: Path, content: dict) -> None:
    """Tensors and plain values as a PyTorch file, whole or not at all."""
    write(file, lambda partial: torch.save(content, partial))


def read_weights(file: Path, device: torch.device | str = "cpu") -> dict:
    """A PyTorch file; only tensors and plain values are read, so a file from elsewhere cannot run code."""
    try:
        return torch.load(file, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise IsicError(f"{file} is missing: train the run again.") from error
    except Exception as error:
        raise IsicError(
            f"{file} is damaged or no weight file: delete the folder {file.parent} and train again."
        ) from error
