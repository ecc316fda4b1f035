"""What was kept is by points that the map of now may not read: they are read all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import events
from gateway.control.phases import Phase
from tests.fixtures.control_site import ControlSite, site
from tests.fixtures.shippedmaps import shipped

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap
    from tests.fixtures.control_site import Plant

FACT = "bess-1/in-force"


class _Reading(ControlSite):
    """A critical read brings what the map reads so often, and nothing else."""

    def _read(self, plant: Plant, kind: str) -> None:
        name = plant.name
        polled = self.site.maps[name].polled_points
        found = plant.points(self.at, self.wall_ms)
        points = tuple(raw for raw in found if kind != "critical" or raw.point in polled)
        self.seen.setdefault(name, {}).update((raw.point, float(raw.value)) for raw in points)
        self.seen_at[name] = self.at
        self.post(events.FragmentStored(name, points, False, self.now(), self.at))  # noqa: FBT003
        self.post(events.PollDone(name, kind, ok=True, cause="", at=self.now(), answer_s=0.05))


def moved(name: str, point: str) -> PointsMap:
    """The same map with one row elsewhere."""
    generic = shipped("generic-rtac@1.0.0")
    rows = (replace(row, point=point) if row.name == name else row for row in generic.points)
    return replace(generic, points=tuple(rows))


def restarted(points_map: PointsMap, point: str) -> ControlSite:
    """A dispatch is in force, and the gateway starts with another map."""
    made = _Reading()
    made.activate()
    made.plant.more[point] = lambda: 0.0
    made.site = site(map_ref=points_map)
    made.power_on()
    made.run(2)
    return made


def test_power_is_verified_in_time_by_a_row_that_the_map_of_now_does_not_read() -> None:
    made = restarted(moved("power", "AI41"), "AI41")
    assert made.control().controller.measured_by == "AI1"
    made.until(lambda: FACT not in made.disk.facts, within_s=30)


def test_zero_by_the_kept_rows_is_verified_in_time_by_their_own_echo() -> None:
    made = restarted(moved("setpoint_echo", "AI48"), "AI48")
    assert made.control().controller.blocked_by
    assert "done" in made.act("zero", by="kept")
    made.until(lambda: FACT not in made.disk.facts, within_s=30)
    assert made.phase() is Phase.MONITOR  # that map was never commissioned
    assert made.rtac.remote_w == 0
