"""What the disk is told of a setpoint that may be in force, and of what lasts. Pure.

LATCHED, ESTOP and a yield are kept; what zero needs is kept with the record before its first frame;
and nobody may arm before its removal is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control import records as words
from gateway.control.execution.keeping import kept
from gateway.control.phases import Lasting
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.obligation import fact_of_force, fact_of_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway import events
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.phases import Phase
    from gateway.control.records import Records
    from gateway.control.rules.percent_base import Base
    from gateway.control.turn import Turn
    from gateway.control.watchdog.obligation import Obligation
    from gateway.control.watchdog.words import Terms
    from gateway.points.pointmap import PointsMap


class ForceRecord:
    """Of one asset. Mutable."""

    def __init__(
        self,
        asset: AssetSettings,
        points_map: PointsMap,
        owed: Obligation | None,
        lasting: Lasting | None,
        records: Records,
        tokens: Iterator[int],
        turn: Turn,
    ) -> None:
        self._asset, self._map = asset, points_map
        self._records, self._tokens, self._turn = records, tokens, turn
        self.owed = owed  # what the disk says
        self.declared = "" if owed is None else owed.declared
        self.lasting = lasting  # what else the disk says
        self._forgetting: set[int] = set()  # tokens of records that nothing is in force
        self._grouping = 0  # of the record that zero, beat, zero waits for

    def zero(self, number: str, setpoint_w: float | None, of: Base, terms: Terms) -> Obligation:
        """How zero is written now, and to whom."""
        return kept(self._asset, self._map, terms, number=number, of=of, setpoint_w=setpoint_w)

    def begin(self, number: str, setpoint_w: float | None, of: Base, terms: Terms) -> Obligation:
        """What a command's record keeps; a setpoint that was in force stays in it."""
        last_w = setpoint_w or (None if self.owed is None else self.owed.setpoint_w)
        self.owed = self.zero(number, last_w, of, terms)
        return self.owed

    def keep(self, found: Obligation) -> None:
        """What was declared gone, or is not so any more."""
        self.owed = found
        self._record("declared", fact_of_force(self._asset.id, found))

    def forget(self) -> None:
        """Nothing is in force."""
        fact = fact_of_force(self._asset.id, None)
        self._forgetting.add(self._record("nothing in force", fact))

    def group(self, *, used: bool) -> None:
        """Zero, beat, zero was used for this demand, or may be again."""
        token = self._record("group", fact_of_group(self._asset.id, used=used))
        self._grouping = token if used else 0  # for one that is forgotten nothing waits

    def phase(self, phase: Phase | None, *, stop_owed: bool, by: str, now: Now) -> int:
        """Keep what lasts, since when it has and who ordered it; returns the record's token."""
        if phase is None:
            self.lasting = None
        elif self.lasting is None or self.lasting.phase is not phase:
            self.lasting = Lasting(phase, now.unix_ms, by)
        fact = {f"{self._asset.id}/phase": words.kept_phase(self.lasting, stop_owed=stop_owed)}
        return self._record(f"phase {'none' if phase is None else phase.name}", fact)

    def _record(self, what: str, facts: Mapping[str, str | None]) -> int:
        token = next(self._tokens)
        body: dict[str, object] = {"what": what}
        self._turn.order(
            self._records.audited(words.GATEWAY, "kept", body, token=token, facts=facts)
        )
        return token

    def recorded(self, event: events.Recorded, *, awaited: bool) -> bool:
        """A record became durable, or did not.

        Args:
            event: of which one.
            awaited: a command waits for its own record, which keeps a setpoint anew.

        Returns:
            Whether the disk now says that nothing is in force.
        """
        gone = False
        if event.token in self._forgetting:
            self._forgetting.discard(event.token)
            self._turn.then(watchdog_events.ForceForgotten(event.ok))
            gone = event.ok and not awaited
            self.owed = None if gone else self.owed
        if event.token == self._grouping:
            self._turn.then(watchdog_events.GroupKept(event.ok))
        return gone
