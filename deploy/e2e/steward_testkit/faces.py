"""The APIs that callers speak: how each asks for the same, and where its answers say what was used."""

import json

from steward_testkit.bills import OUTPUT_MAX


def events(content: str) -> list[dict]:
    """Of a stream, what each event says."""
    lines = [line.removeprefix("data: ") for line in content.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


class Chat:
    path = "/v1/chat/completions"

    @staticmethod
    def body(model: str, text: str, stream: bool) -> dict:
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": OUTPUT_MAX, **more}

    @staticmethod
    def used(content: str, stream: bool) -> tuple[int, int, int]:
        """Input, what of it came from a cache, output."""
        usage = events(content)[-1]["usage"] if stream else json.loads(content)["usage"]
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


class Messages:
    path = "/v1/messages"

    @staticmethod
    def body(model, text, stream):
        return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": OUTPUT_MAX, "stream": stream}

    @staticmethod
    def used(content, stream):
        usage = {} if stream else json.loads(content)["usage"]
        for event in events(content) if stream else []:
            usage |= event["message"]["usage"] if event["type"] == "message_start" else event.get("usage", {})
        cached = usage.get("cache_read_input_tokens") or 0
        return usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0), cached, usage["output_tokens"]


class Responses:
    path = "/v1/responses"

    @staticmethod
    def body(model, text, stream):
        return {"model": model, "input": text, "max_output_tokens": OUTPUT_MAX, "stream": stream}

    @staticmethod
    def used(content, stream):
        usage = (events(content)[-1]["response"] if stream else json.loads(content))["usage"]
        return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]


class Embeddings:
    path = "/v1/embeddings"

    @staticmethod
    def body(model, text, stream):
        return {"model": model, "input": text}

    @staticmethod
    def used(content, stream):
        return json.loads(content)["usage"]["prompt_tokens"], 0, 0


CHATS = (Chat, Messages, Responses)
