# Each target sets up what it needs, in a virtual environment of its own. Start with: make demo
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NPM := $(shell command -v npm 2>/dev/null)
SOURCES := $(wildcard labextension/src/*.ts labextension/src/*.tsx labextension/style/* labextension/schema/*)
BUNDLE := teleporter_lab/labextension/package.json

.DEFAULT_GOAL := help
.PHONY: help demo lab test faults check check-python check-panel test-python test-panel format docs bench bench-engine bench-kafka clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(VENV)/.demo ## the first stream, killed half way, nothing lost
	@$(BIN)/teleporter-lab demo

lab: $(VENV)/.demo ## JupyterLab with the first notebook and the panel
	@$(BIN)/jupyter lab --notebook-dir notebooks 01_first_stream.ipynb

test: test-python test-panel ## all tests: Python, processes, browser, panel

test-python: $(VENV)/.dev browser services
	@$(BIN)/python -m pytest

test-panel: node_modules
	$(if $(NPM),cd labextension && npm run --silent test,@echo "npm is not installed: the panel's own tests were not run")

faults: $(VENV)/.dev services ## real processes killed, disks full, sinks slow: one line a fault with what was counted
	@TELEPORTER_FAULTS=whole $(BIN)/python -m pytest -q tests/faults

check: check-python check-panel ## format, lint, types, layers, budgets

check-python: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py

check-panel: node_modules
	$(if $(NPM),cd labextension && npm run --silent lint && npm run --silent typecheck,@echo "npm is not installed: the panel was not checked")

format: $(VENV)/.dev ## write the format that check wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(if $(NPM),cd labextension && npm run --silent lint:fix)

docs: $(VENV)/.dev ## write the operators' pages from their docstrings
	$(BIN)/python docs/write_operators.py

bench: bench-engine bench-kafka ## every benchmark

bench-engine: $(VENV)/.bench ## the bars of the engine, beside plain loops, other libraries and Pekko Streams
	@$(BIN)/python bench/bench_engine.py

bench-kafka: $(VENV)/.bench services ## Kafka to PostgreSQL, beside Kafka Connect and a loop written by hand
	@$(BIN)/python bench/bench_kafka.py

clean: ## remove everything that was built
	rm -rf $(VENV) build dist labextension/node_modules labextension/lib teleporter_lab/labextension

# -- what the targets stand on

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	@touch $@

.PHONY: node_modules
node_modules:
	$(if $(NPM),@test -f labextension/node_modules/.package-lock.json || (cd labextension && npm ci --no-audit --no-fund --loglevel=error))

.PHONY: services
services: $(VENV)/.dev java ## the servers that the tests start, fetched where they are not installed
	@$(BIN)/python -m tests.services

.PHONY: java
java:
	@(command -v java >/dev/null && command -v mvn >/dev/null) || \
	  (test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	   apt-get update -qq && apt-get install -y -qq --no-install-recommends default-jre-headless maven >/dev/null) || \
	  echo "Java and Maven are not installed: the tests that need Kafka will be skipped, and say so"

.PHONY: browser
browser: ## Chromium for the browser tests, where it can be installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  (test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	   apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null) || \
	  echo "Chromium is not installed: the browser tests will be skipped, and say so"
