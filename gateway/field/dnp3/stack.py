"""One connection's opendnp3 channel and master: made, used once, dropped.

Callbacks arrive on the dnp3 thread. Each body is guarded: an exception that leaves a command
callback ends the process, in any other it is printed and forgotten (yadnp3 3.2.1.4).

opendnp3 keeps the objects that it calls for as long as the master lives, and the stack keeps the
master. So these objects know their stack by a weak reference: a strong one would be a circle
through C++, which no collector sees, and every attempt to connect would stay in memory (14 kB).
"""

from __future__ import annotations

import functools
import logging
import re
import weakref
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import opendnp3 as dnp

from gateway.field.dnp3 import words as w
from gateway.field.dnp3.iin import FLEETING, join

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.clock import Now
    from gateway.config.site import Dnp3Settings
    from gateway.field.dnp3.engine import Engine
    from gateway.field.dnp3.fragments import FragmentHandler

log = logging.getLogger(__name__)

_P = ParamSpec("_P")

# opendnp3's words, src/channel/TCPClientIOHandler.cpp and IOHandler.cpp
_FAILED = "Error Connecting: "
_STRAY = re.compile(r"Frame w/ unknown route, source: (\d+), dest (\d+)")
_NOISE = re.compile(
    r".*(CRC|Missing|length|Bad|Unknown|not understood|unexpected).*", re.IGNORECASE
)
_CANCELED = "canceled"

_TASKS = {
    dnp.MasterTaskType.STARTUP_INTEGRITY_POLL.value: "startup",
    dnp.MasterTaskType.DISABLE_UNSOLICITED.value: "disable_unsolicited",
    dnp.MasterTaskType.ENABLE_UNSOLICITED.value: "enable_unsolicited",
    dnp.MasterTaskType.USER_TASK.value: "request",
}
_SUCCESS = dnp.TaskCompletion.SUCCESS.value
_BAD_RESPONSE = dnp.TaskCompletion.FAILURE_BAD_RESPONSE.value
_START_TIMEOUT = dnp.TaskCompletion.FAILURE_START_TIMEOUT.value


class EndedTask:
    """A task's end, complete once the indications of its last response are known."""

    __slots__ = ("answered", "iin", "ok", "result", "slowest_s", "started", "task", "took_s")

    def __init__(self, task: str, result: dnp.TaskCompletion, *, started: bool) -> None:
        self.task, self.result = task, result.name
        self.ok = result.value == _SUCCESS
        # A request that waited for its turn too long says nothing about the outstation.
        self.answered = result.value in (_SUCCESS, _BAD_RESPONSE, _START_TIMEOUT)
        self.started = started
        self.iin = 0
        self.took_s = 0.0  # from the request to its end, where it was started
        self.slowest_s = 0.0  # and the longest of what SELECT and OPERATE waited for an answer


class Owner(Protocol):
    """What a stack tells its session, on the dnp3 thread."""

    def heard(self, stack: Stack) -> None:
        """A response arrived."""
        ...

    def started(self, stack: Stack, task: str) -> None:
        """A request is being sent; ``task`` is one of ``TaskEnded``."""
        ...

    def notice(self, stack: Stack, event: w.Event) -> None:
        """Something for the supervisor."""
        ...

    def ended(self, stack: Stack, ended: EndedTask) -> None:
        """A task ended."""
        ...

    def closed(self, stack: Stack) -> None:
        """The connection ended; tasks of opendnp3's own were cut short without a word."""
        ...


class _Guarded(Protocol):
    stack: weakref.ref[Stack]


_Callback = TypeVar("_Callback", bound=_Guarded)


