"""Starts the simulator as a process of its own, and asks it things: for tests and the demo.

Used as a context manager it is gone afterwards, whatever happened. The simulator also ends by
itself when the process that started it does, since its standard input ends then.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import gateway
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_START_S = 120.0  # a loaded machine imports slowly
_ANSWER_S = 120.0
_HOLDS_S = 120.0  # a deadline, not a duration
_STOP_S = 10.0
_POLL_S = 0.02


class SimError(GatewayError):
    """The simulator did not start, ended, or refused an order."""


class SimProcess:
    """One simulated site in its own process.

    Args:
        map: points map, ``id`` or ``id@revision``.
        cwd: where its log and record go; a temporary folder without one.
        faults: in force from the start, ``NAME`` or ``NAME=ARGUMENT``.
        options: any other option of the command by name, e.g. ``deadman_s=2``.
    """

    def __init__(
        self,
        map: str,  # noqa: A002 - the option's name
        *,
        port: int = 0,
        address: int = 10,
        seed: int = 1,
        scenario: str = "idle",
        faults: Sequence[str] = (),
        cwd: Path | None = None,
        **options: float | str | bool,
    ) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="sim-") if cwd is None else None
        folder = Path(self._own.name) if self._own is not None else Path(cwd or ".")
        self.record_file = folder / f"sim-{address}-{os.getpid()}-{id(self):x}.jsonl"
        self.log_file = self.record_file.with_suffix(".log")
        arguments = [f"--map={map}", f"--port={port}", f"--address={address}", f"--seed={seed}"]
        arguments += [f"--scenario={scenario}", f"--record={self.record_file}", "--control"]
        arguments += [f"--fault={fault}" for fault in faults]
        for name, value in options.items():
            option = "--" + name.replace("_", "-")
            arguments += [option] if value is True else [f"{option}={value}"]
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._asked = 0
        self._child = self._spawn(arguments)
        self._reader = threading.Thread(target=self._read, name="sim-reader", daemon=True)
        self._reader.start()
        try:
            self.port = int(self._next(_START_S)["listening"])
        except BaseException:
            self._child.kill()
            self.close()
            raise

    def _spawn(self, arguments: list[str]) -> subprocess.Popen[str]:
        root = str(Path(gateway.__file__).resolve().parent.parent)
        inherited = os.environ.get("PYTHONPATH", "")
        path = f"{root}{os.pathsep}{inherited}" if inherited else root
        with self.log_file.open("w", encoding="utf-8") as log:
            return subprocess.Popen(  # noqa: S603 - our own module with our own arguments
                [sys.executable, "-m", "gateway.sim", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _next(self, wait_s: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=wait_s)
        except queue.Empty:
            message = f"the simulator said nothing for {wait_s:.0f} s: {self._log()}"
            raise SimError(message) from None
        if answer is None:
            message = f"the simulator ended, exit {self._child.wait()}: {self._log()}"
            raise SimError(message)
        return answer

    def _log(self) -> str:
        return self.log_file.read_text(encoding="utf-8").strip()[-2000:] or "its log is empty"

    def _ask(self, **order: object) -> dict[str, Any]:
        with self._lock:
            self._asked += 1
            assert self._child.stdin is not None
            try:
                self._child.stdin.write(json.dumps({"id": self._asked, **order}) + "\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                message = f"the simulator has ended: {self._log()}"
                raise SimError(message) from None
            answer = self._next(_ANSWER_S)
        if "error" in answer:
            raise SimError(str(answer["error"]))
        return answer

    # --- orders ------------------------------------------------------------------------------

    def fault(self, text: str) -> None:
        """Make something go wrong: ``NAME`` or ``NAME=ARGUMENT``; see ``sim --help``."""
        self._ask(do="fault", text=text)

    def clear(self, name: str = "*") -> None:
        """End a lasting fault, or all of them."""
        self._ask(do="clear", name=name)

    def state(self) -> dict[str, Any]:
        """What is really so inside: physics, setpoint in force, counts of events."""
        state: dict[str, Any] = self._ask(do="state")["state"]
        return state

    def wait_until(
        self, holds: Callable[[dict[str, Any]], bool], *, within_s: float = _HOLDS_S
    ) -> dict[str, Any]:
        """The first state that ``holds`` accepts.

        Raises:
            SimError: none did within ``within_s``; carries the last state.
        """
        deadline = time.monotonic() + within_s
        while not holds(state := self.state()):
            if time.monotonic() > deadline:
                message = f"not within {within_s} s; at last: {state}"
                raise SimError(message)
            time.sleep(_POLL_S)
        return state

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """What it received and sent so far, oldest first; ``kind`` as in ``record.py``.

        Also works when the simulator has ended.
        """
        lines = self.record_file.read_text(encoding="utf-8").split("\n")
        found = [json.loads(line) for line in lines[:-1]]  # the last line may be half written
        return [one for one in found if kind in ("", one["record"])]

    def controls(self, point: str = "", function: str = "") -> list[dict[str, Any]]:
        """Every select and operate that arrived, of one point or function if asked."""
        return [
            one
            for one in self.records("control")
            if point in ("", one["point"]) and function in ("", one["function"])
        ]

    def pause(self) -> None:
        """Stop the process where it is: the kernel still acknowledges TCP, nobody answers."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._child.send_signal(signal.SIGCONT)

    # --- the end ----------------------------------------------------------------------------

    def stop(self) -> int:
        """End it with SIGTERM; returns its exit code. The record stays until ``close``."""
        if self._child.poll() is None:
            self.resume()
            self._child.terminate()
        return self._reap()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._reap()

    def _reap(self) -> int:
        try:
            code = self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        self._reader.join(_STOP_S)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        return code

    def close(self) -> None:
        """Stop it and remove what it wrote to a folder of its own."""
        self.stop()
        if self._own is not None:
            self._own.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
