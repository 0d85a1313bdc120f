"""Three nats-servers, every stream on all of them: any one is killed in the middle of traffic, and nothing is lost."""

import json
import os
import signal
import threading

from promise import Cluster, plain
from running import BINARY, Failed, Process, Steward, free_port, wait_for
from upstream import Upstream

NODES = ("a", "b", "c")


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

    def nats_server(self, number: int) -> int:
        return json.loads((self.folders[number] / "nats" / "server.json").read_text())["pid"]


def traffic(cluster: ThreeNodes, gateway: int, stop: threading.Event, answered: list, lock: threading.Lock):
    """Calls until it is told to stop; after one that is cut off or refused comes another."""
    caller = cluster.caller(gateway, timeout=30)
    while not stop.is_set():
        status, headers, _ = caller.call()
        if status == 200:
            with lock:
                answered.append(headers["x-steward-call-id"])
    caller.close()


def test_any_of_three_nats_servers_is_killed_and_nothing_is_lost(tmp_path):
    steward, upstream = Steward(tmp_path / "steward"), Upstream(delay=0.01)
    stop, answered, lock = threading.Event(), [], threading.Lock()
    threads = []
    try:
        cluster = ThreeNodes(steward, upstream, 'budget = { limit = "$5.00", per = "day" }')
        threads = [threading.Thread(target=traffic, args=(cluster, 1 + n % 2, stop, answered, lock)) for n in range(4)]
        for thread in threads:
            thread.start()
        for number in range(len(NODES)):
            seen = len(answered)
            wait_for("traffic", lambda: len(answered) > seen + 20, 60)
            dead = cluster.nats_server(number)
            os.kill(dead, signal.SIGKILL)
            wait_for("another server in its place", lambda: cluster.nats_server(number) != dead, 60)
        seen = len(answered)
        wait_for("traffic after all", lambda: len(answered) > seen + 20, 60)
        stop.set()
        for thread in threads:
            thread.join()

        # A finish that could not be recorded at once is tried on: each call that started comes to its end. While leaders
        # are elected, a question may be answered that it is to be sent again.
        def all_finished():
            try:
                started, finished = cluster.started_and_finished()
            except Failed as failed:
                assert "503" in str(failed), failed
                return False
            return started.keys() == finished.keys() and finished

        finished = wait_for("every start has its finish", all_finished, 60)
        assert len(set(answered)) == len(answered) and set(answered) <= finished.keys()
        billed = [call for call in finished.values() if "not_billed" not in call["outcome"]]
        assert len(billed) == len(upstream.calls), "the log's books and the provider's"
        total = cluster.wait_report(len(finished))
        assert total["cost"] == sum(plain(call["cost"]) for call in finished.values())
        assert steward.cli("audit", "verify", "--tenant", "acme", check=False).returncode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        steward.stop()
        upstream.close()
