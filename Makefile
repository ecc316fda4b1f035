# Everything that is done with this tree; each command installs what it needs. `make help` lists them.
#
#   make test PYTEST_ARGS="tests/unit/test_core.py -k failed"    what is named, in one process
#   make test-faults FUZZ_SECONDS=600                            how long each fuzzer runs (60)
#   make soak MINUTES=60    make demo DEMO_SECONDS=20 DEMO_OUTAGE=1    make mutants RULES="lease box"
#   make bench-control CONTROL=--quick    CONTROL="--only link-cut,goal-8 --runs 20 --assets 10"
#   make report PARTS="goals peers backlog latency soak"         these parts measured anew, then all of it
#   make offline-bundle RELEASE=trixie    make release VERSION=1.2.3 REPO_KEY=FINGERPRINT
#
# REPO_KEY (and GNUPGHOME) sign; without it a throwaway key of this checkout does, which only tests
# accept. WHEELS names a wheelhouse filled elsewhere, for a machine without a network.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Started in the background a shell has its children ignore SIGINT, and Ctrl-C is among what is tested.
PYTEST := env --default-signal=INT $(BIN)/pytest
PYTEST_ARGS ?=

# What Debian supplies: a broker, an independent zstd, and what systemd-python is compiled with;
# then what building and testing the package needs.
APT := mosquitto zstd gcc pkg-config libsystemd-dev python3-dev python3-venv
APPLIANCE_APT := debhelper dh-python dpkg-dev lintian apt-utils gnupg xz-utils man-db systemd git
SYSTEM_APT := $(APPLIANCE_APT) debootstrap util-linux procps mosquitto

.PHONY: all
all: check test

# Targets by the comment behind them, sections by a line of their own.
.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^### / { print "\n" substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

### Every day

DEMO_SECONDS ?= 0
DEMO_OUTAGE ?= 0

.PHONY: demo test unit check format
demo: $(VENV)/installed ## a simulated RTAC, a broker with mutual TLS, the daemon, a stand-in for the cloud
	@$(BIN)/python -m gateway.demo --seconds $(DEMO_SECONDS) $(if $(filter 1,$(DEMO_OUTAGE)),--outage)

# In the order of setup.cfg: those that mostly wait come first, and the processor is never idle.
test: $(VENV)/installed ## unit and integration tests; PYTEST_ARGS="FILE -k WORD" runs these alone
	$(PYTEST) $(or $(PYTEST_ARGS),-n 6 --dist loadfile --no-loadscope-reorder)

unit: $(VENV)/installed ## the unit tests alone: some seconds
	$(PYTEST) tests/unit $(or $(PYTEST_ARGS),-n 2 --dist loadfile)

check: $(VENV)/installed ## format, lint, types, imports
	$(BIN)/ruff format --check --config packaging/ruff.toml gateway tests
	$(BIN)/ruff check --config packaging/ruff.toml gateway tests
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --config setup.cfg

format: $(VENV)/installed ## put the code into its format, and mend what ruff can mend
	$(BIN)/ruff format --config packaging/ruff.toml gateway tests
	$(BIN)/ruff check --fix --config packaging/ruff.toml gateway tests

### Before a release

RULES ?=

.PHONY: test-long test-faults mutants
test-long: $(VENV)/installed ## explorations, random lives, flipped bits and property tests at length
	$(PYTEST) -m "long or hypothesis" --hypothesis-profile=long $(or $(PYTEST_ARGS),-n 2)

# Every fault, many trials; the table is gathered in build/faults.md.
test-faults: $(VENV)/installed ## kills, power cuts, failing disks, bad networks, a week's outage, fuzzing
	rm -f build/faults.md
	$(BIN)/pytest tests/faults -p no:cacheprovider
	@cat build/faults.md

mutants: $(VENV)/installed ## each safety rule removed, and the test that notices
	$(BIN)/python -m tests.mutants $(RULES)

### Figures

CONTROL ?=
MINUTES ?= 60
PARTS ?=
PEERS := build/peers

.PHONY: bench bench-control bench-peers soak report
bench: $(VENV)/installed ## the goals in figures: five minutes
	$(BIN)/python -m tests.bench

# Every cause, 100 runs of each, and goal 8: an hour; build/control.md.
bench-control: $(VENV)/installed ## seconds from each cause to zero power, by the RTACs' own record
	$(BIN)/python -m tests.bench.control $(CONTROL)

bench-peers: $(VENV)/installed $(PEERS)/installed ## goal 2: our queue beside other gateways' storages
	$(BIN)/python -m tests.bench.peers --python $(PEERS)/bin/python --into build/peers.md

soak: $(VENV)/report-installed ## 32 sessions of 500 points, broker flaps, RTACs losing power: build/soak
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --into build/soak

