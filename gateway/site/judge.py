"""Judges the files of a reload in a process of its own, and hands over what was judged.

A points map of a vendor, a file system that hangs: what stops the judging must not stop the thread
that waits for SIGTERM, nor hold the interpreter that idles the battery. The checked site comes back
as it is, so that nothing is read a second time: what was judged is what is swapped in.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError
from gateway.events import ReloadAsked
from gateway.host import second
from gateway.site import load

if TYPE_CHECKING:
    from gateway.events import Post

log = logging.getLogger(__name__)

JUDGE_S = 30.0  # a site of 32 batteries takes 2 s on a small box
_REAP_S = 1.0
_OURSELVES = "/proc/self/exe"  # the interpreter that runs, whatever became of its path meanwhile
_CODE = "import sys; sys.path[:] = sys.argv[2:]; from gateway.site import judge; judge.main()"


class SiteJudge:
    """Posts ``ReloadAsked`` for every ``ask``; those that come while it judges are one more."""

    def __init__(
        self, path: Path, *, post: Post, within_s: float = JUDGE_S, python: str = _OURSELVES
    ) -> None:
        self._path, self._post, self._within_s = path.absolute(), post, within_s
        self._python = python
        self._asked = threading.Event()
        self._closed = False
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of ``_closed`` and ``_child``

    def ask(self) -> None:
        """Judge the files anew, soon; never waits."""
        self._asked.set()

    def run(self) -> None:
        """The thread: judge whenever somebody asked, until it is closed."""
        while not self._closed:
            self._asked.wait()
            self._asked.clear()
            found = None if self._closed else self._judged()
            if found is not None and not self._closed:
                self._post(found)

    def close(self) -> None:
        """End what is being judged; nothing is judged any more."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()
        self._asked.set()

    def _judged(self) -> ReloadAsked | None:
        try:
            child = self._begin()
        except OSError as error:
            why = error.strerror or str(error)
            return ReloadAsked(None, f"no process can be started to judge the files: {why}")
        if child is None:
            return None
        try:
            said, complaint = child.communicate(timeout=self._within_s)
        except subprocess.TimeoutExpired:
            text = f"the files were not judged within {self._within_s:g} s: look for a file that "
            return ReloadAsked(None, f"{text}cannot be read to its end")
        finally:
            self._end(child)
        if child.returncode == 0:
            try:
                return ReloadAsked(*pickle.loads(said))  # noqa: S301 - of our own process alone
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no site
                return ReloadAsked(None, f"what the files were judged to be is garbled: {error!r}")
        lines = complaint.decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return ReloadAsked(None, f"judging the files failed with {child.returncode}: {last}")

    def _begin(self) -> subprocess.Popen[bytes] | None:
        """Start the process; None where no more is to be judged."""
        environment = {key: text for key, text in os.environ.items() if key != "NOTIFY_SOCKET"}
        # -I: as the installed command itself; our own folders are handed over by name.
        command = [sys.executable, "-I", "-c", _CODE, str(self._path), *filter(None, sys.path)]
        with self._lock:
            if self._closed:
                return None
            self._child = subprocess.Popen(  # noqa: S603 - our own code, and no shell
                command,
                executable=self._python,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
            return self._child

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Leave no process behind; one that the kernel does not let go ends with its disk."""
        with self._lock:
            self._child = None
            child.kill()
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            log.warning("process %d, which judged a reload, cannot be ended", child.pid)


def main() -> None:
    """The process: load the site that the first argument names, and write what came of it."""
    second.begin(JUDGE_S)
    found: tuple[Any, str]
    try:
        found = load.load_site(Path(sys.argv[1])), ""
    except ConfigError as error:
        found = None, str(error)
    sys.stdout.buffer.write(pickle.dumps(found))
