"""A lesson in JupyterLab, in a real browser, as a student has it: opened, run from the menu, an exercise answered."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import ASKED_FOR, NOT_ASKED_FOR, PROJECT, chromium  # noqa: F401, a fixture

from isic_utils.settings import SAMPLE

pytestmark = pytest.mark.skipif(not ASKED_FOR, reason=NOT_ASKED_FOR)
LESSONS = PROJECT / "notebooks"
# seconds to wait for the server, for a lesson, for a click's effect; on loaded machines too
START, RUN, STEP = 90, 400, 60
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # else only the cells near the screen can be looked at
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # nothing from elsewhere
}

HAS_RUN = r"""() => {
    const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].map(prompt => prompt.textContent);
    const shown = prompts.filter(text => text !== "");  // a closed solution has none
    const idle = document.querySelector(".jp-Notebook-ExecutionIndicator").dataset.status === "idle";
    const failed = document.querySelector("[data-mime-type='application/vnd.jupyter.error']");
    return idle && shown.length > 20 && (failed || shown.every(text => /\[\d+\]/.test(text)));
}"""
IMAGES = """() => [...document.querySelectorAll(".jp-OutputArea img")].map(
    image => ({text: image.alt, pixels: image.complete ? image.naturalWidth : 0}))"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium) -> Iterator[tuple[str, Path]]:  # noqa: F811
    """The address of a running JupyterLab, `{}` in the place of a notebook's name, and the folder that it shows: copies
    of the lessons without outputs. Settings of the one who tests are neither used nor changed."""
    place = tmp_path_factory.mktemp("lab")
    lessons = place / "lessons"
    lessons.mkdir()
    for path in LESSONS.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, lessons / path.name)
    for name, content in SETTINGS.items():
        file = place / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    own = {
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTERLAB_SETTINGS_DIR": place / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": place / "workspaces",
        "JUPYTER_CONFIG_DIR": place / "config",
        "JUPYTER_RUNTIME_DIR": place / "runtime",
        "ISIC_RUNS": os.environ.get("ISIC_RUNS", "build/test-runs"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
    }
    environment = {name: value for name, value in os.environ.items() if name not in ("ISIC_DATA", "ISIC_PROFILE")}
    environment |= {name: str(value) for name, value in own.items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={lessons}", f"--IdentityProvider.token={token}"]
    with open(place / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/api", server, place / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token={token}&reset", lessons
    finally:
        server.terminate()  # and with it its kernels
        try:
            server.wait(START)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    """Return when a server answers."""
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab does not start: {log.read_text(encoding='utf-8')[-2000:]}")


@pytest.fixture
def tab(chromium):  # noqa: F811
    tab = chromium.new_page(viewport={"width": 1300, "height": 900})
    tab.set_default_timeout(1000 * STEP)
    yield tab
    tab.close()


def run_all(tab, address: str, name: str) -> None:
    """Open a lesson and choose Run → Run All Cells in the menu; return when every cell has run without an error."""
    tab.goto(address.format(name))
    tab.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    tab.locator("#jp-main-statusbar").get_by_text(re.compile(r"Python 3.* \| Idle$")).wait_for()  # the kernel is there
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    tab.wait_for_function(HAS_RUN, timeout=1000 * RUN, polling=500)  # not at each frame, which keeps a core busy
    errors = tab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
    assert errors.all_inner_texts() == []


def answer(tab, number: str, text: str) -> str:
    """Type an answer into the stub of an exercise, run the cell, and return what is said to it."""
    stub = tab.locator(".jp-CodeCell").filter(has_text=re.compile(rf'^\s*\[.*answer = .*check\("{number}"', re.DOTALL))
    cell = stub.filter(has=tab.locator(".cm-content:visible")).first
    said = cell.locator(".jp-OutputArea-output")
    cell.locator(".cm-content").click()
    tab.keyboard.press("ControlOrMeta+A")
    tab.keyboard.insert_text(f'answer = {text}\ncheck("{number}", answer)')
    before = cell.locator(".jp-InputPrompt").first.text_content()
    tab.keyboard.press("ControlOrMeta+Enter")
    tab.wait_for_function(
        r"([cell, before]) => { const now = cell.querySelector('.jp-InputPrompt').textContent;"
        r" return /\[\d+\]/.test(now) && now !== before; }",
        arg=[cell.element_handle(), before],
        polling=200,
    )
    return said.first.inner_text()


def test_lesson_01_runs_from_the_menu_shows_its_figures_and_checks_an_answer(lab, tab):
    address, lessons = lab
    committed = nbformat.read(LESSONS / "01_data_analysis.ipynb", as_version=4)
    run_all(tab, address, "01_data_analysis.ipynb")
    assert tab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0

    images = tab.evaluate(IMAGES)
    outputs = [output for cell in committed.cells for output in cell.get("outputs", [])]
    assert len(images) == sum("<img" in output.get("data", {}).get("text/html", "") for output in outputs) > 5
    assert all(image["pixels"] > 100 and image["text"] for image in images)
    folded = sum("jupyter" in cell.metadata for cell in committed.cells)  # solutions, and cells that only draw
    assert tab.locator(".jp-CodeCell .jp-Cell-inputWrapper .jp-Placeholder").count() == folded, "solutions lie open"

    assert "not yet: that is in per cent" in answer(tab, "01.2", "25")
    assert "right!" in answer(tab, "01.2", "0.25")
    assert nbformat.read(LESSONS / "01_data_analysis.ipynb", as_version=4) == committed


@pytest.mark.skipif(not list(LESSONS.glob("09_*.ipynb")), reason="lesson 09, which takes an image, is not there")
def test_lesson_09_answers_a_image_that_is_uploaded(lab, tab):
    address, lessons = lab
    (lesson,) = LESSONS.glob("09_*.ipynb")
    run_all(tab, address, lesson.name)
    before = [image["text"] for image in tab.evaluate(IMAGES)]
    photograph = next((SAMPLE / "ISIC_2019_Training_Input").glob("*.jpg"))
    with tab.expect_file_chooser() as chooser:
        tab.locator("button.widget-upload").first.click()
    chooser.value.set_files(photograph)
    tab.wait_for_function(f"() => document.querySelectorAll('.jp-OutputArea img').length > {len(before)}", polling=500)
    images = tab.evaluate(IMAGES)
    assert len(images) == len(before) + 1 and all(image["pixels"] > 0 for image in images)
    answers = [image["text"] for image in images if image["text"].startswith("The opinion on the chosen image")]
    assert len(answers) == 2 and answers[0] != answers[1], "the uploaded image's, and the one shown from the start"
