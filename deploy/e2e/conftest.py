"""Real processes for end-to-end tests: each test has folders and ports of its own."""

import pytest

from steward_testkit.running import Model, Steward
from steward_testkit.upstream import Upstream


@pytest.fixture
def steward(tmp_path):
    """An installation that is not started; its processes end with the test."""
    steward = Steward(tmp_path / "steward")
    yield steward
    steward.stop()


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The real small model."""
    model = Model(tmp_path_factory.mktemp("model"))
    yield model
    model.stop()
