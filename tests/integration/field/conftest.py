"""An engine per test, sessions that are closed again, and both outstations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.events import PollDone, ThreadFault
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from tests.fixtures.field import Recorder, Sink, asset
from tests.fixtures.py1815_outstation import py1815_outstation
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.ports import FragmentSink
    from tests.fixtures.outstation_process import OutstationProcess


@pytest.fixture
def core() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    assert recorder.all(ThreadFault) == []


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def engine(core: Recorder) -> Iterator[Engine]:
    made = Engine(core)
    yield made
    made.close()


@pytest.fixture
def session_to(core: Recorder, sink: Sink) -> Iterator[Callable[..., Dnp3Session]]:
    """Starts a session to a port, with an engine of its own; [asset.dnp3] by keyword."""
    made: list[tuple[Dnp3Session, Engine]] = []

    def start(
        port: int,
        *,
        critical: frozenset[str] = frozenset(),
        store: FragmentSink = sink,
        poll_done: Callable[[str, str], None] | None = None,
        critical_poll_s: float = 0.3,
        name: str = "bess-1",
        **settings: Any,  # noqa: ANN401 - of any type
    ) -> Dnp3Session:
        engine = Engine(core, asset=name)
        session = Dnp3Session(
            engine,
            asset(port, name, **settings),
            critical=critical,
            store=store,
            poll_done=poll_done,
            post=core,
            critical_poll_s=critical_poll_s,
        )
        made.append((session, engine))
        session.start()
        return session

    yield start
    for session, engine in made:
        session.close(within_s=10)
        engine.close()


@pytest.fixture(params=["yadnp3", "py1815"])
def outstation(request: pytest.FixtureRequest) -> Iterator[Callable[..., OutstationProcess]]:
    """Starts an outstation of either kind."""
    make = {"yadnp3": yadnp3_outstation, "py1815": py1815_outstation}[request.param]
    made: list[OutstationProcess] = []

    def start(**settings: Any) -> OutstationProcess:  # noqa: ANN401 - JSON
        made.append(make(**settings))
        return made[-1]

    yield start
    for process in made:
        process.close()


@pytest.fixture
def settled(core: Recorder) -> Callable[[], None]:
    """Waits until what waited at the outstation was read: from then on data is live."""

    def wait(after: int = 0) -> None:
        core.wait(PollDone, lambda done: done.kind == "event" and done.ok, after=after)

    return wait
