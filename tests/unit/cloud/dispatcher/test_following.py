"""When a command is over, what is printed of it, and what is noticed meanwhile."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from gateway.clock import Now
from gateway.cloud.dispatcher import lines
from gateway.cloud.dispatcher.changes import Changes
from gateway.cloud.dispatcher.command import add_parser
from gateway.cloud.dispatcher.following import End, Following
from gateway.cloud.dispatcher.heard import Challenge, HeardMessage

ID, OTHER = "01JD0000000000000000000000", "01JD0000000000000000000001"
T0_MS = 1_795_324_200_250


def at(second: float) -> Now:
    return Now(1000.0 + second, T0_MS + int(second * 1000))


def said(state: str, *, second: float = 0.0, id_: str = ID, **more: Any) -> HeardMessage:  # noqa: ANN401 - any field of it
    schema = "bess.ack/1" if state == "received" else "bess.result/1"
    body = {"schema": schema, "id": id_, "state": state, "reason": None} | more
    return HeardMessage("t", b"", retained=False, at=at(second), body=body)


def following(until: str = "succeeded", *, hold_s: float | None = None) -> Following:
    return Following(ID, until=until, within_s=150.0, sent_s=1000.0, hold_s=hold_s)


def play(one: Following, *script: tuple[float, str, str]) -> End | None:
    """Tell (second, state or "", the watchdog's state); the first end."""
    for second, state, phase in script:
        heard = said(state, second=second) if state else None
        if (end := one.take(heard, phase=phase, now=at(second))) is not None:
            return end
    return None


def test_a_command_is_over_when_it_succeeded() -> None:
    one = following()
    assert play(one, (0.1, "received", ""), (0.2, "accepted", ""), (1, "executing", "")) is None
    assert play(one, (4, "succeeded", "ACTIVE")) == End(ok=True, text="succeeded")


@pytest.mark.parametrize("until", ["received", "accepted", "executing"])
def test_less_may_be_good_enough(until: str) -> None:
    end = play(following(until), (0.1, "received", ""), (0.2, "accepted", ""), (1, "executing", ""))
    assert end == End(ok=True, text=until)


@pytest.mark.parametrize("state", ["rejected", "failed", "aborted", "expired", "superseded"])
def test_a_bad_end_carries_its_reason(state: str) -> None:
    heard = said(state, reason="INTERLOCK")
    end = following("received").take(heard, phase="", now=at(1))
    assert end == End(ok=False, text=f"{state}: INTERLOCK")
    heard = said(state, reason="INTERLOCK", text="LOCAL: the site has the authority")
    end = following("received").take(heard, phase="", now=at(1))
    assert end == End(ok=False, text=f"{state}: INTERLOCK: LOCAL: the site has the authority")


def test_another_command_is_none_of_ours() -> None:
    one = following()
    assert one.take(said("rejected", id_=OTHER), phase="", now=at(1)) is None


def test_no_ack_in_ten_seconds_is_the_end() -> None:
    one = following()
    assert play(one, (9.9, "", "")) is None
    end = play(one, (10.0, "", ""))
    assert end is not None
    assert not end.ok
    assert end.text.startswith("no ack: the gateway did not get it")


def test_an_approval_that_is_pending_is_waited_for_and_not_for_ever() -> None:
    one = following()
    assert play(one, (0.1, "received", ""), (0.2, "pending_approval", ""), (140, "", "")) is None
    end = play(one, (150, "", ""))
    assert end == End(ok=False, text="still pending_approval after 150 s: not succeeded")


def test_results_that_come_out_of_order_do_not_take_it_back() -> None:
    one = following(hold_s=None)
    assert play(one, (1, "executing", ""), (1.1, "received", ""), (9, "", "")) is None
    assert play(one, (11, "", ""), (12, "succeeded", "")) == End(ok=True, text="succeeded")


def test_a_dispatch_is_held_until_its_duration_is_over_and_the_battery_idle() -> None:
    one = following(hold_s=60.0)
    script = [(1.0, "executing", "ARMED"), (3.0, "succeeded", "ACTIVE"), (59.0, "", "ACTIVE")]
    assert play(one, *script, (61.0, "", "IDLING")) is None
    assert play(one, (62.0, "", "IDLE")) == End(ok=True, text="over: the battery is IDLE")


def test_a_dispatch_that_ends_early_has_failed() -> None:
    one = following(hold_s=60.0)
    assert play(one, (1.0, "executing", ""), (3.0, "succeeded", "ACTIVE")) is None
    assert play(one, (20.0, "", "IDLE")) == End(ok=False, text="ended early: the battery is IDLE")
    assert play(one, (20.0, "aborted", "IDLE")) == End(ok=False, text="aborted: no reason given")


def test_a_battery_that_does_not_become_idle_has_failed() -> None:
    one = following(hold_s=60.0)
    assert play(one, (1.0, "succeeded", "ACTIVE"), (70.0, "", "IDLING")) is None
    assert play(one, (75.0, "", "LATCHED")) == End(ok=False, text="over: the battery is LATCHED")


@pytest.mark.parametrize(("phase", "ok"), [("", True), ("IDLE", True), ("IDLING", False)])
def test_holding_does_not_last_for_ever(phase: str, *, ok: bool) -> None:
    one = following(hold_s=60.0)
    assert play(one, (0.0, "succeeded", phase), (99.0, "", phase)) is None
    end = play(one, (100.0, "", phase))
    assert end is not None
    assert end.ok is ok


# --- lines ------------------------------------------------------------------------------------


def test_an_ack_that_refuses_says_why_for_people_too() -> None:
    line = lines.of_message(said("received", reason="LIMIT", text="reserve 4 %: must be 5..80 %"))
    assert line is not None
    assert line.text == f"{ID} received (LIMIT: reserve 4 %: must be 5..80 %)"


def test_a_result_is_one_line_with_its_powers_and_reason() -> None:
    heard = said("failed", reason="INTERLOCK", requestedPowerW=5, appliedPowerW=4, warnings=["x"])
    line = lines.of_message(heard)
    assert line is not None
    assert line.human() == (
        f"05:10:00.250  result     {ID} failed (INTERLOCK: A condition of the site does not hold): "
        "requested 5 W, applied 4 W; warning: x"
    )
    facts = json.loads(line.json())
    assert (facts["kind"], facts["state"], facts["appliedPowerW"]) == ("result", "failed", 4)
    assert facts["at"] == "2026-11-22T05:10:00.250Z"


def test_an_event_is_one_line_and_other_messages_are_none() -> None:
    body = {"schema": "bess.event/1", "asset": "bess-1", "type": "watchdog", "severity": "warning"}
    heard = HeardMessage(
        "t", b"", retained=False, at=at(0), body=body | {"text": "ACTIVE to IDLING"}
    )
    line = lines.of_message(heard)
    assert line is not None
    assert line.text == "bess-1: watchdog warning: ACTIVE to IDLING"
    heard = HeardMessage("t", b"", retained=False, at=at(0), body={"schema": "bess.state/1"})
    assert lines.of_message(heard) is None


# --- noticing ---------------------------------------------------------------------------------


def birth(state: str, *reasons: str) -> dict[str, Any]:
    control = {"state": state, "reasons": list(reasons)}
    return {"assets": [{"id": "bess-1", "control": control}, {"id": "raw"}, 7]}


def test_only_what_has_changed_is_said() -> None:
    one = Changes("gw-17")

    def look(second: float = 0.0, **change: Any) -> list[str]:  # noqa: ANN401 - any argument
        fields = {
            "now": at(second),
            "cause": None,
            "status": {"online": True},
            "birth": birth("IDLE"),
            "challenge": None,
            "answering": False,
        } | change
        return [line.text for line in one.look(**fields)]

    assert look() == ["broker connected", "gw-17 is online", "bess-1 is IDLE"]
    assert look() == []
    assert look(birth=birth("MONITOR", "A", "B")) == ["bess-1 is MONITOR, not ready: A, B"]
    away: dict[str, Any] = {
        "status": {"online": False},
        "birth": birth("MONITOR", "A", "B"),
        "cause": "gone",
    }
    assert look(**away) == ["broker away: gone", "gw-17 is offline"]


def test_challenges_that_stop_and_come_back_are_said_once_each() -> None:
    one = Changes("gw-17")

    def look(second: float, challenge: Challenge | None) -> list[str]:
        found = one.look(
            now=at(second), cause=None, status={}, birth={}, challenge=challenge, answering=True
        )
        return [line.text for line in found if line.kind == "heartbeat"]

    assert look(0, None) == []
    assert look(14, None) == []
    silent = "no challenge for 15 s: the gateway does not ask, or is not heard"
    assert look(15, None) == [silent]
    first = Challenge("AAA", 1, at(16))
    assert look(16, first) == ["answering the challenges of session AAA"]
    assert look(30, first) == []
    assert look(31, None) == [silent]
    assert look(40, Challenge("BBB", 1, at(40))) == ["answering the challenges of session BBB"]


# --- the command line -------------------------------------------------------------------------


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_parser(parser.add_subparsers())
    return parser.parse_args(["dispatch", *arguments])


def test_the_verbs_have_their_parameters() -> None:
    one = parsed("setpoint", "-500000", "--for", "900", "--ramp", "1000", "--min-soc", "20")
    assert (one.verb, one.power_w, one.duration_s) == ("setpoint", -500_000, 900)
    assert (one.ramp_w_per_s, one.min_soc, one.max_soc) == (1000, 20, None)
    assert parsed("alarm-reset").verb == parsed("alarm_reset").verb == "alarm_reset"
    assert parsed("mode", "peak").name == "peak"
    assert parsed("reserve", "20").percent == 20


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["charge", "-5", "--for", "1"], "must be 0 or more: the verb says the direction"),
        (["charge", "500kW", "--for", "1"], "must be whole watts, such as 500000"),
        (["charge", "nan", "--for", "1"], "must be whole watts"),
        (["charge", "5"], "the following arguments are required: --for"),
        (["charge", "5", "--for", "0"], "must be a whole number, 1..86400"),
        (["charge", "5", "--for", "1", "--min-soc", "101"], "must be a whole number, 0..100"),
        (["charge", "5", "--for", "1", "--ramp", "0"], "must be a whole number, 1.."),
        (["reserve", "-1"], "must be a whole number, 0..100"),
        (["arm", "--lifetime", "121"], "must be a whole number, 1..120"),
        (["arm", "--port", "65536"], "must be a whole number, 1..65535"),
        (["keygen", "x", "--alg", "RS256"], "invalid choice: 'RS256'"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)) as raised:
        parsed(*arguments)
    assert why in str(raised.value) + capsys.readouterr().err


def test_what_a_broker_says_cannot_drive_the_terminal_nor_begin_a_line() -> None:
    line = lines.of_message(said("failed", reason="\x1b[2J\nACTIVE\x9b31m"))
    assert line is not None
    assert "(\\x1b[2J\\nACTIVE\\x9b31m)" in line.human()
