"""Why control is off, commissioning between everything else, and what survives a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway import effects, events
from gateway.checked import Past
from gateway.control.commissioning.proofs import Findings
from gateway.control.phases import Phase
from gateway.core import Core
from gateway.status import safety_report
from tests.fixtures.commands import GUARD, OPS
from tests.fixtures.control_site import WATCHDOG, ControlSite, commissioned, site
from tests.fixtures.sites import START, identity


def follow(made: ControlSite, seconds: float) -> dict[str, object]:
    """Let an operator look on for a while; returns how the test went."""
    progress: dict[str, object] = {}
    for _ in range(round(seconds)):
        made.run(1)
        progress = made.ask("commission", act="progress")
        if progress["ok"] is not None:
            break
    return progress


def test_control_stays_off_until_the_file_is_acknowledged_and_both_tests_are_recorded() -> None:
    made = ControlSite(ready=False)
    made.run(5)
    wanted = ["SAFETY_NOT_ACKNOWLEDGED", "SIGN_TEST_MISSING", "DEADMAN_TEST_MISSING"]
    assert list(made.control().reasons) == wanted
    assert made.phase() is Phase.MONITOR
    assert made.ask("commission", act="acknowledge", digest="sha256:0")["error"]
    made.ask("commission", act="acknowledge", digest=made.control().controller.safety.digest)
    made.run(1)
    assert "dead-man test comes first" in made.ask("commission", act="sign-test")["error"]
    assert "started" in made.ask("commission", act="deadman-test", holdS=4)
    progress = follow(made, 200)
    assert progress["ok"] is True, progress
    made.run(2)
    assert list(made.control().reasons) == ["SIGN_TEST_MISSING"]
    assert made.phase() is Phase.MONITOR
    assert "started" in made.ask("commission", act="sign-test", holdS=4)
    assert follow(made, 200)["ok"] is True
    made.run(2)
    assert made.control().reasons == ()
    assert made.phase() in (Phase.STARTUP, Phase.IDLING, Phase.IDLE)
    made.power_on()
    made.run(1)
    assert made.control().reasons == (), "and it is durable"


def finish(made: ControlSite, act: str = "deadman-test") -> dict[str, object]:
    """Let a test of an asset that is ready run to its end."""
    made.ask("commission", act=act, holdS=3)
    progress = follow(made, 250)
    made.run(2)
    return progress


def measured(made: ControlSite) -> dict[str, Any]:
    found: dict[str, Any] = made.ask("commission", act="show")["measured"]
    return found


def test_commissioning_measures_answers_connection_dead_man_and_whether_zero_needs_a_beat() -> None:
    made = ControlSite().ready()
    made.plant.latency_s, made.plant.connect_s = 0.15, 1.75
    assert measured(made)["answerS"] is None
    assert finish(made)["ok"] is True
    found = measured(made)
    assert found["answerS"] == pytest.approx(0.3, abs=1e-3)
    assert found["connectS"] == 1.75
    assert 14 <= found["deadmanS"] <= 20
    assert found["zeroNeedsBeat"] is False
    made.power_on()
    assert measured(made) == found, "and it is durable"
    made.until(lambda: made.phase() is Phase.IDLE)
    made.arm()
    made.command("setpoint", powerW=400_000)
    made.run(3)
    assert json.loads(made.disk.facts["bess-1/in-force"])["zero_needs_beat"] is False


@given(latency_s=st.floats(0.01, 1.6), connect_s=st.floats(0.05, 60.0))
@settings(max_examples=5, deadline=None)
def test_whatever_an_rtac_takes_is_measured_and_decides(latency_s: float, connect_s: float) -> None:
    """A control takes the latency twice, or a tick more, and a critical read is one request."""
    answer_s = 2 * latency_s
    assume(not 2.25 <= answer_s <= 2.5)
    made = ControlSite().ready()
    made.plant.latency_s, made.plant.connect_s = latency_s, connect_s
    assert finish(made)["ok"] is (answer_s < 2.5)
    found = measured(made)
    if answer_s < 2.5:
        assert answer_s - 2e-3 <= found["answerS"] <= answer_s + 0.25
        assert found["connectS"] == pytest.approx(connect_s, abs=2e-3)
        assert found["dropsForZero"] is (found["connectS"] <= 3.0)
    else:
        assert made.written("AO0") == [0.0] * len(made.written("AO0"))


def test_an_rtac_that_refuses_zero_without_a_heartbeat_is_found_out() -> None:
    made = ControlSite().ready()
    made.rtac.wants_beat, made.rtac.beat_s = True, 0.5
    assert finish(made)["ok"] is True
    assert measured(made)["zeroNeedsBeat"] is True


def test_an_rtac_that_began_to_refuse_zero_without_a_heartbeat_is_found_out_too() -> None:
    made = ControlSite(ready=False)
    made.disk.facts = commissioned(made.site, found=Findings(zero_needs_beat=False))
    made.power_on()
    made.ready()
    assert made.control().controller.state.terms.zero_needs_beat is False
    made.rtac.wants_beat, made.rtac.beat_s = True, 0.5
    assert finish(made)["ok"] is True
    made.run(15)  # until nothing is in force that knew it otherwise
    assert made.control().controller.state.terms.zero_needs_beat is True


def test_a_test_cut_short_leaves_what_was_known() -> None:
    made = ControlSite(ready=False)
    made.disk.facts = commissioned(made.site, found=Findings(zero_needs_beat=False))
    made.power_on()
    made.ready()
    made.ask("commission", act="deadman-test", holdS=60)
    made.run(1)
    assert made.control().controller.state.terms.zero_needs_beat is None
    made.ask("commission", act="abort")
    assert made.control().controller.state.terms.zero_needs_beat is False


def test_of_a_proof_without_figures_nothing_is_known() -> None:
    """As an older version left them."""
    made = ControlSite()
    assert made.control().proving.found == Findings()
    assert made.control().reasons == ()


def test_the_connection_is_dropped_once_for_both_tests_and_with_nothing_in_force() -> None:
    """The site's judge knows the second half."""
    made = ControlSite().ready()
    for act in ("deadman-test", "sign-test"):
        assert finish(made, act)["ok"] is True
        assert made.renewed == [effects.Renew("bess-1")]


