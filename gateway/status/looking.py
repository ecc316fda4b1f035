"""The questions on the control socket that only look: ``bess.local/1``. Pure.

| verb | arguments | answer |
|---|---|---|
| ``hello`` | | protocol, gateway, version, epoch, assets, who asks and whether that user may act |
| ``status`` | | what ``bess-gateway status`` prints |
| ``queue`` | | what waits, a stream each |
| ``watch`` | ``asset`` (all), ``first`` (0), ``count`` (500), ``match`` | ``status``, ``queue``,
  each battery in one line, and of ``asset`` its state and the points that ``match`` |
| ``points`` | ``asset`` | every raw point as columns, unmapped ones too |
| ``map`` | ``asset`` | the rows of ``bess.map/1`` |
| ``health`` | | per asset: session, polls, indications, map, control |
| ``counters`` | | monotonic counts since the start |

``asset`` may be left out where there is one. ``points`` is put into columns by whoever carries the
answer: the core hands over the readings as they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.asset.monitor import Monitor
    from gateway.clock import Now
    from gateway.events import LocalAsked
    from gateway.points.raw import RawPoint
    from gateway.status.summary import Summary

PROTOCOL = "bess.local/1"
MOST_ROWS = 500  # of one ``watch``


@dataclass(frozen=True, slots=True)
class Looking:
    """What the core has to show at one instant."""

    overview: Summary
    fixed: Mapping[str, str]  # settings that only a restart changes
    monitors: Mapping[str, Monitor]
    control: Callable[[str], dict[str, object]]  # of an asset, for ``status``
    now: Now

    def answer(self, asked: LocalAsked) -> dict[str, object] | None:
        """The answer; None where the verb is not one of ``VERBS``."""
        found = _ANSWERS.get(asked.verb)
        return None if found is None else found(self, asked)

    def hello(self, asked: LocalAsked) -> dict[str, object]:
        """Who answers, and what the caller may."""
        overview = self.overview
        return {
            "protocol": PROTOCOL,
            "gateway": overview.gateway,
            "version": overview.version,
            "epoch": overview.depth.epoch if overview.depth else None,
            "fixed": dict(self.fixed),
            "assets": list(self.monitors),
            "verbs": sorted(VERBS),
            "user": asked.user,
            "mayAct": asked.operator,
        }

    def status(self, _: LocalAsked) -> dict[str, object]:
        """What ``bess-gateway status`` prints."""
        summaries = {
            name: one.summary(self.control(name), self.now) for name, one in self.monitors.items()
        }
        return self.overview.status(self.monitors.values(), summaries)

    def queue(self, _: LocalAsked) -> dict[str, object]:
        """What waits."""
        return self.overview.queue()

    def health(self, _: LocalAsked) -> dict[str, object]:
        """What each session met."""
        return {"assets": {name: one.health(self.now) for name, one in self.monitors.items()}}

    def counters(self, _: LocalAsked) -> dict[str, object]:
        """Since the start, only ever upward."""
        return self.overview.counters(self.monitors)

    def points(self, asked: LocalAsked) -> dict[str, object]:
        """Every raw point as columns."""
        found = self._chosen(asked.arguments)
        if isinstance(found, str):
            return {"error": found}
        raw = self.monitors[found[0]].battery.raw_points()
        return {"asset": found[0], "atMs": self.now.unix_ms, "columns": partial(columns, raw)}

    def map(self, asked: LocalAsked) -> dict[str, object]:
        """The rows of ``bess.map/1``."""
        found = self._chosen(asked.arguments)
        return {"error": found} if isinstance(found, str) else self.monitors[found[0]].table()

    def watch(self, asked: LocalAsked) -> dict[str, object]:
        """Everything of the box, and the points of the battery that is looked at."""
        arguments = asked.arguments
        found = self._chosen(arguments, whole=True)
        if isinstance(found, str):
            return {"error": found}
        first, count = arguments.get("first", 0), arguments.get("count", MOST_ROWS)
        match = arguments.get("match", "")
        if not (_is_count(first) and _is_count(count) and isinstance(match, str)):
            return {"error": "first and count must be whole numbers >= 0, match a text"}
        window = (int(str(first)), min(int(str(count)), MOST_ROWS))
        return {
            **self.status(asked),
            "glance": {name: one.glance() for name, one in self.monitors.items()},
            "detail": {
                name: self.monitors[name].detail(self.now, *window, match) for name in found
            },
            "queue": self.overview.queue(),
        }

    def _chosen(self, arguments: Mapping[str, object], *, whole: bool = False) -> list[str] | str:
        """The assets that are meant; a text where that cannot be said."""
        asset = arguments.get("asset")
        if asset is None and (whole or len(self.monitors) == 1):
            return list(self.monitors)
        if isinstance(asset, str) and asset in self.monitors:
            return [asset]
        return f"asset {asset!r}: must be one of {', '.join(self.monitors)}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def columns(raw: Sequence[RawPoint]) -> dict[str, list[object]]:
    """Readings as ``bess.telemetry/1`` has them: a list a field, a row each index."""
    return {
        "point": [one.point for one in raw],
        "raw": [one.value for one in raw],
        "flags": [one.flags for one in raw],
        "at": [one.at_ms for one in raw],
        "rt": [one.rt_ms for one in raw],
        "tq": [one.tq.value for one in raw],
        "event": [one.event for one in raw],
    }


_ANSWERS: dict[str, Callable[[Looking, LocalAsked], dict[str, object]]] = {
    "hello": Looking.hello,
    "status": Looking.status,
    "queue": Looking.queue,
    "watch": Looking.watch,
    "points": Looking.points,
    "map": Looking.map,
    "health": Looking.health,
    "counters": Looking.counters,
}
VERBS = frozenset(_ANSWERS)
