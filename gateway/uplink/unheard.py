"""Topics from which nobody takes: the broker says so with PUBACK 0x10 (MQTT 5, 3.4.2.1). Pure.

Such a record is with nobody: the broker had no session to keep it for. On a topic from which
somebody took before, the platform's reader is away; the records stay in the store and the topic
alone waits, with one record as a probe now and then. On a topic from which nobody ever took there
may be no reader at all, and the store would only fill: there it counts as an acknowledgement. A
site may say which of the two it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

PROBE_S, PROBE_MAX_S = 10.0, 60.0  # SPECIFICATION.md, section 5
FACT = "heard "  # and the topic: the key of what the audit log remembers
_NEVER_KEPT = frozenset({Stream.AUDIT})  # its heads follow one another, each holds the ones before


class _Wait(NamedTuple):
    wait_s: float  # the present one, which doubles
    until_s: float  # monotonic s
    probed: bool  # one record is on its way


class Unheard:
    """Which topics wait for somebody, and when each is probed.

    Args:
        heard: topics from which somebody took since the state folder was made.
        require: True: every topic needs somebody; False: none does; None: where somebody took.
    """

    def __init__(self, heard: Iterable[str] = (), *, require: bool | None = None) -> None:
        self.require = require
        self._heard = set(heard)
        self._waiting: dict[str, _Wait] = {}  # by topic
        self._told: set[str] = set()

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics whose records wait for somebody who takes them."""
        return tuple(self._waiting)

    def until(self, topic: str, mono_s: float) -> float | None:
        """Monotonic second until which nothing goes to ``topic``; None: now."""
        if not self._waiting:
            return None
        found = self._waiting.get(topic)
        return found.until_s if found is not None and found.until_s > mono_s else None

    def sent(self, topic: str, mono_s: float) -> None:
        """Note that a record goes to ``topic``: where it waits, this is its one probe."""
        if self._waiting and (found := self._waiting.get(topic)) is not None:
            self._waiting[topic] = _Wait(found.wait_s, mono_s + PROBE_MAX_S, probed=True)

    def taken(self, topic: str) -> tuple[bool, bool]:
        """Note that somebody took (PUBACK 0x00); whether for the first time, and after a wait."""
        first = topic not in self._heard
        self._heard.add(topic)
        self._told.discard(topic)
        return first, self._waiting.pop(topic, None) is not None

    def passed(self, topic: str) -> bool:
        """Note an acknowledgement that says nothing of readers; whether the topic waited."""
        return bool(self._waiting) and self._waiting.pop(topic, None) is not None

    def nobody(self, topic: str, stream: Stream, *, retained: bool, mono_s: float) -> float | None:
        """Note a PUBACK 0x10.

        Returns:
            When the record is offered again (monotonic s); None: it counts as acknowledged.
        """
        if retained or stream in _NEVER_KEPT or self.require is False:
            return None
        if self.require is None and topic not in self._heard:
            return None
        found = self._waiting.get(topic)
        if found is not None and not found.probed and found.until_s > mono_s:
            return found.until_s  # was in flight when the first one came back
        wait_s = PROBE_S if found is None else min(PROBE_MAX_S, 2 * found.wait_s)
        self._waiting[topic] = _Wait(wait_s, mono_s + wait_s, probed=False)
        return mono_s + wait_s

    def first_told(self, topic: str) -> bool:
        """Whether this is the first time that somebody is told of ``topic``."""
        first = topic not in self._told
        self._told.add(topic)
        return first

    def ended(self) -> None:
        """Note the end of a connection: the next broker may know better, and is probed at once."""
        self._waiting = {
            topic: _Wait(one.wait_s, 0.0, probed=False) for topic, one in self._waiting.items()
        }
        self._told.clear()
