"""The demo's second half: the site is commissioned, dispatched, and idles when its cloud dies.

Nothing is skipped: the acknowledgement, the dead-man test and the sign test of a real site come
first, only with short holds and short times in safety.toml. What is killed at the end is the
process that answers the gateway's challenges, with the broker alive.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from gateway import clock
from gateway.cloud.dispatcher.client import BrokerAccess, Dispatcher
from gateway.cloud.dispatcher.keyfile import load_signer, make_key
from gateway.config.safety import TICK_S
from gateway.errors import GatewayError
from gateway.local.client import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.demo.broker import Broker
    from gateway.demo.pki import Pki
    from gateway.sim.launch import SimProcess

    Until = Callable[[Callable[[], object], float, str], bool]

LEASE_S, DEADMAN_S, VERIFY_S, RESPONSE_S = 10.0, 6.0, 15.0, 3.0
BOUND_S = LEASE_S + TICK_S + 2 * RESPONSE_S  # A: the cloud is dead, the RTAC obeys
CHARGE_W, DISCHARGE_W = -500_000, 500_000
SHOWN_S = 6.0  # each dispatch
HOLD_S = {"deadman-test": 2.0, "sign-test": 4.0}
KEYS = {"ops-1": "dispatcher", "pulse-1": "heartbeat"}
SAFETY = f"""\
schema = "bess.safety/1"
approval = "envelope"

[watchdog]
lease_s = {LEASE_S}
challenge_s = 1
heartbeat_s = 1
rtac_deadman_s = {DEADMAN_S}
idle_verify_s = {VERIFY_S}

[limits]
max_charge_w = 1000000
max_discharge_w = 1000000
min_soc_pct = 10
max_soc_pct = 95
ramp_w_per_s = 500000
"""
KEY = """
[[trusted_key]]
kid = "{kid}"
role = ["{role}"]
public_key_file = "keys/{kid}.key.pub"
not_after = 2099-12-31
"""
DISPATCHER = """\
schema = "bess.dispatcher/1"
gateway = "{gateway}"
asset = "{asset}"

[broker]
host = "localhost"
port = {port}
client_id = "demo-pulse"
ca_file = "{ca}"
cert_file = "{cert}"
key_file = "{key}"

[heartbeat]
kid = "pulse-1"
key_file = "keys/pulse-1.key"
"""


class DispatchFailedError(GatewayError):
    """The battery did not do what was ordered, or did not idle in time."""


class CloudSide:
    """The dispatch application: one process that answers challenges, and who sends commands.

    Args:
        folder: of site.toml; safety.toml and the keys are written beside it.
        pki: gives the dispatcher its certificate.
        broker: must be running when ``start`` is called.
        gateway: id of the gateway.
        asset: id of the battery.
    """

    def __init__(self, folder: Path, *, pki: Pki, broker: Broker, gateway: str, asset: str) -> None:
        self._folder, self._asset = folder, asset
        keys = folder / "keys"
        keys.mkdir(mode=0o755)
        text = SAFETY
        for kid, role in KEYS.items():
            make_key(keys / f"{kid}.key", alg="EdDSA")
            text += KEY.format(kid=kid, role=role)
        (folder / "safety.toml").write_text(text)
        (folder / "safety.toml").chmod(0o644)
        cert, key = pki.client("dispatcher")
        self._config = folder / "dispatcher.toml"
        self._config.write_text(
            DISPATCHER.format(
                gateway=gateway, asset=asset, port=broker.port, ca=pki.ca, cert=cert, key=key
            )
        )
        self.commands = Dispatcher(
            BrokerAccess("localhost", broker.port, pki.ca, cert, key, "demo-commands"),
            gateway=gateway,
            signers=(load_signer(keys / "ops-1.key", "ops-1"),),
        )
        self._pulse: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[CloudSide]:
        """Both are there; neither afterwards."""
        command = [sys.executable, "-m", "gateway", "dispatch", "heartbeat"]
        with (self._folder / "pulse.log").open("wb") as lines, self.commands:
            self._pulse = subprocess.Popen(
                [*command, "--config", str(self._config)],
                stdout=lines,
                stderr=lines,
                start_new_session=True,
            )
            try:
                yield self
            finally:
                self.die()

    def die(self) -> float:
        """Kill who answers the challenges; returns when (CLOCK_BOOTTIME, s)."""
        assert self._pulse is not None
        self._pulse.kill()
        self._pulse.wait()
        return clock.now().mono_s

    def send(self, verb: str, **params: int) -> str:
        """Send a command; returns its id."""
        self.commands.ready(self._asset)
        return self.commands.send(self._asset, verb, **params)

    def control(self) -> str:
        """The watchdog's state."""
        return self.commands.control_state(self._asset)


