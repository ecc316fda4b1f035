"""``bess-gateway check``: reads everything that the daemon would, as its user, and changes nothing.

Of the installed daemon's files: root judges them with that user's rights, for what root may read is
no proof, and whoever else may not read them has the daemon judge them. Another file is judged as
whoever asks.
"""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import clock
from gateway.audit.file import FILE
from gateway.audit.reader import reading
from gateway.cli.command import add, reported
from gateway.errors import ConfigError, NoInputError, StoreError
from gateway.local import client
from gateway.site import load
from gateway.status import safety_report
from gateway.tls import credentials

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gateway.checked import Site
    from gateway.cli.command import Commands
    from gateway.config.site import SiteSettings

DAEMON = "bess-gateway"  # the packaged daemon's user


def add_parser(commands: Commands) -> None:
    """Add ``check``."""
    add(commands, "check", _check, "read everything the daemon would; change nothing")


def _check(asked: argparse.Namespace) -> int:
    owner = _owner() if asked.config == Path(load.DEFAULT_FILE) else None
    if owner is None or owner.pw_uid == os.geteuid():
        return _report(asked)
    if os.geteuid() != 0:
        return reported(asked, ["check"])
    with _rights_of(owner):
        return _report(asked)


def _owner() -> pwd.struct_passwd | None:
    """The installed daemon's user: who owns its state, or the package's before there is any."""
    with suppress(OSError, KeyError):
        return pwd.getpwuid(Path(load.PACKAGED_STATE).stat().st_uid)
    with suppress(KeyError):
        return pwd.getpwnam(DAEMON)
    return None


@contextmanager
def _rights_of(owner: pwd.struct_passwd) -> Iterator[None]:
    """Of root: what is read is read as ``owner``, until the end of this."""
    groups, gid = os.getgroups(), os.getegid()
    os.initgroups(owner.pw_name, owner.pw_gid)
    os.setegid(owner.pw_gid)
    os.seteuid(owner.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def _report(asked: argparse.Namespace) -> int:
    now_ms = clock.now().unix_ms
    facts: dict[str, str] = {}
    unread: list[str] = []

    def kept(settings: SiteSettings) -> dict[str, str]:
        """What commissioning left in the audit log; nothing where there is none yet."""
        with suppress(NoInputError):
            try:
                with reading(Path(settings.state_dir) / FILE) as log:
                    facts.update(log.facts())
            except StoreError as error:
                unread.append(str(error))
        return facts

    site = load.load_site(asked.config, unix_ms=now_ms, sealed=True, kept=kept)
    print(f"{asked.config}: good")
    if site.settings.uplink.credential and not os.environ.get("CREDENTIALS_DIRECTORY"):
        name = site.settings.uplink.credential
        print(f"  uplink: NOTE: credential {name!r} was not read: only systemd passes it")
    for text in credentials.warnings(site.settings.uplink, site.settings.gateway_id):
        print(f"  uplink: WARNING: {text}")
    for line in (*_running(asked.config, site.settings), *_assets(site)):
        print(f"  {line}")
    for text in unread:
        print(f"  WARNING: what commissioning measured was not held against the files: {text}")
    for line in safety_report.lines(site, now_ms, None if unread else facts):
        print(f"  {line}")
    if site.safety_faults:
        raise ConfigError(site.safety_faults)
    return 0


def _assets(site: Site) -> Iterator[str]:
    for asset in site.settings.assets:
        points_map = site.maps[asset.id]
        yield f"{asset.id}: map {points_map.ref}, {len(points_map.points)} points"
        if asset.id in site.unmatched:
            yield (
                f"{asset.id}: WARNING: no map matches {asset.vendor}/{asset.model} firmware "
                f"{asset.firmware!r}: only raw points will be shipped"
            )
        if asset.transformer is not None and asset.transformer.enforce and site.safety is None:
            yield f"{asset.id}: NOTE: transformer.enforce has no effect: control is off"


def _running(config: Path, settings: SiteSettings) -> Iterator[str]:
    """What a reload of the daemon that runs would refuse, though a restart takes it."""
    with suppress(client.NotRunningError, ConfigError):
        told = client.ask(load.find_socket(config), "hello").get("fixed") or {}
        for key, value in settings.fixed.items():
            if key in told and told[key] != value:
                yield (
                    f"WARNING: {key} = {value!r}: the daemon runs with {told[key]!r}: "
                    f"a reload refuses it, only a restart takes it"
                )
