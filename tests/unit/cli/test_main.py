"""The command line itself: what it accepts, and what it says when it does not."""

from __future__ import annotations

import pytest

from gateway import __version__
from gateway.cli import main

EX_USAGE = 64
COMMANDS = ("run", "check", "status", "watch", "queue", "maps", "sim")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"    {name} " not in shown] == []


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"bess-gateway {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["check", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["check", "--config"], "expected one argument"),
        (["maps"], "required"),
        (["maps", "dance"], "invalid choice: 'dance'"),
        (["sim"], "--map"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_exits_64(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == EX_USAGE
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
