"""Parts of a few lines: health, refusals, the views' words."""

from __future__ import annotations

import base64
import json
import logging
import time

import pytest

from gateway import clock
from gateway.cli import views
from gateway.host import journal
from gateway.status import health
from gateway.status.refusal import MAX_COMMAND, refuse


def test_a_thread_without_progress_for_two_seconds_is_silent() -> None:
    beats = {"dnp3": 10.0, "store": 11.5}
    assert health.silent(beats, 11.9) == []
    assert health.silent(beats, 12.1) == ["dnp3"]
    assert health.silent(beats, 20.0) == ["dnp3", "store"]


def test_a_thread_that_limps_is_named_with_the_limit_of_its_kind() -> None:
    beats = {"dnp3 bess-1": 10.0, "dnp3 bess-2": 24.0, "mqtt": 10.0}
    limits_s = {"dnp3": 15.0, "mqtt": 90.0}
    assert health.limping(beats, 25.0, limits_s) == []
    assert health.limping(beats, 25.1, limits_s) == [("dnp3 bess-1", 15.0)]
    assert health.limping(beats, 101.0, limits_s) == [
        ("dnp3 bess-1", 15.0),
        ("dnp3 bess-2", 15.0),
        ("mqtt", 90.0),
    ]


def test_a_jump_of_the_wall_clock_is_seen_and_a_drift_is_not() -> None:
    assert health.clock_jump_s((10.0, 1000), (20.0, 11_000)) is None
    assert health.clock_jump_s((10.0, 1000), (20.0, 14_000)) is None
    assert health.clock_jump_s((10.0, 1000), (20.0, 3_611_000)) == pytest.approx(3600)


def command(claims: object) -> bytes:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return json.dumps({"payload": payload, "signatures": []}).encode()


@pytest.mark.parametrize(
    ("payload", "retained", "reason", "found"),
    [
        (command({"id": "01JABC"}), False, "CONTROL_DISABLED", "01JABC"),
        (command({"id": "01JABC"}), True, "RETAINED", "01JABC"),
        (command({"id": 3}), False, "MALFORMED", None),
        (command(["id"]), False, "MALFORMED", None),
        (b"\xff\x00", False, "MALFORMED", None),
        (b'{"payload":"***"}', False, "MALFORMED", None),
        (b"[" * 5000, False, "MALFORMED", None),
        (b"x" * (MAX_COMMAND + 1), False, "TOO_LARGE", None),
    ],
)
def test_a_command_is_refused_with_the_first_reason_that_holds(
    payload: bytes, retained: bool, reason: str, found: str | None
) -> None:
    refusal = refuse(payload, retained=retained)
    assert (refusal.reason, refusal.id, refusal.text) == (reason, found, "")


def test_who_orders_a_stop_while_there_is_no_control_is_told_what_stops_the_battery() -> None:
    stop = command({"id": "01JABC", "type": "estop"})
    assert refuse(stop, retained=False).text.endswith("use the hard-wired stop")
    assert refuse(stop, retained=True).text == ""
    assert refuse(command({"id": "01JABC", "type": "idle"}), retained=False).text == ""


def test_times_on_the_wire_have_milliseconds_and_a_zone() -> None:
    assert clock.rfc3339(1_795_324_200_250) == "2026-11-22T05:10:00.250Z"
    assert clock.rfc3339(-1) == "1969-12-31T23:59:59.999Z"


def test_a_time_for_people_has_this_boxs_zone_and_no_fraction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert clock.local_time(1_795_324_200_250) == "2026-11-22T06:10:00+01:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_that_no_calendar_holds_is_still_written() -> None:
    assert clock.rfc3339((1 << 48) - 1) == "9999-12-31T23:59:59.999Z"
    assert clock.rfc3339(-(1 << 60)) == "1900-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (9000, "2 h"), (3e5, "3 d")]
)
def test_durations_are_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert views.span(seconds) == text


def test_text_from_outside_cannot_begin_a_line_of_its_own() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "name %s", ("a\nERROR b\x1b[0m",), None)
    record.fields = {"POINT": "AI1\nX"}
    line = journal.LineFormatter("%(message)s").format(record)
    assert line == "name a\\nERROR b\\x1b[0m [POINT=AI1\\nX]"


def test_a_line_with_half_of_a_surrogate_pair_is_written_and_no_error() -> None:
    record = logging.LogRecord("gateway", logging.INFO, "", 1, "kid \ud800", (), None)
    record.fields = {"COMMAND_ID": "\udfff"}
    journal.JournalHandler().emit(record)
