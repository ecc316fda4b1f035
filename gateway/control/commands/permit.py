"""Whether an admitted command may be done now: the second half of the checks, in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.control.commands.approve import Approval, ApprovalAnswer, approval
from gateway.control.commands.command import Command, Verb
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.phases import NO_STOP, Phase
from gateway.control.rules.interlocks import Facts, blocks
from gateway.points.pointmap import control_refusals

if TYPE_CHECKING:
    from gateway.control.commands.verify import Admitted
    from gateway.control.rules.limits import Ceiling, RateWindow, SiteLimits
    from gateway.points.pointmap import PointsMap

# The watchdog's phases in which a verb may begin. ESTOP may always be ordered, and while something
# is in force so may all that takes power away; what the watchdog then writes is its own affair: in
# LOCAL and BLIND nothing.
_WITHDRAW_IN = (
    Phase.STARTUP,
    Phase.IDLING,
    Phase.IDLE,
    Phase.ARMED,
    Phase.ACTIVE,
    Phase.LATCHED,
)
_DO_IN = (Phase.ARMED, Phase.ACTIVE)

_NEEDS = {
    Verb.MODE: "cmd_mode_enable",
    Verb.RESERVE: "cmd_reserve",
    Verb.ALARM_RESET: "cmd_alarm_reset",
}


def offered(
    points_map: PointsMap, site: SiteLimits, refusals: tuple[str, ...] | None = None
) -> frozenset[Verb]:
    """Verbs that a map can do and the site allows: none where control refuses the map.

    Args:
        points_map: the asset's.
        site: which modes and reserves it allows.
        refusals: why control refuses the map; None: M10 and M17, with no risk accepted.
    """
    if control_refusals(points_map) if refusals is None else refusals:
        return frozenset()
    lacking = {verb for verb, role in _NEEDS.items() if points_map.row(role) is None}
    return frozenset(Verb) - lacking - _unlisted(site)


def _unlisted(site: SiteLimits) -> set[Verb]:
    """Verbs that can move power by themselves, and of which the site lists nothing."""
    listed = {Verb.MODE: bool(site.modes), Verb.RESERVE: site.reserve_pct is not None}
    return {verb for verb, is_listed in listed.items() if not is_listed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What permission depends on, at one instant."""

    disabled: tuple[str, ...]  # why control is off; empty if it is on
    verbs: frozenset[Verb]  # that map and site can do
    policy: Approval
    threshold_w: float
    phase: Phase  # the watchdog's
    arm_refusal: str  # why the watchdog would not arm now; "" if it would
    facts: Facts
    site: SiteLimits
    ceiling: Ceiling
    rate: RateWindow
    in_force: bool = False  # a setpoint of ours may be, also while control is off


@dataclass(frozen=True, slots=True)
class Permitted:
    """It may be done; or, with ``waits``, it may once the operator approves it."""

    admitted: Admitted
    applied_w: float | None  # None where no power is asked for
    warnings: tuple[str, ...]
    waits: bool


def permit(
    admitted: Admitted, now_s: float, terms: Conditions, *, approved: bool
) -> Permitted | Rejected:
    """Check ``admitted`` from "control enabled" to its limits.

    Args:
        admitted: is what it claims to be.
        now_s: monotonic s.
        terms: as they are now.
        approved: an operator on the box approved it.
    """
    command = admitted.command
    found = _enabled(admitted, now_s, terms)
    waits = False
    takes_away = admitted.command.verb.withdraws and terms.in_force
    if found is None and not takes_away:
        say, text = approval(admitted, terms.policy, threshold_w=terms.threshold_w)
        found = Rejected(Reason.APPROVAL, text) if say is ApprovalAnswer.NO else None
        waits = say is ApprovalAnswer.WAIT and not approved
    found = found or _state(command, terms) or _interlocks(command, terms)
    if found is not None:
        return _named(found, command)
    if command.power_w is None:
        found = _listed(command, terms.site)
        return _named(found, command) if found else Permitted(admitted, None, (), waits)
    found = _limits(command, command.power_w, terms)
    if found is None and (text := terms.rate.refusal(now_s)):
        found = Rejected(Reason.RATE, text)
    if found is not None:
        return _named(found, command)
    applied_w = terms.ceiling.clamp(command.power_w)
    clamped = applied_w != command.power_w
    text = f"clamped to {applied_w:g} W: what is available now"
    return Permitted(admitted, applied_w, (text,) if clamped else (), waits)


