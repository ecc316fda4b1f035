"""One safety rule taken out of a module, or a whole kind of fault put back in several."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` stands exactly once in ``file``; with ``new`` in its place ``test`` must fail.

    So does each ``old`` of ``more``: all are replaced together.
    """

    rule: str  # what is taken out, for people
    file: str
    old: str
    new: str
    test: str  # node id: a file, or file::name
    more: tuple[tuple[str, str, str], ...] = ()  # file, old, new

    @property
    def edits(self) -> tuple[tuple[str, str, str], ...]:
        """All that is replaced: file, old, new."""
        return ((self.file, self.old, self.new), *self.more)
