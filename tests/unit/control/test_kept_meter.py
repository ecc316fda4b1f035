"""By what power is measured while something is in force: by the row of the map that wrote it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.control.commissioning.proofs import Findings
from gateway.control.phases import Phase
from gateway.control.watchdog.kept_meter import KeptMeter
from gateway.control.watchdog.obligation import is_in_force, obligation
from tests.fixtures.control_site import ControlSite, commissioned, site
from tests.fixtures.shippedmaps import shipped

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap

FACT = "bess-1/in-force"
GENERIC = "generic-rtac@1.0.0"
KW = 1000.0


def with_power(**changes: object) -> PointsMap:
    """The same map with another row of power."""
    generic = shipped(GENERIC)

    def changed(row: MapPoint) -> MapPoint:
        return replace(row, **changes) if row.role == "power" else row  # type: ignore[arg-type]

    return replace(generic, points=tuple(map(changed, generic.points)))


def active(*, idle_w: float | None = None) -> ControlSite:
    made = ControlSite()
    made.disk.facts = commissioned(made.site, found=Findings(idle_w=idle_w))
    made.power_on()
    made.activate()
    return made


def restarted(made: ControlSite, points_map: PointsMap) -> None:
    """Another map was put there, and the gateway started."""
    made.site = site(map_ref=points_map)
    made.power_on()


def rekept(made: ControlSite, **changes: object) -> None:
    """The fact says something else of its meter."""
    body = json.loads(made.disk.facts[FACT])
    made.disk.facts[FACT] = json.dumps({**body, "meter": {**body["meter"], **changes}})


def reasons(made: ControlSite) -> str:
    return "; ".join(made.ask("status")["reasons"])


def test_a_map_that_points_power_elsewhere_verifies_nothing_by_it() -> None:
    made = active()
    made.plant.more["AI41"] = lambda: 0.0
    made.plant.flows_w = 500 * KW
    restarted(made, with_power(point="AI41"))
    made.run(60)
    assert made.rtac.remote_w == 0
    assert FACT in made.disk.facts
    assert "power as the map has it that wrote: AI1" in reasons(made)
    made.plant.flows_w = None
    made.until(lambda: FACT not in made.disk.facts)
    assert made.control().controller.measured_by == ""


def test_a_wider_dead_band_verifies_nothing_that_the_kept_one_would_not() -> None:
    made = active(idle_w=0.0)
    made.plant.flows_w = 150 * KW
    restarted(made, with_power(deadband=200 * KW))
    made.run(60)
    assert FACT in made.disk.facts
    made.plant.flows_w = 90 * KW
    made.until(lambda: FACT not in made.disk.facts)


def test_the_idle_power_that_was_measured_by_the_kept_row_counts_with_it() -> None:
    made = active(idle_w=-60 * KW)
    made.plant.more["AI41"] = lambda: 0.0
    made.plant.flows_w = 60 * KW
    restarted(made, with_power(point="AI41"))
    made.run(60)
    assert FACT in made.disk.facts
    made.plant.flows_w = -150 * KW
    made.until(lambda: FACT not in made.disk.facts)


def test_where_the_kept_row_is_gone_power_is_unknown_until_a_person_takes_the_map_of_now() -> None:
    made = active()
    rekept(made, point="AI40")
    made.power_on()
    made.run(60)
    assert made.phase() is Phase.IDLE
    assert FACT in made.disk.facts
    assert "measured power is unknown" in reasons(made)
    assert "done" in made.act("zero", by="new")
    made.until(lambda: FACT not in made.disk.facts)


def test_who_takes_the_map_of_now_and_then_what_was_kept_measures_by_what_was_kept() -> None:
    made = active()
    made.plant.more["AI41"] = lambda: 0.0
    made.plant.flows_w = 500 * KW
    restarted(made, with_power(point="AI41"))
    made.run(2)
    assert "done" in made.act("zero", by="new")
    assert "done" in made.act("zero", by="kept")
    made.run(60)
    assert made.control().controller.measured_by == "AI1"
    assert FACT in made.disk.facts


def test_a_kept_row_that_is_not_good_or_out_of_range_verifies_nothing() -> None:
    made = active()
    made.plant.more["AI41"] = lambda: 0.0
    rekept(made, most=-1.0)
    restarted(made, with_power(point="AI41"))
    made.run(30)
    assert FACT in made.disk.facts
    rekept(made, most=None)
    made.plant.offline = frozenset({"AI1"})
    made.power_on()
    made.run(30)
    assert FACT in made.disk.facts
    made.plant.offline = frozenset()
    made.until(lambda: FACT not in made.disk.facts)


def test_a_fact_that_does_not_say_it_is_measured_by_the_map_that_wrote_it_or_by_none() -> None:
    made = active()
    body = json.loads(made.disk.facts[FACT])
    del body["meter"]
    made.disk.facts[FACT] = json.dumps(body)
    restarted(made, with_power(deadband=6 * KW))
    made.run(60)
    assert FACT in made.disk.facts
    restarted(made, shipped(GENERIC))
    made.until(lambda: FACT not in made.disk.facts)


def test_a_meter_is_kept_and_one_that_is_none_makes_the_fact_unreadable() -> None:
    made = active(idle_w=-60 * KW)
    found = obligation(made.disk.facts, "bess-1")
    assert found is not None
    assert found.meter == KeptMeter("AI1", 1000.0, 1.0, 0.0, None, None, -60 * KW, 100 * KW)
    body = json.loads(made.disk.facts[FACT])
    for name, value in (
        ("point", "power"),
        ("mul", "x"),
        ("div", 0),
        ("band_w", -1),
        ("most", "x"),
    ):
        text = json.dumps({**body, "meter": {**body["meter"], name: value}})
        assert obligation({FACT: text}, "bess-1") is None, name
        assert is_in_force({FACT: text}, "bess-1")
    for meter in ("[]", '"AI1"', '{"point": "AI1"}'):
        text = json.dumps({**body, "meter": json.loads(meter)})
        assert obligation({FACT: text}, "bess-1") is None


@pytest.mark.parametrize(("raw", "watts"), [(-3.0, -3000.0), (2000.0, None), (float("nan"), None)])
def test_what_is_no_power_is_not_read(raw: float, watts: float | None) -> None:
    meter = KeptMeter("AI1", 1000.0, 1.0, 0.0, -1e6, 1e6, 0.0, 1.0)
    assert meter.watts(raw) == watts
