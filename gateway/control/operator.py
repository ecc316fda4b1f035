"""What an operator on the box may ask of control, and the answers. Pure.

Who asks is what the kernel says. Looking is for everybody who reaches the socket; acting is for
root and the group bess-operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control import acts, telling
from gateway.control.commissioning.procedure import HOLD_MAX_S, HOLD_MIN_S, Kind
from gateway.control.watchdog.orders import stop_waits_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.clock import Now
    from gateway.control.asset_control import AssetControl
    from gateway.effects import Effect
    from gateway.events import LocalAsked

    Body = dict[str, object]
    Found = tuple[list[Effect], Body]
    Act = Callable[[LocalAsked, Mapping[str, AssetControl], tuple[str, ...], Now], Found]

TEXT_MAX = 200
_LOOKS = ("show", "progress")  # compared, not hashed: an act may be any JSON


def ask(
    event: LocalAsked, controls: Mapping[str, AssetControl], assets: tuple[str, ...], now: Now
) -> Found | None:
    """Answer ``event``; None where its verb is not about control.

    ``done`` is to be said when what was ordered with it is durable.

    Args:
        event: the question.
        controls: of every asset with a good safety file, or that zero is owed to.
        assets: ids of all assets, for the error.
        now: both clocks.
    """
    if event.verb == "pending":
        return [], {"pending": [row for one in controls.values() for row in one.intake.listed(now)]}
    if event.verb not in _ACTS:
        return None
    looks = event.verb == "commission" and event.arguments.get("act") in _LOOKS
    if not event.operator and not looks:
        return [], _error(f"user {event.user}: must be root or in the group bess-operators")
    return _ACTS[event.verb](event, controls, assets, now)


def _error(text: str) -> Body:
    return {"error": text}


def _each(
    act: Callable[[AssetControl, str, Now], tuple[list[Effect], str]],
    done: str,
    *,
    whole: bool = True,
    beware: Callable[[AssetControl], str] = lambda _: "",
) -> Act:
    """An act on the asset named; on all of them without a name, if the act is for the ``whole``.

    Whoever acted is also told what he has to ``beware`` of.
    """

    def carry_out(
        event: LocalAsked,
        controls: Mapping[str, AssetControl],
        assets: tuple[str, ...],
        now: Now,
    ) -> Found:
        name = event.arguments.get("asset")
        if name is None and len(assets) == 1:
            (name,) = assets
        every = name is None and whole
        if not every and not (isinstance(name, str) and name in assets):
            return [], _error(f"asset {name!r}: must be one of {', '.join(assets)}")
        chosen = [one for key, one in controls.items() if every or key == name]
        if not chosen:
            stop = ": use the hard-wired stop" if event.verb == "estop" else ""
            text = "there is no good safety.toml: control is off and nothing is written"
            return [], _error(text + stop)
        out: list[Effect] = []
        failed: list[str] = []
        names: list[str] = []
        for one in chosen:
            effects, why = act(one, event.user, now)
            out += effects
            (failed if why else names).append(why or one.name)
        texts = [f"{', '.join(names)}: {done}"] if names else []
        texts += [f"{key}: {why}" for key in names if (why := beware(controls[key]))]
        text = "; ".join([*failed, *texts])  # who was refused is told, too, what was done
        return out, _error(text) if failed else {"done": text}

    return carry_out


def _is_hold(found: object) -> bool:
    number = isinstance(found, int | float) and not isinstance(found, bool)
    return number and HOLD_MIN_S <= found <= HOLD_MAX_S  # type: ignore[operator]  # a number


def _decide(
    event: LocalAsked, controls: Mapping[str, AssetControl], _assets: tuple[str, ...], now: Now
) -> Found:
    """Approve or reject the command with this id, wherever it waits."""
    id_ = event.arguments.get("id")
    every = controls.values()
    found = [one for one in every if any(row["id"] == id_ for row in one.intake.listed(now))]
    if not found:
        return [], _error(f"command {id_!r}: does not wait here, or not any more; see `pending`")
    assert isinstance(id_, str)
    (control,) = found  # an id is one command's, at whatever battery
    if event.verb == "reject":
        out, why = control.intake.reject(id_, event.user, now)
    else:
        out, why = control.approve(id_, event.user, now)
    done = "rejected" if event.verb == "reject" else "approved"
    return out, _error(why) if why else {"done": f"command {id_}: {done}"}


def _commission(  # noqa: PLR0911 - one return for each act
    event: LocalAsked, controls: Mapping[str, AssetControl], assets: tuple[str, ...], now: Now
) -> Found:
    name, act = event.arguments.get("asset"), event.arguments.get("act")
    if name is None and len(assets) == 1:
        name = assets[0]
    if not isinstance(name, str) or name not in assets:
        return [], _error(f"asset {name!r}: must be one of {', '.join(assets)}")
    if name not in controls:
        return [], _error("there is no good safety.toml: run `bess-gateway check`")
    control = controls[name]
    match act:
        case "show":
            return [], telling.shown(control)
        case "progress":
            return [], control.proving.progress(now)
        case "abort":
            return control.abort(event.user, now), {"done": f"{name}: aborted"}
        case "acknowledge":
            digest = str(event.arguments.get("digest"))
            out, why = control.acknowledge(digest, event.user, now)
            return out, _error(why) if why else {"done": f"{name}: acknowledged"}
        case Kind.SIGN.value | Kind.DEADMAN.value:
            hold_s = event.arguments.get("holdS")
            if hold_s is not None and not _is_hold(hold_s):
                allowed = f"must be {HOLD_MIN_S:g}..{HOLD_MAX_S:g} seconds"
                return [], _error(f"holdS {str(hold_s)[:20]}: {allowed}")
            held_s = float(hold_s) if isinstance(hold_s, int | float) else None
            out, why = control.test(Kind(act), event.user, now, hold_s=held_s)
            return out, _error(why) if why else {"started": f"{name}: {act}"}
        case _:
            allowed = f"{', '.join((*_LOOKS, 'abort', 'acknowledge', *Kind))}"
            return [], _error(f"act {act!r}: must be one of {allowed}")


def _zero(
    event: LocalAsked, controls: Mapping[str, AssetControl], assets: tuple[str, ...], now: Now
) -> Found:
    """Say by which rows zero is written."""
    by = event.arguments.get("by")
    if by not in ("kept", "new"):
        return [], _error(f"by {by!r}: must be kept or new")
    act = _each(
        lambda one, user, at: acts.zero(one, str(by), user, at), "zero ordered", whole=False
    )
    return act(event, controls, assets, now)


def _declare(
    event: LocalAsked, controls: Mapping[str, AssetControl], assets: tuple[str, ...], now: Now
) -> Found:
    """Declare that nothing is in force: who, why, and that the site was visited."""
    name, reason = event.arguments.get("name"), event.arguments.get("reason")
    texts = [str(one).strip() if isinstance(one, str) else "" for one in (name, reason)]
    if not all(texts) or max(map(len, texts)) > TEXT_MAX:
        return [], _error(f"name and reason: must be texts of 1..{TEXT_MAX} characters")
    if event.arguments.get("visited") is not True:
        return [], _error("visited: somebody must have been at the site, and looked")
    text = f"{texts[0]} visited the site: {texts[1]}"
    act = _each(
        lambda one, user, at: acts.declare(one, text, user, at), "zero declared", whole=False
    )
    return act(event, controls, assets, now)


_ACTS: dict[str, Act] = {
    "estop": _each(
        acts.estop,
        "stop ordered",
        beware=lambda one: stop_waits_for(one.controller.state),
    ),
    "disable-control": _each(lambda one, user, now: (one.disable(user, now), ""), "control is off"),
    "enable-control": _each(
        lambda one, user, now: (one.enable(user, now), ""), "no longer disabled", whole=False
    ),
    "idle": _each(acts.idle, "zero ordered"),
    "zero": _zero,
    "declare-zero": _declare,
    "approve": _decide,
    "reject": _decide,
    "commission": _commission,
}
VERBS = frozenset(_ACTS)
