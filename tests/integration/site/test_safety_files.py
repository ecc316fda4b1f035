"""safety.toml on disk: each bad input has its fault, and none of them stops telemetry."""

from __future__ import annotations

import os
import pathlib
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.demo.pki import Pki
from gateway.site.load import load_site
from gateway.site.safety_files import load_safety
from tests.fixtures.commands import signer
from tests.fixtures.daemon import ROOT
from tests.fixtures.safetyfiles import GOOD, write_safety, write_site
from tests.fixtures.shippedmaps import shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.checked import Safety
    from gateway.points.pointmap import PointsMap

PEM = ser.Encoding.PEM
NOBODY = 65_534


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Throwaway CA and certificates."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Path:
    """A good site.toml beside which safety.toml will lie."""
    return write_site(tmp_path, pki, ROOT / "etc" / "site.toml.example")


def load(
    path: Path, *, uid: int | None = None, r: float = 3.0, maps: tuple[PointsMap, ...] = ()
) -> tuple[Safety | None, list[str]]:
    safety, faults = load_safety(
        path,
        response_timeouts_s={"bess-1": r},
        nameplates_w={"bess-1": 2e6},
        maps=maps,
        daemon_uid=uid,
    )
    return safety, [str(fault).replace(f"{path.parent}/", "") for fault in faults]


def public(key: Any) -> bytes:  # noqa: ANN401 - any of cryptography's private keys
    return bytes(key.public_key().public_bytes(PEM, ser.PublicFormat.SubjectPublicKeyInfo))


def test_a_good_file_comes_with_its_keys_and_a_digest(tmp_path: Path) -> None:
    safety, faults = load(write_safety(tmp_path))
    assert faults == []
    assert safety is not None
    assert safety.trust.kids() == ("boss-1", "ops-1", "pulse-1")
    assert safety.digest.startswith("sha256:")
    assert (safety.settings.approval, safety.settings.watchdog.lease_s) == ("dual", 30)


def test_a_mode_or_a_reserve_that_no_map_of_the_site_has_is_a_fault(tmp_path: Path) -> None:
    line = "ramp_w_per_s = 100000\n"
    listed = line + 'modes = ["enable", "other"]\nreserve_min_pct = 0\nreserve_max_pct = 9\n'
    path = write_safety(tmp_path, GOOD.replace(line, listed))
    poor = shipped("example-bess-a@A")
    maps = (poor, shipped("generic-rtac@1.0.0"))  # the second has them
    at = "safety.toml:16: [limits] modes names 'other': must be "
    assert load(path, maps=maps)[1] == [f"{at}enable"]
    assert load(path)[1] == [], "where a map is not known nothing is held against it"
    path.write_text(path.read_text().replace(', "other"', ""))
    assert load(path, maps=maps)[1] == []
    none = "left out: no map of this site has cmd_"
    assert load(path, maps=(poor,))[1] == [
        f"{at.replace('other', 'enable')}{none}mode_enable",
        f"safety.toml:17: [limits] reserve_min_pct = 0: must be {none}reserve",
        f"safety.toml:18: [limits] reserve_max_pct = 9: must be {none}reserve",
    ]


def test_the_digest_changes_with_every_byte_of_a_key_file(tmp_path: Path) -> None:
    path = write_safety(tmp_path)
    first, _ = load(path)
    (tmp_path / "keys/ops-1.pem").write_bytes(signer("guard-1").public_pem)
    second, _ = load(path)
    assert first is not None
    assert second is not None
    assert first.digest != second.digest


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert load(tmp_path / "safety.toml") == (None, [])


def test_a_relative_path_is_read_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_safety(tmp_path)
    monkeypatch.chdir(tmp_path)
    safety, faults = load(pathlib.Path("safety.toml"))
    assert (safety is not None, faults) == (True, [])


AT_OPS = "safety.toml:20: [trusted_key[0]] public_key_file = '{}keys/ops-1.pem': "
WANTED = "must be a public key in PEM, Ed25519 or P-256"


def faults_with_ops(folder: Path, spoil: Callable[[Path], object]) -> list[str]:
    """Faults after ``spoil`` had its way with the first key's file, without their common start."""
    path = write_safety(folder)
    spoil(folder / "keys" / "ops-1.pem")
    safety, faults = load(path)
    assert safety is None
    start = AT_OPS.format("")
    assert all(fault.startswith(start) for fault in faults), faults
    return [fault.removeprefix(start) for fault in faults]


def private(path: Path) -> object:
    key = ec.generate_private_key(ec.SECP256R1())
    return path.write_bytes(
        key.private_bytes(PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()) + public(key)
    )


