"""Upstreams that answer by rule, so that a test can tell what came back: one that has responses, and one that has chats only."""

import json
import threading
from http.server import BaseHTTPRequestHandler

from steward_testkit.upstream import Server

USAGE = {"input": 11, "output": 6}
VISIT = '{"city": "Paris", "people": 2}'


def rule(said: str, results: str, wants_json: bool, tools: list[str]) -> dict:
    """What the model says: JSON if it is asked for, a hand-off if it is offered one, a call of the tool once, or what it was told."""
    transfers = [name for name in tools if name.startswith("transfer_to_")]
    if wants_json:
        return {"text": VISIT}
    if "json" in tools:
        # Clients of APIs without a word for JSON ask for it by a tool of this name.
        return {"call": {"call_id": "call_1", "name": "json", "arguments": VISIT}}
    if transfers:
        return {"call": {"call_id": "call_0", "name": transfers[0], "arguments": "{}"}}
    if "weather" in said and "sunny" not in results:
        return {"call": {"call_id": "call_1", "name": "weather", "arguments": '{"city": "Paris"}'}}
    return {"text": "It is sunny." if results else "good day"}


class Rules:
    """Keeps what it was asked, by path."""

    def __init__(self, has_responses: bool):
        self.asked: list[tuple[str, dict]] = []
        rules = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                rules.asked.append((self.path, body))
                if self.path.endswith("/responses") and has_responses:
                    self.tell(*response(body))
                elif self.path.endswith("/chat/completions"):
                    self.tell(*completion(body))
                elif self.path.endswith("/embeddings"):
                    self.tell(embeddings(body), None)
                else:
                    self.tell({"detail": "Not Found"}, None, 404)

            def tell(self, whole, events, status=200):
                streamed = events is not None
                content = "".join(events) if streamed else json.dumps(whole)
                self.send_response(status)
                self.send_header("content-type", "text/event-stream" if streamed else "application/json")
                self.send_header("content-length", str(len(content.encode())))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


def completion(body) -> tuple[dict, list | None]:
    messages = body["messages"]
    said = json.dumps([m for m in messages if m["role"] == "user"])
    results = "".join(json.dumps(m["content"]) for m in messages if m["role"] == "tool")
    does = rule(said, results, "response_format" in body, [tool["function"]["name"] for tool in body.get("tools", [])])
    usage = {"prompt_tokens": USAGE["input"], "completion_tokens": USAGE["output"], "total_tokens": sum(USAGE.values())}
    if "call" in does:
        call = does["call"]
        function = {"name": call["name"], "arguments": call["arguments"]}
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": call["call_id"], "type": "function", "function": function}]}
        reason = "tool_calls"
    else:
        message, reason = {"role": "assistant", "content": does["text"]}, "stop"
    envelope = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {**envelope, "object": "chat.completion", "choices": [choice], "usage": usage}, None
    if "call" in does:
        message["tool_calls"][0]["index"] = 0
        deltas = [message]
    else:
        deltas = [{"role": "assistant", "content": ""}] + [{"content": word} for word in does["text"].split(" ")]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}, {"choices": [], "usage": usage}]
    return {}, [f"data: {json.dumps({**envelope, 'object': 'chat.completion.chunk', **chunk})}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]


def embeddings(body) -> dict:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": index, "embedding": [float(len(text))]} for index, text in enumerate(texts)]
    return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": USAGE["input"], "total_tokens": USAGE["input"]}}


def response(body) -> tuple[dict, list | None]:
    given = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    results = "".join(json.dumps(item["output"]) for item in given if item.get("type") == "function_call_output")
    wants_json = body.get("text", {}).get("format", {}).get("type") == "json_schema"
    does = rule(json.dumps(given), results, wants_json, [tool["name"] for tool in body.get("tools", [])])
    if "call" in does:
        item = {"type": "function_call", "id": "fc_1", "status": "completed", **does["call"]}
    else:
        part = {"type": "output_text", "text": does["text"], "annotations": []}
        item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    usage = {"input_tokens": USAGE["input"], "input_tokens_details": {"cached_tokens": 0}, "output_tokens": USAGE["output"],
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": sum(USAGE.values())}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "error": None, "incomplete_details": None,
            "instructions": None, "metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": 1, "top_p": 1}
    whole = {**head, "status": "completed", "output": [item], "usage": usage}
    if not body.get("stream"):
        return whole, None
    return {}, list(events(head, item, whole))


def events(head, item, whole):
    number = 0

    def event(kind, **says):
        nonlocal number
        data = {"type": kind, "sequence_number": number, **says}
        number += 1
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n"

    place = {"item_id": item["id"], "output_index": 0}
    yield event("response.created", response={**head, "status": "in_progress", "output": []})
    if item["type"] == "function_call":
        yield event("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "arguments": ""})
        yield event("response.function_call_arguments.delta", **place, delta=item["arguments"])
        yield event("response.function_call_arguments.done", **place, arguments=item["arguments"], name=item["name"])
    else:
        part = item["content"][0]
        yield event("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
        yield event("response.content_part.added", **place, content_index=0, part={**part, "text": ""})
        yield event("response.output_text.delta", **place, content_index=0, delta=part["text"], logprobs=[])
        yield event("response.output_text.done", **place, content_index=0, text=part["text"], logprobs=[])
        yield event("response.content_part.done", **place, content_index=0, part=part)
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response=whole)
