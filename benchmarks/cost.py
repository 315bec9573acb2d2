"""How long the thesis takes on one graphics card, and a lesson in the profile `lab`: an estimate, and how it is made.

    python benchmarks/cost.py              prints the tables of docs/plan.md
    python benchmarks/cost.py --write      puts them there

Needs no graphics card. The full-size networks are run without values (PyTorch's device "meta"). The script counts the
multiply-adds forward and backward (`torch.utils.flop_counter`), the numbers that the operations read and write, and the
operations themselves. From these counts and a card's data sheet:

    time of a step = the longest of  multiply-adds / (peak x SHARE_OF_PEAK) + bytes moved / bandwidth,
                                     operations x LAUNCH,  bytes of the images / READING
"""

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import marks
import pandas as pd
import torch
import torchvision
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from isic_course import dial
from isic_utils import models
from isic_utils.archive import COUNTS_2019
from isic_utils.datasets import download
from isic_utils.settings import PROFILES

PLAN = Path(__file__).resolve().parents[1] / "docs" / "plan.md"
SHARE_OF_PEAK = 0.37  # of the peak, while multiplying; see `check_against_published`
LAUNCH = 30e-6  # seconds until Python has started an operation on the card; ours, an assumption
READING = 1e9  # bytes of images per second from the store to the card; ours, an assumption
# Bytes that AdamW moves per weight and step: reads weight, gradient, two moments; writes all but the gradient.
OPTIMIZER = 7 * 4
FOLDS_BESIDE_STANDARD = 4  # of the cross-validation: its first is the standard run
IMAGES = sum(COUNTS_2019.values())  # ISIC 2019
BALANCED = 5 * 1987  # thesis §5.3
PAIRS = 2594  # ISIC 2018 Task 1
LAB_IMAGES = 3000  # python -m isic_utils download 2019 --images 3000
LAB_BALANCED = 5 * round(1987 * LAB_IMAGES / IMAGES)
OTHER_MINUTES = 2  # of a lesson, for everything but training: as long as the whole lesson takes on a laptop


@dataclass(frozen=True)
class Card:
    """peak: multiplications and additions per second; bandwidth: bytes per second; number: bytes of one."""

    name: str
    peak: float
    bandwidth: float
    number: int


GTX_1080 = Card("GTX 1080", 8.9e12, 320e9, 4)  # 32 bits: it is no faster in 16
T4 = Card("T4", 65e12, 320e9, 2)
A100 = Card("A100", 312e12, 2039e9, 2)  # of 80 GB
CARDS = [GTX_1080, T4, A100]


@dataclass(frozen=True)
class Work:
    """The work of a network for an image. forward, backward: multiply-adds; moved, moved_forward: numbers that training
    and predicting read and write, without the weights; operations: of a training step; weights: how many it has."""

    forward: float
    backward: float
    moved: float
    moved_forward: float
    operations: int
    weights: int


class Movement(TorchDispatchMode):
    """Counts operations, and the numbers that each reads and writes."""

    def __init__(self):
        super().__init__()
        self.numbers = 0
        self.operations = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if not operation.is_view:  # a view moves nothing
            self.operations += 1
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.numbers += sum(tensor.numel() for tensor in tensors)
        return result


@cache
def counted(name: str, height: int, width: int, multiplier: float = 1.0) -> Work:
    """The work of a network for an image of this size. name: of `models.MODELS`, or resnet50, to check the rule;
    multiplier: the width multiplier."""
    with torch.device("meta"):
        if name == "resnet50":
            model = torchvision.models.resnet50()
        else:
            model = models.create_model(name, pretrained=False, width=multiplier)
        image = torch.rand(1, 3, height, width)
        with FlopCounterMode(display=False) as both, Movement() as training:
            model(image).sum().backward()
        model.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as forward, Movement() as predicting:
            model(image)
    weights = sum(parameter.numel() for parameter in model.parameters())
    forward, both = forward.get_total_flops() / 2, both.get_total_flops() / 2
    # The counter takes the backward pass of a depthwise convolution for that of a full one; it is twice the forward.
    backward = min(both - forward, 2 * forward)
    # Whatever the number of images, a step reads each weight forward and backward and writes its gradient.
    moved, moved_forward = training.numbers - 3 * weights, predicting.numbers - weights
    return Work(forward, backward, moved, moved_forward, training.operations, weights)


def seconds(
    name: str,
    card: Card,
    images: int,
    epochs: int,
    size: tuple[int, int],
    batch: int,
    micro_batch: int | None = None,
    multiplier: float = 1.0,
) -> float:
    """Training by the protocol: 70 % of the images are trained on and 10 % validate in each epoch; at the end three
    checkpoints predict validation and test (30 %). micro_batch: images in memory at a time; None: the batch."""
    work = counted(name, *size, multiplier)
    train, validation, test = 0.7 * images, 0.1 * images, 0.2 * images
    training = training_seconds(work, card, train, size, batch, micro_batch)
    predicting = on_card(card, work.forward, work.moved_forward)
    return epochs * (training + validation * predicting) + 3 * (validation + test) * predicting


