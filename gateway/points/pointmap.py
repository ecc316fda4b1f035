"""A points map in memory: what every point of one firmware revision means."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from gateway.points.mappoint import CHARGE, DISCHARGE, MapPoint
from gateway.points.raw import parse_reference
from gateway.points.roles import (
    COMMAND_ROLES,
    CRITICAL_ROLES,
    ROLES,
    SIGNED_ROLES,
    UNITS,
    WITHDRAWING_ROLES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.errors import Fault

__all__ = [
    "CHARGE",
    "COMMAND_ROLES",
    "CRITICAL_ROLES",
    "DISCHARGE",
    "ROLES",
    "SIGNED_ROLES",
    "UNITS",
    "MapPoint",
]

SCHEMA = "bess.map/1"


@dataclass(frozen=True, slots=True)
class MapControl:
    """``[map.control]``: how this controller wants to be commanded."""

    power_method: str  # watts | percent | split
    power_base: str | float | None  # max_power | nameplate | W; None where nothing is in percent
    idle_method: str  # zero | zero_then_disable
    op_setpoint: str  # direct | sbo, for analog outputs
    op_mode: str  # direct | sbo, for CROBs
    order: tuple[str, ...]  # reversion ramp setpoint mode_enable
    # Written before each dispatch: the name of an output's row, and its value in canonical units.
    prepare: tuple[tuple[str, float | bool], ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeCheck:
    """A device attribute (group 0) must contain a match of ``regex``."""

    variation: int
    regex: str


@dataclass(frozen=True, slots=True)
class EqualCheck:
    """The row named ``point`` must have this canonical value."""

    point: str
    value: float | bool | str
    severity: str = "mismatch"  # mismatch | warn
    text: str | None = None  # said to people where it has another value


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """The row named ``point`` must stay within, in canonical units."""

    point: str
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class NameplateCheck:
    """The row named ``point`` reports a rating: it must equal the site's ``key`` within 1 %."""

    point: str
    key: str  # nameplate_w | capacity_wh | max_charge_w | max_discharge_w


