"""The course in small, in less than a minute: what `doctor` runs to say whether everything works.

Each step is a function that raises if its part does not work. All of it happens in a temporary folder, on made-up
pictures: neither the data nor the runs are touched.
"""

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from isic_utils import settings as profile
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.errors import IsicError
from isic_utils.training import fit as training, processes

COUNT = 96
SIZE = 32
SEED = 0
LEARNING_RATE = 0.01  # high, so that two epochs are enough for answers that differ from picture to picture
KERNEL_SECONDS = 120


def run() -> Iterator[tuple[str, float, str]]:
    """Each step's name, the seconds it took, and "" or what went wrong. After a failure only the steps that need no
    network go on."""
    with tempfile.TemporaryDirectory(prefix="isic-", ignore_cleanup_errors=True) as folder:
        state = {"folder": Path(folder)}
        trains = True
        for name, step in STEPS.items():
            if not trains and step not in WITHOUT_A_NETWORK:
                continue
            start = time.perf_counter()
            problem = ""
            try:
                step(state)
            except Exception as error:  # whatever a broken installation raises
                told = str(error) if isinstance(error, IsicError) else f"{type(error).__name__}: {error}"
                problem = f"The self-test failed to {name}: {told}"
                trains = trains and step in WITHOUT_A_NETWORK
            yield name, time.perf_counter() - start, problem


def decode_pictures(state: dict) -> None:
    """Write JPEG files, each class in a colour of its own, and decode them as the lessons do."""
    chance = np.random.default_rng(0)
    label = pd.Categorical.from_codes(np.arange(COUNT) % len(tables.CODES), tables.CODES, ordered=True)
    colours = chance.integers(40, 200, (len(tables.CODES), 1, 1, 3))
    table = pd.DataFrame({"image": [f"made_up_{number:03}" for number in range(COUNT)], "label": label})
    table["path"] = [str(state["folder"] / f"{image}.jpg") for image in table["image"]]
    for path, code in zip(table["path"], label.codes, strict=True):
        pixels = colours[code] + chance.integers(-30, 30, (48, 64, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    state["table"] = table
    state["pictures"] = pictures.load(table, SIZE, state["folder"] / "cache", progress=False)
    if len(state["pictures"].images) != COUNT:
        raise IsicError(f"Of {COUNT} pictures only {len(state['pictures'].images)} could be decoded again.")


def train_twice(state: dict) -> None:
    """Train the slim residual net for two epochs, and once more with the same seed: the same answers, to the bit.

    A graphics card may add up in another order each time, so there the two are not compared.
    """
    size = profile.SIZES["laptop"] | dict(picture_size=SIZE, epochs=2)
    table, photos = state["table"], state["pictures"]
    parts = splits.standard(table)
    state["runs"] = []
    for name in ("first", "second"):
        folder = state["folder"] / name
        settings = profile.Profile("self-test", data=folder, cache=folder, runs=folder, **size)
        run = training.fit(
            "residual", table, parts, photos, settings, seed=SEED, learning_rate=LEARNING_RATE, progress=False
        )
        state["runs"].append(run)
    first, second = (run.predictions("test") for run in state["runs"])
    if processes.accelerator().device.type == "cpu" and not first.equals(second):
        raise IsicError("Two runs with the same seed gave different answers: report it.")


def load_a_checkpoint(state: dict) -> None:
    """Load the trained network and let it answer again: what it answered at the end of training."""
    run = state["runs"][0]
    model, mixed, device = training.load(run)
    before = run.predictions("test")
    rows = state["pictures"].rows(before["image"])
    x, _ = next(pictures.batches(state["pictures"], rows, None, len(rows), device))
    with torch.no_grad(), mixed:
        now = model(x).float().softmax(dim=1).cpu().numpy()
    if not np.allclose(now, before[tables.CODES], atol=0.02):  # mixed precision rounds in another order
        raise IsicError("A network that was saved and loaded answers otherwise than before: report it.")


def draw_a_figure(state: dict) -> None:
    """Draw bars, as a lesson does, into a file in memory."""
    from isic_utils import plots as figures  # here, since it may be matplotlib that is broken

    count = pd.DataFrame({"made up": pd.Series(1, index=tables.CODES)})
    file = io.BytesIO()
    figures.class_counts(count).savefig(file)
    figures.plt.close("all")
    width, height = Image.open(file).size
    if width < 100 or height < 100:
        raise IsicError(f"A figure came out {width} × {height} pixels small: report it.")


def start_a_kernel(state: dict) -> None:
    """Start what a notebook runs in, and see that it is this Python, with the course in it."""
    import nbformat
    from nbclient import NotebookClient

    cell = nbformat.v4.new_code_cell("import sys, isic_utils\nprint(sys.prefix)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    quiet = ["--log-level=ERROR"]
    NotebookClient(notebook, timeout=KERNEL_SECONDS, kernel_name="python3", extra_arguments=quiet).execute()
    prefix = cell.outputs[0].text.strip()
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        raise IsicError(
            f"Notebooks would run in another Python ({prefix}): start JupyterLab with `make lab`, or set "
            "JUPYTER_PREFER_ENV_PATH to 1."
        )


STEPS = {
    "decode pictures": decode_pictures,
    "train twice to the same result": train_twice,
    "load a checkpoint and predict": load_a_checkpoint,
    "draw a figure": draw_a_figure,
    "start a notebook's kernel": start_a_kernel,
}
WITHOUT_A_NETWORK = (draw_a_figure, start_a_kernel)
