"""How the shipping goes, in figures. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.streams import Batch, QueueDepth

_SLOT_S = 5.0  # the backfill rate is that of the last one to two slots
RETRY_S, RETRY_MAX_S = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class ShipperReport:
    """What status shows of the uplink."""

    up: bool
    window: int  # records that may be in flight now; 0 while the broker is away
    in_flight: int
    live_waiting: int  # live records in memory
    backlog_rows: int  # in the store, by its last report
    backlog_readings: int
    backfilling: bool  # history is being shipped
    backfill_per_s: float  # readings of history acknowledged a second
    left_s: float | None  # until the backlog is shipped at this rate; None if it is not shrinking
    acknowledged: int  # records since the start
    refused: int
    last_acknowledged_ms: int | None  # Unix ms of the last acknowledgement
    newest_acknowledged_ms: int | None  # Unix ms of the newest record that the broker has
    quiet_s: float | None  # since the last acknowledgement, or the connection if it is later
    blocked_topics: tuple[str, ...]
    held: int  # records that end connections
    unheard_topics: tuple[str, ...] = ()  # nobody subscribes: their records wait

    def age_s(self, unix_ms: int) -> float | None:
        """Age of the newest acknowledged record in seconds; None before the first."""
        if self.newest_acknowledged_ms is None:
            return None
        # At least the time without any: a clock that was set back must not hide a standstill.
        return max(self.quiet_s or 0.0, (unix_ms - self.newest_acknowledged_ms) / 1000)


class Pace:
    """Counts acknowledgements; knows the rate and how long to wait after refusals."""

    def __init__(self) -> None:
        self.depth: QueueDepth | None = None
        self.refused = 0
        self._count = 0
        self._last_ms: int | None = None
        self._newest_ms: int | None = None
        self._moved_s: float | None = None
        self._slot_from = 0.0
        self._slot_readings = self._slot_rows = 0
        self._rate = self._row_rate = 0.0
        self._retry_s = RETRY_S
        self._refused_before = 0

    def began(self, now: Now) -> None:
        """Note that the broker is up."""
        self._moved_s = now.mono_s

    def acknowledged(self, batch: Batch, now: Now, *, backfill: bool) -> None:
        """Note that the broker has ``batch``."""
        self._count += 1
        self._last_ms, self._moved_s = now.unix_ms, now.mono_s
        newest_ms = min(batch.t_max, now.unix_ms)
        if self._newest_ms is None or newest_ms > self._newest_ms:
            self._newest_ms = newest_ms
        if backfill:
            self._roll(now.mono_s)
            self._slot_readings += batch.n
            self._slot_rows += 1

    def begin_pass(self) -> None:
        """Note that another pass over the store starts: the wait doubles while refusals go on."""
        again = self.refused > self._refused_before
        self._refused_before = self.refused
        self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s) if again else RETRY_S

    def retry_at(self, now: Now) -> float:
        """Monotonic second before which a refused record is not offered again."""
        return now.mono_s + self._retry_s

    def report(
        self,
        now: Now,
        *,
        up: bool,
        window: int,
        in_flight: int,
        live_waiting: int,
        backfilling: bool,
        blocked_topics: tuple[str, ...],
        held: int,
    ) -> ShipperReport:
        """All figures."""
        self._roll(now.mono_s)
        elapsed = now.mono_s - self._slot_from
        rate = row_rate = 0.0
        if backfilling:
            slot_s = elapsed if elapsed >= 1 else float("inf")
            rate = max(self._rate, self._slot_readings / slot_s)
            row_rate = max(self._row_rate, self._slot_rows / slot_s)
        readings = self.depth.readings if self.depth is not None else 0
        rows = self.depth.rows if self.depth is not None else 0
        return ShipperReport(
            up=up,
            window=window,
            in_flight=in_flight,
            live_waiting=live_waiting,
            backlog_rows=rows,
            backlog_readings=readings,
            backfilling=backfilling,
            backfill_per_s=rate,
            # In rows: what ships first has one reading in each, what ships last has hundreds.
            left_s=rows / row_rate if row_rate > 0 else None,
            acknowledged=self._count,
            refused=self.refused,
            last_acknowledged_ms=self._last_ms,
            newest_acknowledged_ms=self._newest_ms,
            quiet_s=None if self._moved_s is None else now.mono_s - self._moved_s,
            blocked_topics=blocked_topics,
            held=held,
        )

    def _roll(self, mono_s: float) -> None:
        elapsed = mono_s - self._slot_from
        if elapsed < _SLOT_S:
            return
        recent = elapsed < 2 * _SLOT_S
        self._rate = self._slot_readings / elapsed if recent else 0.0
        self._row_rate = self._slot_rows / elapsed if recent else 0.0
        self._slot_from, self._slot_readings, self._slot_rows = mono_s, 0, 0
