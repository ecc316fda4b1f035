"""Puts the outputs of one asset in a row: one control at a time, what takes power away first. Pure.

A stop goes before everything that waits, then zero, then less power; heartbeat and all other power
take turns, so that neither starves, but a heartbeat that is overdue goes before power. A newer
output of the watchdog replaces one of its kind that still waits. Whether an output may go is judged
again at the very moment at which each control of it would leave, because it may have waited for
another control's answer.

What a reader would get wrong: of a zero every control is sent, whatever became of the one before,
unless the site has the authority: where charge and discharge have a point each, an outstation that
refuses the first must still be given the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway import effects
from gateway.control.execution.outcomes import IdleNext, after_idle
from gateway.ports import Outcome, OutcomeKind, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ports import Control

ANSWER_S = 30.0  # the pathway always answers; if it does not, the outcome is unknown
_LOST = Outcome(OutcomeKind.NO_ANSWER, (), "the session did not say what became of it")


class Rank(IntEnum):
    """Order of leaving."""

    STOP = 0
    IDLE = 1
    STOP_AGAIN = 2  # one that did not operate
    HEARTBEAT = 3
    POWER = 4  # all else: it needs a lease and clear interlocks when it leaves


_PURPOSE = {
    Rank.STOP: Purpose.ZERO,
    Rank.IDLE: Purpose.ZERO,
    Rank.STOP_AGAIN: Purpose.ZERO,
    Rank.HEARTBEAT: Purpose.BEAT,
    Rank.POWER: Purpose.POWER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Controls that belong together; but for zero, the first that does not succeed ends them."""

    rank: Rank
    owner: str  # who is told: a kind of the watchdog's writes, or the id of a command
    token: int  # the owner's
    controls: tuple[tuple[Control, bool], ...]  # one or more, each with: select before operate
    power_w: float | None = None  # setpoint that it makes, W; None: it is no setpoint
    newest: bool = False  # it replaces what waits of its owner
    beats: bool = False  # its first control feeds the dead-man
    reduces: bool = False  # less power, the same way: only zero and stop go before it
    fault: Outcome | None = None  # of a control of this zero that was not accepted


