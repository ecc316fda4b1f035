"""What can go wrong on request: the names of the faults, and which are in force.

A lasting fault stays until it is cleared; a momentary one happens once. The argument follows
an equals sign: ``forced=AI1``, ``clock_jump=3600``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.errors import UsageError
from gateway.points.raw import parse_point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EVERY_POINT = "*"


class BadOptionError(UsageError):
    """Something was asked of the simulator that it cannot do: what, what was found, what may be."""

    def __init__(self, *, what: str, found: object, allowed: str) -> None:
        super().__init__(f"{what} {found}: must be {allowed}")
        self.what, self.found, self.allowed = what, found, allowed


class Argument(Enum):
    """What stands behind the equals sign."""

    NONE = auto()
    POINTS = auto()  # a point's name; without one, every point
    VALUE = auto()  # POINT:RAW
    NUMBER = auto()
    COUNT = auto()
    SECONDS = auto()
    SPAN = auto()  # SECONDS or SHORTEST..LONGEST
    PIECES = auto()  # N:SECONDS
    STATUS = auto()  # DNP3 command status, 1..126
    WORD = auto()


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One thing that can go wrong."""

    argument: Argument
    default: str | None  # None: the argument must be given
    momentary: bool
    effect: str  # for people


def _lasting(
    effect: str, argument: Argument = Argument.NONE, default: str | None = ""
) -> FaultKind:
    return FaultKind(argument, default, momentary=False, effect=effect)


def _once(effect: str, argument: Argument = Argument.NONE, default: str | None = "") -> FaultKind:
    return FaultKind(argument, default, momentary=True, effect=effect)


