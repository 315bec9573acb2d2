"""A second opinion on an image: calibrated probabilities, whether to ask an expert, the contour, and where the network
looked; or an abstention, with its reason.

For learning what such a tool can and cannot do. It is not a medical device, and what it says is no advice.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from isic_utils import files
from isic_utils.archive import IMAGE_TYPES
from isic_utils.datasets.images import ImageStore, read_image, resize, to_rgb
from isic_utils.errors import IsicError
from isic_utils.inference.gradcam import grad_cam
from isic_utils.inference.ood import OodDetector
from isic_utils.inference.postprocess import enlarge, one_region
from isic_utils.inference.predict import check_run
from isic_utils.metrics import calibration
from isic_utils.settings import Settings
from isic_utils.training import Run, get_accelerator, runs

STATEMENT = "For learning only: this is not a medical device, and nothing it says is medical advice."
SYNTHETIC_STATEMENT = "It was trained on synthetic images, drawn by code: about real skin it knows nothing."
SENSITIVITY = 0.95  # the share of the malignant validation images for which an expert must be asked
DECISIONS = "decisions.json"  # in a classifier's folder
MAX_TRAINING = 2000  # the detector is fitted to at most so many training images
AnyImage = Path | str | bytes | Image.Image | np.ndarray


@dataclass(frozen=True)
class SecondOpinion:
    """Trained models, and what was fitted on the validation set: a classifier, perhaps a U-Net, the temperature,
    the threshold of the malignant probability for a sensitivity, and the detector of what is out of distribution."""

    run: Run
    mask_run: Run | None
    model: torch.nn.Module
    mask_model: torch.nn.Module | None
    temperature: float
    threshold: float
    sensitivity: float
    detector: OodDetector

    @property
    def classes(self) -> list[str]:
        """The codes of the classes, in the order of the probabilities."""
        return self.run.config["classes"]


@dataclass(frozen=True)
class Opinion:
    """What is said of one image. probabilities: calibrated, by class code; malignant: the sum of those of the malignant
    classes; ask_expert, reason: whether and why, in words.

    contour: boolean [height, width] of the image, True on the lesion, None without a U-Net; heat: where the image
    supports the predicted class (`grad_cam`), float [height, width] of the network's input.
    abstained: why there is no prediction, or None. An abstention has no probabilities (NaN), contour or heat.
    """

    probabilities: pd.Series
    malignant: float
    ask_expert: bool
    reason: str
    contour: np.ndarray | None = None
    heat: np.ndarray | None = None
    abstained: str | None = None

    @property
    def predicted(self) -> str | None:
        """The code of the class with the largest probability; None if it abstains."""
        return None if self.abstained else self.probabilities.idxmax()

    @property
    def summary(self) -> str:
        """The opinion in a sentence: the three most probable classes, and whether to ask an expert."""
        if self.abstained:
            return self.reason
        largest = self.probabilities.nlargest(3)
        return f"{', '.join(f'{code} {value:.0%}' for code, value in largest.items())}; {self.reason}"


def assemble(
    run: Run, mask_run: Run | None, store: ImageStore | None = None, table: pd.DataFrame | None = None
) -> SecondOpinion:
    """Load the models of finished runs, and with them what `decide` has written for the classifier.

    run: of a classifier; mask_run: of a U-Net, for contours, or None; store, table: as `decide` takes them, needed only
    if it has not yet written anything for this run. Raises IsicError if a run is not finished or of the
    other task, and what `decide` raises.
    """
    decisions = read_decisions(run) or decide(run, store, table)
    if mask_run is not None:
        check_run(mask_run, "segmentation")
    return SecondOpinion(run, mask_run, run.load_model(), mask_run and mask_run.load_model(), **decisions)


def decide(run: Run, store: ImageStore | None, table: pd.DataFrame | None) -> dict:
    """Set temperature, threshold and detector of a classifier by its validation set, and write them into its folder:
    ``decisions.json``, with which a second opinion needs no training image. A folder that cannot be written stays as it
    is.

    The temperature is 1 if its interval over lesions includes 1. store: the images that the classifier was trained on,
    at its size; table: their lesions, columns image and lesion_id (str or missing). Returns the fields of
    `SecondOpinion` by name. Raises IsicError if store or table is None, the run is
    not finished, the store is another, or the validation set has no malignant image.
    """
    check_run(run, "classification")
    if store is None or table is None:
        raise IsicError(f"{run.folder / DECISIONS} is missing, damaged or outdated: the run's images make it anew.")
    classes, validation = run.config["classes"], run.predictions("validation")
    probabilities, true = validation[classes].to_numpy(), pd.Index(classes).get_indexer(validation["label"])
    malignant = validation["label"].map(calibration.is_malignant).to_numpy()
    if not malignant.any():
        raise IsicError(f"{run.folder} has no malignant validation image, so no threshold: choose another run.")
    lesions = validation["image"].map(table.set_index("image")["lesion_id"]).fillna(validation["image"])
    low, high = calibration.temperature_interval(probabilities, true, lesions)
    temperature = 1.0 if low <= 1 <= high else calibration.fit_temperature(probabilities, true)
    scores = calibration.malignant_probability(calibration.apply_temperature(probabilities, temperature), classes)
    threshold = calibration.threshold_for(SENSITIVITY, scores, malignant)
    detector = fit_detector(run, store)
    decided = {"temperature": temperature, "threshold": threshold, "sensitivity": SENSITIVITY}
    limits = {name: np.asarray(value).tolist() for name, value in asdict(detector).items()}
    written = {"predictions": digest_of_predictions(run), "temperature_interval": [low, high], "detector": limits}
    with contextlib.suppress(IsicError):  # in a read-only folder: then they are decided each time
        files.write_json(run.folder / DECISIONS, decided | written)
    return decided | {"detector": detector}


def read_decisions(run: Run) -> dict | None:
    """What `decide` has written and returned; None if it is missing, damaged, or of another training or sensitivity.
    Raises IsicError if the run is not finished, or not of a classifier."""
    check_run(run, "classification")
    try:
        written = json.loads((run.folder / DECISIONS).read_text(encoding="utf-8"))
        if written["predictions"] != digest_of_predictions(run) or written["sensitivity"] != SENSITIVITY:
            return None
        limits = {name: np.array(value, dtype=float) for name, value in written["detector"].items()}
        decided = {name: float(written[name]) for name in ("temperature", "threshold", "sensitivity")}
        return decided | {"detector": OodDetector(**limits)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def digest_of_predictions(run: Run) -> str:
    """A short text that changes with the validation predictions, by which `read_decisions` knows another training."""
    return runs.digest((run.folder / "predictions_validation.csv").read_text(encoding="utf-8"))


def fit_detector(run: Run, store: ImageStore) -> OodDetector:
    """A detector fitted to the images outside a run's validation and test set; the validation set sets its limits.

    store: the images that the run was trained on, at its size. Raises IsicError if they are others.
    """
    if store.digest != run.config["images"]:
        raise IsicError(f"{run.folder} was trained on other images or sizes: set ISIC_DATA, ISIC_PROFILE as then.")
    validation, test = (store.rows(run.predictions(split)["image"]) for split in ("validation", "test"))
    training = np.setdiff1d(np.arange(len(store)), np.concatenate([validation, test]))
    training = training[:: -(-len(training) // MAX_TRAINING)]
    return OodDetector.fit(store.take(training), store.take(np.sort(validation)))


def best_run(settings: Settings, task: str = "classification", store: ImageStore | None = None) -> Run | None:
    """The finished run of a task with the highest BMA or Jaccard index on validation; None if there is none.

    Eight classes come before five, and a split grouped by lesion before one by image, since with fewer classes, or with
    lesions known from training, validation is easier. store: pass over runs on other images, or another size of them.
    """
    found = []
    for file in (settings.runs / settings.data_name).rglob("config.json"):
        run = Run(file.parent)
        with contextlib.suppress(ValueError, KeyError, OSError):  # not finished, of the other task, or damaged
            check_run(run, task)
            config, score = run.config, run.history[f"validation_{run.headline}"].max()
            if store is None or store.digest == config["images"]:
                found.append((len(config["classes"] or []) == 8, config["group_by"] == "lesion", score, run.folder))
    return Run(max(found)[-1]) if found else None


def opinion_on(second_opinion: SecondOpinion, image: AnyImage, whole: Image.Image | None = None) -> Opinion:
    """What the models say of one image.

    image: a JPEG, PNG or WebP file or its bytes, a PIL image of any mode, or uint8 [height, width, 3]; whole: what
    `read` returned for it, if that is at hand, so that the U-Net's input need not be decoded again. Raises IsicError if
    the image cannot be read.
    """
    size = second_opinion.run.config["image_size"]
    pixels = resize(read(image, at_least=max(size)), size)  # decoded as by `ImageStore`: else grey levels would differ
    (abstained,) = second_opinion.detector.reasons(pixels[np.newaxis])
    if abstained:
        return abstain(second_opinion, abstained)
    batch = as_batch(pixels)
    with torch.no_grad():
        probabilities = second_opinion.model(batch).softmax(dim=1).cpu().numpy()
    calibrated = calibration.apply_temperature(probabilities, second_opinion.temperature)
    malignant = float(calibration.malignant_probability(calibrated, second_opinion.classes)[0])
    heat = grad_cam(second_opinion.model, batch, int(calibrated.argmax()))
    contour = draw_contour(second_opinion, whole or read(image)) if second_opinion.mask_model else None
    limit = second_opinion.threshold
    ask = malignant >= limit
    compared = f"the malignant classes together have a probability of {malignant:.1%}, the threshold is {limit:.1%}"
    found = f"which found {second_opinion.sensitivity:.0%} of the malignant validation images"
    reason = f"ask an expert: {compared}, {found}" if ask else f"no alarm: {compared}, {found}; that excludes nothing"
    return Opinion(pd.Series(calibrated[0], second_opinion.classes), malignant, ask, reason, contour, heat)


def abstain(second_opinion: SecondOpinion, why: str) -> Opinion:
    """An opinion without a prediction."""
    nothing = pd.Series(np.nan, second_opinion.classes)
    return Opinion(nothing, np.nan, True, f"no prediction, since {why}", abstained=why)


def read(image: AnyImage, at_least: int | None = None) -> Image.Image:
    """A file, its bytes, a PIL image or an array as an RGB image, as `images.read_image` checks and converts it."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise IsicError(f"The array is {image.dtype} {image.shape}: give an image as uint8 [height, width, 3].")
        image = Image.fromarray(image)
    return to_rgb(image) if isinstance(image, Image.Image) else read_image(image, at_least)


