"""Processes of ours beside the daemon, in its control group: they go before it does."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_ORPHAN_S = 15  # beyond its time a process whose daemon has died ends itself


def begin(within_s: float) -> None:
    """Be the one to go without where memory or time runs short, and end when told to.

    The unit lives on without it (``OOMPolicy=continue``), and waits for no such process when it is
    stopped, or started again: the signals that the daemon blocks would keep it alive.

    Args:
        within_s: how long the daemon waits for this process.
    """
    signal.alarm(round(within_s) + _ORPHAN_S)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError):
        os.nice(10)
