"""The documents: links that lead somewhere, a README of one screen, and sentences that the code really says."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*PROJECT.glob("*.md"), *PROJECT.glob("[!.]*/README.md"), *PROJECT.glob("docs/*.md")]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
MOST_WORDS = 900


def anchors(file: Path) -> set[str]:
    """What a link into a document can name: its headings, as GitHub and the book write them, and its own anchors."""
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document):
    for place, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), place
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), f"{place}#{anchor}"


def test_the_readme_is_one_screen_and_leads_to_every_document():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= MOST_WORDS, "move what is not for the first minute to docs/"
    linked = {(PROJECT / place).resolve() for place, _ in LINK.findall(text)}
    assert set(DOCUMENTS) - {PROJECT / "README.md"} <= linked


def test_troubleshooting_quotes_what_the_code_says():
    sources = [PROJECT / "Makefile"]
    sources += [path for folder in ("isic_utils", "isic_course", "tools") for path in (PROJECT / folder).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    page = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quotes = re.findall(r"^> (.+)$", page, flags=re.MULTILINE)
    assert len(quotes) > 10
    for quote in quotes:
        for piece in re.split(r"…|[:;.] ", quote):  # "…" stands for what differs
            assert piece.strip(" ().:,") in code, quote
