"""How long one picture's answer takes once the networks are loaded, and how well refusal works.

    python benchmarks/second_opinion.py
    ISIC_DATA=<folder> python benchmarks/second_opinion.py --threads 2

Takes the best finished runs of ISIC_DATA and ISIC_PROFILE (`python -m isic_utils predict` takes the same). The time is
that of everything: reading the JPEG, both networks, Grad-CAM, contour. The median and the slowest of ten, after one to
warm up, for pictures of several sizes.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from isic_course import odd_images as oddities
from isic_utils import settings as profile
from isic_utils.datasets import images as pictures, tables
from isic_utils.inference import ood as scope, second_opinion as inference

SIZES = [(200, 150), (600, 450), (1024, 768), (6000, 4000)]


def main() -> None:
    parser = argparse.ArgumentParser(description="The time of one answer, and refusal.")
    parser.add_argument("--threads", type=int, default=2, help="processor threads; default 2")
    torch.set_num_threads(parser.parse_args().threads)
    settings = profile.current()
    start = time.perf_counter()
    run, mask_run = inference.best_run(settings), inference.best_mask_run(settings)
    opinion = inference.assemble(run, mask_run, settings)
    print(f"{run.folder.relative_to(settings.runs)}; loaded in {time.perf_counter() - start:.1f} s")
    table = tables.isic2019(settings.data).set_index("image")
    test = table.loc[run.predictions()["image"]]
    print(answering_times(opinion, test["path"].iloc[0]).round(3).to_string(), "\n")
    print(refusals(opinion, list(test["path"])).round(3).to_string())


def answering_times(opinion: inference.SecondOpinion, path: str) -> pd.DataFrame:
    """Seconds for one answer, by the size of the picture in pixels."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            file = Path(folder) / f"{size[0]}.jpg"
            pictures.read_picture(path).resize(size).save(file, quality=90)
            seconds = []
            for _ in range(11):
                start = time.perf_counter()
                said = inference.answer(opinion, file)
                seconds.append(time.perf_counter() - start)
            assert said.refused is None, said.refused
            rows[f"{size[0]}×{size[1]}"] = {"median": np.median(seconds[1:]), "slowest": max(seconds[1:])}
    return pd.DataFrame(rows).T.rename_axis("seconds for an answer")


def refusals(opinion: inference.SecondOpinion, paths: list[str], each: int = 40) -> pd.DataFrame:
    """The share of pictures refused, by kind: the test part, which is in scope, and what is not."""
    photographs = [np.asarray(pictures.read_picture(path)) for path in paths]
    kinds = {"test part, in scope": photographs} | oddities.draw(photographs, each)
    side = opinion.classifier.run.config["picture_size"]
    rows = {}
    for kind, some in kinds.items():
        small = [pictures.resize(Image.fromarray(one), (side, side)) for one in some]
        refused = [reason is not None for reason in scope.reasons(opinion.scope, np.stack(small))]
        rows[kind] = {"pictures": len(some), "refused": np.mean(refused)}
    return pd.DataFrame(rows).T


if __name__ == "__main__":
    main()
