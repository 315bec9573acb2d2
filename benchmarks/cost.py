"""How long the thesis takes on one graphics card, and a lesson in the profile `lab`: an estimate, and how it is made.

    python benchmarks/cost.py              prints the tables of docs/plan.md
    python benchmarks/cost.py --write      puts them there

Needs no graphics card. The full-size networks are run without numbers (PyTorch's device "meta"). Counted are the
multiply-adds forward and backward (`torch.utils.flop_counter`), the numbers that the operations read and write, and the
operations themselves. From these and a card's data sheet:

    time of a step = the longest of  multiply-adds / (peak x SHARE_OF_PEAK) + bytes moved / bandwidth,
                                     operations x LAUNCH,  bytes of the pictures / READING
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

from isic_course import dial as imbalance
from isic_course.thesis import published
from isic_utils import models, settings as profile
from isic_utils.datasets import archive

PLAN = Path(__file__).resolve().parents[1] / "docs" / "plan.md"
SHARE_OF_PEAK = 0.37  # of the peak, while multiplying; see `check_against_published`
LAUNCH = 30e-6  # seconds until Python has started an operation on the card; ours, an assumption
READING = 1e9  # bytes of pictures per second from the store to the card; ours, an assumption
# Bytes that AdamW moves per weight and step: reads weight, slope, two moments; writes all but the slope.
OPTIMIZER = 7 * 4
STAGES_BESIDE_STANDARD = 4  # of the cross-validation: its first is the standard run
PICTURES = int(published.CLASS_COUNTS.sum())  # ISIC 2019
BALANCED = 5 * 1987  # thesis §5.3
PAIRS = 2594  # ISIC 2018 Task 1
LAB_PICTURES = 3000  # python -m isic_utils download 2019 --pictures 3000
LAB_BALANCED = 5 * round(1987 * LAB_PICTURES / PICTURES)
OTHER_MINUTES = 2  # of a lesson: all that trains nothing, as long as the whole lesson takes on a laptop


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
    """What a network does for a picture. forward, backward: multiply-adds; moved, moved_forward: numbers that training
    and answering read and write, without the weights; operations: of a training step; weights: how many it has."""

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
def counted(name: str, height: int, width: int, slim: bool = False) -> Work:
    """The work of a network for a picture of this size. name: of `models.TITLES`, or resnet50, to check the rule."""
    with torch.device("meta"):
        if name == "resnet50":
            model = torchvision.models.resnet50()
        elif name in models.SEGMENTERS:
            model = models.segmenter(name, pretrained=False, slim=slim)
        else:
            model = models.classifier(name, pretrained=False, slim=slim)
        picture = torch.rand(1, 3, height, width)
        with FlopCounterMode(display=False) as both, Movement() as training:
            model(picture).sum().backward()
        model.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as forward, Movement() as answering:
            model(picture)
    weights = sum(parameter.numel() for parameter in model.parameters())
    forward, both = forward.get_total_flops() / 2, both.get_total_flops() / 2
    # The counter takes a depthwise convolution's way back for a full one's; it is twice the way forward, as elsewhere.
    backward = min(both - forward, 2 * forward)
    # Whatever the number of pictures, a step reads each weight forward and backward and writes its slope.
    moved, moved_forward = training.numbers - 3 * weights, answering.numbers - weights
    return Work(forward, backward, moved, moved_forward, training.operations, weights)


def seconds(
    name: str,
    card: Card,
    pictures: int,
    epochs: int,
    size: tuple[int, int],
    batch: int,
    at_once: int | None = None,
    slim: bool = False,
) -> float:
    """Training by the protocol: 70 % of the pictures are trained on and 10 % validate in each epoch; at the end three
    checkpoints answer for validation and test (30 %). at_once: pictures in memory at a time; None: the batch."""
    work = counted(name, *size, slim)
    train, validation, test = 0.7 * pictures, 0.1 * pictures, 0.2 * pictures
    steps, passes = train / batch, train / (at_once or batch)
    training = train * on_card(card, work.forward + work.backward, work.moved)
    training += passes * 3 * work.weights * card.number / card.bandwidth
    training += steps * work.weights * OPTIMIZER / card.bandwidth
    training = max(training, passes * work.operations * LAUNCH, train * size[0] * size[1] * 4 / READING)
    answering = on_card(card, work.forward, work.moved_forward)
    return epochs * (training + validation * answering) + 3 * (validation + test) * answering


def on_card(card: Card, multiply_adds: float, numbers: float) -> float:
    """Seconds for a picture."""
    return 2 * multiply_adds / (card.peak * SHARE_OF_PEAK) + numbers * card.number / card.bandwidth


def check_against_published() -> pd.DataFrame:
    """Pictures of 224×224 per second by this rule, and as published.

    GTX 1080: forward and backward of 16 pictures in 153.90, 235.33 and 232.55 ms (github.com/jcjohnson/cnn-benchmarks).
    A100, training, and T4, answering, in mixed precision: NVIDIA's DeepLearningExamples, ResNet50 v1.5 for PyTorch.
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
        what = f"{title}, {'training' if trains else 'answering'}, {card.name}"
        rows.append({"pictures per second": what, "by this rule": f"{1 / on_card(card, *on):.0f}"})
        rows[-1]["published"] = f"{published_rate:.0f}"
    return pd.DataFrame(rows)


