"""A site whose broker is away for days, with time compressed: a virtual clock, all else real.

Real are telemetry encoding, the queue with its SQLite file, the shipper and a platform's
consumer. Virtual are the clock of them all, the outstation's readings and the broker, which
acknowledges so many records a (virtual) second.
"""

from __future__ import annotations

import queue
import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.clock import Now
from gateway.config.site import QueueSettings
from gateway.consumer import Consumer
from gateway.effects import FetchRows, ForgetRows, Log, Publish
from gateway.events import BrokerUp, PublishAcknowledged, RowsFetched
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from gateway.queue.rules.retention import Space
from gateway.queue.store import Store
from gateway.streams import Batch, Codec, Stream
from gateway.uplink.messages import encode, event, notice_batch, state
from gateway.uplink.shipper import Shipper, ShipperBounds
from gateway.uplink.telemetry import Telemetry
from gateway.uplink.topics import Topics

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.uplink.pace import ShipperReport

T0 = 1_795_324_200_000  # Unix ms
GATEWAY, ASSET = "gw-17", "bess-1"
POINTS = 500
WITHIN_S = 60.0
DISK = Space(1 << 40, 1 << 40)


@dataclass
class Outcome:
    """What the platform had in the end."""

    sent: dict[str, int] = field(default_factory=dict)  # records or readings by stream
    received: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    duplicates: int = 0
    announced: int = 0
    gap_records: int = 0
    disorder: int = 0  # history that came before older history of its stream
    live_s: list[float] = field(default_factory=list)  # from append to acknowledgement
    history_s: float = 0.0  # until the backlog was gone
    reports: list[ShipperReport] = field(default_factory=list)
    file_bytes: int = 0  # largest


