"""An operator on the box: estop, reset, control on and off, approval, commissioning.

What a reader would get wrong: nothing is decided here. The daemon judges who may act (SO_PEERCRED)
and what is safe; this asks, shows and follows. Whoever stops following a commissioning test ends
it: it runs only while an operator looks on.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from gateway.cli import views
from gateway.cli.command import add
from gateway.errors import GatewayError, UsageError
from gateway.local import client
from gateway.local.server import OPERATORS
from gateway.site import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

EX_UNAVAILABLE, EX_NOPERM = 69, 77  # sysexits.h
WAIT_S = 60.0  # zero is verified within 30 s by default, or the battery is LATCHED
PERIOD_S = 0.5  # between two looks at a test's progress
_SIMPLE = {
    "estop": "stop the battery and stay stopped until `reset`; without ASSET: every asset",
    "idle": "zero, written and verified afresh",
    "reset": "clear LATCHED or ESTOP, or the verdict on an asset's points map",
    "disable-control": "idle the battery and accept no command until `enable-control`",
    "enable-control": "take `disable-control` back",
}


class RefusedError(GatewayError):
    """The daemon refused; its text says why."""

    exit_code = 1


class NotPermittedError(GatewayError):
    """This user may not do that: ask root or a member of the operators' group."""

    exit_code = EX_NOPERM


class UnavailableError(GatewayError):
    """No daemon answers: start it, or see its journal."""

    exit_code = EX_UNAVAILABLE


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the operator's commands; each carries what runs it."""
    for name, text in _SIMPLE.items():
        one = add(subparsers, name, {"estop": _estop, "idle": _idle}.get(name, _simple), text)
        one.set_defaults(verb=name)
        if name in ("estop", "idle"):
            wait = "how long zero is followed; 0: not at all"
            one.add_argument("--wait", type=_wait, default=WAIT_S, metavar="S", help=wait)
        _add_asset(one)
    _add_zero(subparsers)
    waiting = add(subparsers, "pending", _pending, "commands that wait for an operator's word")
    waiting.add_argument("--json", action="store_true", help="for programs")
    for name, text in (
        ("approve", "let a pending command be carried out"),
        ("reject", "refuse a pending command"),
    ):
        one = add(subparsers, name, _judge, text)
        one.set_defaults(verb=name)
        one.add_argument("id", metavar="ID", help="of the command, as `pending` shows it")
    _add_commission(subparsers)


