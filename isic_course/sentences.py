"""Sentences about images, made from a template and parsed, and the scores of a predicted sentence (lesson 13).

Facts are a table with a row per image and the columns class (code), site, age, sex (a text, or None where unknown) and,
of drawn images, one boolean for each structure. A sentence is made of them and can be parsed without loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from nltk.translate.bleu_score import corpus_bleu
from torch.nn.utils.rnn import pad_sequence

CLASSES = {
    "MEL": "melanoma", "NV": "nevus", "BCC": "basal cell carcinoma", "AK": "actinic keratosis",
    "BKL": "benign keratosis", "DF": "dermatofibroma", "VASC": "vascular lesion", "SCC": "squamous cell carcinoma",
}  # fmt: skip
SITES = {
    "anterior torso": "chest or belly", "posterior torso": "back", "lateral torso": "flank",
    "head/neck": "head or neck", "upper extremity": "arm", "lower extremity": "leg", "palms/soles": "palm or sole",
    "oral/genital": "mouth or genitals",
}  # fmt: skip
AGES = {"young": 0, "middle-aged": 40, "elderly": 60}  # from this age on, in years
PEOPLE = {"female": "woman", "male": "man"}
WORDS_OF = {
    "class": CLASSES,
    "site": {site: site for site in SITES.values()},
    "age": {age: age for age in AGES},
    "sex": {person: person for person in PEOPLE.values()},
}  # slot -> value -> the words that say it
SLOTS = list(WORDS_OF)
PAD, START, END, UNKNOWN = range(4)
SPECIAL = ["<pad>", "<start>", ".", "<unknown>"]  # the full stop ends a sentence


def facts(table: pd.DataFrame, structures: pd.DataFrame | None = None) -> pd.DataFrame:
    """The facts about each image, indexed by image. table: as `read_isic2019` returns it; structures: booleans indexed
    by image (`synthetic.structures`), or None, as for real images."""
    age = pd.cut(table["age_approx"], [*AGES.values(), np.inf], right=False, labels=list(AGES))
    known = {
        "class": table["label"].astype(str),
        "site": table["anatom_site_general"].map(SITES),
        "age": age.astype(object),
        "sex": table["sex"].map(PEOPLE),
    }
    known = pd.DataFrame(known).astype(object)
    known = known.where(known.notna(), None).set_axis(table["image"])
    return known if structures is None else known.join(structures.loc[known.index])


def sentence(fact: pd.Series) -> str:
    """One row of `facts` in words, without the full stop. What is not known is not mentioned."""
    words = with_article(CLASSES[fact["class"]])
    if fact["site"]:
        words += f" from the {fact['site']}"
    words += " of " + with_article(f"{fact['age'] or ''} {fact['sex'] or 'person'}".strip())
    found = [name for name in fact.index.difference(SLOTS, sort=False) if fact[name]]
    return words + (" with " + " and ".join(found) if found else "")


def with_article(words: str) -> str:
    """a nevus, an elderly man."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def parse(sentences: pd.Series, structures: Sequence[str] = ()) -> pd.DataFrame:
    """The facts that sentences state, also where a decoder wrote nonsense: None for a slot that is not filled.

    sentences: any index; structures: the names to look for. Returns a table as `facts`. Inverse of `sentence`.
    """
    padded = " " + sentences + " "
    found = {
        slot: [next((value for value in values if f" {values[value]} " in text), None) for text in padded]
        for slot, values in WORDS_OF.items()
    }
    facts = pd.DataFrame(found, index=sentences.index, dtype=object)
    for name in structures:
        facts[name] = [f" {name} " in text for text in padded]
    return facts


def most_frequent(facts: pd.DataFrame) -> pd.Series:
    """The most frequent value of each column by itself: a baseline that does not look at the image."""
    return facts.apply(lambda column: column.mode().iloc[0] if column.notna().any() else None)


@dataclass(frozen=True)
class Vocabulary:
    """The words that a decoder knows, with the special ones first. A word's number is its position."""

    words: list[str]

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Sentences as numbers: start, words, full stop, and padding up to the longest one. int64 [n, longest + 2]."""
        number = {word: place for place, word in enumerate(self.words)}
        rows = [[START, *(number.get(word, UNKNOWN) for word in text.split()), END] for text in sentences]
        return pad_sequence(list(map(torch.tensor, rows)), batch_first=True, padding_value=PAD)

    def decode(self, numbers: Sequence[int]) -> str:
        """The words up to the full stop, without it and without the start."""
        numbers = [int(number) for number in numbers if number not in (START, PAD)]
        return " ".join(self.words[number] for number in numbers[: (numbers + [END]).index(END)])


def build_vocabulary(sentences: Sequence[str]) -> Vocabulary:
    """All words of these sentences, in alphabetical order. Take the training set's: a test set may not add words."""
    return Vocabulary(SPECIAL + sorted({word for text in sentences for word in text.split()}))


def bleu(true: Sequence[str], predicted: Sequence[str], max_n: int = 4) -> float:
    """BLEU over all sentences, with one true sentence each (Papineni et al. 2002, doi:10.3115/1073083.1073135), by
    NLTK. max_n: how many words in a row are compared at most, 1 to 4. From 0 to 1."""
    weights = [1 / max_n] * max_n
    return float(corpus_bleu([[text.split()] for text in true], [text.split() for text in predicted], weights))


def slot_scores(true: pd.DataFrame, predicted: pd.DataFrame) -> pd.DataFrame:
    """The score of each image in each slot: 1 if the class, site, age or sex is predicted correctly, 0 if not, and NaN
    where it is not known.

    true, predicted: facts with one index, that of the result. Of drawn images also `structures`: the Jaccard index
    |A ∩ B| / |A ∪ B| of the drawn and the mentioned ones, 1 where both are none.
    """
    scores = (true[SLOTS] == predicted[SLOTS]).astype(float).where(true[SLOTS].notna())
    names = true.columns.difference(SLOTS)
    if len(names):
        drawn, mentioned = true[names].to_numpy(bool), predicted[names].to_numpy(bool)
        both, either = (drawn & mentioned).sum(axis=1), (drawn | mentioned).sum(axis=1)
        scores["structures"] = np.where(either, both / np.maximum(either, 1), 1.0)
    return scores
