"""Pictures described in words: a frozen convolutional encoder, a recurrent decoder, two ways to search (lesson 11).

The decoder follows Vinyals et al. 2015, "Show and Tell", arXiv:1411.4555: a convolutional network looks at the picture,
and what it saw is where a recurrent network begins to speak. Theirs is an LSTM, ours a GRU (Cho et al. 2014,
arXiv:1406.1078), which has fewer parts. The sentences are those of `isic_utils.sentences`, as numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from isic_course.sentences import END, PAD, START
from isic_utils.datasets.images import number_of_batches


class Decoder(nn.Module):
    """A GRU that says one word after another about what the encoder saw.

    words: size of the vocabulary; every_word: whether the picture is shown again at every word, or only once, as the
    state in which the GRU begins.
    """

    def __init__(self, words: int, every_word: bool, features: int = 1280, width: int = 128, dropout: float = 0.5):
        super().__init__()
        self.every_word = every_word
        self.scale = nn.BatchNorm1d(features, affine=False)  # each feature to mean 0 and spread 1
        self.dropout = nn.Dropout(dropout)
        self.look = nn.Linear(features, width)
        self.embedding = nn.Embedding(words, width)
        self.gru = nn.GRU(2 * width, width, batch_first=True)
        self.next_word = nn.Linear(width, words)

    def see(self, features: torch.Tensor) -> torch.Tensor:
        """The picture in as many numbers as the GRU's state has: [n, features] -> [n, width], from -1 to 1."""
        return torch.tanh(self.look(self.dropout(self.scale(features))))

    def inputs(self, words: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """What the GRU reads: each word's vector and beside it the picture, or zeros. words: int64 [n, places]; seen:
        [n, width]. Returns [n, places, 2 · width]."""
        beside = seen if self.every_word else torch.zeros_like(seen)
        return torch.cat([self.embedding(words), beside[:, None].expand(-1, words.shape[1], -1)], dim=2)

    def forward(self, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Logits of every next word, where the true words so far are given (teacher forcing).

        features: [n, features]; captions: int64 [n, longest + 2]. Returns [n, longest + 1, words]: place i is about
        the word i + 1 of the caption.
        """
        seen = self.see(features)
        states, _ = self.gru(self.inputs(captions[:, :-1], seen), seen[None])
        return self.next_word(self.dropout(states))

    def step(self, hidden: torch.Tensor, last: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One word further. hidden: [n, width], at first what is seen; last: the words just said, int64 [n].

        Returns the log-probabilities of the next word [n, words] and the new state [n, width].
        """
        states, hidden = self.gru(self.inputs(last[:, None], seen), hidden[None])
        return torch.log_softmax(self.next_word(states[:, 0]), dim=1), hidden[0]


def masked_cross_entropy(logits: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """Minus the mean log-probability of each true next word, padding not counted. Shapes as in `Decoder.forward`."""
    true = captions[:, 1:]
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), true, reduction="none")  # [n, longest + 1]
    is_word = true != PAD
    return (loss * is_word).sum() / is_word.sum()


def train(
    features: np.ndarray,
    captions: torch.Tensor,
    part: np.ndarray,
    words: int,
    every_word: bool,
    epochs: int = 12,
    seed: int = 0,
) -> tuple[Decoder, pd.DataFrame]:
    """Train a decoder, and return it as it was in the epoch of the lowest validation loss, with the losses by epoch.

    features: float32 [n, features]; captions: int64 [n, longest + 2]; part: train, validation or test [n]; words: size
    of the vocabulary; every_word: as in `Decoder`. Same seed, same decoder.
    """
    x, rows = torch.from_numpy(features), torch.from_numpy(np.flatnonzero(part == "train"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(words, every_word, features.shape[1])
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=2e-3, weight_decay=0.01)
        history, best = [], {}
        for epoch in range(1, epochs + 1):
            decoder.train()
            losses = []
            for some in rows[torch.randperm(len(rows))].tensor_split(number_of_batches(len(rows), 64)):
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
    seen = hidden = decoder.see(features)
    said = [torch.full((len(features),), START)]
    for _ in range(longest):
        log_probabilities, hidden = decoder.step(hidden, said[-1], seen)
        said.append(log_probabilities.argmax(dim=1))
    return torch.stack(said[1:], dim=1)


@dataclass(frozen=True)
class Beginning:
    """The first words of a caption, their log-probability, and the decoder's state after all but the last of them."""

    words: tuple[int, ...]
    log_probability: float
    hidden: torch.Tensor


@torch.inference_mode()
def grow(decoder: Decoder, beam: Sequence[Beginning], seen: torch.Tensor, width: int) -> list[Beginning]:
    """Every beginning of the beam, one word longer: its `width` likeliest continuations. All of them, likeliest
    first. seen: the picture as `Decoder.see` returns it [width of the GRU]."""
    hidden, last = torch.stack([start.hidden for start in beam]), torch.tensor([start.words[-1] for start in beam])
    log_probabilities, hidden = decoder.step(hidden, last, seen.expand(len(beam), -1))
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
    seen = decoder.see(features[None])[0]
    beam, finished = [Beginning((START,), 0.0, seen)], []
    for _ in range(longest):
        kept = grow(decoder, beam, seen, width)[:width]
        finished += [beginning for beginning in kept if beginning.words[-1] == END]
        finished = sorted(finished, key=lambda caption: caption.log_probability, reverse=True)[:width]
        beam = [beginning for beginning in kept if beginning.words[-1] != END]
        if not beam or (len(finished) == width and finished[-1].log_probability >= beam[0].log_probability):
            break  # a beginning only loses probability from here on
    return finished or beam


@torch.inference_mode()
def probabilities(decoder: Decoder, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """How probable each word is at each place of a caption, given the words before. Shapes as in `Decoder.forward`."""
    return torch.softmax(decoder(features, captions), dim=2)


def log_probability(decoder: Decoder, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """The log-probability of each caption, or of the beginning of one, padding not counted. Returns [n]."""
    true = captions[:, 1:]
    of_word = probabilities(decoder, features, captions).gather(2, true[..., None])[..., 0].log()
    return of_word.masked_fill(true == PAD, 0).sum(dim=1)
