"""Providers of every kind that keep books of what they billed: each is scripted by the prompt, and counts what it said and what not.

A prompt is `call-<number> <script> <tokens>` and then so many words. The same prompt costs the same at the same provider."""

import collections
import dataclasses
import json
import re
import select
import threading
import time
from http.server import BaseHTTPRequestHandler

from steward_testkit.bills import OPENAI, WORDS, Bill, Conversed, Form, Generated, Messages
from steward_testkit.foreign_upstreams import Bedrock
from steward_testkit.upstream import Server

PROMPT = re.compile(rb"call-(\d+) (\w+) (\d+) ")
# How long a provider goes on with a stream whose caller left, if it is read on.
SLOW = 0.3
HELD_SECONDS_MAX = 12

SCRIPTS = {
    "answer": "all at once",
    "slow": "the first piece, and after a while the rest",
    "late": "after a while",
    "fault": "500 at the first time, then an answer",
    "busy": "429 at the first time, then an answer",
    "down": "503 always, where the provider is one that fails",
    "cut": "the beginning of an answer, then nothing more",
    "drag": "the beginning of an answer, and no more until the other side has enough",
    "hang": "nothing, until the other side has enough, where the provider is one that fails",
}
REFUSES = {"fault": 500, "busy": 429, "down": 503}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One request that reached a provider: `said` with its bill, `silent` if the bill was not told, or `refused`."""

    number: int
    provider: str
    model: str
    end: str
    bill: Bill


class Ledger:
    """The books of all providers."""

    def __init__(self):
        self.entries: list[Entry] = []
        self.lock = threading.Lock()
        # How often each call came, and to how many providers.
        self.came = collections.Counter()

    def enter(self, entry: Entry):
        with self.lock:
            self.entries.append(entry)

    def arrived(self, number: int) -> bool:
        """True for the first time."""
        with self.lock:
            self.came[number] += 1
            return self.came[number] == 1

    def of(self, end: str) -> collections.Counter:
        """What each provider entered with this end: all that it said, as often as it said it."""
        return collections.Counter((entry.provider, entry.model, entry.bill) for entry in self.entries if entry.end == end)

    def count(self, end: str) -> collections.Counter:
        return collections.Counter(entry.provider for entry in self.entries if entry.end == end)


class Biller:
    """A provider of one kind, with a price list of its own making."""

    kind, key, below = "openai", "none", "/v1"

    def __init__(self, ledger: Ledger, name: str, model: str = "mock", fails: bool = False):
        self.ledger, self.name, self.model, self.fails = ledger, name, model, fails
        biller = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave in one write.
            wbufsize = -1

            def do_POST(self):
                content = self.rfile.read(int(self.headers["content-length"]))
                try:
                    biller.play(self, content)
                except OSError:
                    self.close_connection = True

            def tell(self, status: int, kind: str, content: bytes, length: int | None = None):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(length or len(content)))
                if status == 429:
                    self.send_header("retry-after", "1")
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

            def begin(self, kind: str):
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("connection", "close")
                self.end_headers()
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}{self.below}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()

    def play(self, handler, content: bytes):
        form = self.form(handler.path, handler.headers, content)
        found = PROMPT.search(content)
        number, script, words = int(found[1]), found[2].decode(), int(found[3])
        bill = form.bill(number, words, self.name)

        def enter(end: str):
            self.ledger.enter(Entry(number, self.name, self.model, end, bill))

        is_first = self.ledger.arrived(number)
        if script in REFUSES and (self.fails if script == "down" else is_first):
            enter("refused")
            handler.tell(REFUSES[script], "application/json", json.dumps({"error": {"message": script}}).encode())
        elif script == "hang" and self.fails:
            enter("silent")
            select.select([handler.connection], [], [], HELD_SECONDS_MAX)
            handler.close_connection = True
        elif not form.stream:
            whole = form.whole(bill)
            if script in ("slow", "late"):
                time.sleep(SLOW)
            if script == "cut":
                enter("silent")
                handler.close_connection = True
                handler.tell(200, form.whole_type, whole[: len(whole) // 2], len(whole))
            else:
                enter("said")
                handler.tell(200, form.whole_type, whole)
        else:
            self.stream(handler, form.pieces(bill), form.stream_type, script, enter)

    @staticmethod
    def stream(handler, pieces: list[bytes], kind: str, script: str, enter):
        first = next(place for place, piece in enumerate(pieces) if WORDS[0].encode() in piece)
        begun, rest = pieces[: first + 1], pieces[first + 1 :]
        if script == "late":
            time.sleep(SLOW)
        handler.begin(kind)
        if script in ("cut", "drag"):
            enter("silent")
            handler.wfile.write(b"".join(begun))
            handler.wfile.flush()
            if script == "drag":
                select.select([handler.connection], [], [], HELD_SECONDS_MAX)
        elif script == "slow":
            handler.wfile.write(b"".join(begun))
            handler.wfile.flush()
            time.sleep(SLOW)
            enter("said")
            handler.wfile.write(b"".join(rest))
        else:
            enter("said")
            handler.wfile.write(b"".join(pieces))

    def form(self, path: str, headers, content: bytes) -> Form:
        assert headers["authorization"] == f"Bearer {self.key}", "no key"
        return OPENAI[path.removeprefix(self.below)](json.loads(content))


class AzureBiller(Biller):
    kind, key, below = "azure", "azure-key", "/openai/v1"

    def form(self, path, headers, content):
        assert headers["api-key"] == self.key, "no key"
        return OPENAI[path.removeprefix(self.below)](json.loads(content))


class AnthropicBiller(Biller):
    kind, key = "anthropic", "anthropic-key"

    def form(self, path, headers, content):
        assert (headers["x-api-key"], path) == (self.key, "/v1/messages"), path
        return Messages(json.loads(content))


class GeminiBiller(Biller):
    kind, key, below = "gemini", "goog-key", "/v1beta"

    def form(self, path, headers, content):
        assert headers["x-goog-api-key"] == self.key, "no key"
        method = re.fullmatch(rf"/v1beta/models/{self.model}:(generateContent|streamGenerateContent\?alt=sse)", path)
        return Generated({"model": self.model, "stream": method[1] != "generateContent"})


class BedrockBiller(Biller):
    kind, key, below = "bedrock", "AKIDMOCK:mock/secret:mock-token region=eu-west-1", ""

    def form(self, path, headers, content):
        Bedrock.check_signature(self, path, headers, content)
        return Conversed({"model": self.model, "stream": path.endswith("-stream")})


def all_kinds(ledger: Ledger) -> list[Biller]:
    """One of each kind, one that fails, and two for calls that ask a second while the first says nothing."""
    return [
        Biller(ledger, "openai"),
        AnthropicBiller(ledger, "anthropic"),
        GeminiBiller(ledger, "gemini"),
        BedrockBiller(ledger, "bedrock", "eu.anthropic.claude-mock-v1:0"),
        AzureBiller(ledger, "azure"),
        Biller(ledger, "shaky", fails=True),
        Biller(ledger, "silent", fails=True),
        GeminiBiller(ledger, "steady"),
    ]
