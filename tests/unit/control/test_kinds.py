"""Kinds of fault that a whole core must not have, each shown by one short life before a rude RTAC.

The judge of ``tests/fixtures/rude_judge.py`` looks at every frame: most of these need no assertion
of their own. ``tests/mutants/kinds.py`` puts each kind back, whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import events
from gateway.config.safety import SharedLimitSettings
from gateway.control.phases import Phase
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from gateway.ports import Purpose
from tests.fixtures.control_files import LIMIT_W, LIMITS, site
from tests.fixtures.rude_maps import KINDS, rude_map
from tests.fixtures.rude_site import RudeSite

if TYPE_CHECKING:
    from tests.fixtures.rude_session import RudeSession

BOTH = ("bess-1", "bess-2")


def rude(*names: str, kind: str = "direct", **changes: Any) -> RudeSite:  # noqa: ANN401 - of site()
    assets = names or ("bess-1",)
    found = site(*assets, map_ref=rude_map(kind), **changes)
    groups = (assets,) if found.safety and found.safety.settings.limits.site else ()
    return RudeSite(found, kinds=dict.fromkeys(assets, kind), groups=groups)


def selecting(session: RudeSession) -> bool:
    """Whether the SELECT of a setpoint is on the wire."""
    sent = session._operation
    return sent is not None and sent.purpose is Purpose.POWER and sent.started and not sent.over


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_force_is_zeroed_though_control_is_off(kind: str) -> None:
    made = rude(kind=kind)
    made.activate()
    plant = made.rude()
    plant.rtac.deadman = "fails"
    for without in ({"safety": None}, {}):
        made.kill()
        made.site = replace(made.site, **without)  # type: ignore[arg-type]  # its one field
        made.disk.facts["bess-1/disabled"] = '{"by": "anna"}'
        made.power_on()
        made.run(20)
        assert not plant.rtac.ours_w


def test_a_restart_with_control_off_zeroes_what_the_rtac_resumes() -> None:
    made = rude()
    made.activate()
    made.rude().rtac.deadman = "fails"
    made.rude().rtac.refuses_zero = True
    made.ask("disable-control", asset="bess-1")
    made.run(5)
    made.restart_rtac(resumes=True)
    made.rude().rtac.refuses_zero = False
    made.run(60)
    assert not made.rude().rtac.ours_w


def test_at_the_slowest_answers_neither_heartbeats_nor_critical_reads_starve() -> None:
    made = rude()
    made.activate()
    made.rude().answer_s, made.rude().steady = 2.4, True
    made.run(120)
    assert made.phase() is Phase.ACTIVE


def test_of_a_heartbeat_that_only_toggles_the_rtac_sees_each_however_slowly_it_answers() -> None:
    direct = rude_map("direct")
    toggle = {"kind": "toggle", "first": 1, "last": 2}
    rows = (
        replace(row, heartbeat=toggle) if row.role == "cmd_heartbeat" else row
        for row in direct.points
    )
    found = site("bess-1", map_ref=replace(direct, points=tuple(rows)))
    made = RudeSite(found, kinds={"bess-1": "direct"}, groups=())
    made.activate()
    for answer_s in (1.2, 1.5, 1.8, 2.1):  # each once was the one at which every other was lost
        made.rude().answer_s, made.rude().steady = answer_s, True
        for _ in range(400):
            made.step()
            assert made.at - made.rude().rtac.heartbeat_at < 9.0, answer_s
    assert made.phase() is Phase.ACTIVE


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_slowest_answers_a_zero_is_verified(kind: str) -> None:
    """A heartbeat that became overdue behind a zero of four requests does not take its read's turn.

    The judge's I17 knows no such zero: that reads are older than 15 s in IDLING harms nobody.
    """
    made = rude(kind=kind)
    made._judge_rhythm = lambda name, phase: None  # type: ignore[method-assign] # noqa: ARG005
    made.activate()
    made.rude().answer_s, made.rude().steady = 2.4, True
    made.run(20)
    made.command("idle")
    made.run(18)
    assert made.phase() is Phase.IDLE


def test_heartbeats_do_not_keep_a_new_connection_from_its_startup_poll() -> None:
    """Dropped for power that was only selected when the site took the authority."""
    made = rude(kind="sbo")
    made.activate()
    plant = made.rude()
    plant.answer_s, plant.steady = 1.4, True
    made.run(20)
    made.command("setpoint", powerW=400_000)
    session = made.sessions["bess-1"]
    made.until(lambda: selecting(session), within_s=20)
    for local in (True, False):
        plant.rtac.local = local
        plant.note(made.wall_ms)
        session.wire.unsolicited()  # type: ignore[union-attr]  # it is connected
        made.pump()
        made.run(26)
    assert made.drops["bess-1"]
    assert made.phase() is not Phase.LOCAL


@pytest.mark.parametrize("kind", ["direct", "sbo"])
def test_power_that_was_handed_over_does_not_leave_behind_a_demand_for_zero(kind: str) -> None:
    for ticks in range(1, 13):
        made = rude(kind=kind)
        made.activate()
        plant = made.rude()
        plant.answer_s, plant.steady = 2.9, True
        made.run(3)
        made.command("setpoint", powerW=700_000)
        made.run(0.25 * ticks)
        plant.fault = True
        plant.note(made.wall_ms)
        wire = made.sessions["bess-1"].wire
        assert wire is not None
        wire.unsolicited()
        made.pump()
        made.run(30)


def test_zero_arrives_though_a_read_never_ends_and_the_clock_is_never_set() -> None:
    made = rude()
    made.activate()
    plant = made.rude()
    plant.endless, plant.answer_s, plant.steady = True, 2.0, True
    plant.needs_time = plant.keeps_restart = True
    plant.rtac.deadman = "fails"
    made.cloud_alive = False
    made.run(60)
    assert not plant.rtac.ours_w


def test_power_that_passes_through_zero_is_not_gone() -> None:
    """A battery that stays where it is, and a meter that shows zero for one read."""
    made = rude()
    made.activate()
    plant = made.rude()
    plant.moves = "stays"
    made.command("idle")
    made.run(2)
    plant.offset_w = -plant.actual_w
    made.run(4)
    plant.offset_w = 0.0
    made.run(60)
    assert "bess-1/in-force" in made.disk.facts


def test_what_two_batteries_share_is_judged_for_both() -> None:
    shared = SharedLimitSettings(LIMIT_W, LIMIT_W)
    made = rude(*BOTH, limits=replace(LIMITS, site=shared))
    for name in BOTH:
        made.ready(name)
    for name in BOTH:
        made.command("arm", asset=name)
    for name in BOTH:
        made.command("discharge", asset=name, powerW=1_400_000)
    made.run(30)
    given_w = [made.rude(name).rtac.ours_w for name in BOTH]
    assert sum(given_w) <= LIMIT_W
    assert max(given_w) == 1_400_000


def test_a_stop_whose_select_was_not_answered_is_sent_again() -> None:
    made = rude()
    made.activate()
    plant = made.rude()
    plant.rtac.loses_requests = True
    made.command("estop")
    made.run(5)
    plant.rtac.loses_requests = False
    made.run(30)
    assert plant.rtac.stopped >= 1


@pytest.mark.parametrize(("answer_s", "steady", "gap_s"), [(2.0, False, 3.25), (2.4, True, 4.75)])
@pytest.mark.parametrize("kind", ["direct", "split", "percent"])
def test_less_power_waits_for_one_request_and_reads_and_heartbeats_have_their_turn(
    kind: str, answer_s: float, steady: bool, gap_s: float
) -> None:
    made = rude(kind=kind)
    made.activate(1_400_000)
    made.rude().answer_s, made.rude().steady = answer_s, steady
    for step in range(40):  # the judge sees what leaves, and when it was asked for
        made.plant.avail_w = 1_400_000.0 - 30_000.0 * step
        told = RawPoint("AI6", made.plant.avail_w / 1000, 1, 0, 0, TimeQuality.SYNCED, event=True)
        made.post(events.FragmentStored("bess-1", (told,), unsolicited=True, at=made.now()))
        made.run(gap_s)
    assert made.phase() is Phase.ACTIVE
    assert 0 < made.rude().rtac.remote_w <= 400_000


@pytest.mark.parametrize("kind", ["direct", "sbo"])
def test_no_heartbeat_begins_once_it_is_withheld_though_it_waits_behind_a_read(kind: str) -> None:
    latched = 0
    for ticks in range(8):
        made = rude(kind=kind)
        made.activate()
        plant = made.rude()
        plant.answer_s, plant.steady = 1.4, True
        plant.rtac.refuses_zero = True
        made.run(0.25 * ticks)
        made.command("idle")  # the judge sees each frame, and bound C
        made.run(60)
        latched += made.phase() is Phase.LATCHED
    assert latched == 8
