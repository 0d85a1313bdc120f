"""What was won in speed stays won: what a call costs is held in counts, which do not wobble with the machine.

The accepted counts a call stand in `counts.toml`; a change that makes a call dearer must say so there:
`COUNTS=accept` writes what was measured. Fewer is never refused. System calls that the kernel does not count without a
debugger (`sendto`, `futex`) are seen by their effects only: segments that arrive, threads that sleep. Allocations are
not counted, nor is how often nats-server's threads sleep, which is its scheduler's affair."""

import configparser
import json
import os
import pathlib
import socket
import socketserver
import threading

import pytest

from steward_testkit.company import apply_company
from steward_testkit.counts import drive, log_bytes, of_process, request
from steward_testkit.running import BINARY, Process, wait_for

pytestmark = [pytest.mark.alone, pytest.mark.xdist_group("counts")]

ACCEPTED = pathlib.Path(__file__).with_name("counts.toml")
# How much more than accepted is still the same. How many calls share a commit and an answer of nats-server depends on how
# they meet, and how often a thread finds nothing to do depends on the machine too: these differ more from run to run, so
# a load that seems dearer is also measured again, and the least of its counts is compared.
ALLOWANCE, ALLOWANCE_OF_CHANCE = 0.25, 0.5
TRIES = 3
# What differs by less than this is the same too: a count near nothing is made of chance.
LEAST = 0.05
LOADS = {"calls-32": (32, 2_000, False), "calls-1": (1, 2_000, False), "streams-32": (32, 300, True), "streams-1": (1, 300, True)}
ROLES = ["bus", "aggregates", "workers", "projectors", "gateway"]


@pytest.fixture
def mock(tmp_path):
    """The bench's own upstream: it answers at once, a stream of 32 events in one write."""
    process = Process([BINARY, "bench-part", "--", "upstream"], tmp_path / "upstream.log")
    port = wait_for("the mock upstream", lambda: process.tail().strip())
    yield f"http://127.0.0.1:{port}/v1"
    process.kill()  # it holds nothing


@pytest.fixture
def running(steward, mock):
    """Each role a process of its own; and where they are."""
    pids = {}
    for role in ROLES:
        process = steward.start(role, name=role)
        wait_for(f"{role} to be ready", lambda: process.check_alive() or " ready on " in process.tail())
        pids[role] = process.child.pid
    steward.wait_ready(process)
    pids["nats"] = json.loads((steward.folder / "data" / "nats" / "server.json").read_text())["pid"]
    apply_company(steward, mock)
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    return steward, pids, key


def commits(steward) -> int:
    return len({(event["stream"], event["position"]) for event in steward.replay("acme")})


def counts(running, connections: int, calls: int, stream: bool) -> dict[str, float]:
    """What one call of this load costs."""
    steward, pids, key = running

    def now() -> dict[str, int]:
        bytes_now = log_bytes(steward.folder / "data")
        found = {f"{role}_{what}": count for role in ("gateway", "nats") for what, count in of_process(pids[role]).items()}
        return {**found, "log_bytes": bytes_now}

    message = request(steward.gateway_port, key, stream)
    drive(steward.gateway_port, message, connections, connections * 4)  # connections and leases are there
    commits_before, before = commits(steward), now()
    segments = drive(steward.gateway_port, message, connections, calls)
    after = now()
    spent = {name: after[name] - before[name] for name in before if name != "nats_sleeps"}
    spent |= {"log_commits": commits(steward) - commits_before, "caller_segments": segments}
    return {name: round(count / calls, 3) for name, count in sorted(spent.items())}


def test_a_call_costs_no_more_than_was_accepted(running):
    if os.environ.get("COUNTS") == "accept":
        write({load: counts(running, *of) for load, of in LOADS.items()})
    accepted = configparser.ConfigParser()
    accepted.read(ACCEPTED)
    dearer = [
        f"{load}: {name} is {found}, accepted {accepted[load][name]}"
        for load, of in LOADS.items()
        for name, found in least_counts(running, load, of, accepted).items()
        if is_dearer(load, name, found, accepted.getfloat(load, name))
    ]
    assert not dearer, "a call costs more than was accepted (COUNTS=accept takes it):\n" + "\n".join(dearer)


def least_counts(running, load: str, of: tuple, accepted: configparser.ConfigParser) -> dict[str, float]:
    """What a call of this load costs, measured until nothing seems dearer than accepted, but no more than `TRIES` times."""
    least = {}
    for _ in range(TRIES):
        found = counts(running, *of)
        print(load, json.dumps(found))
        least = {name: min(count, least.get(name, count)) for name, count in found.items()}
        if not any(is_dearer(load, name, count, accepted.getfloat(load, name)) for name, count in least.items()):
            break
    return least


def is_dearer(load: str, name: str, found: float, accepted: float) -> bool:
    depends_on_chance = name.endswith("_sleeps") or (load.endswith("-32") and name.startswith(("nats_", "log_")))
    allowance = ALLOWANCE_OF_CHANCE if depends_on_chance else ALLOWANCE
    return found > max(accepted * (1 + allowance), accepted + LEAST)


@pytest.mark.parametrize("pieces", [1, 32])
def test_what_is_written_apart_is_counted_apart(pieces):
    """The count is one of what the gateway writes, not of what happens to be read."""
    calls, head = 10, b"HTTP/1.1 200 OK\r\ncontent-length: 3200\r\n\r\n"

    class Answerer(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self.request.recv(65_536):
                self.request.sendall(head + b"x" * (3_200 // pieces))
                for _ in range(pieces - 1):
                    self.request.sendall(b"x" * (3_200 // pieces))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answerer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        counted = drive(server.server_address[1], b"GET / HTTP/1.1\r\n\r\n", 1, calls) / calls
        server.shutdown()
    assert counted == 1 if pieces == 1 else is_dearer("calls-1", "caller_segments", counted, 4), counted


def write(measured: dict[str, dict[str, float]]):
    lines = ["# What one call costs, in counts: measured and accepted (see test_counts.py). Whoever raises one says why."]
    for load, found in measured.items():
        lines += ["", f"[{load}]", *(f"{name} = {count}" for name, count in found.items())]
    ACCEPTED.write_text("\n".join(lines) + "\n")
