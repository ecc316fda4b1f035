from __future__ import annotations

import argparse
import sys

import pytest

from gateway.sim import command
from gateway.sim.faults import FAULTS


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["sim", *arguments])


def test_without_py1815_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith(("py1815", "gateway.sim."))]:
        if name not in ("gateway.sim.command", "gateway.sim.faults"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("gateway.sim.outstation", raising=False)
    monkeypatch.setitem(sys.modules, "py1815", None)
    with pytest.raises(command.MissingSimulatorError, match=r"pip install py1815==0\.3\.0"):
        command.run(parsed("--map=generic-rtac"))


def test_help_lists_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = capsys.readouterr().out
    assert all(name in shown for name in FAULTS)


def test_faults_may_be_repeated() -> None:
    assert parsed("--map=x", "--fault=local", "--fault=nan=AI1").fault == ["local", "nan=AI1"]
