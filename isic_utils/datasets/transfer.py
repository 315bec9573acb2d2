"""One file from one address of the web, whole, even if the connection breaks.

Of the libraries that download, pooch starts a broken file again from its first byte, and the small ones that resume
are hardly kept up. So `requests` moves the bytes, urllib3's `Retry` repeats what fails before the first byte, with
growing waits, and the few lines here ask for the rest of a file that broke off (RFC 9110: Range and If-Range).
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm.auto import tqdm
from urllib3.util import Retry

import isic_utils
from isic_utils.errors import IsicError
from isic_utils.files import whole

CHUNK = 1 << 16  # bytes written at a time; what a break in the middle of them costs
PASSING = [429, 500, 502, 503, 504]  # status codes of a server that may be well again in a moment
MOST_TIMES_LARGER = 2  # a file may be half or twice as large as expected; anything else is another file
BAR = dict(unit="B", unit_scale=True, leave=False, disable=None)  # None: only where someone is looking


class AddressFailed(IsicError):
    """This address does not give the file; another one may. The message is a clause without a subject: "answered …"."""


@dataclass(frozen=True)
class Patience:
    """How long to try. attempts: further tries in a row that bring nothing new; wait: seconds before the second of
    them, doubled each time; timeout: seconds of silence after which a connection counts as broken."""

    attempts: int = 6
    wait: float = 1.0
    timeout: float = 30.0


def session(patience: Patience) -> requests.Session:
    """Connections that repeat a request if it fails before the first byte; proxies are taken from the environment."""
    retry = Retry(
        total=patience.attempts,
        backoff_factor=patience.wait,
        status_forcelist=PASSING,
        raise_on_status=False,
        respect_retry_after_header=False,  # a server may name any time, hours too
    )
    connections = requests.Session()
    # identity: a compressed answer could not be continued at a byte of the file
    connections.headers = {"User-Agent": f"isic-course/{isic_utils.__version__}", "Accept-Encoding": "identity"}
    for scheme in ("http://", "https://"):
        connections.mount(scheme, HTTPAdapter(max_retries=retry))
    return connections


def fetch(address: str, file: Path, size: int, patience: Patience) -> None:
    """Download `file` from `address`, unless it is there; a transfer that broke off goes on where it stopped.

    size: bytes, about. Until it is whole the file is called ``<name>.part``; ``<name>.part.json`` says which version of
    which address it is a part of, so that two versions are never joined.

    Raises AddressFailed if this address does not give the file, OSError if the disk does not take it.
    """
    if file.exists():
        return
    part, note = part_and_note(file)
    furthest = failures = 0
    with session(patience) as connections:
        while not receive(connections, address, part, note, size, patience.timeout):
            failures = failures + 1 if length(part) <= furthest else 0
            furthest = max(furthest, length(part))
            if failures > patience.attempts:
                raise AddressFailed(f"broke off {failures} times without a new byte")
    os.replace(part, file)
    note.unlink()


def receive(connections: requests.Session, address: str, part: Path, note: Path, size: int, timeout: float) -> bool:
    """One answer of the server, added to `part` or in its place. Returns whether the file is whole now."""
    version = read_note(note)
    # With its ETag, what one address gave is continued by another that has the same version; without, only by that one.
    offset = length(part) if version.get("address") == address or version.get("tag") else 0
    if offset and offset == version["size"]:
        return True
    headers = {}
    if offset:
        headers = {"Range": f"bytes={offset}-"} | ({"If-Range": version["tag"]} if version["tag"] else {})
    try:
        response = connections.get(address, headers=headers, stream=True, timeout=timeout)
    except requests.RequestException as error:
        raise AddressFailed(why_unreachable(error, timeout)) from error
    with response:
        if offset and response.status_code == 206 and continues(response, offset, version["size"]):
            pass
        elif offset and response.status_code in (206, 416):  # another range, or none: begin again
            forget(part, note)
            return False
        elif response.status_code == 200:  # the whole file: no range was asked for, ranges are ignored, or it is new
            version = {"address": address, "size": expected_length(response, size), "tag": tag(response)}
            offset = 0
            forget(part, note)
            write_json(note, version)
        else:
            raise AddressFailed(f"answered {response.status_code} {response.reason}".rstrip())
        name = part.name.removesuffix(".part")
        try:
            with open(part, "ab") as stream, tqdm(**BAR, desc=name, initial=offset, total=version["size"]) as bar:
                for chunk in response.iter_content(CHUNK):
                    stream.write(chunk)
                    bar.update(len(chunk))
        except requests.RequestException:  # broken off; what came is kept
            return False
    if length(part) > version["size"]:
        forget(part, note)
    return length(part) == version["size"]


def continues(response: requests.Response, offset: int, size: int) -> bool:
    """Whether a partial answer is the rest of the file from `offset` on."""
    return response.headers.get("Content-Range", "") == f"bytes {offset}-{size - 1}/{size}"


def expected_length(response: requests.Response, size: int) -> int:
    """The announced number of bytes, if it can be that of the file; a page of a portal or another file is refused."""
    kind = response.headers.get("Content-Type", "").split(";")[0]
    announced = response.headers.get("Content-Length", "")
    if kind == "text/html":
        raise AddressFailed("answered with a web page instead of the file")
    if not announced.isdigit():
        raise AddressFailed("does not say how large the file is")
    if not size / MOST_TIMES_LARGER <= int(announced) <= size * MOST_TIMES_LARGER:
        raise AddressFailed(f"offers another file, of {int(announced):,} bytes instead of about {size:,}")
    return int(announced)


def tag(response: requests.Response) -> str:
    """What names this version of the file in an If-Range header: a strong ETag, else the date, else nothing."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def why_unreachable(error: requests.RequestException, timeout: float) -> str:
    """A connection error in a few words; `requests` says it in three lines."""
    if isinstance(error, requests.exceptions.SSLError):
        return "has no valid certificate"
    if isinstance(error, requests.Timeout):
        return f"did not answer within {timeout:g} s"
    return "cannot be reached"


def host(address: str) -> str:
    """The server's name in an address, for messages."""
    return urlsplit(address).netloc


def length(file: Path) -> int:
    """The size of a file in bytes; 0 if there is none."""
    return file.stat().st_size if file.exists() else 0


def part_and_note(file: Path) -> tuple[Path, Path]:
    """Where the bytes of an unfinished file lie, and what they belong to."""
    return file.with_name(f"{file.name}.part"), file.with_name(f"{file.name}.part.json")


def begun_at(file: Path) -> str | None:
    """The address from which a part of the file is there already."""
    return read_note(part_and_note(file)[1]).get("address")


def tidy(file: Path) -> None:
    """Remove a downloaded file and whatever is there of it."""
    file.unlink(missing_ok=True)
    forget(*part_and_note(file))


def forget(part: Path, note: Path) -> None:
    """Remove a part and its note, the part first: bytes without a note are never continued."""
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def read_note(note: Path) -> dict:
    """address, size and tag of what a part belongs to; empty if there is no note or it is damaged."""
    with suppress(OSError, ValueError):
        version = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(version, dict) and {"address", "size", "tag"} <= set(version):
            return version
    return {}


def write_json(file: Path, content: dict) -> None:
    """A dictionary as a JSON file, whole or not at all."""
    write_text(file, json.dumps(content, indent=2))


def write_text(file: Path, text: str) -> None:
    """A text and a line end as a file, whole or not at all."""
    with whole(file) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
