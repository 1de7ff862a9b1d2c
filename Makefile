# Two commands set everything up: "make run" and "make test". The rest are chores.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 3000
# Given to pytest, for example: make test PYTEST_FLAGS="-k upgrade -x"
PYTEST_FLAGS ?=
# How many tests run at a time: a number, or auto for one on each core. With 0 they run
# in pytest's own process, as --pdb needs.
WORKERS ?= auto
# Given to the soak, for example: make soak SOAK_FLAGS="--minutes 1 --sessions 1000"
SOAK_FLAGS ?=
# Given to the floods, for example: make floods FLOODS_FLAGS="--rate 1e6 pings"
FLOODS_FLAGS ?=
# Given to the benchmarks, for example: make bench BENCH_FLAGS=--quick
BENCH_FLAGS ?=
# Given to the fuzz targets, for example: make fuzz FUZZ_FLAGS="--runs 10000000 lane"
FUZZ_FLAGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -n)
INTEROP := tests/interop
CROSSBAR := tests/crossbar

# A module stays in one process, so that what its tests share is started once. Without
# the last flag the modules with one long test would come last, and one core would idle.
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile \
	--no-loadscope-reorder
# These start servers, browsers and proxies; the others are the unit tests.
BIG_TESTS := tests/end_to_end tests/interop tests/faults tests/proxies tests/crossbar

.PHONY: help run test check unit lint format types coverage coverage-report docs changelog \
	dist bench fuzz soak floods clean node-packages debian-packages crossbar-node
.DEFAULT_GOAL := help

help:
	@echo 'make run       serve Engine.IO on port $(PORT), with a live page at /'
	@echo 'make test      install what the tests need, then run every test'
	@echo 'make check     lint, types and unit tests, in two minutes: needs nothing but Python'
	@echo 'make lint      ruff: rules and layout    make format    let ruff lay out the code'
	@echo 'make types     mypy --strict             make coverage  every test, and what they reach'
	@echo 'make docs      docs/_build/html          make changelog what the next release will say'
	@echo 'make dist      dist/                     make bench     the benchmarks'
	@echo 'make fuzz      every fuzz target for a minute; FUZZ_FLAGS="--seconds 600"'
	@echo 'make soak      ten minutes of 5,000 sessions: is a message lost, does memory grow?'
	@echo 'make floods    each attack alone: what does it cost an honest client?'
	@echo 'make clean     remove what the above left behind'

run: $(VENV)/run.stamp
	@echo 'Open http://localhost:$(PORT)/ once it has started; Ctrl-C stops it.'
	$(BIN)/twistd -n --pidfile= engineio --port $(PORT)

test: $(VENV)/test.stamp node-packages debian-packages crossbar-node
	$(PYTEST) $(PYTEST_FLAGS)

# What is quickest to fail comes first; mypy needs one core, and the tests take the rest.
check: lint $(VENV)/test.stamp
	$(MAKE) --no-print-directory --jobs=2 --output-sync=none types unit

unit: $(VENV)/test.stamp
	$(PYTEST) -m 'not external' $(addprefix --ignore=,$(BIG_TESTS)) $(PYTEST_FLAGS)

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/lint.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/lint.stamp
	$(BIN)/mypy

coverage:
	$(MAKE) --no-print-directory test PYTEST_FLAGS='--cov --cov-report= --cov-fail-under=0 $(PYTEST_FLAGS)'
	$(MAKE) --no-print-directory coverage-report

coverage-report:
	$(BIN)/coverage report

docs: $(VENV)/docs.stamp
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

changelog: $(VENV)/lint.stamp
	$(BIN)/towncrier build --draft

dist: $(VENV)/test.stamp
	$(BIN)/python -m build

bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python -m fuzzing $(FUZZ_FLAGS)

soak: $(VENV)/bench.stamp
	$(BIN)/python -m soak $(SOAK_FLAGS)

floods: $(VENV)/bench.stamp
	$(BIN)/python -m soak.floods $(FLOODS_FLAGS)

clean:
	rm -rf $(VENV) .fuzz build dist docs/_build *.egg-info .coverage .coverage.* htmlcov \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis _trial_temp \
		twisted/plugins/dropin.cache $(INTEROP)/node_modules $(CROSSBAR)/.venv
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the commands stand on. A stamp is touched when its step is done, so that running
# a command again costs nothing until one of the files on the right has changed.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'twisted_engineio needs Python 3.11 or newer; name one with PYTHON=...' >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv' >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/%.stamp: setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[$*]'
	@touch $@ $(VENV)/run.stamp

node-packages:
ifneq ($(wildcard $(INTEROP)/package-lock.json),)
	@if command -v npm >/dev/null; \
	then $(MAKE) --no-print-directory $(INTEROP)/node_modules/.stamp; \
	else echo 'Node 20 and npm are missing: the tests against the npm client cannot run.' >&2; \
	fi
endif

$(INTEROP)/node_modules/.stamp: $(INTEROP)/package-lock.json
	cd $(INTEROP) && npm ci --no-audit --no-fund
	@touch $@

# Crossbar pins what it stands on, so it gets an environment beside ours. Most of what it
# brings is never imported: without --no-compile it takes twice as long to install.
crossbar-node: $(CROSSBAR)/.venv/.stamp

$(CROSSBAR)/.venv/.stamp: $(CROSSBAR)/requirements.txt setup.py pyproject.toml
	$(PYTHON) -m venv $(CROSSBAR)/.venv
	$(CROSSBAR)/.venv/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-compile --requirement $(CROSSBAR)/requirements.txt --editable .
	@touch $@

# What the tests start besides: the command, and Debian's package that has it. Debian
# keeps servers where only root looks for commands.
DEBIAN := chromium:chromium nginx:nginx-light haproxy:haproxy curl:curl \
	systemd-socket-activate:systemd prometheus:prometheus

debian-packages:
	@missing=; \
	for each in $(DEBIAN); do \
		PATH="$$PATH:/usr/sbin" command -v $${each%:*} >/dev/null || missing="$$missing $${each#*:}"; \
	done; \
	if [ -z "$$missing" ]; then :; \
	elif command -v apt-get >/dev/null && $(SUDO) true 2>/dev/null; then \
		$(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y $$missing; \
	else echo "Missing, and only an administrator can install it (apt-get install$$missing): the browser tests, those behind proxies or those with Prometheus cannot run." >&2; \
	fi
