"""The company that the tests share: one project with a budget, one bot that may call one model, one agent."""

import pathlib

from steward_testkit.running import Steward

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
