"""What the field shows, in the terms of control: what is not known never permits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.asset.monitor import Monitor
from gateway.control.rules.field_view import FieldView
from gateway.control.rules.limits import SiteLimits
from gateway.measured import Quality
from tests.fixtures.batteries import row
from tests.fixtures.commands import NOW
from tests.fixtures.control import ENABLE, INPUTS, POWER, SPLIT, control_map, facts, measured
from tests.fixtures.shippedmaps import battery, update

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap

AUTHORITY = row("AI20", "control_authority", unit="enum", enum={"1": "remote", "*": "unknown"})
BOTH = control_map(POWER, ENABLE, inputs=(*INPUTS, AUTHORITY))
BAD = Quality.BAD


def view(points_map: PointsMap) -> FieldView:
    asset = battery()
    monitor = Monitor(asset, points_map, gateway="gw-17", matched=True, now=NOW)
    return FieldView(asset, points_map, monitor)


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
        looks._monitor.battery.fold(points, NOW)
        assert looks.echo_w(NOW) == wanted, values


def test_limits_that_should_be_known_and_are_not_are_zero() -> None:
    looks = view(control_map(POWER))
    site = SiteLimits(
        nameplate_w=2e6,
        max_charge_w=1e6,
        max_discharge_w=1e6,
        min_soc_pct=10,
        max_soc_pct=95,
        ramp_w_per_s=1e5,
        max_dispatch_s=600,
    )
    assert looks.ceiling(site, NOW).discharge_w == 0
    points = tuple(update(f"AI{n}", 2e6) for n in (2, 3, 4, 5))
    looks._monitor.battery.fold(points, NOW)
    assert looks.ceiling(site, NOW).discharge_w == 1e6
