r"""Regular expressions of a points map, matched in a time that cannot grow. Pure.

A map may come from anybody, and Python's own matching goes back and tries again: twice as long for
each character more. Here only patterns are taken that need not, and they are matched by keeping all
places that are reached so far: each place is looked at once for each part of the pattern, so the
time is bounded by their product.

A pattern may have characters, ``.``, classes, ``\d \w \s`` and the like, ``^ $ \A \Z \b``, groups,
``|``, and ``* + ? {m,n}`` behind one character or behind a group of nothing but characters; ``?``
behind any group. ``(?i)`` in front leaves case aside.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Places = frozenset[int]
    Step = Callable[[str, Places], Places]

LONGEST = 64  # characters of a pattern, and of a text that is matched
ALLOWED = (
    f"must be at most {LONGEST} characters, repeat single characters or groups of them only, and "
    "have no look-around and no back-reference"
)
_ATOM = re.compile(
    r"\\x.{2}|\\u.{4}|\\U.{8}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^*+?()|{\\[]|\{", re.DOTALL
)
_REPEAT = re.compile(r"\*|\+|\?|\{(?:(\d+)(?:(,)(\d*))?|,(\d*))\}")
_NAMED = re.compile(r"\(\?P<\w+>|\(\?:|\((?!\?)")
_STRANGE = re.compile(r"\\[0-9]")  # a back-reference, or octal
_IGNORE_CASE = "(?i)"


class NotLinearError(ValueError):
    """A pattern whose matching might take for ever; says what is wrong with it."""


class Expression:
    """A pattern that was taken."""

    __slots__ = ("_step", "text")

    def __init__(self, text: str) -> None:
        """Read ``text``; use ``expression``.

        Raises:
            re.error: it does not compile.
            NotLinearError: it is not one of those above.
        """
        if len(text) > LONGEST:
            message = f"has {len(text)} characters: {ALLOWED}"
            raise NotLinearError(message)
        re.compile(text)
        self.text = text
        self._step = _PatternReader(text).whole()

    def is_all(self, text: str) -> bool:
        """Whether it matches all of ``text``; none that is longer than ``LONGEST``."""
        return len(text) <= LONGEST and len(text) in self._step(text, frozenset({0}))

    def is_in(self, text: str) -> bool:
        """Whether it matches anywhere in the first ``LONGEST`` characters of ``text``."""
        start = text[:LONGEST]
        return bool(self._step(start, frozenset(range(len(start) + 1))))


@cache
def expression(text: str) -> Expression:
    """The pattern; raises as ``Expression`` does."""
    return Expression(text)


class _PatternReader:
    """Reads a pattern that compiles."""

    def __init__(self, text: str) -> None:
        self._flags = re.IGNORECASE if text.startswith(_IGNORE_CASE) else re.NOFLAG
        self._text = text.removeprefix(_IGNORE_CASE) if self._flags else text
        self._at = 0

    def whole(self) -> Step:
        step, _ = self._either()
        if self._at < len(self._text):
            raise self._refused(self._text[self._at :])
        return step

    def _either(self) -> tuple[Step, bool]:
        """What ``|`` stands between; and whether there is neither ``|`` nor a repetition."""
        step, plain = self._sequence()
        steps = [step]
        while self._text[self._at : self._at + 1] == "|":
            self._at += 1
            steps.append(self._sequence()[0])
            plain = False
        return (step if len(steps) == 1 else _any_of(tuple(steps))), plain

    def _sequence(self) -> tuple[Step, bool]:
        steps: list[Step] = []
        plain = True
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            step, is_plain = self._repeated()
            steps.append(step)
            plain = plain and is_plain
        return _one_after_another(tuple(steps)), plain

    def _repeated(self) -> tuple[Step, bool]:
        start = self._at
        step, plain = self._single()
        found = _REPEAT.match(self._text, self._at)
        if found is None:
            return step, plain
        self._at = found.end()
        least, most = _bounds(found)
        rest = self._text[self._at : self._at + 1]
        if rest == "+" or (most > 1 and not plain):
            raise self._refused(self._text[start : self._at + (rest == "+")])
        self._at += rest == "?"  # reluctant: what can be matched is the same
        return _repeat(step, least, most), False

    def _single(self) -> tuple[Step, bool]:
        if self._text[self._at] == "(":
            return self._group()
        found = _ATOM.match(self._text, self._at)
        if found is None or _STRANGE.match(found[0]):
            raise self._refused(self._text[self._at :])
        self._at = found.end()
        return _atom(re.compile(re.escape("{") if found[0] == "{" else found[0], self._flags)), True

    def _group(self) -> tuple[Step, bool]:
        opened = _NAMED.match(self._text, self._at)
        if opened is None:
            raise self._refused(self._text[self._at :])
        self._at = opened.end()
        found = self._either()
        self._at += 1  # the closing one: it compiles
        return found

    def _refused(self, part: str) -> NotLinearError:
        return NotLinearError(f'has "{part}": {ALLOWED}')


def _bounds(found: re.Match[str]) -> tuple[int, int]:
    """How often at least and at most; beyond ``LONGEST`` + 1 it makes no difference."""
    ever = LONGEST + 1
    sign = found[0][0]
    if sign != "{":
        return (1 if sign == "+" else 0), (1 if sign == "?" else ever)
    least = int(found[1] or 0)
    most = (found[3] if found[2] else found[1]) if found[1] else found[4]
    return min(least, ever), min(int(most), ever) if most else ever


def _atom(pattern: re.Pattern[str]) -> Step:
    """One character, or none: a place between two, such as the end."""
    return lambda text, places: frozenset(
        found.end() for place in places if (found := pattern.match(text, place)) is not None
    )


def _one_after_another(steps: tuple[Step, ...]) -> Step:
    def run(text: str, places: Places) -> Places:
        for step in steps:
            places = step(text, places)
        return places

    return run


def _any_of(steps: tuple[Step, ...]) -> Step:
    return lambda text, places: frozenset().union(*(step(text, places) for step in steps))


def _repeat(step: Step, least: int, most: int) -> Step:
    def run(text: str, places: Places) -> Places:
        for _ in range(least):
            places = step(text, places)
        reached = fresh = places
        for _ in range(most - least):
            fresh = step(text, fresh) - reached
            if not fresh:
                break
            reached |= fresh
        return reached

    return run
