"""The promise that no spend is lost: whatever is killed right at the last byte, the report is what clients were answered."""

import json
import os
import shutil
import signal

import pytest

from ledger_oracle.words import plain
from steward_testkit.callers import crowd
from steward_testkit.cluster import Cluster, nats_server, running
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

# The tests here share one cluster, so one process runs them all.
pytestmark = pytest.mark.xdist_group("no-lost-spend")

CALLS = 500


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One for all tests here: each adds its calls to the same books."""
    with running(tmp_path_factory.mktemp("spend"), Upstream(), 'budget = { limit = "$5.00", per = "day" }') as cluster:
        yield cluster


def answered(cluster: Cluster, calls: int):
    """So many answers, all through gateway 1; when this returns a client has just its last byte."""
    statuses = crowd(cluster, calls, lambda caller, n: caller.call(stream=n % 2 == 1)[0], at_once=16, gateways=(1,))
    assert statuses == [200] * calls


def kill_gateway(cluster):
    cluster.kill("gateway-1")
    cluster.start("gateway-1")
    cluster.wait_ready(1)


def kill_aggregates(cluster):
    for name in ("aggregates-1", "aggregates-2"):
        cluster.kill(name)
        cluster.start(name)


def kill_workers(cluster):
    cluster.kill("workers")
    cluster.start("workers")


def kill_nats_server(cluster):
    data = cluster.steward.folder / "data"
    pid = nats_server(data)
    os.kill(pid, signal.SIGKILL)
    wait_for("another nats-server", lambda: nats_server(data) != pid, 30)


def kill_projectors_and_forget(cluster):
    cluster.kill("projectors")
    shutil.rmtree(cluster.steward.folder / "data" / "views")
    cluster.start("projectors")


@pytest.mark.parametrize("kill", [kill_gateway, kill_aggregates, kill_workers, kill_nats_server, kill_projectors_and_forget])
def test_the_report_is_what_was_answered(cluster, kill):
    before = len(cluster.upstream.calls)
    answered(cluster, CALLS)
    kill(cluster)
    books = before + CALLS
    assert len(cluster.upstream.calls) == books
    total = reported(cluster, books)
    assert (total["input"], total["output"], total["cost"]) == (7 * books, 5 * books, 12_000 * books)
    started, finished = cluster.started_and_finished()
    assert started.keys() == finished.keys() and len(finished) == books
    cluster.laws()
    wait_for("calls go on", lambda: cluster.caller(1).call()[0] == 200, 30)
    reported(cluster, books + 1)


def reported(cluster: Cluster, calls: int) -> dict:
    """The report, as soon as there is one again after a kill; never more than was answered."""

    def ask():
        ran = cluster.steward.cli("cost", "--tenant", "acme", "--json", check=False)
        if ran.returncode:
            return None
        total = plain(json.loads(ran.stdout)["total"])
        assert total["calls"] <= calls
        return total["calls"] == calls and total

    return wait_for(f"a report of {calls} calls", ask, 30)
