"""Why control of an asset is off. Pure; doubt keeps it off.

What a reader would get wrong: the tests of commissioning count for one points map only, known by
its digest, and the acknowledgement for one safety.toml. A map without a heartbeat but with a
reversion timer needs no dead-man test: there is nothing to withhold, and the timer is that layer.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.safety import slow
from gateway.config.truststore import KeyRole
from gateway.control.commissioning.proofs import (
    Commissioned,
    Findings,
    Proof,
    commissioned,
    fact_of_acknowledgement,
    fact_of_deadman_test,
    fact_of_disabled,
    fact_of_enabled,
    fact_of_sign_test,
    measured,
)
from gateway.control.watchdog.words import HeartbeatForm
from gateway.points.encode import BEATS, beats
from gateway.points.pointmap import control_refusals
from gateway.points.raw import PointType
from gateway.points.runs import request_count

if TYPE_CHECKING:
    from gateway.checked import Safety
    from gateway.points.pointmap import PointsMap

__all__ = [
    "Commissioned",
    "Findings",
    "Proof",
    "Standing",
    "commissioned",
    "dead_man_testable",
    "fact_of_acknowledgement",
    "fact_of_deadman_test",
    "fact_of_disabled",
    "fact_of_enabled",
    "fact_of_sign_test",
    "has_reversion",
    "heartbeat_kind",
    "heartbeat_range",
    "is_selected",
    "key_warnings",
    "map_refusals",
    "measured",
    "read_requests",
    "reasons",
    "slowness",
    "warnings",
]

FIRST_MS = 1_767_225_600_000  # 2026-01-01: an earlier clock was never set
BACK_MS = 5_000  # how far behind the audit log's newest row the clock may be
DAY_MS = 86_400_000
DEADMAN_WARN_DAYS, DEADMAN_END_DAYS = 330, 400
# M17's last need is the only one that a site may take upon itself: see ``NO_DEADMAN``.
_NO_LAYER = "M17 control needs a point with the role cmd_heartbeat or cmd_reversion_s"
_ROLES = (("NO_DISPATCHER_KEY", KeyRole.DISPATCHER), ("NO_HEARTBEAT_KEY", KeyRole.HEARTBEAT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What control of one asset depends on, at one instant."""

    safety: Safety | None
    safety_faulty: bool  # safety.toml is there and has faults
    points_map: PointsMap
    matched: bool  # the asset's firmware chose the map, or the site pins it
    commissioned: Commissioned
    now_ms: int  # Unix ms
    latest_ms: int | None  # Unix ms of the audit log's newest row; None: it has none
    log_lost: bool  # the audit log cannot be written, or was set aside
    deaf: bool = False  # the broker refuses us commands or heartbeats


def reasons(standing: Standing) -> tuple[str, ...]:
    """Every reason why control is off, in a fixed order; empty where it may be on.

    Without a good safety.toml only that is said, and what an operator or a lost log adds: the rest
    is asked for once there is a file.
    """
    found = _of_config(standing)
    if standing.safety is not None and not standing.safety_faulty:
        found += _of_map(standing)
        found += _of_commissioning(standing, standing.safety)
    if standing.commissioned.disabled_by:
        found.append("DISABLED_BY_OPERATOR")
    if standing.log_lost:
        found.append("CONTROL_LOG_LOST")
    if standing.deaf:
        found.append("SUBSCRIPTION_REFUSED")
    return tuple(found)


def warnings(standing: Standing) -> tuple[str, ...]:
    """What will turn control off, if nobody acts."""
    found = list(key_warnings(standing.safety, standing.now_ms))
    test = standing.commissioned.deadman_test
    if dead_man_testable(standing.points_map) and _counts(test, standing):
        assert test is not None
        days = (standing.now_ms - test.unix_ms) // DAY_MS
        if DEADMAN_WARN_DAYS <= days < DEADMAN_END_DAYS:
            text = f"the dead-man test is {days} days old: control goes off at {DEADMAN_END_DAYS}"
            found.append(text)
    return tuple(found)


def key_warnings(safety: Safety | None, now_ms: int) -> tuple[str, ...]:
    """Keys of the safety file that do not count at ``now_ms`` (Unix ms), and why."""
    if safety is None:
        return ()
    keys = ((kid, safety.trust.find(kid)) for kid in safety.trust.kids())
    wrong = ((kid, key.invalid(now_ms)) for kid, key in keys if key is not None)
    return tuple(f"key {kid} {text}: what it signs is refused" for kid, text in wrong if text)


def map_refusals(points_map: PointsMap) -> tuple[str, ...]:
    """Why this map must not be used for control, each with its code (M10, M17).

    The missing dead-man is left out: that is ``NO_DEADMAN``, which a risk acceptance can lift.
    """
    return tuple(text for text in control_refusals(points_map) if text != _NO_LAYER)


def heartbeat_kind(points_map: PointsMap) -> HeartbeatForm:
    """How the RTAC's dead-man is fed.

    A map whose heartbeat command is echoed by the RTAC's own counter says that the RTAC compares
    the two: we write back what it counts. Any other heartbeat only has to change.
    """
    row = points_map.row("cmd_heartbeat")
    if row is None:
        return HeartbeatForm.NONE
    echo = points_map.by_name.get(row.feedback or "")
    return (
        HeartbeatForm.ECHO
        if echo is not None and echo.role == "der_heartbeat"
        else HeartbeatForm.COUNTER
    )