def guarded(
    body: Callable[Concatenate[_Callback, Stack, _P], None],
) -> Callable[Concatenate[_Callback, _P], None]:
    """Give a callback its stack, and turn its exception into a ``ThreadFault``.

    A stack that was dropped and is gone has nobody to tell.
    """

    @functools.wraps(body)
    def guard(self: _Callback, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        stack = self.stack()
        if stack is None:
            return
        try:
            body(self, stack, *args, **kwargs)
        except Exception as error:
            log.exception("callback failed")
            stack.engine.fault(f"{body.__qualname__}: {type(error).__name__}: {error}")

    return guard


class ChannelListener(dnp.IChannelListener):
    """Hears the TCP connection open and close."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = weakref.ref(stack)

    @guarded
    def OnStateChange(self, stack: Stack, state: dnp.ChannelState) -> None:  # noqa: N802 - opendnp3
        """opendnp3: CLOSED, OPENING, OPEN or SHUTDOWN."""
        if state == dnp.ChannelState.OPEN:
            stack.owner.notice(stack, w.TcpOpened())
        elif state == dnp.ChannelState.CLOSED:
            stack.owner.notice(stack, w.TcpClosed())


class Application(dnp.IMasterApplication):
    """Hears responses and the ends of tasks, and gives the time."""

    def __init__(self, stack: Stack, now: Callable[[], Now]) -> None:
        super().__init__()
        self.stack = weakref.ref(stack)
        self._now = now
        self._started = -1
        self._sent_s = self._heard_s = self._slowest_s = 0.0
        self._pending: EndedTask | None = None
        self._iin = -1

    @guarded
    def OnTaskStart(self, stack: Stack, kind: dnp.MasterTaskType, _id: dnp.TaskId) -> None:  # noqa: N802 - opendnp3
        """opendnp3: a request is being sent."""
        self._started = kind.value
        self._sent_s = self._heard_s = self._now().mono_s
        self._slowest_s = 0.0
        if (task := _TASKS.get(kind.value)) is not None:
            stack.owner.started(stack, task)

    @guarded
    def OnTaskComplete(self, stack: Stack, done: dnp.TaskInfo) -> None:  # noqa: N802 - opendnp3
        """opendnp3: a task ended. If a response ended it, its indications follow at once."""
        task = _TASKS.get(done.type.value)
        started, self._started = self._started == done.type.value, -1
        if task is None:
            return
        ended = EndedTask(task, done.result, started=started)
        if started:
            ended.took_s = self._now().mono_s - self._sent_s
            ended.slowest_s = self._slowest()
        if done.result.value in (_SUCCESS, _BAD_RESPONSE):
            self._pending = ended
        else:
            stack.end(ended)

    @guarded
    def OnReceiveIIN(self, stack: Stack, field: dnp.IINField) -> None:  # noqa: N802 - opendnp3
        """opendnp3: the indications of a response or unsolicited response."""
        iin = join(field.LSB, field.MSB)
        self._slowest_s = self._slowest()
        self._heard_s = self._now().mono_s
        stack.owner.heard(stack)
        if self._iin == -1 or (iin ^ self._iin) & ~FLEETING:
            stack.owner.notice(stack, w.IinSeen(iin))
        self._iin = iin
        if (ended := self._pending) is not None:
            self._pending = None
            ended.iin = iin
            stack.end(ended)

    def _slowest(self) -> float:
        """The longest wait for an answer since the request was sent, s."""
        return max(self._slowest_s, self._now().mono_s - self._heard_s)

    @guarded
    def OnClose(self, stack: Stack) -> None:  # noqa: N802 - opendnp3
        """opendnp3: the link layer went down."""
        stack.owner.closed(stack)

    def Now(self) -> dnp.UTCTimestamp:  # noqa: N802 - opendnp3
        """opendnp3: the time to write. Anything but this type would write 1970 in silence."""
        return dnp.UTCTimestamp(int(self._now().unix_ms))


class Stack:
    """A channel with one master on it.

    Args:
        engine: opendnp3 for this connection.
        name: unique in this process; how opendnp3's log names it.
        settings: of the association.
        points: takes the measurements of startup and of unsolicited responses.
        owner: the session.
        now: both clocks.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        settings: Dnp3Settings,
        *,
        points: FragmentHandler,
        owner: Owner,
        now: Callable[[], Now],
    ) -> None:
        self.engine, self.owner, self._name = engine, owner, name
        self.on_end: Callable[[EndedTask], bool] | None = None
        self._listener = ChannelListener(self)
        self._application = Application(self, now)
        engine.hear(name, self._hear)
        self._channel = engine.channel(name, settings.host, settings.port, self._listener)
        self.master = self._channel.AddMaster(name, points, self._application, _config(settings))

    def open(self) -> None:
        """Connect; answered by ``TcpOpened`` or ``ConnectFailed``, or by nothing."""
        self.master.Enable()

    def drop(self) -> None:
        """Close the connection and end the channel. Never from a callback."""
        self.master.Disable()
        self._channel.Shutdown()
        self.engine.hear(self._name, None)
        self.on_end = None

    def check_link(self) -> None:
        """Send REQUEST LINK STATUS."""
        self.master.CheckLinkStatus(functools.partial(_link_checked, weakref.ref(self)))

    def end(self, ended: EndedTask) -> None:
        """A task ended: a step of a longer request goes on, anything else is told."""
        on_end = self.on_end if ended.task == "request" else None
        if on_end is None or not on_end(ended):
            self.owner.ended(self, ended)

    def _hear(self, message: str) -> None:
        if message.startswith(_FAILED):
            text = message.removeprefix(_FAILED)
            if _CANCELED not in text.lower():
                self.owner.notice(self, w.ConnectFailed(text))
        elif stray := _STRAY.match(message):
            self.owner.notice(self, w.StraySeen(int(stray[1]), int(stray[2])))
        elif _NOISE.match(message):
            self.owner.notice(self, w.NoiseSeen(message))


def _link_checked(stack: weakref.ref[Stack], ok: bool) -> None:  # noqa: FBT001 - opendnp3 calls it so
    found = stack()
    if found is None:
        return
    try:
        found.owner.notice(found, w.LinkChecked(bool(ok)))
    except Exception as error:  # an exception in this callback ends the process
        log.exception("link check")
        found.engine.fault(f"link check: {error}")


def _config(settings: Dnp3Settings) -> dnp.MasterStackConfig:
    config = dnp.MasterStackConfig()
    master, link = config.master, config.link
    master.responseTimeout = _duration(settings.response_timeout_s)
    master.taskStartTimeout = _duration(2 * settings.response_timeout_s)
    master.taskRetryPeriod = _duration(1)
    master.maxTaskRetryPeriod = _duration(settings.response_timeout_s + 1)
    # The supervisor answers these, and NEED_TIME: opendnp3 would as fast as the bit comes back.
    master.integrityOnEventOverflowIIN = False
    master.ignoreRestartIIN = True
    link.LocalAddr = settings.master_address
    link.RemoteAddr = settings.outstation_address
    link.Timeout = _duration(settings.response_timeout_s)
    return config


def _duration(seconds: float) -> dnp.TimeDuration:
    return dnp.TimeDuration.Milliseconds(round(seconds * 1000))
