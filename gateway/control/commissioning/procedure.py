"""Commissioning tests: 2 % of nameplate, with an operator looking on. Pure.

SIGN goes through WAITING .. RETURNING twice, discharging first; DEADMAN once, with SILENT.

| step | on | orders | next |
|---|---|---|---|
| BEGIN | LOCAL, BLIND, LATCHED, ESTOP, ARMED, ACTIVE | | OVER |
| BEGIN | the plan would prove nothing | | OVER |
| BEGIN | any other phase | Enable | WAITING |
| WAITING | IDLE, 30 s of unbroken lease, interlocks clear, all is read | (below) | (below) |
| so WAITING | the plan drops, and did not yet | Reconnect | DROPPED |
| so WAITING | fewer than 20 answers were timed | | ASKING |
| so WAITING | an answer took longer than is allowed | Idle, Disable | OVER |
| so WAITING | else | Arm | ARMING |
| DROPPED | the new connection can be used | | WAITING |
| ASKING | 20 answers were timed | | WAITING |
| ASKING | else, every 0.25 s | AskRead | |
| ARMING | ARMED | Dispatch | TAKING |
| TAKING | ACTIVE, and an echo read since shows the setpoint | | HOLDING |
| HOLDING | SIGN: the hold is over, power followed in its last half | Idle | RETURNING |
| HOLDING | DEADMAN: the hold is over | HoldHeartbeats | SILENT |
| SILENT | echo zero within W + 5 s of the last heartbeat | HoldHeartbeats, Idle | RETURNING |
| RETURNING | IDLE, and an echo read since shows zero; a direction is left | | WAITING |
| RETURNING | the same, nothing is left | Disable | OVER, passed |
| RETURNING | verified, and an answer took longer than is allowed | Idle, Disable | OVER |
| all between | LOCAL, BLIND, LATCHED, ESTOP, a phase out of place | Idle, Disable | OVER |
| all with a time limit | it is over | Idle, Disable | OVER |
| ARMING .. SILENT | an interlock, a lease lost or interrupted | Idle, Disable | OVER |
| TAKING .. SILENT | another setpoint is in force | Idle, Disable | OVER |
| HOLDING | power does not follow | Idle, Disable | OVER |
| SILENT | no zero within W + 5 s, heartbeats go on | Idle, Disable | OVER |
| any but OVER | ``abort`` | Idle, Disable (BEGIN: none) | OVER |

Every way to OVER ends with Finished. What a reader would get wrong: the power is judged by the
echo of 2 %, so two dead bands (2 % of nameplate, what a dispatch is allowed) would let a battery
pass that does nothing; see ``TrialPlan.allowed_w``. Interlocks and lease do not fail RETURNING: the
verdict is in by then and zero is all that is asked for. Figures of a test that failed are kept. The
connection is dropped, and the answers are timed, before any power: an RTAC that is too slow gets
none. DROPPED is left to itself in BLIND, too: a site that takes long for a connection is no fault.
The dead-man's zero is followed by one of ours without a heartbeat: is it accepted?
The file is long because it holds the machine with its words: they have no other reader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

from gateway.config.safety import slow
from gateway.control.commissioning.proofs import DEADMAN_MARGIN_S
from gateway.control.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMEPLATE_SHARE = 0.02  # Source: SPECIFICATION.md, section 7, "Tests on site"
HOLD_S = {"sign-test": 60.0, "deadman-test": 5.0}  # defaults; 60 s: same source
HOLD_MIN_S, HOLD_MAX_S = 2.0, 300.0
WAIT_S = 180.0  # for lease, IDLE and interlocks
ARM_S = 5.0
TAKE_S = 15.0  # beyond the ramp: three reads of the feedback
RETURN_S = 10.0  # beyond V
SAY_S = 5.0  # between two lines that say the same
FLIGHT_S = 1.0  # a heartbeat that was on its way when they were withheld
LEASE_SLACK_S = 0.5
FAULTS = ("sign", "scale", "power", "slow")  # what a test can find
ANSWERS = 20  # that are timed before power, at least: of controls and critical reads
ASK_S = 0.25  # between two reads that are asked for to time them
ASKING_S, DROPPED_S = 120.0, 120.0
UNFED_S = 10.0  # beyond the dead-man's trip: until zero was tried without a heartbeat
_DECADE = 0.2  # how far a ratio may be off a power of ten and still be called one

_HALTED = {
    Phase.LOCAL: "the site is in local: switch it to remote",
    Phase.BLIND: "the session is lost",
    Phase.LATCHED: "LATCHED: zero was not verified; see the battery, then `reset`",
    Phase.ESTOP: "ESTOP: only `reset` leads out of it",
}


class Kind(StrEnum):
    """Which test."""

    SIGN = "sign-test"
    DEADMAN = "deadman-test"


class Step(Enum):
    """How far it is, and what is true there."""

    BEGIN = auto()  # nothing was ordered
    WAITING = auto()  # control is on; nothing is armed
    DROPPED = auto()  # the connection was dropped; a new one cannot be used yet
    ASKING = auto()  # reads are asked for, to see how long they take
    ARMING = auto()  # arm was ordered
    TAKING = auto()  # the dispatch was ordered; the echo does not show it yet
    HOLDING = auto()  # the echo has shown it
    SILENT = auto()  # heartbeats are withheld; the echo does not read zero yet
    RETURNING = auto()  # the verdict is in; idle was ordered and is not verified
    OVER = auto()


_FITTING = {
    Step.WAITING: (Phase.MONITOR, Phase.STARTUP, Phase.IDLING, Phase.IDLE),
    Step.DROPPED: (Phase.IDLE, Phase.IDLING, Phase.BLIND),
    Step.ASKING: (Phase.IDLE,),
    Step.ARMING: (Phase.IDLE, Phase.ARMED),
    Step.TAKING: (Phase.ARMED, Phase.ACTIVE),
    Step.HOLDING: (Phase.ACTIVE,),
    Step.SILENT: (Phase.ACTIVE,),
    Step.RETURNING: (Phase.ARMED, Phase.ACTIVE, Phase.IDLING, Phase.IDLE),
}
_POWERED = (Step.ARMING, Step.TAKING, Step.HOLDING, Step.SILENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """What is to be tested."""

    kind: Kind
    nameplate_w: float  # > 0
    tolerance_w: float  # of the setpoint's echo, W >= 0
    deadman_s: float  # W
    idle_verify_s: float  # V
    hold_s: float  # SIGN: each direction; DEADMAN: before the heartbeats stop
    discharge: bool = True  # direction of DEADMAN, as the state of charge allows
    ramp_s: float = 0.0  # from zero to 2 % of nameplate
    dead_band_w: float = 0.0  # the battery's own, where it is wider than 1 % of nameplate
    arm_after_s: float = 30.0  # of unbroken lease
    drops: bool = False  # the connection once, to see how long a new one takes
    reads: int = 1  # q, requests of one critical read
    sbo: bool = False  # analog outputs are selected first

    @property
    def power_w(self) -> float:
        """2 % of nameplate, W > 0: never more is ordered."""
        return self.nameplate_w * NAMEPLATE_SHARE

    @property
    def directions(self) -> tuple[float, ...]:
        """Setpoints, W, + discharging, in order."""
        if self.kind is Kind.SIGN:
            return self.power_w, -self.power_w
        return (self.power_w if self.discharge else -self.power_w,)

    @property
    def allowed_w(self) -> float:
        """How far the measured power may be off the setpoint, W.

        20 % of the setpoint, or half of the battery's dead band (1 % of nameplate, so 25 % of the
        setpoint) where that is more; never over half of the setpoint, lest zero pass for it.
        """
        dead_band_w = max(0.01 * self.nameplate_w, self.dead_band_w)
        return min(max(0.2 * self.power_w, dead_band_w / 2), self.power_w / 2)

    @property
    def silence_s(self) -> float:
        """W + 5 s."""
        return self.deadman_s + DEADMAN_MARGIN_S

    @property
    def duration_s(self) -> float:
        """Of each dispatch: should all else fail, it ends soon after the test would have."""
        silence_s = self.silence_s if self.kind is Kind.DEADMAN else 0.0
        return TAKE_S + self.ramp_s + self.hold_s + silence_s + DEADMAN_MARGIN_S

    def is_early(self, zero_s: object) -> bool:
        """Whether zero came so soon after the last heartbeat that W cannot have brought it."""
        return not isinstance(zero_s, float) or zero_s < self.deadman_s / 2

    def refusal(self) -> str | None:
        """Why this plan would prove nothing; None: it would."""
        if not HOLD_MIN_S <= self.hold_s <= HOLD_MAX_S:
            return f"hold {self.hold_s:g} s: must be {HOLD_MIN_S:g}..{HOLD_MAX_S:g} seconds"
        if not self.tolerance_w < self.power_w / 2:
            return (
                f"the echo's tolerance is {self.tolerance_w:g} W: must be below "
                f"{self.power_w / 2:g} W, or 2 % of nameplate cannot be told from zero"
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """What is so at this instant; ``_at`` are monotonic seconds."""

    phase: Phase
    lease_s: float  # unbroken for so long; 0: none
    interlocks: tuple[str, ...]  # that do not hold, for people
    echo_w: float | None  # the setpoint's feedback, + discharging
    echo_at: float  # received then; -inf: never
    power_w: float | None  # measured, + discharging; None: not good or not fresh
    setpoint_w: float | None  # of the dispatch in force
    heartbeat_at: float | None  # the last heartbeat was written then
    beats: int  # heartbeats written so far
    cause: str = ""  # of the last change of phase but "verified", for people
    unsettled: str = ""  # why the last zero is not over; "": it is
    answers: int = 0  # controls and critical reads that were timed in this test
    answer_s: float = 0.0  # and the longest of them
    connect_s: float | None = None  # the connection that was dropped: back after so long
    zeroed: bool = False  # a zero of this demand was accepted
    grouped: bool = False  # and one before it refused, so a heartbeat went between


@dataclass(frozen=True, slots=True)
class Enable:
    """Let control be on for this test, although it was not tested yet."""


@dataclass(frozen=True, slots=True)
class Disable:
    """Take ``Enable`` back: control stays on only where all that it requires is there."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Drop the connection and make it again."""


