# A bare `make` lists what there is. Every target makes the virtual environment it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

QUICK  ?=

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

bench: $(VENV)/.bench ## rates and ratios beside others, on a real Kafka (QUICK=1: under three minutes)
	@PYTHONPATH=tests QUICK=$(QUICK) $(BIN)/python -m bench $(ARGS)

evaluate: $(VENV)/.evaluate ## detectors and rivals on simulated markets, with bars (ARGS="--quick")
	@$(BIN)/undertow evaluate $(ARGS)

chaos: $(VENV)/.dev ## kill, freeze and starve real processes on a real Kafka (ARGS="--help")
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

stack: $(VENV)/.dev ## a local Kafka and every process on it, until Ctrl-C (needs Java 17+ and Maven)
	@$(BIN)/undertow stack $(ARGS)

# A peer that cannot be installed is left out, and the output says so.
$(VENV)/.bench: $(VENV)/.dev tests/bench/quixstreams.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e '.[bench]' \
	  || echo "peers not installed: their figures will be missing" >&2
	@mkdir -p build && $(PYTHON) -m venv build/quixstreams \
	  && build/quixstreams/bin/pip install --quiet --disable-pip-version-check -r tests/bench/quixstreams.txt \
	  || { echo "quixstreams not installed: its figures will be missing" >&2; rm -rf build/quixstreams; }
	@touch $@

lock: $(VENV)/.dev ## write .constraints.txt from what is installed
	@$(BIN)/pip freeze --exclude-editable | grep -v '^pip=' | sort -f > .constraints.txt

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Undertow needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml .constraints.txt
	@echo "installing into $(VENV) (about 300 MB, ClickHouse's engine is most of it)" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e .
	@touch $@

$(VENV)/.evaluate: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e '.[evaluate]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .constraints.txt -e '.[dev,stack]'
	@touch $@
