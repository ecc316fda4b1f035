"""One turn of a scenario: power on, the cause, the RTACs' own record, the verdict on each."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway import clock
from gateway.errors import GatewayError
from tests.bench.control.plant import LOOK_S, PlantError

if TYPE_CHECKING:
    from tests.bench.control.plant import Plant
    from tests.bench.control.scenarios import Scenario
    from tests.bench.control.tape import Tape

GRACE_S = 15.0  # beyond the bound, until we give up waiting for zero
LONGEST_S = 40.0  # where nothing is promised


@dataclass(frozen=True, slots=True)
class Run:
    """One battery in one turn."""

    key: str
    asset: str
    took_s: float | None  # from the cause to zero; None: zero never came
    bound_s: float | None
    ended_by: str  # control | deadman | reversion | restart
    violation: str  # "" if there is none
    idle_late_s: float | None = None  # from the end of the lease to the idle in the RTAC
    bound: str = ""  # its letter
    kind: str = "direct"  # of map
    answers: str = "at once"
    seen_s: float | None = None  # the longest answer of this turn, from SELECT to OPERATE
    bound_at_a_s: float | None = None  # the same bound, with that answer in the place of r

    @property
    def past_a(self) -> bool:
        """Whether it kept its bound, but not with the measured answer time."""
        late = self.took_s is not None and self.bound_at_a_s is not None
        return late and self.took_s > self.bound_at_a_s  # type: ignore[operator]  # both are there


def turn(scenario: Scenario, plant: Plant) -> tuple[list[Run], str]:
    """Do it once; every battery is a run. Also says what hindered the way back to IDLE, or "".

    Raises:
        PlantError: the batteries were not brought under power: no verdict.
    """
    if not plant.daemon.running:
        plant.start()
    begun_s = clock.now().mono_s
    active = plant.ready(for_s=scenario.for_s)
    scenario.prepare(plant)
    plant.follow()
    wanted = set(active) & set(scenario.tried(plant))
    tried = {
        name: tape
        for name, tape in zip(plant.names, plant.tapes, strict=True)
        if name in wanted and tape.now_w
    }
    cause_s = clock.now().mono_s
    scenario.cause(plant)
    _await_zero(scenario, plant, tried, cause_s)
    trouble = ""
    try:
        scenario.mend(plant)
        plant.wait_states("IDLE", within_s=60)
    except (PlantError, GatewayError, AssertionError) as error:
        trouble = str(error)
    plant.follow()
    found = (_judged(scenario, plant, name, tape, cause_s, begun_s) for name, tape in tried.items())
    return [run for run in found if run is not None], trouble


def _await_zero(scenario: Scenario, plant: Plant, tried: dict[str, Tape], cause_s: float) -> None:
    bounds_s = [scenario.bound_s(plant.times_of[name]) for name in tried]
    longest_s = max((LONGEST_S if one is None else one for one in bounds_s), default=0.0)
    most_s = longest_s + scenario.waits_s + GRACE_S
    zero_s: float | None = None
    while (passed_s := clock.now().mono_s - cause_s) < most_s:
        scenario.meanwhile(plant, passed_s)
        plant.follow()
        if all(scenario.zero(tape, scenario.began_s(tape, cause_s)) for tape in tried.values()):
            zero_s = passed_s if zero_s is None else zero_s
            if passed_s - zero_s >= scenario.after_s:
                return
        time.sleep(LOOK_S)


def _judged(
    scenario: Scenario, plant: Plant, name: str, tape: Tape, cause_s: float, begun_s: float
) -> Run | None:
    """The verdict; None where what was to be tried did not come about."""
    times, site = plant.times_of[name], plant.sites[name]
    began_s = scenario.began_s(tape, cause_s)
    bound_s = scenario.bound_s(times)
    seen_s = tape.answer_s(after_s=begun_s)
    at_a = scenario.at_a and scenario.group != "-" and bound_s is not None and seen_s is not None
    judged = Run(
        key=scenario.key,
        asset=name,
        took_s=None,
        bound_s=bound_s,
        ended_by="",
        violation="zero never came",
        bound=scenario.letter(times),
        kind=site.kind,
        answers=site.answers,
        seen_s=seen_s,
        bound_at_a_s=scenario.bound_s(times.at(seen_s or 0.0)) if at_a else None,
    )
    zero = scenario.zero(tape, began_s)
    if zero is None:
        return judged
    if not scenario.seen(tape, zero):
        return None
    took_s = zero.at_s - began_s
    violation = scenario.wrong(times, tape, began_s, zero)
    if bound_s is not None and took_s > bound_s:
        violation = f"{took_s:.3f} s"
    resumed = tape.power_after(zero.at_s)
    if resumed is not None:
        violation = f"{resumed.power_w:g} W {resumed.at_s - zero.at_s:.2f} s after zero"
    late_s = None
    if scenario.lost_lease:
        idle_s = next((at for at in tape.idles if at > cause_s), None)
        late_s = None if idle_s is None else _late_s(plant, cause_s, idle_s)
    return replace(
        judged, took_s=took_s, ended_by=zero.why, violation=violation, idle_late_s=late_s
    )


def _late_s(plant: Plant, cause_s: float, idle_s: float) -> float | None:
    """From the end of the lease to the idle; the last answer before the cause counts if it came."""
    ends = [issued + plant.times.lease_s for issued, heard in plant.issued if heard < cause_s]
    return next((idle_s - end for end in reversed(ends[-2:]) if end <= idle_s + 0.001), None)
