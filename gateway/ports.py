"""What every pathway to a battery offers, and what it is given.

Words only. A pathway decides nothing: it polls, delivers fragments, carries out controls and
says what became of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.points.raw import RawPoint


class FragmentSink(Protocol):
    """Makes the points of one fragment durable."""

    def __call__(self, asset: str, points: tuple[RawPoint, ...], /) -> None:
        """Return only when what is to be shipped of ``points`` is on disk.

        Raises:
            StoreError: nothing of it was kept; the pathway reports the loss.
        """
        ...


class CrobOp(StrEnum):
    """Operations of a control relay output block (CROB, group 12)."""

    PULSE_ON = "pulse_on"
    PULSE_OFF = "pulse_off"
    LATCH_ON = "latch_on"
    LATCH_OFF = "latch_off"
    CLOSE = "close"  # pulse on with the close code of a trip/close pair
    TRIP = "trip"  # pulse on with the trip code of a trip/close pair


class Variation(StrEnum):
    """How an analog output is written (group 41)."""

    INT16 = "int16"
    INT32 = "int32"
    FLOAT = "float"
    DOUBLE = "double"


@dataclass(frozen=True, slots=True)
class Control:
    """One output, in raw units of the outstation."""

    point: str  # "AO93" takes a number, "BO18" a CROB operation
    value: float | int | CrobOp
    variation: Variation = Variation.INT32  # of an analog output
    on_ms: int = 100  # pulse length of a CROB, 0..4294967295
    off_ms: int = 100
    count: int = 1  # of pulses, 1..255


class Purpose(StrEnum):
    """What an output does to the battery's power: what it must wait for, and what it may."""

    ZERO = "zero"  # zero, or a stop: nothing may keep it waiting for long
    BEAT = "beat"  # the heartbeat
    POWER = "power"  # it moves power, or may: never while zero is demanded


class OutcomeKind(StrEnum):
    """What became of a request to operate."""

    SUCCESS = "success"  # every point says so: summary, state and status
    REFUSED = "refused"  # the outstation said no; ``statuses`` has its reason
    NO_ANSWER = "no_answer"  # sent and not answered: it may have been carried out, never resend
    FAILED = "failed"  # never left this box: not connected, or not a lawful value


class Stage(StrEnum):
    """How far a control that was not answered had come."""

    SELECT = "select"  # OPERATE was never sent: nothing was carried out
    OPERATE = "operate"  # OPERATE or a direct operate was sent, or nobody can tell


@dataclass(frozen=True, slots=True)
class PointStatus:
    """What the outstation said about one point."""

    point: str
    number: int  # DNP3 command status, 0..127; 127 where it said nothing
    name: str  # SUCCESS, LOCAL, OUT_OF_RANGE ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answer to ``operate``. Controls after the first one that did not succeed were not sent."""

    kind: OutcomeKind
    statuses: tuple[PointStatus, ...]
    cause: str  # for people; "" on success
    stage: Stage = Stage.OPERATE  # of the last control sent
    # s that the slowest of its requests waited for an answer, or until it was given up; None: none
    # was sent.
    answer_s: float | None = None
    # s from the last look at its licence until its frame was on the way, the longest of its
    # controls; what ends the licence meanwhile drops the connection. None: none was sent.
    handed_s: float | None = field(default=None, compare=False)


class Pathway(Protocol):
    """One asset's way to the field. Any thread may call; nothing here waits for the field."""

    @property
    def beat(self) -> float:
        """CLOCK_BOOTTIME seconds of the last sign of life of the thread that serves it."""
        ...

    def start(self) -> None:
        """Begin to connect, and to poll."""
        ...

    def poll(self, kind: str) -> None:
        """Order a read: integrity | event | critical."""
        ...

    def operate(
        self,
        controls: Sequence[Control],
        *,
        sbo: bool,
        done: Callable[[Outcome], None],
        by: float = math.inf,
        purpose: Purpose = Purpose.POWER,
        first: bool = False,
    ) -> None:
        """Carry out ``controls`` in order; ``done`` is called once, from a thread of the pathway.

        Args:
            controls: one or more outputs; the first that does not succeed ends the request.
            sbo: select before operate, else direct operate.
            done: takes the outcome; it must only hand it on.
            by: CLOCK_BOOTTIME s; what would leave later does not leave, and has FAILED.
            purpose: what the controls do to the battery's power.
            first: no read goes before it, as none goes before zero.
        """
        ...

    def demand(self, *, on: bool, drops: bool = True) -> None:
        """Zero is owed to the battery, or none is any more.

        While it is, nothing that moves power leaves: what waits has FAILED, and what was handed
        over is stopped as long as it can be.

        Args:
            on: it is.
            drops: a zero that waits too long may drop the connection; not where a new one is known
                to take longer than that.
        """
        ...

    def hands_off(self, *, on: bool) -> None:
        """The site has the authority, or no more.

        While it has, all but a heartbeat that waits, or was handed over and not begun, has FAILED.
        """
        ...

    def give_way(self, *, withheld: bool = False) -> None:
        """A heartbeat that waits its turn has FAILED, unless it is to go before any read.

        ``withheld``: also that one, for none may leave any more.
        """
        ...

    def renew(self) -> None:
        """Drop the connection and make it again, unless zero is owed: ``ConnectionRemade``."""
        ...

    def close(self, *, within_s: float) -> None:
        """Disconnect; return when done or after ``within_s`` seconds."""
        ...
