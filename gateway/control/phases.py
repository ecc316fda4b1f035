"""Where the watchdog of an asset stands: words for all of control, and for who judges a command.

They are below the watchdog, which who judges a command does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

NO_STOP = "control is off and nothing is in force: use the hard-wired stop"


class Phase(Enum):
    """Where the watchdog stands, and what is true there."""

    MONITOR = auto()  # control is off, no zero is owed; no output is written, not even idle
    STARTUP = auto()  # control is on, or zero is owed; no session yet: what is in force?
    IDLING = auto()  # zero was demanded and is not verified: assume that power flows
    IDLE = auto()  # a zero of ours was accepted and the echo reads zero; nobody may dispatch
    ARMED = auto()  # as IDLE, and lease and interlocks hold: a dispatch may begin
    ACTIVE = auto()  # a dispatch is in force, and lease and interlocks hold
    BLIND = auto()  # the session is lost; only the RTAC's own timers can act
    LOCAL = auto()  # the site has the authority; we may write nothing but the heartbeat
    LATCHED = auto()  # zero could not be verified; the RTAC's dead-man is let trip
    ESTOP = auto()  # stop was ordered; only an operator on the box leads out


@dataclass(frozen=True, slots=True)
class Lasting:
    """LATCHED, ESTOP or a yield: since when, and who ordered it."""

    phase: Phase
    since_ms: int | None  # Unix ms; None: an older version kept it
    by: str = ""  # as in the audit log; "": nobody, or an older version kept it
