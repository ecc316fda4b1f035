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
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

REPORT_S = 30.0  # `check` of 32 batteries takes 2 s on a small box
MOST_BYTES = 1_000_000  # that it may print
OPTIONS: dict[tuple[str, ...], frozenset[str]] = {
    ("check",): frozenset(),
    ("audit", "show"): frozenset(("--last", "--since", "--asset", "--json")),
    ("audit", "verify"): frozenset(("--json",)),
    ("audit", "in-force"): frozenset(("--json",)),
}
_CODE = (
    "import sys; place = sys.argv.index('--'); sys.path[:] = sys.argv[place + 1:]; "
    f"from gateway.host import second; second.begin({REPORT_S}); "
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
            child = subprocess.Popen(  # noqa: S603 - our own code, words that were checked, no shell
                [sys.executable, "-I", "-c", _CODE, *command, "--", *path],
                executable=_OURSELVES,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            return {"error": f"no process can be started: {error.strerror or error}"}
        return reported(child)


def reported(child: subprocess.Popen[bytes]) -> dict[str, object]:
    """What ``child`` prints; none of it is kept beyond ``MOST_BYTES``, for it is the daemon's."""
    complaint, is_late = [b""], threading.Event()

    def end() -> None:
        is_late.set()
        child.kill()

    def complain() -> None:
        complaint[0] = _most(child, child.stderr)

    late, beside = threading.Timer(REPORT_S, end), threading.Thread(target=complain)
    with child:
        late.start()
        beside.start()
        said = _most(child, child.stdout)
        beside.join()
    late.cancel()
    if max(len(said), len(complaint[0])) > MOST_BYTES:
        return {"error": f"prints more than {MOST_BYTES:,} bytes: ask for less, or run it as root"}
    if is_late.is_set():
        return {"error": f"not ready within {REPORT_S:g} s: run it as root"}
    if child.returncode < 0:
        return {"error": f"was ended by signal {-child.returncode}: run it as root"}
    return {
        "out": said.decode("utf-8", "replace"),
        "err": complaint[0].decode("utf-8", "replace"),
        "exit": child.returncode,
    }


def _most(child: subprocess.Popen[bytes], pipe: IO[bytes] | None) -> bytes:
    """What comes from ``pipe`` until its end; beyond ``MOST_BYTES`` the process is ended."""
    assert pipe is not None
    found = pipe.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        child.kill()
    return found


def _begins(command: list[str], words: tuple[str, ...]) -> bool:
    return tuple(command[: len(words)]) == words
