"""The physics of a simulated battery plant: what one step of time does to it.

Power is measured at the point of interconnection, positive discharging, and includes the
auxiliary load: a battery whose inverter idles reads slightly negative. The energy balance
is exact at every step (``energy_wh + delivered + auxiliary + losses`` is constant).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Gauss = Callable[[], float]  # draws from the standard normal distribution

_THERMAL_S = 1800.0  # time constant of the rack air
_RISE_DEGC = 15.0  # rack air over ambient when the inverter loses 5 % of nameplate for long
_SPREAD_DEGC = 3.0  # between the hottest and the coldest cell
_OCV_EMPTY_V, _OCV_FULL_V = 1050.0, 1350.0  # string voltage without current
_SAG_V = 25.0  # at nameplate power
_AC_V = 690.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What the plant can do; every figure positive."""

    nameplate_w: float = 2_000_000.0
    capacity_wh: float = 8_000_000.0
    max_charge_w: float = 2_000_000.0
    max_discharge_w: float = 2_000_000.0
    ramp_w_per_s: float = 500_000.0
    charge_efficiency: float = 0.95  # one way, 0..1]
    discharge_efficiency: float = 0.95
    auxiliary_w: float = 2_000.0  # cooling and controls, fed from the AC side
    taper_pct: float = 5.0  # width of the band before full and empty where power tapers off
    nominal_hz: float = 60.0
    ambient_degc: float = 22.0
    noise: float = 0.001  # standard deviation of measured power, fraction of nameplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the instruments read: the truth with noise."""

    power_w: float
    reactive_var: float
    dc_voltage_v: float
    dc_current_a: float
    ac_voltage_v: float
    frequency_hz: float
    temp_max_degc: float
    temp_min_degc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """The plant at one instant. Energies count up for life; ``energy_wh`` is what is stored."""

    ratings: Ratings
    energy_wh: float
    inverter_w: float = 0.0  # AC power of the inverter, + discharging
    reactive_var: float = 0.0
    temperature_degc: float = 22.0
    charged_wh: float = 0.0  # AC energy taken through the meter
    discharged_wh: float = 0.0  # AC energy given through the meter
    auxiliary_wh: float = 0.0
    losses_wh: float = 0.0

    @property
    def soc_pct(self) -> float:
        """State of charge, 0..100 % of capacity."""
        return 100.0 * self.energy_wh / self.ratings.capacity_wh

    @property
    def power_w(self) -> float:
        """True power at the meter, W, + discharging."""
        return self.inverter_w - self.ratings.auxiliary_w

    @property
    def available_charge_w(self) -> float:
        """What can be charged now, W >= 0: tapers to zero when full."""
        room = (100.0 - self.soc_pct) / self.ratings.taper_pct
        return self.ratings.max_charge_w * min(1.0, max(0.0, room))

    @property
    def available_discharge_w(self) -> float:
        """What can be discharged now, W >= 0: tapers to zero when empty."""
        room = self.soc_pct / self.ratings.taper_pct
        return self.ratings.max_discharge_w * min(1.0, max(0.0, room))

    def step(self, dt_s: float, *, setpoint_w: float, tripped: bool = False) -> Plant:
        """Let ``dt_s`` seconds (> 0) pass with ``setpoint_w`` wanted of the inverter.

        The ramp limits how fast power moves, the taper how far; ``tripped`` (breaker open,
        emergency stop) takes the inverter to zero at once.
        """
        ratings = self.ratings
        hours = dt_s / 3600.0
        reach = ratings.ramp_w_per_s * dt_s
        wanted = min(max(setpoint_w, self.inverter_w - reach), self.inverter_w + reach)
        give = self.energy_wh * ratings.discharge_efficiency / hours
        take = (ratings.capacity_wh - self.energy_wh) / (ratings.charge_efficiency * hours)
        most = min(self.available_discharge_w, give)
        least = -min(self.available_charge_w, take)
        inverter = 0.0 if tripped else min(max(wanted, least), most)
        if inverter > 0.0:
            taken = inverter / ratings.discharge_efficiency
        else:
            taken = inverter * ratings.charge_efficiency
        lost = taken - inverter  # W, >= 0 in both directions
        energy = min(max(self.energy_wh - taken * hours, 0.0), ratings.capacity_wh)
        meter = (inverter - ratings.auxiliary_w) * hours
        return replace(
            self,
            energy_wh=energy,
            inverter_w=inverter,
            temperature_degc=self._warmer(lost, dt_s),
            charged_wh=self.charged_wh + max(0.0, -meter),
            discharged_wh=self.discharged_wh + max(0.0, meter),
            auxiliary_wh=self.auxiliary_wh + ratings.auxiliary_w * hours,
            losses_wh=self.losses_wh + lost * hours,
        )

    def _warmer(self, lost_w: float, dt_s: float) -> float:
        """Temperature after ``dt_s`` of ``lost_w``: first order towards its equilibrium."""
        rise = _RISE_DEGC * lost_w / (0.05 * self.ratings.nameplate_w)
        towards = self.ratings.ambient_degc + rise
        return towards + (self.temperature_degc - towards) * max(0.0, 1.0 - dt_s / _THERMAL_S)

    def observe(self, gauss: Gauss) -> Observation:
        """Read every instrument once; ``gauss`` is the only source of noise."""
        ratings = self.ratings
        share = self.inverter_w / ratings.nameplate_w
        open_v = _OCV_EMPTY_V + (_OCV_FULL_V - _OCV_EMPTY_V) * self.soc_pct / 100.0
        dc_v = open_v - _SAG_V * share
        spread = _SPREAD_DEGC * (0.3 + 0.7 * abs(share))
        noise_w = ratings.noise * ratings.nameplate_w
        return Observation(
            power_w=self.power_w + noise_w * gauss(),
            reactive_var=self.reactive_var + noise_w * gauss(),
            dc_voltage_v=dc_v + 200 * ratings.noise * gauss(),
            dc_current_a=self.inverter_w / dc_v,
            ac_voltage_v=_AC_V * (1.0 + 0.01 * share) + 200 * ratings.noise * gauss(),
            frequency_hz=ratings.nominal_hz + 10 * ratings.noise * gauss(),
            temp_max_degc=self.temperature_degc + spread,
            temp_min_degc=self.temperature_degc - spread / 2,
        )


def charged_to(ratings: Ratings, soc_pct: float) -> Plant:
    """A rested battery at ``soc_pct`` (0..100)."""
    return Plant(
        ratings=ratings,
        energy_wh=ratings.capacity_wh * soc_pct / 100.0,
        temperature_degc=ratings.ambient_degc,
    )
