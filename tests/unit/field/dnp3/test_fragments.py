"""The handler is given the binding's own values, under headers made here.

(``HeaderInfo`` and ``ResponseInfo`` of the binding cannot be filled in from Python.)
"""

# ruff: noqa: ANN401, FBT003, N815 - the binding's values and names

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import opendnp3 as dnp
import pytest

from gateway.errors import StoreError
from gateway.events import FragmentLost, FragmentStored
from gateway.field.dnp3.fragments import AttributeHandler, FragmentHandler
from gateway.measured import TimeQuality
from tests.fixtures.field import Recorder, Sink, still

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint

NOW_MS = 1_700_000_000_000


@dataclass
class Header:
    gv: Any
    tsquality: Any
    isEventVariation: bool
    flagsValid: bool = True


@dataclass
class Response:
    unsolicited: bool = False
    fir: bool = True
    fin: bool = True


@dataclass
class Indexed:
    index: int
    value: Any


def header(name: str, *, quality: str = "INVALID", flags: bool = True) -> Any:
    group = int(name.removeprefix("Group").split("Var")[0])
    event = group in (2, 4, 11, 22, 23, 32, 42, 111)
    return Header(
        getattr(dnp.GroupVariation, name), getattr(dnp.TimestampQuality, quality), event, flags
    )


def value(kind: str, number: Any, *, flags: int = 1, time_ms: int = 0) -> Any:
    made = getattr(dnp, kind)(number)
    made.flags, made.time = dnp.Flags(flags), dnp.DNPTime(time_ms)
    return made


class Bench:
    def __init__(self) -> None:
        self.sink, self.core = Sink(), Recorder()
        self.handler = FragmentHandler("bess-1", self.sink, self.core, now=still)

    def fragment(self, *headers: tuple[Any, list[Any]], unsolicited: bool = False) -> None:
        answer: Any = Response(unsolicited=unsolicited)
        self.handler.BeginFragment(answer)
        for head, values in headers:
            self.handler.Process(head, values)
        self.handler.EndFragment(answer)

    def one(self, head: Any, measured: Any, index: int = 7) -> RawPoint:
        self.sink.points.clear()
        self.fragment((head, [Indexed(index, measured)]))
        (point,) = self.sink.points
        return point


@pytest.mark.parametrize(
    ("name", "measured", "point", "wanted", "flags"),
    [
        ("Group1Var2", value("Binary", True, flags=0x81), "BI7", 1, 0x01),
        ("Group2Var1", value("Binary", False, flags=0x05), "BI7", 0, 0x05),
        ("Group3Var2", value("DoubleBitBinary", dnp.DoubleBit(2), flags=0x81), "DBI7", 2, 0x01),
        ("Group4Var2", value("DoubleBitBinary", dnp.DoubleBit(3), flags=0xC1), "DBI7", 3, 0x01),
        ("Group4Var1", value("DoubleBitBinary", dnp.DoubleBit(0)), "DBI7", 0, 0x01),
        ("Group10Var2", value("BinaryOutputStatus", True, flags=0x81), "BO7", 1, 0x01),
        ("Group11Var1", value("BinaryOutputStatus", True, flags=0x91), "BO7", 1, 0x11),
        ("Group20Var1", value("Counter", 4_294_967_295, flags=0x21), "CTR7", 4_294_967_295, 0x21),
        ("Group22Var1", value("Counter", 0), "CTR7", 0, 1),
        ("Group30Var1", value("Analog", -(2.0**31)), "AI7", -(2**31), 1),
        ("Group32Var2", value("Analog", 32767.0, flags=0x21), "AI7", 32767, 0x21),
        ("Group30Var5", value("Analog", 1.5), "AI7", 1.5, 1),
        ("Group32Var6", value("Analog", -0.1), "AI7", -0.1, 1),
        ("Group40Var1", value("AnalogOutputStatus", 5.0), "AO7", 5, 1),
        ("Group40Var3", value("AnalogOutputStatus", 0.25), "AO7", 0.25, 1),
        ("Group42Var5", value("AnalogOutputStatus", 0.25), "AO7", 0.25, 1),
    ],
)
def test_every_type_keeps_its_value_and_flags(
    name: str, measured: Any, point: str, wanted: float, flags: int
) -> None:
    got = Bench().one(header(name), measured)
    assert (got.point, got.value, got.flags) == (point, wanted, flags)
    assert type(got.value) is type(wanted)


def test_a_variation_without_flags_has_none() -> None:
    assert Bench().one(header("Group30Var4", flags=False), value("Analog", 3.0)).flags is None


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_nan_and_infinity_arrive_as_sent(number: float) -> None:
    got = Bench().one(header("Group30Var5"), value("Analog", number)).value
    assert isinstance(got, float)
    assert got == number or (math.isnan(number) and math.isnan(got))


def test_an_octet_string_is_text_without_its_padding() -> None:
    got = Bench().one(header("Group110Var0"), dnp.OctetString("ACME 1.2\0\0"))
    assert got[:3] == ("OS7", "ACME 1.2", None)


def test_an_index_that_no_map_names_is_just_a_point() -> None:
    assert Bench().one(header("Group30Var1"), value("Analog", 1.0), index=65535).point == "AI65535"


@pytest.mark.parametrize("group", ["Group21Var1", "Group21Var9", "Group23Var1"])
def test_a_frozen_counter_is_a_point_of_its_own_beside_the_counter(group: str) -> None:
    got = Bench().one(header(group), value("FrozenCounter", 4711))
    assert got[:2] == ("FC7", 4711)


