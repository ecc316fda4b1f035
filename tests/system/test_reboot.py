"""The box goes down and comes back: the service by itself, the queue where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.sites import Site, ask, start, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Boots
    from tests.system.machines import Machine


@pytest.fixture(scope="module")
def box(
    release: str,
    boots: Boots,
    site: Site,
    version: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    """A gateway at work, on a machine that keeps what happens to it."""
    with boots(release, host_net=True, kept=tmp_path_factory.mktemp("kept")) as machine:
        machine.add_repository()
        machine.apt("install", f"bess-gateway={version}")
        site.configure(machine)
        start(machine)
        yield machine


def test_a_reboot_during_an_outage_keeps_the_queue(box: Machine, site: Site) -> None:
    epoch = ask(box, "queue")["epoch"]
    with site.outage():
        box.until(lambda: ask(box, "queue")["readings"] > 1000, "a backlog grows")
        box.reboot()
        answer = box.until(lambda: ask(box, "queue"), "it runs again without being asked to")
        assert answer["epoch"] != epoch  # of each start its own
        assert answer["gaps"] == 0
        assert answer["readings"] > 1000
    _nothing_is_missing(box, site)


def test_a_power_cut_under_load_loses_nothing(box: Machine, site: Site) -> None:
    epoch = ask(box, "queue")["epoch"]
    site.more(box, 500)
    box.lose_power()
    box.until(lambda: working(box), "it runs again without being asked to")
    answer = ask(box, "queue")
    assert answer["epoch"] != epoch  # of each start its own
    assert answer["gaps"] == 0
    _nothing_is_missing(box, site)


def _nothing_is_missing(box: Machine, site: Site) -> None:
    box.until(lambda: working(box), "session and broker are up")
    assert box.show("NRestarts") == "0"
    site.quiet(box)
    sent = site.sent()
    box.until(lambda: site.unseen(sent) == 0, "the platform has every event of the RTAC")
    assert site.rtac.state()["events_lost"] == 0
