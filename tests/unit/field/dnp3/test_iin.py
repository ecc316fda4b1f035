from __future__ import annotations

import pytest

from gateway.field.dnp3 import iin


@pytest.mark.parametrize(
    ("octets", "names"),
    [
        ((0x00, 0x00), ()),
        ((0x80, 0x00), ("DEVICE_RESTART",)),
        ((0x10, 0x08), ("NEED_TIME", "EVENT_BUFFER_OVERFLOW")),
        ((0x0E, 0x00), ("CLASS_1_EVENTS", "CLASS_2_EVENTS", "CLASS_3_EVENTS")),
        ((0x61, 0x00), ("BROADCAST", "LOCAL_CONTROL", "DEVICE_TROUBLE")),
        ((0x00, 0x30), ("ALREADY_EXECUTING", "CONFIG_CORRUPT")),
        ((0x00, 0xC0), ()),  # reserved
    ],
)  # fmt: skip
def test_two_octets_become_names(octets: tuple[int, int], names: tuple[str, ...]) -> None:
    assert iin.names(iin.join(*octets)) == names


def test_a_refusal_names_what_is_wrong_with_the_request() -> None:
    assert iin.refusal(iin.join(0x80, 0x00)) == ""
    assert iin.refusal(iin.join(0x80, 0x06)) == "OBJECT_UNKNOWN, PARAMETER_ERROR"
    assert iin.refusal(iin.join(0, 1)) == "NO_FUNC_CODE_SUPPORT"
