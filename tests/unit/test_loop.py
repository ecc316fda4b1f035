"""The core's loop, without a thread: events in, effects out, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import loop
from gateway.clock import Now
from gateway.effects import Effect, Poll, Stop

if TYPE_CHECKING:
    from collections.abc import Iterable


class Script:
    """Returns prepared effects for each event."""

    wake_at = 0.0

    def __init__(self, *steps: list[Effect]) -> None:
        self._steps = list(steps)
        self.seen: list[object | None] = []

    def handle(self, event: object | None, now: Now) -> Iterable[object]:
        del now
        self.seen.append(event)
        return self._steps.pop(0)


def test_effects_are_performed_in_order_until_stop_and_each_pass_feeds() -> None:
    inbox = loop.Inbox()
    inbox.post("first")
    polls = [Poll("a", "event"), Poll("a", "integrity")]
    core = Script([*polls], [], [polls[0], Stop(0, "done"), polls[1]])
    done: list[object] = []
    fed: list[Now] = []
    stop = loop.run(core, inbox, done.append, fed.append, now=lambda: Now(1.0, 0))
    assert stop == Stop(0, "done")
    assert core.seen == ["first", None, None]
    assert done == [*polls, polls[0]]
    assert len(fed) == 2


def test_an_empty_inbox_gives_a_tick_when_it_is_due() -> None:
    assert loop.Inbox().take(within_s=0) is None
