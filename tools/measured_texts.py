"""What the book says of each table of benchmarks/results/measured_*.csv: `measured_page` shows them.

The sentences of `Table.says` are quoted from the lessons, so that they stay the lessons' own; here are only a few words
by which each is found.
"""

from dataclasses import dataclass, field

OF_ISIC_2019 = "a part of ISIC 2019's training images, reduced to 84 × 84 pixels"
OF_HAM10000 = "a part of HAM10000"
SCORES = "The scores are those of the test set, at the epoch with the best validation BMA."


@dataclass(frozen=True)
class Table:
    """A file of results, and how it is shown. read: how to read the table; says: a few words of each sentence that is
    quoted from the lesson's paragraphs "On real images"; split: columns by whose values the table is divided; seeds:
    where the column seed does not tell them; headings: of columns that mean something else here."""

    title: str
    data: str
    command: str
    read: str
    says: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    seeds: str = ""
    headings: dict[str, str] = field(default_factory=dict)


TABLES = {
    "measured_01": Table(
        "What the tables and images say",
        "the official tables of ISIC 2019; of its images those at hand, reduced to 84 × 84 pixels; masks of ISIC 2018",
        "measured_tables.py",
        "Counts and shares, nothing is trained. The official tables describe the whole archive; the images at hand are "
        "a part of it, so the two may differ. The class shares of the clinics differ, and so do their cameras.",
        ("have more than one image", "malignant share of the images", "pairs are found"),
    ),
    "measured_02": Table(
        "A dense network",
        OF_ISIC_2019,
        "measured.py 02",
        "The dense network of the lesson, trained as there with plain gradient descent, beside the majority-class "
        "baseline, which predicts NV for every image. A row says at which epoch the network is scored.",
        ("the network also beats the baseline", "The last epoch has a higher BMA"),
    ),
    "measured_03": Table(
        "Pretrained or random weights",
        OF_ISIC_2019,
        "measured.py 03",
        f"The same network twice, from ImageNet weights and from random ones, with two seeds each. {SCORES}",
        ("pretrained start is far ahead", "After two epochs"),
    ),
    "measured_04": Table(
        "Six networks",
        OF_ISIC_2019,
        "measured.py 04",
        f"A row for each network. Compare *accuracy* with *BMA* within a row. {SCORES} A width of 1/8 is a network "
        "with an eighth of its channels, and says nothing about the network at full width.",
        ("accuracy is far above BMA", "Even the best network misses"),
    ),
    "measured_05": Table(
        "All images, or balanced ones",
        OF_ISIC_2019,
        "measured.py 05",
        "The same network, trained on all images and on balanced draws from them, and tested on the same images. Apart "
        "from the first row, all networks know five classes; the BMA is that over five classes in every row.",
        (
            "all balanced contenders are ahead",
            "whether balancing pays depends on the metric",
            "Only the largest balanced set",
        ),
    ),
    "measured_06": Table(
        "What known lesions are worth, and five folds",
        OF_ISIC_2019,
        "measured.py 06",
        "Compare the rows *grouped by image*, where a lesion may be in the training and in the test set, with "
        "*grouped by lesion*: the difference in BMA is what the leak is worth. The five folds of the residual net show "
        "how far a score depends on the test set.",
        (
            "the linear probe leaks",
            "come from lesions that it knows",
            "gains nothing from known lesions",
            "the five folds of the residual net agree",
        ),
        split=("network",),
    ),
    "measured_07": Table(
        "Four trainings of a U-Net",
        "1 800 images of ISIC 2018 Task 1, each counted as another lesion",
        "measured_masks.py",
        "A row for each training. The Jaccard index and the Dice coefficient measure the common area, HD95 the "
        "distance of the borders (lower is better).",
        ("pretrained encoder",),
    ),
    "measured_07_failures": Table(
        "Which images the masks fail on",
        "the 360 test images of the table before, 1 800 images of ISIC 2018 Task 1 in all",
        "measured_masks.py",
        "Linear regressions of a test image's Jaccard index: on each property alone, on two, and on all three. A "
        "coefficient is the change of the index per standard deviation of the property.",
        ("relative contrast* has the largest coefficient", "*ITA* keeps"),
        split=("regression",),
    ),
    "measured_08": Table(
        "Methods against class imbalance",
        OF_ISIC_2019,
        "measured.py 08",
        "First linear heads on frozen features, each row the predictions of five heads (seeds 0 to 4) together; then "
        "the whole network, fine-tuned with three seeds. A method is chosen by its BMA on the validation sets, before "
        "the test set is opened. The negative log-likelihood says what the method costs the probabilities.",
        ("is first on the validation sets", "The price is the same, too", "the fine-tuned network gains as much"),
        split=("network",),
        seeds="seeds 0 to 4 for the heads, 0 to 2 for the whole network",
    ),
    "fine_tuning": Table(
        "Fine-tuning, step by step",
        OF_HAM10000 + " (4 381 images, test set of 876 images)",
        "fine_tuning.py --steps all --seeds 0 1 2",
        "Each step adds one thing to the step before. The seed also draws the split, so a seed's rows belong together. "
        "On two processor cores.",
        ("With this seed, logit adjustment gains most", "Over the three seeds"),
        split=("seed",),
    ),
    "measured_09": Table(
        "Calibration, an alarm, prediction sets",
        OF_HAM10000,
        "measured_decisions.py",
        "One number for each decision of the lesson. The floor is the gap that chance alone gives a perfectly "
        "calibrated network: its mean, and the value below which 95 of 100 such networks stay.",
        ("A threshold of 50 % would find", "lie in the more confident half", "The sets cover"),
    ),
    "measured_10": Table(
        "Groups of patients",
        "ISIC 2019's images from BCN, HAM and MSK at hand",
        "measured_subgroups.py",
        "A table for each rate, a row for each group of patients, each lesion counting once. The three differences "
        "compare the group with all others: as they are, within the same classes, and within the same classes and "
        "clinics. The p-value belongs to the second difference.",
        ("With enough lesions, groups do differ", "The alarm finds", "Between the sexes"),
        split=("rate",),
        headings={"value": "rate in the group", "all": "difference from the rest"},
    ),
    "measured_11": Table(
        "Trained in one clinic, tested in another",
        "ISIC 2019's images from BCN, HAM and MSK at hand",
        "measured_clinics.py",
        "A row is a training clinic and a clinic in which it is tested, over the classes that the clinics share. The "
        "drop is the BMA at home minus the BMA here. *Difference* is the BMA minus that of the row *compared with*, on "
        "the same lesions. *Re-weighted* is the accuracy if the tested clinic had the class shares of the training "
        "clinic. *Look* says what is corrected in the images: nothing, the colour, the squeeze, the border, or all "
        "three.",
        ("the probe from HAM has", "The probe from BCN has", "The larger part of the gap is left"),
        split=("classes", "look"),
    ),
    "measured_11_more": Table(
        "The clinic in the image, and images that show no lesion",
        "ISIC 2019's images from BCN, HAM and MSK at hand",
        "measured_clinics.py",
        "How well the source can be read from an image, what the source alone says about the diagnosis, and three "
        "detectors of out-of-distribution images: the AUROC (0.5 is guessing), and the proportion of foreign images "
        "that are accepted when 95 % of the known ones are (FPR95, lower is better).",
        ("the source is predicted with a BMA", "The near class is harder"),
    ),
    "measured_12": Table(
        "One training, or five together",
        OF_ISIC_2019,
        "measured_ensemble.py",
        "The mean of five trainings that differ in their seed alone, beside the ensemble that averages their "
        "predictions. For the negative log-likelihood (NLL), lower is better.",
        ("Only the NLL", "The gain in NLL measures"),
    ),
    "measured_13": Table(
        "What the image adds to a sentence",
        OF_HAM10000,
        "measured_captions.py",
        "The bits that the image adds to the true words of a slot: one bit doubles their probability. The columns on "
        "the right are the lowest and the highest of the single seeds.",
        ("every slot gains", "a part of the site *is* seen", "It is a small part"),
        split=("decoder",),
    ),
}
