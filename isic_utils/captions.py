"""Pictures described in words (lesson 11): sentences from a template, a recurrent decoder, beam search, scores.

The decoder follows Vinyals et al. 2015, "Show and Tell", arXiv:1411.4555: a convolutional network looks at the picture,
and what it saw is where a recurrent network begins to speak. Theirs is an LSTM, ours a GRU (Cho et al. 2014,
arXiv:1406.1078), which has fewer parts.

Facts are a table with a row per picture and the columns class (code), site, age, sex (a text, or None where unknown)
and, of drawn pictures, one boolean for each structure. A sentence is made of them and can be read back without loss.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from nltk.translate.bleu_score import corpus_bleu
from torch import nn

from isic_utils import models
from isic_utils.pictures import Pictures, batches

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
    """What is to be said of each picture, indexed by image. table: as `tables.isic2019` returns it; structures:
    booleans indexed by image (`sample.structures`), or None, as for photographs."""
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


def read(sentences: pd.Series, structures: Sequence[str] = ()) -> pd.DataFrame:
    """The facts that sentences state, also where a decoder wrote nonsense: None for a slot that is not filled.

    sentences: any index; structures: the names to look for. Returns a table as `facts`. Inverse of `sentence`.
    """
    padded = " " + sentences + " "
    read = pd.DataFrame(index=sentences.index)
    for slot, values in WORDS_OF.items():
        read[slot] = [next((value for value in values if f" {values[value]} " in text), None) for text in padded]
    for name in structures:
        read[name] = [f" {name} " in text for text in padded]
    return read


def commonest(facts: pd.DataFrame) -> pd.Series:
    """The most frequent value of each column by itself: what somebody says who has not looked at the picture."""
    return facts.apply(lambda column: column.mode().iloc[0] if column.notna().any() else None)


@dataclass(frozen=True)
class Vocabulary:
    """The words that a decoder knows, with the special ones first. A word's number is its place."""

    words: list[str]

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Sentences as numbers: start, words, full stop, and padding up to the longest one. int64 [n, longest + 2]."""
        number = {word: place for place, word in enumerate(self.words)}
        rows = [[START, *(number.get(word, UNKNOWN) for word in text.split()), END] for text in sentences]
        longest = max(map(len, rows))
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])

    def decode(self, numbers: Sequence[int]) -> str:
        """The words up to the full stop, without it and without the start."""
        numbers = [int(number) for number in numbers if number not in (START, PAD)]
        return " ".join(self.words[number] for number in numbers[: (numbers + [END]).index(END)])


def vocabulary(sentences: Sequence[str]) -> Vocabulary:
    """All words of these sentences, in alphabetical order. Take the training part's: a test part may not add words."""
    return Vocabulary(SPECIAL + sorted({word for text in sentences for word in text.split()}))


def features(photos: Pictures, cache: Path) -> np.ndarray:
    """What EfficientNet-Lite0, trained on ImageNet and frozen, sees in each picture: float32 [n, 1280].

    These are the means over the picture of its last 1280 filters. Computed once for these pixels and kept in `cache`.
    """
    file = cache / f"features-efficientnet_lite0-{photos.digest}.npy"
    if file.exists():
        return np.load(file)
    encoder = models.classifier("efficientnet_lite0", pretrained=True).eval()
    seen = []
    with torch.inference_mode():
        for x, _ in batches(photos, np.arange(len(photos.images)), np.zeros(len(photos.images)), 64):
            filters = encoder.network.extract_features((x - encoder.mean) / encoder.std)  # [n, 1280, h/32, w/32]
            seen.append(filters.mean(dim=(2, 3)).numpy())
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("wb") as stream:
        np.save(stream, np.concatenate(seen))
    os.replace(partial, file)
    return np.load(file)


