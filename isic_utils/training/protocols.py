"""The thesis's protocols by name, each as the notebooks train it, so that the notebooks find finished what a shell has
trained overnight (``python -m isic_utils train``)."""

import dataclasses
import functools
from collections.abc import Callable

import pandas as pd

from isic_course import synthetic as sample
from isic_utils import models
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.datasets.images import Pictures
from isic_utils.errors import IsicError
from isic_utils.settings import SAMPLE, Profile
from isic_utils.training import config as configuration, fit as training, runs, tasks
from isic_utils.training.runs import Run

NAMES = {
    "standard": "70 % train, 10 % validation, 20 % test (thesis §5.2, lesson 04)",
    "balanced": "five classes of one size (thesis §5.3, lesson 05)",
    "cross-validation": "five stages, of which each picture tests one (thesis §5.4, lesson 06)",
    "segmentation": "U-Net draws masks (thesis §5.5, lesson 07)",
}
STAGES = [1, 2, 3, 4, 5]
Prepare = Callable[[str], tuple[pd.DataFrame, Pictures]]  # `prepare` with its settings, as `once` gives it


def prepare(protocol: str, settings: Profile) -> tuple[pd.DataFrame, Pictures]:
    """The table of a protocol and its decoded pictures, with masks for segmentation; decoded first if need be.

    Raises IsicError for an unknown protocol, and where the data have something wrong (`tables`, `pictures`).
    """
    if protocol not in NAMES:
        raise IsicError(f"There is no protocol {protocol!r}: choose one of {', '.join(NAMES)}.")
    if settings.data == SAMPLE:
        sample.ensure()
    if protocol == "segmentation":
        table = tables.isic2018(settings.data)
        return table, pictures.load_pairs(table, settings.segmentation_size, settings.cache)
    table = tables.isic2019(settings.data)
    return table, pictures.load(table, settings.picture_size, settings.cache)


def once(settings: Profile) -> Prepare:
    """`prepare` for many steps: a protocol's pictures are decoded once, and what is wrong with them is found once,
    unless the fault is the machine's and may pass."""

    @functools.cache
    def outcome(protocol: str) -> tuple[pd.DataFrame, Pictures] | IsicError:
        try:
            return prepare(protocol, settings)
        except IsicError as error:
            if pictures.passing(error.__cause__):  # the next step may find the machine better
                raise
            return error

    def prepared(protocol: str) -> tuple[pd.DataFrame, Pictures]:
        if isinstance(outcome(protocol), IsicError):
            raise outcome(protocol)
        return outcome(protocol)

    return prepared


def models_of(protocol: str) -> list[str]:
    """The models that a protocol can train."""
    return models.SEGMENTERS if protocol == "segmentation" else models.NAMES


def check(protocol: str, model: str, by: str = "picture", loss: str | None = None, remedy: str | None = None) -> None:
    """Raise IsicError for what cannot be trained, before anything is decoded: a model that the protocol does not train,
    pictures with masks by lesion, a loss or a remedy of the other task."""
    if model not in models_of(protocol):
        raise IsicError(f"{protocol} does not train {model!r}: choose one of {', '.join(models_of(protocol))}.")
    if protocol == "segmentation" and by != "picture":
        raise IsicError("The pictures with masks have no lesion_id: segmentation goes by picture.")
    tasks.check_loss(model, loss)
    configuration.check_remedy(model, remedy)


def train(
    protocol: str,
    model: str,
    table: pd.DataFrame,
    photos: Pictures,
    settings: Profile,
    by: str = "picture",
    seed: int = 0,
    stage: int = 1,
    loss: str | None = None,
    remedy: str | None = None,
) -> Run:
    """Train a model by a protocol, or find it trained.

    table, photos: as `prepare` returns them; by: "picture" or "lesion"; stage: of the cross-validation, whose first is
    the run of the standard protocol; loss: of a U-Net; remedy: of a classifier (`remedies.REMEDIES`). Raises
    IsicError for a model that the protocol does not train, for a stage that is not from 1 to 5, for ``by="lesion"``
    with masks, whose pictures have no lesion_id, and as `training.fit` does.
    """
    return training.fit(**arranged(protocol, model, table, photos, settings, by, seed, stage, loss, remedy))


def find(protocol: str, model: str, table: pd.DataFrame, photos: Pictures, settings: Profile, **options) -> Run:
    """The run that `train` returns for the same arguments, as far as it has come: nothing is trained (`Run.finished`).

    options: by, seed, stage, loss and remedy, as `train` takes them. Raises IsicError as `train` does for what cannot
    be trained.
    """
    return training.find(**arranged(protocol, model, table, photos, settings, **options))


def arranged(protocol, model, table, photos, settings, by="picture", seed=0, stage=1, loss=None, remedy=None) -> dict:
    """What `training.fit` and `training.find` are given for a protocol's arguments (see `train`)."""
    check(protocol, model, by, loss, remedy)
    if stage not in STAGES or (stage != 1 and protocol != "cross-validation"):
        raise IsicError(f"There is no stage {stage} of {protocol}: cross-validation has the stages 1 to 5.")
    number = None
    if protocol == "segmentation":
        parts = splits.segmentation(table, seed)
    elif protocol == "balanced":
        table = splits.balanced(table, by, seed)
        parts, settings = table["part"], balanced_settings(settings)
    elif stage == 1:
        parts, protocol = splits.standard(table, by, seed), "standard"
    else:
        parts, number = splits.cross_validation(table, by, seed)[stage], stage
    return dict(
        name=model, table=table, parts=parts, pictures=photos, settings=settings, protocol=protocol, by=by, seed=seed,
        stage=number, loss=loss, remedy=remedy,
    )  # fmt: skip


def balanced_settings(settings: Profile) -> Profile:
    """The settings of the balanced protocol: in `laptop` four epochs have to do, so that lesson 05 stays short."""
    return dataclasses.replace(settings, epochs=4) if settings.name == "laptop" else settings


def overview(settings: Profile) -> pd.DataFrame:
    """Every run below ``settings.runs``, a row each: where it lies, how far it is, and its test scores once finished.

    The scores are those of the headline checkpoint: accuracy and BMA, or the Jaccard index. Folders whose config
    cannot be read are left out.
    """
    rows = []
    for file in sorted(settings.runs.rglob("config.json")):
        run = Run(file.parent)
        try:
            config = run.config
            epochs = len(run.history) if (run.folder / "history.csv").exists() else 0
            row = {"run": str(run.folder.relative_to(settings.runs)), "epochs": f"{epochs} of {config['epochs']}"}
            row |= {"pretrained": config["pretrained"], "accuracy": None, "BMA": None, "Jaccard": None}
            if run.finished:
                scores = runs.scores(run).loc[run.headline].rename({"jaccard": "Jaccard"})
                row |= {name: scores.get(name) for name in ("accuracy", "BMA", "Jaccard")}
        except (ValueError, KeyError, TypeError, OSError):  # IsicError is a ValueError
            continue
        rows.append(row)
    return pd.DataFrame(rows, columns=["run", "epochs", "pretrained", "accuracy", "BMA", "Jaccard"]).set_index("run")
