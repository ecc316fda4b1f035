# Long runs and the report in tests/report.
#
#   make soak MINUTES=60      32 sessions of 500 points, broker flaps, RTACs losing power: build/soak

MINUTES ?= 60

.PHONY: soak

soak: $(VENV)/report-installed
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --into build/soak

$(VENV)/report-installed: packaging/requirements/report.txt $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements/report.txt
	touch $@
