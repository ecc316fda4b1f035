"""Control of RTACs that know nothing of our points maps: see ``tests.fixtures.plain_rtac``.

The whole gateway against eight of them; everything is asked of their own records, in raw values
that were written down by hand. What needs the lease broken comes last: it costs 30 s each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import now
from gateway.site.maps import map_folders
from tests.fixtures.commanded_site import ControlSite
from tests.fixtures.control_rig import LEASE_S
from tests.fixtures.plain_rtac import PlainRtac

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gateway.demo.pki import Pki

FOLDER = Path(__file__).parents[2] / "fixtures" / "sitemaps"
DIRECT = ("bess-1", "bess-2", "bess-3", "bess-4", "bess-5")
A, B, C, D, E = DIRECT
SBO, SPLIT, PERCENT = "bess-6", "bess-7", "bess-8"
EACH = (A, SBO, SPLIT, PERCENT)  # one of each kind
MAPS = {
    **dict.fromkeys(DIRECT, "generic-rtac@1.0.0"),
    SBO: "rtac-sbo@1.0.0",
    SPLIT: "split-int32@1.0.0",
    PERCENT: "an2018-storage@1.0.0",
}
KINDS = {"generic-rtac": "rtac", "rtac-sbo": "rtac", "split-int32": "split"}
HEARTBEAT_S = 4  # longer than the response timeout of 2 s: see the marker ``fairness``
R_S = 2.0
REVERSION_S = 15
POWER = ("cmd_power", "cmd_charge", "cmd_discharge")
SELECTED = ("SELECT", "OPERATE")
FUNCTIONS = {A: ("DIRECT_OPERATE",), SBO: SELECTED}


class PlainSite(ControlSite):
    """Its RTACs are plain ones."""

    def _rtac(self, map: str, options: Mapping[str, Any]) -> Any:  # noqa: A002, ANN401 - stands in
        kind = KINDS.get(map.partition("@")[0], "percent")
        return PlainRtac(kind, cwd=self.folder, **options)

    def plain(self, asset: str) -> PlainRtac:
        """The RTAC of a battery."""
        found: Any = self.sims[asset]
        assert isinstance(found, PlainRtac)
        return found

    def ready(self, *assets: str) -> float:
        """Arm them, side by side; when it was done, s."""
        for asset in assets:
            self.calm(asset)
        for asset in assets:
            self.arm(asset)
        return now().mono_s

    def order(self, watts: int, *assets: str) -> dict[str, str]:
        """Dispatch each, side by side; ids by battery."""
        return {
            asset: self.send("setpoint", asset, power_w=watts, duration_s=600) for asset in assets
        }

    def idle(self, *assets: str) -> None:
        """Idle each, side by side, until zero is verified in the echo."""
        for id_ in [self.send("idle", asset) for asset in assets]:
            self.told(id_, {"succeeded"})

    def wrote(self, asset: str, began: float, *roles: str) -> list[tuple[str, str, float]]:
        """Point, function, raw value of every control of these roles, or all but heartbeats."""
        return [
            (one["point"], one["function"], one["raw"])
            for one in self.writes(asset, after=began)
            if not roles or one["role"] in roles
        ]

    def powers(self, asset: str, began: float) -> list[tuple[str, float]]:
        """Function and raw value of each setpoint that was not zero."""
        return [
            (function, raw) for _, function, raw in self.wrote(asset, began, *POWER) if raw != 0
        ]

    def zeroed(self, asset: str, began: float) -> None:
        """Zero was written last, taken, and is in force, by the RTAC's own record."""
        last = [one for one in self.writes(asset, after=began) if one["role"] in POWER][-1]
        assert (last["raw"], last["status"]) == (0, 0)
        assert self.plain(asset).state()["setpoint_w"] == 0


