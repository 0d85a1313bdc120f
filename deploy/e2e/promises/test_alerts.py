"""What is shipped to watch with is true: each alert fires under the fault that it names and none without a fault; each panel
shows something."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from steward_testkit.callers import Caller
from steward_testkit.cluster import Cluster, nats_server
from steward_testkit.company import apply_company
from steward_testkit.prometheus import PROMETHEUS, SHIPPED, Prometheus, faster
from steward_testkit.running import ROOT, Steward, free_port, wait_for
from steward_testkit.upstream import Upstream

# One installation for all tests here, and one of them measures time.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.xdist_group("alerts"),
    # In CI it is there, or the tests fail.
    pytest.mark.skipif(not PROMETHEUS.exists() and not os.environ.get("CI"), reason="no Prometheus here: see make tools"),
]

ROLES = ["aggregates", "projectors", "workers", "gateway"]
NO_FAULT = 25
OVERHEAD_P99 = "histogram_quantile(0.99, sum by (le) (rate(steward_gateway_overhead_seconds_bucket[10m])))"


class Failing(Upstream):
    """Answers with a status of its own while it is told to."""

    failing: int | None = None

    def misbehave(self, handler, _body) -> bool:
        if self.failing:
            handler.send_error(self.failing)
        return bool(self.failing)


class Site:
    """An installation with each role as a process of its own, watched; or, with `up`, with all in one."""

    def __init__(self, folder, roles=ROLES):
        self.steward, self.upstream = Steward(folder / "steward"), Failing()
        self.addresses = {role: f"127.0.0.1:{free_port()}" for role in roles}
        self.processes = {}
        if "up" not in roles:
            Cluster.wait_said(self.steward.start("bus", name="bus"))
        for role in roles:
            self.start(role)
            if role not in ("gateway", "up"):
                Cluster.wait_said(self.processes[role])
        self.steward.wait_ready(self.processes[roles[-1]])
        apply_company(self.steward, self.upstream.url, budget='budget = { limit = "100000 calls" }')
        self.bot = self.steward.key("support-bot", "acme", "--on", "acme/support")
        self.prometheus = Prometheus(folder / "prometheus", self.addresses)

    def start(self, role: str):
        """In the place of an earlier one."""
        before = self.processes.get(role)
        process = self.steward.start(role, name=role, settings={"STEWARD_TELEMETRY__LISTEN": self.addresses[role]})
        if before:
            self.steward.processes[self.steward.processes.index(before)] = self.steward.processes.pop()
        self.processes[role] = process

    def call(self, **more) -> int:
        with contextlib.closing(Caller(self.steward.gateway_port, self.bot, 30)) as caller:
            return caller.call(**more)[0]

    def submit(self, count: int = 1):
        for _ in range(count):
            self.steward.cli("task", "submit", "researcher", "hello", "--on", "acme/support", "--tenant", "acme", key=self.bot)

    def close(self):
        self.prometheus.stop()
        self.steward.stop()
        self.upstream.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("alerts"))
    yield site
    site.close()


def expressions() -> list[tuple[str, str]]:
    """Each panel's title and expression."""
    dashboard = json.loads((ROOT / "observability" / "grafana" / "steward.json").read_text())
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


def traffic(site: Site, seconds: float):
    """Calls, a refusal and a task, as any company has them."""
    site.submit()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert site.call() == 200
        site.call(text="refused", max_tokens=0)
        time.sleep(0.1)


@pytest.mark.parametrize("roles", [ROLES, ["up"]], ids=["roles apart", "up"])
def test_without_a_fault_nothing_fires_and_every_panel_shows_something(tmp_path, roles):
    site = Site(tmp_path, roles)
    try:
        site.steward.cli("budget", "set", "acme", "$1", "--tenant", "acme", key=site.bot, check=False)  # refused: a denial
        traffic(site, NO_FAULT)
        firing = site.prometheus.firing()
        if "StewardGatewaySlow" in firing and site.prometheus.query(faster(f"{OVERHEAD_P99} > 0.05")):
            del firing["StewardGatewaySlow"]  # it is true: this machine is busy with something else
        assert firing == {}
        empty = []
        for title, expression in expressions():
            shown = site.prometheus.query(faster(expression.replace("$tenant", "acme")))
            # Nothing is wrong, so what shows only what is wrong is empty.
            if not shown and not expression.endswith("== 0"):
                empty.append(f"{title}: {expression}")
        assert not empty, empty
    finally:
        site.close()


