"""Notices that a controller is not what its map says: layers L0 to L4.

| layer | looks at | when | verdict |
|---|---|---|---|
| L0 identity | attributes, ``equals``, a changed config revision | on arrival | MISMATCH (or warning) |
| L1 structure | required points present, ``absent`` ones absent | integrity polls | MISMATCH |
| L2 nameplate | ratings against the site's configuration, 1 % | integrity polls | MISMATCH |
| L3 range | 45..65 Hz, |P| <= 1.1 nameplate, 0..100 %, ``ranges`` | 3 polls in a row | SUSPECT |
| L4 energy | |energy - capacity x SOC| > 5 % of capacity | for 10 minutes | SUSPECT |

A verdict only worsens; ``clear`` (an operator) alone makes it OK again, and what is still wrong is
found anew. Losing the session forgets the readings, not the verdict. Only the few points that a
check names are kept, so a fragment of thousands costs one set lookup each.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from gateway.events import AttributesRead, FragmentStored, PollDone, SessionDown, SessionUp
from gateway.measured import USABLE, Quality
from gateway.points.decode import decode, flag_quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.points.pointmap import MapPoint, PointsMap
    from gateway.points.raw import RawPoint
    from gateway.settings import AssetSettings

NAMEPLATE_TOLERANCE = 0.01
POWER_LIMIT = 1.1  # of nameplate
RANGE_POLLS = 3
ENERGY_TOLERANCE = 0.05  # of capacity
ENERGY_S = 600.0
HZ = (45.0, 65.0)
PCT = (0.0, 100.0)
_INTEGRITY = ("startup", "integrity")


class Verdict(IntEnum):
    """How far the map may be trusted; larger is worse. Control needs OK."""

    OK = 0
    SUSPECT = 1
    MISMATCH = 2


class Layer(StrEnum):
    """Which check spoke. L5 (energy flow) and L6 (command echo) come with control."""

    IDENTITY = "L0"
    STRUCTURE = "L1"
    NAMEPLATE = "L2"
    RANGE = "L3"
    ENERGY = "L4"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit, said once until an operator clears it."""

    layer: Layer
    verdict: Verdict  # OK: only worth a look, does not touch control
    point: str  # "AI47"; "" where it is about the outstation as a whole
    text: str

    @property
    def severity(self) -> str:
        """Of the event it becomes."""
        return "critical" if self.verdict is Verdict.MISMATCH else "warning"


Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """State of the checks of one asset."""

    map: PointsMap
    asset: AssetSettings
    watched: frozenset[str]
    verdict: Verdict = Verdict.OK
    findings: Findings = ()  # since the last clear
    settled: bool = False  # an integrity poll of this session was judged
    latest: Mapping[str, RawPoint] = field(default_factory=dict)  # watched points, this session
    config_revision: float | bool | str | None = None  # the first that was seen
    strikes: Mapping[str, int] = field(default_factory=dict)  # point -> polls out of range
    energy_off_since: float | None = None  # monotonic s

    @classmethod
    def start(cls, points_map: PointsMap, asset: AssetSettings) -> Fingerprint:
        """Nothing seen yet, hence nothing against the map."""
        checks = points_map.fingerprint
        names = {check.point for check in (*checks.equals, *checks.ranges, *checks.nameplate)}
        roles = {*_RANGE_ROLES, "config_revision", "energy_stored", "energy_capacity"}
        rows = points_map.points
        watched = {row.point for row in rows if row.required or row.name in names}
        watched |= {row.point for row in rows if row.role in roles}
        return cls(points_map, asset, frozenset(watched | set(checks.absent)))

    @property
    def wake_at(self) -> float:
        """Monotonic second at which ``handle`` wants to be called; inf for never."""
        pending = self.energy_off_since is not None and not self._known(
            Layer.ENERGY, self._energy_point()
        )
        return self.energy_off_since + ENERGY_S if pending and self.energy_off_since else math.inf

    def clear(self) -> Fingerprint:
        """An operator looked at it: trust the map until something is found again."""
        return replace(
            self,
            verdict=Verdict.OK,
            findings=(),
            strikes={},
            energy_off_since=None,
            config_revision=None,
        )

    def handle(self, event: object, now_s: float) -> tuple[Fingerprint, Findings]:
        """Take an event of this asset (others, and None for a tick, change nothing but time).

        Args:
            event: anything the core gets.
            now_s: monotonic seconds.

        Returns:
            The next state, and what was found for the first time since the last clear.
        """
        state, found = self, []
        match event:
            case FragmentStored(asset=self.asset.id, points=points):
                state = self._keep(points)
                found = list(state._identity()) if state is not self else []
                state = state._first_revision() if state is not self else state
            case PollDone(asset=self.asset.id, kind=kind, ok=True) if kind != "attributes":
                if kind in _INTEGRITY:
                    state = replace(state, settled=True)
                    found = [*state._structure(), *state._nameplate()]
                state, ranges = state._range()
                found += ranges
            case AttributesRead(asset=self.asset.id, attributes=attributes):
                found = list(self._attributes(attributes))
            case SessionUp(asset=self.asset.id) | SessionDown(asset=self.asset.id):
                lost = isinstance(event, SessionDown)
                state = state._forget() if lost else state
        state, energy = state._energy(now_s)
        return state._add([*found, *energy])

    # --- what is kept ----------------------------------------------------------------------

    def _keep(self, points: Iterable[RawPoint]) -> Fingerprint:
        watched = self.watched
        news = {raw.point: raw for raw in points if raw.point in watched}
        return replace(self, latest={**self.latest, **news}) if news else self

    def _forget(self) -> Fingerprint:
        return replace(self, latest={}, strikes={}, settled=False, energy_off_since=None)

    def _first_revision(self) -> Fingerprint:
        row = self.map.row("config_revision")
        if row is None or self.config_revision is not None:
            return self
        return replace(self, config_revision=self._usable(row))

    def _add(self, found: Iterable[Finding]) -> tuple[Fingerprint, Findings]:
        news: list[Finding] = []
        for finding in found:
            known = {(each.layer, each.point, each.verdict) for each in (*self.findings, *news)}
            if (finding.layer, finding.point, finding.verdict) not in known:
                news.append(finding)
        if not news:
            return self, ()
        worst = max(self.verdict, *(finding.verdict for finding in news))
        state = replace(self, verdict=Verdict(worst), findings=(*self.findings, *news))
        return state, tuple(news)

    def _known(self, layer: Layer, point: str) -> bool:
        return any(each.layer is layer and each.point == point for each in self.findings)

    def _usable(self, row: MapPoint) -> float | bool | str | None:
        raw = self.latest.get(row.point)
        measured = decode(raw, row) if raw is not None else None
        return measured.value if measured is not None and measured.quality < USABLE else None

    def _number(self, row: MapPoint | None) -> float | None:
        """The value as a number if its flags are good, whatever the map's min and max say."""
        raw = self.latest.get(row.point) if row is not None else None
        if row is None or raw is None or isinstance(raw.value, str) or not math.isfinite(raw.value):
            return None
        if flag_quality(raw, row.kind) is not Quality.GOOD:
            return None
        value = decode(raw, row).value
        return None if isinstance(value, str) else float(value)

    # --- layers ----------------------------------------------------------------------------

    def _attributes(self, attributes: Mapping[int, str]) -> Iterator[Finding]:
        for check in self.map.fingerprint.attributes:
            text = attributes.get(check.variation)
            if text is None:
                what = f"device attribute {check.variation} is not reported"
                yield Finding(Layer.IDENTITY, Verdict.SUSPECT, "", f"{what}: {check.regex} expected")
            elif re.search(check.regex, text) is None:
                what = f'device attribute {check.variation} is "{text}"'
                yield Finding(Layer.IDENTITY, Verdict.MISMATCH, "", f"{what}: {check.regex} expected")

    def _identity(self) -> Iterator[Finding]:
        for check in self.map.fingerprint.equals:
            row = self.map.by_name[check.point]
            value = self._usable(row)
            if value is not None and value != check.value:
                verdict = Verdict.OK if check.severity == "warn" else Verdict.MISMATCH
                text = f"{row.name} is {value}: the map is for {check.value}"
                yield Finding(Layer.IDENTITY, verdict, row.point, text)
        row_ = self.map.row("config_revision")
        value = self._usable(row_) if row_ is not None else None
        if row_ is not None and value is not None and self.config_revision not in (None, value):
            text = f"{row_.name} went from {self.config_revision} to {value}: it was reconfigured"
            yield Finding(Layer.IDENTITY, Verdict.MISMATCH, row_.point, text)

    def _structure(self) -> Iterator[Finding]:
        for row in self.map.points:
            if row.required and row.point not in self.latest:
                text = f"{row.point} ({row.name}) is required but was not in an integrity poll"
                yield Finding(Layer.STRUCTURE, Verdict.MISMATCH, row.point, text)
        for point in self.map.fingerprint.absent:
            if point in self.latest:
                text = f"{point} exists: controllers of this map do not have it"
                yield Finding(Layer.STRUCTURE, Verdict.MISMATCH, point, text)

    def _nameplate(self) -> Iterator[Finding]:
        for check in self.map.fingerprint.nameplate:
            row = self.map.by_name[check.point]
            found, configured = self._number(row), float(getattr(self.asset, check.key))
            if found is not None and abs(found - configured) > NAMEPLATE_TOLERANCE * configured:
                text = f"{row.name} is {found:g} {row.canonical_unit}: {check.key} = {configured:g}"
                yield Finding(Layer.NAMEPLATE, Verdict.MISMATCH, row.point, text)

    def _range(self) -> tuple[Fingerprint, list[Finding]]:
        strikes: dict[str, int] = {}
        found = []
        for row, lo, hi in self._ranges():
            value = self._number(row)
            if value is None or lo <= value <= hi:
                continue
            strikes[row.point] = self.strikes.get(row.point, 0) + 1
            if strikes[row.point] >= RANGE_POLLS:
                unit = row.canonical_unit
                text = f"{row.name} is {value:g} {unit}, outside {lo:g}..{hi:g}, for 3 polls"
                found.append(Finding(Layer.RANGE, Verdict.SUSPECT, row.point, text))
        return replace(self, strikes=strikes), found

    def _ranges(self) -> Iterator[tuple[MapPoint, float, float]]:
        named = {check.point for check in self.map.fingerprint.ranges}
        for check in self.map.fingerprint.ranges:
            yield self.map.by_name[check.point], check.min, check.max
        limit_w = POWER_LIMIT * self.asset.nameplate_w
        for role in _RANGE_ROLES:
            lo, hi = (-limit_w, limit_w) if role == "power" else _RANGE_ROLES[role]
            for row in self.map.by_role.get(role, ()):
                if row.name not in named:
                    yield row, lo, hi

    def _energy_point(self) -> str:
        row = self.map.row("energy_stored")
        return row.point if row is not None else ""

    def _energy(self, now_s: float) -> tuple[Fingerprint, list[Finding]]:
        stored_wh = self._number(self.map.row("energy_stored"))
        soc_pct = self._number(self.map.row("soc"))
        capacity_wh = self._number(self.map.row("energy_capacity")) or self.asset.capacity_wh
        if stored_wh is None or soc_pct is None:
            off_wh = 0.0
        else:
            off_wh = abs(stored_wh - capacity_wh * soc_pct / 100.0)
        if off_wh <= ENERGY_TOLERANCE * capacity_wh:
            return (self if self.energy_off_since is None else replace(self, energy_off_since=None)), []
        since = now_s if self.energy_off_since is None else self.energy_off_since
        state = self if since == self.energy_off_since else replace(self, energy_off_since=since)
        if now_s - since < ENERGY_S:
            return state, []
        text = (
            f"stored energy {stored_wh:g} Wh is {off_wh:g} Wh away from"
            f" {soc_pct:g} % of {capacity_wh:g} Wh, for 10 minutes"
        )
        return state, [Finding(Layer.ENERGY, Verdict.SUSPECT, self._energy_point(), text)]


_RANGE_ROLES: dict[str, tuple[float, float]] = {
    "frequency": HZ,
    "power": (0.0, 0.0),  # of nameplate, see ``_ranges``
    "soc": PCT,
    "soc_actual": PCT,
}
