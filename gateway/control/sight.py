"""What one controller sees of its battery: the field, judged at the pace of its news. Pure.

Interlocks and limits cost a walk over many points, so they are judged at most every 50 ms however
many fragments come, every 0.25 s by time alone, and always just before power leaves.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.config.safety import FRESH_S
from gateway.control.execution.job import Looked
from gateway.control.execution.plan import PlanError, power_writes
from gateway.control.inward import Asked
from gateway.control.rules.field_view import FieldView
from gateway.control.rules.limits import Ceiling, SocWindow, site_limits, trusted
from gateway.control.rules.percent_base import Base, RecentBase
from gateway.control.watchdog import events as watchdog_events
from gateway.measured import Quality
from gateway.points.decode import flag_quality
from gateway.points.raw import parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway import events
    from gateway.asset.monitor import Monitor
    from gateway.clock import Now
    from gateway.config.safety import SafetySettings
    from gateway.config.site import AssetSettings
    from gateway.control.execution.plan import Write
    from gateway.control.execution.underway import Execution
    from gateway.control.rules.interlocks import Facts
    from gateway.control.watchdog.kept_meter import KeptMeter
    from gateway.control.watchdog.obligation import KeptRow, Obligation
    from gateway.control.watchdog.state import ActiveDispatch
    from gateway.measured import Measured
    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint

LOOK_S = 0.25  # between two looks at the field by time alone
SOON_S = 0.05  # and between two that fragments ask for, however many they are
ASK_S = 1.0  # between two reads that events ask for, however many they are


class Sight:
    """Eyes of one controller. Mutable."""

    def __init__(
        self,
        asset: AssetSettings,
        points_map: PointsMap,
        monitor: Monitor,
        settings: SafetySettings,
        now: Now,
    ) -> None:
        self._asset = asset
        self.view = FieldView(asset, points_map, monitor)
        self._adopt(settings)
        self.disk_free_pct = 0.0
        self.share: Callable[[Now], Ceiling] | None = None  # of what others take part in
        self._iin: frozenset[str] = frozenset()
        self._ceiling = Ceiling(0.0, 0.0)
        self._bases = RecentBase()
        self._of = self._bases.largest()
        self._ours: tuple[Base, float, tuple[Write, ...]] | None = None  # the newest setpoint
        self._looked_at, self.look_at = -math.inf, now.mono_s
        self.rows: tuple[KeptRow, ...] = ()  # of zero, where an operator chose those kept
        self.meter: KeptMeter | None = None  # of power, where it is another one than the map's
        self._read: dict[str, tuple[Measured | None, float]] = {}  # echo -> read, received at
        self._read_at: dict[str, float] = {}  # point -> monotonic s of its last static read
        self._asked_at = -math.inf
        self._owes_read = False  # an event came, and no read was ordered since

    def _adopt(self, settings: SafetySettings) -> None:
        self.site = site_limits(self._asset, settings)
        self.window = SocWindow(self.site.min_soc_pct, self.site.max_soc_pct)

    def become(self, settings: SafetySettings) -> None:
        """Be held to other settings; a battery at an end of its window is still there."""
        before = self.window
        self._adopt(settings)
        self.window = replace(self.window, empty=before.empty, full=before.full)

    # --- what it says now ----------------------------------------------------------------------

    def facts(self, now: Now, *, lease: bool) -> Facts:
        """What the interlocks are judged from."""
        return self.view.facts(self.window, now, lease=lease, disk_free_pct=self.disk_free_pct)

    def ceiling(self, now: Now) -> Ceiling:
        """What may be applied now."""
        found = self.view.ceiling(self.site, now)
        return found if self.share is None else found.within(self.share(now))

    def looked(self, one: Execution, now: Now) -> Looked:
        """What an executor sees: of power, too, only what was asked for since the last answer."""
        answered_at = max(one.since.values(), default=-math.inf)
        read = self._read_at.get(self.view.power_point, -math.inf) >= answered_at
        return Looked(self.echoes(one, now), self.view.power_read_w(now) if read else None)

    def echoes(self, one: Execution, now: Now) -> dict[str, Measured | None]:
        """What the points that ``one`` has written, or is writing, say of it.

        Only static reads that were asked for since the write was answered; None: none yet.
        """
        progress = one.executor.now
        points = {write.echo for write in progress.queue} | progress.made.keys()
        latest = self.view.echoes(points, now)
        return {point: self._shown(point, found, one, now) for point, found in latest.items()}

    def _shown(
        self, point: str, latest: Measured | None, one: Execution, now: Now
    ) -> Measured | None:
        if latest is None or latest.quality > Quality.DERIVED:
            return latest
        measured, got_at = self._read.get(point, (None, -math.inf))
        old = self._read_at.get(point, -math.inf) < one.since.get(point, -math.inf)
        return None if old or now.mono_s - got_at > FRESH_S else measured

    def is_read(self, one: Execution) -> bool:
        """Whether the echo that ``one`` waits for was read since it was written."""
        queue = one.executor.now.queue
        return not queue or self._read_at.get(queue[0].echo, -math.inf) >= one.since.get(
            queue[0].echo, -math.inf
        )

    # --- what is news to the watchdog ----------------------------------------------------------

    def fragment(
        self, event: events.FragmentStored, facts: Facts, now: Now, *, verifying: bool = False
    ) -> tuple[watchdog_events.Event | Asked, ...]:
        """What a fragment says of authority, echo, power and the RTAC's own heartbeat.

        Only the present counts: an event may be old, whatever its time says. It takes authority
        away at once; for everything else it only asks for a static read, as do those of what
        ``FieldView.read`` believes of them, and of power while an executor is ``verifying``.
        """
        return tuple(self._fragment(event, facts, now, verifying=verifying))

    def _fragment(
        self, event: events.FragmentStored, facts: Facts, now: Now, *, verifying: bool
    ) -> Iterator[watchdog_events.Event | Asked]:
        view, names = self.view, {raw.point for raw in event.points}
        watched = view.points | view.feedback_points | {row.echo for row in self.rows}
        watched |= {self._power_point}
        if names.isdisjoint(watched):
            return
        old = {raw.point for raw in event.points if raw.event}
        # At once, or a read that is quicker than the next look would have undone it unseen.
        soon_at = now.mono_s if old & view.taking_points else self._looked_at + SOON_S
        self.look_at = min(self.look_at, soon_at)
        asked_at = event.asked_at
        for seen in self.authority(facts) if names & view.authority_points else ():
            if isinstance(seen, watchdog_events.LocalSeen) or not old & view.authority_points:
                yield seen
        yield from self._taken(names - old, asked_at, now)
        if view.beat_point in names:
            beat = view.echoes((view.beat_point,), now)[view.beat_point]
            if beat is not None and isinstance(beat.value, int | float):
                yield watchdog_events.DerHeartbeatRead(int(beat.value))
        wanted = view.authority_points | view.echo_points | view.told_points
        if verifying:
            wanted |= {view.power_point}
        self._owes_read = self._owes_read or bool(old & wanted) or self._soc_is_told(old, now)
        yield from self.asks(now)

    def asks(self, now: Now) -> tuple[Asked, ...]:
        """A read that events asked for, as soon as its time has come."""
        if not self._owes_read or now.mono_s < self._asked_at + ASK_S:
            return ()
        self._owes_read, self._asked_at = False, now.mono_s
        return (Asked(),)

    def _soc_is_told(self, old: set[str], now: Now) -> bool:
        """Whether an event of the state of charge takes power away: it comes every few seconds."""
        row = self.view.map.row("soc")
        if row is None or row.point not in old or (soc := self.view.soc(now)) is None:
            return row is not None and row.point in old
        read = trusted(self.view.static(now)(row))
        return read is None or self.window.handle(soc) != self.window.handle((read, read))

    def _taken(
        self, points: frozenset[str] | set[str], asked_at: float, now: Now
    ) -> Iterator[watchdog_events.Event]:
        """What a static read says of echo and power."""
        view = self.view
        for point in points:
            self._read_at[point] = asked_at
        for point in points & view.feedback_points:
            self._read[point] = view.echoes((point,), now)[point], now.mono_s
        echoes = view.echo_points
        if self.rows:  # zero is written by the rows that were kept: they say what shows it
            echoes = frozenset(row.echo for row in self.rows)
        since = min((self._read_at.get(one, -math.inf) for one in echoes), default=0.0)
        if points & echoes and (echo_w := self._echo_w(now)) is not None:
            yield watchdog_events.EchoRead(echo_w, since)
        if self._power_point in points and (power_w := self.power_w(now)) is not None:
            yield watchdog_events.PowerRead(power_w, asked_at)

    @property
    def _power_point(self) -> str:
        return self.view.power_point if self.meter is None else self.meter.point

    @property
    def verifying_read(self) -> str:
        """The kind of read that shows a zero: what was kept may be points of another map."""
        kept = {row.echo for row in self.rows} | {self._power_point}
        return "critical" if kept - {""} <= self.view.points else "integrity"

    def power_w(self, now: Now) -> float | None:
        """Measured power, W, + discharging, by the row that verifies zero; None: unknown."""
        meter = self.meter
        if meter is None:
            return self.view.power_w(now)
        for raw in self.view.raw_numbers():
            if raw.point == meter.point and _is_good(raw):
                return meter.watts(float(raw.value))
        return None

    def wrote(self, power_w: float, of: Base) -> None:
        """Note a setpoint (W) that is put in the row of outputs, in percent of ``of``."""
        self._ours = of, power_w, power_writes(self.view.map, power_w, of)

    @property
    def written_of(self) -> Base | None:
        """What the percent of the newest setpoint are of; None: none was written."""
        return None if self._ours is None else self._ours[0]

    def found_written(self, owed: Obligation) -> None:
        """Note what the last run wrote: by the least base any is a step on the way."""
        if owed.base_w is None or owed.least_base_w is None or not owed.setpoint_w:
            return
        try:
            writes = power_writes(self.view.map, owed.setpoint_w, Base(*owed.base_w))
        except PlanError:  # by another map than that
            return
        self._ours = Base(*owed.least_base_w), owed.setpoint_w, writes

    def echo_w(self, now: Now) -> float | None:
        """The setpoint's echo as read, W; None: not known.

        Percent are of what they were of when the newest setpoint was written, and what that one
        wrote is that setpoint: where the base moves, our echo is still ours.
        """
        if not self.view.in_percent:
            return self.view.echo_w(now, self.base(now))
        return self._unless_zero(self._percent_echo_w(now), now)

    def _percent_echo_w(self, now: Now) -> float | None:
        if self._ours is None:
            return self.view.echo_w(now, self.base(now))
        of, power_w, writes = self._ours
        read = self.view.static(now)
        shown = (read(self.view.map.by_point[write.echo]) for write in writes)
        if all(write.agrees(one) for write, one in zip(writes, shown, strict=True)):
            return power_w
        return self.view.echo_w(now, of)

    def _unless_zero(self, found_w: float | None, now: Now) -> float | None:
        """An echo in percent is zero by its percent: of a small base it were so little in W.

        The base may grow again, and power in force with it.
        """
        slack_w, full_w = self.view.tolerance_w(), self.view.full_w
        shown_w = self.view.echo_w(now, Base(full_w, full_w))
        if found_w is None or shown_w is None or not abs(found_w) <= slack_w < abs(shown_w):
            return found_w
        return math.copysign(math.nextafter(slack_w, math.inf), shown_w)

    def _echo_w(self, now: Now) -> float | None:
        if not self.rows:
            return self.echo_w(now)
        read = {raw.point: float(raw.value) for raw in self.view.raw_numbers() if _is_good(raw)}
        if any(row.echo not in read for row in self.rows):
            return None
        shown = [abs(read[row.echo] - row.raw) <= row.slack for row in self.rows]
        return 0.0 if all(shown) else math.inf

    def authority(self, facts: Facts) -> tuple[watchdog_events.Event, ...]:
        """Whose the authority is; nothing where nobody knows."""
        ours = self.view.authority(facts)
        if ours is None:
            return ()
        if ours:
            return (watchdog_events.RemoteSeen(),)
        return (watchdog_events.LocalSeen(elsewhere=self.view.elsewhere(facts)),)

    def indications(
        self, event: events.IinReceived, facts: Facts
    ) -> tuple[watchdog_events.Event, ...]:
        """What internal indications say that are new."""
        before, self._iin = self._iin, event.names
        found: tuple[watchdog_events.Event, ...] = ()
        if "DEVICE_RESTART" in event.names - before:
            found = (watchdog_events.Restarted(),)
        if "LOCAL_CONTROL" in event.names ^ before:
            found += self.authority(facts)
        return found

    def look(self, now: Now) -> None:
        """Note that the field is judged at ``now``."""
        self._looked_at, self.look_at = now.mono_s, now.mono_s + LOOK_S
        if (soc := self.view.soc(now)) is not None:
            self.window = self.window.handle(soc)

    def interlocks(
        self, one: Execution | None, held: ActiveDispatch | None, facts: Facts
    ) -> tuple[str, ...]:
        """Those that do not hold, for the dispatch ``one`` where there is any."""
        power_w = 0.0
        if one is not None:
            accepted = one.accepted
            power_w = accepted.job.power_w or 0.0
            window = self.window.narrowed(accepted.min_soc_pct, accepted.max_soc_pct)
            facts = replace(facts, window=window)
        reasons = self.view.interlocks(facts, power_w)
        if held is not None and held.setpoint_w * power_w < 0:  # a ramp begins in the other one
            others = self.view.interlocks(facts, held.setpoint_w)
            reasons = tuple(dict.fromkeys((*reasons, *others)))
        return reasons

    def base(self, now: Now) -> Base:
        """What percent of a power command are of: the largest of the last seconds."""
        self._bases = self._bases.note(now.mono_s, self.view.base(now))
        return self._bases.largest()

    def taken(self, now: Now) -> tuple[Ceiling, Base]:
        """Ceiling and base now, for whoever is about to begin under them."""
        self._ceiling, self._of = self.ceiling(now), self.base(now)
        return self._ceiling, self._of

    def moved(self, now: Now) -> tuple[Ceiling, Base] | None:
        """Ceiling and base where one of them is another than before, else None."""
        before = self._ceiling, self._of
        found = self.taken(now)
        return None if found == before else found


def _is_good(raw: RawPoint) -> bool:
    """Whether its flags let it say anything; whatever the map of now makes of that point."""
    found = parse_reference(raw.point)
    return found is not None and flag_quality(raw, found.kind) <= Quality.DERIVED