def training_seconds(
    work: Work,
    card: Card,
    images: float,
    size: tuple[int, int],
    batch: int,
    micro_batch: int | None = None,
    reading: float = READING,
) -> float:
    """Training on so many images once. reading: bytes of images that come to the card in a second; inf: are there."""
    steps, passes = images / batch, images / (micro_batch or batch)
    training = images * on_card(card, work.forward + work.backward, work.moved)
    training += passes * 3 * work.weights * card.number / card.bandwidth
    training += steps * work.weights * OPTIMIZER / card.bandwidth
    return max(training, passes * work.operations * LAUNCH, images * size[0] * size[1] * 4 / reading)


def on_card(card: Card, multiply_adds: float, numbers: float) -> float:
    """Seconds for an image."""
    return 2 * multiply_adds / (card.peak * SHARE_OF_PEAK) + numbers * card.number / card.bandwidth


def check_against_published() -> pd.DataFrame:
    """Images of 224×224 pixels per second by this rule, and as published.

    GTX 1080: forward and backward of 16 images in 153.90, 235.33 and 232.55 ms (github.com/jcjohnson/cnn-benchmarks).
    A100, training, and T4, predicting, in mixed precision: NVIDIA's DeepLearningExamples, ResNet50 v1.5 for PyTorch.
    """
    rows = []
    for card, name, title, trains, published_rate in (
        (GTX_1080, "resnet50", "ResNet50", True, 16 / 0.15390),
        (T4, "resnet50", "ResNet50", False, 1198),
        (A100, "resnet50", "ResNet50", True, 2470),
        (GTX_1080, "resnet101", "ResNet101", True, 16 / 0.23533),
        (GTX_1080, "vgg16", "VGG16", True, 16 / 0.23255),
    ):
        work = counted(name, 224, 224)
        on = (work.forward + work.backward, work.moved) if trains else (work.forward, work.moved_forward)
        what = f"{title}, {'training' if trains else 'predicting'}, {card.name}"
        rows.append({"images per second": what, "by this rule": f"{1 / on_card(card, *on):.0f}"})
        rows[-1]["published"] = f"{published_rate:.0f}"
    return pd.DataFrame(rows)


def of_thesis() -> pd.DataFrame:
    """Hours of each classifier and protocol in the profile `full`, on the three cards."""
    sizes = PROFILES["full"]
    size = (sizes["image_size"],) * 2
    rows, totals = [], {}
    for name in models.CLASSIFIERS:
        title = models.TITLES[name]
        work = counted(name, *size)
        row = {"network": title, "weights, millions": f"{work.weights / 1e6:.1f}"} | multiply_adds(work)
        for protocol, images, runs in (
            ("standard", IMAGES, 1),
            ("balanced", BALANCED, 1),
            ("cross-validation", IMAGES, FOLDS_BESIDE_STANDARD),
        ):
            hours = [
                runs * seconds(name, card, images, sizes["epochs"], size, sizes["batch_size"]) / 3600 for card in CARDS
            ]
            row[protocol] = in_words(hours)
            totals[protocol] = [a + b for a, b in zip(totals.get(protocol, [0] * len(CARDS)), hours, strict=True)]
        rows.append(row)
    rows.append({"network": "all six"} | {protocol: in_words(hours) for protocol, hours in totals.items()})
    return pd.DataFrame(rows)


def of_segmentation() -> pd.DataFrame:
    """Hours of each U-Net in the profile `full`, on the three cards."""
    sizes = PROFILES["full"]
    rows = []
    for name in models.SEGMENTERS:
        work = counted(name, *sizes["segmentation_size"])
        row = {"network": models.TITLES[name], "weights, millions": f"{work.weights / 1e6:.1f}"} | multiply_adds(work)
        hours = [segmentation(name, card, sizes) / 3600 for card in CARDS]
        rows.append(row | {"segmentation": in_words(hours)})
    return pd.DataFrame(rows)


def segmentation(name: str, card: Card, sizes: dict) -> float:
    """Seconds of a U-Net's training."""
    return seconds(
        name,
        card,
        PAIRS,
        sizes["segmentation_epochs"],
        sizes["segmentation_size"],
        sizes["segmentation_batch_size"],
        sizes["segmentation_micro_batch_size"],
    )


