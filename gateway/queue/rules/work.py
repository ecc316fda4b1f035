"""What one transaction is asked to do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.streams import Batch, Gap, Row

Loss = tuple[Stream, str, str]  # stream, asset, reason


@dataclass(slots=True)
class Work:
    """What goes into one transaction."""

    groups: list[Sequence[Batch]] = field(default_factory=list)  # those of one append together
    forget: list[int] = field(default_factory=list)
    withdrawn: list[Row] = field(default_factory=list)  # stored, but their caller had given up
    losses: dict[Loss, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(
            (
                any(self.groups),
                self.forget,
                self.withdrawn,
                self.losses,
            )
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction did."""

    groups: tuple[tuple[Row, ...], ...]  # rows of each group of the work
    rows: tuple[Row, ...]  # everything that now waits because of it, gap records included
    gaps: tuple[Gap, ...]
    beyond: frozenset[Stream] = frozenset()  # never dropped, and dropped for their bound
