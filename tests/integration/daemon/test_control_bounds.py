"""The bounds on a setpoint of ours, end to end; ``make bench-control`` tries many more.

One site for all tests here, in this order: an arm costs 30 s of unbroken lease, and only the last
two end one. What counts is the simulated RTAC's own record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.control import scenarios
from tests.bench.control.measure import turn
from tests.bench.control.plant import Plant
from tests.bench.control.shim import LACKS, Shim
from tests.bench.control.sites import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.control.measure import Run
    from tests.bench.control.scenarios import Scenario

pytestmark = pytest.mark.skipif(bool(LACKS), reason=LACKS or "can run here")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    with Shim(folder) as shim, Plant(folder, sites=plain(2), shim=shim) as made:
        made.start(first=True)
        yield made


def once(scenario: Scenario, plant: Plant) -> list[Run]:
    runs, trouble = turn(scenario, plant)
    assert not trouble
    assert len(runs) == 2
    return runs


def test_return_from_local_idles_first_and_nothing_is_written_in_local(plant: Plant) -> None:
    for run in once(scenarios.LocalAndBack(), plant):
        assert (run.violation, run.ended_by) == ("", "control")


def test_after_a_restart_of_the_rtac_the_first_output_is_idle_and_nothing_resumes(
    plant: Plant,
) -> None:
    for run in once(scenarios.RtacRestarts(), plant):
        assert (run.violation, run.ended_by) == ("", "control")


def test_a_dispatch_ends_with_its_duration_though_the_wall_clock_jumps_an_hour(
    plant: Plant,
) -> None:
    scenario = scenarios.DurationEndsThoughClockJumps()
    scenario.for_s = 12
    scenario.waits_s = 12.0
    for run in once(scenario, plant):
        assert (run.violation, run.ended_by) == ("", "control")


def test_bound_b_the_dead_man_ends_the_setpoint_of_a_killed_gateway_and_nothing_resumes(
    plant: Plant,
) -> None:
    for run in once(scenarios.GatewayKilled(), plant):
        assert (run.violation, run.ended_by) == ("", "deadman")


def test_bound_a_replayed_heartbeats_do_not_extend_a_lease_that_nobody_answers_for(
    plant: Plant,
) -> None:
    for run in once(scenarios.HeartbeatsReplayed(), plant):
        assert (run.violation, run.ended_by) == ("", "control")
