"""pytest settings for the unit tests and for the notebooks alike."""

import tempfile
from pathlib import Path
from shutil import disk_usage

import pytest
from nbval.plugin import IPyNbCell

# nbval 0.11 waits 5 seconds, fixed, for the outputs of a cell that has ended, then stops the kernel, and no
# later cell can run. A loaded machine needs longer. tests/notebooks/test_nbval.py shows the failure and this remedy.
SECONDS_TO_WAIT_FOR_OUTPUT = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, IPyNbCell):
            item.output_timeout = SECONDS_TO_WAIT_FOR_OUTPUT
            # Progress bars go to the error stream; test_notebook_form.py lets nothing else be written there.
            item.parent.skip_compare = {*item.parent.skip_compare, "stderr"}


FULL = 50e6  # bytes free: with less, a test fails for lack of them


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> None:
    """After a failure on a full disk, stop and say so: all that follow would fail, each in another way."""
    if call.excinfo is not None:
        for place in (Path(__file__).parent, Path(tempfile.gettempdir())):
            free = disk_usage(place).free
            if free < FULL:
                item.session.shouldstop = (
                    f"only {free / 1e6:.0f} MB are free on the disk of {place}, so this failure may tell nothing else: "
                    "free 3 GB and start again"
                )
