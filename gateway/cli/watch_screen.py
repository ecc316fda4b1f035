"""Draws ``bess-gateway watch`` and takes its keys."""

from __future__ import annotations

import json
import os
import select
import sys
import termios
import tty
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.cli import watch_lines
from gateway.cli.watch_lines import View
from gateway.local import client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PERIOD_S = 1.0
END = "\x1b"  # of typing a filter, as Enter does


def run(socket: Path, *, asset: str, once: bool, as_json: bool) -> int:
    """Draw until ``q`` or Ctrl-C; into a pipe, or with ``once``, the whole of it once."""
    terminal = console()
    answer = ask(socket, View(asset))
    if as_json:
        print(json.dumps(answer))
        return int("error" in answer)
    if once or not terminal.is_terminal:
        print("\n".join(watch_lines.lines(answer, View(asset))))
        return int("error" in answer)
    if "error" in answer:
        raise client.NotRunningError(str(answer["error"]))
    view: View | None = View(asset)
    with (
        keys() as pressed,
        Live(console=terminal, screen=True, auto_refresh=False) as live,
    ):
        while view is not None:
            view = replace(view, width=terminal.width, height=terminal.height)
            try:
                answer = ask(socket, view)
            except client.NotRunningError as error:
                answer = {"error": str(error)}
            live.update(frame(answer, view), refresh=True)
            if (key := pressed()) is not None:
                view = press(view, key, answer)
    return 0


def ask(socket: Path, view: View) -> dict[str, Any]:
    """Everything of the box, and of one battery the points that are looked at."""
    whole = view.height is None
    asset = view.asset or (None if whole else _first(socket))
    arguments: dict[str, object] = {"first": view.first, "match": view.match}
    return client.ask(socket, "watch", arguments | ({} if asset is None else {"asset": asset}))


def _first(socket: Path) -> str | None:
    assets = client.ask(socket, "hello").get("assets") or [None]
    return None if assets[0] is None else str(assets[0])


def press(view: View, key: str, answer: dict[str, Any]) -> View | None:
    """What is looked at after ``key``; None ends it."""
    if view.typing:
        return _typed(view, key)
    names = list(answer.get("glance", ()))
    chosen = next(iter(answer.get("detail", ())), "")
    step = watch_lines.page(answer, view)
    if key == "n" and names:
        place = names.index(chosen) + 1 if chosen in names else 0
        view = replace(view, asset=names[place % len(names)], first=0)
    elif key == "/":
        view = replace(view, typing=True, match="", first=0)
    elif key == " ":
        matched = answer.get("detail", {}).get(chosen, {}).get("matched", 0)
        view = replace(view, first=view.first + step if view.first + step < matched else view.first)
    elif key == "b":
        view = replace(view, first=max(0, view.first - step))
    return None if key in ("q", "\x03") else view


def _typed(view: View, key: str) -> View:
    if key in ("\r", "\n", END):
        return replace(view, typing=False)
    if key in ("\x7f", "\b"):
        return replace(view, match=view.match[:-1], first=0)
    return replace(view, match=view.match + key, first=0) if key.isprintable() else view


def frame(answer: dict[str, Any], view: View) -> Text:
    """One frame; what is wrong is bold. Names and texts of an outstation are never markup."""
    found = Text(no_wrap=True, overflow="crop")
    for line in watch_lines.lines(answer, view)[: view.height]:
        found.append(line + "\n", "bold" if line.startswith("!") else "")
    found.right_crop(1)
    return found


def console(*, file: IO[str] | None = None, width: int | None = None) -> Console:
    """Where frames are drawn."""
    return Console(markup=False, highlight=False, file=file, width=width)


@contextmanager
def keys() -> Iterator[Any]:
    """Keys as they are pressed: a function that waits a period for one, None if there is none."""
    try:
        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
    except (OSError, ValueError, termios.error):  # no terminal to press them on
        yield lambda: select.select([], [], [], PERIOD_S) and None
        return
    tty.setcbreak(handle)
    try:
        yield (
            lambda: (
                os.read(handle, 32).decode(errors="replace")[:1]
                if select.select([handle], [], [], PERIOD_S)[0]
                else None
            )
        )
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
