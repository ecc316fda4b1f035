"""What a start finds, on a whole core: another master, a stop, a dead-man that failed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import events
from gateway.control.commissioning.proofs import Findings
from gateway.control.force_record import ForceRecord
from gateway.control.inward import Start
from gateway.control.phases import Phase
from gateway.control.records import Records
from gateway.control.rules.percent_base import Base
from gateway.control.turn import Turn
from gateway.control.watchdog.events import ForceForgotten
from gateway.control.watchdog.obligation import obligation, tries
from gateway.control.watchdog.state import Held
from gateway.control.watchdog.words import Terms
from gateway.effects import Record
from gateway.uplink.topics import Topics
from tests.fixtures.control_site import ControlSite, site
from tests.fixtures.execution import refused

if TYPE_CHECKING:
    from gateway.checked import Site
    from gateway.control.watchdog.obligation import Obligation

FACT = "bess-1/in-force"


def active() -> ControlSite:
    made = ControlSite()
    made.activate()
    return made


def moved(found: Site, **dnp3: object) -> Site:
    """The same site with its outstation elsewhere."""
    (asset,) = found.settings.assets
    link = replace(asset.dnp3, **dnp3)  # type: ignore[arg-type]  # by name
    settings = replace(found.settings, assets=(replace(asset, dnp3=link),))
    return replace(found, settings=settings)


def reasons(made: ControlSite) -> str:
    return " / ".join(made.core_status()["reasons"])


def codes(made: ControlSite) -> list[str]:
    """Codes of the alarms that the audit log has."""
    rows = [one for one in made.disk.rows if one.event == "alarm"]
    return [json.loads(one.payload)["code"] for one in rows]


def test_another_masters_setpoint_at_a_start_is_left_alone() -> None:
    made = active()
    made.rtac.other_w, made.rtac.other_holds = -750_000.0, True
    made.power_on()
    at = made.at
    made.until(lambda: made.phase() is Phase.LOCAL)
    made.run(60)
    assert made.written("AO0", since=at) == [0]  # the zero whose refusal told it
    assert made.written("AO1", since=at) == []
    assert FACT in made.disk.facts
    assert "yielded: another master's setpoint is in force" in reasons(made)
    assert codes(made) == []  # not even that zero is refused
    made.power_on()
    made.run(10)
    assert made.written("AO0", since=at) == [0]
    made.rtac.other_w, made.rtac.remote_w = None, 0.0
    made.until(lambda: FACT not in made.disk.facts)


def test_a_step_on_the_way_to_our_setpoint_is_zeroed_though_another_is_said_to_hold() -> None:
    made = active()
    made.rtac.remote_w = 200_000.0
    made.plant.refused, made.rtac.refuses_zero = refused(9), True
    made.power_on()
    made.run(10)
    assert made.phase() is Phase.IDLING
    made.rtac.refuses_zero = False
    made.until(lambda: FACT not in made.disk.facts)


def test_the_fact_says_the_least_and_the_most_that_was_signed() -> None:
    made = active()
    made.command("setpoint", powerW=-300_000)
    made.run(3)
    body = json.loads(made.disk.facts[FACT])
    assert (body["setpoint_w"], body["span_w"]) == (-300_000, [-300_000, 500_000])
    made.power_on()
    assert made.control().controller.state.span_w == (-300_000, 500_000)
    older = {key: value for key, value in body.items() if key != "span_w"}
    found = obligation({FACT: json.dumps(older)}, "bess-1")
    assert found is not None
    assert found.span_w is None


def test_that_nobody_knows_of_a_stop_stands_in_status_over_a_restart_until_a_reset() -> None:
    made = ControlSite().ready()
    made.rtac.loses_answers = True
    made.act("estop")
    made.run(8)
    made.rtac.loses_answers = False
    made.power_on()
    made.run(10)
    assert "nobody knows whether the stop operated" in reasons(made)
    assert made.rtac.stopped == 1
    made.act("reset")
    made.run(3)
    made.power_on()
    made.run(10)
    assert "nobody knows" not in reasons(made)


def test_an_older_store_does_not_say_of_its_stop() -> None:
    made = ControlSite()
    made.disk.facts["bess-1/phase"] = json.dumps({"phase": "ESTOP", "stopOwed": False})
    made.power_on()
    made.run(3)
    assert made.phase() is Phase.ESTOP
    assert "nobody knows" not in reasons(made)


def test_a_dead_man_that_failed_is_critical_and_stands_in_status() -> None:
    made = active()
    made.rtac.has_deadman = False
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.power_on()
    made.run(18)
    assert "dead-man did not act" not in reasons(made)
    made.run(20)
    assert "the RTAC's dead-man did not act" in reasons(made)
    assert codes(made) == ["deadman_failed"]
    made.rtac.refuses_zero = False
    made.until(lambda: FACT not in made.disk.facts)
    assert "dead-man did not act" not in reasons(made)


def test_power_that_comes_up_in_idle_is_a_warning_after_30_s() -> None:
    made = ControlSite().ready()
    made.plant.flows_w = -300_000.0
    made.run(28)
    assert codes(made) == []
    made.run(10)
    assert codes(made) == ["power_in_idle"]
    assert made.phase() is Phase.IDLE


def test_starts_that_find_something_in_force_are_counted_until_a_zero_is_verified() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.power_on()
    made.run(3)
    assert "without a verified zero" not in reasons(made)
    for count in (2, 3):
        made.power_on()
        made.run(3)
        assert f"the gateway ends too early; {count} in a row" in reasons(made)
    made.rtac.refuses_zero = False
    made.until(lambda: FACT not in made.disk.facts)
    assert "bess-1/tries" not in made.disk.facts
    assert "without a verified zero" not in reasons(made)
    made.power_on()
    made.run(3)
    assert "bess-1/tries" not in made.disk.facts


def test_a_reload_that_begins_a_blocked_battery_anew_is_no_start() -> None:
    made = active()
    made.site = moved(made.site, outstation_address=77)
    made.power_on()
    made.run(3)
    made.reload(moved(made.site, outstation_address=78))
    made.run(3)
    assert "outstation 78" in reasons(made)
    assert "in a row" not in reasons(made)
    made.power_on()
    made.run(3)
    assert "2 in a row" in reasons(made)


def test_a_gateway_killed_in_local_zeros_what_remote_brings_back_when_it_is_there_again() -> None:
    made = active()
    made.rtac.local = True
    made.until(lambda: made.phase() is Phase.LOCAL)
    made.kill()
    made.rtac.local = False
    made.power_on()
    made.until(lambda: FACT not in made.disk.facts, within_s=20)
    assert made.phase() is Phase.IDLE


@pytest.mark.parametrize(
    ("text", "count"), [(None, 0), ('{"starts": 4}', 4), ("{", 1), ('{"starts": -1}', 1), ("[]", 1)]
)
def test_a_count_that_cannot_be_read_is_one(text: str | None, count: int) -> None:
    assert tries({} if text is None else {"bess-1/tries": text}, "bess-1") == count


def test_no_zero_is_declared_while_a_step_on_the_way_to_our_setpoint_is_read() -> None:
    made = active()
    made.rtac.remote_w = 200_000.0
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.power_on()
    made.run(10)
    made.plant.flows_w = 0.0
    made.run(6)
    said = made.ask("declare-zero", name="Ann", reason="it is off", visited=True)
    assert "a step on the way to our setpoint" in str(said["error"])


def test_a_declaration_is_taken_back_by_a_step_on_the_way_to_our_setpoint() -> None:
    made = active()
    made.rtac.remote_w, made.rtac.has_deadman = 0.0, False
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.power_on()
    made.run(10)
    assert "done" in made.act("declare-zero", name="Ann", reason="it is off", visited=True)
    assert not made.control().controller.state.in_force
    made.rtac.remote_w = 200_000.0
    made.until(lambda: made.control().controller.state.in_force)


# --- a removal names its number ---------------------------------------------------------------


class Kept:
    """The record of one asset, and what it orders."""

    def __init__(self) -> None:
        found = site()
        (asset,) = found.settings.assets
        self.turn = Turn()
        records = Records("gw-17", "bess-1", Topics("bess/v1", "gw-17"))
        start = Start("s", b"", True, None, Held(), 0, Findings(), None, None, 0, 0.0)  # noqa: FBT003 - control is on
        self.record = ForceRecord(
            asset, found.maps["bess-1"], start, records, itertools.count(1), self.turn
        )

    def begin(self, number: str) -> Obligation:
        return self.record.begin(number, 500_000.0, Base(None, None), Terms())

    def ordered(self) -> Record:
        (found,) = self.turn.effects()
        assert isinstance(found, Record)
        return found

    def told(self) -> list[object]:
        found = []
        while (one := self.turn.take()) is not None:
            found.append(one)
        return found


def test_a_removal_says_in_the_audit_log_which_one_it_removes() -> None:
    kept = Kept()
    kept.begin("a-1")
    kept.record.forget()
    record = kept.ordered()
    assert json.loads(record.entries[0].payload)["number"] == "a-1"
    assert kept.record.recorded(events.Recorded(record.token, ok=True, cause=""), awaited=False)
    assert kept.told() == [ForceForgotten(ok=True)]
    assert kept.record.owed is None


@pytest.mark.parametrize("again", ["begun", "came back"])
def test_a_removal_of_another_number_removes_nothing(again: str) -> None:
    kept = Kept()
    first = kept.begin("a-1")
    kept.record.forget()
    record = kept.ordered()
    if again == "begun":
        kept.begin("a-2")
    else:
        kept.record.keep(first)
    assert not kept.record.recorded(events.Recorded(record.token, ok=True, cause=""), awaited=False)
    assert kept.told() == []
    assert kept.record.owed is not None
    assert kept.record.owed.number != "a-1"
