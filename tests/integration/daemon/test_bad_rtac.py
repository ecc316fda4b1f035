"""RTACs that are away, wrong or broken, all in one daemon: each is named, none disturbs the good.

The values of a battery that reports nonsense are here as well: they travel raw, and the state
does not use them.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.sim.launch import SimProcess
from tests.fixtures import schemas
from tests.fixtures.daemon import Asset
from tests.fixtures.rig import Rig
from tests.fixtures.tcp import Peer, Proxy, half, refusing_port, wrong_crc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.consumer import Reading
    from gateway.demo.pki import Pki

# asset: what its session's cause must say
CAUSES = {
    "refusing": "refused",
    "unresolvable": "Host not found",
    "unreachable": "",  # by the machine's routes: refused, no route, or no answer
    "wrong-address": "wrong link address: the outstation is 10",
    "silent": "no answer from outstation address 10",
    "hanging-up": "closed before any answer",
    "babbling": "no answer",
    "half-frames": "not DNP3",
    "bad-crc": "not DNP3: CRC failure",
}


class Broken:
    """The site with every kind of broken RTAC."""

    def __init__(self, rig: Rig, proxies: dict[str, Proxy], assets: dict[str, Asset]) -> None:
        self.rig, self.proxies, self.assets = rig, proxies, assets


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Broken]:
    """One good asset, and one of each kind of broken ones."""
    folder = tmp_path_factory.mktemp("broken")
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(Rig(folder, pki))

        def sim() -> int:
            return stack.enter_context(SimProcess("generic-rtac", cwd=folder)).port

        proxies = {name: stack.enter_context(Proxy(sim())) for name in ("half-frames", "bad-crc")}
        proxies["half-frames"].down = half
        proxies["bad-crc"].down = wrong_crc
        ports = {
            "refusing": refusing_port(),
            "unresolvable": 20000,
            "unreachable": 20000,
            "wrong-address": sim(),
            "silent": stack.enter_context(Peer()).port,
            "hanging-up": stack.enter_context(Peer(hang_up=True)).port,
            "babbling": stack.enter_context(Peer(b"HTTP/1.0 400 Bad Request\r\n" * 40)).port,
            **{name: proxy.port for name, proxy in proxies.items()},
        }
        quick = {"response_timeout_s": 2.0, "link_check_s": 0.5}
        assets = {name: Asset(port, id=name, dnp3=quick) for name, port in ports.items()}
        assets["unresolvable"] = replace(assets["unresolvable"], host="rtac.invalid")
        assets["unreachable"] = replace(assets["unreachable"], host="192.0.2.1")
        assets["wrong-address"] = replace(assets["wrong-address"], address=99)
        rig.listen()
        rig.daemon.configure([*rig.assets, *assets.values()])
        rig.daemon.start()
        yield Broken(rig, proxies, assets)


@pytest.mark.parametrize("name", CAUSES)
def test_a_broken_rtac_is_named_with_its_cause(broken: Broken, name: str) -> None:
    asset, daemon = broken.assets[name], broken.rig.daemon
    unknown = ("", "not connected yet")
    status = daemon.status_when(
        lambda now: (
            now["assets"][name]["session"]["cause"] not in unknown
            and CAUSES[name] in now["assets"][name]["session"]["cause"]
        ),
        f"the cause of {name} is not in the status",
    )
    session = status["assets"][name]["session"]
    assert not session["up"]
    assert f"{name}: session down: {session['cause']}" in status["reasons"]
    daemon.logged(f"{name}: session down with {asset.host}:{asset.port}: ")
    down = broken.rig.recorder.wait(
        "event",
        lambda one: one.get("asset") == name and one["type"] == "session",
        f"a session event of {name}",
    )
    assert not down["up"]
    schemas.check(down)


def test_a_battery_that_never_answered_has_a_state_that_says_so(broken: Broken) -> None:
    state = broken.rig.recorder.wait("state", lambda one: one["asset"] == "silent")
    schemas.check(state)
    assert state["quality"] == "missing"
    assert state["chargeRate"] is None


def test_the_good_battery_is_not_disturbed_by_the_broken_ones(broken: Broken) -> None:
    broken.rig.flows(more=100)
    broken.rig.verdict()
    assert "refused" not in broken.rig.daemon.ask("status")["assets"]["bess-1"]["session"]["cause"]


def test_a_line_that_is_mended_comes_up_by_itself(broken: Broken) -> None:
    for proxy in broken.proxies.values():
        proxy.down = lambda octets: octets
    for name in broken.proxies:
        broken.rig.daemon.status_when(
            lambda now, name=name: now["assets"][name]["session"]["up"],  # type: ignore[misc]
            f"{name} did not come up",
        )


def test_values_that_are_nonsense_travel_raw_and_the_state_does_not_use_them(
    tmp_path_factory: pytest.TempPathFactory, pki: Pki
) -> None:
    with Rig(tmp_path_factory.mktemp("nonsense"), pki).run() as rig:
        rig.recorder.wait("state", lambda one: one["chargeRate"] is not None)
        before = len(rig.recorder.of("state"))
        for fault in ("nan=AI1", "comm_lost=AI0", "over_range=AI3"):
            rig.sim.fault(fault)

        def seen(point: str, flag: int) -> list[Reading]:
            readings = rig.recorder.readings("bess-1")
            return [one for one in readings if one.point == point and (one.flags or 0) & flag]

        rig.recorder.until(
            lambda: bool(seen("AI0", 0x04) and seen("AI3", 0x20)), "flags COMM_LOST, OVER_RANGE"
        )
        rig.recorder.until(
            lambda: any(
                one.point == "AI1" and isinstance(one.value, float) and math.isnan(one.value)
                for one in rig.recorder.readings("bess-1")
            ),
            "NaN of AI1",
        )
        worst = soc_becomes(rig, {"bad", "missing"}, after=before)
        assert worst["quality"] in ("bad", "missing")
        before = len(rig.recorder.of("state"))
        for name in ("nan", "comm_lost", "over_range"):
            rig.sim.clear(name)
        soc_becomes(rig, {"good"}, after=before)
        for one in list(rig.recorder.arrived):
            schemas.check(one.message)
        unmapped = {one.point for one in rig.recorder.readings("bess-1")}
        assert "AI20001" in unmapped  # an index that the map does not name
        rig.recorder.gapless()


def soc_becomes(rig: Rig, qualities: set[str], *, after: int) -> dict[str, Any]:
    """The first state behind position ``after`` whose charge percentage has such a quality."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [
            one
            for one in rig.recorder.of("state")[after:]
            if one["fields"]["chargePercentage"]["quality"] in qualities
        ]
        return bool(found)

    rig.recorder.until(look, f"a state with {qualities}")
    return found[0]
