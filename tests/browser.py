"""A real browser for tests: the system's Chromium, led by Playwright.

`make browser` runs the tests that need one; others skip them, since they take minutes. Playwright, and what makes the
book, are installed into build/, once. Where they or a Chromium cannot be had, a test is skipped, and says why.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from filelock import FileLock

PROJECT = Path(__file__).resolve().parent.parent
PLAYWRIGHT = PROJECT / "build" / "playwright"
ASKED_FOR = bool(os.environ.get("ISIC_BROWSER"))
NOT_ASKED_FOR = "tests in a browser take minutes: make browser runs them"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def installed(place: Path, needed: list[str]) -> Path:
    """A folder with these packages and what they need; the test is skipped if they cannot be installed."""
    place.parent.mkdir(exist_ok=True)
    stamp = place / ".installed"  # written last: a broken installation does not count
    with FileLock(place.with_suffix(".lock")):
        if stamp.exists() and stamp.read_text(encoding="utf-8") == " ".join(needed):
            return place
        shutil.rmtree(place, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "0", "--target", str(place)]
        done = subprocess.run([*command, *needed], capture_output=True, text=True, timeout=600)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
            pytest.skip(f"{', '.join(needed)} cannot be installed: {reason}")
        stamp.write_text(" ".join(needed), encoding="utf-8")
    return place


def packages_of(extra: str) -> Path:
    """A folder with the packages of an extra of pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return installed(PROJECT / "build" / f"{extra}-packages", project["optional-dependencies"][extra])


def made_by(tool: str, extra: str, build: Path) -> Path:
    """The folder with what a script of tools/ makes, with the packages of its extra: build/<its name>."""
    command = [sys.executable, str(PROJECT / "tools" / f"{tool}.py"), "--build", str(build)]
    environment = os.environ | {"PYTHONPATH": str(packages_of(extra))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return build / tool


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium (playwright.sync_api.Browser)."""
    if not ASKED_FOR:
        pytest.skip(NOT_ASKED_FOR)
    if CHROMIUM is None:
        pytest.skip("there is no Chromium or Chrome on this machine")
    place = str(installed(PLAYWRIGHT, ["playwright>=1.50"]))
    if place not in sys.path:
        sys.path.append(place)  # at the end: what is installed already comes first
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
