"""Answers to the exercises, checked immediately: `check("04.1", answer)` says right, not yet, or which typical mistake
it is.

A stub, ``answer = ...``, runs and says that it is open. Where the right answer depends on the data or on a run, the
notebook hands it over, ``check("04.2", answer, expected)``, or hands over what it is computed from, here, so that the
stub does not give it away: ``check("01.1", answer, table)``.

Each lesson has a module; `answers` compares. `explain_missing_names`, which a notebook's first cell calls, says which
cell is to run first when a name is missing.
"""

import importlib

from isic_course.exercises.answers import verdict
from isic_course.exercises.order import explain_missing_names

__all__ = ["EXERCISES", "LESSONS", "check", "explain_missing_names"]
LESSONS = [importlib.import_module(f"isic_course.exercises.lesson_{number:02}") for number in range(1, 14)]
EXERCISES = {number: exercise for lesson in LESSONS for number, exercise in lesson.EXERCISES.items()}


def check(number: str, answer: object, expected: object = None) -> None:
    """Say whether an answer is right.

    number: the exercise, e.g. ``"04.1"``; answer: yours, or ``...`` while you have none; expected: the right answer,
    where it depends on the data at hand, or what the exercise works it out from. Raises KeyError for a number that no
    exercise has.
    """
    exercise = EXERCISES[number]
    if answer is ...:
        print(f"Exercise {number}: not answered yet. Replace the three dots by your answer and run the cell again.")
        return
    answer = answer.tolist() if hasattr(answer, "tolist") else answer  # of NumPy, PyTorch or pandas
    right = exercise.right if expected is None else expected
    if callable(exercise.right):
        right = exercise.right(expected)
    print(f"Exercise {number}: {verdict(exercise, answer, right)}")
