"""Firmware forms of ``[map.match]``: which declared firmware strings a map is for.

- ``=2.3.1`` is that string and no other; ``=2.3`` does not accept ``2.3.0``.
- ``>=2.0,<2.4`` compares versions: 1 to 8 decimal numbers between dots, a leading v ignored,
  missing numbers zero (2.4 is 2.4.0, and 2.10 is above 2.9). A string that is not such a version
  (``2.4-rc1``, ``R104``) is in no range: its place in the order would be a guess.
- ``re:^R10[0-9]$`` must match the whole string; ``expression`` says which patterns are taken.

Blanks at both ends of a declared string are ignored; case is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.points.expression import Expression, expression

_VERSION = re.compile(r"[vV]?([0-9]{1,10}(?:\.[0-9]{1,10}){0,7})\Z")
_BOUND = re.compile(r"(>=|>|<=|<)\s*(\S+)\Z")
_WIDTH = 8
FORMS = '"=2.3.1", a range such as ">=2.0,<2.4", or "re:" and a regular expression'

Version = tuple[int, ...]
_LOWEST: tuple[Version, bool] = ((-1,), True)
_HIGHEST: tuple[Version, bool] = ((10**11,), True)


@dataclass(frozen=True, slots=True)
class Exact:
    """One string."""

    text: str

    def accepts(self, firmware: str) -> bool:
        """Whether ``firmware`` (stripped) is meant."""
        return firmware == self.text


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Versions between two bounds, each with whether it belongs to the range."""

    lo: tuple[Version, bool]
    hi: tuple[Version, bool]

    def accepts(self, firmware: str) -> bool:
        """Whether ``firmware`` (stripped) is meant."""
        found = version(firmware)
        if found is None:
            return False
        (lo, with_lo), (hi, with_hi) = self.lo, self.hi
        return (found > lo or (with_lo and found == lo)) and (
            found < hi or (with_hi and found == hi)
        )


@dataclass(frozen=True, slots=True)
class Pattern:
    """Strings that match a regular expression whole."""

    regex: Expression

    def accepts(self, firmware: str) -> bool:
        """Whether ``firmware`` (stripped) is meant."""
        return self.regex.is_all(firmware)


Form = Exact | VersionRange | Pattern


def version(text: str) -> Version | None:
    """``text`` as eight numbers that compare as versions do; None if it is no plain version."""
    found = _VERSION.match(text)
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    return tuple(numbers + [0] * (_WIDTH - len(numbers)))


def read_form(text: str) -> Form:
    """Understand one form.

    Raises:
        re.error: the regular expression after ``re:`` does not compile.
        NotLinearError: it is none that may be used here.
        ValueError: it is none of the forms, or a range that nothing can be in.
    """
    if text.startswith("re:"):
        return Pattern(expression(text[3:]))
    if text.startswith("=") and text[1:].strip():
        return Exact(text[1:].strip())
    lo, hi = _LOWEST, _HIGHEST
    for part in text.split(","):
        found = _BOUND.match(part.strip())
        number = version(found[2]) if found is not None else None
        if found is None or number is None:
            raise ValueError(text)
        bound = (number, found[1].endswith("="))
        if found[1].startswith(">"):
            lo = max(lo, bound, key=lambda end: (end[0], not end[1]))
        else:
            hi = min(hi, bound)
    form = VersionRange(lo, hi)
    if _is_empty(form):
        raise ValueError(text)
    return form


def _is_empty(form: VersionRange) -> bool:
    (lo, with_lo), (hi, with_hi) = form.lo, form.hi
    return lo > hi or (lo == hi and not (with_lo and with_hi))


def overlap(a: Form, b: Form) -> bool:
    """Whether some firmware string is demonstrably accepted by both.

    Two regular expressions, or one and a range, are compared by text and by the range's ends
    only: False then means "not shown", and ``choose`` still refuses a string that both accept.
    """
    if isinstance(a, Exact):
        return b.accepts(a.text)
    if isinstance(b, Exact):
        return a.accepts(b.text)
    if isinstance(a, VersionRange) and isinstance(b, VersionRange):
        lo = max(a.lo, b.lo, key=lambda end: (end[0], not end[1]))
        hi = min(a.hi, b.hi)
        return not _is_empty(VersionRange(lo, hi))
    if isinstance(a, Pattern) and isinstance(b, Pattern):
        return a.regex.text == b.regex.text
    span, regex = (a, b) if isinstance(a, VersionRange) else (b, a)
    assert isinstance(span, VersionRange)
    return any(regex.accepts(text) and span.accepts(text) for text in _ends(span))


def _ends(span: VersionRange) -> list[str]:
    """Every way of writing the ends of ``span``, with and without trailing zeros."""
    texts = []
    for end, _ in (span.lo, span.hi):
        used = max((at + 1 for at, number in enumerate(end) if number), default=1)
        texts += [".".join(map(str, end[:width])) for width in range(used, _WIDTH + 1)]
    return texts
