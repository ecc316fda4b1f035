"""The story of a site at mosquitto, in both versions of MQTT; other brokers: tests/brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.story import Story

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.demo.pki import Pki


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_site_at_mosquitto_from_connect_to_dispatch(
    tmp_path: Path, pki: Pki, protocol: str
) -> None:
    with ControlSite(tmp_path, pki, protocol=protocol) as site:
        Story(site, pki, protocol=protocol).tell()
