"""Each fault is the one that ``doctor`` names first, with what mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.cli.doctor import command
from gateway.cli.doctor.examine import CHECKS, NAMES, examine, first
from gateway.cli.doctor.findings import Level, Ran, SiteFacts


def asset(**control: object) -> dict[str, Any]:
    told = {"enabled": True, "reasons": [], "leaseS": 20.0, "deadmanTestDays": 10}
    return {"session": {"up": True, "cause": ""}, "control": {**told, **control}}


def down(cause: str) -> dict[str, Any]:
    return {**asset(), "session": {"up": False, "cause": cause}}


WELL = SiteFacts(
    release={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"},
    unit={"LoadState": "loaded", "ActiveState": "active", "NRestarts": "0"},
    view_unit={"LoadState": "loaded", "ActiveState": "active"},
    synchronized=True,
    check=Ran(0, "site.toml: good\n", ""),
    audit=Ran(0, "clean\n", ""),
    silent="",
    denied=False,
    status={
        "reasons": [],
        "assets": {"bess-1": asset()},
        "broker": {"up": True, "cause": ""},
        "diskFreePct": 60.0,
        "diskRunwayS": None,
        "certificateDays": 200,
        "lastAcknowledgedS": 1.0,
    },
    queue={"streams": {"event": {"oldestAgeS": 3.0}}, "readings": 3, "brokerUp": True},
    health={"bess-1": {"failing": {}, "indications": []}},
    names={"mqtt.example.com": ""},
    routes={"192.0.2.10:20000": ""},
)


def ill(**change: object) -> SiteFacts:
    """``WELL`` with another answer to ``status``."""
    return replace(WELL, status={**WELL.status, **change})


def reason(text: str) -> SiteFacts:
    return ill(reasons=[text])


def session(cause: str) -> SiteFacts:
    return ill(assets={"bess-1": down(cause)}, reasons=[f"bess-1: session down: {cause}"])


FAULTS: dict[str, SiteFacts] = {
    "host-release": replace(WELL, release={"ID": "debian", "VERSION_ID": "11"}),
    "config": replace(WELL, check=Ran(78, "", "site.toml:4: [uplink] host is missing\n")),
    "files-permissions": replace(
        WELL, check=Ran(0, "good\n  uplink: WARNING: k is open to everybody (0644)\n", "")
    ),
    "service": replace(
        WELL, unit={"LoadState": "loaded", "ActiveState": "failed"}, silent="no daemon answers"
    ),
    "socket": replace(WELL, silent="control.sock: permission denied", denied=True, status={}),
    "disk": reason("disk full: 2 % free"),
    "queue": reason("queue: cannot be written"),
    "clock-sync": replace(WELL, synchronized=False),
    "dns": replace(WELL, names={"mqtt.example.com": "Name or service not known"}),
    "rtac-route": replace(WELL, routes={"192.0.2.10:20000": "Network is unreachable"}),
    "rtac-port": session("refused by 192.0.2.10:20000"),
    "dnp3-addresses": session("silent: 3 reads in a row were not answered"),
    "dnp3-polls": replace(
        WELL, health={"bess-1": {"failing": {"critical": "OBJECT_UNKNOWN"}, "indications": []}}
    ),
    "dnp3-unsolicited": replace(
        WELL, health={"bess-1": {"failing": {}, "indications": ["EVENT_BUFFER_OVERFLOW"]}}
    ),
    "map": reason("bess-1: map generic-rtac@1.0.0 is mismatch: L2: nameplate; `reset`"),
    "values": reason("bess-1: its state is stale"),
    "certificate": ill(certificateDays=6),
    "broker-tls": ill(broker={"up": False, "cause": "the certificate of the broker has expired"}),
    "broker-session": ill(
        broker={"up": False, "cause": "another client connected with our id: two share one id"}
    ),
    "uplink-path": reason("the broker refuses bess/v1/gw-17/bess-1/state"),
    "command-direction": ill(assets={"bess-1": asset(leaseS=0.0)}),
    "safety": reason("bess-1: LATCHED (unverified): `reset`, after a look at the site"),
    "audit": replace(WELL, audit=Ran(1, "row 812: its hash differs\n1 finding\n", "")),
    "view": replace(WELL, view_unit={"LoadState": "loaded", "ActiveState": "failed"}),
}


def test_a_site_that_is_well_has_nothing_to_mend() -> None:
    found = examine(WELL)
    assert {name for name, one in found.items() if one.level is not Level.OK} == set()
    assert (first(found), command.exit_code(found)) == ("", 0)


def test_there_is_a_fault_to_try_for_each_check() -> None:
    assert list(FAULTS) == list(NAMES)
    assert len(CHECKS) == 24


@pytest.mark.parametrize("name", NAMES)
def test_the_fault_is_named_first_with_what_mends_it(name: str) -> None:
    found = examine(FAULTS[name])
    assert first(found) == name
    assert found[name].do
    shown = command.lines(found)
    assert shown[-1].endswith(f"mend {name} first")
    assert command.exit_code(found) in (1, 2, 78)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_fits_eighty_columns(name: str) -> None:
    assert max(map(len, command.lines(examine(FAULTS[name])))) <= 80


def test_what_depends_on_a_fault_is_not_judged() -> None:
    found = examine(session("refused by 192.0.2.10:20000"))
    assert found["dnp3-addresses"].text == "after rtac-port"
    assert found["dnp3-polls"].text == "after dnp3-addresses"
    assert found["values"].text == "after dnp3-polls"
    assert [one for one in found.values() if one.level is Level.FAULT] == [found["rtac-port"]]


def test_only_some_checks_are_shown_and_their_ground_is_looked_at_all_the_same() -> None:
    found = examine(session("refused by 192.0.2.10:20000"), ["dnp3-polls"])
    assert [(name, one.text) for name, one in found.items()] == [
        ("dnp3-polls", "after dnp3-addresses")
    ]


def test_no_check_depends_on_one_that_comes_later() -> None:
    for place, check in enumerate(CHECKS):
        assert set(check.after) <= set(NAMES[:place])
