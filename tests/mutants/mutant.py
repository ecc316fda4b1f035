"""One safety rule taken out of a module."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` stands exactly once in ``file``; with ``new`` in its place ``test`` must fail."""

    rule: str  # what is taken out, for people
    file: str
    old: str
    new: str
    test: str  # node id: a file, or file::name