def of_thesis() -> pd.DataFrame:
    """Hours of each classifier and protocol in the profile `full`, on the three cards."""
    sizes = profile.SIZES["full"]
    size = (sizes["picture_size"],) * 2
    rows, totals = [], {}
    for name, title in models.TITLES.items():
        if name in models.SEGMENTERS:
            continue
        work = counted(name, *size)
        row = {"network": title, "weights, millions": f"{work.weights / 1e6:.1f}"} | multiply_adds(work)
        for protocol, pictures, runs in (
            ("standard", PICTURES, 1),
            ("balanced", BALANCED, 1),
            ("cross-validation", PICTURES, STAGES_BESIDE_STANDARD),
        ):
            hours = [
                runs * seconds(name, card, pictures, sizes["epochs"], size, sizes["batch_size"]) / 3600
                for card in CARDS
            ]
            row[protocol] = in_words(hours)
            totals[protocol] = [a + b for a, b in zip(totals.get(protocol, [0] * len(CARDS)), hours, strict=True)]
        rows.append(row)
    rows.append({"network": "all six"} | {protocol: in_words(hours) for protocol, hours in totals.items()})
    return pd.DataFrame(rows)


def of_segmentation() -> pd.DataFrame:
    """Hours of each U-Net in the profile `full`, on the three cards."""
    sizes = profile.SIZES["full"]
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
        sizes["segmentation_at_once"],
    )


def of_disk() -> pd.DataFrame:
    """Gigabytes of everything that `full` keeps."""
    sizes = profile.SIZES["full"]
    side, (height, width) = sizes["picture_size"], sizes["segmentation_size"]
    weights = {name: counted(name, side, side).weights for name in models.NAMES}
    mask_weights = sum(counted(name, height, width).weights for name in models.SEGMENTERS)
    # A run keeps its best checkpoints (3, of a U-Net 2), and the last with AdamW's two moments; 4 bytes a number.
    standard = sum(weights.values()) * 4 * (3 + 3) / 1e9
    files = [file for year in archive.ARCHIVES.values() for file in year.files if file.part == "training"]
    rows = {
        "ISIC 2019 and ISIC 2018, training (while a zip is unpacked, its size again)": sum(f.size for f in files) / 1e9,
        "decoded pictures, 256×256": PICTURES * side * side * 3 / 1e9,
        "decoded pictures with masks, 768×1024": PAIRS * height * width * 4 / 1e9,
        "runs: standard, six networks": standard,
        "runs: balanced, six networks": standard,
        "runs: cross-validation, six networks, four stages besides": STAGES_BESIDE_STANDARD * standard,
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
    """Minutes of each lesson in the profile `lab` on a T4, by what it trains. The others train nothing that counts."""
    sizes = profile.SIZES["lab"]

    def classifier(name: str, pictures: int = LAB_PICTURES) -> float:
        fine_tuning = fine_tuned(name)
        epochs = sizes["fine_tuning_epochs"] if fine_tuning else sizes["epochs"]
        return seconds(name, T4, pictures, epochs, (sizes["picture_size"],) * 2, sizes["batch_size"])

    small = imbalance.SMALL
    dial = seconds(
        "residual",
        T4,
        round(imbalance.TRAINING / 0.7),
        small["epochs"],
        (small["picture_size"],) * 2,
        small["batch_size"],
        slim=True,
    )
    five = [name for name in models.NAMES if name != "efficientnet_lite0"]
    lessons = [
        ("03", "the residual net", classifier("residual")),
        (
            "04",
            "six networks, and the residual net for four epochs",
            sum(map(classifier, models.NAMES)) + 0.2 * classifier("residual"),
        ),
        (
            "05",
            "eight small ones for the dial, five balanced, four residual nets for as many steps",
            8 * dial + sum(classifier(name, LAB_BALANCED) for name in five) + 4 * classifier("residual"),
        ),
        (
            "06",
            "VGG16 and AlexNet in five stages, AlexNet in five more by lesion",
            5 * classifier("vgg16") + 10 * classifier("alexnet"),
        ),
        (
            "07",
            "three U-Nets with different losses, one with an ImageNet encoder",
            3 * segmentation("unet", T4, sizes) + segmentation("unet_lite0", T4, sizes),
        ),
        ("09", "EfficientNet-Lite0 by lesion", classifier("efficientnet_lite0")),
    ]
    rows = [
        {"lesson": lesson, "trains": what, "training, minutes": f"{value / 60:.0f}"}
        | {"with all else, minutes": f"{value / 60 + OTHER_MINUTES:.0f}"}
        for lesson, what, value in lessons
    ]
    return pd.DataFrame(rows)


def fine_tuned(name: str) -> bool:
    """Whether the network starts from ImageNet weights in `lab`."""
    return models.MODELS[name].has_weights


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
