"""Providers of every kind that keep books of what they billed: each is scripted by the prompt, and counts what it said and what not.

A prompt is `call-<number> <script> <tokens>` and then so many words. The same prompt costs the same at the same provider."""

import collections
import dataclasses
import json
import random
import re
import select
import threading
import time
from http.server import BaseHTTPRequestHandler

from steward_testkit.foreign_upstreams import Bedrock
from steward_testkit.upstream import Server

PROMPT = re.compile(rb"call-(\d+) (\w+) (\d+) ")
# No caller may ask for less output, as no bill has more.
OUTPUT_MAX = 24
WORDS = ["word "] * 3
# How long a provider goes on with a stream whose caller left, if it is read on.
SLOW = 0.3
HELD_SECONDS_MAX = 60

SCRIPTS = {
    "answer": "all at once",
    "slow": "the first piece, and after a while the rest",
    "late": "after a while",
    "fault": "500 at the first time, then an answer",
    "busy": "429 at the first time, then an answer",
    "down": "503 always, where the provider is one that fails",
    "cut": "the beginning of an answer, then nothing more",
    "drag": "the beginning of an answer, and no more until the other side has enough",
}
REFUSES = {"fault": 500, "busy": 429, "down": 503}


@dataclasses.dataclass(frozen=True)
class Bill:
    """What one call used, in the words of the log: all input and all output, and what of it was something else."""

    input: int
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    tier: str = "standard"

    @staticmethod
    def of(tokens: dict) -> "Bill":
        """Of what an event says."""
        return Bill(**{field.name: tokens[field.name] for field in dataclasses.fields(Bill) if field.name in tokens})

    @property
    def beside(self) -> int:
        """The input that some makers do not count as input."""
        return self.input - self.cached - self.cache_write - self.cache_write_1h

    @property
    def written(self) -> int:
        return self.cache_write + self.cache_write_1h


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

    def form(self, path: str, headers, content: bytes) -> "Form":
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


