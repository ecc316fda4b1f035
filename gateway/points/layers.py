"""What the layers of the fingerprint look at: readings of one session against map and site.

Pure functions of the evidence; when each is asked, and for how long a layer must be wrong before
it counts, is ``fingerprint``'s business. L5, which has a memory of its own, is in ``trend``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from gateway.measured import USABLE, Quality
from gateway.points.decode import decode, flag_quality
from gateway.points.expression import expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.site import AssetSettings
    from gateway.points.pointmap import MapPoint, PointsMap
    from gateway.points.raw import RawPoint

Value = float | bool | str  # a decoded value
NAMEPLATE_TOLERANCE = 0.01
POWER_LIMIT = 1.1  # of nameplate
ENERGY_TOLERANCE = 0.05  # of capacity
_ROLES = {
    *("frequency", "soc", "soc_actual", "power", "config_revision"),
    *("energy_stored", "energy_capacity", "der_heartbeat"),
}
RANGE_ROLES = {"frequency": (45.0, 65.0), "soc": (0.0, 100.0), "soc_actual": (0.0, 100.0)}


class Verdict(IntEnum):
    """How far the map may be trusted; larger is worse. Control needs OK."""

    OK = 0
    SUSPECT = 1
    MISMATCH = 2


class Layer(StrEnum):
    """Which check spoke."""

    IDENTITY = "L0"
    STRUCTURE = "L1"
    NAMEPLATE = "L2"
    RANGE = "L3"
    ENERGY = "L4"
    FLOW = "L5"
    ECHO = "L6"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit."""

    layer: Layer
    verdict: Verdict  # OK: only worth a look, does not touch control
    point: str  # "AI47"; "" where it is about the outstation as a whole
    text: str

    @property
    def severity(self) -> str:
        """Of the event it becomes."""
        return "critical" if self.verdict is Verdict.MISMATCH else "warning"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The newest readings of the points that some check names."""

    map: PointsMap
    asset: AssetSettings
    latest: Mapping[str, RawPoint]

    @property
    def capacity_wh(self) -> float:
        """What the map's point says, Wh > 0; else the site's configuration."""
        reported_wh = self.number(self.map.row("energy_capacity"))
        return reported_wh if reported_wh and reported_wh > 0 else self.asset.capacity_wh

    def usable(self, row: MapPoint | None) -> Value | None:
        """The decoded value; None if there is none or it is bad."""
        raw = self.latest.get(row.point) if row is not None else None
        if row is None or raw is None:
            return None
        measured = decode(raw, row)
        return measured.value if measured.quality < USABLE else None

    def number(self, row: MapPoint | None) -> float | None:
        """The value as a number if its flags are good, whatever the map's min and max say.

        A wrong map's min and max are wrong as well, so they must not hide what it decodes to.
        """
        raw = self.latest.get(row.point) if row is not None else None
        if row is None or raw is None or isinstance(raw.value, str) or not math.isfinite(raw.value):
            return None
        if flag_quality(raw, row.kind) is not Quality.GOOD:
            return None
        value = decode(raw, row).value
        return None if isinstance(value, str) else float(value)


def watched_points(points_map: PointsMap) -> frozenset[str]:
    """Every point that a layer of this map looks at."""
    checks = points_map.fingerprint
    names = {check.point for check in checks.equals}
    names |= {check.point for check in checks.ranges}
    names |= {check.point for check in checks.nameplate}
    return frozenset(checks.absent) | {
        row.point
        for row in points_map.points
        if row.required or row.name in names or row.role in _ROLES
    }


def attributes(points_map: PointsMap, found: Mapping[int, str]) -> Iterator[Finding]:
    """L0: device attributes (group 0), by variation."""
    for check in points_map.fingerprint.attributes:
        text = found.get(check.variation)
        expected = f"the map expects /{check.regex}/"
        if text is None:
            what = f"device attribute {check.variation} is not reported: {expected}"
            yield Finding(Layer.IDENTITY, Verdict.SUSPECT, "", what)
        elif not expression(check.regex).is_in(text):
            what = f'device attribute {check.variation} is "{text}": {expected}'
            yield Finding(Layer.IDENTITY, Verdict.MISMATCH, "", what)


def identity(evidence: Evidence) -> Iterator[Finding]:
    """L0: points that must have one value."""
    for check in evidence.map.fingerprint.equals:
        row = evidence.map.by_name[check.point]
        value = evidence.usable(row)
        if value is not None and value != check.value:
            verdict = Verdict.OK if check.severity == "warn" else Verdict.MISMATCH
            text = f"{row.name} is {_plain(value)}: the map is for {_plain(check.value)}"
            said = text if check.text is None else f"{text}: {check.text}"
            yield Finding(Layer.IDENTITY, verdict, row.point, said)


def reconfigured(evidence: Evidence, before: Value | None) -> Iterator[Finding]:
    """L0: the config revision is no longer what it was."""
    row = evidence.map.row("config_revision")
    value = evidence.usable(row)
    if row is not None and None not in (before, value) and before != value:
        text = f"{row.name} went from {_plain(before)} to {_plain(value)}: check the map again"
        yield Finding(Layer.IDENTITY, Verdict.MISMATCH, row.point, text)


def structure(evidence: Evidence) -> Iterator[Finding]:
    """L1: required points are there, absent ones are not."""
    for row in evidence.map.points:
        if row.required and row.point not in evidence.latest:
            text = f"{row.point} ({row.name}) is required but no integrity poll brought it"
            yield Finding(Layer.STRUCTURE, Verdict.MISMATCH, row.point, text)
    for point in evidence.map.fingerprint.absent:
        if point in evidence.latest:
            text = f"{point} exists: a controller of this map does not have it"
            yield Finding(Layer.STRUCTURE, Verdict.MISMATCH, point, text)


def nameplate(evidence: Evidence) -> Iterator[Finding]:
    """L2: reported ratings equal the site's configuration within 1 %."""
    for check in evidence.map.fingerprint.nameplate:
        row = evidence.map.by_name[check.point]
        found, configured = evidence.number(row), float(getattr(evidence.asset, check.key))
        if found is not None and abs(found - configured) > NAMEPLATE_TOLERANCE * configured:
            unit = row.canonical_unit
            text = f"{row.name} is {found:g} {unit}: {check.key} = {configured:g} within 1 %"
            yield Finding(Layer.NAMEPLATE, Verdict.MISMATCH, row.point, text)


