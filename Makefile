# Everything a newcomer needs: `make serve` and `make test`. Both set up what is missing first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := web/node_modules/.package-lock.json
APP := src/coscribe/web/built/index.html
APP_SOURCES := $(shell find web -type d \( -name node_modules -o -name dist -o -name tests \) -prune -o -type f -print)
export COSCRIBE_DATA ?= ../shared/data
# Bytecode is kept: two workers would compile all tests anew in each run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup serve check test test-long simulate fuzz week chaos cluster shows bench bench-peers lock migration generate format clean

help: ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) $(APP) ## Create .venv from the lock file, build the web editor

$(READY): requirements.lock pyproject.toml tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh $(VENV)
	@touch $(READY)

$(PACKAGES): $(READY) web/package-lock.json
	@tools/web.sh $(BIN) --install

$(APP): $(PACKAGES) $(APP_SOURCES)
	@tools/web.sh $(BIN)

serve: $(READY) $(APP) ## Start a server on 127.0.0.1 (embedded SQLite, data in ./.coscribe)
	@$(BIN)/coscribe serve

check: $(READY) $(PACKAGES) ## Types, lint, generated files, quick tests: under 90 s, before each commit
	@tools/check.sh $(BIN)

test: $(READY) $(APP) ## Everything, under 20 minutes on 2 cores
	@tools/check.sh $(BIN) --static-only
	@$(BIN)/python tools/system_packages.py
	@COSCRIBE_PURE=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow and not soak" tests/core tests/protocol tests/documents tests/fuzz
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not soak" --durations=15

test-long: $(READY) $(APP) ## Soaks and the nightly property profile
	@$(BIN)/python tools/system_packages.py
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 --dist worksteal

simulate: $(READY) ## Simulated worlds on virtual time: make simulate SEEDS=1000 FIRST=0
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),0)

fuzz: $(READY) ## Fuzz frames, conversations and the core, one after the other: make fuzz SECONDS=600
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

week: $(READY) ## A week of typing: memory, the log, and the past afterwards: make week HOURS=168
	@$(BIN)/python -m tests.soak --hours $(or $(HOURS),168)

chaos: $(READY) ## A real server with 50 clients, and everything that goes wrong: make chaos SECONDS=1800 SEED=1
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),1800) --seed $(or $(SEED),1)

cluster: $(READY) ## Cores, gateways, PostgreSQL and NATS with 2,000 clients, and everything that goes wrong: make cluster SECONDS=1200 SEED=1
	@$(BIN)/python tools/system_packages.py
	@$(BIN)/python -m tests.cluster --seconds $(or $(SECONDS),1200) --seed $(or $(SEED),1)

shows: $(READY) $(APP) ## Print every figure that the issues ask for
	@$(BIN)/python tools/shows.py

bench: $(READY) ## The performance scenarios only
	@$(BIN)/coscribe bench

bench-peers: $(READY) ## Beside the peers, into docs/benchmarks.md: make bench-peers SECONDS=10 REPEAT=5 HISTORY=20000
	@bench/peers/install.sh $(BIN)
	@$(BIN)/python -m bench.peers --seconds $(or $(SECONDS),10) --repeat $(or $(REPEAT),5) --history $(or $(HISTORY),20000)

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

lock: ## Resolve the dependencies anew into requirements.lock, and the image's likewise into deploy/
	@$(COMPILE) --group dev pyproject.toml -o requirements.lock
	@$(COMPILE) --constraint requirements.lock --extra cluster --extra tracing pyproject.toml -o deploy/requirements.lock
	@$(COMPILE) --constraint requirements.lock --group build -o deploy/build.lock

migration: $(READY) ## Write a migration from the metadata: make migration NAME=add_something
	@test -n "$(NAME)" || { echo "usage: make migration NAME=add_something"; exit 2; }
	@$(BIN)/python tools/migration.py "$(NAME)"

generate: $(READY) $(PACKAGES) ## Write the generated files anew: wire schema, protocol page, conformance vectors
	@$(BIN)/python tools/generate.py
	@PATH="$(CURDIR)/$(BIN):$$PATH" node web/tools/generate.mjs

format: $(READY) ## Format and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .
	@cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent format

clean: ## Remove the environment and caches
	rm -rf $(VENV) web/node_modules src/coscribe/web/built .mypy_cache .ruff_cache .pytest_cache .hypothesis
