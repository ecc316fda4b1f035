# The README's two commands are `make demo` and `make test`; both install what they need.
#
#   make demo [DEMO_SECONDS=20] [DEMO_OUTAGE=1]   simulated RTAC, mosquitto with mutual TLS, the daemon, a cloud stand-in
#   make test                                    unit and integration tests
#   make check                                   format, lint, types, imports
#   make bench                                   the goals in figures
#   make bench-control                           from each cause to zero power, against bounds A to D
#   make mutants                                 each safety rule removed, and the test that notices
#   make lock                                    pin the requirements anew

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
DEMO_SECONDS ?= 0
DEMO_OUTAGE ?= 0

# What Debian supplies: a broker, an independent zstd, and what systemd-python is compiled with.
APT := mosquitto zstd gcc pkg-config libsystemd-dev python3-dev python3-venv

.PHONY: all demo test check format bench mutants lock clean system-packages

all: check test

demo: $(VENV)/installed
	@$(BIN)/python -m gateway.demo --seconds $(DEMO_SECONDS) $(if $(filter 1,$(DEMO_OUTAGE)),--outage)

# Started in the background a shell has its children ignore SIGINT, and Ctrl-C is among what is tested.
test: $(VENV)/installed
	env --default-signal=INT $(BIN)/pytest -n 6 --dist loadfile

check: $(VENV)/installed
	$(BIN)/ruff format --check --config packaging/ruff.toml gateway tests
	$(BIN)/ruff check --config packaging/ruff.toml gateway tests
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --config setup.cfg

format: $(VENV)/installed
	$(BIN)/ruff format --config packaging/ruff.toml gateway tests
	$(BIN)/ruff check --fix --config packaging/ruff.toml gateway tests

mutants: $(VENV)/installed
	$(BIN)/python -m tests.mutants

bench: $(VENV)/installed
	$(BIN)/python -m tests.bench

# Only where something is missing, so that a set-up machine needs no network and no root.
system-packages:
	@missing=; for p in $(APT); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing from Debian:$$missing"; \
	  $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

$(VENV)/installed: packaging/requirements/dev.txt setup.cfg | system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock: $(VENV)/installed
	$(BIN)/pip install --quiet uv
	for f in run dev report peers; do $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate packaging/requirements/$$f.in -o packaging/requirements/$$f.txt; done

clean:
	rm -rf $(VENV) build dist .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
-include packaging/appliance.mk
-include packaging/faults.mk
-include packaging/report.mk
-include packaging/control.mk
