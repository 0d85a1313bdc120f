"""Every role a process of its own, killed and started one by one, and what the log holds of it."""

import contextlib
import json
import pathlib
import urllib.error
import urllib.request

from ledger_oracle.laws import Laws, check
from ledger_oracle.words import moment, plain
from steward_testkit.callers import Caller
from steward_testkit.company import apply_company
from steward_testkit.running import Failed, Process, Steward, free_port, wait_for


def plural(noun: str) -> str:
    """As a noun stands in paths."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


class Cluster:
    """One bus, two deciders, two gateways, workers and projectors, each killed and started on its own."""

    def __init__(self, steward: Steward, upstream, budget: str, settings: str = "", **company):
        self.steward = steward
        first = steward.gateway_port
        steward.config.write_text(f"{steward.config.read_text()}{settings}\n")
        self.ports = [first, free_port()]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.cli_url = self.urls[0]
        self.processes: dict[str, Process] = {}
        self.start_bus()
        for role in [self.start(name) for name in ["aggregates-1", "aggregates-2", "workers", "projectors"]]:
            self.wait_said(role)
        for name in ["gateway-1", "gateway-2"]:
            self.start(name)
        for number in (1, 2):
            self.wait_ready(number)
        apply_company(steward, upstream.url, budget=budget, **company)
        self.issued = steward.json("key", "issue", "support-bot", "--tenant", "acme", "--on", "acme/support")["answer"]
        self.key = self.issued["secret"]

    def start_bus(self):
        self.wait_said(self.start("bus"))

    def start(self, name: str) -> Process:
        role, _, number = name.partition("-")
        more = ["--listen", f"127.0.0.1:{self.ports[int(number) - 1]}"] if role == "gateway" else []
        before, process = self.processes.get(name), self.steward.start(role, *more, name=name)
        if before:  # in the old one's place, so that gateways stop before the deciders that they hand leases back to
            self.steward.processes[self.steward.processes.index(before)] = self.steward.processes.pop()
        self.processes[name] = process
        if name == "gateway-1":
            self.cli_url = self.urls[0]
        return process

    def kill(self, name: str):
        """kill -9."""
        self.processes[name].kill()
        if name == "gateway-1":
            self.cli_url = self.urls[1]

    @staticmethod
    def wait_said(process: Process):
        """Ready, by what it says of itself."""
        wait_for("ready", lambda: process.check_alive() or " ready on " in process.tail())

    def wait_ready(self, number: int):
        self.steward.wait_ready(self.processes[f"gateway-{number}"], self.urls[number - 1])

    def command(self, noun: str, verb: str, gateway: int = 1, tenant: str = "acme", **body) -> dict:
        """A command through a gateway; it must be accepted."""
        headers = {"authorization": f"Bearer {self.steward.operator_key}", "content-type": "application/json"}
        address = f"{self.urls[gateway - 1]}/api/v1/tenants/{tenant}/{plural(noun)}:{verb}"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as refused:
            raise Failed(f"{noun} {verb}: {refused.read().decode()}") from None

    def caller(self, gateway: int, key: str | None = None, timeout: float = 60) -> Caller:
        return Caller(self.ports[gateway - 1], key or self.key, timeout)

    def events(self, kind: str) -> list[dict]:
        return self.steward.replay("acme", "--kind", kind, url=self.cli_url)

    def laws(self) -> Laws:
        """The laws of the ledger, checked at every prefix of what was recorded so far."""
        return check(self.steward.replay("acme", url=self.cli_url))

    def total(self) -> dict:
        return plain(self.steward.json("cost", "--tenant", "acme", url=self.cli_url)["total"])

    def wait_report(self, calls: int) -> dict:
        return wait_for(f"a report of {calls} calls", lambda: (t := self.total())["calls"] == calls and t, 30)

    def worst_of_a_call(self, max_tokens: int, stream: bool = False) -> dict:
        """What a call reserves, seen at one made outside of all projects, so that their budgets stay untouched."""
        self.steward.cli("account", "create", "prober", "--tenant", "acme")
        self.steward.cli("grant", "give", "prober", "agent", "--on", "acme", "--tenant", "acme")
        key = self.steward.key("prober", "acme", "--on", "acme")
        assert self.caller(1, key).call(max_tokens=max_tokens, stream=stream)[0] == 200
        (call,) = self.started_and_finished()[0].values()
        return call["worst"]

    def started_and_finished(self) -> tuple[dict, dict]:
        """The log's calls, with their places and times there; each at most once."""
        found = {"usage.call_started": {}, "usage.call_finished": {}}
        for event in self.events("usage"):
            if event["name"] in found:
                call = event["data"]["call"]
                assert call not in found[event["name"]], f"{call} twice"
                found[event["name"]][call] = {**plain(event["data"]), "position": event["position"], "at": moment(event["at"])}
        return found["usage.call_started"], found["usage.call_finished"]

    def unsettled(self) -> dict:
        """Calls whose worst case the ledger holds out: their gateway died before it recorded their end."""
        held = {}
        for event in self.events("ledger"):
            if event["name"] == "ledger.lease_ended":
                held.update({call["call"]: call["worst"] for call in event["data"]["unsettled"]})
            elif event["name"] == "ledger.lease_corrected":
                held.pop(event["data"]["call"], None)
        return held


@contextlib.contextmanager
def running(folder: pathlib.Path, upstream, budget: str, kind=Cluster, **more):
    """A cluster on a folder of its own, with this upstream; both end with the block."""
    steward = Steward(folder / "steward")
    try:
        cluster = kind(steward, upstream, budget, **more)
        cluster.upstream = upstream
        yield cluster
    finally:
        steward.stop()
        upstream.close()


def nats_server(data: pathlib.Path) -> int:
    """The process of the nats-server on this data folder, as its supervisor last wrote it down."""
    return json.loads((data / "nats" / "server.json").read_text())["pid"]
