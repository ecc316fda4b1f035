"""Control of every asset of the gateway: who is told what, and the questions on the box. Pure.

The challenges are the gateway's: every asset counts the same numbers, and each number is published
once. A genuine answer is told to all.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from gateway import events
from gateway.asset import description
from gateway.audit.chain import TROUBLE
from gateway.control import operator, telling
from gateway.control.answers import LATER, UNBORN, HeldAnswers
from gateway.control.asset_control import AssetControl
from gateway.control.commands.heartbeat import HeartbeatAnswer, verify_heartbeat
from gateway.control.commands.spent import open_commands, register_of
from gateway.control.ground import Ground
from gateway.control.inward import LimitDue
from gateway.control.recalled import with_recalled
from gateway.control.records import Records
from gateway.control.rules.limits import FULL_PCT
from gateway.control.rules.shared import NOTHING, Burden
from gateway.control.sharing import Sharing
from gateway.control.troubles import TroubleBook
from gateway.control.watchdog.obligation import assets_in_force, obligation
from gateway.control.watchdog.state import POWERED
from gateway.effects import Answer, Effect, HandsOff, Hurry, Publish, Record
from gateway.uplink import messages
from gateway.uplink.allowance import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.asset.monitor import Monitor
    from gateway.checked import Identity, Past, Site
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.uplink.topics import Topics

ANSWERS_PER_S = 20  # verified; the broker is not trusted to be moderate


class Fleet:
    """All ``AssetControl``; without a good safety file only of an asset that zero is owed to."""

    def __init__(self, site: Site, identity: Identity, topics: Topics, past: Past) -> None:
        self._session, self._secret = identity.session, identity.secret
        self._topics, self._past = topics, past
        self._facts = with_recalled(past.facts, past.recalled)
        self._register = register_of(self._facts, identity.started)
        self._lost = bool(past.trouble)
        self._tokens = itertools.count(1)
        self._answers_held = HeldAnswers(self._tokens)
        self._controls: dict[str, AssetControl] = {}
        self._sharing = Sharing()
        self._challenged = 0  # number of the newest challenge published
        self._wakes: dict[str, float] = {}  # when each asset wants its tick
        self._due = math.inf  # the least of them
        self.news = False  # what birth says of control may have changed
        self._zeroing: set[str] = set()  # assets that a zero is owed to, and could reach
        self._hurried: dict[str, Hurry] = {}  # what the field was told of each of them
        self._local: set[str] = set()  # assets that are the site's, or another master's
        self._ceded: set[str] = set()  # as _hurried
        self._troubles: dict[str, TroubleBook] = {}  # of each asset
        self._free_pct = 0.0
        # Of answers to challenges: a genuine one beyond it comes again in 5 s.
        self._allowed = Allowance(ANSWERS_PER_S, 1.0)
        self._stopping = False
        self._refused: frozenset[str] = frozenset()  # topics that the broker keeps from us
        self._epoch = identity.epoch
        self._enrol(site)

    def _enrol(self, site: Site) -> None:
        self._site = site
        self._assets = {one.id: one for one in site.settings.assets}
        gateway = site.settings.gateway_id
        self._commands = {self._topics.own(f"{name}/cmd"): name for name in self._assets}
        self._answers = self._topics.own("hb/down")
        self._gateway = gateway

    # --- begin and change ----------------------------------------------------------------------

    def refusal(self, new: Site) -> str:
        """Why a reload must wait, "" if it need not: it changes an asset under power."""
        assets = {one.id: one for one in new.settings.assets}
        for name, control in self._controls.items():
            same = (
                assets.get(name) == self._assets.get(name)
                and new.maps[name].digest == self._site.maps[name].digest
            )  # else the core makes a new session, and what we know of the field is gone
            if control.unsettled and not same:
                phase = control.controller.phase
                do = "idle it first" if phase in POWERED else "its zero is not over: see `status`"
                return f"asset {name} is {phase.name} and its settings change: {do}"
        return ""

    def become(self, site: Site, monitors: Mapping[str, Monitor], now: Now) -> list[Effect]:
        """Control the assets of ``site`` through these monitors: at the start, and on a reload."""
        before = self._assets
        old, kept = self._site, self._controls
        self._enrol(site)
        self._controls, out = {}, []
        self._wakes, self._zeroing, self._local, self.news = {}, set(), set(), True
        for name, asset in self._assets.items():
            control = kept.get(name)
            same = before.get(name) == asset and (old.maps[name].digest == site.maps[name].digest)
            if control is not None and same and control.monitor is monitors[name]:
                self._controls[name] = control
                faulty = bool(site.safety_faults)
                out += control.become(site.safety, faulty=faulty, now=now)
            elif site.safety is not None or self._is_owed(name):
                beside = next(iter([*kept.values(), *self._controls.values()]), None)
                begun = self._begin(asset, site, monitors[name], beside, now, again=name in kept)
                self._controls[name] = begun
                for event in monitors[name].present(now):
                    out += begun.handle(event, now)
                out += begun.stop(now) if self._stopping else []
        for name, control in kept.items():
            if self._controls.get(name) is not control:
                out += control.end(now)
        self._troubles = {name: self._troubles.get(name, TroubleBook()) for name in self._controls}
        controllers = {name: control.controller for name, control in self._controls.items()}
        self._sharing.become(site, controllers)
        self._sharing.strays = self._stray_burden()
        return self._out(out, now)

    def _begin(
        self,
        asset: AssetSettings,
        site: Site,
        monitor: Monitor,
        beside: AssetControl | None,
        now: Now,
        *,
        again: bool,
    ) -> AssetControl:
        """Control one asset more, or ``again``.

        ``beside`` is any other, whose challenges it counts on.
        """
        state = None if beside is None else beside.controller.state
        ground = Ground(
            asset=asset,
            points_map=site.maps[asset.id],
            matched=asset.id not in site.unmatched,
            safety=site.safety,
            faulty=bool(site.safety_faults),
            gateway=self._gateway,
            session=self._session,
            secret=self._secret,
            topics=self._topics,
            epoch=self._epoch,
            facts=self._facts,
            register=self._register,
            deaf=self._is_deaf(asset.id),
            log_lost=self._lost,
            latest_ms=self._past.latest_ms,
            again=again,
            newest=self._challenged if state is None else state.lease.newest,
            challenge_at=now.mono_s if state is None else state.challenge_at,
        )
        control = AssetControl(ground, monitor, self._tokens, now)
        control.controller.free(self._free_pct)
        self._due = now.mono_s
        return control

    def _is_owed(self, name: str) -> bool:
        """Whether something of ``name`` may be in force or latched, whatever the files say."""
        kept = f"{name}/phase" in self._facts or f"{name}/in-force" in self._facts
        return kept or bool(open_commands(self._facts, name))

    @property
    def strays(self) -> tuple[str, ...]:
        """Assets of which something may be in force, and that site.toml does not have."""
        return tuple(sorted(assets_in_force(self._facts) - self._assets.keys()))

    def _stray_burden(self) -> Burden:
        """What they may be putting on the site; one that cannot be read leaves nothing."""
        found = NOTHING
        for name in self.strays:
            owed = obligation(self._facts, name)
            if owed is None or owed.setpoint_w is None:
                size_w = math.inf if owed is None else owed.nameplate_w
                found = found.plus(Burden(size_w, size_w))
            else:
                found = found.plus(Burden.of(owed.setpoint_w))
        return found

    # --- what happens --------------------------------------------------------------------------

    @property
    def wake_at(self) -> float:
        """Monotonic s of the next ``tick``."""
        return min(self._due, self._answers_held.wake_at)

    def handle(self, event: object, now: Now) -> list[Effect]:
        """Take one event; the monitors have seen it before."""
        out: list[Effect] = []
        self._sharing.look(now)
        match event:
            case events.Recorded():
                for control in self._controls.values():
                    out += control.recorded(event, now)
                out += self._answers_held.recorded(event.token, ok=event.ok, cause=event.cause)
            case events.MessageArrived() if event.topic == self._answers:
                out = self._heartbeat(event, now)
            case events.BrokerUp():
                self.news = self.news or self._refused != frozenset(event.refused)
                self._refused = frozenset(event.refused)
                for name, control in self._controls.items():
                    out += control.connected(deaf=self._is_deaf(name), now=now)
            case events.QueueReported():
                depth = event.depth
                self._free_pct = FULL_PCT * depth.free_bytes / max(1, depth.disk_bytes)
                for control in self._controls.values():
                    control.controller.free(self._free_pct)
            case _:
                asset = getattr(event, "asset", None)
                if asset not in self._controls:
                    return []
                out = self._controls[asset].handle(event, now)
                return self._beside(out, now, {asset})
        return self._out(out, now)

    def _beside(self, out: list[Effect], now: Now, names: set[str]) -> list[Effect]:
        """Let those judge their limits that share something with ``names``, and have power."""
        others = {
            name
            for name in self._sharing.disturbed(names, now)
            if self._controls[name].controller.jobs.dispatch is not None
        }
        for name in sorted(others):
            out = out + self._controls[name].controller.handle(LimitDue(), now)
        return self._out(out, now, names | others)

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass, where it is due."""
        out = self._answers_held.tick(now)
        self._sharing.look(now)
        due = {name: self._controls[name] for name, at in self._wakes.items() if now.mono_s >= at}
        for control in due.values():
            out += control.tick(now)
        return self._beside(out, now, set(due))

    def command(self, event: events.MessageArrived, now: Now) -> list[Effect] | None:
        """Take a message of a command topic; None where that asset has no control."""
        control = self._controls.get(self._commands.get(event.topic, ""))
        return None if control is None else self._out(control.command(event, now), now)

    def _heartbeat(self, event: events.MessageArrived, now: Now) -> list[Effect]:
        safety = self._site.safety
        if safety is None or self._allowed.beyond(now.mono_s):
            return []
        found = verify_heartbeat(
            event.payload,
            safety.trust,
            now,
            gateway=self._gateway,
            session=self._session,
            retained=event.retained,
        )
        if not isinstance(found, HeartbeatAnswer):
            return []
        out: list[Effect] = []
        for control in self._controls.values():
            out += control.heartbeat(self._session, found.challenge, now)
        return out

    def stop(self, now: Now) -> list[Effect]:
        """SIGTERM: idle every battery and verify it."""
        self._stopping = True
        out: list[Effect] = []
        for control in self._controls.values():
            out += control.stop(now)
        return self._out(out, now)

    @property
    def may_exit(self) -> bool:
        """Whether nothing is left to be verified."""
        return all(one.controller.may_exit for one in self._controls.values())

    @property
    def commands(self) -> bool:
        """Whether any asset may be commanded at all."""
        return bool(self._controls)

    @property
    def powered(self) -> frozenset[str]:
        """Assets that are armed, or under a dispatch."""
        phases = ((name, one.controller.phase) for name, one in self._controls.items())
        return frozenset(name for name, phase in phases if phase in POWERED)

    def follow(self, epoch: str) -> None:
        """The queue counts in another epoch."""
        self._epoch = epoch
        for control in self._controls.values():
            control.records.epoch = epoch

    def _out(
        self, found: Iterable[Effect], now: Now, touched: Iterable[str] | None = None
    ) -> list[Effect]:
        """Publish each challenge once, remember the facts, note who is due next.

        Args:
            found: what the controls ordered.
            now: both clocks.
            touched: the assets it came from; None: any.
        """
        out = list(found)
        for effect in out:
            if isinstance(effect, Record):
                self._remember(effect)
        newest = self._challenged
        for name in self._controls if touched is None else touched:
            control = self._controls[name]
            self._wakes[name] = control.wake_at
            newest = max(newest, control.controller.state.lease.newest)
            self.news = self.news or control.is_news()
            (self._zeroing.add if control.owes_zero(now) else self._zeroing.discard)(name)
            self._troubles[name].note(control, now)
            (self._local.add if control.hands_off else self._local.discard)(name)
        if newest > self._challenged:
            self._challenged = newest
            out.insert(0, self._challenge(newest, now))
        # First of all, so that no output of power passes it.
        hurries = {name: self._hurry(name) for name in self._zeroing}
        over = {name: self._hurry(name) for name in self._hurried.keys() - hurries.keys()}
        told = {name: one for name, one in hurries.items() if self._hurried.get(name) != one}
        out[:0] = [one for _, one in sorted((told | over).items())]
        self._hurried = hurries
        changed = sorted(self._local ^ self._ceded)
        out[:0] = [HandsOff(name, name in self._local) for name in changed]
        self._ceded = set(self._local)
        self._due = min(self._wakes.values(), default=math.inf)
        return out

    def _hurry(self, name: str) -> Hurry:
        control = self._controls.get(name)
        return Hurry(name, name in self._zeroing, control is None or control.drops)

    def _remember(self, record: Record) -> None:
        for key, value in record.facts.items():
            if value is None:
                self._facts.pop(key, None)
            else:
                self._facts[key] = value
        if any(key.endswith("/in-force") for key in record.facts):
            self._sharing.strays = self._stray_burden()

    def _challenge(self, number: int, now: Now) -> Publish:
        body = messages.challenge(
            gateway=self._gateway,
            epoch=self._epoch,
            session=self._session,
            number=number,
            issued_ms=now.unix_ms,
        )
        return Publish(0, self._topics.challenge, body, qos=0, retain=False)

    # --- the operator --------------------------------------------------------------------------

    def ask(self, event: events.LocalAsked, now: Now) -> list[Effect] | None:
        """Answer a question about control; None where it is not one."""
        found = operator.ask(event, self._controls, tuple(self._assets), now)
        if found is None:
            return None
        out, body = found
        done = body.get("done")
        if isinstance(done, str):
            meanwhile = UNBORN if event.verb == "approve" else LATER
            held = self._answers_held.hold(event.token, done, out, now, meanwhile=meanwhile)
            return self._out(held, now)
        return [*self._out(out, now), Answer(event.token, body)]

    def reset(self, assets: Iterable[str], event: events.LocalAsked, now: Now) -> list[Effect]:
        """An operator lets these out of LATCHED and ESTOP, with idle first."""
        out: list[Effect] = []
        user, names = event.user, tuple(assets)
        for name in names:
            if name in self._controls:
                out += self._controls[name].reset(user, now)
            else:
                records = Records(self._gateway, name, self._topics, self._epoch)
                body = {"act": "reset", "text": "the verdict on its map"}
                out.append(records.audited(f"operator:{user}", "operator", body))
        if self._lost and not any(one.log_lost for one in self._controls.values()):
            self._lost = False
            out.append(Record(0, (), {TROUBLE: None}))
        done = f"{', '.join(names)}: reset"
        return self._out(self._answers_held.hold(event.token, done, out, now), now)

    # --- how it is described -------------------------------------------------------------------

    def description(self, asset: str) -> dict[str, object]:
        """Control of ``asset`` for ``bess.birth/1``."""
        self.news = False
        control = self._controls.get(asset)
        return self._without(asset) if control is None else telling.description(control)

    def troubles(self, now: Now) -> tuple[str, ...]:
        """Why nobody can call control healthy, for people."""
        found = [
            f"{name}: {why}"
            for name, one in self._controls.items()
            for why in self._troubles[name].told(one, now)
        ]
        found += [
            f"{name}: something may be in force, and it is not in site.toml: put it back there"
            for name in self.strays
        ]
        return tuple(found)

    def summary(self, asset: str, now: Now) -> dict[str, object]:
        """Control of ``asset`` for ``status``."""
        control = self._controls.get(asset)
        return self._without(asset) if control is None else telling.summary(control, now)

    def line(self) -> str:
        """A few words for systemd's status line."""
        phases = {name: one.controller.phase.name for name, one in self._controls.items()}
        if not phases or set(phases.values()) == {"MONITOR"}:
            return "control off"
        return "control " + ", ".join(f"{name} {phase}" for name, phase in phases.items())

    def _is_deaf(self, asset: str) -> bool:
        return not self._refused.isdisjoint((self._answers, self._topics.own(f"{asset}/cmd")))

    def _without(self, asset: str) -> dict[str, object]:
        faulty = bool(self._site.safety_faults)
        deaf = ("SUBSCRIPTION_REFUSED",) if self._is_deaf(asset) else ()
        return description.uncontrolled(
            ("SAFETY_CONFIG_INVALID" if faulty else "SAFETY_CONFIG_MISSING", *deaf)
        )