def encrypted(path: Path) -> object:
    key = ec.generate_private_key(ec.SECP256R1())
    lock = ser.BestAvailableEncryption(b"secret")
    return path.write_bytes(key.private_bytes(PEM, ser.PrivateFormat.PKCS8, lock))


def replaced(path: Path, make: Callable[[Path], object]) -> object:
    path.unlink()
    return make(path)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda path: path.unlink(), "no such file"),
        (private, "is a private key: only its public part may be here"),
        (encrypted, "is a private key: only its public part may be here"),
        (lambda path: path.write_bytes(b""), f"holds no PEM block: {WANTED}"),
        (lambda path: path.write_bytes(b"\xff" * 99), f"holds no PEM block: {WANTED}"),
        (
            lambda path: path.write_bytes(signer("ops-1").public_pem * 2),
            f"holds PUBLIC KEY, PUBLIC KEY: {WANTED}",
        ),
        (
            lambda path: path.write_text("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"),
            f"cannot be decoded: {WANTED}",
        ),
        (
            lambda path: path.write_bytes(public(rsa.generate_private_key(65_537, 2048))),
            f"is of type RSA: {WANTED}",
        ),
        (
            lambda path: path.write_bytes(public(ec.generate_private_key(ec.SECP384R1()))),
            f"is of type EC secp384r1: {WANTED}",
        ),
        (
            lambda path: path.write_bytes(public(ec.generate_private_key(ec.SECP192R1()))),
            f"is of type EC secp192r1: {WANTED}",
        ),
        (
            lambda path: path.write_bytes(public(ed448.Ed448PrivateKey.generate())),
            f"is of type Ed448: {WANTED}",
        ),
        (
            lambda path: path.write_bytes(public(x25519.X25519PrivateKey.generate())),
            f"is of type X25519: {WANTED}",
        ),
        (lambda path: path.chmod(0o664), "has mode 0664: must not be writable by group or others"),
        (lambda path: path.chmod(0o646), "has mode 0646: must not be writable by group or others"),
        (
            lambda path: path.write_bytes(signer("ops-1").public_pem + b"\n" * 8192),
            "is larger than 8 KiB: must be at most that",
        ),
        (
            lambda path: replaced(path, lambda new: new.mkdir()),
            "cannot be read: Is a directory",
        ),
        (
            lambda path: replaced(path, lambda new: new.symlink_to("ops-1.pem")),
            "cannot be read: Too many levels of symbolic links",
        ),
        (
            lambda path: replaced(path, lambda new: new.symlink_to("nothing.pem")),
            "is a link to a file that does not exist",
        ),
    ],
)
def test_a_bad_key_file_is_a_fault_with_its_line(
    tmp_path: Path, spoil: Callable[[Path], object], text: str
) -> None:
    assert faults_with_ops(tmp_path, spoil) == [text]


def test_a_certificate_is_no_public_key(tmp_path: Path, pki: Pki) -> None:
    found = faults_with_ops(tmp_path, lambda path: path.write_bytes(pki.ca.read_bytes()))
    assert found == [f"holds CERTIFICATE: {WANTED}"]


def test_one_key_in_two_files_must_not_pass_for_two_persons(tmp_path: Path) -> None:
    path = write_safety(tmp_path)
    same = (tmp_path / "keys/ops-1.pem").read_bytes()
    (tmp_path / "keys/pulse-1.pem").write_bytes(b"the same\n" + same)
    assert load(path) == (
        None,
        [
            (
                "safety.toml:33: [trusted_key[2]] public_key_file = 'keys/pulse-1.pem': "
                "is the same key as 'keys/ops-1.pem': one key must have one kid"
            )
        ],
    )


def test_a_key_of_another_algorithm_than_the_file_says_is_a_fault(tmp_path: Path) -> None:
    path = write_safety(tmp_path, GOOD.replace('alg = "ES256"', 'alg = "EdDSA"'))
    text = "safety.toml:27: [trusted_key[1]] alg = 'EdDSA': must be ES256, as the key is"
    assert load(path) == (None, [text])


def test_files_that_somebody_else_may_have_written_are_refused(tmp_path: Path) -> None:
    path = write_safety(tmp_path)
    if os.geteuid() == 0:
        os.chown(path, 1, -1)
        found = load(path)
        text = "belongs to user 1: must belong to root"
        assert found == (None, [f"safety.toml:1: {text}"])
        assert load(path, uid=1)[1] == []
        os.chown(path, 0, -1)
        os.chown(tmp_path / "keys", 1, -1)
        start = AT_OPS.format("")
        folder = f"{tmp_path}/keys".replace(f"{tmp_path}/", "")
        assert load(path) == (None, [f"{start}lies in {folder}, which {text}"])
    else:
        me = os.geteuid()
        found = load(path, uid=me + 1)
        text = f"belongs to user {me}: must belong to root or user {me + 1}"
        assert found[0] is None
        assert f"safety.toml:1: {text}" in found[1]


