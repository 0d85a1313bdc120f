"""Mock upstreams of other makers, each by its maker's public documents. All say the same words and charge the same tokens.

What a request must bring with it (a key, a signature, a version) is checked: without it there is no answer.
"""

import binascii
import json
import re
import struct
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from steward_testkit.upstream import Server

WORDS = ["word "] * 5
# Of the output, two tokens are thoughts.
INPUT, CACHED, OUTPUT, THOUGHTS = 7, 4, 5, 2


class Foreign:
    """Answers with `WORDS`, in the form of a subclass; keeps what it was asked."""

    # The base URL that operators set, and the model's name there.
    below, model = "", "mock"

    def __init__(self):
        self.calls: list[dict] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                content = self.rfile.read(int(self.headers["content-length"]))
                try:
                    kind, reply = upstream.reply(self.path, self.headers, content)
                    status = 200
                except AssertionError as wrong:
                    status, kind, reply = 401, "application/json", json.dumps({"message": str(wrong)}).encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}{self.below}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


class Gemini(Foreign):
    kind, key, below, model = "gemini", "goog-key", "/v1beta", "gemini-mock"

    def reply(self, path: str, headers, content: bytes) -> tuple[str, bytes]:
        assert headers["x-goog-api-key"] == self.key, "no key"
        method = re.fullmatch(rf"/v1beta/models/{self.model}:(generateContent|streamGenerateContent\?alt=sse)", path)
        assert method, path
        body = json.loads(content)
        assert set(body) == {"contents", "generationConfig"}, body
        self.calls.append(body)
        usage = {"promptTokenCount": INPUT, "cachedContentTokenCount": CACHED, "totalTokenCount": INPUT}
        whole = usage | {"candidatesTokenCount": OUTPUT - THOUGHTS, "thoughtsTokenCount": THOUGHTS, "totalTokenCount": INPUT + OUTPUT}
        if method[1] == "generateContent":
            return "application/json", json.dumps(self.piece("".join(WORDS), whole, "STOP")).encode()
        pieces = [self.piece(word, usage) for word in WORDS] + [self.piece("", whole, "STOP")]
        return "text/event-stream", "".join(f"data: {json.dumps(piece)}\r\n\r\n" for piece in pieces).encode()

    def piece(self, text: str, usage: dict, reason: str | None = None) -> dict:
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0} | ({"finishReason": reason} if reason else {})
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": self.model, "responseId": "r-1"}


class Azure(Foreign):
    kind, key, model = "azure", "azure-key", "my deployment"
    api = "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21"

    def reply(self, path: str, headers, content: bytes) -> tuple[str, bytes]:
        assert headers["api-key"] == self.key, "no key"
        assert path == self.api, path
        body = json.loads(content)
        assert body.get("max_completion_tokens", body.get("max_tokens")) == 8, body  # the caller's own word for it stays
        self.calls.append(body)
        usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
                 "prompt_tokens_details": {"cached_tokens": CACHED}, "completion_tokens_details": {"reasoning_tokens": THOUGHTS}}
        envelope = {"id": "a-1", "created": 1, "model": "gpt-mock"}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}
            return "application/json", json.dumps(envelope | {"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        pieces = [[{"index": 0, "delta": {"content": word}, "finish_reason": None}] for word in WORDS]
        pieces.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        chunks = [{"choices": [], "prompt_filter_results": []}, *({"choices": choices} for choices in pieces), {"choices": [], "usage": usage}]
        chunks = [json.dumps(envelope | {"object": "chat.completion.chunk"} | chunk) for chunk in chunks]
        return "text/event-stream", "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()


class AzureWithoutVersions(Azure):
    below, api = "/openai/v1", "/openai/v1/chat/completions"


class Bedrock(Foreign):
    kind, key, model = "bedrock", "AKIDMOCK:mock/secret:mock-token region=eu-west-1", "eu.anthropic.claude-mock-v1:0"

    def reply(self, path: str, headers, content: bytes) -> tuple[str, bytes]:
        self.check_signature(path, headers, content)
        method = re.fullmatch(r"/model/([^/]+)/(converse|converse-stream)", path)
        assert method and unquote(method[1]) == self.model, path
        body = json.loads(content)
        assert set(body) == {"messages", "inferenceConfig"}, body
        self.calls.append(body)
        usage = {"inputTokens": INPUT - CACHED, "cacheReadInputTokens": CACHED, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT}
        if method[2] == "converse":
            message = {"role": "assistant", "content": [{"text": "".join(WORDS)}]}
            return "application/json", json.dumps({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}).encode()
        events = [("messageStart", {"role": "assistant"})]
        events += [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS]
        events += [("contentBlockStop", {"contentBlockIndex": 0}), ("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": usage})]
        return "application/vnd.amazon.eventstream", b"".join(self.frame(kind, said) for kind, said in events)

    def check_signature(self, path: str, headers, content: bytes):
        """By AWS's own library, over the request as it came."""
        access, secret, token = self.key.split()[0].split(":")
        signed = {name: headers[name] for name in ("content-type", "host", "x-amz-date", "x-amz-security-token")}
        assert all(signed.values()), signed
        request = AWSRequest(method="POST", url=f"http://{self.host}{path}", data=content, headers=signed)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(Credentials(access, secret, token), "bedrock", "eu-west-1")
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        assert headers["authorization"].endswith(f"Signature={signature}"), "the signature does not match"

    @staticmethod
    def frame(kind: str, said: dict) -> bytes:
        headers = b""
        for name, value in ((":message-type", "event"), (":event-type", kind), (":content-type", "application/json")):
            headers += struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        payload = json.dumps(said).encode()
        prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
        message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + payload
        return message + struct.pack("!I", binascii.crc32(message))