@dataclass(frozen=True, slots=True)
class AskRead:
    """Order a critical read."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Order ``arm``."""


@dataclass(frozen=True, slots=True)
class OrderPower:
    """Order this power."""

    power_w: float  # + discharging
    duration_s: float


@dataclass(frozen=True, slots=True)
class HoldHeartbeats:
    """Withhold the RTAC heartbeat."""

    hold_s: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Order zero."""


@dataclass(frozen=True, slots=True)
class TellOperator:
    """A line for the operator."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last order. ``figures`` go into the audit chain; names as on the wire."""

    ok: bool
    text: str
    figures: Mapping[str, float | str] = field(default_factory=dict)


FieldOrder = Reconnect | AskRead | Arm | OrderPower | HoldHeartbeats | Idle
Order = Enable | Disable | FieldOrder | TellOperator | Finished
Outcome = tuple["Commissioning", tuple[Order, ...]]


@dataclass(frozen=True, slots=True)
class Commissioning:
    """One test under way; see the table above."""

    plan: TrialPlan
    step: Step = Step.BEGIN
    since: float = 0.0  # the step began then, monotonic s
    say_at: float = 0.0
    leg: int = 0  # index into ``plan.directions``
    ask_at: float = 0.0  # the next read is asked for then
    dropped: bool = False  # the connection was
    armed_at: float = 0.0  # arm was ordered then
    beats: int = 0
    beat_at: float = 0.0  # the last heartbeat before silence
    samples: tuple[int, float] = (0, 0.0)  # in the last half of a hold: how many, their sum in W
    figures: tuple[tuple[str, float | str], ...] = ()
    praise: str = ""  # what passed

    @property
    def wanted_w(self) -> float:
        """The setpoint of this leg, W, + discharging."""
        return self.plan.directions[self.leg]

    @property
    def wake_at(self) -> float:
        """Monotonic s by which ``handle`` must be called, besides at every news; inf when over."""
        times = [self.say_at, self.limit_at]
        if self.step is Step.OVER:
            times = [math.inf]
        elif self.step is Step.ASKING:
            times.append(self.ask_at)
        elif self.step is Step.HOLDING:
            times.append(self.since + self.plan.hold_s)
        elif self.step is Step.SILENT:
            times.append(self.zero_by)
        return min(times)

    @property
    def zero_by(self) -> float:
        """The echo must read zero by then, monotonic s."""
        return min(self.beat_at, self.since) + self.plan.silence_s

    @property
    def limit_at(self) -> float:
        """The step must be over by then, monotonic s; inf: it ends by itself."""
        limits_s = {
            Step.WAITING: WAIT_S,
            Step.DROPPED: DROPPED_S,
            Step.ASKING: ASKING_S,
            Step.ARMING: ARM_S,
            Step.TAKING: TAKE_S + self.plan.ramp_s,
            Step.RETURNING: RETURN_S + self.plan.idle_verify_s,
        }
        return self.since + limits_s.get(self.step, math.inf)

    def handle(self, view: TrialView, now_s: float) -> Outcome:
        """Return the next state and the orders, in order; ``now_s`` is monotonic."""
        if self.step is Step.OVER:
            return self, ()
        if (why := _trouble(self, view, now_s)) is not None:
            return _failed(self, why)
        after, orders = _STEPS[self.step](self, view, now_s)
        said = any(isinstance(order, TellOperator | Finished) for order in orders)
        if said or after.step is Step.OVER:
            return replace(after, say_at=now_s + SAY_S), orders
        if now_s >= after.say_at:
            line = TellOperator(_doing(after, view, now_s))
            return replace(after, say_at=now_s + SAY_S), (*orders, line)
        return after, orders

    def abort(self, why: str) -> Outcome:
        """End it at once: an operator's word, a refused order, a restart."""
        return (self, ()) if self.step is Step.OVER else _failed(self, why)

    def at(self, step: Step, now_s: float) -> Commissioning:
        """Enter ``step``."""
        return replace(self, step=step, since=now_s)

    def note(self, **figures: float | str) -> Commissioning:
        """Keep figures for the end."""
        return replace(self, figures=(*self.figures, *figures.items()))

    def sees(self, view: TrialView, power_w: float, *, since: float) -> bool:
        """Whether an echo received after ``since`` shows ``power_w``."""
        return (
            view.echo_w is not None
            and view.echo_at > since
            and abs(view.echo_w - power_w) <= self.plan.tolerance_w
        )