def test_what_is_no_point_is_ignored() -> None:
    bench = Bench()
    bench.fragment(
        (header("Group50Var4"), [Indexed(0, object())]),
        (header("Group43Var1"), [Indexed(0, object())]),
    )
    assert bench.sink.points == []
    assert bench.core.seen == []


@pytest.mark.parametrize(
    ("quality", "time_ms", "live", "at_ms", "tq"),
    [
        ("SYNCHRONIZED", NOW_MS - 250, True, NOW_MS - 250, TimeQuality.SYNCED),
        ("UNSYNCHRONIZED", NOW_MS - 250, True, NOW_MS - 250, TimeQuality.UNSYNCED),
        ("INVALID", NOW_MS - 250, True, NOW_MS, TimeQuality.GATEWAY),
        ("SYNCHRONIZED", 0, True, NOW_MS, TimeQuality.GATEWAY),
        ("SYNCHRONIZED", NOW_MS - 5000, True, NOW_MS - 5000, TimeQuality.SYNCED),
        ("SYNCHRONIZED", NOW_MS - 5001, True, NOW_MS - 5001, TimeQuality.SKEWED),
        ("SYNCHRONIZED", NOW_MS + 5001, True, NOW_MS + 5001, TimeQuality.SKEWED),
        # history that waited at the outstation while we were away is old, not skewed
        ("SYNCHRONIZED", NOW_MS - 86_400_000, False, NOW_MS - 86_400_000, TimeQuality.SYNCED),
        ("SYNCHRONIZED", NOW_MS + 5001, False, NOW_MS + 5001, TimeQuality.SKEWED),
    ],
)
def test_time_is_the_outstations_if_it_gave_one(
    quality: str, time_ms: int, live: bool, at_ms: int, tq: TimeQuality
) -> None:
    bench = Bench()
    bench.handler.live = live
    got = bench.one(header("Group32Var3", quality=quality), value("Analog", 1.0, time_ms=time_ms))
    assert (got.at_ms, got.rt_ms, got.tq, got.event) == (at_ms, NOW_MS, tq, True)


def test_a_fragment_is_stored_whole_and_then_told() -> None:
    bench = Bench()
    bench.fragment(
        (header("Group30Var1"), [Indexed(0, value("Analog", 1.0)), Indexed(1, value("Analog", 2))]),
        (header("Group1Var2"), [Indexed(0, value("Binary", True))]),
        unsolicited=True,
    )
    (notice,) = bench.core.seen
    assert isinstance(notice, FragmentStored)
    assert [point.point for point in notice.points] == ["AI0", "AI1", "BI0"]
    assert notice.unsolicited
    assert list(notice.points) == bench.sink.points


@pytest.mark.parametrize("fault", [StoreError("disk I/O error"), ZeroDivisionError("x")])
def test_a_store_that_fails_is_told_as_a_loss_and_nothing_is_raised(fault: Exception) -> None:
    bench = Bench()
    bench.sink.fault = fault
    bench.fragment((header("Group30Var1"), [Indexed(0, value("Analog", 1.0))]))
    assert bench.core.seen == [FragmentLost("bess-1", 1, str(fault), still())]


def test_the_fragment_after_a_lost_one_is_stored() -> None:
    bench = Bench()
    bench.sink.fault = StoreError("full")
    bench.fragment((header("Group30Var1"), [Indexed(0, value("Analog", 1.0))]))
    bench.sink.fault = None
    bench.fragment((header("Group30Var1"), [Indexed(1, value("Analog", 1.0))]))
    assert [point.point for point in bench.sink.points] == ["AI1"]


def test_objects_that_cannot_be_read_are_told_and_the_rest_is_stored() -> None:
    bench = Bench()
    bench.fragment(
        (header("Group30Var1"), [Indexed(0, object()), Indexed(1, object())]),
        (header("Group1Var2"), [Indexed(0, value("Binary", True))]),
    )
    stored, lost = bench.core.seen
    assert isinstance(stored, FragmentStored)
    assert isinstance(lost, FragmentLost)
    assert (len(stored.points), lost.count) == (1, 2)


def attribute(kind: str, **fields: Any) -> Any:
    made = dnp.DeviceAttributeValue()
    made.type = getattr(dnp.DeviceAttrType, kind)
    for name, content in fields.items():
        setattr(made, name, content)
    return made


def test_attributes_become_text_by_variation() -> None:
    handler = AttributeHandler()
    head = header("Group0Var254")
    handler.OnDeviceAttribute(head, 0, 252, attribute("VISIBLE_STRING", stringValue="ACME"))
    handler.OnDeviceAttribute(head, 0, 242, attribute("UNSIGNED_INT", unsignedValue=7))
    handler.OnDeviceAttribute(head, 0, 240, attribute("SIGNED_INT", signedValue=-7))
    handler.OnDeviceAttribute(head, 0, 239, attribute("OCTET_STRING", rawValue=[1, 0xAB]))
    handler.OnDeviceAttribute(head, 9, 252, attribute("VISIBLE_STRING", stringValue="private"))
    handler.OnDeviceAttribute(head, 0, 1, None)  # type: ignore[arg-type]  # what must not raise
    assert handler.taken == {252: "ACME", 242: "7", 240: "-7", 239: "01ab"}
