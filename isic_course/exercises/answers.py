"""What an exercise is, and how an answer is compared with the right one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer: whether an answer, given the right one, is of this kind, and the hint for it."""

    matches: Callable[[object, object], bool]
    hint: str


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    right: the right answer; or a function that computes it from what the notebook hands over; or None where that is the
    right answer itself. tolerance: how far a number may be off. mistakes: typical wrong answers; the hint of the first
    that matches is given. praise: what a right answer shows.
    """

    right: object = None
    tolerance: float = 0.005
    mistakes: tuple[Mistake, ...] = ()
    praise: str = ""


def exercise(right: object, *mistakes: Mistake, tolerance: float = 0.005, praise: str = "") -> Exercise:
    """An `Exercise`, with its typical mistakes one after the other."""
    return Exercise(right, tolerance, mistakes, praise)


def wrong(value: object, hint: str, tolerance: float = 0.005) -> Mistake:
    """The mistake whose answer is this value: a number, a text, or a list of them; or a function of the right one."""
    return Mistake(lambda answer, right: equal(answer, value(right) if callable(value) else value, tolerance), hint)


def too_small(hint: str) -> Mistake:
    """The mistake of any number below the right one."""
    return Mistake(lambda answer, right: answer < right, hint)


def too_large(hint: str) -> Mistake:
    """The mistake of any number above the right one."""
    return Mistake(lambda answer, right: answer > right, hint)


def between(low: float, high: float, hint: str) -> Mistake:
    """The mistake of any other number from `low` to `high`."""
    return Mistake(lambda answer, right: is_number(answer) and low <= answer <= high, hint)


def otherwise(hint: str) -> Mistake:
    """Any other mistake; the last one of an exercise."""
    return Mistake(lambda answer, right: True, hint)


PERCENT = wrong(lambda right: 100 * right, "that is in per cent; the answer is a fraction from 0 to 1.", 0.5)
COMPLEMENT = wrong(lambda right: 1 - right, "that is the share of the others: 1 minus the answer.")
UPSIDE_DOWN = wrong(lambda right: right and 1 / right, "the fraction is upside down.")


def verdict(exercise: Exercise, answer: object, right: object) -> str:
    """What `check` says of an answer."""
    if kind(answer) != kind(right):
        return f"not yet: the answer is {kind(right)}, yours is {kind(answer)}."
    if equal(answer, right, exercise.tolerance):
        return f"right! {exercise.praise[:1].upper()}{exercise.praise[1:]}".rstrip()
    for mistake in exercise.mistakes:
        if mistake.matches(answer, right):
            return f"not yet: {mistake.hint}"
    return "not yet."


def equal(answer: object, right: object, tolerance: float) -> bool:
    """Whether two answers are the same: texts but for case and spaces, collections in any order, numbers within the
    tolerance."""
    if isinstance(right, str):
        return answer.strip().lower() == right.strip().lower()
    if isinstance(right, (set, frozenset, list, tuple)) and all(isinstance(item, str) for item in right):
        return sorted(item.strip().lower() for item in answer) == sorted(item.strip().lower() for item in right)
    try:
        return np.shape(answer) == np.shape(right) and np.allclose(answer, right, rtol=0, atol=tolerance + 1e-9)
    except (TypeError, ValueError):  # a list of unlike things
        return False


def kind(value: object) -> str:
    """What a value is, in words."""
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (bool, np.bool_)):
        return "True or False"
    if is_number(value):
        return "a number"
    if isinstance(value, (set, frozenset, list, tuple, np.ndarray)):
        texts = len(value) > 0 and all(isinstance(item, str) for item in value)
        return "a collection of texts" if texts else "a collection of numbers"
    return f"of type {type(value).__name__}"


def is_number(value: object) -> bool:
    """Whether a value is a single number (and not True or False)."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))
