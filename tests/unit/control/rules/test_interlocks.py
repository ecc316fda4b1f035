"""Section 6, interlocks: one test for each condition, and for its reading going bad."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.control.rules.interlocks import Interlock, blocks
from gateway.control.rules.limits import SocWindow
from gateway.measured import Quality
from tests.fixtures.batteries import row
from tests.fixtures.control import INPUTS, POWER, control_map, facts, measured, read


def found(power_w: float = 0.0, changes: Any = None, **fields: Any) -> set[Interlock]:  # noqa: ANN401 - any fact
    reasons = blocks(facts(changes, **fields), power_w)
    assert all(one.text for one in reasons)
    return {one.interlock for one in reasons}


def test_nothing_blocks_when_all_is_well() -> None:
    for power_w in (0.0, 1.0, -1.0):
        assert found(power_w) == set()


@pytest.mark.parametrize(
    ("fields", "interlock"),
    [
        ({"lease": False}, Interlock.LEASE),
        ({"session": False}, Interlock.SESSION),
        ({"map_ok": False}, Interlock.MAP),
        ({"iin": frozenset({"LOCAL_CONTROL"})}, Interlock.LOCAL),
        ({"iin": frozenset({"DEVICE_TROUBLE"})}, Interlock.DEVICE_TROUBLE),
        ({"iin": frozenset({"CONFIG_CORRUPT"})}, Interlock.CONFIG_CORRUPT),
        ({"disk_free_pct": 5.0}, Interlock.DISK),
        ({"disk_free_pct": float("nan")}, Interlock.DISK),
        ({"faults": ("overtemp",)}, Interlock.FAULT),
    ],
)
def test_each_fact_blocks_by_itself(fields: dict[str, Any], interlock: Interlock) -> None:
    assert found(**fields) == {interlock}


def test_iin_names_are_those_of_the_session() -> None:
    from gateway.field.dnp3.iin import Iin, names  # noqa: PLC0415 - only to compare words

    bits = Iin.LOCAL_CONTROL | Iin.DEVICE_TROUBLE | Iin.CONFIG_CORRUPT
    assert found(iin=frozenset(names(bits))) == {
        Interlock.LOCAL,
        Interlock.DEVICE_TROUBLE,
        Interlock.CONFIG_CORRUPT,
    }


@pytest.mark.parametrize(
    ("point", "value", "interlock"),
    [
        ("BI0", True, Interlock.LOCAL),
        ("BI1", True, Interlock.LOCKOUT),
        ("BI2", True, Interlock.ESTOP),
        ("BI3", True, Interlock.FAULT),
        ("DBI0", False, Interlock.BREAKER),
    ],
)
def test_each_point_blocks_by_itself_and_when_it_cannot_be_read(
    point: str, value: object, interlock: Interlock
) -> None:
    assert interlock in found(changes={point: value})
    good = value is False
    for quality in (Quality.QUESTIONABLE, Quality.STALE, Quality.BAD):
        assert interlock in found(changes={point: measured(good, quality)})
    assert interlock in found(changes={point: None})


@pytest.mark.parametrize("point", ["AI0", "AI1", "AI8", "BI0", "BI4"])
@pytest.mark.parametrize("quality", [Quality.QUESTIONABLE, Quality.STALE, Quality.BAD, None])
def test_critical_points_must_be_good_and_fresh(point: str, quality: Quality | None) -> None:
    value = False if point.startswith("BI") else 50.0
    reading = None if quality is None else measured(value, quality)
    assert Interlock.CRITICAL_POINT in found(changes={point: reading})


@pytest.mark.parametrize(
    ("value", "ours"),
    [("remote", True), ("local", False), (True, True), (False, False), (1.0, False), (None, False)],
)
def test_the_authority_must_be_ours(value: Any, ours: bool) -> None:  # noqa: ANN401 - any reading
    mapped = control_map(POWER, inputs=(*INPUTS, row("AI20", "control_authority", unit="count")))
    seen = found(points_map=mapped, read=read({"AI20": value}))
    assert (Interlock.AUTHORITY not in seen) is ours


def test_a_map_that_does_not_say_who_has_the_authority_blocks() -> None:
    bare = control_map(POWER, inputs=tuple(one for one in INPUTS if one.role != "local"))
    assert found(points_map=bare) == {Interlock.AUTHORITY}


def test_state_of_charge_blocks_only_the_direction_asked() -> None:
    assert found(1.0, {"AI0": 9.0}) == {Interlock.SOC}
    assert found(-1.0, {"AI0": 9.0}) == set()
    assert found(0.0, {"AI0": 9.0}) == set()
    assert found(-1.0, {"AI0": 96.0}) == {Interlock.SOC}
    assert found(1.0, {"AI0": 10.5}, window=SocWindow(10.0, 95.0, empty=True)) == {Interlock.SOC}


def test_every_reason_is_found_not_only_the_first() -> None:
    assert found(1.0, {"BI1": True, "AI0": 5.0}, lease=False, session=False) == {
        Interlock.LEASE,
        Interlock.SESSION,
        Interlock.LOCKOUT,
        Interlock.SOC,
    }


def test_a_role_that_the_map_does_not_have_says_nothing() -> None:
    few = tuple(
        one for one in INPUTS if one.role not in ("lockout", "estop_status", "fault", "breaker")
    )
    bare = replace(facts(), points_map=control_map(POWER, inputs=few))
    assert blocks(bare) == ()
