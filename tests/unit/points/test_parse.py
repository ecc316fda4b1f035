"""What a map becomes: inheritance, canonical units, digest, critical points."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import ConfigError, Fault
from gateway.points.difference import map_changes
from gateway.points.parse import parse_map
from gateway.points.pointmap import PointsMap, control_refusals, raw_map
from tests.fixtures.shippedmaps import shipped

HEAD = """\
schema = "bess.map/1"
[map]
id = "m"
vendor = "v"
model = "m"
revision = "1"
source = "s"
[map.match]
firmware = ["=1", "=2"]
"""
POWER = """\
[[points]]
point = "AI1"
name = "power"
role = "power"
unit = "kW"
sign = "charge_positive"
deadband = 5
min = -100
max = 200
"""
STATE = """\
[[points]]
point = "AI2"
name = "state"
role = "bess_state"
unit = "enum"
enum = { "0" = "idle", "*" = "unknown" }
"""


def load(text: str, **bases: str) -> PointsMap:
    under = {f"{name}@1": (f"{name}.toml", body.encode()) for name, body in bases.items()}
    return parse_map(text.encode(), file="m.toml", base=under.get)


def test_limits_and_dead_bands_are_canonical() -> None:
    row = load(HEAD + POWER).by_name["power"]
    assert (row.min, row.max, row.deadband) == (-200_000.0, 100_000.0, 5_000.0)
    assert (row.scale, row.unit, row.sign) == (1.0, "kW", "charge_positive")
    assert row.line == 10


def test_fingerprints_are_written_in_the_unit_of_their_point() -> None:
    checks = load(
        HEAD
        + '[map.fingerprint]\nranges = [{ point = "power", min = -100, max = 200 }]\n'
        + 'equals = [{ point = "power", value = 3 }]\n'
        + POWER
    ).fingerprint
    assert (checks.ranges[0].min, checks.ranges[0].max) == (-200_000.0, 100_000.0)
    assert checks.equals[0].value == -3_000.0


def test_lookups_find_rows() -> None:
    points_map = load(HEAD + STATE + POWER)
    assert [row.point for row in points_map.points] == ["AI1", "AI2"]
    assert points_map.by_point["AI2"].name == "state"
    assert points_map.by_role["power"][0].point == "AI1"
    assert points_map.row("soc") is None
    assert points_map.ref == "m@1"


def test_the_digest_ignores_the_order_of_keys_rows_and_forms() -> None:
    turned = HEAD.replace('["=1", "=2"]', '["=2", "=1"]').replace(
        'vendor = "v"\nmodel = "m"', 'model = "m"\nvendor = "v"'
    )
    power = "[[points]]\n" + "\n".join(reversed(POWER.splitlines()[1:])) + "\n"
    enum = STATE.replace('"0" = "idle", "*" = "unknown"', '"*" = "unknown", "0" = "idle"')
    assert load(HEAD + POWER + STATE).digest == load(turned + enum + power).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "m"', 'id = "n"'),
        ('"=2"', '"=3"'),
        ('unit = "kW"', 'unit = "W"'),
        ("deadband = 5", "deadband = 6"),
        ("max = 200", "max = 201"),
        ('"0" = "idle"', '"1" = "idle"'),
        ('point = "AI1"', 'point = "AI3"'),
        ('name = "power"', 'name = "power2"'),
        ('sign = "charge_positive"', 'sign = "discharge_positive"'),
        ("deadband = 5", "required = true\ndeadband = 5"),
        ('source = "s"', 'source = "t"'),
        ("[map.match]", '[map.fingerprint]\nabsent = ["AI9"]\n[map.match]'),
        ("[map.match]", "[map.control]\n[map.match]"),
    ],
)
def test_the_digest_changes_with_any_value(old: str, new: str) -> None:
    text = HEAD + POWER + STATE
    assert old in text
    assert load(text).digest != load(text.replace(old, new)).digest


def test_the_digest_of_what_is_inherited_is_that_of_the_whole() -> None:
    child = HEAD.replace('revision = "1"', 'revision = "2"\nextends = "m@1"')
    whole = HEAD.replace('revision = "1"', 'revision = "2"') + POWER + STATE
    assert load(child, m=HEAD + POWER + STATE).digest == load(whole).digest


def test_an_override_changes_only_the_keys_it_names() -> None:
    child = HEAD.replace('revision = "1"', 'revision = "2"\nextends = "m@1"\nremove = ["state"]')
    points_map = load(child + '[[points]]\nname = "power"\nunit = "W"\n', m=HEAD + POWER + STATE)
    row = points_map.by_name["power"]
    assert (row.point, row.unit, row.max, row.role) == ("AI1", "W", 100.0, "power")
    assert "state" not in points_map.by_name


def test_a_fault_of_the_base_names_the_base() -> None:
    child = HEAD.replace('revision = "1"', 'revision = "2"\nextends = "m@1"')
    with pytest.raises(ConfigError) as caught:
        load(child, m=HEAD + POWER.replace("deadband = 5", "deadband = -5"))
    assert str(caught.value) == "m.toml:16: [points[0]] deadband: M01 = -5: must be 0 or more"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 1", "m.toml:1: schema: M01 = 1: must be one of bess.map/1"),
        ("schema = ", "m.toml:1: not TOML: Invalid value (at end of document)"),
        ('schema = "bess.map/1"', "m.toml:1: map: M01 [map] is missing"),
        (
            HEAD + '[[points]]\npoint = "AI70000"\nname = "x"\n',
            "[points[0]] point: M01 = 'AI70000'",
        ),
        (HEAD + '[[points]]\nname = "x"\n', "m.toml:10: [points[0]] point: M01 is missing"),
        (HEAD + '[[points]]\npoint = "AI0"\nname = "X y"\n', "name: M01 = 'X y': must be a name"),
        (HEAD + "points = 3\n", "[map.match] points: M01 is unknown"),
        (
            HEAD + '[[points]]\npoint = "AI0"\nname = "x"\nbits = { "40" = "alarm:a" }\n',
            "bits: M01 = {'40': 'alarm:a'}: must be a table of bits 0..31",
        ),
        (
            HEAD + '[map.fingerprint]\nequals = [{ point = "x", value = 1 }]\n',
            'm.toml:11: [map.fingerprint.equals[0]] point: M01 = "x": must be the name of a point',
        ),
        (
            HEAD + '[map.fingerprint]\nattributes = [{ variation = 252, regex = "(" }]\n',
            'm.toml:11: [map.fingerprint.attributes[0]] regex: M07 "(" does not compile',
        ),
        (
            HEAD + '[map.fingerprint]\nabsent = ["AI1"]\n' + POWER,
            '[map.fingerprint] absent: M01 names "AI1": must be points such as AI4000',
        ),
        (
            HEAD + '[map.control]\npower_method = "percent"\n',
            "[map.control] power_base: M14 is missing",
        ),
        (HEAD + '[map.control]\norder = ["setpoint", "setpoint"]\n', "order: M01 = ["),
    ],
)
def test_malformed_maps_say_where_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert message in str(caught.value)


def test_all_faults_of_a_map_are_reported_at_once() -> None:
    text = (
        HEAD.replace('"=1", ', '"bad", ')
        + POWER.replace('sign = "charge_positive"\n', "")
        + STATE.replace(', "*" = "unknown"', "")
    )
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert [fault.code for fault in caught.value.faults] == ["M06", "M13", "M09"]


def test_a_command_for_one_direction_is_a_magnitude_and_must_have_no_sign() -> None:
    split = (
        '[[points]]\npoint = "AO7"\nname = "charge_cmd"\nrole = "cmd_charge"\nunit = "W"\n'
        'variation = "int32"\nfeedback = "charge_fb"\nsign = "charge_positive"\n'
        '[[points]]\npoint = "AI77"\nname = "charge_fb"\nunit = "W"\n'
    )
    text = "role cmd_charge is a magnitude, must have no sign"
    assert text in str([fault.text for fault in faults_of(HEAD + split)])


def test_critical_points_are_the_critical_roles_and_what_commands_are_verified_by() -> None:
    points = shipped("generic-rtac@1.0.0").critical_points
    assert {"AI0", "AI1", "AI7", "AI8", "AI9", "AI10", "BI0"} <= points
    assert not points & {"AI2", "AI12", "CTR0", "BI2"}


def test_what_takes_power_away_is_read_with_the_critical_points_where_there_is_control() -> None:
    points_map = shipped("generic-rtac@1.0.0")
    assert points_map.critical_points < points_map.polled_points
    limits, unsafe = {"AI5", "AI6", "AI14", "AI15"}, {"BI3", "BI4", "DBI0"}
    assert points_map.polled_points - points_map.critical_points == {"AI2"} | limits | unsafe
    watched = replace(points_map, control=None)
    assert watched.polled_points == watched.critical_points


def test_split_control_needs_both_commands() -> None:
    text = HEAD + '[map.control]\npower_method = "split"\n'
    reasons = control_refusals(load(text))
    assert "M17 control needs a point with the role cmd_charge" in reasons
    assert "M17 control needs a point with the role cmd_discharge" in reasons
    assert control_refusals(raw_map()) == ("M17 the map has no [map.control]",)


def test_differences_are_told_by_name() -> None:
    changes = map_changes(shipped("example-bess-a@A"), shipped("example-bess-b@B"))
    assert changes["changed"]["max_charge"] == {"point": ["AI5", "AI7"], "unit": ["kW", "W"]}
    assert sorted(changes["added"]) == ["der_heartbeat", "heartbeat", "heartbeat_echo"]


ODD = ["true", "0", "-1", "1e400", "nan", '""', '"x"', "[]", "[1]", "{}", "{ a = 1 }", "2000-01-01"]
WHOLE = (
    HEAD
    + '[map.control]\npower_method = "watts"\npower_base = "nameplate"\nidle_method = "zero"\n'
    + 'op_setpoint = "sbo"\nop_mode = "sbo"\norder = ["setpoint"]\n'
    + "[map.fingerprint]\n"
    + 'attributes = [{ variation = 252, regex = "^A" }]\nabsent = ["AI9"]\n'
    + 'equals = [{ point = "power", value = 1 }]\n'
    + 'ranges = [{ point = "power", min = 0, max = 1 }]\n'
    + 'nameplate = [{ point = "power", key = "nameplate_w" }]\n'
    + POWER
    + STATE
    + '[[points]]\npoint = "AI3"\nname = "word"\nscale = 2\noffset = 1\n'
    + 'bits = { "0" = "alarm:a" }\nrole = "alarm"\n'
    + '[[points]]\npoint = "CTR0"\nname = "total"\nrollover = 65536\n'
    + '[[points]]\npoint = "BI0"\nname = "local"\nrole = "local"\ninvert = true\nrequired = true\n'
    + '[[points]]\npoint = "AO0"\nname = "setpoint"\nrole = "cmd_power"\nvariation = "int16"\n'
    + 'unit = "kW"\nsign = "charge_positive"\nmin = -100\nmax = 100\nfeedback = "power"\n'
    + "tolerance = 1\nverify_s = 5\nmin_interval_s = 2\n"
)


def faults_of(text: str) -> tuple[Fault, ...]:
    try:
        load(text)
    except ConfigError as error:
        return error.faults
    return ()


@pytest.mark.parametrize("odd", ODD)
def test_any_value_of_any_type_is_a_map_or_a_fault_that_says_what_is_allowed(odd: str) -> None:
    assert load(WHOLE).by_name["local"].invert
    lines = WHOLE.splitlines()
    for at, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals:
            continue
        text = "\n".join([*lines[:at], f"{key} = {odd}", *lines[at + 1 :]])
        for fault in faults_of(text):
            assert fault.code
            assert 1 <= fault.where.line <= len(lines)
            assert " must " in str(fault) or " allowed are " in str(fault), line


def test_a_map_without_any_one_line_is_a_map_or_a_fault() -> None:
    lines = WHOLE.splitlines()
    missing = [faults_of("\n".join([*lines[:at], *lines[at + 1 :]])) for at in range(len(lines))]
    assert sum(1 for faults in missing if faults) > len(lines) // 4
