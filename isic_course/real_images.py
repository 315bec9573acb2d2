"""What the lessons show of real images: the committed tables that ``make measured`` has made."""

import pandas as pd

from isic_utils.settings import PROJECT

SCORES = ["accuracy", "BMA", "BMA_low", "BMA_high", "melanoma recall"]


def measured(lesson: str, columns: list[str], scores: list[str] = SCORES) -> pd.DataFrame:
    """Some columns and the scores of a lesson's table, benchmarks/results/measured_<lesson>.csv; prints of which data.

    BMA_low, BMA_high: a 95 % interval of the BMA on the test set, by a cluster bootstrap over lesions.
    """
    file = PROJECT / "benchmarks" / "results" / f"measured_{lesson}.csv"
    table = pd.read_csv(file, keep_default_na=False, na_values="")
    of = table.iloc[0]
    print(f"{of['images']:,} images of {of['lesions']:,} lesions;")
    processors = " and ".join(table["processor"].unique())
    print(f"test set: {of['test_images']:,} images of {of['test_lesions']:,} lesions; processor: {processors}")
    if "start" in columns:
        table["start"] = table["pretrained"].map({True: "ImageNet", False: "random"})
    return table[[*columns, *scores]].round(3)
