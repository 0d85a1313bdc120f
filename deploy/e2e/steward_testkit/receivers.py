"""Receivers of channels, as companies have them: an HTTP server that checks signatures by the vendor's own library, and a mail
server. They count each arrival, and can be slow, refuse, or say that they want nothing any more."""

import asyncio
import email
import email.policy
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from standardwebhooks import Webhook


class Quiet(ThreadingHTTPServer):
    """Workers are killed here: that their connections break is no news."""

    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass


class Hooks:
    """Takes every POST, by path. `status` and `stall` say how it answers: one for all paths, or by path."""

    def __init__(self):
        self.arrived: list[dict] = []
        self.status: dict[str, list[int]] = {}
        self.stall: dict[str, float] = {}
        self.lock = threading.Lock()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with hooks.lock:
                    hooks.arrived.append({"path": self.path, "headers": headers, "body": body})
                    answers = hooks.status.get(self.path) or [204]
                    status = answers.pop(0) if len(answers) > 1 else answers[0]
                    stall = hooks.stall.get(self.path, 0.0)
                time.sleep(stall)
                try:
                    self.send_response(status)
                    if status in (301, 302, 307):
                        self.send_header("location", f"{hooks.url}/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the worker was killed meanwhile; the message has arrived all the same

            def log_message(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, path: str) -> list[dict]:
        with self.lock:
            return [request for request in self.arrived if request["path"] == path]

    def messages(self, path: str, secret: str | None = None) -> list[dict]:
        """What arrived at a path, each signature checked if a secret is given."""
        found = []
        for request in self.of(path):
            if secret:
                Webhook(secret).verify(request["body"], request["headers"])
            found.append(json.loads(request["body"]))
        return found

    def ids(self, path: str) -> list[str]:
        return [request["headers"]["webhook-id"] for request in self.of(path)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """Takes every mail, but for recipients that it refuses."""

    def __init__(self, port: int):
        self.mails: list[email.message.EmailMessage] = []
        self.stall = 0.0
        self.lock = threading.Lock()
        server = self

        class Handler:
            async def handle_RCPT(self, _server, _session, envelope, address, _options):
                if address.startswith("refused"):
                    return "550 there is nobody of this name"
                envelope.rcpt_tos.append(address)
                return "250 OK"

            async def handle_DATA(self, _server, _session, envelope):
                mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
                mail.envelope_to = list(envelope.rcpt_tos)
                with server.lock:
                    server.mails.append(mail)
                await asyncio.sleep(server.stall)
                return "250 OK"

        self.port = port
        self.controller = Controller(Handler(), hostname="127.0.0.1", port=port)
        self.controller.start()

    def all(self) -> list[email.message.EmailMessage]:
        with self.lock:
            return list(self.mails)

    def close(self):
        self.controller.stop()
