"""Puts the outputs of one asset in a row: one control at a time, what takes power away first. Pure.

A stop goes before everything that waits, then zero, then the heartbeat, then power. A newer zero
or heartbeat replaces one that still waits. Whether power may go is asked again at the very moment
at which it would leave, because it may have waited for another control's answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway import effects
from gateway.field.ports import Outcome, OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.field.ports import Control

ANSWER_S = 30.0  # the pathway always answers; if it does not, the outcome is unknown
_LOST = Outcome(OutcomeKind.NO_ANSWER, (), "the session did not say what became of it")


class Rank(IntEnum):
    """Order of leaving."""

    STOP = 0
    IDLE = 1
    HEARTBEAT = 2
    POWER = 3  # all else: it needs a lease and clear interlocks when it leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Controls that belong together; the first that does not succeed ends them."""

    rank: Rank
    owner: str  # who is told: a kind of the watchdog's writes, or the id of a command
    token: int  # the owner's
    controls: tuple[tuple[Control, bool], ...]  # one or more, each with: select before operate


class Lane:
    """One asset's way out. Mutable."""

    def __init__(self, asset: str, tokens: Iterator[int]) -> None:
        """Start empty.

        Args:
            asset: id of the asset.
            tokens: never repeats a number, whoever else takes from it.
        """
        self._asset = asset
        self._tokens = tokens
        self._waiting: list[Output] = []
        self._out: Output | None = None  # its first control is on its way, or about to be
        self._token = 0  # of the control that is on its way; 0: none is
        self._lost_at = math.inf

    @property
    def wake_at(self) -> float:
        """Monotonic s at which ``overdue`` has something to say."""
        return self._lost_at

    def put(self, output: Output) -> None:
        """Let ``output`` wait its turn; zero and heartbeat replace one that waits."""
        if output.rank in (Rank.IDLE, Rank.HEARTBEAT):
            self._waiting = [one for one in self._waiting if one.rank is not output.rank]
        self._waiting.append(output)

    def drop(self, owner: str) -> None:
        """Forget what waits of ``owner``, and what of its present output is not sent yet."""
        self._waiting = [one for one in self._waiting if one.owner != owner]
        if self._out is not None and self._out.owner == owner:
            sent = self._token != 0
            self._out = replace(self._out, controls=self._out.controls[:1]) if sent else None

    def send(
        self, at: float, may: Callable[[Output], bool]
    ) -> tuple[effects.Operate | None, tuple[Output, ...]]:
        """Let the next control go, if none is on its way.

        Args:
            at: monotonic s.
            may: whether an output of rank POWER may leave now.

        Returns:
            The order, and outputs that may not leave and were dropped.
        """
        stopped: list[Output] = []
        while self._token == 0 and (output := self._next()) is not None:
            if output.rank is Rank.POWER and not may(output):
                stopped.append(output)  # asking may have dropped it, or brought something better
                self._forget(output)
                continue
            self._out = output
            self._waiting = [one for one in self._waiting if one is not output]
            self._token, self._lost_at = next(self._tokens), at + ANSWER_S
            control, sbo = output.controls[0]
            return effects.Operate(self._asset, self._token, control, sbo), tuple(stopped)
        return None, tuple(stopped)

    def _next(self) -> Output | None:
        if self._out is not None:
            return self._out
        return min(self._waiting, key=lambda one: one.rank, default=None)

    def _forget(self, output: Output) -> None:
        self._waiting = [one for one in self._waiting if one is not output]
        if self._out is output:
            self._out = None

    def answered(self, token: int, outcome: Outcome) -> Output | None:
        """Take an answer; the output that is over with it, None while there is more of it.

        An answer that nobody waits for any more changes nothing.
        """
        if token == 0 or token != self._token or self._out is None:
            return None
        self._token, self._lost_at = 0, math.inf
        rest = self._out.controls[1:]
        if outcome.kind is OutcomeKind.SUCCESS and rest:
            # A newer zero need not wait for the rest of an older one: both say the same.
            self._out = replace(self._out, controls=rest)
            return None
        out, self._out = self._out, None
        return out

    def overdue(self, at: float) -> tuple[Output, Outcome] | None:
        """The output whose answer will not come any more at ``at`` (monotonic s)."""
        if at < self._lost_at or self._out is None:
            return None
        out, self._out = self._out, None
        self._token, self._lost_at = 0, math.inf
        return out, _LOST
