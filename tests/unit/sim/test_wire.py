from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.points.raw import PointType
from gateway.sim.wire import (
    Flag,
    Form,
    RawValue,
    Spec,
    as_sent,
    attribute,
    common_time,
    event_object,
    relative_event,
    static_blocks,
    value_octets,
)

ONLINE = int(Flag.ONLINE)


def analog(form: Form, value: float) -> tuple[int, float]:
    octets = value_octets(Spec(PointType.AI, 0, form=form), RawValue(value, ONLINE))
    pack = {Form.INT32: "<i", Form.INT16: "<h", Form.FLOAT: "<f", Form.DOUBLE: "<d"}[form]
    return octets[0], struct.unpack(pack, octets[1:])[0]


@given(st.sampled_from(list(Form)), st.floats(allow_nan=False))
def test_a_value_is_sent_as_it_is_or_clamped_and_flagged(form: Form, value: float) -> None:
    flags, sent = analog(form, value)
    if flags & Flag.OVER_RANGE:
        assert abs(sent) < abs(value)
    else:
        assert sent == as_sent(Spec(PointType.AI, 0, form=form), value)


def test_a_nan_is_a_nan_in_floats_and_a_reference_error_in_integers() -> None:
    flags, sent = analog(Form.FLOAT, math.nan)
    assert math.isnan(sent)
    assert flags == ONLINE
    assert analog(Form.INT16, math.nan) == (Flag.REFERENCE_ERR, 0)


def test_binary_states_travel_in_the_flags() -> None:
    assert value_octets(Spec(PointType.BI, 0), RawValue(1.0, ONLINE)) == b"\x81"
    assert value_octets(Spec(PointType.DBI, 0), RawValue(2.0, ONLINE)) == b"\x81"
    assert value_octets(Spec(PointType.DBI, 0), RawValue(1.0, ONLINE)) == b"\x41"


def test_a_counter_wraps_at_32_bits() -> None:
    octets = value_octets(Spec(PointType.CTR, 0), RawValue(2.0**32 + 5, ONLINE))
    assert octets == b"\x01\x05\x00\x00\x00"


@pytest.mark.parametrize(
    ("kind", "form", "group", "variation", "size"),
    [
        (PointType.AI, Form.INT32, 32, 3, 11),
        (PointType.AI, Form.INT16, 32, 4, 9),
        (PointType.AI, Form.FLOAT, 32, 7, 11),
        (PointType.AI, Form.DOUBLE, 32, 8, 15),
        (PointType.BI, Form.INT32, 2, 2, 7),
        (PointType.DBI, Form.INT32, 4, 2, 7),
        (PointType.CTR, Form.INT32, 22, 5, 11),
    ],
)
def test_events_carry_a_48_bit_time(
    kind: PointType, form: Form, group: int, variation: int, size: int
) -> None:
    spec = Spec(kind, 3, form=form)
    found = event_object(spec, RawValue(1.0, ONLINE), 1_795_324_200_250)
    assert (*found[:2], len(found[2])) == (group, variation, size)
    assert int.from_bytes(found[2][-6:], "little") == 1_795_324_200_250


def test_outputs_have_no_events() -> None:
    with pytest.raises(ValueError, match="AO3"):
        event_object(Spec(PointType.AO, 3), RawValue(1.0, ONLINE), 0)


def test_a_relative_event_counts_from_its_common_time() -> None:
    spec = Spec(PointType.DBI, 0)
    assert relative_event(spec, RawValue(2.0, ONLINE), 300) == (4, 3, b"\x81\x2c\x01")
    assert common_time(1, synchronized=False)[:4] == b"\x33\x02\x07\x01"


def test_ranges_break_at_gaps_and_where_the_variation_changes() -> None:
    specs = [
        Spec(PointType.AI, 0),
        Spec(PointType.AI, 1),
        Spec(PointType.AI, 2, form=Form.FLOAT),
        Spec(PointType.AI, 300),
    ]
    blocks = list(static_blocks([(spec, RawValue(1.0, ONLINE)) for spec in specs]))
    assert [block[:2] for block in blocks] == [b"\x1e\x01", b"\x1e\x05", b"\x1e\x01"]
    assert blocks[0][2:5] == b"\x00\x00\x01"
    assert blocks[2][2:7] == b"\x01\x2c\x01\x2c\x01"


def test_no_block_outgrows_a_fragment() -> None:
    points = [(Spec(PointType.AI, index), RawValue(1.0, ONLINE)) for index in range(5000)]
    blocks = list(static_blocks(points))
    assert max(map(len, blocks)) < 1300
    assert sum((len(block) - 5) // 5 for block in blocks) == 5000


def test_another_variation_is_served_where_it_exists() -> None:
    point = (Spec(PointType.AI, 0), RawValue(1.5, ONLINE))
    assert next(static_blocks([point], 5))[:2] == b"\x1e\x05"
    with pytest.raises(ValueError, match="group 30 variation 9"):
        list(static_blocks([point], 9))


def test_an_attribute_is_a_visible_string() -> None:
    assert attribute(252, "ACME") == b"\x00\xfc\x00\x00\x00\x01\x04ACME"
