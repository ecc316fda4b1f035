"""An opendnp3 master that records everything an outstation tells it."""
# ruff: noqa: N802, ANN401 - opendnp3 calls CamelCase methods, and what it hands over is untyped

from __future__ import annotations

import atexit
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import opendnp3 as dnp3

from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.deadline import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_GROUP_TYPES = {
    1: "BI", 2: "BI", 3: "DBI", 4: "DBI", 10: "BO", 20: "CTR", 22: "CTR", 30: "AI", 32: "AI",
    21: "FC", 23: "FC", 40: "AO", 110: "OS", 111: "OS",
}  # fmt: skip
_TIME_QUALITY = {"SYNCHRONIZED": TimeQuality.SYNCED, "UNSYNCHRONIZED": TimeQuality.UNSYNCED}
RESTART, NEED_TIME, LOCAL, TROUBLE = 0x80, 0x10, 0x20, 0x40
OVERFLOW, CORRUPT = 0x0800, 0x2000


@cache
def manager() -> dnp3.DNP3Manager:
    """One engine for the whole test run; it must be shut down before the interpreter ends."""
    engine = dnp3.DNP3Manager(1)
    atexit.register(engine.Shutdown)
    return engine


@dataclass(frozen=True, slots=True)
class Heard:
    """One value as it arrived, with the variation that carried it."""

    raw: RawPoint
    group: int
    variation: int
    unsolicited: bool


class _Readings(dnp3.ISOEHandler):
    def __init__(self, master: RecordingMaster) -> None:
        super().__init__()
        self._master = master
        self._unsolicited = False
        self.heard: list[Heard] = []
        self.ended = False

    def BeginFragment(self, info: dnp3.ResponseInfo) -> None:
        self._unsolicited = info.unsolicited

    def EndFragment(self, info: dnp3.ResponseInfo) -> None:
        with self._master.news:
            self.ended = self.ended or (info.fin and not info.unsolicited)
            self._master.news.notify_all()

    def Process(self, info: dnp3.HeaderInfo, values: list[dnp3.Indexed]) -> None:
        group, variation = divmod(info.gv.value, 256)
        kind = _GROUP_TYPES.get(group)
        if kind is None:
            return
        found = [self._heard(info, one, kind, group, variation) for one in values]
        with self._master.news:
            self.heard.extend(found)
            self._master.heard.extend(found)
            self._master.news.notify_all()

    def _heard(
        self, info: dnp3.HeaderInfo, one: dnp3.Indexed, kind: str, group: int, variation: int
    ) -> Heard:
        value: Any = one.value.value
        value = value.value if hasattr(value, "value") else value
        at_ms = int(one.value.time.value)
        raw = RawPoint(
            f"{kind}{one.index}",
            int(value) if isinstance(value, bool) else value,
            one.value.flags.value,
            at_ms,
            int(time.time() * 1000),
            _TIME_QUALITY.get(one.value.time.quality.name, TimeQuality.GATEWAY),
            info.isEventVariation,
        )
        return Heard(raw, group, variation, self._unsolicited)


class _Application(dnp3.IMasterApplication):
    def __init__(self, master: RecordingMaster) -> None:
        super().__init__()
        self._master = master

    def Now(self) -> dnp3.UTCTimestamp:
        return dnp3.UTCTimestamp(int(time.time() * 1000))

    def OnReceiveIIN(self, iin: dnp3.IINField) -> None:
        with self._master.news:
            self._master.iin.append(iin.LSB | iin.MSB << 8)
            self._master.news.notify_all()


