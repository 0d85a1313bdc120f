"""A mock upstream of OpenAI's operations beside chats: each answers what its request asks for, and counts what it bills."""

import base64
import json
import struct

from steward_testkit.upstream import Upstream

SPEECH = b"ID3\x04\x00" + bytes(range(256))


def vector(text, dimensions: int) -> list[float]:
    """Numbers that floats of four bytes hold exactly."""
    length = len(text)
    return [(length + place) / 4 for place in range(dimensions)]


def packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


class OperationsUpstream(Upstream):
    """Knows the paths of completions, embeddings, moderations, images and speech; chats as its parent does."""

    def __init__(self):
        self.paths: list[str] = []
        super().__init__()

    def misbehave(self, handler, body) -> bool:
        path = handler.path.removeprefix("/v1")
        self.paths.append(path)
        answers = {
            "/completions": self.completions,
            "/embeddings": self.embeddings,
            "/moderations": self.moderations,
            "/images/generations": self.images,
        }
        if path == "/audio/speech":
            handler.answer("audio/mpeg", SPEECH)
        elif path == "/completions" and body.get("stream"):
            handler.answer("text/event-stream", self.streamed(body))
        elif path in answers:
            handler.answer("application/json", json.dumps(answers[path](body)).encode())
        else:
            return False
        return True

    def embeddings(self, body):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        form = packed if body.get("encoding_format") == "base64" else list
        data = [
            {"object": "embedding", "index": index, "embedding": form(vector(text, body.get("dimensions", 4)))}
            for index, text in enumerate(texts)
        ]
        tokens = 3 * len(texts)
        return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}

    def completions(self, body):
        choice = {"index": 0, "text": " a time", "finish_reason": "length", "logprobs": None}
        return self.envelope(body, "text_completion", [choice], self.usage(body))

    def streamed(self, body) -> bytes:
        words = [" word"] * body["max_tokens"]
        pieces = [self.envelope(body, "text_completion", [{"index": 0, "text": word, "finish_reason": None, "logprobs": None}], None) for word in words]
        pieces[-1]["choices"][0]["finish_reason"] = "length"
        pieces.append(self.envelope(body, "text_completion", [], self.usage(body)))
        return ("".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n").encode()

    def usage(self, body):
        output = body["max_tokens"] * body.get("best_of", body.get("n", 1))
        return {"prompt_tokens": 2, "completion_tokens": output, "total_tokens": 2 + output}

    def moderations(self, body):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        results = [{"flagged": "bad" in text, "categories": {}, "category_scores": {}, "category_applied_input_types": {}} for text in texts]
        return {"id": "modr-1", "model": body["model"], "results": results}

    def images(self, body):
        image = base64.b64encode(b"\x89PNG" + bytes(300_000)).decode()
        return {"created": 1, "data": [{"b64_json": image} for _ in range(body.get("n", 1))]}
