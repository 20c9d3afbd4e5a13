# Everything runs in a virtual environment that the targets make by themselves.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
# Most tests wait for a server or a device: two workers more than there are cores
WORKERS ?= $(shell expr $$(nproc) + 2)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit lint bench soak clean

help:  ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## Make the virtual environment with all tools

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(READY)  ## A server, a device and a chat on this machine; ONCE=1 plays a fixed conversation
	$(BIN)/uxmpp demo $(if $(ONCE),--once) $(if $(RUNTIME),--runtime $(RUNTIME))

test: $(READY)  ## Every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests

test-unit: $(READY)  ## The tests that need no server, on CPython and MicroPython
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## Measure, beside the peers; writes bench/results.json
	$(BIN)/python -m tests.bench

soak: $(READY)  ## Measure what takes up to an hour; its rows go into bench/results.json
	$(BIN)/python -m tests.bench --soak $(if $(QUICK),--quick)

clean:  ## Remove what the targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
