"""What goes out about a command: states, and the platform's view of them."""

from __future__ import annotations

from gateway.control.commands.reasons import Reason, ResultState


def test_the_platform_sees_pending_success_and_failed() -> None:
    pending = {"received", "pending_approval", "accepted", "executing"}
    assert {state for state in ResultState if state.platform == "pending"} == pending
    assert {state for state in ResultState if state.platform == "success"} == {"succeeded"}
    assert {state for state in ResultState if state.final} == set(ResultState) - pending


def test_the_reasons_are_those_of_the_contract() -> None:
    contract = (
        "MALFORMED TOO_LARGE RETAINED SCHEMA SIGNATURE UNKNOWN_KEY KEY_EXPIRED ROLE WRONG_GATEWAY "
        "WRONG_ASSET SESSION CHALLENGE LIFETIME NOT_YET_VALID EXPIRED DUPLICATE SEQUENCE "
        "MAP_DIGEST SAFETY_DIGEST CONTROL_DISABLED APPROVAL STATE INTERLOCK LIMIT PARAMS RATE "
        "UNSUPPORTED"
    )
    assert " ".join(Reason) == contract
