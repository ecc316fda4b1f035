"""The checks of the site: RTAC, map, broker, control and its record. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.doctor.findings import fault, ok, skipped, warning

if TYPE_CHECKING:
    from gateway.cli.doctor.findings import Diagnosis, SiteFacts

CERTIFICATE_DAYS = 30
TEST_DAYS = 330
UNACKNOWLEDGED_S = 240.0
_NOT_CONNECTED = ("refused", "does not answer", "timed out", "could not connect", "not connected")
_TLS = ("certificate", "TLS", "handshake", "host name", "hostname")
_BAD = ("EVENT_BUFFER_OVERFLOW", "DEVICE_TROUBLE", "CONFIG_CORRUPT", "ALREADY_EXECUTING")
_LOOK = "look at the battery; WHEN STATUS SAYS in man bess-gateway"


def rtac_port(facts: SiteFacts) -> Diagnosis:
    """TCP to the RTAC."""
    do = "the RTAC is off, has another port, or allows another master alone: see its DNP3 settings"
    wrong = [f"{where} {why}" for where, why in facts.ports.items() if why]
    wrong = wrong or [f"{name}: {why}" for name, why in facts.down(*_NOT_CONNECTED).items()]
    if wrong:
        return fault("; ".join(wrong), do)
    held = facts.down("closed: ")
    if held:
        return fault("; ".join(f"{name}: {why}" for name, why in held.items()), do)
    return ok("connected") if facts.assets or facts.ports else skipped("not known")


def dnp3_addresses(facts: SiteFacts) -> Diagnosis:
    """Somebody answers DNP3 there."""
    wrong = {
        name: one["session"]["cause"]
        for name, one in facts.assets.items()
        if not one["session"]["up"]
    }
    if wrong:
        text = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        do = "compare master_address and outstation_address with the RTAC's, both ways round"
        return fault(text, do)
    return ok("every session is up") if facts.assets else skipped("the daemon does not say")


def dnp3_polls(facts: SiteFacts) -> Diagnosis:
    """Every read is answered."""
    failing = [
        f"{name}: {kind} poll: {why}"
        for name, one in facts.health.items()
        for kind, why in one["failing"].items()
        if kind != "attributes"
    ]
    if failing:
        do = "the RTAC does not have a point that the map names: bess-gateway maps show ID"
        return fault("; ".join(failing), do)
    return ok("all answered") if facts.health else skipped("the daemon does not say")


def dnp3_indications(facts: SiteFacts) -> Diagnosis:
    """What the outstation says of itself."""
    found = [
        f"{name}: {', '.join(bad)}"
        for name, one in facts.health.items()
        if (bad := [bit for bit in one["indications"] if bit in _BAD])
    ]
    if found:
        do = "the RTAC's event buffers must hold what comes between two polls; see its own log"
        return warning("; ".join(found), do)
    return ok("none that matters") if facts.health else skipped("the daemon does not say")


def points_map(facts: SiteFacts) -> Diagnosis:
    """The map fits what is read."""
    wrong = [one for one in facts.worries("map ", "no points map") if "poll" not in one]
    if wrong:
        do = "correct the map, site.toml or the RTAC; reload; bess-gateway reset"
        return fault("; ".join(wrong), do)
    return ok("fits") if facts.assets else skipped("the daemon does not say")


def values(facts: SiteFacts) -> Diagnosis:
    """What the battery says is fresh and good, and it is well."""
    wrong = facts.worries("its state is ", "critical ")
    if wrong:
        return fault("; ".join(wrong), "bess-gateway watch shows which points; look at the battery")
    return ok("fresh and good") if facts.assets else skipped("the daemon does not say")


def certificate(facts: SiteFacts) -> Diagnosis:
    """Our own is valid for a while, and is ours."""
    days = facts.status.get("certificateDays")
    strange = [one.strip() for one in facts.check.out.splitlines() if "[gateway] id is" in one]
    do = "put the new certificate in place; systemctl reload bess-gateway"
    if days is not None and days < 0:
        return fault(f"ended {-days} days ago", do)
    if strange:
        return warning(strange[0], "use this gateway's own certificate, or correct [gateway] id")
    if days is not None and days <= CERTIFICATE_DAYS:
        return warning(f"ends in {days} days", do)
    return skipped("the daemon does not say") if days is None else ok(f"{days} days left")


def broker_tls(facts: SiteFacts) -> Diagnosis:
    """The broker's certificate, and what it thinks of ours."""
    cause = str(facts.status.get("broker", {}).get("cause", ""))
    if facts.tls:
        return fault(facts.tls, "[uplink] host, port and ca_file must be the broker's")
    if any(word in cause for word in _TLS):
        return fault(cause, "[uplink] ca_file and host; the certificate that the broker expects")
    if facts.tls is None and not facts.status:
        return skipped("not tried")
    return ok("its certificate is good")


