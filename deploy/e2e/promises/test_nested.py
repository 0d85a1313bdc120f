"""Budgets that cross: each one binds in turn, to the call, whichever gateway asks; and rates, which are budgets too."""

import datetime
import time

import pytest

from steward_testkit.callers import TOKEN, crowd, tally
from steward_testkit.cluster import Cluster
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

CALLS = 10  # that the binding budget pays for
BILL = {"calls": 1, "tokens": 12, "money": 12 * TOKEN}
AMPLE = {"calls": "100000 calls", "tokens": "1000000000 tokens", "money": "$1000"}


def written(unit: str, amount: int) -> str:
    return f"${amount / 1e9:.9f}" if unit == "money" else f"{amount} {unit}"


@pytest.mark.parametrize("unit", ["calls", "tokens", "money"])
def test_each_of_four_nested_budgets_binds_in_turn(steward, unit):
    upstream = Upstream()
    cluster = Cluster(steward, upstream, "")
    nested = [
        {"scope": "acme"},
        {"scope": "acme/support"},
        {"scope": "acme", "subject": {"key": cluster.issued["key"]}},
        {"scope": "acme", "subject": {"model": "small"}},
    ]
    for budget in nested:
        cluster.command("budget", "set", limit=AMPLE[unit], **budget)
    assert cluster.caller(1).call()[0] == 200
    (worst,) = (call["worst"][unit] for call in cluster.started_and_finished()[0].values())
    for budget in nested:
        # all four have counted every call so far; the binding one pays for exactly CALLS more
        spent = len(upstream.calls) * BILL[unit]
        cluster.command("budget", "set", limit=written(unit, spent + (CALLS - 1) * BILL[unit] + worst), **budget)
        before = len(upstream.calls)
        statuses = crowd(cluster, 3 * CALLS, lambda caller, _: caller.until_decided(), at_once=16)
        assert tally(statuses) == {200: CALLS, 402: 2 * CALLS}, budget
        assert len(upstream.calls) - before == CALLS, budget
        cluster.command("budget", "set", limit=AMPLE[unit], **budget)
    cluster.laws()
    upstream.close()


@pytest.mark.parametrize("unit", ["calls", "tokens"])
def test_a_rate_of_ten_a_minute_is_exact_over_two_gateways(steward, unit):
    upstream = Upstream()
    cluster = Cluster(steward, upstream, "")
    worst = cluster.worst_of_a_call(5)[unit]
    cluster.command("budget", "set", scope="acme/support", per="minute", limit=written(unit, 9 * BILL[unit] + worst))

    def one(caller, number):
        # tokens come back while calls of the same minute settle: only then is a refusal the last word
        deadline = time.monotonic() + 5
        while True:
            status, headers, _ = caller.call()
            if status == 200 or unit == "calls" or time.monotonic() > deadline:
                return status, headers

    while True:
        wait_for("a minute with room for the test", lambda: datetime.datetime.now().second < 45, 20)
        minute, before = datetime.datetime.now().minute, len(upstream.calls)
        answers = crowd(cluster, 40, one, at_once=40)
        if datetime.datetime.now().minute == minute:
            break
    assert tally(status for status, _ in answers) == {200: 10, 429: 30}
    assert len(upstream.calls) - before == 10
    waits = [int(headers["retry-after"]) for status, headers in answers if status == 429]
    assert all(1 <= wait <= 60 for wait in waits), waits
    cluster.laws()
    upstream.close()
