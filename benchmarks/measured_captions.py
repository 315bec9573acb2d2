"""What lesson 13 shows of real images: how much the image adds to each word of a sentence, in results/measured_13.csv.

    ISIC_DATA=<folder> python benchmarks/measured_captions.py

The sentences come from the table (diagnosis, site, age, sex). As in the lesson: frozen features of EfficientNet-Lite0
at 128 pixels, a split grouped by lesion, a decoder without the image and two with it, and the bits that the image adds
to the true words of a slot, given the words before. All decoders are trained with three seeds; a row is the mean over
the seeds for one decoder and slot, with its 95 % interval over the lesions of the test set; `lowest seed` and `highest
seed` are those of the single seeds.
"""

import itertools

import numpy as np
import pandas as pd
import torch
from side_by_side import RESULTS, processor, require_real_images

from isic_course import captioning, features, sentences
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.metrics import intervals
from isic_utils.settings import Settings, load_settings
from isic_utils.training.runs import write_csv

SEEDS = range(3)
WAYS = {"image shown once": False, "image at every word": True}
NEXT_SLOT = {"from": "site", "of": "site"} | dict.fromkeys([*sentences.PEOPLE.values(), "person", "."], "sex")


def main() -> None:
    settings = load_settings()
    require_real_images(settings)
    torch.set_num_threads(settings.threads)
    found = measure(settings)
    write_csv(RESULTS / "measured_13.csv", found)
    print(found.iloc[:, :7].to_string(index=False))


def measure(settings: Settings) -> pd.DataFrame:
    """A row per decoder with the image and slot."""
    table = read_isic2019(settings.data)
    store = ImageStore(table, 2 * settings.image_size, settings.cache)
    table = table[table["image"].isin(store.images)].reset_index(drop=True)
    split = splits.standard(table, group_by="lesion", seed=0).to_numpy()
    test = split == "test"
    x = features.extract(store, settings.cache)[store.rows(table["image"])]
    written = sentences.facts(table).apply(sentences.sentence, axis=1)
    vocabulary = sentences.build_vocabulary(written[split == "train"])
    rows, true_rows = vocabulary.encode(written), vocabulary.encode(written[test])
    slots = np.array(list(itertools.zip_longest(*map(slots_of, written[test]))), object).T  # [images, positions]

    def bits(seed: int, inputs: np.ndarray, every_word: bool) -> np.ndarray:
        decoder, _ = captioning.train_decoder(inputs, rows, split, len(vocabulary.words), every_word, seed=seed)
        return captioning.log_probabilities(decoder, torch.from_numpy(inputs[test]), true_rows).numpy() / np.log(2)

    language = [bits(seed, np.zeros((len(table), 1), np.float32), False) for seed in SEEDS]
    lesions = table["lesion_id"].fillna(table["image"])
    of = {"lesson": "13", "data": store.data_name, "images": len(table), "lesions": lesions.nunique()}
    of |= {"test_images": test.sum(), "test_lesions": lesions[test].nunique(), "pixels": store.size[0]}
    of |= {"network": "EfficientNet-Lite0, frozen, and a GRU", "seeds": len(SEEDS), "processor": processor()}
    found = []
    for way, every_word in WAYS.items():
        gains = np.stack([bits(seed, x, every_word) - language[seed] for seed in SEEDS])  # [seeds, images, positions]
        for slot in [*sentences.SLOTS, "all words"]:
            of_image = np.where((slots == slot) | (slot == "all words"), gains, 0).sum(axis=2)  # [seeds, images]
            low, high = intervals.percentile_interval(intervals.bootstrap_mean(of_image.mean(axis=0), lesions[test]))
            by_seed = of_image.mean(axis=1)
            row = {"decoder": way, "slot": slot, "bits": by_seed.mean(), "low": low, "high": high}
            found.append(row | {"lowest seed": by_seed.min(), "highest seed": by_seed.max()})
    return pd.DataFrame(found).round(4).assign(**of)


def slots_of(text: str) -> list[str]:
    """The slot of each word of a sentence and of the full stop, as in the lesson: an article after *of* counts for the
    age, which it decides."""
    slot, last, found = "class", "", []
    for word in [*text.split(), "."]:
        slot = NEXT_SLOT.get(word, "age" if last == "of" else slot)
        found, last = [*found, slot], word
    return found


if __name__ == "__main__":
    main()
