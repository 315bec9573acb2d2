"""The unit tests see none of the shell's ISIC_… variables, and leave no figure open."""

import signal

import matplotlib.pyplot as plt
import pytest

# What a shell starts in the background ignores Ctrl-C, and so would all processes that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def without_isic_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ISIC_DATA", "ISIC_PROFILE", "ISIC_RUNS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")
