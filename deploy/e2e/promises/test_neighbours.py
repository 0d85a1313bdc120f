"""One tenant does its worst: the calls and reports of another go on."""

import asyncio
import contextlib
import json
import socket
import statistics
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import nats
import nats.errors
import pytest

from steward_testkit.callers import Caller
from steward_testkit.company import apply_company
from steward_testkit.running import Steward
from steward_testkit.upstream import Upstream

pytestmark = [pytest.mark.alone, pytest.mark.xdist_group("neighbours")]

MIB = 1 << 20
# How much slower than calm the neighbour may be; a bound for a busy machine, not a measurement.
SLOWER_MAX, SLOW = 20, 3.0


class Patient(Upstream):
    """Keeps whoever says so waiting."""

    def misbehave(self, handler, body) -> bool:
        if body["messages"][0]["content"] == "wait":
            time.sleep(5)
        return False


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    steward, upstream = Steward(tmp_path_factory.mktemp("neighbours") / "steward"), Patient()
    try:
        steward.up()
        apply_company(steward, upstream.url, budget='budget = { limit = "100000 calls" }')
        steward.cli("tenant", "create", "globex")
        steward.cli("account", "create", "bot", "--tenant", "globex")
        steward.cli("grant", "give", "bot", "developer", "--on", "globex", "--tenant", "globex")
        steward.cli("account", "create", "dev", "--tenant", "acme")
        steward.cli("grant", "give", "dev", "admin", "--on", "acme", "--tenant", "acme")
        for number in range(5):
            steward.cli("account", "create", f"idle-{number}", "--tenant", "acme")
        steward.neighbour = steward.key("bot", "globex")
        steward.dev = steward.key("dev", "acme")
        steward.bots = [steward.key("support-bot", "acme", "--on", "acme/support") for _ in range(8)]
        steward.idle = [steward.key(f"idle-{number}", "acme") for number in range(5)]
        for _ in range(10):
            visit(steward)
        steward.calm = statistics.median(visit(steward) for _ in range(20))
        print(f"calm: {steward.calm * 1000:.0f} ms")
        yield steward
    finally:
        steward.stop()
        upstream.close()


def post(steward, key: str, path: str, body: dict, timeout: float = 20) -> tuple[int, dict]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{steward.url}{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def visit(steward) -> float:
    """The neighbour calls a model and asks for its costs; how long both took."""
    began = time.monotonic()
    caller = Caller(steward.gateway_port, steward.neighbour, 30)
    status, _, content = caller.call()
    assert status == 200, content
    caller.close()
    status, report = post(steward, steward.neighbour, "/api/v1/tenants/globex/cost:report", {})
    assert status == 200, report
    return time.monotonic() - began


@contextlib.contextmanager
def meanwhile(steward, seconds: float = 3.0):
    """The neighbour's visits while something goes on: none refused, none far slower than calm."""
    took, stop, failed = [], threading.Event(), []

    def visits():
        try:
            while not stop.is_set():
                took.append(visit(steward))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=visits)
    thread.start()
    began = time.monotonic()
    try:
        yield
        stop.wait(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        stop.set()
        thread.join()
    assert not failed, failed
    bound = max(SLOWER_MAX * steward.calm, SLOW)
    times = statistics.median(took) / steward.calm
    print(f"{len(took)} visits: {times:.1f} times as long as when calm (median), {max(took) * 1000:.0f} ms at most")
    assert len(took) >= 3 and max(took) < bound, took


def test_announced_bodies_hold_up_nobody(town):
    """With keys that may call nothing, and with keys that may."""
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n"
    with contextlib.ExitStack() as open_sockets, meanwhile(town):
        for key in [*town.idle, *town.bots]:
            for _ in range(8):
                client = open_sockets.enter_context(socket.create_connection(("127.0.0.1", town.gateway_port)))
                client.sendall(head.format(key, 8 * MIB).encode())


def test_reports_from_the_future_are_refused_at_once(town):
    with meanwhile(town), ThreadPoolExecutor(64) as pool:
        ask = lambda _: post(town, town.dev, "/api/v1/tenants/acme/cost:report", {"min_position": 999_999_999})
        began = time.monotonic()
        answers = list(pool.map(ask, range(600)))
        assert {status for status, _ in answers} <= {400, 429}, answers[0]
        assert time.monotonic() - began < 60


def test_calls_that_wait_leave_places(town):
    def wait(key):
        caller = Caller(town.gateway_port, key, 30)
        status, _, _ = caller.call(text="wait")
        caller.close()
        return status

    with ThreadPoolExecutor(160) as pool, meanwhile(town):
        waiting = [pool.submit(wait, town.bots[number % len(town.bots)]) for number in range(160)]
    assert {call.result() for call in waiting} <= {200, 429}


def test_a_flood_on_the_bus_is_refused_and_others_are_answered(town):
    """Large and many, sent as fast as the bus takes them."""
    who = town.json("account", "list", "--tenant", "acme")
    dev = next(row["principal"] for row in who["rows"] if row["name"] == "dev")

    async def flood():
        bus = await nats.connect(town.bus_url, token=town.dev, inbox_prefix=f"_INBOX.acme.{dev}".encode())
        answered = []

        async def hear(message):
            answered.append((message.headers or {}).get("Nats-Service-Error-Code", "200"))

        inbox = f"_INBOX.acme.{dev}.flood"
        await bus.subscribe(inbox, cb=hear)
        for number in range(3_000):
            body = b"{}" if number % 20 else b"x" * (900 * 1024)
            await bus.publish(f"qry.acme.{dev}.cost.report", body, reply=inbox)
        await bus.flush(30)
        for _ in range(200):
            if len(answered) == 3_000:
                break
            await asyncio.sleep(0.1)
        await bus.close()
        return answered

    with meanwhile(town):
        answered = asyncio.run(flood())
    assert len(answered) == 3_000, f"{len(answered)} answers"
    assert answered.count("400") >= 150, "too large ones are refused"


def test_wrong_keys_cost_others_nothing(town):
    with meanwhile(town), ThreadPoolExecutor(16) as pool:
        guess = lambda number: post(town, f"stw_globex_{number}", "/v1/chat/completions", {})[0]
        assert set(pool.map(guess, range(400))) <= {401, 429}


def test_rights_that_are_costly_to_know_stay_small(town):
    def define(role, **more):
        return post(town, town.dev, "/api/v1/tenants/acme/roles:define", {"role": role, "permissions": [], "inherits": [], **more})

    status, refused = define("wide", permissions=["user:x0"])
    assert status == 400 and "user:x0" in refused["detail"], refused
    deep = [define(f"r{number}", inherits=[f"r{number - 1}"] if number else [])[0] for number in range(12)]
    assert deep == [200] * 8 + [400] + [404] * 3
    who = town.json("account", "list", "--tenant", "acme")
    idle = next(row["principal"] for row in who["rows"] if row["name"] == "idle-0")
    with meanwhile(town):
        gave = []
        for number in range(102):
            assert post(town, town.dev, "/api/v1/tenants/acme/projects:create", {"project": f"p{number}"})[0] == 200
            grant = {"to": idle, "role": "agent", "on": f"acme/p{number}", "condition": {"cost_max": "$0.01"}}
            gave.append(post(town, town.dev, "/api/v1/tenants/acme/grants:give", grant))
        assert [status for status, _ in gave] == [200] * 100 + [400] * 2, gave[-1]
