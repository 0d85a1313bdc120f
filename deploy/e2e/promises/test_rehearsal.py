"""What a change would do is known before it is made, and a right that seems idle is tried without harm."""

import time

import pytest

from steward_testkit.callers import Caller
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for

REVOKED = """
[[change]]
command = "grant.revoke"
to = "night-bot"
role = "agent"
on = "acme"

[[change]]
command = "budget.set"
scope = "acme/support"
limit = "2 calls"
per = "day"
"""


@pytest.fixture
def acme(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    steward.cli("project", "create", "sales", "--tenant", "acme")
    steward.cli("account", "create", "night-bot", "--tenant", "acme")
    steward.cli("grant", "give", "night-bot", "agent", "--on", "acme", "--tenant", "acme")
    return steward


def calls(steward, bot, on, count):
    caller = Caller(steward.gateway_port, steward.key(bot, "acme", "--on", on), timeout=30)
    for _ in range(count):
        status, _, said = caller.call()
        assert status == 200, said
    caller.close()


def trial_events(steward):
    events = steward.replay("acme", "--kind", "access")
    return [event for event in events if "trial" in event["name"] or event["name"] == "access.grant_revoked"]


def granted(steward, bot):
    rows = steward.json("grant", "list", "--tenant", "acme", "--principal", bot)["rows"]
    return {row["role"]: row.get("trial") for row in rows}


def test_a_rehearsal_says_what_a_change_would_have_refused(acme, tmp_path):
    calls(acme, "night-bot", "acme/sales", 3)
    calls(acme, "support-bot", "acme/support", 5)
    file = tmp_path / "changes.toml"
    file.write_text(REVOKED)

    # Sent to no aggregate: what would change, and what would have been otherwise.
    simulated = acme.json("access", "simulate", "--with", file, "--tenant", "acme")
    (row,) = simulated["rows"]
    assert row["name"] == "night-bot" and "model:invoke" in row["lost"][0]["permissions"], simulated
    assert simulated["without_effect"] == [1], "a budget changes no right"
    report = acme.json("access", "rehearse", "--with", file, "--since", "1h", "--tenant", "acme")
    effects = {(effect["scope"], effect["what"], effect["outcome"]): effect["count"] for effect in report["effects"]}
    assert effects == {("acme/sales", "call", "refused"): 3, ("acme/support", "call", "refused"): 3}, report
    assert report["calls"] == 8 and report["took_effect"] == [0, 1]
    shown = acme.cli("access", "rehearse", "--with", file, "--since", "1h", "--tenant", "acme").stdout
    assert "night-bot" in shown and "refused" in shown, shown
    calls(acme, "night-bot", "acme/sales", 1)  # nothing was changed

    # The same from a company.toml.
    company = acme.folder / "company.toml"
    company.write_text(company.read_text().replace('limit = "$5.00"', 'limit = "$0.00"'))
    ran = acme.cli("apply", company, "--plan", "--rehearse", "1h", check=False)
    assert ran.returncode == 2 and "refused" in ran.stdout and "Nothing was changed" in ran.stdout, ran

    # What no caller may ask, and what is no command.
    bot = acme.key("support-bot", "acme")
    assert acme.cli("access", "rehearse", "--with", file, "--tenant", "acme", key=bot, check=False).returncode == 1
    file.write_text('[[change]]\ncommand = "grant.revoke"\nto = "night-bot"\nrole = "owner"\non = "acme"\n')
    refused = acme.cli("access", "simulate", "--with", file, "--tenant", "acme", check=False)
    assert refused.returncode == 1 and "changes[0]" in refused.stderr, refused


def test_a_report_proposes_what_was_used_and_no_more(acme):
    acme.cli("grant", "give", "night-bot", "owner", "--on", "acme", "--tenant", "acme")
    calls(acme, "night-bot", "acme/sales", 2)
    (row,) = acme.json("access", "least", "--principal", "night-bot", "--tenant", "acme")["rows"]
    grants = {grant["role"]: grant for grant in row["grants"]}
    assert (grants["owner"]["times"], grants["agent"]["times"], grants["agent"]["models"]) == (0, 2, ["small"])
    assert grants["agent"]["instead"][0]["body"]["on"] == "acme/sales"
    shown = acme.cli("access", "least", "--principal", "night-bot", "--tenant", "acme").stdout
    assert "steward grant revoke" in shown and "steward grant give" in shown, shown


def test_a_grant_on_trial_comes_back_when_it_is_needed(acme):
    acme.cli("grant", "give", "night-bot", "developer", "--on", "acme/sales", "--tenant", "acme")
    key = acme.key("night-bot", "acme")
    acme.cli("access", "least", "--principal", "night-bot", "--trial", "1h", "--tenant", "acme")
    on_trial = granted(acme, "night-bot")
    assert on_trial["agent"] and on_trial["developer"], "nothing was used yet"

    # A look by one of them: it is answered, and the grant is given back; the other one stays on trial.
    assert acme.json("task", "list", "--tenant", "acme", key=key)["tasks"] == []
    began = time.monotonic()
    wait_for("the grant is given back", lambda: granted(acme, "night-bot")["developer"] is None, seconds=20)
    print(f"given back {time.monotonic() - began:.2f} s after the answer")
    assert granted(acme, "night-bot")["agent"]
    (ended,) = [event for event in trial_events(acme) if event["name"] == "access.trial_ended"]
    assert ended["data"]["permission"] == "task:list" and ended["data"]["grant"]["role"] == "developer", ended

    # Killed at any moment: what was said before counts, and what is needed later is said then. Nobody is refused.
    acme.processes[0].kill()
    acme.processes.clear()
    acme.up()
    calls(acme, "night-bot", "acme/support", 1)
    wait_for("the grant is given back", lambda: granted(acme, "night-bot")["agent"] is None, seconds=20)
    ended = [event["data"] for event in trial_events(acme) if event["name"] == "access.trial_ended"]
    assert [(one["grant"]["role"], one["permission"]) for one in ended] == [
        ("developer", "task:list"), ("agent", "model:invoke")], "each once"


def test_a_grant_that_nobody_needs_is_revoked_at_the_end(acme):
    acme.cli("grant", "give", "night-bot", "auditor", "--on", "acme", "--tenant", "acme")
    acme.cli("trial", "start", "night-bot", "auditor", "--on", "acme", "--until", "2s", "--tenant", "acme")
    calls(acme, "night-bot", "acme/support", 1)  # by the other grant
    wait_for("the grant is revoked", lambda: "auditor" not in granted(acme, "night-bot"), seconds=40)
    assert granted(acme, "night-bot") == {"agent": None}
    names = [event["name"] for event in trial_events(acme)]
    assert names == ["access.trial_started", "access.grant_revoked"], names
    refused = acme.cli("trial", "stop", "night-bot", "auditor", "--on", "acme", "--tenant", "acme", check=False)
    assert refused.returncode == 1 and "trial" in refused.stderr
