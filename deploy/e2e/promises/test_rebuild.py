"""The promise that views are disposable: one rebuilt from nothing answers byte for byte as the old one, which answers meanwhile."""

import itertools
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest

from steward_testkit.callers import Traffic, crowd
from steward_testkit.cluster import Cluster, running
from steward_testkit.running import BINARY, Process, free_port, wait_for
from steward_testkit.upstream import Upstream

pytestmark = pytest.mark.alone

CALLS = 1_000
GROUPINGS = [(), ("project",), ("key",), ("principal", "model"), ("day", "key", "model"), ("agent", "task")]
# It is paused in the middle of its rebuild for longer than a query is waited for, which is 10 seconds.
PAUSE_SECONDS = 11
# Until then it runs and rests by turns, so that the middle is met; and that is tried so often.
RUN, REST, TRIES_MAX = 0.004, 0.02, 5


def reports(cluster: Cluster) -> list[str]:
    """The cost report in several groupings, as printed."""
    asked = (itertools.chain.from_iterable(("--by", by) for by in grouping) for grouping in GROUPINGS)
    return [cluster.steward.cli("cost", "--tenant", "acme", *words, "--json").stdout for words in asked]


class Another:
    """A second projectors process, on an empty store of its own."""

    def __init__(self, cluster: Cluster, number: int):
        steward, health = cluster.steward, free_port()
        config = steward.folder / "another.toml"
        config.write_text(f'{steward.config.read_text()}\n[telemetry]\nlisten = "127.0.0.1:{health}"\n')
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")}
        command = [BINARY, "--config", config, "projectors", "--store", steward.folder / f"another-{number}"]
        self.begin = lambda: Process(command, steward.folder / "another.log", env=environment)
        self.steward, self.process = steward, self.begin()
        steward.processes.append(self.process)
        self.ready_url = f"http://127.0.0.1:{health}/readyz"

    def signal(self, which: signal.Signals):
        os.kill(self.process.child.pid, which)

    def is_ready(self, hindrances: list[str]) -> bool:
        """Whether its views are built and answer; else one more thing in the way."""
        try:
            with urllib.request.urlopen(self.ready_url, timeout=5):
                return True
        except urllib.error.HTTPError as refused:
            with refused:
                hindrances.append(refused.read().decode())
        except OSError:
            pass  # it has only begun
        return False

    def stop(self):
        self.process.stop()
        self.steward.processes.remove(self.process)

    def start(self):
        """On the rows that it has."""
        self.process = self.begin()
        self.steward.processes.append(self.process)
        wait_for("ready", lambda: self.is_ready([]))

    def is_paused_while_it_builds(self) -> bool:
        """Pauses it when the view that is asked for has begun to be built; false if it was ready before that was seen."""
        hindrances: list[str] = []
        while not self.is_ready(hindrances):
            self.process.check_alive()
            self.signal(signal.SIGSTOP)
            if hindrances and "cost-report" in hindrances[-1] and "catching up, at 0" in hindrances[-1]:
                return True
            time.sleep(REST)
            self.signal(signal.SIGCONT)
            time.sleep(RUN)
        return False


def paused_rebuild(cluster: Cluster) -> Another:
    for number in range(TRIES_MAX):
        another = Another(cluster, number)
        if another.is_paused_while_it_builds():
            return another
        another.stop()
    raise AssertionError("every rebuild was over before it was seen")


class Asking:
    """Asks for the report over and over; each time it must be there, and never less than before."""

    def __init__(self, cluster: Cluster):
        self.cluster, self.stopped, self.asked, self.wrong = cluster, threading.Event(), 0, []
        self.seen = (0, 0)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set():
            try:
                self.ask()
            except urllib.error.HTTPError as refused:
                with refused:
                    self.wrong.append(f"{refused.code} {refused.read().decode()}")
            except OSError as error:
                self.wrong.append(str(error))
            self.asked += 1

    def ask(self):
        headers = {"authorization": f"Bearer {self.cluster.steward.operator_key}", "content-type": "application/json"}
        address = f"{self.cluster.urls[self.asked % 2]}/api/v1/tenants/acme/cost:report"
        with urllib.request.urlopen(urllib.request.Request(address, b"{}", headers), timeout=30) as reply:
            report = json.loads(reply.read())
        now = (report["position"], report["total"]["calls"])
        if now[0] < self.seen[0] or now[1] < self.seen[1]:
            self.wrong.append(f"{now} after {self.seen}")
        self.seen = now

    def wait_more(self, queries: int):
        asked = self.asked
        wait_for(f"{queries} more queries", lambda: self.asked >= asked + queries)

    def __enter__(self) -> "Asking":
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def test_a_view_is_rebuilt_while_the_old_one_answers(tmp_path):
    with running(tmp_path, Upstream(), 'budget = { limit = "$5.00", per = "day" }') as cluster:
        keys = [cluster.key]
        for bot in ("bot-1", "bot-2"):
            cluster.steward.cli("account", "create", bot, "--tenant", "acme")
            cluster.steward.cli("grant", "give", bot, "agent", "--on", "acme", "--tenant", "acme")
            keys.append(cluster.steward.key(bot, "acme", "--on", "acme"))

        def one(caller, number):
            caller.key = keys[number % len(keys)]
            return caller.call()[0]

        assert set(crowd(cluster, CALLS, one, at_once=16)) == {200}
        cluster.wait_report(CALLS)
        with Asking(cluster) as asking, Traffic([cluster.caller(1)]) as traffic:
            asking.wait_more(20)
            another, begun = paused_rebuild(cluster), asking.asked
            time.sleep(PAUSE_SECONDS)
            meanwhile = asking.asked - begun
            another.signal(signal.SIGCONT)
            wait_for("the rebuilt views", lambda: another.is_ready([]))
            asking.wait_more(100)  # of both
        print(f"{asking.asked} queries, {meanwhile} of them during the rebuild")
        assert not asking.wrong, (len(asking.wrong), asking.wrong[:5])
        assert meanwhile >= 20

        cluster.wait_report(CALLS + len(traffic.answered))
        another.stop()
        of_the_old_one = reports(cluster)
        another.start()
        cluster.processes["projectors"].stop()
        assert reports(cluster) == of_the_old_one
