"""Data and undisturbed runs, which the tests of training share and do not change."""

import pytest
from small_runs import Data, classify, labelled, masked, segment

from isic_utils.training import Run


@pytest.fixture(scope="session")
def images() -> Data:
    return labelled()


@pytest.fixture(scope="session")
def pairs() -> Data:
    return masked()


@pytest.fixture(scope="session")
def classifier(images, tmp_path_factory) -> Run:
    return classify(tmp_path_factory.mktemp("classifier"), images)


@pytest.fixture(scope="session")
def segmenter(pairs, tmp_path_factory) -> Run:
    return segment(tmp_path_factory.mktemp("segmenter"), pairs)
