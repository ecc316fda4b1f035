"""The dispatch application on a real broker with certificates, before a gateway's voice."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import rfc3339
from gateway.cloud.dispatcher.client import (
    BrokerAccess,
    BrokerUnreachableError,
    Dispatcher,
    DispatchError,
    NotReadyError,
)
from gateway.cloud.dispatcher.heard import Challenge, DelayedHeartbeat
from gateway.cloud.dispatcher.signing import Signer
from gateway.control.commands.heartbeat import HeartbeatAnswer
from gateway.control.commands.reasons import Reason, Rejected
from gateway.control.commands.verify import Admitted
from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.errors import ConfigError
from gateway.mqtt import moderation
from tests.fixtures import commands
from tests.fixtures.brokers import WAIT_S
from tests.fixtures.gateway_standin import ASSET, GATEWAY, StandIn
from tests.fixtures.schemas import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPS = Signer("ops-1", commands.OPS.private)
CHIEF = Signer("chief-1", commands.CHIEF.private)
PULSE = Signer("pulse-1", commands.PULSE.private)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def broker(tmp_path: Path, pki: Pki) -> Iterator[Broker]:
    found = Broker(tmp_path / "broker", pki=pki)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def gateway(pki: Pki, broker: Broker) -> Iterator[StandIn]:
    with StandIn(pki, broker.port) as found:
        yield found


@contextlib.contextmanager
def running(
    pki: Pki,
    broker: Broker,
    *,
    link: dict[str, Any] | None = None,
    **change: Any,  # noqa: ANN401 - any argument of Dispatcher
) -> Iterator[Dispatcher]:
    cert, key = pki.client("dispatcher")
    connection = BrokerAccess("localhost", broker.port, pki.ca, cert, key, **(link or {}))
    fields: dict[str, Any] = {"gateway": GATEWAY, "signers": (OPS,), "heartbeat": PULSE} | change
    with Dispatcher(connection, **fields) as dispatcher:
        yield dispatcher


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_command_is_signed_sent_and_followed(
    pki: Pki, broker: Broker, gateway: StandIn, protocol: str
) -> None:
    gateway.online()
    gateway.born()
    with running(pki, broker, link={"protocol": protocol}) as dispatcher:
        gateway.ask(1)
        quotes = dispatcher.ready(ASSET, within_s=WAIT_S)
        assert (quotes.challenge, quotes.session) == (1, commands.SESSION)
        sent = dispatcher.send(ASSET, "discharge", power_w=500_000, duration_s=900)
        story = dispatcher.wait_for(sent, {"executing"}, within_s=WAIT_S)
        assert story.states == ("received", "accepted", "executing")
        assert story.last["appliedPowerW"] == 400_000
        for one in dispatcher.received:
            check(dict(one.body))
    [admitted] = gateway.commands
    assert isinstance(admitted, Admitted)
    assert (admitted.command.id, admitted.command.power_w) == (sent, 500_000)


def test_each_challenge_is_answered_once(pki: Pki, broker: Broker, gateway: StandIn) -> None:
    gateway.born()
    with running(pki, broker):
        for number in (1, 2, 3):
            gateway.ask(number)
        gateway.wait(lambda: len(gateway.answered) == 3)
    assert gateway.answered == [HeartbeatAnswer(number, "pulse-1") for number in (1, 2, 3)]


def test_a_broker_that_asks_without_end_collects_few_answers(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    began = time.monotonic()
    with running(pki, broker) as dispatcher:
        for number in range(1, 501):
            gateway.ask(number)
        dispatcher.wait_until(
            lambda: dispatcher.challenge is not None and dispatcher.challenge.number == 500,
            within_s=WAIT_S,
            what="the last question",
        )
        dispatcher.wait_until(lambda: gateway.answered, within_s=WAIT_S, what="an answer")
    allowed = moderation.BURST + moderation.PER_S * (time.monotonic() - began)
    assert len(gateway.answered) <= allowed


def test_an_application_that_lives_and_does_not_answer(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    with running(pki, broker) as dispatcher:
        dispatcher.answering = False
        gateway.ask(1)
        dispatcher.wait_until(
            lambda: dispatcher.challenge is not None, within_s=WAIT_S, what="a challenge"
        )
        dispatcher.answering = True
        gateway.ask(2)
        gateway.wait(lambda: gateway.answered)
    assert gateway.answered == [HeartbeatAnswer(2, "pulse-1")]


def test_a_delayed_answer_is_overtaken_by_the_next(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    with running(pki, broker) as dispatcher:
        dispatcher.on_challenge = lambda asked, signed: (
            [DelayedHeartbeat(5.0 if asked.number == 1 else 0.0, signed)]
        )
        gateway.ask(1)
        gateway.ask(2)
        gateway.wait(lambda: len(gateway.answered) == 2)
    assert [one.challenge for one in gateway.answered if isinstance(one, HeartbeatAnswer)] == [2, 1]


def test_answers_can_be_dropped_doubled_and_replayed(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    kept: list[bytes] = []

    def decide(asked: Challenge, signed: bytes) -> list[DelayedHeartbeat]:
        kept.append(signed)
        return {1: [], 2: [DelayedHeartbeat(0, signed)] * 2}.get(
            asked.number, [DelayedHeartbeat(0, kept[0])]
        )

    with running(pki, broker) as dispatcher:
        dispatcher.on_challenge = decide
        for number in (1, 2, 3):
            gateway.ask(number)
        gateway.wait(lambda: len(gateway.answered) == 3)
    assert [one.challenge for one in gateway.answered if isinstance(one, HeartbeatAnswer)] == [
        2,
        2,
        1,
    ]


def test_what_is_late_is_dropped_when_the_application_stops(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    with running(pki, broker) as dispatcher:
        dispatcher.answer_delay_s = 3600.0
        gateway.ask(1)
        dispatcher.wait_until(
            lambda: dispatcher.challenge is not None, within_s=WAIT_S, what="a challenge"
        )
    assert gateway.answered == []


def test_two_keys_sign_the_same_command(pki: Pki, broker: Broker, gateway: StandIn) -> None:
    gateway.born()
    with running(pki, broker, signers=(OPS, CHIEF)) as dispatcher:
        gateway.ask(1)
        dispatcher.ready(ASSET, within_s=WAIT_S)
        sent = dispatcher.send(ASSET, "arm")
        dispatcher.wait_for(sent, {"accepted"}, within_s=WAIT_S)
    [admitted] = gateway.commands
    assert isinstance(admitted, Admitted)
    assert [key.kid for key in admitted.signers] == ["chief-1", "ops-1"]


def test_sequence_numbers_rise_within_a_run_and_over_restarts(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    gateway.born()
    for _ in range(2):
        with running(pki, broker) as dispatcher:
            gateway.ask(1)
            dispatcher.ready(ASSET, within_s=WAIT_S)
            for _ in range(3):
                dispatcher.wait_for(dispatcher.send(ASSET, "idle"), {"accepted"}, within_s=WAIT_S)
    assert [type(one) for one in gateway.commands] == [Admitted] * 6


def test_a_rejection_carries_its_reason(pki: Pki, broker: Broker, gateway: StandIn) -> None:
    gateway.born()
    with running(pki, broker, signers=(Signer("stranger", commands.STRANGER.private),)) as one:
        gateway.ask(1)
        one.ready(ASSET, within_s=WAIT_S)
        sent = one.send(ASSET, "arm")
        with pytest.raises(DispatchError, match=rf"{sent}: rejected \(UNKNOWN_KEY\): not accepted"):
            one.wait_for(sent, {"accepted"}, within_s=WAIT_S)
        assert one.follow(sent).reason == "UNKNOWN_KEY"


def test_forged_replayed_and_retained_messages_can_be_sent(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    gateway.born()
    with running(pki, broker) as dispatcher:
        gateway.ask(1)
        dispatcher.ready(ASSET, within_s=WAIT_S)
        topic = dispatcher.topics.own(f"{ASSET}/cmd")
        old = dispatcher.claims(ASSET, "arm") | {
            "issuedAt": rfc3339(0),
            "expiresAt": rfc3339(60_000),
        }
        good = dispatcher.sign(dispatcher.claims(ASSET, "idle"))
        for payload in (dispatcher.sign(old), good, good, good[:-2], b"{}"):
            dispatcher.raw(topic, payload)
        dispatcher.raw(topic, dispatcher.sign(dispatcher.claims(ASSET, "idle")), retain=True)
        gateway.wait(lambda: len(gateway.commands) == 6)
        dispatcher.wait_until(
            lambda: len(dispatcher.follow("None").acks) == 2, within_s=WAIT_S, what="their acks"
        )
    reasons = [one.reason if isinstance(one, Rejected) else None for one in gateway.commands]
    assert reasons[:5] == [
        Reason.EXPIRED,
        None,
        Reason.DUPLICATE,
        Reason.MALFORMED,
        Reason.MALFORMED,
    ]


def test_nothing_that_was_heard_is_lost_or_joined(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    with running(pki, broker) as dispatcher:
        began_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        for _ in range(2):
            gateway.result("01JD0000000000000000000000", "executing")
        gateway.say(gateway.topics.own(f"{ASSET}/event"), b"no JSON")
        dispatcher.wait_until(
            lambda: len(dispatcher.received) == 3, within_s=WAIT_S, what="three messages"
        )
        times = [one.at.mono_s for one in dispatcher.received]
    assert times == sorted(times)
    assert times[0] >= began_s
    assert [one.schema for one in dispatcher.received] == ["bess.result/1"] * 2 + [""]
    assert dispatcher.received[2].payload == b"no JSON"
    assert dispatcher.follow("01JD0000000000000000000000").states == ("executing",) * 2


def missing(dispatcher: Dispatcher, asset: str = ASSET) -> str:
    with pytest.raises(NotReadyError) as raised:
        dispatcher.ready(asset, within_s=0.2)
    return str(raised.value)


def test_it_says_what_keeps_a_command_from_being_signed(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    with running(pki, broker) as dispatcher:

        def seen(schema: str, count: int) -> None:
            dispatcher.wait_until(
                lambda: [one.schema for one in dispatcher.received].count(schema) == count,
                within_s=WAIT_S,
                what=schema,
            )

        assert "gw-17 is unknown to the broker" in missing(dispatcher)
        gateway.born(safetyDigest=None, enabled=False, reasons=["SAFETY_CONFIG_MISSING"])
        seen("bess.birth/1", 1)
        assert missing(dispatcher) == (
            "control of bess-1 is off, it has no safety file; reasons: SAFETY_CONFIG_MISSING"
        )
        assert "has no asset 'bess-2': its birth names 'bess-1'" in missing(dispatcher, "bess-2")
        gateway.born(enabled=False, reasons=["SIGN_TEST_MISSING", "DEADMAN_TEST_MISSING"])
        seen("bess.birth/1", 2)
        assert missing(dispatcher) == (
            "gateway gw-17 sends no challenge; reasons that control of bess-1 is off: "
            "SIGN_TEST_MISSING, DEADMAN_TEST_MISSING"
        )
        gateway.online(online=False)
        seen("bess.status/1", 1)
        assert missing(dispatcher) == "gateway gw-17 is offline: its status says so"
        with pytest.raises(NotReadyError):
            dispatcher.send(ASSET, "arm")
    assert gateway.commands == []


def test_a_challenge_of_an_earlier_boot_is_not_quoted(
    pki: Pki, broker: Broker, gateway: StandIn
) -> None:
    gateway.born()
    with running(pki, broker) as dispatcher:
        gateway.ask(1)
        dispatcher.ready(ASSET, within_s=WAIT_S)
        gateway.session = "B" * 22
        gateway.born()
        dispatcher.wait_until(
            lambda: dispatcher.birth["session"] == "B" * 22, within_s=WAIT_S, what="a new birth"
        )
        assert "sends no challenge" in missing(dispatcher)
        gateway.ask(2)
        assert dispatcher.ready(ASSET, within_s=WAIT_S).session == "B" * 22


def test_the_watchdogs_state_is_followed(pki: Pki, broker: Broker, gateway: StandIn) -> None:
    gateway.born(state="IDLE")
    with running(pki, broker) as dispatcher:
        assert dispatcher.wait_control(ASSET, {"IDLE"}, within_s=WAIT_S) == "IDLE"
        gateway.born(state="ARMED")
        assert dispatcher.wait_control(ASSET, {"ARMED", "ACTIVE"}, within_s=WAIT_S) == "ARMED"
        with pytest.raises(DispatchError, match="bess-1 is ARMED: not ESTOP within 0"):
            dispatcher.wait_control(ASSET, {"ESTOP"}, within_s=0.1)


def test_it_connects_again_when_the_broker_comes_back(pki: Pki, broker: Broker) -> None:
    with running(pki, broker) as dispatcher:
        broker.stop()
        dispatcher.wait_until(lambda: not dispatcher.connected, within_s=WAIT_S, what="the end")
        assert "closed the connection" in dispatcher.cause or "shutting down" in dispatcher.cause
        assert "the broker is away: " in missing(dispatcher)
        with pytest.raises(BrokerUnreachableError):
            dispatcher.raw("bess/v1/gw-17/hb/down", b"")
        broker.start()
        dispatcher.wait_until(lambda: dispatcher.connected, within_s=WAIT_S, what="a connection")
        with StandIn(pki, broker.port) as gateway:
            gateway.ask(1)
            gateway.wait(lambda: gateway.answered)


def test_it_can_stop_and_start_again(pki: Pki, broker: Broker, gateway: StandIn) -> None:
    with running(pki, broker) as dispatcher:
        dispatcher.stop()
        assert not dispatcher.connected
        dispatcher.start()
        gateway.ask(1)
        gateway.wait(lambda: gateway.answered)
    assert gateway.answered == [HeartbeatAnswer(1, "pulse-1")]


def test_a_stop_does_not_wait_for_a_broker_that_is_frozen(pki: Pki, broker: Broker) -> None:
    with running(pki, broker) as dispatcher:
        broker.freeze()
        with pytest.raises(BrokerUnreachableError, match="no PUBACK in 0"):
            dispatcher.raw("bess/v1/gw-17/bess-1/cmd", b"{}", wait_s=0.2)


def refused(
    pki: Pki, port: int, *, identity: tuple[Path, Path] | None = None, ca: Path | None = None
) -> str:
    cert, key = identity or pki.client("dispatcher")
    dispatcher = Dispatcher(
        BrokerAccess("localhost", port, ca or pki.ca, cert, key), gateway=GATEWAY
    )
    with pytest.raises(BrokerUnreachableError) as raised:
        dispatcher.start()
    dispatcher.stop()
    return str(raised.value)


def test_a_broker_that_refuses_says_why(pki: Pki, broker: Broker) -> None:
    assert "signed by a CA that the broker does not know" in refused(
        pki, broker.port, identity=pki.stranger("dispatcher")
    )
    assert "it has expired" in refused(
        pki, broker.port, identity=pki.client("dispatcher", expired=True)
    )
    assert "is not signed by our ca_file" in refused(pki, broker.port, ca=pki.other_ca)
    broker.stop()
    assert "no broker listens there" in refused(pki, broker.port)


def test_a_missing_file_is_named(pki: Pki, tmp_path: Path) -> None:
    cert, _ = pki.client("dispatcher")
    gone = tmp_path / "gone.key"
    with pytest.raises(ConfigError, match=r"gone\.key.* cannot be read: No such file"):
        Dispatcher(BrokerAccess("localhost", 1, pki.ca, cert, gone), gateway=GATEWAY).start()


def test_a_publish_that_the_broker_forbids_is_an_error(pki: Pki, broker: Broker) -> None:
    with (
        running(pki, broker) as dispatcher,
        pytest.raises(BrokerUnreachableError, match="not authorized"),
    ):
        dispatcher.raw("bess/v1/gw-17/birth", b"{}", retain=True)