def test_a_folder_that_others_may_write_is_reported_once(tmp_path: Path) -> None:
    path = write_safety(tmp_path)
    (tmp_path / "keys").chmod(0o775)
    text = "lies in keys, which has mode 0775: must not be writable by group or others"
    assert load(path) == (None, [AT_OPS.format("") + text])
    (tmp_path / "keys").chmod(0o755)
    tmp_path.chmod(0o777)
    text = f"lies in {tmp_path}, which has mode 0777: must not be writable by group or others"
    assert load(path) == (None, [f"safety.toml:1: {text}"])


def test_the_folder_of_every_link_on_the_way_counts(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    here = tmp_path / "here"
    here.mkdir(mode=0o755)
    path = write_safety(here)
    (here / "keys/ops-1.pem").rename(here / "ops-1.pem")
    (loose / "hop.pem").symlink_to(here / "ops-1.pem")
    (here / "keys/ops-1.pem").symlink_to(loose / "hop.pem")
    assert load(path)[1] == []
    loose.chmod(0o757)
    text = f"lies in {loose}, which has mode 0757: must not be writable by group or others"
    assert load(path) == (None, [AT_OPS.format("") + text])


def test_a_file_that_the_daemon_may_not_read_says_who_must(tmp_path: Path) -> None:
    path = write_safety(tmp_path)
    path.chmod(0)
    me = os.geteuid()
    if me == 0:  # root reads everything
        os.seteuid(NOBODY)
    try:
        safety, faults = load_safety(path, response_timeouts_s={}, nameplates_w={})
        reader = os.geteuid()
    finally:
        os.seteuid(me)
    assert safety is None
    text = f"not readable by user {reader}: must be readable by the daemon's user"
    assert [str(fault) for fault in faults] == [f"{path}:1: {text}"]


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\n\xff", "safety.toml:2: byte 0xff: must be UTF-8"),
        (b"approval = ", "safety.toml:1: not TOML: Invalid value (at end of document)"),
        (b"#" * 65_537, "safety.toml:1: is larger than 64 KiB: must be at most that"),
    ],
)
def test_a_file_that_is_no_toml_is_a_fault(tmp_path: Path, octets: bytes, text: str) -> None:
    path = write_safety(tmp_path)
    path.write_bytes(octets)
    assert load(path) == (None, [text])


def test_an_empty_file_says_what_has_no_default(tmp_path: Path) -> None:
    safety, faults = load(write_safety(tmp_path, ""))
    assert safety is None
    assert faults == [
        "safety.toml:1: schema is missing: must be one of bess.safety/1",
        "safety.toml:1: approval is missing: must be one of dual, envelope, local, monitor",
        "safety.toml:1: limits [limits] is missing",
        "safety.toml:1: watchdog [watchdog] is missing",
    ]


def test_a_link_to_itself_to_nothing_and_a_folder_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "safety.toml"
    path.symlink_to("safety.toml")
    text = "cannot be read: Too many levels of symbolic links"
    assert load(path) == (None, [f"safety.toml:1: {text}"])
    path.unlink()
    path.symlink_to("nothing")
    assert load(path) == (None, ["safety.toml:1: is a link to a file that does not exist"])
    path.unlink()
    path.mkdir()
    assert load(path) == (None, ["safety.toml:1: cannot be read: Is a directory"])


