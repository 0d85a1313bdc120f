"""What is set for a tenant, as people set it: settings with history, projects, flags, quotas and plans."""

import json

import pytest

from steward_testkit.company import apply_company
from steward_testkit.running import wait_for


@pytest.fixture
def acme(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    return steward


def shown(steward) -> dict:
    return steward.json("tenant", "show", "acme")


def refused(steward, *words, **more) -> str:
    ran = steward.cli(*words, check=False, **more)
    assert ran.returncode == 1, ran
    return ran.stderr


def test_settings_change_with_history_and_go_back(acme):
    assert shown(acme)["details"]["settings"] == {"timezone": "Europe/Berlin"}
    acme.cli("tenant", "set", "--tenant", "acme", "--display-name", "Acme Corp.", "--contact", "it@acme.example")
    acme.cli("tenant", "set", "--tenant", "acme", "--timezone", "America/New_York")
    assert "Mars" in refused(acme, "tenant", "set", "--tenant", "acme", "--timezone", "Mars")
    assert "colour" in refused(acme, "tenant", "set", "--tenant", "acme", "--body", '{"colour": "red"}')
    now = shown(acme)
    assert (now["timezone"], now["details"]["revision"]) == ("America/New_York", 3)
    assert now["details"]["settings"]["display_name"] == "Acme Corp."

    acme.cli("tenant", "revert", "--tenant", "acme", "--to", "1")
    now = shown(acme)
    assert now["details"]["settings"] == {"timezone": "Europe/Berlin"} and now["timezone"] == "Europe/Berlin"
    changes = [json.loads(line) for line in acme.cli("tenant", "history", "acme", "--json").stdout.splitlines()]
    changes = [change for change in changes if change.get("revision")]
    assert [change["revision"] for change in changes] == [1, 2, 3, 4]
    assert changes[2]["what"] == "timezone Europe/Berlin → America/New_York"
    assert changes[3]["what"].startswith("back to revision 1:") and changes[3]["by"].startswith("op_")
    between = changes[2]["at"]
    acme.cli("tenant", "revert", "--tenant", "acme", "--at", between)
    assert shown(acme)["timezone"] == "America/New_York", "as of a moment"
    assert "r5" in acme.cli("tenant", "history", "acme").stdout


def test_a_changed_time_zone_gives_no_budget_twice(acme, upstream):
    """A day's budget that is used up stays so, whatever zones are set."""
    acme.cli("budget", "set", "acme", "3 calls", "--per", "day", "--tenant", "acme")
    key = acme.key("support-bot", "acme", "--on", "acme/support")

    def call() -> int:
        import urllib.error
        import urllib.request

        body = json.dumps({"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        try:
            return urllib.request.urlopen(urllib.request.Request(f"{acme.url}/v1/chat/completions", body, headers)).status
        except urllib.error.HTTPError as error:
            return error.code

    assert [call() for _ in range(4)] == [200, 200, 200, 402]
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kolkata", "Europe/Berlin"]:
        acme.cli("tenant", "set", "--tenant", "acme", "--timezone", zone)
        assert call() == 402, zone
    assert len(upstream.calls) == 3


def test_projects_are_created_archived_and_restored(acme):
    rows = acme.json("project", "list", "--tenant", "acme")["rows"]
    assert [(row["project"], row["state"]) for row in rows] == [("support", "active")], "apply creates what it names"
    unknown = refused(acme, "budget", "set", "acme/suport", "$1", "--tenant", "acme")
    assert "there is no project suport" in unknown and "steward project create suport" in unknown
    for words in [["grant", "give", "support-bot", "agent", "--on", "acme/suport"], ["key", "issue", "support-bot", "--on", "acme/suport"]]:
        assert "create it first" in refused(acme, *words, "--tenant", "acme")
    acme.cli("project", "create", "sales", "--name", "Sales", "--tenant", "acme")
    acme.cli("project", "rename", "sales", "Sales and more", "--tenant", "acme")
    acme.cli("budget", "set", "acme/sales", "$1", "--tenant", "acme")
    key = acme.key("support-bot", "acme", "--on", "acme/support")
    models = acme.json("model", "list", "--tenant", "acme")["rows"]
    assert models

    acme.cli("project", "archive", "support", "--reason", "moved to sales", "--tenant", "acme")
    for words in [["budget", "set", "acme/support", "$9"], ["key", "issue", "support-bot", "--on", "acme/support"],
                  ["grant", "give", "support-bot", "agent", "--on", "acme/support"]]:
        why = refused(acme, *words, "--tenant", "acme")
        assert "archived: moved to sales" in why and "steward project restore support" in why, why
    assert chat(acme, key) == 403
    assert acme.json("cost", "--tenant", "acme")["rows"] is not None, "its history stays"
    acme.cli("grant", "revoke", "support-bot", "agent", "--on", "acme/support", "--tenant", "acme")
    row = acme.json("project", "show", "support", "--tenant", "acme")
    assert (row["state"], row["reason"]) == ("archived", "moved to sales")

    acme.cli("project", "restore", "support", "--tenant", "acme")
    acme.cli("grant", "give", "support-bot", "agent", "--on", "acme/support", "--tenant", "acme")
    assert chat(acme, key) == 200
    assert "Sales and more" in acme.cli("tenant", "show", "acme").stdout


def chat(steward, key: str) -> int:
    import urllib.error
    import urllib.request

    body = json.dumps({"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        return urllib.request.urlopen(urllib.request.Request(f"{steward.url}/v1/chat/completions", body, headers)).status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_tenant_without_projects_is_open_and_names_count_later(steward):
    """A log from before there were projects goes on, and what it names counts as there."""
    steward.up()
    steward.cli("tenant", "create", "globex")
    wait_for("the tenant", lambda: not steward.cli("tenant", "show", "globex", check=False).returncode)
    steward.cli("account", "create", "bot", "--tenant", "globex")
    steward.cli("grant", "give", "bot", "agent", "--on", "globex/old", "--tenant", "globex")
    steward.cli("project", "create", "new", "--tenant", "globex")
    rows = steward.json("project", "list", "--tenant", "globex")["rows"]
    assert [(row["project"], row["state"]) for row in rows] == [("new", "active"), ("old", "implicit")]
    steward.cli("budget", "set", "globex/old", "$1", "--tenant", "globex")
    assert "create it first" in refused(steward, "budget", "set", "globex/other", "$1", "--tenant", "globex")


def test_a_plan_gives_quotas_flags_and_budgets(acme):
    plan = {"plan": "starter", "quotas": [{"quota": "accounts", "limit": 2}, {"quota": "keys", "limit": 50}],
            "flags": [{"flag": "new-search", "state": "on"}], "budgets": [{"limit": "$50", "per": "month"}]}
    acme.cli("plan", "define", "--body", json.dumps(plan))
    assert "plan nothing" in refused(acme, "tenant", "set-plan", "nothing", "--tenant", "acme")
    owner = acme.key("owner", "acme")
    acme.cli("grant", "give", "owner", "owner", "--on", "acme", "--tenant", "acme")
    assert "operators only" in refused(acme, "tenant", "set-plan", "starter", "--tenant", "acme", key=owner)
    acme.cli("tenant", "set-plan", "starter", "--tenant", "acme")

    details = shown(acme)["details"]
    quotas = {row["quota"]: row for row in details["quotas"]}
    assert details["plan"] == "starter"
    assert (quotas["accounts"]["limit"], quotas["accounts"]["taken"], quotas["keys"]["plan"]) == (2, 2, 50)
    assert acme.json("flag", "read", "--tenant", "acme", key=owner)["flags"] == {"new-search": True}
    assert "quota accounts is used up: 2 of 2" in refused(acme, "account", "create", "third", "--tenant", "acme")

    def budgets() -> list:
        rows = acme.json("budget", "list", "--tenant", "acme", "--level", "platform")["rows"]
        return [(row["limit"], row["per"]) for row in rows if row["scope"] == "acme"]

    wait_for("the plan's budget", lambda: budgets() == [("$50.00", "month")])
    acme.cli("plan", "define", "--body", json.dumps(plan | {"budgets": [{"limit": "$70", "per": "month"}]}))
    wait_for("the changed budget", lambda: budgets() == [("$70.00", "month")])

    # The tenant lowers, operators raise, and what it sets of flags goes before the plan.
    acme.cli("quota", "set", "keys", "40", "--tenant", "acme", key=owner)
    acme.cli("quota", "set", "accounts", "3", "--tenant", "acme")
    acme.cli("flag", "set", "new-search", "off", "--tenant", "acme")
    acme.cli("account", "create", "third", "--tenant", "acme")
    rows = {row["quota"]: row["limit"] for row in acme.json("quota", "list", "--tenant", "acme")["rows"]}
    assert (rows["accounts"], rows["keys"]) == (3, 40)
    assert acme.json("flag", "read", "--tenant", "acme", key=owner)["flags"] == {"new-search": False}

    acme.cli("tenant", "set-plan", "--tenant", "acme", "--body", "{}")
    wait_for("the budget is gone with the plan", lambda: budgets() == [])
    assert shown(acme)["details"]["plan"] is None
    assert [row["plan"] for row in acme.json("plan", "list")["rows"]] == ["starter"]


def test_flags_are_read_for_oneself_and_by_who_may_for_others(acme):
    acme.cli("flag", "set", "search", "--tenant", "acme", "--state", "25%", check=False)
    acme.cli("flag", "set", "search", "25%", "--tenant", "acme")
    bots = [f"bot-{number}" for number in range(12)]
    for bot in bots:
        acme.cli("account", "create", bot, "--tenant", "acme")

    def on() -> set:
        return {bot for bot in bots if acme.json("flag", "read", "--tenant", "acme", "--principal", bot)["flags"]["search"]}

    few = on()
    acme.cli("flag", "set", "search", "75%", "--tenant", "acme")
    assert few <= on(), "nobody is turned off by more"
    key = acme.key("support-bot", "acme")
    assert set(acme.json("flag", "read", "--tenant", "acme", key=key)["flags"]) == {"search"}
    why = refused(acme, "flag", "read", "--tenant", "acme", "--principal", "bot-1", key=key)
    assert "flag:list" in why
    acme.cli("flag", "remove", "search", "--tenant", "acme")
    assert acme.json("flag", "read", "--tenant", "acme", key=key)["flags"] == {}


def test_a_suspended_tenant_says_why(acme):
    key = acme.key("support-bot", "acme", "--on", "acme/support")
    acme.cli("tenant", "suspend", "--tenant", "acme", "--reason", "the bill is open")
    assert chat(acme, key) == 403
    assert "the bill is open" in acme.cli("tenant", "show", "acme").stdout
    acme.cli("tenant", "resume", "--tenant", "acme")
    assert chat(acme, key) == 200
