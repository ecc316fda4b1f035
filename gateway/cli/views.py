"""The daemon's answers as text for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import clock
from gateway.uplink.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BOUNDS = {
    "A": "cloud dead, the RTAC obeys",
    "B": "gateway, host, power or link dead",
    "C": "the RTAC answers but refuses zero",
    "D": "no RTAC logic, link dead",
}
_TABLES = {
    "limits": "limits",
    "siteLimits": "limits of all assets together",
    "watchdog": "watchdog",
    "risk": "risk",
}
_KEPT_BY = {"B": "heartbeat", "C": "heartbeat", "D": "reversion timer"}
_NAMES = {  # of settings: what they are called, unit
    "maxChargeW": ("largest charge", "W"),
    "maxDischargeW": ("largest discharge", "W"),
    "minSocPct": ("lowest state of charge", "%"),
    "maxSocPct": ("highest state of charge", "%"),
    "rampWPerS": ("ramp", "W/s"),
    "commandIntervalS": ("one power command per", "s"),
    "commandsPer5Min": ("power commands in 5 min", ""),
    "modes": ("modes that may be ordered", ""),
    "reserveMinPct": ("lowest reserve", "%"),
    "reserveMaxPct": ("highest reserve", "%"),
    "leaseS": ("lease L", "s"),
    "challengeS": ("challenge every", "s"),
    "heartbeatS": ("RTAC heartbeat every", "s"),
    "rtacDeadmanS": ("RTAC dead-man W", "s"),
    "idleVerifyS": ("zero verified within V", "s"),
    "reversionS": ("reversion timer", "s"),
    "reversionRefreshS": ("refreshed every", "s"),
    "maxDispatchS": ("longest dispatch", "s"),
    "preempted": ("when pre-empted", ""),
}
_PARAMS = {  # of a command, beside its power and duration: what they are called, unit
    "rampWPerS": ("ramp", "W/s"),
    "minSoc": ("lowest state of charge", "%"),
    "maxSoc": ("highest state of charge", "%"),
    "mode": ("mode", ""),
    "percent": ("reserve", "%"),
}


def status(answer: dict[str, Any]) -> str:
    """``bess-gateway status``: one line for each thing that can be wrong, the worst first."""
    health = "healthy" if answer["healthy"] else "DEGRADED"
    lines = [
        f"{answer['gateway']}: {health}, version {answer['version']}, up {span(answer['upS'])}"
    ]
    lines += [f"  ! {reason}" for reason in answer["reasons"]]
    broker = answer["broker"]
    word = "up" if broker["up"] else "down"
    lines.append(f"  broker   {word} for {span(broker['sinceS'])}{_because(broker['cause'])}")
    last = answer["lastAcknowledgedS"]
    acknowledged = "nothing yet" if last is None else f"{span(last)} ago"
    lines.append(f"  queue    {_count(answer['waiting'])} waiting; acknowledged {acknowledged}")
    runway = answer["diskRunwayS"]
    full = "" if runway is None else f", full in {span(runway)} at this rate"
    lines.append(
        f"  box      disk {answer['diskFreePct']} % free{full}; "
        f"certificate {answer['certificateDays']} days"
    )
    for name, asset in answer["assets"].items():
        session, control = asset["session"], asset["control"]
        word = "up" if session["up"] else "down"
        lines.append(
            f"  {name}   session {word} for {span(session['sinceS'])}{_because(session['cause'])}"
        )
        points_map = asset["map"]
        lines.append(f"    map     {points_map['ref']}, {points_map['verdict']}")
        lines += [f"    {line}" for line in control_lines(control)]
    return "\n".join(lines)


def control_lines(control: Mapping[str, Any]) -> list[str]:
    """Control of one asset; an older daemon says no more than state and reasons."""
    first = f"control {control['state']}{_because(plain(', '.join(control['reasons'])))}"
    if user := control.get("disabledBy"):
        first += f", disabled by {plain(user)}"
    if approval := control.get("approval"):
        first += f", approval {approval}"
    if control.get("enabled") and (lease_s := control.get("leaseS")) is not None:
        first += f", lease {lease_s:.0f} s left" if lease_s > 0 else ", no lease"
    lines = [first]
    if dispatch := control.get("dispatch"):
        left = f"{dispatch['leftS']:.0f} s left"
        lines.append(f"  dispatch {plain(dispatch['id'])}: {watts(dispatch['powerW'])}, {left}")
    if force := control.get("inForce"):
        lines.append(f"  in force {_force(force)}")
    if waiting := control.get("pending"):
        lines.append(f"  pending  {waiting}: see `bess-gateway pending`")
    if last := control.get("lastResult"):
        because = _because(_code(plain(last.get("reason") or "")))
        lines.append(f"  last     {plain(last['id'])}: {last['state']}{because}")
    if (days := control.get("deadmanTestDays")) is not None:
        lines.append(f"  dead-man test {days:.0f} days ago")
    lines += [f"  ! {plain(warning)}" for warning in control.get("warnings", ())]
    return lines


def _force(force: Mapping[str, Any]) -> str:
    """What may be in force, and why its zero is not over."""
    power = "unknown" if force["setpointW"] is None else watts(force["setpointW"])
    words = [power, *([f"at {plain(force['endpoint'])}"] if force["endpoint"] else [])]
    said = ("blocked", "declared", "unsettled")
    words += [f"{name}: {plain(force[name])}" for name in said if force[name]]
    if force["silent"]:
        words.append("no heartbeat is written")
    return "; ".join(words)


def pending(answer: Mapping[str, Any]) -> str:
    """``bess-gateway pending``: what waits for an operator's word."""
    if not answer["pending"]:
        return "nothing waits for approval"
    lines = [f"{'id':<28}{'asset':<14}{'verb':<11}{'power':>14}{'for':>10}{'left':>8}  issuer"]
    for one in answer["pending"]:
        power_w, duration_s = one.get("powerW"), one.get("durationS")
        power = "-" if power_w is None else watts(power_w)
        lasts = "-" if duration_s is None else f"{duration_s:.0f} s"
        lines.append(
            f"{plain(one['id']):<28}{plain(one['asset']):<14}{plain(one['verb']):<11}{power:>14}"
            f"{lasts:>10}{one['leftS']:>6.0f} s  {plain(one['issuer'])}, {_when(one['issuedAt'])}"
        )
        more = [
            f"{name} {_amount(one[key], unit)}"
            for key, (name, unit) in _PARAMS.items()
            if one.get(key) is not None
        ]
        if (expires := one.get("expiresAt")) is not None:
            more.append(f"expires {_when(expires)}")
        if len(signers := one.get("signers") or ()) > 1:
            more.append(f"signed by {', '.join(map(plain, signers))}")
        lines += [f"    {', '.join(more)}"] if more else []
    return "\n".join(lines)


