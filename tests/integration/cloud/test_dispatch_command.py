"""``bess-gateway dispatch`` from its command line, on a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization as ser

from gateway.cli import main
from gateway.cloud.dispatcher import operate
from gateway.cloud.dispatcher.keyfile import load_signer, make_key
from gateway.cloud.dispatcher.settings import read
from gateway.cloud.dispatcher.signing import SigningKeyError
from gateway.config.truststore import KeyRole, trusted_key
from gateway.control.commands.heartbeat import HeartbeatAnswer
from gateway.control.commands.verify import Admitted
from gateway.demo.broker import Broker
from gateway.demo.pki import Pki
from gateway.errors import UsageError
from tests.fixtures import commands
from tests.fixtures.brokers import WAIT_S
from tests.fixtures.gateway_standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.fixture
def config(tmp_path: Path, pki: Pki, broker: Broker) -> Path:
    """dispatcher.toml with the keys that the stand-in trusts."""
    cert, key = pki.client("dispatcher")
    for one in (commands.OPS, commands.PULSE, commands.STRANGER, commands.CHIEF):
        path = tmp_path / f"{one.kid}.key"
        path.touch(mode=0o600)
        path.write_bytes(one.private.export_to_pem(private_key=True, password=None))
    path = tmp_path / "dispatcher.toml"
    path.write_text(
        f"""\
schema = "bess.dispatcher/1"
gateway = "gw-17"
asset = "bess-1"
[broker]
host = "localhost"
port = {broker.port}
ca_file = "{pki.ca}"
cert_file = "{cert}"
key_file = "{key}"
[signing]
kid = "ops-1"
key_file = "ops-1.key"
[heartbeat]
kid = "pulse-1"
key_file = "pulse-1.key"
"""
    )
    return path


def dispatch(config: Path, *arguments: str) -> int:
    return main.main(["dispatch", *arguments, "--config", str(config)])


class Asking:
    """Issues challenges until the block ends: the first once somebody subscribes is heard."""

    def __init__(self, gateway: StandIn, *, period_s: float = 0.1) -> None:
        self._gateway, self._period_s = gateway, period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(self._period_s):
            number += 1
            self._gateway.ask(number)


def test_a_verb_prints_what_becomes_of_it(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.replies = ["accepted", "executing", "succeeded"]
    gateway.born()
    with Asking(gateway):
        assert dispatch(config, "discharge", "500000", "--for", "900", "--ramp", "1000") == 0
    lines = [line[14:] for line in capsys.readouterr().out.splitlines()]
    [admitted] = gateway.commands
    assert isinstance(admitted, Admitted)
    id_ = admitted.command.id
    powers = "requested 500000 W, applied 400000 W, measured 399000 W"
    assert lines[0].startswith(f"sent       {id_} discharge power_w=500000 duration_s=900")
    assert lines[1:] == [
        f"ack        {id_} received",
        f"result     {id_} accepted: {powers}",
        f"result     {id_} executing: {powers}",
        f"result     {id_} succeeded: {powers}",
        "end        succeeded",
    ]
    assert gateway.answered == []  # nobody asked it to hold the lease


def test_programs_get_one_object_per_line(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.replies, gateway.reason = ["failed"], "INTERLOCK"
    gateway.born()
    with Asking(gateway):
        assert dispatch(config, "arm", "--json") == 1
    found: list[dict[str, Any]] = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [one["kind"] for one in found] == ["sent", "ack", "result", "end"]
    assert (found[2]["state"], found[2]["reason"]) == ("failed", "INTERLOCK")
    assert (found[3]["ok"], found[3]["text"]) == (False, "failed: INTERLOCK")


def test_a_rejected_command_says_its_reason(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.born()
    key = str(config.parent / "stranger.key")
    with Asking(gateway):
        assert dispatch(config, "arm", "--kid", "stranger", "--signing-key", key) == 1
    assert "end        rejected: UNKNOWN_KEY" in capsys.readouterr().out


def test_two_keys_sign_where_two_are_given(config: Path, gateway: StandIn) -> None:
    gateway.born()
    key = str(config.parent / "chief-1.key")
    approver = ("--approver-key", key, "--approver-kid", "chief-1")
    with Asking(gateway):
        assert dispatch(config, "arm", "--until", "accepted", *approver) == 0
    [admitted] = gateway.commands
    assert isinstance(admitted, Admitted)
    assert {key.kid for key in admitted.signers} == {"ops-1", "chief-1"}


def test_heartbeats_are_answered_while_a_dispatch_is_held(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.replies = ["accepted", "executing", "succeeded"]
    gateway.born(state="ARMED")

    def end() -> None:
        """The gateway's part: the duration passes, and the battery idles."""
        gateway.wait(lambda: gateway.commands)
        gateway.born(state="ACTIVE")
        count = len(gateway.answered)
        gateway.wait(lambda: len(gateway.answered) > count + 10)
        gateway.born(state="IDLE")

    gateways = threading.Thread(target=end)
    gateways.start()
    with Asking(gateway):
        assert dispatch(config, "charge", "5", "--for", "1", "--hold") == 0
    gateways.join()
    assert all(isinstance(one, HeartbeatAnswer) for one in gateway.answered)
    assert capsys.readouterr().out.endswith("end        over: the battery is IDLE\n")


