# Control end to end: seconds from each cause to zero, on the simulated RTACs' own record.
#
#   make bench-control                       every cause, 100 runs of each, and goal 8: an hour; build/control.md
#   make bench-control CONTROL=--quick       two minutes
#   make bench-control CONTROL="--only link-cut,goal-8 --runs 20 --assets 10"

CONTROL ?=

.PHONY: bench-control

bench-control: $(VENV)/installed
	$(BIN)/python -m tests.bench.control $(CONTROL)
