"""How many messages a second may go: by the site's word, and by what the broker bears. Pure.

A broker says that it is too much with PUBACK 0x97 (MQTT 5, 2.4), or by passing a PUBACK over in
silence. One burst of such answers is one word: the rate is halved from what was sent in that
second, and grows again while nothing is said. Live records go first, so it is history that waits.
"""

from __future__ import annotations

import math

PAUSE_S = 1.0  # after a word: nothing goes
LEAST_PER_S = 1.0
GROWS_S, GROWS_BY = 10.0, 1.25  # without a word for so long, the rate grows by so much
FREE_PER_S = 10_000.0  # a rate that has grown to this is none


class Throttle:
    """Lets messages go at a rate.

    Args:
        per_s: what the site allows; None: as many as the window.
    """

    def __init__(self, per_s: float | None = None) -> None:
        self.per_s = per_s
        self._learned = math.inf
        self._said_s = -math.inf  # when the broker said a word last, or the rate grew
        self._from_s = 0.0  # nothing goes before
        self._left, self._at_s = 1.0, -math.inf
        self._second_s, self._sent, self._before = -math.inf, 0, 0

    @property
    def rate(self) -> float:
        """Messages a second; inf: no limit."""
        return min(self._learned, math.inf if self.per_s is None else self.per_s)

    def ready_at(self, mono_s: float) -> float:
        """Monotonic second at which the next message may go, as of ``mono_s``; past: now."""
        self._grow(mono_s)
        rate = self.rate
        if math.isinf(rate):
            return self._from_s
        if mono_s > self._at_s:
            burst = 1.0 + rate / 10
            self._left = min(burst, self._left + (mono_s - max(self._at_s, 0.0)) * rate)
            self._at_s = mono_s
        return max(self._from_s, mono_s + max(0.0, (1.0 - self._left) / rate))

    def sent(self, mono_s: float) -> None:
        """Note that one went."""
        self._left -= 1.0
        if mono_s - self._second_s >= 1.0:
            self._before = self._sent if mono_s - self._second_s < 2.0 else 0  # noqa: PLR2004 - the one before
            self._second_s, self._sent = mono_s, 0
        self._sent += 1

    def slower(self, mono_s: float) -> None:
        """The broker said, or showed, that it was too much."""
        if mono_s < self._from_s:
            return  # of the same burst
        seen = max(self._sent, self._before, LEAST_PER_S)
        self._learned = max(LEAST_PER_S, min(self._learned, seen) / 2)
        self._said_s, self._from_s = mono_s, mono_s + PAUSE_S

    def _grow(self, mono_s: float) -> None:
        if math.isinf(self._learned) or mono_s - self._said_s < GROWS_S:
            return
        self._learned *= GROWS_BY
        self._said_s = mono_s
        if self._learned > FREE_PER_S:
            self._learned = math.inf