FAULTS: Mapping[str, FaultKind] = MappingProxyType(
    {
        # the connection
        "freeze": _lasting("reads and answers nothing; TCP stays open"),
        "mute": _lasting("the link answers, the application does not"),
        "mute_link": _lasting("a link status request is not answered, the application is"),
        "answer_delay": _lasting("what the application sends leaves so many seconds late, or"
                                 " between so many: 0.5..3", Argument.SPAN, "1"),
        "slow_fragments": _lasting("present values come in N fragments, so many seconds apart",
                                   Argument.PIECES, "5:1"),
        "never_fin": _lasting("an answer with present values never says FIN: fragments without"
                              " end, so many seconds apart", Argument.SECONDS, "0.2"),
        "half_open": _once("the connection of now is forgotten without a FIN; a new one works"),
        "drop": _once("the connection is reset"),
        "refuse_connection": _lasting("every new connection is closed at once"),
        "garbage": _once("64 octets that are no DNP3 are sent"),
        "half_frame": _once("the next frame is cut in half and the connection closed"),
        "bad_crc": _lasting("every frame carries a wrong CRC"),
        # the outstation
        "restart": _once("the RTAC restarts: IIN1.7, no setpoint (see resume_setpoint), events"
                         " lost"),
        "overflow": _once("more events than the buffer holds: IIN2.3", Argument.NUMBER, "100"),
        "wrong_firmware": _lasting("another map's layout, or with no argument another version",
                                   Argument.WORD),
        "device_trouble": _lasting("IIN1.6"),
        "config_corrupt": _lasting("IIN2.5"),
        "clock_unsynced": _lasting("the clock was never set: IIN1.4, relative times"),
        "need_time": _lasting("IIN1.4 stays set, however often the time is written"),
        "late_events": _lasting("events are told so many seconds after they happened, or when"
                                " this is cleared", Argument.SECONDS, "30"),
        "clock_jump": _lasting("the clock is off by so many seconds", Argument.NUMBER, "3600"),
        # values
        "forced": _lasting("flag LOCAL_FORCED", Argument.POINTS, EVERY_POINT),
        "comm_lost": _lasting("flag COMM_LOST, not ONLINE", Argument.POINTS, EVERY_POINT),
        "offline": _lasting("flag ONLINE is clear", Argument.POINTS, EVERY_POINT),
        "chatter": _lasting("flag CHATTER_FILTER on binaries", Argument.POINTS, EVERY_POINT),
        "nan": _lasting("not a number (floats; integers: REFERENCE_ERR)", Argument.POINTS,
                        EVERY_POINT),
        "over_range": _lasting("flag OVER_RANGE, value at its limit", Argument.POINTS, EVERY_POINT),
        "value": _lasting("the point has this raw value", Argument.VALUE, None),
        "lie_power_sign": _lasting("measured power has the wrong sign"),
        "max_power": _lasting("the largest power is so many W, and a setpoint in percent of it"
                              " moves with it", Argument.NUMBER, "1000000"),
        # the RTAC's logic
        "local": _lasting("the local/remote switch is at local"),
        "estop": _lasting("the emergency stop is pressed"),
        "breaker_open": _lasting("the breaker is open"),
        "alarm": _lasting("an alarm of this name is active", Argument.WORD, "over_temp"),
        "trip": _lasting("a fault of this name is active", Argument.WORD, "inverter"),
        "dead_heartbeat": _lasting("the DER heartbeat stands still"),
        "deaf_heartbeat": _lasting("our heartbeat is accepted but not echoed"),
        "refuse_controls": _lasting("every control is answered with this status",
                                    Argument.STATUS, "9"),
        "refuse_next": _once("the next control but a heartbeat is answered with this status",
                             Argument.STATUS, "1"),
        "refuse_zero": _lasting("a zero setpoint is refused with this status",
                                Argument.STATUS, "6"),
        "mute_controls": _lasting("controls are carried out but never answered"),
        "mute_selects": _lasting("a SELECT is never answered; direct operates are"),
        "lose_selects": _once("the next so many SELECTs are taken and not answered",
                              Argument.COUNT, "1"),
        "ignore_setpoint": _lasting("setpoints are accepted and echoed, power does not follow"),
        "hold_power": _lasting("setpoints are accepted and echoed, power goes on as it is; only"
                               " the breaker ends it"),
        "runaway": _lasting("setpoints are accepted and echoed, power runs to so many W; only the"
                            " breaker ends it", Argument.NUMBER, "1000000"),
        "stuck_echo": _lasting("the setpoint's echo stays where it is"),
        "preempt": _lasting("another master holds the setpoint at so many W", Argument.NUMBER,
                            "100000"),
        "resume_setpoint": _lasting("after a restart the last remote setpoint is in force again"),
        "no_deadman": _lasting("the RTAC's dead-man logic is missing"),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Faults:
    """The lasting faults in force: name -> argument ("" where there is none)."""

    active: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.active

    def argument(self, name: str) -> str:
        """Argument of a fault that is in force."""
        return self.active[name]

    def status(self, name: str) -> int | None:
        """DNP3 command status that the fault answers with; None if it is not in force."""
        return int(self.active[name]) if name in self.active else None

    def seconds(self, name: str) -> tuple[float, float]:
        """Shortest and longest time of a fault; 0 and 0 where it is not in force."""
        low, dots, high = self.active.get(name, "0").partition("..")
        return float(low), float(high if dots else low)

    def fragments(self) -> tuple[float, float]:
        """How many fragments an answer has at least, and the seconds between two of them."""
        if "never_fin" in self.active:
            return math.inf, self.seconds("never_fin")[1]
        count, _, pause_s = self.active.get("slow_fragments", "1:0").partition(":")
        return float(count), float(pause_s)

    def hits(self, name: str, point: str) -> bool:
        """Whether a fault on points is in force for ``point``."""
        found = self.active.get(name)
        return found is not None and (found == EVERY_POINT or point in found.split(","))

    def raw_value(self, point: str) -> float | None:
        """The raw value that ``value=POINT:RAW`` forces on ``point``."""
        for pair in self.active.get("value", "").split(","):
            name, _, raw = pair.partition(":")
            if name == point:
                return float(raw)
        return None

    def having(self, name: str, argument: str) -> Faults:
        """With one lasting fault more; points add up, everything else is replaced."""
        adds = FAULTS[name].argument in (Argument.POINTS, Argument.VALUE)
        held = self.active.get(name, "")
        if adds and held and EVERY_POINT not in (held, argument):
            argument = f"{held},{argument}"
        return replace(self, active=MappingProxyType({**self.active, name: argument}))

    def without(self, name: str) -> Faults:
        """With one fault less; EVERY_POINT as a name clears all."""
        if name == EVERY_POINT:
            return Faults()
        kept = {key: value for key, value in self.active.items() if key != name}
        return replace(self, active=MappingProxyType(kept))


def parse_fault(text: str) -> tuple[str, str]:
    """Split and check ``NAME`` or ``NAME=ARGUMENT``.

    Raises:
        BadOptionError: no such fault, or an argument it does not take.
    """
    name, equals, argument = text.partition("=")
    kind = FAULTS.get(name)
    if kind is None:
        raise BadOptionError(
            what="fault", found=name, allowed=f"one of {', '.join(sorted(FAULTS))}"
        )
    if not equals:
        if kind.default is None:
            allowed = f"{name}={_ALLOWED[kind.argument]}"
            raise BadOptionError(what="fault", found=name, allowed=allowed)
        return name, kind.default
    if not _ACCEPTS[kind.argument](argument):
        allowed = _ALLOWED[kind.argument]
        raise BadOptionError(what=f"fault {name}: argument", found=repr(argument), allowed=allowed)
    return name, argument


_ALLOWED = {
    Argument.NONE: "absent",
    Argument.POINTS: "a point such as AI1, or several with commas, or *",
    Argument.VALUE: "POINT:RAW, such as AI1:4242",
    Argument.NUMBER: "a number",
    Argument.COUNT: "a whole number, 1 or more",
    Argument.SECONDS: "seconds, 0 or more",
    Argument.SPAN: "seconds such as 2, or a range such as 0.5..3",
    Argument.PIECES: "N:SECONDS, such as 5:2",
    Argument.STATUS: "a DNP3 command status, 1..126",
    Argument.WORD: "a word",
}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _is_time(text: str) -> bool:
    return _is_number(text) and 0.0 <= float(text) < math.inf


def _is_span(text: str) -> bool:
    low, dots, high = text.partition("..")
    return _is_time(low) and (not dots or (_is_time(high) and float(low) <= float(high)))


def _is_pieces(text: str) -> bool:
    count, _, pause_s = text.partition(":")
    return _is_count(count) and _is_time(pause_s)


def _are_points(text: str) -> bool:
    return text == EVERY_POINT or all(parse_point(point) for point in text.split(","))


def _is_value(text: str) -> bool:
    point, _, raw = text.partition(":")
    return parse_point(point) is not None and _is_number(raw)


def _is_status(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= 126  # noqa: PLR2004  # 7 bits, 127 is "undefined"


_ACCEPTS: Mapping[Argument, Callable[[str], bool]] = {
    Argument.NONE: lambda _: False,
    Argument.POINTS: _are_points,
    Argument.VALUE: _is_value,
    Argument.NUMBER: _is_number,
    Argument.COUNT: _is_count,
    Argument.SECONDS: _is_time,
    Argument.SPAN: _is_span,
    Argument.PIECES: _is_pieces,
    Argument.STATUS: _is_status,
    Argument.WORD: bool,
}
