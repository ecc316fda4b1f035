"""One request to operate, on its way through opendnp3."""

from __future__ import annotations

import functools
import logging
import math
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.field.dnp3 import controls as c
from gateway.ports import Control, Outcome, OutcomeKind, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    import opendnp3 as dnp

    from gateway.clock import Now
    from gateway.field.dnp3.engine import Engine
    from gateway.field.dnp3.stack import EndedTask, Stack

log = logging.getLogger(__name__)

LOCAL = "not sent: the site has the authority"
ZERO_DEMANDED = "not sent: zero is demanded"
LESS_POWER = "not sent: less power goes before it"
WITHHELD = "not sent: the heartbeat is withheld"


class Licence(NamedTuple):
    """What a session's own thread judges an operation by, whatever the core does meanwhile."""

    now: Callable[[], Now]
    demanded: Callable[[], bool]  # zero is owed to the battery
    local: Callable[[], bool]  # the site has the authority


class Operation:
    """Sends the controls one after another, and hands the outcome on, once.

    Args:
        controls: what to operate.
        done: takes the outcome.
        sbo: select before operate, else direct operate.
        by: CLOCK_BOOTTIME s after which it must not begin.
        purpose: what it does to the battery's power.
        first: no read goes before it.
        licence: by what it is judged at the moment at which a control of it would leave.
    """

    def __init__(
        self,
        controls: tuple[Control, ...],
        done: Callable[[Outcome], None],
        *,
        sbo: bool,
        by: float = math.inf,
        purpose: Purpose = Purpose.POWER,
        first: bool = False,
        licence: Licence,
    ) -> None:
        self._controls, self._done, self._sbo, self.by = controls, done, sbo, by
        self.purpose, self.asked_s, self._licence = purpose, licence.now().mono_s, licence
        self.first = first or purpose is Purpose.ZERO
        self.started = self.over = False  # its present control is on the wire; its outcome is told
        # Takes it back, instead of an outcome, where its connection ends before it was started.
        self.keep: Callable[[Operation], None] | None = None
        self._fault = ""
        self._commands: tuple[c.BoundControl, ...] = ()
        try:
            self._commands = tuple(map(c.command, controls))
            self._fault = "" if controls else "no control given"
        except ValueError as error:
            self._fault = str(error)
        self._answers: list[c.ControlAnswer] = []
        self._answer_s: float | None = None  # of the slowest request so far
        self._judged_s, self._handed_s = self.asked_s, 0.0  # the last look; the longest from it on
        self._results: list[dnp.CommandPointResult] | None = None  # until opendnp3 says
        self._unheard: EndedTask | None = None  # the end of a control whose result is still to come

    @property
    def fault(self) -> str:
        """Why it cannot be sent at all; "" if it can."""
        return self._fault

    def stop_s(self, *, heard: bool) -> float:
        """From when on the connection must end, so that it moves no power; inf: never, or too late.

        Args:
            heard: whether a response arrived since it was started. Nobody is told of SELECT's
                answer: this may have been it, or not.
        """
        if self.purpose is not Purpose.POWER or self.over or (self.started and not self._sbo):
            return math.inf
        if self._licence.demanded() or self._licence.local():
            return -math.inf
        return math.inf if self.started and heard else self.by

    def judge(self) -> None:
        """Find it faulty where it waited too long, or may not leave any more."""
        self._judged_s = self._licence.now().mono_s
        late_s = self._judged_s - self.by
        if self._fault:
            return
        if late_s > 0:
            self._fault = f"not sent: {late_s:.1f} s too late"
        elif self.purpose is not Purpose.BEAT and self._licence.local():
            self._fault = LOCAL
        elif self.purpose is Purpose.POWER and self._licence.demanded():
            self._fault = ZERO_DEMANDED

    def left(self, at_s: float) -> None:
        """A frame of it is on the way since ``at_s`` (CLOCK_BOOTTIME)."""
        self.started = True
        self._handed_s = max(self._handed_s, at_s - self._judged_s)

    def run(self, stack: Stack) -> None:
        """Send the next control; its end sends the one after it."""
        stack.on_end = functools.partial(self._ended, stack)
        self._results = self._unheard = None
        self.started = False
        command = self._commands[len(self._answers)]
        send = stack.master.SelectAndOperate if self._sbo else stack.master.DirectOperate
        # Weak, because opendnp3 keeps the callback (see ``stack``).
        send(command.body, command.output, functools.partial(self._answered, weakref.ref(stack)))

    def finish(self, outcome: Outcome, engine: Engine) -> None:
        """Hand the outcome on."""
        self.over = True
        try:
            self._done(outcome)
        except Exception as error:  # it would end the process (a command callback is on the stack)
            log.exception("outcome not taken")
            engine.fault(f"outcome not taken: {type(error).__name__}: {error}")

    def refuse(self, engine: Engine) -> None:
        """Hand back what is wrong with it."""
        self.finish(Outcome(OutcomeKind.FAILED, (), self._fault), engine)

    def _answered(self, stack: weakref.ref[Stack], result: dnp.ICommandTaskResult) -> None:
        """opendnp3: behind the task's end, and before the indications of a response."""
        try:
            self._results = result.to_list()
        except Exception:  # an exception in a command callback ends the process
            log.exception("command result")
            self._results = []
        ended, self._unheard = self._unheard, None
        if ended is not None and (found := stack()) is not None:
            found.end(ended)

    def _ended(self, stack: Stack, ended: EndedTask) -> bool:
        """Take the end of one control; True while the request goes on.

        The end of one that was not answered is told first, and its result only after it: how far
        it had come must be waited for.
        """
        if self._results is None:
            self._unheard = ended
            return True
        if self.keep is not None and not ended.started and not self._answers:
            self.keep(self)
            return True
        self._answers.append(_answer(ended, self._results, sbo=self._sbo))
        if ended.started:
            took_s = ended.slowest_s if self._sbo else ended.took_s
            self._answer_s = max(took_s, self._answer_s or 0.0)
        outcome = c.outcome(self._controls, self._answers)
        if outcome.kind is OutcomeKind.SUCCESS and len(self._answers) < len(self._commands):
            self.judge()
            if not self._fault:
                self.run(stack)
                return True
            outcome = Outcome(OutcomeKind.FAILED, outcome.statuses, self._fault)
        handed_s = None if self._answer_s is None else self._handed_s
        outcome = replace(outcome, answer_s=self._answer_s, handed_s=handed_s)
        self.finish(outcome, stack.engine)
        return False


def _answer(
    ended: EndedTask, results: list[dnp.CommandPointResult], *, sbo: bool
) -> c.ControlAnswer:
    found = results[0] if results else None
    return c.ControlAnswer(
        summary=ended.result,
        state=found.state.name if found is not None else "",
        status=found.status.value if found is not None else c.SILENT,
        status_name=found.status.name if found is not None else "UNDEFINED",
        iin=ended.iin,
        started=ended.started,
        sbo=sbo,
    )
