"""Goal 13: how long ``bess-gateway check`` takes, and the daemon until READY=1."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.rig import COMMAND, Daemon, Rig
from tests.bench.table import Line, at_most

UNUSED_PORT = 9  # discard: nobody listens


def measure(*, quick: bool) -> list[Line]:
    """Interleaved: a check, a start, a check ..."""
    checks, starts = [], []
    with tempfile.TemporaryDirectory(prefix="bess-bench-") as folder, Rig(Path(folder)) as rig:
        rig.write_site([UNUSED_PORT])
        for _ in range(3 if quick else 7):
            began = time.perf_counter()
            subprocess.run(
                [str(COMMAND), "check", "--config", str(rig.site)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            checks.append(time.perf_counter() - began)
            with Daemon(rig) as daemon:
                starts.append(daemon.ready_s)
    return [
        at_most(13, "bess-gateway check", checks, most=0.3, unit="s"),
        at_most(13, "bess-gateway run until READY=1", starts, most=1.5, unit="s"),
    ]
