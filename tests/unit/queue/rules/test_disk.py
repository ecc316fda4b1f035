"""When telemetry is refused, and when it goes on."""

from __future__ import annotations

from gateway.queue.rules.disk import Disk, Room
from gateway.queue.rules.retention import Space

GIB = 1 << 30
PLENTY = Space(50 * GIB, 100 * GIB)
EDGE = Space(5 * GIB, 100 * GIB)  # exactly the reserve
LOW = Space(5 * GIB - 1, 100 * GIB)


def test_telemetry_is_refused_while_the_reserve_is_used() -> None:
    disk = Disk().looked(LOW)
    assert disk.room is Room.LOW
    assert disk.refuses_telemetry


def test_the_edge_of_the_reserve_does_not_flap() -> None:
    assert Disk().looked(EDGE).room is Room.ROOM
    assert Disk().looked(LOW).looked(EDGE).room is Room.LOW
    assert Disk().looked(LOW).looked(PLENTY).room is Room.ROOM


def test_a_failed_write_is_over_when_one_succeeds() -> None:
    disk = Disk().looked(PLENTY).refused()
    assert disk.room is Room.HARD
    assert not disk.refuses_telemetry  # a quota does not show in the free bytes: try
    assert disk.wrote().room is Room.ROOM


def test_a_write_that_fits_into_the_reserve_does_not_let_telemetry_in() -> None:
    disk = Disk().looked(LOW).refused()
    assert disk.refuses_telemetry
    assert disk.wrote().room is Room.LOW