def _named(rejected: Rejected, command: Command) -> Rejected:
    return replace(rejected, id=command.id, asset=command.asset)


def _enabled(admitted: Admitted, now_s: float, terms: Conditions) -> Rejected | None:
    if now_s > admitted.expires_at:
        return Rejected(Reason.EXPIRED, "expired while it waited")
    verb = admitted.command.verb
    if terms.disabled and not (verb.withdraws and terms.in_force):
        stop = f"{NO_STOP}: " if verb is Verb.ESTOP else ""
        return Rejected(Reason.CONTROL_DISABLED, stop + ", ".join(terms.disabled))
    if verb not in terms.verbs:
        text = f"{verb}: this asset takes {_list(terms.verbs)}"
        if verb in _unlisted(terms.site):
            text += f"; [limits] of safety.toml allows no {verb}"
        return Rejected(Reason.UNSUPPORTED, text)
    return None


def _list(verbs: frozenset[Verb]) -> str:
    return ", ".join(sorted(verbs)) or "no command"


def may_begin(verb: Verb, phase: Phase) -> bool:
    """Whether ``verb``, which does not take power away, may begin in ``phase`` at all."""
    return phase is Phase.IDLE if verb is Verb.ARM else phase in _DO_IN


def _state(command: Command, terms: Conditions) -> Rejected | None:
    verb, phase = command.verb, terms.phase
    if verb is Verb.ESTOP and phase is not Phase.MONITOR:
        return None
    if verb.withdraws and terms.in_force:  # where none may be written yet the zero waits
        return None
    if verb is Verb.ARM:
        if phase is not Phase.IDLE:
            return Rejected(Reason.STATE, f"arm in {phase.name}: must be IDLE")
        return Rejected(Reason.STATE, terms.arm_refusal) if terms.arm_refusal else None
    allowed = _WITHDRAW_IN if verb.withdraws else _DO_IN
    if phase in allowed:
        return None
    names = " or ".join(one.name for one in allowed)
    return Rejected(Reason.STATE, f"{verb} in {phase.name}: must be {names}")


def _interlocks(command: Command, terms: Conditions) -> Rejected | None:
    if command.verb.withdraws:
        return None
    facts = terms.facts
    window = facts.window.narrowed(command.min_soc_pct, command.max_soc_pct)
    found = blocks(replace(facts, window=window), float(command.power_w or 0))
    if not found:
        return None
    text = "; ".join(f"{one.interlock}: {one.text}" for one in found)
    return Rejected(Reason.INTERLOCK, text)


def _listed(command: Command, site: SiteLimits) -> Rejected | None:
    """Whether the site lists this mode, or allows this reserve."""
    if command.mode is not None and command.mode not in site.modes:
        text = f"mode {command.mode!r}: must be one of {', '.join(site.modes)}"
        return Rejected(Reason.LIMIT, text)
    if command.percent is not None and site.reserve_pct is not None:
        least, most = site.reserve_pct
        if not least <= command.percent <= most:
            text = f"reserve {command.percent} %: must be {least:g}..{most:g} %"
            return Rejected(Reason.LIMIT, text)
    return None


def _limits(command: Command, power_w: int, terms: Conditions) -> Rejected | None:
    most_w = terms.site.contract_w(power_w)
    if abs(power_w) > most_w:
        return Rejected(
            Reason.LIMIT, f"{power_w} W: must be at most {most_w:g} W in this direction"
        )
    duration_s = command.duration_s or 0
    if duration_s > terms.site.max_dispatch_s:
        text = f"durationS {duration_s}: must be 1..{terms.site.max_dispatch_s:g}"
        return Rejected(Reason.LIMIT, text)
    return None
