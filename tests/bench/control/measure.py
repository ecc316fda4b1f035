"""One turn of a scenario: power on, the cause, the RTACs' own record, the verdict on each."""

from __future__ import annotations

import time
from dataclasses import dataclass
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


def turn(scenario: Scenario, plant: Plant) -> tuple[list[Run], str]:
    """Do it once; every battery is a run. Also says what hindered the way back to IDLE, or "".

    Raises:
        PlantError: the batteries were not brought under power: no verdict.
    """
    if not plant.daemon.running:
        plant.start()
    active = plant.ready(for_s=scenario.for_s)
    scenario.prepare(plant)
    plant.follow()
    tried = {
        name: tape
        for name, tape in zip(plant.names, plant.tapes, strict=True)
        if name in active and tape.now_w
    }
    cause_s = clock.now().mono_s
    scenario.cause(plant)
    _await_zero(scenario, plant, list(tried.values()), cause_s)
    trouble = ""
    try:
        scenario.mend(plant)
        plant.wait_states("IDLE", within_s=60)
    except (PlantError, GatewayError, AssertionError) as error:
        trouble = str(error)
    plant.follow()
    runs = [_judged(scenario, plant, name, tape, cause_s) for name, tape in tried.items()]
    return runs, trouble


def _await_zero(scenario: Scenario, plant: Plant, tapes: list[Tape], cause_s: float) -> None:
    bound_s = scenario.bound_s(plant.times)
    most_s = LONGEST_S if bound_s is None else bound_s + scenario.waits_s + GRACE_S
    zero_s: float | None = None
    while (passed_s := clock.now().mono_s - cause_s) < most_s:
        scenario.meanwhile(plant, passed_s)
        plant.follow()
        if all(scenario.zero(tape, scenario.began_s(tape, cause_s)) for tape in tapes):
            zero_s = passed_s if zero_s is None else zero_s
            if passed_s - zero_s >= scenario.after_s:
                return
        time.sleep(LOOK_S)


def _judged(scenario: Scenario, plant: Plant, name: str, tape: Tape, cause_s: float) -> Run:
    began_s = scenario.began_s(tape, cause_s)
    bound_s = scenario.bound_s(plant.times)
    zero = scenario.zero(tape, began_s)
    if zero is None:
        return Run(scenario.key, name, None, bound_s, "", "zero never came")
    took_s = zero.at_s - began_s
    violation = scenario.wrong(plant, tape, began_s, zero)
    if bound_s is not None and took_s > bound_s:
        violation = f"{took_s:.3f} s"
    resumed = tape.power_after(zero.at_s)
    if resumed is not None:
        violation = f"{resumed.power_w:g} W {resumed.at_s - zero.at_s:.2f} s after zero"
    late_s = None
    if scenario.lost_lease:
        idles = tape.written("cmd_power", after_s=cause_s, before_s=float("inf"))
        idle_s = next((one["at_mono_s"] for one in idles if not one["value"]), None)
        late_s = None if idle_s is None else _late_s(plant, cause_s, idle_s)
    return Run(scenario.key, name, took_s, bound_s, zero.why, violation, late_s)


def _late_s(plant: Plant, cause_s: float, idle_s: float) -> float | None:
    """From the end of the lease to the idle; the last answer before the cause counts if it came."""
    ends = [issued + plant.times.lease_s for issued, heard in plant.issued if heard < cause_s]
    return next((idle_s - end for end in reversed(ends[-2:]) if end <= idle_s + 0.001), None)
