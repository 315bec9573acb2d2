"""How long one opinion takes once the networks are loaded, and how often images without a lesion are abstained on.

    python benchmarks/second_opinion.py
    ISIC_DATA=<folder> python benchmarks/second_opinion.py --threads 2

Uses the best finished runs of ISIC_DATA and ISIC_PROFILE (as `python -m isic_utils predict` does). The time includes
reading the JPEG, both networks, Grad-CAM and the contour. The table shows the median and the slowest of ten opinions,
after one to warm up, for images of several sizes.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from isic_course import odd_images
from isic_utils.datasets.images import read_image, resize
from isic_utils.inference import second_opinion
from isic_utils.settings import load_settings
from isic_utils.training import protocols

SIZES = [(200, 150), (600, 450), (1024, 768), (6000, 4000)]


def main() -> None:
    parser = argparse.ArgumentParser(description="The time of one opinion, and abstention.")
    parser.add_argument("--threads", type=int, default=2, help="processor threads; default 2")
    torch.set_num_threads(parser.parse_args().threads)
    settings = load_settings()
    table, store = protocols.load_data("standard", settings)
    start = time.perf_counter()
    run = second_opinion.best_run(settings, "classification", store)
    if run is None:
        sys.exit("No classifier is trained on these images: python -m isic_utils train standard efficientnet_lite0.")
    opinions = second_opinion.assemble(run, second_opinion.best_run(settings, "segmentation"), store, table)
    print(f"{run.folder.relative_to(settings.runs)}; loaded in {time.perf_counter() - start:.1f} s")
    test = table.set_index("image").loc[run.predictions()["image"]]
    print(seconds_for_one(opinions, test["path"].iloc[0]).round(3).to_string(), "\n")
    print(abstentions(opinions, list(test["path"])).round(3).to_string())


def seconds_for_one(opinions: second_opinion.SecondOpinion, path: str) -> pd.DataFrame:
    """Seconds for one opinion, by the size of the image in pixels."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            file = Path(folder) / f"{size[0]}.jpg"
            read_image(path).resize(size).save(file, quality=90)
            seconds = []
            for _ in range(11):
                start = time.perf_counter()
                opinion = second_opinion.opinion_on(opinions, file)
                seconds.append(time.perf_counter() - start)
            assert opinion.abstained is None, opinion.abstained
            rows[f"{size[0]}×{size[1]}"] = {"median": np.median(seconds[1:]), "slowest": max(seconds[1:])}
    return pd.DataFrame(rows).T.rename_axis("seconds for an opinion")


def abstentions(opinions: second_opinion.SecondOpinion, paths: list[str], each: int = 40) -> pd.DataFrame:
    """The proportion of images called out of distribution: in the test set, which is not, and of each odd kind."""
    lesions = [np.asarray(read_image(path)) for path in paths]
    kinds = {"test set, in distribution": lesions} | odd_images.draw(lesions, each)
    size = opinions.run.config["image_size"]
    rows = {}
    for kind, some in kinds.items():
        small = [resize(Image.fromarray(image), size) for image in some]
        found = [reason is not None for reason in opinions.detector.reasons(np.stack(small))]
        rows[kind] = {"images": len(some), "out of distribution": np.mean(found)}
    return pd.DataFrame(rows).T


if __name__ == "__main__":
    main()
