"""The page for one image: what it says of good and bad files; it keeps nothing and asks nobody; also in a browser."""

import argparse
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_runs
from archives import files_in, noise, refusal
from browser import PROJECT, chromium  # noqa: F401, a fixture
from PIL import Image

from isic_utils.inference import second_opinion
from isic_utils.inference.second_opinion import STATEMENT, SYNTHETIC_STATEMENT, SecondOpinion, opinion_on

pytest.importorskip("flask", reason="Flask is not installed, the extra app")
sys.path.insert(0, str(PROJECT / "tools"))
import app  # noqa: E402

SIZES = {"projector": (1280, 720), "phone": (360, 780)}


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    """An image as the content of a file."""
    image, content = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels), io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


PHOTO, JPEG = noise(0, 40, 60), encoded(noise(0, 40, 60), "JPEG")
DAMAGED_PNG = encoded(PHOTO)[:-30] + bytes(30)
BLACK = encoded(np.zeros((40, 60, 3), np.uint8))
BROKEN = {
    "empty": b"",
    "text": b"no image",
    "cut short": JPEG[:-300],
    "damaged": DAMAGED_PNG,
    "30 MB": bytes(30_000_000),
}


@pytest.fixture(scope="module")
def opinions(tmp_path_factory) -> SecondOpinion:
    """Networks trained for a moment on images in memory that pass for synthetic ones."""
    folder = tmp_path_factory.mktemp("app")
    store, table, split = small_runs.labelled(160)
    store.synthetic = True
    run = small_runs.classify(folder / "runs", (store, table, split))
    return second_opinion.assemble(run, small_runs.segment(folder / "runs"), store, table)


@pytest.fixture(scope="module")
def usual() -> bytes:
    """A file of the kind of images on which the networks were trained: of 16 × 16 pixels."""
    store, _, _ = small_runs.labelled(160)
    return encoded(store.pixels[0])


@pytest.fixture
def client(opinions):
    return app.create_app(opinions).test_client()


def large(content: bytes) -> bytes:
    """An image enlarged to a file of 30 MB."""
    return encoded(Image.open(io.BytesIO(content)).resize((3200, 3200)), compress_level=0)


# what it says


def test_an_image_gets_the_second_opinion(client, opinions, usual):
    expected = opinion_on(opinions, np.asarray(Image.open(io.BytesIO(usual))))
    assert not expected.abstained
    told = client.post("/opinion", data=usual).get_json()
    assert told["probabilities"] == expected.probabilities.to_dict()
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert (told["malignant"], told["threshold"]) == (expected.malignant, opinions.threshold)
    assert (told["reason"], told["predicted"]) == (expected.reason, expected.predicted)
    assert len(told["figures"]) == 3, "contour, heat, probabilities"
    for shown in told["figures"]:
        assert re.match(r'<img src="data:image/(jpeg|png);base64,[^"]+" alt="[^"]{10,}"', shown["image"])


def test_it_abstains_on_a_black_image(client):
    reply = client.post("/opinion", data=BLACK)
    assert reply.status_code == 200 and reply.get_json()["reason"].startswith("no prediction")
    assert "probabilities" not in reply.get_json() and len(reply.get_json()["figures"]) == 1


def test_an_image_of_30_mb_gets_the_second_opinion(client, opinions, usual):
    content = large(usual)
    assert len(content) > 30_000_000
    told = client.post("/opinion", data=content).get_json()
    assert told["reason"] == opinion_on(opinions, content).reason


def test_the_page_says_what_it_is_not(client):
    page = client.get("/").get_data(as_text=True)
    assert STATEMENT in page and SYNTHETIC_STATEMENT in page


# what it refuses


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_bad_file_gets_a_sentence(client, content):
    reply = client.post("/opinion", data=content)
    assert reply.status_code == 400 and re.fullmatch(r"The image is [^.]+: [^.]+\.", reply.get_json()["fault"])


def test_only_the_page_itself_may_ask(client, usual):
    for refused, status in (
        (client.post("/opinion", data=bytes(51_000_000)), 413),
        (client.get("/opinion"), 405),
        (client.get("/", headers={"Host": "rebound.example"}), 403),
        (client.post("/opinion", data=usual, headers={"Host": "127.0.0.1.example:80"}), 403),
        (client.post("/opinion", data=usual, headers={"Origin": "https://elsewhere.example"}), 403),
        (client.post("/opinion", data=usual, headers={"Origin": "null"}), 403),
    ):
        assert refused.status_code == status and refused.get_json()["fault"].endswith(".")
        assert "default-src 'self'" in refused.headers["Content-Security-Policy"]
    own = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}
    assert client.post("/opinion", data=usual, headers=own).status_code == 200


def test_without_a_trained_classifier_it_says_which_command_trains_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ISIC_RUNS", str(tmp_path))
    command = argparse.Namespace(run=None, no_browser=True)
    refusal(lambda: app.serve(command), str(tmp_path), "make notebooks", "python -m isic_utils train")


# what it leaves behind