def as_batch(pixels: np.ndarray) -> torch.Tensor:
    """One image, uint8 [height, width, 3], as networks take it: float [1, 3, height, width] from 0 to 1, on the
    device."""
    return torch.from_numpy(pixels.copy()).to(get_accelerator().device).permute(2, 0, 1)[None].float().div_(255)


@torch.no_grad()
def draw_contour(second_opinion: SecondOpinion, image: Image.Image) -> np.ndarray:
    """The lesion as the U-Net predicts it, kept to one region: boolean [height, width] of the image."""
    pixels = resize(image, second_opinion.mask_run.config["image_size"])
    probability = second_opinion.mask_model(as_batch(pixels))[0, 0].sigmoid().cpu().numpy()
    region = one_region(probability > 0.5)  # at the small size, where a large image takes no longer than another
    kept = np.where(region, probability.clip(0.51), probability.clip(max=0.49))
    return enlarge(kept, image.height, image.width) > 0.5


def each_opinion(second_opinion: SecondOpinion, images: Sequence[AnyImage]) -> Iterator[tuple]:
    """Name, image (RGB) and opinion for one image after another. One that cannot be read is None, and the opinion says
    why under abstained."""
    for number, source in enumerate(images, start=1):
        name = printable(str(source)) if isinstance(source, (str, Path)) else f"image {number}"
        try:
            image = read(source)
            yield name, image, opinion_on(second_opinion, source, whole=image)
        except (IsicError, OSError) as error:
            yield name, None, abstain(second_opinion, printable(str(error)))


