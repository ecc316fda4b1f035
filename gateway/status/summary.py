"""The gateway in figures, for ``status``, ``queue`` and systemd's STATUS line. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.asset.monitor import Monitor
    from gateway.streams import QueueDepth
    from gateway.uplink.pace import ShipperReport

STANDSTILL_S = 30.0  # something is in flight and the broker acknowledges nothing
CERTIFICATE_URGENT_DAYS = 7  # from here on nobody may wait for the renewal


@dataclass(frozen=True, slots=True)
class Summary:
    """What the core knows of itself at one instant."""

    gateway: str
    version: str
    up_s: float  # of the process
    broker: str  # "" while it is up, else why it is not
    broker_s: float  # for how long
    report: ShipperReport
    depth: QueueDepth | None  # None until the store has reported
    runway_s: float | None  # until readings must be dropped; None while the queue does not grow
    troubles: tuple[str, ...]  # of the queue
    control: tuple[str, ...]  # of the watchdogs
    certificate_days: int
    unix_ms: int

    def status(
        self, monitors: Collection[Monitor], summaries: Mapping[str, object]
    ) -> dict[str, object]:
        """Answer to ``status``; healthy means that nobody needs to do anything."""
        reasons = self.reasons(monitors)
        depth = self.depth
        free_pct = depth and round(100 * depth.free_bytes / max(1, depth.disk_bytes), 1)
        return {
            "gateway": self.gateway,
            "version": self.version,
            "upS": round(self.up_s, 1),
            "healthy": not reasons,
            "reasons": reasons,
            "assets": dict(summaries),
            "broker": {
                "up": not self.broker,
                "sinceS": round(self.broker_s, 1),
                "cause": self.broker,
            },
            "lastAcknowledgedS": self.report.age_s(self.unix_ms),
            "waiting": depth.readings if depth else None,
            "diskFreePct": free_pct,
            "diskRunwayS": self.runway_s,
            "certificateDays": self.certificate_days,
        }

    def reasons(self, monitors: Collection[Monitor]) -> list[str]:
        """Why somebody must look, control first; empty while the gateway is healthy."""
        found = list(self.control)
        found += [f"{one.asset}: {why}" for one in monitors for why in one.worries]
        if self.broker:
            found.append(f"broker down: {self.broker}")
        found += [*self.troubles, *self._standstill()]
        if self.certificate_days <= CERTIFICATE_URGENT_DAYS:
            found.append(_certificate(self.certificate_days))
        return found

    def queue(self) -> dict[str, object]:
        """Answer to ``queue``."""
        report, depth = self.report, self.depth
        streams = {
            stream.value: {
                "rows": waiting.rows,
                "readings": waiting.readings,
                "bytes": waiting.bytes,
                "oldestAgeS": self._age_s(waiting.oldest_ms),
            }
            for stream, waiting in (depth.streams.items() if depth else ())
        }
        return {
            "brokerUp": not self.broker,
            "epoch": depth.epoch if depth else None,
            "streams": streams,
            "readings": depth.readings if depth else 0,
            "bytes": depth.bytes if depth else 0,
            "gaps": depth.gaps if depth else 0,
            "quarantined": depth.quarantined if depth else 0,
            "inFlight": report.in_flight,
            "backfilling": report.backfilling,
            "backfillPerS": report.backfill_per_s,
            "backfillLeftS": report.left_s,
            "blockedTopics": list(report.blocked_topics),
            "unheardTopics": list(report.unheard_topics),
            "held": report.held,
        }

    def counters(self, monitors: Mapping[str, Monitor]) -> dict[str, object]:
        """Answer to ``counters``: since the start, only ever upward."""
        depth = self.depth
        return {
            "epoch": depth.epoch if depth else None,
            "upS": round(self.up_s, 1),
            "acknowledged": self.report.acknowledged,
            "refused": self.report.refused,
            "gaps": depth.gaps if depth else 0,
            "quarantined": depth.quarantined if depth else 0,
            "assets": {name: one.counts.figures() for name, one in monitors.items()},
        }

    def line(self, monitors: Collection[Monitor], control: str) -> str:
        """One useful line for ``systemctl status``: what ``status`` says first, then figures."""
        age_s = self.report.age_s(self.unix_ms)
        reasons = self.reasons(monitors)
        others = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        parts = [
            f"DEGRADED: {reasons[0]}{others}" if reasons else "healthy",
            f"{sum(one.up for one in monitors)} of {len(monitors)} sessions up",
            control,
            f"broker down: {self.broker}" if self.broker else "broker up",
            f"{self.depth.readings if self.depth else 0} readings wait",
            "nothing acknowledged yet" if age_s is None else f"acknowledged {age_s:.0f} s ago",
        ]
        return "; ".join(parts)

    def _standstill(self) -> list[str]:
        """What keeps records from the broker although it is up."""
        report = self.report
        found = [f"the broker refuses {topic}" for topic in report.blocked_topics]
        found += [
            f"nobody subscribes to {topic}: its records wait" for topic in report.unheard_topics
        ]
        if report.held:
            found.append(f"{report.held} records end the connection and are held back")
        if report.in_flight and (report.quiet_s or 0.0) > STANDSTILL_S:
            found.append(f"{report.in_flight} records in flight, none acknowledged for long")
        return found

    def _age_s(self, oldest_ms: int | None) -> float | None:
        return None if oldest_ms is None else max(0.0, (self.unix_ms - oldest_ms) / 1000)


def _certificate(days: int) -> str:
    when = f"ends in {days} days" if days >= 0 else f"ended {-days} days ago"
    return f"the uplink certificate {when}: renew it"
