"""A mock upstream that keeps its own books: every call that reached it is billed there."""

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Gateways are killed here: that their connections break is no news. Many may connect at once."""

    request_queue_size = 1024

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Upstream:
    """OpenAI-compatible; answers every chat completion with `output_tokens` tokens after `delay` seconds."""

    def __init__(self, delay: float = 0.0, output_tokens: int = 5, tls: ssl.SSLContext | None = None):
        self.delay, self.output_tokens = delay, output_tokens
        self.calls: list[dict] = []
        self.lock = threading.Lock()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["content-length"])
                content = self.rfile.read(length)
                if len(content) < length:
                    self.close_connection = True  # taken back before its body went out: nothing was asked
                    return
                body = json.loads(content)
                with upstream.lock:
                    upstream.calls.append(body)
                if upstream.misbehave(self, body):
                    return
                time.sleep(upstream.delay)
                output = upstream.output_of(body)
                usage = {"prompt_tokens": 7, "completion_tokens": output, "total_tokens": 7 + output}
                if body.get("stream"):
                    self.stream(body, usage)
                else:
                    message = {"role": "assistant", "content": "word " * output}
                    choice = {"index": 0, "message": message, "finish_reason": "stop"}
                    self.answer("application/json", json.dumps(upstream.envelope(body, "chat.completion", [choice], usage)).encode())

            def stream(self, body, usage):
                chunks = [upstream.envelope(body, "chat.completion.chunk", [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}], None)
                          for _ in range(usage["completion_tokens"])]
                chunks.append(upstream.envelope(body, "chat.completion.chunk", [{"index": 0, "delta": {}, "finish_reason": "stop"}], None))
                if body.get("stream_options", {}).get("include_usage"):
                    chunks.append(upstream.envelope(body, "chat.completion.chunk", [], usage))
                text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
                self.answer("text/event-stream", text.encode())

            def answer(self, kind: str, content: bytes):
                try:
                    self.send_response(200)
                    self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the gateway was killed meanwhile; it is billed all the same

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f"https://localhost:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def misbehave(self, _handler, _body) -> bool:
        """True if it answered in a way of its own."""
        return False

    def output_of(self, _body) -> int:
        return self.output_tokens

    @staticmethod
    def envelope(body, kind, choices, usage):
        return {"id": "mock-1", "object": kind, "created": 1, "model": body["model"], "choices": choices, "usage": usage}

    def close(self):
        self.server.shutdown()
