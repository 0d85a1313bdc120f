"""The promise that what was acknowledged survives: every role is killed or paused at random moments, and nothing is lost.

The moments are drawn from a seed that is printed; STEWARD_CRASH_SEED runs the same ones again.
"""

import contextlib
import json
import os
import random
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest

from steward_testkit.books import Books, history
from steward_testkit.callers import Traffic
from steward_testkit.cluster import Cluster, nats_server, running
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

ROLES = {
    "gateway": ["gateway-1", "gateway-2"],
    "aggregates": ["aggregates-1", "aggregates-2"],
    "projectors": ["projectors"],
    "workers": ["workers"],
    "nats-server": ["nats-server"],
}
PAUSE_SECONDS_MAX = 1.0

# The budget is tight, so that leases are asked back and calls wait in line: it pays for some calls, and for some more
# with each command, in nano-dollars.
LIMIT, STEP = 1_000_000, 40_000
BUDGET = 'budget = { limit = "$0.001", per = "day" }'
PAUSE_BETWEEN_COMMANDS = 0.02


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("STEWARD_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))


class Commander:
    """Raises the budget little by little; what is not acknowledged is sent again under the same id."""

    def __init__(self, cluster: Cluster):
        self.cluster, self.stopped = cluster, threading.Event()
        self.sent, self.acknowledged = 0, 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set() or self.acknowledged < self.sent:
            self.sent = self.acknowledged + 1
            if self.send(self.name(self.sent), self.sent):
                self.acknowledged = self.sent
            time.sleep(PAUSE_BETWEEN_COMMANDS)

    @staticmethod
    def name(number: int) -> str:
        return f"c_crash-{number}"

    def send(self, command: str, number: int) -> bool:
        url = self.cluster.urls[number % 2]
        headers = {"authorization": f"Bearer {self.cluster.steward.operator_key}", "content-type": "application/json", "idempotency-key": command}
        body = {"scope": "acme/support", "per": "day", "limit": f"${(LIMIT + number * STEP) / 1e9:.9f}"}
        request = urllib.request.Request(f"{url}/api/v1/tenants/acme/budgets:set", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except urllib.error.HTTPError as refused:
            with refused:
                assert refused.code in (503, 504), refused.read().decode()
        except OSError:
            pass  # its gateway is away
        return False

    def __enter__(self) -> "Commander":
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def strike(cluster: Cluster, name: str, how: str, dice: random.Random):
    """kill -9 and start again, or stop and go on, after a time that is drawn."""
    data, seconds = cluster.steward.folder / "data", dice.uniform(0, PAUSE_SECONDS_MAX)
    pid = nats_server(data) if name == "nats-server" else cluster.processes[name].child.pid
    print(f"{how} {name} for {seconds:.3f} s")
    if how == "stop":
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):  # a server that does not answer may have been replaced meanwhile
            os.kill(pid, signal.SIGCONT)
    elif name == "nats-server":
        os.kill(pid, signal.SIGKILL)
        wait_for("another nats-server", lambda: nats_server(data) != pid, 30)
    else:
        cluster.kill(name)
        time.sleep(seconds / 2)
        cluster.start(name)


@pytest.mark.parametrize("strikes", [4, pytest.param(30, marks=pytest.mark.storm)])
@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("role", ROLES)
def test_struck_at_random_moments(tmp_path, role, how, strikes, seed):
    print(f"STEWARD_CRASH_SEED={seed}")
    dice = random.Random(f"{seed} {role} {how}")
    with running(tmp_path, Upstream(delay=0.005), BUDGET) as cluster:
        callers = [cluster.caller(1 + n % 2, timeout=20) for n in range(6)]
        with Traffic(callers) as traffic, Commander(cluster) as commander:
            traffic.wait_more()
            first = wait_for("a history", lambda: history(cluster.steward, url=cluster.cli_url), 30)
            for _ in range(strikes):
                traffic.wait_more(dice.randrange(1, 60))
                time.sleep(dice.uniform(0, 0.01))
                strike(cluster, dice.choice(ROLES[role]), how, dice)
            traffic.wait_more()
        books = Books(cluster.steward, cluster.upstream, traffic.answered, [cluster.caller(1), cluster.caller(2)])
        print(f"{len(traffic.answered)} answers, {commander.acknowledged} commands, {len(books.events)} events: {books.laws.seen}")
        # Law 5: what was read once is read again, and only goes on.
        assert books.events[: len(first)] == first
        raised = [event["command"] for event in books.events if event["name"] == "ledger.budget_set"]
        assert all(raised.count(commander.name(number + 1)) == 1 for number in range(commander.acknowledged))
        if (role, how) != ("gateway", "kill"):
            assert books.finished.keys() == books.laws.calls.keys(), "every start has its finish"
