"""The nats-server of `steward up` is killed in the middle of traffic: it comes back by itself, and nothing is lost."""

import os
import signal
import urllib.error
import urllib.request

from steward_testkit.books import Books
from steward_testkit.callers import Caller, Traffic
from steward_testkit.cluster import nats_server
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream


def readiness(steward) -> tuple:
    try:
        with urllib.request.urlopen(f"{steward.url}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_the_nats_server_dies_and_comes_back(steward):
    upstream = Upstream(delay=0.01)
    process = steward.up()
    apply_company(steward, upstream.url)
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    data = steward.folder / "data"
    with Traffic([Caller(steward.gateway_port, key, 20) for _ in range(4)]) as traffic:
        wait_for("ready", lambda: readiness(steward)[0] == 200, 60)
        for _ in range(3):
            traffic.wait_more()
            dead = nats_server(data)
            os.kill(dead, signal.SIGKILL)
            status, why = wait_for("not ready", lambda: (r := readiness(steward))[0] == 503 and r, 10)
            assert "bus" in why or "nats-server" in why, why
            wait_for("another server", lambda: nats_server(data) != dead, 30)
            wait_for("ready again", lambda: readiness(steward)[0] == 200, 30)
        traffic.wait_more()
    assert process.child.poll() is None, "the same process all the time"
    Books(steward, upstream, traffic.answered, [Caller(steward.gateway_port, key, 20)])
    upstream.close()
