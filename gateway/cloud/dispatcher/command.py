"""``bess-gateway dispatch``: the command line of the dispatch application.

Only the options are here; what they do is imported when it is asked for, so that the commands of
the box start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gateway.cloud.dispatcher.claims import POWER_VERBS, VERBS

_POWER = {
    "setpoint": "power, positive discharges",
    "charge": "charge with this power",
    "discharge": "discharge with this power",
}
_TEXTS = {
    "arm": "allow power commands: needs a lease that was unbroken for 30 s",
    "disarm": "idle, and take no power command until the next arm",
    "idle": "zero active power",
    "release": "end the dispatch and give the battery back",
    "estop": "emergency stop: latched until an operator resets it on the box",
    "alarm_reset": "reset the battery's alarms",
    "mode": "enter an operating mode",
    "reserve": "set the backup reserve",
} | _POWER
RESULTS = ("received", "accepted", "executing", "succeeded")


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    """Add ``dispatch`` with its own commands."""
    text = "the cloud's side of control: sign commands, answer heartbeats (not for the box)"
    parser = subparsers.add_parser("dispatch", help=text, description=text)
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_keygen(below)
    for name, text in (
        ("heartbeat", "answer the gateway's challenges until Ctrl-C: the lease lives as long"),
        ("watch", "print acks, results, events and changes of control until Ctrl-C"),
    ):
        one = _add(below, name, text)
        one.add_argument("--for", dest="run_s", type=_seconds, metavar="S", help="end after S s")
    for verb in VERBS:
        one = _add(below, verb.replace("_", "-"), _TEXTS[verb], alias=verb)
        one.set_defaults(verb=verb)
        _add_signing(one)
        _add_params(one, verb)


def _add(below: Any, name: str, text: str, *, alias: str = "") -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's own type is private
    aliases = [alias] if alias and alias != name else []
    parser: argparse.ArgumentParser = below.add_parser(
        name, help=text, description=text, aliases=aliases
    )
    add = parser.add_argument_group("where and who").add_argument
    add("--config", type=Path, metavar="FILE", help="dispatcher.toml: any of these options")
    add("--host", metavar="NAME", help="of the broker; a name in its certificate")
    add("--port", type=_port, metavar="N", help="default 8883")
    add("--ca", metavar="FILE", help="who signed the broker's certificate")
    add("--cert", metavar="FILE", help="our certificate for the broker")
    add("--key", metavar="FILE", help="its private key; signs no command")
    add("--client-id", metavar="ID", help="MQTT client id; default: a new one for each run")
    add("--protocol", choices=("5", "3.1.1"), help="MQTT version, default 5")
    add("--prefix", metavar="TOPIC", help="default bess/v1")
    add("--gateway", metavar="ID")
    add("--asset", metavar="ID")
    add("--heartbeat-key", metavar="FILE", help="private key that answers challenges")
    add("--heartbeat-kid", metavar="KID", help="its name in the site's safety.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.set_defaults(run=_run, dispatch=name)
    return parser


def _add_keygen(below: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    text = "make a signing key: FILE (0600) and FILE.pub, for the site's safety.toml"
    parser = below.add_parser("keygen", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--alg", choices=("EdDSA", "ES256"), default="EdDSA")
    parser.set_defaults(run=_keygen)


def _add_signing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("signing").add_argument
    add("--signing-key", metavar="FILE", help="private key, readable by its owner alone")
    add("--kid", metavar="KID", help="its name in the site's safety.toml")
    add("--approver-key", metavar="FILE", help="second key, for dual approval")
    add("--approver-kid", metavar="KID")
    add("--lifetime", type=_lifetime, default=60, metavar="S", help="of the command; default 60")
    add = parser.add_argument_group("waiting").add_argument
    add("--until", choices=RESULTS, default="succeeded", help="good enough; default succeeded")
    add("--within", type=_seconds, default=150.0, metavar="S", help="wait so long; default 150")
    add(
        "--settle",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="answer heartbeats for S seconds first: arm needs 30",
    )
    add("--hold", action="store_true", help="answer heartbeats until the dispatch ends")


def _add_params(parser: argparse.ArgumentParser, verb: str) -> None:
    add = parser.add_argument
    if verb in POWER_VERBS:
        kind = _watts if verb == "setpoint" else _magnitude
        add("power_w", type=kind, metavar="W", help="watts, such as 500000")
        add("--for", dest="duration_s", type=_count, required=True, metavar="S", help="seconds")
        add("--ramp", dest="ramp_w_per_s", type=_ramp, metavar="W", help="watts per second")
        add("--min-soc", type=_percent, metavar="PCT", help="stop discharging there")
        add("--max-soc", type=_percent, metavar="PCT", help="stop charging there")
    elif verb == "mode":
        add("name", metavar="NAME")
    elif verb == "reserve":
        add("percent", type=_percent, metavar="PERCENT")


def _watts(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f"{text!r}: must be whole watts, such as 500000"
        raise argparse.ArgumentTypeError(message) from None


def _magnitude(text: str) -> int:
    found = _watts(text)
    if found < 0:
        message = f"{text!r}: must be 0 or more: the verb says the direction"
        raise argparse.ArgumentTypeError(message)
    return found


def _ramp(text: str) -> int:
    return _whole(text, 1, 10**12)


def _whole(text: str, lowest: int, highest: int) -> int:
    try:
        found = int(text)
    except ValueError:
        found = lowest - 1
    if not lowest <= found <= highest:
        message = f"{text!r}: must be a whole number, {lowest}..{highest}"
        raise argparse.ArgumentTypeError(message)
    return found


def _count(text: str) -> int:
    return _whole(text, 1, 86_400)


def _port(text: str) -> int:
    return _whole(text, 1, 65_535)


def _lifetime(text: str) -> int:
    return _whole(text, 1, 120)


def _percent(text: str) -> int:
    return _whole(text, 0, 100)


def _seconds(text: str) -> float:
    return float(_whole(text, 0, 31_622_400))


def _keygen(asked: argparse.Namespace) -> int:
    from gateway.cloud.dispatcher import operate  # noqa: PLC0415 - see the module's docstring

    return operate.keygen(asked.file, alg=asked.alg)


def _run(asked: argparse.Namespace) -> int:
    from gateway.cloud.dispatcher import operate  # noqa: PLC0415 - see the module's docstring

    return operate.run(asked)
