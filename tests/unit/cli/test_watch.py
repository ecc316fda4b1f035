"""Frames of ``watch``: what they show, that they fit, and what its keys do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import events
from gateway.cli import watch_lines, watch_screen
from gateway.cli.watch_lines import View
from gateway.effects import Answer
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.sites import SITE, core, later

if TYPE_CHECKING:
    from gateway.core import Core

TERMINAL = View(width=80, height=24)


def watched(made: Core, view: View, at: int = 3) -> dict[str, Any]:
    arguments: dict[str, object] = {"first": view.first, "match": view.match}
    if view.asset:
        arguments["asset"] = view.asset
    asked = events.LocalAsked(1, "watch", arguments, "root", operator=True)
    (answer,) = [one for one in made.handle(asked, later(at)) if isinstance(one, Answer)]
    return answer.body


def busy(*, assets: int = 1, points: int = 60, text: str = "x") -> Core:
    """Batteries of many points, each with a session that went down for a long reason."""
    entry = SITE[SITE.index("[[asset]]") :]
    more = "".join(
        entry.replace("bess-1", f"bess-{n}").replace("192.0.2.10", f"192.0.2.{n + 10}")
        for n in range(2, assets + 1)
    )
    made = core(SITE + more)
    for n in range(1, assets + 1):
        name = f"bess-{n}"
        made.handle(events.SessionDown(name, text * 40, later(1)), later(1))
        raw = [RawPoint("AI0", 634, 1, 1, 1, TimeQuality.GATEWAY, event=False)]
        raw += [
            RawPoint(f"OS{one}", text, None, 1, 1, TimeQuality.GATEWAY, event=False)
            for one in range(points)
        ]
        stored = events.FragmentStored(name, tuple(raw), unsolicited=False, at=later(1))
        made.handle(stored, later(1))
    return made


def test_a_text_of_the_outstation_that_looks_like_markup_is_shown_as_it_is() -> None:
    made = busy(text="[/red]")
    shown = watch_screen.frame(watched(made, TERMINAL), TERMINAL).plain
    assert "[/red]" in shown


@pytest.mark.parametrize("assets", [1, 2, 32])
@pytest.mark.parametrize("height", [24, 10, 50])
def test_a_frame_fits_the_terminal_and_has_the_battery_in_it(assets: int, height: int) -> None:
    view = View("bess-1", width=80, height=height)
    shown = watch_screen.frame(watched(busy(assets=assets), view), view).plain.split("\n")
    assert len(shown) <= height
    assert max(map(len, shown)) <= 80
    assert [one for one in shown if one.startswith("!>bess-1")]


def test_twenty_four_lines_hold_power_state_control_and_some_points() -> None:
    shown = watch_screen.frame(watched(busy(), TERMINAL), TERMINAL).plain
    for word in ("SOC", "power", "control", "quality", "MONITOR", " ~ AI0", "q quit"):
        assert word in shown


def test_what_is_left_out_is_counted() -> None:
    made = busy(assets=32)
    shown = watch_screen.frame(watched(made, View("bess-9")), TERMINAL).plain
    assert "more: bess-gateway status" in shown
    assert "and 26 more" in shown


def test_a_filter_shows_what_matches_and_says_how_many() -> None:
    view = View("bess-1", match="os1", width=80, height=24)
    shown = watch_lines.lines(watched(busy(), view), view)
    assert any("of 11 with 'os1'" in one for one in shown)
    assert not [one for one in shown if " ~ AI0" in one]


def test_space_goes_through_all_points_and_b_goes_back() -> None:
    made, view, seen = busy(points=60), View("bess-1", width=80, height=24), set[str]()
    for _ in range(20):
        answer = watched(made, view)
        rows = [one for one in watch_lines.lines(answer, view) if one.startswith(" ~ ")]
        seen |= {one.split()[1] for one in rows}
        after = watch_screen.press(view, " ", answer)
        assert after is not None
        view = after
    assert seen == {"AI0", *(f"OS{one}" for one in range(60))}
    back = watch_screen.press(view, "b", watched(made, view))
    assert back is not None
    assert back.first < view.first


def test_n_goes_from_battery_to_battery_and_q_ends() -> None:
    made, view = busy(assets=2), View("bess-1", width=80, height=24)
    after = watch_screen.press(view, "n", watched(made, view))
    assert after is not None
    assert after.asset == "bess-2"
    again = watch_screen.press(after, "n", watched(made, after))
    assert again is not None
    assert again.asset == "bess-1"
    assert watch_screen.press(view, "q", watched(made, view)) is None


@given(st.text(max_size=12))
def test_no_key_and_no_filter_ends_it_or_breaks_a_frame(keys: str) -> None:
    made, view = busy(points=5), View("bess-1", width=80, height=24)
    for key in f"/{keys}\r":
        after = watch_screen.press(view, key, watched(made, view))
        if after is None:
            assert not view.typing
            return
        view = after
        assert len(watch_lines.lines(watched(made, view), view)) <= 24


@pytest.mark.parametrize(
    ("power_w", "said"),
    [
        (-750_000, "-750.0 kW charging"),
        (1500, "+1.5 kW discharging"),
        (0, "0.0 kW idle"),
    ],
)
def test_power_has_its_sign_and_its_word(power_w: float, said: str) -> None:
    assert watch_lines.power(power_w) == said


def test_values_of_two_states_are_words() -> None:
    assert [watch_lines.shown(one) for one in (True, False, None)] == ["on", "off", "-"]
