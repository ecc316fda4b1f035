"""What the gateway plans to write, obeyed by the simulator, on the maps that allow control."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from gateway.control.execution import plan
from gateway.control.rules.percent_base import Base
from gateway.measured import TimeQuality
from gateway.points.decode import decode
from gateway.points.pointmap import control_refusals
from gateway.points.raw import RawPoint
from gateway.ports import CrobOp
from gateway.sim.battery import Ratings, charged_to
from gateway.sim.faults import Faults
from gateway.sim.rtac import Habits, Rtac, Status
from gateway.sim.wiring import Wiring, wire_up
from tests.fixtures.shippedmaps import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.control.execution.plan import Write
    from gateway.measured import Measured

RATINGS = Ratings()
BATTERY = charged_to(RATINGS, 60.0)
SEEN = BATTERY.observe(lambda: 0.0)
BASE = Base(RATINGS.max_charge_w, RATINGS.max_discharge_w)
GENERIC, AN2018 = "generic-rtac@1.0.0", "an2018-storage@1.0.0"
ON = (CrobOp.LATCH_ON, CrobOp.PULSE_ON)
both = pytest.mark.parametrize("ref", [GENERIC, AN2018])


@dataclass
class Site:
    """A simulated RTAC that is given the gateway's own writes, at second ``now``."""

    ref: str
    now: float = 0.0
    deadman_s: float = 15.0
    wiring: Wiring = field(init=False)
    rtac: Rtac = field(init=False)

    def __post_init__(self) -> None:
        self.map = shipped(self.ref)
        self.wiring = wire_up(self.map, RATINGS)
        habits = Habits(
            nameplate_w=RATINGS.nameplate_w,
            deadman_s=self.deadman_s,
            has_heartbeat=self.map.row("cmd_heartbeat") is not None,
        )
        self.rtac = Rtac(habits=habits, started_at=0.0)

    def write(self, *writes: Write) -> list[int]:
        """Carry them out; the status of each."""
        return [self._write(write) for write in writes]

    def _write(self, write: Write) -> int:
        row = self.wiring.output(write.control.point)
        assert row is not None
        asked = write.control.value
        raw = float(asked in ON) if isinstance(asked, CrobOp) else float(asked)
        value = self.wiring.engineering(row, raw, self.rtac)
        role, point = row.role or "", row.point
        limit = self.wiring.limit(row)
        self.rtac, status = self.rtac.order(role, value, self.now, point=point, limit=limit)
        if status:
            self.rtac = self.rtac.answered(role)
        return status

    def agrees(self, writes: Iterable[Write]) -> bool:
        """Whether the echo of every write shows what was written."""
        return all(write.agrees(self.read(write.echo)) for write in writes)

    def read(self, point: str) -> Measured:
        """A point as the gateway decodes it."""
        raw = self.wiring.raw_values(self.rtac, BATTERY, SEEN, self.now)[point]
        tq = TimeQuality.SYNCED
        update = RawPoint(point, raw.value, raw.flags, 0, 0, tq, event=False)
        return decode(update, self.map.by_point[point])

    def role(self, role: str) -> object:
        """Decoded value of a role's point."""
        row = self.map.row(role)
        assert row is not None
        return self.read(row.point).value

    def faulty(self, **faults: str) -> None:
        self.rtac = self.rtac.with_faults(Faults(faults), self.now)

    def beat(self, count: int) -> None:
        """Write our heartbeat, or refresh the reversion timer where there is none."""
        writes = (
            plan.heartbeat_write(self.map, count)
            if self.map.row("cmd_heartbeat") is not None
            else plan.reversion_write(self.map)
        )
        assert self.write(writes) == [0]

    def dispatch(self, power_w: float) -> tuple[Write, ...]:
        """A whole dispatch: reversion, setpoint and mode enable, as the map wants them."""
        self.beat(1)
        ready = plan.preparing_writes(self.map, ramp_w_per_s=None, of=BASE)
        writes = (
            *ready.get("reversion", ()),
            *plan.power_writes(self.map, power_w, BASE),
            *ready["mode_enable"],
        )
        assert set(self.write(*writes)) == {0}
        return writes


@both
def test_the_map_allows_control_in_full(ref: str) -> None:
    assert control_refusals(shipped(ref)) == ()


@both
@pytest.mark.parametrize("power_w", [750e3, -750e3, 2e6, -2e6])
def test_a_dispatch_is_obeyed_and_echoed(ref: str, power_w: float) -> None:
    site = Site(ref)
    writes = site.dispatch(power_w)
    assert site.rtac.target_w(0.0) == pytest.approx(power_w)
    assert site.agrees(writes)


@both
def test_the_mode_must_be_enabled_for_power(ref: str) -> None:
    site = Site(ref)
    site.write(*plan.power_writes(site.map, 5e5, BASE))
    assert site.rtac.setpoint_w(0.0) == pytest.approx(5e5)
    assert site.rtac.target_w(0.0) == 0.0
    enable = plan.switch_write(site.map, "cmd_mode_enable", on=True)
    assert site.write(enable) == [0]
    assert site.rtac.target_w(0.0) == pytest.approx(5e5)
    assert site.agrees([enable])


@both
@pytest.mark.parametrize("release", [False, True])
def test_idle_is_obeyed_and_echoed(ref: str, *, release: bool) -> None:
    site = Site(ref)
    site.dispatch(1e6)
    idle = plan.idle_writes(site.map, BASE, release=release)
    assert set(site.write(*idle)) == {0}
    assert site.rtac.target_w(0.0) == 0.0
    assert site.agrees(idle)


