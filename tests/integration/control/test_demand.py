"""Zero is demanded while the RTAC has a SELECT of power and has not answered it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import now
from gateway.site.maps import map_folders
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.deadline import DEADLINE_S
from tests.fixtures.tcp import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki
    from tests.fixtures.daemon import Asset

FOLDER = Path(__file__).parents[2] / "fixtures" / "sitemaps"
# A frame's octets behind link header, transport and control: SELECT of g41v1, one object, index 11.
FUNCTION_AT, SELECT_DISCHARGE = 12, bytes([3, 41, 1, 40, 1, 0, 11, 0])
NOTHING = bytes(4)  # int32


class LateProxy(Proxy):
    """Holds every answer back from the first SELECT of a discharge on, until ``go``."""

    def __init__(self, port: int) -> None:
        self.selected, self.go = threading.Event(), threading.Event()
        super().__init__(port)
        self.up, self.down = self._asks, self._answers

    def _asks(self, octets: bytes) -> bytes:
        asked = octets[FUNCTION_AT:]
        value = asked.removeprefix(SELECT_DISCHARGE)[:4]
        if asked.startswith(SELECT_DISCHARGE) and value != NOTHING:
            self.selected.set()
        return octets

    def _answers(self, octets: bytes) -> bytes:
        if self.selected.is_set():  # and for good where ``go`` is set
            self.go.wait(DEADLINE_S)
        return octets


class SlowSite(ControlSite):
    """Its only RTAC is behind a ``LateProxy``."""

    proxy: LateProxy | None = None

    def assets(self, **fields: Any) -> list[Asset]:  # noqa: ANN401 - of Asset
        (made,) = super().assets(**fields)
        self.proxy = self.proxy or LateProxy(made.port)
        return [replace(made, port=self.proxy.port)]


@pytest.fixture
def site(pki: Pki, tmp_path: Path) -> Iterator[SlowSite]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BESS_POINTMAPS", ":".join(map(str, (*map_folders(), FOLDER))))
        with SlowSite(tmp_path, pki, map="split-int32@1.0.0") as made:
            made.run().arm()
            assert made.proxy is not None
            yield made
            made.proxy.close()


def test_a_setpoint_that_was_only_selected_is_not_operated_after_an_idle(site: SlowSite) -> None:
    proxy, began = site.proxy, now().mono_s
    assert proxy is not None
    id_ = site.send("setpoint", power_w=300_000, duration_s=600)
    assert proxy.selected.wait(DEADLINE_S)
    site.send("idle")
    site.daemon.until(lambda: site.control()["state"] == "IDLING", "the demand")
    proxy.go.set()
    site.until_phase({"IDLE"})
    powers = [
        one["function"]
        for one in site.writes(after=began)
        if one["point"] == "AO11" and one["value"] != 0
    ]
    assert powers == ["SELECT"]
    assert site.results(id_)[-1]["state"] == "aborted"
    assert site.sim.state()["setpoint_w"] == 0
