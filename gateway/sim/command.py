"""``bess-gateway sim``: a simulated battery behind an RTAC, as a DNP3 outstation.

The first line on standard output is JSON: ``{"listening": PORT, ...}``. With ``--control`` the
simulator takes orders as JSON lines on standard input, answers each on standard output, and
ends when the input does. py1815 is imported only when the simulator runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.clock import now
from gateway.errors import ConfigError, GatewayError, UsageError
from gateway.points.pointmap import raw_map
from gateway.sim.battery import Ratings
from gateway.sim.faults import FAULTS, BadOptionError
from gateway.sim.record import Recorder
from gateway.sim.wire import Form
from gateway.site.maps import load_maps

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap
    from gateway.sim.outstation import Outstation

SCENARIOS = {"idle": 0.0, "daily": 120.0}  # period of the site's own programme, s; 0: none
_AUXILIARY = 0.001  # of nameplate
_RAMP_S = 4.0  # from zero to nameplate


class MissingSimulatorError(GatewayError):
    """The simulator's library is not installed."""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    """Add the command to the command line."""
    text = "a simulated battery behind an RTAC, as a DNP3 outstation"
    faults = "\n".join(f"  {name:18} {kind.effect}" for name, kind in sorted(FAULTS.items()))
    parser = subparsers.add_parser(
        "sim",
        help=text,
        description=text,
        epilog=f"faults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the simulator's options."""
    add = parser.add_argument
    add("--map", required=True, metavar="ID", help="points map, ID or ID@REVISION; see maps list")
    add("--maps-dir", type=Path, metavar="DIR", help="where the points maps are")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=20000, help="0 takes a free one")
    add("--address", type=int, default=10, help="link address of the outstation")
    add("--master-address", type=int, default=1, help="link address of the master")
    add("--nameplate-w", type=float, default=2_000_000.0, metavar="W")
    add("--capacity-wh", type=float, default=8_000_000.0, metavar="WH")
    add("--soc", type=float, default=60.0, metavar="PCT", help="state of charge at the start")
    add("--deadman-s", type=float, default=15.0, metavar="S", help="RTAC's dead-man, 0: none")
    add("--scenario", choices=sorted(SCENARIOS), default="idle", help="the site's own programme")
    add("--analog", choices=list(Form), help="how analog inputs travel; default: int32 and float")
    add("--firmware", default="", help="software version in the device attributes")
    add("--fault", action="append", default=[], metavar="NAME[=ARG]", help="may be repeated")
    add("--events-per-s", type=float, default=0.0, metavar="N", help="extra numbered events")
    add("--buffer", type=int, default=10_000, metavar="N", help="events that each class holds")
    add("--no-unsolicited", action="store_true", help="answer only what is asked")
    add("--scan-s", type=float, default=0.1, metavar="S", help="period of the RTAC's logic")
    add("--measure-s", type=float, default=1.0, metavar="S", help="period of the instruments")
    add("--record", type=Path, metavar="FILE", help="append controls and events as JSON lines")
    add("--seed", type=int, default=1, help="of the measurement noise")
    add("--control", action="store_true", help="take orders on standard input")


def run(asked: argparse.Namespace) -> int:
    """Simulate until SIGTERM, SIGINT or the end of the orders; returns 0.

    Raises:
        MissingSimulatorError: py1815 is not installed.
        UsageError: an unknown map or fault, a value out of range, or a port that is taken.
    """
    try:
        from gateway.sim import outstation  # noqa: PLC0415 - py1815 is an optional dependency
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("py1815"):
            raise
        message = (
            "the simulator needs py1815, which is not installed: "
            "pip install 'bess-gateway[sim]' or pip install py1815==0.3.0"
        )
        raise MissingSimulatorError(message) from None
    maps = _maps(asked.maps_dir)
    _check(asked, maps)
    settings = outstation.SimSettings(
        points_map=maps[asked.map],
        ratings=Ratings(
            nameplate_w=asked.nameplate_w,
            capacity_wh=asked.capacity_wh,
            max_charge_w=asked.nameplate_w,
            max_discharge_w=asked.nameplate_w,
            ramp_w_per_s=asked.nameplate_w / _RAMP_S,
            auxiliary_w=asked.nameplate_w * _AUXILIARY,
        ),
        soc_pct=asked.soc,
        deadman_s=asked.deadman_s,
        address=asked.address,
        master_address=asked.master_address,
        analog=None if asked.analog is None else Form(asked.analog),
        firmware=asked.firmware,
        events_per_s=asked.events_per_s,
        buffer=asked.buffer,
        unsolicited=not asked.no_unsolicited,
        scan_s=asked.scan_s,
        measure_s=asked.measure_s,
        site_cycle_s=SCENARIOS[asked.scenario],
        seed=asked.seed,
    )
    with Recorder(asked.record) as recorder:
        site = outstation.Outstation(settings, recorder, maps=maps, at=now())
        asyncio.run(_serve(site, asked))
    return 0