def _failed(test: Commissioning, why: str) -> Outcome:
    if test.step is Step.HOLDING and test.plan.kind is Kind.SIGN:
        test = test.note(**_measured(test))
    if (fault := why.split(":", maxsplit=1)[0]) in FAULTS:
        test = test.note(fault=fault)
    finished = Finished(ok=False, text=why, figures=dict(test.figures))
    undone = () if test.step is Step.BEGIN else (Idle(), Disable())
    return replace(test, step=Step.OVER), (*undone, finished)


def _trouble(test: Commissioning, view: TrialView, now_s: float) -> str | None:
    """What ends the test, whatever else is so."""
    because = f" ({view.cause})" if view.cause else ""
    blind = test.step is Step.DROPPED and view.phase is Phase.BLIND
    if view.phase in _HALTED and not blind:
        return _HALTED[view.phase] + because
    if test.step is Step.BEGIN:
        taken = view.phase in (Phase.ARMED, Phase.ACTIVE)
        return f"{view.phase.name}: disarm first" if taken else test.plan.refusal()
    if test.step in _POWERED and (why := _objection(test, view, now_s)) is not None:
        return why
    if view.phase not in _FITTING[test.step]:
        allowed = " or ".join(phase.name for phase in _FITTING[test.step])
        found = f"{view.phase.name}{because} while {test.step.name.lower()}: must be {allowed}"
        sign = test.step is Step.HOLDING and test.plan.kind is Kind.SIGN
        fault = _misfit(test, view.power_w) if sign else None
        return found if fault is None else f"{fault}; {found}"
    if now_s >= test.limit_at:
        return f"gave up after {now_s - test.since:.0f} s: {_doing(test, view, now_s)}"
    return None