class _Channel(dnp3.IChannelListener):
    def __init__(self, master: RecordingMaster) -> None:
        super().__init__()
        self._master = master

    def OnStateChange(self, state: dnp3.ChannelState) -> None:
        with self._master.news:
            self._master.states.append(state.name)
            self._master.news.notify_all()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a control was answered with."""

    summary: str
    status: int | None


class RecordingMaster:
    """A master session with the outstation at ``port``, enabled while the context is open."""

    def __init__(
        self,
        port: int,
        *,
        address: int = 10,
        unsolicited: bool = True,
        response_timeout_ms: int = 10_000,
        time_sync: bool = False,
    ) -> None:
        self.news = threading.Condition()
        self.heard: list[Heard] = []
        self.iin: list[int] = []
        self.states: list[str] = []
        self._channel = manager().AddTCPClient(
            f"to {port}",
            dnp3.LogLevels.none(),
            dnp3.ChannelRetry(
                dnp3.TimeDuration.Milliseconds(50), dnp3.TimeDuration.Milliseconds(200)
            ),
            [dnp3.IPEndpoint("127.0.0.1", port)],
            "",
            self._keep(_Channel(self)),
        )
        config = dnp3.MasterStackConfig()
        config.link.LocalAddr = 1
        config.link.RemoteAddr = address
        config.link.Timeout = dnp3.TimeDuration.Milliseconds(2000)
        config.master.responseTimeout = dnp3.TimeDuration.Milliseconds(response_timeout_ms)
        config.master.taskRetryPeriod = dnp3.TimeDuration.Milliseconds(200)
        config.master.maxTaskRetryPeriod = dnp3.TimeDuration.Milliseconds(500)
        if time_sync:
            config.master.timeSyncMode = dnp3.TimeSyncMode.LAN
        self._readings = _Readings(self)
        self.master = self._channel.AddMaster(
            "master", self._readings, self._keep(_Application(self)), config
        )
        self.master.Enable()
        if not unsolicited:
            headers = [dnp3.Header.AllObjects(60, variation) for variation in (2, 3, 4)]
            self.master.PerformFunction("quiet", dnp3.FunctionCode.DISABLE_UNSOLICITED, headers)

    def _keep(self, callback: Any) -> Any:
        self.__dict__.setdefault("_kept", []).append(callback)
        return callback

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.Shutdown()

    def wait(self, holds: Callable[[], Any], *, within_s: float = DEADLINE_S, why: str = "") -> Any:
        """Whatever ``holds`` returns once it is true."""
        with self.news:
            found: Any = None

            def asked() -> bool:
                nonlocal found
                found = holds()
                return bool(found)

            if not self.news.wait_for(asked, within_s):
                tail = [(one.raw.point, one.raw.value) for one in self.heard[-10:]]
                msg = f"not within {within_s} s: {why}; heard {tail}, iin {self.iin[-5:]}"
                raise AssertionError(msg)
            return found

    def latest(self, *, static: bool | None = None) -> dict[str, Heard]:
        """The newest of each point; static or event data only if asked."""
        with self.news:
            return {
                one.raw.point: one
                for one in self.heard
                if static is None or one.raw.event is not static
            }

    def integrity(self) -> dict[str, Heard]:
        """Read class 0 and wait until all of it is there: the static value of every point."""
        heard = self.scan([dnp3.Header.AllObjects(60, 1)])
        return {one.raw.point: one for one in heard}

    def scan(self, headers: list[dnp3.Header]) -> list[Heard]:
        """Read once; what the answer holds, to the end of its last fragment."""
        self.wait(lambda: self._readings.ended, why="no startup integrity poll")
        readings = _Readings(self)
        self._keep(readings)
        self.master.Scan(headers, readings)
        self.wait(lambda: readings.ended, why="no answer to a scan")
        with self.news:
            return list(readings.heard)

    def begin(self, headers: list[dnp3.Header]) -> None:
        """Send a read; what it brings is heard as everything else is."""
        self.wait(lambda: self._readings.ended, why="no startup integrity poll")
        self.master.Scan(headers, self._readings)

    def events(self, point: str) -> list[RawPoint]:
        """Every event of a point so far."""
        with self.news:
            return [one.raw for one in self.heard if one.raw.event and one.raw.point == point]

    def operate(self, command: Any, index: int, *, sbo: bool = False) -> Outcome:
        """Send one control and wait for its outcome."""
        outcome: list[Outcome] = []

        def answered(result: dnp3.ICommandTaskResult) -> None:
            points = result.to_list()
            status = points[0].status.value if points else None
            with self.news:
                outcome.append(Outcome(result.summary.name, status))
                self.news.notify_all()

        send = self.master.SelectAndOperate if sbo else self.master.DirectOperate
        send(command, index, answered)
        found: Outcome = self.wait(lambda: outcome and outcome[0], why="no outcome of a control")
        return found

    def link_answers(self) -> bool:
        """Whether the outstation's link layer answers now."""
        answers: list[bool] = []

        def answered(alive: bool) -> None:
            with self.news:
                answers.append(alive)
                self.news.notify_all()

        self.master.CheckLinkStatus(answered)
        self.wait(lambda: answers, why="no outcome of a link check")
        return answers[0]

    def iins_since(self, count: int) -> list[int]:
        """Indications after the first ``count`` ones."""
        with self.news:
            return self.iin[count:]
