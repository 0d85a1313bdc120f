"""Who pays decides: nothing that a tenant's people may do changes what the operators pay for or bound."""

import json
import urllib.error
import urllib.request

import pytest

from steward_testkit.callers import Caller
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for

BUDGET = 'budget = { limit = "1000 calls", per = "day" }'


class Company:
    """A tenant with people of each role, and a bot that calls the operators' model."""

    def __init__(self, steward, upstream):
        steward.up()
        apply_company(steward, upstream.url, budget=BUDGET)
        self.steward = steward
        self.bot = steward.key("support-bot", "acme", "--on", "acme/support")
        self.keys = {}
        for role, scope in [("owner", "acme"), ("admin", "acme"), ("billing", "acme"), ("lead", "acme/support")]:
            steward.cli("account", "create", role, "--tenant", "acme")
            given = "billing" if role == "lead" else role
            steward.cli("grant", "give", role, given, "--on", scope, "--tenant", "acme")
            self.keys[role] = steward.key(role, "acme", "--on", scope)

    def send(self, who: str, command: str, body: dict, key: str | None = None, tenant: str = "acme") -> tuple[int, dict]:
        """A command's status and answer."""
        headers = {"authorization": f"Bearer {self.keys.get(who, self.steward.operator_key)}", "content-type": "application/json"}
        if key:
            headers["idempotency-key"] = key
        address = f"{self.steward.url}/api/v1/tenants/{tenant}/{command}"
        try:
            with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers), timeout=30) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def call(self, **more) -> int:
        caller = Caller(self.steward.gateway_port, self.bot, 60)
        return caller.until_decided(**more)


@pytest.fixture
def company(steward, upstream):
    return Company(steward, upstream)


MONEY = {"unit": "money", "per": "day"}


@pytest.mark.parametrize("who", ["owner", "billing", "lead"])
def test_a_budget_of_the_platform_binds_whatever_the_tenant_sets(company, who):
    scope = "acme/support"
    for limits in [("operator", {"scope": scope, "limit": "$0", "per": "day"})]:
        assert company.send(limits[0], "budgets:set", limits[1])[0] == 200
    assert company.call() == 402
    for level in [None, "platform", "tenant", "project"]:
        named = {"level": level} if level else {}
        company.send(who, "budgets:set", {"scope": scope, "limit": "$1000000", "per": "day", **named})
        company.send(who, "budgets:remove", {"scope": scope, **MONEY, **named})
    # The same id as the operators' command had, for another budget.
    rows = company.steward.json("budget", "list", "--tenant", "acme", "--level", "platform")["rows"]
    for row in rows:
        body = {"scope": scope, "limit": "$1000000", "per": "month", "subject": {"model": "small"}}
        company.send(who, "budgets:set", body, key=row["budget"])
    assert company.call() == 402
    status, refused = company.send(who, "budgets:remove", {"scope": scope, **MONEY})
    assert (status, "operators" in refused["detail"]) == (403, True), refused
    after = company.steward.json("budget", "list", "--tenant", "acme", "--level", "platform")["rows"]
    assert [(row["budget"], row["limit"]) for row in after] == [(row["budget"], row["limit"]) for row in rows]


def test_a_projects_people_do_not_loosen_the_tenants_budget(company):
    scope = "acme/support"
    assert company.send("billing", "budgets:set", {"scope": scope, "limit": "0 calls", "per": "day"})[0] == 200
    assert company.call() == 402
    company.send("lead", "budgets:set", {"scope": scope, "limit": "1000000 calls", "per": "day"})
    assert company.send("lead", "budgets:remove", {"scope": scope, "unit": "calls", "per": "day", "level": "tenant"})[0] == 403
    assert company.call() == 402
    rows = company.steward.json("budget", "list", "--tenant", "acme", "--scope", scope)["rows"]
    assert {(row["level"], row["set_at"]) for row in rows} == {("platform", "*"), ("tenant", "acme"), ("project", scope)}
    assert company.send("billing", "budgets:remove", {"scope": scope, "unit": "calls", "per": "day"})[0] == 200
    assert company.call() == 200


