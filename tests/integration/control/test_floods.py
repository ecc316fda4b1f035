"""The lease's end under a flood at line speed: bound A on the RTAC's own record."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest

from gateway.clock import now
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.commands import b64
from tests.fixtures.control_rig import LEASE_S
from tests.fixtures.deadline import DEADLINE_S
from tests.fixtures.flood import Flood, publish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.cloud.dispatcher.heard import Challenge
    from gateway.demo.pki import Pki

TOPIC = "bess/v1/gw-17/"
TOPICS = ("bess-1/cmd", "hb/down", "mgmt/req")
# Bound A with a response timeout of 2 s, the ramp from 300 kW, and as much again for the machine.
BOUND_S = LEASE_S + 0.25 + 2 * 2.0 + 0.3
MOST_MIB = 160  # the unit has 256


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlSite]:
    """A broker on which everybody may write everything."""
    with ControlSite(tmp_path_factory.mktemp("floods"), pki, lawless=True) as made:
        yield made.run().calm().arm()


def payloads(site: ControlSite) -> dict[str, bytes]:
    """What costs the most to refuse, each in its way."""
    asked = site.dispatcher.challenge
    assert asked is not None
    answer = site.dispatcher.sign_answer(asked.session, asked.number)
    forged = json.loads(answer)
    forged["signatures"][0]["signature"] = b64(os.urandom(64))
    return {
        "16 KiB of nothing": os.urandom(16_000),
        "a signature to be checked": json.dumps(forged).encode(),
        "an answer sent again": answer,
        "a list without end": b'{"payload":[' + b"1," * 8100 + b'1],"signatures":[]}',
    }


def test_a_flood_on_every_topic_neither_delays_the_idle_nor_fills_the_memory(
    pki: Pki, site: ControlSite
) -> None:
    site.power(300_000)
    powered = now().mono_s
    packets = [publish(TOPIC + tail, one) for tail in TOPICS for one in payloads(site).values()]
    gateway = psutil.Process(site.daemon.pid)
    with ExitStack() as stack:
        floods = [
            stack.enter_context(Flood(pki, site.broker.port, packets, name=name))
            for name in ("mallory-1", "mallory-2")
        ]
        asked = site.dispatcher.challenge
        for _ in range(5):  # of one second
            asked = next_challenge(site, asked)
        site.dispatcher.answering = False
        asked = site.dispatcher.challenge
        site.until_phase({"IDLING", "IDLE"})
        site.until_phase({"IDLE"})
        assert gateway.memory_info().rss < MOST_MIB << 20
        assert sum(one.sent for one in floods) > 1000
    assert asked is not None
    written = site.writes(role="cmd_power", after=powered)
    assert {one["value"] for one in written} == {0.0}
    # The challenge that was answered last is this one, or one before it; and where the flood cost
    # the lease before that, zero came sooner.
    assert written[0]["mono_s"] <= asked.at.mono_s + BOUND_S


def next_challenge(site: ControlSite, before: Challenge | None) -> Challenge | None:
    """Wait for a newer one."""
    site.dispatcher.wait_until(
        lambda: site.dispatcher.challenge != before, within_s=DEADLINE_S, what="a challenge"
    )
    return site.dispatcher.challenge