class Site:
    """One site; ``away`` then ``recover``.

    Args:
        folder: of the queue.
        size: ``[queue] max_size`` in bytes.
        age_s: ``[queue] max_age_s``.
    """

    def __init__(self, folder: Path, *, size: int, age_s: float = 604_800.0) -> None:
        self.outcome = Outcome()
        self._mono_s = 1000.0
        self._rng = random.Random(7)
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._store = Store(
            folder,
            QueueSettings(size, age_s),
            post=self._events.put,
            notice_batch=partial(notice_batch, gateway=GATEWAY),
            now=lambda: self.now,
            space=lambda _folder: DISK,
        )
        self._store.start()
        self._path = self._store.path
        self._telemetry = Telemetry(ASSET, GATEWAY, "sha256:0")
        self._shipper = Shipper(
            Topics("bess/v1", GATEWAY), bounds=ShipperBounds(), epoch=self._store.epoch, last_id=0
        )
        self._in_flight: deque[Publish] = deque()
        self._fetching = 0
        self._consumer = Consumer(from_start=True)
        self._newest: dict[tuple[str, bool], int] = {}
        self._appended: dict[int, float] = {}  # first seq of live telemetry -> virtual second
        self._seq = 1
        self._turn = 0

    @property
    def now(self) -> Now:
        """The virtual clock."""
        return Now(self._mono_s, T0 + int(1000 * self._mono_s))

    def away(self, days: float, *, step_s: float) -> None:
        """Collect for ``days``, every point every ``step_s``, with nobody to ship to."""
        for _ in range(int(days * 86_400 / step_s)):
            self._mono_s += step_s
            self._collect()
            self._pump()

    def recover(self, *, per_s: int, live_s: float = 1.0) -> Outcome:
        """The broker is back and takes ``per_s`` records a second, while readings go on."""
        began = next_live = next_report = self._mono_s
        self._handle(BrokerUp(65_535, self.now))
        quiet = 0
        while quiet < 3:
            self._mono_s += 0.05
            if self._mono_s >= next_live:
                next_live += live_s
                self._appended[self._seq] = self._mono_s
                self._collect()
            for _ in range(min(len(self._in_flight), max(1, per_s // 20))):
                self._deliver(self._in_flight.popleft())
            self._handle(None)
            self._pump()
            if self._mono_s >= next_report:
                next_report += 2.0
                report = self._shipper.report(self.now)
                self.outcome.reports.append(report)
                quiet = 0 if report.backfilling else quiet + 1
                if not quiet:
                    self.outcome.history_s = self._mono_s - began
        while self._in_flight or self._fetching:  # what is left is live
            while self._in_flight:
                self._deliver(self._in_flight.popleft())
            self._pump()
        return self._close()

    def _close(self) -> Outcome:
        self._store.append((), within_s=WITHIN_S)
        self._store.close(within_s=WITHIN_S)
        self.outcome.lost = self._consumer.lost()
        self.outcome.duplicates = self._consumer.duplicates
        self.outcome.announced = self._consumer.announced()
        return self.outcome

    # --- the site --------------------------------------------------------------------------

    def _collect(self) -> None:
        now, rng = self.now, self._rng
        self._turn += 1
        points = [
            RawPoint(
                f"AI{at}",
                rng.randrange(10_000),
                1,
                now.unix_ms,
                now.unix_ms,
                TimeQuality.SYNCED,
                event=True,
            )
            for at in range(POINTS)
        ]
        batches = self._telemetry.take(points, mono_s=now.mono_s)
        self._seq += POINTS
        fields = {"chargePercentage": rng.random()}
        batches.append(
            state(
                gateway=GATEWAY,
                asset=ASSET,
                quality="good",
                at_ms=now.unix_ms,
                unix_ms=now.unix_ms,
                fields=fields,
            )
        )
        if self._turn % 10 == 0:
            batches += [self._record(Stream.AUDIT), self._record(Stream.RESULT)]
            batches.append(
                event(
                    gateway=GATEWAY,
                    asset=ASSET,
                    type_="alarm",
                    severity="info",
                    text="an alarm",
                    at_ms=now.unix_ms,
                )
            )
        for batch in batches:
            name = str(batch.stream)
            self.outcome.sent[name] = self.outcome.sent.get(name, 0) + batch.n
        self._store.append(batches, within_s=WITHIN_S)
        size = self._path.stat().st_size
        self.outcome.file_bytes = max(self.outcome.file_bytes, size)

    def _record(self, stream: Stream) -> Batch:
        body = {
            "schema": f"bess.{stream}/1",
            "gateway": GATEWAY,
            "asset": ASSET,
            "turn": self._turn,
        }
        at = self.now.unix_ms
        return Batch(stream, ASSET, 1, at, at, Codec.JSON, encode(body))

    # --- the way to the platform -----------------------------------------------------------

    def _pump(self) -> None:
        """Hand everything that the store posted to the shipper; wait for what was fetched."""
        while self._fetching or not self._events.empty():
            self._handle(self._events.get(timeout=WITHIN_S))

    def _handle(self, event_: object | None) -> None:
        if isinstance(event_, RowsFetched):
            self._fetching -= 1
        self._shipper, effects = self._shipper.handle(event_, self.now)
        for effect in effects:
            match effect:
                case Publish():
                    self._in_flight.append(effect)
                case FetchRows():
                    self._fetching += 1
                    self._store.fetch(effect)
                case ForgetRows():
                    self._store.forget(effect.ids)
                case Log():
                    raise AssertionError(effect)
                case _:
                    pass

    def _deliver(self, order: Publish) -> None:
        for message in self._consumer.take(order.topic, order.payload):
            self._count(message)
        self._handle(PublishAcknowledged(order.token))

    def _count(self, message: dict[str, Any]) -> None:
        name = message["schema"].split(".")[1].split("/")[0]
        if message.get("type") == "gap":
            self.outcome.gap_records += 1
        else:
            n = message.get("n", 1)
            self.outcome.received[name] = self.outcome.received.get(name, 0) + n
        key = name, message["backfill"]
        self.outcome.disorder += message["seq"] < self._newest.get(key, 0)
        self._newest[key] = message["seq"]
        appended = self._appended.pop(message["seq"], None) if name == "telemetry" else None
        if appended is not None:
            self.outcome.live_s.append(self._mono_s - appended)
