"""How much of what a broker sends is heard. Pure.

The broker is not trusted to be moderate. All that reaches the core goes through one inbox, in
order: were it filled with what a broker makes up, the field's answers would stand behind that, and
so would the next zero, which waits for the answer to the output before it. So the little that is
genuine (an answer every few seconds, a command now and then) has its allowance on each topic, and
what is beyond it is dropped before it is read. Losing messages may only move the site toward idle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BURST = 40.0  # messages of one topic that may come at once
PER_S = 25.0  # and a second after that; the core answers 20 commands a second
SAY_S = 60.0  # between two lines about what was dropped


class Moderation:
    """Allowances of one connection's topics."""

    def __init__(self, topics: Iterable[str], at_s: float) -> None:
        """Hear ``topics`` and no other, from ``at_s`` (monotonic s) on."""
        self._left = dict.fromkeys(topics, (BURST, at_s))
        self._dropped = 0
        self._say_at = at_s

    def hears(self, topic: str, at_s: float) -> bool:
        """Whether a message that comes on ``topic`` at ``at_s`` (monotonic s) is within bounds."""
        left, since_s = self._left.get(topic, (0.0, at_s))
        left = min(BURST, left + (at_s - since_s) * PER_S)
        if left < 1.0:
            self._dropped += 1
            if topic in self._left:
                self._left[topic] = (left, at_s)
            return False
        self._left[topic] = (left - 1.0, at_s)
        return True

    def complaint(self, at_s: float) -> str:
        """What is to be said of dropped messages at ``at_s``; "" for nothing, or not yet."""
        if not self._dropped or at_s < self._say_at:
            return ""
        dropped, self._dropped = self._dropped, 0
        self._say_at = at_s + SAY_S
        return f"dropped {dropped} messages: the broker sends more than {PER_S:g} a second"
