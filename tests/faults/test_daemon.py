"""The daemon as a process, with faults on every side; what the outstation sent is counted."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gateway.demo.pki import Pki
from gateway.sim.launch import SimError
from tests.faults.middle import Middle
from tests.faults.net import FAR, LACKS, NEAR, network
from tests.fixtures import accounts
from tests.fixtures.daemon import Asset
from tests.fixtures.rig import Rig
from tests.fixtures.tcp import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.accounts import Verdict

KILLS = 50


def told(verdict: Verdict, name: str, trials: object) -> str:
    """A line of the table."""
    return (
        f"| {name} | {trials} | {verdict.confirmed} events | lost {len(verdict.missing)} |"
        f" duplicated {len(verdict.excess)} (DNP3 sent {verdict.redelivered} again) |"
        f" disorder {len(verdict.disorder)} |"
    )


def reached(end: float, _: object = None) -> bool:
    """Whether a monotonic second is over."""
    return time.monotonic() > end


def forgets(before: int, now: dict[str, Any]) -> bool:
    """Whether the simulator has forgotten more events than ``before``."""
    return bool(now["events_lost"] > before)


def test_fifty_kills_at_random_times_lose_nothing(
    tmp_path: Path, pki: Pki, line: Callable[[str], None]
) -> None:
    rng = random.Random(50)
    with Rig(tmp_path, pki, events_per_s=300.0).run() as rig:
        for _ in range(KILLS):
            if not rig.daemon.running:
                rig.daemon.launch()
            end = time.monotonic() + rng.uniform(0.3, 3.0)
            rig.daemon.until(partial(reached, end), "time stands still")
            rig.daemon.kill()
        rig.daemon.start()
        rig.daemon.up()
        rig.flows()
        line(told(rig.verdict(at_least=1000), "daemon killed at random times", KILLS))


def test_stopped_and_continued_it_loses_nothing(
    tmp_path: Path, pki: Pki, line: Callable[[str], None]
) -> None:
    rng = random.Random(5)
    with Rig(tmp_path, pki, events_per_s=200.0).run() as rig:
        for _ in range(5):
            rig.daemon.pause()
            end = time.monotonic() + rng.uniform(0.5, 8.0)
            rig.sim.wait_until(partial(reached, end))
            rig.daemon.resume()
            rig.flows(more=100)
        line(told(rig.verdict(at_least=500), "daemon stopped (SIGSTOP) up to 8 s", 5))


def test_a_broker_that_loses_pubacks_repeats_publishes_and_resets_packets(
    tmp_path: Path, pki: Pki, line: Callable[[str], None]
) -> None:
    with Rig(tmp_path, pki) as rig, Middle(pki, rig.broker.port) as middle:
        rig.listen()
        rig.daemon.configure(rig.assets, port=middle.port)
        rig.daemon.start()
        rig.daemon.up()
        middle.repeat, middle.lose, middle.reset, middle.delay_s = 0.2, 0.05, 0.02, 0.02
        end = time.monotonic() + 60
        rig.sim.wait_until(partial(reached, end), within_s=90)
        middle.lose = middle.reset = 0.0
        rig.daemon.configure(rig.assets, port=rig.broker.port)
        rig.daemon.reload()
        rig.daemon.up()
        verdict = rig.verdict(at_least=1000)
        trials = f"{middle.lost} PUBACKs, {middle.repeated} repeats, {middle.resets} resets"
        line(told(verdict, "broker: PUBACKs lost, PUBLISHes repeated, reset mid packet", trials))


def test_an_rtac_whose_event_buffer_overflows_loses_only_what_it_forgot_itself(
    tmp_path: Path, pki: Pki, line: Callable[[str], None]
) -> None:
    """Nobody reads for 25 s. A pause would not do: after 15 s without progress the daemon ends."""
    with Rig(tmp_path, pki, events_per_s=400.0).run() as rig:
        for _ in range(3):
            rig.daemon.kill()
            lost = rig.sim.state()["events_lost"]
            rig.sim.wait_until(partial(forgets, lost), within_s=120)
            rig.daemon.start()
            rig.daemon.up()
            rig.flows(more=200)
        verdict = rig.verdict(at_least=1000)
        forgot = rig.sim.state()["events_lost"]
        line(told(verdict, "RTAC's event buffer overflows", f"3, {forgot} forgotten by it"))


def spoilt(loss: float, delay_s: float, repeat: float) -> str:
    return f"{loss:.0%} loss, {1000 * delay_s:.0f}±{500 * delay_s:.0f} ms, {repeat:.0%} twice"


@pytest.mark.skipif(bool(LACKS), reason=LACKS or "never")
@pytest.mark.parametrize(
    ("loss", "delay_s", "repeat"), [(0.02, 0.02, 0.02), (0.1, 0.05, 0.05), (0.25, 0.1, 0.1)]
)
def test_a_network_that_loses_delays_and_repeats_packets(
    tmp_path: Path,
    line: Callable[[str], None],
    loss: float,
    delay_s: float,
    repeat: float,
) -> None:
    over_a_bad_network(tmp_path, line, loss=loss, delay_s=delay_s, repeat=repeat, seconds=40.0)


def drained(rig: Rig, *, within_s: float = 150.0) -> None:
    """Wait until the broker has what is in the queue now: the next attempt may be a minute away."""
    began = time.monotonic()
    seen: dict[str, Any] = {}

    def empty(_: object) -> bool:
        seen["broker"] = rig.daemon.ask("status")["broker"]
        seen["queue"] = rig.daemon.ask("queue")["streams"]
        since_s = time.monotonic() - began
        return bool(seen["broker"]["up"]) and all(
            (one["oldestAgeS"] or 0.0) < since_s for one in seen["queue"].values()
        )

    try:
        rig.sim.wait_until(empty, within_s=within_s)
    except SimError as error:
        pytest.fail(f"{error}: {seen}\n{rig.daemon.log[-3000:]}")


def over_a_bad_network(
    folder: Path,
    line: Callable[[str], None],
    *,
    loss: float,
    delay_s: float,
    repeat: float,
    seconds: float,
) -> None:
    """Broker and RTAC both behind it; the recorder is beside the broker."""
    keys = folder / "pki"
    keys.mkdir()
    pki = Pki(keys)
    server = pki.broker(hosts=("localhost", "127.0.0.1", FAR))
    with (
        network() as net,
        Rig(folder, pki, server=server) as rig,
        Proxy(rig.broker.port, host=NEAR) as broker,
        Proxy(rig.sim.port, host=NEAR) as rtac,
    ):
        rig.listen()
        asset = Asset(rtac.port, host=FAR, dnp3={"response_timeout_s": 3.0})
        rig.daemon.configure([asset], host=FAR, port=broker.port)
        rig.daemon.start()
        rig.daemon.up()
        net.loss, net.delay_s, net.jitter_s, net.repeat = loss, delay_s, delay_s, repeat
        end = time.monotonic() + seconds
        rig.sim.wait_until(partial(reached, end), within_s=2 * seconds)
        net.loss = net.delay_s = net.jitter_s = net.repeat = 0.0
        rig.daemon.up()
        accounts.confirmed_all(rig.sim)
        drained(rig)
        trials = f"{net.packets} packets, {net.lost} lost"
        line(told(rig.verdict(at_least=20), f"network: {spoilt(loss, delay_s, repeat)}", trials))
