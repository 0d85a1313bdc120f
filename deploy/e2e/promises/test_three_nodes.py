"""Three nats-servers, every stream on all of them: any one is killed or paused in the middle of traffic, and nothing is lost."""

import os
import signal
import time

import pytest

from steward_testkit.books import Books
from steward_testkit.callers import Traffic
from steward_testkit.cluster import Cluster, nats_server, running
from steward_testkit.running import BINARY, Process, free_port, wait_for
from steward_testkit.upstream import Upstream

NODES = ("a", "b", "c")
# The others have chosen new leaders long before it wakes and still takes itself for one.
PAUSE_SECONDS = 8


class ThreeNodes(Cluster):
    """A cluster whose bus is three `steward bus`; the roles know all three addresses."""

    def start_bus(self):
        steward = self.steward
        alone = steward.config.read_text()
        clients = [steward.bus_port, free_port(), free_port()]
        routes = [free_port() for _ in NODES]
        self.folders = [steward.folder / "data", *(steward.folder / f"data-{node}" for node in NODES[1:])]
        buses = []
        for node, folder, client, route in zip(NODES, self.folders, clients, routes):
            config = steward.folder / f"bus-{node}.toml"
            own = alone.replace(f'data = "{self.folders[0]}"', f'data = "{folder}"')
            own = own.replace(f"[bus]\nport = {clients[0]}", f"[bus]\nreplicas = 3\nport = {client}")
            config.write_text(f'{own}\n[bus.cluster]\nnode = "{node}"\nport = {route}\nports = {routes}\n')
            join = [] if folder == self.folders[0] else ["--join", self.folders[0]]
            environment = {k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")}
            command = [BINARY, "--config", config, "bus", *join]
            buses.append(Process(command, steward.folder / f"bus-{node}.log", env=environment))
            # The first makes the credentials that the others copy.
            wait_for("credentials", lambda: (self.folders[0] / "nats" / "secrets.json").exists(), 30)
        steward.processes.extend(buses)
        urls = ",".join(f"nats://127.0.0.1:{port}" for port in clients)
        steward.config.write_text(alone.replace("[bus]\n", f'[bus]\nurl = "{urls}"\nreplicas = 3\n'))
        for bus in buses:
            self.wait_said(bus)


def kill(folder):
    """Its supervisor starts another."""
    dead = nats_server(folder)
    os.kill(dead, signal.SIGKILL)
    wait_for("another server in its place", lambda: nats_server(folder) != dead, 60)


def pause(folder):
    paused = nats_server(folder)
    os.kill(paused, signal.SIGSTOP)
    time.sleep(PAUSE_SECONDS)
    os.kill(paused, signal.SIGCONT)


@pytest.mark.parametrize("nodes", [1, pytest.param(3, marks=pytest.mark.storm)])
@pytest.mark.parametrize("strike", [kill, pause])
def test_losing_any_of_three_nats_servers_loses_nothing(tmp_path, strike, nodes):
    upstream = Upstream(delay=0.01)
    with running(tmp_path, upstream, 'budget = { limit = "$5.00", per = "day" }', kind=ThreeNodes) as cluster:
        with Traffic([cluster.caller(1 + n % 2, timeout=30) for n in range(4)]) as traffic:
            for folder in cluster.folders[:nodes]:
                traffic.wait_more()
                strike(folder)
            traffic.wait_more()
        # A finish that could not be recorded at once is tried on: each call that started comes to its end.
        books = Books(cluster.steward, upstream, traffic.answered, [cluster.caller(1), cluster.caller(2)])
        assert books.finished.keys() == books.laws.calls.keys(), "every start has its finish"