@pytest.mark.parametrize("act", ["deadman-test", "sign-test"])
def test_an_rtac_that_is_too_slow_fails_the_test_and_what_was_proven(act: str) -> None:
    made = ControlSite().ready()
    made.plant.latency_s = 1.3
    progress = finish(made, act)
    assert progress["ok"] is False
    assert "slow: an answer took 2.6 s: must be at most 2.5 s" in progress["lines"][-1]  # type: ignore[index]  # texts
    assert made.written("AO0") == [0.0] * len(made.written("AO0"))
    missing = {"deadman-test": "DEADMAN_TEST_MISSING", "sign-test": "SIGN_TEST_MISSING"}[act]
    assert made.control().reasons == (missing,)


def test_control_is_off_where_a_safety_file_asks_more_of_the_rtac_than_was_measured() -> None:
    slow = Findings(answer_s=2.4)  # (1 + 1) a <= 15 / 3
    made = ControlSite(ready=False)
    made.disk.facts = commissioned(made.site, found=slow)
    made.power_on()
    assert made.control().reasons == ()
    made.until(lambda: made.phase() is Phase.IDLE)
    watchdog = replace(WATCHDOG, rtac_deadman_s=14.0)
    other = site(watchdog=watchdog, digest="sha256:" + "d" * 64)
    made.reload(other)
    made.ask("commission", act="acknowledge", digest="sha256:" + "d" * 64)
    made.run(2)
    assert made.control().reasons == ("RTAC_TOO_SLOW",)
    assert "started" in made.ask("commission", act="deadman-test", holdS=3), "it may be faster now"


@pytest.mark.parametrize(("deadman_s", "why"), [(9.0, ["DEADMAN_TEST_MISSING"]), (10.0, [])])
def test_a_dead_man_that_was_slower_than_a_lowered_w_allows_is_not_tested_in_check_or_daemon(
    deadman_s: float, why: list[str]
) -> None:
    made = ControlSite(ready=False)
    made.disk.facts = commissioned(made.site, found=Findings(zero_s=14.9))  # W = 15, and 5 s
    made.power_on()
    assert made.control().reasons == ()
    made.until(lambda: made.phase() is Phase.IDLE)
    watchdog = replace(WATCHDOG, rtac_deadman_s=deadman_s)
    other = site(watchdog=watchdog, digest="sha256:" + "d" * 64)
    made.reload(other)
    made.act("commission", act="acknowledge", digest="sha256:" + "d" * 64)
    made.run(2)
    assert list(made.control().reasons) == why
    said = "\n".join(safety_report.lines(other, made.wall_ms, made.disk.facts))
    off = "bess-1: control is off by what is on record: "
    assert (off + ", ".join(why) in said) is bool(why)
    assert ("control is commissioned" in said) is (not why)


