"""What calls cost and how each maker says it: bills by lot, and the answers that bring them, by the makers' public documents."""

import dataclasses
import json
import random

from steward_testkit.foreign_upstreams import Bedrock

# No caller may ask for less output, as no bill has more.
OUTPUT_MAX = 24
WORDS = ["word "] * 3


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