def test_heartbeat_answers_and_says_what_changes(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.online()
    gateway.born(state="MONITOR", reasons=["SIGN_TEST_MISSING"])
    with Asking(gateway):
        assert dispatch(config, "heartbeat", "--for", "2") == 0
    assert gateway.answered
    assert all(isinstance(one, HeartbeatAnswer) for one in gateway.answered)
    assert sorted(line[14:] for line in capsys.readouterr().out.splitlines()) == [
        "control    bess-1 is MONITOR, not ready: SIGN_TEST_MISSING",
        f"heartbeat  answering the challenges of session {commands.SESSION}",
        "link       broker connected",
        "status     gw-17 is online",
    ]


def test_ctrl_c_ends_a_heartbeat_well(config: Path, gateway: StandIn) -> None:
    arguments = ["dispatch", "heartbeat", "--config", str(config)]
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "broker connected" in process.stdout.readline()
        gateway.ask(1)
        gateway.wait(lambda: gateway.answered)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0


def test_watch_prints_results_and_answers_nothing(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = "01JD0000000000000000000000"
    done = threading.Event()

    def say() -> None:
        while not done.wait(0.1):
            gateway.result(id_, "aborted", "lease")
            gateway.ask(1)

    saying = threading.Thread(target=say)
    saying.start()
    assert dispatch(config, "watch", "--for", "2") == 0
    done.set()
    saying.join()
    assert f"result     {id_} aborted (lease: The cloud did not answer" in capsys.readouterr().out
    assert gateway.answered == []


def test_a_gateway_that_is_offline_gets_no_command(
    config: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.born()
    gateway.online(online=False)
    assert dispatch(config, "arm") == 1
    assert capsys.readouterr().err == "gateway gw-17 is offline: its status says so\n"
    assert gateway.commands == []


def test_control_that_is_off_says_the_gateways_reasons(
    config: Path,
    gateway: StandIn,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway.online()
    gateway.born(state="MONITOR", safetyDigest=None, reasons=["SAFETY_CONFIG_MISSING"])
    assert dispatch(config, "arm") == 1
    assert "it has no safety file; reasons: SAFETY_CONFIG_MISSING" in capsys.readouterr().err
    gateway.born(state="MONITOR", reasons=["DEADMAN_TEST_MISSING"])
    monkeypatch.setattr(operate, "READY_S", 1.0)
    assert dispatch(config, "arm") == 1
    assert "sends no challenge" in (told := capsys.readouterr().err)
    assert "DEADMAN_TEST_MISSING" in told


def test_a_broker_that_is_not_there_is_named(
    config: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.stop()
    assert dispatch(config, "arm") == 1
    assert "no broker listens there" in capsys.readouterr().err


def test_what_is_missing_is_a_usage_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["dispatch", "arm", "--host", "localhost"]) == 64
    assert "missing: --ca, --cert, --key, --gateway" in capsys.readouterr().err
    config.write_text(config.read_text().partition("[heartbeat]")[0])
    assert dispatch(config, "heartbeat") == 64
    assert dispatch(config, "arm", "--hold") == 64
    told = capsys.readouterr().err
    assert told.count("missing: --heartbeat-key, --heartbeat-kid") == 2
    with pytest.raises(SystemExit, match="64"):
        dispatch(config, "charge", "-5", "--for", "1")


def test_a_file_with_faults_is_a_configuration_error(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("port = 1\n")
    assert dispatch(config, "arm") == 78
    told = capsys.readouterr().err
    assert f"{config}:1: port is unknown" in told
    assert "schema is missing" in told
    assert main.main(["dispatch", "arm", "--config", str(config.parent / "gone.toml")]) == 78
    assert "gone.toml:1: cannot be read: No such file" in capsys.readouterr().err


def test_the_example_is_complete() -> None:
    path = Path("etc/dispatcher.toml.example")
    found = read(path.read_bytes(), file=str(path))
    found.require("host", "ca", "cert", "key", "gateway", "asset", "signing_key", "kid")
    assert found.pair("heartbeat_key", "heartbeat_kid") is not None


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
def test_a_key_is_made_for_its_owner_and_trusted_by_the_gateway(
    tmp_path: Path, alg: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ops-1.key"
    assert main.main(["dispatch", "keygen", str(path), "--alg", alg]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signer(path, "ops-1").alg == alg
    public = (tmp_path / "ops-1.key.pub").read_bytes()
    assert trusted_key("ops-1", public, [KeyRole.DISPATCHER]).alg == alg
    told = capsys.readouterr()
    secret = "".join(path.read_text().splitlines()[1:-1])
    assert secret not in told.out.replace("\n", "") + told.err


@pytest.mark.parametrize("there", ["ops-1.key", "ops-1.key.pub"])
def test_no_key_is_overwritten(
    tmp_path: Path, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / there).write_text("precious")
    assert main.main(["dispatch", "keygen", str(tmp_path / "ops-1.key")]) == 64
    assert f"{there}: exists: nothing is overwritten" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ops-1.key"
    make_key(path, alg="EdDSA")
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(SigningKeyError, match=rf"mode {mode:04o}: must be 0600 or less"):
            load_signer(path, "ops-1")
    path.chmod(0o400)
    assert load_signer(path, "ops-1").alg == "EdDSA"


def test_a_key_that_is_none_is_refused_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match=r"gone\.key: cannot be read: No such file"):
        load_signer(tmp_path / "gone.key", "ops-1")
    path = tmp_path / "ops-1.key"
    make_key(path, alg="EdDSA")
    key = ser.load_pem_private_key(path.read_bytes(), None)
    hidden = ser.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, hidden))
    with pytest.raises(SigningKeyError, match=r"ops-1\.key: key ops-1: is encrypted"):
        load_signer(path, "ops-1")
    with pytest.raises(UsageError, match="alg 'RS256': must be one of EdDSA, ES256"):
        make_key(tmp_path / "other.key", alg="RS256")
    with pytest.raises(UsageError, match="cannot be made: No such file"):
        make_key(tmp_path / "no" / "folder.key", alg="EdDSA")
