"""What the lessons show of real images: the committed tables that ``make measured`` has made."""

import pandas as pd

from isic_utils.settings import PROJECT

SCORES = ["accuracy", "BMA", "BMA_low", "BMA_high", "melanoma recall"]


def measured(lesson: str, columns: list[str], scores: list[str] = SCORES) -> pd.DataFrame:
    """Some columns and the scores of a lesson's table, benchmarks/results/measured_<lesson>.csv; prints of which data.

    BMA_low, BMA_high: a 95 % interval of the BMA on the test set, by a cluster bootstrap over lesions.
    """
    table = pd.read_csv(PROJECT / "benchmarks" / "results" / f"measured_{lesson}.csv", keep_default_na=False)
    of = table.iloc[0]
    print(f"{of['images']:,} images of {of['lesions']:,} lesions;")
    print(f"test set: {of['test_images']:,} images of {of['test_lesions']:,} lesions; processor: {of['processor']}")
    if "start" in columns:
        table["start"] = table["pretrained"].map({True: "ImageNet", False: "random"})
    return table[[*columns, *scores]].round(3)
