"""Reads site.toml and what belongs to it from disk, and checks all of it without changing anything.

The daemon, ``check`` and a reload share ``load``, so that what ``check`` accepts, ``run`` accepts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.checked import Site
from gateway.config.site import site_settings
from gateway.config.toml import parse
from gateway.control.rules.readiness import commissioned, map_refusals
from gateway.control.rules.zero_path import zero_path
from gateway.errors import ConfigError, Fault, Where
from gateway.points.choose import choose, pinned
from gateway.points.pointmap import raw_map
from gateway.site.maps import load_maps
from gateway.site.safety_files import NAME as SAFETY_NAME
from gateway.site.safety_files import load_safety
from gateway.site.shared import transformer_faults
from gateway.tls import credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.safety import ZeroPath
    from gateway.config.site import AssetSettings, SiteSettings
    from gateway.points.pointmap import PointsMap

DEFAULT_FILE = "/etc/bess-gateway/site.toml"
PACKAGED_STATE = "/var/lib/bess-gateway"
SOCKET = "control.sock"
PACKAGED_SOCKET = f"/run/bess-gateway/{SOCKET}"


def read_document(path: Path) -> bytes:
    """The bytes of a configuration file.

    Raises:
        ConfigError: missing or unreadable; says what to do.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        text = "no such file: copy the example site.toml and edit it"
    except PermissionError:
        text = f"not readable by user {os.geteuid()}: must be readable by the daemon's user"
    except IsADirectoryError:
        text = "is a directory: must be a TOML file"
    except OSError as error:
        text = f"not readable: {error.strerror}"
    raise ConfigError([Fault(Where(str(path), "", "", 1), text)])


def load_site(
    path: Path,
    *,
    unix_ms: int | None = None,
    sealed: bool = False,
    kept: Callable[[SiteSettings], Mapping[str, str]] = lambda _: {},
) -> Site:
    """Read and check everything that ``run`` would use; change nothing.

    Args:
        path: site.toml.
        unix_ms: now, to judge the validity of our certificate; None leaves that to the broker.
        sealed: asked by a person, not by the daemon: accept that a systemd credential cannot be
            seen from here, and let the daemon's user own files.
        kept: the facts of the audit log: times are then held against what commissioning measured.
            The daemon does that itself, as long as it runs.

    Faults of safety.toml beside it are no reason to raise: they are in the site that is
    returned, control stays off, and telemetry goes on.

    Raises:
        ConfigError: with every fault of site.toml, of the installed points maps, and of the
            keys and certificates that it names; then those of safety.toml, too.
    """
    faults: list[Fault] = []
    maps: tuple[PointsMap, ...] = ()
    try:
        maps = load_maps()
    except ConfigError as error:
        faults += error.faults
    document = parse(read_document(path), file=str(path))
    try:
        settings = site_settings(document, folder=str(path.absolute().parent))
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from None
    chosen: dict[str, PointsMap] = {}
    unmatched: set[str] = set()
    for at, asset in enumerate(settings.assets):
        try:
            found = _choose(maps, asset)
        except ConfigError as error:
            faults += error.faults
            continue
        if found is None and asset.map:
            known = ", ".join(sorted(one.ref for one in maps))
            where = document.where(f"asset[{at}]", "map")
            faults.append(Fault(where, f"= {asset.map!r}: must be an installed map: {known}"))
        elif found is None:
            unmatched.add(asset.id)
        chosen[asset.id] = found or raw_map()
    faults += transformer_faults(document, settings, chosen)
    for wrong in credentials.faults(settings.uplink, unix_ms=unix_ms, sealed=sealed):
        faults.append(Fault(document.where("uplink", wrong.key), _tls_text(wrong)))
    safety, safety_faults = load_safety(
        path.with_name(SAFETY_NAME),
        response_timeouts_s={one.id: one.dnp3.response_timeout_s for one in settings.assets},
        nameplates_w={one.id: one.nameplate_w for one in settings.assets},
        paths=_paths(
            settings,
            {name: chosen[name] for name in chosen.keys() - unmatched},
            kept(settings),
        ),
        maps=() if unmatched or len(chosen) < len(settings.assets) else chosen.values(),
        daemon_uid=_daemon_uid(settings) if sealed else None,
    )
    if faults:
        raise ConfigError([*faults, *safety_faults])
    not_after_ms = credentials.certificate_not_after(settings.uplink.cert_file)
    return Site(settings, chosen, frozenset(unmatched), not_after_ms, safety, safety_faults)


def _paths(
    settings: SiteSettings, maps: Mapping[str, PointsMap], kept: Mapping[str, str]
) -> dict[str, ZeroPath]:
    """How zero gets to each asset whose map allows control, and what commissioning timed there."""
    found = {}
    for one in settings.assets:
        points_map = maps.get(one.id)
        if points_map is None or map_refusals(points_map):
            continue
        seen = commissioned(kept, one.id).findings(points_map.digest)
        found[one.id] = zero_path(points_map, one.dnp3.response_timeout_s, answer_s=seen.answer_s)
    return found


def _daemon_uid(settings: SiteSettings) -> int:
    """Whose files the daemon takes: who owns its state owns the process."""
    try:
        return Path(settings.state_dir).stat().st_uid
    except OSError:
        return os.geteuid()


def _tls_text(wrong: credentials.TlsFault) -> str:
    return f"{wrong.path}: {wrong.text}" if wrong.path else wrong.text


def _choose(maps: tuple[PointsMap, ...], asset: AssetSettings) -> PointsMap | None:
    if asset.map:
        return pinned(maps, asset.map)
    return choose(maps, vendor=asset.vendor, model=asset.model, firmware=asset.firmware)


def socket_path(settings: SiteSettings) -> Path:
    """Where the daemon of this site listens: in the unit's /run, beside its state without one."""
    runtime = os.environ.get("RUNTIME_DIRECTORY")  # systemd.exec(5)
    return Path(runtime) / SOCKET if runtime else _socket_in(settings.state_dir)


def find_socket(path: Path) -> Path:
    """Where the daemon of site.toml ``path`` listens, for those who only want to ask it.

    Nothing else of the file is checked and no key is read: a daemon goes on with its old
    settings while the file is edited or broken, and an operator may not read the key. So the
    installed daemon is asked where the unit lets it listen, whatever its file says by now.

    Raises:
        ConfigError: another file than the installed one is missing, unreadable or not TOML.
    """
    installed = path == Path(DEFAULT_FILE)
    if installed and (Path(PACKAGED_SOCKET).exists() or not os.access(path, os.R_OK)):
        return Path(PACKAGED_SOCKET)
    return _socket_in(str(state_folder(path)))


def state_folder(path: Path) -> Path:
    """Where the daemon of site.toml ``path`` keeps its state; nothing else of it is checked.

    Raises:
        ConfigError: the file is missing, unreadable or not TOML.
    """
    gateway = parse(read_document(path), file=str(path)).tree.get("gateway")
    found = gateway.get("state_dir") if isinstance(gateway, dict) else None
    state_dir = found if isinstance(found, str) and found else PACKAGED_STATE
    return Path(os.path.normpath(path.absolute().parent / state_dir))


def _socket_in(state_dir: str) -> Path:
    return Path(PACKAGED_SOCKET if state_dir == PACKAGED_STATE else f"{state_dir}/{SOCKET}")
