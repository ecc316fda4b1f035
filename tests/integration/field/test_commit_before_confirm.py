"""What was not durable when the process died is delivered again; what was, is not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.fixtures.outstation_process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.outstation_process import OutstationProcess

    Stations = Callable[..., OutstationProcess]

DEADLINE_S = 60


def master(port: int, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fixtures.field_child", str(port), mode],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def events_heard(port: int) -> list[list[object]]:
    """The events that a new master is given before its first event poll has ended."""
    with master(port, "listen") as child:
        assert child.stdout is not None
        heard: list[list[object]] = []
        for line in child.stdout:
            if (said := json.loads(line)) == "polled":
                break
            heard.append(said)
        child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0
    return heard


def killed(port: int, mode: str) -> None:
    with master(port, mode) as child:
        assert child.wait(DEADLINE_S) == -signal.SIGKILL


def test_an_event_whose_store_was_cut_short_is_delivered_again(outstation: Stations) -> None:
    station = outstation()
    station.ask("update", kind="AI", index=3, value=4242)
    killed(station.port, "die-storing")
    assert ["AI3", 4242] in events_heard(station.port)


def test_an_event_that_was_stored_is_not_delivered_again(outstation: Stations) -> None:
    station = outstation()
    station.ask("update", kind="AI", index=3, value=4242)
    killed(station.port, "die-stored")
    assert events_heard(station.port) == []


def test_an_unsolicited_event_whose_store_was_cut_short_is_delivered_again(
    outstation: Stations,
) -> None:
    station = outstation()
    with master(station.port, "die-storing") as child:
        # no event is there when it polls: this one comes unsolicited, or with a later poll
        station.ask("update", kind="BI", index=2, value=1)
        assert child.wait(DEADLINE_S) == -signal.SIGKILL
    assert ["BI2", 1] in events_heard(station.port)
