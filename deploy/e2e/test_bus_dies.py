"""The nats-server of `steward up` is killed in the middle of traffic: it comes back by itself, and nothing is lost."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request

from conftest import apply_company
from running import wait_for
from test_crash import traffic
from upstream import Upstream


def nats_pid(steward) -> int:
    return json.loads((steward.folder / "data" / "nats" / "server.json").read_text())["pid"]


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
    stop, answered = threading.Event(), []
    threads = [threading.Thread(target=traffic, args=(steward, key, stop, answered)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for("ready", lambda: readiness(steward)[0] == 200, 60)
        for _ in range(3):
            seen = len(answered)
            wait_for("traffic", lambda: len(answered) > seen + 20, 60)
            dead = nats_pid(steward)
            os.kill(dead, signal.SIGKILL)
            status, why = wait_for("not ready", lambda: (r := readiness(steward))[0] == 503 and r, 10)
            assert "bus" in why or "nats-server" in why, why
            wait_for("another server", lambda: nats_pid(steward) != dead, 30)
            wait_for("ready again", lambda: readiness(steward)[0] == 200, 30)
        seen = len(answered)
        wait_for("traffic after all", lambda: len(answered) > seen + 20, 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert process.child.poll() is None, "the same process all the time"
    finished = [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]
    assert len(answered) <= len(finished), "every answer that a client got is a recorded finish"
    assert len({f["call"] for f in finished}) == len(finished), "a call finished twice"
    assert steward.cli("audit", "verify", "--tenant", "acme", check=False).returncode == 0
    upstream.close()
