"""Everything a peer can do wrong: each is named for a technician, and outlived."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.events import FragmentStored, SessionDown, SessionUp
from tests.fixtures.tcp import Peer, Proxy, half, refusing_port, wrong_crc
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.field.dnp3.session import Dnp3Session
    from tests.fixtures.field import Recorder
    from tests.fixtures.outstation_process import OutstationProcess

    Stations = Callable[..., OutstationProcess]
    Sessions = Callable[..., Dnp3Session]


def test_a_port_where_nothing_listens_is_refused_and_the_session_comes_up_when_something_does(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    port = refusing_port()
    session_to(port)
    assert core.wait(SessionDown).cause == "refused: Connection refused"
    outstation(port=port)
    core.wait(SessionUp)


def test_a_host_that_does_not_exist_is_unreachable(session_to: Sessions, core: Recorder) -> None:
    session_to(20000, host="no-such-host.invalid")
    assert core.wait(SessionDown).cause.startswith("unreachable: ")


def test_a_wrong_link_address_is_told_with_the_right_one(
    session_to: Sessions, core: Recorder
) -> None:
    # this outstation announces its restart unsolicited, and so gives its address away
    with yadnp3_outstation(address=11) as station:
        session_to(station.port)
        cause = core.wait(SessionDown).cause
    assert cause.startswith("wrong link address: the outstation is 11 and speaks to master 1;")


@pytest.mark.parametrize("side", ["address", "master"])
def test_a_wrong_link_address_of_a_mute_outstation_is_told_as_a_guess(
    outstation: Stations, session_to: Sessions, core: Recorder, side: str
) -> None:
    session_to(outstation(unsolicited=False, **{side: 77}).port)
    cause = core.wait(SessionDown).cause
    assert "wrong link address" in cause
    assert " 10" in cause


def test_a_peer_that_is_silent_after_connect_is_given_up_and_tried_again(
    session_to: Sessions, core: Recorder
) -> None:
    with Peer() as peer:
        session_to(peer.port)
        assert "silent: connected, but no answer" in core.wait(SessionDown).cause
        assert peer.accepted.acquire(timeout=20)
        assert peer.accepted.acquire(timeout=20)


def test_a_peer_that_hangs_up_at_once_is_named(session_to: Sessions, core: Recorder) -> None:
    with Peer(hang_up=True) as peer:
        session_to(peer.port)
        assert core.wait(SessionDown).cause.startswith("closed: ")


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x05\x64" * 500,
        b"\x05\x64\xff\x44\x01\x00\x0a\x00\x00\x00" * 50,
        bytes(range(256)) * 40,
    ],
    ids=["http", "starts", "header", "octets"],
)
def test_a_peer_that_speaks_something_else_does_not_come_up(
    session_to: Sessions, core: Recorder, garbage: bytes
) -> None:
    with Peer(garbage) as peer:
        session_to(peer.port)
        core.wait(SessionDown)
        assert core.all(SessionUp) == []


def test_garbage_between_frames_is_skipped(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    with Proxy(station.port) as proxy:
        proxy.down = lambda octets: b"\x05\x64garbage\x05" + octets
        session_to(proxy.port)
        core.wait(SessionUp)
        station.ask("update", kind="AI", index=3, value=42)
        core.wait(FragmentStored, lambda told: any(p.value == 42 for p in told.points))


@pytest.mark.parametrize("spoil", [wrong_crc, half], ids=["wrong_crc", "half"])
def test_spoiled_frames_are_dropped_and_the_session_recovers_when_they_end(
    outstation: Stations,
    session_to: Sessions,
    core: Recorder,
    spoil: Callable[[bytes], bytes],
) -> None:
    with Proxy(outstation().port) as proxy:
        proxy.down = spoil
        session_to(proxy.port)
        core.wait(SessionDown)
        assert core.all(FragmentStored) == []
        proxy.down = bytes
        core.wait(SessionUp)


def test_random_octets_in_place_of_frames_break_nothing(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    with Proxy(outstation().port) as proxy:
        session_to(proxy.port)
        core.wait(SessionUp)
        mark = core.mark()
        proxy.down = lambda octets: os.urandom(len(octets))
        core.wait(SessionDown, after=mark)
        proxy.down = bytes
        core.wait(SessionUp, after=mark)


def test_a_stopped_outstation_is_found_and_the_session_comes_back(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    session_to(station.port)
    core.wait(SessionUp)
    mark = core.mark()
    station.stop()
    assert core.wait(SessionDown, after=mark).cause.startswith("silent: ")
    station.resume()
    core.wait(SessionUp, after=mark)


def test_a_half_open_connection_is_found_by_link_checks_alone(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    with Proxy(outstation().port) as proxy:
        session_to(proxy.port, event_poll_s=60, integrity_poll_s=3600)
        core.wait(SessionUp)
        mark = core.mark()
        proxy.freeze()
        assert "half open" in core.wait(SessionDown, after=mark).cause
        proxy.thaw()
        core.wait(SessionUp, after=mark)


def test_a_connection_that_is_cut_comes_back(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    with Proxy(outstation().port) as proxy:
        session_to(proxy.port)
        core.wait(SessionUp)
        mark = core.mark()
        proxy.cut()
        assert core.wait(SessionDown, after=mark).cause.startswith("closed: ")
        core.wait(SessionUp, after=mark)


def test_an_outstation_that_is_started_anew_is_read_anew(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    session_to(station.port)
    core.wait(SessionUp)
    mark = core.mark()
    station.close()
    core.wait(SessionDown, after=mark)
    again = outstation(port=station.port)
    core.wait(SessionUp, after=mark)
    again.ask("update", kind="AI", index=1, value=7)
    core.wait(FragmentStored, lambda told: any(p.value == 7 for p in told.points), after=mark)


def test_events_of_a_time_without_connection_arrive_when_it_is_back(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    station = outstation()
    with Proxy(station.port) as proxy:
        session_to(proxy.port)
        core.wait(SessionUp)
        mark = core.mark()
        proxy.freeze()
        for value in range(100, 120):
            station.ask("update", kind="AI", index=1, value=value)
        core.wait(SessionDown, after=mark)
        proxy.thaw()
        core.wait(SessionUp, after=mark)
        core.wait(FragmentStored, lambda told: any(p.value == 119 and p.event for p in told.points))
    heard = {p.value for told in core.all(FragmentStored) for p in told.points if p.event}
    assert set(range(100, 120)) <= heard
