"""No key of the language is accepted and then ignored.

For each key a map that differs in it alone is read, normalized, judged or written otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.execution.plan import (
    PlanError,
    heartbeat_write,
    idle_writes,
    power_writes,
    stop_writes,
    switch_write,
)
from gateway.control.rules.percent_base import bases
from gateway.control.rules.readiness import heartbeat_range
from gateway.normalize.fold import Battery
from gateway.normalize.publish import dead_bands
from gateway.normalize.state import body
from gateway.points import keys, layers
from gateway.points.choose import choose, pinned
from gateway.points.derive import DerivedPoints
from gateway.points.parse import parse_map
from gateway.points.pointmap import PointsMap, control_refusals
from tests.fixtures.batteries import ASSET, at, raw
from tests.fixtures.execution import job

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint

BASE = """\
schema = "bess.map/1"
[map]
id = "parent"
vendor = "generic"
model = "rtac"
revision = "1"
source = "a test"
[map.match]
firmware = ["=9"]
[[points]]
point = "AI90"
name = "inherited"
role = "temp_min"
unit = "degC"
"""
MAP = """\
schema = "bess.map/1"
[map]
id = "every"
vendor = "generic"
model = "rtac"
revision = "1"
source = "a test"
extends = "parent@1"
remove = []
[map.match]
firmware = ["=1.0"]
[map.control]
power_method = "watts"
power_base = 1000000
idle_method = "zero"
op_setpoint = "direct"
op_mode = "sbo"
order = ["reversion", "setpoint", "mode_enable"]
prepare = []
[map.fingerprint]
attributes = []
equals = []
ranges = []
absent = []
nameplate = []
[[points]]
point = "AI0"
name = "soc"
role = "soc"
unit = "%"
scale = 0.1
offset = 0
min = 0
max = 100
deadband = 1
[[points]]
point = "AI98"
name = "never_sent"
required = false
[[points]]
point = "AI1"
name = "power"
role = "power"
unit = "kW"
sign = "discharge_positive"
[[points]]
point = "AI2"
name = "word"
role = "alarm"
bits = { "0" = "alarm:hot" }
[[points]]
point = "AI3"
name = "code"
role = "fault"
codes = { "5" = "fault:five", "*" = "" }
[[points]]
point = "AI4"
name = "state"
role = "bess_state"
unit = "enum"
enum = { "1" = "charging", "*" = "idle" }
[[points]]
point = "AI5"
name = "estop"
role = "estop_status"
on = 1
off = 0
[[points]]
point = "AI6"
name = "echo"
unit = "%"
sign = "discharge_positive"
[[points]]
point = "AI7"
name = "other_echo"
unit = "%"
sign = "discharge_positive"
[[points]]
point = "AI30"
name = "cut"
role = "reactive_power"
unit = "var"
sign = "discharge_positive"
low = "AI31"
type = "int32"
[[points]]
point = "BI0"
name = "local"
role = "local"
invert = false
[[points]]
point = "CTR0"
name = "charged"
role = "energy_charge_total"
unit = "kWh"
rollover = 1000
[[points]]
point = "AO0"
name = "setpoint"
role = "cmd_power"
variation = "int32"
unit = "%"
sign = "discharge_positive"
min = -100
max = 100.0
feedback = "echo"
tolerance = 1
verify_s = 5
min_interval_s = 2
[[points]]
point = "AO1"
name = "beat"
role = "cmd_heartbeat"
variation = "int16"
heartbeat = { kind = "count", first = 1, last = 9 }
feedback = "beat"
[[points]]
point = "AO2"
name = "limit"
variation = "int16"
feedback = "limit"
[[points]]
point = "AO3"
name = "reversion"
role = "cmd_reversion_s"
variation = "int16"
unit = "s"
feedback = "reversion"
[[points]]
point = "BO0"
name = "mode"
role = "cmd_mode_enable"
op = "close_trip"
on_ms = 200
off_ms = 300
count = 2
feedback = "local"
[[points]]
point = "BO2"
name = "lockout_cmd"
role = "cmd_lockout"
op = "pulse"
off_point = "BO3"
feedback = "local"
[[combined]]
name = "limits"
role = "soc_actual"
how = "weighted"
of = ["soc", "echo"]
weights = [1, 1]
at_least = 2
deadband = 10
[[combined]]
name = "least"
how = "min"
of = ["soc", "echo"]
"""
RAWS = {
    "AI0": 634,
    "AI1": -750,
    "AI2": 1,
    "AI3": 5,
    "AI4": 1,
    "AI5": 0,
    "AI6": 30,
    "AI7": 20,
    "AI8": 40,
    "AI90": 12,
    "AI30": -1,
    "AI31": 100,
    "AI32": 200,
    "BI0": 1,
    "CTR0": 990,
    "AI4000": 1,
}
# table, key -> what stands in MAP, and what stands instead.
CHANGES: dict[tuple[str, str], tuple[str, str]] = {
    ("map", "id"): ('id = "every"', 'id = "each"'),
    ("map", "vendor"): ('vendor = "generic"', 'vendor = "acme"'),
    ("map", "model"): ('model = "rtac"', 'model = "pcs"'),
    ("map", "revision"): ('revision = "1"', 'revision = "2"'),
    ("map", "extends"): ('extends = "parent@1"\nremove = []', 'extends = ""'),
    ("map", "remove"): ("remove = []", 'remove = ["inherited"]'),
    ("match", "firmware"): ('firmware = ["=1.0"]', 'firmware = ["=1.1"]'),
    ("control", "power_method"): ('power_method = "watts"', 'power_method = "split"'),
    ("control", "power_base"): ("power_base = 1000000", 'power_base = "nameplate"'),
    ("control", "idle_method"): ('idle_method = "zero"', 'idle_method = "zero_then_disable"'),
    ("control", "op_setpoint"): ('op_setpoint = "direct"', 'op_setpoint = "sbo"'),
    ("control", "op_mode"): ('op_mode = "sbo"', 'op_mode = "direct"'),
    ("control", "order"): ('order = ["reversion", "setpoint"', 'order = ["setpoint", "reversion"'),
    ("control", "prepare"): ("prepare = []", 'prepare = [{ row = "limit", value = 7 }]'),
    ("fingerprint", "attributes"): (
        "attributes = []",
        'attributes = [{ variation = 252, regex = "^ACME" }]',
    ),
    ("fingerprint", "equals"): ("equals = []", 'equals = [{ point = "soc", value = 50 }]'),
    ("fingerprint", "ranges"): (
        "ranges = []",
        'ranges = [{ point = "soc", min = 0, max = 10 }]',
    ),
    ("fingerprint", "absent"): ("absent = []", 'absent = ["AI4000"]'),
    ("fingerprint", "nameplate"): (
        "nameplate = []",
        'nameplate = [{ point = "power", key = "nameplate_w" }]',
    ),
    ("row", "point"): ('point = "AI0"', 'point = "AI8"'),
    ("row", "name"): ('name = "mode"\nrole', 'name = "ahead"\nrole'),
    ("row", "role"): ('role = "soc"', 'role = "soh"'),
    ("row", "scale"): ("scale = 0.1", "scale = 0.01"),
    ("row", "offset"): ("offset = 0", "offset = 3"),
    ("row", "unit"): ('unit = "%"\nscale', 'unit = "permil"\nscale'),
    ("row", "sign"): (
        'role = "power"\nunit = "kW"\nsign = "discharge',
        'role = "power"\nunit = "kW"\nsign = "charge',
    ),
    ("row", "deadband"): ("deadband = 1\n", "deadband = 2\n"),
    ("row", "required"): ("required = false", "required = true"),
    ("row", "min"): ("min = 0\n", "min = 70\n"),
    ("row", "max"): ("max = 100\n", "max = 60\n"),
    ("row", "low"): ('low = "AI31"', 'low = "AI32"'),
    ("row", "type"): ('type = "int32"', 'type = "uint32"'),
    ("row", "enum"): ('enum = { "1" = "charging"', 'enum = { "1" = "discharging"'),
    ("row", "bits"): ('bits = { "0"', 'bits = { "1"'),
    ("row", "codes"): ('codes = { "5"', 'codes = { "6"'),
    ("row", "on"): ("on = 1\n", "on = 2\n"),
    ("row", "off"): ("off = 0\n", "off = 7\n"),
    ("row", "invert"): ("invert = false", "invert = true"),
    ("row", "rollover"): ("rollover = 1000", "rollover = 100000000"),
    ("row", "variation"): ('variation = "int32"', 'variation = "double"'),
    ("row", "feedback"): ('feedback = "echo"', 'feedback = "other_echo"'),
    ("row", "tolerance"): ("tolerance = 1\n", "tolerance = 2\n"),
    ("row", "verify_s"): ("verify_s = 5", "verify_s = 6"),
    ("row", "min_interval_s"): ("min_interval_s = 2", "min_interval_s = 3"),
    ("row", "heartbeat"): ('kind = "count", first = 1', 'kind = "count", first = 0'),
    ("row", "op"): (
        'op = "pulse"\noff_point = "BO3"',
        'op = "latch"\noff_point = "BO3"',
    ),
    ("row", "on_ms"): ("on_ms = 200", "on_ms = 201"),
    ("row", "off_ms"): ("off_ms = 300", "off_ms = 301"),
    ("row", "count"): ("count = 2", "count = 3"),
    ("row", "off_point"): ('off_point = "BO3"', 'off_point = "BO4"'),
    ("combined", "name"): ('name = "limits"', 'name = "borders"'),
    ("combined", "role"): ('role = "soc_actual"', 'role = "backup_reserve"'),
    ("combined", "how"): ('how = "min"', 'how = "max"'),
    ("combined", "of"): ('of = ["soc", "echo"]\nweights', 'of = ["soc", "other_echo"]\nweights'),
    ("combined", "weights"): ("weights = [1, 1]", "weights = [1, 3]"),
    ("combined", "at_least"): ("at_least = 2", "at_least = 1"),
    ("combined", "deadband"): ("deadband = 10", "deadband = 20"),
}
# Said to people alone.
SHOWN = {("map", "source")}


def parsed(text: str) -> PointsMap:
    def base(ref: str) -> tuple[str, bytes] | None:
        return ("parent.toml", BASE.encode()) if ref == "parent@1" else None

    return parse_map(text.encode(), file="every.toml", base=base)


def behaviour(points_map: PointsMap) -> dict[str, Any]:
    """All that the gateway does by a map, for what ``RAWS`` say: no digest, no listing."""
    battery, derived = Battery(points_map, ASSET), DerivedPoints(points_map)
    battery.session(up=True, now=at(0))
    sent: tuple[RawPoint, ...] = ()
    readings = []
    for second, changes in enumerate(({}, {"CTR0": 5, "AI5": 1}, {"AI6": 1})):
        points = [raw(point, value) for point, value in {**RAWS, **changes}.items()]
        if changes.get("AI6"):
            points = [one for one in points if one.point != "AI6"]
            points.append(raw("AI6", 30, flags=0))
        seconds = float(second)
        sent, _ = derived.completed(tuple(points), asked_at=seconds, at_s=seconds)
        battery.fold(sent, at(second))
        readings.append(
            {row.point: battery.reading(row.point, at(second)) for row in points_map.points}
        )
    state = body(battery.state(at(3)))
    evidence = layers.Evidence(points_map, ASSET, {one.point: one for one in sent})
    found = {
        "state": state,
        "readings": readings,
        "bands": dict(dead_bands(points_map, capacity_wh=ASSET.capacity_wh)),
        "findings": [
            *layers.identity(evidence),
            *layers.structure(evidence),
            *layers.nameplate(evidence),
            *layers.out_of_range(evidence),
            *layers.attributes(points_map, {252: "other"}),
        ],
        "polled": points_map.polled_points,
        "refusals": control_refusals(points_map),
        "pinned": pinned([points_map], "every@1") is not None,
        "chosen": choose([points_map], vendor="generic", model="rtac", firmware="1.0") is not None,
        "writes": writes(points_map),
    }
    assert state["fields"]
    return found


def writes(points_map: PointsMap) -> list[object]:
    of, _ = bases(
        points_map, lambda _: None, nameplate_w=2e6, max_charge_w=1e6, max_discharge_w=1e6
    )
    found: list[object] = [heartbeat_range(points_map)]
    for say in (
        lambda: idle_writes(points_map, of),
        lambda: power_writes(points_map, 500e3, of),
        lambda: (one := job(points_map)) and (one.before, one.after),
        lambda: stop_writes(points_map),
        lambda: [heartbeat_write(points_map, count) for count in (1, 2)],
        lambda: [switch_write(points_map, "cmd_mode_enable", on=on) for on in (True, False)],
        lambda: [switch_write(points_map, "cmd_lockout", on=on) for on in (True, False)],
        lambda: points_map.modes,
    ):
        try:
            found.append(say())
        except PlanError as error:
            found.append(str(error))
    return found


def changed(table: str, key: str) -> str:
    before, after = CHANGES[table, key]
    assert MAP.count(before) == 1, before
    return MAP.replace(before, after)


@pytest.mark.parametrize(("table", "key"), sorted(CHANGES), ids=lambda word: word)
def test_a_map_that_differs_in_one_key_behaves_differently(table: str, key: str) -> None:
    assert behaviour(parsed(changed(table, key))) != behaviour(parsed(MAP))


EQUALS = 'equals = [{ point = "soc", value = 50, severity = "mismatch", text = "because" }]'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('point = "soc"', 'point = "power"'),
        ("value = 50", "value = 63.4"),
        ("mismatch", "warn"),
        ("because", "why"),
    ],
)
def test_so_does_one_that_differs_in_a_check(before: str, after: str) -> None:
    one, other = (
        parsed(MAP.replace("equals = []", text)) for text in (EQUALS, EQUALS.replace(before, after))
    )
    assert behaviour(one) != behaviour(other)


def test_every_key_is_tried() -> None:
    tables = {
        "map": keys.HEAD,
        "match": keys.MATCH,
        "control": keys.CONTROL,
        "fingerprint": keys.FINGERPRINT,
        "row": keys.ROW,
        "combined": keys.COMBINED,
    }
    known = {(table, key) for table, readers in tables.items() for key in readers}
    assert CHANGES.keys() | SHOWN == known


def test_what_is_said_to_people_alone_changes_nothing() -> None:
    """So the others differ because of their key, and not because they always do."""
    other = MAP.replace('source = "a test"', 'source = "another"')
    assert other != MAP
    assert behaviour(parsed(other)) == behaviour(parsed(MAP))
