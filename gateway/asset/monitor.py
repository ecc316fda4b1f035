"""One asset as the core sees it: session, verdict on its map, battery, what to publish. Pure.

Nothing here commands the battery. Every change that people care about becomes an event record
and a line in the journal, once.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway import events
from gateway.asset import description
from gateway.asset.counts import AssetCounts
from gateway.asset.fingerprint import Fingerprint
from gateway.asset.possible import PossibleValues
from gateway.clock import local_time
from gateway.effects import Effect, ForgetShipped, Log, Poll, Publish, StoreBatch
from gateway.measured import Quality
from gateway.normalize.alarms import CRITICAL
from gateway.normalize.fold import Battery
from gateway.normalize.publish import Publication, dead_bands
from gateway.normalize.state import body
from gateway.points.derive import DerivedPoints
from gateway.points.layers import Verdict
from gateway.uplink import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.normalize.alarms import Change
    from gateway.normalize.state import BatteryState
    from gateway.points.layers import Finding, Value
    from gateway.points.pointmap import PointsMap
    from gateway.uplink.topics import Topics

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
REPOLL_S = 5.0  # after readings were lost: one poll, not one for each
LOST_LOG_S = 60.0  # while readings are being lost: a line so often, not one for each fragment
FIRST_S = 10.0  # after a start: so long may the first reading take before we publish "missing"


class Monitor:
    """Follows one asset; ``handle`` takes its events, ``tick`` what time alone brings."""

    def __init__(
        self,
        asset: AssetSettings,
        points_map: PointsMap,
        *,
        gateway: str,
        matched: bool,
        now: Now,
    ) -> None:
        """Start with no session.

        Args:
            asset: the site's configuration.
            points_map: how to read its points.
            gateway: id of this gateway.
            matched: False where no map matches the firmware and ``raw`` stands in.
            now: the instant of the start.
        """
        self._asset = asset
        self._map = points_map
        self._gateway = gateway
        self._matched = matched
        self.battery = Battery(points_map, asset)  # control looks at it, and changes nothing
        self.possible = PossibleValues(points_map.polled_points)  # likewise
        self._derived = DerivedPoints(points_map)
        self._fingerprint = Fingerprint.start(points_map, asset)
        bands = dead_bands(points_map, capacity_wh=asset.capacity_wh)
        self._publication = Publication(bands)
        self._state: BatteryState | None = None
        self._first_by: float | None = now.mono_s + FIRST_S  # None once something was read
        self._up = False
        self._since = now
        self._cause = "not connected yet"
        self.iin: frozenset[str] = frozenset()
        self._indicated: events.IinReceived | None = None  # the newest
        self.counts = AssetCounts()
        self._missing: frozenset[str] = frozenset()  # left out of the critical read
        self._failures: dict[str, str] = {}  # kind of poll -> why its last one failed
        self._held = ""  # why a zero or a stop waits
        self._repolled_at = self._lost_said_at = float("-inf")
        self._repoll_at = math.inf  # mono_s at which the last loss asks for a poll
        self._lost_unsaid = 0
        self._unmatched_told = matched
        self._handlers: dict[type, Callable[[Any, Now], list[Effect]]] = {
            events.FragmentStored: self._fragment,
            events.PollDone: self._poll,
            events.AttributesRead: self._doubt,
            events.SessionUp: self._session,
            events.SessionDown: self._session,
            events.ConnectionDropped: self._dropped,
            events.OutputHeld: self._held_up,
            events.IinReceived: self._indications,
            events.FragmentLost: self._lost,
        }

    @property
    def wake_at(self) -> float:
        """``mono_s`` of the next ``tick``."""
        if self._first_by is not None:
            return self._first_by
        return min(self._publication.wake_at, self._fingerprint.wake_at, self._repoll_at)

    # --- what happened -----------------------------------------------------------------------

    def completed(self, event: events.FragmentStored) -> events.FragmentStored:
        """``event`` with the points that the map makes of those that were received."""
        asked_at, at_s = event.asked_at, event.at.mono_s
        points, _ = self._derived.completed(event.points, asked_at=asked_at, at_s=at_s)
        if points is event.points:
            return event
        received = len(event.points)
        return replace(event, points=points, made=len(points) - received)

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take one event of this asset."""
        self.counts.take(event)
        handler = self._handlers.get(type(event))
        return handler(event, now) if handler is not None else []

    def tick(self, now: Now) -> list[Effect]:
        """Look at the battery: alarms that came or went, and a state message if one is due."""
        self._first_by = None
        effects = self._repoll(now) + self._doubt(None, now)
        if not self._unmatched_told:
            self._unmatched_told = True
            effects += self._unmatched(now)
        state = self.battery.state(now)
        for change in self.battery.changes(now):
            effects += self._change(change, now)
        self._state = state
        self._publication, due = self._publication.handle(state, now.mono_s)
        if due:
            batch = messages.state(
                gateway=self._gateway,
                asset=self._asset.id,
                quality=state.quality.label,
                at_ms=state.observed_ms,
                unix_ms=now.unix_ms,
                fields=body(state),
            )
            effects.append(StoreBatch(batch))
        return effects

    def announce(self, topics: Topics, epoch: str, now: Now) -> list[Effect]:
        """What a broker that just connected must be told: the point table and a fresh state."""
        self._publication = self._publication.forget()
        table = messages.point_table(
            gateway=self._gateway,
            epoch=epoch,
            asset=self.asset,
            digest=self._map.digest,
            points=description.point_table(self._map),
            unix_ms=now.unix_ms,
        )
        payload, encoding = messages.packed(table)
        return [
            ForgetShipped(self.asset),
            Publish(0, topics.map(self.asset), payload, qos=1, retain=True, encoding=encoding),
        ]

    def _fragment(self, event: events.FragmentStored, now: Now) -> list[Effect]:
        self.battery.fold(event.points, event.at)
        self.possible.take(event)
        self._first_by = None
        self._publication = self._publication.noted(now.mono_s)
        return self._doubt(event, now)

    def _poll(self, event: events.PollDone, now: Now) -> list[Effect]:
        self.battery.polled(event.kind, ok=event.ok, now=event.at)
        lacks = self._lacking(event, now) if event.kind == "critical" else []
        return self._doubt(event, now) + self._failing(event) + lacks

    def _failing(self, event: events.PollDone) -> list[Effect]:
        """Say once that a read fails, and why; a session can be up without any that succeeds."""
        before = self._failures.get(event.kind)
        if event.ok:
            self._failures.pop(event.kind, None)
            if before is None:
                return []
            return [self._log(logging.INFO, f"{event.kind} poll succeeds again")]
        self._failures[event.kind] = event.cause
        if before == event.cause:
            return []
        return [self._log(logging.WARNING, f"{event.kind} poll fails: {event.cause}")]

    def _lacking(self, event: events.PollDone, now: Now) -> list[Effect]:
        """Say once which points of the critical read the outstation does not have."""
        before, self._missing = self._missing, event.missing
        if event.missing == before:
            return []
        if not event.missing:
            return [self._log(logging.INFO, "the outstation has all points of the critical read")]
        return [
            self._record("alarm", "warning", self._lacks(), now, code="points_missing"),
            self._log(logging.WARNING, self._lacks()),
        ]

    def _lacks(self) -> str:
        """What is left out, and what for."""
        critical = self._map.critical_points if self._map.control is not None else frozenset()
        named = []
        for point in sorted(self._missing):  # of a word, or of half a value, its rows
            rows = [row for row in self._map.points if point in (row.source, row.low)]
            needed = any(row.point in critical for row in rows)
            names = ", ".join(row.name for row in rows)
            named.append(f"{point} ({names}{', which control needs' if needed else ''})")
        return f"the outstation does not have {', '.join(named)}: left out of the critical read"

    def _session(self, event: events.SessionUp | events.SessionDown, now: Now) -> list[Effect]:
        up = isinstance(event, events.SessionUp)
        cause = "" if isinstance(event, events.SessionUp) else event.cause
        self.battery.session(up=up, now=now)
        doubts = self._doubt(event, now)  # what was read before may not be there any more
        if (up, cause) == (self._up, self._cause):
            return doubts
        if up != self._up:
            self._since = now
            self._failures.clear()
            self._held = ""
        self._up, self._cause = up, cause
        end = f"{self._asset.dnp3.host}:{self._asset.dnp3.port}"
        text = f"session up with {end}" if up else f"session down with {end}: {cause}"
        return [
            *doubts,
            *([ForgetShipped(self._asset.id)] if up else []),
            self._record("session", "info" if up else "warning", text, now, up=up, cause=cause),
            self._log(
                logging.INFO if up else logging.WARNING,
                text,
                "session-up" if up else "session-down",
            ),
        ]

    def _dropped(self, event: events.ConnectionDropped, now: Now) -> list[Effect]:
        text = f"connection dropped, and made again at once: {event.cause}"
        return [
            self._record("session", "warning", text, now, up=self._up, cause=event.cause),
            self._log(logging.WARNING, text),
        ]

    def _held_up(self, event: events.OutputHeld, _now: Now) -> list[Effect]:
        """Zero cannot leave: said once, and shown until it can."""
        self._held = event.cause
        return [self._log(logging.ERROR, f"zero waits: {event.cause}")] if event.cause else []

    def _indications(self, event: events.IinReceived, now: Now) -> list[Effect]:
        before, self.iin, self._indicated = self.iin, event.names, event
        # Class 1..3 "events available" come and go with every poll: they are no news.
        risen = sorted(name for name in event.names - before if not name.startswith("CLASS"))
        if not risen:
            return []
        text = "outstation indicates " + ", ".join(risen)
        overflow = "EVENT_BUFFER_OVERFLOW" in risen
        effects: list[Effect] = [self._log(logging.WARNING, text, IIN=f"0x{event.iin:04x}")]
        if overflow:
            text = "the outstation's event buffer overflowed: it lost events before we read them"
            effects.append(self._record("alarm", "warning", text, now, code="event_overflow"))
        return effects

    def _lost(self, event: events.FragmentLost, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        self._lost_unsaid += event.count
        if now.mono_s - self._lost_said_at >= LOST_LOG_S:
            text = f"{self._lost_unsaid} readings could not be stored: {event.reason}"
            self._lost_said_at, self._lost_unsaid = now.mono_s, 0
            effects.append(self._log(logging.ERROR, text, "gap"))
        self._repoll_at = max(now.mono_s, self._repolled_at + REPOLL_S)
        return effects + self._repoll(now)

    def _repoll(self, now: Now) -> list[Effect]:
        """Read everything once after the last loss, not once for each."""
        if now.mono_s < self._repoll_at:
            return []
        self._repolled_at, self._repoll_at = now.mono_s, math.inf
        return [Poll(self._asset.id, "integrity")]

    def _change(self, change: Change, now: Now) -> list[Effect]:
        severity = change.severity if change.raised else "info"
        return [
            self._record(
                change.kind,
                severity,
                change.text,
                now,
                code=change.code,
                raised=change.raised,
                point=change.point or None,
            ),
            self._log(LEVELS[severity], change.text, POINT=change.point),
        ]

    # --- how far the map can be trusted ------------------------------------------------------

    def _doubt(self, event: object, now: Now) -> list[Effect]:
        self._fingerprint, findings = self._fingerprint.handle(event, now.mono_s)
        return self._found(findings, now)

    def differed(
        self, point: str, *, expected: Value, found: Value | None, now: Now
    ) -> list[Effect]:
        """A command's feedback did not show what was written (L6)."""
        self._fingerprint, findings = self._fingerprint.differed(
            point, expected=expected, found=found
        )
        return self._found(findings, now)

    def agreed(self, points: Iterable[str]) -> None:
        """A command's feedback showed what was written (L6)."""
        for point in points:
            self._fingerprint = self._fingerprint.agreed(point)

    def refused(self, text: str, now: Now) -> list[Effect]:
        """A command was answered as if this were another outstation's map."""
        self._fingerprint, findings = self._fingerprint.refused(text)
        return self._found(findings, now)

    def _found(self, findings: Iterable[Finding], now: Now) -> list[Effect]:
        if not findings:
            return []
        self.battery.suspect(self._fingerprint.verdict)
        effects: list[Effect] = []
        for finding in findings:
            effects += [
                self._record(
                    "map",
                    finding.severity,
                    finding.text,
                    now,
                    verdict=finding.verdict.name.lower(),
                    layer=finding.layer,
                    point=finding.point or None,
                ),
                self._log(
                    LEVELS[finding.severity],
                    f"map {self._map.ref}: {finding.layer}: {finding.text}",
                    "map-changed",
                    MAP_REV=self._map.ref,
                    POINT=finding.point,
                ),
            ]
        return effects

    def _unmatched(self, now: Now) -> list[Effect]:
        asset = self._asset
        text = (
            f"no points map matches {asset.vendor}/{asset.model} firmware {asset.firmware!r}: "
            f"only raw points are shipped"
        )
        return [
            self._record("map", "warning", text, now, verdict="unmatched", layer="L0", point=None),
            self._log(logging.WARNING, text, "map-changed", MAP_REV=self._map.ref),
        ]

    # --- what others ask ---------------------------------------------------------------------

    @property
    def asset(self) -> str:
        """Id of the asset."""
        return self._asset.id

    @property
    def up(self) -> bool:
        """Whether its session is up."""
        return self._up

    def present(self, now: Now) -> tuple[object, ...]:
        """What whoever looks on only from now on missed, as events of now; () without a session.

        In the order of a session's start: indications, values, then that it is up.
        """
        if not self._up:
            return ()
        indicated = () if self._indicated is None else (replace(self._indicated, at=now),)
        points = self.battery.raw_points()
        read = events.FragmentStored(self.asset, points, unsolicited=False, at=now)
        return (*indicated, read, events.SessionUp(self.asset, now))

    @property
    def map_ok(self) -> bool:
        """Whether nothing speaks against the points map."""
        return self._matched and self._fingerprint.verdict is Verdict.OK

    @property
    def worries(self) -> list[str]:
        """Why this asset is not healthy; empty if it is."""
        found = [] if self._up else [f"session down: {self._cause}"]
        if self._up:
            found += [
                f"{kind} poll fails: {cause}"
                for kind, cause in sorted(self._failures.items())
                if kind != "attributes"  # group 0 is optional
            ]
        if self._missing:
            found.append(self._lacks())
        if self._held:
            found.append(f"zero waits: {self._held}")
        if self._up and self._map.by_role and self._state is not None:
            quality = self._state.quality
            if quality >= Quality.STALE:
                found.append(f"its state is {quality.label}")
        if self._state is not None:
            found += [
                f"critical {kind} {one.code}: look at the battery; since {local_time(one.since_ms)}"
                for kind, active in (("fault", self._state.faults), ("alarm", self._state.alarms))
                for one in active
                if one.priority == CRITICAL
            ]
        if not self._matched:
            found.append("no points map matches its firmware")
        if self._fingerprint.verdict:
            found.append(self._map_doubt())
        return found

    def _map_doubt(self) -> str:
        """The verdict on the map with what it rests on: the first that weighs as much."""
        verdict = self._fingerprint.verdict
        why = [one for one in self._fingerprint.findings if one.verdict is verdict]
        more = f", and {len(why) - 1} more" if len(why) > 1 else ""
        text = f"{why[0].layer}: {why[0].text}{more}" if why else "see the journal"
        return f"map {self._map.ref} is {verdict.name.lower()}: {text}; `reset` when it is right"

    def controlled(self, phase: str, now: Now) -> None:
        """Take the watchdog's phase: it is published as ``controlState``, soon."""
        self.battery.controlled(phase, now)
        self._publication = self._publication.noted(now.mono_s)

    def clear(self, user: str, now: Now) -> list[Effect]:
        """An operator looked at the map's verdict and takes it back."""
        before = self._fingerprint.verdict.name.lower()
        self._fingerprint = self._fingerprint.clear()
        self.battery.suspect(self._fingerprint.verdict)
        text = f"map verdict {before} cleared by {user}"
        return [
            self._record("operator", "info", text, now, user=user, act="reset"),
            self._log(logging.WARNING, text, "map-changed", MAP_REV=self._map.ref),
        ]

    def birth(self, control: dict[str, object]) -> dict[str, object]:
        """This asset's part of ``bess.birth/1``; ``control`` as its control describes itself."""
        return description.birth(self._asset, self._map, control)

    def summary(self, control: dict[str, object], now: Now) -> dict[str, object]:
        """For ``status``; ``control`` likewise."""
        session = {
            "up": self._up,
            "sinceS": round(now.mono_s - self._since.mono_s, 1),
            "cause": self._cause,
        }
        verdict = self._fingerprint.verdict.name.lower()
        return description.summary(
            self._asset, self._map, control, session=session, verdict=verdict
        )

    def detail(self, now: Now, first: int, count: int, match: str) -> dict[str, object]:
        """For ``watch``: the state, and the points that ``match`` with engineering values."""
        return description.detail(self.battery, self._map, now, first, count, match)

    def glance(self) -> dict[str, object]:
        """For ``watch``: the battery in one line, as it was published last."""
        return description.glance(self._state)

    def table(self) -> dict[str, object]:
        """For ``map``: the rows of ``bess.map/1``."""
        return {
            "asset": self.asset,
            "digest": self._map.digest,
            "points": description.point_table(self._map),
        }

    def health(self, now: Now) -> dict[str, object]:
        """For ``health``: what the session met, and since when."""
        return {
            "up": self._up,
            "sinceMs": self._since.unix_ms,
            "cause": self._cause,
            "lastOkMs": dict(self.counts.last_ok_ms),
            "failing": dict(self._failures),
            "indications": sorted(self.iin),
            "map": {
                "ref": self._map.ref,
                "verdict": self._fingerprint.verdict.name.lower(),
                "findings": [f"{one.layer}: {one.text}" for one in self._fingerprint.findings],
            },
            "state": None if self._state is None else self._state.quality.label,
            "worries": self.worries,
            "atMs": now.unix_ms,
        }

    # --- records -----------------------------------------------------------------------------

    def _record(
        self, kind: str, severity: str, text: str, now: Now, **fields: object
    ) -> StoreBatch:
        batch = messages.event(
            gateway=self._gateway,
            asset=self._asset.id,
            type_=kind,
            severity=severity,
            text=text,
            at_ms=now.unix_ms,
            fields=fields,
        )
        return StoreBatch(batch)

    def _log(self, level: int, text: str, message_id: str = "", **fields: str) -> Log:
        return Log(
            level,
            f"{self._asset.id}: {text}",
            message_id,
            {"GATEWAY": self._gateway, "ASSET": self._asset.id, **fields},
        )