@pytest.fixture(scope="module")
def site(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainSite]:
    """All eight, armed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BESS_POINTMAPS", ":".join(map(str, (*map_folders(), FOLDER))))
        with PlainSite(
            tmp_path_factory.mktemp("plain"),
            pki,
            map=tuple(MAPS.values()),
            change=lambda text: text.replace("heartbeat_s = 1\n", f"heartbeat_s = {HEARTBEAT_S}\n"),
            watchdog={
                "rtac_deadman_s": 6 * HEARTBEAT_S,
                "idle_verify_s": 40,
                "reversion_s": REVERSION_S,
                "reversion_refresh_s": 5,
            },
            sim={"deadman_s": 6 * HEARTBEAT_S},
        ) as made:
            made.run()
            yield made


def each(points: Collection[tuple[str, float]], *names: str) -> list[tuple[str, str, float]]:
    return [(point, name, raw) for point, raw in points for name in names]


def test_a_dispatch_and_its_zero_arrive_in_the_units_of_each_rtac(site: PlainSite) -> None:
    site.ready(*EACH)
    for watts in (300_000, -400_000):
        sign, size = (1, 3) if watts > 0 else (-1, 4)
        began = now().mono_s
        for asset, id_ in site.order(watts, *EACH).items():
            site.told(id_, {"succeeded"})
            assert site.results(id_)[-1]["measuredPowerW"] == watts
            assert site.plain(asset).state()["setpoint_w"] == watts
        first, other = ("AO10", "AO11") if watts > 0 else ("AO11", "AO10")
        assert site.wrote(A, began, *POWER) == [("AO0", "DIRECT_OPERATE", sign * size * 100)]
        assert site.wrote(SBO, began, *POWER) == each([("AO0", sign * size * 100)], *SELECTED)
        split = [(first, 0), (other, size * 1000)]
        assert site.wrote(SPLIT, began, *POWER) == each(split, *SELECTED)
        percent = [("AO92", "DIRECT_OPERATE", REVERSION_S), ("AO93", "DIRECT_OPERATE", 50 * size)]
        assert site.wrote(PERCENT, began)[:2] == [
            percent[0],
            ("AO93", "DIRECT_OPERATE", sign * 50 * size),
        ]
    began = now().mono_s
    site.idle(*EACH)
    for asset in EACH:
        site.zeroed(asset, began)
        assert site.powers(asset, began) == []
        assert site.plain(asset).state()["trips"] == 0
    assert site.wrote(SPLIT, began, *POWER)[0] == ("AO10", "SELECT", 0)  # it carried the power


@pytest.mark.fairness
def test_a_select_without_an_answer_is_selected_once_more_and_then_idled(site: PlainSite) -> None:
    for lost, done in ((1, ["SELECT", "SELECT", "OPERATE"]), (2, ["SELECT", "SELECT"])):
        began = site.ready(SBO)
        site.plain(SBO).habits(lose_selects=lost)
        id_ = site.order(300_000, SBO)[SBO]
        story = site.told(id_, {"succeeded", "failed"})
        assert site.powers(SBO, began) == [(function, 300) for function in done]
        assert ("succeeded" in story.states) is (lost == 1)
    assert story.reason == "no_answer"
    site.until_phase({"IDLE"}, SBO)
    site.zeroed(SBO, began)


@pytest.mark.fairness
def test_an_operate_without_an_answer_is_never_resent(site: PlainSite) -> None:
    """It was carried out: where the echo shows it, it goes on; where it does not, zero follows."""
    began = site.ready(A, B, SBO)
    for asset in (A, B, SBO):
        site.plain(asset).habits(lose_operates=1, stuck_echo=asset == B)
    ids = site.order(300_000, A, B, SBO)
    for asset in (A, SBO):
        site.told(ids[asset], {"succeeded"})
        assert site.powers(asset, began) == [(one, 300) for one in FUNCTIONS[asset]]
    assert site.told(ids[B], {"failed"}).reason == "unknown_outcome"
    site.plain(B).clear()
    site.until_phase({"IDLE"}, B)
    assert site.powers(B, began) == [("DIRECT_OPERATE", 300)]
    site.zeroed(B, began)


AGAIN = {1, 2}  # timeout, no select: once more, whole
# Already active, complete, and what the table does not name: the echo decides, and shows nothing.
UNKNOWN = {5, 14, 16, 126, 127}
SUSPECT = {3, 4, 12}  # format, unsupported, range: of the map
LOCAL = {7, 13}


@pytest.mark.parametrize(
    "statuses",
    [(1, 2, 3, 4, 5), (6, 7, 8, 9, 10), (11, 12, 13, 14, 15), (16, 17, 18, 126, 127)],
    ids=str,
)
def test_each_status_but_success_ends_the_dispatch_and_nothing_is_resent(
    site: PlainSite, statuses: tuple[int, ...]
) -> None:
    """Every status that the RTAC's library knows, for power alone: zero it takes."""
    given = dict(zip(DIRECT, statuses, strict=True))
    began = site.ready(*given)
    for asset, status in given.items():
        site.plain(asset).habits(refuse=status)
    for asset, id_ in site.order(300_000, *given).items():
        status = given[asset]
        reason = str(site.told(id_, {"failed"}).reason)
        wanted = "unknown_outcome" if status in UNKNOWN else "refused:"
        assert reason.startswith(wanted), (status, reason)
        again = ["SELECT"] if status in AGAIN else []
        assert site.powers(asset, began) == [(one, 300) for one in ("DIRECT_OPERATE", *again)]
        if status in LOCAL:
            site.passed("ACTIVE", "LOCAL", "local", asset, after=began)
        if status in SUSPECT:
            site.daemon.status_when(
                lambda found, asset=asset: found["assets"][asset]["map"]["verdict"] == "suspect",  # type: ignore[misc]  # bound now
                f"{asset}: a suspect map",
            )
            site.calm(asset)  # by such a map no zero is verified
        site.until_phase({"IDLE"}, asset)
        site.zeroed(asset, began)


