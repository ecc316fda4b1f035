"""How a connection ended, and how long the next attempt waits for that. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.mqtt.causes import CLOSED, SHARED_ID

BUSY = frozenset({0x89, 0x97})  # Server busy, Quota exceeded (MQTT 5, 2.4): they ask for time
MOVED = frozenset({0x9C, 0x9D})  # Use another server, Server moved
STEADY_S = 30.0  # a connection that lasted so long was of use
THROWN_OUT = 3  # connections in a row that another client took from us, or seems to have taken


@dataclass(frozen=True, slots=True)
class Law:
    """How long to wait before the next attempt: SPECIFICATION.md, section 5, Reconnect.

    A wait is random between ``shortest_s`` and a bound. Were the bound small after a connection
    of use, a restarted broker would meet its whole fleet in one second.
    """

    shortest_s: float = 0.5
    first_s: float = 15.0  # the bound after a connection of use
    longest_s: float = 60.0

    def bound_s(self, failures: int, *, urgent_s: float | None = None, busy: bool = False) -> float:
        """The bound after ``failures`` rounds without use.

        Args:
            failures: 0 after a connection of use.
            urgent_s: while power may flow under a lease that lives: the bound, however often it
                failed. Else None.
            busy: the broker asks for time.
        """
        if busy:
            return self.longest_s
        if urgent_s is not None:
            return min(self.first_s, urgent_s)
        return float(min(self.longest_s, self.first_s * 2.0 ** min(failures, 16)))


NEAR = Law(0.5, 1.0, 5.0)  # a broker on this very box has no fleet


class Endings:
    """Counts connections without use; each doubles the bound of the wait before the next one.

    Two gateways with one id throw each other out for as long as somebody lets them. Every such
    connection works until then, and must not count as one of use: they would change places
    every second.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._thrown_out = 0

    def count(self, cause: str, *, acknowledged: bool, lasted_s: float) -> str:
        """Count one that ended; returns its cause, with what the ones before add to it.

        Args:
            cause: in words, from ``ConnectionEnded``.
            acknowledged: the broker took a message on it, or we ended it ourselves.
            lasted_s: seconds from the attempt to its end.
        """
        steady = lasted_s > STEADY_S
        told = SHARED_ID in cause
        # mosquitto 2.0.11 does not say "session taken over", it only closes.
        guessed = not steady and cause.endswith(CLOSED)
        self._thrown_out = self._thrown_out + 1 if told or guessed else 0
        again = self.twin
        self.failures = 0 if (acknowledged or steady) and not again else self.failures + 1
        if again and not told:
            return f"{cause} again and again: perhaps another client uses our id"
        return cause

    @property
    def twin(self) -> bool:
        """Whether another client seems to use our id: then nobody hurries."""
        return self._thrown_out >= THROWN_OUT

    def forgive(self) -> None:
        """The next attempt is one of its own: it waits as after the first."""
        self.failures = 0