@dataclass(frozen=True, slots=True)
class MapFingerprint:
    """``[map.fingerprint]``: how to notice that another map would be right."""

    attributes: tuple[AttributeCheck, ...] = ()
    equals: tuple[EqualCheck, ...] = ()
    ranges: tuple[RangeCheck, ...] = ()
    absent: tuple[str, ...] = ()  # points that must not exist
    nameplate: tuple[NameplateCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class PointsMap:
    """A checked, fully resolved map."""

    id: str
    vendor: str
    model: str
    revision: str
    source: str
    match: tuple[str, ...]
    control: MapControl | None
    fingerprint: MapFingerprint
    points: tuple[MapPoint, ...]  # by type, then index
    file: str = field(default="", compare=False)
    match_line: int = field(default=1, compare=False)  # of [map.match] firmware in ``file``
    warnings: tuple[Fault, ...] = field(default=(), compare=False)  # M10, M17, M20, M23

    digest: str = field(init=False, compare=False)  # "sha256:<hex>" of ``resolved``
    by_point: Mapping[str, MapPoint] = field(init=False, compare=False, repr=False)
    by_name: Mapping[str, MapPoint] = field(init=False, compare=False, repr=False)
    by_role: Mapping[str, tuple[MapPoint, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        roles: dict[str, tuple[MapPoint, ...]] = {}
        for row in self.points:
            if row.role is not None:
                roles[row.role] = (*roles.get(row.role, ()), row)
        text = json.dumps(resolved(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        derived = {
            "by_point": {row.point: row for row in self.points},
            "by_name": {row.name: row for row in self.points},
            "by_role": roles,
            "digest": "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def ref(self) -> str:
        """``id@revision``: what a site pins."""
        return f"{self.id}@{self.revision}"

    def row(self, role: str) -> MapPoint | None:
        """The first row with ``role``; None if the map has none."""
        rows = self.by_role.get(role)
        return rows[0] if rows else None

    @property
    def modes(self) -> tuple[str, ...]:
        """Names by which its mode may be called: the mode enable's, and its feedback's."""
        row = self.row("cmd_mode_enable")
        names = () if row is None else (row.name, row.feedback)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def prepared(self) -> tuple[tuple[MapPoint, float | bool], ...]:
        """Outputs that are written before each dispatch, in order, and what."""
        wanted = () if self.control is None else self.control.prepare
        return tuple((self.by_name[name], value) for name, value in wanted)

    @property
    def written(self) -> tuple[MapPoint, ...]:
        """Rows that the gateway may write."""
        prepared = {row.name for row, _ in self.prepared}
        return tuple(row for row in self.points if row.command or row.name in prepared)

    @property
    def critical_points(self) -> frozenset[str]:
        """Points that are read every 5 s: the critical roles, and what commands are verified by.

        Also what the percent of a command are of.
        """
        feedback = {row.feedback for row in self.written if row.feedback}
        return self.base_points | frozenset(
            row.point
            for row in self.points
            if row.role in CRITICAL_ROLES or row.name in feedback or (row.low and row.role)
        )

    @property
    def base_points(self) -> frozenset[str]:
        """Points that say what 100 % of a power command are, where anything is in percent."""
        if self.control is None or self.control.power_base != "max_power":
            return frozenset()
        rows = (self.row(role) for role in ("max_charge", "max_discharge"))
        return frozenset(row.point for row in rows if row is not None)

    @property
    def polled_points(self) -> frozenset[str]:
        """Points of the critical read: the critical ones, and what takes power away or bounds it.

        Control believes an event of these until they are read, so they are read as often.
        """
        found = self.critical_points
        if self.control is not None:
            found |= {
                row.point
                for row in self.points
                if row.role in WITHDRAWING_ROLES or row.tells_faults
            }
        found |= {part.point for point in found for part in self.parts(self.by_point[point])}
        return found | {low for point in found if (low := self.by_point[point].low) is not None}

    def parts(self, row: MapPoint) -> tuple[MapPoint, ...]:
        """The rows that ``row`` is combined of, with those of its weights; () for others."""
        names = (*row.of, *(one for one in row.weights if isinstance(one, str)))
        return tuple(self.by_name[name] for name in names)


def resolved(points_map: PointsMap) -> dict[str, object]:
    """The whole meaning of a map as plain JSON values: what is digested, shown and compared.

    Nothing in it depends on the order of keys, rows or match forms in the file.
    """
    control = points_map.control
    checks = points_map.fingerprint
    return {
        "schema": SCHEMA,
        "id": points_map.id,
        "vendor": points_map.vendor,
        "model": points_map.model,
        "revision": points_map.revision,
        "source": points_map.source,
        "match": sorted(points_map.match),
        "control": None if control is None else _fields(control),
        "fingerprint": {
            "attributes": sorted((_fields(check) for check in checks.attributes), key=str),
            "equals": sorted((_fields(check) for check in checks.equals), key=str),
            "ranges": sorted((_fields(check) for check in checks.ranges), key=str),
            "absent": sorted(checks.absent),
            "nameplate": sorted((_fields(check) for check in checks.nameplate), key=str),
        },
        "points": [_fields(row) for row in sorted(points_map.points, key=_place)],
    }


def place(point: str) -> tuple[str, int, int]:
    """Sorting key of a point's name: type, then index, then bit."""
    parsed = parse_reference(point)
    if parsed is None:
        return point, -1, -1
    kind = parsed.point.removesuffix(str(parsed.index))
    return kind, parsed.index, -1 if parsed.bit is None else parsed.bit


def _place(row: MapPoint) -> tuple[str, int, int]:
    return place(row.point)


_DERIVED = frozenset({"line", "kind", "source", "index", "bit", "is_flag", "mul", "div", "bias"})
# Came later: in the digest only of maps that use them.
_LATER = frozenset(
    (
        "low",
        "type",
        "how",
        "of",
        "weights",
        "at_least",
        "text",
        "codes",
        "on",
        "off",
        "heartbeat",
        "op",
        "on_ms",
        "off_ms",
        "count",
        "off_point",
    )
) | {"prepare"}


def _fields(
    part: MapPoint | MapControl | AttributeCheck | EqualCheck | RangeCheck | NameplateCheck,
) -> dict[str, object]:
    found = {name: getattr(part, name) for name in part.__slots__ if name not in _DERIVED}
    return {
        name: _plain(value)
        for name, value in found.items()
        if name not in _LATER or value not in (None, ())
    }


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): value[key] for key in sorted(value, key=str)}
    return list(value) if isinstance(value, tuple) else value


def control_refusals(points_map: PointsMap) -> tuple[str, ...]:
    """Why this map must not be used for control; empty if it may. Monitoring never minds.

    Each reason starts with its code: M10 (a command without feedback) or M17 (what control needs).
    """
    if points_map.control is None:
        return ("M17 the map has no [map.control]",)
    return tuple(f"{code} {text}" for _, code, text in refusals(points_map))


def refusals(points_map: PointsMap) -> list[tuple[MapPoint | None, str, str]]:
    """The same with the row that each reason is about (None: the map as a whole) and its code."""
    found: list[tuple[MapPoint | None, str, str]] = [
        (row, "M10", f"command {row.name} ({row.point}) has no feedback")
        for row in points_map.points
        if row.command and row.feedback is None
    ]
    power = points_map.row("power")
    if power is not None and (power.how or power.low):
        text = f"{power.name} is made of several points: control reads power in one"
        found.append((None, "M17", text))
    split = points_map.control is not None and points_map.control.power_method == "split"
    needs = [
        ("power",),
        ("soc",),
        ("local", "control_authority"),
        *((("cmd_charge",), ("cmd_discharge",)) if split else (("cmd_power",),)),
        ("cmd_heartbeat", "cmd_reversion_s"),
    ]
    found.extend(
        (None, "M17", f"control needs a point with the role {' or '.join(roles)}")
        for roles in needs
        if not any(role in points_map.by_role for role in roles)
    )
    return found


@cache
def raw_map() -> PointsMap:
    """The map of an outstation nobody knows: no roles, every point shipped, no control.

    Built in, because it must be there when no map can be read; the shipped file says the same.
    """
    return PointsMap(
        id="raw",
        vendor="generic",
        model="raw",
        revision="1.0.0",
        source="nothing is known about this controller",
        match=("re:.*",),
        control=None,
        fingerprint=MapFingerprint(),
        points=(),
    )