@pytest.mark.fairness
def test_slow_answers_delay_and_double_nothing(site: PlainSite) -> None:
    """A third of the response timeout, and nearly all of it: a busy machine makes that too late."""
    began = site.ready(A, B)
    for asset, part in ((A, 0.3), (B, 0.9)):
        site.plain(asset).habits(delay_s=part * R_S)
    ids = site.order(300_000, A, B)
    site.told(ids[A], {"succeeded"})
    site.told(ids[B], {"succeeded", "failed"})
    idles = [site.send("idle", asset) for asset in (A, B)]
    site.told(idles[0], {"succeeded"})
    site.told(idles[1], {"succeeded", "failed"})
    assert site.plain(A).state()["trips"] == 0
    site.calm(B)
    for asset in (A, B):
        site.until_phase({"IDLE"}, asset)
        assert site.powers(asset, began) == [("DIRECT_OPERATE", 300)]
        site.zeroed(asset, began)


def test_an_rtac_that_loses_its_power_hears_zero_before_anything_else(site: PlainSite) -> None:
    site.ready(A, SPLIT, PERCENT)
    ids = site.order(300_000, A, SPLIT, PERCENT)
    for id_ in ids.values():
        site.told(id_, {"succeeded"})
    began = now().mono_s
    for asset in ids:
        site.plain(asset).ask("away", for_s=1.0, restart=True)
    for asset, id_ in ids.items():
        assert site.why(id_, "aborted") in ("restart", "session", "field_ended")
        site.until_phase({"IDLE"}, asset)
        (first, *_) = site.writes(asset, role="", after=began)
        assert (first["role"] in POWER, first["raw"]) == (True, 0)
        assert site.powers(asset, began) == []
        site.zeroed(asset, began)


def test_old_events_after_a_reconnection_neither_accuse_nor_settle(site: PlainSite) -> None:
    """What the RTAC had buffered of its echo says 700 kW, then 0; its present value does not."""
    site.ready(A, B)
    ids = site.order(300_000, A, B)
    for id_ in ids.values():
        site.told(id_, {"succeeded"})
    site.plain(B).habits(stuck_echo=True)
    began = now().mono_s
    idle = site.send("idle", B)
    site.daemon.until(lambda: bool(site.wrote(B, began, *POWER)), "zero on the record")
    for asset in (A, B):
        site.plain(asset).ask("away", for_s=1.0, restart=False)
        for number, kw in enumerate((700, 0)):
            site.plain(asset).ask("event", index=8, value=kw, at_ms=now().unix_ms - 5000 + number)
    for asset in (A, B):
        site.plain(asset).wait_until(lambda it: it["connected"] and not it["pending"], "read")
    read_at = now().mono_s
    site.daemon.until(lambda: now().mono_s > read_at + 4, "longer than an echo may be away")
    assert site.control(A)["state"] == "ACTIVE"
    assert "aborted" not in site.dispatcher.follow(ids[A]).states
    assert site.wrote(A, began) == []
    assert site.control(B)["state"] == "IDLING"  # by the present echo
    assert "succeeded" not in site.dispatcher.follow(idle).states
    site.plain(B).clear()
    site.until_phase({"IDLE"}, B)
    site.zeroed(B, began)


def test_a_gateway_that_is_killed_under_power_writes_zero_first_and_no_beat_before(
    site: PlainSite,
) -> None:
    site.ready(*EACH)
    ids = site.order(300_000, *EACH)
    for id_ in ids.values():
        site.told(id_, {"succeeded"})
    site.daemon.kill()
    killed_at = now().mono_s
    site.daemon.start()
    for asset, id_ in ids.items():
        site.until_phase({"IDLE"}, asset)
        assert site.why(id_, "aborted") == "restart"
        written = [one for one in site.sims[asset].controls() if one["mono_s"] > killed_at]
        assert (written[0]["role"] in POWER, written[0]["raw"]) == (True, 0)
        taken = [
            one["role"] for one in written if one["status"] == 0 and one["function"] != "SELECT"
        ]
        assert taken[0] in POWER
        assert site.powers(asset, killed_at) == []
        site.until_control(lambda now: now["inForce"] is None, "free", asset)
        assert site.plain(asset).state()["trips"] == 0  # it was our zero that ended it


def test_a_lease_that_ends_is_followed_by_a_zero_that_each_rtac_took(site: PlainSite) -> None:
    site.ready(*EACH)
    ids = site.order(-300_000, *EACH)
    for id_ in ids.values():
        site.told(id_, {"succeeded"})
    began = now().mono_s
    site.dispatcher.answering = False
    for asset, id_ in ids.items():
        assert site.why(id_, "aborted") == "lease"
        ended_at = site.zeroed_at(asset, after=began)
        assert ended_at - began > LEASE_S - 4  # it held as long as its last answer let it
        site.until_control(lambda now: now["inForce"] is None, "free", asset)
        assert site.powers(asset, began) == []
        site.zeroed(asset, began)
        assert site.plain(asset).state()["trips"] == 0