class Outputs:
    """One asset's way out. Mutable."""

    def __init__(self, asset: str, tokens: Iterator[int]) -> None:
        """Start empty.

        Args:
            asset: id of the asset.
            tokens: never repeats a number, whoever else takes from it.
        """
        self._asset = asset
        self._tokens = tokens
        self._waiting: list[Output] = []  # in order of arrival; a rest stands first
        self._out: Output | None = None  # its first control is on its way
        self._token = 0  # of the control that is on its way; 0: none is
        self._lost_at = math.inf
        self._beaten = False  # of heartbeat and power, which take turns, it was the last to go
        self._in_vain = False  # and it was not accepted
        self._gave = 0  # token of the heartbeat that was asked to give way
        self._first = False  # what is out goes before any read
        self._unread = False  # less power went before reads, and none has had its turn since

    @property
    def wake_at(self) -> float:
        """Monotonic s at which ``overdue`` has something to say."""
        return self._lost_at

    def put(self, output: Output) -> None:
        """Let ``output`` wait its turn; one that is ``newest`` replaces those of its owner."""
        if output.newest and output.rank is Rank.POWER:
            self.drop(output.owner)
        elif output.newest:  # a zero that has begun is sent whole
            self._waiting = [one for one in self._waiting if one.owner != output.owner]
        self._waiting.append(output)

    def drop(self, owner: str) -> None:
        """Forget what waits of ``owner``, and what of its present output is not sent yet."""
        self._waiting = [one for one in self._waiting if one.owner != owner]
        if self._out is not None and self._out.owner == owner:
            self._out = replace(self._out, controls=self._out.controls[:1])

    def next(self, *, beat_first: bool = False) -> Output | None:
        """The output whose turn it is; None: none waits, or one is on its way.

        Args:
            beat_first: the dead-man was not fed for so long that a heartbeat goes before power.
        """
        if self._out is not None or not self._waiting:
            return None
        return min(self._waiting, key=lambda one: self._turn(one, beat_first=beat_first))

    def _turn(self, one: Output, *, beat_first: bool) -> float:
        """The less the sooner; of equals the one that waited longest."""
        if one.rank is Rank.HEARTBEAT:
            if beat_first:  # one that is never accepted keeps no reduction waiting
                return Rank.STOP_AGAIN + (0.8 if self._in_vain else 0.3)
            return Rank.HEARTBEAT + 2 * self._beaten
        return Rank.STOP_AGAIN + 0.6 if one.reduces else float(one.rank)

    def goes_first(self, output: Output, *, beat_first: bool) -> bool:
        """Whether no read of the session goes before ``output``.

        Of less power the first: a limit that shrinks again and again would leave reads no turn.
        """
        if output.rank is Rank.HEARTBEAT:
            return beat_first
        return output.reduces and not self._unread

    def read(self) -> None:
        """A read of what control needs ended, well or not: less power may go before the next."""
        self._unread = False

    def gives_way(self, *, overdue: bool = False, withheld: bool = False) -> bool:
        """Whether a heartbeat that is out, and not overdue, keeps less power waiting; told once.

        It may still wait for a read: the less power behind it would wait for both. One that has
        become ``overdue`` meanwhile stays: reductions that follow each other would end the beats.
        Where heartbeats are ``withheld`` any comes back that has not begun.
        """
        out = self._out
        if out is None or out.rank is not Rank.HEARTBEAT or self._gave == self._token:
            return False
        stays = self._first or overdue or not any(one.reduces for one in self._waiting)
        if stays and not withheld:
            return False
        self._gave = self._token
        return True

    def waiting(self, owner: str) -> Output | None:
        """What waits of ``owner``; None: nothing, or only what is on its way."""
        return next((one for one in self._waiting if one.owner == owner), None)

    @property
    def powering(self) -> bool:
        """Whether a power output waits, or is on its way."""
        out = () if self._out is None else (self._out,)
        return any(one.rank is Rank.POWER for one in (*self._waiting, *out))

    def withhold(self, output: Output) -> None:
        """It may not leave: forget what of it has not left."""
        self._waiting = [one for one in self._waiting if one is not output]

    def send(self, output: Output, at: float, by: float, *, first: bool = False) -> effects.Operate:
        """Let the first control of ``output``, which is ``next``, go.

        Args:
            output: it may leave now.
            at: monotonic s.
            by: until when it may begin (monotonic s).
            first: no read of the session goes before it.
        """
        self.withhold(output)
        self._out = output
        if output.rank in (Rank.HEARTBEAT, Rank.POWER):
            self._beaten, self._in_vain = output.rank is Rank.HEARTBEAT, False
        self._token, self._lost_at = next(self._tokens), at + ANSWER_S
        self._first = first
        control, sbo = output.controls[0]
        purpose = _PURPOSE[output.rank]
        return effects.Operate(self._asset, self._token, control, sbo, by, purpose, first=first)

    def answered(self, token: int, outcome: Outcome) -> tuple[Output, Outcome] | None:
        """Take an answer; the output that is over with it, None while there is more of it.

        An answer that nobody waits for any more changes nothing.
        """
        if token == 0 or token != self._token or self._out is None:
            return None
        out, rest = self._out, self._out.controls[1:]
        self._out, self._token, self._lost_at = None, 0, math.inf
        good = outcome.kind is OutcomeKind.SUCCESS
        sent = outcome.kind is not OutcomeKind.FAILED
        self._in_vain = self._in_vain or (out.rank is Rank.HEARTBEAT and sent and not good)
        if out.rank is Rank.IDLE:
            good = after_idle(outcome) is not IdleNext.LOCAL
            if out.fault is None and after_idle(outcome) is not IdleNext.VERIFY:
                out = replace(out, fault=outcome)
        if good and rest:
            self._waiting.insert(0, replace(out, controls=rest, beats=False))
            return None
        self._unread = self._unread or (out.reduces and sent)
        return out, (outcome if not good or out.fault is None else out.fault)

    def overdue(self, at: float) -> tuple[Output, Outcome] | None:
        """The output whose answer will not come any more at ``at`` (monotonic s)."""
        if at < self._lost_at or self._out is None:
            return None
        out, self._out = self._out, None
        self._token, self._lost_at = 0, math.inf
        return out, _LOST