def test_what_the_operators_sell_has_their_price_route_and_bounds(company, upstream):
    assert company.send("operator", "budgets:set", {"scope": "acme", "limit": "$0.001", "per": "day"})[0] == 200
    free = {"input": 0, "cached": 0, "output": 0}
    to_dear = [{"provider": "local", "upstream_model": "dearest"}]
    for who in ["owner", "admin"]:
        for command, body in [
            ("prices:set", {"model": "small", "price": free}),
            ("routes:set", {"model": "small", "targets": to_dear}),
            ("models:set", {"model": "gratis", "spec": {"context_max": 8192, "output_max": 1024}}),
            ("routes:set", {"model": "gratis", "targets": to_dear}),
            ("prices:set", {"model": "gratis", "price": free}),
            ("models:set", {"model": "small", "spec": {"context_max": 1, "output_max": 1}}),
        ]:
            status, answer = company.send(who, command, body)
            if command != "models:set":
                assert (status, "operator" in json.dumps(answer)) == (403, True), answer
    asked = len(upstream.calls)
    assert company.call(max_tokens=1, text="word " * 1_000) == 402, "its whole text counts, at the operators' price"
    # What a tenant lowers, it has lowered.
    assert company.call(max_tokens=50) == 200
    assert [(call["model"], call["max_tokens"]) for call in upstream.calls[asked:]] == [("mock", 1)]
    cost = wait_for("the cost", lambda: (t := company.steward.json("cost", "--tenant", "acme")["total"])["calls"] and t)
    assert cost["cost"] != "$0.00"
    listed = company.steward.json("model", "list", key=company.keys["owner"])["rows"]
    shown = {row["model"]: (row["inherited"], row["spec"]["context_max"], row["spec"]["output_max"]) for row in listed}
    assert shown["small"] == (True, 8192, 1)


def test_a_used_id_is_refused_for_another_command(company):
    scope = "acme/support"
    first = {"scope": scope, "limit": "$5", "per": "day"}
    for tenant_side in ["operator", "billing"]:
        name = f"k-{tenant_side}"
        assert company.send(tenant_side, "budgets:set", first, key=name)[1]["accepted"]
        again = company.send(tenant_side, "budgets:set", first, key=name)
        assert (again[0], again[1]["events"]) == (200, ["ledger.budget_set"]), "the same body gets the first answer"
        for other in [("budgets:set", {**first, "limit": "$0"}), ("accounts:create", {"name": "another"})]:
            status, refused = company.send(tenant_side, other[0], other[1], key=name)
            if tenant_side == "operator" or other[0] == "budgets:set":
                assert (status, refused.get("code")) == (422, "idempotency_key_reused"), refused
    assert "another" not in str(company.steward.json("account", "list", "--tenant", "acme"))
    task = {"task": "t_1", "agent": "researcher", "scope": scope}
    assert company.send("operator", "tasks:submit", {**task, "input": {"prompt": "one"}})[0] == 200
    assert company.send("operator", "tasks:submit", {**task, "input": {"prompt": "one"}})[0] == 200
    assert company.send("operator", "tasks:submit", {**task, "input": {"prompt": "two"}})[0] in (409, 422)
    issue = {"principal": company.steward.json("account", "list", "--tenant", "acme")["rows"][0]["principal"]}
    assert company.send("operator", "keys:issue", issue, key="k-key")[0] == 200
    status, refused = company.send("operator", "keys:issue", issue, key="k-key")
    assert (status, "shown then" in refused["detail"]) == (409, True), refused
    assert company.send("operator", "keys:issue", {**issue, "models": ["small"]}, key="k-key")[0] == 422


def test_a_suspended_tenant_is_audited_and_does_nothing(company, tmp_path):
    steward = company.steward
    steward.cli("tenant", "suspend", "--tenant", "acme", "--reason", "unpaid")
    owner = company.keys["owner"]
    for key in [None, owner]:
        assert steward.cli("replay", "--tenant", "acme", "--last", "1", key=key).returncode == 0
        assert steward.cli("audit", "verify", "--tenant", "acme", key=key).returncode == 0
    steward.cli("audit", "export", "--tenant", "acme", "--out", tmp_path / "history")
    assert steward.cli("audit", "verify", "--export", tmp_path / "history").returncode == 0
    assert steward.cli("replay", "--tenant", "acme", key=company.keys["billing"], check=False).returncode != 0
    assert company.call() == 403
    models = urllib.request.Request(f"{steward.url}/v1/models", headers={"authorization": f"Bearer {company.bot}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(models)
    assert refused.value.code == 403
    assert company.send("owner", "tenants:resume", {})[0] == 403
    assert company.send("owner", "budgets:set", {"scope": "acme", "limit": "$1"})[0] == 403
