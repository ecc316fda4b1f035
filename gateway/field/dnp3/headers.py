"""What a session asks an outstation for, in opendnp3's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import opendnp3 as dnp

if TYPE_CHECKING:
    from gateway.field.dnp3.reads import RangeHeader

COUNT = 580  # events of a class that one read asks for: two fragments of analogs without time
EVERYTHING = dnp.ClassField(class0=True, class1=True, class2=True, class3=True)
ALL_EVENTS = dnp.ClassField(class0=False, class1=True, class2=True, class3=True)
SOME_EVENTS = [dnp.Header.Count16(60, variation, COUNT) for variation in (2, 3, 4)]
ATTRIBUTES = [dnp.Header.AllObjects(0, 254)]  # all attributes of set 0
_CLASSES = [dnp.Header.AllObjects(60, variation) for variation in (2, 3, 4)]
FUNCTIONS = {
    "quiet": (dnp.FunctionCode.DISABLE_UNSOLICITED, _CLASSES),
    "unsolicited": (dnp.FunctionCode.ENABLE_UNSOLICITED, _CLASSES),
    # g80v1, index 7 (IIN1.7, device restart) := 0
    "clear_restart": (dnp.FunctionCode.WRITE, [dnp.Header.Raw(bytes([80, 1, 0, 7, 7, 0]))]),
}
_BYTE = 255


def header(span: RangeHeader) -> dnp.Header:
    """A range of points, in the shortest form."""
    make = dnp.Header.Range8 if span.stop <= _BYTE else dnp.Header.Range16
    return make(span.group, 0, span.start, span.stop)
