"""All assets of a gateway: one sequence of challenges, reloads, and what a broker may send."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import effects, events
from gateway.control.phases import Phase
from gateway.errors import Fault, Where
from tests.fixtures.commands import STRANGER, heartbeat
from tests.fixtures.control_site import PREFIX, ControlSite, commissioned, site

if TYPE_CHECKING:
    from gateway.checked import Site


def published(made: ControlSite) -> list[int]:
    return [number for session, number in made.issued if session == made.session]


def test_every_asset_counts_the_same_challenges_and_each_is_published_once() -> None:
    made = ControlSite(site("bess-1", "bess-2"))
    made.arm("bess-1")
    made.arm("bess-2")
    leases = [made.control(name).controller.state.lease for name in ("bess-1", "bess-2")]
    assert leases[0].issued == leases[1].issued
    assert leases[0].expires_at == leases[1].expires_at
    assert len(published(made)) == len(set(published(made)))
    for number, issued_at in leases[0].issued:
        assert made.issued[made.session, number] == issued_at


@pytest.mark.parametrize("names", [("bess-0", "bess-1"), ("bess-1", "bess-2")])
def test_an_asset_that_a_reload_adds_counts_the_challenges_of_the_others(
    names: tuple[str, ...],
) -> None:
    made = ControlSite()
    made.arm()
    made.run(2.25)  # between two challenges
    made.command("idle")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.reload(site(*names))
    added = names[0] if names[0] != "bess-1" else names[1]
    made.run(12)
    old, new = (made.control(name).controller.state.lease for name in ("bess-1", added))
    assert old.newest == new.newest
    assert set(new.issued) <= set(old.issued)
    for number, issued_at in old.issued:
        assert made.issued[made.session, number] == issued_at
    made.run(60)
    assert made.control("bess-1").controller.state.lease.live(made.at)
    made.command("arm", asset="bess-1")
    assert made.phase("bess-1") is Phase.ARMED


def test_a_reload_does_not_touch_an_asset_that_stays_as_it_is() -> None:
    made = ControlSite()
    made.activate()
    made.reload(site("bess-1", "bess-2"))
    made.run(30)
    assert made.phase() is Phase.ACTIVE
    made.reload(site("bess-1"))
    made.run(30)
    assert made.phase() is Phase.ACTIVE
    assert made.rtac.remote_w == 500_000


@pytest.mark.parametrize("changes", [{"labels": "other"}])
def test_a_reload_that_changes_an_asset_waits_until_it_is_idle(changes: dict[str, object]) -> None:
    made = ControlSite()
    made.activate()
    out = made.post(events.ReloadAsked(site(**changes), ""))  # type: ignore[arg-type]  # of site()
    assert "idle it first" in str(out)
    made.run(20)
    assert made.phase() is Phase.ACTIVE


@pytest.mark.parametrize("changes", [{"labels": "other"}])
def test_an_asset_that_a_reload_changed_can_be_controlled_afterwards(
    changes: dict[str, object],
) -> None:
    made = ControlSite().ready()
    made.reload(site(**changes))  # type: ignore[arg-type]  # of site()
    at = made.at
    made.until(lambda: made.phase() is Phase.IDLE, within_s=20)
    assert made.written("AO0", since=at)[0] == 0
    made.run(35)
    made.activate()


@pytest.mark.parametrize("changes", [{"labels": "other"}])
def test_latched_survives_a_reload_that_changes_the_asset(changes: dict[str, object]) -> None:
    made = ControlSite()
    made.rtac.refuses_zero = True  # with nothing in force: else the reload is refused
    made.until(lambda: made.phase() is Phase.LATCHED)
    made.reload(site(**changes))  # type: ignore[arg-type]  # of site()
    made.run(20)
    assert made.phase() is Phase.LATCHED


def test_what_waits_for_an_asset_that_a_reload_begins_anew_is_told_of_its_end() -> None:
    made = ControlSite(site(approval="local")).ready()
    arm = made.command("arm", lives_s=120)
    assert made.ends(arm) == "pending_approval"
    made.reload(site(approval="local", labels="other"))
    assert made.ends(arm) == "aborted"


@pytest.mark.parametrize("names", [("bess-1",), ("bess-2",)])
def test_a_test_that_a_reload_ends_is_told_of_its_end_and_writes_nothing(
    names: tuple[str, ...],
) -> None:
    made = ControlSite(site("bess-1", "bess-2")).ready()
    made.ask("commission", asset="bess-1", act="deadman-test")
    made.run(1)
    rows, at = len(made.disk.rows), made.at
    made.reload(site(*names, labels="other"))
    written = [point for when, asset, point, _ in made.outputs if when >= at]
    made.run(1)
    said = [
        json.loads(one.payload) for one in made.disk.rows[rows:] if one.event == "commissioning"
    ]
    assert [(one["ok"], one["text"]) for one in said] == [
        (False, "FAILED: a reload changed its settings, or took the battery out")
    ]
    assert written == []


def test_a_reload_does_not_forget_that_the_battery_is_empty() -> None:
    made = ControlSite().arm()
    made.plant.soc_pct = 9.9
    made.run(6)
    made.plant.soc_pct = 10.5  # inside the window, but not by 1 %
    made.run(6)
    assert made.acks[made.command("setpoint")] == "INTERLOCK"
    made.reload(site())
    made.run(3)
    assert made.acks[made.command("setpoint")] == "INTERLOCK"


def test_an_asset_that_leaves_with_a_reload_is_written_to_no_more() -> None:
    made = ControlSite(site("bess-1", "bess-2")).ready()
    made.reload(site("bess-2"))
    at = made.at
    made.run(20)
    assert {asset for when, asset, _, _ in made.outputs if when > at} == {"bess-2"}


def monitoring() -> ControlSite:
    """A site that was commissioned once, and started without its safety.toml."""
    made = ControlSite(site(safe=False), ready=False)
    made.disk.facts |= commissioned(site())
    made.power_on()
    return made


def test_a_safety_file_that_comes_with_a_reload_idles_the_battery_whose_session_is_up() -> None:
    made = monitoring()
    made.run(5)
    made.reload(site())
    made.run(2)  # nothing comes from the session meanwhile: it was up before
    assert made.phase() is Phase.IDLE
    assert made.written("AO0")[0] == 0
    made.run(35)
    made.activate()


def test_a_safety_file_acknowledged_after_the_reload_that_brought_it_idles_the_battery() -> None:
    made = ControlSite(site(safe=False), ready=False)
    made.run(5)
    made.reload(site())
    assert made.phase() is Phase.MONITOR
    digest = made.ask("commission", act="show")["safetyDigest"]
    made.ask("commission", act="acknowledge", digest=digest)
    made.run(1)
    assert made.control().reasons == ("SIGN_TEST_MISSING", "DEADMAN_TEST_MISSING")
    made.ask("commission", act="deadman-test")
    made.until(lambda: made.phase() is Phase.IDLE, within_s=10)


def test_control_that_a_reload_begins_knows_of_the_local_switch_and_writes_no_zero() -> None:
    made = monitoring()
    made.rtac.local = True
    made.run(6)
    made.reload(site())
    assert made.phase() is Phase.LOCAL
    made.run(10)
    assert not made.written("AO0")
    made.rtac.local = False
    made.until(lambda: made.phase() is Phase.IDLE, within_s=20)


def test_control_that_a_reload_begins_without_a_session_waits_for_one() -> None:
    made = monitoring()
    made.run(5)
    made.cut()
    made.run(2)
    made.reload(site())
    made.run(5)
    assert made.phase() is Phase.STARTUP
    made.mend()
    made.until(lambda: made.phase() is Phase.IDLE, within_s=20)


FAULT = Fault(Where("safety.toml", "watchdog", "lease_s", 12), "= 4: must be 10..300 seconds")


def faulty(found: Site) -> Site:
    """The same with a safety.toml that has a fault."""
    return replace(found, safety=None, safety_faults=(FAULT,))


def test_a_faulty_safety_file_at_a_reload_ends_no_dispatch_and_the_status_names_the_line() -> None:
    made = ControlSite()
    made.activate()
    made.reload(faulty(site("bess-1", "bess-2")))
    made.run(20)
    assert made.phase() is Phase.ACTIVE
    assert made.control().reasons == ()
    answer = made.ask("status")
    assert not answer["healthy"]
    (said,) = [one for one in answer["reasons"] if "safety.toml:12" in one]
    assert "reload refused, the old settings stay" in said
    assert "must be 10..300 seconds" in said
    assert set(answer["assets"]) == {"bess-1"}  # nothing of a refused reload is taken
    made.reload(site())
    assert made.ask("status")["healthy"]
    assert made.phase() is Phase.ACTIVE


def test_a_safety_file_that_was_taken_away_turns_control_off_with_idle() -> None:
    made = ControlSite()
    made.activate()
    made.reload(site(safe=False))
    made.until(lambda: made.phase() is Phase.MONITOR)
    assert made.rtac.remote_w == 0
    assert made.control().reasons == ("SAFETY_CONFIG_MISSING",)


def test_a_faulty_safety_file_keeps_no_site_from_being_reloaded_that_has_no_control() -> None:
    made = ControlSite(faulty(site()), ready=False)
    made.run(2)
    made.reload(faulty(site("bess-1", "bess-2")))
    made.run(2)
    answer = made.ask("status")
    assert set(answer["assets"]) == {"bess-1", "bess-2"}
    assert answer["assets"]["bess-2"]["control"]["reasons"] == ["SAFETY_CONFIG_INVALID"]
    assert f"control is off: {FAULT}" in answer["reasons"]
    made.reload(site("bess-1", "bess-2"))
    assert not any("safety.toml" in one for one in made.ask("status")["reasons"])


def test_a_safety_file_with_a_fault_at_a_start_is_named_with_its_line() -> None:
    made = ControlSite(faulty(site()), ready=False)
    assert f"control is off: {FAULT}" in made.ask("status")["reasons"]


def test_a_stop_reaches_an_asset_that_a_reload_adds_meanwhile() -> None:
    made = ControlSite()
    made.activate()
    made.rtac.refuses_zero = True
    made.post(events.StopAsked("SIGTERM"))
    made.reload(site("bess-1", "bess-2"))
    made.run(2)
    made.rtac.refuses_zero = False
    made.until(lambda: made.stopped)


def test_a_flood_of_answers_is_not_verified_and_a_genuine_one_counts_a_second_later() -> None:
    made = ControlSite()
    made.run(6)
    made.cloud_alive = False
    made.run(6)
    before = made.control().controller.state.lease
    assert before.newest > before.answered
    genuine = heartbeat(challenge=before.newest, session=made.session)
    forged = heartbeat(STRANGER, challenge=1, session=made.session)
    for _ in range(1000):
        made.arrives(f"{PREFIX}/hb/down", forged)
    made.arrives(f"{PREFIX}/hb/down", genuine)  # in the same second: not even looked at
    assert made.control().controller.state.lease.answered == before.answered
    made.run(1)
    made.arrives(f"{PREFIX}/hb/down", genuine)
    assert made.control().controller.state.lease.answered == before.newest


def test_a_command_that_a_broker_repeats_for_ever_does_not_fill_the_audit_log() -> None:
    made = ControlSite().arm()
    made.command("reserve", percent=30)
    topic, payload = made.sent[-1]
    made.run(2)
    before = len(made.disk.rows)
    for _ in range(60 * 10):
        made.arrives(topic, payload)
        made.run(1)
    rows = [row for row in made.disk.rows[before:] if row.event == "refused"]
    assert 2 * 60 <= len(rows) <= 3 * 60
    bodies = [json.loads(row.payload) for row in rows]
    assert sum("command" in body for body in bodies) <= 2
    assert sum(body.get("omitted", 0) for body in bodies) > 200
    assert {body["reason"] for body in bodies} <= {"DUPLICATE", "CHALLENGE", "EXPIRED"}


def test_one_battery_in_trouble_does_not_idle_the_other() -> None:
    made = ControlSite(site("bess-1", "bess-2"))
    made.activate(asset="bess-1")
    made.activate(asset="bess-2")
    made.plants["bess-1"].fault = True
    made.run(10)
    assert (made.phase("bess-1"), made.phase("bess-2")) == (Phase.IDLE, Phase.ACTIVE)


def test_the_field_is_hurried_while_a_battery_waits_for_zero_and_no_longer_than_v() -> None:
    made = ControlSite(site("bess-1", "bess-2"))
    made.arm("bess-1")
    made.hurried.clear()
    made.command("idle", asset="bess-1")
    made.until(lambda: made.phase("bess-1") is Phase.IDLE)
    made.run(1)
    assert made.hurried == [("bess-1", True), ("bess-1", False)]


def test_a_zero_that_repeats_an_accepted_one_drops_no_connection() -> None:
    made = ControlSite()
    made.activate()
    made.rtac.echo_error_w = 50_000.0  # accepted, and not verified: it is ordered again
    made.to_field.clear()
    made.command("idle", asset="bess-1")
    made.run(12)
    told = [one for one in made.to_field if isinstance(one, effects.Hurry)]
    assert told == [effects.Hurry("bess-1", on=True), effects.Hurry("bess-1", on=True, drops=False)]
    zeros = [one for one in made.to_field if isinstance(one, effects.Operate)]
    assert sum(one.control.point == "AO0" for one in zeros) > 1
    made.rtac.echo_error_w = 0.0
    made.until(lambda: made.phase() is Phase.IDLE)
    made.run(40)
    made.to_field.clear()
    made.activate()
    made.command("idle", asset="bess-1")
    made.run(0.25)
    told = [one for one in made.to_field if isinstance(one, effects.Hurry)]
    assert told[0] == effects.Hurry("bess-1", on=True), "another demand may drop again"


def test_each_battery_that_zero_is_owed_to_is_hurried_until_it_is_verified() -> None:
    made = ControlSite(site("bess-1", "bess-2"))
    made.activate(asset="bess-1")
    made.activate(asset="bess-2")
    made.hurried.clear()
    made.cloud_alive = False
    made.until(lambda: made.phase("bess-1") is made.phase("bess-2") is Phase.IDLE)
    made.run(1)
    on, off = made.hurried[:2], made.hurried[2:]
    assert sorted(on) == [("bess-1", True), ("bess-2", True)]
    assert sorted(off) == [("bess-1", False), ("bess-2", False)]


def test_that_the_site_has_the_authority_is_published_before_anything_else_of_that_instant() -> (
    None
):
    made = ControlSite(site("bess-1", "bess-2"))
    made.activate(asset="bess-1")
    made.activate(asset="bess-2")
    made.to_field.clear()
    made.plants["bess-1"].rtac.local = True
    made.until(lambda: made.phase("bess-1") is Phase.LOCAL)
    made.plants["bess-1"].rtac.local = False
    made.until(lambda: made.phase("bess-1") is Phase.IDLE)
    mine = [one for one in made.to_field if one.asset == "bess-1"]
    on, off = (mine.index(effects.HandsOff("bess-1", on=on)) for on in (True, False))
    beats = {one.purpose == "beat" for one in mine[on:off] if isinstance(one, effects.Operate)}
    assert beats <= {True}, "nothing but heartbeats between them"
    zeros = [
        at
        for at, one in enumerate(mine)
        if isinstance(one, effects.Operate) and one.purpose == "zero"
    ]
    assert off < zeros[0]
    assert {one.asset for one in made.to_field if isinstance(one, effects.HandsOff)} == {"bess-1"}
    assert made.phase("bess-2") is Phase.ACTIVE


def test_a_battery_that_another_master_has_is_ceded_to_it() -> None:
    made = ControlSite()
    made.activate()
    made.rtac.remote_w = -300_000.0
    made.until(lambda: made.phase() is Phase.LOCAL)
    assert made.ceded == {"bess-1"}
    made.act("reset", asset="bess-1")
    assert made.ceded == set()


def test_a_demand_for_zero_is_published_before_the_zero_and_for_its_battery_alone() -> None:
    made = ControlSite(site("bess-1", "bess-2"))
    made.activate(asset="bess-1")
    made.activate(asset="bess-2")
    made.to_field.clear()
    made.plants["bess-1"].fault = True
    made.until(lambda: made.phase("bess-1") is Phase.IDLE)
    said = made.to_field
    demand = said.index(effects.Hurry("bess-1", on=True))
    zeros = [
        at
        for at, one in enumerate(said)
        if isinstance(one, effects.Operate) and one.asset == "bess-1" and one.purpose == "zero"
    ]
    assert demand < zeros[0]
    assert {one.asset for one in said if isinstance(one, effects.Hurry)} == {"bess-1"}


def test_a_connect_asks_at_once_who_is_alive() -> None:
    made = ControlSite()
    made.run(1.0)
    before = len(published(made))
    made.post(events.BrokerUp(100, made.now()))
    made.run(0.25)
    assert len(published(made)) == before + 1


def test_commands_that_the_broker_keeps_from_us_turn_control_off_with_idle() -> None:
    made = ControlSite()
    made.arm()
    made.post(events.BrokerUp(100, made.now(), refused=(f"{PREFIX}/hb/down",)))
    assert made.control().reasons == ("SUBSCRIPTION_REFUSED",)
    made.until(lambda: made.phase() is Phase.MONITOR)
    made.post(events.BrokerUp(100, made.now()))
    assert made.control().reasons == ()


def test_a_reload_does_not_forget_that_the_broker_keeps_commands_from_us() -> None:
    made = ControlSite()
    made.arm()
    made.post(events.BrokerUp(100, made.now(), refused=(f"{PREFIX}/hb/down",)))
    made.until(lambda: made.phase() is Phase.MONITOR)
    made.run(30)
    before = made.control()
    made.reload(site(labels="other"))
    assert made.control() is not before
    assert made.control().reasons == ("SUBSCRIPTION_REFUSED",)
    made.run(5)
    assert made.phase() is Phase.MONITOR


def test_while_a_battery_is_armed_the_uplink_waits_a_third_of_the_lease_at_most() -> None:
    made = ControlSite()
    made.arm()
    made.run(0.5)
    lease_s = made.site.safety.settings.watchdog.lease_s if made.site.safety else 0.0
    assert made.uplink_within_s == lease_s / 3
    made.command("disarm")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.run(0.5)
    assert made.uplink_within_s is None
