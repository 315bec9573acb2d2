"""A miniature of the course, in less than a minute: what the doctor runs to say whether everything works.

All of it happens in a temporary folder, on made-up images: neither the data nor the runs are touched.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from nbclient import NotebookClient
from PIL import Image

from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, splits
from isic_utils.errors import IsicError
from isic_utils.inference.predict import predict_probabilities
from isic_utils.training import TrainConfig, fit, get_accelerator

COUNT, SIZE = 96, 32
CONFIG = TrainConfig(width=1 / 4, epochs=2, learning_rate=0.01)  # a high one, so that predictions soon differ


def train_and_predict() -> None:
    """Decode images, train a narrow residual net twice with the same seed, load it, and let it predict again.

    Raises IsicError if the two runs differ (not asked on a GPU, which may add up in another order each time), or if
    the loaded network predicts otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="isic-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        table = made_up_images(folder)
        store = ImageStore(table, SIZE, folder / "cache", progress=False)
        arguments = CONFIG, store, table, splits.standard(table, group_by="image")
        first, second = (fit(*arguments, folder / name, progress=False) for name in ("first", "second"))
        before = first.predictions()
        if get_accelerator().device.type == "cpu" and not before.equals(second.predictions()):
            raise IsicError("Two runs with the same seed gave different predictions: report it.")
        now = predict_probabilities(first, store, before["image"])
        if not np.allclose(now, before[CODES], atol=0.02):  # mixed precision rounds in another order
            raise IsicError("A network that was saved and loaded predicts otherwise than before: report it.")


def made_up_images(folder: Path) -> pd.DataFrame:
    """JPEG files, each class in a colour of its own, and their table."""
    random = np.random.default_rng(0)
    label = pd.Categorical.from_codes(np.arange(COUNT) % len(CODES), CODES, ordered=True)
    colours = random.integers(40, 200, (len(CODES), 1, 1, 3))
    table = pd.DataFrame({"image": [f"made_up_{number:03}" for number in range(COUNT)], "label": label})
    table["path"] = [str(folder / f"{image}.jpg") for image in table["image"]]
    for path, code in zip(table["path"], label.codes, strict=True):
        Image.fromarray((colours[code] + random.integers(-30, 30, (48, 64, 3))).astype(np.uint8)).save(path)
    return table


def start_a_kernel() -> None:
    """Start what a notebook runs in. Raises IsicError if it is another Python than this one."""
    cell = nbformat.v4.new_code_cell("import sys, isic_utils\nprint(sys.prefix)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
    prefix = cell.outputs[0].text.strip()
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        advice = "start JupyterLab with `make lab`, or set JUPYTER_PREFER_ENV_PATH to 1"
        raise IsicError(f"Notebooks would run in another Python ({prefix}): {advice}.")