@pytest.mark.parametrize(("connect_s", "drops"), [(None, True), (3.0, True), (3.1, False)])
def test_a_zero_drops_the_connection_only_where_a_new_one_takes_no_longer_than_it_waits(
    connect_s: float | None, drops: bool
) -> None:
    made = ControlSite(ready=False)
    made.disk.facts = commissioned(made.site, found=Findings(connect_s=connect_s))
    made.power_on()
    made.run(5)
    hurries = [one for one in made.to_field if isinstance(one, effects.Hurry)]
    assert hurries
    assert hurries[0].drops is drops
    assert not any(one.drops for one in hurries[1:] if one.on), "one was accepted"


def test_a_dead_man_test_that_fails_voids_the_one_that_passed() -> None:
    made = ControlSite().ready()
    made.rtac.has_deadman = False
    made.ask("commission", act="deadman-test", holdS=3)
    assert follow(made, 200)["ok"] is False
    made.run(2)
    assert "DEADMAN_TEST_MISSING" in made.control().reasons
    made.power_on()
    made.run(1)
    assert "DEADMAN_TEST_MISSING" in made.control().reasons


def test_a_sign_test_that_fails_voids_the_one_that_passed() -> None:
    made = ControlSite().ready()
    made.plant.power_factor = -1.0
    made.ask("commission", act="sign-test", holdS=3)
    assert follow(made, 200)["ok"] is False
    made.run(2)
    assert "SIGN_TEST_MISSING" in made.control().reasons


@pytest.mark.parametrize("how", ["abort", "estop", "disable-control", "stop", "unwatched"])
def test_a_test_that_is_cut_short_idles_and_voids_nothing(how: str) -> None:
    made = ControlSite().ready()
    made.ask("commission", act="deadman-test", holdS=60)
    follow(made, 6)
    assert made.phase() is Phase.ACTIVE, made.ask("commission", act="progress")
    match how:
        case "abort":
            made.ask("commission", act="abort")
        case "stop":
            made.post(events.StopAsked("SIGTERM"))
        case "unwatched":
            made.run(16)
        case _:
            made.ask(how)
    made.run(20)
    assert made.rtac.remote_w == 0
    assert not {"DEADMAN_TEST_MISSING", "SIGN_TEST_MISSING"} & set(made.control().reasons)
    done = [json.loads(row.payload) for row in made.disk.rows if row.event == "commissioning"]
    assert [one["ok"] for one in done if one.get("test") == "deadman-test"] == [False]


def test_while_a_test_runs_the_cloud_gets_no_power_but_may_take_it_away() -> None:
    made = ControlSite().ready()
    made.ask("commission", act="deadman-test", holdS=60)
    follow(made, 6)
    power = made.command("setpoint")
    assert made.acks[power] == "CONTROL_DISABLED"
    at = made.at
    idle = made.command("idle")
    assert made.acks[idle] == "received"
    made.run(5)
    assert made.rtac.remote_w == 0
    assert made.written("AO0", since=at)[0] == 0
    assert made.ask("commission", act="progress")["ok"] is False


def test_while_a_test_runs_an_emergency_stop_from_the_cloud_stops() -> None:
    for power in (True, False):
        made = ControlSite()
        made.run(45 if power else 10)  # the test waits for its lease, with nothing in force
        made.ask("commission", act="deadman-test", holdS=60)
        follow(made, 6)
        assert made.control().controller.state.in_force is power
        made.command("estop", GUARD)
        assert made.phase() is Phase.ESTOP


def test_while_a_test_runs_nothing_that_waits_can_be_approved() -> None:
    made = ControlSite(site(approval="local")).ready()
    arm = made.command("arm", lives_s=120)
    assert [row["id"] for row in made.ask("pending")["pending"]] == [arm]
    made.ask("commission", act="deadman-test", holdS=60)
    made.run(1)
    assert "COMMISSIONING" in made.ask("approve", id=arm)["error"]


def test_a_command_of_another_safety_file_cannot_be_approved_any_more() -> None:
    made = ControlSite(site(approval="local")).ready()
    arm = made.command("arm", lives_s=120)
    other = site(approval="local", digest="sha256:" + "d" * 64)
    made.reload(other)
    _, why = made.control().intake.approve(arm, "anna", made.now(), ())
    assert "SAFETY_DIGEST" in why


