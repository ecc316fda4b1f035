"""Answers to operators' acts, each held until its records are on disk. Pure.

The act itself took effect when it was ordered: stopping never waits for a disk. Only the word
"done" does, and it comes with the cause where the disk does not take the record. Such a record is
not given up: it is written when the disk works again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.effects import Answer, Effect, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.clock import Now

DURABLE_S = 3.0  # less than whoever asked waits for an answer
LATER = "it is written when the disk takes it"
# Of a command the record comes first: without it none is begun, also not when the disk works again.
UNBORN = "what is asked for is begun only if its own record is on disk: see `status` for its result"


@dataclass(slots=True)
class HeldAnswer:
    """Somebody waits for the word that his act is done."""

    question: int  # token of it
    done: str
    records: set[int]  # tokens of those that are not durable yet
    until_s: float  # monotonic
    meanwhile: str  # what is so without the record, for people


class HeldAnswers:
    """Of all questions."""

    def __init__(self, tokens: Iterator[int]) -> None:
        self._tokens = tokens  # of records
        self._held: list[HeldAnswer] = []

    @property
    def wake_at(self) -> float:
        """Monotonic s at which an answer must be given, whatever the disk does."""
        return min((one.until_s for one in self._held), default=math.inf)

    def hold(
        self,
        question: int,
        done: str,
        ordered: Iterable[Effect],
        now: Now,
        *,
        meanwhile: str = LATER,
    ) -> list[Effect]:
        """Say ``done`` when every record among ``ordered`` is durable; returns what to order.

        ``meanwhile`` is said where one is not.
        """
        out: list[Effect] = []
        records: set[int] = set()
        for effect in ordered:
            one = effect
            if isinstance(one, Record):
                one = one if one.token else replace(one, token=next(self._tokens))
                records.add(one.token)
            out.append(one)
        if not records:
            return [*out, Answer(question, {"done": done})]
        until_s = now.mono_s + DURABLE_S
        self._held.append(HeldAnswer(question, done, records, until_s, meanwhile))
        return out

    def recorded(self, token: int, *, ok: bool, cause: str) -> list[Effect]:
        """A record is durable, or it is not."""
        out: list[Effect] = []
        for one in tuple(self._held):
            if token not in one.records:
                continue
            one.records.discard(token)
            if ok and one.records:
                continue
            self._held.remove(one)
            body = {"done": one.done}
            if not ok:
                body = {"error": f"{one.done}, but not on disk: {cause}; {one.meanwhile}"}
            out.append(Answer(one.question, dict(body)))
        return out

    def tick(self, now: Now) -> list[Effect]:
        """Answer whoever has waited long enough."""
        late = [one for one in self._held if now.mono_s >= one.until_s]
        self._held = [one for one in self._held if one not in late]
        text = f"not on disk yet: it took longer than {DURABLE_S:g} s"
        return [
            Answer(one.question, {"error": f"{one.done}, but {text}; {one.meanwhile}"})
            for one in late
        ]
