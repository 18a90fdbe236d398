# Two commands matter: `make demo` and `make test`. Both set up what they need on first use.
# `make test` and `make faults` share the tests between them: each test belongs to exactly one (tests/guards).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/lock.txt

# Programs are compiled once and not at each start: tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: mutants breaks help setup demo test faults bench check lint types contracts format docs lock clean soak

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## virtual environment, packages and server parts

demo: setup ## the whole bank at work, on real parts, in about a minute
	@$(BIN)/bankctl demo

test: check ## lint, types, import contracts, and every test but the long campaigns
	@$(BIN)/pytest -m "not campaign" -n 3 --dist=loadscope --no-loadscope-reorder --durations=20

faults: setup ## the long campaigns: crash points, kills, replica set, Kafka away, state machine, planted bugs
	@$(BIN)/pytest -m "campaign" -n 2 --dist=loadscope --no-loadscope-reorder --durations=20

bench: setup ## the speed table, on real parts; ARGS="--quick", see docs/performance.md
	@$(BIN)/python -m tests.bench $(ARGS)

soak: setup ## random faults under load: make soak SEED=7 HOURS=8
	@$(BIN)/python -m tests.soak.run $(if $(SEED),--seed $(SEED)) --hours $(or $(HOURS),1)

mutants: setup ## small faults in the code that costs money or rights, which the tests must notice; ARGS="--help"
	@$(BIN)/python -m tests.mutants $(ARGS)

breaks: setup ## each item of docs/security.md broken in turn, which its test must notice; ARGS="--help"
	@$(BIN)/python -m tests.security_breaks $(ARGS)

check: setup ## the checks that need no server
	@$(MAKE) --no-print-directory -j3 lint types contracts

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

contracts: setup
	@$(BIN)/lint-imports

format: setup ## write the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup ## write the generated documents
	@$(BIN)/python -m bankctl.reference > docs/cli.md
	@$(BIN)/python -m tests.support.api_reference
	@$(BIN)/python -m daemons.contracts.export_schemas docs/events
	@$(BIN)/python -m tests.evidence.caller_matrix > docs/caller-matrix.md
	@$(BIN)/python -m tests.support.tamperings > docs/tamperings.md

lock: setup ## resolve the newest allowed versions and pin them with digests
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--upgrade --all-extras --no-header --no-emit-index-url pyproject.toml requirements/build.in -o $(LOCK)

clean: ## remove the virtual environment and caches (not the data of any stack)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.ready: pyproject.toml $(LOCK) requirements/bootstrap.txt
	@PYTHON="$(PYTHON)" VENV="$(VENV)" LOCK="$(LOCK)" sh deploy/setup.sh
	@touch $@
