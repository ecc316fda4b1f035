"""Puts into words what control did: receipts, results, events, audit rows, journal lines. Pure."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog.effects import (
    DeadmanFailed,
    PowerDrifts,
    PowerStays,
    StopUnknown,
)
from gateway.effects import AuditEntry, Effect, Log, Publish, Record, StoreBatch
from gateway.uplink import messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now
    from gateway.control.commands.reasons import Rejected
    from gateway.control.execution.job import TellCloud
    from gateway.control.phases import Lasting
    from gateway.control.watchdog.effects import KeepPhase, PhaseChanged
    from gateway.uplink.topics import Topics

Trouble = PowerStays | PowerDrifts | DeadmanFailed | StopUnknown
GATEWAY = "gateway"  # actor of the audit rows that nobody ordered
_ALARMING = (Phase.LATCHED, Phase.ESTOP)
_FALLEN = (Phase.IDLING, Phase.BLIND, Phase.LOCAL)


@dataclass(slots=True)
class Records:
    """Writes for one asset; ``topics`` and ``epoch`` follow the gateway's."""

    gateway: str
    asset: str
    topics: Topics
    epoch: str = ""

    def ack(
        self, id_: str | None, rejected: Rejected | None, now: Now, *, told: bool = False
    ) -> list[Effect]:
        """The receipt of a command, and a line in the journal where it was refused.

        ``told``: whoever sent it is told what the journal says.
        """
        state = "received" if rejected is None else "rejected"
        body = messages.ack(
            gateway=self.gateway,
            epoch=self.epoch,
            asset=self.asset,
            id_=id_,
            state=state,
            reason=None if rejected is None else rejected.reason,
            text=rejected.text if rejected is not None and told else "",
            unix_ms=now.unix_ms,
        )
        effects: list[Effect] = [Publish(0, self.topics.ack(self.asset), body, qos=1, retain=False)]
        if rejected is not None:
            text = f"command refused: {rejected.reason}: {rejected.text}"
            effects.append(self.log(logging.WARNING, text, "command-refused", COMMAND_ID=id_ or ""))
        return effects

    def result(
        self, id_: str, report: TellCloud, requested_w: int | None, actor: str, now: Now
    ) -> list[Effect]:
        """A state of a command: to the cloud, the audit log and the journal."""
        applied, measured = _watts(report.applied_w), _watts(report.measured_w)
        fields: dict[str, object] = {
            "reason": report.reason,
            "requestedPowerW": requested_w,
            "appliedPowerW": applied,
            "measuredPowerW": measured,
            "warnings": list(report.warnings),
        }
        batch = messages.result(
            gateway=self.gateway,
            asset=self.asset,
            id_=id_,
            state=report.state,
            platform_state=report.state.platform,
            at_ms=now.unix_ms,
            fields=fields,
        )
        cause = f": {report.reason}" if report.reason else ""
        power = "" if applied is None else f" ({applied} W)"
        bad = report.state.final and report.state.platform != "success"
        text = f"command {report.state}{cause}{power}"
        return [
            StoreBatch(batch),
            self.audited(
                actor,
                "result",
                {"id": id_, "state": report.state, **fields},
                sign=report.state.final,
            ),
            self.log(logging.WARNING if bad else logging.INFO, text, "command", COMMAND_ID=id_),
        ]

    def phase(self, change: PhaseChanged, now: Now) -> list[Effect]:
        """The watchdog went from one phase to another."""
        before, after = change.before, change.after
        detail = f": {change.detail}" if change.detail else ""
        text = f"{before.name} to {after.name}, {change.cause}{detail}"
        severity = "critical" if after in _ALARMING else "info"
        if after in _FALLEN and before in (Phase.ARMED, Phase.ACTIVE):
            severity = "warning"
        level = {"info": logging.INFO, "warning": logging.WARNING}.get(severity, logging.ERROR)
        facts = {"from": before.name, "to": after.name, "cause": change.cause.value}
        return [
            self.event("watchdog", severity, text, now, **facts),
            self.audited(GATEWAY, "watchdog", {**facts, "detail": change.detail}),
            self.log(level, text, "watchdog", CONTROL_STATE=after.name),
        ]

    def deviates(self, power_w: float, setpoint_w: float, now: Now) -> list[Effect]:
        """Measured power is off the setpoint for long; the dispatch goes on."""
        text = f"measured power is {power_w:.0f} W where {setpoint_w:.0f} W is ordered"
        return [
            self.event("alarm", "warning", text, now, code="power_deviates"),
            self.log(logging.WARNING, text, "watchdog"),
        ]

    def blocked(self, why: str, now: Now) -> list[Effect]:
        """What is in force was written otherwise than zero would be: nothing is written."""
        text = f"a setpoint may be in force, and no zero is written: {why}"
        return [
            self.event("alarm", "critical", text, now, code="zero_blocked"),
            self.audited(GATEWAY, "alarm", {"code": "zero_blocked", "text": text}),
            self.log(logging.ERROR, text, "watchdog"),
        ]

    def trouble(self, found: Trouble, now: Now) -> list[Effect]:
        """Something that a person must see to."""
        code, severity, text = _described(found)
        level = logging.WARNING if severity == "warning" else logging.ERROR
        return [
            self.event("alarm", severity, text, now, code=code),
            self.audited(GATEWAY, "alarm", {"code": code, "text": text}),
            self.log(level, text, "watchdog"),
        ]

    def act(self, user: str, act: str, text: str, now: Now, **facts: object) -> list[Effect]:
        """An operator on the box did something."""
        return [
            self.event("operator", "info", f"{act} by {user}: {text}", now, user=user, act=act),
            self.audited(f"operator:{user}", "operator", {"act": act, "text": text, **facts}),
            self.log(logging.WARNING, f"{act} by {user}: {text}", "operator"),
        ]

    def event(self, kind: str, severity: str, text: str, now: Now, **fields: object) -> StoreBatch:
        """An event record of this asset."""
        batch = messages.event(
            gateway=self.gateway,
            asset=self.asset,
            type_=kind,
            severity=severity,
            text=text,
            at_ms=now.unix_ms,
            fields=fields,
        )
        return StoreBatch(batch)

    def audited(
        self,
        actor: str,
        event: str,
        body: Mapping[str, object],
        *,
        token: int = 0,
        facts: Mapping[str, str | None] | None = None,
        sign: bool = False,
    ) -> Record:
        """A row of the audit log; with facts that must survive, in the same transaction."""
        entry = AuditEntry(actor, event, self.asset, json.dumps(body, sort_keys=True).encode())
        return Record(token, (entry,), facts or {}, sign=sign)

    def log(self, level: int, text: str, message_id: str = "", **fields: str) -> Log:
        """A line for the journal."""
        return Log(
            level,
            f"{self.asset}: {text}",
            message_id,
            {"GATEWAY": self.gateway, "ASSET": self.asset, **fields},
        )


