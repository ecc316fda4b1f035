"""What the disk is told of a setpoint that may be in force, and of what lasts. Pure.

LATCHED, ESTOP and a yield are kept; what zero needs is kept with the record before its first frame;
and nobody may arm before its removal is durable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control import records as words
from gateway.control.execution.keeping import kept
from gateway.control.phases import Lasting
from gateway.control.watchdog import events as watchdog_events
from gateway.control.watchdog.obligation import (
    fact_of_force,
    fact_of_group,
    fact_of_tries,
    spanned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway import events
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.inward import Start
    from gateway.control.records import Records
    from gateway.control.rules.percent_base import Base
    from gateway.control.turn import Turn
    from gateway.control.watchdog.effects import KeepPhase
    from gateway.control.watchdog.obligation import Obligation
    from gateway.control.watchdog.words import Terms
    from gateway.points.pointmap import PointsMap


class ForceRecord:
    """Of one asset. Mutable."""

    def __init__(
        self,
        asset: AssetSettings,
        points_map: PointsMap,
        start: Start,
        records: Records,
        tokens: Iterator[int],
        turn: Turn,
    ) -> None:
        self._asset, self._map = asset, points_map
        self._records, self._tokens, self._turn = records, tokens, turn
        self.owed = start.owed  # what the disk says
        self.declared = "" if start.owed is None else start.owed.declared
        self.lasting = start.lasting  # what else the disk says
        self.tries = start.tries  # starts that found something in force, one after the other
        self._forgetting: dict[int, str] = {}  # token of a removal -> the number that it names
        self._grouping = 0  # of the record that zero, beat, zero waits for

    def zero(self, number: str, setpoint_w: float | None, of: Base, terms: Terms) -> Obligation:
        """How zero is written now, and to whom."""
        return kept(
            self._asset, self._map, terms, number=number, of=of, setpoint_w=setpoint_w, span_w=None
        )

    def begin(self, number: str, setpoint_w: float | None, of: Base, terms: Terms) -> Obligation:
        """What a command's record keeps; a setpoint that was in force stays in it."""
        before = self.owed
        last_w = setpoint_w or (None if before is None else before.setpoint_w)
        span_w = (0.0, 0.0) if before is None else before.span_w
        found = self.zero(number, last_w, of, terms)
        if before is not None:
            found = replace(found, least_base_w=before.least_base_w).based_on(found.base_w)
        self.owed = replace(found, span_w=spanned(span_w, setpoint_w))
        return self.owed

    def say(self, of: Base) -> None:
        """A setpoint in percent of ``of`` is about to leave: what is kept knows its echo, too."""
        before = self.owed
        if before is None or before.base_w in (None, (of.charge_w, of.discharge_w)):
            return
        self.owed = before.based_on((of.charge_w, of.discharge_w))
        self._record("percent of another base", fact_of_force(self._asset.id, self.owed))

    def keep(self, found: Obligation) -> None:
        """What was declared gone, or is not so any more.

        A removal that is under way names the number of before, and so removes nothing of this.
        """
        again = f"{found.number}+" if found.number in self._forgetting.values() else found.number
        self.owed = found = replace(found, number=again)
        what = "declared" if found.declared else "in force again"
        self._record(what, fact_of_force(self._asset.id, found))

    def forget(self) -> None:
        """Nothing is in force."""
        fact = fact_of_force(self._asset.id, None) | fact_of_tries(self._asset.id, 0)
        number = self._number
        self._forgetting[self._record("nothing in force", fact, number=number)] = number

    def group(self, *, used: bool) -> None:
        """Zero, beat, zero was used for this demand, or may be again."""
        token = self._record("group", fact_of_group(self._asset.id, used=used))
        self._grouping = token if used else 0  # for one that is forgotten nothing waits

    @property
    def _number(self) -> str:
        return "" if self.owed is None else self.owed.number

    def phase(self, found: KeepPhase, *, by: str, now: Now) -> int:
        """Keep what lasts, since when it has and who ordered it; returns the record's token."""
        phase = found.phase
        if phase is None:
            self.lasting = None
        elif self.lasting is None or self.lasting.phase is not phase:
            self.lasting = Lasting(phase, now.unix_ms, by)
        fact = {f"{self._asset.id}/phase": words.kept_phase(found, self.lasting)}
        return self._record(f"phase {'none' if phase is None else phase.name}", fact)

    def _record(self, what: str, facts: Mapping[str, str | None], **said: str) -> int:
        token = next(self._tokens)
        body: dict[str, object] = {"what": what, **said}
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
        removed = self._forgetting.pop(event.token, None)
        if removed is not None and removed == self._number:  # else something began meanwhile
            self._turn.then(watchdog_events.ForceForgotten(event.ok))
            gone = event.ok and not awaited
            self.owed = None if gone else self.owed
            self.tries = 0 if gone else self.tries
        if event.token == self._grouping:
            self._turn.then(watchdog_events.GroupKept(event.ok))
        return gone
