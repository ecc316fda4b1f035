"""Decides what is published next, and what may be deleted. Pure; the core's alone.

| event | does |
|---|---|
| BrokerUp | opens the window; every id up to the last known one is history |
| RowsStored | live: published from the event itself, before any history |
| RowsFetched | history, oldest first within each priority |
| PublishAcknowledged | the only thing that deletes |
| PublishRefused | stays in the store, offered again later; see refusals.py |
| PublishUnheard | stays in the store, its topic waits for a reader; see unheard.py |
| BrokerDown | forgets what is in flight; it comes again as history |
| QueueReported | learns the backlog and the epoch |
| StopAsked | publishes no more, waits for what is in flight |

What a reader would get wrong: live rows that do not fit into memory are not lost, they are in the
store and another pass over it finds them. Duplicates are possible after every BrokerDown, and a
consumer drops them by (gateway, stream, epoch, seq). Tokens are positive; other publishers use 0
or negative ones. The object is mutable because a copy for every acknowledgement would cost more
than the work itself.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.effects import ForgetRows, Log, Publish, Record
from gateway.events import (
    BrokerDown,
    BrokerUp,
    PublishAcknowledged,
    PublishRefused,
    PublishUnheard,
    QueueReported,
    RowsFetched,
    RowsStored,
    StopAsked,
)
from gateway.streams import Stream
from gateway.uplink import bundle
from gateway.uplink.history import History
from gateway.uplink.messages import MAX_PAYLOAD
from gateway.uplink.outage import SLOW, Outage
from gateway.uplink.pace import Pace, ShipperReport
from gateway.uplink.refusals import Refusals
from gateway.uplink.throttle import Throttle
from gateway.uplink.topics import retained
from gateway.uplink.unheard import FACT, Unheard
from gateway.uplink.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from gateway.clock import Now
    from gateway.effects import Effect
    from gateway.streams import Row
    from gateway.uplink.topics import Topics

LIVE_BYTES = 4 << 20  # of telemetry waiting in memory; the other streams may take as much again
FORGET_ROWS, FORGET_S = 64, 0.05  # acknowledged rows are deleted in groups
AT_ONCE_S = 5.0  # from publishing to the end of a connection that a record may have ended
PACKET_HEAD = 640  # bytes of a PUBLISH beside its payload, at most: topic and properties
QUOTA_S = 2.0  # from a refusal for a quota until the record is offered again
_REMEMBERED = 4096  # ids lately acknowledged, which a fetch under way may still bring


@dataclass(frozen=True, slots=True)
class ShipperBounds:
    """What a site lets the uplink take."""

    window: int = 100  # messages in flight, 1..1000; the broker's Receive Maximum may lower it
    window_bytes: int = 4 << 20  # in flight
    per_s: float | None = None  # messages; None: as many as the window
    backfill_per_s: float | None = None  # readings after an outage; None: by what is live
    bundle_s: float = 0.0  # how long live telemetry waits for more of its topic
    require: bool | None = None  # whether a topic needs somebody who takes from it


class _Sent(NamedTuple):
    rows: list[Row]
    topic: str
    backfill: bool
    at_s: float  # monotonic second
    size: int  # bytes


class Shipper:
    """The way from the store to the broker.

    Args:
        topics: of this gateway.
        bounds: of the site.
        epoch: of the queue.
        last_id: newest row in the queue at the start; 0 if it is empty.
        heard: topics from which somebody took before.
    """

    def __init__(
        self,
        topics: Topics,
        *,
        bounds: ShipperBounds,
        epoch: str,
        last_id: int,
        heard: Iterable[str] = (),
    ) -> None:
        self._topics = topics
        self._bounds = bounds
        self._epoch = epoch
        self._last_id = last_id
        self._up_at: float | None = None  # monotonic second of BrokerUp
        self._receive_max = 65535
        self._most = MAX_PAYLOAD  # bytes of a payload
        self._limit = 0
        self._pump_at = math.inf  # monotonic second at which more may go than now
        self._stopping = False
        self._token = 0
        self._sent: dict[int, _Sent] = {}
        self._backfilling = 0  # of them history
        self._bytes = 0  # of them
        self._live = Waiting(bounds.bundle_s)
        self._throttle = Throttle(bounds.per_s)
        self._outage = Outage(bounds.backfill_per_s)
        self._mine: set[int] = set()  # ids in memory: waiting or in flight
        self._backlog = History()
        self._refusals = Refusals()
        self._unheard = Unheard(heard, require=bounds.require)
        self._alone: set[int] = set()  # ids of a bundle that was refused: one of them is why
        self._acked: list[int] = []
        self._forget_at = math.inf
        self._recent: deque[int] = deque()
        self._recently: set[int] = set()
        self._known: dict[tuple[Stream, str, bool], str] = {}  # -> topic
        self._pace = Pace()
        self._handlers: dict[type, Callable[[object, Now, list[Effect]], None]] = {
            PublishAcknowledged: self._on_acknowledged,
            RowsStored: self._on_stored,
            RowsFetched: self._on_fetched,
            PublishRefused: self._on_refused,
            PublishUnheard: self._on_unheard,
            BrokerUp: self._on_up,
            BrokerDown: self._on_down,
            QueueReported: self._on_reported,
            StopAsked: self._on_stop,
        }

    @property
    def wake_at(self) -> float:
        """Monotonic second of the next tick that is wanted; inf for none."""
        if self._up_at is None or self._stopping:
            return self._forget_at
        return min(self._forget_at, self._backlog.wake_at, self._pump_at)

    @property
    def idle(self) -> bool:
        """Nothing is in flight."""
        return not self._sent

    def handle(self, event: object | None, now: Now) -> tuple[Shipper, list[Effect]]:
        """Take one event (None is a tick); events of other parts change nothing."""
        effects: list[Effect] = []
        if event is not None:
            handler = self._handlers.get(type(event))
            if handler is None:
                return self, effects
            handler(event, now, effects)
        if self._acked and (
            now.mono_s >= self._forget_at or len(self._acked) >= FORGET_ROWS or self._stopping
        ):
            self._flush(effects)
        if self._up_at is not None and not self._stopping:
            self._pump(now, effects)
        return self, effects

    def resize(self, bounds: ShipperBounds) -> None:
        """Take new bounds; what is in flight beyond the window is waited for."""
        self._bounds = bounds
        self._unheard.require = bounds.require
        self._live.hold_s = bounds.bundle_s
        self._throttle.per_s, self._outage.per_s = bounds.per_s, bounds.backfill_per_s
        if self._up_at is not None:
            self._open()

    def unhold(self, assets: Collection[str]) -> None:
        """Hold no telemetry of ``assets``: they are under control."""
        self._live.unheld = assets

    def report(self, now: Now) -> ShipperReport:
        """Figures for status."""
        report = self._pace.report(
            now,
            up=self._up_at is not None,
            window=self._limit,
            in_flight=len(self._sent),
            live_waiting=len(self._live),
            backfilling=self._backlog.reading or self._backfilling > 0,
            blocked_topics=self._refusals.blocked_topics,
            held=len(self._refusals.held),
        )
        return dataclasses.replace(report, unheard_topics=self._unheard.topics)

    # --- events ----------------------------------------------------------------------------

    def _on_up(self, event: object, now: Now, _effects: list[Effect]) -> None:
        assert isinstance(event, BrokerUp)
        self._drop_all()
        self._up_at = now.mono_s
        self._pace.began(now)
        self._receive_max = event.receive_max
        self._most = min(MAX_PAYLOAD, event.max_packet - PACKET_HEAD)
        self._open()
        self._outage.over(now.mono_s, chance=event.chance)
        self._backlog.begin(self._last_id + 1)

    def _on_down(self, event: object, now: Now, effects: list[Effect]) -> None:
        assert isinstance(event, BrokerDown)
        if self._up_at is None:
            return
        oldest = next(iter(self._sent.values()), None)
        # A broker that dislikes a record closes at once; where nothing was answered for long
        # before, the network ended it, and no record is suspected.
        at_once = oldest is not None and now.mono_s - oldest.at_s <= AT_ONCE_S
        ids = [row.id for sent in self._sent.values() for row in sent.rows] if at_once else []
        self._outage.begin(now.mono_s)
        if event.silent:
            self._throttle.slower(now.mono_s)
        held = self._refusals.ended(ids, lasted_s=now.mono_s - self._up_at, mono_s=now.mono_s)
        if held is not None:
            effects.append(_held_log(held, event.cause))
        self._unheard.ended()
        self._up_at = None
        self._limit = 0
        self._drop_all()
        self._flush(effects)

    def _on_stored(self, event: object, now: Now, _effects: list[Effect]) -> None:
        assert isinstance(event, RowsStored)
        for row in event.rows:
            if row.id <= self._last_id:
                self._begin_epoch(row.id - 1, now)  # ids never fall within an epoch
            self._last_id = row.id
            self._outage.live(row.batch.n, now.mono_s)
            if self._up_at is not None:
                self._wait_live(row, now)

    def _wait_live(self, row: Row, now: Now) -> None:
        stream = row.batch.stream
        until = self._blocked(self._topic(row, backfill=False), now.mono_s)
        room = LIVE_BYTES if stream is Stream.TELEMETRY else 2 * LIVE_BYTES
        if until is not None:
            self._backlog.again(until)
        elif self._live.bytes + len(row.batch.body) > room:
            self._backlog.again(now.mono_s)
        else:
            self._live.put(row, now.mono_s)
            self._mine.add(row.id)

    def _on_fetched(self, event: object, now: Now, _effects: list[Effect]) -> None:
        assert isinstance(event, RowsFetched)
        if self._up_at is None:
            return
        before = len(self._backlog.rows)
        self._backlog.take(event, lambda row: self._wanted(row, now))
        for at in range(before, len(self._backlog.rows)):
            self._mine.add(self._backlog.rows[at].id)

    def _wanted(self, row: Row, now: Now) -> bool:
        if row.id in self._mine or row.id in self._recently:
            return False
        until = self._refusals.holds(row.id, now.mono_s)
        if until is not None:
            self._backlog.again(until)
            return False
        return True

    def _on_acknowledged(self, event: object, now: Now, effects: list[Effect]) -> None:
        assert isinstance(event, PublishAcknowledged)
        sent = self._pop(event.token)
        if sent is None:
            return
        if event.taken:
            first, waited = self._unheard.taken(sent.topic)
            if first:
                effects.append(Record(0, (), {FACT + sent.topic: "yes"}))
        else:
            waited = self._unheard.passed(sent.topic)
        if waited:
            self._backlog.again(now.mono_s)
            effects.append(Log(logging.INFO, f"{sent.topic}: the broker takes it again"))
        self._acknowledged(sent, now)

    def _acknowledged(self, sent: _Sent, now: Now) -> None:
        opens = False
        for row in sent.rows:
            self._mine.discard(row.id)
            self._alone.discard(row.id)
            self._remember(row.id)
            if not self._acked:
                self._forget_at = now.mono_s + FORGET_S
            self._acked.append(row.id)
            self._pace.acknowledged(row.batch, now, backfill=sent.backfill)
            opens = self._refusals.acknowledged(sent.topic, row.id) or opens
        if opens:
            self._open()

    def _pop(self, token: int) -> _Sent | None:
        """What was in flight under ``token``; it no longer is."""
        sent = self._sent.pop(token, None)
        if sent is not None:
            self._backfilling -= sent.backfill
            self._bytes -= sent.size
        return sent

    def _on_refused(self, event: object, now: Now, effects: list[Effect]) -> None:
        assert isinstance(event, PublishRefused)
        sent = self._pop(event.token)
        if sent is None:
            return
        self._mine.difference_update(row.id for row in sent.rows)
        self._pace.refused += 1
        if event.quota:  # no fault of the record's, or of its topic's
            self._throttle.slower(now.mono_s)
            self._backlog.again(now.mono_s + QUOTA_S)
            return
        if len(sent.rows) > 1:
            self._alone.update(row.id for row in sent.rows)
        at_s, blocked = self._refusals.refused(sent.topic, now.mono_s)
        self._backlog.again(max(at_s, self._pace.retry_at(now)))
        if blocked:
            text = f"the broker refuses {sent.topic}: {event.cause}; offered again later"
            effects.append(Log(logging.WARNING, text))

    def _on_unheard(self, event: object, now: Now, effects: list[Effect]) -> None:
        assert isinstance(event, PublishUnheard)
        sent = self._pop(event.token)
        if sent is None:
            return
        stream, topic = sent.rows[0].batch.stream, sent.topic
        keep = retained(stream, backfill=sent.backfill)
        again_s = self._unheard.nobody(topic, stream, retained=keep, mono_s=now.mono_s)
        if again_s is None:
            fate = "the broker has it, and it counts as delivered"
            self._acknowledged(sent, now)
        else:
            fate = "its records are kept here until somebody does"
            self._mine.difference_update(row.id for row in sent.rows)
            self._backlog.again(again_s)
        if self._unheard.first_told(topic):
            text = f"nobody subscribes to {topic}: {fate}"
            effects.append(Log(logging.WARNING, text, "nobody-subscribes"))

    def _on_reported(self, event: object, now: Now, _effects: list[Effect]) -> None:
        assert isinstance(event, QueueReported)
        if event.depth.epoch != self._epoch:
            self._epoch = event.depth.epoch
            self._begin_epoch(event.depth.last_id, now)
        self._pace.depth = event.depth

    def _on_stop(self, _event: object, _now: Now, _effects: list[Effect]) -> None:
        self._stopping = True

    def _begin_epoch(self, last_id: int, _now: Now) -> None:
        """The database is a new one: ids in memory mean nothing, and may delete the wrong rows."""
        self._drop_all()
        self._acked.clear()
        self._forget_at = math.inf  # or the core would be woken for nothing, again and again
        self._recent.clear()
        self._recently.clear()
        self._refusals = Refusals()
        self._last_id = last_id
        if self._up_at is not None:
            self._open()
            self._backlog.begin(last_id + 1)

    # --- shipping --------------------------------------------------------------------------

    def _open(self) -> None:
        limit = max(1, min(self._bounds.window, self._receive_max))
        self._limit = 1 if self._refusals.probing else limit

    def _pump(self, now: Now, effects: list[Effect]) -> None:
        """Fill the window: live by priority, then history up to half of the window."""
        backlog = self._backlog
        if backlog.due(now.mono_s, horizon=self._last_id + 1):
            self._pace.begin_pass()
        self._pump_at = math.inf
        while self._has_room():
            ready_s = self._throttle.ready_at(now.mono_s)
            if ready_s > now.mono_s:
                if backlog.rows or len(self._live):
                    self._pump_at = ready_s
                break
            if not self._one(now, effects):
                break
        fetch = backlog.fetch()
        if fetch is not None:
            effects.append(fetch)
        elif not backlog.reading:
            self._outage.done()
            if self._refusals.probing and not self._sent:
                self._refusals.cleared()
                self._open()

    def _has_room(self) -> bool:
        if not self._sent:
            return True
        fits = self._bytes + self._most <= self._bounds.window_bytes
        return fits and len(self._sent) < self._limit

    def _one(self, now: Now, effects: list[Effect]) -> bool:
        """Publish the next message, or set its row aside; False where none may go now."""
        backlog, share = self._backlog, max(1, self._limit // 2)
        history_at = self._history_at(now) if backlog.rows else math.inf
        may = history_at <= now.mono_s and self._backfilling < share
        live_at = self._live.due_at()
        if may and (live_at > now.mono_s or self._refusals.probing):
            self._publish(self._history(), now, effects, backfill=True)
        elif live_at <= now.mono_s:
            self._publish(
                self._live.take(now.mono_s, most=self._most), now, effects, backfill=False
            )
        else:
            self._pump_at = live_at if self._backfilling >= share else min(live_at, history_at)
            return False
        return True

    def _history_at(self, now: Now) -> float:
        """Monotonic second at which the next record of history may go; past: now."""
        if self._backlog.rows[0].batch.stream in SLOW:
            return self._outage.at(now.mono_s)
        return -math.inf

    def _history(self) -> list[Row]:
        """The next rows of history that go together."""
        waiting = self._backlog.rows
        rows = [waiting.popleft()]
        room = self._most - bundle.size(rows[0])
        readings = self._outage.most - rows[0].batch.n
        while waiting and self._joins(rows[0], waiting[0]):
            room -= bundle.size(waiting[0])
            readings -= waiting[0].batch.n
            if room < 0 or readings < 0:
                break
            rows.append(waiting.popleft())
        return rows

    def _joins(self, first: Row, row: Row) -> bool:
        """Whether two records of history go together: none is suspected, nor is it a probe."""
        if self._refusals.probing or not bundle.joins(first, row):
            return False
        if self._alone and not self._alone.isdisjoint((first.id, row.id)):
            return False
        return self._topic(first, backfill=True) not in self._unheard.topics

    def _publish(self, rows: list[Row], now: Now, effects: list[Effect], *, backfill: bool) -> None:
        batch = rows[0].batch
        topic = self._topic(rows[0], backfill=backfill)
        until = self._blocked(topic, now.mono_s)
        if until is not None:
            self._set_aside(rows, until, now, backfill=backfill)
            return

        def bad(row: Row, error: Exception) -> None:
            self._mine.discard(row.id)
            self._backlog.again(self._refusals.hold(row.id, now.mono_s))
            effects.append(Log(logging.ERROR, f"record {row.id} cannot be shipped: {error}"))

        payload, encoding, taken = bundle.payload(
            rows, epoch=self._epoch, published_ms=now.unix_ms, backfill=backfill, bad=bad
        )
        if not taken:
            return
        self._unheard.sent(topic, now.mono_s)
        self._throttle.sent(now.mono_s)
        if backfill and batch.stream in SLOW:
            self._outage.sent(sum(row.batch.n for row in taken))
        self._token += 1
        self._sent[self._token] = _Sent(taken, topic, backfill, now.mono_s, len(payload))
        self._backfilling += backfill
        self._bytes += len(payload)
        keep = retained(batch.stream, backfill=backfill)
        effects.append(Publish(self._token, topic, payload, qos=1, retain=keep, encoding=encoding))

    def _set_aside(self, rows: list[Row], until_s: float, now: Now, *, backfill: bool) -> None:
        """Leave rows of a blocked topic to a later pass."""
        self._mine.difference_update(row.id for row in rows)
        self._backlog.again(until_s)
        stream = rows[0].batch.stream
        if backfill and all(
            self._blocked(self._topics.of(stream, asset, backfill=True), now.mono_s)
            for of, asset, _ in self._known
            if of is stream
        ):
            self._backlog.leave(stream)

    def _blocked(self, topic: str, mono_s: float) -> float | None:
        """Monotonic second until which nothing goes to ``topic``; None: now."""
        refused, unheard = self._refusals.until(topic, mono_s), self._unheard.until(topic, mono_s)
        if refused is None or unheard is None:
            return refused if unheard is None else unheard
        return max(refused, unheard)

    def _topic(self, row: Row, *, backfill: bool) -> str:
        key = (row.batch.stream, row.batch.asset, backfill)
        topic = self._known.get(key)
        if topic is None:
            topic = self._topics.of(row.batch.stream, row.batch.asset, backfill=backfill)
            self._known[key] = topic
        return topic

    def _remember(self, row_id: int) -> None:
        self._recent.append(row_id)
        self._recently.add(row_id)
        if len(self._recent) > _REMEMBERED:
            self._recently.discard(self._recent.popleft())

    def _flush(self, effects: list[Effect]) -> None:
        if self._acked:
            effects.append(ForgetRows(tuple(self._acked)))
            self._acked.clear()
        self._forget_at = math.inf

    def _drop_all(self) -> None:
        self._sent.clear()
        self._backfilling = self._bytes = 0
        self._live.clear()
        self._alone.clear()
        self._pump_at = math.inf
        self._mine.clear()
        self._backlog.stop()


def _held_log(row_id: int, cause: str) -> Log:
    text = (
        f"record {row_id} ended the connection repeatedly, alone in flight ({cause}): "
        "it is kept, held back and offered again later"
    )
    return Log(logging.ERROR, text)
