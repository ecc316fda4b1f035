"""Raw value and flags -> canonical value and quality."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measured import Quality
from gateway.points.decode import decode, decode_bits, flag_quality
from gateway.points.encode import VARIATIONS, encode, round_trip
from gateway.points.pointmap import MapPoint
from gateway.points.raw import PointType
from gateway.points.roles import UNITS
from tests.fixtures.shippedmaps import update

GOOD, QUESTIONABLE, BAD = Quality.GOOD, Quality.QUESTIONABLE, Quality.BAD
KW = MapPoint("AI1", "power", unit="kW", sign="charge_positive", min=-3e6, max=3e6)
STATE = MapPoint(
    "AI7", "state", unit="enum", enum={"0": "idle", "1": "charging", "-1": "odd", "*": "unknown"}
)


@pytest.mark.parametrize(
    ("point", "flags", "quality"),
    [
        ("AI0", 0x01, GOOD),
        ("AI0", None, GOOD),  # a variation without flags
        ("AI0", 0x00, BAD),  # not online
        ("AI0", 0x03, BAD),  # restart
        ("AI0", 0x05, BAD),  # comm lost
        ("AI0", 0x09, QUESTIONABLE),  # remote forced
        ("AI0", 0x11, QUESTIONABLE),  # local forced
        ("AI0", 0x21, BAD),  # over range
        ("AI0", 0x41, QUESTIONABLE),  # reference error
        ("AI0", 0x61, BAD),  # both: the worse
        ("AO0", 0x21, BAD),
        ("BI0", 0x21, QUESTIONABLE),  # chatter
        ("BI0", 0x81, GOOD),  # bit 7 is the state itself
        ("BI0", 0x00, BAD),
        ("BO0", 0x21, GOOD),  # reserved
        ("DBI0", 0x21, QUESTIONABLE),
        ("DBI0", 0xC1, GOOD),
        ("CTR0", 0x21, GOOD),  # rollover is no defect
        ("CTR0", 0x41, QUESTIONABLE),  # discontinuity
        ("CTR0", 0x04, BAD),
    ],
)
def test_flags_decide_quality_by_point_type(
    point: str, flags: int | None, quality: Quality
) -> None:
    unit = "bool" if point[0] in "BD" else "count"
    raw = update(point, 1, flags=flags)
    assert decode(raw, MapPoint(point, "x", unit=unit)).quality is quality


@pytest.mark.parametrize(
    ("raw", "row", "value"),
    [
        (6123, MapPoint("AI0", "soc", scale=0.01, unit="%"), 61.23),
        (613, MapPoint("AI0", "soc", unit="permil"), 61.3),
        (-750, KW, 750_000.0),
        (5, MapPoint("AI0", "x", scale=2.0, offset=-1.0, unit="kW", sign="charge_positive"), -9e3),
        (12, MapPoint("AI0", "v", unit="kV"), 12_000.0),
        (7, MapPoint("CTR0", "e", unit="kWh"), 7_000.0),
        (1.5, MapPoint("AI0", "p", unit="MW", sign="discharge_positive"), 1.5e6),
        (-40, MapPoint("AI0", "q", unit="kvar", sign="discharge_positive"), -40_000.0),
        (-2_000_000, MapPoint("AI33", "max_charge", scale=-1.0, unit="W"), 2e6),
    ],
)
def test_values_come_out_canonical_and_positive_discharging(
    raw: float, row: MapPoint, value: float
) -> None:
    assert decode(update(row.point, raw), row).value == value


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf, "text"])
@pytest.mark.parametrize("row", [KW, STATE, MapPoint("BI0", "b", unit="bool")])
def test_what_is_no_number_is_bad_and_never_nan(raw: float | str, row: MapPoint) -> None:
    measured = decode(update(row.point, raw), row)
    assert measured.quality is BAD
    assert measured.value in (0.0, False)


@pytest.mark.parametrize(
    ("raw", "quality"), [(3001, BAD), (-3001, BAD), (3000, GOOD), (-3000, GOOD)]
)
def test_an_implausible_value_is_bad(raw: float, quality: Quality) -> None:
    assert decode(update("AI1", raw), KW).quality is quality


@pytest.mark.parametrize(
    ("raw", "name"),
    [(0, "idle"), (1.0, "charging"), (-1, "odd"), (9, "unknown"), (0.5, "unknown")],
)
def test_enums_become_names(raw: float, name: str) -> None:
    measured = decode(update("AI7", raw), STATE)
    assert (measured.value, measured.quality) == (name, GOOD)


@pytest.mark.parametrize(
    ("state", "value", "quality"),
    [(0, False, BAD), (1, False, GOOD), (2, True, GOOD), (3, False, BAD)],
)
def test_a_double_bit_is_on_or_off_or_bad(state: int, quality: Quality, *, value: bool) -> None:
    row = MapPoint("DBI0", "breaker", unit="bool")
    measured = decode(update("DBI0", state), row)
    assert (measured.value, measured.quality) == (value, quality)
    named = MapPoint("DBI0", "breaker", unit="enum", enum={"1": "open", "2": "closed", "*": "?"})
    assert decode(update("DBI0", state), named).quality is quality


def test_binaries_invert() -> None:
    remote = MapPoint("BI0", "local", unit="bool", invert=True)
    assert decode(update("BI0", 1), remote).value is False
    assert decode(update("BI0", 0), remote).value is True
    assert decode(update("BI0", 2), remote).quality is BAD


def test_octet_strings_stay_text() -> None:
    assert decode(update("OS0", "FW 2.3", flags=None), MapPoint("OS0", "version")).value == "FW 2.3"


def test_bits_name_what_is_set() -> None:
    row = MapPoint("AI5", "word", bits={0: "alarm:over_temp", 3: "fault:pump", 15: "alarm:door"})
    assert decode_bits(update("AI5", 0b1001), row) == {"alarm:over_temp", "fault:pump"}
    assert decode_bits(update("AI5", -32768), row) == {"alarm:door"}
    assert decode_bits(update("AI5", math.nan), row) == frozenset()
    assert decode_bits(update("AI5", 1), KW) == frozenset()


ROWS = st.builds(
    MapPoint,
    point=st.sampled_from(["AI1", "CTR2", "AO3"]),
    name=st.just("x"),
    scale=st.sampled_from([0.001, 0.01, 0.1, 1.0, -1.0, 5.0, 0.3]),
    offset=st.sampled_from([0.0, -40.0, 0.5]),
    unit=st.sampled_from(sorted(set(UNITS) - {"bool", "enum"})),
    sign=st.sampled_from([None, "discharge_positive", "charge_positive"]),
)


@given(ROWS, st.integers(-(2**31), 2**31 - 1), st.integers(0, 255) | st.none())
def test_any_integer_decodes_to_its_engineering_value(
    row: MapPoint, raw: int, flags: int | None
) -> None:
    measured = decode(update(row.point, raw, flags=flags), row)
    unit, sign = UNITS[row.unit], -1 if row.sign == "charge_positive" else 1
    expected = sign * ((raw * row.scale + row.offset) * float(unit.factor) + float(unit.bias))
    assert measured.value == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert measured.quality is flag_quality(update(row.point, raw, flags=flags), row.kind)


@given(
    st.floats() | st.integers() | st.text(),
    st.integers(0, 255) | st.none(),
    st.sampled_from([KW, STATE, *(MapPoint(f"{kind}0", "x") for kind in PointType)]),
)
def test_decode_never_raises_and_never_yields_nan(
    raw: float | str, flags: int | None, row: MapPoint
) -> None:
    measured = decode(update(row.point, raw, flags=flags), row)
    if isinstance(measured.value, float) and measured.quality < BAD:
        assert math.isfinite(measured.value)
    decode_bits(update(row.point, raw, flags=flags), row)


@given(ROWS, st.sampled_from(sorted(VARIATIONS)), st.integers(-32767, 32767))
def test_what_was_read_is_written_back_as_it_was(row: MapPoint, variation: str, raw: int) -> None:
    output = MapPoint(
        "AO3",
        "x",
        scale=row.scale,
        offset=row.offset,
        unit=row.unit,
        sign=row.sign,
        variation=variation,
    )
    value = decode(update("AO3", raw), output).value
    assert isinstance(value, float)
    back = round_trip(value, output)
    assert back is not None
    assert abs(back - value) <= output.step * 1e-3


def test_encode_refuses_what_does_not_fit() -> None:
    row = MapPoint("AO0", "setpoint", unit="kW", variation="int16", sign="charge_positive")
    assert encode(-750_400.0, row) == 750
    assert encode(0.0, row) == 0
    assert encode(32_768_000.0, row) is None
    assert encode(math.nan, row) is None
    assert encode(math.inf, row) is None
    assert encode(1e39, MapPoint("AO0", "x", variation="float")) is None
