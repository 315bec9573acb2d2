"""One picture in, an answer out: probabilities, whether to ask an expert, the contour, where the network looked; or why
there is no answer.

For learning what such a tool can and cannot do. It is not a medical device, and what it says is no advice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from isic_utils.datasets import images as pictures, tables
from isic_utils.datasets.tables import PICTURE_TYPES
from isic_utils.errors import IsicError
from isic_utils.inference import gradcam as explanations, masks, ood as scope
from isic_utils.inference.ood import Scope
from isic_utils.inference.postprocess import one_region
from isic_utils.metrics import calibration
from isic_utils.settings import Profile, current
from isic_utils.training import fit as training, protocols, runs
from isic_utils.training.protocols import Prepare
from isic_utils.training.runs import Run

STATEMENT = "For learning only: this is not a medical device, and nothing it says is medical advice."
SYNTHETIC = "It has learnt from synthetic pictures, drawn by code: about real skin it knows nothing."
SENSITIVITY = 0.95  # of the malignant pictures of validation, the share that the alarm has to find
LEARNT_FROM = 2000  # training pictures at most whose colours say what is usual

Picture = Path | str | Image.Image | np.ndarray


@dataclass(frozen=True)
class Network:
    """A trained network, ready to answer: its run, the model, the context of its forward pass, and its device."""

    run: Run
    model: nn.Module
    mixed: torch.autocast
    device: torch.device


@dataclass(frozen=True)
class SecondOpinion:
    """A classifier, perhaps a U-Net, and what validation taught about them: temperature, the threshold of the alarm for
    a sensitivity to malignant classes, and the scope beyond which pictures are refused."""

    classifier: Network
    outliner: Network | None
    temperature: float
    threshold: float
    sensitivity: float
    scope: Scope

    @property
    def classes(self) -> list[str]:
        """The codes of the classes, in the order of the probabilities."""
        return self.classifier.run.config["classes"]

    @property
    def synthetic(self) -> bool:
        """Whether the classifier has learnt from pictures drawn by code."""
        return self.classifier.run.config["synthetic"]


@dataclass(frozen=True)
class Answer:
    """What is said of one picture. probabilities: calibrated, by class code; malignant: those of the malignant classes,
    added up; ask_expert, reason: whether and why, in words.

    contour: boolean [height, width] of the picture, True on the lesion, None without a U-Net; heat: where the picture
    speaks for the likeliest class (`explanations.grad_cam`), float [side, side], None if it was not asked for.
    refused: why there is no answer, or None. A refused picture has no probabilities (NaN), contour or heat.
    """

    probabilities: pd.Series
    malignant: float
    ask_expert: bool
    reason: str
    contour: np.ndarray | None
    heat: np.ndarray | None
    refused: str | None

    @property
    def likeliest(self) -> str | None:
        """The code of the class with the largest probability; None if the picture is refused."""
        return None if self.refused else self.probabilities.idxmax()


def assemble(
    run: Run,
    mask_run: Run | None = None,
    settings: Profile | None = None,
    sensitivity: float = SENSITIVITY,
    prepare: Prepare | None = None,
) -> SecondOpinion:
    """Put a second opinion together from finished runs, and set its limits by what they did on validation.

    run: of a classifier, by any protocol; mask_run: of a U-Net, for contours; settings: the profile whose data the
    classifier was trained on, None: the current one; sensitivity: above 0, at most 1; prepare: `protocols.once` of
    these settings, where several functions need the pictures. Raises IsicError if a run is not finished or of the other
    task, the data are not those of the run, or validation has no malignant picture.
    """
    settings = current() if settings is None else settings
    runs.check(run, classifies=True)
    if mask_run is not None:
        runs.check(mask_run, classifies=False)
    classes = run.config["classes"]
    validation = run.predictions("validation")
    true, _ = runs.class_numbers(validation, classes)
    temperature = calibration.fit_temperature(validation[classes].to_numpy(), true)
    calibrated = calibration.soften(validation[classes].to_numpy(), temperature)
    malignant = np.array([calibration.is_malignant(code) for code in classes])[true]
    if not malignant.any() or not 0 < sensitivity <= 1:
        raise IsicError(
            f"No threshold finds {sensitivity:g} of the {malignant.sum()} malignant pictures of validation in "
            f"{run.folder}: ask for a sensitivity above 0 and at most 1, of a run whose validation part has some."
        )
    threshold = calibration.threshold_for(
        sensitivity, calibration.malignant_probability(calibrated, classes), malignant
    )
    networks = [None if one is None else Network(one, *training.load(one)) for one in (run, mask_run)]
    return SecondOpinion(*networks, temperature, threshold, sensitivity, learn_scope(run, settings, prepare))


def learn_scope(run: Run, settings: Profile, prepare: Prepare | None = None) -> Scope:
    """What is usual among the pictures that neither validate nor test a run, with the limits that its validation part
    sets. prepare: as `assemble` takes it."""
    _, photos = (prepare or protocols.once(settings))("standard")
    if photos.digest != run.config["pictures"]:
        raise IsicError(
            f"{run.folder} was trained on other pictures, or other sizes of them, than those of {settings.data} in "
            f"profile {settings.name}: set ISIC_DATA to its data ({run.config['data']}) and ISIC_PROFILE as it was, or "
            "train a network on these."
        )
    parts = {part: photos.rows(run.predictions(part)["image"]) for part in ("validation", "test")}
    seen = np.setdiff1d(np.arange(len(photos.images)), np.concatenate(list(parts.values())))
    seen = seen[:: -(-len(seen) // LEARNT_FROM)]
    return scope.fit(photos.pixels[seen], photos.pixels[np.sort(parts["validation"])])


def best_run(settings: Profile, task: str = "classification", prepare: Prepare | None = None) -> Run:
    """The finished run of a task, classification or segmentation, that did best on validation, of this data and size.

    By BMA or Jaccard index. Among classifiers, eight classes come before five, and a split by lesion before one by
    picture, since with fewer classes, or with lesions known from training, validation is easier. Classifiers
    that were trained on other pictures than the data have now, or at another size, are passed over. prepare: as
    `assemble` takes it. Raises IsicError if there is none.
    """
    place = settings.runs / f"{settings.data_name}-{settings.name}"
    found = []
    for file in sorted(place.rglob("config.json")):
        run = Run(file.parent)
        try:
            config = run.config
            if not run.finished or ("classes" in config) != (task == "classification"):
                continue
            score = runs.scores(run, "validation").loc[run.headline, "BMA" if "classes" in config else "jaccard"]
            rank = len(config.get("classes", [])) == 8, config["by"] == "lesion", score
            found.append((rank, config["pictures"], run))
        except (ValueError, KeyError, TypeError, OSError):
            continue  # a folder that cannot be read, as `protocols.overview` passes it over
    besides = ""
    if found and task == "classification":
        _, photos = (prepare or protocols.once(settings))("standard")
        of_these = [one for one in found if one[1] == photos.digest]
        besides = "" if of_these else f" on the pictures of {settings.data} as they are now, but {len(found)} on others"
        found = of_these
    if not found:
        example = "standard efficientnet_lite0 --by lesion" if task == "classification" else "segmentation unet_lite0"
        raise IsicError(
            f"{place} holds no finished run of {task}{besides}: train one, python -m isic_utils train {example}."
        )
    return max(found, key=lambda one: one[0])[2]


def best_mask_run(settings: Profile) -> Run | None:
    """The U-Net of `best_run`, or None if none is trained."""
    try:
        return best_run(settings, "segmentation")
    except IsicError:
        return None


def files_of(places: Sequence[Path]) -> list[Path]:
    """Files as they are, and for a folder the pictures in it, by name, without hidden ones (macOS puts ``._x.jpg``
    beside ``x.jpg``). Raises IsicError for a folder without pictures, or one that cannot be read."""
    files = []
    for place in places:
        inside = [place]
        try:
            if place.is_dir():
                inside = sorted(file for file in place.iterdir() if is_picture(file))
        except OSError as error:
            raise IsicError(f"The folder {place} cannot be read ({error.strerror}): check its permissions.") from error
        if not inside:
            raise IsicError(f"{place} holds no JPEG or PNG picture: name a folder with pictures, or a picture.")
        files += inside
    return files


def is_picture(file: Path) -> bool:
    """Whether a file in a folder is one to answer, by its name."""
    return file.suffix.lower() in PICTURE_TYPES and not file.name.startswith(".") and file.is_file()


def answer(opinion: SecondOpinion, picture: Picture, explain: bool = True) -> Answer:
    """What the networks say of one picture.

    picture: a JPEG or PNG file, a PIL picture of any mode, or uint8 [height, width, 3]; explain: with contour and heat.
    Raises IsicError if it cannot be read.
    """
    return of_picture(opinion, read(picture), explain)


def read(picture: Picture) -> Image.Image:
    """A file, PIL picture or array as an RGB picture, as `pictures.read_picture` checks and converts it."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise IsicError(
                f"The array is {picture.dtype} {picture.shape}: give a picture as uint8 [height, width, 3], RGB."
            )
        return Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        return pictures.to_rgb(picture)
    return pictures.read_picture(picture)


