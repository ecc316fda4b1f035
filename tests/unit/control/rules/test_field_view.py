"""What the field shows, in the terms of control: what is not known never permits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import events
from gateway.asset.monitor import Monitor
from gateway.config.site import TransformerSettings
from gateway.control.rules.field_view import FieldView
from gateway.control.rules.limits import Ceiling, SiteLimits, SocWindow
from gateway.measured import Quality
from tests.fixtures.batteries import row
from tests.fixtures.commands import NOW
from tests.fixtures.control import (
    ENABLE,
    INPUTS,
    PLAIN,
    POWER,
    SIGN,
    SPLIT,
    control_map,
    facts,
    measured,
)
from tests.fixtures.shippedmaps import battery, update

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint

AUTHORITY = row("AI20", "control_authority", unit="enum", enum={"1": "remote", "*": "unknown"})
BOTH = control_map(POWER, ENABLE, inputs=(*INPUTS, AUTHORITY))
BAD = Quality.BAD
SITE = SiteLimits(
    nameplate_w=2e6,
    max_charge_w=1e6,
    max_discharge_w=1e6,
    min_soc_pct=10,
    max_soc_pct=95,
    ramp_w_per_s=1e5,
    max_dispatch_s=600,
)


def view(points_map: PointsMap, asset: AssetSettings | None = None) -> FieldView:
    asset = asset or battery()
    monitor = Monitor(asset, points_map, gateway="gw-17", matched=True, now=NOW)
    return FieldView(asset, points_map, monitor)


def hear(looks: FieldView, *points: RawPoint, at: float = NOW.mono_s, asked: bool = True) -> None:
    """Let its monitor see a fragment, read by a request of this very moment or not asked for."""
    now = NOW._replace(mono_s=at)
    asked_at = at if asked else -math.inf
    read = events.FragmentStored("bess-1", points, not asked, now, asked_at)
    looks._monitor.handle(read, now)


@pytest.mark.parametrize(
    ("local", "authority", "wanted"),
    [
        (False, "remote", True),
        (True, "remote", False),
        (False, "unknown", False),
        (measured(False, BAD), "remote", None),  # noqa: FBT003 - a reading
        (False, None, None),
        (True, None, False),
        (True, measured("remote", BAD), False),
        (None, "unknown", False),
        (None, None, None),
    ],
)
def test_one_that_says_local_is_enough_and_what_is_not_known_gives_no_authority(
    local: object, authority: object, wanted: bool | None
) -> None:
    values: dict[str, Any] = {"BI0": local, "AI20": authority}
    found = facts(values, points_map=BOTH)
    assert view(BOTH).authority(found) is wanted


@pytest.mark.parametrize(
    ("local", "authority", "wanted"),
    [
        (False, "other", True),
        (None, "other", True),
        (True, "other", False),
        (False, "local", False),
        (False, "remote", False),
        (False, measured("other", BAD), False),
        (False, None, False),
    ],
)
def test_another_master_is_neither_the_site_nor_unknown(
    local: object, authority: object, wanted: bool
) -> None:
    values: dict[str, Any] = {"BI0": local, "AI20": authority}
    found = facts(values, points_map=BOTH)
    assert view(BOTH).elsewhere(found) is wanted
    at_site = facts(values, points_map=BOTH, iin=frozenset({"LOCAL_CONTROL"}))
    assert not view(BOTH).elsewhere(at_site)


def test_local_control_in_iin_takes_the_authority_whatever_the_points_say() -> None:
    found = facts({"AI20": "remote"}, points_map=BOTH, iin=frozenset({"LOCAL_CONTROL"}))
    assert view(BOTH).authority(found) is False


def test_an_echo_is_in_watts_and_unknown_unless_all_of_it_is_good() -> None:
    split = control_map(*SPLIT, method="split")
    for points_map, values, wanted in (
        (control_map(POWER), {"AI8": 500_000.0}, 500_000.0),
        (control_map(POWER), {}, None),
        (split, {"AI10": 0.0, "AI11": 300_000.0}, 300_000.0),
        (split, {"AI10": 300_000.0, "AI11": 0.0}, -300_000.0),
        (split, {"AI11": 300_000.0}, None),
    ):
        looks = view(points_map)
        points = tuple(update(point, value) for point, value in values.items())
        hear(looks, *points)
        assert looks.echo_w(NOW, looks.base(NOW)) == wanted, values


def test_limits_that_should_be_known_and_are_not_are_zero() -> None:
    looks = view(control_map(POWER))
    assert looks.ceiling(SITE, NOW).discharge_w == 0
    points = tuple(update(f"AI{n}", 2e6) for n in (2, 3, 4, 5))
    hear(looks, *points)
    assert looks.ceiling(SITE, NOW).discharge_w == 1e6


# --- what may be -----------------------------------------------------------------------------

LATER = NOW._replace(mono_s=NOW.mono_s + 2.0)


def event(point: str, value: float, flags: int = 1) -> RawPoint:
    return update(point, value, flags=flags, event=True)


def well(points_map: PointsMap) -> FieldView:
    """A view of a battery of which all was read, and is well."""
    looks = view(points_map)
    asked = {row.point for row in points_map.points if not row.command}
    values = {"AI0": 5000.0, "DBI0": 2.0, **{f"AI{n}": 2e6 for n in (2, 3, 4, 5)}}
    hear(looks, *(update(point, values.get(point, 0.0)) for point in sorted(asked)))
    return looks


def reasons(looks: FieldView, now: Now = LATER) -> str:
    found = looks.facts(SocWindow(10.0, 95.0), now, lease=True, disk_free_pct=50.0)
    return "; ".join(looks.interlocks(found, 1.0))


@pytest.mark.parametrize(
    ("raw", "interlock"),
    [
        (event("BI0", 1), "LOCAL"),
        (event("BI1", 1), "LOCKOUT"),
        (event("BI2", 1), "ESTOP"),
        (event("BI3", 1), "FAULT"),
        (event("DBI0", 1), "BREAKER"),
        (event("BI1", 0, flags=0), "LOCKOUT"),  # not good
        (event("AI0", 900), "SOC"),
        (event("AI0", 5000, flags=0), "CRITICAL_POINT"),
    ],
)
def test_no_event_undoes_what_an_event_took_away(raw: RawPoint, interlock: str) -> None:
    looks = well(PLAIN)
    assert reasons(looks) == ""
    good = raw._replace(value={"DBI0": 2.0, "AI0": 5000.0}.get(raw.point, 0.0), flags=1)
    hear(looks, raw, good, at=LATER.mono_s, asked=False)
    assert reasons(looks).startswith(interlock)
    hear(looks, good._replace(event=False), at=LATER.mono_s + 1)
    assert reasons(looks, NOW._replace(mono_s=LATER.mono_s + 1)) == ""


def test_a_fault_bit_of_a_word_stays_until_the_word_is_read() -> None:
    word = row("AI30", None, name="alarms", unit="count", bits={0: "fault:fire", 1: "alarm:door"})
    looks = well(control_map(POWER, ENABLE, inputs=(*INPUTS, word)))
    assert "AI30" in looks.points
    hear(looks, event("AI30", 3), event("AI30", 2), at=LATER.mono_s, asked=False)
    assert reasons(looks) == "FAULT: active: fire"
    hear(looks, update("AI30", 2), at=LATER.mono_s)
    assert reasons(looks) == ""
    hear(looks, update("AI30", 1), at=LATER.mono_s)
    hear(looks, event("AI30", 0), at=LATER.mono_s, asked=False)
    assert reasons(looks) == "FAULT: active: fire"


def test_what_no_read_ever_said_is_not_known_whatever_events_say() -> None:
    looks = view(PLAIN)
    good = {"AI0": 5000.0, "DBI0": 2.0, **{f"AI{n}": 2e6 for n in (2, 3, 4, 5)}}
    points = [event(row.point, good.get(row.point, 0.0)) for row in INPUTS]
    hear(looks, *points, at=LATER.mono_s, asked=False)
    for interlock in ("CRITICAL_POINT", "LOCAL", "LOCKOUT", "ESTOP", "BREAKER", "SOC"):
        assert interlock in reasons(looks)
    assert looks.ceiling(SITE, LATER) == Ceiling(0.0, 0.0)


def test_what_was_not_read_for_15_s_is_stale_whatever_events_said_meanwhile() -> None:
    looks = well(PLAIN)
    late = NOW._replace(mono_s=NOW.mono_s + 15.0)
    hear(looks, event("BI1", 0), event("AI5", 2e6), at=late.mono_s - 1.0, asked=False)
    assert "LOCKOUT: lockout (BI1) = False, stale" in reasons(looks, late)
    assert looks.ceiling(SITE, late).discharge_w == 0.0
    assert looks.ceiling(SITE, LATER).discharge_w == 1e6


def test_a_limit_is_the_least_of_its_read_and_its_events() -> None:
    looks = well(PLAIN)
    hear(looks, event("AI5", 3e5), event("AI5", 2e6), at=LATER.mono_s, asked=False)
    assert looks.ceiling(SITE, LATER).discharge_w == 3e5
    hear(looks, event("AI5", 2e5, flags=0), at=LATER.mono_s, asked=False)
    assert looks.ceiling(SITE, LATER).discharge_w == 0.0
    hear(looks, update("AI5", 2e6), at=LATER.mono_s)
    assert looks.ceiling(SITE, LATER).discharge_w == 1e6


def test_an_event_of_a_transformers_meter_leaves_no_more_room_than_what_was_read() -> None:
    grid = (row("AI31", "poi_power", unit="W", sign=SIGN), row("AI32", "poi_reactive", unit="var"))
    asset = replace(battery(), transformer=TransformerSettings(1000.0, 100.0, 100.0, enforce=True))
    points_map = control_map(POWER, ENABLE, inputs=(*INPUTS, *grid))
    looks = view(points_map, asset)
    looks._monitor.handle(events.SessionUp("bess-1", NOW), NOW)
    base = {"AI0": 5000.0, "DBI0": 2.0, **{f"AI{n}": 2e6 for n in (2, 3, 4, 5)}, "AI31": 6e5}
    hear(looks, *(update(row.point, base.get(row.point, 0.0)) for row in points_map.points[:-2]))
    assert looks.ceiling(SITE, LATER).discharge_w == 4e5
    hear(looks, event("AI31", 1e5), at=LATER.mono_s, asked=False)
    assert looks.ceiling(SITE, LATER).discharge_w == 4e5
    hear(looks, event("AI31", 8e5), at=LATER.mono_s, asked=False)
    assert looks.ceiling(SITE, LATER).discharge_w == pytest.approx(2e5)
    hear(looks, event("AI32", -6e5), at=LATER.mono_s, asked=False)
    assert looks.reactive_var(LATER) == -6e5
    hear(looks, event("AI32", 0.0), at=LATER.mono_s, asked=False)
    assert looks.reactive_var(LATER) == -6e5
    hear(looks, update("AI31", 1e5), update("AI32", 0.0), at=LATER.mono_s)
    assert looks.ceiling(SITE, LATER).discharge_w == pytest.approx(9e5)
