"""``check`` with a safety.toml, and the shipped example of one with keys that are made here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from gateway.cli import main
from gateway.clock import now
from gateway.control.rules.readiness import Findings, Proof, fact_of_deadman_test
from gateway.demo.pki import Pki
from gateway.site.load import load_site
from gateway.site.maps import map_folders
from tests.fixtures.commands import signer
from tests.fixtures.control_rig import keep
from tests.fixtures.daemon import ROOT
from tests.fixtures.safetyfiles import GOOD, write_safety, write_site
from tests.fixtures.shippedmaps import METERED

if TYPE_CHECKING:
    from pathlib import Path

EX_CONFIG = 78
EXAMPLE = ROOT / "etc" / "safety.toml.example"
MAN = ROOT / "packaging" / "man" / "bess-gateway-safety.toml.5"


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Throwaway CA and certificates."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Path:
    """A good site.toml beside which safety.toml will lie."""
    return write_site(tmp_path, pki, ROOT / "etc" / "site.toml.example")


def write_example(folder: Path, text: str) -> Path:
    """``text`` of the example with every key that it names."""
    keys = folder / "keys"
    keys.mkdir(mode=0o755, exist_ok=True)
    for kid in re.findall(r'^kid = "(.+)"', text, re.MULTILINE):
        (keys / f"{kid}.pem").write_bytes(signer(kid).public_pem)
    return write_safety(folder, text)


def check(site: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], list[str]]:
    """Exit code, output and errors of ``check``, without the folder."""
    code = main.main(["check", "--config", str(site)])
    shown = capsys.readouterr()
    out, err = (text.replace(f"{site.parent}/", "").splitlines() for text in shown)
    return code, out, err


def test_the_shipped_example_loads_with_its_keys(site: Path) -> None:
    text = EXAMPLE.read_text()
    write_example(site.parent, text)
    loaded = load_site(site)
    assert loaded.safety_faults == ()
    assert loaded.safety is not None
    assert loaded.safety.settings.approval == "dual"
    assert loaded.safety.trust.kids() == ("chief-1", "duty-1", "ops-1", "pulse-1")


def test_a_commented_default_of_the_example_is_the_default(site: Path) -> None:
    text = EXAMPLE.read_text()
    write_example(site.parent, text)
    plain = load_site(site).safety
    written = re.sub(r"^# ([a-z_]+ = (?!2026-01-01|\"EdDSA\"))", r"\1", text, flags=re.MULTILINE)
    written = written.replace("# [risk_acceptance]", "[risk_acceptance]")
    written = written.replace("[risk_acceptance]\n# date", "[risk_acceptance]\ndate")
    assert written.count("\n# ") < text.count("\n# ") - 8
    risk = written.index("[risk_acceptance]")
    write_example(site.parent, written[:risk])
    again = load_site(site).safety
    assert plain is not None
    assert again is not None
    assert again.digest == plain.digest
    write_example(site.parent, written)
    assert load_site(site).safety_faults == ()


def test_the_limit_of_all_assets_in_the_example_can_be_taken(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = EXAMPLE.read_text().replace("# [limits.site]", "[limits.site]").replace("#   max", "max")
    write_example(site.parent, text)
    code, out, err = check(site, capsys)
    assert (code, err) == (0, [])
    most = "at most -2000000 W (charging) to 2000000 W (discharging)"
    assert f"  safety.toml: all assets together {most}" in out


def test_batteries_at_one_transformer_are_named(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = site.parent / "pointmaps"
    maps.mkdir()
    (maps / "metered.toml").write_bytes(METERED)
    monkeypatch.setenv("BESS_POINTMAPS", ":".join(map(str, (*map_folders(), maps))))
    text = site.read_text().replace('firmware = "1.4.2"', 'map = "rtac-metered@1.0.0"')
    again = text[text.index("[[asset]]") :].replace('"bess-1"', '"bess-2"')
    table = '[asset.transformer]\nid = "T1"\nrating_kva = 2500\nenforce = true\n'
    site.write_text(f"{text}{table}{again.replace('192.0.2.10', '192.0.2.11')}{table}")
    write_safety(site.parent)
    code, out, err = check(site, capsys)
    assert (code, err) == (0, [])
    assert "  bess-1: shares transformer T1 with bess-2" in out
    assert "  bess-2: shares transformer T1 with bess-1" in out


def test_a_battery_without_measured_power_is_warned_of_where_a_limit_is_shared(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = site.read_text()
    again = text[text.index("[[asset]]") :].replace('"bess-1"', '"bess-2"')
    again = again.replace("192.0.2.10", "192.0.2.11")
    again = again.replace('firmware = "1.4.2"', 'map = "raw@1.0.0"')
    site.write_text(text + again)
    write_safety(site.parent, GOOD + "[limits.site]\nmax_discharge_w = 2000000\n")
    _, out, _ = check(site, capsys)
    (told,) = [line for line in out if "no measured power" in line]
    assert told.startswith("  bess-2: WARNING: the map has no measured power: at what is shared")


def test_every_key_of_the_example_and_of_the_settings_is_in_the_man_page() -> None:
    example, page = EXAMPLE.read_text(), MAN.read_text()
    keys = set(re.findall(r"^(?:# )?([a-z_]+) = ", example, re.MULTILINE))
    assert len(keys) > 25
    assert (
        sorted(key for key in keys if not re.search(rf"^\.[BI]+R? .*\b{key}\b", page, re.MULTILINE))
        == []
    )


def test_the_example_of_the_man_page_loads(site: Path) -> None:
    page = MAN.read_text()
    start = page.index(".SH EXAMPLE")
    text = page[page.index(".EX\n", start) + 4 : page.index(".EE", start)].replace("\\-", "-")
    write_example(site.parent, text)
    assert load_site(site).safety_faults == ()


def test_without_a_file_check_says_that_control_stays_off(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = check(site, capsys)
    assert (code, err) == (0, [])
    assert out[0] == "site.toml: good"
    assert out[-1] == "  no safety.toml: control stays off"


def test_check_says_who_may_sign_and_how_long_a_setpoint_can_last(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent)
    loaded = load_site(site)
    assert loaded.safety is not None
    code, out, err = check(site, capsys)
    assert (code, err) == (0, [])
    assert out[2:] == [
        "  safety.toml: approval dual above 250000 W, envelope below",
        f"  safety.toml: digest {loaded.safety.digest}",
        "  key boss-1: approver, emergency, ES256, until 2027-12-31",
        "  key ops-1: dispatcher, EdDSA, until 2027-12-31",
        "  key pulse-1: heartbeat, EdDSA, until 2027-12-31",
        f"  bess-1: map digest {loaded.maps['bess-1'].digest}",
        "  bess-1: at most -1500000 W (charging) to 1200000 W (discharging), 10 to 95 %",
        "  bess-1: heartbeat counter, every 2 s",
        "  bess-1: no reversion timer",
        "  bess-1: bounds at the response timeout, 3 s; zero is 1 control, direct operate",
        "  bess-1: bound A 36.25 s plus 15 s of ramp: the cloud is dead, the RTAC obeys",
        (
            "  bess-1: bound A 39.25 s and the time to connect plus 15 s of ramp: "
            "a read that takes longer is dropped for the zero"
        ),
        "  bess-1: bound B 19 s: gateway, host, power or link is dead",
        "  bess-1: bound C 79.25 s: the RTAC refuses zero",
        (
            "  bess-1: bound D none (the map has no reversion timer): "
            "no RTAC logic, and the link is dead"
        ),
        "  bess-1: bounds as measured: commissioning has not timed the answers of this RTAC yet",
        "  bess-1: the map allows control",
        "  bess-1: control needs the commissioning: acknowledge, deadman-test, sign-test",
    ]


def leave(site: Path, found: Findings) -> None:
    """What commissioning leaves on record, in the state folder beside ``site``."""
    digest = load_site(site).maps["bess-1"].digest
    proof = Proof(digest, now().unix_ms, found)
    keep(site.parent / "state", fact_of_deadman_test("bess-1", proof))


def test_the_bounds_are_said_again_at_the_answers_that_commissioning_timed(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent)
    leave(site, Findings(answer_s=0.5, connect_s=1.25))
    code, out, err = check(site, capsys)
    assert (code, err) == (0, [])
    first = out.index("  bess-1: bounds at the longest answer that commissioning timed, 0.5 s")
    assert [line.removeprefix("  bess-1: ").partition(" plus")[0] for line in out[first + 1 :]][
        :2
    ] == ["bound A 31.25 s", "bound A 35.5 s"]
    assert out[first + 3 : first + 5] == [
        "  bess-1: bound B 16.5 s: gateway, host, power or link is dead",
        "  bess-1: bound C 76.75 s: the RTAC refuses zero",
    ]
    assert any(" bound A 40.5 s plus 15 s of ramp: a read that takes" in line for line in out)


def test_what_is_on_record_of_the_commissioning_is_not_asked_for_again(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent)
    leave(site, Findings())
    _, out, _ = check(site, capsys)
    missing = "SAFETY_NOT_ACKNOWLEDGED, SIGN_TEST_MISSING"
    assert out[-1] == f"  bess-1: control is off by what is on record: {missing}"


def test_where_a_new_connection_takes_longer_than_a_zero_waits_nothing_is_dropped(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent)
    leave(site, Findings(connect_s=3.5))
    _, out, _ = check(site, capsys)
    assert (
        "  bess-1: bound A has no figure where a read takes longer: a new connection took 3.5 s, "
        "longer than a zero waits, so nothing is dropped"
    ) in out


def test_times_that_the_rtac_was_seen_not_to_keep_are_faults_with_their_line(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent)
    leave(site, Findings(answer_s=2.6))
    code, _, err = check(site, capsys)
    assert code == EX_CONFIG
    assert err == [
        (
            "safety.toml:5: [watchdog] commissioning timed answers of up to 2.6 s at asset "
            "'bess-1': must be at most 2.5 s, for 6 of them must fit into 15 s: what is read "
            "grows old"
        ),
        (
            "safety.toml:8: [watchdog] rtac_deadman_s = 15: must be at least 15.6 seconds: "
            "commissioning timed answers of up to 2.6 s at asset 'bess-1', and a heartbeat and "
            "the 1 of a critical read must fit into a third of it (bound B)"
        ),
    ]


def test_a_log_that_cannot_be_read_is_said_and_no_fault(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent)
    leave(site, Findings(answer_s=2.6))
    (site.parent / "state" / "control.db").write_bytes(b"no database" * 1000)
    code, out, _ = check(site, capsys)
    assert code == 0
    assert any("WARNING: what commissioning measured was not held against" in line for line in out)
    # Whether it measured anything nobody can say who does not read the log.
    assert not any("has not timed" in line for line in out)
    assert any("bounds as measured: not known here" in line for line in out)


def test_v_that_is_too_short_for_a_map_that_allows_control_is_a_fault(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = GOOD.replace("ramp_w_per_s = 100000", "ramp_w_per_s = 1000000")
    write_safety(site.parent, quick.replace("idle_verify_s = 30", "idle_verify_s = 14"))
    code, _, err = check(site, capsys)
    assert code == EX_CONFIG
    assert err == [
        (
            "safety.toml:7: [watchdog] idle_verify_s = 14: must be at least 15 seconds for asset "
            "'bess-1', what may be under way (3 s), zero twice (each 3 s: 1 control, direct "
            "operate), and 2 response timeouts (3 s) for its echo: bound C would latch a battery "
            "that obeys"
        )
    ]
    site.write_text(site.read_text().replace('firmware = "1.4.2"', 'map = "raw@1.0.0"'))
    code, _, err = check(site, capsys)
    assert (code, err) == (0, [])


def test_a_map_that_refuses_control_is_said_with_its_reasons(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(site.read_text().replace('firmware = "1.4.2"', 'map = "raw@1.0.0"'))
    write_safety(site.parent)
    code, out, _ = check(site, capsys)
    assert code == 0
    assert "  bess-1: heartbeat none: no dead-man of the RTAC" in out
    assert "  bess-1: WARNING: the map refuses control: M17 the map has no [map.control]" in out
    assert out[-1] == "  bess-1: control stays off: MAP_REFUSES_CONTROL, NO_DEADMAN"
    text = GOOD + '[risk_acceptance]\nname = "J. Doe"\ndate = 2026-01-01\nreason = "x"\n'
    write_safety(site.parent, text)
    _, out, _ = check(site, capsys)
    assert "  bess-1: risk accepted by J. Doe on 2026-01-01" in out
    assert out[-1] == "  bess-1: control stays off: MAP_REFUSES_CONTROL"


def test_keys_that_do_not_count_are_warnings_and_none_left_is_a_reason(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.replace("not_after = 2027-12-31", "not_after = 2020-12-31", 1)
    write_safety(site.parent, text)
    code, out, _ = check(site, capsys)
    assert code == 0
    assert "  WARNING: key ops-1 has expired: what it signs is refused" in out
    assert out[-1] == "  bess-1: control stays off: NO_DISPATCHER_KEY"


def test_a_fault_is_printed_with_its_line_and_exits_78(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent, GOOD.replace("lease_s = 30", "lease_s = 5"))
    (site.parent / "keys/ops-1.pem").unlink()
    code, out, err = check(site, capsys)
    assert code == EX_CONFIG
    assert out[0] == "site.toml: good"
    assert out[-1] == "  safety.toml has faults: control stays off, telemetry goes on"
    assert "safety.toml:6: [watchdog] lease_s = 5: must be 10..300 seconds" in err
    assert err[-1] == (
        "safety.toml:20: [trusted_key[0]] public_key_file = 'keys/ops-1.pem': no such file"
    )


def test_faults_of_both_files_are_reported_at_once(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safety(site.parent).chmod(0o666)
    (site.parent / "tls/gateway.key").unlink()
    code, out, err = check(site, capsys)
    assert (code, out) == (EX_CONFIG, [])
    assert [line.split(":")[0] for line in err] == ["site.toml", "safety.toml"]


def test_a_smaller_battery_keeps_its_own_limits(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = site.read_text()
    small = text[text.index("[[asset]]") :].replace('"bess-1"', '"bess-2"')
    small = small.replace("2000000", "1000000").replace("192.0.2.10", "192.0.2.11")
    site.write_text(text + small)
    write_safety(site.parent)
    code, out, _ = check(site, capsys)
    assert code == 0
    limits = [line.split(",")[0] for line in out if "at most" in line]
    assert limits == [
        "  bess-1: at most -1500000 W (charging) to 1200000 W (discharging)",
        "  bess-2: at most -1000000 W (charging) to 1000000 W (discharging)",
    ]
