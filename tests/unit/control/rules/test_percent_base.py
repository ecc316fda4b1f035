"""What percent are of: at least for what is permitted, at most for what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.rules.interlocks import Interlock, blocks
from gateway.control.rules.least import span
from gateway.control.rules.percent_base import BASE_S, Base, RecentBase, bases
from gateway.measured import Quality
from tests.fixtures.control import PERCENT, PLAIN, control_map, facts, measured, read

if TYPE_CHECKING:
    from gateway.measured import Measured
    from gateway.points.pointmap import PointsMap

SITE = {"nameplate_w": 2e6, "max_charge_w": 1e6, "max_discharge_w": 1.1e6}
MAX_POWER = control_map(PERCENT, method="percent", base="max_power")
NONE = Base(None, None)


def both(points_map: PointsMap, **told: Measured | float | tuple[float, ...]) -> tuple[Base, Base]:
    """The least and the largest base where these points may be so."""
    rows = {point: one if isinstance(one, tuple) else (one,) for point, one in told.items()}

    def reader(row: Any) -> Any:  # noqa: ANN401 - as the rules call it
        known = rows.get(row.point) or (read()(row),)
        found = [measured(one) if isinstance(one, int | float) else one for one in known]
        return span([one for one in found if one is not None])

    return bases(points_map, reader, **SITE)


def test_the_base_is_the_maps_point_the_nameplate_or_a_number() -> None:
    assert both(MAX_POWER, AI2=9e5) == (Base(9e5, 2e6),) * 2
    assert both(MAX_POWER, AI2=measured(9e5, Quality.STALE), AI3=0.0) == (NONE, NONE)
    plain = control_map(PERCENT, base="max_power", inputs=())
    assert both(plain) == (Base(1e6, 1.1e6),) * 2
    assert both(control_map(PERCENT, base="nameplate")) == (Base(2e6, 2e6),) * 2
    assert both(control_map(PERCENT, base=5e5)) == (Base(5e5, 5e5),) * 2


def test_of_all_that_it_may_be_the_least_permits_and_the_largest_is_written() -> None:
    assert both(MAX_POWER, AI3=(1e6, 3e6, 2e6)) == (Base(2e6, 1e6), Base(2e6, 3e6))
    assert both(MAX_POWER, AI3=(1e6, 0.0)) == (Base(2e6, None),) * 2


def test_the_largest_base_counts_for_two_critical_polls() -> None:
    recent = RecentBase()
    assert recent.largest() == NONE
    for at, charge_w in ((0.0, 1e6), (1.0, 3e6), (2.0, 2e6)):
        recent = recent.note(at, Base(charge_w, 1e6))
    assert recent.largest() == Base(3e6, 1e6)
    recent = recent.note(2.0 + BASE_S - 0.1, Base(2e6, 1e6))
    assert recent.largest() == Base(3e6, 1e6)
    recent = recent.note(2.0 + BASE_S, Base(2e6, 1e6))
    assert recent.largest() == Base(2e6, 1e6)
    assert recent.note(20.0, Base(None, 1e6)).largest() == Base(None, 1e6)
    assert recent.note(20.0, NONE).note(21.0, Base(1e6, 1e6)).largest() == Base(2e6, 1e6)


@pytest.mark.parametrize(
    ("told", "ways"),
    [
        (None, {-1.0, 0.0, 1.0}),  # never read
        (measured(2e6, Quality.STALE), {-1.0, 0.0, 1.0}),
        (measured(2e6, Quality.QUESTIONABLE), {-1.0, 0.0, 1.0}),
        (0.0, {1.0}),
        (-1e6, {1.0}),
        (1.0, set()),
    ],
)
def test_an_unknown_base_is_an_interlock_of_its_own(told: Any, ways: set[float]) -> None:  # noqa: ANN401 - any reading
    for way in (-1.0, 0.0, 1.0):
        found = blocks(facts({"AI3": told}, points_map=MAX_POWER), way)
        wanted = {Interlock.BASE} if way in ways else set()
        assert {one.interlock for one in found} == wanted
        assert all("percent of power are of it" in one.text for one in found)
    assert not blocks(facts({"AI3": told}, points_map=PLAIN), 1.0)


def test_the_base_is_read_as_often_as_what_is_critical() -> None:
    assert MAX_POWER.base_points == {"AI2", "AI3"} <= MAX_POWER.critical_points
    assert PLAIN.base_points == frozenset()
    assert control_map(PERCENT, base="nameplate").base_points == frozenset()
