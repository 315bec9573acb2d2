"""A web server on this machine for the tests, with every fault that a download can meet; and tiny official archives."""

import io
import os
import threading
import zipfile
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from isic_utils.datasets import download

PAGE = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"


@dataclass
class Site:
    """What a server has, does and did. files: name -> content, in whatever folder; faults: for the next requests, one
    each, of any file; always: the fault of every request.

    A fault is ("status", code), ("drop", bytes after which the connection closes), ("hang", bytes after which nothing
    more comes until `go_on` is set), ("shift", bytes by which the answered range is another than the one asked for) or
    ("page", bytes), a web page of that size instead of the file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: deque = field(default_factory=deque)
    always: tuple | None = None
    ranges: bool = True
    etag: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # name and Range header
    sent: int = 0  # bytes of all bodies
    hanging: int = 0  # requests that wait for `go_on`
    go_on: threading.Event = field(default_factory=threading.Event)
    address: str = ""


class Server(ThreadingHTTPServer):
    """Takes as many connections at a time as a real server; the standard five make a client wait for a second."""

    request_queue_size = 100
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers GET as the site of its server says."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        site: Site = self.server.site
        wanted, name = self.headers.get("Range"), self.path.rpartition("/")[2]
        site.requests.append((name, wanted))
        kind, value = site.faults.popleft() if site.faults else site.always or (None, None)
        if kind == "status":
            return self.answer(value, b"error", {})
        if kind == "page":
            return self.answer(200, PAGE.ljust(value or 0), {"Content-Type": "text/html; charset=utf-8"})
        if name not in site.files:
            return self.answer(404, b"not here", {})
        content = site.files[name]
        tag = f'"{hash(content)}"'
        headers = {"Content-Type": "application/octet-stream"} | ({"ETag": tag} if site.etag else {})
        stop = value if kind in ("drop", "hang") else None
        if wanted and site.ranges and self.headers.get("If-Range", tag) == tag:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(int(last), len(content) - 1) if first and last else len(content) - 1
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            start += value if kind == "shift" else 0
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return self.answer(206, content[start : end + 1], headers, stop, hang=kind == "hang")
        return self.answer(200, content, headers, stop, hang=kind == "hang")

    def answer(self, status: int, body: bytes, headers: dict, stop: int | None = None, hang: bool = False) -> None:
        site: Site = self.server.site
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        with suppress(ConnectionError):
            site.sent += len(body[:stop])
            self.wfile.write(body[:stop])
            self.wfile.flush()
            if hang and stop is not None and stop < len(body):
                site.hanging += 1
                site.go_on.wait(30)
                site.hanging -= 1


@contextmanager
def served(site: Site):
    """The site on a free port of this machine; `site.address` says which."""
    server = Server(("127.0.0.1", 0), Handler)
    server.site = site
    site.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02))
    thread.start()
    try:
        yield site
    finally:
        site.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def zip_of(members: dict[str, bytes | str], count: int = 0) -> bytes:
    """A zip with these members and `count` good images."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"ISIC_{number:07d}.jpg", image_bytes(number))
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def image_bytes(number: int, size: int = 4000) -> bytes:
    """Bytes that stand for an image; they do not compress, like a JPEG."""
    return np.random.default_rng(number).bytes(size)


def serve_as_isic(
    monkeypatch: pytest.MonkeyPatch, year: int, files: list[tuple[str, str, str, int]], sites: list[Site]
) -> None:
    """Let `download` take the sites for ISIC's servers, and (name, split, kind, count) of what the first has for the
    archive of a year; it waits for nobody."""
    described = tuple(download.File(name, *rest, len(sites[0].files[name]), count) for name, *rest, count in files)
    monkeypatch.setitem(download.ARCHIVES, year, described)
    monkeypatch.setattr(download, "SERVERS", [site.address.rstrip("/") for site in sites])
    for name, value in dict(RETRIES=3, BACKOFF=0, TIMEOUT=5).items():
        monkeypatch.setattr(download, name, value)


def below(folder: Path) -> set[str]:
    """The names of all files below a folder, but for the lock."""
    return {
        str(path.relative_to(folder)).replace(os.sep, "/")
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }
