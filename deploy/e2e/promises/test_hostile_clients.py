"""Clients that flood, stall and lie: each is answered with a clear 4xx or closed in time, in bounded memory, and others
are served meanwhile."""

import contextlib
import json
import pathlib
import resource
import socket
import threading
import time

import pytest

from steward_testkit.callers import HELLO, Caller
from steward_testkit.company import apply_company
from steward_testkit.running import Steward, wait_for
from steward_testkit.upstream import Upstream

# The tests here share one gateway, so one process runs them all.
pytestmark = pytest.mark.xdist_group("hostile-clients")

# A client has so long to send its headers, and again its body; and so long to read a piece of its answer.
RECEIVE_MAX = 3
STALL_MAX = 2
# How much later the end of such a time may be seen on a busy machine.
LATE = 20
MIB = 1 << 20
# What all of this file may add to the gateway's memory: 2,000 connections of at most 64 KiB of headers each, and bodies.
GROWTH_MAX = 192 * MIB
LONG = 12 * MIB
# Room for all bodies; a quarter of it, and so one body of the largest size, is one key's.
BODIES_MAX = 32 * MIB


class Talkative(Upstream):
    """Asked for much, it answers much."""

    def misbehave(self, handler, body) -> bool:
        if body["messages"][0]["content"] != "much":
            return False
        message = {"role": "assistant", "content": "x" * LONG}
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        handler.answer("application/json", json.dumps(self.envelope(body, "chat.completion", [choice], usage)).encode())
        return True


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """All roles in one process, after its first calls; memory is counted from there."""
    steward, upstream = Steward(tmp_path_factory.mktemp("clients") / "steward"), Talkative()
    bounds = f'receive_time_max = "{RECEIVE_MAX}s"\ncalls.client_stall_max = "{STALL_MAX}s"\nbodies_bytes_max = {BODIES_MAX}\n'
    steward.config.write_text(steward.config.read_text().replace("[gateway]\n", f"[gateway]\n{bounds}"))
    try:
        steward.up()
        file = apply_company(steward, upstream.url, budget='budget = { limit = "100000 calls" }')
        # Large bodies are refused for their size alone, not because no model reads so much.
        file.write_text(file.read_text().replace("output_max = 64", "context_max = 1000000\noutput_max = 64", 1))
        steward.cli("apply", file)
        steward.bot = steward.key("support-bot", "acme", "--on", "acme/support")
        steward.other = steward.key("support-bot", "acme", "--on", "acme/support")
        for _ in range(20):
            served(steward)
        steward.at_rest = memory(steward)
        yield steward
        print(f"gateway: {steward.at_rest // MIB} MiB at rest, {memory(steward, 'VmHWM') // MIB} MiB at most")
    finally:
        steward.stop()
        upstream.close()


def memory(steward: Steward, what: str = "VmRSS") -> int:
    status = pathlib.Path(f"/proc/{steward.processes[0].child.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what))


def bounded(steward: Steward):
    grown = memory(steward) - steward.at_rest
    assert grown < GROWTH_MAX, f"{grown / MIB:.0f} MiB more than at rest"


def served(steward: Steward):
    """Somebody else, with a connection of their own."""
    caller = Caller(steward.gateway_port, steward.bot, 30)
    assert caller.call()[0] == 200
    caller.close()


def connect(steward: Steward) -> socket.socket:
    return socket.create_connection(("127.0.0.1", steward.gateway_port), timeout=RECEIVE_MAX + LATE)


def head(steward: Steward, *lines: str, length: int | None = None, key: str | None = None) -> bytes:
    """Of a call, with more lines; its body is announced with `length`."""
    key = key or steward.bot
    all_lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"authorization: Bearer {key}", *lines]
    if length is not None:
        all_lines.append(f"content-length: {length}")
    return "".join(f"{line}\r\n" for line in all_lines).encode()


def answer(client: socket.socket) -> bytes:
    """All that comes until the gateway closes; it must close."""
    seen = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65_536):
            seen += piece
    return seen


def status(content: bytes) -> int:
    return int(content.split(b" ", 2)[1]) if content.startswith(b"HTTP/1.1 ") else 0


def send(client: socket.socket, content: bytes):
    """As far as the gateway takes it."""
    with contextlib.suppress(ConnectionError):
        client.sendall(content)


@pytest.mark.parametrize(
    "lines",
    [[f"x-{n}: y" for n in range(200)], ["x: " + "y" * 400_000], [f"x-{n}: " + "y" * 4_000 for n in range(90)]],
    ids=["many headers", "a huge header", "many long headers"],
)
def test_too_many_headers_are_431(gateway, lines):
    with connect(gateway) as client:
        send(client, head(gateway, *lines, length=2) + b"\r\n{}")
        assert status(answer(client)) in (431, 0), "refused, or closed while it still sent"
    with connect(gateway) as client:
        send(client, head(gateway, *lines[:1], length=2)[:60_000])
        client.shutdown(socket.SHUT_WR)
        answer(client)
    served(gateway)
    bounded(gateway)


def test_a_request_line_without_end_is_refused(gateway):
    with connect(gateway) as client:
        send(client, b"GET /" + b"x" * MIB)
        assert status(answer(client)) in (414, 431, 0)
    served(gateway)
    bounded(gateway)


def test_headers_that_never_end_are_cut_off(gateway):
    """By their size, however quickly they come."""
    with connect(gateway) as client:
        client.sendall(head(gateway))
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 64 * MIB:
                sent += client.send(b"x-more: " + b"y" * 8_000 + b"\r\n")
        assert sent < 64 * MIB, "it would have gone on"
    served(gateway)
    bounded(gateway)


def test_slow_clients_are_closed_in_time_and_hold_up_nobody(gateway):
    """A byte a second: of headers they are closed, of a body they are told 408; nothing at all is closed too."""
    begun = time.monotonic()
    ends = {}

    def drip(name: str, first: bytes):
        with connect(gateway) as client:
            client.sendall(first)
            client.settimeout(1)
            seen = b""
            while time.monotonic() < begun + RECEIVE_MAX + LATE:
                try:
                    piece = client.recv(4_096)
                    seen += piece
                    if not piece:
                        break
                except TimeoutError:
                    if first:
                        send(client, b"x")
                except ConnectionError:
                    break
            else:
                return
            ends[name] = status(seen)

    drips = {
        "headers": head(gateway) + b"x-slow: ",
        "body": head(gateway, length=10_000) + b"\r\n{",
        "chunks": head(gateway, "transfer-encoding: chunked") + b"\r\n400\r\n",
        "nothing": b"",
    }
    threads = [threading.Thread(target=drip, args=one) for one in drips.items() for _ in range(25)]
    for thread in threads:
        thread.start()
    served(gateway)
    for thread in threads:
        thread.join()
    assert ends == {"headers": 0, "body": 408, "chunks": 408, "nothing": 0}
    bounded(gateway)


def test_two_thousand_idle_connections_are_closed_and_delay_no_call(gateway):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files[1] < 2_200:
        pytest.skip(f"this machine lets a process open only {files[1]} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files[0], 2_200), files[1]))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(gateway)) for _ in range(2_000)]
        for client in clients[::2]:
            client.sendall(head(gateway))
        served(gateway)
        bounded(gateway)
        for client in clients:
            assert answer(client) == b"", "closed without a word"
    served(gateway)


def test_bodies_that_are_too_long_or_lie_about_their_length(gateway):
    def said(content: bytes, end: bool = False) -> int:
        with connect(gateway) as client:
            send(client, content)
            if end:
                client.shutdown(socket.SHUT_WR)
            return status(answer(client))

    body = json.dumps({"model": "small", "messages": HELLO, "max_tokens": 5}).encode()
    close = "connection: close"
    assert said(head(gateway, close, length=1 << 40) + b"\r\n{") == 413, "by what it announces"
    chunks = b"100000\r\n" + b" " * MIB + b"\r\n"
    assert said(head(gateway, close, "transfer-encoding: chunked") + b"\r\n" + chunks * 9) in (413, 0), "by what comes"
    assert said(head(gateway, close, length=len(body) - 9) + b"\r\n" + body) == 400, "it announces less than it sends"
    assert said(head(gateway, close, length=len(body) + 9) + b"\r\n" + body, end=True) in (400, 0), "it announces more"
    assert said(head(gateway, close, "content-length: -5") + b"\r\n" + body) == 400
    assert said(head(gateway, close, "content-length: 5", length=len(body)) + b"\r\n" + body) == 400, "two lengths"
    assert said(head(gateway, close, "transfer-encoding: chunked") + b"\r\nzz\r\n" + body) == 400, "no chunk"
    served(gateway)
    bounded(gateway)


def test_large_bodies_share_bounded_memory_fairly_among_keys(gateway):
    def told(client: socket.socket) -> int:
        """0 if the connection was closed before the answer could be read: more was being sent."""
        with contextlib.suppress(ConnectionError):
            return status(client.recv(65_536))
        return 0

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(gateway)) for _ in range(20)]
        for client in clients:
            client.sendall(head(gateway, length=7 * MIB, key=gateway.other) + b"\r\n{")
        served(gateway)
        seen = [told(client) for client in clients]
        # What is announced takes no room: each may come until its time is over.
        assert set(seen) <= {0, 408}, seen
        served(gateway)
        bounded(gateway)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(gateway)) for _ in range(3)]
        for client in clients:
            client.sendall(head(gateway, "transfer-encoding: chunked", key=gateway.other) + b"\r\n")
            send(client, b"500000\r\n" + b" " * (5 * MIB) + b"\r\n")
        served(gateway)
        seen = [told(client) for client in clients]
        assert set(seen) <= {0, 408, 429} and seen.count(408) <= 1, f"{seen}: room is taken as a body comes"
    text = "x" * (7 * MIB)
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": 5}).encode()

    def large() -> int:
        with connect(gateway) as client:
            send(client, head(gateway, "connection: close", length=len(body), key=gateway.other) + b"\r\n" + body)
            return status(answer(client))

    wait_for("room that is given back", lambda: large() == 200, LATE)
    assert [large(), large()] == [200, 200]
    bounded(gateway)


def test_a_body_that_would_make_a_large_tree_makes_none(gateway):
    """Millions of empty lists: as values in memory they would take twenty times as much."""
    hostile = b"[" + b"[]," * (2 * MIB) + b"[]]"
    body = b'{"model":"small","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"metadata":' + hostile + b"}"
    before = memory(gateway, "VmHWM")
    for _ in range(3):
        with connect(gateway) as client:
            client.sendall(head(gateway, "connection: close", length=len(body)) + b"\r\n" + body)
            assert status(answer(client)) == 200
    grown = memory(gateway, "VmHWM") - before
    assert grown < 10 * len(body), f"{grown / MIB:.0f} MiB for a body of {len(body) / MIB:.0f}"
    many = b",".join(b'"f%d":1' % n for n in range(300))
    with connect(gateway) as client:
        body = b'{"model":"small","messages":[{"content":"hi"}],' + many + b"}"
        client.sendall(head(gateway, "connection: close", length=len(body)) + b"\r\n" + body)
        seen = answer(client)
        assert status(seen) == 400 and b"more than 256 fields" in seen


def test_pipelined_garbage_ends_the_connection_and_no_request_is_smuggled(gateway):
    body = json.dumps({"model": "small", "messages": HELLO, "max_tokens": 5}).encode()
    with connect(gateway) as client:
        client.sendall(head(gateway, length=len(body)) + b"\r\n" + body + b"\x00\xff garbage \r\n\r\n" * 10_000)
        seen = answer(client)
    assert status(seen) == 200 and seen.count(b"HTTP/1.1 ") == 2, seen[-300:]
    assert b"HTTP/1.1 400" in seen
    served(gateway)
    bounded(gateway)


def test_a_client_that_never_reads_is_closed_and_forgotten(gateway):
    """Many long answers that nobody reads: the connections end, so that neither places nor memory are held."""
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "much"}], "max_tokens": 5}).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", gateway.gateway_port))
            client.sendall(head(gateway, length=len(body)) + b"\r\n" + body)
        wait_for("the answers on their way", lambda: connections(gateway) >= 4, 30)
        served(gateway)
        wait_for("the connections closed", lambda: connections(gateway) == 0, STALL_MAX + LATE)
    bounded(gateway)


def connections(steward: Steward) -> int:
    """Connections at the gateway's port that it has open, with bytes that nobody takes."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f":{steward.gateway_port:04X}"
    return sum(row[1].endswith(port) and row[3] == "01" and int(row[4].split(":")[0], 16) > 0 for row in rows)