def _maps(folder: Path | None) -> dict[str, PointsMap]:
    """Every map by id and by reference; of several revisions the last one has the id."""
    found: dict[str, PointsMap] = {"raw": raw_map(), raw_map().ref: raw_map()}
    for one in load_maps() if folder is None else load_maps([folder]):
        found[one.id] = found[one.ref] = one
    return found


def _check(asked: argparse.Namespace, maps: dict[str, PointsMap]) -> None:
    """Refuse what cannot be simulated.

    Raises:
        BadOptionError: says the option, what was found and what is allowed.
    """
    if asked.map not in maps:
        known = ", ".join(sorted(maps))
        raise BadOptionError(what="--map", found=asked.map, allowed=f"one of {known}")
    ranges = {
        "port": (0, 65535),
        "address": (0, 65519),
        "master_address": (0, 65519),
        "nameplate_w": (1.0, 1e10),
        "capacity_wh": (1.0, 1e11),
        "soc": (0.0, 100.0),
        "deadman_s": (0.0, 3600.0),
        "events_per_s": (0.0, 100_000.0),
        "buffer": (1, 10_000_000),
        "scan_s": (0.01, 10.0),
        "measure_s": (0.01, 60.0),
    }
    for name, (low, high) in ranges.items():
        found = getattr(asked, name)
        if not low <= found <= high:
            option = "--" + name.replace("_", "-")
            raise BadOptionError(what=option, found=found, allowed=f"{low:.15g}..{high:.15g}")
    if asked.address == asked.master_address:
        allowed = "another address than --master-address"
        raise BadOptionError(what="--address", found=asked.address, allowed=allowed)


async def _serve(site: Outstation, asked: argparse.Namespace) -> None:
    from gateway.sim.outstation import serve  # noqa: PLC0415 - py1815 is an optional dependency

    for fault in asked.fault:
        site.fault(fault)
    try:
        await site.listener.start(asked.host, asked.port)
    except OSError as error:
        found = f"{asked.host} port {asked.port} ({error.strerror})"
        raise BadOptionError(
            what="--host", found=found, allowed="an address and a free port"
        ) from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _say({"listening": site.listener.port, "map": site.settings.points_map.ref})
    orders = loop.create_task(_orders(site, stop)) if asked.control else None
    try:
        await serve(site, stop)
    finally:
        if orders is not None:
            orders.cancel()
        await site.listener.stop()


async def _orders(site: Outstation, stop: asyncio.Event) -> None:
    """Obey JSON lines from standard input until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            _say(obey(site, line, stop))
    finally:
        transport.close()
        stop.set()


def obey(site: Outstation, line: bytes, stop: asyncio.Event) -> dict[str, object]:
    """Carry out one order; the answer carries its ``id``, and ``error`` where it failed.

    Orders: ``{"do": "fault", "text": "freeze"}``, ``{"do": "clear", "name": "freeze"}``,
    ``{"do": "state"}``, ``{"do": "stop"}``.
    """
    try:
        order = json.loads(line)
        reply: dict[str, object] = {"id": order.get("id")}
    except (ValueError, AttributeError):
        return {"id": None, "error": f"{line!r}: must be a JSON object on one line"}
    try:
        match order.get("do"):
            case "fault":
                site.fault(str(order.get("text", "")))
            case "clear":
                site.clear(str(order.get("name", "")))
            case "state":
                reply["state"] = site.truth()
            case "stop":
                stop.set()
            case found:
                reply["error"] = f"do {found!r}: must be fault, clear, state or stop"
    except (UsageError, ConfigError) as error:
        reply["error"] = str(error)
    return reply


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
