"""Of what the percent were that the last run wrote: its echo is known as ours after a start."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import effects
from gateway.control.phases import Phase
from gateway.control.watchdog.obligation import is_in_force, obligation
from tests.fixtures.control_site import ControlSite, site
from tests.fixtures.execution import refused
from tests.fixtures.shippedmaps import percent_map

if TYPE_CHECKING:
    from gateway.clock import Now

FACT = "bess-1/in-force"
MW = 1e6
SAID: dict[str, Any] = {"name": "Ann", "reason": "it is off", "visited": True}


def active(base_w: float = 2 * MW) -> ControlSite:
    made = ControlSite(site(map_ref=percent_map()))
    made.plant.base_w = base_w
    made.activate(500_000)
    return made


def kept(made: ControlSite) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made.disk.facts[FACT])
    return found


def restarted(made: ControlSite, base_w: float) -> None:
    """Killed; the base moves, and the percent in force with it; zero is refused."""
    made.kill()
    made.plant.rebase(base_w)
    made.rtac.refuses_zero, made.plant.refused = True, refused(9)
    made.rtac.has_deadman = False
    made.power_on()
    made.run(8)


@pytest.mark.parametrize("base_w", [1 * MW, 3 * MW])
def test_our_echo_of_the_last_run_is_ours_whatever_the_base_is_by_then(base_w: float) -> None:
    made = active()
    restarted(made, base_w)
    assert made.control().controller.state.echo_w == 500_000
    assert made.phase() is Phase.IDLING  # and not a yield to another master
    assert "which is our setpoint" in str(made.ask("declare-zero", **SAID)["error"])
    made.rtac.refuses_zero = False
    made.until(lambda: FACT not in made.disk.facts)


def test_a_setpoint_that_was_said_anew_in_other_percent_is_ours_and_so_is_that_of_before() -> None:
    made = active()
    made.plant.rebase(4 * MW)
    made.until(lambda: made.written()[-1] == 125)
    made.run(12)
    assert kept(made)["base_w"] == [4 * MW, 4 * MW]
    assert kept(made)["least_base_w"] == [2 * MW, 2 * MW]
    restarted(made, 6 * MW)
    assert made.control().controller.state.echo_w == 500_000
    made.rtac.remote_w = 0.25 * 6 * MW  # the frame did not leave, or was refused
    made.run(8)
    state = made.control().controller.state
    assert state.echo_w == 500_000
    made.rtac.remote_w = 0.06 * 6 * MW  # a step of a ramp
    made.run(8)
    assert "a step on the way" in str(made.ask("declare-zero", **SAID)["error"])


def test_a_base_that_moves_is_on_its_way_to_the_disk_before_the_frame() -> None:
    made = active()
    handle, orders = made.core.handle, []

    def noting(event: object, now: Now) -> list[effects.Effect]:
        out = handle(event, now)
        for one in out:
            if isinstance(one, effects.Record) and FACT in one.facts:
                orders.append("fact")
            elif isinstance(one, effects.Operate) and one.control.point == "AO0":
                orders.append("frame")
        return out

    made.core.handle = noting  # type: ignore[method-assign]
    made.plant.rebase(1 * MW)
    made.until(lambda: made.written()[-1] == 500)
    made.run(5)
    assert orders == ["fact", "frame"]
    assert kept(made)["base_w"] == [1 * MW, 1 * MW]


def test_what_a_setpoint_that_is_gone_was_of_is_not_kept_of_the_next_one() -> None:
    percent = percent_map()
    assert percent.control is not None
    order = ("mode_enable", "setpoint")  # a control that is no setpoint goes first
    percent = replace(percent, control=replace(percent.control, order=order))
    made = ControlSite(site(map_ref=percent))
    made.plant.base_w = 0.5 * MW
    made.activate(500_000)
    assert "done" in made.act("idle")
    made.until(lambda: FACT not in made.disk.facts)
    made.plant.rebase(2 * MW)
    made.run(15)
    made.activate(500_000)
    assert kept(made)["least_base_w"] == [2 * MW, 2 * MW]


def test_a_map_in_watts_keeps_no_base_and_one_that_is_none_makes_the_fact_unreadable() -> None:
    made = ControlSite()
    made.activate()
    assert kept(made)["base_w"] is None
    for base in ("[1]", "[0, 1]", '["x", 1]', "{}"):
        text = json.dumps({**kept(made), "base_w": json.loads(base)})
        assert obligation({FACT: text}, "bess-1") is None, base
        assert is_in_force({FACT: text}, "bess-1")
    half = obligation({FACT: json.dumps({**kept(made), "base_w": [None, 1.0]})}, "bess-1")
    assert half is not None
    assert half.base_w == (None, 1.0)


@pytest.mark.parametrize("killed", [True, False])
def test_an_echo_of_some_percent_is_no_zero_because_what_it_was_of_once_was_little(
    *, killed: bool
) -> None:
    made = active(base_w=0.5 * MW)
    if killed:
        made.plant.rebase(2 * MW)
        made.until(lambda: made.written()[-1] == 250)
        made.run(12)
        made.kill()
        made.power_on()
    else:
        assert "done" in made.act("idle")
    # Zero is accepted, and 0.6 % stay: of 0.5 MW it were 3 kW, within the echo's tolerance of 4.
    made.rtac.echo_error_w = 0.006 * (made.plant.base_w or 0.0)
    made.run(25)
    assert made.phase() is Phase.IDLING
    made.run(15)
    assert made.phase() is Phase.LATCHED