@pytest.mark.parametrize("name", ["safety.toml", "keys/ops-1.pem"])
def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path, name: str) -> None:
    path = write_safety(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    found: list[tuple[object, list[str]]] = []
    reading = threading.Thread(target=lambda: found.append(load(path)), daemon=True)
    reading.start()
    reading.join(30)
    (loaded,) = found
    assert loaded[0] is None
    assert [text.endswith(": is not a regular file: must be one") for text in loaded[1]] == [True]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            'approval = "dual"\n',
            "",
            "safety.toml:1: approval is missing: must be one of dual, envelope, local, monitor",
        ),
        (
            "max_charge_w = 1500000",
            "max_charge_w = 2000001",
            (
                "safety.toml:11: [limits] max_charge_w = 2000001: must be at most 2000000 W, the "
                "largest nameplate_w of site.toml"
            ),
        ),
        (
            "max_discharge_w = 1200000",
            "max_discharge_w = 2000000.5",
            (
                "safety.toml:12: [limits] max_discharge_w = 2000000.5: must be at most 2000000 "
                "W, the largest nameplate_w of site.toml"
            ),
        ),
        (
            "idle_verify_s = 30",
            "idle_verify_s = 20.5",
            (
                "safety.toml:7: [watchdog] idle_verify_s = 20.5: must be at least 21 seconds, "
                "twice the response timeout of asset 'bess-1' (3 s) plus the ramp to zero (15 s): "
                "bound C "
                "(lease + tick + V + dead-man) would latch a battery that obeys"
            ),
        ),
        (
            'kid = "pulse-1"',
            'kid = "ops-1"',
            "safety.toml:31: [trusted_key[2]] kid = 'ops-1': already used in line 18",
        ),
        (
            "keys/boss-1.pem",
            "keys/../keys/ops-1.pem",
            (
                "safety.toml:26: [trusted_key[1]] public_key_file = 'keys/ops-1.pem': "
                "is the key of 'ops-1' already"
            ),
        ),
        (
            "keys/boss-1.pem",
            "keys/\\u0000.pem",
            (
                "safety.toml:26: [trusted_key[1]] public_key_file = 'keys/\\x00.pem': "
                "cannot be read: a NUL is in its name"
            ),
        ),
        (
            'public_key_file = "keys/boss-1.pem"',
            "public_key_file = 7",
            "safety.toml:26: [trusted_key[1]] public_key_file = 7: must be a non-empty string",
        ),
        (
            "lease_s = 30",
            "lease_s = 30\nlease = 30",
            (
                "safety.toml:7: [watchdog] lease is unknown: allowed are challenge_s, heartbeat_s, "
                "idle_verify_s, lease_s, max_dispatch_s, preempted, reversion_refresh_s, "
                "reversion_s, rtac_deadman_s"
            ),
        ),
        (
            'role = ["approver", "emergency"]',
            'role = ["emergency"]',
            (
                "safety.toml:2: approval no [[trusted_key]] has role 'approver': approval = 'dual' "
                "needs one"
            ),
        ),
    ],
)
def test_a_contradiction_is_a_fault_and_the_site_still_loads(
    site: Path, old: str, new: str, text: str
) -> None:
    assert old in GOOD
    path = write_safety(site.parent, GOOD.replace(old, new, 1))
    assert load(path) == (None, [text])
    loaded = load_site(site)
    assert loaded.safety is None
    assert [str(fault).replace(f"{site.parent}/", "") for fault in loaded.safety_faults] == [text]


def test_a_response_timeout_of_the_site_is_held_against_the_watchdog(tmp_path: Path) -> None:
    text = (
        "safety.toml:7: [watchdog] idle_verify_s = 30: must be at least 31 seconds, twice the "
        "response timeout of asset 'bess-1' (8 s) plus the ramp to zero (15 s): bound C (lease + "
        "tick + V + dead-man) would latch a battery that obeys"
    )
    assert load(write_safety(tmp_path), r=8) == (None, [text])


def test_every_fault_of_file_and_keys_is_reported_at_once_in_order(tmp_path: Path) -> None:
    path = write_safety(tmp_path, GOOD.replace("lease_s = 30", "lease_s = 3"))
    (tmp_path / "keys/ops-1.pem").unlink()
    (tmp_path / "keys/pulse-1.pem").chmod(0o666)
    path.chmod(0o666)
    safety, faults = load(path)
    assert safety is None
    lines = [int(fault.split(":")[1]) for fault in faults]
    assert lines == [1, 5, 6, 20, 33], faults


def test_expired_and_revoked_keys_are_no_fault_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("2027-12-31", "2020-12-31", 1) + "revoked = true\n"
    text += '[[trusted_key]]\nkid = "guard-1"\nrole = ["heartbeat"]\n'
    text += 'public_key_file = "keys/guard-1.pem"\nnot_after = 2027-12-31\n'
    safety, faults = load(write_safety(tmp_path, text))
    assert faults == []
    assert safety is not None


def test_a_site_comes_with_its_safety_or_its_faults_or_neither(site: Path) -> None:
    loaded = load_site(site)
    assert (loaded.safety, loaded.safety_faults) == (None, ())
    path = write_safety(site.parent)
    loaded = load_site(site)
    assert loaded.safety is not None
    assert loaded.safety_faults == ()
    (site.parent / "keys/ops-1.pem").unlink()
    loaded = load_site(site)
    assert loaded.safety is None
    assert [fault.where.file for fault in loaded.safety_faults] == [str(path)]
    assert set(loaded.maps) == {"bess-1"}, "telemetry goes on"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(GOOD)),
    cut=st.integers(0, 60),
    put=st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [b"trusted_key = 3\n", b"[[", b'"', b"nan", b"9" * 5000, b"[limits]\n", b"{}", b"\x00"]
        ),
    ),
)
def test_no_content_raises(tmp_path: Path, at: int, cut: int, put: bytes) -> None:
    path = write_safety(tmp_path)
    good = GOOD.encode()
    path.write_bytes(good[:at] + put + good[at + cut :])
    safety, faults = load(path)
    assert (safety is None) == bool(faults)
