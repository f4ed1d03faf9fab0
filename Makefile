# What can be typed here: `make help`. Everything that is made stands in .venv and .bench.

PYTHON ?= python3
SEEDS ?= 0:5000
POINTS ?= 500
TRANSFERS ?= 2000
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test sim bench bench-wan lab report sabotage torture soak nightly format lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: $(READY) ## install here and run a real transfer between two identities
	@$(BIN)/securecp demo

# One line for each check that is green; the first red one shows its output and stops.
# pytest comes last, so that its summary is the last line.
check = @printf '%-14s' '$(1)'; if output=$$($(2) 2>&1); then echo ok; else echo FAILED; printf '%s\n' "$$output"; exit 1; fi

test: $(READY) ## every check: format, lint, types, imports, dependencies, spelling, tests
	$(call check,format,$(BIN)/ruff format --check .)
	$(call check,lint,$(BIN)/ruff check .)
	$(call check,types,$(BIN)/mypy)
	$(call check,imports,$(BIN)/lint-imports --no-logo)
	$(call check,dependencies,$(BIN)/deptry .)
	$(call check,spelling,$(BIN)/codespell)
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

sim: $(READY) ## simulated transfers, by default SEEDS=0:5000
	@$(BIN)/python -m tests.sim.run --seeds $(SEEDS)

bench: $(READY) ## whole transfers over loopback and veth beside scp, rsync and more; options in ARGS
	@$(BIN)/python -m tests.bench $(ARGS)

bench-wan: $(READY) ## the same over emulated links with delay and loss; needs root
	@$(BIN)/python -m tests.bench --wan $(ARGS)

lab: $(READY) ## transfers between homes behind all kinds of routers, 20 runs each; needs root
	@$(BIN)/python -m tests.lab matrix --runs 20 $(ARGS)

report: $(READY) ## docs/performance.md and its pictures from what was measured
	@$(BIN)/python -m tests.bench.report $(ARGS)

sabotage: $(READY) ## remove each security decision in turn; the tests must notice
	@$(BIN)/python -m tests.sabotage $(ARGS)

torture: $(READY) ## kill -9 of real processes at POINTS=500 moments; options in ARGS
	@$(BIN)/python -m tests.torture --points $(POINTS) $(ARGS)

soak: $(READY) ## TRANSFERS=2000 with faults between them: memory, files and tasks stay flat
	@$(BIN)/python -m tests.soak --transfers $(TRANSFERS) $(ARGS)

nightly: $(READY) ## hours: seeds, kill points at every call, every error of every call, crash states
	@$(BIN)/python -m tests.sim.run --seeds 0:100000 --all-faults
	@$(BIN)/python -m tests.torture --points 3000
	@$(BIN)/python -m tests.torture --every-call
	@SECURECP_THOROUGH=1 $(BIN)/pytest -n $(WORKERS) tests/faults
	@$(BIN)/python -m tests.crash --states 10000
	@$(BIN)/python -m tests.soak --transfers $(TRANSFERS)

format: $(READY) ## lay out the code and sort its imports
	@$(BIN)/ruff check --select I --fix -q .
	@$(BIN)/ruff format .

# --universal: one file for every platform and for every Python we support.
lock: ## resolve pyproject.toml anew into requirements.lock
	@$(PYTHON) -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/lock/bin/uv pip compile pyproject.toml --quiet --upgrade --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command 'make lock' --output-file requirements.lock
	@rm -rf $(VENV)/lock

clean: ## remove everything that was made here
	rm -rf $(VENV) .bench .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist
	find keys securecp tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo 'securecp needs Python 3.11 or newer: make PYTHON=python3.12 …, or apt-get install python3'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo 'Python cannot make virtual environments here: apt-get install python3-venv'; exit 1; }
	@echo 'preparing $(VENV) …'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q keys securecp
	@touch $@
