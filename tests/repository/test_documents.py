"""The documents: links that lead somewhere, a README of one screen, and sentences that the code really says."""

import re
import sys
from pathlib import Path

import pytest
from web import Site, served

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*PROJECT.glob("*.md"), *PROJECT.glob("[!.]*/README.md"), *PROJECT.glob("docs/*.md")]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
MOST_WORDS = 900

sys.path.insert(0, str(PROJECT / "tools"))
import links  # noqa: E402


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


def test_dead_links_to_other_sites_are_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(links, "RETRY", 0)
    with served(Site({"here": b"a page"})) as site, served(Site(always=("status", 403))) as closed:
        page = f"[a]({site.address}here#part) [b]({site.address}gone) [c]({closed.address}x)"
        (tmp_path / "README.md").write_text(f"{page} [d](https://127.0.0.1:1/y(z))", encoding="utf-8")
        assert links.main(tmp_path) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"DEAD (404): {site.address}gone in README.md"
    assert said[1] == f"no programs let in (403): {closed.address}x in README.md"
    assert said[2].startswith("DEAD (ConnectionError): https://127.0.0.1:1/y(z)")
    assert said[3] == "4 links, 2 dead"


def test_the_lessons_links_to_other_sites_are_found():
    found = links.links(PROJECT)
    assert any(page.startswith("notebooks/") for pages in found.values() for page in pages)
    assert len(found) > 100
