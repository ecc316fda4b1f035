"""One row of a points map: a point of the outstation and its meaning.

``scale``, ``offset``, ``unit`` and ``sign`` stand as the map has them, because they say how to
read the raw value. ``deadband``, ``min``, ``max`` and ``tolerance`` are already canonical (W, Wh,
%, V, positive discharges), because they are compared with decoded values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gateway.points.raw import PointType, Reference, parse_reference
from gateway.points.roles import BINARY, COMMAND_ROLES, PULSED_COMMANDS, UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

DISCHARGE, CHARGE = "discharge_positive", "charge_positive"
_EXACT = 1 << 53  # integers up to here are exact in a float


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One row: a point of the outstation and its meaning.

    Engineering value = raw * ``scale`` + ``offset`` in ``unit``; canonical value =
    raw * ``mul`` / ``div`` + ``bias``, which also holds the unit's factor and the sign. The
    quotient keeps decimals exact: 6123 at scale 0.01 is 61.23 and not 61.230000000000004.
    """

    point: str  # "AI47", or a bit of it, "AI47.3"; an output's row also says how to read its status
    name: str
    role: str | None = None  # None: raw telemetry only
    scale: float = 1.0
    offset: float = 0.0
    unit: str = "count"
    sign: str | None = None  # discharge_positive | charge_positive
    deadband: float | None = None  # canonical unit; publication only
    required: bool = False  # MISMATCH if an integrity poll does not bring it
    min: float | None = None  # canonical unit; plausibility, or what may be written
    max: float | None = None  # canonical unit
    enum: Mapping[str, str] | None = None  # raw value as text, or "*" for all others, -> name
    bits: Mapping[int, str] | None = None  # bit 0..31 -> "alarm:code" or "fault:code"
    invert: bool = False
    rollover: int | None = None  # raw counts at which a counter starts again from 0
    variation: str | None = None  # int16 | int32 | float | double, of an analog output
    feedback: str | None = None  # name of the row that echoes a command; may be its own
    tolerance: float | None = None  # canonical unit; how far the feedback may be from it
    verify_s: float = 5.0  # the feedback must agree within this many seconds
    min_interval_s: float = 2.0  # seconds between two writes
    codes: Mapping[str, str] | None = None  # raw value or "*" -> "alarm:code", "fault:code" or ""
    on: tuple[int, ...] | None = None  # raw codes of an analog that mean on, and off
    off: tuple[int, ...] | None = None
    low: str | None = None  # the point with the lower 16 bits, "AI11"; ``point`` has the upper
    type: str | None = None  # uint32 | int32 | float32, where there is ``low``
    how: str | None = None  # sum | mean | weighted | min | max | any | all, of ``of``
    of: tuple[str, ...] = ()  # names of the rows that it is made of
    weights: tuple[str | float, ...] = ()  # of each: a number > 0, or the name of a row
    at_least: int | None = None  # so many of them must be usable; None: all
    heartbeat: Mapping[str, Any] | None = None  # kind, and first and last, or values: all raw
    op: str | None = None  # latch | pulse | close_trip, of a relay; None: as its role is
    on_ms: int | None = None  # of a pulse; None: 100
    off_ms: int | None = None
    count: int | None = None  # of pulses; None: 1
    off_point: str | None = None  # the output that switches it off, "BO1"
    line: int = field(default=0, compare=False)  # in the file that last spoke of this row

    kind: PointType = field(init=False, compare=False, repr=False)  # as it is read: BI for a bit
    source: str = field(init=False, compare=False, repr=False)  # the point: AI47 for AI47.3
    index: int = field(init=False, compare=False, repr=False)  # on the outstation, 0..65535
    bit: int | None = field(init=False, compare=False, repr=False)
    is_flag: bool = field(init=False, compare=False, repr=False)  # its value is true or false
    mul: float = field(init=False, compare=False, repr=False)
    div: float = field(init=False, compare=False, repr=False)
    bias: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        parsed = parse_reference(self.point)
        if parsed is None:
            msg = f"{self.point!r} is not a point"
            raise ValueError(msg)
        kind = PointType.BI if self.how in ("any", "all") else parsed.kind
        unit, sign = UNITS[self.unit], -1 if self.sign == CHARGE else 1
        factor = unit.factor * sign
        gain = Fraction(repr(self.scale)) * factor
        exact = abs(gain.numerator) <= _EXACT and gain.denominator <= _EXACT
        derived = {
            "kind": kind,
            "source": parsed.point,
            "index": parsed.index,
            "bit": parsed.bit,
            "is_flag": kind in BINARY or self.on is not None,
            "mul": float(gain.numerator) if exact else float(gain),
            "div": float(gain.denominator) if exact else 1.0,
            "bias": float(Fraction(repr(self.offset)) * factor + unit.bias * sign),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def reference(self) -> Reference:
        """Its point, taken apart."""
        return Reference(self.kind, self.source, self.index, self.bit)

    def canonical(self, value: float) -> float:
        """``value``, in the row's own unit and sign, in the canonical ones."""
        unit = UNITS[self.unit]
        sign = -1.0 if self.sign == CHARGE else 1.0
        return (value * float(unit.factor) + float(unit.bias)) * sign

    def own(self, value: float) -> float:
        """The canonical ``value`` in the row's own unit and sign."""
        unit = UNITS[self.unit]
        sign = -1.0 if self.sign == CHARGE else 1.0
        return (value * sign - float(unit.bias)) / float(unit.factor)

    @property
    def plays(self) -> PointType:
        """The type of point that roles take it for: a number with codes is a binary."""
        if self.on is None:
            return self.kind
        return PointType.BO if self.kind is PointType.AO else PointType.BI

    @property
    def canonical_unit(self) -> str:
        """Unit of the decoded value: W var VA Wh % %/s V A Hz s degC bool enum count."""
        return UNITS[self.unit].canonical

    @property
    def step(self) -> float:
        """What one raw count is worth, in the canonical unit; > 0."""
        return abs(self.mul / self.div)

    @property
    def operation(self) -> str:
        """How a relay is operated: latch, pulse or close_trip."""
        return self.op or ("pulse" if self.role in PULSED_COMMANDS else "latch")

    @property
    def command(self) -> bool:
        """Whether the gateway writes it."""
        return self.role in COMMAND_ROLES

    @property
    def tells_faults(self) -> bool:
        """Whether a bit or a code of it is a fault."""
        words = (*(self.bits or {}).values(), *(self.codes or {}).values())
        return any(word.startswith("fault:") for word in words)

    @property
    def tells(self) -> bool:
        """Whether its raw value names alarms or faults."""
        return self.bits is not None or self.codes is not None