class DemoStory:
    """What happens, in order; ``until`` shows the demo's picture meanwhile."""

    def __init__(
        self,
        cloud: CloudSide,
        rtac: SimProcess,
        socket: Path,
        until: Until,
        say: Callable[[str], None],
    ) -> None:
        self._cloud, self._rtac, self._socket = cloud, rtac, socket
        self._until, self._say = until, say

    def tell(self) -> None:
        """Commission, dispatch, lose the cloud.

        Raises:
            DispatchFailedError: something of it did not work.
        """
        with self._cloud.running():
            self._commission()
            self._dispatch()
            self._lose_the_cloud()

    def _commission(self) -> None:
        shown = self._ask("commission", act="show")
        self._ask("commission", act="acknowledge", digest=shown["safetyDigest"])
        self._say(f"an operator acknowledged the safety file {shown['safetyDigest'][:19]}…")
        for test, hold_s in HOLD_S.items():
            self._ask("commission", act=test, holdS=hold_s)
            ended = self._until(
                lambda: not self._ask("commission", act="progress")["running"],
                180.0,
                f"commissioning: {test} (30 s of unbroken lease come first)",
            )
            progress = self._ask("commission", act="progress")
            if not ended or not progress["ok"]:
                text = f"{test}: {' / '.join(progress['lines'][-2:])}"
                raise DispatchFailedError(text)
            self._say(f"{test} {progress['lines'][-1]}")

    def _dispatch(self) -> None:
        self._until(self._is("IDLE"), 20.0, "commissioned: control comes on")
        # Nobody arms before the power of the test is gone, on two reads 5 s apart.
        self._until(self._settled, 30.0, "commissioned: measured power is read at zero")
        self._carry_out("arm", within_s=60.0)
        for verb, power_w in (("charge", -CHARGE_W), ("discharge", DISCHARGE_W)):
            self._carry_out(verb, power_w=power_w, duration_s=600, within_s=60.0)
            self._until(lambda: False, SHOWN_S, f"{verb} {power_w // 1000} kW")

    def _carry_out(self, verb: str, *, within_s: float, **params: int) -> None:
        id_ = self._cloud.send(verb, **params)
        followed = self._until(
            lambda: (
                {"succeeded", "rejected", "failed"} & {*self._cloud.commands.follow(id_).states}
            ),
            within_s,
            f"{verb} ordered",
        )
        story = self._cloud.commands.follow(id_)
        if not followed or "succeeded" not in story.states:
            raise DispatchFailedError(str(story))
        self._say(f"{verb}: {story}")

    def _lose_the_cloud(self) -> None:
        died_s = self._cloud.die()
        self._until(
            lambda: self._rtac.state()["setpoint_w"] == 0.0,
            BOUND_S + 10.0,
            "the dispatch application was killed; the broker lives",
        )
        zero_s = self._zeroed_s(died_s)
        if zero_s is None or zero_s > BOUND_S:
            text = f"the battery was not idle {BOUND_S:g} s after its cloud died ({zero_s} s)"
            raise DispatchFailedError(text)
        self._say(
            f"the cloud was killed while discharging: the RTAC received zero {zero_s:.2f} s later "
            f"(bound A: {BOUND_S:g} s = lease {LEASE_S:g} + tick {TICK_S:g} + 2 x {RESPONSE_S:g})"
        )
        if not self._until(self._is("IDLE"), 20.0, "zero is verified"):
            text = f"zero was not verified: {self._cloud.control()}"
            raise DispatchFailedError(text)

    def _zeroed_s(self, since_s: float) -> float | None:
        """Seconds until the RTAC itself recorded a setpoint of zero."""
        time.sleep(0.3)  # its record is flushed a few times a second
        for one in self._rtac.controls("AO0"):
            if one["at_mono_s"] >= since_s and one["value"] == 0.0 and one["status"] == 0:
                return float(one["at_mono_s"]) - since_s
        return None

    def _settled(self) -> bool:
        """Whether nothing is in force any more."""
        assets = self._ask("status")["assets"]
        return all(one["control"]["inForce"] is None for one in assets.values())

    def _is(self, state: str) -> Callable[[], bool]:
        return lambda: self._cloud.control() == state

    def _ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        answer = ask(self._socket, verb, arguments)
        if "error" in answer:
            raise DispatchFailedError(str(answer["error"]))
        return answer
