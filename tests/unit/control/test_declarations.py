"""A declaration that a later read belies: what was declared is in force, and nothing is fed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.phases import Phase
from gateway.control.watchdog.obligation import is_in_force
from tests.fixtures.control_site import ControlSite
from tests.fixtures.execution import refused

if TYPE_CHECKING:
    from gateway.checked import Site

FACT = "bess-1/in-force"
SAID: dict[str, Any] = {"name": "Ann", "reason": "breaker is open", "visited": True}


def active() -> ControlSite:
    made = ControlSite()
    made.rtac.has_deadman = False
    made.activate()
    return made


def fact(made: ControlSite) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made.disk.facts[FACT])
    return found


def refusing(made: ControlSite) -> None:
    """Nothing is in the echo, and zero is refused: it can only be declared."""
    made.rtac.remote_w = 0.0
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)


def declared(made: ControlSite) -> None:
    assert "done" in made.act("declare-zero", **SAID)
    made.run(1)
    assert not is_in_force(made.disk.facts, "bess-1")


def belied(made: ControlSite) -> None:
    """Our setpoint is in the echo again."""
    made.rtac.remote_w = 500_000.0
    made.until(lambda: made.control().controller.state.in_force)
    made.run(1)
    assert is_in_force(made.disk.facts, "bess-1")


def moved(found: Site) -> Site:
    (asset,) = found.settings.assets
    link = replace(asset.dnp3, outstation_address=77)
    settings = replace(found.settings, assets=(replace(asset, dnp3=link),))
    return replace(found, settings=settings)


def other_rows(made: ControlSite) -> None:
    """What is in force was written by rows that the map does not have."""
    made.disk.facts[FACT] = json.dumps({**fact(made), "rows": fact(made)["rows"][:1]})


@pytest.mark.parametrize("lasting", [Phase.LATCHED, Phase.ESTOP])
def test_latched_and_estop_stay_until_a_reset(lasting: Phase) -> None:
    made = active()
    refusing(made)
    if lasting is Phase.ESTOP:
        made.act("estop")
    made.command("idle")
    made.run(40)
    assert made.phase() is lasting
    declared(made)
    belied(made)
    assert made.phase() is lasting
    assert json.loads(made.disk.facts["bess-1/phase"])["phase"] == lasting.name
    beats = made.written("AO1")
    made.run(30)
    assert made.written("AO1") == beats
    made.power_on()
    assert made.phase() is lasting
    made.rtac.refuses_zero = False
    made.act("reset")
    made.until(lambda: FACT not in made.disk.facts)


def test_in_idle_it_is_latched_and_no_heartbeat_feeds_it() -> None:
    made = active()
    made.plant.offline = frozenset({"AI1"})  # power is unknown: the fact stays
    made.command("idle")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.run(5)
    declared(made)
    assert made.phase() is Phase.IDLE
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    belied(made)
    assert made.phase() is Phase.LATCHED


@pytest.mark.parametrize("starts", [False, True])
def test_other_rows_write_nothing_again_also_after_a_start(starts: bool) -> None:
    made = active()
    other_rows(made)
    refusing(made)
    made.power_on()
    made.run(20)
    assert made.written("AO0", since=made.at - 19) == []
    declared(made)
    made.run(5)
    assert made.written("AO0", since=made.at - 5) != []  # as at any start
    if starts:
        made.power_on()
        made.run(8)
    belied(made)
    at = made.at
    made.run(30)
    assert made.written("AO0", since=at) == made.written("AO1", since=at) == []
    assert "nothing is written" in "; ".join(made.ask("status")["reasons"])
    made.rtac.refuses_zero = False
    assert "done" in made.act("zero", by="kept")
    made.until(lambda: FACT not in made.disk.facts)


@pytest.mark.parametrize("starts", [False, True])
def test_what_was_declared_of_another_endpoint_is_in_force_here_if_it_is_read_here(
    starts: bool,
) -> None:
    made = active()
    refusing(made)
    made.site = moved(made.site)
    made.power_on()
    made.run(10)
    declared(made)
    if starts:
        made.power_on()
        made.run(8)
    belied(made)
    assert fact(made)["outstation"] == 77
    assert fact(made)["setpoint_w"] == 500_000
    assert fact(made)["declared"] == ""
    made.rtac.refuses_zero = False
    made.until(lambda: FACT not in made.disk.facts)
    assert made.rtac.remote_w == 0


def test_power_at_another_endpoint_takes_no_declaration_back() -> None:
    made = active()
    refusing(made)
    made.site = moved(made.site)
    made.power_on()
    made.run(10)
    made.plant.flows_w = 400_000.0
    declared(made)
    made.run(30)
    assert made.control().controller.state.declared


def test_power_here_takes_it_back() -> None:
    made = active()
    refusing(made)
    made.command("idle")
    made.run(20)
    declared(made)
    made.plant.flows_w = 400_000.0
    made.until(lambda: made.control().controller.state.in_force)


def test_in_local_it_is_in_force_again_and_zero_follows_on_remote() -> None:
    made = active()
    made.rtac.local = True
    made.until(lambda: made.phase() is Phase.LOCAL)
    made.run(10)
    declared(made)
    made.plant.flows_w = 400_000.0
    made.until(lambda: made.control().controller.state.in_force)
    assert made.phase() is Phase.LOCAL
    made.plant.flows_w = None
    made.rtac.local = False
    made.until(lambda: FACT not in made.disk.facts)
    assert made.rtac.remote_w == 0