def commissioning(asset: str, shown: Mapping[str, Any]) -> str:
    """``bess-gateway commission show``: what control requires of an asset, and what is there."""
    threshold_w = shown.get("approvalThresholdW")
    above = f", above {watts(threshold_w)}" if threshold_w else ""
    reasons = [_code(plain(one)) for one in shown["reasons"]] or ["nothing stands against it"]
    off = "off: " if shown["reasons"] else ""
    lines = [
        asset,
        f"  control       {off}{reasons[0]}",
        *(f"                {' ' * len(off)}{one}" for one in reasons[1:]),
        f"  approval      {_fact(shown['approval'])}{above}",
        f"  points map    {_fact(shown['mapDigest'])}",
        f"  acknowledged  {_acknowledged(shown)}",
        f"  sign test     {_passed(shown, 'signTest')}",
        f"  dead-man test {_passed(shown, 'deadmanTest')}",
        *_measured(shown.get("measured") or {}),
    ]
    if shown["safetyDigest"] and not shown.get("limits"):
        lines.append("  limits        not told by this daemon: read safety.toml before you agree")
    for key, title in _TABLES.items():
        lines += _settings(title, shown.get(key))
    lines += _keys(shown.get("keys") or ())
    if bounds := shown.get("bounds"):
        lines.append("  a setpoint ends, plus the ramp to zero, at the latest after")
        lines += [f"    {key} {_bound(key, bounds[key])}" for key in sorted(bounds)]
    if bounds := shown.get("boundsMeasured"):
        lines.append("  and at the longest answer that commissioning timed, after")
        lines += [f"    {key} {_bound(key, bounds[key])}" for key in sorted(bounds)]
    lines.append(f"  safety file   {_fact(shown['safetyDigest'])}")
    return "\n".join(lines)


