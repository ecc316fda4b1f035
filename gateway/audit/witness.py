"""What lasts of control, a second time: ``control.owed`` beside control.db.

A database that was put back from an older copy, or begun anew, does not know that a setpoint may be
in force, what was latched, that an operator disabled control. Which facts of these there are stands
in a file of its own: named there before they are in the database, and taken out behind it. What is
named there and is not in the database counts. Only where both are put back from one older copy
nobody can tell.

It is written when a fact begins or ends, not when one changes: a text in it may be an older one.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.sqlite.files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "control.owed"
_LASTING = ("/in-force", "/phase", "/disabled")


class Witness:
    """The file at ``path``, kept by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = read_witness(path)  # as it is on the disk
        self.fault = _fault(path)  # why it cannot be read; "": it can, or there is none

    def missing(self, facts: Mapping[str, str]) -> dict[str, str]:
        """What is named here and not in ``facts``, of the database."""
        return {key: text for key, text in self._held.items() if key not in facts}

    def begin(self, changes: Mapping[str, str | None]) -> None:
        """Name what begins with ``changes``, which are not in the database yet.

        Raises:
            OSError: the disk does not allow it: they must not be answered for.
        """
        self._keep(self._held | _lasting(changes))

    def end(self, changes: Mapping[str, str | None]) -> None:
        """Take out what ended with ``changes``, which are in the database.

        Where the disk does not allow it now it counts as still there: the next one takes it out.
        """
        left = {key: text for key, text in self._held.items() if changes.get(key, "") is not None}
        with suppress(OSError):
            self._keep(left)

    def agree(self, facts: Mapping[str, str], *, aside: Path) -> None:
        """Name what ``facts`` of the database have besides: an older version kept no such file.

        What cannot be read stays for people, as ``aside``.
        """
        with suppress(OSError):
            if self.fault:
                self._path.rename(aside)
            self._keep(_lasting(facts) | self._held)

    def _keep(self, found: Mapping[str, str]) -> None:
        if found.keys() == self._held.keys():
            return
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - by its descriptor
            file.write(json.dumps({"facts": dict(found)}, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_folder(self._path)
        self._held = dict(found)


def read_witness(path: Path) -> dict[str, str]:
    """What the file names; {} where there is none, or where it cannot be read: it says nothing."""
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    found = body.get("facts") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        return {}
    return {key: text for key, text in found.items() if isinstance(text, str)}


def _fault(path: Path) -> str:
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)
    return "" if isinstance(body, dict) and isinstance(body.get("facts"), dict) else "no facts"


def _lasting(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {
        key: text for key, text in changes.items() if text is not None and key.endswith(_LASTING)
    }
