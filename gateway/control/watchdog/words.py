"""Causes, kinds of writes, and what the watchdog is held to. Words only.

Times named ``_at`` or ``_at_s`` are monotonic seconds (CLOCK_BOOTTIME). No wall-clock time is
among them: a jump of it cannot move a lease or a duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Cause(StrEnum):
    """Why a phase changed, a dispatch ended or an order was refused."""

    STARTED = "started"
    SESSION = "session"  # lost too long, or back with something else in force
    LEASE = "lease"
    DURATION = "duration"
    INTERLOCK = "interlock"
    LIMIT = "limit"
    REFUSED = "refused"  # the outstation refused a power frame
    UNKNOWN_OUTCOME = "unknown_outcome"
    FAILED = "failed"  # the executor could not verify the dispatch
    RESTART = "restart"  # IIN1.7
    LOCAL = "local"
    REMOTE = "remote"  # the authority came back
    RESUMED = "resumed"  # the field took up a setpoint of ours again
    FIELD_ENDED = "field_ended"  # dead-man, reversion timer or the site set it to zero
    PREEMPTED = "preempted"  # somebody else's setpoint is in force
    UNBORN = "unborn"  # a dispatch ended before its first frame: it counts as in force
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    PARAMS = "params"
    STATE = "state"
    ORDERED = "ordered"  # by a command or an operator
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    STOPPING = "stopping"  # SIGTERM
    RELOAD = "reload"  # it changed the battery's settings, or took the battery out
    DISABLED = "disabled"


class WriteKind(Enum):
    """What an output frame is for."""

    IDLE = auto()
    SETPOINT = auto()
    HEARTBEAT = auto()
    REVERSION = auto()
    STOP = auto()


class WriteResult(Enum):
    """What became of it, after the retries that section 6 allows to its kind."""

    ACCEPTED = auto()
    REFUSED = auto()  # any status but those of the next two
    NOT_OURS = auto()  # zero, with status 9, 15 or 17: another master has the outputs
    LOCAL = auto()  # status 7 or 13
    UNKNOWN = auto()  # operate without an answer, and the feedback does not show it
    FAILED = auto()  # never left this box


class HeartbeatForm(StrEnum):
    """How the RTAC's dead-man is fed."""

    NONE = "none"
    COUNTER = "counter"
    ECHO = "echo"  # the RTAC's own der_heartbeat, written back


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the watchdog of one asset is held to: safety.toml, and what its map offers."""

    lease_s: float = 30.0
    challenge_s: float = 5.0
    response_s: float = 3.0  # r: the session's response timeout
    heartbeat_s: float = 2.0
    deadman_s: float = 15.0  # W, of the RTAC's logic
    idle_verify_s: float = 30.0  # V
    refresh_s: float = 20.0
    max_dispatch_s: float = 14_400.0
    heartbeat: HeartbeatForm = HeartbeatForm.COUNTER
    beats: tuple[int, int] = (1, 30_000)  # first and last value of our own counter
    reversion: bool = False  # the map has a reversion timer
    tolerance_w: float = 0.0  # of the setpoint's echo
    idle_w: float = 0.0  # measured power of a battery that is idle, as commissioning found it
    zero_band_w: float = math.inf  # around it
    zero_needs_beat: bool | None = None  # whether zero is refused without one; None: not known
    settle_s: float = 30.0  # from an accepted zero until power is gone: ramp + 30
    reassert_idle: bool = False  # when pre-empted; else yield to the other master
    # Below: section 7's own figures, arguments only so that a small machine can be explored whole.
    arm_after_s: float = 30.0  # of unbroken lease
    blind_after_s: float = 10.0
    idle_repeat_s: float = 2.0
    idle_pause_s: float = 0.5  # behind a zero that was answered: reads have their turn
    stop_repeat_s: float = 30.0  # of a stop that did not operate for V
    astray_s: float = 3.0
    silence_s: float = 5.0  # beyond W: how long a dead-man may take
    drift_s: float = 30.0  # for which power may be off zero in IDLE
    apart_s: float = 5.0  # between two reads that show that power is gone
    keep_again_s: float = 10.0  # until what could not be made durable is tried again
