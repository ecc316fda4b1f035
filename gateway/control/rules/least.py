"""Of the values that a point may have now, the one that permits the least. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.rules.limits import trusted
from gateway.measured import Quality
from gateway.points.roles import LIMIT_ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.rules.limits import Span
    from gateway.measured import Measured
    from gateway.points.mappoint import MapPoint

OURS = "remote"  # name in a map's enum of the authority that we have
_WANTED = {"local": False, "lockout": False, "estop_status": False, "fault": False, "breaker": True}
_AUTHORITY = "control_authority"


def permits(role: str, value: object) -> bool:
    """Whether a good reading of the one point of ``role`` lets power flow."""
    if role == _AUTHORITY:
        return value is True or value == OURS
    return value is _WANTED[role]


def least(row: MapPoint, found: Sequence[Measured]) -> Measured:
    """The one of ``found`` that says no; else one that is not good; else the smallest limit.

    Args:
        row: whose.
        found: one or more; where none permits less than another, the first is the answer.
    """
    role = row.role or ""
    doubtful = [one for one in found if one.quality > Quality.DERIVED]
    if role == _AUTHORITY or (role in _WANTED and row.is_flag):
        good = [one for one in found if one.quality <= Quality.DERIVED]
        refusing = [one for one in good if not permits(role, one.value)]
        return (*refusing, *doubtful, *good)[0]
    if doubtful:
        return doubtful[0]
    if row.role in LIMIT_ROLES:
        return min(found, key=lambda one: trusted(one) or 0.0)
    return found[0]


def span(found: Sequence[Measured]) -> Span | None:
    """The least and the most of ``found``; None where one of them is no number, or not good."""
    numbers = [number for number in map(trusted, found) if number is not None]
    return (min(numbers), max(numbers)) if numbers and len(numbers) == len(found) else None
