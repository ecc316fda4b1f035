"""What an RTAC was really asked for: its own record, folded into the setpoint in force.

The gateway is not asked. A control counts when the RTAC received and accepted it; a trip of the
dead-man or of the reversion timer, a restart and the local switch count when they happened in the
RTAC. Times are CLOCK_BOOTTIME of the machine, which every process of it shares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EXECUTES = ("OPERATE", "DIRECT_OPERATE", "DIRECT_OPERATE_NR")
POWERS = ("cmd_power", "cmd_charge", "cmd_discharge")


@dataclass(frozen=True, slots=True)
class Change:
    """The setpoint in force changed."""

    at_s: float  # CLOCK_BOOTTIME
    power_w: float
    why: str  # control | deadman | reversion | restart | local | remote


@dataclass(slots=True)
class Tape:
    """One RTAC's record, read on as it grows.

    Attributes:
        changes: of the setpoint in force, oldest first.
        writes: every accepted or refused control, oldest first.
        faults: when each fault began ("NAME") and ended ("-NAME").
        idles: when each control arrived that puts zero into force, where it is accepted.
        connections: when each began.
        answers: when each OPERATE arrived, and how long after its SELECT: an answer's time.
    """

    file: Path
    changes: list[Change] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, float] = field(default_factory=dict)
    idles: list[float] = field(default_factory=list)
    connections: list[float] = field(default_factory=list)
    answers: list[tuple[float, float]] = field(default_factory=list)
    _read: int = 0
    _remote_w: float = 0.0
    _local: bool = False
    _selected_s: float | None = None

    def follow(self) -> None:
        """Take what was recorded since the last look."""
        with self.file.open("rb") as file:
            file.seek(self._read)
            octets = file.read()
        whole = octets[: octets.rfind(b"\n") + 1]
        self._read += len(whole)
        wanted = (b'"control"', b'"rtac"', b'"fault"', b'"clear"', b'"connection"')
        lines = (line for line in whole.split(b"\n") if any(word in line for word in wanted))
        self.take(json.loads(line) for line in lines)

    def take(self, records: Iterable[dict[str, Any]]) -> None:
        """Fold records, in their order."""
        for one in records:
            match one["record"]:
                case "control":
                    self._control(one)
                case "connection" if one["what"] == "accepted":
                    self.connections.append(one["mono_s"])
                case "rtac":
                    self._become(one["mono_s"], 0.0, one["cause"])
                case "fault" if one["name"] == "restart":
                    self.faults["restart"] = one["mono_s"]
                    self._become(one["mono_s"], 0.0, "restart")
                case "fault":
                    self.faults[one["name"]] = one["mono_s"]
                    if one["name"] == "local":
                        self._local = True
                        self._note(one["mono_s"], 0.0, "local")
                case "clear":
                    self.faults["-" + one["name"]] = one["mono_s"]
                    if one["name"] in ("local", "*") and self._local:
                        self._local = False
                        self._note(one["mono_s"], self._remote_w, "remote")

    def _control(self, one: dict[str, Any]) -> None:
        self.writes.append(one)
        at_s, function, role = one["at_mono_s"], one["function"], one["role"]
        if function == "OPERATE" and self._selected_s is not None:
            self.answers.append((at_s, at_s - self._selected_s))
        self._selected_s = at_s if function == "SELECT" else None
        if function not in EXECUTES or role not in POWERS or one["value"] is None:
            return
        power_w = self._ordered_w(role, float(one["value"]))
        if not power_w:
            self.idles.append(at_s)
        if one["status"] == 0:
            self._become(at_s, power_w, "control")

    def _ordered_w(self, role: str, value_w: float) -> float:
        """The setpoint after a control: zero on one point of two leaves what the other ordered."""
        if role == "cmd_charge":
            return -abs(value_w) or max(0.0, self._remote_w)
        return value_w or (min(0.0, self._remote_w) if role == "cmd_discharge" else 0.0)

    def _become(self, at_s: float, power_w: float, why: str) -> None:
        self._remote_w = power_w
        if not self._local:
            self._note(at_s, power_w, why)

    def _note(self, at_s: float, power_w: float, why: str) -> None:
        self.changes.append(Change(at_s, power_w, why))

    # --- what came of it -------------------------------------------------------------------

    def at(self, at_s: float) -> float:
        """The setpoint in force at that instant, W."""
        before = [one for one in self.changes if one.at_s <= at_s]
        return before[-1].power_w if before else 0.0

    @property
    def now_w(self) -> float:
        """The setpoint in force at the end of the tape, W."""
        return self.changes[-1].power_w if self.changes else 0.0

    def zero_after(self, at_s: float) -> Change | None:
        """The change after which zero is in force; None while power is."""
        return next((one for one in self.changes if one.at_s >= at_s and one.power_w == 0.0), None)

    def power_after(self, at_s: float) -> Change | None:
        """The first change to power after that instant; None if there is none."""
        return next((one for one in self.changes if one.at_s > at_s and one.power_w != 0.0), None)

    def answer_s(self, *, after_s: float) -> float | None:
        """The longest that it took for an answer since then; None where nothing was selected."""
        return max((took for at, took in self.answers if at > after_s), default=None)

    def written(self, *roles: str, after_s: float, before_s: float) -> list[dict[str, Any]]:
        """Controls of these roles that arrived in between, whatever their answer."""
        return [
            one
            for one in self.writes
            if one["role"] in roles and after_s < one["at_mono_s"] < before_s
        ]