def test_a_process_that_is_gone(site):
    site.processes["projectors"].kill()
    assert site.prometheus.wait_firing("StewardDown")["role"] == "projectors"
    site.start("projectors")
    site.prometheus.wait_calm("StewardDown")


def test_a_process_that_is_not_ready(site):
    bus = nats_server(site.steward.folder / "data")
    os.kill(bus, signal.SIGSTOP)
    try:
        assert site.prometheus.wait_firing("StewardNotReady")["role"] in ROLES
    finally:
        os.kill(bus, signal.SIGCONT)
    site.prometheus.wait_calm("StewardNotReady")


def test_a_process_that_restarts_again_and_again(site):
    for _ in range(5):
        site.processes["workers"].kill()
        site.start("workers")
        wait_for("it is scraped", lambda: site.prometheus.query('up{role="workers"} == 1'))
        time.sleep(2)
    assert site.prometheus.wait_firing("StewardRestartsAgainAndAgain")["role"] == "workers"


def test_calls_that_fail(site):
    site.upstream.failing = 500
    try:
        with pressed(site):
            site.prometheus.wait_firing("StewardGatewayErrors")
    finally:
        site.upstream.failing = None


@contextlib.contextmanager
def pressed(site: Site, callers: int = 2):
    """Calls without a pause, whatever becomes of them."""
    over = threading.Event()

    def run():
        while not over.is_set():
            site.call()

    threads = [threading.Thread(target=run) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_gateway_that_holds_calls(site):
    # A budget that is lent in small parts, by a decider that mostly sleeps: calls wait for their part.
    site.steward.cli("budget", "set", "acme/support", "5000 calls", "--per", "minute", "--tenant", "acme")
    over, child = threading.Event(), site.processes["aggregates"].child

    def stutter():
        while not over.is_set():
            child.send_signal(signal.SIGSTOP)
            time.sleep(0.4)
            child.send_signal(signal.SIGCONT)
            time.sleep(0.05)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        with pressed(site, 4):
            site.prometheus.wait_firing("StewardGatewaySlow")
    finally:
        over.set()
        thread.join()


def test_many_refusals(site):
    refused = site.steward.key("support-bot", "acme", "--on", "acme/support", "--model", "other")
    with contextlib.closing(Caller(site.steward.gateway_port, refused, 30)) as caller:
        statuses = {caller.call()[0] for _ in range(300)}
    assert statuses <= {403, 404, 429}, statuses
    assert site.prometheus.wait_firing("StewardDenials")["tenant"] == "acme"


def test_a_role_that_somebody_gave_themselves(site):
    site.steward.cli("elevation", "allow", "glass", "owner", "--on", "acme", "--asker-roles", "developer", "--approver-roles", "owner",
                     "--longest", "1h", "--self-approval", "true", "--tenant", "acme")
    night = site.steward.key("night-bot", "acme", "--on", "acme")
    site.steward.cli("grant", "give", "night-bot", "developer", "--on", "acme", "--tenant", "acme")
    site.steward.cli("elevation", "request", "glass", "60", "--reason", "fire", "--self-approve", "true", "--tenant", "acme", key=night)
    assert site.prometheus.wait_firing("StewardSelfApprovedElevation")["tenant"] == "acme"


def test_tasks_that_nobody_takes(site):
    site.processes["workers"].kill()
    site.submit()
    assert site.prometheus.wait_firing("StewardTasksWait")["tenant"] == "acme"
    site.start("workers")
    site.prometheus.wait_calm("StewardTasksWait")


def test_tasks_that_fail(site):
    site.upstream.failing = 400  # what is worth no second try
    try:
        site.submit(3)
        assert site.prometheus.wait_firing("StewardTasksFail")["tenant"] == "acme"
    finally:
        site.upstream.failing = None


def test_every_alert_has_a_test_here(site):
    named = set(re.findall(r"alert: (\w+)", (SHIPPED / "alerts.yml").read_text()))
    tested = set(re.findall(r'wait_firing\("(\w+)"', pathlib.Path(__file__).read_text()))
    assert named == tested


def test_the_rules_pass_their_own_tests():
    ran = subprocess.run([PROMETHEUS.with_name("promtool"), "test", "rules", "alerts_test.yml"], cwd=SHIPPED, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
