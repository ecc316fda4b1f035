"""One request to operate, on its way through opendnp3."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.field.dnp3 import controls as c
from gateway.field.ports import Control, Outcome, OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable

    import opendnp3 as dnp

    from gateway.field.dnp3.engine import Engine
    from gateway.field.dnp3.stack import Ended, Stack

log = logging.getLogger(__name__)


class Operation:
    """Sends the controls one after another, and hands the outcome on, once.

    Args:
        controls: what to operate.
        done: takes the outcome.
        sbo: select before operate, else direct operate.
    """

    def __init__(
        self, controls: tuple[Control, ...], done: Callable[[Outcome], None], *, sbo: bool
    ) -> None:
        self._controls, self._done, self._sbo = controls, done, sbo
        self._fault = ""
        self._commands: tuple[c.Command, ...] = ()
        try:
            self._commands = tuple(map(c.command, controls))
            self._fault = "" if controls else "no control given"
        except ValueError as error:
            self._fault = str(error)
        self._answers: list[c.Answer] = []
        self._results: list[dnp.CommandPointResult] = []

    @property
    def fault(self) -> str:
        """Why it cannot be sent at all; "" if it can."""
        return self._fault

    def run(self, stack: Stack) -> None:
        """Send the next control; its end sends the one after it."""
        stack.on_end = lambda ended: self._ended(stack, ended)
        self._results = []
        command = self._commands[len(self._answers)]
        send = stack.master.SelectAndOperate if self._sbo else stack.master.DirectOperate
        send(command.body, command.output, self._answered)

    def finish(self, outcome: Outcome, engine: Engine) -> None:
        """Hand the outcome on."""
        try:
            self._done(outcome)
        except Exception as error:  # it would end the process (a command callback is on the stack)
            log.exception("outcome not taken")
            engine.fault(f"outcome not taken: {type(error).__name__}: {error}")

    def refuse(self, engine: Engine) -> None:
        """Hand back what is wrong with it."""
        self.finish(Outcome(OutcomeKind.FAILED, (), self._fault), engine)

    def _answered(self, result: dnp.ICommandTaskResult) -> None:
        # opendnp3 calls this between the task's end and the response's indications.
        try:
            self._results = result.to_list()
        except Exception:  # an exception in a command callback ends the process
            log.exception("command result")

    def _ended(self, stack: Stack, ended: Ended) -> bool:
        """Take the end of one control; True while the request goes on."""
        found = self._results[0] if self._results else None
        self._answers.append(
            c.Answer(
                summary=ended.result,
                state=found.state.name if found is not None else "",
                status=found.status.value if found is not None else c.SILENT,
                status_name=found.status.name if found is not None else "UNDEFINED",
                iin=ended.iin,
                started=ended.started,
            )
        )
        outcome = c.outcome(self._controls, self._answers)
        if outcome.kind is OutcomeKind.SUCCESS and len(self._answers) < len(self._commands):
            self.run(stack)
            return True
        self.finish(outcome, stack.engine)
        return False
