"""The glossary: the lessons' links into it lead somewhere, and its words are in order."""

import re
from pathlib import Path

import nbformat
import pytest

PROJECT = Path(__file__).resolve().parents[2]
GLOSSARY = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
ANCHORS = re.findall(r'<a id="([^"]+)"></a>', GLOSSARY)


def test_each_word_stands_there_once_with_its_spanish_and_its_meaning():
    assert len(ANCHORS) > 60 and len(set(ANCHORS)) == len(ANCHORS)
    rows = re.findall(r"^\| <a .*$", GLOSSARY, flags=re.MULTILINE)
    assert len(rows) == len(ANCHORS)
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4 and all(cells), row


def test_the_words_of_a_section_are_in_order():
    sections = [re.findall(r"\*\*([^*]+)\*\* \|", section) for section in GLOSSARY.split("\n## ")[1:]]
    assert len(sections) > 1 and all(sections) and sum(map(len, sections)) == len(ANCHORS)
    for words in sections:
        assert words == sorted(words, key=str.lower)


@pytest.mark.parametrize("lesson", sorted(PROJECT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_the_links_of_a_lesson_lead_to_a_word(lesson):
    text = "\n".join(cell.source for cell in nbformat.read(lesson, 4).cells if cell.cell_type == "markdown")
    linked = re.findall(r"\.\./docs/glossary\.md#([^)]+)\)", text)
    assert linked and set(linked) <= set(ANCHORS), set(linked) - set(ANCHORS)
    assert len(set(linked)) == len(linked), "only the first use is linked"
