"""Every section of site.toml as a frozen dataclass. Pure: paths are resolved, never opened.

Names and meaning are those of bess-gateway-site.toml(5); unknown keys are errors.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config import hosts
from gateway.errors import ConfigError, Fault, Where

if TYPE_CHECKING:
    from gateway.config.toml import Document, Section

SCHEMA = "bess.site/1"
ID = r"[A-Za-z0-9._-]{1,64}"
_SHORT = {"pattern": r"(?s).{1,64}", "allowed": "a text of 1..64 characters"}  # birth holds it
GRID_IDS = ("workspace", "site", "customer", "feeder", "substation", "poi", "gis")
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """``[uplink]``: the broker and the identity shown to it."""

    hosts: tuple[str, ...]  # one or more, tried in random order
    port: int
    prefix: str
    ca_file: str
    cert_file: str
    key_file: str  # "" where ``credential`` names a systemd credential
    credential: str
    protocol: str  # "5" | "3.1.1"
    keepalive_s: int
    window: int
    username: str = ""
    password_file: str = ""
    alpn: str = ""
    client_id: str = ""  # "": the gateway's id
    retain: bool = True
    window_bytes: int = 4 << 20
    publish_per_s: float | None = None  # messages; None: as many as the window
    backfill_per_s: float | None = None  # readings; None: four times what is live, 2000 or more
    telemetry_bundle_s: float = 0.0
    require_subscriber: bool | None = None  # None: "auto", where somebody took before


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """``[queue]``: how much may wait."""

    max_size: int  # bytes
    max_age_s: float


@dataclass(frozen=True, slots=True)
class Dnp3Settings:
    """``[asset.dnp3]``: one master-outstation association."""

    host: str
    port: int
    master_address: int
    outstation_address: int
    response_timeout_s: float
    event_poll_s: float
    integrity_poll_s: float
    link_check_s: float
    unsolicited: bool
    time_sync: str  # none | lan | serial


@dataclass(frozen=True, slots=True)
class TransformerSettings:
    """``[asset.transformer]``: loading of the transformer before the battery."""

    rating_kva: float
    warn_pct: float
    alarm_pct: float
    enforce: bool


@dataclass(frozen=True, slots=True)
class AssetSettings:
    """``[[asset]]``: one battery."""

    id: str
    name: str
    grid: dict[str, str]  # opaque ids that are present: GRID_IDS and transformer
    vendor: str
    model: str
    firmware: str  # "" where ``map`` pins one
    map: str  # "id@revision", or "" to choose by firmware
    nameplate_w: float
    capacity_wh: float
    max_charge_w: float
    max_discharge_w: float
    backup_reserve_pct: float | None
    dnp3: Dnp3Settings
    transformer: TransformerSettings | None


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """The whole of site.toml."""

    file: str
    gateway_id: str
    state_dir: str
    uplink: UplinkSettings
    queue: QueueSettings
    assets: tuple[AssetSettings, ...]

    @property
    def fixed(self) -> dict[str, str]:
        """What a reload cannot change: what is in flight and in the queue is addressed by it."""
        return {
            "[gateway] id": self.gateway_id,
            "[gateway] state_dir": self.state_dir,
            "[uplink] prefix": self.uplink.prefix,
        }


def site_settings(document: Document, *, folder: str) -> SiteSettings:
    """Read and check the whole document.

    Args:
        document: the parsed site.toml.
        folder: the folder of the file; relative paths in it start there.

    Raises:
        ConfigError: with every fault of the file.
    """
    top = document.section()
    if top is None:  # pragma: no cover - a TOML document is always a table
        raise ConfigError([Fault(Where(document.file, "", "", 1), "is not a table")])
    top.reject_unknown(("schema", "gateway", "uplink", "queue", "asset"))
    top.one_of("schema", (SCHEMA,))
    gateway = _required(document, "gateway")
    uplink = _required(document, "uplink")
    queue = document.section("queue") if "queue" in document.tree else None
    assets = tuple(_asset(section) for section in document.sections("asset"))
    if not document.tree.get("asset", []):  # absent, or an empty array: nothing to do
        document.fault("", "asset", "is missing: must be one [[asset]] or more")
    _reject_twins(document, assets)
    _reject_ratings(document, assets)
    settings = None
    if gateway is not None and uplink is not None:
        gateway.reject_unknown(("id", "state_dir"))
        settings = SiteSettings(
            file=document.file,
            gateway_id=gateway.text("id", pattern=ID, allowed=f"an id, {ID}"),
            state_dir=_path(folder, gateway.text("state_dir", default="/var/lib/bess-gateway")),
            uplink=_uplink(uplink, folder),
            queue=_queue(queue),
            assets=assets,
        )
    if document.faults or settings is None:
        raise ConfigError(sorted(document.faults, key=lambda fault: fault.where.line))
    return settings


def _required(document: Document, path: str) -> Section | None:
    if path not in document.tree:
        document.fault("", path, f"[{path}] is missing")
        return None
    return document.section(path)


def _path(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path)) if path else ""


def _uplink(section: Section, folder: str) -> UplinkSettings:
    section.reject_unknown(("host", "credential", *UplinkSettings.__slots__))
    if ("key_file" in section.values) == ("credential" in section.values):
        section.fault("key_file", 'given, or credential = "name", and not both')
    if "password_file" in section.values and "username" not in section.values:
        section.fault("username", "given where there is a password_file")
    return UplinkSettings(
        hosts=_hosts(section),
        port=section.integer("port", lo=1, hi=65535, default=8883),
        prefix=section.text(
            "prefix",
            default="bess/v1",
            pattern=r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}",  # whole topics stay <= 7 slashes
            allowed="1..3 topic levels of A-Z a-z 0-9 . _ -",
        ),
        ca_file=_path(folder, section.text("ca_file")),
        cert_file=_path(folder, section.text("cert_file")),
        key_file=_path(folder, section.text("key_file", default="")),
        credential=section.text("credential", default="", pattern=ID, allowed=f"a name, {ID}"),
        protocol=section.one_of("protocol", ("5", "3.1.1"), default="5"),
        keepalive_s=section.integer("keepalive_s", lo=5, hi=3600, unit="seconds", default=15),
        window=section.integer("window", lo=1, hi=1000, unit="messages", default=100),
        username=section.text("username", default=""),
        password_file=_path(folder, section.text("password_file", default="")),
        alpn=section.text(
            "alpn", default="", pattern=r"[\x21-\x7e]{1,255}", allowed="a protocol's name in TLS"
        ),
        client_id=section.text(
            "client_id", default="", pattern=r"[\x21-\x7e]{1,128}", allowed="an MQTT client id"
        ),
        retain=section.flag("retain", default=True),
        window_bytes=section.size("window_bytes", lo=256 << 10, hi=1 << 30, default=4 << 20),
        publish_per_s=section.optional(
            "publish_per_s", lambda key: section.number(key, lo=1, hi=10_000, unit="messages/s")
        ),
        backfill_per_s=section.optional(
            "backfill_per_s", lambda key: section.number(key, lo=100, hi=1e7, unit="readings/s")
        ),
        telemetry_bundle_s=section.number(
            "telemetry_bundle_s", lo=0, hi=10, unit="seconds", default=0
        ),
        require_subscriber=_auto(section, "require_subscriber"),
    )


def _hosts(section: Section) -> tuple[str, ...]:
    if ("host" in section.values) == ("hosts" in section.values):
        section.fault("host", 'given, or hosts = ["name", ...], and not both')
        return ()
    if "host" in section.values:
        return (section.text("host"),)
    found = section.texts("hosts")
    if not found or not all(found) or len(set(found)) < len(found):
        section.fault("hosts", "one name or more, each once")
    return found


def _auto(section: Section, key: str) -> bool | None:
    """True or false, or None for "auto", which is the default."""
    found = section.values.get(key, "auto")
    if found == "auto" or isinstance(found, bool):
        return found if isinstance(found, bool) else None
    section.fault(key, 'true, false or "auto"')
    return None


def _queue(section: Section | None) -> QueueSettings:
    if section is None:
        return QueueSettings(max_size=2 * _GIB, max_age_s=604_800)
    section.reject_unknown(("max_size", "max_age_s"))
    return QueueSettings(
        max_size=section.size("max_size", lo=16 << 20, hi=1024 * _GIB, default=2 * _GIB),
        max_age_s=section.number(
            "max_age_s", lo=3600, hi=366 * 86_400, unit="seconds", default=604_800
        ),
    )


def _asset(section: Section) -> AssetSettings:
    known = ("id", "name", "vendor", "model", "firmware", "map", "nameplate_w", "capacity_wh")
    limits = ("max_charge_w", "max_discharge_w", "backup_reserve_pct")
    section.reject_unknown((*known, *limits, *GRID_IDS, "dnp3", "transformer"))
    if ("firmware" in section.values) == ("map" in section.values):
        section.fault("firmware", 'given, or map = "id@revision" to pin one, and not both')
    before = len(section.document.faults)
    nameplate_w = section.number("nameplate_w", lo=1, hi=1e10, unit="W")
    # A wrong nameplate is one fault, and says nothing about the limits below it.
    most_w = nameplate_w if len(section.document.faults) == before else 1e10
    dnp3 = section.below("dnp3")
    if dnp3 is None:
        section.fault("dnp3", "a table, [asset.dnp3]")
    grid = {key: section.text(key, **_SHORT) for key in GRID_IDS if key in section.values}
    # transformer = "T1" is its id alone; [asset.transformer] adds ratings, and may hold the id.
    transformer = None
    if isinstance(section.values.get("transformer"), str):
        grid["transformer"] = section.text("transformer", **_SHORT)
    elif (table := section.below("transformer")) is not None:
        transformer = _transformer(table)
        grid |= {"transformer": table.text("id", **_SHORT)} if "id" in table.values else {}
    return AssetSettings(
        id=section.text("id", pattern=ID, allowed=f"an id, {ID}"),
        name=section.text("name", default="", **_SHORT),
        grid=grid,
        vendor=section.text("vendor", default="generic"),
        model=section.text("model", default=""),
        firmware=section.text("firmware", default="", **_SHORT),
        map=section.text(
            "map", default="", pattern=r"[a-z0-9-]+@\S+", allowed='"id@revision" of a points map'
        ),
        nameplate_w=nameplate_w,
        capacity_wh=section.number("capacity_wh", lo=1, hi=1e11, unit="Wh"),
        max_charge_w=section.number("max_charge_w", lo=0, hi=most_w, unit="W", default=nameplate_w),
        max_discharge_w=section.number(
            "max_discharge_w", lo=0, hi=most_w, unit="W", default=nameplate_w
        ),
        backup_reserve_pct=section.optional(
            "backup_reserve_pct", lambda key: section.number(key, lo=0, hi=100, unit="%")
        ),
        dnp3=_dnp3(dnp3) if dnp3 is not None else _NO_DNP3,
        transformer=transformer,
    )


def _dnp3(section: Section) -> Dnp3Settings:
    section.reject_unknown(Dnp3Settings.__slots__)
    settings = Dnp3Settings(
        host=section.text("host"),
        port=section.integer("port", lo=1, hi=65535, default=20000),
        # 0xFFF0 and above are reserved or broadcast addresses (IEEE 1815, data link layer).
        master_address=section.integer("master_address", lo=0, hi=65519, default=1),
        outstation_address=section.integer("outstation_address", lo=0, hi=65519),
        response_timeout_s=section.number(
            "response_timeout_s", lo=0.5, hi=10, unit="seconds", default=3
        ),
        event_poll_s=section.number("event_poll_s", lo=0.2, hi=60, unit="seconds", default=2),
        integrity_poll_s=section.number(
            "integrity_poll_s", lo=5, hi=3600, unit="seconds", default=300
        ),
        link_check_s=section.number("link_check_s", lo=0.5, hi=60, unit="seconds", default=10),
        unsolicited=section.flag("unsolicited", default=True),
        time_sync=section.one_of("time_sync", ("none", "lan", "serial"), default="none"),
    )
    if settings.master_address == settings.outstation_address:
        section.fault("master_address", "different from outstation_address")
    return settings


def _transformer(section: Section) -> TransformerSettings:
    section.reject_unknown(("id", *TransformerSettings.__slots__))
    warn_pct = section.number("warn_pct", lo=1, hi=200, unit="%", default=80)
    return TransformerSettings(
        rating_kva=section.number("rating_kva", lo=0.001, hi=1e7, unit="kVA"),
        warn_pct=warn_pct,
        alarm_pct=section.number("alarm_pct", lo=warn_pct, hi=300, unit="%", default=100),
        enforce=section.flag("enforce", default=False),
    )


def _reject_twins(document: Document, assets: tuple[AssetSettings, ...]) -> None:
    seen: dict[str, int] = {}
    ends: dict[tuple[str, int, int], int] = {}
    for at, asset in enumerate(assets):
        if asset.id and seen.setdefault(asset.id, at) != at:
            line = document.where(f"asset[{seen[asset.id]}]", "id").line
            document.fault(f"asset[{at}]", "id", f"= {asset.id!r}: already used in line {line}")
        host, port, address = asset.dnp3.host, asset.dnp3.port, asset.dnp3.outstation_address
        if hosts.ambiguous(host):
            text = f"= {host!r}: must be written without leading zeros: 010 may mean 10 or 8"
            document.fault(f"asset[{at}].dnp3", "host", text)
        end = (hosts.same_host(host), port, address)
        if host and ends.setdefault(end, at) != at:
            first = assets[ends[end]]
            line = document.where(f"asset[{ends[end]}].dnp3", "outstation_address").line
            text = (
                f"= {address}: at {host}:{port} is the outstation that asset {first.id!r} already "
                f"reads, at {first.dnp3.host}:{port} in line {line}: must be another one"
            )
            document.fault(f"asset[{at}].dnp3", "outstation_address", text)


def _reject_ratings(document: Document, assets: tuple[AssetSettings, ...]) -> None:
    """One transformer has one rating, whichever asset names it."""
    first: dict[str, int] = {}
    for at, asset in enumerate(assets):
        id_ = asset.grid.get("transformer")
        if id_ is None or asset.transformer is None:
            continue
        other = assets[first.setdefault(id_, at)]
        assert other.transformer is not None
        wanted_kva, found_kva = other.transformer.rating_kva, asset.transformer.rating_kva
        if found_kva != wanted_kva:
            line = document.where(f"asset[{first[id_]}].transformer", "rating_kva").line
            text = f"= {found_kva:.15g}: must be {wanted_kva:.15g} kVA, which asset {other.id!r} "
            text += f"gives transformer {id_!r} in line {line}"
            document.fault(f"asset[{at}].transformer", "rating_kva", text)


_NO_DNP3 = Dnp3Settings("", 0, 0, 0, 3, 2, 300, 10, unsolicited=True, time_sync="none")
