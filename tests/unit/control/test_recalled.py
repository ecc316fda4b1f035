"""The audit log is an older copy, and what is in force or latched is known all the same."""

from __future__ import annotations

import json
from dataclasses import replace

from gateway.control.phases import Phase
from gateway.control.recalled import with_recalled
from gateway.control.watchdog.obligation import is_in_force, obligation
from tests.fixtures.control_site import ControlSite, commissioned
from tests.fixtures.execution import refused

FACT = "bess-1/in-force"


def witnessed() -> ControlSite:
    made = ControlSite()
    made.disk.witnesses = True
    return made


def put_back(made: ControlSite) -> None:
    """An older copy of the log, from before the dispatch, and the gateway starts."""
    made.disk.facts = commissioned(made.site)
    made.power_on()


def test_an_older_copy_is_silent_and_zeros_what_it_does_not_know() -> None:
    made = witnessed()
    made.activate()
    made.kill()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    put_back(made)
    beats = len(made.written("AO1"))
    made.run(20)
    state = made.control().controller.state
    assert state.in_force
    assert len(made.written("AO1")) <= beats + 1  # zero, beat, zero, as a group
    assert made.command("arm")
    assert "STATE" in made.acks.values()
    made.rtac.refuses_zero = False
    made.until(lambda: not made.control().controller.state.in_force)
    assert made.rtac.remote_w == 0


def test_so_it_is_without_a_safety_file() -> None:
    made = witnessed()
    made.activate()
    made.kill()
    good = made.site
    made.site = replace(good, safety=None)
    made.disk.facts = {}
    made.power_on()
    made.until(lambda: made.phase() is Phase.MONITOR, within_s=30)
    assert made.rtac.remote_w == 0
    assert made.written("AO0")[-1] == 0


def test_latched_and_what_an_operator_disabled_last_over_an_older_copy() -> None:
    made = witnessed().ready()
    made.act("estop")
    made.run(5)
    made.act("disable-control")
    made.run(1)
    put_back(made)
    assert made.phase() is Phase.ESTOP
    made.run(2)
    assert made.core_status()["assets"]["bess-1"]["control"]["disabledBy"] == "anna"


def test_what_was_signed_since_is_not_known_and_no_declaration_is_believed() -> None:
    made = ControlSite()
    made.activate()
    text = made.disk.facts[FACT]
    body = json.loads(text)
    said = json.dumps({**body, "declared": "anna: it is off"})
    found = with_recalled({"x": "y"}, {FACT: said, "bess-1/phase": "{}"})
    assert is_in_force(found, "bess-1")
    owed = obligation(found, "bess-1")
    assert owed is not None
    assert (owed.setpoint_w, owed.span_w, owed.declared) == (None, None, "")
    assert owed.rows == obligation({FACT: text}, "bess-1").rows  # type: ignore[union-attr]
    assert (found["x"], found["bess-1/phase"]) == ("y", "{}")
    assert with_recalled({FACT: text}, {FACT: said}) == {FACT: text}
    assert is_in_force(with_recalled({}, {FACT: "garbled"}), "bess-1")
