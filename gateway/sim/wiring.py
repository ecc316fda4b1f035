"""Between the RTAC's engineering values and the raw points that a points map lays out.

The gateway's maps are read backwards here: role -> engineering value -> raw value. Points
that the gateway knows nothing about stand still at 0, as spare points of a real RTAC do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gateway.points.encode import encode
from gateway.points.halves import split
from gateway.points.raw import PointType, parse_point
from gateway.sim.faults import EVERY_POINT
from gateway.sim.wire import Flag, Form, RawValue, Spec, as_sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.points.pointmap import MapPoint, PointsMap
    from gateway.sim.battery import Observation, Plant, Ratings
    from gateway.sim.rtac import Rtac, Value

SPARE_FIRST = 20_000  # spare analogs: far from every index that a map or a fingerprint names
_POWER_COMMANDS = ("cmd_power", "cmd_charge", "cmd_discharge")
_OFF, _ON = 1, 2  # determined states of a double-bit point
_BINARY = (PointType.BI, PointType.DBI, PointType.BO)
_COUNTERS = (PointType.CTR, PointType.FC)
_OUTPUT = (PointType.AO, PointType.BO)
_KILO = ("kW", "MW", "kvar", "kWh", "MWh", "kV")
_UNKNOWN_CODE = 99
_SIGN = 1 << 31
_RAW_MAP_POINTS = 8  # analogs that are served where a map has no points of its own


@dataclass(frozen=True, slots=True)
class Wire:
    """One served point; ``row`` is None for points that no map names."""

    spec: Spec
    row: MapPoint | None
    echoes: MapPoint | None = None  # the output whose value this input shows
    bits: tuple[Wire, ...] = ()  # of a status word: those that rows of their own are about
    lower: bool = False  # it shows the lower 16 bits of its row
    opposite: bool = False  # of a pair of outputs: the one that switches off


@dataclass(frozen=True, slots=True)
class Wiring:
    """Every point that is served, in order of type and index."""

    points_map: PointsMap
    ratings: Ratings
    wires: tuple[Wire, ...]
    constants: Mapping[str, Value]  # by point: what the map's fingerprint wants to see
    shares: Mapping[str, tuple[str, int]]  # by point: the role of what is combined of so many
    by_point: Mapping[str, Wire]

    # --- outwards --------------------------------------------------------------------------

    def raw_values(
        self, rtac: Rtac, battery: Plant, seen: Observation, now: float
    ) -> dict[str, RawValue]:
        """Raw value and flags of every point but the spare ones."""
        values = rtac.values(battery, seen, now)
        conditions = rtac.conditions()
        found: dict[str, RawValue] = {}
        for wire in self.wires:
            point = wire.spec.point
            if wire.spec.index >= SPARE_FIRST:
                continue
            if wire.row is None:
                raw: float | str = 0.0
            else:
                raw = self._raw(wire, wire.row, rtac, values, conditions, now)
            if wire.row is not None and wire.row.low is not None and not isinstance(raw, str):
                raw = float(split(wire.row.type or "", raw)[wire.lower])
            for bit in wire.bits:
                assert bit.row is not None
                if self._raw(bit, bit.row, rtac, values, conditions, now):
                    raw = int(raw) | 1 << (bit.row.bit or 0)
            if wire.bits and wire.spec.kind is PointType.AI and int(raw) >= _SIGN:
                raw = int(raw) - 2 * _SIGN  # the word's first bit, as a signed integer has it
            found[point] = _spoilt(wire.spec, raw, rtac)
        return found

    def _raw(
        self,
        wire: Wire,
        row: MapPoint,
        rtac: Rtac,
        values: Mapping[str, Value],
        conditions: frozenset[str],
        now: float,
    ) -> float | str:
        if row.bits is not None:
            return float(sum(1 << bit for bit, code in row.bits.items() if code in conditions))
        if row.codes is not None:
            return _told(row.codes, conditions)
        if row.point in self.constants:
            return _backwards(self.constants[row.point], row)
        if wire.opposite:
            return float(not self._echo(row, row, rtac, now))
        # A heartbeat that the RTAC counts by itself is what we write back, and no echo of it.
        if wire.echoes is not None and row.role != "der_heartbeat":
            shown: Value = self._echo(wire.echoes, row, rtac, now)
        elif row.role is not None and row.role in values:
            shown = values[row.role]
        elif row.point in self.shares and self.shares[row.point][0] in values:
            role, parts = self.shares[row.point]
            whole = values[role]
            shown = whole if isinstance(whole, bool | str) else whole / parts
        else:
            return "" if row.kind is PointType.OS else _nothing(row)
        return _backwards(shown, row)

    def _echo(self, output: MapPoint, row: MapPoint, rtac: Rtac, now: float) -> Value:
        shown = rtac.echo(output.role or "", output.point, now)
        if output.role in _POWER_COMMANDS and row.canonical_unit == "%":
            return 100.0 * shown / self._base_w(shown, rtac)
        return shown

    def _base_w(self, power_w: float, rtac: Rtac) -> float:
        """What 100 % of a power command means, W, for the direction of ``power_w``."""
        control = self.points_map.control
        base = None if control is None else control.power_base
        if isinstance(base, int | float):
            return float(base)
        if base == "max_power":
            ratings = self.ratings
            rated_w = ratings.max_discharge_w if power_w >= 0 else ratings.max_charge_w
            return rtac.max_power_w(rated_w)
        return self.ratings.nameplate_w

    # --- inwards ---------------------------------------------------------------------------

    def output(self, point: str) -> MapPoint | None:
        """The row of an output; None where the RTAC has no such output."""
        wire = self.by_point.get(point)
        return None if wire is None or wire.spec.kind not in _OUTPUT else wire.row

    def relayed(self, point: str, raw: float) -> float | None:
        """What a relay of ``row`` makes of 1 and 0; None: the other one of its pair does that."""
        wire = self.by_point[point]
        if wire.row is None or wire.row.off_point is None:
            return raw
        return None if not raw else float(not wire.opposite)

    def engineering(self, row: MapPoint, raw: float, rtac: Rtac) -> float:
        """What a raw value written to an output means: W, %, s, count; 0 and 1 for binaries.

        NaN for a code that the map does not have.
        """
        if row.kind is PointType.BO:
            return float(bool(raw) is not row.invert)
        if row.on is not None:
            return 1.0 if raw in row.on else 0.0 if raw in (row.off or ()) else math.nan
        if row.heartbeat is not None and not _is_beat(raw, row.heartbeat):
            return math.nan
        value = raw * row.mul / row.div + row.bias
        if row.role in _POWER_COMMANDS and row.canonical_unit == "%":
            return value / 100.0 * self._base_w(value, rtac)
        return value

    def limit(self, row: MapPoint) -> float:
        """Largest magnitude that may be written, in the unit of ``engineering``."""
        if row.role in _POWER_COMMANDS:
            return self.ratings.nameplate_w
        return 100.0 if row.role == "cmd_reserve" else math.inf


def wire_up(
    points_map: PointsMap, ratings: Ratings, *, form: Form | None = None, spares: int = 0
) -> Wiring:
    """Lay out the points of a map, and ``spares`` analogs beyond it for load.

    Args:
        points_map: what to serve.
        ratings: of the battery behind it.
        form: how every analog input travels; None chooses for each.
        spares: how many further analogs, in event class 3.
    """
    outputs = {row.feedback: row for row in points_map.points if row.feedback is not None}
    wires = _wires(points_map, outputs, form)
    if not wires:
        wires = [Wire(Spec(PointType.AI, index), None) for index in range(_RAW_MAP_POINTS)]
    wires.extend(
        Wire(Spec(PointType.AI, index, event_class=3), None)
        for index in range(SPARE_FIRST, SPARE_FIRST + spares)
    )
    wires.sort(key=lambda wire: (wire.spec.kind.value, wire.spec.index))
    return Wiring(
        points_map=points_map,
        ratings=ratings,
        wires=tuple(wires),
        constants=dict(_constants(points_map, ratings)),
        shares=dict(_shares(points_map)),
        by_point={wire.spec.point: wire for wire in wires},
    )


def _wires(points_map: PointsMap, outputs: Mapping[str, MapPoint], form: Form | None) -> list[Wire]:
    """One for each point; rows about bits of it go with it."""
    words: dict[str, list[Wire]] = {}
    for row in points_map.points:
        if row.how is not None:
            continue
        wire = Wire(_spec(row, form), row, outputs.get(row.name) or _self_echo(row))
        words.setdefault(row.source, []).append(wire)
    found = [
        Wire(Spec(*other, event_class=0), row, row, opposite=True)
        for row in points_map.points
        if row.off_point is not None and (other := parse_point(row.off_point)) is not None
    ]
    found += [
        Wire(Spec(*lower), row, lower=True)
        for row in points_map.points
        if row.low is not None and (lower := parse_point(row.low)) is not None
    ]
    for rows in words.values():
        bits = tuple(one for one in rows if one.row is not None and one.row.bit is not None)
        whole = next((one for one in rows if one not in bits), None)
        found.append(
            Wire(bits[0].spec, None, bits=bits) if whole is None else replace(whole, bits=bits)
        )
    return found


def _shares(points_map: PointsMap) -> Iterator[tuple[str, tuple[str, int]]]:
    for row in points_map.points:
        for name in row.of:
            yield (
                points_map.by_name[name].point,
                (row.role or "", len(row.of) if row.how == "sum" else 1),
            )


def _constants(points_map: PointsMap, ratings: Ratings) -> Iterator[tuple[str, Value]]:
    for rating in points_map.fingerprint.nameplate:
        row = points_map.by_name.get(rating.point)
        if row is not None and row.role is None:
            yield row.point, float(getattr(ratings, rating.key))
    for check in points_map.fingerprint.equals:
        row = points_map.by_name.get(check.point)
        if row is not None:
            yield row.point, check.value
    for role in ("config_revision", "profile_version"):
        row = points_map.row(role)
        if row is not None and all(row.name != c.point for c in points_map.fingerprint.equals):
            yield row.point, 1.0


def _self_echo(row: MapPoint) -> MapPoint | None:
    """Outputs show their own status."""
    return row if row.kind in _OUTPUT else None


def _spec(row: MapPoint, form: Form | None) -> Spec:
    """Binaries in event class 1, analogs in 2, counters in 3.

    Where nothing else is said, analogs in whole kilo- or mega-units are floats, as an RTAC
    hands on engineering values, and scaled ones 32-bit integers.
    """
    if row.bit is not None:
        kind = PointType.AI if row.source.startswith(PointType.AI) else PointType.CTR
        return Spec(kind, row.index, event_class=1)
    if row.low is not None:
        return Spec(row.kind, row.index)
    if row.kind is PointType.AI:
        engineering = row.scale == 1.0 and row.unit in _KILO
        own = form or (Form.FLOAT if engineering else Form.INT32)
        deadband = (row.deadband or 0.0) / row.step
        return Spec(row.kind, row.index, form=own, event_class=2, deadband=deadband)
    if row.kind is PointType.AO:
        own = Form(row.variation) if row.variation is not None else Form.INT32
        return Spec(row.kind, row.index, form=own, event_class=0)
    classes = {PointType.BO: 0, PointType.CTR: 3, PointType.FC: 3, PointType.OS: 3}
    return Spec(row.kind, row.index, event_class=classes.get(row.kind, 1))


def _backwards(value: Value, row: MapPoint) -> float | str:
    """Engineering value -> raw value of a point."""
    if row.kind is PointType.OS:
        return str(value)
    if row.enum is not None:
        return _code(value, row)
    if row.is_flag:
        return _flag(row, on=value == "remote" if isinstance(value, str) else bool(value))
    if isinstance(value, str):
        return _nothing(row)
    raw = encode(float(value), row)
    if raw is None:  # beyond its variation: shown as it is, clamped and flagged on the wire
        return (float(value) - row.bias) * row.div / row.mul
    return float(int(raw)) if row.kind in _COUNTERS else float(raw)


def _told(codes: Mapping[str, str], conditions: frozenset[str]) -> float:
    """Code of what is so; else of nothing."""
    wanted = [raw for raw, word in codes.items() if word in conditions and raw != EVERY_POINT]
    quiet = [raw for raw, word in codes.items() if not word and raw != EVERY_POINT]
    return float((*wanted, *quiet, "0")[0])


def _is_beat(raw: float, shape: Mapping[str, Any]) -> bool:
    if shape["kind"] == "count":
        return bool(shape["first"] <= raw <= shape["last"])
    return raw in (shape.get("values") or (shape["first"], shape["last"]))


def _flag(row: MapPoint, *, on: bool) -> float:
    """Raw value by which a flag says ``on``."""
    if row.on is not None:
        return float(((row.on if on else row.off) or (0,))[0])
    state = on is not row.invert
    return float((_ON if state else _OFF) if row.kind is PointType.DBI else state)


def _code(value: Value, row: MapPoint) -> float:
    """Code of an enum's name; that of an unlisted one where the map does not know the name."""
    assert row.enum is not None
    for code, name in row.enum.items():
        if code != EVERY_POINT and name == value:
            return float(code)
    codes = {int(code) for code in row.enum if code != EVERY_POINT}
    return float(min(codes, default=0) if value not in _STATES else _unlisted(codes))