def of_disk() -> pd.DataFrame:
    """Gigabytes of everything that the profile `full` stores."""
    sizes = PROFILES["full"]
    side, (height, width) = sizes["image_size"], sizes["segmentation_size"]
    weights = {name: counted(name, side, side).weights for name in models.CLASSIFIERS}
    mask_weights = sum(counted(name, height, width).weights for name in models.SEGMENTERS)
    # A run keeps its best checkpoints (3, of a U-Net 2), and the last with AdamW's two moments; 4 bytes a number.
    standard = sum(weights.values()) * 4 * (3 + 3) / 1e9
    files = [file for year in download.ARCHIVES.values() for file in year if file.split == "training"]
    rows = {
        "ISIC 2019 and ISIC 2018, training (while a zip is unpacked, its size again)": sum(f.size for f in files) / 1e9,
        "decoded images, 256×256": IMAGES * side * side * 3 / 1e9,
        "decoded images with masks, 768×1024": PAIRS * height * width * 4 / 1e9,
        "runs: standard, six networks": standard,
        "runs: balanced, six networks": standard,
        "runs: cross-validation, six networks, four folds besides": FOLDS_BESIDE_STANDARD * standard,
        "runs: segmentation, two networks": mask_weights * 4 * (2 + 3) / 1e9,
    }
    rows["all"] = sum(rows.values())
    return pd.DataFrame({"what": list(rows), "GB": [f"{value:.1f}" for value in rows.values()]})


def multiply_adds(work: Work) -> dict[str, str]:
    """Both counts in billions, as text."""
    return {
        "multiply-adds, forward": f"{work.forward / 1e9:.2f}",
        "forward and backward": f"{(work.forward + work.backward) / 1e9:.2f}",
    }


def in_words(hours: list[float]) -> str:
    """Hours on the three cards."""
    return " / ".join(f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in hours)


def of_lab() -> pd.DataFrame:
    """Minutes of each lesson in the profile `lab` on a T4, by what it trains. The others train almost nothing."""
    sizes = PROFILES["lab"]

    def classifier(name: str, images: int = LAB_IMAGES) -> float:
        fine_tuning = fine_tuned(name)
        epochs = sizes["fine_tuning_epochs"] if fine_tuning else sizes["epochs"]
        return seconds(name, T4, images, epochs, (sizes["image_size"],) * 2, sizes["batch_size"])

    for_dial = seconds(
        "residual",
        T4,
        round(dial.TRAINING / 0.7),
        dial.EPOCHS,
        (dial.IMAGE_SIZE,) * 2,
        dial.BATCH_SIZE,
        multiplier=models.MODELS["residual"].narrow_width,
    )
    five = [name for name in models.CLASSIFIERS if name != "efficientnet_lite0"]
    lessons = [
        ("03", "the residual net", classifier("residual")),
        (
            "04",
            "six networks, and AlexNet twice for two epochs",
            sum(map(classifier, models.CLASSIFIERS)) + 0.2 * classifier("alexnet"),
        ),
        (
            "05",
            "eight small networks for the dial, five on balanced classes, six residual nets for as many steps",
            8 * for_dial + sum(classifier(name, LAB_BALANCED) for name in five) + 6 * classifier("residual"),
        ),
        (
            "06",
            "the residual net and AlexNet in five folds, and AlexNet in five more split by image",
            5 * classifier("residual") + 10 * classifier("alexnet"),
        ),
        (
            "07",
            "three U-Nets with different losses, one with an ImageNet encoder",
            3 * segmentation("unet", T4, sizes) + segmentation("unet_lite0", T4, sizes),
        ),
    ]
    rows = [
        {"lesson": lesson, "trains": what, "training, minutes": f"{value / 60:.0f}"}
        | {"with all else, minutes": f"{value / 60 + OTHER_MINUTES:.0f}"}
        for lesson, what, value in lessons
    ]
    return pd.DataFrame(rows)


def fine_tuned(name: str) -> bool:
    """Whether the network starts from ImageNet weights in `lab`."""
    return models.MODELS[name].weights is not None


def tables() -> dict[str, str]:
    """The tables of docs/plan.md by name, as Markdown."""
    makers = {
        "thesis": of_thesis,
        "segmentation": of_segmentation,
        "disk": of_disk,
        "lab": of_lab,
        "check": check_against_published,
    }
    return {name: markdown(make()) for name, make in makers.items()}


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [list(table), ["---"] * len(table.columns), *table.fillna("").astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(plan: Path, texts: dict[str, str]) -> None:
    """Put each table between its two marks."""
    page = plan.read_text(encoding="utf-8")
    for name, text in texts.items():
        start, end = f"<!-- {name}: written by benchmarks/cost.py -->", f"<!-- end of {name} -->"
        page = marks.replaced(page, start, end, text)
    plan.write_text(page, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into docs/plan.md")
    arguments = parser.parse_args()
    texts = tables()
    for name, text in texts.items():
        print(f"{name}\n{text}\n")
    if arguments.write:
        write(PLAN, texts)


if __name__ == "__main__":
    main()
