"""What differs in meaning between two points maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.points.pointmap import resolved

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap


def map_changes(a: PointsMap, b: PointsMap) -> dict[str, dict[str, Any]]:
    """What differs from ``a`` to ``b``: points by name, field by field, and the other tables.

    Returns:
        ``added`` and ``removed``: name -> row; ``changed`` and ``tables``: name -> field ->
        [before, after]. All values are those of ``resolved``.
    """
    left: dict[str, Any] = resolved(a)
    right: dict[str, Any] = resolved(b)
    old = {row["name"]: row for row in left["points"]}
    new = {row["name"]: row for row in right["points"]}
    head = ("vendor", "model", "match", "source")
    tables = {
        "map": _fields({key: left[key] for key in head}, {key: right[key] for key in head}),
        "control": _fields(left["control"] or {}, right["control"] or {}),
        "fingerprint": _fields(left["fingerprint"], right["fingerprint"]),
    }
    changed = {name: _fields(old[name], new[name]) for name in old if name in new}
    return {
        "added": {name: row for name, row in new.items() if name not in old},
        "removed": {name: row for name, row in old.items() if name not in new},
        "changed": {name: fields for name, fields in changed.items() if fields},
        "tables": {name: fields for name, fields in tables.items() if fields},
    }


def _fields(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[Any]]:
    keys = dict.fromkeys((*old, *new))
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}