_STATES = ("charging", "discharging", "idle")


def _unlisted(codes: set[int]) -> int:
    return next(code for code in range(_UNKNOWN_CODE, 0, -1) if code not in codes)


def _nothing(row: MapPoint) -> float:
    """What a point shows that nobody drives: off, or 0 moved into its plausible range."""
    if row.kind is PointType.DBI:
        return float(_OFF)
    if row.kind in _BINARY:
        return 0.0
    if row.off is not None:
        return float(row.off[0])
    value = 0.0
    if row.min is not None:
        value = max(value, row.min)
    if row.max is not None:
        value = min(value, row.max)
    raw = encode(value, row)
    return 0.0 if raw is None else float(raw)


def _spoilt(spec: Spec, raw: float | str, rtac: Rtac) -> RawValue:
    """Value and flags after the faults on points have had their say."""
    faults, point, flags = rtac.faults, spec.point, int(Flag.ONLINE)
    if faults.hits("forced", point):
        flags |= Flag.LOCAL_FORCED
    if faults.hits("comm_lost", point):
        flags = flags & ~Flag.ONLINE | Flag.COMM_LOST
    if faults.hits("offline", point):
        flags &= ~Flag.ONLINE
    if spec.kind in (PointType.BI, PointType.DBI) and faults.hits("chatter", point):
        flags |= Flag.CHATTER_FILTER
    forced = faults.raw_value(point)
    if forced is not None and not isinstance(raw, str):
        raw = forced
    if spec.kind in (PointType.AI, PointType.AO):
        if faults.hits("nan", point):
            raw = math.nan
        elif faults.hits("over_range", point):
            raw = math.inf
    return RawValue(raw if isinstance(raw, str) else as_sent(spec, raw), flags)


def changed(spec: Spec, before: RawValue, after: RawValue) -> bool:
    """Whether an event is due: other flags, or a value moved beyond the deadband."""
    if before.flags != after.flags:
        return True
    old, new = before.value, after.value
    if isinstance(old, str) or isinstance(new, str):
        return old != new
    if math.isnan(old) or math.isnan(new):
        return math.isnan(old) != math.isnan(new)
    if math.isinf(old) or math.isinf(new):
        return old != new
    return abs(new - old) > spec.deadband
