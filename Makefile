# A bare `make` lists what there is. Every target makes the virtual environment it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench evaluate chaos stack lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: $(VENV)/.run ## a generated night through the whole pipeline, in one process (ARGS="--help")
	@$(BIN)/undertow run $(ARGS)

test: $(VENV)/.dev ## every test; those on a real Kafka need Java 17+ and Maven, else they say so
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## lint, format, types, import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev ## the pure core beside a bare decode loop: ratios, on this machine
	@$(BIN)/python tests/bench/bench.py $(ARGS)

evaluate: $(VENV)/.evaluate ## detectors and rivals on simulated markets, with bars (ARGS="--quick")
	@$(BIN)/undertow evaluate $(ARGS)

chaos: $(VENV)/.dev ## kill, freeze and starve real processes on a real Kafka (ARGS="--help")
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

stack: $(VENV)/.dev ## a local Kafka and every process on it, until Ctrl-C (needs Java 17+ and Maven)
	@$(BIN)/undertow stack $(ARGS)

lock: $(VENV)/.dev ## write .constraints.txt from what is installed
	@$(BIN)/pip freeze --exclude-editable | grep -v '^pip=' | sort -f > .constraints.txt

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Undertow needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml .constraints.txt
	@echo "installing into $(VENV) (about 200 MB, ClickHouse's engine is most of it)" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e .
	@touch $@

$(VENV)/.evaluate: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e '.[evaluate]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e '.[dev,stack]'
	@touch $@