def printable(name: str) -> str:
    """A name as it can be printed and written: bytes that are no valid text, e.g. of an old zip, as ``\\udcf1``."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def row_of(name: str, opinion: Opinion) -> dict:
    """A row of a table of opinions, as `opinions_on` describes it."""
    row = {"image": name, "predicted": opinion.predicted, "malignant": opinion.malignant}
    row |= {"ask_expert": opinion.ask_expert, "reason": opinion.reason, "abstained": opinion.abstained}
    row["lesion_share"] = np.nan if opinion.contour is None else opinion.contour.mean()
    return row | opinion.probabilities.to_dict()


def opinions_on(second_opinion: SecondOpinion, images: Sequence[AnyImage]) -> pd.DataFrame:
    """A row per image: image (its name), predicted, malignant, ask_expert, reason, abstained, lesion_share (of the
    image inside the contour), and a probability per class. One that cannot be read has its fault under abstained."""
    return pd.DataFrame([row_of(name, opinion) for name, _, opinion in each_opinion(second_opinion, images)])


def image_files(places: Sequence[Path]) -> list[Path]:
    """Files as they are, and for a folder the images in it, by name, without hidden ones (macOS puts
    ``._x.jpg`` beside ``x.jpg``). Raises IsicError for a folder without images."""
    files = []
    for place in places:
        inside = sorted(place.glob("[!.]*")) if place.is_dir() else [place]
        found = [f for f in inside if f == place or f.is_file() and f.suffix.lower() in IMAGE_TYPES]
        if not found:
            raise IsicError(f"{place} holds no JPEG, PNG or WebP image: name a folder with images, or an image.")
        files += found
    return files
