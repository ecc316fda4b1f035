"""How control of one asset is described: to the cloud, in ``status``, to who commissions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.safety import bounds, most_answer_s
from gateway.control.rules import readiness
from gateway.control.rules.zero_path import zero_path
from gateway.control.watchdog.orders import unsettled

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.config.safety import (
        LimitSettings,
        RiskAcceptance,
        SharedLimitSettings,
        WatchdogSettings,
        ZeroPath,
    )
    from gateway.config.truststore import TrustStore
    from gateway.control.asset_control import AssetControl
    from gateway.control.controller import Controller


def description(control: AssetControl) -> dict[str, object]:
    """For ``bess.birth/1``."""
    safety = control.safety
    return {
        "state": control.controller.phase.name,
        "enabled": not control.reasons,
        "reasons": list(control.reasons),
        "approval": None if safety is None else safety.settings.approval,
        "safetyDigest": None if safety is None else safety.digest,
        "verbs": sorted(control.intake.verbs),
    }


def summary(control: AssetControl, now: Now) -> dict[str, object]:
    """For ``status``."""
    controller = control.controller
    state, last = controller.state, controller.jobs.last
    held = state.dispatch
    left_s = max(0.0, state.lease.expires_at - now.mono_s)
    test = control.proving.done.deadman_test
    return {
        **description(control),
        "leaseS": round(left_s, 1),
        "dispatch": None
        if held is None
        else {
            "id": held.command_id,
            "powerW": round(held.setpoint_w),
            "leftS": round(held.ends_at - now.mono_s, 1),
        },
        "pending": control.intake.waiting,
        "disabledBy": control.proving.done.disabled_by,
        "warnings": list(readiness.warnings(control.standing(now))),
        "interlocks": list(state.interlocks),
        "inForce": _in_force(controller),
        "lastResult": None
        if last is None
        else {"id": controller.jobs.last_id, "state": last.state, "reason": last.reason},
        "deadmanTestDays": None
        if test is None
        else (now.unix_ms - test.unix_ms) // readiness.DAY_MS,
    }


def shown(control: AssetControl) -> dict[str, object]:
    """For ``commission show``."""
    done, settings = control.proving.done, control.controller.safety.settings
    seen, response_s = control.proving.found, control.controller.state.terms.response_s
    path = zero_path(
        control.points_map, response_s, answer_s=seen.answer_s, connect_s=seen.connect_s
    )
    return {
        "safetyDigest": None if control.safety is None else control.safety.digest,
        "mapDigest": control.points_map.digest,
        "reasons": list(control.reasons),
        "approval": settings.approval,
        "approvalThresholdW": settings.approval_threshold_w,
        "limits": _camel(settings.limits),
        "siteLimits": None if settings.limits.site is None else _camel(settings.limits.site),
        "watchdog": _camel(settings.watchdog),
        "risk": None if settings.risk is None else _camel(settings.risk),
        "keys": [] if control.safety is None else _keys(control.safety.trust),
        "acknowledged": done.acknowledged,
        "signTest": None if done.sign_test is None else done.sign_test.unix_ms,
        "deadmanTest": None if done.deadman_test is None else done.deadman_test.unix_ms,
        "otherMap": [
            name
            for name, test in (("signTest", done.sign_test), ("deadmanTest", done.deadman_test))
            if test is not None and test.map_digest != control.points_map.digest
        ],
        "bounds": _bounds(settings.watchdog, path),
        "boundsMeasured": None if path.timed is None else _bounds(settings.watchdog, path.timed),
        "measured": {
            "answerS": seen.answer_s,
            "mostAnswerS": most_answer_s(
                path.reads, settings.watchdog.rtac_deadman_s, sbo=path.sbo
            ),
            "connectS": seen.connect_s,
            "dropsForZero": control.proving.drops,
            "deadmanS": seen.zero_s,
            "zeroNeedsBeat": seen.zero_needs_beat,
            "idleW": seen.idle_w,
        },
    }


def _keys(trust: TrustStore) -> list[dict[str, object]]:
    """Who may sign what: the digest that is acknowledged is of this, too."""
    found = (trust.find(kid) for kid in trust.kids())
    return [
        {
            "kid": key.kid,
            "roles": sorted(key.roles),
            "alg": key.alg,
            "thumbprint": key.thumbprint,
            "notBefore": key.not_before_ms,
            "notAfter": key.not_after_ms,
            "revoked": key.revoked,
        }
        for key in found
        if key is not None
    ]


def _bounds(watchdog: WatchdogSettings, path: ZeroPath) -> dict[str, float | None]:
    found = bounds(watchdog, path)
    return {
        "A": found.cloud_dead_s,
        "B": found.gateway_dead_s,
        "C": found.refused_s,
        "D": found.reversion_s,
    }


def _camel(
    table: LimitSettings | SharedLimitSettings | WatchdogSettings | RiskAcceptance,
) -> dict[str, object]:
    """A table of safety.toml with the names that go over the socket: max_charge_w is maxChargeW."""
    return {
        first + "".join(word.capitalize() for word in rest): getattr(table, name)
        for name in table.__slots__
        if name != "site"  # a table of its own
        for first, *rest in [name.split("_")]
    }


def _in_force(controller: Controller) -> dict[str, object] | None:
    """What may be in force, and why its zero is not over; None: nothing."""
    state, owed = controller.state, controller.owed
    if not (state.in_force or state.declared or state.ended):
        return None
    return {
        "setpointW": None if owed is None or not owed.setpoint_w else round(owed.setpoint_w),
        "endpoint": None if owed is None else owed.endpoint,
        "number": None if owed is None else owed.number,
        "blocked": controller.blocked_by,
        "declared": "" if owed is None else owed.declared,
        "silent": state.silent or state.ended,
        "unsettled": "" if state.dispatch is not None else unsettled(state) or "",
    }