def kept_phase(found: KeepPhase, lasting: Lasting | None) -> str | None:
    """What is kept of LATCHED, ESTOP and a yield across restarts; None: nothing."""
    if found.phase is None or lasting is None:
        return None
    body = {"phase": found.phase.name, "stopOwed": found.stop_owed}
    body |= {"stopUnknown": found.stop_unknown}
    return json.dumps(body | {"sinceMs": lasting.since_ms, "by": lasting.by})


def _watts(power_w: float | None) -> int | None:
    return None if power_w is None else round(power_w)


def _described(found: Trouble) -> tuple[str, str, str]:
    """Its code, its severity, and a sentence."""
    match found:
        case StopUnknown():
            text = "nobody knows whether the stop operated: look at the site"
            return "stop_unknown", "critical", text
        case PowerDrifts(power_w):
            text = f"in IDLE measured power is {power_w:.0f} W: nobody may arm"
            return "power_in_idle", "warning", text
        case DeadmanFailed(silent_s, echo_w, power_w):
            what = "measured power is" if echo_w is None else "the echo reads"
            text = (
                f"no heartbeat was written for {silent_s:.0f} s, and {what} "
                f"{power_w if echo_w is None else echo_w:.0f} W: the RTAC's dead-man did not act"
            )
            return "deadman_failed", "critical", text
        case PowerStays(power_w, withheld):
            code = "power_unknown" if power_w is None else "power_stays"
            power = "cannot be read" if power_w is None else f"is {power_w:.0f} W"
            text = f"zero is in the echo, and measured power {power}: nobody may arm"
            if withheld:
                text += "; no heartbeat is written, so that the RTAC's dead-man acts"
            return code, "critical", text
