"""The rules between the settings of safety.toml: what no single key can say.

Source: the parameter table and the bounds A to D of SPECIFICATION.md, section 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.safety import FRESH_S, slow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.safety import LimitSettings, TrustedKeySettings, WatchdogSettings, ZeroPath
    from gateway.config.toml import Document

_NEEDS = {
    "envelope": ("dispatcher", "heartbeat"),
    "local": ("dispatcher", "heartbeat"),
    "dual": ("dispatcher", "approver", "heartbeat"),
}


def check_times(
    document: Document,
    watchdog: WatchdogSettings,
    limits: LimitSettings | None,
    response_timeouts_s: Mapping[str, float],
    paths: Mapping[str, ZeroPath],
) -> None:
    """The rules between the times; each fault names the bound that would break."""

    def at_most(key: str, found_s: float, limit_s: float, why: str) -> None:
        if found_s > limit_s:
            text = f"= {found_s:g}: must be at most {limit_s:g} seconds, {why}"
            document.fault("watchdog", key, text)

    third_s, silent_s = watchdog.lease_s / 3, watchdog.rtac_deadman_s / 3
    why = "lease_s / 3: bound A (lease + tick + what zero takes) must survive two lost answers"
    at_most("challenge_s", watchdog.challenge_s, third_s, why)
    why = "rtac_deadman_s / 3: bound B (dead-man + scan + r) must survive two lost heartbeats"
    at_most("heartbeat_s", watchdog.heartbeat_s, silent_s, why)
    why = "reversion_s / 3: bound D (reversion timer) must survive two lost refreshes"
    at_most("reversion_refresh_s", watchdog.reversion_refresh_s, watchdog.reversion_s / 3, why)
    for asset, response_s in sorted(response_timeouts_s.items()):
        if not 1 <= response_s <= 10:  # noqa: PLR2004 - the table's range of r
            text = f"asset {asset!r} has response_timeout_s = {response_s:g} in site.toml: "
            document.fault("watchdog", "", text + "with control it must be 1..10 seconds (bound A)")
        ramp_s = 0.0 if limits is None else limits.ramp_to_zero_s
        least_s = 2 * response_s + ramp_s
        if watchdog.idle_verify_s < least_s:
            text = f"= {watchdog.idle_verify_s:g}: must be at least {least_s:g} seconds, twice the "
            text += f"response timeout of asset {asset!r} ({response_s:g} s) plus the ramp to zero "
            text += f"({ramp_s:g} s): bound C (lease + tick + V + dead-man) would latch a battery "
            document.fault("watchdog", "idle_verify_s", text + "that obeys")

    for asset, path in sorted(paths.items()):
        if watchdog.idle_verify_s < path.least_verify_s:
            document.fault("watchdog", "idle_verify_s", _short(watchdog.idle_verify_s, asset, path))
        if path.answer_s is not None:
            _check_pace(document, watchdog.rtac_deadman_s, asset, path, path.answer_s)


def _check_pace(
    document: Document, deadman_s: float, asset: str, path: ZeroPath, answer_s: float
) -> None:
    """Heartbeats and critical reads must keep pace at the answers that were timed on site."""
    if not slow(answer_s, path.reads, deadman_s, sbo=path.sbo):
        return  # the rule of the daemon; what follows says which of its parts
    found = f"commissioning timed answers of up to {answer_s:.3g} s at asset {asset!r}"
    reads, turns = path.reads, 5 if path.sbo else 3
    third = f"a heartbeat and the {reads} of a critical read must fit into a third of it"
    half = f"{turns} of them, a read, a reduction and a heartbeat, must fit into a half of it"
    least_s, why = max((2 * turns * answer_s, half), (3 * (1 + reads) * answer_s, third))
    if deadman_s < least_s:
        text = f"= {deadman_s:g}: must be at least {least_s:.3g} seconds: {found}, and {why}"
        document.fault("watchdog", "rtac_deadman_s", text + " (bound B)")
    if answer_s > FRESH_S / (5 + reads):
        text = f"{found}: must be at most {FRESH_S / (5 + reads):.3g} s, for {5 + reads} of them "
        document.fault(
            "watchdog", "", text + f"must fit into {FRESH_S:g} s: what is read grows old"
        )


def _short(found_s: float, asset: str, path: ZeroPath) -> str:
    """V is too short for the map of ``asset``, with all that its least value is made of."""
    return (
        f"= {found_s:g}: must be at least {path.least_verify_s:g} seconds for asset {asset!r}, "
        f"what may be under way ({path.underway_s:g} s), zero twice (each {path.zero_s:g} s: "
        f"{path.text}), and {1 + path.reads} response timeouts ({path.response_s:g} s) for its "
        "echo: bound C would latch a battery that obeys"
    )


def check_keys(document: Document, keys: tuple[TrustedKeySettings, ...], approval: str) -> None:
    """Every name and every key once, and somebody in each role that ``approval`` needs."""
    lines: dict[str, int] = {}
    files: dict[str, str] = {}
    for at, key in enumerate(keys):
        table = f"trusted_key[{at}]"
        if key.kid and key.kid in lines:
            text = f"= {key.kid!r}: already used in line {lines[key.kid]}"
            document.fault(table, "kid", text)
        lines.setdefault(key.kid, document.where(table, "kid").line)
        other = files.setdefault(key.public_key_file, key.kid)
        if key.public_key_file and other != key.kid:
            # Two names for one key would let one person be both dispatcher and approver.
            text = f"= {key.public_key_file!r}: is the key of {other!r} already"
            document.fault(table, "public_key_file", text)
    for role in _NEEDS.get(approval, ()):
        if not any(role in key.roles and not key.revoked for key in keys):
            text = f"no [[trusted_key]] has role {role!r}: approval = {approval!r} needs one"
            document.fault("", "approval", text)
    if approval == "dual" and not _two_signers(keys):
        text = "= 'dual': the dispatcher and the approver must be different keys"
        document.fault("", "approval", text)


def _two_signers(keys: tuple[TrustedKeySettings, ...]) -> bool:
    able = [key for key in keys if not key.revoked]
    dispatchers = {key.kid for key in able if "dispatcher" in key.roles}
    approvers = {key.kid for key in able if "approver" in key.roles}
    return not dispatchers or not approvers or len(dispatchers | approvers) > 1