def of_picture(opinion: SecondOpinion, picture: Image.Image, explain: bool) -> Answer:
    """`answer` for an RGB picture."""
    side = opinion.classifier.run.config["picture_size"]
    pixels = pictures.resize(picture, (side, side))
    (refused,) = scope.reasons(opinion.scope, pixels[np.newaxis])
    if refused:
        nothing = pd.Series(np.nan, index=opinion.classes)
        return Answer(nothing, np.nan, True, f"no answer, since {refused}", None, None, refused)
    x = as_batch(pixels, opinion.classifier.device)
    calibrated = probabilities(opinion, x)
    malignant = float(calibration.malignant_probability(calibrated, opinion.classes)[0])
    heat = contour = None
    if explain:
        heat = explanations.grad_cam(opinion.classifier.model, x, int(calibrated.argmax()))
        contour = outline(opinion.outliner, picture) if opinion.outliner else None
    ask = malignant >= opinion.threshold
    by_class = pd.Series(calibrated[0], index=opinion.classes)
    return Answer(by_class, malignant, ask, in_words(opinion, malignant, ask), contour, heat, None)


def as_batch(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """One picture, uint8 [height, width, 3], as networks take it: float [1, 3, height, width] from 0 to 1."""
    return torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1)[None].float().div_(255)


