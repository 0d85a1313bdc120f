"""The promise of live flags: a client that watches hears of a change within 100 ms."""

import json
import threading
import time
import urllib.request

import pytest

from steward_testkit.cluster import Cluster
from steward_testkit.upstream import Upstream

pytestmark = pytest.mark.alone

BOUND_MS = 100.0
CHANGES = 200


class Watcher(threading.Thread):
    """Asks again with each answer, and notes when the flag was on or off first."""

    def __init__(self, url: str, key: str):
        super().__init__(daemon=True)
        self.url, self.key, self.heard, self.over = url, key, {}, False

    def run(self):
        version = ""
        while not self.over:
            address = f"{self.url}/api/v1/tenants/acme/flags/watch?wait_s=5" + (f"&after={version}" if version else "")
            request = urllib.request.Request(address, headers={"authorization": f"Bearer {self.key}"})
            with urllib.request.urlopen(request, timeout=20) as reply:
                answer = json.loads(reply.read())
            now, version = time.monotonic(), answer["version"]
            for flag in answer["flags"]:
                self.heard.setdefault(flag, now)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def test_a_change_is_heard_at_both_gateways_in_time(steward):
    upstream = Upstream()
    cluster = Cluster(steward, upstream, "")
    watchers = [Watcher(url, cluster.key) for url in cluster.urls]
    for watcher in watchers:
        watcher.start()
    took = []
    for number in range(CHANGES):
        flag = f"f{number}"
        cluster.command("flag", "set", gateway=number % 2 + 1, flag=flag, state="on")
        answered = time.monotonic()
        deadline = answered + 10
        while not all(flag in watcher.heard for watcher in watchers):
            assert time.monotonic() < deadline and all(watcher.is_alive() for watcher in watchers), flag
            time.sleep(0.001)
        took += [(watcher.heard[flag] - answered) * 1000 for watcher in watchers]
    for watcher in watchers:
        watcher.over = True
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    print(f"from the command's answer to the watcher's: p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(took)}")
    assert p99 < BOUND_MS, (p50, p99)
    upstream.close()
