"""Processes of ours beside the daemon, in its control group: they go without before it does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def give_way() -> None:
    """Where memory or time runs short, this process is the one to go without.

    The unit lives on without it: ``OOMPolicy=continue``.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError):
        os.nice(10)
