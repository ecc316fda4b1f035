"""What the broker does not take, and when to offer it again. Pure.

Two kinds, because a broker says no in two ways:

* It answers PUBACK with a failure. One bad record is left in the store for a later pass, and the
  others go on. After ``STRIKES`` in a row on one topic the topic is blocked for a while, which
  doubles each time.
* It closes the connection (3.1.1 has no other way), at once: a network that fails is silent
  first, and nothing is concluded from it. After ``ENDINGS`` connections that ended soon
  and with something in flight, records go one by one; the one that is alone in flight when the
  connection ends twice is held back for a while, which doubles each time.

Nothing is ever given up here: whatever is not offered stays in the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

STRIKES = 3
BLOCK_S, BLOCK_MAX_S = 10.0, 600.0
ENDINGS = 3
SOON_S = 60.0
ALONE = 2  # endings alone in flight that convict a record
HOLD_S, HOLD_MAX_S = 600.0, 86_400.0
MAX_HELD = 16  # more convicts than this: the broker is at fault, not they
PROBE_ACKS = 256  # acknowledged one by one without an ending: the window opens again


class Refusals:
    """Blocked topics and held records."""

    def __init__(self) -> None:
        self._topics: dict[str, tuple[int, float]] = {}  # refusals in a row, blocked until
        self._held: dict[int, tuple[int, float]] = {}  # row id: endings, held until
        self._endings = 0
        self._probed = 0

    @property
    def probing(self) -> bool:
        """One record at a time, history first."""
        return self._endings >= ENDINGS

    @property
    def blocked_topics(self) -> tuple[str, ...]:
        """Topics on which the broker refuses everything."""
        return tuple(topic for topic, (count, _) in self._topics.items() if count >= STRIKES)

    @property
    def held(self) -> tuple[int, ...]:
        """Ids of the records that end connections."""
        return tuple(id_ for id_, (count, _) in self._held.items() if count >= ALONE)

    def until(self, topic: str, mono_s: float) -> float | None:
        """Monotonic second until which ``topic`` is blocked; None if it is not."""
        if not self._topics:
            return None
        count, until = self._topics.get(topic, (0, 0.0))
        return until if count >= STRIKES and until > mono_s else None

    def holds(self, row_id: int, mono_s: float) -> float | None:
        """Monotonic second until which the record is held back; None if it is not."""
        if not self._held:
            return None
        count, until = self._held.get(row_id, (0, 0.0))
        return until if count >= ALONE and until > mono_s else None

    def refused(self, topic: str, mono_s: float) -> tuple[float, bool]:
        """Note a PUBACK with a failure.

        Returns:
            When to offer the record again (monotonic second), and whether the topic is blocked
            by this very refusal.
        """
        count, until = self._topics.get(topic, (0, 0.0))
        if count >= STRIKES and until > mono_s:
            return until, False  # was in flight when the topic was blocked
        count += 1
        wait_s = min(BLOCK_MAX_S, BLOCK_S * 2 ** max(0, count - STRIKES))
        self._topics[topic] = (count, mono_s + wait_s)
        return mono_s + wait_s, count >= STRIKES

    def acknowledged(self, topic: str, row_id: int) -> bool:
        """Note a PUBACK; True if the window opens again by it."""
        if self._topics:
            self._topics.pop(topic, None)
        if self._held:
            self._held.pop(row_id, None)
        if not self.probing:
            return False
        self._probed += 1
        if self._probed >= PROBE_ACKS:
            self._endings = 0
        return not self.probing

    def cleared(self) -> None:
        """All history is shipped: nothing in it ends connections."""
        self._endings = 0

    def ended(self, in_flight: Collection[int], *, lasted_s: float, mono_s: float) -> int | None:
        """Note the end of a connection.

        Returns:
            The id of a record that is held back from now on.
        """
        probing = self.probing
        self._topics.clear()  # the next broker may know better
        self._probed = 0
        if not in_flight or lasted_s > SOON_S:
            self._endings = 0
            return None
        self._endings += 1
        suspects = [id_ for id_ in in_flight if self._held.get(id_, (0, 0.0))[0] >= ALONE]
        if probing and len(in_flight) == 1:
            suspects = list(in_flight)
        convict = None
        for id_ in suspects:
            count = self._held.pop(id_, (0, 0.0))[0] + 1
            wait_s = min(HOLD_MAX_S, HOLD_S * 2 ** max(0, count - ALONE))
            self._held[id_] = (count, mono_s + wait_s)
            convict = id_ if count >= ALONE else convict
        while len(self._held) > MAX_HELD:
            self._held.pop(next(iter(self._held)))
        return convict

    def hold(self, row_id: int, mono_s: float) -> float:
        """Hold a record back that cannot be encoded; returns until when."""
        self._held[row_id] = (ALONE, mono_s + HOLD_MAX_S)
        return mono_s + HOLD_MAX_S
