"""A throwaway PKI: one CA, a broker's certificate for loopback, client certificates by name.

Also every certificate that a broker or a gateway must refuse: expired, for another host, from
another CA. Keys are made for one run and lie only in the folder that is given.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_DAY = dt.timedelta(days=1)


class Pki:
    """Certificates and keys as PEM files below ``folder``; each is made once, when asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authorities: dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]] = {}
        self.ca = self._authority("ca")  # what the broker and its clients trust

    @property
    def other_ca(self) -> Path:
        """A CA that nobody here trusts; it signs the clients of ``stranger``."""
        return self._authority("other-ca")

    def client(self, name: str, *, expired: bool = False) -> tuple[Path, Path]:
        """Certificate and key of the client ``name`` (its common name); renewed at each call."""
        stem = f"{name}-expired" if expired else name
        return self._issue(stem, name, authority="ca", expired=expired, hosts=())

    def stranger(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a client called ``name`` that the broker's CA did not sign."""
        self._authority("other-ca")
        return self._issue(f"{name}-stranger", name, authority="other-ca", expired=False, hosts=())

    def broker(self, *, expired: bool = False, hosts: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Certificate and key of a broker, for loopback unless ``hosts`` says otherwise."""
        stem = "broker" + ("-expired" if expired else "") + ("-host" if hosts else "")
        hosts = hosts or ("localhost", "127.0.0.1")
        return self._issue(stem, "broker", authority="ca", expired=expired, hosts=hosts)

    def _authority(self, name: str) -> Path:
        path = self._folder / f"{name}.pem"
        if name not in self._authorities:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(f"throwaway {name}")
            builder = _builder(subject, subject, key.public_key(), expired=False)
            builder = builder.add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            ).add_extension(_usage(ca=True), critical=True)
            certificate = builder.sign(key, hashes.SHA256())
            path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            self._authorities[name] = (certificate, key)
        return path

    def _issue(
        self, stem: str, name: str, *, authority: str, expired: bool, hosts: tuple[str, ...]
    ) -> tuple[Path, Path]:
        issuer, issuer_key = self._authorities[authority]
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), issuer.subject, key.public_key(), expired=expired)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = (
            builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(signer, critical=False)  # Python 3.13 verifies strictly (RFC 5280)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        cert_file, key_file = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert_file, key_file


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool
) -> x509.CertificateBuilder:
    today = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - 2 * _DAY)
        .not_valid_after(today - _DAY if expired else today + 60 * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
