"""Layers L0 to L4 and L6: scripts of (second, event, what is found)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.asset.fingerprint import Fingerprint, Layer, Verdict
from gateway.clock import Now
from gateway.events import AttributesRead, FragmentStored, PollDone, SessionDown
from gateway.points.encode import encode
from gateway.points.pointmap import (
    AttributeCheck,
    EqualCheck,
    MapFingerprint,
    MapPoint,
    PointsMap,
    raw_map,
)
from tests.fixtures.shippedmaps import battery, shipped, update

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint

NOW = Now(0.0, 0)
L0, L1, L2, L3, L4, _, L6 = Layer
OK, SUSPECT, MISMATCH = Verdict
Step = tuple[float, object, list[tuple[Layer, str]]]


def seen(*points: RawPoint) -> FragmentStored:
    return FragmentStored("bess-1", points, False, NOW)  # noqa: FBT003 - the word's own order


def poll(kind: str = "integrity", *, ok: bool = True) -> PollDone:
    return PollDone("bess-1", kind, ok, "", NOW)


def play(state: Fingerprint, script: list[Step]) -> Fingerprint:
    for now_s, event, expected in script:
        state, findings = state.handle(event, now_s)
        told = [(finding.layer, finding.point) for finding in findings]
        assert told == expected, f"at {now_s} s after {event}"
    return state


def controller(
    points_map: PointsMap, *, power_w: float = 500e3, soc_pct: float = 60.0, hz: float = 60.0
) -> FragmentStored:
    """A healthy 2 MW, 8 MWh battery behind a controller that is what ``points_map`` says."""
    values = {
        "power": power_w,
        "soc": soc_pct,
        "soc_actual": soc_pct,
        "energy_stored": 8e6 * soc_pct / 100,
        "energy_capacity": 8e6,
        "max_charge": 2e6,
        "max_discharge": 2e6,
        "frequency": hz,
    }
    raws = []
    for row in points_map.points:
        value: float = 1 if row.enum or row.unit == "bool" else values.get(row.role or "", 0.0)
        if row.name == "capacity_nameplate":
            value = 8e6
        if row.name == "profile_version":
            value = 1
        raw = value if row.unit in ("bool", "enum") else encode(value, row)
        assert raw is not None
        raws.append(update(row.point, round(raw)))
    return seen(*raws)


@pytest.mark.parametrize(
    "ref", ["generic-rtac@1.0.0", "an2018-storage@1.0.0", "example-bess-a@A", "example-bess-b@B"]
)
def test_the_right_map_is_never_doubted(ref: str) -> None:
    points_map = shipped(ref)
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [(0, controller(points_map), []), (0, poll("startup"), [])]
    script += [(at * 60.0, poll("event"), []) for at in range(1, 30)]
    state = play(state, script)
    assert state.verdict is OK
    assert state.settled


@pytest.mark.parametrize(
    ("declared", "real"),
    [("example-bess-a@A", "example-bess-b@B"), ("example-bess-b@B", "example-bess-a@A")],
)
def test_a_wrong_map_is_a_mismatch_after_the_first_integrity_poll(declared: str, real: str) -> None:
    state = Fingerprint.start(shipped(declared), battery())
    state, _ = state.handle(controller(shipped(real)), 0.0)
    state, findings = state.handle(poll("startup"), 1.0)
    assert state.verdict is MISMATCH
    assert L1 in {finding.layer for finding in findings}


@pytest.mark.parametrize(
    ("declared", "real"),
    [("example-bess-a@A", "example-bess-b@B"), ("example-bess-b@B", "example-bess-a@A")],
)
def test_each_later_layer_alone_catches_the_wrong_map_as_well(declared: str, real: str) -> None:
    """Were L1 blind (equal indices), nameplate, range and energy would still speak."""
    points_map = shipped(declared)
    blind = replace(
        points_map,
        points=tuple(replace(row, required=False) for row in points_map.points),
        fingerprint=replace(points_map.fingerprint, absent=()),
    )
    state = Fingerprint.start(blind, battery())
    layers = set()
    state, _ = state.handle(controller(shipped(real)), 0.0)
    for second in (1.0, 3.0, 5.0, 602.0):
        state, findings = state.handle(poll(), second)
        layers |= {finding.layer for finding in findings}
    assert {L2, L3, L4} & layers
    assert state.verdict is MISMATCH


def test_attributes_must_match() -> None:
    points_map = replace(
        raw_map(), fingerprint=MapFingerprint(attributes=(AttributeCheck(252, "^ACME"),))
    )
    start = Fingerprint.start(points_map, battery())
    ours = AttributesRead("bess-1", {252: "ACME Corp"}, NOW)
    assert play(start, [(0, ours, [])]).verdict is OK
    other = AttributesRead("bess-1", {252: "Not ACME"}, NOW)
    assert play(start, [(0, other, [(L0, "")]), (1, other, [])]).verdict is MISMATCH
    silent = AttributesRead("bess-1", {250: "x"}, NOW)
    assert play(start, [(0, silent, [(L0, "")]), (1, other, [(L0, "")])]).verdict is MISMATCH
    elsewhere = AttributesRead("bess-2", {252: "Not ACME"}, NOW)
    assert play(start, [(0, elsewhere, [])]).verdict is OK


@pytest.mark.parametrize(("severity", "verdict"), [("mismatch", MISMATCH), ("warn", OK)])
def test_a_point_with_another_value_is_told(severity: str, verdict: Verdict) -> None:
    row = MapPoint("AI0", "profile_version", role="profile_version")
    points_map = replace(
        raw_map(),
        points=(row,),
        fingerprint=MapFingerprint(equals=(EqualCheck("profile_version", 100, severity),)),
    )
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [
        (0, seen(update("AI0", 99, flags=0x05)), []),  # bad flags prove nothing
        (1, seen(update("AI0", 100)), []),
        (2, seen(update("AI0", 101)), [(L0, "AI0")]),
        (3, seen(update("AI0", 102)), []),
    ]
    state = play(state, script)
    assert state.verdict is verdict
    assert state.findings[0].severity == ("warning" if verdict is OK else "critical")


def test_a_changed_config_revision_is_a_mismatch_even_across_sessions() -> None:
    points_map = replace(raw_map(), points=(MapPoint("AI0", "revision", role="config_revision"),))
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [
        (0, seen(update("AI0", 7)), []),
        (1, seen(update("AI0", 7)), []),
        (2, SessionDown("bess-1", "reset", NOW), []),
        (3, seen(update("AI0", 8)), [(L0, "AI0")]),
    ]
    state = play(state, script)
    assert state.verdict is MISMATCH
    assert play(state.clear(), [(4, seen(update("AI0", 8)), [])]).verdict is OK


def test_a_required_point_that_vanishes_within_a_session_is_found_by_the_next_integrity_poll() -> (
    None
):
    points_map = replace(raw_map(), points=(MapPoint("AI3", "x", required=True),))
    state = play(
        Fingerprint.start(points_map, battery()),
        [
            (1, seen(update("AI3", 7)), []),
            (2, poll("startup"), []),
            (3, poll("event"), []),
            (4, seen(update("AI3", 8)), []),
            (5, poll(), []),
            (6, poll(), [(L1, "AI3")]),
        ],
    )
    assert state.verdict is MISMATCH


def test_a_missing_required_point_counts_only_after_an_integrity_poll() -> None:
    points_map = replace(raw_map(), points=(MapPoint("AI3", "x", required=True),))
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [
        (0, poll("event"), []),
        (1, poll(ok=False), []),
        (2, poll("startup"), [(L1, "AI3")]),
    ]
    state = play(state, script)
    assert state.verdict is MISMATCH
    again: list[Step] = [(3, seen(update("AI3", 0)), []), (4, poll(), [])]
    assert play(state.clear(), again).verdict is OK


@pytest.mark.parametrize(
    ("kwh", "found"), [(8000, False), (7921, False), (8079, False), (7900, True)]
)
def test_a_rating_must_equal_the_site_within_one_percent(kwh: int, *, found: bool) -> None:
    points_map = shipped("generic-rtac@1.0.0")
    state = Fingerprint.start(points_map, battery())
    state, _ = state.handle(controller(points_map), 0.0)
    state, _ = state.handle(seen(update("AI4", kwh)), 0.0)
    state, findings = state.handle(poll(), 1.0)
    assert [finding.layer for finding in findings] == ([L2] if found else [])


def test_an_impossible_value_is_suspect_after_three_polls_in_a_row() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    over = seen(update("AI1", 2201))
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [
        (0, controller(points_map), []),
        (0, poll("startup"), []),
        (1, over, []),
        (2, poll("event"), []),
        (4, poll("critical"), []),
        (5, seen(update("AI1", 2200)), []),
        (6, poll("event"), []),  # back in range: the count starts again
        (7, over, []),
        (8, poll("event"), []),
        (10, poll("event"), []),
        (11, poll("attributes"), []),
        (12, poll("event"), [(L3, "AI1")]),
        (14, poll("event"), []),
    ]
    state = play(state, script)
    assert state.verdict is SUSPECT
    assert "2.201e+06 W" in state.findings[0].text


def test_what_the_map_calls_implausible_still_counts_as_out_of_range() -> None:
    points_map = shipped("generic-rtac@1.0.0")  # soc has max = 100
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [
        (0, controller(points_map), []),
        (1, seen(update("AI0", 61230), update("AI3", 0, flags=0x05)), []),
        (2, poll("event"), []),
        (3, poll("event"), []),
        (4, poll("event"), [(L3, "AI0")]),
    ]
    assert play(state, script).verdict is SUSPECT


def test_energy_that_is_not_capacity_times_soc_is_suspect_after_ten_minutes() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    state = Fingerprint.start(points_map, battery())
    script: list[Step] = [
        (0, controller(points_map, soc_pct=60), []),
        (10, seen(update("AI3", 4390)), []),  # 410 kWh off, 400 is allowed
    ]
    state = play(state, script)
    assert state.wake_at == 610.0
    state = play(state, [(609.9, None, []), (610.0, None, [(L4, "AI3")]), (700.0, None, [])])
    assert state.verdict is SUSPECT
    assert state.wake_at == float("inf")


def test_energy_that_comes_right_again_starts_the_ten_minutes_anew() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    off, right = seen(update("AI3", 4390)), seen(update("AI3", 4800))
    script: list[Step] = [
        (0, controller(points_map), []),
        (0, off, []),
        (599, right, []),
        (600, off, []),
        (1199, None, []),
        (1200, None, [(L4, "AI3")]),
    ]
    assert play(Fingerprint.start(points_map, battery()), script).verdict is SUSPECT


def test_a_lost_session_forgets_readings_but_not_the_verdict() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    state = Fingerprint.start(points_map, battery())
    state, _ = state.handle(poll(), 0.0)
    assert state.verdict is MISMATCH
    state, findings = state.handle(SessionDown("bess-1", "gone", NOW), 1.0)
    assert findings == ()
    assert state.verdict is MISMATCH
    assert not state.settled
    assert state.latest == {}


def test_only_an_operator_makes_the_verdict_ok_and_what_persists_is_found_again() -> None:
    points_map = shipped("example-bess-a@A")
    state = Fingerprint.start(points_map, battery())
    state, first = state.handle(poll(), 0.0)
    state, _ = state.handle(controller(points_map), 1.0)
    state, again = state.handle(poll(), 2.0)
    assert again == ()
    assert state.verdict is MISMATCH  # though all is well now
    cleared = state.clear()
    assert cleared.verdict is OK
    cleared, _ = cleared.handle(controller(points_map), 2.5)
    later, none = cleared.handle(poll(), 3.0)
    assert (later.verdict, none) == (OK, ())
    fresh, found = Fingerprint.start(points_map, battery()).clear().handle(poll(), 4.0)
    assert (fresh.verdict, found) == (MISMATCH, first)


def test_points_that_no_check_names_are_not_kept() -> None:
    state = Fingerprint.start(shipped("generic-rtac@1.0.0"), battery())
    after, _ = state.handle(seen(update("AI999", 1)), 0.0)
    assert after is state


def test_a_command_feedback_that_differs_twice_is_suspect() -> None:
    state = Fingerprint.start(shipped("generic-rtac@1.0.0"), battery())
    state, first = state.differed("AI8", expected=500e3, found=0.0)
    assert (state.verdict, first) == (OK, ())
    state, second = state.differed("AI8", expected=250e3, found=-250e3)
    assert state.verdict is SUSPECT
    assert [(found.layer, found.point, found.verdict) for found in second] == [(L6, "AI8", SUSPECT)]
    for part in ("setpoint_echo", "250000 W", "-250000 W"):
        assert part in second[0].text
    state, third = state.differed("AI8", expected=1.0, found=None)
    assert (state.verdict, third) == (SUSPECT, ())  # said once


def test_a_feedback_that_agreed_in_between_starts_the_count_anew() -> None:
    state = Fingerprint.start(shipped("generic-rtac@1.0.0"), battery())
    assert state.agreed("AI8") is state
    for _ in range(5):
        state, found = state.differed("AI8", expected=500e3, found=0.0)
        assert found == ()
        state = state.agreed("AI8")
    assert state.verdict is OK


def test_feedbacks_of_different_points_are_counted_apart() -> None:
    state = Fingerprint.start(shipped("generic-rtac@1.0.0"), battery())
    state, _ = state.differed("AI8", expected=500e3, found=0.0)
    state, found = state.differed("BO0", expected=True, found=False)
    assert (state.verdict, found) == (OK, ())
    state, found = state.agreed("AI8").differed("BO0", expected=True, found=None)
    assert [(one.layer, one.point) for one in found] == [(L6, "BO0")]
    assert "nothing usable after True was written" in found[0].text


def test_a_differing_feedback_outlives_the_session_and_is_forgiven_by_an_operator() -> None:
    start = Fingerprint.start(shipped("generic-rtac@1.0.0"), battery())
    state, _ = start.differed("AI8", expected=500e3, found=0.0)
    state, _ = state.handle(SessionDown("bess-1", "reset", NOW), 1.0)
    suspect, found = state.differed("AI8", expected=500e3, found=0.0)
    assert [one.layer for one in found] == [L6]
    cleared, found = suspect.clear().differed("AI8", expected=500e3, found=0.0)
    assert (cleared.verdict, found) == (OK, ())


def test_a_differing_point_that_the_map_does_not_name_is_told_by_its_index() -> None:
    state = Fingerprint.start(raw_map(), battery())
    state, _ = state.differed("AI8", expected=1.0, found=2.0)
    _, found = state.differed("AI8", expected=1.0, found=2.0)
    assert found[0].text.startswith("AI8 showed 2 after 1")
