"""Many addresses, of which most swallow packets: loopback, a listener that accepts nobody."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.mqtt.causes import ResolverSilentError
from gateway.mqtt.dial import Resolver, dial
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def hole() -> Iterator[tuple[str, int]]:
    """An address whose connections are never made: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()


def resolver(*addresses: tuple[str, int]) -> Callable[[str, int], list[tuple[Any, ...]]]:
    """A name with these addresses."""

    def resolve(_host: str, _port: int) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one) for one in addresses]

    return resolve


def test_eight_addresses_that_swallow_packets_take_no_longer_than_one(
    hole: tuple[str, int],
) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        dial("broker", 8883, within_s=2.0, resolve=resolver(*[hole] * 8))
    assert time.monotonic() - began < 8.0  # each for itself: 16


def test_the_last_address_is_reached_behind_those_that_swallow_packets(
    hole: tuple[str, int],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as good:
        found = dial(
            "broker", 1, within_s=2.0, resolve=resolver(hole, hole, hole, good.getsockname())
        )
        assert found.getpeername() == good.getsockname()
        found.close()


def test_the_error_of_the_last_address_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = unused.getsockname()
    with pytest.raises(ConnectionRefusedError):
        dial("broker", 1, within_s=2.0, resolve=resolver(nobody))


def test_a_name_without_an_address_is_an_error() -> None:
    with pytest.raises(TimeoutError, match="broker has no address"):
        dial("broker", 1, within_s=2.0, resolve=resolver())


class Hanging:
    """A resolver that answers when the test says so."""

    def __init__(self) -> None:
        self.asked, self.answers = 0, threading.Event()

    def __call__(self, *_: object, **__: object) -> list[tuple[Any, ...]]:
        self.asked += 1
        assert self.answers.wait(DEADLINE_S)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 1))]


def test_a_resolver_that_does_not_answer_is_waited_for_within_a_bound_and_asked_once() -> None:
    ask = Hanging()
    find = Resolver(within_s=0.05, ask=ask)
    for _ in range(5):
        with pytest.raises(ResolverSilentError):
            find("broker", 1)
    assert ask.asked == 1
    ask.answers.set()


def test_what_a_resolver_says_too_late_is_there_for_the_next_attempt() -> None:
    ask = Hanging()
    find = Resolver(within_s=0.05, ask=ask)
    with pytest.raises(ResolverSilentError):
        find("broker", 1)
    ask.answers.set()
    patient = Resolver(within_s=DEADLINE_S, ask=ask)
    patient._open = find._open
    assert patient("broker", 1)[0][-1] == ("192.0.2.1", 1)
    assert ask.asked == 1
    patient("broker", 1)
    assert ask.asked == 2


def test_a_name_that_cannot_be_resolved_is_told_as_before() -> None:
    with pytest.raises(socket.gaierror):
        Resolver(within_s=DEADLINE_S)("no-such-host.invalid", 1)
