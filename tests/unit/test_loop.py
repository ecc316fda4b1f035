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


def test_effects_are_performed_in_order_until_stop() -> None:
    inbox = loop.Inbox()
    inbox.post("first")
    polls = [Poll("a", "event"), Poll("a", "integrity")]
    core = Script([*polls], [], [polls[0], Stop(0, "done"), polls[1]])
    done: list[object] = []
    stop = loop.run(core, inbox, done.append, lambda _at: None, now=lambda: Now(1.0, 0))
    assert stop == Stop(0, "done")
    assert core.seen == ["first", None, None]
    assert done == [*polls, polls[0]]


def test_systemd_is_fed_by_the_clock_and_not_by_the_pass() -> None:
    clock = [1.0]

    def now() -> Now:
        clock[0] += 0.03125  # read twice a pass: 0.0625 s each, four passes a period
        return Now(clock[0], 0)

    passes: list[list[Effect]] = [[] for _ in range(10)]
    fed: list[Now] = []
    core = Script(*passes, [Stop(0, "done")])
    loop.run(core, loop.Inbox(), lambda _effect: None, fed.append, now=now)
    assert [at.mono_s for at in fed] == [1.0625, 1.3125, 1.5625]


def test_what_the_core_posts_to_itself_never_waits_for_a_full_inbox() -> None:
    inbox = loop.Inbox(limit=1)
    inbox.post("first")
    assert inbox.take(within_s=0) == "first"
    inbox.post("its own")
    inbox.post("its own, too")
    assert [inbox.take(within_s=0) for _ in range(3)] == ["its own", "its own, too", None]


def test_a_closed_inbox_lets_everybody_go_on() -> None:
    inbox = loop.Inbox(limit=1)
    inbox.post("nobody takes this")
    inbox.close()
    for event in ("neither", "this", "nor that"):
        inbox.post(event)


def test_an_empty_inbox_gives_a_tick_when_it_is_due() -> None:
    assert loop.Inbox().take(within_s=0) is None
