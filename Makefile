# Every command sets up what it needs first: uv and the locked environment; servers come with `saga`.
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --frozen --no-sync
export UV_PYTHON_DOWNLOADS := never
# Services are started hundreds of times: their modules are compiled once, wherever this is set.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo bench simulate mutants chaos fuzz upgrade-matrix test check lint types fast sbom audit format up down docs clean
ORDERS ?= 10000
EXAMPLES ?= 20000
FAST := tests/domain tests/payment tests/cli tests/choreography tests/chassis tests/architecture tests/contract tests/fuzz \
	tests/simulation/test_worlds.py tests/simulation/test_database.py

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## make the environment from the lock
	@sh scripts/setup.sh

demo: setup ## the system on real servers: checkouts, timelines, reconciliation
	@$(RUN) saga demo

simulate: setup ## so many ORDERS (10000) on simulated servers under faults; ARGS="--seed 7" begins elsewhere
	@$(RUN) saga simulate --orders $(ORDERS) $(ARGS)

bench: setup ## capacity, latency, cost, recovery, overload, and other tools beside it; ARGS="--quick"
	@$(RUN) python -m bench $(ARGS)

mutants: setup ## deliberate bugs, each of which the simulation has to find
	@$(RUN) saga mutants $(ARGS)

chaos: setup ## the system on real servers under faults; ARGS="--seed 7" repeats a plan
	@$(RUN) saga chaos $(ARGS)

fuzz: setup ## what has a grammar, spoilt in EXAMPLES (20000) ways for each; what it finds belongs in tests/fuzz/corpus.json
	@SAGA_FUZZ_EXAMPLES=$(EXAMPLES) $(RUN) pytest -q -n 2 --timeout 0 tests/fuzz

upgrade-matrix: setup ## the last release, today's code and the next ones beside each other, in every order; ARGS="--only alone"
	@$(RUN) python -m tests.upgrade_matrix $(ARGS)

test: setup ## every test, on real servers
	@$(RUN) pytest -v -n 3 --dist loadfile --no-loadscope-reorder

check: setup ## format, lint, types, import rules, dependencies, fast tests
	@$(MAKE) --no-print-directory --jobs 2 fast lint types

lint:
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) lint-imports
	@$(RUN) deptry .
	@$(RUN) vulture
	@$(RUN) saga lint

types:
	@$(RUN) mypy .

fast:
	@$(RUN) pytest -q -n 2 --dist loadfile -m "not long" --durations=5 $(FAST)

sbom: setup ## bills of materials (CycloneDX) of each image and of all extras, in dist/sbom
	@$(RUN) python -m scripts.sbom

audit: setup ## known vulnerabilities of what is shipped; exit code 3 where the data can't be had
	@$(RUN) python -m scripts.audit $(ARGS)

format: setup ## put the code in form
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

up: setup ## start the system and leave it running
	@$(RUN) saga up --detach

down: setup ## stop it
	@$(RUN) saga down

docs: setup ## write the generated pages again
	@$(RUN) python -m tests.docs_pages

clean: ## remove the environment and caches
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
	rm -rf .venv .tools .saga .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