@pytest.mark.parametrize(
    ("taken", "cause"),
    [("idle", "ordered"), ("estop", "ordered"), ("disable-control", "disabled")],
)
def test_what_waited_before_power_was_taken_away_cannot_be_approved_any_more(
    taken: str, cause: str
) -> None:
    made = ControlSite(site(approval="local")).ready()
    made.act("approve", id=made.command("arm"))
    power = made.command("setpoint", lives_s=120)
    made.run(1)
    made.ask(taken, asset="bess-1")
    assert "error" in made.ask("approve", id=power)  # at once
    made.run(2)
    assert made.ends(power) == "aborted"
    assert made.control().controller.cause.startswith(cause)
    for verb in {"estop": ("reset",), "disable-control": ("enable-control",)}.get(taken, ()):
        made.ask(verb, asset="bess-1")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.until(lambda: not made.act("approve", id=made.command("arm")).get("error"))
    assert made.phase() is Phase.ARMED
    assert "does not wait" in made.ask("approve", id=power)["error"]
    assert not any(made.written())


def test_a_command_that_waits_ends_when_the_lease_does() -> None:
    made = ControlSite(site(approval="local")).ready()
    made.act("approve", id=made.command("arm"))
    power = made.command("setpoint", lives_s=120)
    made.cloud_alive = False
    made.until(lambda: made.phase() is Phase.IDLE, within_s=60)
    assert made.ask("pending") == {"pending": []}
    assert made.ends(power) == "aborted"


def test_a_test_whose_record_the_disk_refuses_is_not_told_passed() -> None:
    made = ControlSite(ready=False)
    made.run(1)
    made.act("commission", act="acknowledge", digest=made.control().controller.safety.digest)
    assert "started" in made.ask("commission", act="deadman-test", holdS=4)
    found: dict[str, Any] = {"running": True}
    while found["running"]:
        made.run(1)
        found = made.ask("commission", act="progress")
        made.disk.refuses = any("withholds" in line for line in found["lines"])
    assert "DEADMAN_TEST_MISSING" in made.control().reasons
    assert found["ok"] is False
    assert "not on disk: disk full" in found["lines"][-1]
    made.disk.refuses = False
    assert "started" in made.ask("commission", act="deadman-test", holdS=4)
    made.run(1)
    made.until(lambda: not made.ask("commission", act="progress")["running"], within_s=120)
    assert made.ask("commission", act="progress")["ok"] is True
    assert "DEADMAN_TEST_MISSING" not in made.control().reasons


def test_what_is_not_durable_proves_nothing() -> None:
    made = ControlSite(ready=False)
    made.disk.refuses = True
    made.ask("commission", act="acknowledge", digest=made.control().controller.safety.digest)
    made.run(5)
    assert "SAFETY_NOT_ACKNOWLEDGED" in made.control().reasons


def test_control_that_a_test_has_borrowed_goes_off_with_the_safety_file() -> None:
    made = ControlSite().ready()
    made.ask("commission", act="deadman-test", holdS=60)
    follow(made, 6)
    assert made.phase() is Phase.ACTIVE
    made.reload(site(safe=False))
    follow(made, 10)
    assert made.ask("commission", act="progress")["ok"] is False
    assert (made.phase(), made.rtac.remote_w) == (Phase.MONITOR, 0)


def test_a_safety_file_that_changes_turns_control_off_until_it_is_acknowledged() -> None:
    made = ControlSite()
    made.activate()
    made.reload(site(digest="sha256:" + "d" * 64))
    assert list(made.control().reasons) == ["SAFETY_NOT_ACKNOWLEDGED"]
    made.run(10)
    assert (made.phase(), made.rtac.remote_w) == (Phase.MONITOR, 0)


def test_a_lease_that_a_reload_makes_shorter_is_shorter_at_once_and_a_longer_one_later() -> None:
    for lease_s, ends_s in ((12.0, 12.0), (60.0, 30.0)):
        made = ControlSite()
        made.ready()
        made.cloud_alive = False
        issued_at = made.lease_until - 30.0
        watchdog = replace(WATCHDOG, lease_s=lease_s, challenge_s=4.0)
        made.reload(site(watchdog=watchdog, digest="sha256:" + "d" * 64))
        lease = made.control().controller.state.lease
        assert (lease.lease_s, lease.expires_at) == (lease_s, issued_at + ends_s)


