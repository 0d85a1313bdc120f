"""Rules beside roles and grants, as people use them: conditions, denials, separation, elevation, review, removal."""

import csv
import io
import json
import time
import urllib.error
import urllib.request

from steward_testkit.company import apply_company
from steward_testkit.running import wait_for


def call(steward, secret: str, **headers) -> tuple[int, str]:
    """The status and body of one small model call."""
    body = json.dumps({"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}).encode()
    every = {"authorization": f"Bearer {secret}", "content-type": "application/json", **headers}
    request = urllib.request.Request(f"{steward.url}/v1/chat/completions", body, every)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def principal(steward, name: str) -> str:
    """The id of a service account."""
    rows = steward.json("account", "list", "--tenant", "acme")["rows"]
    return next(row["principal"] for row in rows if row["name"] == name)


def acme(steward, *words, key: str | None = None, check: bool = True):
    """What was typed, about the tenant acme."""
    return steward.cli(*words, "--tenant", "acme", key=key, check=check)


def test_conditions_and_denials_bind_calls(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    secret = steward.key("support-bot", "acme", "--on", "acme/support")
    assert call(steward, secret)[0] == 200
    public = ["--condition", json.dumps({"data_classes": ["public"]})]
    acme(steward, "grant", "give", "support-bot", "agent", "--on", "acme/support", *public)
    status, said = call(steward, secret)
    assert (status, "only for data of class public" in said) == (403, True), said
    assert call(steward, secret, **{"x-steward-data-class": "public"})[0] == 200
    assert call(steward, secret, **{"x-steward-data-class": "Top Secret"})[0] == 400
    acme(steward, "data-class", "set", "acme/support", "public")
    assert call(steward, secret)[0] == 200, "the class of where the call belongs"
    assert call(steward, secret, **{"x-steward-data-class": "secret"})[0] == 403

    rule = ["--permissions", "model:invoke", "--on", "acme", "--principals", "support-bot", "--reason", "too many calls"]
    acme(steward, "deny", "set", "no-calls", *rule)
    status, said = call(steward, secret)
    assert (status, "the denial no-calls forbids it: too many calls" in said) == (403, True), said
    explained = acme(steward, "access", "explain", "support-bot", "model:invoke", "acme/support", check=False)
    assert (explained.returncode, "no-calls" in explained.stdout) == (1, True), explained.stdout
    assert "too many calls" in acme(steward, "deny", "list").stdout
    steward.key("boss", "acme")
    acme(steward, "grant", "give", "boss", "owner", "--on", "acme")
    lockout = ["--permissions", "*:*", "--on", "acme", "--everyone", "true", "--reason", "shut"]
    refused = acme(steward, "deny", "set", "all", *lockout, check=False)
    assert (refused.returncode, "nobody could remove the denial" in refused.stderr) == (1, True), refused.stderr
    acme(steward, "deny", "remove", "no-calls")
    assert call(steward, secret)[0] == 200
    another_day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][(time.gmtime().tm_wday + 3) % 7]
    hours = ["--condition", json.dumps({"hours": [f"{another_day} 00:00-24:00 UTC"]})]
    acme(steward, "grant", "give", "support-bot", "agent", "--on", "acme/support", *hours)
    status, said = call(steward, secret)
    assert (status, f"only within {another_day} 00:00-24:00 UTC" in said) == (403, True), said


def test_an_elevation_is_asked_approved_and_over(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    night = steward.key("night-bot", "acme", "--on", "acme")
    boss = steward.key("boss", "acme", "--on", "acme")
    acme(steward, "grant", "give", "night-bot", "developer", "--on", "acme")
    acme(steward, "grant", "give", "boss", "owner", "--on", "acme")
    rule = ["--on", "acme", "--asker-roles", "developer", "--approver-roles", "owner", "--longest", "1h"]
    acme(steward, "elevation", "allow", "glass", "owner", *rule, key=boss)

    def may(key: str) -> bool:
        typed = ["account", "create", f"made-{time.monotonic_ns()}"]
        return not acme(steward, *typed, key=key, check=False).returncode

    assert not may(night)
    asked = steward.json("elevation", "request", "glass", "20s", "--reason", "fire", "--tenant", "acme", key=night)
    elevation = asked["answer"]["elevation"]
    own = acme(steward, "elevation", "approve", elevation, key=night, check=False)
    assert own.returncode, "nobody approves their own"
    approved = steward.json("elevation", "approve", elevation, "--tenant", "acme", key=boss)
    assert approved["answer"]["until"]
    assert may(night)
    shown = steward.json("elevation", "show", elevation, "--tenant", "acme", key=night)
    assert (shown["state"], shown["by"]) == ("active", principal(steward, "night-bot"))
    wait_for("the end of the elevation", lambda: not may(night))
    over = steward.json("elevation", "show", elevation, "--tenant", "acme")
    assert over["state"] == "ended" and over["approved_by"] == principal(steward, "boss")

    # In an emergency: by oneself, with a reason, and it shows.
    refused = acme(steward, "elevation", "request", "glass", "60", "--reason", "fire", "--self-approve", "true", key=night, check=False)
    assert "lets nobody approve their own" in refused.stderr
    acme(steward, "elevation", "allow", "glass", "owner", *rule, "--self-approval", "true", key=boss)
    alone = steward.json("elevation", "request", "glass", "60", "--reason", "fire", "--self-approve", "true", "--tenant", "acme", key=night)
    assert may(night)
    wait_for("the alert's metric", lambda: 'steward_self_approvals_total{tenant="acme"} 1' in acme_metrics(steward))
    acme(steward, "elevation", "end", alone["answer"]["elevation"], key=boss)
    assert not may(night)


def acme_metrics(steward) -> str:
    """The metrics that are folded from the log."""
    request = urllib.request.Request(f"{steward.url}/metrics", headers={"authorization": f"Bearer {steward.operator_key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def test_duties_are_separated_and_roles_go(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    for role, permission in [("payer", "budget:set"), ("clerk", "cost:report")]:
        acme(steward, "role", "define", role, "--permissions", permission)
    acme(steward, "role", "define", "senior", "--permissions", "budget:list", "--inherits", "payer")
    acme(steward, "grant", "give", "support-bot", "senior", "--on", "acme")
    acme(steward, "separation", "set", "four-eyes", "--roles", "payer,clerk", "--reason", "the auditors want it")
    refused = acme(steward, "grant", "give", "support-bot", "clerk", "--on", "acme/support", check=False)
    assert "which four-eyes keeps apart" in refused.stderr, refused.stderr
    acme(steward, "separation", "remove", "four-eyes")
    acme(steward, "grant", "give", "support-bot", "clerk", "--on", "acme/support")
    refused = acme(steward, "separation", "set", "four-eyes", "--roles", "payer,clerk", check=False)
    assert principal(steward, "support-bot") in refused.stderr and "allow_existing" in refused.stderr
    acme(steward, "separation", "set", "four-eyes", "--roles", "payer,clerk", "--allow-existing", "true")
    assert "breaks four-eyes" in acme(steward, "access", "review", "--principal", "support-bot").stdout

    refused = acme(steward, "role", "remove", "senior", check=False)
    assert "--plan" in refused.stderr
    plan = acme(steward, "role", "remove", "senior", "--plan").stdout
    assert "support-bot" in plan and "budget:set" in plan and "--revoke-grants" in plan, plan
    acme(steward, "role", "remove", "senior", "--revoke-grants", "true", "--reason", "no more")
    assert not [row for row in steward.json("grant", "list", "--tenant", "acme")["rows"] if row["role"] == "senior"]
    assert "senior" not in [row["role"] for row in steward.json("role", "list", "--tenant", "acme")["rows"]]
    refused = acme(steward, "role", "remove", "payer", check=False)
    assert "four-eyes" in refused.stderr


def test_a_review_confirms_and_revokes(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    secret = steward.key("support-bot", "acme", "--on", "acme/support")
    for name in ["night-bot", "old-bot"]:
        acme(steward, "account", "create", name)
        acme(steward, "grant", "give", name, "agent", "--on", "acme/support")
    old = steward.key("old-bot", "acme", "--on", "acme/support")
    assert call(steward, secret)[0] == 200

    def listed(*words) -> dict:
        rows = steward.json("access", "review", "--tenant", "acme", *words)
        return {row["name"]: row for row in rows}

    used = wait_for("the use in the log", lambda: listed() if listed()["support-bot"]["last_used"] else None)
    assert used["night-bot"]["last_used"] is None and used["night-bot"]["given_by"].startswith("op_")
    assert set(listed("--unused-days", "1")) == {"night-bot", "old-bot"}
    table = list(csv.DictReader(io.StringIO(acme(steward, "access", "review", "--csv").stdout)))
    assert {row["name"] for row in table} == {"support-bot", "night-bot", "old-bot"}
    assert {row["last_used"] for row in table if row["name"] == "night-bot"} == {"never"}

    acme(steward, "review", "start", "q4", "--on", "acme", "--due", "50s", "--revoke-unreviewed", "true")
    assert set(listed("--review", "q4")) == {"support-bot", "night-bot", "old-bot"}
    kept = acme(steward, "access", "review", "--review", "q4", "--principal", "support-bot", "--confirm", "--reason", "needed")
    assert "1 grants confirmed" in kept.stdout and "2 are left" in kept.stdout
    acme(steward, "access", "review", "--review", "q4", "--principal", "night-bot", "--revoke", "--reason", "unused")
    assert set(listed("--review", "q4")) == {"old-bot"}
    assert call(steward, old)[0] == 200, "not yet due"
    wait_for("the review's end", lambda: call(steward, old)[0] == 403)
    assert call(steward, secret)[0] == 200
    (row,) = steward.json("review", "list", "--tenant", "acme")["rows"]
    assert (row["unreviewed"], row["overdue"]) == (1, True)
    acme(steward, "review", "close", "q4", "--reason", "done")
    assert set(listed()) == {"support-bot"}
