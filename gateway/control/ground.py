"""What control of one asset stands on when it begins: its files, and what the disk says. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.control.commands.spent import open_commands
from gateway.control.inward import Start
from gateway.control.phases import Lasting, Phase
from gateway.control.watchdog.effects import KeepPhase
from gateway.control.watchdog.obligation import (
    is_in_force,
    obligation,
    tries,
    was_grouped,
)
from gateway.control.watchdog.state import LASTING, Held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.checked import Safety
    from gateway.config.site import AssetSettings
    from gateway.control.commands.register import Register
    from gateway.control.commissioning.proofs import Findings
    from gateway.points.pointmap import PointsMap
    from gateway.uplink.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The files, this boot, and the facts of the audit log."""

    asset: AssetSettings
    points_map: PointsMap
    matched: bool
    safety: Safety | None  # None: there is no good one, and something is owed all the same
    faulty: bool  # because it has faults
    gateway: str
    session: str  # boot nonce
    secret: bytes = field(repr=False)  # of this boot
    topics: Topics
    epoch: str
    facts: Mapping[str, str]  # of the audit log
    register: Register  # of the gateway's commands
    deaf: bool  # the broker refuses us commands or heartbeats
    log_lost: bool  # the audit log was set aside, or cannot be written
    latest_ms: int | None  # Unix ms of its newest row
    again: bool  # this run controlled it before a reload: it is no start that finds it
    newest: int  # challenge that other assets are at
    challenge_at: float  # monotonic s of the next one

    def start(self, *, enabled: bool, found: Findings) -> Start:
        """What the controller begins with; ``enabled`` where nothing keeps control off.

        Commands that an older store left open count as in force: it keeps no fact.
        """
        facts, name = self.facts, self.asset.id
        owed = obligation(facts, name)
        in_force = is_in_force(facts, name) or bool(open_commands(facts, name))
        kept = self._kept()
        count = tries(facts, name) + (not self.again)
        return Start(
            session=self.session,
            secret=self.secret,
            enabled=enabled,
            kept=kept,
            held=Held(
                in_force=in_force,
                last_w=None if owed is None else owed.setpoint_w,
                span_w=None if owed is None else owed.span_w,
                grouped=was_grouped(facts, name),
                declared=owed is not None and bool(owed.declared),
            ),
            tries=count if in_force else 0,
            found=found,
            owed=owed,
            lasting=self._lasting(kept),
            newest=self.newest,
            challenge_at=self.challenge_at,
        )

    def _kept(self) -> KeepPhase | None:
        """LATCHED, ESTOP or the yield of the last run; a log that was lost may have held any."""
        found = self.facts.get(f"{self.asset.id}/phase")
        latched = KeepPhase(Phase.LATCHED, stop_owed=False)
        if found is None:
            safety = self.safety  # in "monitor" nothing of ours is in force
            monitors = safety is not None and safety.settings.approval == "monitor"
            return latched if self.log_lost and not monitors else None
        try:
            body = json.loads(found)
            unknown = bool(body.get("stopUnknown", False))  # an older store does not say
            kept = KeepPhase(Phase[body["phase"]], bool(body["stopOwed"]), unknown)
        except (ValueError, TypeError, KeyError, AttributeError):
            return latched
        return kept if kept.phase in LASTING or kept.phase is Phase.LOCAL else latched

    def _lasting(self, kept: KeepPhase | None) -> Lasting | None:
        """Since when, and by whom, as far as the disk says; nothing here is worth a doubt."""
        if kept is None or kept.phase is None:
            return None
        try:
            body = json.loads(self.facts[f"{self.asset.id}/phase"])
            since_ms, by = body["sinceMs"], body["by"]
        except (ValueError, TypeError, KeyError):
            return Lasting(kept.phase, None)
        known = isinstance(since_ms, int) and not isinstance(since_ms, bool)
        return Lasting(kept.phase, since_ms if known else None, by if isinstance(by, str) else "")
