"""A miniature of the course, in less than a minute: what the doctor runs to say whether everything works.

All of it happens in a temporary folder, on synthetic images: neither the data nor the runs are touched.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient

from isic_course import synthetic
from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.errors import IsicError
from isic_utils.inference.predict import predict_probabilities
from isic_utils.training import TrainConfig, fit, get_accelerator

IMAGES = dict(images=96, proportions=dict.fromkeys(CODES, 1), least_images=0, size=(64, 48), pairs=0)
CONFIG = TrainConfig(width=1 / 4, epochs=2, learning_rate=0.01)  # a high one, so that predictions soon differ


def train_and_predict() -> None:
    """Decode images, train a narrow residual net twice with the same seed, load it, and let it predict again.

    Raises IsicError if the two runs differ (not asked on a GPU, which may add up in another order each time), or if
    the loaded network predicts otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="isic-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        table = read_isic2019(synthetic.draw(folder / "data", workers=1, progress=False, **IMAGES))
        store = ImageStore(table, 32, folder / "cache", progress=False)
        arguments = CONFIG, store, table, splits.standard(table, group_by="image")
        first, second = (fit(*arguments, folder / name, progress=False) for name in ("first", "second"))
        before = first.predictions()
        if get_accelerator().device.type == "cpu" and not before.equals(second.predictions()):
            raise IsicError("Two runs with the same seed gave different predictions: report it.")
        now = predict_probabilities(first, store, before["image"])
        if not np.allclose(now, before[CODES], atol=0.02):  # mixed precision rounds in another order
            raise IsicError("A network that was saved and loaded predicts otherwise than before: report it.")


def start_a_kernel() -> None:
    """Start what a notebook runs in. Raises IsicError if it is another Python than this one."""
    cell = nbformat.v4.new_code_cell("import sys, isic_utils\nprint(sys.prefix)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
    prefix = cell.outputs[0].text.strip()
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        advice = "start JupyterLab with `make lab`, or set JUPYTER_PREFER_ENV_PATH to 1"
        raise IsicError(f"Notebooks would run in another Python ({prefix}): {advice}.")
