"""What a key began ends with it: connections to the bus, and tasks. What a key gives on is no more than it is."""

import asyncio
import json
import time

import nats
import nats.errors
import pytest

from steward_testkit.company import apply_company

# Measured in milliseconds; generous, for this is no benchmark.
BOUND = 2.0


@pytest.fixture
def acme(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    steward.cli("account", "create", "auditor", "--tenant", "acme")
    steward.cli("grant", "give", "auditor", "admin", "--on", "acme")
    return steward


class Listener:
    """A NATS client that hears the tenant's log and can send commands; it never logs in again."""

    def __init__(self, steward, issued):
        self.steward, self.issued = steward, issued
        self.heard, self.errors, self.closed_at = [], [], None

    async def __aenter__(self):
        async def closed():
            self.closed_at = time.monotonic()

        async def error(what):
            self.errors.append(str(what))

        sender = self.issued["key"]
        self.bus = await nats.connect(self.steward.bus_url, token=self.issued["secret"], allow_reconnect=False,
                                      inbox_prefix=f"_INBOX.acme.{sender}".encode(), closed_cb=closed, error_cb=error)

        async def heard(message):
            self.heard.append(message.subject)

        await self.bus.subscribe("evt.*.acme.>", cb=heard)
        await self.bus.flush()
        return self

    async def __aexit__(self, *_):
        if not self.bus.is_closed:
            await self.bus.close()

    async def command(self, name, body):
        reply = await self.bus.request(f"cmd.acme.{self.issued['key']}.{name}", json.dumps(body).encode(), timeout=5)
        return json.loads(reply.data)

    async def closes(self, since):
        while self.closed_at is None:
            assert time.monotonic() - since < BOUND, "the connection outlives its right"
            await asyncio.sleep(0.005)
        return self.closed_at - since


ENDINGS = {
    "the key": lambda steward, issued: ("key", "revoke", issued["key"], "--tenant", "acme"),
    "the holder": lambda steward, issued: ("user", "disable", issued["principal"], "--tenant", "acme"),
    "the grant": lambda steward, issued: ("grant", "revoke", "auditor", "admin", "--on", "acme"),
    "the tenant": lambda steward, issued: ("tenant", "suspend", "--tenant", "acme", "--reason", "test"),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_an_open_connection_ends_with(acme, what):
    issued = acme.json("key", "issue", "auditor", "--tenant", "acme")["answer"]

    async def run():
        async with Listener(acme, issued) as listener:
            budget = {"scope": "acme/support", "limit": "$2.50", "per": "day"}
            assert (await listener.command("budget.set", budget))["accepted"]
            deadline = time.monotonic() + 5
            while not listener.heard:
                assert time.monotonic() < deadline, "who may read history hears the log"
                await asyncio.sleep(0.01)
            await asyncio.to_thread(acme.cli, *ENDINGS[what](acme, issued))
            print(f"{what}: closed {await listener.closes(time.monotonic()) * 1000:.0f} ms after the answer")

    asyncio.run(run())


def test_a_bot_may_not_hear_the_log(acme):
    issued = acme.json("key", "issue", "support-bot", "--tenant", "acme", "--on", "acme/support")["answer"]

    async def run():
        async with Listener(acme, issued) as listener:
            acme.cli("budget", "set", "acme/support", "$3", "--tenant", "acme")
            await asyncio.sleep(0.3)
            assert listener.heard == [] and any("ermissions" in error for error in listener.errors), listener.errors

    asyncio.run(run())


def test_a_developer_of_a_project_sees_and_cancels_there_and_nowhere_else(acme):
    for project in ["support", "sales"]:
        acme.cli("project", "create", project, "--tenant", "acme")
        acme.cli("account", "create", f"dev-{project}", "--tenant", "acme")
        acme.cli("grant", "give", f"dev-{project}", "developer", "--on", f"acme/{project}")
    keys = {project: acme.key(f"dev-{project}", "acme") for project in ["support", "sales"]}
    tasks = {}
    for project, key in keys.items():
        submitted = acme.json("task", "submit", "researcher", "why", "--on", f"acme/{project}", key=key)
        tasks[project] = submitted["answer"]["task"]
    mine, others = tasks["support"], tasks["sales"]
    listed = acme.json("task", "list", "--tenant", "acme", key=keys["support"])
    assert [task["task"] for task in listed["tasks"]] == [mine], listed
    assert acme.cli("task", "cancel", others, "--tenant", "acme", key=keys["support"], check=False).returncode != 0
    for query in [("cost", "--tenant", "acme"), ("task", "show", mine, "--tenant", "acme")]:
        assert acme.cli(*query, key=keys["support"], check=False).returncode == 0, query
    assert acme.cli("task", "show", others, "--tenant", "acme", key=keys["support"], check=False).returncode != 0
    assert acme.cli("replay", "--tenant", "acme", key=keys["support"], check=False).returncode != 0
