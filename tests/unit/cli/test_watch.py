"""One frame of ``watch``, drawn into memory."""

from __future__ import annotations

import io

from gateway import events
from gateway.cli import watch_screen as watch
from gateway.effects import Answer
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.sites import core, later


def test_a_text_of_the_outstation_that_looks_like_markup_is_shown_as_it_is() -> None:
    made = core()
    made.handle(events.SessionDown("bess-1", "refused [/y]", later(1)), later(1))
    text = RawPoint("OS1", "[/red]", None, 1, 1, TimeQuality.GATEWAY, event=False)
    made.handle(events.FragmentStored("bess-1", (text,), unsolicited=False, at=later(1)), later(1))
    asked = events.LocalAsked(1, "watch", {}, "root", operator=True)
    (answer,) = [one for one in made.handle(asked, later(2)) if isinstance(one, Answer)]
    console = watch.console(file=io.StringIO(), width=200)
    console.print(watch.render(answer.body, ""))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "refused [/y]" in shown
    assert "[/red]" in shown