def heartbeat_range(points_map: PointsMap) -> tuple[int, int]:
    """First and last value of our own count."""
    row = points_map.row("cmd_heartbeat")
    return (1, BEATS) if row is None or row.is_flag else beats(row)


def has_reversion(points_map: PointsMap) -> bool:
    """Whether the map has a timer that ends a setpoint without us."""
    return points_map.row("cmd_reversion_s") is not None


def dead_man_testable(points_map: PointsMap) -> bool:
    """Whether the map has a heartbeat that a test can withhold."""
    return heartbeat_kind(points_map) is not HeartbeatForm.NONE


def read_requests(points_map: PointsMap) -> int:
    """Requests of one critical read, q >= 1."""
    return max(1, request_count(points_map.polled_points))


def slowness(points_map: PointsMap, answer_s: float | None, deadman_s: float) -> str:
    """Why this RTAC answers too slowly for control; "": it does not, as far as anybody knows."""
    if answer_s is None:
        return ""
    return slow(answer_s, read_requests(points_map), deadman_s, sbo=is_selected(points_map))


def is_selected(points_map: PointsMap) -> bool:
    """Whether analog outputs, setpoint and heartbeat, are selected before they are operated."""
    control = points_map.control
    return control is not None and control.op_setpoint == "sbo"


def is_beat_selected(points_map: PointsMap) -> bool:
    """Whether the heartbeat is selected before it is operated."""
    control, row = points_map.control, points_map.row("cmd_heartbeat")
    if control is None or row is None:
        return False
    return (control.op_mode if row.kind is PointType.BO else control.op_setpoint) == "sbo"


def _of_config(standing: Standing) -> list[str]:
    if standing.safety_faulty:
        return ["SAFETY_CONFIG_INVALID"]
    if standing.safety is None:
        return ["SAFETY_CONFIG_MISSING"]
    settings = standing.safety.settings
    found = ["APPROVAL_MONITOR"] if settings.approval == "monitor" else []
    needed = list(_ROLES)
    if settings.approval == "dual":
        needed.insert(1, ("NO_APPROVER_KEY", KeyRole.APPROVER))
    return found + [reason for reason, role in needed if not _valid(standing, role)]


def _valid(standing: Standing, role: KeyRole) -> bool:
    """Whether any key with ``role`` counts now."""
    assert standing.safety is not None
    trust = standing.safety.trust
    keys = (trust.find(kid) for kid in trust.kids())
    return any(key and role in key.roles and not key.invalid(standing.now_ms) for key in keys)


def _of_map(standing: Standing) -> list[str]:
    points_map = standing.points_map
    found = [] if standing.matched else ["MAP_UNMATCHED"]
    if map_refusals(points_map):
        found.append("MAP_REFUSES_CONTROL")
    layered = dead_man_testable(points_map) or has_reversion(points_map)
    if not layered and not _risk_accepted(standing):
        found.append("NO_DEADMAN")
    return found


def _risk_accepted(standing: Standing) -> bool:
    """A risk counts as accepted from the day that the acceptance bears."""
    assert standing.safety is not None
    risk = standing.safety.settings.risk
    if risk is None:
        return False
    days = (dt.date.fromisoformat(risk.date) - dt.date(1970, 1, 1)).days
    return days * DAY_MS <= standing.now_ms


def _of_commissioning(standing: Standing, safety: Safety) -> list[str]:
    done = standing.commissioned
    found = [] if _clock_sane(standing) else ["CLOCK_NOT_SANE"]
    if done.acknowledged != safety.digest:
        found.append("SAFETY_NOT_ACKNOWLEDGED")
    if not _counts(done.sign_test, standing):
        found.append("SIGN_TEST_MISSING")
    if dead_man_testable(standing.points_map):
        test = done.deadman_test
        deadman_s = safety.settings.watchdog.rtac_deadman_s
        if test is None or not _counts(test, standing) or not test.shows_deadman(deadman_s):
            found.append("DEADMAN_TEST_MISSING")
        elif standing.now_ms - test.unix_ms >= DEADMAN_END_DAYS * DAY_MS:
            found.append("DEADMAN_TEST_EXPIRED")
    answer_s = done.findings(standing.points_map.digest).answer_s
    if slowness(standing.points_map, answer_s, safety.settings.watchdog.rtac_deadman_s):
        found.append("RTAC_TOO_SLOW")
    return found


def _clock_sane(standing: Standing) -> bool:
    latest_ms = FIRST_MS if standing.latest_ms is None else standing.latest_ms
    return standing.now_ms >= max(FIRST_MS, latest_ms - BACK_MS)


def _counts(test: Proof | None, standing: Standing) -> bool:
    """A test of another map, or one of tomorrow, proves nothing."""
    if test is None or test.map_digest != standing.points_map.digest:
        return False
    return test.unix_ms <= standing.now_ms + BACK_MS
