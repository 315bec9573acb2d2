"""Follow every link of the documents and the lessons to another site, and list those that lead nowhere.

    python tools/links.py

A site that lets no programs in (403, 429 and the like) is named, too, but counts as there. The exit status is 1 if a
link is dead. Packages: requests alone. Links within the course are checked by tests/repository/test_documents.py.
"""

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

PROJECT = Path(__file__).resolve().parent.parent
PAGES = ["*.md", "docs/*.md", "*/README.md", "notebooks/*.ipynb"]
LINK = re.compile(r"\]\((https?://(?:[^()\s]|\([^()\s]*\))+)\)")  # an address may have one level of parentheses
KEPT_OUT = {401, 403, 405, 406, 418, 429, 999}
RETRY = Retry(total=3, backoff_factor=2, status_forcelist=[500, 502, 503, 504], raise_on_status=False)
TIMEOUT = 30  # seconds


def main(project: Path = PROJECT) -> int:
    found = links(project)
    with ThreadPoolExecutor(8) as several:
        answers = dict(zip(found, several.map(follow, found), strict=True))
    dead = {address: answer for address, answer in answers.items() if answer not in KEPT_OUT and answer != "there"}
    for address, answer in answers.items():
        if answer != "there":
            kind = "DEAD" if address in dead else "no programs let in"
            print(f"{kind} ({answer}): {address} in {', '.join(found[address])}")
    print(f"{len(found)} links, {len(dead)} dead")
    return 1 if dead else 0


def links(project: Path) -> dict[str, list[str]]:
    """The addresses of other sites, and for each the pages that link to it."""
    found: dict[str, list[str]] = {}
    for path in [path for pattern in PAGES for path in sorted(project.glob(pattern))]:
        for address in dict.fromkeys(LINK.findall("\n".join(prose(path)))):
            found.setdefault(address.partition("#")[0], []).append(path.relative_to(project).as_posix())
    return found


def prose(path: Path) -> Iterator[str]:
    """The text of a document, or of the Markdown cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        yield text
        return
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "markdown":
            yield "".join(cell["source"])


def follow(address: str) -> int | str:
    """ "there", the status that a server answers instead, or the kind of error if none answers."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=RETRY))
        session.mount("https://", HTTPAdapter(max_retries=RETRY))
        session.headers["User-Agent"] = "Mozilla/5.0 (links of a course)"
        try:
            with session.get(address, timeout=TIMEOUT, stream=True) as answer:  # the headers are enough
                return "there" if answer.ok else answer.status_code
        except requests.RequestException as error:
            return type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
