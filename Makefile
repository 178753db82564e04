# A bare `make` lists what there is. Every target makes the virtual environment it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

QUICK  ?=

# Nothing is installed whose file has not the hash that .lock says.
HASHED  := --quiet --disable-pip-version-check --require-hashes
INSTALL := $(BIN)/pip install $(HASHED)
UV      := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-header --no-annotate

FLINK_KAFKA := https://repo1.maven.org/maven2/org/apache/flink/flink-sql-connector-kafka/5.0.0-2.2/flink-sql-connector-kafka-5.0.0-2.2.jar
FLINK_KAFKA_SHA256 := 5605c691d11a501382c383fecba37a7a552467da5ab7ba904ef5d6f3d62c5616

.DEFAULT_GOAL := help
.PHONY: help run test check bench evaluate chaos fuzz stack sbom lock clean

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

fuzz: $(VENV)/.dev ## ten million broken frames through the parsers, and trades through the scanner (ARGS="--count 100000")
	@PYTHONPATH=tests $(BIN)/python -m fuzz_frames --count 10000000 $(ARGS)
	@PYTHONPATH=tests $(BIN)/python -m fuzz_scan --count 10000000 $(ARGS)

stack: $(VENV)/.dev ## a local Kafka and every process on it, until Ctrl-C (needs Java 17+ and Maven)
	@$(BIN)/undertow stack $(ARGS)

# A peer that cannot be installed is left out, and the output says so.
$(VENV)/.bench: $(VENV)/.dev .lock/bench.txt .lock/quixstreams.txt
	@$(INSTALL) -r .lock/run.txt -r .lock/bench.txt \
	  || echo "peers not installed: their figures will be missing" >&2
	@mkdir -p build && $(PYTHON) -m venv build/quixstreams \
	  && build/quixstreams/bin/pip install $(HASHED) -r .lock/quixstreams.txt \
	  || { echo "quixstreams not installed: its figures will be missing" >&2; rm -rf build/quixstreams; }
	@touch $@

sbom: $(VENV)/.dev ## build/sbom.json: what the image holds, as CycloneDX, from the lock alone
	@mkdir -p build && cat .lock/run.txt .lock/evaluate.txt | \
	  $(BIN)/python -W ignore -m cyclonedx_py requirements --output-reproducible \
	  --pyproject pyproject.toml - -o build/sbom.json
	@echo build/sbom.json

# They take three gigabytes; `make bench` measures those that are there.
peers: ## csp, Pathway and Flink SQL into build/, as further peers of `make bench`
	@mkdir -p build && $(PYTHON) -m venv build/peers && $(PYTHON) -m venv build/flink
	@build/peers/bin/pip install $(HASHED) -r .lock/peers.txt
	@build/flink/bin/pip install $(HASHED) -r .lock/flink.txt
	@curl -sfL -o build/flink/flink-sql-connector-kafka.jar $(FLINK_KAFKA)
	@echo "$(FLINK_KAFKA_SHA256)  build/flink/flink-sql-connector-kafka.jar" | sha256sum --quiet -c

# For every platform and Python that we run on, with the hash of each file of the index. Versions
# stay as they are unless ARGS="--upgrade" or ARGS="--upgrade-package NAME".
lock: ## write .lock/*.txt: the versions and hashes of everything that is installed
	@mkdir -p build && $(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv==0.13.9
	@$(UV) pyproject.toml .lock/build.in -o .lock/run.txt $(ARGS)
	@for extra in evaluate bench "dev --extra stack"; do \
	  $(UV) pyproject.toml .lock/build.in --extra $$extra -c .lock/run.txt -o .lock/$${extra%% *}.txt \
	    $$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' .lock/run.txt) $(ARGS) || exit; done
	@$(UV) tests/bench/quixstreams.in -o .lock/quixstreams.txt $(ARGS)
	@$(UV) tests/bench/peers.in -o .lock/peers.txt $(ARGS)
	@$(UV) tests/bench/flink.in -o .lock/flink.txt $(ARGS)
	@$(UV) tests/clients/go.in -o .lock/go.txt $(ARGS)

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Undertow needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml .lock/run.txt
	@echo "installing into $(VENV) (about 300 MB, ClickHouse's engine is most of it)" >&2
	@$(INSTALL) -r .lock/run.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.evaluate: $(VENV)/.run .lock/evaluate.txt
	@$(INSTALL) -r .lock/run.txt -r .lock/evaluate.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.run .lock/dev.txt
	@$(INSTALL) -r .lock/run.txt -r .lock/dev.txt
	@touch $@
