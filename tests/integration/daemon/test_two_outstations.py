"""The whole data path: two independent outstations, one daemon, mosquitto with mutual TLS.

``bess-1`` is the simulator (py1815), ``bess-2`` is opendnp3's outstation; both are read through
the map ``generic-rtac``. Everything is asked of what a platform received.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from gateway.consumer import readings
from gateway.demo.broker import Broker
from gateway.sim.launch import SimProcess
from tests.fixtures import schemas
from tests.fixtures.daemon import Asset, Daemon
from tests.fixtures.recorder import Recorder
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.pki import Pki
    from tests.fixtures.outstation_process import OutstationProcess
    from tests.fixtures.recorder import Received

# What generic-rtac reads, as the RTAC serves it.
SERVED = {
    ("AI", 0): 6340,  # 63.40 %
    ("AI", 1): -750,  # kW: charging
    ("AI", 2): 12,
    ("AI", 3): 5072,
    ("AI", 4): 8000,
    ("AI", 5): 900,
    ("AI", 6): 1900,
    ("AI", 7): 1,
    ("AI", 11): 200,
    ("AI", 12): 6001,
    ("AI", 13): 12_345,
    ("AI", 14): 1500,
    ("AI", 15): 1800,
    ("BI", 0): 1,  # remote
    ("DBI", 0): 2,  # closed
}
PUBLISHED = {
    "chargePercentage": 63.4,
    "charge": 5_072_000,
    "chargeRate": -750_000,
    "chargingState": "charging",
    "backupReserve": 20.0,
    "maxChargeRate": 1_500_000,
    "maxDischargeRate": 1_800_000,
    "availableChargeRate": 900_000,
    "availableDischargeRate": 1_900_000,
    "capacity": 8_000_000,
}
FULL = 25  # readings whose JSON is far above the smallest size that is compressed
RETAINED = {
    "status",
    "birth",
    "bess-1/map",
    "bess-1/state",
    "bess-2/map",
    "bess-2/state",
}


class Site:
    """What the tests of one protocol version share."""

    def __init__(
        self,
        protocol: str,
        broker: Broker,
        recorder: Recorder,
        ends: tuple[SimProcess, OutstationProcess],
        daemon: Daemon,
    ) -> None:
        self.protocol = protocol
        self.broker = broker
        self.recorder = recorder
        self.sim, self.other = ends
        self.daemon = daemon


@pytest.fixture(scope="module", params=["5", "3.1.1"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pki: Pki
) -> Iterator[Site]:
    """Broker, recorder, outstations and a daemon that is up."""
    folder = tmp_path_factory.mktemp("site")
    broker = Broker(folder / "broker", pki=pki)
    with (
        running(broker),
        Recorder(broker.port, pki) as recorder,
        SimProcess("generic-rtac", cwd=folder, events_per_s=50, scenario="daily") as sim,
        yadnp3_outstation(points=20, address=11) as other,
    ):
        for (kind, index), value in SERVED.items():
            other.ask("update", kind=kind, index=index, value=value)
        assets = [Asset(sim.port), Asset(other.port, id="bess-2", address=11)]
        with Daemon(
            folder / "daemon",
            pki=pki,
            broker_port=broker.port,
            assets=assets,
            uplink={"protocol": request.param},
        ) as daemon:
            daemon.start()
            daemon.up()
            yield Site(request.param, broker, recorder, (sim, other), daemon)


@contextlib.contextmanager
def running(broker: Broker) -> Iterator[None]:
    """The broker, for as long as the context lasts."""
    broker.start()
    try:
        yield
    finally:
        broker.stop()


def test_the_state_of_opendnp3s_outstation_is_right_through_the_map(site: Site) -> None:
    state = site.recorder.wait(
        "state",
        lambda one: one["asset"] == "bess-2" and one["quality"] == "good" and good(one),
        "a good state of bess-2",
    )
    assert {name: state[name] for name in PUBLISHED} == PUBLISHED
    assert state["enrichment"]["reactivePower"] == 12_000
    assert state["enrichment"]["frequency"] == pytest.approx(60.01)
    assert state["enrichment"]["dcVoltage"] == pytest.approx(1234.5)
    assert state["fields"]["chargePercentage"]["source"] == "AI0"


def test_the_state_of_the_simulated_battery_follows_its_physics(site: Site) -> None:
    site.sim.wait_until(lambda now: abs(now["power_w"]) > 100_000)
    truth = site.sim.state()
    sign = 1 if truth["power_w"] > 0 else -1
    state = site.recorder.wait(
        "state",
        lambda one: one["asset"] == "bess-1" and good(one) and one["chargeRate"] * sign > 50_000,
        "a state of bess-1 with power",
    )
    assert state["chargePercentage"] == pytest.approx(truth["soc_pct"], abs=1.0)
    assert state["capacity"] == 8_000_000
    assert state["backupReserve"] == 10.0
    assert state["chargingState"] in ("discharging" if sign > 0 else "charging", "idle")


def test_a_change_in_the_field_arrives_raw_and_normalized(site: Site) -> None:
    site.other.ask("update", kind="AI", index=1, value=1250)
    state = site.recorder.wait(
        "state", lambda one: one["asset"] == "bess-2" and one["chargeRate"] == 1_250_000
    )
    assert state["asset"] == "bess-2"
    site.recorder.until(
        lambda: any(
            (one.point, one.value) == ("AI1", 1250) for one in site.recorder.readings("bess-2")
        ),
        "AI1 = 1250, raw",
    )
    row = next(
        row
        for row in site.recorder.wait("map", lambda one: one["asset"] == "bess-2")["points"]
        if row["point"] == "AI1"
    )
    assert (row["role"], row["unit"], row["scale"]) == ("power", "kW", 1.0)
    site.other.ask("update", kind="AI", index=1, value=-750)


def test_an_event_keeps_the_outstations_time_and_one_without_time_says_so(site: Site) -> None:
    site.recorder.until(
        lambda: any(one.tq == "synced" for one in site.recorder.readings("bess-1")), "events"
    )
    assert {one.tq for one in site.recorder.readings("bess-2")} == {"gateway"}


def test_every_kind_of_message_arrives_and_is_what_its_schema_says(site: Site) -> None:
    for kind in ("status", "birth", "map", "state", "telemetry", "event"):
        site.recorder.wait(kind)
    for one in list(site.recorder.arrived):
        schemas.check(one.message)
        assert one.message["gateway"] == "gw-17"
        assert one.topic.startswith("bess/v1/gw-17/")


def test_telemetry_names_the_map_that_was_published(site: Site) -> None:
    for asset in ("bess-1", "bess-2"):
        site.recorder.until(lambda: len(site.recorder.of("map")) > 1, "both tables")
        table = site.recorder.of("map", asset=asset)[0]
        batches = site.recorder.of("telemetry", asset=asset)
        assert batches
        assert {one["map"] for one in batches} == {table["digest"]}
        for batch in batches:
            assert [one.seq for one in readings(batch)] == list(
                range(batch["seq"], batch["seq"] + batch["n"])
            )


def test_the_birth_message_says_what_this_gateway_is(site: Site) -> None:
    birth = site.recorder.wait("birth")
    assert [one["id"] for one in birth["assets"]] == ["bess-1", "bess-2"]
    first = birth["assets"][0]
    assert (first["workspace"], first["site"], first["customer"]) == ("ws-1", "site-9", "coop-3")
    assert (first["map"]["id"], first["map"]["revision"]) == ("generic-rtac", "1.0.0")
    assert first["control"]["state"] == "MONITOR"
    assert not first["control"]["enabled"]
    assert {birth["epoch"]} == site.recorder.epochs


def test_the_session_of_either_outstation_is_announced(site: Site) -> None:
    def up(asset: str) -> bool:
        return any(one["up"] for one in site.recorder.events("session", asset=asset))

    site.recorder.until(lambda: up("bess-1") and up("bess-2"), "a session event of each")


def test_a_reader_that_comes_later_finds_what_is_retained_and_nothing_else(
    site: Site, pki: Pki
) -> None:
    site.recorder.wait("state", lambda one: one["asset"] == "bess-1")
    site.recorder.wait("state", lambda one: one["asset"] == "bess-2")
    with Recorder(site.broker.port, pki, name=f"late-{site.protocol}") as late:
        late.until(lambda: {name(one) for one in late.arrived if one.retain} >= RETAINED, "all")
        late.until(lambda: any(name(one).endswith("telemetry") for one in late.arrived), "live")
        assert {name(one) for one in late.arrived if one.retain} == RETAINED
        assert late.of("status")[0]["online"]


def test_large_telemetry_is_compressed_and_mqtt_5_says_how(site: Site) -> None:
    site.recorder.until(lambda: any(big(one) for one in site.recorder.arrived), "a full batch")
    one = next(one for one in site.recorder.arrived if big(one))
    if site.protocol == "5":
        assert one.user["encoding"] == "zstd"
        assert one.content_type == "application/json"
    else:
        assert one.user == {}
        assert one.content_type is None


def test_a_command_is_refused_with_an_acknowledgement(site: Site, pki: Pki) -> None:
    site.recorder.publish("bess/v1/gw-17/bess-1/cmd", b"{}", pki)
    ack = site.recorder.wait("ack")
    assert (ack["asset"], ack["state"]) == ("bess-1", "rejected")
    assert ack["reason"]


def test_nothing_is_lost_while_everything_works(site: Site) -> None:
    site.recorder.gapless()
    assert site.recorder.consumer.duplicates == 0


def good(state: dict[str, Any]) -> bool:
    """Whether the core fields have values."""
    return all(state.get(field) is not None for field in ("charge", "chargeRate", "capacity"))


def name(one: Received) -> str:
    """The topic below the gateway's."""
    return one.topic.removeprefix("bess/v1/gw-17/")


def big(one: Received) -> bool:
    """Whether it must be compressed."""
    message = one.message
    return bool(message["schema"] == "bess.telemetry/1" and message["n"] >= FULL)
