"""`steward apply` and `steward export-config`: every difference is shown, and nothing is said that is not so."""

import json

from steward_testkit.company import apply_company

FILE = """
[provider.local]
kind = "openai"
url = "{url}"

[model.small]
route = ["local/mock"]
price = {{ from = 2026-11-01, input = "$1.00/M", output = "$1.00/M" }}

[tenant.acme]
timezone = "Europe/Berlin"
account = ["idle"]
budget = {{ limit = "$9", per = "month", warn = ["90%", "50%"] }}
role.reader = {{ permissions = ["cost:report"], inherits = ["writer"] }}
role.writer = {{ permissions = ["budget:list"] }}
agent.researcher = {{ model = "small", instructions = "Answer." }}

[tenant.acme.project.support]
budget = [
    {{ limit = "$5", per = "day", warn = ["80%"] }},
    {{ limit = "$4", per = "day", level = "tenant" }},
    {{ limit = "100 calls", model = "small", hard = false }},
]
grant = [
    {{ to = "support-bot", role = "agent", condition = {{ models = ["small"], cost_max = "$0.10" }} }},
    {{ to = "night-bot", role = "reader", expires = 2040-01-01T00:00:00Z }},
]
"""


def test_every_difference_is_shown_and_made(steward, upstream, tmp_path):
    steward.up()
    file = tmp_path / "company.toml"
    text = FILE.format(url=upstream.url)
    file.write_text(text)

    def plan(*words):
        ran = steward.cli("apply", file, "--plan", *words, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    status, shown = plan()
    assert (status, "+ tenant acme" in shown, "Nothing was changed" in shown) == (2, True, True), shown
    steward.cli("apply", file)
    assert plan() == (0, "  nothing to do: all 18 settings are as the file says.\n"), "thresholds in any order, too"
    assert "nothing to do" in steward.cli("apply", file).stdout

    # What holds, exported, is what was applied.
    exported = tmp_path / "exported.toml"
    exported.write_text(steward.cli("export-config").stdout)
    ran = steward.cli("apply", exported, "--plan")
    assert "nothing to do" in ran.stdout

    # A changed value, and what is only in the log.
    file.write_text(text.replace('"$5"', '"$6"').replace("Europe/Berlin", "UTC"))
    unknown = steward.cli("budget", "set", "acme/sales", "$1", "--tenant", "acme", check=False)
    assert "steward project create sales" in unknown.stderr, "the file's projects are those that there are"
    steward.cli("project", "create", "sales", "--tenant", "acme")
    steward.cli("budget", "set", "acme/sales", "$1", "--tenant", "acme")
    steward.cli("grant", "give", "idle", "developer", "--on", "acme", "--tenant", "acme")
    status, shown = plan()
    assert status == 2
    for line in ["limit $5.00 → $6.00", "timezone Europe/Berlin → UTC", "- budget acme/sales", "- grant idle is developer"]:
        assert line in shown, shown
    steward.cli("apply", file)
    assert steward.json("tenant", "show", "acme")["timezone"] == "UTC"
    file.write_text(text.replace('"$5"', '"$6"'))
    steward.cli("apply", file)
    status, shown = plan()
    assert (status, "- budget acme/sales" in shown, "nothing to do" in shown) == (0, True, True), "what is only there is shown"
    assert plan("--prune")[0] == 2
    changed = json.loads(steward.cli("apply", file, "--plan", "--json", check=False).stdout)
    assert {one["change"] for one in changed} == {"-"}
    steward.cli("apply", file, "--prune")
    assert plan("--prune") == (0, "  nothing to do: all 18 settings are as the file says.\n")
    assert [row["scope"] for row in steward.json("budget", "list", "--tenant", "acme", "--scope", "acme/sales")["rows"]] == []


def test_a_slip_is_named_with_its_line(steward, upstream, tmp_path):
    steward.up()
    apply_company(steward, upstream.url)
    file = tmp_path / "slip.toml"
    for text, named in [
        ('[tenant.slip]\ntimezone = "UTC"\n\n[tenant.slip.project.a]\nbugdet = { limit = "$0" }\n', ["bugdet", "line 5", "budget"]),
        ('[tenant.slip]\nbudgets = { limit = "$1" }\n', ["budgets", "line 2", "budget"]),
        ('[tenant.slip.project.a]\nbudget = { limit = "$1", hrad = true }\n', ["hrad", "line 2", "hard"]),
    ]:
        file.write_text(text)
        ran = steward.cli("apply", file, check=False)
        assert ran.returncode == 1
        for word in named:
            assert word in ran.stderr, ran.stderr
    assert "slip" not in str(steward.json("tenant", "list"))


def test_a_tenants_owner_applies_its_own_part(steward, upstream, tmp_path):
    steward.up()
    apply_company(steward, upstream.url)
    steward.cli("account", "create", "boss", "--tenant", "acme")
    steward.cli("grant", "give", "boss", "owner", "--on", "acme", "--tenant", "acme")
    key = steward.key("boss", "acme")
    file = tmp_path / "own.toml"
    file.write_text('[tenant.acme]\ntimezone = "Europe/Berlin"\nbudget = { limit = "$3", per = "day" }\nmodel.small = { output_max = 9 }\n')
    steward.cli("apply", file, key=key)
    rows = steward.json("budget", "list", "--tenant", "acme", "--level", "tenant")["rows"]
    assert [(row["scope"], row["limit"]) for row in rows] == [("acme", "$3.00")]
    exported = tmp_path / "exported.toml"
    exported.write_text(steward.cli("export-config", key=key).stdout)
    assert "output_max = 9" in exported.read_text()
    assert "nothing to do" in steward.cli("apply", exported, "--plan", key=key).stdout
