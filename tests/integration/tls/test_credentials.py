"""The three files of [uplink]: every way in which they can be wrong is named."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from gateway import clock
from gateway.demo.pki import Pki
from gateway.errors import ConfigError
from gateway.tls import credentials
from gateway.uplink.frame import compressor, splice
from tests.fixtures.brokers import site

if TYPE_CHECKING:
    from gateway.config.site import UplinkSettings

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def test_a_key_that_everybody_may_read_and_a_strange_certificate_are_warned_of(
    pki: Pki, tmp_path: Path
) -> None:
    settings = uplink(pki)
    assert credentials.warnings(settings, "gw-17") == []
    open_key = Path(shutil.copy(settings.key_file, tmp_path / "gateway.key"))
    open_key.chmod(0o644)
    found = credentials.warnings(dataclasses.replace(settings, key_file=str(open_key)), "gw-18")
    assert found[0] == f"{open_key} is open to everybody on this box (0644): must be 0640"
    assert "is of gw-17, and [gateway] id is gw-18" in found[1]


def uplink(pki: Pki, **change: str) -> UplinkSettings:
    return dataclasses.replace(site(pki, 1).uplink, **change)  # type: ignore[arg-type]  # all text


def faults(settings: UplinkSettings) -> list[tuple[str, str]]:
    return [
        (each.key, each.text) for each in credentials.faults(settings, unix_ms=clock.now().unix_ms)
    ]


def test_good_files_have_no_fault_and_make_a_strict_context(pki: Pki) -> None:
    assert faults(uplink(pki)) == []
    context = credentials.client_context(uplink(pki))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_missing_file_is_named_by_its_settings_key(pki: Pki, key: str, tmp_path: Path) -> None:
    settings = uplink(pki, **{key: str(tmp_path / "gone.pem")})
    assert faults(settings) == [(key, "cannot be read: No such file or directory")]
    with pytest.raises(ConfigError, match=r"gone\.pem:1: cannot be read"):
        credentials.client_context(settings)


def test_every_fault_is_reported_at_once(pki: Pki, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    settings = uplink(pki, ca_file=gone, cert_file=gone, key_file=gone)
    assert [key for key, _ in faults(settings)] == ["ca_file", "cert_file", "key_file"]


def test_a_key_where_a_certificate_should_be(pki: Pki) -> None:
    good = uplink(pki)
    swapped = dataclasses.replace(good, cert_file=good.key_file, key_file=good.cert_file)
    assert faults(swapped) == [
        ("cert_file", "holds PRIVATE KEY: must be a certificate in PEM"),
        ("key_file", "holds CERTIFICATE: must be an unencrypted private key in PEM"),
    ]


def test_a_der_file_is_no_pem(pki: Pki, tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(pki.ca.read_bytes())
    path = tmp_path / "ca.der"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    assert faults(uplink(pki, ca_file=str(path))) == [
        ("ca_file", "holds no PEM block: must be a CA certificate in PEM")
    ]


def test_an_encrypted_key_cannot_be_used(pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "locked.key"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    [(key, text)] = faults(uplink(pki, key_file=str(path)))
    assert (key, text.startswith("holds ENCRYPTED PRIVATE KEY")) == ("key_file", True)


def test_a_key_that_belongs_to_another_certificate(pki: Pki) -> None:
    _, other = pki.client("other")
    [(key, text)] = faults(uplink(pki, key_file=str(other)))
    assert key == "key_file"
    assert text.startswith("does not belong to the certificate in ")


def test_a_key_too_short_for_openssl_is_a_fault_of_the_file_and_not_a_bug_later(
    pki: Pki, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-17")])
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(since)
        .not_valid_after(since + dt.timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "short.pem", tmp_path / "short.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    settings = uplink(pki, cert_file=str(cert_file), key_file=str(key_file))
    [(named, text)] = faults(settings)
    assert (named, "KEY_TOO_SMALL" in text) == ("cert_file", True)
    with pytest.raises(ConfigError, match="KEY_TOO_SMALL"):
        credentials.client_context(settings)


def test_an_expired_certificate_is_a_fault_but_still_makes_a_context(pki: Pki) -> None:
    cert, key = pki.client("gw-17", expired=True)
    settings = uplink(pki, cert_file=str(cert), key_file=str(key))
    [(name, text)] = faults(settings)
    assert name == "cert_file"
    assert text.startswith("has expired on 20")
    credentials.client_context(settings)


def test_a_certificate_of_the_future_points_at_the_clock(pki: Pki) -> None:
    early = clock.now().unix_ms - 10 * DAY_MS
    [fault] = credentials.faults(uplink(pki), unix_ms=early)
    assert "check the clock of this machine" in fault.text


def test_the_end_of_life_of_a_certificate_is_known(pki: Pki, tmp_path: Path) -> None:
    days = (
        credentials.certificate_not_after(str(pki.client("gw-17")[0])) - clock.now().unix_ms
    ) / DAY_MS
    assert 59 < days <= 60
    with pytest.raises(ConfigError, match="cannot be read"):
        credentials.certificate_not_after(str(tmp_path / "gone.pem"))


def test_the_key_may_be_a_systemd_credential(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = uplink(pki)
    settings = dataclasses.replace(good, key_file="", credential="uplink-key")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    [(key, text)] = faults(settings)
    assert (key, "systemd passed no credentials" in text) == ("credential", True)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "uplink-key").write_bytes(Path(good.key_file).read_bytes())
    assert faults(settings) == []
    credentials.client_context(settings)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the program zstd (apt)")
def test_the_zstd_program_reads_a_spliced_frame() -> None:
    content = b'"point":["AI1","AI2"],' * 9000
    whole = splice(b'{"seq":1,', compressor().compress(content))
    found = subprocess.run(["zstd", "-dc"], input=whole, capture_output=True, check=True)
    assert found.stdout == b'{"seq":1,' + content
