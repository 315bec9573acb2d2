"""A miniature of the course, in less than a minute: what the doctor runs to say whether everything works.

Each step is a function that raises if something does not work. All of it happens in a temporary folder, on made-up
images: neither the data nor the runs are touched.
"""

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from isic_utils.datasets import ImageStore, splits
from isic_utils.datasets.tables import CODES
from isic_utils.errors import IsicError
from isic_utils.inference.predict import predict_probabilities
from isic_utils.training import TrainConfig, fit, get_accelerator

COUNT, SIZE = 96, 32
CONFIG = TrainConfig(width=1 / 4, epochs=2, learning_rate=0.01)  # a high one, so that predictions soon differ


def run() -> Iterator[tuple[str, str, str]]:
    """For each step its name, how long it took, and what went wrong or "". What needs a failed step is left out."""
    with tempfile.TemporaryDirectory(prefix="isic-", ignore_cleanup_errors=True) as folder:
        state = {"folder": Path(folder)}
        for name, (step, *needs) in STEPS.items():
            if not set(needs) <= set(state):
                continue
            start = time.perf_counter()
            try:
                step(state)
            except Exception as error:  # whatever a broken installation raises
                told = str(error) if isinstance(error, IsicError) else f"{type(error).__name__}: {error}"
                yield name, "failed", f"The self-test failed to {name}: {told}"
            else:
                yield name, f"ok, {time.perf_counter() - start:.1f} s", ""


def decode_images(state: dict) -> None:
    """Write JPEG files, each class in a colour of its own, and decode them as the lessons do."""
    random = np.random.default_rng(0)
    label = pd.Categorical.from_codes(np.arange(COUNT) % len(CODES), CODES, ordered=True)
    colours = random.integers(40, 200, (len(CODES), 1, 1, 3))
    table = pd.DataFrame({"image": [f"made_up_{number:03}" for number in range(COUNT)], "label": label})
    table["path"] = [str(state["folder"] / f"{image}.jpg") for image in table["image"]]
    for path, code in zip(table["path"], label.codes, strict=True):
        Image.fromarray((colours[code] + random.integers(-30, 30, (48, 64, 3))).astype(np.uint8)).save(path)
    state["table"], state["store"] = table, ImageStore(table, SIZE, state["folder"] / "cache", progress=False)


def train_twice(state: dict) -> None:
    """Train a narrow residual net for two epochs, and again with the same seed: the same predictions, to the bit.

    A GPU may add up in another order each time, so there the two are not compared.
    """
    split = splits.standard(state["table"], group_by="image")
    arguments = CONFIG, state["store"], state["table"], split
    first, second = (fit(*arguments, state["folder"] / name, progress=False) for name in ("first", "second"))
    if get_accelerator().device.type == "cpu" and not first.predictions().equals(second.predictions()):
        raise IsicError("Two runs with the same seed gave different predictions: report it.")
    state["run"] = first


def load_a_checkpoint(state: dict) -> None:
    """Load the trained network and let it predict again what it predicted at the end of training."""
    before = state["run"].predictions()
    now = predict_probabilities(state["run"], state["store"], before["image"])
    if not np.allclose(now, before[CODES], atol=0.02):  # mixed precision rounds in another order
        raise IsicError("A network that was saved and loaded predicts otherwise than before: report it.")


def draw_a_figure(state: dict) -> None:
    """Draw dots, as a lesson does, into a file in memory."""
    from isic_utils import plots  # here, since it may be matplotlib that is broken

    plots.recall_dots(pd.DataFrame({"made up": 1.0}, index=CODES)).savefig(io.BytesIO())
    plots.plt.close("all")


def start_a_kernel(state: dict) -> None:
    """Start what a notebook runs in, and see that it is this Python, with the course in it."""
    import nbformat
    from nbclient import NotebookClient

    cell = nbformat.v4.new_code_cell("import sys, isic_utils\nprint(sys.prefix)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
    prefix = cell.outputs[0].text.strip()
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        raise IsicError(
            f"Notebooks would run in another Python ({prefix}): start JupyterLab with `make lab`, or set "
            "JUPYTER_PREFER_ENV_PATH to 1."
        )


STEPS = {  # name -> the function, and what it needs of earlier ones
    "decode images": (decode_images,),
    "train twice to the same result": (train_twice, "store"),
    "load a checkpoint and predict": (load_a_checkpoint, "run"),
    "draw a figure": (draw_a_figure,),
    "start a notebook's kernel": (start_a_kernel,),
}
