# Long runs and the report in tests/report.
#
#   make soak MINUTES=60      32 sessions of 500 points, broker flaps, RTACs losing power: build/soak
#   make bench-peers          goal 2: our queue beside other gateways' storages: build/peers.md
#   make report [PARTS="goals peers backlog latency soak"]   these parts anew, then all tables and pictures of tests/report

MINUTES ?= 60
PARTS ?=
PEERS := build/peers

.PHONY: soak bench-peers report

soak: $(VENV)/report-installed
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --into build/soak

report: $(VENV)/report-installed $(if $(filter peers,$(PARTS)),$(PEERS)/installed)
	$(BIN)/python -m tests.report $(PARTS)

$(VENV)/report-installed: packaging/requirements/report.txt $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/report.txt
	touch $@

bench-peers: $(VENV)/installed $(PEERS)/installed
	$(BIN)/python -m tests.bench.peers --python $(PEERS)/bin/python --into build/peers.md

# An environment of their own: none of it is near the project's.
$(PEERS)/installed: packaging/requirements/peers.txt
	rm -rf $(PEERS)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/peers.txt
	touch $@
