"""Only the present counts: events that come late, and percent of a power that moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki

WATTS, PERCENT = "bess-1", "bess-2"
FAULT = "BI3"  # of generic-rtac
BASE_S = 10.0  # so long the larger base counts


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """One battery in kW, one in percent of the largest power."""
    maps = ("generic-rtac@1.0.0", "an2018-storage@1.0.0")
    with ControlSite(tmp_path_factory.mktemp("present"), pki, map=maps) as made:
        yield made.run()


def test_a_fault_that_came_and_went_long_ago_ends_a_dispatch_until_it_is_read_to_be_gone(
    site: ControlSite,
) -> None:
    sim = site.sims[WATTS]
    sim.fault("late_events=600")
    sim.fault(f"value={FAULT}:1")
    site.daemon.until(lambda: site.shown(FAULT, WATTS) == 1, "the fault, in a static read")
    sim.clear("value")
    site.daemon.until(lambda: site.shown(FAULT, WATTS) == 0, "its end, in a static read")
    site.arm(WATTS)
    id_ = site.power(300_000, WATTS)
    began = now().mono_s
    sim.clear("late_events")  # both are told now, and the newest says that all is well
    site.told(id_, {"aborted"})
    site.passed("ACTIVE", "IDLING", "interlock", WATTS, after=began)
    sim.wait_until(lambda truth: truth["setpoint_w"] == 0)
    assert {one["value"] for one in site.writes(WATTS, role="cmd_power", after=began)} == {0.0}
    site.until_control(lambda found: not found["interlocks"], "clear again", WATTS)
    assert site.shown(FAULT, WATTS) == 0


def test_a_setpoint_in_percent_is_said_anew_when_what_it_is_of_moves_and_nobody_is_accused(
    site: ControlSite,
) -> None:
    sim = site.sims[PERCENT]
    site.arm(PERCENT)
    id_ = site.power(500_000, PERCENT)
    began = now().mono_s

    def written() -> list[float]:
        return [one["raw"] for one in site.writes(PERCENT, role="cmd_power", after=began)]

    sim.fault("max_power=8000000")  # what is in force means 2 MW: more than the limit
    site.daemon.until(lambda: written() == [62], "a smaller setpoint")
    sim.wait_until(lambda truth: truth["setpoint_w"] == pytest.approx(496_000))
    sim.fault("max_power=4000000")
    site.daemon.until(lambda: written() == [62, 125], "the same watts again")
    sim.wait_until(lambda truth: truth["setpoint_w"] == 500_000)
    assert site.control(PERCENT)["state"] == "ACTIVE"
    assert site.results(id_)[-1]["state"] == "succeeded"
    assert site.daemon.ask("status")["assets"][PERCENT]["map"]["verdict"] == "ok"
    sim.fault("offline=AI32")
    assert site.why(id_, "aborted") == "interlock"
    site.until_phase({"IDLE"}, PERCENT)  # zero needs no base
    assert any(one.startswith("BASE: ") for one in site.control(PERCENT)["interlocks"])
