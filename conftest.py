"""pytest settings for the unit tests and for the notebooks alike."""

import pytest
from nbval.plugin import IPyNbCell

# nbval 0.11 waits 5 seconds, fixed, for the outputs of a cell that has ended, then stops the kernel, and no
# later cell can run. A loaded machine needs longer. tests/test_nbval.py shows the failure and this remedy.
SECONDS_TO_WAIT_FOR_OUTPUT = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, IPyNbCell):
            item.output_timeout = SECONDS_TO_WAIT_FOR_OUTPUT
            # Progress bars go to the error stream; test_notebook_form.py lets nothing else be written there.
            item.parent.skip_compare = {*item.parent.skip_compare, "stderr"}
