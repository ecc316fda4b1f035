"""What must stand before there is any power: written, and seen, before the first setpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.control.phases import Phase
from tests.fixtures.control_site import ControlSite, Plant, site
from tests.fixtures.execution import refused
from tests.fixtures.shippedmaps import prepared_map

if TYPE_CHECKING:
    from gateway import effects
    from gateway.ports import Outcome

FACT = "bess-1/in-force"


class _Refusing(Plant):
    def obey(self, order: effects.Operate, at: float) -> Outcome:
        return refused(8) if order.control.point == "AO12" else Plant.obey(self, order, at)


class _Refused(ControlSite):
    def made(self, name: str) -> Plant:
        return _Refusing(name)


def armed() -> ControlSite:
    made = ControlSite(site(map_ref=prepared_map()))
    made.plant.more["AI42"] = lambda: 3.0  # what it holds, whatever is written
    return made.arm()


def window(made: ControlSite, found: float) -> None:
    made.plant.more["AI42"] = lambda: found


def powers(made: ControlSite) -> list[object]:
    return [one for one in made.written("AO0") if one]


def test_no_setpoint_leaves_before_it_is_seen() -> None:
    made = armed()
    id_ = made.command("setpoint")
    made.run(4)
    assert made.written("AO12") == [7]
    assert powers(made) == []
    window(made, 7.0)
    made.until(lambda: "succeeded" in made.results.get(id_, ()))
    assert made.phase() is Phase.ACTIVE
    assert made.written("AO12") == [7]


def test_what_is_never_seen_is_no_dispatch_and_nothing_is_in_force_after_it() -> None:
    made = armed()
    id_ = made.command("setpoint")
    made.run(8)
    assert made.ends(id_) == "failed"
    assert powers(made) == []
    made.until(lambda: FACT not in made.disk.facts)
    assert made.phase() is Phase.IDLE


def test_a_control_before_the_setpoint_that_is_refused_leaves_nothing_in_force() -> None:
    made = _Refused(site(map_ref=prepared_map()))
    window(made, 7.0)
    made.arm()
    id_ = made.command("setpoint")
    made.until(lambda: made.ends(id_) == "failed")
    made.until(lambda: FACT not in made.disk.facts)
    assert made.written("AO0")[-1] == 0
    assert made.phase() is Phase.IDLE


@pytest.mark.parametrize("event", ["idle", "local", "limit", "cut"])
def test_whatever_comes_while_it_is_awaited_leaves_no_power(event: str) -> None:
    made = armed()
    made.command("setpoint")
    made.run(2)
    if event == "idle":
        made.act("idle")
    elif event == "local":
        made.rtac.local = True
        made.run(6)
    elif event == "limit":
        made.plant.avail_w = 300_000
        made.run(2)
        assert powers(made) == []
        window(made, 7.0)
        made.until(lambda: made.rtac.remote_w == 300_000)
        return
    else:
        made.cut()
        made.run(12)
    window(made, 7.0)
    made.rtac.local = False
    made.mend()
    made.run(60)
    assert powers(made) == []
    assert made.phase() is Phase.IDLE


def test_a_dispatch_that_follows_another_does_not_wait_for_it() -> None:
    made = armed()
    window(made, 7.0)
    made.activate()
    window(made, 3.0)
    made.command("setpoint", powerW=200_000)
    made.run(2)
    assert made.rtac.remote_w == 200_000
