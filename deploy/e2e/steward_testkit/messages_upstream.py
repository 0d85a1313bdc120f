"""Mock upstreams that call tools: one speaks as Anthropic does, one as OpenAI does. Both say and charge the same."""

import json
import threading
from http.server import BaseHTTPRequestHandler

from steward_testkit.upstream import Server, Upstream

INPUT = {"city": "Ulm"}


class MessagesUpstream:
    """Answers every message with `output_tokens` tokens; calls the first tool that it is offered, once."""

    def __init__(self, output_tokens: int = 5):
        self.output_tokens = output_tokens
        self.calls: list[dict] = []
        self.headers: list[dict] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.calls.append(body)
                upstream.headers.append({name.lower(): value for name, value in self.headers.items()})
                if self.path != "/v1/messages":
                    self.answer(404, "application/json", json.dumps({"type": "error", "error": {"type": "not_found_error", "message": self.path}}))
                elif body.get("stream"):
                    events = upstream.events(upstream.message(body))
                    self.answer(200, "text/event-stream", "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events))
                else:
                    self.answer(200, "application/json", json.dumps(upstream.message(body)))

            def answer(self, status: int, kind: str, content: str):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content.encode())))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def message(self, body: dict) -> dict:
        last = body["messages"][-1]["content"]
        is_answered = isinstance(last, list) and any(block["type"] == "tool_result" for block in last)
        if body.get("tools") and not is_answered:
            content, reason = [{"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": INPUT}], "tool_use"
        else:
            content, reason = [{"type": "text", "text": "word " * self.output_tokens}], "end_turn"
        usage = {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": self.output_tokens}
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": content,
                "stop_reason": reason, "stop_sequence": None, "usage": usage}

    @staticmethod
    def events(message: dict) -> list[dict]:
        begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
        events = [{"type": "message_start", "message": begun}]
        for index, block in enumerate(message["content"]):
            if block["type"] == "text":
                empty = {"type": "text", "text": ""}
                words = block["text"].split(" ")[:-1]
                deltas = [{"type": "text_delta", "text": f"{word} "} for word in words]
            else:
                empty = {**block, "input": {}}
                deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": message["usage"]["output_tokens"]}})
        return [*events, {"type": "message_stop"}]

    def close(self):
        self.server.shutdown()


class ToolsUpstream(Upstream):
    """As [`Upstream`]; calls the first tool that it is offered, once."""

    def misbehave(self, handler, body) -> bool:
        if not body.get("tools") or body["messages"][-1]["role"] == "tool":
            return False
        function = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps(INPUT)}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        usage = {"prompt_tokens": 7, "completion_tokens": self.output_tokens, "total_tokens": 7 + self.output_tokens}
        if not body.get("stream"):
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            handler.answer("application/json", json.dumps(self.envelope(body, "chat.completion", [choice], usage)).encode())
            return True
        kind = "chat.completion.chunk"
        chunks = [
            self.envelope(body, kind, [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}, "finish_reason": None}], None),
            self.envelope(body, kind, [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], None),
            self.envelope(body, kind, [], usage),
        ]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        handler.answer("text/event-stream", text.encode())
        return True
