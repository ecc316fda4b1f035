"""Every error the gateway raises on purpose.

GatewayError
├── ConfigError               an operator must edit a file          exit 78 (EX_CONFIG)
├── UsageError                the command line was wrong            exit 64 (EX_USAGE)
├── NoInputError              a file to be read is not there        exit 66 (EX_NOINPUT)
├── StoreError                the local queue cannot be trusted     exit 74 (EX_IOERR)
│   └── DiskFullError         no room: telemetry stops, idle still works
├── PayloadError              a message cannot be decoded           reported, dropped
└── FaultError                a thread of ours failed or fell silent  exit 70 (EX_SOFTWARE)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class GatewayError(Exception):
    """Root. Catch it only in ``cli.main.main`` and at thread tops."""

    exit_code = 70  # EX_SOFTWARE


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a TOML file, for people with an editor open."""

    file: str
    table: str
    key: str
    line: int

    def __str__(self) -> str:
        table = f" [{self.table}]" if self.table else ""
        key = f" {self.key}" if self.key else ""
        return f"{self.file}:{self.line}:{table}{key}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file: where, what was found, what is allowed.

    ``code`` is the points-map validation code (M01 on), empty elsewhere.
    """

    where: Where
    text: str
    code: str = ""

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        return f"{self.where}{code} {self.text}" if not code else f"{self.where}:{code} {self.text}"


class ConfigError(GatewayError):
    """Settings are missing or wrong; carries every fault found, not only the first."""

    exit_code = 78  # EX_CONFIG

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class UsageError(GatewayError):
    """The command line asks for something that does not exist."""

    exit_code = 64  # EX_USAGE


class NoInputError(GatewayError):
    """What a command is to read does not exist."""

    exit_code = 66  # EX_NOINPUT


class StoreError(GatewayError):
    """The queue could not make something durable; nothing of it was kept."""

    exit_code = 74  # EX_IOERR


class DiskFullError(StoreError):
    """The disk (or the queue's reserve of it) is full."""


class PayloadError(GatewayError):
    """A message from the wire is not what its schema says."""


class FaultError(GatewayError):
    """A thread failed or made no progress: the process must end and be restarted."""
