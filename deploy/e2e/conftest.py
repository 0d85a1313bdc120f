"""Real processes for end-to-end tests: each test has folders and ports of its own."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "demo"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from running import Model, Steward  # noqa: E402
from upstream import Upstream  # noqa: E402

COMPANY = """
[provider.local]
kind = "openai"
url  = "{url}"

[model.small]
route = ["local/{name}"]
price = {{ from = 2026-11-01, input = "$1.00/M", output = "$1.00/M" }}
output_max = 64

[tenant.acme]
timezone = "Europe/Berlin"

[tenant.acme.agent.researcher]
model = "small"
instructions = "You answer briefly."
output_max = 16

[tenant.acme.project.support]
{budget}
grant  = [{{ to = "support-bot", role = "agent" }}]
"""
FIVE_DOLLARS = 'budget = { limit = "$5.00", per = "day", hard = true, warn = ["80%"] }'


def apply_company(steward: Steward, url: str, name: str = "mock", budget: str = FIVE_DOLLARS, **more) -> pathlib.Path:
    """Writes and applies the company that the tests share."""
    file = steward.folder / "company.toml"
    file.write_text(COMPANY.format(url=url, name=name, budget=budget))
    steward.cli("apply", file, **more)
    return file


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
