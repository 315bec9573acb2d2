"""What the page docs/dial.html shows: trainings at many settings of lesson 05's dial, in results/dial.csv.

    python benchmarks/dial.py          then tools/dial_page.py writes the page

Some minutes in all. It may be stopped at any moment, and goes on from there. A row for each training and true class:
how many of its 100 test images are predicted as which class, on the synthetic images of the dial's pool.
"""

import pandas as pd
import torch
from side_by_side import RESULTS, processor

from isic_course import dial
from isic_utils.settings import load_settings
from isic_utils.training.runs import write_csv

FILE = RESULTS / "dial.csv"
RATIOS = (1, 4, 15, 54, 2, 8, 30)  # those of the lesson first
OVERLAPS = (dial.OVERLAP, 0.5, 0.8)
SEEDS = (0, 1)


def main() -> None:
    torch.set_num_threads(load_settings().threads)
    rows = [] if not FILE.is_file() else [pd.read_csv(FILE)]
    done = set() if not rows else set(zip(rows[0]["overlap"], rows[0]["ratio"], rows[0]["seed"], strict=True))
    for seed in SEEDS:
        for ratio in RATIOS:
            for overlap in OVERLAPS:
                if (overlap, ratio, seed) in done:
                    continue
                [(_, run)] = dial.train_at([ratio], overlap, [seed])
                rows.append(counts(run.predictions("test"), overlap, ratio, seed))
                table = pd.concat(rows).sort_values(["overlap", "ratio", "seed"], kind="stable")
                write_csv(FILE, table)


def counts(predictions: pd.DataFrame, overlap: float, ratio: float, seed: int) -> pd.DataFrame:
    """A row for each true class, the largest in training first; a column for each predicted class."""
    matrix = pd.crosstab(predictions["label"], predictions["predicted"])
    matrix = matrix.reindex(index=dial.ORDER, columns=dial.ORDER, fill_value=0)
    found = matrix.rename_axis(index="label", columns=None).reset_index()
    for place, (name, value) in enumerate({"overlap": overlap, "ratio": ratio, "seed": seed}.items()):
        found.insert(place, name, value)
    found.insert(4, "training_images", dial.class_sizes(ratio).to_numpy())
    return found.assign(processor=processor())


if __name__ == "__main__":
    main()
