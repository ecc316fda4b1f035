"""When a state message is due: scripts of (second, power, due)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.measured import TimeQuality
from gateway.normalize.publish import Publication, dead_bands
from tests.fixtures.batteries import at, battery, points_map, raw, row

POWER = row("AI1", "power", unit="W", sign="discharge_positive", deadband=5e3)
SOC = row("AI0", "soc", unit="%", deadband=0.5)
STORED = row("AI3", "energy_stored", unit="Wh")
HOT = row("BI2", "alarm", unit="bool", name="over_temp")
BANDS = dead_bands(points_map(SOC, POWER, STORED, HOT), capacity_wh=8e6)


def play(script: list[tuple[float, float, bool]], *, role: str = "AI1") -> Publication:
    found = battery([SOC, POWER, STORED, HOT], [raw("AI0", 50.0, event=True)])
    publication = Publication(BANDS)
    for second, value, expected in script:
        found.fold([raw(role, value, second=second, event=True)], at(second))
        found.polled("event", ok=True, now=at(second))
        publication, due = publication.handle(found.state(at(second)), at(second).mono_s)
        assert due is expected, f"at {second} s with {value}"
    return publication


def test_charge_inherits_the_dead_band_of_its_percentage() -> None:
    assert dict(BANDS) == {"chargePercentage": 0.5, "chargeRate": 5e3, "charge": 40e3}


def test_the_percentage_inherits_the_dead_band_of_stored_energy() -> None:
    stored = row("AI3", "energy_stored", unit="Wh", deadband=80e3)
    bands = dead_bands(points_map(row("AI0", "soc", unit="%"), stored), capacity_wh=8e6)
    assert dict(bands) == {"charge": 80e3, "chargePercentage": 1.0}


def test_the_first_state_is_due_at_once_and_an_unchanged_one_after_a_minute() -> None:
    play([(0, 1e6, True), (1, 1e6, False), (59.9, 1e6, False), (60, 1e6, True)])


def test_two_states_are_a_second_apart_however_fast_values_change() -> None:
    play(
        [(0, 1e6, True), (0.5, 9e5, False), (0.9, 8e5, False), (1.0, 8e5, True), (1.2, 1e6, False)]
    )


def test_a_change_within_the_dead_band_is_not_due_until_it_adds_up() -> None:
    play([(0, 1e6, True), (2, 1.003e6, False), (4, 1.005e6, False), (6, 1.0051e6, True)])


def test_a_raised_alarm_is_due_though_no_number_moved() -> None:
    play([(0, 0, True), (2, 0, False), (3, 1, True), (5, 1, False), (6, 0, True)], role="BI2")


def test_a_changed_quality_is_due() -> None:
    found = battery([POWER], [raw("AI1", 1e6)])
    publication, _ = Publication(BANDS).handle(found.state(at(0)), at(0).mono_s)
    publication, due = publication.handle(found.state(at(14)), at(14).mono_s)
    assert not due
    publication, due = publication.handle(found.state(at(15)), at(15).mono_s)
    assert due


def test_a_new_time_alone_is_no_change() -> None:
    found = battery([SOC], [raw("AI0", 50.0)])
    publication, _ = Publication(BANDS).handle(found.state(at(0)), at(0).mono_s)
    found.fold([raw("AI0", 50.0, second=5, tq=TimeQuality.UNSYNCED)], at(5))
    assert not publication.handle(found.state(at(5)), at(5).mono_s)[1]


def test_arriving_points_bring_the_next_look_nearer_but_not_below_a_second_apart() -> None:
    publication = play([(0, 1e6, True)])
    assert publication.wake_at == at(1).mono_s
    assert publication.noted(at(0.3).mono_s).wake_at == at(1).mono_s
    publication = play([(0, 1e6, True), (2, 1e6, False)])
    assert publication.wake_at == at(3).mono_s
    assert publication.noted(at(2.1).mono_s).wake_at == at(2.25).mono_s
    assert publication.noted(at(2.5).mono_s).wake_at == at(2.5).mono_s


def test_the_look_never_misses_the_minute() -> None:
    publication = play([(0, 1e6, True), (59.5, 1e6, False)])
    assert publication.wake_at == at(60).mono_s


def test_what_a_new_broker_has_not_seen_is_due_again() -> None:
    publication = play([(0, 1e6, True), (3, 1e6, False)]).forget()
    found = battery([POWER], [raw("AI1", 1e6)])
    assert publication.wake_at <= at(3.25).mono_s
    assert publication.handle(found.state(at(4)), at(4).mono_s)[1]


GAPS_S = st.one_of(st.floats(0.01, 2), st.floats(0.01, 2), st.floats(55, 65))


@given(st.lists(st.tuples(GAPS_S, st.floats(-2e6, 2e6)), min_size=1, max_size=20))
def test_messages_are_never_nearer_than_a_second_nor_further_than_a_minute(
    steps: list[tuple[float, float]],
) -> None:
    """The caller looks when points arrive and when ``wake_at`` says so, and at no other time."""
    found, publication = battery([POWER]), Publication(BANDS)
    second, published = 0.0, []
    for gap_s, power_w in steps:
        arrival = second + gap_s
        looks = []
        while at(second).mono_s <= publication.wake_at < at(arrival).mono_s:
            second = max(second, publication.wake_at - at(0).mono_s)
            publication, due = publication.handle(found.state(at(second)), at(second).mono_s)
            looks += [second] if due else []
        published += looks
        second = arrival
        found.fold([raw("AI1", power_w, second=second)], at(second))
        publication = publication.noted(at(second).mono_s)
        if at(second).mono_s >= publication.wake_at:
            publication, due = publication.handle(found.state(at(second)), at(second).mono_s)
            published += [second] if due else []
    assert all(0.999 <= later - sooner <= 60.001 for sooner, later in pairwise(published))
