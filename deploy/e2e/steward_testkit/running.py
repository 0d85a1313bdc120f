"""A running Steward and a running model, for the demo and the end-to-end tests: real processes, driven as users do."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("STEWARD_BINARY", ROOT / "target" / "debug" / "steward"))
NATS_SERVER = os.environ.get("STEWARD_NATS_SERVER", str(ROOT / ".tools" / "bin" / "nats-server"))


class Failed(Exception):
    """A command of the real binary ended with another status than 0."""


def free_port(preferred: int = 0) -> int:
    """The preferred port if it is free, else one below those that the kernel hands to clients.

    Any of them, because it is free only until its process listens, and others look for ports too."""
    for port in [preferred, *random.sample(range(12_000, 32_000), 100)]:
        if not port:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError("no free port below 32000")


def wait_for(what: str, check, seconds: float = 60.0):
    """What `check` returns once it is true; an error with `what` if it does not become so in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


class Process:
    """A child process with its output in a file."""

    def __init__(self, arguments, log: pathlib.Path, **more):
        self.log = log
        self.arguments = [str(a) for a in arguments]
        with open(log, "ab") as out:
            self.child = subprocess.Popen(self.arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **more)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def check_alive(self):
        if self.child.poll() is not None:
            raise Failed(f"{' '.join(self.arguments)} ended with {self.child.returncode}:\n{self.tail()}")

    def kill(self):
        """kill -9."""
        self.child.kill()
        self.child.wait()

    def stop(self, seconds: float = 30.0) -> int:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failed(f"{' '.join(self.arguments)} did not stop within {seconds:.0f} s:\n{self.tail()}") from None
        return self.child.returncode


class Model:
    """The real small model, or the one that MODEL_URL names."""

    def __init__(self, folder: pathlib.Path):
        self.process = None
        self.url = os.environ.get("MODEL_URL")
        self.name = os.environ.get("MODEL_NAME", "smollm2")
        self.key = os.environ.get("MODEL_KEY")
        if not self.url:
            port = free_port(9090)
            self.url = f"http://127.0.0.1:{port}/v1"
            self.process = Process([sys.executable, ROOT / "deploy" / "demo" / "model.py", port], folder / "model.log")
            wait_for("the model", self._ready)

    def _ready(self):
        self.process.check_alive()
        return "ready" in self.process.tail()

    def stop(self):
        if self.process:
            self.process.kill()  # it holds nothing


class Steward:
    """One installation: a data folder, its configuration, and the processes run on it."""

    def __init__(self, folder: pathlib.Path, gateway_port: int = 0, bus_port: int = 0):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.gateway_port = gateway_port or free_port()
        self.bus_port = bus_port or free_port(self.gateway_port + 1)
        self.url = f"http://127.0.0.1:{self.gateway_port}"
        self.bus_url = f"nats://127.0.0.1:{self.bus_port}"
        self.config = folder / "steward.toml"
        self.config.write_text(
            f'data = "{folder / "data"}"\n'
            f'[bus]\nport = {self.bus_port}\nprogram = "{NATS_SERVER}"\n'
            f'[gateway]\nlisten = "127.0.0.1:{self.gateway_port}"\n'
            f'[workers]\nclaim_timeout = "3s"\n'
        )
        self.processes: list[Process] = []

    def start(self, *role: str, name: str = "up", settings: dict[str, str] | None = None) -> Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")} | (settings or {})
        arguments = [BINARY, "--config", self.config, *(role or ("up",))]
        process = Process(arguments, self.folder / f"{name}.log", env=environment)
        self.processes.append(process)
        return process

    def up(self) -> Process:
        process = self.start()
        self.wait_ready(process)
        return process

    def wait_ready(self, process: Process, url: str | None = None, seconds: float = 60.0):
        def ready():
            process.check_alive()
            try:
                return urllib.request.urlopen(f"{url or self.url}/readyz", timeout=2).status == 200
            except OSError:
                return False

        wait_for(f"ready at {url or self.url}", ready, seconds)

    @property
    def operator_key(self) -> str:
        return (self.folder / "data" / "operator.key").read_text().strip()

    def cli(self, *arguments, key: str | None = None, check: bool = True, url: str | None = None) -> subprocess.CompletedProcess:
        """Runs the binary as a user would."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")}
        if key:
            environment["STEWARD_API_KEY"] = key
        if url:
            environment["STEWARD_URL"] = url
        words = [str(BINARY), "--config", str(self.config), *map(str, arguments)]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
        if check and ran.returncode:
            raise Failed(f"{' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran

    def json(self, *arguments, **more):
        return json.loads(self.cli(*arguments, "--json", **more).stdout)

    def replay(self, tenant: str, *arguments, **more) -> list[dict]:
        lines = self.cli("replay", "--tenant", tenant, *arguments, "--json", **more).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def key(self, account: str, tenant: str, *arguments) -> str:
        """Issues an API key and returns its secret."""
        return self.json("key", "issue", account, "--tenant", tenant, *arguments)["answer"]["secret"]

    def stop(self):
        errors = []
        for process in reversed(self.processes):
            try:
                process.stop()
            except Failed as error:
                errors.append(str(error))
        self.processes.clear()
        if errors:
            raise Failed("\n".join(errors))
