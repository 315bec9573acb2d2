"""What lesson 12 shows of real images: AlexNet with five seeds, one training on average against their ensemble.

    ISIC_DATA=<folder> python benchmarks/measured_ensemble.py

Networks and split are those of the lesson (profile laptop, grouped by lesion, seeds 0 to 4); what ISIC_RUNS does not
have yet is trained. Writes results/measured_12.csv: accuracy, BMA and NLL on the test set, of one network (the mean of
five) and of the ensemble, with the 95 % interval of the gain over lesions (drawn within their class), as in the lesson.
"""

import numpy as np
import pandas as pd
import torch
from side_by_side import RESULTS, processor, require_real_images

from isic_utils.archive import CODES
from isic_utils.metrics import bma, intervals
from isic_utils.settings import load_settings
from isic_utils.training import fit_all, protocols
from isic_utils.training.runs import write_csv

SEEDS = range(5)


def main() -> None:
    settings = load_settings()
    require_real_images(settings)
    torch.set_num_threads(settings.threads)
    table, store = protocols.load_data("standard", settings)
    arranged = [protocols.arrange("standard", "alexnet", table, settings, seed=seed) for seed in SEEDS]
    _, table, split = arranged[0]
    runs = fit_all([(config, table, split) for config, *_ in arranged], store)
    test = runs[0].predictions()
    lesions = test["image"].map(table.set_index("image")["lesion_id"]).fillna(test["image"])
    true = pd.Index(CODES).get_indexer(test["label"])
    found = compare([run.predictions()[CODES].to_numpy() for run in runs], true, lesions)
    of = {"lesson": "12", "data": store.data_name, "images": len(table)}
    of |= {"lesions": table["lesion_id"].fillna(table["image"]).nunique(), "test_images": len(test)}
    of |= {"test_lesions": lesions.nunique(), "pixels": store.size[0], "network": "AlexNet, 1/8 width, from scratch"}
    of |= {"seeds": len(SEEDS), "epochs": runs[0].config["epochs"], "processor": processor()}
    found = found.round(4).rename_axis("metric").reset_index().assign(**of)
    write_csv(RESULTS / "measured_12.csv", found)
    print(found.iloc[:, :6].to_string(index=False))


def compare(members: list[np.ndarray], true: np.ndarray, lesions: pd.Series) -> pd.DataFrame:
    """A row per metric: one_network (the mean of all), ensemble, gain, and its interval (low, high).

    members: the probabilities [n, classes] of each network; true: integers [n]; lesions: of each image [n].
    """
    members, times = [one.clip(1e-12) for one in members], len(members)
    together = np.mean(members, axis=0)
    loss = [-np.log(one[np.arange(len(true)), true]) for one in (together, *members)]
    predicted = [one.argmax(axis=1) for one in (together, *members)]
    scores = [{"accuracy": (p == true).mean(), "BMA": bma(true, p), "NLL": of.mean()}
              for p, of in zip(predicted, loss, strict=True)]  # fmt: skip
    pairs = [np.tile(predicted[0], times), np.concatenate(predicted[1:])]
    often = np.tile(true, times)
    draws = intervals.scores_of_draws(often, pairs, pd.concat([lesions] * times), 2000, seed=0, strata=often)
    draws = draws[0] - draws[1]
    of_loss = intervals.bootstrap_mean(loss[0] - np.mean(loss[1:], axis=0), lesions)
    limits = {"accuracy": draws["accuracy"], "BMA": draws["bma"], "NLL": of_loss}
    limits = pd.DataFrame({name: intervals.percentile_interval(values) for name, values in limits.items()}).T
    table = pd.DataFrame({"one_network": pd.DataFrame(scores[1:]).mean(), "ensemble": pd.Series(scores[0])})
    table["gain"] = table["ensemble"] - table["one_network"]
    return table.join(limits.set_axis(["low", "high"], axis=1))


if __name__ == "__main__":
    main()