def _keys(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who may sign what, two lines a key; the thumbprint is the key's, whatever it is called."""
    lines = ["  keys"] if found else []
    for one in found:
        since = one["notBefore"]
        times = "" if since is None else f"from {_when(since)} "
        word = "REVOKED" if one["revoked"] else f"{times}until {_when(one['notAfter'])}"
        lines.append(f"    {plain(one['kid'])}: {plain(', '.join(one['roles']))}, {word}")
        lines.append(f"      {plain(one['alg'])} {plain(one['thumbprint'])}")
    return lines


def _measured(found: Mapping[str, Any]) -> list[str]:
    """What commissioning measured, line by line; what it did not is said."""
    if not found:
        return []

    def amount(key: str, unit: str) -> str:
        value = found.get(key)
        return "not measured" if value is None else f"{value:g} {unit}"

    answer = amount("answerS", f"s at most, {found['mostAnswerS']:.3g} s allowed")
    zero = found.get("zeroNeedsBeat")
    drops = "drops the connection" if found.get("dropsForZero") else "drops nothing"
    return [
        f"  answers       {answer}",
        f"  connection    {amount('connectS', 's')}; a zero that waits {drops}",
        f"  dead-man      {amount('deadmanS', 's after the last heartbeat')}",
        f"  idle power    {amount('idleW', 'W')}",
        f"  zero needs a heartbeat: {'not known' if zero is None else _fact(zero)}",
    ]


def figures(found: Mapping[str, Any]) -> str:
    """What a commissioning test measured."""
    return "\n".join(f"  {plain(name):<20} {_fact(value)}" for name, value in found.items())


def watts(power_w: float) -> str:
    """A power for people, + discharging."""
    return f"{power_w:+,.0f} W"


def plain(text: object) -> str:
    """Text of others for a terminal: nothing in it can steer it."""
    return "".join(one if one.isprintable() else "?" for one in str(text))


def queue(answer: dict[str, Any]) -> str:
    """``bess-gateway queue``: a line a stream, then what is being shipped."""
    if not answer["streams"]:
        return "the queue has not reported yet"
    lines = [f"{'stream':<12}{'rows':>10}{'readings':>12}{'KiB':>10}  oldest"]
    for name, depth in answer["streams"].items():
        oldest = "-" if depth["oldestAgeS"] is None else f"{span(depth['oldestAgeS'])} ago"
        kib = depth["bytes"] / 1024
        lines.append(f"{name:<12}{depth['rows']:>10}{depth['readings']:>12}{kib:>10.1f}  {oldest}")
    lines.append(
        f"epoch {answer['epoch']}, {answer['gaps']} gaps announced, "
        f"{answer['quarantined']} quarantined, {answer['inFlight']} in flight"
    )
    if answer["backfilling"]:
        left = answer["backfillLeftS"]
        rate = f"backfill: {answer['backfillPerS']:.0f} readings/s"
        lines.append(rate if left is None else f"{rate}, {span(left)} to go")
    lines += [f"refused by the broker: {topic}" for topic in answer["blockedTopics"]]
    lines += [f"nobody subscribes to: {topic}" for topic in answer["unheardTopics"]]
    return "\n".join(lines)


def span(seconds: float) -> str:
    """A duration for people: 12 s, 3 min, 2.5 h, 4 d."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def _settings(title: str, values: Mapping[str, Any] | None) -> list[str]:
    lines = [f"  {title}"] if values else []
    for key, value in (values or {}).items():
        name, unit = _NAMES.get(key, (key, ""))
        lines += [] if value is None else [f"    {name:<24} {_amount(value, unit)}"]
    return lines


def _bound(key: str, seconds: float | None) -> str:
    what = BOUNDS.get(key, "")
    if seconds is None:
        return f"none (the map has no {_KEPT_BY.get(key, 'such means')}): {what}"
    return f"{seconds:g} s: {what}"


def _amount(value: object, unit: str) -> str:
    if isinstance(value, list):
        return plain(", ".join(map(str, value)) or "none")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:,} {unit}".rstrip() if number else f"{plain(value)} {unit}".rstrip()


def _acknowledged(shown: Mapping[str, Any]) -> str:
    found = shown["acknowledged"]
    if isinstance(found, str) and found.startswith("sha256:"):
        return "yes" if found == shown["safetyDigest"] else f"another file, {plain(found)}"
    return _fact(found)


def _passed(shown: Mapping[str, Any], test: str) -> str:
    """When a test passed, and whether that counts for the points map of now."""
    other = test in (shown.get("otherMap") or ())
    return _when(shown[test]) + (", of another points map: does not count" if other else "")


def _when(value: object) -> str:
    """Unix ms as a time; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return clock.rfc3339(value)
    return _fact(value)


def _fact(value: object) -> str:
    """Something on record, or that it is not; a group of facts as one line."""
    if value is None or value is False:
        return "no"
    if isinstance(value, dict):
        return ", ".join(f"{plain(key)} {plain(one)}" for key, one in value.items())
    return "yes" if value is True else plain(value)


def _because(cause: str) -> str:
    return f" ({cause})" if cause else ""


def _code(code: str) -> str:
    """A code with its sentence."""
    said = sentence(code)
    return f"{code}: {said}" if said else code


def _count(readings: int | None) -> str:
    return "unknown" if readings is None else f"{readings:,} readings"
