"""What may be in force outlives the process, on a whole core, whatever the files say at a start."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import events
from gateway.control.execution import frames
from gateway.control.execution.outputs import Outputs
from gateway.control.phases import NO_STOP, Phase
from gateway.control.rules.percent_base import Base
from gateway.control.watchdog.effects import WriteIdle, WriteStop
from gateway.control.watchdog.obligation import (
    assets_in_force,
    fact_of_force,
    is_in_force,
    needs_beat,
    obligation,
)
from gateway.ports import CrobOp, Purpose
from tests.fixtures.control_site import WATCHDOG, ControlSite, commissioned, site
from tests.fixtures.execution import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.checked import Site

FACT = "bess-1/in-force"


def active() -> ControlSite:
    made = ControlSite()
    made.activate()
    assert FACT in made.disk.facts
    return made


def without_safety(found: Site) -> Site:
    return replace(found, safety=None)


def phase(made: ControlSite) -> Phase:
    return made.phase()


# --- it is kept, and goes only with a zero that is verified -------------------------------------


def test_it_is_on_the_disk_before_the_first_frame_and_says_all_that_zero_needs() -> None:
    made = ControlSite().arm()
    made.disk.delay_s = 2.0
    made.command("setpoint", powerW=400_000)
    made.run(1.5)
    assert FACT not in made.disk.facts
    assert made.rtac.remote_w == 0
    made.run(3)
    assert made.rtac.remote_w == 400_000
    body = json.loads(made.disk.facts[FACT])
    assert body["setpoint_w"] == 400_000
    assert (body["host"], body["port"], body["outstation"]) == ("192.0.2.10", 20000, 11)
    assert body["map_digest"] == made.site.maps["bess-1"].digest
    assert [row["point"] for row in body["rows"]] == ["AO0", "BO0"]
    assert (body["verify_s"], body["deadman_s"], body["response_s"]) == (30.0, 15.0, 3.0)


def test_it_goes_with_a_verified_zero_and_a_new_dispatch_waits_for_that() -> None:
    made = active()
    made.command("idle")
    made.until(lambda: phase(made) is Phase.IDLE)
    assert FACT in made.disk.facts
    assert made.command("arm")
    made.run(1)
    assert "STATE" in made.acks.values()
    made.until(lambda: FACT not in made.disk.facts)
    made.arm()


@pytest.mark.parametrize(
    "command",
    [
        lambda made: made.command("reserve", percent=30),
        lambda made: made.command("setpoint", powerW=0),
    ],
    ids=["reserve", "setpoint of 0"],
)
def test_a_command_without_power_leaves_the_last_signed_setpoint_in_the_fact(
    command: Callable[[ControlSite], object],
) -> None:
    made = active()
    command(made)
    made.run(3)
    assert json.loads(made.disk.facts[FACT])["setpoint_w"] == 500_000
    made.power_on()
    assert made.control().controller.state.last_w == 500_000


def test_whether_zero_needs_a_heartbeat_is_known_where_file_and_commissioning_agree() -> None:
    for now in (None, False, True):
        for kept in (None, False, True):
            assert needs_beat(now, kept) is (now if now is kept else None)


def test_a_fact_of_an_older_version_knows_not_whether_zero_needs_a_heartbeat() -> None:
    made = active()
    body = json.loads(made.disk.facts[FACT])
    del body["zero_needs_beat"]
    found = obligation({FACT: json.dumps(body)}, "bess-1")
    assert found is not None
    assert found.zero_needs_beat is None
    body["zero_needs_beat"] = "no"
    assert obligation({FACT: json.dumps(body)}, "bess-1") is None


def test_status_calls_a_zero_verified_only_where_it_is() -> None:
    made = active()

    def why() -> str:
        return str(made.ask("status")["assets"]["bess-1"]["control"]["inForce"]["unsettled"])

    assert why() == ""  # a dispatch is in force, and no zero is wanted
    made.rtac.local = True
    made.until(lambda: phase(made) is Phase.LOCAL)
    assert why() == "a setpoint may be in force, and no zero is verified since"
    (reason,) = made.ask("status")["reasons"]
    assert reason.startswith("bess-1: something is in force without a dispatch: a setpoint may be")
    made.rtac.local = False
    made.until(lambda: phase(made) is Phase.IDLING)
    assert why() == "a setpoint may be in force, and no zero is verified since"
    made.until(lambda: phase(made) is Phase.IDLE)
    assert why().startswith("measured power is ")


def test_power_that_nobody_asked_for_is_none_of_the_two_reads() -> None:
    made = active()
    made.plant.flows_w = 400_000.0
    made.command("idle")
    made.until(lambda: phase(made) is Phase.IDLE)
    made.run(8)
    made.plant.flows_w = None
    points = made.plant.points(made.at, made.wall_ms)
    unsolicited = True
    made.post(events.FragmentStored("bess-1", points, unsolicited, made.now()))
    made.run(4)
    assert FACT in made.disk.facts
    made.until(lambda: FACT not in made.disk.facts)


def test_while_the_disk_cannot_forget_it_no_power_is_taken() -> None:
    made = active()
    made.disk.refuses = True
    made.command("idle")
    made.run(60)
    assert made.rtac.remote_w == 0
    assert FACT in made.disk.facts
    id_ = made.command("arm")
    made.run(1)
    assert made.acks[id_] == "STATE"
    made.disk.refuses = False
    made.run(15)
    assert FACT not in made.disk.facts


def test_a_dispatch_whose_record_fails_is_zeroed_all_the_same() -> None:
    made = ControlSite().arm()
    made.disk.refuses = True
    at = made.at
    made.command("setpoint", powerW=400_000)
    made.run(5)
    assert made.written("AO0", since=at) == [0]
    assert phase(made) in (Phase.IDLING, Phase.IDLE)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: setattr(made, "site", without_safety(made.site)),
        lambda made: setattr(made, "site", site(digest="sha256:" + "9" * 64)),
        lambda made: setattr(made, "wall_ms", 1_000_000),
        lambda made: made.disk.facts.pop("bess-1/sign-test"),
        lambda made: made.disk.facts.update({"bess-1/disabled": json.dumps({"by": "ann"})}),
        lambda made: setattr(made, "site", site(approval="monitor")),
    ],
    ids=["no safety.toml", "not acknowledged", "clock", "no sign test", "disabled", "monitor"],
)
def test_a_start_with_control_off_writes_the_zero_that_is_owed(
    change: Callable[[ControlSite], object],
) -> None:
    made = active()
    change(made)
    made.power_on()
    at = made.at
    made.run(30)
    assert made.written("AO0", since=at)[:1] == [0]
    assert made.rtac.remote_w == 0
    assert FACT not in made.disk.facts
    assert phase(made) is Phase.MONITOR


def test_a_kill_in_the_first_test_leaves_no_power() -> None:
    made = ControlSite(ready=False)
    made.run(5)
    made.ask("commission", act="acknowledge", digest=made.control().controller.safety.digest)
    made.run(1)
    made.ask("commission", act="deadman-test", holdS=30)
    for _ in range(90):
        made.ask("commission", act="progress")
        made.run(1)
        if made.rtac.remote_w:
            break
    assert made.rtac.remote_w == 40_000
    made.power_on()
    made.run(30)
    assert made.rtac.remote_w == 0
    assert FACT not in made.disk.facts


def test_disable_control_while_the_link_is_down_then_a_start_leaves_no_power() -> None:
    made = active()
    made.cut()
    made.run(12)
    made.ask("disable-control", asset="bess-1")
    made.run(1)
    made.power_on()
    made.mend()
    made.rtac.remote_w = 500_000.0  # no dead-man there
    made.run(30)
    assert made.rtac.remote_w == 0


def test_open_commands_of_an_older_store_count_as_in_force() -> None:
    made = active()
    del made.disk.facts[FACT]
    made.site = without_safety(made.site)
    made.power_on()
    made.run(30)
    assert made.rtac.remote_w == 0


def test_an_open_command_of_an_older_store_is_in_force_at_every_start_until_zero_is_verified() -> (
    None
):
    made = active()
    made.rtac.has_deadman = False
    del made.disk.facts[FACT]
    made.site = without_safety(made.site)
    made.cut()
    made.power_on()
    made.run(5)
    made.power_on()
    made.mend()
    made.run(30)
    assert made.rtac.remote_w == 0
    assert phase(made) is Phase.MONITOR
    assert FACT not in made.disk.facts


def test_a_fact_that_cannot_be_read_counts_as_in_force() -> None:
    made = active()
    made.disk.facts[FACT] = "{"
    made.site = without_safety(made.site)
    made.power_on()
    made.run(30)
    assert made.rtac.remote_w == 0


@pytest.mark.parametrize("bad", [None, "x", -1, True, [], {}, ""])
@pytest.mark.parametrize("where", ["rows", "row", "fact"])
def test_a_garbled_fact_ends_no_start_and_no_choice_of_the_operator(
    where: str, bad: object
) -> None:
    good = json.loads(active().disk.facts[FACT])
    keys = good["rows"][0] if where == "row" else {"rows": 0} if where == "rows" else good
    for key in keys:
        if (key, bad) == ("value", -1):
            continue  # a number is a number
        body = json.loads(json.dumps(good))
        (body["rows"][0] if where == "row" else body)[key] = bad
        made = ControlSite()
        made.disk.facts[FACT] = json.dumps(body)
        made.power_on()
        made.run(2)
        made.ask("zero", by="kept")
        made.run(1)
        made.core_status()


def test_latched_without_a_safety_file_is_latched() -> None:
    made = ControlSite()
    made.disk.facts["bess-1/phase"] = json.dumps({"phase": "LATCHED", "stopOwed": False})
    made.site = without_safety(made.site)
    made.power_on()
    made.run(10)
    assert phase(made) is Phase.LATCHED
    made.ask("reset")
    made.until(lambda: phase(made) is Phase.MONITOR)


def test_a_kept_yield_is_a_yield_after_the_start_and_not_latched() -> None:
    made = active()
    made.rtac.other_w = 250_000.0
    made.until(lambda: phase(made) is Phase.LOCAL)
    made.run(1)
    made.power_on()
    at = made.at
    made.run(60)
    assert phase(made) is Phase.LOCAL
    assert made.control().controller.state.yielded
    assert made.outputs[-1][0] < at  # neither zero nor heartbeat: another master has it
    made.rtac.other_w, made.rtac.remote_w = None, 0.0  # it lets go
    made.until(lambda: phase(made) is Phase.IDLE)
    assert "bess-1/phase" not in made.disk.facts


def test_a_crash_loop_while_zero_is_refused_lets_the_dead_man_end_it() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    for _ in range(12):
        made.power_on()
        made.run(10)
    assert made.rtac.remote_w == 0


def test_estop_and_idle_are_taken_with_control_off_while_something_is_in_force() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.site = without_safety(made.site)
    made.power_on()
    made.run(3)
    assert "done" in made.act("idle")
    at = made.at
    assert "done" in made.act("estop")
    made.run(3)
    assert made.written("BO1", since=at) == [CrobOp.PULSE_ON]


def test_after_a_reset_no_heartbeat_goes_before_a_zero_that_nobody_refused() -> None:
    """Of the group before only that it is over is kept: that record orders no group."""
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.command("idle")
    made.until(lambda: phase(made) is Phase.LATCHED)
    made.run(5)
    made.rtac.refuses_zero = False
    made.plant.latency_s, made.disk.delay_s = 0.5, 0.01  # the disk answers first
    made.operates = []
    made.act("reset", asset="bess-1")
    made.until(lambda: phase(made) is Phase.IDLE)
    zeros = [one.control.point for one in made.operates if one.purpose is Purpose.ZERO]
    assert zeros
    assert "AO1" not in zeros


@pytest.mark.parametrize(("verb", "point"), [("estop", "BO1"), ("idle", "AO0")])
def test_the_cloud_may_take_power_away_with_control_off_while_something_is_in_force(
    verb: str, point: str
) -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.act("disable-control", asset="bess-1")
    made.run(3)
    at, id_ = made.at, made.command(verb)
    made.run(3)
    assert made.acks[id_] == "received"
    assert made.written(point, since=at)
    assert made.acks[made.command("arm")] == "CONTROL_DISABLED"


@pytest.mark.parametrize("verb", ["estop", "idle"])
def test_in_monitor_the_cloud_may_take_power_away_until_it_is_known_to_be_gone(verb: str) -> None:
    made = active()
    made.plant.flows_w = 500_000.0  # it obeys in the echo alone
    made.act("disable-control", asset="bess-1")
    made.until(lambda: phase(made) is Phase.MONITOR)
    assert made.acks[made.command(verb)] == "received"
    assert phase(made) is {"estop": Phase.ESTOP, "idle": Phase.IDLING}[verb]


def test_with_control_off_and_nothing_in_force_the_cloud_orders_nothing() -> None:
    made = ControlSite().ready()
    made.act("disable-control", asset="bess-1")
    made.run(3)
    for verb in ("idle", "estop"):
        id_ = made.command(verb)
        assert made.acks[id_] == "CONTROL_DISABLED"
        told = NO_STOP in json.loads(made.published[-1].payload)["text"]
        assert told is (verb == "estop"), "who orders a stop is told what stops the battery"


def silent(wanted: Phase) -> ControlSite:
    """Something is in force, and no zero may be written yet."""
    made = active()
    if wanted is Phase.LOCAL:
        made.rtac.local = True
    else:
        made.cut()
    if wanted is Phase.STARTUP:
        made.power_on()
        made.run(1)
    made.until(lambda: phase(made) is wanted)
    return made


def restore(made: ControlSite) -> None:
    """The session, and the authority."""
    made.rtac.local = False
    made.mend()


@pytest.mark.parametrize("where", [Phase.LOCAL, Phase.BLIND, Phase.STARTUP])
@pytest.mark.parametrize("verb", ["idle", "disarm", "release"])
def test_the_clouds_idle_is_taken_where_none_may_be_written_yet_and_waits(
    verb: str, where: Phase
) -> None:
    made = silent(where)
    at, id_ = made.at, made.command(verb)
    assert made.acks[id_] == "received"
    made.run(5)
    assert made.results[id_][-1] == "executing"
    rows = [json.loads(row.payload) for row in made.disk.rows if row.event == "result"]
    (warned,) = [row["warnings"] for row in rows if row["id"] == id_]
    assert warned == [f"{where.name} writes nothing: zero is written as soon as it may be"]
    assert made.written("AO0", since=at) == [], "I7"
    assert phase(made) is where
    restore(made)
    made.until(lambda: made.ends(id_) == "succeeded")
    assert made.written("AO0", since=at) == [0]
    assert made.rtac.remote_w == 0


def test_an_idle_that_waits_ends_where_the_site_takes_the_authority_again() -> None:
    made = silent(Phase.BLIND)
    id_ = made.command("idle")
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.mend()
    made.until(lambda: phase(made) is Phase.IDLING)
    assert made.results[id_][-1] == "executing"
    made.rtac.local = True
    made.until(lambda: made.ends(id_) == "aborted")


def test_an_idle_that_waits_does_not_succeed_where_nothing_was_written() -> None:
    made = silent(Phase.STARTUP)
    id_ = made.command("idle")
    said: dict[str, Any] = {
        "asset": "bess-1",
        "name": "J. Doe",
        "reason": "breaker open",
        "visited": True,
    }
    assert "done" in made.act("declare-zero", **said)
    made.act("disable-control", asset="bess-1")
    assert phase(made) is Phase.MONITOR
    assert made.ends(id_) == "aborted"


def test_in_estop_the_cloud_may_order_zero_while_something_is_in_force() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.command("estop")
    made.run(1)
    assert phase(made) is Phase.ESTOP
    at, id_ = made.at, made.command("idle")
    assert made.acks[id_] == "received"
    made.run(3)
    assert made.written("AO0", since=at)
    made.rtac.refuses_zero, made.plant.refused = False, None
    made.until(lambda: made.ends(id_) == "succeeded")
    assert phase(made) is Phase.ESTOP


def test_without_arming_and_with_nothing_in_force_the_clouds_idle_is_refused_in_local() -> None:
    made = ControlSite().ready()
    made.rtac.local = True
    made.until(lambda: phase(made) is Phase.LOCAL)
    assert made.acks[made.command("idle")] == "STATE"


def test_who_orders_estop_in_local_is_told_that_the_stop_is_owed() -> None:
    made = active()
    made.rtac.local = True
    made.until(lambda: phase(made) is Phase.LOCAL)
    done = str(made.act("estop")["done"])
    assert "the site has control: use the hard-wired stop; ours follows on remote" in done
    assert any("the stop is owed" in one for one in made.ask("status")["reasons"])
    assert made.written("BO1") == []
    made.rtac.local = False
    made.until(lambda: bool(made.written("BO1")))
    made.run(5)
    assert not any("the stop is owed" in one for one in made.ask("status")["reasons"])
    assert made.written("BO1") == [CrobOp.PULSE_ON]


def test_who_orders_estop_where_none_is_written_is_told_to_use_the_hard_wired_one() -> None:
    made = active()
    good = made.site
    made.site = moved(good, outstation_address=77)
    made.power_on()
    made.run(20)
    done = str(made.act("estop")["done"])
    assert "nothing is written: use the hard-wired stop" in done
    made.run(5)
    assert made.written("BO1") == []
    made.act("zero", by="new")
    made.until(lambda: bool(made.written("BO1")))


def test_who_orders_estop_without_a_session_is_told_to_use_the_hard_wired_one() -> None:
    made = active()
    made.cut()
    made.until(lambda: phase(made) is Phase.BLIND)
    done = str(made.act("estop")["done"])
    assert "no session: use the hard-wired stop; ours follows when it is up" in done
    assert made.written("BO1") == []
    made.mend()
    made.until(lambda: bool(made.written("BO1")))


def test_with_nothing_in_force_estop_names_the_hard_wired_stop() -> None:
    made = ControlSite(ready=False)
    made.run(3)
    assert "hard-wired stop" in str(made.ask("estop")["error"])


# --- where zero would be another one --------------------------------------------------------


def moved(found: Site, **dnp3: object) -> Site:
    """The same site with its outstation elsewhere."""
    (asset,) = found.settings.assets
    link = replace(asset.dnp3, **dnp3)  # type: ignore[arg-type]  # by name
    settings = replace(found.settings, assets=(replace(asset, dnp3=link),))
    return replace(found, settings=settings)


def test_where_the_endpoint_changed_nothing_is_written_and_an_operator_chooses() -> None:
    made = active()
    made.site = moved(made.site, outstation_address=77)
    made.power_on()
    at = made.at
    made.run(20)
    assert made.written("AO0", since=at) == made.written("AO1", since=at) == []
    (reason,) = [one for one in made.core_status()["reasons"] if "written" in one]
    assert "outstation 11" in reason
    assert "declare-zero" in reason
    assert "put site.toml back" in str(made.ask("zero", by="kept")["error"])
    assert "done" in made.act("zero", by="new")
    made.run(20)
    assert made.rtac.remote_w == 0
    assert FACT not in made.disk.facts


def test_by_kept_writes_the_rows_that_were_kept() -> None:
    made = active()
    body = json.loads(made.disk.facts[FACT])
    made.disk.facts[FACT] = json.dumps({**body, "rows": body["rows"][:1]})  # the mode stays on
    made.power_on()
    at = made.at
    made.run(5)
    assert made.written("AO0", since=at) == []
    assert "done" in made.act("zero", by="kept")
    made.until(lambda: FACT not in made.disk.facts)
    assert made.written("AO0", since=at) == [0]
    assert made.written("BO0", since=at) == []


def test_a_reload_that_puts_the_endpoint_back_brings_the_zero() -> None:
    made = active()
    good = made.site
    made.site = moved(good, outstation_address=77)
    made.power_on()
    made.run(20)
    at = made.at
    made.reload(good)
    assert made.site is good
    made.until(lambda: FACT not in made.disk.facts)
    assert made.written("AO0", since=at)[0] == 0
    assert made.rtac.remote_w == 0


def test_a_reload_that_changes_a_battery_whose_zero_is_not_over_is_told_so() -> None:
    made = active()
    made.command("idle")
    made.until(lambda: phase(made) is Phase.IDLE)
    out = made.post(events.ReloadAsked(site(labels="other"), ""))
    assert "asset bess-1 is IDLE and its settings change: its zero is not over" in str(out)


def test_by_kept_an_echo_that_is_not_good_verifies_no_zero() -> None:
    made = active()
    body = json.loads(made.disk.facts[FACT])
    made.disk.facts[FACT] = json.dumps({**body, "rows": body["rows"][:1]})
    made.power_on()
    made.run(5)
    made.plant.offline = frozenset({"AI8"})
    made.act("zero", by="kept")
    made.run(15)
    assert phase(made) is Phase.IDLING
    assert FACT in made.disk.facts
    made.plant.offline = frozenset()
    made.until(lambda: FACT not in made.disk.facts)


def test_declared_zero_is_refused_while_our_setpoint_is_read() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.power_on()
    made.run(5)
    said: dict[str, Any] = {"name": "Ann", "reason": "breaker is open", "visited": True}
    assert "our setpoint" in str(made.ask("declare-zero", **said)["error"])
    assert FACT in made.disk.facts


def test_declared_zero_is_refused_while_power_is_as_our_setpoint_was() -> None:
    made = active()
    made.plant.flows_w = 300_000.0
    made.command("idle")
    made.run(10)
    said: dict[str, Any] = {"name": "Ann", "reason": "breaker is open", "visited": True}
    assert "measured power is 300000 W" in str(made.ask("declare-zero", **said)["error"])
    made.plant.flows_w = -300_000.0  # of the other sign: not ours
    made.run(6)
    assert "done" in made.act("declare-zero", **said)


def test_declared_zero_is_refused_while_what_a_failed_record_did_not_supersede_is_read() -> None:
    made = active()
    made.disk.refuses = True
    made.command("setpoint", powerW=-300_000)
    made.run(3)
    made.disk.refuses = False
    assert phase(made) is Phase.ACTIVE
    made.rtac.refuses_zero = True
    made.command("idle")
    made.run(10)
    said = made.ask("declare-zero", asset="bess-1", name="Kim", reason="saw it", visited=True)
    assert "which is our setpoint" in said.get("error", ""), said


def test_declared_zero_ends_the_fact_and_is_taken_back_by_what_is_read() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.site = moved(made.site, outstation_address=77)
    made.power_on()
    made.run(5)
    said: dict[str, Any] = {"name": "Ann", "reason": "breaker is open", "visited": True}
    assert "visited" in str(made.ask("declare-zero", **{**said, "visited": False})["error"])
    assert "name and reason" in str(made.ask("declare-zero", **{**said, "reason": ""})["error"])
    assert "done" in made.act("declare-zero", **said)
    made.run(0.25)
    facts = dict(made.disk.facts)
    assert not is_in_force(facts, "bess-1")
    assert assets_in_force(facts) == frozenset()
    made.run(15)  # the read shows it: it was not so
    assert is_in_force(made.disk.facts, "bess-1")


def test_an_asset_that_left_site_toml_is_named() -> None:
    made = active()
    kept = made.disk.facts[FACT]
    other = ControlSite(site("bess-2"))
    other.disk.facts = {**commissioned(other.site), FACT: kept}
    other.power_on()
    other.run(2)
    assert any("bess-1" in one and "site.toml" in one for one in other.core_status()["reasons"])


def test_a_fact_round_trips_and_what_is_none_is_not_read() -> None:
    made = active()
    found = obligation(made.disk.facts, "bess-1")
    assert found is not None
    again = {k: v for k, v in fact_of_force("bess-1", found).items() if v is not None}
    assert obligation(again, "bess-1") == found
    for text in ("[]", "{}", '{"rows": 1}', "null", "\u0000"):
        assert obligation({FACT: text}, "bess-1") is None
        assert is_in_force({FACT: text}, "bess-1")


# --- power ------------------------------------------------------------------------------------


def test_zero_in_the_echo_and_power_that_flows_is_not_healthy_and_nobody_arms() -> None:
    made = active()
    made.plant.flows_w = 500_000.0
    made.command("idle")
    made.run(60)
    assert phase(made) is Phase.IDLE
    assert any("measured power" in one for one in made.core_status()["reasons"])
    id_ = made.command("arm")
    made.run(1)
    assert made.acks[id_] == "STATE"
    made.plant.flows_w = None
    made.run(20)
    assert not any("measured power" in one for one in made.core_status()["reasons"])


def test_status_does_not_call_verified_what_is_not() -> None:
    made = active()
    made.cut()
    made.run(15)
    (reason,) = [one for one in made.core_status()["reasons"] if "without a dispatch" in one]
    assert "no zero is verified" in reason
    made.mend()
    made.until(lambda: phase(made) is Phase.IDLE)
    made.disk.refuses = True
    made.run(30)
    (reason,) = [one for one in made.core_status()["reasons"] if "without a dispatch" in one]
    assert "not on the disk yet" in reason


# --- whatever is written counts, and the stricter figures hold --------------------------------


def test_a_reserve_counts_as_power_until_a_zero_is_verified() -> None:
    made = ControlSite().arm()
    made.command("reserve", percent=30)
    made.run(3)
    assert json.loads(made.disk.facts[FACT])["setpoint_w"] is None
    made.command("disarm")
    made.until(lambda: FACT not in made.disk.facts)


@pytest.mark.parametrize(("verify_s", "deadman_s"), [(60.0, 20.0), (20.0, 10.0)])
def test_while_in_force_v_and_w_are_the_stricter_of_old_and_new(
    verify_s: float, deadman_s: float
) -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    held = replace(WATCHDOG, idle_verify_s=verify_s, rtac_deadman_s=deadman_s)
    made.site = site(watchdog=held)
    made.power_on()
    terms = made.control().controller.state.terms
    assert (terms.idle_verify_s, terms.deadman_s) == (min(verify_s, 30), max(deadman_s, 15))
    made.rtac.refuses_zero = False
    made.until(lambda: FACT not in made.disk.facts)
    terms = made.control().controller.state.terms
    assert (terms.idle_verify_s, terms.deadman_s) == (verify_s, deadman_s)


@pytest.mark.parametrize(
    ("verify_s", "deadman_s", "latches_s"), [(24.0, 20.0, 24), (60.0, 10.0, 30)]
)
@pytest.mark.parametrize("known", [True, False], ids=["a fact on the disk", "none, at a start"])
def test_a_reload_while_zero_is_demanded_makes_v_and_w_stricter_alone(
    *, known: bool, verify_s: float, deadman_s: float, latches_s: float
) -> None:
    made = active() if known else ControlSite()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    if known:
        made.command("idle")
    else:
        made.power_on()
    made.until(lambda: phase(made) is Phase.IDLING)
    at = made.at
    made.run(20)
    made.reload(site(watchdog=replace(WATCHDOG, idle_verify_s=verify_s, rtac_deadman_s=deadman_s)))
    terms = made.control().controller.state.terms
    assert (terms.idle_verify_s, terms.deadman_s) == (min(verify_s, 30), max(deadman_s, 15))
    made.until(lambda: phase(made) is Phase.LATCHED, within_s=20)
    assert made.at - at == pytest.approx(latches_s, abs=0.5)
    made.rtac.refuses_zero, made.plant.refused = False, None
    made.ask("reset", asset="bess-1")
    made.until(lambda: phase(made) is Phase.IDLE and FACT not in made.disk.facts)
    made.run(1)
    terms = made.control().controller.state.terms
    assert (terms.idle_verify_s, terms.deadman_s) == (verify_s, deadman_s)


def test_a_v_that_is_over_when_it_shrinks_latches_at_once() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.command("idle")
    made.run(25)
    made.reload(site(watchdog=replace(WATCHDOG, idle_verify_s=20.0)))
    made.run(0.5)
    assert phase(made) is Phase.LATCHED


def test_a_reload_that_changes_the_endpoint_waits_while_anything_is_in_force() -> None:
    made = active()
    made.cut()
    made.run(15)
    assert phase(made) is Phase.BLIND
    made.reload(moved(made.site, outstation_address=77))
    made.run(1)
    assert made.control().controller.owed is not None
    assert any("its settings change" in one for one in made.core_status()["reasons"])


def test_between_the_beat_and_the_zero_of_a_group_nothing_is_written() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.power_on()
    at = made.at
    made.run(10)
    points = [(point, value) for t, _, point, value in made.outputs if t >= at]
    beats = [i for i, (point, _) in enumerate(points) if point == "AO1"]
    assert len(beats) == 1  # silent but for the group
    assert points[beats[0] + 1] == ("AO0", 0)


def test_that_a_group_is_forgotten_feeds_no_dead_man() -> None:
    made = active()
    made.plant.refused, made.rtac.refuses_zero = refused(8), True
    made.command("idle")
    made.until(lambda: phase(made) is Phase.LATCHED)
    assert "bess-1/group" in made.disk.facts
    made.rtac.refuses_zero, made.rtac.echo_error_w = False, -50_000.0
    made.disk.delay_s = 1.0
    at = made.at
    made.ask("reset")
    made.run(8)
    assert phase(made) is Phase.IDLING
    assert made.written("AO1", since=at) == []


def test_with_control_off_what_a_restart_brings_back_while_in_force_is_zeroed() -> None:
    made = active()
    made.rtac.has_deadman = False
    made.plant.flows_w = 400_000.0
    made.ask("disable-control", asset="bess-1")
    made.until(lambda: phase(made) is Phase.MONITOR)
    made.run(5)
    made.plant.flows_w, made.rtac.memory_w = None, 300_000.0  # an older one
    made.restart_rtac(resumes=True)
    made.until(lambda: FACT not in made.disk.facts)
    assert made.rtac.in_force_w == 0


def test_with_control_off_our_setpoint_in_the_echo_while_in_force_is_zeroed() -> None:
    made = active()
    made.rtac.has_deadman = False
    made.ask("disable-control", asset="bess-1")
    made.until(lambda: phase(made) is Phase.MONITOR)
    made.rtac.remote_w = 500_000.0
    made.until(lambda: FACT not in made.disk.facts)
    assert made.rtac.in_force_w == 0


def test_no_zero_is_declared_while_a_dispatch_waits_for_the_disk_or_is_in_force() -> None:
    made = ControlSite().arm()
    made.disk.delay_s = 2.0
    made.command("setpoint", powerW=400_000)
    made.run(0.5)
    said = made.ask("declare-zero", asset="bess-1", name="Kim", reason="saw it", visited=True)
    assert said == {"error": "bess-1 is ARMED: idle it first"}
    made.until(lambda: made.rtac.remote_w == 400_000)
    said = made.ask("declare-zero", asset="bess-1", name="Kim", reason="saw it", visited=True)
    assert said == {"error": "bess-1 is ACTIVE: idle it first"}
    assert made.control().controller.state.in_force


def test_no_zero_is_declared_that_is_verified_and_waits_for_the_disk() -> None:
    made = active()
    made.command("idle")
    made.until(lambda: phase(made) is Phase.IDLE)
    made.disk.delay_s = 5.0
    made.until(lambda: made.control().controller.state.forgetting)
    said = made.ask("declare-zero", name="Kim", reason="saw it", visited=True)
    assert said == {"error": "bess-1: zero is verified, and waits for the disk"}
    made.until(lambda: FACT not in made.disk.facts)
    made.disk.delay_s = 0.01
    made.arm()


def test_power_of_the_site_in_local_is_not_held_against_our_zero() -> None:
    made = active()
    made.command("idle")
    made.until(lambda: phase(made) is Phase.IDLE)
    made.rtac.local, made.plant.flows_w = True, 450_000.0
    made.until(lambda: phase(made) is Phase.LOCAL)
    made.run(60)
    assert not made.control().controller.state.ended
    assert (made.control().controller.beat_at or 0.0) > made.at - 5
    made.rtac.local, made.plant.flows_w = False, None
    made.until(lambda: FACT not in made.disk.facts)


def test_after_a_yield_there_is_no_heartbeat_before_an_accepted_zero() -> None:
    made = active()
    made.rtac.has_deadman = False
    made.rtac.other_w = 300_000.0
    made.until(lambda: phase(made) is Phase.LOCAL)
    made.plant.refused, made.rtac.refuses_zero = refused(8), True
    made.rtac.other_w = None
    made.until(lambda: phase(made) is Phase.IDLING)
    at = made.at
    made.run(15)
    assert len(made.written("AO1", since=at)) == 1  # of the group that follows a refused zero


def test_zero_by_an_operators_choice_leads_out_of_latched() -> None:
    made = active()
    made.site = moved(made.site, outstation_address=77)
    made.power_on()
    made.until(lambda: phase(made) is Phase.LATCHED)
    assert "done" in made.act("zero", by="new")
    made.until(lambda: FACT not in made.disk.facts)
    assert phase(made) is Phase.IDLE


# --- what people are told ---------------------------------------------------------------------


def reasons(made: ControlSite) -> str:
    return " / ".join(made.core_status()["reasons"])


def test_status_is_degraded_while_latched_or_stopped_and_says_what_to_do() -> None:
    made = active()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.command("idle")
    made.run(20)
    made.until(lambda: phase(made) is Phase.LATCHED)
    assert "LATCHED (unverified): `reset`" in reasons(made)
    made = ControlSite().ready()
    made.act("estop")
    made.run(1)
    assert "ESTOP (ordered): `reset`" in reasons(made)


def test_status_is_degraded_while_yielded_and_no_heartbeat_is_written() -> None:
    made = ControlSite().ready()
    made.rtac.other_w = 300_000.0
    made.until(lambda: phase(made) is Phase.LOCAL)
    assert "yielded: another master's setpoint is in force" in reasons(made)
    at = made.at
    made.run(20)
    assert made.written("AO1", since=at) == made.written("AO0", since=at) == []


def test_status_is_degraded_in_startup_beyond_v() -> None:
    made = active()
    made.cut()
    made.power_on()
    made.run(20)
    assert "STARTUP" not in reasons(made)
    made.run(15)
    assert phase(made) is Phase.STARTUP
    assert "in STARTUP for longer than zero may take" in reasons(made)


def test_status_names_a_declaration_until_a_zero_is_verified() -> None:
    made = active()
    made.site = moved(made.site, outstation_address=77)
    made.power_on()
    made.rtac.remote_w = 0.0
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.run(5)
    made.act("declare-zero", name="Ann", reason="breaker is open", visited=True)
    made.run(2)
    assert "only declared" in reasons(made)
    held = made.core_status()["assets"]["bess-1"]["control"]["inForce"]
    assert "Ann visited the site: breaker is open" in held["declared"]
    made.rtac.refuses_zero = False
    made.run(40)
    assert "declared" not in reasons(made)


def test_a_stop_of_unknown_outcome_stands_in_status_until_a_reset() -> None:
    made = ControlSite().ready()
    made.rtac.loses_answers = True
    made.act("estop")
    made.run(8)
    made.rtac.loses_answers = False
    assert "nobody knows whether the stop operated" in reasons(made)
    made.run(60)
    assert made.rtac.stopped == 1
    made.act("reset")
    made.run(10)
    assert "nobody knows" not in reasons(made)


def test_a_stop_that_is_repeated_goes_behind_a_zero_that_waits() -> None:
    way = Outputs("bess-1", itertools.count(1))
    for order in (WriteStop(1, again=True), WriteIdle(2)):
        points_map, of = site().maps["bess-1"], Base(None, None)
        output = frames.output(order, points_map, of, release=False, reversion_s=60.0)
        assert output is not None
        way.put(output)
    first = way.next()
    assert first is not None
    assert first.owner == "IDLE"


def test_a_stop_that_waits_for_the_disk_does_not_leave_in_local() -> None:
    made = ControlSite().ready()
    made.disk.delay_s = 0.9
    made.ask("estop")
    made.rtac.local = True
    made.until(lambda: made.control().controller.state.local)
    made.run(10)
    assert made.written("BO1") == []
    assert "the stop is owed" in reasons(made)
    made.rtac.local = False
    made.until(lambda: made.written("BO1") == [CrobOp.PULSE_ON])


def test_a_stop_that_the_session_holds_does_not_leave_in_local_and_stays_owed() -> None:
    made = ControlSite().ready()
    made.plant.latency_s = 8.0  # behind a request
    made.ask("estop")
    made.until(lambda: made.written("BO1") == [CrobOp.PULSE_ON])
    made.rtac.local = True
    made.until(lambda: made.control().controller.state.local)
    assert made.rtac.stopped == 0
    made.run(10)
    assert made.rtac.stopped == 0
    assert "the stop is owed" in reasons(made)
    made.power_on()
    made.run(5)
    assert "the stop is owed" in reasons(made), "also over a restart"
    made.rtac.local = False
    made.until(lambda: made.rtac.stopped == 1)


def test_a_stop_that_was_owed_is_not_sent_twice_over_a_kill() -> None:
    made = active()
    made.rtac.local = True
    made.until(lambda: phase(made) is Phase.LOCAL)
    made.ask("estop")
    made.run(3)
    made.rtac.local = False
    made.plant.latency_s = 0.4
    made.until(lambda: made.rtac.stopped == 1)
    made.power_on()
    made.run(10)
    assert made.rtac.stopped == 1
    assert phase(made) is Phase.ESTOP


def test_a_stop_that_is_owed_ends_with_a_reset() -> None:
    made = ControlSite().ready()
    made.rtac.local = True
    made.until(lambda: phase(made) is Phase.LOCAL)
    made.act("estop")
    made.run(5)
    made.act("reset")
    made.rtac.local = False
    made.run(20)
    assert made.written("BO1") == []
    assert phase(made) is Phase.IDLE
