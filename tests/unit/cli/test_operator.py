"""The operator's commands: what they accept, and how the daemon's answers are shown."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli import main, views

FULL: dict[str, Any] = {
    "state": "ACTIVE",
    "enabled": True,
    "reasons": [],
    "approval": "dual",
    "leaseS": 24.6,
    "dispatch": {"id": "01JABC", "powerW": -500_000.0, "leftS": 812.0},
    "pending": 2,
    "warnings": ["the dead-man test is 340 days old"],
    "lastResult": {"id": "01JABB", "state": "failed", "reason": "feedback"},
    "deadmanTestDays": 340,
}


def test_control_is_shown_with_lease_dispatch_last_result_and_warnings() -> None:
    assert views.control_lines(FULL) == [
        "control ACTIVE, approval dual, lease 25 s left",
        "  dispatch 01JABC: -500,000 W, 812 s left",
        "  pending  2: see `bess-gateway pending`",
        "  last     01JABB: failed (feedback)",
        "  dead-man test 340 days ago",
        "  ! the dead-man test is 340 days old",
    ]


def test_an_older_daemon_shows_state_and_reasons() -> None:
    control = {"state": "MONITOR", "enabled": False, "reasons": ["SAFETY_CONFIG_MISSING", "X"]}
    assert views.control_lines(control) == ["control MONITOR (SAFETY_CONFIG_MISSING, X)"]


def test_nothing_is_shown_of_what_is_not_there() -> None:
    empty = FULL | {
        "leaseS": 0,
        "dispatch": None,
        "pending": 0,
        "warnings": [],
        "lastResult": None,
        "deadmanTestDays": None,
    }
    assert views.control_lines(empty) == ["control ACTIVE, approval dual, no lease"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "acknowledged  no"),
        ("sha256:aa", "acknowledged  yes"),
        ("sha256:bb", "acknowledged  another file, sha256:bb"),
    ],
)
def test_an_acknowledgement_counts_for_the_file_in_force(found: str | None, said: str) -> None:
    shown: dict[str, Any] = {
        "safetyDigest": "sha256:aa",
        "mapDigest": "sha256:cc",
        "reasons": [],
        "approval": "local",
        "acknowledged": found,
        "signTest": None,
        "deadmanTest": None,
    }
    lines = views.commissioning("bess-1", shown)
    assert f"  {said}\n" in lines
    assert "nothing stands against it" in lines
    assert "read safety.toml before you agree" in lines


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert views.plain("a\x1b[2J\nb\u202ec é") == "a?[2J?b?c é"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["approve"], "the following arguments are required: ID"),
        (["reject"], "the following arguments are required: ID"),
        (["commission"], "the following arguments are required: COMMAND"),
        (["commission", "dance"], "invalid choice: 'dance'"),
        (["commission", "sign-test", "--hold", "0"], "'0': must be a positive number of seconds"),
        (["commission", "sign-test", "--hold", "nan"], "must be a positive number of seconds"),
        (["commission", "deadman-test", "--hold", "x"], "must be a positive number of seconds"),
        (["commission", "show", "--hold", "3"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_line_exits_64(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(words)
    assert end.value.code == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["estop"],
        ["reset"],
        ["disable-control"],
        ["enable-control"],
        ["pending"],
        ["approve"],
        ["reject"],
        ["commission"],
        ["commission", "show"],
        ["commission", "acknowledge"],
        ["commission", "sign-test"],
        ["commission", "deadman-test"],
        ["commission", "abort"],
    ],
)
def test_every_command_explains_itself(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.main([*words, "--help"])
    assert end.value.code == 0
    assert "usage: bess-gateway " + " ".join(words) in capsys.readouterr().out
