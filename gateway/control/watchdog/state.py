"""All that the watchdog of one asset knows, and what follows from it at an instant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.phases import Phase
from gateway.control.watchdog.words import Cause, HeartbeatForm, Terms

if TYPE_CHECKING:
    from gateway.control.watchdog.lease import Lease

POWERED = frozenset({Phase.ARMED, Phase.ACTIVE})  # where a power frame may be written
OWING = frozenset({Phase.IDLING, Phase.LATCHED, Phase.ESTOP})  # where zero is written
LASTING = frozenset({Phase.LATCHED, Phase.ESTOP})  # survive everything but an operator's reset
BEATING = frozenset({Phase.IDLING, Phase.IDLE, Phase.ARMED, Phase.ACTIVE, Phase.LOCAL})
RESTING = frozenset({Phase.IDLE, *POWERED})  # where the echo ought to show what we wrote
LOSABLE = BEATING  # the phases that a lost session, or a local switch, leads out of


@dataclass(frozen=True, slots=True)
class Demand:
    """Zero is wanted and not verified."""

    first: int  # token of the first zero that counts: older ones were ordered before the demand
    overdue_at: float  # V is over: no more heartbeats; inf while LOCAL halts this clock
    latch_at: float  # V of uninterrupted trying is over: LATCHED
    write_at: float  # next zero
    left_s: float = 0.0  # of V, while LOCAL halts the clocks
    latch_left_s: float = 0.0  # until LATCHED, while LOCAL halts the clocks
    busy_until: float = -math.inf  # a zero is under way; its answer must come by then
    newest: int = 0  # token of the last one that was ordered
    retried: bool = False  # the one retry at once was used
    accepted_at: float | None = None  # the outstation accepted a zero that counts


@dataclass(frozen=True, slots=True)
class Held:
    """What the disk says at a start of a setpoint of ours."""

    in_force: bool = False
    last_w: float | None = None  # the last one that was signed
    span_w: tuple[float, float] | None = None  # least and most since nothing was in force
    blocked: bool = False  # by other rows, or at another endpoint
    grouped: bool = False  # this demand's zero, beat, zero was used
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Settling:
    """Zero is in the echo; is power gone as well?"""

    late_at: float  # monotonic s: ramp + 30 s after the zero was accepted
    read_at: float  # when a read is asked for, beside the polls
    good_at: float | None = None  # the first of two reads that show it
    told: bool = False  # that power stays


@dataclass(frozen=True, slots=True)
class ActiveDispatch:
    """A power command in force."""

    command_id: str
    setpoint_w: float  # the newest one written
    ends_at: float
    refresh_at: float  # of the reversion timer
    settled: bool = False  # the echo has shown ``setpoint_w``
    answered_at: float = math.inf  # its write was accepted: only reads asked since say anything


@dataclass(frozen=True, slots=True)
class WatchdogState:
    """Frozen; ``machine.handle`` makes the next one."""

    terms: Terms
    phase: Phase
    lease: Lease
    challenge_at: float
    enabled: bool = True
    stopping: bool = False
    exit_told: bool = False
    session_up: bool = False
    down_since: float | None = None
    local: bool = False
    elsewhere: bool = False  # only since another master has the authority
    yielded: bool = False  # LOCAL because another master took over
    interlocks: tuple[str, ...] = ("interlocks not yet known",)
    charge_w: float = 0.0  # limits now
    discharge_w: float = 0.0
    echo_w: float | None = None
    echo_at: float = -math.inf
    astray_since: float | None = None  # the echo shows somebody else's value
    demand: Demand | None = None
    dispatch: ActiveDispatch | None = None
    last_w: float | None = None  # our last setpoint that was not zero
    span_w: tuple[float, float] | None = (0.0, 0.0)  # see ``Held``; None: not known
    in_force: bool = False  # durable: a setpoint of ours may be in force
    forgetting: bool = False  # that it is not is being made durable
    forget_at: float = math.inf  # when that is tried again
    blocked: bool = False  # it was written to another endpoint, or by other rows: no zero is
    declared: bool = False  # only an operator says that nothing is in force
    declared_elsewhere: bool = False  # at another endpoint: what power is here says nothing of it
    declared_by_others: bool = False  # by other rows: blocked again if it was not so
    silent: bool = True  # no zero was accepted since the start, or since the site was local
    silent_since: float = -math.inf
    fresh: bool = True  # since the start no zero was accepted, and no operator said anything
    grouped: bool = False  # zero, beat, zero was ordered: once a demand
    worded: bool = False  # an operator's word began this demand
    ended: bool = False  # beats revived power: none until an operator's reset
    beaten_at: float = -math.inf  # the outstation took a heartbeat
    fed_at: float = -math.inf  # or may have: the write of one was answered, or was not in time
    feeds: int = 0  # token of the newest zero, beat, zero
    beats_since: float = -math.inf  # when they began again: silence had let the dead-man act
    deadman_failed: bool = False  # and this demand's silence did not let it; it was told
    settling: Settling | None = None
    power_w: float | None = None  # measured
    power_at: float = -math.inf
    drifts_since: float | None = None  # power is not at zero in IDLE
    stop_at: float | None = None  # the stop is owed, and due then
    stop_first_at: float | None = None  # when it was sent first
    stop_kept: bool = False  # the disk says that it is owed
    stop_unknown: bool = False  # nobody knows whether it operated
    token: int = 0  # of the newest write
    beat: int = 0
    beat_at: float = -math.inf
    der_beat: int | None = None
    held_until: float = -math.inf  # dead-man test
    spent: tuple[tuple[str, float], ...] = ()  # (command id, expiry) of dispatches begun
    wake_at: float = -math.inf  # monotonic second of the next ``Tick`` that is wanted

    def is_zero(self, power_w: float) -> bool:
        """Within the echo's tolerance of zero."""
        return abs(power_w) <= self.terms.tolerance_w

    def is_near(self, power_w: float, wanted_w: float) -> bool:
        """Within the echo's tolerance of ``wanted_w``."""
        return abs(power_w - wanted_w) <= self.terms.tolerance_w

    def may_be_ours(self, echo_w: float) -> bool:
        """Whether a setpoint of ours, or a step on the way to one, may read so."""
        if not (self.in_force or self.declared):
            return False
        if self.span_w is None:
            return True
        least_w, most_w = self.span_w
        return least_w - self.terms.tolerance_w <= echo_w <= most_w + self.terms.tolerance_w

    def reads_ours(self, echo_w: float) -> bool:
        """Whether it reads our last setpoint, or a step on the way to one that was signed."""
        if self.is_zero(echo_w):
            return False
        last_w, (least_w, most_w) = self.last_w, self.span_w or (0.0, 0.0)
        return (last_w is not None and self.is_near(echo_w, last_w)) or least_w <= echo_w <= most_w

    @property
    def meets_another(self) -> bool:
        """At a start the echo reads what is neither zero nor may be ours."""
        known_w = self.echo_w if self.fresh else None
        if known_w is None or not math.isfinite(known_w) or self.is_zero(known_w):
            return False
        return not self.may_be_ours(known_w)

    def clamped_w(self, power_w: float) -> float:
        """``power_w`` inside the limits of now."""
        return min(max(power_w, -self.charge_w), self.discharge_w)

    def unready(self, at: float) -> tuple[Cause, str] | None:
        """What forbids power at ``at`` (monotonic s), whatever the phase; None: nothing."""
        if self.stopping:
            return Cause.STOPPING, "the gateway is stopping"
        if not self.session_up:
            return Cause.SESSION, "no session"
        if not self.lease.live(at):
            return Cause.LEASE, "no live lease"
        if self.interlocks:
            return Cause.INTERLOCK, ", ".join(self.interlocks)
        return None

    def objection(self, at: float) -> tuple[Cause, str] | None:
        """Why no power frame may be written at ``at``; None: it may.

        Whoever carries out the frames of one dispatch asks this before each of them.
        """
        if self.phase not in POWERED:
            return Cause.STATE, f"{self.phase.name}, must be ARMED or ACTIVE"
        return self.unready(at)

    @property
    def stop_waits(self) -> bool:
        """A stop that is owed may not be written: no session, the site's authority, other rows."""
        return not self.session_up or self.local or self.blocked

    def owes_zero(self) -> bool:
        """A zero shall be written, as soon as its time has come."""
        return (
            self.demand is not None
            and self.phase in OWING
            and self.session_up
            and not self.local
            and not self.blocked
        )

    def may_beat(self, at: float) -> bool:
        """Whether a heartbeat that waited to be written may still be written at ``at``."""
        overdue = self.demand is not None and at >= self.demand.overdue_at
        return not math.isinf(self.beats_from()) and at >= self.held_until and not overdue

    def beats_from(self) -> float:
        """From when on the RTAC heartbeat may be written (monotonic s); inf: withheld."""
        if self.phase not in BEATING or not self.session_up or self.yielded or self.ended:
            return math.inf
        if self.blocked or self.terms.heartbeat is HeartbeatForm.NONE:
            return math.inf
        quiet_until = -math.inf
        if self.silent and self.phase is Phase.LOCAL:
            quiet_until = self.silent_since + self.terms.deadman_s + self.terms.silence_s
        elif self.silent:
            return math.inf
        return max(self.beat_at, self.held_until, quiet_until)
