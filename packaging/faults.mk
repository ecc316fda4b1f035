# The long fault suite: every fault, many trials; the table is gathered in build/faults.md.
#
#   make test-faults          kills, power cuts, failing disks, bad networks, a week's outage, fuzzing
#   FUZZ_SECONDS=600          how long each fuzzer runs (default 60)

.PHONY: test-faults

test-faults: $(VENV)/installed
	rm -f build/faults.md
	$(BIN)/pytest tests/faults -p no:cacheprovider
	@cat build/faults.md