@torch.no_grad()
def probabilities(opinion: SecondOpinion, x: torch.Tensor) -> np.ndarray:
    """The calibrated probabilities of some pictures, float [n, classes]. x: float [n, 3, side, side] from 0 to 1, of
    any content: nothing is refused here."""
    with opinion.classifier.mixed:
        logits = opinion.classifier.model(x)
    return calibration.soften(logits.float().softmax(dim=1).cpu().numpy(), opinion.temperature)


def in_words(opinion: SecondOpinion, malignant: float, ask: bool) -> str:
    """Why an expert should be asked, or why the alarm is silent."""
    found = f"{opinion.sensitivity:.0%} of the malignant pictures of validation"
    limit = f"{opinion.threshold:.1%}, the limit that found {found}"
    together = f"the malignant classes together have a probability of {malignant:.1%}"
    if ask:
        return f"ask an expert: {together}, not below {limit}"
    return f"no alarm: {together}, below {limit}; that excludes nothing"


@torch.no_grad()
def outline(outliner: Network, picture: Image.Image) -> np.ndarray:
    """The lesion as a U-Net draws it, kept to one region: boolean [height, width] of the picture."""
    height, width = outliner.run.config["picture_size"]
    pixels = pictures.resize(picture, (height, width))
    with outliner.mixed:
        logits = outliner.model(as_batch(pixels, outliner.device))
    sure = logits[0, 0].float().sigmoid().cpu().numpy()
    region = one_region(sure > 0.5)  # at the small size, where a large photograph takes no longer than another
    kept = np.where(region, sure.clip(0.51), sure.clip(max=0.49))
    return masks.enlarge(kept, picture.height, picture.width) > 0.5


def answers(opinion: SecondOpinion, chosen: Sequence[Picture], explain: bool = True) -> pd.DataFrame:
    """A row per picture: picture (its name), likeliest, malignant, ask_expert, reason, refused, lesion_share (the share
    of the picture inside the contour), and a probability per class. What cannot be read has its fault under refused.

    explain: with the contour; without it, large batches take half the time.
    """
    rows = []
    for number, picture in enumerate(chosen, start=1):
        name = tables.printable(str(picture)) if isinstance(picture, (str, Path)) else f"picture {number}"
        try:
            rows.append(row_of(name, answer(opinion, picture, explain)))
        except IsicError as error:
            rows.append(unreadable_row(name, error))
    return table_of(rows, opinion)


def row_of(name: str, said: Answer) -> dict:
    """An answer as a row of a table."""
    row = {"picture": name, "likeliest": said.likeliest, "malignant": said.malignant, "ask_expert": said.ask_expert}
    row |= {"reason": said.reason, "refused": said.refused, **said.probabilities}
    return row | {"lesion_share": None if said.contour is None else said.contour.mean()}


def unreadable_row(name: str, error: IsicError) -> dict:
    """The row of a picture that cannot be read."""
    return {
        "picture": name,
        "ask_expert": True,
        "reason": "no answer, since it cannot be read",
        "refused": tables.printable(str(error)),
    }


def table_of(rows: list[dict], opinion: SecondOpinion) -> pd.DataFrame:
    """Rows of `row_of` as a table, the columns in order."""
    first = ["picture", "likeliest", "malignant", "ask_expert", "reason", "refused", "lesion_share"]
    return pd.DataFrame(rows, columns=[*first, *opinion.classes])


def write_csv(file: Path, table: pd.DataFrame) -> None:
    """Write a table of answers, whole or not at all. Raises IsicError if it cannot be written."""
    runs.write_csv(Path(file), table, remedy="free disk space or choose another file for the table")


def summary(said: Answer) -> str:
    """An answer in a sentence: the three likeliest classes, and whether to ask an expert."""
    if said.refused:
        return said.reason
    largest = said.probabilities.sort_values(ascending=False).head(3)
    return f"{', '.join(f'{code} {value:.0%}' for code, value in largest.items())}; {said.reason}"
