"""``bess-gateway audit in-force``: what may be in force, by control.db as it lies on the disk.

The package asks it before it is removed or replaced by an older version, when the daemon has ended
or cannot be asked. What a reader would get wrong: no answer is not "nothing". Only a box that never
had a log has nothing in force without one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.audit.chain import TROUBLE
from gateway.audit.file import FILE
from gateway.audit.reader import reading
from gateway.audit.witness import FILE as WITNESS
from gateway.audit.witness import read_witness
from gateway.config.toml import parse
from gateway.control.commands.spent import open_commands
from gateway.control.recalled import with_recalled
from gateway.control.watchdog.obligation import assets_in_force, obligation
from gateway.errors import ConfigError, NoInputError, StoreError
from gateway.site import load
from gateway.sqlite.lock import has_kept

if TYPE_CHECKING:
    from collections.abc import Mapping


def in_force(config: Path, database: Path | None) -> dict[str, str]:
    """What may be in force, and where, for people, by asset; {} where nothing is.

    Args:
        config: site.toml, which names the folder.
        database: a control.db, in place of that folder's.

    Raises:
        ConfigError: site.toml does not say where the log is.
        NoInputError: there is no such file as ``database``.
        StoreError: it cannot be known: the log is damaged, gone, or was begun anew.
    """
    path = database or _default(config)
    try:
        with reading(path) as log:
            facts = log.facts()
    except NoInputError:
        if database is not None:
            raise
        if has_kept(path.with_name("control.lock")):
            text = f"{path}: is gone: what was in force is not known"
            raise StoreError(text) from None
        return {}
    found = told(with_recalled(facts, read_witness(path.with_name(WITNESS))))
    if not found and TROUBLE in facts:
        text = f"{path}: was begun anew ({facts[TROUBLE]}): what was in force is not known"
        raise StoreError(text)
    return found


def told(facts: Mapping[str, str]) -> dict[str, str]:
    """The same, by the facts themselves."""
    commanded = {key.partition("/command/")[0] for key in facts if "/command/" in key}
    begun = {name for name in commanded if open_commands(facts, name)}
    return {name: _words(facts, name) for name in sorted(begun | assets_in_force(facts))}


def _words(facts: Mapping[str, str], asset: str) -> str:
    found = obligation(facts, asset)
    if found is None:
        return "something that cannot be read"
    if found.setpoint_w is None:  # an older store says not even that
        return f"a mode, a reserve or an unknown setpoint at {found.endpoint}"
    return f"{found.setpoint_w:.0f} W at {found.endpoint}"


def _default(config: Path) -> Path:
    """The log of ``config``; the packaged one where that file is gone, or has faults since."""
    packaged = Path(load.PACKAGED_STATE) / FILE
    if not config.exists():
        return packaged
    try:
        gateway = parse(load.read_document(config), file=str(config)).tree.get("gateway")
    except ConfigError:
        if packaged.exists():
            return packaged
        raise
    found = gateway.get("state_dir") if isinstance(gateway, dict) else None
    folder = found if isinstance(found, str) and found else load.PACKAGED_STATE
    return Path(os.path.normpath(config.absolute().parent / folder)) / FILE
