from __future__ import annotations

import pytest

from gateway.mqtt import causes
from gateway.mqtt.endings import Endings, Law
from tests.fixtures.fleet import come_back

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


def test_whoever_has_a_twin_does_not_hurry_to_a_broker_on_this_box_either() -> None:
    endings = Endings()
    seen = []
    for cause, lasted_s in [(TAKEN_OVER, 1.0)] * 3 + [(REFUSED, 0.1)]:
        endings.count(cause, acknowledged=True, lasted_s=lasted_s)
        seen.append(endings.twin)
    assert seen == [False, False, True, False]


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


def test_the_bound_of_a_wait_doubles_up_to_a_minute() -> None:
    assert [Law().bound_s(failures) for failures in range(5)] == [15, 30, 60, 60, 60]


def test_while_power_may_flow_a_third_of_the_lease_bounds_the_wait_without_growth() -> None:
    assert [Law().bound_s(failures, urgent_s=10) for failures in (0, 1, 9)] == [10, 10, 10]
    assert Law().bound_s(0, urgent_s=100) == 15


def test_a_broker_that_asks_for_time_gets_a_minute() -> None:
    assert Law().bound_s(0, busy=True) == 60
    assert Law().bound_s(0, urgent_s=10, busy=True) == 60


@pytest.mark.parametrize("away_s", [0, 5, 600])
def test_a_hundred_thousand_gateways_do_not_meet_a_restarted_broker_in_one_second(
    away_s: float,
) -> None:
    found = come_back(Law(), gateways=100_000, away_s=away_s)
    assert found.most_per_s <= 8_300
    assert found.back_s <= 60


def test_an_armed_battery_keeps_its_lease_over_a_short_restart_of_the_broker() -> None:
    """Of a lease of 30 s, of which up to 5 are gone when the broker goes."""
    lost = {
        away_s: come_back(Law(), gateways=20_000, away_s=away_s, armed=True).leases_lost
        for away_s in (0, 3, 6, 10, 15)
    }
    assert lost[0] == lost[3] == lost[6] == lost[10] == 0
    assert lost[15] < 0.01
    calm = come_back(Law(), gateways=20_000, away_s=10, armed=False).leases_lost
    assert calm > 0.1  # what the rule is for