class Watch:
    """Python's own report of each file that is opened for writing and of each connection, while `on`."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.hook)  # which cannot be taken away again

    def hook(self, event: str, arguments: tuple) -> None:
        written = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if self.on and (written or event in ("socket.connect", "socket.getaddrinfo")):
            self.seen.append((event, arguments[0]))


def test_it_writes_no_file_and_connects_to_nobody(client, usual, tmp_path):
    client.post("/opinion", data=usual)  # now all modules are loaded, and compiled to files
    watch, form = Watch(), b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
    watch.on = True
    for content in (usual, BLACK, large(usual), *BROKEN.values()):
        client.post("/opinion", data=content)
    client.post("/opinion", data=form + bytes(1_000_000) + b"\r\n--x--", content_type="multipart/form-data; boundary=x")
    client.get("/")
    assert not watch.seen
    (tmp_path / "a").write_bytes(b"")
    watch.on = False
    assert watch.seen == [("open", str(tmp_path / "a"))], "it sees what is written"


# in a browser


@contextlib.contextmanager
def served(opinions: SecondOpinion, place: Path) -> Iterator[str]:
    """The address of the running program, which Ctrl-C ends; it leaves no file where it works, and none in its runs."""
    runs, folders = opinions.run.folder.parents[1], [place / name for name in ("memory", "temporary", "here")]
    for folder in folders:
        folder.mkdir()
    data, temporary, here = folders
    environment = os.environ | {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    environment |= {"ISIC_DATA": str(data), "ISIC_RUNS": str(runs)}
    command = [sys.executable, str(PROJECT / "tools" / "app.py"), "--run", str(opinions.run.folder), "--no-browser"]
    before = [files_in(place), files_in(runs)]
    with subprocess.Popen(command, cwd=here, env=environment, stdout=subprocess.PIPE, text=True) as program:
        try:
            lines = iter(program.stdout.readline, "")
            yield next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
        finally:
            program.send_signal(signal.SIGINT)
            assert program.wait(60) == 0
    assert [files_in(place), files_in(runs)] == before


@pytest.fixture(scope="module")
def address(chromium, opinions, tmp_path_factory) -> Iterator[str]:  # noqa: F811
    with served(opinions, tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture
def tab(chromium, address, tmp_path):  # noqa: F811
    tab = chromium.new_page()
    tab.set_default_timeout(60_000)  # on loaded machines too
    tab.asked, tab.errors, tab.files = [], [], tmp_path
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("console", lambda said: "Security Policy" in said.text and tab.errors.append(said.text))
    tab.goto(address)
    yield tab
    assert not tab.errors
    assert {url for url in tab.asked if not url.startswith("data:")} >= {address, address + "pages/app.js"}
    assert all(url.startswith((address, "data:")) for url in tab.asked)
    tab.close()


def said(tab, name: str) -> str:
    """What the page says of a file, when it has been told."""
    ready = "name => { const said = document.getElementById('said').textContent; \
        return said.startsWith(name) && !said.endsWith('…'); }"
    tab.wait_for_function(ready, arg=name, polling=100)
    return tab.locator("#said").text_content()


def choose(tab, name: str, content: bytes) -> str:
    """Choose a file, and return what the page says of it."""
    (tab.files / name).write_bytes(content)
    tab.locator("#file").set_input_files(tab.files / name)
    return said(tab, name)


def test_the_four_files_in_a_browser(tab, opinions, usual):
    images = tab.locator("#figures img")
    assert opinion_on(opinions, usual).reason in choose(tab, "usual.png", usual)
    assert images.count() == 3
    assert images.evaluate_all("all => all.every(one => one.naturalWidth > 100 && one.alt.length > 10)")
    assert "damaged" in choose(tab, "broken.jpg", BROKEN["cut short"]) and images.count() == 0
    assert "no prediction" in choose(tab, "black.png", BLACK) and images.count() == 1
    expected = opinion_on(opinions, large(usual)).reason
    assert expected in choose(tab, "large.png", large(usual)) and images.count() >= 1
    assert "not a JPEG" in choose(tab, "large.jpg", BROKEN["30 MB"]) and images.count() == 0
    assert "50 MB" in choose(tab, "larger.jpg", bytes(51_000_000))


def test_an_image_is_dropped_or_chosen_by_keys(tab, usual):
    dropped = "bytes => { const all = new DataTransfer(); \
        all.items.add(new File([new Uint8Array(bytes)], 'dropped.png')); return all; }"
    tab.dispatch_event("#drop", "drop", {"dataTransfer": tab.evaluate_handle(dropped, list(usual))})
    assert "threshold" in said(tab, "dropped.png")
    (tab.files / "chosen.png").write_bytes(BLACK)
    tab.keyboard.press("Tab")
    tab.wait_for_function("() => document.activeElement.id === 'file'", polling=100)
    with tab.expect_file_chooser() as chooser:
        tab.keyboard.press("Enter")
    chooser.value.set_files(tab.files / "chosen.png")
    assert "no prediction" in said(tab, "chosen.png")


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_the_screen_and_the_statement_stays(tab, size, usual):
    width, height = SIZES[size]
    tab.set_viewport_size({"width": width, "height": height})
    choose(tab, "usual.png", usual)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    place = tab.get_by_text(STATEMENT).bounding_box()
    assert place["y"] >= 0 and place["y"] + place["height"] <= height
