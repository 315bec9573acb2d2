"""A second opinion on an image: calibrated probabilities, whether to ask an expert, the contour, and where the network
looked; or an abstention, with its reason.

For learning what such a tool can and cannot do. It is not a medical device, and what it says is no advice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from isic_utils.archive import IMAGE_TYPES
from isic_utils.datasets import ImageStore
from isic_utils.datasets.images import read_image, resize, to_rgb
from isic_utils.datasets.tables import printable
from isic_utils.errors import IsicError
from isic_utils.inference.gradcam import grad_cam
from isic_utils.inference.ood import OodDetector
from isic_utils.inference.postprocess import enlarge, one_region
from isic_utils.inference.predict import check_run
from isic_utils.metrics import calibration
from isic_utils.settings import Settings
from isic_utils.training import Run, get_accelerator

STATEMENT = "For learning only: this is not a medical device, and nothing it says is medical advice."
SYNTHETIC_STATEMENT = "It was trained on synthetic images, drawn by code: about real skin it knows nothing."
SENSITIVITY = 0.95  # the share of the malignant validation images for which an expert must be asked
MAX_TRAINING = 2000  # the detector is fitted to at most so many training images
AnyImage = Path | str | Image.Image | np.ndarray


@dataclass(frozen=True)
class SecondOpinion:
    """Trained models, and what was fitted on the validation set: a classifier, perhaps a U-Net, the temperature,
    the threshold of the malignant probability for a sensitivity, and the detector of what is out of distribution."""

    run: Run
    mask_run: Run | None
    model: nn.Module
    mask_model: nn.Module | None
    temperature: float
    threshold: float
    sensitivity: float
    detector: OodDetector

    @property
    def classes(self) -> list[str]:
        """The codes of the classes, in the order of the probabilities."""
        return self.run.config["classes"]

    @property
    def synthetic(self) -> bool:
        """Whether the classifier was trained on images that are drawn by code."""
        return self.run.config["synthetic"]


@dataclass(frozen=True)
class Opinion:
    """What is said of one image. probabilities: calibrated, by class code; malignant: the sum of those of the malignant
    classes; ask_expert, reason: whether and why, in words.

    contour: boolean [height, width] of the image, True on the lesion, None without a U-Net; heat: where the image
    supports the predicted class (`grad_cam`), float [height, width] of the network's input, None if not asked for.
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
        largest = self.probabilities.sort_values(ascending=False).head(3)
        return f"{', '.join(f'{code} {value:.0%}' for code, value in largest.items())}; {self.reason}"


def assemble(run: Run, mask_run: Run | None, store: ImageStore, sensitivity: float = SENSITIVITY) -> SecondOpinion:
    """Load the models of finished runs, and set temperature, threshold and detector by the validation set.

    run: of a classifier; mask_run: of a U-Net, for contours, or None; store: the images that the classifier was trained
    on, at its size; sensitivity: above 0, at most 1. Raises IsicError if a run is not finished or of the other task,
    the store is another, or the validation set has no malignant image.
    """
    check_run(run, "classification")
    if mask_run is not None:
        check_run(mask_run, "segmentation")
    classes, validation = run.config["classes"], run.predictions("validation")
    probabilities, true = validation[classes].to_numpy(), pd.Index(classes).get_indexer(validation["label"])
    temperature = calibration.fit_temperature(probabilities, true)
    scores = calibration.malignant_probability(calibration.apply_temperature(probabilities, temperature), classes)
    malignant = validation["label"].map(calibration.is_malignant).to_numpy()
    if not malignant.any():
        raise IsicError(f"{run.folder} has no malignant validation image, so no threshold: choose another run.")
    threshold = calibration.threshold_for(sensitivity, scores, malignant)
    models = run.load_model(), mask_run and mask_run.load_model()
    return SecondOpinion(run, mask_run, *models, temperature, threshold, sensitivity, fit_detector(run, store))


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
        try:
            check_run(run, task)
            config, score = run.config, run.history[f"validation_{run.headline}"].max()
        except (ValueError, KeyError, OSError):
            continue  # not finished, of the other task, or damaged
        if store is None or store.digest == config["images"]:
            found.append((len(config["classes"] or []) == 8, config["group_by"] == "lesion", score, run.folder))
    return Run(max(found)[-1]) if found else None


def opinion_on(second_opinion: SecondOpinion, image: AnyImage, explain: bool = True) -> Opinion:
    """What the models say of one image.

    image: a JPEG or PNG file, a PIL image of any mode, or uint8 [height, width, 3]; explain: with contour and heat.
    Raises IsicError if it cannot be read.
    """
    image = read(image)
    pixels = resize(image, second_opinion.run.config["image_size"])
    (abstained,) = second_opinion.detector.reasons(pixels[np.newaxis])
    if abstained:
        return abstain(second_opinion, abstained)
    batch = as_batch(pixels)
    calibrated = calibrated_probabilities(second_opinion, batch)
    malignant = float(calibration.malignant_probability(calibrated, second_opinion.classes)[0])
    heat = contour = None
    if explain:
        heat = grad_cam(second_opinion.model, batch, int(calibrated.argmax()))
        contour = draw_contour(second_opinion, image) if second_opinion.mask_model else None
    ask = malignant >= second_opinion.threshold
    reason = (
        f"{'ask an expert' if ask else 'no alarm'}: the malignant classes together have a probability of "
        f"{malignant:.1%}, the threshold is {second_opinion.threshold:.1%}, which found "
        f"{second_opinion.sensitivity:.0%} of the malignant validation images{'' if ask else '; that excludes nothing'}"
    )
    return Opinion(pd.Series(calibrated[0], second_opinion.classes), malignant, ask, reason, contour, heat)


def abstain(second_opinion: SecondOpinion, why: str) -> Opinion:
    """An opinion without a prediction."""
    nothing = pd.Series(np.nan, second_opinion.classes)
    return Opinion(nothing, np.nan, True, f"no prediction, since {why}", abstained=why)


def read(image: AnyImage) -> Image.Image:
    """A file, PIL image or array as an RGB image, as `images.read_image` checks and converts it."""
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if not isinstance(image, np.ndarray):
        return read_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise IsicError(f"The array is {image.dtype} {image.shape}: give an image as uint8 [height, width, 3], RGB.")
    return Image.fromarray(image)


def as_batch(pixels: np.ndarray) -> torch.Tensor:
    """One image, uint8 [height, width, 3], as networks take it: float [1, 3, height, width] from 0 to 1, on the
    device."""
    batch = torch.from_numpy(pixels.copy()).to(get_accelerator().device)
    return batch.permute(2, 0, 1)[None].float().div_(255)


@torch.no_grad()
def calibrated_probabilities(second_opinion: SecondOpinion, batch: torch.Tensor) -> np.ndarray:
    """The calibrated probabilities of some images, float [n, classes]; for any image, also out of distribution.

    batch: float [n, 3, height, width] from 0 to 1, on the model's device and at its size.
    """
    probabilities = second_opinion.model(batch).softmax(dim=1).cpu().numpy()
    return calibration.apply_temperature(probabilities, second_opinion.temperature)


@torch.no_grad()
def draw_contour(second_opinion: SecondOpinion, image: Image.Image) -> np.ndarray:
    """The lesion as the U-Net predicts it, kept to one region: boolean [height, width] of the image."""
    pixels = resize(image, second_opinion.mask_run.config["image_size"])
    probability = second_opinion.mask_model(as_batch(pixels))[0, 0].sigmoid().cpu().numpy()
    region = one_region(probability > 0.5)  # at the small size, where a large image takes no longer than another
    kept = np.where(region, probability.clip(0.51), probability.clip(max=0.49))
    return enlarge(kept, image.height, image.width) > 0.5


def opinions_on(
    second_opinion: SecondOpinion,
    images: Sequence[AnyImage],
    explain: bool = True,
    tell: Callable[[str, Image.Image | None, Opinion], object] = lambda *_: None,
) -> pd.DataFrame:
    """A row per image: image (its name), predicted, malignant, ask_expert, reason, abstained, lesion_share (of the
    image inside the contour), and a probability per class. One that cannot be read has its fault under abstained.

    explain: with the contour; without it, many images take half the time. tell: called after each image, which is None
    if it cannot be read.
    """
    rows = []
    for number, source in enumerate(images, start=1):
        name = printable(str(source)) if isinstance(source, (str, Path)) else f"image {number}"
        try:
            image = read(source)
            opinion = opinion_on(second_opinion, image, explain)
        except IsicError as error:
            image, opinion = None, abstain(second_opinion, printable(str(error)))
        tell(name, image, opinion)
        row = {"image": name, "predicted": opinion.predicted, "malignant": opinion.malignant}
        row |= {"ask_expert": opinion.ask_expert, "reason": opinion.reason, "abstained": opinion.abstained}
        row["lesion_share"] = np.nan if opinion.contour is None else opinion.contour.mean()
        rows.append(row | opinion.probabilities.to_dict())
    return pd.DataFrame(rows)


def image_files(places: Sequence[Path]) -> list[Path]:
    """Files as they are, and for a folder the JPEG and PNG files in it, by name, without hidden ones (macOS puts
    ``._x.jpg`` beside ``x.jpg``). Raises IsicError for a folder without images."""
    files = []
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else []
        found = [f for f in inside if f.is_file() and f.suffix.lower() in IMAGE_TYPES and f.name[0] != "."]
        if place.is_dir() and not found:
            raise IsicError(f"{place} holds no JPEG or PNG image: name a folder with images, or an image.")
        files += found or [place]
    return files