def test_a_safety_file_that_goes_away_idles_with_the_old_figures() -> None:
    made = ControlSite()
    made.activate()
    made.reload(site(safe=False))
    made.run(10)
    assert (made.phase(), made.rtac.remote_w) == (Phase.MONITOR, 0)
    assert list(made.control().reasons) == ["SAFETY_CONFIG_MISSING"]


def test_an_operator_disables_control_at_once_and_across_restarts() -> None:
    made = ControlSite()
    made.activate()
    assert made.ask("disable-control", operator=False)["error"]
    assert made.phase() is Phase.ACTIVE
    made.ask("disable-control")
    made.run(5)
    assert (made.phase(), made.rtac.remote_w) == (Phase.MONITOR, 0)
    made.power_on()
    made.run(5)
    assert made.phase() is Phase.MONITOR
    made.ask("enable-control")
    made.until(lambda: made.phase() is Phase.IDLE)


@pytest.mark.parametrize("phase", [Phase.LATCHED, Phase.ESTOP])
def test_latched_and_estop_survive_a_restart_and_end_with_an_operators_reset(phase: Phase) -> None:
    made = ControlSite()
    made.activate()
    if phase is Phase.ESTOP:
        made.ask("estop")
    else:
        made.rtac.refuses_zero = True
        made.command("idle")
        made.until(lambda: made.phase() is Phase.LATCHED)
        made.rtac.refuses_zero = False
    made.run(2)
    made.power_on()
    at = made.at
    made.run(60)
    assert made.phase() is phase
    assert made.written("AO1", since=at) == []
    assert made.command("arm") in made.acks
    assert made.phase() is phase
    made.ask("reset")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.power_on()
    made.until(lambda: made.phase() is Phase.IDLE)


def test_a_log_that_was_lost_may_have_held_latched_or_estop() -> None:
    made = ControlSite()
    made.run(5)
    made.disk.facts = commissioned(made.site)
    made.disk.trouble = "control.db was damaged and set aside"
    made.power_on()
    made.run(30)
    assert made.phase() is Phase.LATCHED
    assert made.control().reasons == ("CONTROL_LOG_LOST",)
    made.ask("reset")
    made.run(2)
    assert made.control().reasons == ()
    made.until(lambda: made.phase() is Phase.IDLE)


def test_a_log_that_was_lost_where_nobody_commands_writes_nothing() -> None:
    made = ControlSite(site(approval="monitor"))
    made.disk.trouble = "control.db was damaged and set aside"
    made.power_on()
    made.run(30)
    assert made.phase() is Phase.MONITOR
    assert made.outputs == []


@pytest.mark.parametrize("found", ["", "{", "[]", '{"phase": "ARMED", "stopOwed": false}', "null"])
def test_a_kept_phase_that_cannot_be_read_counts_as_latched(found: str) -> None:
    facts = commissioned(site()) | {"bess-1/phase": found}
    core = Core(site(), identity(), Past(facts), START)
    assert core._fleet._controls["bess-1"].controller.phase is Phase.LATCHED


def test_a_command_that_was_carried_out_before_a_restart_is_not_carried_out_again() -> None:
    made = ControlSite()
    id_ = made.activate()
    made.power_on()
    made.arm()
    made.command("setpoint", id_=id_)
    made.run(5)
    assert made.acks[id_] == "DUPLICATE"
    assert made.phase() is Phase.ARMED


def test_what_was_signed_for_another_boot_is_refused() -> None:
    made = ControlSite()
    made.activate()
    topic, payload = [one for one in made.sent if one[0].endswith("/cmd")][-1]
    made.power_on()
    made.arm()
    made.arrives(topic, payload)
    assert "SESSION" in made.acks.values()
    assert made.phase() is Phase.ARMED


@pytest.mark.parametrize("policy", ["dual", "local"])
def test_power_needs_its_approval(policy: str) -> None:
    made = ControlSite(site(approval=policy)).ready()
    id_ = made.command("arm", OPS)
    assert made.phase() is Phase.IDLE
    assert made.ends(id_) == {"dual": "APPROVAL", "local": "pending_approval"}[policy]
    made.run(121)
    assert made.phase() is Phase.IDLE
    assert made.ends(id_) == {"dual": "APPROVAL", "local": "expired"}[policy]


def test_idle_and_disarm_and_release_need_neither_approval_nor_arming() -> None:
    made = ControlSite(site(approval="local")).ready()
    for verb in ("idle", "disarm", "release"):
        id_ = made.command(verb)
        assert made.acks[id_] == "received"
        made.run(3)
        assert made.ends(id_) == "succeeded"
