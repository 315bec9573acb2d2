"""A run is a folder: everything that determined the result, and everything from which the course's tables are made.

``runs/<data>/<protocol>-<group_by>-<model>…-seed<k>-<hash>`` holds

- ``config.json``: the `TrainConfig`, classes, sizes, digests of images and split, and the versions and device;
- ``history.csv``: a row per epoch; ``seconds.csv``: how long each took; TensorBoard's events;
- ``best_loss.pt``, ``best_accuracy.pt``, ``best_bma.pt``: the weights of the thesis's three checkpoints (§5.2), or of
  its two for masks, ``best_loss.pt`` and ``best_jaccard.pt`` (§5.5);
- ``last.pt``: what an interrupted run needs to continue;
- ``predictions_validation.csv``, ``predictions_test.csv``: a row per checkpoint and image, written last;
- ``decisions.json``, later and of a classifier only: what a second opinion needs beside the weights
  (`inference.second_opinion.decide`).

The hash is that of the config, the split and the images, so a run is found by what determines it. Files appear whole or
not at all, so a run can be killed at any moment.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from packaging.version import Version

from isic_utils import files, models
from isic_utils.datasets.images import ImageStore
from isic_utils.errors import IsicError
from isic_utils.metrics import mask_scores, scores
from isic_utils.settings import load_settings
from isic_utils.training.config import TrainConfig
from isic_utils.training.loop import get_accelerator, prepare_model

CHECKPOINTS = ["loss", "accuracy", "bma"]  # lowest loss, highest accuracy, highest BMA on validation (thesis §5.2)
PRECISION = "round_trip" if Version(pd.__version__) < Version("3.1") else None  # now pandas is exact by itself
MASK_CHECKPOINTS = ["loss", "jaccard"]  # lowest loss, highest Jaccard index (thesis §5.5)


@dataclass(frozen=True)
class Run:
    """A trained (or half-trained) model's folder, read when asked."""

    folder: Path

    @property
    def config(self) -> dict:
        """The content of config.json: the fields of `TrainConfig` (pretrained as of a `NormalizedModel`) and more.

        Raises IsicError if it cannot be read.
        """
        file = self.folder / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            config["model"], config["classes"]  # noqa: B018, a config of ours has both
            return config
        except FileNotFoundError as error:
            raise IsicError(f"{self.folder} is not a run's folder: `python -m isic_utils runs` lists them.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise IsicError(f"{file} is damaged ({error}): delete {self.folder} and train again.") from error

    @property
    def finished(self) -> bool:
        """Whether training is over and the predictions are written."""
        return (self.folder / "predictions_test.csv").exists()

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch, indexed by epoch: learning_rate, train_loss, validation_loss, and validation_accuracy and
        validation_bma, or validation_jaccard."""
        return read_table(self.folder / "history.csv").set_index("epoch")

    @property
    def seconds(self) -> float:
        """How long the epochs took, all together."""
        return float(read_table(self.folder / "seconds.csv")["seconds"].sum())

    @property
    def checkpoints(self) -> list[str]:
        """The names of the checkpoints, of which the last is the `headline`."""
        return CHECKPOINTS if self.config["classes"] else MASK_CHECKPOINTS

    @property
    def headline(self) -> str:
        """The checkpoint that headline figures come from, bma or jaccard; the thesis does not say which one it took."""
        return self.checkpoints[-1]

    def weights(self, checkpoint: str | None = None) -> Path:
        """The file with a checkpoint's weights; None: the `headline`. Raises IsicError for an unknown name."""
        checkpoint = checkpoint or self.headline
        if checkpoint not in self.checkpoints:
            raise IsicError(f"{self.folder} has no checkpoint {checkpoint!r}: choose {', '.join(self.checkpoints)}.")
        return self.folder / f"best_{checkpoint}.pt"

    def predictions(self, split: str = "test", checkpoint: str | None = None) -> pd.DataFrame:
        """A row per image of the validation or test set, as `loop.evaluate` returns them; checkpoint: None: headline.

        Raises IsicError if the run is not finished, or for an unknown split or checkpoint.
        """
        file, checkpoint = self.folder / f"predictions_{split}.csv", self.weights(checkpoint).stem.removeprefix("best_")
        if not file.exists():
            raise IsicError(f"{file} is missing: choose validation or test; call fit again if the run is not finished.")
        table = read_table(file)
        return table[table["checkpoint"] == checkpoint].drop(columns="checkpoint").reset_index(drop=True)

    def scores(self, split: str = "test") -> pd.DataFrame:
        """The scores of each checkpoint, from its predictions: epoch, loss, and accuracy and BMA, or the means of
        `metrics.mask_scores`."""
        rows = {}
        for checkpoint in self.checkpoints:
            predictions = self.predictions(split, checkpoint)
            row = {"epoch": best_epoch(self.history, checkpoint), "loss": predictions["loss"].mean()}
            of_image = scores if self.config["classes"] else mask_scores
            rows[checkpoint] = row | {name: np.mean(values) for name, values in of_image(predictions).items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename(columns={"bma": "BMA"}).rename_axis("checkpoint")

    def load_model(self, checkpoint: str | None = None) -> torch.nn.Module:
        """The trained model, on this machine's device, for evaluation.

        checkpoint: None: the headline. Raises IsicError if its file is missing or damaged.
        """
        config = self.config
        classes = len(config["classes"] or [1])
        model = models.create_model(config["model"], classes, pretrained=False, width=config["width"])
        model.load_state_dict(read_state(self.weights(checkpoint)))
        return prepare_model(model, get_accelerator()).eval()


def run_of(
    config: TrainConfig, store: ImageStore, table: pd.DataFrame, split: pd.Series, runs: Path | None = None
) -> Run:
    """The run that `fit` trains for the same arguments, as far as it has come: nothing is trained (`Run.finished`)."""
    runs = load_settings().runs if runs is None else Path(runs)
    names = [config.protocol, config.group_by, config.model.replace(":", "-"), config.method, config.mask_loss]
    told = [name for name in names if name not in (TrainConfig.method, TrainConfig.mask_loss)]  # the defaults
    told += [f"fold{config.fold}"] * (config.fold > 0) + [f"seed{config.seed}"]
    # the width 1 is the width 1.0
    values = [value if isinstance(value, str | None) else float(value) for _, value in sorted(asdict(config).items())]
    key = digest(json.dumps(values) + split_digest(table, split) + store.digest)
    name = "-".join([*told, key[:8]]).lower().replace(" ", "-")
    return Run(runs / store.data_name / name)


def split_digest(table: pd.DataFrame, split: pd.Series) -> str:
    """A short text that changes when an image changes its label or its place in the split, not with the row order."""
    return digest(table.filter(["image", "label"]).assign(split=split).sort_values("image").to_csv(index=False))


def digest(text: str) -> str:
    """A short text that changes when `text` does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def best_epoch(history: pd.DataFrame, checkpoint: str) -> int:
    """The first epoch with the lowest validation loss, or the highest validation accuracy, BMA or Jaccard index."""
    values = history[f"validation_{checkpoint}"]
    return int(values.idxmin() if checkpoint == "loss" else values.idxmax())


def list_runs(folder: Path) -> pd.DataFrame:
    """Every run below a folder, a row each: its place, how far it is, and the headline checkpoint's test scores.

    Folders whose files cannot be read are left out.
    """
    rows = []
    for file in sorted(folder.rglob("config.json")):
        run = Run(file.parent)
        with suppress(KeyError, ValueError, OSError):  # IsicError is a ValueError
            done = len(run.history) if (run.folder / "history.csv").exists() else 0
            row = {"run": run.folder.relative_to(folder).as_posix(), "epochs": f"{done} of {run.config['epochs']}"}
            row["pretrained"] = run.config["pretrained"]
            if run.finished:
                found = run.scores().loc[run.headline]
                row |= {name: found.get(name) for name in ("accuracy", "BMA", "jaccard")}
            rows.append(row)
    return pd.DataFrame(rows, columns=["run", "epochs", "pretrained", "accuracy", "BMA", "jaccard"]).set_index("run")


def read_table(file: Path) -> pd.DataFrame:
    """A table of a run, every number exactly as it was written; an image's name may be made of digits. Raises IsicError
    if the file is cut short."""
    if not file.read_bytes().endswith(b"\n"):
        raise IsicError(f"{file} is cut short: delete the folder {file.parent} and train again.")
    return pd.read_csv(file, dtype={"image": str}, float_precision=PRECISION)


def read_state(file: Path) -> dict:
    """A checkpoint's weights, or the whole state of a training (last.pt): tensors and plain values, on the CPU; such a
    file cannot run code. Raises IsicError if it is missing or damaged."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise IsicError(f"{file} is missing: train the run again.") from error
    except (OSError, MemoryError):  # which say nothing about the file
        raise
    except Exception as error:  # a damaged file raises whatever the unpickler stumbles over
        raise IsicError(f"{file} is damaged: delete the folder {file.parent} and train again.") from error


def write_csv(file: Path, table: pd.DataFrame) -> None:
    """A table as a CSV file, whole or not at all, with as many digits as give every number back exactly."""
    files.write(file, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"))
