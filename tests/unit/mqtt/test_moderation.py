"""How much of what a broker sends is heard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.moderation import BURST, PER_S, SAY_S, Moderation

TOPIC, OTHER = "gw/bess-1/cmd", "gw/hb/down"


def heard(found: Moderation, topic: str, at_s: float, count: int) -> int:
    return sum(found.hears(topic, at_s) for _ in range(count))


def test_a_burst_is_heard_and_the_flood_behind_it_is_not() -> None:
    found = Moderation([TOPIC], 0.0)
    assert heard(found, TOPIC, 0.0, 10_000) == BURST
    assert heard(found, TOPIC, 1.0, 10_000) == PER_S


def test_a_flood_on_one_topic_leaves_the_others_their_allowance() -> None:
    found = Moderation([TOPIC, OTHER], 0.0)
    heard(found, TOPIC, 0.0, 10_000)
    assert found.hears(OTHER, 0.0)


def test_a_topic_that_nobody_subscribed_to_is_never_heard() -> None:
    found = Moderation([TOPIC], 0.0)
    assert heard(found, "gw/made-up", 0.0, 3) == 0
    assert heard(found, "gw/made-up", 1e6, 3) == 0


@given(st.lists(st.floats(0, 0.5), max_size=300))
def test_no_timing_gets_more_through_than_the_allowance(gaps: list[float]) -> None:
    found, at_s, count = Moderation([TOPIC], 0.0), 0.0, 0
    for gap in gaps:
        at_s += gap
        count += found.hears(TOPIC, at_s)
    assert count <= BURST + at_s * PER_S + 1e-6


def test_what_is_dropped_is_said_at_once_and_then_once_a_minute() -> None:
    found = Moderation([TOPIC], 0.0)
    assert found.complaint(0.0) == ""
    heard(found, TOPIC, 1.0, 1000)
    assert "dropped 960 messages" in found.complaint(1.0)
    heard(found, TOPIC, 2.0, 1000)
    assert found.complaint(2.0) == ""
    assert "dropped 975 messages" in found.complaint(1.0 + SAY_S)
    assert found.complaint(1e6) == ""
