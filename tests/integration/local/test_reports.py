"""What the daemon lets a process of its own print for whoever asks: never at its own cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.local.reports import MOST_BYTES, Reports, reported

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 60.0


def printing(code: str) -> dict[str, object]:
    command = [sys.executable, "-I", "-c", f"import os, sys; {code}"]
    pipe = subprocess.PIPE
    return reported(subprocess.Popen(command, stdout=pipe, stderr=pipe))


def children() -> Iterator[Path]:
    for task in Path("/proc/self/task").iterdir():
        yield from (Path("/proc") / one for one in (task / "children").read_text().split())


def test_what_prints_for_ever_is_ended_and_not_kept() -> None:
    for stream in ("stdout", "stderr"):
        found = printing(f"[sys.{stream}.write('x' * 65536) for _ in iter(int, 1)]")
        assert "prints more than" in str(found["error"])


def test_what_it_prints_and_says_comes_back_and_a_process_that_was_ended_is_no_answer() -> None:
    found = printing(f"print('y' * {MOST_BYTES - 1}); print('z', file=sys.stderr); sys.exit(3)")
    assert found == {"out": "y" * (MOST_BYTES - 1) + "\n", "err": "z\n", "exit": 3}
    assert "signal 9" in str(printing("os.kill(os.getpid(), 9)")["error"])


def test_the_report_goes_before_the_daemon_where_memory_runs_short_and_when_it_is_told_to(
    tmp_path: Path,
) -> None:
    config = tmp_path / "site.toml"
    os.mkfifo(config)  # `check` waits here until somebody writes
    before = set(children())
    answers: list[dict[str, object]] = []
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as the daemon has it
    reports = Reports(config)
    asking = threading.Thread(target=lambda: answers.append(reports.report({"command": ["check"]})))
    asking.start()  # with that mask
    end, meek = time.monotonic() + DEADLINE_S, [""]
    while meek != ["1000\n"] and time.monotonic() < end:
        time.sleep(0.05)
        new = set(children()) - before
        meek = [(one / "oom_score_adj").read_text() for one in new]
    for one in new:
        os.kill(int(one.name), signal.SIGTERM)  # as systemd does when the unit is stopped
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    asking.join(DEADLINE_S)
    assert meek == ["1000\n"]
    assert "signal 15" in str(answers[0]["error"])
