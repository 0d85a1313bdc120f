"""The promise of the last token: whatever races for it, not one call more than the budget pays for, and none less."""

import threading

import pytest

from steward_testkit.callers import TOKEN, crowd, tally
from steward_testkit.cluster import Cluster
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

UNLIMITED = ""


@pytest.fixture
def billing():
    """Bills 7 + 5 tokens a call, at once."""
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_100_calls_with_max_tokens(steward, billing, stream):
    cluster = Cluster(steward, billing, 'budget = { limit = "100 calls" }')
    statuses = crowd(cluster, 1000, lambda caller, _: caller.call(stream=stream)[0])
    assert statuses.count(200) == 100 and set(statuses) <= {200, 402, 429}, tally(statuses)
    assert len(billing.calls) == 100
    total = cluster.wait_report(100)
    assert (total["input"], total["output"]) == (700, 500)
    cluster.laws()
    assert all(process.child.poll() is None for process in steward.processes), "every role lives"


def money(nanodollars: int) -> str:
    return f"${nanodollars / 1e9:.9f}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_money_for_exactly_100_calls_with_max_tokens(steward, billing, stream):
    """Callers that come back when told to get every call that fits: 100, not 99 and not 101."""
    cluster = Cluster(steward, billing, UNLIMITED)
    worst, bill = cluster.worst_of_a_call(5, stream)["money"], 12 * TOKEN
    cluster.command("budget", "set", scope="acme/support", limit=money(99 * bill + worst))
    seen = len(billing.calls)
    statuses = crowd(cluster, 300, lambda caller, _: caller.until_decided(stream=stream))
    assert len(billing.calls) - seen == 100, tally(statuses)
    assert statuses.count(200) == 100 and statuses.count(402) == 200, tally(statuses)
    assert cluster.wait_report(seen + 100)["cost"] == (seen + 100) * bill
    cluster.laws()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_money_without_max_tokens(steward, stream):
    """The first call could take the whole budget; it gets a share, the others theirs, and nobody is over the limit."""
    upstream = Clamped(output_tokens=43)
    cluster = Cluster(steward, upstream, UNLIMITED)
    worst_min = cluster.worst_of_a_call(16, stream)["money"]
    seen, limit = len(upstream.bills), 100 * 50 * TOKEN + worst_min - 50 * TOKEN
    cluster.command("model", "set", tenant="steward", model="small", spec={"context_max": 32_768, "output_max": 4_096})
    cluster.command("budget", "set", scope="acme/support", limit=money(limit))
    statuses = crowd(cluster, 500, lambda caller, _: caller.until_decided(stream=stream, max_tokens=None))
    billed = sum(upstream.bills[seen:]) * TOKEN
    admitted = len(upstream.bills) - seen
    assert billed <= limit, (billed, limit)
    assert statuses.count(200) == admitted and set(statuses) == {200, 402}, tally(statuses)
    # a 402 while a call would have fitted by the mock's books would leave room for one
    assert limit - billed < worst_min, f"{limit - billed} of {limit} left, {worst_min} would do, {admitted} admitted"
    assert admitted >= 100
    cluster.wait_report(seen + admitted)
    assert cluster.total()["cost"] == sum(upstream.bills) * TOKEN
    cluster.laws()
    upstream.close()


class Clamped(Upstream):
    """Never writes more than `max_tokens`, as providers do; `bills` are its own books, in tokens."""

    @property
    def bills(self) -> list[int]:
        return [7 + min(call["max_tokens"], self.output_tokens) for call in list(self.calls)]

    def output_of(self, body) -> int:
        return min(body["max_tokens"], self.output_tokens)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_one_gateway_is_killed_half_way(steward, stream):
    """Never more than 100 billed; what the dead gateway left open is held out, all else goes to who comes back."""
    upstream = Upstream(delay=0.1)
    cluster = Cluster(steward, upstream, 'budget = { limit = "100 calls" }', settings='[gateway.calls.admission]\nwait_max = "500ms"')

    def half_way():
        wait_for("half of the calls", lambda: len(upstream.calls) >= 50)
        cluster.kill("gateway-1")

    killer = threading.Thread(target=half_way)
    killer.start()

    def one(caller, _):
        status = caller.call(stream=stream)[0]
        if status == 0:  # its gateway died: over to the other
            caller.port = cluster.ports[1]
            status = caller.call(stream=stream)[0]
        return status

    statuses = crowd(cluster, 300, one)
    killer.join()
    # 429 where the dead gateway's calls may still turn out cheaper than their worst case
    assert set(statuses) <= {200, 402, 429}, tally(statuses)
    last = cluster.caller(2)

    def accounted():
        last.call()  # what the dead gateway had not started is there for others
        started, finished = cluster.started_and_finished()
        held = started.keys() - finished.keys()
        return len(started) >= 100 and set(cluster.unsettled()) == held and (finished, held)

    finished, held = wait_for("every call finished, or held out as unsettled", accounted, 30)
    used = sum(call["used"]["calls"] for call in finished.values())
    assert used + len(held) == 100, (used, len(held))
    assert {last.call()[0] for _ in range(5)} <= {402, 429}
    # the mock's books: all that finished, and of the unsettled those that had reached it
    assert used <= len(upstream.calls) <= 100
    assert statuses.count(200) <= used
    # What was cut by the crash is in the report, as the most that it can have cost.
    cluster.wait_report(used + len(held))
    cluster.laws()
    upstream.close()
