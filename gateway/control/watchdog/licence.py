"""Whether a frame may leave now, and until when: questions that change nothing. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog.words import Cause, WriteKind

if TYPE_CHECKING:
    from gateway.control.watchdog.state import WatchdogState

BEAT_S = 2.0  # a heartbeat says that the core ticked so lately


def refusal(
    state: WatchdogState, kind: WriteKind, at: float, power_w: float | None = None
) -> tuple[Cause, str] | None:
    """Why a frame may not be written at ``at`` (monotonic s); None: it may.

    Args:
        state: of the watchdog.
        kind: what the frame is for; SETPOINT also stands for all else that needs a lease.
        at: monotonic s.
        power_w: the setpoint that it makes, W; None: it is no setpoint.
    """
    match kind:
        case WriteKind.STOP:
            due = state.phase is Phase.ESTOP and not state.stop_waits
            return None if due else (Cause.STATE, "not in ESTOP any more, or the site has control")
        case WriteKind.IDLE:
            return None if state.owes_zero() else (Cause.STATE, "no zero is owed")
        case WriteKind.HEARTBEAT:
            return None if state.may_beat(at) else (Cause.STATE, "the heartbeat is withheld")
    objection = state.objection(at)
    if objection is None and power_w is not None and state.clamped_w(power_w) != power_w:
        return Cause.LIMIT, f"{power_w:g} W is outside the limits now"
    return objection


def until(state: WatchdogState, kind: WriteKind, at: float) -> float:
    """Until when (monotonic s) a frame that may leave at ``at`` may be begun.

    It may have to wait in the session for a request that is under way; by then the reasons for
    which it was allowed may be gone.
    """
    match kind:
        case WriteKind.STOP | WriteKind.IDLE:
            return math.inf
        case WriteKind.HEARTBEAT:
            return at + BEAT_S
    ends_at = math.inf if state.dispatch is None else state.dispatch.ends_at
    return min(at + 2 * state.terms.response_s, state.lease.expires_at, ends_at)
