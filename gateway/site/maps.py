"""Reads the installed points maps from their folders: ``<vendor>/<model>-<revision>.toml``.

The shipped maps come first, the site's own (``/etc/bess-gateway/pointmaps``) after them; a site
map may extend a shipped one, but not take its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import tomli

from gateway.errors import ConfigError, Fault, Where
from gateway.points.choose import ambiguities
from gateway.points.parse import parse_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.points.pointmap import PointsMap

SITE_FOLDER = Path("/etc/bess-gateway/pointmaps")
_INSTALLED = Path("/usr/share/bess-gateway/pointmaps")
_CHECKOUT = Path(__file__).resolve().parents[2] / "pointmaps"


def map_folders() -> tuple[Path, ...]:
    """Where maps are looked for: ``$BESS_POINTMAPS`` (":" between folders), else the defaults."""
    given = os.environ.get("BESS_POINTMAPS")
    if given:
        return tuple(Path(part) for part in given.split(os.pathsep) if part)
    return (_CHECKOUT if os.path.isdir(_CHECKOUT) else _INSTALLED, SITE_FOLDER)  # noqa: PTH112 - False where it is closed to us


def load_maps(folders: Iterable[Path] | None = None) -> tuple[PointsMap, ...]:
    """Every installed map, checked alone and against the others.

    Args:
        folders: in the order of ``map_folders()``, which is the default; one that does not
            exist holds no maps.

    Raises:
        ConfigError: with the faults of all files; an operator corrects or removes them.
    """
    faults: list[Fault] = []
    files = _read_all(map_folders() if folders is None else folders, faults)
    base = _finder(files)
    maps: list[PointsMap] = []
    for file, raw in files.items():
        try:
            maps.append(parse_map(raw, file=file, base=base))
        except ConfigError as error:
            faults.extend(error.faults)
    faults.extend(_twins(maps))
    faults.extend(ambiguities(maps))
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return tuple(maps)


def load_map(path: Path, folders: Iterable[Path] | None = None) -> PointsMap:
    """One map file, wherever it lies; it may extend installed maps and its neighbours.

    Raises:
        ConfigError: with every fault of the file.
    """
    faults: list[Fault] = []
    raw = _read(path, faults)
    if raw is None:
        raise ConfigError(faults)
    installed = map_folders() if folders is None else folders
    beside = {
        str(near): found
        for near in sorted(path.parent.glob("*.toml"))
        if (found := _read(near, []))
    }
    return parse_map(raw, file=str(path), base=_finder(_read_all(installed, []) | beside))


def _read_all(folders: Iterable[Path], faults: list[Fault]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    seen: set[Path] = set()
    for folder in folders:
        for path in sorted(folder.rglob("*.toml")):
            real = path.resolve()
            if real not in seen and (raw := _read(path, faults)) is not None:
                seen.add(real)
                files[str(path)] = raw
    return files


def _read(path: Path, faults: list[Fault]) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"cannot be read ({reason}): must be a readable points map"
        faults.append(Fault(Where(str(path), "", "", 1), text))
        return None


def _finder(files: dict[str, bytes]) -> Callable[[str], tuple[str, bytes] | None]:
    refs: dict[str, tuple[str, bytes]] = {}
    for file, raw in files.items():
        ref = _ref(raw)
        if ref is not None:
            refs.setdefault(ref, (file, raw))
    return refs.get


def _ref(raw: bytes) -> str | None:
    """``id@revision`` of a file; None where it cannot be told, which ``parse_map`` reports."""
    try:
        head = tomli.loads(raw.decode("utf-8-sig")).get("map")
    except (UnicodeDecodeError, tomli.TOMLDecodeError):
        return None
    return f"{head.get('id')}@{head.get('revision')}" if isinstance(head, dict) else None


def _twins(maps: list[PointsMap]) -> list[Fault]:
    first: dict[str, PointsMap] = {}
    faults = []
    for points_map in maps:
        twin = first.setdefault(points_map.ref, points_map)
        if twin is not points_map:
            text = f'"{points_map.ref}" is already {twin.file}: must be another id or revision'
            faults.append(Fault(Where(points_map.file, "map", "id", 1), text, "M02"))
    return faults