def _add_zero(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "say by which rows zero is written, where endpoint or map changed under power"
    zero = add(subparsers, "zero", _zero, text)
    zero.add_argument(
        "--by",
        choices=("kept", "new"),
        required=True,
        help="kept: those by which power was written; new: those of the map in force now",
    )
    text = "declare that nothing is in force, after a visit to the site; no proof: see the manual"
    declare = add(subparsers, "declare-zero", _declare, text)
    declare.add_argument("--name", required=True, help="who was at the site")
    declare.add_argument("--reason", required=True, help="what was seen there")
    declare.add_argument(
        "--site-visited",
        action="store_true",
        required=True,
        help="somebody was there and looked",
    )
    for one in (zero, declare):
        _add_asset(one)


def _add_commission(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "what control requires of an asset: acknowledge, deadman-test, sign-test"
    commission = subparsers.add_parser("commission", help=text, description=text)
    below = commission.add_subparsers(metavar="COMMAND", required=True)
    show = add(below, "show", _show, "what is required and what is on record")
    show.add_argument("--json", action="store_true", help="for programs")
    acknowledge = add(below, "acknowledge", _acknowledge, "take responsibility for safety.toml")
    acknowledge.add_argument(
        "--yes",
        metavar="DIGEST",
        help="without asking, if this is the safety file's digest",
    )
    deadman = add(
        below,
        "deadman-test",
        _test,
        "a fiftieth of nameplate, then no heartbeat: the RTAC must end it; first of the tests",
    )
    sign = add(
        below,
        "sign-test",
        _test,
        "a fiftieth of nameplate each way: measured power must follow; after deadman-test",
    )
    for act, one in (("deadman-test", deadman), ("sign-test", sign)):
        one.set_defaults(act=act)
        one.add_argument(
            "--hold",
            type=_seconds,
            metavar="S",
            help="seconds for which each power is held",
        )
    abort = add(below, "abort", _abort, "end a test that runs, with idle")
    for one in (show, acknowledge, sign, deadman, abort):
        _add_asset(one)


def _add_asset(parser: argparse.ArgumentParser) -> None:
    text = "id of the asset; may be left out where there is one"
    parser.add_argument("asset", nargs="?", metavar="ASSET", help=text)


def _wait(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (found > 0 and math.isfinite(found)):
        message = f"{text!r}: must be a positive number of seconds"
        raise ArgumentTypeError(message)
    return found


def _ask(asked: argparse.Namespace, verb: str, **arguments: object) -> dict[str, Any]:
    """Put one question to the daemon.

    Raises:
        NotPermittedError: to this user it does not answer, or does not listen.
        RefusedError: it answered no.
        UnavailableError: nobody answered.
    """
    try:
        answer = client.ask(load.find_socket(asked.config), verb, arguments)
    except client.SocketDeniedError as error:
        raise NotPermittedError(str(error)) from None
    except client.NotRunningError as error:
        raise UnavailableError(str(error)) from None
    if not answer:
        text = f"{verb}: the daemon hung up without an answer: see `status`"
        raise UnavailableError(text)
    if "error" not in answer:
        return answer
    text = views.plain(answer["error"])
    raise NotPermittedError(text) if OPERATORS in text else RefusedError(text)


def _asset(asked: argparse.Namespace) -> str:
    """The asset that is meant: the one named, else the only one.

    Raises:
        UsageError: there are several; names them.
    """
    if asked.asset is not None:
        return str(asked.asset)
    assets = list(_ask(asked, "status")["assets"])
    if len(assets) != 1:
        text = f"ASSET is missing: must be one of {', '.join(assets)}"
        raise UsageError(text)
    return str(assets[0])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # a test is followed live, through a pipe too


def _done(answer: dict[str, Any]) -> int:
    _say(views.plain(answer["done"]))
    return 0


def _estop(asked: argparse.Namespace) -> int:
    """One question and no other first: nothing may stand between a hand and this."""
    arguments = {} if asked.asset is None else {"asset": asked.asset}
    code = _done(_ask(asked, "estop", **arguments))
    return max(code, _until_zero(asked, asked.asset))


def _idle(asked: argparse.Namespace) -> int:
    asset = _asset(asked)
    code = _done(_ask(asked, "idle", asset=asset))
    return max(code, _until_zero(asked, asset))


def _until_zero(asked: argparse.Namespace, asset: str | None) -> int:
    """Follow until zero is verified; 1 where it is not in time. It is ordered on all the same."""
    until_s, said = time.monotonic() + asked.wait, ""
    while asked.wait:
        controls = {
            name: one.get("control", {})
            for name, one in _ask(asked, "status")["assets"].items()
            if asset in (None, name)
        }
        left = [f"{name}: {_open(one)}" for name, one in controls.items() if _open(one)]
        if not left:
            _say("zero is verified: nothing is in force")
            return 0
        if "; ".join(left) != said:
            said = "; ".join(left)
            _say(views.plain(said))
        if time.monotonic() >= until_s:
            text = f"zero is not verified after {asked.wait:g} s; it is ordered on and on"
            _say(f"{text}: look at the battery, use the hard-wired stop")
            return 1
        time.sleep(PERIOD_S)
    return 0


def _open(control: dict[str, Any]) -> str:
    """Why a battery's zero is not over; "" if it is, or where nothing was in force."""
    force = control.get("inForce")
    if force is None:
        return ""
    return str(force.get("blocked") or force.get("unsettled") or "zero is ordered")


def _simple(asked: argparse.Namespace) -> int:
    return _done(_ask(asked, asked.verb, asset=_asset(asked)))


def _zero(asked: argparse.Namespace) -> int:
    return _done(_ask(asked, "zero", asset=_asset(asked), by=asked.by))


def _declare(asked: argparse.Namespace) -> int:
    said = {"name": asked.name, "reason": asked.reason, "visited": asked.site_visited}
    return _done(_ask(asked, "declare-zero", asset=_asset(asked), **said))


def _pending(asked: argparse.Namespace) -> int:
    answer = _ask(asked, "pending")
    _say(json.dumps(answer) if asked.json else views.pending(answer))
    return 0


def _judge(asked: argparse.Namespace) -> int:
    return _done(_ask(asked, asked.verb, id=asked.id))


def _commission(asked: argparse.Namespace, act: str, **arguments: object) -> dict[str, Any]:
    return _ask(asked, "commission", asset=asked.asset, act=act, **arguments)


def _show(asked: argparse.Namespace) -> int:
    asked.asset = _asset(asked)
    shown = _commission(asked, "show")
    _say(json.dumps(shown) if asked.json else views.commissioning(asked.asset, shown))
    return 0


def _acknowledge(asked: argparse.Namespace) -> int:
    asked.asset = _asset(asked)
    shown = _commission(asked, "show")
    digest = shown["safetyDigest"]
    if digest is None:
        reasons = views.plain(", ".join(shown["reasons"]))
        text = f"there is no complete safety.toml to acknowledge: {reasons}; see `check`"
        raise RefusedError(text)
    if asked.yes is None:
        _say(views.commissioning(asked.asset, shown))
        _consent()
    elif asked.yes != digest:
        text = f"--yes {asked.yes}: must be {digest}, the digest of the file that is in force"
        raise RefusedError(text)
    return _done(_commission(asked, "acknowledge", digest=digest))


def _consent() -> None:
    if not sys.stdin.isatty():
        text = "no terminal to ask: read `commission show`, then give --yes DIGEST"
        raise UsageError(text)
    sys.stdout.write("These hold for every command from now on. Type yes to acknowledge: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip() != "yes":
        text = "not acknowledged"
        raise RefusedError(text)


def _abort(asked: argparse.Namespace) -> int:
    asked.asset = _asset(asked)
    return _done(_commission(asked, "abort"))


def _test(asked: argparse.Namespace) -> int:
    """Start a test and follow it to its end; Ctrl-C ends it with idle."""
    asked.asset = _asset(asked)
    arguments = {} if asked.hold is None else {"holdS": asked.hold}
    with _stopped_by_signals():
        # A refusal leaves alone what another operator may have under way.
        with _aborting(asked, KeyboardInterrupt):
            started = _commission(asked, asked.act, **arguments)["started"]
        try:
            with _aborting(asked, KeyboardInterrupt, OSError, GatewayError):
                _say(views.plain(started))
                return _follow(asked)
        except BrokenPipeError:  # else `| head` would let a test pass that nobody saw
            text = "the output was closed: the test was ended"
            raise RefusedError(text) from None


@contextlib.contextmanager
def _aborting(asked: argparse.Namespace, *errors: type[BaseException]) -> Iterator[None]:
    """End the test if one of ``errors`` ends the following of it."""
    try:
        yield
    except errors:
        with contextlib.suppress(GatewayError):
            _commission(asked, "abort")
        raise


def _follow(asked: argparse.Namespace) -> int:
    shown = 0
    aborted = False
    while True:
        try:
            progress = _commission(asked, "progress")
            for line in progress["lines"][shown:]:
                _say(f"  {views.plain(line)}")
                shown += 1  # at once: Ctrl-C comes while a line is read
            if not progress["running"]:
                return _ended(progress)
            time.sleep(PERIOD_S)
        except KeyboardInterrupt:
            if aborted:
                raise
            aborted = True
            _commission(asked, "abort")


def _ended(progress: dict[str, Any]) -> int:
    if progress["ok"] is None:
        why = "it was restarted, or a reload ended the test; see `status`"
        text = f"the gateway knows nothing of the test any more: {why}"
        raise RefusedError(text)
    if progress["figures"]:
        _say(views.figures(progress["figures"]))
    _say("passed" if progress["ok"] else "FAILED")
    return 0 if progress["ok"] else 1


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let a lost terminal or a kill end the test as Ctrl-C does."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
