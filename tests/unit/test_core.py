"""The core: what it orders for each event."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import clock, effects, events
from gateway.effects import Answer, ForgetShipped, Log, Publish, ReportStatus, Stop, StoreBatch
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from gateway.streams import Gap, QueueDepth, Row, Stream, StreamDepth
from gateway.uplink import messages
from tests.fixtures.sites import SITE, START, core, fragment, later, site

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.core import Core


def bodies(found: list[Any], stream: Stream) -> list[dict[str, Any]]:
    """The records of ``stream`` that were ordered to be stored."""
    batches = [one.batch for one in found if isinstance(one, StoreBatch)]
    return [json.loads(batch.body) for batch in batches if batch.stream is stream]


def ask(made: Core, verb: str, at: Now) -> dict[str, Any]:
    (answer,) = [
        one
        for one in made.handle(events.LocalAsked(7, verb, {}, "root", operator=True), at)
        if isinstance(one, Answer)
    ]
    assert answer.token == 7
    body: dict[str, Any] = json.loads(json.dumps(answer.body))  # what the socket can carry
    return body


def test_a_fragment_becomes_a_normalized_state() -> None:
    made = core()
    made.handle(events.SessionUp("bess-1", START), START)
    (state,) = bodies(made.handle(fragment(later(1), AI0=634, AI1=-750), later(1)), Stream.STATE)
    assert state["chargePercentage"] == 63.4
    assert state["charge"] == 5_072_000
    assert state["chargeRate"] == -750_000
    assert state["asset"] == "bess-1"


def test_a_broker_that_comes_up_is_told_who_we_are_and_gets_a_fresh_state() -> None:
    made = core()
    found = made.handle(events.BrokerUp(100, later(1)), later(1))
    published = {one.topic: one for one in found if isinstance(one, Publish)}
    assert set(published) == {
        "bess/v1/gw-17/status",
        "bess/v1/gw-17/birth",
        "bess/v1/gw-17/bess-1/map",
    }
    assert all(one.retain and one.qos == 1 for one in published.values())
    birth = json.loads(published["bess/v1/gw-17/birth"].payload)
    (asset,) = birth["assets"]
    assert asset["workspace"] == "ws-1"
    assert asset["control"]["reasons"] == ["SAFETY_CONFIG_MISSING"]
    assert asset["map"]["digest"].startswith("sha256:")
    assert ForgetShipped("bess-1") in found
    assert bodies(made.handle(fragment(later(2), AI0=1), later(2)), Stream.STATE)


def test_nothing_is_published_as_missing_before_the_first_reading_had_its_time() -> None:
    made = core()
    assert not bodies(made.handle(None, later(9)), Stream.STATE)
    (state,) = bodies(made.handle(None, later(10)), Stream.STATE)
    assert state["chargePercentage"] is None
    assert state["quality"] == "missing"


def test_an_alarm_is_recorded_when_it_comes_and_when_it_goes() -> None:
    made = core()
    (raised,) = bodies(made.handle(fragment(later(1), BI2=1), later(1)), Stream.EVENT)
    assert (raised["type"], raised["code"], raised["raised"]) == ("alarm", "hvac", True)
    (cleared,) = bodies(made.handle(fragment(later(3), BI2=0), later(3)), Stream.EVENT)
    assert (cleared["code"], cleared["raised"], cleared["severity"]) == ("hvac", False, "info")


def test_a_session_that_fails_the_same_way_again_is_reported_once() -> None:
    made = core()
    down = events.SessionDown("bess-1", "refused", later(1))
    first = made.handle(down, later(1))
    again = made.handle(down, later(3))
    assert [record["cause"] for record in bodies(first, Stream.EVENT)] == ["refused"]
    assert not bodies(again, Stream.EVENT)
    assert "bess-1: session down: refused" in ask(made, "status", later(4))["reasons"]


def test_a_connection_that_was_dropped_for_zero_is_told_and_is_no_session_that_is_down() -> None:
    made = core()
    made.handle(events.SessionUp("bess-1", START), START)
    dropped = events.ConnectionDropped("bess-1", "zero waited 3 s", later(1))
    (record,) = bodies(made.handle(dropped, later(1)), Stream.EVENT)
    assert (record["type"], record["up"], record["cause"]) == ("session", True, "zero waited 3 s")
    assert not [one for one in ask(made, "status", later(2))["reasons"] if "session" in one]


def test_a_zero_that_waits_without_a_drop_stands_in_status_until_it_waits_no_more() -> None:
    made = core()
    made.handle(events.SessionUp("bess-1", START), START)
    made.handle(events.OutputHeld("bess-1", "dropped twice", later(1)), later(1))
    assert "bess-1: zero waits: dropped twice" in ask(made, "status", later(2))["reasons"]
    made.handle(events.OutputHeld("bess-1", "", later(3)), later(3))
    assert not [one for one in ask(made, "status", later(4))["reasons"] if "zero waits" in one]


def test_no_matching_map_is_said_and_never_guessed() -> None:
    made = core(matched=False)
    (record,) = [
        record
        for record in bodies(made.handle(None, later(10)), Stream.EVENT)
        if record["type"] == "map"
    ]
    assert record["verdict"] == "unmatched"
    assert "'1.4.2'" in record["text"]
    status = ask(made, "status", later(11))
    assert status["assets"]["bess-1"]["map"]["ref"].startswith("raw@")
    assert "bess-1: no points map matches its firmware" in status["reasons"]


def test_a_command_is_refused_and_nothing_else_happens() -> None:
    made = core()
    made.handle(None, later(0))
    message = events.MessageArrived("bess/v1/gw-17/bess-1/cmd", b"{}", retained=False, at=later(1))
    found = made.handle(message, later(1))
    (ack,) = [one for one in found if isinstance(one, Publish)]
    assert ack.topic == "bess/v1/gw-17/bess-1/cmd/ack"
    body = json.loads(ack.payload)
    assert (body["state"], body["reason"], body["id"]) == ("rejected", "MALFORMED", None)
    allowed = (Publish, Log, StoreBatch, ReportStatus)
    assert all(isinstance(one, allowed) for one in found)


def test_a_flood_of_commands_fills_neither_the_journal_nor_the_uplink() -> None:
    made = core()
    message = events.MessageArrived("bess/v1/gw-17/bess-1/cmd", b"{}", retained=False, at=START)
    found = [one for _ in range(1000) for one in made.handle(message, later(1))]
    assert len([one for one in found if isinstance(one, Publish)]) == 20
    assert len([one for one in found if isinstance(one, Log)]) == 21
    again = made.handle(message, later(2))
    assert [one for one in again if isinstance(one, Publish)]


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_wall_clock_that_jumps_is_reported_and_changes_no_deadline(jump_s: int) -> None:
    made = core()
    made.handle(None, later(0))
    before = made.wake_at
    found = made.handle(None, later(0.1, jump_ms=jump_s * 1000))
    (record,) = [one for one in bodies(found, Stream.EVENT) if one["type"] == "clock"]
    assert f"{jump_s:+.1f} s" in record["text"]
    assert made.wake_at == before


def test_a_certificate_near_its_end_is_announced_once_a_step() -> None:
    made = core(certificate_days=13.5)
    first = bodies(made.handle(None, later(0)), Stream.EVENT)
    assert [one["type"] for one in first] == ["certificate"]
    assert "expires in 13 days" in first[0]["text"]
    assert not bodies(made.handle(None, later(10)), Stream.EVENT)
    week = bodies(made.handle(None, later(7 * 86_400)), Stream.EVENT)
    assert [one["severity"] for one in week if one["type"] == "certificate"] == ["critical"]


def test_gaps_make_the_values_of_their_assets_go_out_again() -> None:
    made = core()
    gap = Gap(Stream.TELEMETRY, "bess-1", 10, 19, "quota")
    found = made.handle(events.GapsRecorded((gap,)), later(1))
    assert ForgetShipped("bess-1") in found
    assert any(isinstance(one, Log) and "10..19 (quota)" in one.text for one in found)


def test_a_gap_over_several_assets_makes_the_values_of_all_of_them_go_out_again() -> None:
    made = core()
    shared = Gap(Stream.TELEMETRY, "", 10, 19, "quota")
    assert ForgetShipped("bess-1") in made.handle(events.GapsRecorded((shared,)), later(1))
    thinned = Gap(Stream.STATE, "bess-1", 10, 19, "thinned")
    assert ForgetShipped("bess-1") not in made.handle(events.GapsRecorded((thinned,)), later(2))


def test_an_outstation_with_a_time_beyond_all_calendars_does_not_end_the_core() -> None:
    made = core()
    far = RawPoint("AI0", 634, 1, (1 << 48) - 1, START.unix_ms, TimeQuality.SKEWED, event=True)
    found = made.handle(
        events.FragmentStored("bess-1", (far,), unsolicited=False, at=later(1)),
        later(1),
    )
    (state,) = bodies(found, Stream.STATE)
    assert state["fields"]["chargePercentage"]["observedAt"] == "9999-12-31T23:59:59.999Z"


def test_a_required_point_that_is_gone_after_a_reconnect_is_a_mismatch() -> None:
    made = core()
    startup = events.PollDone("bess-1", "startup", ok=True, cause="", at=later(1))
    made.handle(fragment(later(1), AI0=500, AI1=0), later(1))
    made.handle(startup, later(1))
    assert not [why for why in ask(made, "status", later(1))["reasons"] if "mismatch" in why]
    made.handle(events.SessionDown("bess-1", "reset by peer", later(5)), later(5))
    made.handle(fragment(later(9), AI0=500), later(9))
    found = bodies(made.handle(startup, later(9)), Stream.EVENT)
    assert [(one["verdict"], one["layer"], one["point"]) for one in found] == [
        ("mismatch", "L1", "AI1")
    ]


def test_a_reset_of_no_asset_of_ours_is_refused() -> None:
    wrong: tuple[object, ...] = ([], {}, 3, "bess-9")
    for asset in wrong:
        arguments: dict[str, object] = {"asset": asset}
        asked = events.LocalAsked(1, "reset", arguments, "root", operator=True)
        (answer,) = [one for one in core().handle(asked, later(1)) if isinstance(one, Answer)]
        assert "must be one of bess-1" in str(answer.body["error"])


def test_lost_readings_order_one_poll_and_not_one_for_each() -> None:
    made = core()
    lost = events.FragmentLost("bess-1", 3, "disk_full", later(1))
    first = made.handle(lost, later(1))
    again = made.handle(lost, later(1.1))
    assert effects.Poll("bess-1", "integrity") in first
    assert not [one for one in again if isinstance(one, effects.Poll)]
    made.handle(fragment(later(2), AI0=500), later(2))
    assert effects.Poll("bess-1", "integrity") in made.handle(None, later(6))  # for the second
    assert not [one for one in made.handle(None, later(30)) if isinstance(one, effects.Poll)]


def test_stopping_waits_for_what_is_in_flight_and_says_goodbye() -> None:
    made = core()
    made.handle(events.BrokerUp(100, START), START)
    found = made.handle(events.StopAsked("SIGTERM"), later(1))
    stop = found[-1]
    assert stop == Stop(0, "SIGTERM")
    goodbye = found[-2]
    assert isinstance(goodbye, Publish)
    assert json.loads(goodbye.payload)["online"] is False


def test_a_thread_that_fails_ends_the_process_with_a_code() -> None:
    found = core().handle(events.ThreadFault("store", "boom"), later(1))
    (stop,) = [one for one in found if isinstance(one, Stop)]
    assert stop.exit_code == 70


def test_a_bad_reload_keeps_the_old_settings_and_says_why() -> None:
    made = core()
    found = made.handle(events.ReloadAsked(None, "site.toml:4: bad"), later(1))
    assert not [one for one in found if isinstance(one, effects.ApplySettings)]
    assert any(isinstance(one, ReportStatus) and "site.toml:4: bad" in one.text for one in found)
    moved = site(SITE.replace("gw-17", "gw-18"))
    refused = made.handle(events.ReloadAsked(moved, ""), later(2))
    assert any(isinstance(one, ReportStatus) and "need a restart" in one.text for one in refused)


def test_a_good_reload_keeps_the_assets_that_did_not_change() -> None:
    made = core()
    made.handle(fragment(later(1), AI0=500, AI1=0), later(1))
    second = SITE + SITE[SITE.index("[[asset]]") :].replace("bess-1", "bess-2").replace(
        "192.0.2.10", "192.0.2.11"
    )
    found = made.handle(events.ReloadAsked(site(second), ""), later(2))
    (swap,) = [one for one in found if isinstance(one, effects.ApplySettings)]
    assert swap.kept == {"bess-1"}
    assert set(ask(made, "status", later(3))["assets"]) == {"bess-1", "bess-2"}
    detail = ask(made, "watch", later(3))["detail"]
    assert detail["bess-1"]["state"]["chargePercentage"] == 50.0


def test_a_replaced_session_that_still_speaks_is_not_taken_for_the_new_one() -> None:
    made = core()
    moved = site(SITE.replace("192.0.2.10", "192.0.2.99"))
    made.handle(events.ReloadAsked(moved, ""), later(1))
    made.handle(fragment(later(2), AI0=500, AI1=0), later(2))
    assert not ask(made, "watch", later(2))["detail"]["bess-1"]["points"]
    made.handle(events.SettingsApplied(site()), later(3))  # of a reload before this one
    made.handle(fragment(later(3), AI0=500, AI1=0), later(3))
    assert not ask(made, "watch", later(3))["detail"]["bess-1"]["points"]
    made.handle(events.SettingsApplied(moved), later(4))
    made.handle(fragment(later(5), AI0=500, AI1=0), later(5))
    assert len(ask(made, "watch", later(5))["detail"]["bess-1"]["points"]) == 2


def test_a_new_session_is_heard_while_a_later_reload_replaces_another() -> None:
    second = SITE[SITE.index("[[asset]]") :].replace("bess-1", "bess-2")
    moved = SITE.replace("192.0.2.10", "192.0.2.99")
    made = core(SITE + second.replace("192.0.2.10", "192.0.2.11"))
    first = site(moved + second.replace("192.0.2.10", "192.0.2.11"))
    both = site(moved + second.replace("192.0.2.10", "192.0.2.98"))
    made.handle(events.ReloadAsked(first, ""), later(1))
    made.handle(events.ReloadAsked(both, ""), later(1))
    made.handle(events.SettingsApplied(first), later(2))  # bess-2 is still to be replaced
    made.handle(fragment(later(3), AI0=500, AI1=0), later(3))
    assert len(ask(made, "watch", later(3))["detail"]["bess-1"]["points"]) == 2


def test_a_session_that_an_earlier_reload_ends_is_not_taken_for_the_one_that_comes_back() -> None:
    third = SITE[SITE.index("[[asset]]") :].replace("bess-1", "bess-2")
    made = core(SITE + third.replace("192.0.2.10", "192.0.2.11"))
    alone, back = site(), site(SITE + third.replace("192.0.2.10", "192.0.2.98"))
    made.handle(events.ReloadAsked(alone, ""), later(1))
    made.handle(events.ReloadAsked(back, ""), later(1))
    old = replace(fragment(later(2), AI0=500, AI1=0), asset="bess-2")
    made.handle(old, later(2))
    assert not ask(made, "watch", later(2))["detail"]["bess-2"]["points"]
    made.handle(events.SettingsApplied(alone), later(3))
    made.handle(old, later(4))
    assert len(ask(made, "watch", later(4))["detail"]["bess-2"]["points"]) == 2


def test_a_certificate_renewed_by_a_reload_is_the_one_that_is_announced() -> None:
    made = core(certificate_days=5)
    made.handle(events.BrokerUp(100, START), START)
    assert ask(made, "status", later(1))["certificateDays"] == 4
    found = made.handle(events.ReloadAsked(site(certificate_days=90), ""), later(2))
    (birth,) = [
        json.loads(one.payload)
        for one in found
        if isinstance(one, Publish) and one.topic.endswith("/birth")
    ]
    assert birth["certificateNotAfter"] == clock.rfc3339(START.unix_ms + 90 * 86_400_000)
    assert ask(made, "status", later(3))["certificateDays"] == 89


def test_a_queue_that_begins_anew_is_announced_with_its_epoch() -> None:
    made = core()
    made.handle(events.BrokerUp(100, START), START)
    depth = QueueDepth("01JANOTHEREPOCH", {}, 0, 50, 100, 0, 0)
    found = made.handle(events.QueueReported(depth, later(1)), later(1))
    births = [json.loads(one.payload) for one in found if isinstance(one, Publish)]
    assert [(one["schema"], one["epoch"]) for one in births] == [
        ("bess.birth/1", "01JANOTHEREPOCH")
    ]
    assert not [
        one
        for one in made.handle(events.QueueReported(depth, later(2)), later(2))
        if isinstance(one, Publish)
    ]


def test_status_and_queue_answer_with_what_is_known() -> None:
    made = core()
    waiting = StreamDepth(rows=2, readings=900, bytes=5000, oldest_ms=START.unix_ms)
    depth = QueueDepth("01JTESTEPOCH", {Stream.TELEMETRY: waiting}, 9, 50, 100, 0, 0)
    made.handle(events.QueueReported(depth, later(1)), later(1))
    status = ask(made, "status", later(5))
    assert (status["waiting"], status["diskFreePct"], status["healthy"]) == (900, 50.0, False)
    queue = ask(made, "queue", later(5))
    assert queue["streams"]["telemetry"]["oldestAgeS"] == 5.0
    assert "error" in ask(made, "reboot", later(6))


def test_the_queues_troubles_are_told_and_forgotten_when_they_end() -> None:
    made = core()
    full = events.QueueTroubled("disk_full", "no room: telemetry stops", later(1))
    found = made.handle(full, later(1))
    assert [one["severity"] for one in bodies(found, Stream.EVENT)] == ["critical"]
    assert "no room: telemetry stops" in ask(made, "status", later(2))["reasons"]
    made.handle(events.QueueTroubled("slow", "a commit took 1.2 s", later(2)), later(2))
    made.handle(events.QueueTroubled("disk_ok", "room again", later(3)), later(3))
    assert "no room: telemetry stops" not in ask(made, "status", later(4))["reasons"]
    assert "a commit took 1.2 s" in ask(made, "status", later(4))["reasons"]
    made.handle(events.QueueTroubled("works", "commits succeed again", later(5)), later(5))
    assert "a commit took 1.2 s" not in ask(made, "status", later(6))["reasons"]


def test_a_site_that_looks_well_and_gets_nothing_through_is_not_healthy() -> None:
    made = core()
    made.handle(events.BrokerUp(100, START), START)
    made.handle(events.SessionUp("bess-1", START), START)
    made.handle(fragment(later(1), AI0=500, AI1=0), later(1))
    assert ask(made, "status", later(1))["reasons"] == []
    row = Row(
        1,
        1,
        messages.event(
            gateway="gw-17",
            asset="",
            type_="clock",
            severity="info",
            text="x",
            at_ms=START.unix_ms,
        ),
        "01JTESTEPOCH",
    )
    made.handle(events.RowsStored((row,)), later(2))
    made.handle(None, later(19))
    assert ask(made, "status", later(20))["reasons"] == ["bess-1: its state is stale"]
    stuck = ask(made, "status", later(40))["reasons"]
    assert "1 records in flight, none acknowledged for long" in stuck
    refused = events.PollDone("bess-1", "critical", ok=False, cause="refused", at=later(41))
    said = [one.text for one in made.handle(refused, later(41)) if isinstance(one, Log)]
    assert said == ["bess-1: critical poll fails: refused"]
    assert not [one for one in made.handle(refused, later(42)) if isinstance(one, Log)]
    assert "bess-1: critical poll fails: refused" in ask(made, "status", later(42))["reasons"]


def test_a_certificate_in_its_last_week_makes_the_gateway_unhealthy() -> None:
    reasons = ask(core(certificate_days=6.5), "status", later(1))["reasons"]
    assert "the uplink certificate ends in 6 days: renew it" in reasons


def test_a_certificate_that_is_over_ended_some_days_ago() -> None:
    reasons = ask(core(certificate_days=-1.5), "status", later(1))["reasons"]
    assert "the uplink certificate ended 2 days ago: renew it" in reasons


def test_the_line_of_systemd_begins_with_what_status_says_first() -> None:
    made = core()
    full = events.QueueTroubled("disk_full", "disk full: 0 % free", later(1))
    made.handle(full, later(1))
    found = [one.text for one in made.handle(None, later(60)) if isinstance(one, ReportStatus)]
    first = ask(made, "status", later(60))["reasons"]
    assert "disk full: 0 % free" in first
    assert found[-1].startswith(f"DEGRADED: {first[0]} (and {len(first) - 1} more); 0 of 1")


def test_an_operator_clears_the_verdict_on_a_map_and_nobody_else() -> None:
    made = core()
    made.handle(events.PollDone("bess-1", "startup", ok=True, cause="", at=later(1)), later(1))
    (doubt,) = [why for why in ask(made, "status", later(2))["reasons"] if "is mismatch" in why]
    assert doubt.startswith("bess-1: map test-rtac@1.0.0 is mismatch: L1: ")
    assert doubt.endswith("`reset` when it is right")
    (state,) = bodies(made.handle(fragment(later(2), AI0=500), later(2)), Stream.STATE)
    assert state["fields"]["chargePercentage"]["quality"] == "questionable"
    arguments: dict[str, object] = {"asset": "bess-1"}
    asked = events.LocalAsked(1, "reset", arguments, "eve", operator=False)
    (refused,) = [one for one in made.handle(asked, later(3)) if isinstance(one, Answer)]
    assert "bess-operators" in str(refused.body["error"])
    allowed = events.LocalAsked(2, "reset", arguments, "ann", operator=True)
    found = made.handle(allowed, later(4))
    (record,) = [one for one in bodies(found, Stream.EVENT) if one["type"] == "operator"]
    assert record["user"] == "ann"
    assert not [why for why in ask(made, "status", later(5))["reasons"] if "mismatch" in why]


def test_a_failed_thread_ends_the_process_at_once_where_nothing_is_under_command() -> None:
    made = core()
    found = made.handle(events.ThreadFault("mqtt", "boom"), later(1))
    assert [one.exit_code for one in found if isinstance(one, Stop)] == [70]
    assert made.failing


def test_a_refused_subscription_is_told_in_status_and_birth_until_it_is_granted() -> None:
    made = core()
    refused = ("bess/v1/gw-17/bess-1/cmd",)
    found = made.handle(events.BrokerUp(100, START, refused=refused), START)
    births = [one for one in found if isinstance(one, Publish) and one.topic.endswith("/birth")]
    (asset,) = json.loads(births[-1].payload)["assets"]
    assert asset["control"]["reasons"] == ["SAFETY_CONFIG_MISSING", "SUBSCRIPTION_REFUSED"]
    status = ask(made, "status", later(1))
    assert not status["healthy"]
    assert any(
        "refuses our subscription to bess/v1/gw-17/bess-1/cmd" in w for w in status["reasons"]
    )
    made.handle(events.BrokerDown("closed", later(2)), later(2))
    made.handle(events.BrokerUp(100, later(3)), later(3))
    assert not any("subscription" in why for why in ask(made, "status", later(3))["reasons"])