def _objection(test: Commissioning, view: TrialView, now_s: float) -> str | None:
    """What forbids power of ours at this instant."""
    if view.interlocks:
        return f"interlock: {'; '.join(view.interlocks)}"
    if not view.lease_s > 0:
        return "the lease was lost"
    if view.lease_s + LEASE_SLACK_S < now_s - test.armed_at:
        return "the lease was interrupted"
    if view.setpoint_w is None or test.step is Step.ARMING:
        return None
    lo_w, hi_w = sorted((0.0 if test.step is Step.TAKING else test.wanted_w, test.wanted_w))
    if not lo_w - test.plan.tolerance_w <= view.setpoint_w <= hi_w + test.plan.tolerance_w:
        found = f"a setpoint of {view.setpoint_w:+g} W is in force"
        return f"{found}: must be {test.wanted_w:+g} W; a limit, or another command"
    return None


def _begin(test: Commissioning, _view: TrialView, now_s: float) -> Outcome:
    power_w = " then ".join(f"{wanted_w:+g} W" for wanted_w in test.plan.directions)
    line = f"{test.plan.kind}: {power_w}, {test.plan.hold_s:g} s; control is on for it alone"
    return test.at(Step.WAITING, now_s), (TellOperator(line), Enable())


def _lacking(test: Commissioning, view: TrialView) -> str:
    """What must come before arm; empty: nothing."""
    lacking = []
    if view.phase is not Phase.IDLE:
        lacking.append(f"IDLE (now {view.phase.name})")
    if not view.lease_s >= test.plan.arm_after_s:
        lacking.append(
            f"{test.plan.arm_after_s:g} s of unbroken lease (so far {view.lease_s:.0f} s)"
        )
    if view.phase is Phase.IDLE and view.unsettled:
        lacking.append(view.unsettled)
    if view.interlocks:
        lacking.append(f"interlocks ({'; '.join(view.interlocks)})")
    if view.echo_w is None:
        lacking.append("the setpoint's echo")
    if test.plan.kind is Kind.SIGN and view.power_w is None:
        lacking.append("a good and fresh measured power")
    if test.plan.kind is Kind.DEADMAN and view.heartbeat_at is None:
        lacking.append("a heartbeat written to the RTAC")
    return ", ".join(lacking)


