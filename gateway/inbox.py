"""The one way into the core."""

from __future__ import annotations

from typing import Protocol


class Post(Protocol):
    """What a shell may do with the core: hand it an event, from any thread."""

    def __call__(self, event: object, /) -> None:
        """Enqueue ``event`` and return at once."""
        ...
