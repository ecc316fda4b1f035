"""The alarm book: raised with the first source, cleared with the last."""

from __future__ import annotations

from gateway.normalize.alarms import ALARM, FAULT, Alarm, AlarmBook, notice_of, notice_of_bit
from gateway.normalize.grid import LoadAlarm, loading_pct

HOT = notice_of("alarm", "over_temp")


def test_an_alarm_is_reported_once_when_raised_and_once_when_cleared() -> None:
    book = AlarmBook()
    for on in (False, True, True, False, False):
        book.put(HOT, on=on, point="BI2", at_ms=5)
    raised, cleared = book.collect()
    assert (raised.raised, raised.severity, raised.point) == (True, "warning", "BI2")
    assert raised.text == "alarm over_temp (BI2) raised"
    assert (cleared.raised, cleared.severity) == (False, "info")
    assert book.collect() == ()


def test_an_active_alarm_keeps_the_time_at_which_it_was_raised() -> None:
    book = AlarmBook()
    book.put(HOT, on=True, point="BI2", at_ms=5)
    book.put(HOT, on=True, point="AI9", at_ms=9)
    assert book.active(ALARM) == (Alarm("over_temp", 5, "warning"),)
    assert book.active(FAULT) == ()


def test_a_code_with_two_sources_is_cleared_with_the_last() -> None:
    book = AlarmBook()
    book.put(HOT, on=True, point="BI2", at_ms=5)
    book.put(HOT, on=True, point="AI9", at_ms=6)
    book.put(HOT, on=False, point="BI2", at_ms=7)
    assert [change.raised for change in book.collect()] == [True]
    book.put(HOT, on=False, point="AI9", at_ms=8)
    assert [change.raised for change in book.collect()] == [False]
    assert book.active(ALARM) == ()


def test_a_chattering_contact_ends_in_one_record_with_the_number_withheld() -> None:
    book = AlarmBook()
    for at_ms in range(1000):
        book.put(HOT, on=at_ms % 2 == 0, point="BI2", at_ms=at_ms)
    *singly, storm = book.collect()
    assert len(singly) == 200
    assert (storm.code, storm.at_ms) == ("alarm_storm", 199)
    assert storm.text.startswith("800 more")
    assert book.collect() == ()
    assert book.active(ALARM) == ()


def test_roles_of_one_point_have_the_same_code_at_every_site() -> None:
    assert notice_of("estop_status", "es_pressed") == ("alarm", "estop_status", "critical")
    assert notice_of("fault", "pcs_trip") == ("fault", "pcs_trip", "critical")


def test_bits_name_their_kind_and_code() -> None:
    assert notice_of_bit("fault:dc_breaker") == ("fault", "dc_breaker", "critical")
    assert notice_of_bit("alarm:over_temp") == ("alarm", "over_temp", "warning")
    assert [notice_of_bit(word) for word in ("over_temp", "mode:agc", "alarm:", "")] == [None] * 4


def test_transformer_loading_is_apparent_power_over_rating() -> None:
    assert loading_pct(-300e3, 400e3, 1000.0) == 50.0


def test_a_load_alarm_clears_five_percent_below_its_limit() -> None:
    alarm = LoadAlarm(80.0)
    raised = []
    for found_pct in (79.9, 80.0, 76.0, 75.0, 74.9, 79.9, 80.0):
        alarm = alarm.handle(found_pct)
        raised.append(alarm.raised)
    assert raised == [False, True, True, True, False, False, True]
