"""What must be true to arm and to stay active. Pure; every reason is found, not only the first.

What should be known and is not counts as wrong: a lockout point that went bad is a lockout. A
role that the map does not have says nothing, except that some point must give the authority.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.control.rules.least import permits
from gateway.control.rules.limits import trusted
from gateway.measured import Quality

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.rules.limits import Read, SocWindow, Span
    from gateway.measured import Measured
    from gateway.points.pointmap import PointsMap

MIN_DISK_FREE_PCT = 5.0
# IEEE 1815 internal indications, as gateway.field.dnp3.iin names them.
IIN_LOCAL, IIN_TROUBLE, IIN_CORRUPT = "LOCAL_CONTROL", "DEVICE_TROUBLE", "CONFIG_CORRUPT"


class Interlock(StrEnum):
    """One condition."""

    LEASE = "LEASE"
    SESSION = "SESSION"
    CRITICAL_POINT = "CRITICAL_POINT"
    LOCAL = "LOCAL"
    AUTHORITY = "AUTHORITY"
    LOCKOUT = "LOCKOUT"
    ESTOP = "ESTOP"
    FAULT = "FAULT"
    BREAKER = "BREAKER"
    MAP = "MAP"
    DEVICE_TROUBLE = "DEVICE_TROUBLE"  # IIN1.6
    CONFIG_CORRUPT = "CONFIG_CORRUPT"  # IIN2.5
    DISK = "DISK"
    SOC = "SOC"
    BASE = "BASE"


@dataclass(frozen=True, slots=True)
class Block:
    """An interlock that does not hold, and why, for people."""

    interlock: Interlock
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the interlocks are judged from, at one instant."""

    lease: bool
    session: bool
    iin: frozenset[str]  # names of the internal indications that are set
    map_ok: bool  # no verdict against the points map
    disk_free_pct: float
    faults: tuple[str, ...]  # codes of active faults that are bits of a word
    points_map: PointsMap
    read: Read  # of what a row may say now the least, with staleness applied; None if never read
    soc: Span | None  # state of charge that may be, %; None: not known
    window: SocWindow  # with its hysteresis so far


def blocks(facts: Facts, power_w: float = 0.0) -> tuple[Block, ...]:
    """Every interlock that does not hold for power in the direction of ``power_w`` (0: to arm)."""
    return tuple(_blocks(facts, power_w))


def _blocks(facts: Facts, power_w: float) -> Iterator[Block]:
    if not facts.lease:
        yield Block(Interlock.LEASE, "the lease has expired")
    if not facts.session:
        yield Block(Interlock.SESSION, "the session is down")
    yield from _critical(facts)
    yield from _authority(facts)
    yield from _unsafe(facts)
    if not facts.map_ok:
        yield Block(Interlock.MAP, "the points map is in doubt")
    if IIN_TROUBLE in facts.iin:
        yield Block(Interlock.DEVICE_TROUBLE, "the outstation reports device trouble (IIN1.6)")
    if IIN_CORRUPT in facts.iin:
        yield Block(Interlock.CONFIG_CORRUPT, "its configuration is corrupt (IIN2.5)")
    if not facts.disk_free_pct > MIN_DISK_FREE_PCT:
        free = f"{facts.disk_free_pct:.1f} % of the disk is free"
        text = f"{free}: must be above {MIN_DISK_FREE_PCT:g} %"
        yield Block(Interlock.DISK, text)
    if refusal := facts.window.refusal(power_w, facts.soc):
        yield Block(Interlock.SOC, refusal)
    yield from _base(facts, power_w)


def _base(facts: Facts, power_w: float) -> Iterator[Block]:
    """What percent are of must be known, and more than 0 in the direction of the power."""
    for role, way in (("max_charge", -1.0), ("max_discharge", 1.0)):
        row = facts.points_map.row(role)
        if row is None or row.point not in facts.points_map.base_points:
            continue
        measured = facts.read(row)
        base_w = trusted(measured)
        if base_w is None or (base_w <= 0 and power_w * way > 0):
            text = f"{row.name} ({row.point}) {_says(measured)}: percent of power are of it"
            yield Block(Interlock.BASE, text)


def _critical(facts: Facts) -> Iterator[Block]:
    for point in sorted(facts.points_map.critical_points - facts.points_map.base_points):
        row = facts.points_map.by_point[point]
        measured = facts.read(row)
        if _is_trusted(measured):
            continue
        found = "never received" if measured is None else measured.quality.label
        yield Block(Interlock.CRITICAL_POINT, f"{row.name} ({point}) is {found}: must be good")


def _authority(facts: Facts) -> Iterator[Block]:
    if IIN_LOCAL in facts.iin:
        yield Block(Interlock.LOCAL, "the outstation reports local control (IIN1.5)")
    local = facts.points_map.row("local")
    if local is not None and _is(facts.read(local)) is not False:
        yield Block(Interlock.LOCAL, f"{local.name} ({local.point}) does not say remote")
    authority = facts.points_map.row("control_authority")
    if authority is not None:
        measured = facts.read(authority)
        value = measured.value if measured is not None and _is_trusted(measured) else None
        if not permits("control_authority", value):
            yield Block(Interlock.AUTHORITY, f"{authority.name} ({authority.point}) is not ours")
    if local is None and authority is None:
        yield Block(Interlock.AUTHORITY, "the points map does not say who has the authority")


_UNSAFE = {
    "lockout": Interlock.LOCKOUT,
    "estop_status": Interlock.ESTOP,
    "breaker": Interlock.BREAKER,
}


def _unsafe(facts: Facts) -> Iterator[Block]:
    for role, interlock in _UNSAFE.items():
        row = facts.points_map.row(role)
        if row is not None and not permits(role, _is(facts.read(row))):
            yield Block(interlock, f"{row.name} ({row.point}) {_says(facts.read(row))}")
    for row in facts.points_map.by_role.get("fault", ()):
        measured = facts.read(row)
        wrong = _is(measured) is not False if row.is_flag else not _is_trusted(measured)
        if wrong:
            yield Block(Interlock.FAULT, f"{row.name} ({row.point}) {_says(measured)}")
    if facts.faults:
        yield Block(Interlock.FAULT, f"active: {', '.join(sorted(facts.faults))}")


def _is(measured: Measured | None) -> bool | None:
    """The binary's value if it is good and fresh; else None."""
    if measured is None or not _is_trusted(measured):
        return None
    return measured.value if isinstance(measured.value, bool) else None


def _is_trusted(measured: Measured | None) -> bool:
    return measured is not None and measured.quality <= Quality.DERIVED


def _says(measured: Measured | None) -> str:
    if measured is None:
        return "was never received"
    return f"= {measured.value}, {measured.quality.label}"
