"""What the outstation received and sent, from its own side, as JSON lines.

Kinds: ``control`` (each select and operate, with both clocks), ``event`` (numbered from 1),
``lost`` and ``confirmed`` (event numbers), ``connection``, ``rtac`` (dead-man, reversion),
``setpoint`` (the setpoint in force and what the inverter is asked for, whenever they change),
``fault``. Tests count losses and measure delays against it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Self, TextIO

from gateway.clock import now

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Recorder:
    """Appends records to a file, or keeps nothing without one."""

    def __init__(self, file: Path | None) -> None:
        self._file: TextIO | None = None
        if file is not None:
            self._file = file.open("a", encoding="utf-8", buffering=1 << 16)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, kind: str, **facts: object) -> None:
        """Append one record with both clocks: ``mono_s`` is CLOCK_BOOTTIME, ``unix_ms`` UTC."""
        if self._file is None:
            return
        at = now()
        line = {"record": kind, **facts, "mono_s": at.mono_s, "unix_ms": at.unix_ms}
        self._file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Make what was added visible to readers of the file."""
        if self._file is not None:
            self._file.flush()


def plain(value: float | str) -> float | str:
    """A value as JSON knows it: NaN and infinities as text."""
    if isinstance(value, str) or math.isfinite(value):
        return value
    return str(value)
