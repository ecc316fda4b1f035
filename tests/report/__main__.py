"""``make report``: measure a part anew, draw it, and put its table into README.md here.

The parts: goals, peers, backlog, latency, soak (taken over from build/soak), control (taken over
from build/control.md). Without one: what needs no measuring, that is all tables and pictures from
the files that are there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.report import backlog, latency
from tests.soak import samples, verdict

HERE = Path(__file__).parent
PARTS = ("goals", "peers", "backlog", "latency", "soak", "control")
CONTROL = Path("build")
PEERS_PYTHON = "build/peers/bin/python"


def main() -> int:
    """Do what is asked for; a missed goal is no failure here, the table says it."""
    parser = argparse.ArgumentParser(prog="python -m tests.report", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=" ".join(PARTS))
    parser.add_argument("--soak", type=Path, default=Path("build/soak"), help="(build/soak)")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"{' '.join(sorted(unknown))}: must be of {' '.join(PARTS)}")
    for part in asked.parts:
        _measure(part, soak=asked.soak)
    _draw()
    return 0


def _measure(part: str, *, soak: Path) -> None:
    if part == "goals":
        target = str(HERE / "goals.md")
        subprocess.run([sys.executable, "-m", "tests.bench", "--markdown", target], check=False)
    elif part == "peers":
        command = [sys.executable, "-m", "tests.bench.peers", "--python", PEERS_PYTHON]
        subprocess.run([*command, "--into", str(HERE / "peers.md")], check=False)
    elif part == "backlog":
        backlog.measure(HERE / "backlog.csv")
    elif part == "latency":
        latency.measure(HERE / "latency.csv")
    elif part == "control":
        for name in ("control.csv", "control.md"):
            if (CONTROL / name).exists():
                shutil.copyfile(CONTROL / name, HERE / name)
    else:
        for name in ("soak.csv", "soak.md"):
            if (soak / name).exists():
                shutil.copyfile(soak / name, HERE / name)


def _draw() -> None:
    if (HERE / "backlog.csv").exists():
        backlog.plot(HERE / "backlog.csv", HERE / "backlog.png")
        (HERE / "backlog.md").write_text(backlog.table(HERE / "backlog.csv"))
    if (HERE / "latency.csv").exists():
        latency.plot(HERE / "latency.csv", HERE / "latency.png")
    if (HERE / "soak.csv").exists():
        verdict.plot(samples.read(HERE / "soak.csv"), HERE / "soak.png")
    page = HERE / "README.md"
    text = page.read_text()
    for name in ("goals", "peers", "peers-busy", "backlog", "soak", "control"):
        begin, end = f"<!-- {name}.md -->\n", f"<!-- end of {name}.md -->"
        if begin in text and (HERE / f"{name}.md").exists():
            head, _, rest = text.partition(begin)
            tail = rest.partition(end)[2]
            text = head + begin + (HERE / f"{name}.md").read_text() + end + tail
    page.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
