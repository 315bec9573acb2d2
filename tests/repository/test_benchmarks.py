"""The benchmarks: the plan of the whole thesis holds what is computed, and the results' tables are made right."""

from pathlib import Path

import pytest

from isic_course.thesis import reproduce as thesis
from isic_utils.settings import PROFILES

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts can be imported by name, as they import one another."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))


def test_the_plan_holds_the_tables_that_are_computed(tmp_path):
    import cost

    page = (PROJECT / "docs" / "plan.md").read_text(encoding="utf-8")
    (tmp_path / "plan.md").write_text(page, encoding="utf-8")
    cost.write(tmp_path / "plan.md", cost.tables())
    assert (tmp_path / "plan.md").read_text(encoding="utf-8") == page, "run python benchmarks/cost.py --write"


def test_a_lesson_of_lab_ends_within_an_hour():
    import cost

    assert cost.of_lab()["with all else, minutes"].astype(int).max() <= 60


def test_multiply_adds_are_those_of_the_literature():
    import cost

    work = cost.counted("resnet50", 224, 224)
    assert work.forward == pytest.approx(4.09e9, rel=0.01)  # torchvision's documentation: 4.09 GFLOPS
    assert work.backward == pytest.approx(2 * work.forward, rel=0.03)
    assert work.weights == 25_557_032
    depthwise = cost.counted("efficientnet_lite0", 224, 224)
    assert depthwise.forward == pytest.approx(0.385e9, rel=0.03)  # 407 million in the authors' count, with 1000 classes
    assert depthwise.backward <= 2 * depthwise.forward


def test_the_thesis_trains_the_cheap_networks_first():
    import cost

    side = PROFILES["full"]["image_size"]
    multiplications = [cost.counted(name, side, side).forward for name in thesis.CHEAP_FIRST]
    assert len(multiplications) == 5 and multiplications == sorted(multiplications)


def test_a_text_comes_between_its_marks_and_nothing_else_changes():
    import marks

    assert marks.replaced("a <1>old<2> b", "<1>", "<2>", "new") == "a <1>\nnew\n<2> b"
    with pytest.raises(ValueError):
        marks.replaced("a <1>old b", "<1>", "<2>", "new")


def test_contenders_take_turns_and_are_compared_round_by_round():
    import side_by_side

    order = []
    own, other = iter([9.0, 1.0, 2.0, 4.0]), iter([9.0, 3.0, 8.0, 4.0])

    def turn(name, times):
        order.append(name)
        return next(times)

    contenders = {"course": lambda: turn("course", own), "rival": lambda: turn("rival", other)}
    seconds = side_by_side.measure(contenders, rounds=3)
    assert order == ["course", "rival"] * 4
    assert seconds == {"course": [1.0, 2.0, 4.0], "rival": [3.0, 8.0, 4.0]}  # the first turn does not count
    _, rival = side_by_side.rows("what", 100, seconds, {"rival": 2.5})
    assert rival["ratio"] == 3.0 and rival["required"] == 2.5 and rival["per second"] == 25.0
