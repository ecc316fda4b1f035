"""The core: routes every event to the machines that own it and orders their effects. Pure.

One thread calls ``handle`` and carries out what it returns, in order. Each asset has a
``Monitor``; shipping has the ``Shipper``. What belongs to the gateway as a whole stands here: the
announcements on connect, the clock, the queue's troubles, stopping, and the questions asked on
the box. With a good safety.toml each asset also has an ``AssetControl``; nothing else orders an
output of the field.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from gateway import events
from gateway.asset.monitor import Monitor
from gateway.control import operator
from gateway.control.fleet import Fleet
from gateway.effects import (
    Answer,
    ApplySettings,
    Effect,
    FollowEpoch,
    ForgetShipped,
    HurryUplink,
    Log,
    Publish,
    ReportStatus,
    Stop,
    StoreBatch,
)
from gateway.errors import ConfigError
from gateway.status import health, looking
from gateway.status.birth import Announcer
from gateway.status.looking import Looking
from gateway.status.runway import Runway
from gateway.status.summary import Summary
from gateway.streams import Stream
from gateway.uplink import messages
from gateway.uplink.shipper import Shipper, ShipperBounds
from gateway.uplink.unheard import FACT

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.checked import Identity, Past, Site
    from gateway.clock import Now
    from gateway.config.site import UplinkSettings
    from gateway.streams import QueueDepth

DRAIN_S = 2.0  # SIGTERM: how long what is in flight may still be acknowledged; the exit is <= 5 s
GIVE_UP_S = 7.0  # a thread failed: so long zero may take, less than systemd's WatchdogSec
RESULTS_S = 0.5  # SIGTERM: how long what idling ended has to be stored, and shipped
STATUS_PERIOD_S = 5.0
_ENDS = {  # which troubles of the queue are over with which
    "disk_ok": ("disk_full",),
    "works": ("slow", "failed"),
    "log_free": ("log_held",),
    "bound_ok": ("bound",),
}
SHRINKING = ("quota", "age", "thinned")  # reasons of a gap that the queue's limits are behind
CERTIFICATE_WARN_DAYS = (30, 14, 7, 3, 1, 0)
DAY_MS = 86_400_000
VERBS = {"reset", "pending", *looking.VERBS, *operator.VERBS}


class Core:
    """All state of the gateway behind ``handle`` and ``wake_at``."""

    def __init__(self, site: Site, identity: Identity, past: Past, now: Now) -> None:
        self._site = site
        self._identity = identity
        self._announcer = Announcer(site, identity)
        # Assets whose old session may still speak, and the site whose swap ends it.
        self._replaced: dict[str, Site] = {}
        self._monitors = {asset.id: self._monitor(asset.id, now) for asset in site.settings.assets}
        self._monitors_at = min((one.wake_at for one in self._monitors.values()), default=math.inf)
        topics = self._announcer.topics
        self._fleet = Fleet(site, identity, topics, past)
        self._begun = self._fleet.become(site, self._monitors, now)
        self._shipper = Shipper(
            self._announcer.topics,
            bounds=_bounds(site.settings.uplink),
            epoch="",  # the queue's first report begins it
            last_id=0,
            heard=(key.removeprefix(FACT) for key in past.facts if key.startswith(FACT)),
        )
        self._broker_up = False
        self._urgent_s: float | None = None  # how soon the broker must be reached again
        self._link = "not connected yet"  # "" while the broker is up, else why it is not
        self._link_since = now
        self._depth: QueueDepth | None = None
        self._runway = Runway()
        self._troubles: dict[str, str] = {}
        self._begun += self._judge_safety()
        self._clock = now
        self._certificate_days: int | None = None
        self._status_at = now.mono_s
        self._stop_at: float | None = None
        self._stop_cause = ""
        self._drain_at = math.inf  # mono_s from which nothing more is shipped
        self._drained = False
        self._given_up_at: float | None = None  # a thread failed: mono_s at which we end anyhow
        self._handlers: dict[type, Callable[[Any, Now], list[Effect]]] = {
            events.LocalAsked: self._asked,
            events.StopAsked: self._stop,
            events.ReloadAsked: self._reload,
            events.SettingsApplied: self._applied,
            events.ThreadFault: self._fault,
            events.BrokerUp: self._broker,
            events.BrokerDown: self._broker,
            events.MessageArrived: self._message,
            events.QueueReported: self._queue_report,
            events.QueueTroubled: self._queue_trouble,
            events.GapsRecorded: self._gaps,
            events.HeadSigned: self._head,
            events.AuditTroubled: self._audit_trouble,
        }

    @property
    def wake_at(self) -> float:
        """``mono_s`` of the next thing that is due by itself."""
        due = [self._status_at, self._shipper.wake_at, self._monitors_at, self._fleet.wake_at]
        due += [at for at in (self._stop_at, self._given_up_at) if at is not None]
        if not self._drained:
            due.append(self._drain_at)
        return min(due)

    @property
    def idling(self) -> bool:
        """Whether a stop waits for a battery to be idle."""
        return self._stop_at is not None and not self._fleet.may_exit

    @property
    def failing(self) -> bool:
        """Whether a thread failed: nobody shall tell systemd that we live."""
        return self._given_up_at is not None

    def handle(self, event: object | None, now: Now) -> list[Effect]:
        """Take one event (``None`` is a tick) and return what shall be done, in order."""
        effects: list[Effect] = self._clocks(now)
        if self._begun:
            effects, self._begun = effects + self._begun, []
        handler = self._handlers.get(type(event))
        if handler is not None:
            effects += handler(event, now)
        elif (asset := getattr(event, "asset", None)) in self._monitors and (
            asset not in self._replaced
        ):
            if isinstance(event, events.FragmentStored):
                event = self._monitors[asset].completed(event)
            effects += self._monitors[asset].handle(event, now)
        if getattr(event, "asset", None) not in self._replaced:
            effects = self._fleet.handle(event, now) + effects
        # What idling ends is still told: shipping stops only when no battery waits for zero.
        shipped = None if isinstance(event, events.StopAsked) else event
        self._shipper, shipping = self._shipper.handle(shipped, now)
        return effects + shipping + self._pass(now)

    # --- what is due by itself ---------------------------------------------------------------

    def _pass(self, now: Now) -> list[Effect]:
        """What every pass ends with: due monitors, the status line, the end of draining."""
        effects: list[Effect] = []
        if now.mono_s >= self._fleet.wake_at:
            effects += self._fleet.tick(now)
        effects += self._rebirth(now) + self._urgency()
        # Of all that happens with every event this alone asks each session: once, not in wake_at.
        soonest = math.inf
        for monitor in self._monitors.values():
            due = monitor.wake_at
            if now.mono_s >= due:
                effects += monitor.tick(now)
                due = monitor.wake_at
            soonest = min(soonest, due)
        self._monitors_at = soonest
        if now.mono_s >= self._status_at:
            self._status_at = now.mono_s + STATUS_PERIOD_S
            line = self._overview(now).line(self._monitors.values(), self._fleet.line())
            effects.append(ReportStatus(line))
            effects += self._certificate(now)
        given_up_at = self._given_up_at
        if given_up_at is not None and (self._fleet.may_exit or now.mono_s >= given_up_at):
            effects.append(Stop(70, self._stop_cause))
        if self._stop_at is not None and self._fleet.may_exit:
            effects += self._drain(now)
        if self._stop_at is not None and now.mono_s >= self._drain_at:
            drained = self._shipper.idle
            if drained or now.mono_s >= self._stop_at or not self._broker_up:
                if self._broker_up:
                    effects.append(self._announcer.online(now, online=False))
                effects.append(Stop(0, self._stop_cause))
        return effects

    def _drain(self, now: Now) -> list[Effect]:
        """Nothing is to be idled any more: let the results be stored, then ship no more."""
        if math.isinf(self._drain_at):
            self._drain_at = now.mono_s + (RESULTS_S if self._fleet.commands else 0.0)
            self._stop_at = self._drain_at + DRAIN_S
        if now.mono_s < self._drain_at or self._drained:
            return []
        self._drained = True
        self._shipper, effects = self._shipper.handle(events.StopAsked(self._stop_cause), now)
        return effects

    def _clocks(self, now: Now) -> list[Effect]:
        before, self._clock = self._clock, now
        jump_s = health.clock_jump_s(before, now)
        if jump_s is None:
            return []
        text = f"the wall clock jumped by {jump_s:+.1f} s; durations and leases are not affected"
        return [self._event("clock", "warning", text, now), Log(logging.WARNING, text)]

    def _certificate(self, now: Now) -> list[Effect]:
        days = self._certificate_left(now)
        step = min((limit for limit in CERTIFICATE_WARN_DAYS if days <= limit), default=None)
        if step is None or step == self._certificate_days:
            return []
        self._certificate_days = step
        text = (
            f"the uplink certificate expired {-days} days ago"
            if days < 0
            else f"the uplink certificate expires in {days} days"
        )
        severity = "critical" if days <= 7 else "warning"  # noqa: PLR2004 - section 8
        level = logging.ERROR if severity == "critical" else logging.WARNING
        return [
            self._event("certificate", severity, text, now),
            Log(level, text + ": renew it", "certificate-near-expiry"),
        ]

    # --- the uplink --------------------------------------------------------------------------

    def _broker(self, event: events.BrokerUp | events.BrokerDown, now: Now) -> list[Effect]:
        was_up, self._broker_up = self._broker_up, isinstance(event, events.BrokerUp)
        if isinstance(event, events.BrokerDown):
            if not was_up and event.cause == self._link:
                return []  # the same failure again: said once
            self._link = event.cause
            self._troubles.pop("subscriptions", None)
            if was_up:
                self._link_since = now
            return [Log(logging.WARNING, f"broker down: {event.cause}", "broker-down")]
        self._link_since, self._link = now, ""
        if event.refused:
            text = f"the broker refuses our subscription to {', '.join(event.refused)}"
            self._troubles["subscriptions"] = f"{text}: what is sent there does not reach us"
        effects: list[Effect] = [
            Log(logging.INFO, f"broker up: {event.where}", "broker-up"),
            self._announcer.online(now, online=True),
            self._birth(now),
        ]
        for monitor in self._monitors.values():
            effects += monitor.announce(self._announcer.topics, self._announcer.epoch, now)
        return effects

    def _message(self, event: events.MessageArrived, now: Now) -> list[Effect]:
        found = self._announcer.flood(event, now)
        if found is None:
            found = self._fleet.command(event, now)
        found = self._announcer.answer(event) if found is None else found
        return self._announcer.quiet(found, now)

    def _head(self, event: events.HeadSigned, _now: Now) -> list[Effect]:
        batch = messages.audit_batch(
            gateway=self._site.settings.gateway_id,
            n=event.n,
            hash_=event.hash,
            jws=event.jws,
            at_ms=event.at.unix_ms,
        )
        return [StoreBatch(batch)]

    # --- the queue ---------------------------------------------------------------------------

    def _queue_report(self, event: events.QueueReported, now: Now) -> list[Effect]:
        self._depth = event.depth
        self._runway.note(event.depth, now.mono_s)
        if event.depth.epoch == self._announcer.epoch:
            return []
        self._announcer.follow(event.depth)  # a corrupt queue was set aside: numbers begin anew
        self._fleet.follow(event.depth.epoch)
        born = [self._birth(now)] if self._broker_up else []
        return [*born, FollowEpoch(event.depth.epoch)]

    def _queue_trouble(self, event: events.QueueTroubled, _now: Now) -> list[Effect]:
        ended = _ENDS.get(event.kind, ())
        for kind in ended:
            self._troubles.pop(kind, None)
        good = bool(ended)
        if not good:
            self._troubles[event.kind] = event.text
        severity = "info" if good else "critical"
        level = logging.INFO if good else logging.ERROR
        return [
            self._event("queue", severity, event.text, event.at),
            Log(level, f"queue: {event.text}", "store"),
        ]

    def _audit_trouble(self, event: events.AuditTroubled, _now: Now) -> list[Effect]:
        """Control's log: while it cannot be written no command is begun."""
        ended = {"works": ("disk_full", "failed"), "signs": ("unsigned",)}.get(event.kind, ())
        for kind in ended:
            self._troubles.pop(f"audit {kind}", None)
        if not ended:
            self._troubles[f"audit {event.kind}"] = f"audit log: {event.text}"
        severity, level = ("info", logging.INFO) if ended else ("critical", logging.ERROR)
        return [
            self._event("queue", severity, f"audit log: {event.text}", event.at),
            Log(level, f"audit log: {event.text}", "store"),
        ]

    def _gaps(self, event: events.GapsRecorded, _now: Now) -> list[Effect]:
        """The store announced the loss itself; the values of those assets are shipped again."""
        effects: list[Effect] = [
            Log(
                logging.WARNING,
                f"gap in {gap.stream}: {gap.first}..{gap.last} ({gap.reason})",
                "queue-shrinking" if gap.reason in SHRINKING else "gap",
                {"ASSET": gap.asset},
            )
            for gap in event.gaps
        ]
        lost = {gap.asset for gap in event.gaps if gap.stream is Stream.TELEMETRY}
        assets = self._monitors.keys() if "" in lost else lost & self._monitors.keys()
        return effects + [ForgetShipped(asset) for asset in sorted(assets)]

    def _event(self, kind: str, severity: str, text: str, now: Now) -> StoreBatch:
        batch = messages.event(
            gateway=self._site.settings.gateway_id,
            asset="",
            type_=kind,
            severity=severity,
            text=text,
            at_ms=now.unix_ms,
        )
        return StoreBatch(batch)

    # --- the process -------------------------------------------------------------------------

    def _stop(self, event: events.StopAsked, now: Now) -> list[Effect]:
        if self._stop_at is None:
            self._stop_at, self._stop_cause = math.inf, event.cause
            idled = self._fleet.stop(now)
            text = "stopping" if self._fleet.may_exit else "stopping: idles the battery first"
            return [*idled, Log(logging.INFO, f"stopping: {event.cause}"), ReportStatus(text)]
        return []

    def _fault(self, event: events.ThreadFault, now: Now) -> list[Effect]:
        """Idle what can be idled, then exit to be restarted: no limping."""
        if self._given_up_at is not None:
            return []
        text = f"thread {event.thread} failed: {event.text}"
        self._given_up_at, self._stop_cause = now.mono_s + GIVE_UP_S, text
        idled = self._fleet.stop(now)
        return [*idled, Log(logging.ERROR, f"{text}: exiting to be restarted")]

    def _reload(self, event: events.ReloadAsked, now: Now) -> list[Effect]:
        """Check, then swap: a bad file keeps the old settings and says so."""
        new, old = event.site, self._site.settings
        why = event.error
        if new is not None and new.settings.fixed != old.fixed:
            why, new = f"{', '.join(old.fixed)} need a restart", None
        if new is not None and new.safety_faults and self._site.safety is not None:
            # Else a typing error would end what runs under the file that is in force.
            why, new = str(ConfigError(new.safety_faults)), None
        if new is not None and (busy := self._fleet.refusal(new)):
            why, new = busy, None
        if new is None:
            text = f"reload refused, the old settings stay: {'; '.join(why.splitlines())}"
            self._troubles["reload"] = text  # until a reload or a restart succeeds
            return [Log(logging.ERROR, text, "reload"), ReportStatus(text)]
        self._troubles.pop("reload", None)
        before, self._site = self._site, new
        self._announcer.become(new)
        kept = {
            asset.id
            for asset in new.settings.assets
            if asset in before.settings.assets
            and new.maps[asset.id].digest == before.maps[asset.id].digest
        }
        self._monitors = {
            asset.id: self._monitors[asset.id] if asset.id in kept else self._monitor(asset.id, now)
            for asset in new.settings.assets
        }
        self._replaced |= dict.fromkeys(before.maps.keys() - kept, new)
        self._shipper.resize(_bounds(new.settings.uplink))
        effects: list[Effect] = [
            *self._judge_safety(),
            *self._fleet.become(new, self._monitors, now),
            ApplySettings(new, frozenset(kept)),
            Log(logging.INFO, f"settings reloaded from {new.settings.file}", "reload"),
            ReportStatus("settings reloaded"),
        ]
        if self._broker_up:
            effects.append(self._birth(now))
            for name, monitor in self._monitors.items():
                if name not in kept:
                    effects += monitor.announce(self._announcer.topics, self._announcer.epoch, now)
        return effects

    def _judge_safety(self) -> list[Effect]:
        """Say where safety.toml has faults: control is off until it has none, and all else runs."""
        faults = self._site.safety_faults
        if not faults:
            self._troubles.pop("safety", None)
            return []
        text = f"control is off: {'; '.join(map(str, faults))}"
        self._troubles["safety"] = text
        return [Log(logging.ERROR, text)]

    def _applied(self, event: events.SettingsApplied, _now: Now) -> list[Effect]:
        """What came from a replaced session until now belonged to the settings before."""
        swaps = self._replaced.items()
        self._replaced = {name: site for name, site in swaps if site is not event.site}
        return []

    def _birth(self, now: Now) -> Publish:
        assets = [one.birth(self._fleet.description(name)) for name, one in self._monitors.items()]
        return self._announcer.birth(assets, now)

    def _rebirth(self, now: Now) -> list[Effect]:
        """Say anew who we are when what may be commanded has changed."""
        if not (self._broker_up and self._fleet.news):
            return []
        return [self._birth(now)]

    def _urgency(self) -> list[Effect]:
        """Say how soon the broker must be reached again: before the lease of power ends."""
        safety = self._site.safety
        within_s, powered = None, self._fleet.powered
        self._shipper.unhold(powered)
        if safety is not None and powered:
            within_s = safety.settings.watchdog.lease_s / 3
        if within_s == self._urgent_s:
            return []
        self._urgent_s = within_s
        return [HurryUplink(within_s)]

    def _monitor(self, asset: str, now: Now) -> Monitor:
        settings = next(one for one in self._site.settings.assets if one.id == asset)
        return Monitor(
            settings,
            self._site.maps[asset],
            gateway=self._site.settings.gateway_id,
            matched=asset not in self._site.unmatched,
            now=now,
        )

    # --- questions on the box ----------------------------------------------------------------

    def _asked(self, event: events.LocalAsked, now: Now) -> list[Effect]:
        if event.verb == "reset":
            return self._reset(event, now)
        found = self._fleet.ask(event, now)
        if found is not None:
            return found
        return [Answer(event.token, self._answer(event, now))]

    def _reset(self, event: events.LocalAsked, now: Now) -> list[Effect]:
        """An operator clears the verdict on a map, and LATCHED or ESTOP; nobody else may."""
        asset = event.arguments.get("asset")
        if not event.operator:
            text = f"user {event.user}: must be root or in the group bess-operators"
            return [Answer(event.token, {"error": text})]
        if asset is None and len(self._monitors) == 1:
            (asset,) = self._monitors
        chosen = [name for name in self._monitors if name == asset]
        if not chosen:
            text = f"asset {asset!r}: must be one of {', '.join(self._monitors)}"
            return [Answer(event.token, {"error": text})]
        effects: list[Effect] = []
        for name in chosen:
            if not self._monitors[name].map_ok:
                effects += self._monitors[name].clear(event.user, now)
        return effects + self._fleet.reset(chosen, event, now)

    def _answer(self, event: events.LocalAsked, now: Now) -> dict[str, object]:
        def control(asset: str) -> dict[str, object]:
            return self._fleet.summary(asset, now)

        fixed = self._site.settings.fixed
        found = Looking(self._overview(now), fixed, self._monitors, control, now).answer(event)
        text = f"verb {event.verb!r}: must be one of {', '.join(sorted(VERBS))}"
        return {"error": text} if found is None else found

    def _overview(self, now: Now) -> Summary:
        return Summary(
            gateway=self._site.settings.gateway_id,
            version=self._identity.version,
            up_s=now.mono_s - self._identity.started.mono_s,
            broker=self._link,
            broker_s=now.mono_s - self._link_since.mono_s,
            report=self._shipper.report(now),
            depth=self._depth,
            runway_s=self._runway.left_s(self._site.settings.queue.max_size),
            troubles=tuple(self._troubles.values()),
            control=self._fleet.troubles(now),
            certificate_days=self._certificate_left(now),
            unix_ms=now.unix_ms,
        )

    def _certificate_left(self, now: Now) -> int:
        return (self._site.certificate_not_after_ms - now.unix_ms) // DAY_MS


def _bounds(uplink: UplinkSettings) -> ShipperBounds:
    return ShipperBounds(
        window=uplink.window,
        window_bytes=uplink.window_bytes,
        per_s=uplink.publish_per_s,
        backfill_per_s=uplink.backfill_per_s,
        bundle_s=uplink.telemetry_bundle_s,
        require=uplink.require_subscriber,
    )
