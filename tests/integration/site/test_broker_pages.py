"""The settings on the pages of packaging/brokers are settings that a site may have."""

from __future__ import annotations

import re

import pytest

from gateway.config.site import site_settings
from gateway.config.toml import parse
from tests.fixtures.daemon import ROOT

PAGES = sorted((ROOT / "packaging/brokers").glob("*.md"))
REST = """
[[asset]]
id = "bess-1"
map = "generic-rtac@1.0.0"
nameplate_w = 1
capacity_wh = 1
dnp3 = { host = "192.0.2.10", outstation_address = 10 }
"""


def settings(page: str) -> str:
    """The TOML of a page, with its commented settings switched on."""
    found = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    return "" if found is None else re.sub(r"^# (?=\w+ = )", "", found[1], flags=re.MULTILINE)


def test_each_broker_has_a_page_and_the_first_page_names_it() -> None:
    names = {page.name for page in PAGES} - {"README.md"}
    index = (ROOT / "packaging/brokers/README.md").read_text()
    assert (
        {
            "aws-iot-core.md",
            "azure-event-grid.md",
            "emqx.md",
            "mosquitto.md",
            "nats.md",
            "rabbitmq.md",
        }
        == names
        == set(re.findall(r"\]\((\S+\.md)\)", index))
    )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.stem
)
def test_the_settings_of_a_page_are_taken(page: object) -> None:
    text = settings(page.read_text())  # type: ignore[attr-defined]  # a Path
    assert text.startswith("[uplink]")
    whole = f'schema = "bess.site/1"\ngateway.id = "gw-17"\n{text}{REST}'
    site_settings(parse(whole.encode(), file="site.toml"), folder="/etc")


def test_a_page_says_what_its_broker_cannot_do() -> None:
    for page in PAGES:
        if page.name != "README.md":
            assert "\nWhat it cannot do:\n" in page.read_text(), page.name