@both
def test_what_is_no_longer_fed_ends_by_itself(ref: str) -> None:
    """The dead-man on our heartbeat, or the reversion timer where the map has no heartbeat."""
    site = Site(ref)
    writes = site.dispatch(1e6)
    bound_s, cause = (15.0, "deadman") if ref == GENERIC else (60.0, "reversion")
    for count in range(2, 6):
        site.now += bound_s - 1.0
        site.rtac = site.rtac.tick(site.now)
        assert site.rtac.target_w(site.now) == pytest.approx(1e6)
        site.beat(count)
    site.now += bound_s - 0.1
    assert site.rtac.tick(site.now).target_w(site.now) == pytest.approx(1e6)
    site.now += 0.1
    site.rtac = site.rtac.tick(site.now)
    assert (site.rtac.setpoint_w(site.now), site.rtac.last_trip) == (0.0, cause)
    assert not site.agrees(writes)
    site.beat(99)
    assert site.rtac.target_w(site.now) == 0.0  # life alone brings nothing back


def test_our_heartbeat_is_echoed() -> None:
    site = Site(GENERIC)
    write = plan.heartbeat_write(site.map, 4711)
    assert site.write(write) == [0]
    assert site.agrees([write])
    assert site.role("heartbeat_fb") == 4711


@both
def test_at_local_remote_control_is_refused_with_local_and_nothing_is_in_force(ref: str) -> None:
    site = Site(ref)
    writes = site.dispatch(1e6)
    assert site.role("local") is False
    site.faulty(local="")
    assert site.role("local") is True
    assert site.rtac.setpoint_w(0.0) == site.rtac.target_w(0.0) == 0.0
    assert not site.agrees(writes)
    again = [write for write in writes if write.role != "cmd_heartbeat"]
    assert set(site.write(*again)) == {Status.LOCAL}
    assert set(site.write(*plan.idle_writes(site.map, BASE))) == {Status.LOCAL}
    site.faulty()
    assert site.rtac.target_w(0.0) == pytest.approx(1e6)  # an RTAC may resume its last remote value


@both
def test_a_refused_zero_leaves_the_setpoint_where_it_is(ref: str) -> None:
    site = Site(ref)
    site.dispatch(1e6)
    site.faulty(refuse_zero="6")
    zero = plan.power_writes(site.map, 0.0, BASE)
    assert site.write(*zero) == [6]
    assert not site.agrees(zero)
    assert site.rtac.target_w(0.0) == pytest.approx(1e6)


@both
def test_another_master_moves_the_echo_away(ref: str) -> None:
    site = Site(ref)
    setpoint = plan.power_writes(site.map, 1e6, BASE)
    site.dispatch(1e6)
    site.faulty(preempt="250000")
    assert setpoint[0].is_contradicted(site.read(setpoint[0].echo))
    assert site.rtac.target_w(0.0) == 250_000.0


@both
@pytest.mark.parametrize("resumes", [False, True])
def test_a_restart_drops_the_setpoint_or_resumes_it(ref: str, *, resumes: bool) -> None:
    site = Site(ref)
    writes = site.dispatch(1e6)
    setpoint = [write for write in writes if write.role == "cmd_power"]
    if resumes:
        site.faulty(resume_setpoint="")
    site.now = 100.0
    site.rtac = site.rtac.restarted(site.now)
    assert site.rtac.target_w(site.now) == pytest.approx(1e6 if resumes else 0.0)
    assert site.agrees(setpoint) is resumes


def test_a_resumed_setpoint_has_its_deadman_again() -> None:
    site = Site(GENERIC)
    site.dispatch(1e6)
    site.faulty(resume_setpoint="")
    site.rtac = site.rtac.restarted(100.0)
    assert site.rtac.tick(114.9).target_w(114.9) == pytest.approx(1e6)
    assert site.rtac.tick(115.0).target_w(115.0) == 0.0


@both
def test_the_stop_output_stops_the_plant_until_the_mode_is_enabled_again(ref: str) -> None:
    site = Site(ref)
    site.dispatch(1e6)
    stop = plan.stop_writes(site.map)
    assert site.write(*stop) == [0]
    assert site.agrees(stop)
    assert site.rtac.target_w(0.0) == 0.0
    idle = plan.idle_writes(site.map, BASE, release=True)
    assert set(site.write(*idle)) == {0}
    assert site.agrees((*stop, *idle))  # still stopped
    assert site.write(plan.switch_write(site.map, "cmd_mode_enable", on=True)) == [0]
    assert not site.agrees(stop)


@both
def test_the_reserve_is_taken_and_echoed(ref: str) -> None:
    site = Site(ref)
    write = plan.reserve_write(site.map, 35.5)
    assert site.write(write) == [0]
    assert site.agrees([write])
    assert site.role("backup_reserve") == 35.5


@both
@pytest.mark.parametrize("status", [1, 2, 5, 14])
def test_one_control_can_be_refused_once_and_no_heartbeat_spends_it(ref: str, status: int) -> None:
    site = Site(ref)
    site.rtac = replace(site.rtac, refuse_next=status)
    if ref == GENERIC:
        site.beat(7)
    setpoint = plan.power_writes(site.map, 1e6, BASE)
    assert site.write(*setpoint) == [status]
    assert site.write(*setpoint) == [0]


@both
def test_what_stops_the_plant_on_site_shows_where_the_map_has_a_point(ref: str) -> None:
    site = Site(ref)
    site.dispatch(1e6)
    site.faulty(breaker_open="")
    assert site.role("breaker") is False
    assert site.rtac.target_w(0.0) == 0.0
    if ref == GENERIC:
        site.faulty(estop="", trip="inverter")
        assert site.role("estop_status") is True
        assert site.role("fault") is True