class Form:
    """How one maker says an answer and its bill."""

    whole_type, stream_type = "application/json", "text/event-stream"
    # What the maker's usage has words for, beside input, cached and output.
    tells: frozenset[str] = frozenset()
    tiers = ("standard",)

    def __init__(self, body: dict):
        self.model, self.stream = body["model"], body.get("stream", False)

    def bill(self, number: int, words: int, provider: str) -> Bill:
        """By the call and the provider alone, and never more input than there are words."""
        lot = random.Random(f"{number} {provider}")
        total = words - lot.randrange(words // 4 + 1)
        parts = sorted(lot.randrange(total + 1) for _ in range(3))
        hour, short, cached = parts[0], parts[1] - parts[0], parts[2] - parts[1]
        output = lot.randrange(len(WORDS), OUTPUT_MAX + 1)
        reasoning = lot.randrange(output - len(WORDS) + 1)
        bill = Bill(total, cached, short, hour, output, reasoning, lot.choice(self.tiers))
        return dataclasses.replace(bill, **{name: 0 for name in ("cache_write", "cache_write_1h", "reasoning") if name not in self.tells})

    def sse(self, *events: tuple[str | None, dict]) -> list[bytes]:
        return [f"{f'event: {name}' + chr(10) if name else ''}data: {json.dumps(said)}\n\n".encode() for name, said in events]


class Chat(Form):
    tells = frozenset({"cache_write", "reasoning"})
    tiers = ("standard", "standard", "flex", "priority")

    def usage(self, bill: Bill) -> dict:
        return {
            "prompt_tokens": bill.input, "completion_tokens": bill.output, "total_tokens": bill.input + bill.output,
            "prompt_tokens_details": {"cached_tokens": bill.cached, "cache_write_tokens": bill.cache_write},
            "completion_tokens_details": {"reasoning_tokens": bill.reasoning},
        }

    def envelope(self, kind: str, choices: list, **more) -> dict:
        return {"id": "c-1", "object": kind, "created": 1, "model": self.model, "choices": choices, **more}

    def end(self, bill: Bill) -> dict:
        return {"usage": self.usage(bill), "service_tier": {"standard": "default"}.get(bill.tier, bill.tier)}

    def whole(self, bill):
        message = {"role": "assistant", "content": "".join(WORDS)}
        return json.dumps(self.envelope("chat.completion", [{"index": 0, "message": message, "finish_reason": "stop"}], **self.end(bill))).encode()

    def pieces(self, bill):
        kind = "chat.completion.chunk"
        said = [self.envelope(kind, [{"index": 0, "delta": {"content": word}, "finish_reason": None}]) for word in WORDS]
        said.append(self.envelope(kind, [{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        said.append(self.envelope(kind, [], **self.end(bill)))
        return [*self.sse(*((None, chunk) for chunk in said)), b"data: [DONE]\n\n"]


class Response(Form):
    tells, tiers = Chat.tells, Chat.tiers

    def response(self, bill: Bill | None) -> dict:
        head = {"id": "r-1", "object": "response", "created_at": 1, "model": self.model, "error": None, "output": [], "status": "in_progress"}
        if not bill:
            return head
        usage = {
            "input_tokens": bill.input, "output_tokens": bill.output, "total_tokens": bill.input + bill.output,
            "input_tokens_details": {"cached_tokens": bill.cached, "cache_write_tokens": bill.cache_write},
            "output_tokens_details": {"reasoning_tokens": bill.reasoning},
        }
        tier = {"standard": "default"}.get(bill.tier, bill.tier)
        return head | {"status": "completed", "output": [self.item("".join(WORDS))], "usage": usage, "service_tier": tier}

    @staticmethod
    def item(text: str) -> dict:
        part = {"type": "output_text", "text": text, "annotations": []}
        return {"type": "message", "id": "m-1", "status": "completed", "role": "assistant", "content": [part]}

    def whole(self, bill):
        return json.dumps(self.response(bill)).encode()

    def pieces(self, bill):
        place = {"item_id": "m-1", "output_index": 0, "content_index": 0}
        said = [{"type": "response.created", "response": self.response(None)}]
        said += [{"type": "response.output_text.delta", **place, "delta": word} for word in WORDS]
        said.append({"type": "response.output_text.done", **place, "text": "".join(WORDS)})
        said.append({"type": "response.output_item.done", "output_index": 0, "item": self.item("".join(WORDS))})
        said.append({"type": "response.completed", "response": self.response(bill)})
        return self.sse(*((event["type"], event | {"sequence_number": number}) for number, event in enumerate(said)))


class Embedded(Form):
    def bill(self, number, words, provider):
        return Bill(super().bill(number, words, provider).input)

    def whole(self, bill):
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
        usage = {"prompt_tokens": bill.input, "total_tokens": bill.input}
        return json.dumps({"object": "list", "model": self.model, "data": data, "usage": usage}).encode()


OPENAI = {"/chat/completions": Chat, "/responses": Response, "/embeddings": Embedded}


class Messages(Form):
    tells = frozenset({"cache_write", "cache_write_1h", "reasoning"})
    tiers = ("standard", "standard", "priority")

    def message(self, bill: Bill, content: list, reason: str | None, output: int) -> dict:
        usage = {
            "input_tokens": bill.beside, "cache_read_input_tokens": bill.cached, "cache_creation_input_tokens": bill.written,
            "cache_creation": {"ephemeral_5m_input_tokens": bill.cache_write, "ephemeral_1h_input_tokens": bill.cache_write_1h},
            "output_tokens": output, "service_tier": bill.tier,
        }
        if reason:
            usage["output_tokens_details"] = {"thinking_tokens": bill.reasoning}
        return {"id": "m-1", "type": "message", "role": "assistant", "model": self.model, "content": content,
                "stop_reason": reason, "stop_sequence": None, "usage": usage}

    def whole(self, bill):
        return json.dumps(self.message(bill, [{"type": "text", "text": "".join(WORDS)}], "end_turn", bill.output)).encode()

    def pieces(self, bill):
        said = [{"type": "message_start", "message": self.message(bill, [], None, 1)}]
        said.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        said += [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS]
        said.append({"type": "content_block_stop", "index": 0})
        usage = {"output_tokens": bill.output, "output_tokens_details": {"thinking_tokens": bill.reasoning}}
        said.append({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage})
        return self.sse(*((event["type"], event) for event in [*said, {"type": "message_stop"}]))


class Generated(Form):
    tells = frozenset({"reasoning"})

    def piece(self, text: str, usage: dict, reason: str | None = None) -> dict:
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0} | ({"finishReason": reason} if reason else {})
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": self.model, "responseId": "r-1"}

    def usage(self, bill: Bill) -> dict:
        return {"promptTokenCount": bill.input, "cachedContentTokenCount": bill.cached, "totalTokenCount": bill.input + bill.output,
                "candidatesTokenCount": bill.output - bill.reasoning, "thoughtsTokenCount": bill.reasoning}

    def whole(self, bill):
        return json.dumps(self.piece("".join(WORDS), self.usage(bill), "STOP")).encode()

    def pieces(self, bill):
        begun = {"promptTokenCount": bill.input, "totalTokenCount": bill.input}
        said = [*(self.piece(word, begun) for word in WORDS), self.piece("", self.usage(bill), "STOP")]
        return self.sse(*((None, piece) for piece in said))


class Conversed(Form):
    tells = frozenset({"cache_write", "cache_write_1h"})
    tiers = ("standard", "flex", "priority")
    stream_type = "application/vnd.amazon.eventstream"

    def end(self, bill: Bill) -> dict:
        usage = {
            "inputTokens": bill.beside, "cacheReadInputTokens": bill.cached, "cacheWriteInputTokens": bill.written,
            "cacheDetails": [{"ttl": "5m", "inputTokens": bill.cache_write}, {"ttl": "1h", "inputTokens": bill.cache_write_1h}],
            "outputTokens": bill.output, "totalTokens": bill.input + bill.output,
        }
        return {"usage": usage, "serviceTier": {"type": {"standard": "default"}.get(bill.tier, bill.tier)}}

    def whole(self, bill):
        message = {"role": "assistant", "content": [{"text": "".join(WORDS)}]}
        return json.dumps({"output": {"message": message}, "stopReason": "end_turn", **self.end(bill)}).encode()

    def pieces(self, bill):
        said = [("messageStart", {"role": "assistant"})]
        said += [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS]
        said += [("contentBlockStop", {"contentBlockIndex": 0}), ("messageStop", {"stopReason": "end_turn"}), ("metadata", self.end(bill))]
        return [Bedrock.frame(kind, event) for kind, event in said]


def all_kinds(ledger: Ledger) -> list[Biller]:
    """One of each kind, and one that fails."""
    return [
        Biller(ledger, "openai"),
        AnthropicBiller(ledger, "anthropic"),
        GeminiBiller(ledger, "gemini"),
        BedrockBiller(ledger, "bedrock", "eu.anthropic.claude-mock-v1:0"),
        AzureBiller(ledger, "azure"),
        Biller(ledger, "shaky", fails=True),
    ]
