"""What a person without the daemon's rights reads through the daemon: ``check`` and ``audit``.

Both judge files that only the daemon's user may read, and must judge them as that user. So the
daemon runs its own command line for whoever asks, with these words and options and no others:
none of them names a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

REPORT_S = 30.0  # `check` of 32 batteries takes 2 s on a small box
MOST_BYTES = 1_000_000  # of what is printed
OPTIONS: dict[tuple[str, ...], frozenset[str]] = {
    ("check",): frozenset(),
    ("audit", "show"): frozenset(("--last", "--since", "--asset", "--json")),
    ("audit", "verify"): frozenset(("--json",)),
    ("audit", "in-force"): frozenset(("--json",)),
}
_CODE = (
    "import sys; place = sys.argv.index('--'); sys.path[:] = sys.argv[place + 1:]; "
    "from gateway.cli.main import main; sys.exit(main(sys.argv[1:place]))"
)
_OURSELVES = "/proc/self/exe"


class Reports:
    """Runs one command at a time, in a process of its own."""

    def __init__(self, config: Path) -> None:
        self._config = config.absolute()
        self._busy = threading.Lock()

    def report(self, arguments: dict[str, Any]) -> dict[str, object]:
        """``{"command": ["audit", "show", "--last", "5"]}`` -> what it prints, and its exit code.

        Blocks until the command has ended, ``REPORT_S`` at most.
        """
        command = arguments.get("command")
        if not isinstance(command, list) or not all(isinstance(one, str) for one in command):
            return {"error": "command must be a list of texts"}
        allowed = next((kept for words, kept in OPTIONS.items() if _begins(command, words)), None)
        if allowed is None or any(one.startswith("-") and one not in allowed for one in command):
            known = ", ".join(" ".join(words) for words in OPTIONS)
            return {"error": f"command must be one of {known}, without options that name a file"}
        if not self._busy.acquire(blocking=False):
            return {"error": "another report is being made: ask again", "busy": True}
        try:
            return self._run([*command, "--config", str(self._config)])
        finally:
            self._busy.release()

    @staticmethod
    def _run(command: list[str]) -> dict[str, object]:
        environment = {key: text for key, text in os.environ.items() if key != "NOTIFY_SOCKET"}
        path = [one for one in sys.path if one]
        try:
            ended = subprocess.run(  # noqa: S603 - our own code, words that were checked, no shell
                [sys.executable, "-I", "-c", _CODE, *command, "--", *path],
                executable=_OURSELVES,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=REPORT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not ready within {REPORT_S:g} s: run it as root"}
        except OSError as error:
            return {"error": f"no process can be started: {error.strerror or error}"}
        return {
            "out": ended.stdout[:MOST_BYTES].decode("utf-8", "replace"),
            "err": ended.stderr[:MOST_BYTES].decode("utf-8", "replace"),
            "exit": ended.returncode,
        }


def _begins(command: list[str], words: tuple[str, ...]) -> bool:
    return tuple(command[: len(words)]) == words
