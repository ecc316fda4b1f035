from __future__ import annotations

from gateway.mqtt import causes
from gateway.mqtt.endings import Endings

CLOSED = f"mqtt.example.com:8883 {causes.CLOSED}"
TAKEN_OVER = f"mqtt.example.com:8883: {causes.reason(0x8E, '')}"
REFUSED = "mqtt.example.com:8883 refused the connection: no broker listens there"


def failures(*ends: tuple[str, bool, float]) -> list[int]:
    endings, found = Endings(), []
    for cause, acknowledged, lasted_s in ends:
        endings.count(cause, acknowledged=acknowledged, lasted_s=lasted_s)
        found.append(endings.failures)
    return found


def test_an_attempt_without_use_doubles_the_wait() -> None:
    assert failures(*[(REFUSED, False, 0.1)] * 4) == [1, 2, 3, 4]


def test_a_connection_of_use_starts_anew() -> None:
    assert failures((REFUSED, False, 0.1), (REFUSED, False, 0.1), (CLOSED, True, 5.0)) == [1, 2, 0]


def test_gateways_with_one_id_wait_longer_and_longer_although_each_connection_works() -> None:
    """Whether the broker says that the id was taken, or only closes."""
    for cause in (TAKEN_OVER, CLOSED):
        assert failures(*[(cause, True, 3.0)] * 6) == [0, 0, 1, 2, 3, 4]


def test_a_rare_turn_between_two_gateways_is_no_reason_to_hurry() -> None:
    """The longer the one waits, the longer the other one's connection lasts."""
    assert failures(*[(TAKEN_OVER, True, 50.0)] * 5) == [0, 0, 1, 2, 3]


def test_a_broker_that_closes_once_in_a_while_is_called_at_once() -> None:
    assert failures(*[(CLOSED, True, 3600.0)] * 6) == [0] * 6


def test_the_guess_is_said_only_where_the_broker_is_silent() -> None:
    silent, told = Endings(), Endings()
    for _ in range(3):
        guess = silent.count(CLOSED, acknowledged=True, lasted_s=1.0)
        known = told.count(TAKEN_OVER, acknowledged=True, lasted_s=1.0)
    assert guess == f"{CLOSED} again and again: perhaps another client uses our id"
    assert known == TAKEN_OVER


def test_the_settings_of_before_are_tried_at_once() -> None:
    endings = Endings()
    endings.count(REFUSED, acknowledged=False, lasted_s=0.1)
    endings.forgive()
    assert endings.failures == 0
