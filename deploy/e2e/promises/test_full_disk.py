"""A disk that is nearly full, full, and enlarged: nothing acknowledged is lost, every no says what to do, all goes on."""

import json
import os
import pathlib
import threading
import time
import urllib.error
import urllib.request

import pytest

from ledger_oracle.words import plain
from steward_testkit.callers import Caller, tally
from steward_testkit.company import apply_company
from steward_testkit.running import Steward, wait_for
from steward_testkit.small_disk import SmallDisk

MIB = 1 << 20
BUDGET = 'budget = { limit = "100000 calls" }'
# What is kept of the small disk.
KEPT = 16 * MIB


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk", 96)
    yield disk
    disk.close()


def mounted(disk: SmallDisk):
    if not disk.mounted:
        pytest.skip(f"no disk can be mounted here ({disk.refused}); what a nearly full one does is tested without")


def begin(folder: pathlib.Path, disk: SmallDisk, upstream, kept: int) -> Steward:
    """Its data is on the disk; what its processes say is not."""
    steward = Steward(folder / "steward")
    (disk.path / "data").mkdir()
    (steward.folder / "data").symlink_to(disk.path / "data")
    steward.config.write_text(steward.config.read_text().replace("[bus]\n", f"[bus]\nfree_bytes_min = {kept}\n"))
    steward.up()
    apply_company(steward, upstream.url, budget=BUDGET)
    steward.bot = steward.key("support-bot", "acme", "--on", "acme/support")
    return steward


def readyz(steward: Steward) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{steward.url}/readyz", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def refused(steward: Steward):
    """A call is refused, clearly."""
    status, headers, content = Caller(steward.gateway_port, steward.bot, 60).call()
    assert status == 503 and int(headers["retry-after"]) >= 1, (status, headers, content)
    assert "make room" in json.loads(content)["error"]["message"], content


def goes_on(steward: Steward, seconds: float = 45):
    caller = Caller(steward.gateway_port, steward.bot, 60)
    wait_for("calls again", lambda: caller.call()[0] == 200, seconds)
    wait_for("ready again", lambda: readyz(steward)[0] == 200, seconds)


def books_agree(steward: Steward, upstream, answered: int):
    """The report, the events and the provider's own books; each of the calls that was answered is among them."""
    def report() -> dict:
        """Empty if it is not told now."""
        asked = steward.cli("cost", "--tenant", "acme", "--json", check=False)
        return plain(json.loads(asked.stdout)["total"]) if asked.returncode == 0 else {}

    def events() -> list[dict]:
        found = steward.replay("acme", "--kind", "usage")
        return [plain(event["data"]) for event in found if event["name"] == "usage.call_finished"]

    def billed() -> list[dict]:
        return [event for event in events() if event["outcome"] == "completed" or "estimated" in event["outcome"]]

    # A call that the full disk met before it went out is finished as not billed, and counts as a call in the report.
    try:
        wait_for("all events", lambda: len(billed()) == len(upstream.calls), 45)
        wait_for("a report of all events", lambda: report().get("calls") == len(events()), 30)
    except TimeoutError:
        pytest.fail(f"served {len(upstream.calls)}, answered {answered}, billed {len(billed())}, report: {report()}")
    finished = events()
    assert len({event["call"] for event in finished}) == len(finished), "none twice"
    assert len(upstream.calls) >= answered
    assert report()["cost"] == sum(event["cost"] for event in finished)
    verify = lambda: steward.cli("audit", "verify", "--tenant", "acme", check=False).returncode == 0  # noqa: E731
    wait_for("a history that is proven whole", verify, 30)


