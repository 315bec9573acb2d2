"""The unit tests see none of the shell's ISIC_… variables, and leave no figure open."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def without_isic_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ISIC_DATA", "ISIC_PROFILE", "ISIC_RUNS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")
