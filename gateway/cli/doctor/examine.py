"""Every check in the order in which they hang, and which one to mend first. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.cli.doctor import box_checks, site_checks
from gateway.cli.doctor.findings import Diagnosis, Level, skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gateway.cli.doctor.findings import SiteFacts


class Check(NamedTuple):
    """One check; where one of ``after`` has a fault it says nothing of its own."""

    name: str
    look: Callable[[SiteFacts], Diagnosis]
    after: tuple[str, ...] = ()


CHECKS = (
    Check("host-release", box_checks.host_release),
    Check("config", box_checks.config),
    Check("files-permissions", box_checks.files, ("config",)),
    Check("service", box_checks.service),
    Check("socket", box_checks.socket, ("service",)),
    Check("disk", box_checks.disk),
    Check("queue", box_checks.queue, ("socket", "disk")),
    Check("clock-sync", box_checks.clock_sync),
    Check("dns", box_checks.dns),
    Check("rtac-route", box_checks.route, ("dns",)),
    Check("rtac-port", site_checks.rtac_port, ("rtac-route",)),
    Check("dnp3-addresses", site_checks.dnp3_addresses, ("socket", "rtac-port")),
    Check("dnp3-polls", site_checks.dnp3_polls, ("dnp3-addresses",)),
    Check("dnp3-unsolicited", site_checks.dnp3_indications, ("dnp3-addresses",)),
    Check("map", site_checks.points_map, ("dnp3-polls",)),
    Check("values", site_checks.values, ("dnp3-polls", "map")),
    Check("certificate", site_checks.certificate, ("config",)),
    Check("broker-tls", site_checks.broker_tls, ("dns", "certificate")),
    Check("broker-session", site_checks.broker_session, ("socket", "broker-tls")),
    Check("uplink-path", site_checks.uplink_path, ("broker-session",)),
    Check("command-direction", site_checks.command_direction, ("broker-session",)),
    Check("safety", site_checks.safety, ("socket", "config")),
    Check("audit", site_checks.audit),
    Check("view", site_checks.view),
)
NAMES = tuple(one.name for one in CHECKS)


def examine(facts: SiteFacts, only: Collection[str] = NAMES) -> dict[str, Diagnosis]:
    """Every check of ``only``, by name; what depends on a failed one is skipped."""
    found: dict[str, Diagnosis] = {}
    for check in CHECKS:
        failed = [
            name
            for name in check.after
            if found[name].level is Level.FAULT or found[name].text.startswith("after ")
        ]
        found[check.name] = skipped(f"after {failed[0]}") if failed else check.look(facts)
    return {name: one for name, one in found.items() if name in only}


def first(found: dict[str, Diagnosis]) -> str:
    """What to mend first: the first fault, else the first warning; "" if there is neither."""
    for level in (Level.FAULT, Level.WARNING):
        for name, one in found.items():
            if one.level is level:
                return name
    return ""
