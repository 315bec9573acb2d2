"""Lesson 13: sentences are parsed without loss, and the decoder's searches find what trying everything finds."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from isic_course import captioning, sentences
from isic_course.figures import lesson_13
from isic_course.sentences import END, PAD, START
from isic_utils.datasets import tables

STRUCTURES = ["network", "hair"]
TABLE = pd.DataFrame(
    {
        "image": ["a", "b", "c", "d"],
        "label": pd.Categorical(["NV", "AK", "MEL", "NV"], tables.CODES, ordered=True),
        "age_approx": [39.0, 60.0, np.nan, 40.0],
        "anatom_site_general": ["posterior torso", "head/neck", None, "a place that ISIC does not name"],
        "sex": ["female", "male", "male", None],
    }
)
DRAWN = pd.DataFrame({"network": [True, False, True, False], "hair": [True, False, False, False]}, index=list("abcd"))
TEXTS = [
    "a nevus from the back of a young woman with network and hair",
    "an actinic keratosis from the head or neck of an elderly man",
    "a melanoma of a man with network",
    "a nevus of a middle-aged person",
]


# Sentences


def test_a_sentence_says_what_is_known_and_leaves_out_the_rest():
    facts = sentences.facts(TABLE, DRAWN)
    assert facts.apply(sentences.sentence, axis=1).tolist() == TEXTS
    assert sentences.sentence(sentences.facts(TABLE).iloc[0]) == "a nevus from the back of a young woman"


@pytest.mark.parametrize("code", tables.CODES)
def test_sentences_are_parsed_without_loss(code):
    rows = itertools.product(
        [*sentences.SITES, None], [5.0, 45.0, 85.0, np.nan], ["male", "female", None], [0, 1], [0, 1]
    )
    table = pd.DataFrame(rows, columns=["anatom_site_general", "age_approx", "sex", *STRUCTURES])
    table["image"] = table.index.astype(str)
    table["label"] = pd.Categorical([code] * len(table), tables.CODES)
    drawn = table.set_index("image")[STRUCTURES].astype(bool)
    facts = sentences.facts(table, drawn)
    text = facts.apply(sentences.sentence, axis=1)
    assert text.nunique() == len(table)
    pd.testing.assert_frame_equal(sentences.parse(text, STRUCTURES), facts, check_names=False, check_dtype=False)


def test_nonsense_is_parsed_too():
    facts = sentences.parse(pd.Series(["of of a woman", ""]), STRUCTURES)
    assert facts["sex"].tolist() == ["woman", None] and facts["class"].isna().all() and not facts["hair"].any()


def test_the_most_frequent_facts_are_those_of_each_column():
    facts = sentences.facts(TABLE, DRAWN)
    frequent = sentences.most_frequent(facts)
    assert frequent["class"] == "NV" and frequent["sex"] == "man" and not frequent["hair"]
    without_sites = facts.assign(site=None)
    assert sentences.most_frequent(without_sites)["site"] is None


def test_a_vocabulary_encodes_and_decodes():
    words = sentences.build_vocabulary(TEXTS[:3])
    numbers = words.encode(TEXTS)
    assert numbers.shape == (4, 2 + max(len(text.split()) for text in TEXTS))
    assert (numbers[:, 0] == START).all() and ((numbers == END).sum(dim=1) == 1).all()
    assert [words.decode(row) for row in numbers[:3]] == TEXTS[:3]
    assert words.decode(numbers[3]) == "a nevus of a <unknown> <unknown>"
    assert words.decode([START, 4, END, 5]) == words.words[4]


def test_bleu_is_papinenis():
    """By hand: the clipped shares of single words and pairs that are right, and the penalty for a short sentence."""
    true, predicted = ["the cat is on the mat"], ["the the cat the"]
    single, pairs, brevity = 3 / 4, 1 / 3, np.exp(1 - 6 / 4)
    assert sentences.bleu(true, predicted, max_n=1) == pytest.approx(brevity * single)
    assert sentences.bleu(true, predicted, max_n=2) == pytest.approx(brevity * np.sqrt(single * pairs))
    assert sentences.bleu(TEXTS, TEXTS) == 1


def test_slots_are_scored_where_they_are_known():
    true = sentences.facts(TABLE, DRAWN)
    predicted = sentences.parse(
        pd.Series([TEXTS[0].replace(" and hair", ""), TEXTS[0], TEXTS[2], TEXTS[0]], true.index), STRUCTURES
    )
    scores = sentences.slot_scores(true, predicted)
    assert scores["structures"].tolist() == [1 / 2, 0, 1, 0] and scores.index.tolist() == list("abcd")
    assert scores[["class", "site", "age", "sex"]].mean().tolist() == pytest.approx([3 / 4, 1 / 2, 1 / 3, 2 / 3])
    assert scores["site"].isna().tolist() == [False, False, True, True]


# The decoder


WORDS, LONGEST = 6, 4


@pytest.fixture(params=[False, True], ids=["image once", "image at every word"])
def decoder(request) -> captioning.Decoder:
    torch.manual_seed(1)
    made = captioning.Decoder(WORDS, request.param, num_features=5, width=7).eval()
    with torch.no_grad():
        made.next_word.weight *= 4  # so that the words differ in probability
    return made


IMAGE = torch.tensor([0.3, -1.0, 2.0, 0.1, 0.7])


def all_sentences() -> list[tuple[int, ...]]:
    """Every sequence of at most four words that ends with the full stop and has it nowhere else."""
    others = [word for word in range(WORDS) if word not in (END, PAD)]  # padding does not count in `log_probability`
    return [(*words, END) for length in range(LONGEST) for words in itertools.product(others, repeat=length)]


def test_a_wide_beam_finds_what_trying_every_sentence_finds(decoder):
    decoder.next_word.bias.data[PAD] = -1e4  # like a trained one, it does not predict padding
    every = all_sentences()
    rows = torch.tensor([[START, *words] + [PAD] * (LONGEST - len(words)) for words in every])
    chances = captioning.log_probabilities(decoder, IMAGE.expand(len(rows), -1), rows).sum(dim=1)
    best = sorted(zip(chances.tolist(), every, strict=True), reverse=True)
    found = captioning.beam_search(decoder, IMAGE, width=len(every) * WORDS, longest=LONGEST)
    assert [caption.words[1:] for caption in found[:20]] == [words for _, words in best[:20]]
    assert [c.log_probability for c in found[:20]] == pytest.approx([chance for chance, _ in best[:20]], abs=1e-4)
    narrow = captioning.beam_search(decoder, IMAGE, width=2, longest=LONGEST)
    assert len(narrow) <= 2 and narrow[0].log_probability <= best[0][0] + 1e-4


class Table:
    """Stands in for a decoder: the probability of the next word depends on the last one alone."""

    AFTER = {START: {4: 0.6, END: 0.4}, 4: {5: 0.9, END: 0.1}, 5: {END: 0.95, 4: 0.05}}

    def embed_image(self, features: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(features), 1)

    def step(self, hidden: torch.Tensor, last: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chances = [[self.AFTER[int(word)].get(next_word, 1e-9) for next_word in range(WORDS)] for word in last]
        return torch.tensor(chances).log(), hidden


def test_a_beam_does_not_stop_while_a_hypothesis_is_likelier_than_what_is_finished():
    """After two words two captions are finished, "." with 0.4 and "4 ." with 0.06; "4 5 ." will have 0.513."""
    found = captioning.beam_search(Table(), IMAGE, width=2, longest=8)
    assert [caption.words[1:] for caption in found] == [(4, 5, END), (END,)]
    assert np.exp(found[0].log_probability) == pytest.approx(0.6 * 0.9 * 0.95)


def test_a_beam_of_two_sees_what_greedy_search_passes_by():
    greedy = captioning.beam_search(Garden(), IMAGE, width=1, longest=3)
    assert greedy[0].words[1:] == (4, END)
    assert captioning.beam_search(Garden(), IMAGE, width=2, longest=3)[0].words[1:] == (5, END)


class Garden(Table):
    """The likelier first word leads where nothing is likely."""

    AFTER = {START: {4: 0.6, 5: 0.4}, 4: {END: 0.4, 4: 0.3, 5: 0.3}, 5: {END: 0.9, 4: 0.1}}


def test_a_beam_of_one_is_greedy_search(decoder):
    for seed in range(5):
        image = torch.randn(5, generator=torch.Generator().manual_seed(seed))
        words = captioning.greedy_search(decoder, image[None], longest=8)[0].tolist()
        words = words[: (words + [END]).index(END) + 1]
        assert captioning.beam_search(decoder, image, width=1, longest=8)[0].words[1:] == tuple(words)


def test_a_decoder_that_is_given_the_image_once_depends_on_nothing_but_its_state(decoder):
    state, word = torch.full((1, 7), 0.2), torch.tensor([4])
    first, _ = decoder.step(state, word, torch.zeros(1, 7))
    second, _ = decoder.step(state, word, torch.ones(1, 7))
    assert torch.equal(first, second) != decoder.every_word


def test_steps_agree_with_teacher_forcing(decoder):
    caption = torch.tensor([[START, 4, 5, 4, END]])
    at_once = captioning.word_probabilities(decoder, IMAGE[None], caption)[0]
    image = hidden = decoder.embed_image(IMAGE[None])
    for place in range(4):
        log_probabilities, hidden = decoder.step(hidden, caption[:, place], image)
        torch.testing.assert_close(log_probabilities.exp()[0], at_once[place])


def test_padding_does_not_count():
    logits = torch.randn(2, 3, WORDS, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([[START, 4, END, PAD], [START, 5, 4, END]])
    loss = captioning.masked_cross_entropy(logits, rows)
    logits[0, 2] += 100 * torch.eye(WORDS)[3]
    assert captioning.masked_cross_entropy(logits, rows) == loss
    by_hand = -logits.log_softmax(dim=2)[[0, 0, 1, 1, 1], [0, 1, 0, 1, 2], [4, END, 5, 4, END]].mean()
    assert loss == pytest.approx(by_hand.item())


def task() -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
    """Captions of one word, which the first feature decides."""
    features = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    rows = torch.tensor([[START, 4 if x > 0 else 5, END] for x in features[:, 0]])
    return features, rows, np.array(["train"] * 140 + ["validation"] * 30 + ["test"] * 30)


@pytest.mark.parametrize("every_word", [False, True])
def test_training_learns_what_the_image_decides(every_word):
    features, rows, split = task()
    decoder, _ = captioning.train_decoder(features, rows, split, WORDS, every_word, epochs=15)
    test = torch.from_numpy(split == "test")
    predicted = captioning.greedy_search(decoder, torch.from_numpy(features)[test], longest=1)[:, 0]
    assert (predicted == rows[test][:, 1]).float().mean() > 0.85


def test_the_epoch_of_the_lowest_validation_loss_is_kept():
    features, rows, split = task()
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]  # nothing to be learnt
    decoder, history = captioning.train_decoder(features, rows, split, WORDS, True, epochs=30)
    lowest = history["validation"].min()
    assert lowest < history["validation"].iloc[-1] - 1e-3  # learnt by heart since
    validation = torch.from_numpy(split == "validation")
    kept = captioning.mean_loss(decoder, torch.from_numpy(features)[validation], rows[validation])
    assert kept == pytest.approx(lowest, abs=1e-6)


def test_same_seed_same_decoder_and_the_callers_chance_untouched():
    features, rows, split = task()
    before = torch.get_rng_state()
    decoders = [
        captioning.train_decoder(features, rows, split, WORDS, True, epochs=1, seed=seed)[0] for seed in (3, 3, 4)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (decoder.image_embedding.weight for decoder in decoders)
    assert torch.equal(first, again) and not torch.equal(first, other)


# Figures


def test_a_tree_shows_kept_and_dropped_hypotheses(decoder):
    words = sentences.Vocabulary([*sentences.SPECIAL, "one", "two"])
    image = decoder.embed_image(IMAGE[None])[0]
    steps = [captioning.expand(decoder, [captioning.Hypothesis((START,), 0.0, image)], image, 4)]
    figure = lesson_13.beam_tree(steps, 2, words)
    shown = [text.get_text().split("\n")[0] for text in figure.axes[0].texts]
    assert shown == ["start", *[words.words[hypothesis.words[-1]] for hypothesis in steps[0]]]
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "-", ":", ":"]


def test_next_words_are_the_likeliest_and_the_predicted_one_is_blue():
    chances = np.array([[0, 0, 0, 0.1, 0.6, 0.3], [0, 0, 0.9, 0.1, 0, 0]])
    figure = lesson_13.next_words(chances, list("abcdef"), [5, 2])
    labels = [[text.get_text() for text in axis.get_xticklabels()] for axis in figure.axes]
    assert [label[:2] for label in labels] == [["e", "f"], ["c", "d"]]
    colours = [[patch.get_facecolor() for patch in axis.patches] for axis in figure.axes]
    assert colours[0][1] == colours[1][0] != colours[0][0]


def test_dots_stand_at_the_values_and_lines_end_at_the_interval():
    rates = pd.DataFrame({"true-positive rate": [0.8, 0.3], "false-positive rate": [0.1, 0.2]}, ["network", "hair"])
    gain = pd.DataFrame({"difference": [0.5, 0.1], "low": [0.4, -0.1], "high": [0.7, 0.2]}, ["network", "hair"])
    axes = lesson_13.dots({"rates": rates, "gain": gain}, "").axes
    marked = [{line.get_label(): list(line.get_xdata()) for line in axis.lines[1:]} for axis in axes]  # [0]: at zero
    assert marked == [rates.to_dict("list"), {"difference": [0.5, 0.1]}]
    ends = [np.array(axis.collections[0].get_segments())[:, :, 0].tolist() for axis in axes]
    assert ends == [[[0.1, 0.8], [0.2, 0.3]], [[0.4, 0.7], [-0.1, 0.2]]]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["network", "hair"]


def test_captions_stand_below_their_images():
    grey = np.full((30, 40, 3), 128, np.uint8)
    figure = lesson_13.captioned([grey] * 3, {"true": list("abc"), "predicted": list("def")}, columns=2)
    shown = [axis.texts[0].get_text() for axis in figure.axes if axis.texts]
    assert shown == ["true: a.\npredicted: d.", "true: b.\npredicted: e.", "true: c.\npredicted: f."]
