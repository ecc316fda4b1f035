"""Logging: journald fields when systemd started us, readable lines otherwise.

Fields travel in ``extra={"fields": {...}}`` with journald's upper-case names (ASSET,
COMMAND_ID, QUEUE_DEPTH ...); ``journalctl ASSET=bess-1`` then finds them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from systemd import journal

if TYPE_CHECKING:
    from gateway.effects import Log

log = logging.getLogger("gateway")

# One id for each thing that operators search for (`journalctl MESSAGE_ID=...`); 128 random bits
# each, made once with `systemd-id128 new`, never changed.
MESSAGE_IDS = {
    "session-up": "ea4a506c326e45b3a68560ee42a41edf",
    "session-down": "5df018e48a814566bc63bf154e93f72c",
    "gap": "78d09d9357cf4cc1a41368b711ce8bb7",
    "queue-shrinking": "547099a2f1d64e02bbf88532a05641a4",
    "map-changed": "285fe86329684007830d93eb596462d6",
    "certificate-near-expiry": "1070b95886794c49a8d6c38c825e8b66",
    "broker-up": "4bd9f111d92d42c5b3d0ccf99718cc15",
    "broker-down": "d09bd5555bd948ae832a721ebb7f10f0",
    "nobody-subscribes": "9f802a238bf1414e8bf0050da89ee9cf",
    "reload": "58693b72e7c8486582dcf5cacca1ff5c",
    "command-refused": "c1fcf18a67af41de89b7b1d12eaeb24d",
    "store": "476aa08b429940bd803e7a94b17be9f3",
    "watchdog": "b41e0973a0e7c773cd3508e5efc6d226",
    "command": "295b8df3728a1d49edf63a8edb5ffefa",
    "control": "cc0fec50bf951d1ec5c9210bbe0baab1",
    "operator": "da754a9f93f7494600f2c47e7b849b28",
}


class JournalHandler(logging.Handler):
    """Sends each record to journald with its fields."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a journal that is away must not take the gateway with it."""
        given = dict(getattr(record, "fields", {}))
        fields = {key: _encodable(str(value)) for key, value in given.items()}
        if record.exc_info:
            fields["EXCEPTION"] = logging.Formatter().formatException(record.exc_info)
        with contextlib.suppress(OSError):
            journal.send(
                _encodable(record.getMessage()),
                PRIORITY=_priority(record.levelno),
                LOGGER=record.name,
                THREAD=record.threadName or "",
                SYSLOG_IDENTIFIER="bess-gateway",
                **fields,
            )


class LineFormatter(logging.Formatter):
    """``2026-11-22 05:10:00 WARNING text [ASSET=bess-1]`` for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Append the fields to the usual line; text from outside cannot begin a line of its own."""
        record.msg, record.args = _one_line(record.getMessage()), None
        line = super().format(record)
        fields = dict(getattr(record, "fields", {}))
        fields.pop("MESSAGE_ID", None)
        tail = _one_line(" ".join(f"{key}={value}" for key, value in sorted(fields.items())))
        return f"{line} [{tail}]" if tail else line


def set_up(*, level: int = logging.INFO) -> None:
    """Choose the handler: journald if stderr is its stream (JOURNAL_STREAM), else lines."""
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
    handler = JournalHandler() if _under_journald() else logging.StreamHandler(sys.stderr)
    if isinstance(handler, logging.StreamHandler):
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    root.addHandler(handler)
    root.setLevel(level)


def write(effect: Log) -> None:
    """Carry out the core's order to log."""
    fields = dict(effect.fields)
    if effect.message_id:
        fields["MESSAGE_ID"] = MESSAGE_IDS[effect.message_id]
    log.log(effect.level, effect.text, extra={"fields": fields})


def _encodable(text: str) -> str:
    """Text from outside may hold half of a surrogate pair: a line about it must not be an error."""
    return text.encode("utf-8", "backslashreplace").decode()


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _under_journald() -> bool:
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def _priority(level: int) -> int:
    """Syslog priority of a logging level: 3 error, 4 warning, 6 info, 7 debug."""
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7