report: $(VENV)/report-installed $(if $(filter peers,$(PARTS)),$(PEERS)/installed) ## tables and pictures of tests/report
	$(BIN)/python -m tests.report $(PARTS)

### The package

WHEELS ?= build/wheels
RELEASE ?= trixie
KEY_HOME := $(if $(REPO_KEY),$(or $(GNUPGHOME),$(HOME)/.gnupg),build/apt-key)
KEY = $(or $(REPO_KEY),$(shell packaging/throwaway-key build/apt-key))
VERSION_NOW = $(shell dpkg-parsechangelog -S Version)
DEB = dist/bess-gateway_$(VERSION_NOW)_amd64.deb

.PHONY: deb reproducible apt-repo offline-bundle check-appliance boxes test-system test-brokers release wheelhouse
deb: wheelhouse appliance-packages ## dist/bess-gateway_VERSION_amd64.deb, checked by lintian
	packaging/build-deb $(WHEELS) dist
	lintian --allow-root --fail-on error,warning $(DEB)

reproducible: wheelhouse appliance-packages ## build it twice, elsewhere, and compare byte for byte
	packaging/build-twice $(WHEELS)

apt-repo: deb ## dist/apt: a signed repository with every .deb in dist
	@[ -n "$(REPO_KEY)" ] || { rm -rf dist/apt; \
	  echo "no REPO_KEY: signing with a throwaway key, for tests only"; }
	packaging/make-repo dist/apt $(KEY_HOME) $(KEY) dist/*.deb

offline-bundle: deb ## one file for a site without a network
	@[ -n "$(REPO_KEY)" ] || echo "no REPO_KEY: signing with a throwaway key, for tests only"
	packaging/offline-bundle $(RELEASE) $(DEB) dist $(KEY_HOME) $(KEY)

check-appliance: $(VENV)/installed appliance-packages ## versions, journal catalog, units, man pages agree
	$(BIN)/pytest tests/system/test_source.py

# Says what it lacks and skips where it cannot boot a machine; fails there in CI.
test-system: $(VENV)/installed wheelhouse ## the package on booted Debian 12 and 13, and check-appliance
	@if packaging/can-boot; then \
	  $(MAKE) --no-print-directory system-packages && \
	  $(PYTEST) $(or $(PYTEST_ARGS),tests/system -n 4); \
	elif [ -n "$(CI)" ]; then echo "make test-system: must not be skipped in CI" >&2; exit 1; \
	else echo "make test-system: skipped"; fi

BROKERS ?= nats or rabbitmq

test-brokers: $(VENV)/installed ## a site's story at RabbitMQ 4 and NATS, in booted Debian 13: BROKERS=nats
	@if packaging/can-boot; then \
	  $(MAKE) --no-print-directory system-packages && \
	  $(PYTEST) tests/brokers -k "$(BROKERS)"; \
	elif [ -n "$(CI)" ]; then echo "make test-brokers: must not be skipped in CI" >&2; exit 1; \
	else echo "make test-brokers: skipped"; fi

boxes: system-packages ## the two Debian machines of test-system, made beforehand: minutes, once
	packaging/can-boot
	$(PYTHON) -m tests.system.machines

release: ## all that is published, and a tag; builds twice and compares
	packaging/release "$(VERSION)" $(WHEELS)

# pip, and so the virtual environment, only where a wheel is missing.
wheelhouse:
	@packaging/check-wheels $(WHEELS) 2>/dev/null || { \
	  $(MAKE) --no-print-directory $(VENV)/installed && PYTHON=$(BIN)/python packaging/fetch-wheels $(WHEELS); }

### The environment

.PHONY: lock clean python-packages appliance-packages system-packages
lock: $(VENV)/installed ## pin the requirements anew
	$(BIN)/pip install --quiet uv
	for f in run dev report peers; do $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate packaging/requirements/$$f.in -o packaging/requirements/$$f.txt; done

clean: ## remove what was built and installed here
	rm -rf $(VENV) build dist .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Only where something is missing, so that a set-up machine needs no network and no root.
python-packages: packages = $(APT)
appliance-packages: packages = $(APPLIANCE_APT)
system-packages: packages = $(SYSTEM_APT)
python-packages appliance-packages system-packages:
	@missing=; for p in $(packages); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing from Debian:$$missing"; \
	  $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

# An environment each for what most never need: the report's, and other gateways' storages.
$(VENV)/installed: packaging/requirements/dev.txt setup.cfg | python-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/report-installed: packaging/requirements/report.txt $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/report.txt
	touch $@

$(PEERS)/installed: packaging/requirements/peers.txt
	rm -rf $(PEERS)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/peers.txt
	touch $@
