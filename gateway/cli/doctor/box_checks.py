"""The checks of the box: its release, files, unit, disk, queue, clock and names. Pure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gateway.cli import views
from gateway.cli.doctor.findings import fault, ok, skipped, warning

if TYPE_CHECKING:
    from gateway.cli.doctor.findings import Diagnosis, SiteFacts

RELEASES = ("12", "13")
RESTARTS = 3  # of systemd since the unit was started by hand
OLD_S = 900.0  # the oldest record that waits while the broker is up
LITTLE_PCT, FULL_PCT = 10.0, 5.0
DAY_S = 86_400.0
JOURNAL = "journalctl -x -u bess-gateway -n 30"


def host_release(facts: SiteFacts) -> Diagnosis:
    """Debian 12 or 13."""
    name = facts.release.get("PRETTY_NAME") or "no os-release"
    if facts.release.get("ID") == "debian" and facts.release.get("VERSION_ID") in RELEASES:
        return ok(f"{name}, Python {sys.version_info.major}.{sys.version_info.minor}")
    return warning(f"{name}: must be Debian 12 or 13", "install it on one of these")


def config(facts: SiteFacts) -> Diagnosis:
    """``check``."""
    ran = facts.check
    lines = [one for one in (ran.err or ran.out).splitlines() if one.strip()]
    if ran.exit == 0:
        return ok("check finds no fault")
    if ran.exit != 78:  # noqa: PLR2004 - EX_CONFIG of sysexits.h
        return skipped(f"check cannot be asked: {lines[-1] if lines else ran.exit}")
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return fault(f"{lines[0]}{more}", "bess-gateway check; edit; systemctl reload bess-gateway")


def files(facts: SiteFacts) -> Diagnosis:
    """What ``check`` warns of, of files that others may read."""
    found = [one.strip() for one in facts.check.out.splitlines() if "open to everybody" in one]
    if found:
        return warning(found[0], "chmod 0640 FILE; chgrp bess-gateway FILE")
    return ok("no key is open to others")


def service(facts: SiteFacts) -> Diagnosis:
    """The unit runs, and does not end again and again."""
    unit = facts.unit
    if unit is None or unit.get("LoadState") != "loaded":
        return skipped("not installed as a service")
    state = unit.get("ActiveState", "?")
    if state == "active":
        restarts = int(unit.get("NRestarts") or 0)
        if restarts >= RESTARTS:
            return warning(f"systemd has restarted it {restarts} times", JOURNAL)
        return ok("active")
    if unit.get("ConditionResult") == "no" and unit.get("ConditionTimestamp"):
        return fault(
            "not started: /etc/bess-gateway/site.toml does not exist",
            "cp site.toml.example site.toml there, edit it; systemctl start bess-gateway",
        )
    ended = f"{state}, last exit status {unit.get('ExecMainStatus', '?')}"
    return fault(ended, f"systemctl start bess-gateway; {JOURNAL}")


def socket(facts: SiteFacts) -> Diagnosis:
    """The daemon answers, and this user may act."""
    if facts.denied:
        return fault(facts.silent, "usermod -aG bess-operators NAME; log in anew")
    if facts.silent:
        return fault(facts.silent, f"systemctl restart bess-gateway; {JOURNAL}")
    return ok("answers" if facts.may_act else "answers; you may look and not act")


def disk(facts: SiteFacts) -> Diagnosis:
    """Room for readings."""
    free = facts.status.get("diskFreePct", facts.free_pct)
    runway_s = facts.status.get("diskRunwayS")
    do = "df -h /var/lib/bess-gateway; journalctl --vacuum-size=200M"
    full = [one for one in facts.reasons if "disk" in one and "full" in one]
    if full:
        return fault(full[0], do)
    if free is None:
        return skipped("not known")
    if free < FULL_PCT:
        return fault(f"{free} % free: readings are dropped, with a gap", do)
    if runway_s is not None and runway_s < DAY_S:
        return warning(f"{free} % free, full in {views.span(runway_s)}", do)
    if free < LITTLE_PCT:
        return warning(f"{free} % free", do)
    return ok(f"{free} % free")


def queue(facts: SiteFacts) -> Diagnosis:
    """Readings become durable, and drain."""
    broken = [one for one in facts.reasons if one.startswith(("queue", "audit log: "))]
    if broken:
        return fault(broken[0], "see FAULTS AND WHAT TO DO in man bess-gateway")
    told = facts.queue
    if not told:
        return skipped("the daemon does not say")
    if told.get("quarantined"):
        text = f"{told['quarantined']} records cannot be read and are kept apart"
        return warning(text, "smartctl -H the disk; keep queue.db and report it")
    ages = [one["oldestAgeS"] or 0.0 for one in told.get("streams", {}).values()]
    oldest = max(ages, default=0.0)
    if oldest > OLD_S and told.get("brokerUp") and not told.get("backfilling"):
        return warning(f"oldest record {views.span(oldest)}, not draining", "see broker-session")
    return ok(f"{told.get('readings', 0):,} readings wait")


def clock_sync(facts: SiteFacts) -> Diagnosis:
    """The clock that stamps readings and judges commands."""
    if facts.synchronized is None:
        return skipped("timedatectl does not say")
    if facts.synchronized:
        return ok("synchronized")
    text = "not synchronized: commands may be refused"
    return warning(text, "systemctl status chrony; timedatectl")


def dns(facts: SiteFacts) -> Diagnosis:
    """Names have addresses."""
    wrong = [f"{host}: {why}" for host, why in facts.names.items() if why]
    if wrong:
        return fault("; ".join(wrong), "resolvectl status, or an address in site.toml")
    return ok(f"{len(facts.names)} names have addresses") if facts.names else skipped("no names")


def route(facts: SiteFacts) -> Diagnosis:
    """There is a way to the RTACs."""
    wrong = [f"{where}: {why}" for where, why in facts.routes.items() if why]
    wrong += [f"{name}: {why}" for name, why in facts.down("no route", "unreachable").items()]
    if wrong:
        return fault("; ".join(wrong), "ip route; ip link; the VPN of the site")
    return ok("there is one") if facts.routes else skipped("no RTAC is named")
