"""Images described in words: a frozen convolutional encoder, a recurrent decoder, two search algorithms (lesson 13).

The decoder follows Vinyals et al. 2015, "Show and Tell", arXiv:1411.4555: the features that a convolutional
network computes of the image are the first state of a recurrent network, which predicts one word after another. Theirs
is an LSTM, ours a GRU (Cho et al. 2014, arXiv:1406.1078), which is simpler. The sentences are those of
`sentences`, as numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from isic_course.sentences import END, PAD, START


class Decoder(nn.Module):
    """A GRU that predicts one word after another from the features of an image.

    vocabulary_size: number of words; every_word: whether the GRU is given the image again at every word, or only once,
    as its first state; num_features: of the encoder; width: of the GRU's state.
    """

    def __init__(
        self, vocabulary_size: int, every_word: bool, num_features: int = 1280, width: int = 128, dropout: float = 0.5
    ):
        super().__init__()
        self.every_word = every_word
        self.normalize = nn.BatchNorm1d(num_features, affine=False)  # each feature to mean 0 and standard deviation 1
        self.dropout = nn.Dropout(dropout)
        self.image_embedding = nn.Linear(num_features, width)
        self.word_embedding = nn.Embedding(vocabulary_size, width)
        self.gru = nn.GRU(2 * width, width, batch_first=True)
        self.next_word = nn.Linear(width, vocabulary_size)

    def embed_image(self, features: torch.Tensor) -> torch.Tensor:
        """The image in as many numbers as the GRU's state has: [n, features] -> [n, width], from -1 to 1."""
        return torch.tanh(self.image_embedding(self.dropout(self.normalize(features))))

    def inputs(self, words: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """What the GRU reads: each word's embedding and beside it the image's, or zeros. words: int64 [n, positions];
        image: [n, width]. Returns [n, positions, 2 · width]."""
        beside = image if self.every_word else torch.zeros_like(image)
        return torch.cat([self.word_embedding(words), beside[:, None].expand(-1, words.shape[1], -1)], dim=2)

    def forward(self, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Logits of every next word, where the true words so far are given (**teacher forcing**).

        features: [n, features]; captions: int64 [n, longest + 2]. Returns [n, longest + 1, words]: position i
        predicts the word i + 1 of the caption.
        """
        image = self.embed_image(features)
        states, _ = self.gru(self.inputs(captions[:, :-1], image), image[None])
        return self.next_word(self.dropout(states))

    def step(self, hidden: torch.Tensor, last: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One word further. hidden: the state [n, width], at first the image; last: the last words, int64 [n].

        Returns the log-probabilities of the next word [n, words] and the new state [n, width].
        """
        states, hidden = self.gru(self.inputs(last[:, None], image), hidden[None])
        return torch.log_softmax(self.next_word(states[:, 0]), dim=1), hidden[0]


def masked_cross_entropy(logits: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """Minus the mean log-probability of each true next word, padding not counted. Shapes as in `Decoder.forward`."""
    true = captions[:, 1:]
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), true, reduction="none")  # [n, longest + 1]
    is_word = true != PAD
    return (loss * is_word).sum() / is_word.sum()


def train_decoder(
    features: np.ndarray,
    captions: torch.Tensor,
    split: np.ndarray,
    vocabulary_size: int,
    every_word: bool,
    epochs: int = 6,
    seed: int = 0,
) -> tuple[Decoder, pd.DataFrame]:
    """Train a decoder, and return it as it was in the epoch of the lowest validation loss, with the losses by epoch.

    features: float32 [n, features]; captions: int64 [n, longest + 2]; split: train, validation or test [n];
    vocabulary_size, every_word: as in `Decoder`. Same seed, same decoder.
    """
    x, train, validation = torch.from_numpy(features), np.flatnonzero(split == "train"), split == "validation"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(vocabulary_size, every_word, features.shape[1])
        optimizer = torch.optim.AdamW(decoder.parameters(), weight_decay=0.05)
        data = TensorDataset(x[train], captions[train])
        batches = DataLoader(data, min(64, len(train)), shuffle=True, drop_last=True)
        scheduler = OneCycleLR(optimizer, 0.02, epochs=epochs, steps_per_epoch=len(batches))
        history, best = [], {}
        for epoch in range(1, epochs + 1):
            decoder.train()
            losses = []
            for some_features, some_captions in batches:
                loss = masked_cross_entropy(decoder(some_features, some_captions), some_captions)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses.append(loss.item())
            validated = mean_loss(decoder, x[validation], captions[validation])
            if not history or validated < min(row["validation"] for row in history):
                best = {name: values.clone() for name, values in decoder.state_dict().items()}
            history.append({"epoch": epoch, "train": np.mean(losses), "validation": validated})
    decoder.load_state_dict(best)
    return decoder.eval(), pd.DataFrame(history).set_index("epoch")


@torch.inference_mode()
def mean_loss(decoder: Decoder, features: torch.Tensor, captions: torch.Tensor) -> float:
    """The masked cross-entropy of whole captions, without dropout."""
    return masked_cross_entropy(decoder.eval()(features, captions), captions).item()


@torch.inference_mode()
def greedy_search(decoder: Decoder, features: torch.Tensor, longest: int) -> torch.Tensor:
    """The likeliest next word, again and again, for all images at once. [n, features] -> int64 [n, longest]."""
    image = hidden = decoder.embed_image(features)
    words = [torch.full((len(features),), START)]
    for _ in range(longest):
        log_probabilities, hidden = decoder.step(hidden, words[-1], image)
        words.append(log_probabilities.argmax(dim=1))
    return torch.stack(words[1:], dim=1)


@dataclass(frozen=True)
class Hypothesis:
    """The first words of a caption, their log-probability, and the decoder's state after all but the last of them."""

    words: tuple[int, ...]
    log_probability: float
    hidden: torch.Tensor


@torch.inference_mode()
def expand(decoder: Decoder, beam: Sequence[Hypothesis], image: torch.Tensor, width: int) -> list[Hypothesis]:
    """Every hypothesis of the beam, one word longer, with its `width` likeliest next words. All of them, likeliest
    first. image: as `Decoder.embed_image` returns it [width of the GRU]."""
    hidden, last = torch.stack([start.hidden for start in beam]), torch.tensor([start.words[-1] for start in beam])
    log_probabilities, hidden = decoder.step(hidden, last, image.expand(len(beam), -1))
    best = log_probabilities.topk(min(width, log_probabilities.shape[1]), dim=1)
    longer = [
        Hypothesis((*start.words, word), start.log_probability + added, state)
        for start, words, gains, state in zip(beam, best.indices.tolist(), best.values.tolist(), hidden, strict=True)
        for word, added in zip(words, gains, strict=True)
    ]
    return sorted(longer, key=lambda hypothesis: hypothesis.log_probability, reverse=True)


@torch.inference_mode()
def beam_search(decoder: Decoder, features: torch.Tensor, width: int, longest: int) -> list[Hypothesis]:
    """The likeliest captions of one image that keeping `width` hypotheses at a time can find, likeliest first.

    features: [features]; longest: words with the full stop. With width 1 it is greedy search; with a width as large as
    the number of possible sentences it finds the likeliest of all (tested against trying them all).
    """
    image = decoder.embed_image(features[None])[0]
    beam, finished = [Hypothesis((START,), 0.0, image)], []
    for _ in range(longest):
        kept = expand(decoder, beam, image, width)[:width]
        finished += [hypothesis for hypothesis in kept if hypothesis.words[-1] == END]
        finished = sorted(finished, key=lambda caption: caption.log_probability, reverse=True)[:width]
        beam = [hypothesis for hypothesis in kept if hypothesis.words[-1] != END]
        if not beam or (len(finished) == width and finished[-1].log_probability >= beam[0].log_probability):
            break  # a hypothesis only loses probability from here on
    return finished or beam


@torch.inference_mode()
def word_probabilities(decoder: Decoder, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """How probable each word is at each position of a caption, given those before. Shapes as in `Decoder.forward`."""
    return torch.softmax(decoder(features, captions), dim=2)


def log_probabilities(decoder: Decoder, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """The log-probability of each word of a caption, given those before; 0 for padding, so that the sum of a row is the
    log-probability of its caption. Shapes as in `Decoder.forward`; returns [n, longest + 1]."""
    true = captions[:, 1:]
    of_word = word_probabilities(decoder, features, captions).gather(2, true[..., None])[..., 0].log()
    return of_word.masked_fill(true == PAD, 0)