def out_of_range(evidence: Evidence) -> Iterator[Finding]:
    """L3: values that no such battery can have, at this moment."""
    for row, lo, hi in _ranges(evidence):
        value = evidence.number(row)
        if value is not None and not lo <= value <= hi:
            text = f"{row.name} is {value:g} {row.canonical_unit}: possible is {lo:g}..{hi:g}"
            yield Finding(Layer.RANGE, Verdict.SUSPECT, row.point, text)


def _ranges(evidence: Evidence) -> Iterator[tuple[MapPoint, float, float]]:
    named = {check.point: (check.min, check.max) for check in evidence.map.fingerprint.ranges}
    for name, (lo, hi) in named.items():
        yield evidence.map.by_name[name], lo, hi
    limit_w = POWER_LIMIT * evidence.asset.nameplate_w
    for role, (lo, hi) in {**RANGE_ROLES, "power": (-limit_w, limit_w)}.items():
        for row in evidence.map.by_role.get(role, ()):
            if row.name not in named:
                yield row, lo, hi


def energy_gap(evidence: Evidence) -> Finding | None:
    """L4: stored energy is not capacity x SOC, at this moment."""
    row = evidence.map.row("energy_stored")
    stored_wh, soc_pct = evidence.number(row), evidence.number(evidence.map.row("soc"))
    capacity_wh = evidence.capacity_wh
    if row is None or stored_wh is None or soc_pct is None:
        return None
    off_wh = abs(stored_wh - capacity_wh * soc_pct / 100.0)
    if off_wh <= ENERGY_TOLERANCE * capacity_wh:
        return None
    text = f"{row.name} is {stored_wh:g} Wh but {soc_pct:g} % of {capacity_wh:g} Wh is stored"
    return Finding(Layer.ENERGY, Verdict.SUSPECT, row.point, text)


def differing_echo(
    points_map: PointsMap, point: str, *, expected: Value, found: Value | None
) -> Finding:
    """L6: a command's feedback did not show what was written."""
    row = points_map.by_point.get(point)
    name, unit = (point, "") if row is None else (row.name, f" {row.canonical_unit}")
    unit = "" if isinstance(expected, bool) else unit
    shown = "nothing usable" if found is None else f"{_plain(found)}{unit}"
    text = f"{name} showed {shown} after {_plain(expected)}{unit} was written, and not only once"
    return Finding(Layer.ECHO, Verdict.SUSPECT, point, text)


def _plain(value: Value | None) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
