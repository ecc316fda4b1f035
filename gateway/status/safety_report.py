"""What ``check`` says of safety.toml: what it allows, and how long a setpoint can last. Pure.

The bounds are said at the response timeout, and as measured. Of what stands against control those
reasons come first that remain when all of commissioning is done; then what of it is not on record.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.config.safety import bounds
from gateway.control.rules import readiness
from gateway.control.rules.limits import site_limits
from gateway.control.rules.zero_path import zero_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.checked import Safety, Site
    from gateway.config.safety import SafetySettings, ZeroPath
    from gateway.config.site import AssetSettings
    from gateway.points.pointmap import PointsMap


def lines(site: Site, now_ms: int, facts: Mapping[str, str] | None) -> Iterator[str]:
    """The report on ``site`` at ``now_ms`` (Unix ms), line by line.

    ``facts`` are those of the audit log; None: it cannot be read.
    """
    if site.safety_faults:
        yield "safety.toml has faults: control stays off, telemetry goes on"
    elif site.safety is None:
        yield "no safety.toml: control stays off"
    else:
        yield from _of_file(site.safety, now_ms)
        for asset in site.settings.assets:
            done = None if facts is None else readiness.commissioned(facts, asset.id)
            for line in _of_asset(site, site.safety, asset, done, now_ms):
                yield f"{asset.id}: {line}"


def _of_file(safety: Safety, now_ms: int) -> Iterator[str]:
    settings = safety.settings
    above = ""
    if settings.approval in ("dual", "local") and settings.approval_threshold_w:
        above = f" above {settings.approval_threshold_w:.15g} W, envelope below"
    yield f"safety.toml: approval {settings.approval}{above}"
    yield f"safety.toml: digest {safety.digest}"
    if settings.limits.site is not None:
        charge_w, discharge_w = settings.limits.site.most_w
        most = f"{-charge_w:.15g} W (charging) to {discharge_w:.15g} W (discharging)"
        yield f"safety.toml: all assets together at most {most}"
    for one in sorted(settings.keys, key=lambda key: key.kid):
        key = safety.trust.find(one.kid)
        algorithm = "" if key is None else f", {key.alg}"
        last = datetime.fromtimestamp(one.not_after_ms // 1000 - 1, UTC)
        yield f"key {one.kid}: {', '.join(one.roles)}{algorithm}, until {last:%Y-%m-%d}"
    for text in readiness.key_warnings(safety, now_ms):
        yield f"WARNING: {text}"


def _of_asset(
    site: Site,
    safety: Safety,
    asset: AssetSettings,
    done: readiness.Commissioned | None,
    now_ms: int,
) -> Iterator[str]:
    points_map = site.maps[asset.id]
    found = None if done is None else done.findings(points_map.digest)
    limits = site_limits(asset, safety.settings)
    yield f"map digest {points_map.digest}"
    yield (
        f"at most {-limits.contract_w(-1.0):.15g} W (charging) to "
        f"{limits.contract_w(1.0):.15g} W (discharging), "
        f"{limits.min_soc_pct:g} to {limits.max_soc_pct:g} %"
    )
    others = _at_one_transformer(site, asset)
    if others:
        yield f"shares transformer {asset.grid['transformer']} with {', '.join(others)}"
    together = safety.settings.limits.site is not None and len(site.settings.assets) > 1
    if (others or together) and points_map.row("power") is None:
        yield "WARNING: the map has no measured power: at what is shared it counts with all it can"
    yield from _layers(site, safety.settings, asset)
    yield from _bounds(points_map, safety.settings, asset.dnp3.response_timeout_s, found)
    refusals = readiness.map_refusals(points_map)
    for text in refusals:
        yield f"WARNING: the map refuses control: {text}"
    if not refusals:
        yield "the map allows control"
    proof = readiness.Proof(points_map.digest, now_ms)
    all_done = readiness.Commissioned(safety.digest, proof, proof)
    off = readiness.reasons(_standing(site, safety, asset, all_done, now_ms))
    if off:
        yield f"control stays off: {', '.join(off)}"
        return
    test = "deadman-test, " if readiness.dead_man_testable(points_map) else ""
    if done is None:
        yield f"control needs the commissioning (not known here): acknowledge, {test}sign-test"
        return
    missing = readiness.reasons(_standing(site, safety, asset, done, now_ms))
    if not missing:
        yield "control is commissioned: nothing on record stands against it"
    elif done == readiness.Commissioned():
        yield f"control needs the commissioning: acknowledge, {test}sign-test"
    else:
        yield f"control is off by what is on record: {', '.join(missing)}"


def _at_one_transformer(site: Site, asset: AssetSettings) -> list[str]:
    """Other assets that share the headroom of its transformer."""
    id_ = asset.grid.get("transformer")
    if id_ is None:
        return []
    those = [one for one in site.settings.assets if one.grid.get("transformer") == id_]
    if not any(one.transformer and one.transformer.enforce for one in those):
        return []
    return [one.id for one in those if one.id != asset.id]


def _layers(site: Site, settings: SafetySettings, asset: AssetSettings) -> Iterator[str]:
    """What can end a setpoint, and within how many seconds."""
    points_map, watchdog = site.maps[asset.id], settings.watchdog
    beats = readiness.dead_man_testable(points_map)
    timed = readiness.has_reversion(points_map)
    every = f", every {watchdog.heartbeat_s:g} s" if beats else ": no dead-man of the RTAC"
    yield f"heartbeat {readiness.heartbeat_kind(points_map)}{every}"
    if timed:
        again_s = watchdog.reversion_refresh_s
        yield f"reversion timer {watchdog.reversion_s:g} s, refreshed every {again_s:g} s"
    else:
        yield "no reversion timer"
    if settings.risk is not None and not beats and not timed:
        yield f"risk accepted by {settings.risk.name} on {settings.risk.date}"


def _bounds(
    points_map: PointsMap,
    settings: SafetySettings,
    response_s: float,
    found: readiness.Findings | None,
) -> Iterator[str]:
    """Bounds A to D, at what an answer may take and at what it took."""
    seen = found or readiness.Findings()
    path = zero_path(points_map, response_s, answer_s=seen.answer_s, connect_s=seen.connect_s)
    yield f"bounds at the response timeout, {response_s:g} s; zero is {path.text}"
    yield from _bounds_at(settings, path)
    if found is None:
        yield "bounds as measured: not known here, for the audit log cannot be read"
        return
    if path.timed is None:
        yield "bounds as measured: commissioning has not timed the answers of this RTAC yet"
        return
    yield f"bounds at the longest answer that commissioning timed, {path.timed.response_s:g} s"
    yield from _bounds_at(settings, path.timed)


def _bounds_at(settings: SafetySettings, path: ZeroPath) -> Iterator[str]:
    found = bounds(settings.watchdog, path)
    ramp = f"plus {settings.limits.ramp_to_zero_s:g} s of ramp"
    yield f"bound A {found.cloud_dead_s:g} s {ramp}: the cloud is dead, the RTAC obeys"
    if found.read_dropped_s is None:
        took = f"a new connection took {path.connect_s:g} s, longer than a zero waits"
        yield f"bound A has no figure where a read takes longer: {took}, so nothing is dropped"
    else:
        many = "" if path.controls == 1 else f"{path.controls} times "
        connect = f" and {many}the time to connect" if path.connect_s is None else ""
        dropped = f"{found.read_dropped_s:g} s{connect} {ramp}"
        yield f"bound A {dropped}: a read that takes longer is dropped for the zero"
    gateway_dead = _seconds(found.gateway_dead_s, "heartbeat")
    yield f"bound B {gateway_dead}: gateway, host, power or link is dead"
    yield f"bound C {_seconds(found.refused_s, 'heartbeat')}: the RTAC refuses zero"
    reverted = _seconds(found.reversion_s, "reversion timer")
    yield f"bound D {reverted}: no RTAC logic, and the link is dead"


def _seconds(found_s: float | None, means: str) -> str:
    return f"none (the map has no {means})" if found_s is None else f"{found_s:g} s"


def _standing(
    site: Site,
    safety: Safety,
    asset: AssetSettings,
    done: readiness.Commissioned,
    now_ms: int,
) -> readiness.Standing:
    """The asset as it stands with ``done`` on record."""
    points_map = site.maps[asset.id]
    return readiness.Standing(
        safety=safety,
        safety_faulty=False,
        points_map=points_map,
        matched=asset.id not in site.unmatched,
        commissioned=done,
        now_ms=now_ms,
        latest_ms=None,
        log_lost=False,
    )
