"""Clients that keep count: one with a connection of its own, traffic without a pause, a crowd that calls at once."""

import collections
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from steward_testkit.running import wait_for

HELLO = [{"role": "user", "content": "Say hello."}]
# What one token of the shared company's model costs, in nano-dollars.
TOKEN = 1_000


class Caller:
    """One client with a connection of its own, as cheap as it can be: the machine is shared with what is tested."""

    def __init__(self, port: int, key: str, timeout: float):
        self.port, self.key, self.timeout = port, key, timeout
        self.connection = None

    def call(
        self, stream: bool = False, max_tokens: int | None = 5, text: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict, str]:
        """Status, headers and body of one call; 0 and why if there was no whole answer."""
        body = {"model": "small", "messages": [{"role": "user", "content": text}] if text else HELLO, "stream": stream}
        if max_tokens:
            body["max_tokens"] = max_tokens
        status, told, content = self.post("/v1/chat/completions", body, headers)
        whole = "[DONE]" in content or not stream
        return status if status != 200 or whole else 0, told, content

    def post(self, path: str, body: dict, headers: dict[str, str] | None = None) -> tuple[int, dict, str]:
        """Status, headers and content of whatever is answered; 0 and why if the connection broke."""
        try:
            reply = self.send(path, body, headers)
            return reply.status, dict(reply.headers), reply.read().decode()
        except (OSError, http.client.HTTPException) as broken:
            self.close()
            return 0, {}, repr(broken)

    def send(self, path: str, body: dict, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """Sends it, and waits for the head of the answer."""
        self.ask(path, body, headers)
        return self.connection.getresponse()

    def ask(self, path: str, body: dict, headers: dict[str, str] | None = None):
        """Sends it, and waits for nothing."""
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json", **(headers or {})}
        self.connection.request("POST", path, json.dumps(body), headers)

    def until_decided(self, seconds: float = 60, **more) -> int:
        """The first status that is not "come back": a client that comes back when told to, within a bound."""
        deadline = time.monotonic() + seconds
        while True:
            status, _, _ = self.call(**more)
            if status not in (429, 503) or time.monotonic() > deadline:
                return status
            time.sleep(0.05)

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


class Traffic:
    """Calls without a pause, one thread a caller, every other one streamed; after one that is cut off comes another."""

    def __init__(self, callers: list[Caller]):
        self.stopped = threading.Event()
        # The call ids of whole answers.
        self.answered: list[str] = []
        self.threads = [threading.Thread(target=self.run, args=(caller,)) for caller in callers]

    def run(self, caller: Caller):
        number = 0
        while not self.stopped.is_set():
            status, headers, _ = caller.call(stream=number % 2 == 1)
            number += 1
            if status == 200:
                self.answered.append(headers["x-steward-call-id"])
            else:
                time.sleep(0.02)
        caller.close()

    def __enter__(self) -> "Traffic":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def wait_more(self, calls: int = 20, seconds: float = 60):
        """Until so many more calls were answered."""
        seen = len(self.answered)
        wait_for(f"{calls} more answers", lambda: len(self.answered) >= seen + calls, seconds)


def crowd(cluster, count: int, one, at_once: int = 64, gateways: tuple = (1, 2)) -> list:
    """`one(caller, number)` for each number from many threads; each thread has a caller at its own gateway."""
    own, place = threading.local(), iter(range(1 << 30))

    def run(number: int):
        if not hasattr(own, "caller"):
            own.caller = cluster.caller(gateways[next(place) % len(gateways)])
        return one(own.caller, number)

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, range(count)))


def tally(statuses) -> dict:
    return dict(collections.Counter(statuses))