def processor_time(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Traffic:
    """Callers that never stop; what each call came to is kept."""

    def __init__(self, steward: Steward, count: int):
        self.statuses, self.broken, self.over = [], [], False
        self.threads = [threading.Thread(target=self.run, args=(steward,), daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, steward: Steward):
        caller = Caller(steward.gateway_port, steward.bot, 60)
        while not self.over:
            status, _, content = caller.call()
            self.statuses.append(status)
            if status == 0:
                self.broken.append(content)
            if status != 200:
                time.sleep(0.1)

    def stop(self) -> dict:
        self.over = True
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive(), "a call has had no answer for 90 s"
        return tally(self.statuses)


def test_a_nearly_full_disk_admits_no_calls_but_records_ends(tmp_path, disk, upstream):
    """On a disk of its own; else on the one that is here, of which so much is kept that a large file is too much."""
    kept = KEPT if disk.mounted else disk.free - 512 * MIB
    steward = begin(tmp_path, disk, upstream, kept)
    try:
        assert Caller(steward.gateway_port, steward.bot, 60).call()[0] == 200
        assert readyz(steward)[0] == 200
        traffic = Traffic(steward, 2)
        if disk.mounted:
            disk.fill(KEPT + MIB)
        else:
            with open(disk.ballast, "wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, 1024 * MIB)
        wait_for("no room for calls", lambda: 503 in traffic.statuses, 90)
        seen = traffic.stop()
        assert seen.keys() == {200, 503}, (seen, traffic.broken)
        refused(steward)
        status, why = readyz(steward)
        assert status == 503 and "nearly full" in why
        doctor = steward.cli("doctor", check=False)
        assert doctor.returncode and "FAIL disk" in doctor.stdout and "make room" in doctor.stdout
        # Commands and queries still fit.
        steward.cli("account", "create", "late-bot", "--tenant", "acme")
        books_agree(steward, upstream, seen[200] + 1)
        if disk.mounted:
            disk.enlarge(256)
        else:
            disk.ballast.unlink()
        goes_on(steward)
    finally:
        steward.stop()


def test_a_full_disk_loses_nothing_and_recovers_once_enlarged(tmp_path, disk, upstream):
    mounted(disk)
    steward = begin(tmp_path, disk, upstream, KEPT)
    process = steward.processes[0]
    try:
        traffic = Traffic(steward, 4)
        wait_for("traffic", lambda: len(traffic.statuses) > 20, 30)
        disk.fill(0)
        # Calls that the full disk met in their middle wait for it, up to half a minute; new ones do not.
        wait_for("word of the full disk", lambda: readyz(steward)[0] == 503, 10)
        refused(steward)
        # The disk is looked at every 200 ms: it may have been seen while it filled, when commands were still taken.
        time.sleep(0.5)
        refusal = steward.cli("account", "create", "late-bot", "--tenant", "acme", check=False)
        assert refusal.returncode and "make room" in refusal.stderr, refusal.stderr
        before, since = processor_time(process.child.pid), time.monotonic()
        time.sleep(2)
        spent = (processor_time(process.child.pid) - before) / (time.monotonic() - since)
        assert spent < 0.8, f"{spent:.2f} of a core while nothing can be done"
        process.check_alive()
        disk.enlarge(256)
        goes_on(steward)
        seen = traffic.stop()
        assert seen.keys() <= {200, 503, 504}, (seen, traffic.broken)
        steward.cli("account", "create", "late-bot", "--tenant", "acme")
        books_agree(steward, upstream, seen[200] + 1)
        assert "panicked" not in process.log.read_text(errors="replace")
    finally:
        steward.stop()


def test_a_process_stops_despite_a_full_disk_and_loses_nothing(tmp_path, disk, upstream):
    mounted(disk)
    steward = begin(tmp_path, disk, upstream, KEPT)
    try:
        traffic = Traffic(steward, 4)
        wait_for("traffic", lambda: len(traffic.statuses) > 20, 30)
        disk.fill(0)
        wait_for("word of the full disk", lambda: readyz(steward)[0] == 503, 10)
        seen = traffic.stop()
        steward.stop()
        disk.enlarge(256)
        steward.up()
        goes_on(steward)
        started, finished = (
            {plain(event["data"])["call"] for event in steward.replay("acme", "--kind", "usage") if event["name"] == name}
            for name in ("usage.call_started", "usage.call_finished")
        )
        assert finished <= started and len(finished) >= seen[200] + 1, "answered and not in the log"
        # Calls whose end the full disk took until their gateway stopped stay held out of the budget.
        assert len(finished) <= len(upstream.calls) <= len(started)
        told = lambda: plain(steward.json("cost", "--tenant", "acme")["total"])["calls"]  # noqa: E731
        wait_for("a report of all events", lambda: told() == len(finished), 30)
        steward.cli("audit", "verify", "--tenant", "acme")
    finally:
        steward.stop()


def test_views_on_a_full_disk_catch_up_once_enlarged(tmp_path, disk, upstream):
    mounted(disk)
    steward = Steward(tmp_path / "steward")
    try:
        bus = steward.start("bus", name="bus")
        wait_for("the bus", lambda: bus.check_alive() or " ready on " in bus.tail())
        steward.start("aggregates", name="aggregates")
        steward.start("workers", name="workers")
        projectors = steward.start("projectors", "--store", disk.path / "views", name="projectors")
        gateway = steward.start("gateway", name="gateway")
        steward.wait_ready(gateway)
        apply_company(steward, upstream.url, budget=BUDGET)
        steward.bot = steward.key("support-bot", "acme", "--on", "acme/support")
        caller = Caller(steward.gateway_port, steward.bot, 60)
        assert caller.call()[0] == 200
        wait_for("the first report", lambda: plain(steward.json("cost", "--tenant", "acme")["total"])["calls"] == 1, 30)
        disk.fill(0)
        for made in range(2, 42):
            assert caller.call()[0] == 200, "calls need no views"
            if made % 10 == 0:
                asked = steward.cli("cost", "--tenant", "acme", "--json", check=False)
                if asked.returncode == 0:
                    assert 1 <= plain(json.loads(asked.stdout)["total"])["calls"] <= made
                else:
                    assert asked.stderr.startswith("steward: "), asked.stderr
        projectors.check_alive()
        disk.enlarge(256)
        books_agree(steward, upstream, 41)
        assert "panicked" not in projectors.log.read_text(errors="replace")
    finally:
        steward.stop()