def _waiting(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if _lacking(test, view):
        return test, ()
    if test.plan.drops and not test.dropped:
        line = "drops the connection, to see how long a new one takes"
        return replace(test.at(Step.DROPPED, now_s), dropped=True), (
            TellOperator(line),
            Reconnect(),
        )
    if view.answers < ANSWERS:
        line = f"times the answers to {ANSWERS} requests"
        return test.at(Step.ASKING, now_s), (TellOperator(line),)
    if why := _slow(test, view):
        return _failed(test, why)
    if test.plan.kind is Kind.SIGN and test.leg == 0 and view.power_w is not None:
        test = test.note(idleW=round(view.power_w, 1))
    return replace(test.at(Step.ARMING, now_s), armed_at=now_s), (TellOperator("arms"), Arm())


def _dropped(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if view.connect_s is None:
        return test, ()
    line = f"a new connection can be used after {view.connect_s:.2f} s"
    test = test.note(connectS=round(view.connect_s, 3))
    return test.at(Step.WAITING, now_s), (TellOperator(line),)


def _asking(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if view.answers >= ANSWERS:
        line = f"the slowest of {view.answers} answers took {view.answer_s:.3f} s"
        return test.at(Step.WAITING, now_s), (TellOperator(line),)
    if now_s < test.ask_at:
        return test, ()
    return replace(test, ask_at=now_s + ASK_S), (AskRead(),)


def _slow(test: Commissioning, view: TrialView) -> str:
    """What is wrong with how long this RTAC takes to answer; "": nothing."""
    why = slow(view.answer_s, test.plan.reads, test.plan.deadman_s, sbo=test.plan.sbo)
    return f"slow: {why}" if why else ""


def _arming(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if view.phase is not Phase.ARMED:
        return test, ()
    order = OrderPower(test.wanted_w, test.plan.duration_s)
    return test.at(Step.TAKING, now_s), (TellOperator(f"orders {test.wanted_w:+g} W"), order)


def _taking(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if view.phase is not Phase.ACTIVE or not test.sees(view, test.wanted_w, since=test.since):
        return test, ()
    line = f"the echo shows {view.echo_w:+g} W; holds it for {test.plan.hold_s:g} s"
    return replace(test.at(Step.HOLDING, now_s), samples=(0, 0.0)), (TellOperator(line),)


def _holding(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    held_s = now_s - test.since
    if test.plan.kind is Kind.DEADMAN:
        return _hush(test, view, now_s) if held_s >= test.plan.hold_s else (test, ())
    if held_s < test.plan.hold_s / 2:
        return test, ()
    test = _sampled(test, view.power_w)
    if (fault := _misfit(test, view.power_w)) is not None:
        return _failed(test, fault)
    return _followed(test, now_s) if held_s >= test.plan.hold_s else (test, ())


def _sampled(test: Commissioning, power_w: float | None) -> Commissioning:
    count, sum_w = test.samples
    return test if power_w is None else replace(test, samples=(count + 1, sum_w + power_w))


def _measured(test: Commissioning) -> dict[str, float | str]:
    name = "discharge" if test.wanted_w > 0 else "charge"
    figures: dict[str, float | str] = {f"{name}SetpointW": test.wanted_w}
    count, sum_w = test.samples
    if count and math.isfinite(sum_w):
        figures[f"{name}MeasuredW"] = round(sum_w / count, 1)
    return figures


def _misfit(test: Commissioning, power_w: float | None) -> str | None:
    """How the measured power differs from the setpoint, sign and scale by name; None: it fits."""
    wanted_w = test.wanted_w
    if power_w is None or not math.isfinite(power_w):
        return "power: no good and fresh measured power"
    if abs(power_w - wanted_w) <= test.plan.allowed_w:
        return None
    found = f"measured {power_w:+g} W where {wanted_w:+g} W was ordered"
    ratio = abs(power_w) / abs(wanted_w)
    tens = round(math.log10(ratio)) if ratio > 0 else 0
    by_tens = tens != 0 and abs(ratio / 10.0**tens - 1) <= _DECADE
    scale = f"the scale is off by {10.0**tens:g}" if by_tens else ""
    if power_w * wanted_w < 0:
        idle = abs(power_w) <= test.plan.allowed_w and not by_tens
        other = f", and {scale}" if scale else ", or the battery did not follow" if idle else ""
        return f"sign: {found}: power or setpoint is mapped with the wrong sign{other}"
    if by_tens:
        return f"scale: {found}: {scale}, a power of ten"
    return f"power: {found}: must be within {test.plan.allowed_w:g} W"


def _followed(test: Commissioning, now_s: float) -> Outcome:
    plan = test.plan
    figures = _measured(test)
    test = test.note(**figures)
    measured_w = test.samples[1] / test.samples[0]
    line = f"measured power followed: {measured_w:+.0f} W of {test.wanted_w:+g} W"
    if test.leg + 1 == len(plan.directions):
        test = test.note(allowedW=plan.allowed_w, holdS=plan.hold_s)
        test = replace(test, praise="measured power followed in both directions")
    return test.at(Step.RETURNING, now_s), (TellOperator(line), Idle())


def _hush(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if view.heartbeat_at is None:
        return _failed(test, "no heartbeat was ever written to the RTAC")
    silence_s = test.plan.silence_s
    line = f"withholds the heartbeat: the echo must read zero within {silence_s:g} s of the last"
    test = replace(test.at(Step.SILENT, now_s), beats=view.beats, beat_at=view.heartbeat_at)
    return test, (TellOperator(line), HoldHeartbeats(silence_s))


def _silent(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    if view.beats != test.beats:
        # One that was handed over may wait for a request that is under way, and for its own answer.
        if now_s - test.since > FLIGHT_S + 2 * view.answer_s or view.heartbeat_at is None:
            return _failed(test, "heartbeats were written while they were to be withheld")
        test = replace(test, beats=view.beats, beat_at=view.heartbeat_at)
    zero = test.sees(view, 0.0, since=max(test.since, test.beat_at))
    if zero and view.echo_at <= test.zero_by:
        return _tripped(test, view.echo_at - test.beat_at, now_s)
    if now_s < test.zero_by:
        return test, ()
    plan = test.plan
    test = test.note(setpointW=test.wanted_w, deadmanS=plan.deadman_s, allowedS=plan.silence_s)
    echo = "no echo was read" if view.echo_w is None else f"the echo reads {view.echo_w:+g} W"
    found = f"{echo} {now_s - test.beat_at:.1f} s after the last heartbeat"
    return _failed(
        test, f"{found}: must read zero within {plan.silence_s:g} s; see the RTAC's logic"
    )


def _tripped(test: Commissioning, zero_s: float, now_s: float) -> Outcome:
    plan = test.plan
    zero_s = round(zero_s, 3)
    line = f"the echo read zero {zero_s:.1f} s after the last heartbeat"
    if plan.is_early(zero_s):
        line += f"; that is early for W = {plan.deadman_s:g} s: compare the RTAC's own setting"
    test = test.note(
        zeroS=zero_s, setpointW=test.wanted_w, deadmanS=plan.deadman_s, allowedS=plan.silence_s
    )
    unfed = HoldHeartbeats(UNFED_S)  # zero is tried without one
    after = replace(test.at(Step.RETURNING, now_s), praise=line)
    return after, (TellOperator(line), unfed, Idle())


def _returning(test: Commissioning, view: TrialView, now_s: float) -> Outcome:
    test = _fed(test, view)
    if view.phase is not Phase.IDLE or not test.sees(view, 0.0, since=test.since):
        return test, ()
    if test.leg + 1 < len(test.plan.directions):
        return _waiting(replace(test.at(Step.WAITING, now_s), leg=test.leg + 1), view, now_s)
    test = test.note(answers=view.answers, answerS=round(view.answer_s, 3))
    if why := _slow(test, view):
        return _failed(test, why)
    finished = Finished(ok=True, text=test.praise, figures=dict(test.figures))
    return test.at(Step.OVER, now_s), (Disable(), finished)


def _fed(test: Commissioning, view: TrialView) -> Commissioning:
    """Note whether zero was accepted without a heartbeat, once the dead-man has tripped."""
    figures = dict(test.figures)
    known = "zeroNeedsBeat" in figures
    if test.plan.kind is not Kind.DEADMAN or known or not view.zeroed:
        return test
    early = test.plan.is_early(figures.get("zeroS", 0.0))
    if not view.grouped and (early or view.beats != test.beats):
        return test  # the last heartbeat may have counted still, or one was on its way
    return test.note(zeroNeedsBeat=view.grouped)


def _doing(test: Commissioning, view: TrialView, now_s: float) -> str:
    """What it waits for, for the operator."""
    echo = "unknown" if view.echo_w is None else f"{view.echo_w:+g} W"
    power = "unknown" if view.power_w is None else f"{view.power_w:+.0f} W"
    left_s = test.since + test.plan.hold_s - now_s
    return {
        Step.WAITING: f"waits for {_lacking(test, view)}",
        Step.DROPPED: f"waits for the new connection (now {view.phase.name})",
        Step.ASKING: f"{view.answers} answers, the slowest took {view.answer_s:.3f} s",
        Step.ARMING: "waits for ARMED",
        Step.TAKING: f"waits for the echo of {test.wanted_w:+g} W (now {echo})",
        Step.HOLDING: f"holds {test.wanted_w:+g} W, measured {power}: {left_s:.0f} s to go",
        Step.SILENT: f"no heartbeat for {now_s - test.beat_at:.0f} s, echo {echo}",
        Step.RETURNING: f"waits for zero to be verified (now {view.phase.name}, echo {echo})",
    }[test.step]


_STEPS = {
    Step.BEGIN: _begin,
    Step.WAITING: _waiting,
    Step.DROPPED: _dropped,
    Step.ASKING: _asking,
    Step.ARMING: _arming,
    Step.TAKING: _taking,
    Step.HOLDING: _holding,
    Step.SILENT: _silent,
    Step.RETURNING: _returning,
}