class Decoder(nn.Module):
    """A GRU that says one word after another, beginning with what the encoder saw. words: size of the vocabulary."""

    def __init__(self, words: int, features: int = 1280, width: int = 128, dropout: float = 0.5):
        super().__init__()
        self.scale = nn.BatchNorm1d(features, affine=False)  # each feature to mean 0 and spread 1
        self.dropout = nn.Dropout(dropout)
        self.first_state = nn.Linear(features, width)
        self.embedding = nn.Embedding(words, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.next_word = nn.Linear(width, words)

    def begin(self, features: torch.Tensor) -> torch.Tensor:
        """The picture as the state in which the GRU begins. [n, features] -> [n, width], values from -1 to 1."""
        return torch.tanh(self.first_state(self.dropout(self.scale(features))))

    def forward(self, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Logits of every next word, where the true words so far are given (teacher forcing).

        features: [n, features]; captions: int64 [n, longest + 2]. Returns [n, longest + 1, words]: place i is about
        the word i + 1 of the caption.
        """
        hidden = self.begin(features)
        embedded = self.embedding(captions[:, :-1])
        states, _ = self.gru(embedded, hidden[None])
        return self.next_word(self.dropout(states))

    def step(self, hidden: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One word further. hidden: [n, width]; last: the words just said, int64 [n].

        Returns the log-probabilities of the next word [n, words] and the new state [n, width].
        """
        states, hidden = self.gru(self.embedding(last[:, None]), hidden[None])
        return torch.log_softmax(self.next_word(states[:, 0]), dim=1), hidden[0]


def masked_cross_entropy(logits: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """Minus the mean log-probability of each true next word, padding not counted. Shapes as in `Decoder.forward`."""
    true = captions[:, 1:]
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), true, reduction="none")  # [n, longest + 1]
    is_word = true != PAD
    return (loss * is_word).sum() / is_word.sum()


def train(
    features: np.ndarray, captions: torch.Tensor, part: np.ndarray, words: int, epochs: int = 30, seed: int = 0
) -> tuple[Decoder, pd.DataFrame]:
    """Train a decoder, and return it as it was in the epoch of the lowest validation loss, with the losses by epoch.

    features: float32 [n, features]; captions: int64 [n, longest + 2]; part: train, validation or test [n]; words: size
    of the vocabulary. Same seed, same decoder.
    """
    x, rows = torch.from_numpy(features), torch.from_numpy(np.flatnonzero(part == "train"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(words, features.shape[1])
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=2e-3, weight_decay=0.01)
        history, best = [], {}
        for epoch in range(1, epochs + 1):
            decoder.train()
            losses = []
            for some in rows[torch.randperm(len(rows))].split(64):
                loss = masked_cross_entropy(decoder(x[some], captions[some]), captions[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            validation = loss_of(decoder, x[part == "validation"], captions[part == "validation"])
            if not history or validation < min(row["validation"] for row in history):
                best = {name: values.clone() for name, values in decoder.state_dict().items()}
            history.append({"epoch": epoch, "train": np.mean(losses), "validation": validation})
    decoder.load_state_dict(best)
    return decoder.eval(), pd.DataFrame(history).set_index("epoch")


@torch.inference_mode()
def loss_of(decoder: Decoder, features: torch.Tensor, captions: torch.Tensor) -> float:
    """The masked cross-entropy over whole captions, without dropout."""
    return masked_cross_entropy(decoder.eval()(features, captions), captions).item()


@torch.inference_mode()
def greedy(decoder: Decoder, features: torch.Tensor, longest: int) -> torch.Tensor:
    """The likeliest next word, again and again, for all pictures at once. [n, features] -> int64 [n, longest]."""
    hidden, said = decoder.begin(features), [torch.full((len(features),), START)]
    for _ in range(longest):
        log_probabilities, hidden = decoder.step(hidden, said[-1])
        said.append(log_probabilities.argmax(dim=1))
    return torch.stack(said[1:], dim=1)


@dataclass(frozen=True)
class Beginning:
    """The first words of a caption, their log-probability, and the decoder's state after all but the last of them."""

    words: tuple[int, ...]
    log_probability: float
    hidden: torch.Tensor


@torch.inference_mode()
def grow(decoder: Decoder, beam: Sequence[Beginning], width: int) -> list[Beginning]:
    """Every beginning of the beam, one word longer: its `width` likeliest continuations. All of them, likeliest
    first."""
    log_probabilities, hidden = decoder.step(
        torch.stack([beginning.hidden for beginning in beam]), torch.tensor([b.words[-1] for b in beam])
    )
    best = log_probabilities.topk(min(width, log_probabilities.shape[1]), dim=1)
    longer = [
        Beginning((*beginning.words, word), beginning.log_probability + added, state)
        for beginning, words, gains, state in zip(
            beam, best.indices.tolist(), best.values.tolist(), hidden, strict=True
        )
        for word, added in zip(words, gains, strict=True)
    ]
    return sorted(longer, key=lambda beginning: beginning.log_probability, reverse=True)


@torch.inference_mode()
def beam_search(decoder: Decoder, features: torch.Tensor, width: int, longest: int) -> list[Beginning]:
    """The likeliest captions of one picture that keeping `width` beginnings at a time can find, likeliest first.

    features: [features]; longest: words with the full stop. With width 1 it is greedy search; with a width as large as
    the number of possible sentences it finds the likeliest of all (tested against trying them all).
    """
    beam, finished = [Beginning((START,), 0.0, decoder.begin(features[None])[0])], []
    for _ in range(longest):
        kept = grow(decoder, beam, width)[:width]
        finished += [beginning for beginning in kept if beginning.words[-1] == END]
        finished = sorted(finished, key=lambda caption: caption.log_probability, reverse=True)[:width]
        beam = [beginning for beginning in kept if beginning.words[-1] != END]
        if not beam or (len(finished) == width and finished[-1].log_probability >= beam[0].log_probability):
            break  # a beginning only loses probability from here on
    return finished or beam


def bleu(true: Sequence[str], said: Sequence[str], longest: int = 4) -> float:
    """BLEU over all sentences, with one true sentence each (Papineni et al. 2002, doi:10.3115/1073083.1073135), by
    NLTK. longest: how many words in a row are compared at most, 1 to 4. From 0 to 1."""
    weights = [1 / longest] * longest
    return float(corpus_bleu([[text.split()] for text in true], [text.split() for text in said], weights))


def slot_accuracy(true: pd.DataFrame, said: pd.DataFrame) -> pd.Series:
    """The share of pictures for which class, site, age and sex are said rightly, of those where they are known.

    true, said: facts with one index. Of drawn pictures also `structures`: the mean over the pictures of the Jaccard
    index |A ∩ B| / |A ∪ B| of the drawn and the mentioned ones, 1 where both are none.
    """
    right = {slot: (true[slot] == said[slot])[true[slot].notna()].mean() for slot in SLOTS}
    names = true.columns.difference(SLOTS)
    if len(names):
        drawn, mentioned = true[names].to_numpy(bool), said[names].to_numpy(bool)
        both, either = (drawn & mentioned).sum(axis=1), (drawn | mentioned).sum(axis=1)
        right["structures"] = np.where(either, both / np.maximum(either, 1), 1.0).mean()
    return pd.Series(right)