def broker_session(facts: SiteFacts) -> Diagnosis:
    """The broker took our CONNECT."""
    broker = facts.status.get("broker")
    if broker is None:
        return skipped("the daemon does not say")
    if broker["up"]:
        return ok("connected")
    if "share one id" in broker["cause"]:
        return fault(broker["cause"], "give each gateway an id and a certificate of its own")
    return fault(broker["cause"], "see the broker's own log for this gateway's id")


def uplink_path(facts: SiteFacts) -> Diagnosis:
    """Records get through."""
    starts = ("the broker refuses", "the broker refused")
    stuck = [one for one in facts.reasons if one.startswith(starts) or "in flight" in one]
    stuck += [one for one in facts.reasons if "end the connection" in one]
    if stuck:
        return fault(stuck[0], "the broker's access list must let this gateway write its topics")
    age_s = facts.status.get("lastAcknowledgedS")
    if age_s is not None and age_s > UNACKNOWLEDGED_S and facts.queue.get("inFlight"):
        return fault(f"nothing acknowledged for {age_s:.0f} s", "the broker's disk, quota and log")
    return ok("acknowledged") if facts.status else skipped("the daemon does not say")


def command_direction(facts: SiteFacts) -> Diagnosis:
    """Somebody renews the lease."""
    without = [
        name
        for name, one in facts.assets.items()
        if one["control"].get("enabled") and not one["control"].get("leaseS")
    ]
    if without:
        do = "start the dispatch application; the broker's access list for hb/down"
        return warning(f"{', '.join(without)}: no lease: nobody answers our challenges", do)
    controlled = [one for one in facts.assets.values() if one["control"].get("enabled")]
    return ok("leased") if controlled else skipped("control is off")


def safety(facts: SiteFacts) -> Diagnosis:
    """Nothing is latched, stopped, owed or in force without a reason; the tests are young."""
    troubles = [one for one in facts.reasons if one.partition(": ")[2].startswith(_TROUBLES)]
    if troubles:
        return fault(troubles[0], _LOOK)
    if not facts.assets:
        return skipped("the daemon does not say")
    off = [
        f"{name}: {', '.join(one['control']['reasons'])}"
        for name, one in facts.assets.items()
        if one["control"]["reasons"] and one["control"]["reasons"] != ["SAFETY_CONFIG_MISSING"]
    ]
    if off:
        return warning("; ".join(off), "bess-gateway commission show")
    old = [
        f"{name}: {days:.0f} days"
        for name, one in facts.assets.items()
        if (days := one["control"].get("deadmanTestDays") or 0) > TEST_DAYS
    ]
    if old:
        return warning(f"dead-man test {'; '.join(old)} ago", "commission deadman-test")
    return ok("nothing stands against it")


_TROUBLES = (
    *("LATCHED", "ESTOP", "yielded", "in force", "zero ", "in STARTUP", "something is in force"),
    *("a start without", "the stop is owed", "nobody knows", "the RTAC's dead-man"),
    "something may be in force",
)


def audit(facts: SiteFacts) -> Diagnosis:
    """The record's chain holds."""
    ran = facts.audit
    lines = [one for one in (ran.out or ran.err).splitlines() if one.strip()]
    if ran.exit == 0:
        return ok("the chain verifies")
    if ran.exit == 1 and ran.out:
        return fault(lines[0], "keep control.db as it is, and report it")
    return skipped(lines[-1] if lines else "not read")


def view(facts: SiteFacts) -> Diagnosis:
    """The web view, where it is installed."""
    unit = facts.view_unit
    if unit is None or unit.get("LoadState") != "loaded":
        return skipped("not installed")
    if unit.get("ActiveState") in ("active", "inactive"):
        return ok(str(unit["ActiveState"]))
    return warning(str(unit.get("ActiveState")), "journalctl -u bess-gateway-view")
