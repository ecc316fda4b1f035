"""Which commands the gateway has seen: ids for 30 days, each issuer's last number at each asset.

An id is spent as soon as its signatures hold, also by a command that is then rejected: the same
bytes sent again a minute later must not find a better moment. Age is counted on the monotonic
clock, so that a wall clock that jumps frees no id.

Whoever holds a dispatcher's key may make up ids without end, so there is a bound on them, too. What
is forgotten early is the oldest, and no use: its challenge is older than any lease.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_S = 30 * 86_400.0
MOST = 200_000  # ids; a command each 13 s for 30 days, or three hours of the most that is heard


class Register:
    """Spent ids and sequence numbers. Mutable."""

    __slots__ = ("_forgotten", "_ids", "_last")

    def __init__(
        self,
        ids: Mapping[str, tuple[float, str]] | None = None,
        last: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Start with what the store remembers.

        Args:
            ids: command id -> monotonic second at which it was seen, negative before boot, and
                for which asset.
            last: (asset, kid) -> its last sequence number of this session.
        """
        self._ids = dict(sorted((ids or {}).items(), key=lambda item: item[1]))
        self._last = dict(last or {})
        self._forgotten: deque[tuple[str, str]] = deque(maxlen=MOST)

    @property
    def count(self) -> int:
        """How many ids it holds."""
        return len(self._ids)

    def is_seen(self, command_id: str) -> bool:
        """Whether ``command_id`` was spent in the last 30 days."""
        return command_id in self._ids

    def last_seq(self, asset: str, kid: str) -> int | None:
        """The issuer's last sequence number at ``asset``; None if it has sent nothing."""
        return self._last.get((asset, kid))

    def spend(self, command_id: str, asset: str, kid: str, seq: int, *, now_s: float) -> None:
        """Never take ``command_id`` again, nor ``seq`` or less from ``kid``; forget the old."""
        self._ids.setdefault(command_id, (now_s, asset))
        self._last[asset, kid] = max(seq, self._last.get((asset, kid), seq))
        while self._ids:
            oldest = next(iter(self._ids))
            seen_s, where = self._ids[oldest]
            if now_s - seen_s <= KEPT_S and len(self._ids) <= MOST:
                break
            if now_s - seen_s > KEPT_S:
                self._forgotten.append((where, oldest))
            del self._ids[oldest]

    def forgotten(self) -> tuple[tuple[str, str], ...]:
        """Asset and id of what became too old since this was asked last: the store may, too."""
        found = tuple(self._forgotten)
        self._forgotten.clear()
        return found
