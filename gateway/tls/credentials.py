"""The TLS side of the uplink: our certificate and key, the broker's CA.

The hostname is always checked and nothing below TLS 1.2 is spoken. ``faults`` explains every file
that is wrong, with the settings key that names it; ``client_context`` is what connects.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from gateway.clock import rfc3339
from gateway.errors import ConfigError, Fault, Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.site import UplinkSettings

_BEGIN = b"-----BEGIN "
_T = TypeVar("_T")


class _PublicKey(Protocol):
    def public_bytes(
        self, encoding: serialization.Encoding, form: serialization.PublicFormat, /
    ) -> bytes: ...


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho 2.2 leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class TlsFault(NamedTuple):
    """One file that is wrong: the key of [uplink] that names it, its path, what is wrong."""

    key: str
    path: str
    text: str


def key_path(settings: UplinkSettings) -> str:
    """Where the private key is: ``key_file``, or the systemd credential of that name.

    Source: systemd.exec(5), $CREDENTIALS_DIRECTORY.
    """
    if settings.key_file:
        return settings.key_file
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return str(Path(folder) / settings.credential) if folder else ""


def password(settings: UplinkSettings) -> str | None:
    """What stands in ``password_file``, without the end of its line; None where there is none.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    if not settings.password_file:
        return None
    try:
        found = Path(settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
        raise ConfigError([Fault(Where(settings.password_file, "", "", 1), why)]) from None
    if not found:
        why = "is empty: must hold the password"
        raise ConfigError([Fault(Where(settings.password_file, "", "", 1), why)])
    return found


def client_context(settings: UplinkSettings) -> ssl.SSLContext:
    """The context to connect with.

    An expired certificate of ours is no error here: our clock may be wrong, and the broker
    decides.

    Raises:
        ConfigError: a file is missing, unreadable or not what it should be; all such faults.
    """
    found = faults(settings, unix_ms=None)
    if found:
        raise ConfigError(
            [Fault(Where(fault.path or fault.key, "", "", 1), fault.text) for fault in found]
        )
    try:
        return _context(settings)
    except OSError as error:  # a file that changed since; ssl.SSLError is one, too
        where = Where(settings.cert_file, "", "", 1)
        raise ConfigError([Fault(where, f"TLS does not take it: {error}")]) from None


def _context(settings: UplinkSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and hostname
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    context.load_verify_locations(settings.ca_file)
    context.load_cert_chain(settings.cert_file, key_path(settings))
    if settings.alpn:
        context.set_alpn_protocols([settings.alpn])
    return context


def faults(
    settings: UplinkSettings, *, unix_ms: int | None, sealed: bool = False
) -> list[TlsFault]:
    """Everything wrong with the files that [uplink] names.

    Args:
        settings: [uplink].
        unix_ms: now, to judge validity; None to leave that to the broker.
        sealed: a credential that this process was not given is no fault: outside the unit,
            systemd passes none.
    """
    found: list[TlsFault] = []
    try:
        password(settings)
    except ConfigError as error:
        found += [TlsFault("password_file", one.where.file, one.text) for one in error.faults]
    _load("ca_file", settings.ca_file, "a CA certificate", _certificates, found)
    certificates = _load("cert_file", settings.cert_file, "a certificate", _certificates, found)
    name = "key_file" if settings.key_file else "credential"
    path = key_path(settings)
    if path:
        key = _load(name, path, "an unencrypted private key", _private_key, found)
    elif sealed:
        return [*found, *_expiry(settings, certificates, unix_ms)]
    else:
        text = f'= "{settings.credential}": systemd passed no credentials to this process'
        found.append(TlsFault(name, "", text))
        key = None
    if certificates and key is not None and key != _public(certificates[0]):
        text = f"does not belong to the certificate in {settings.cert_file}"
        found.append(TlsFault(name, path, text))
    if not found:
        try:
            _context(settings)
        except OSError as error:  # what only OpenSSL judges, such as a key that is too short
            reason = getattr(error, "reason", None) or error
            text = f"OpenSSL does not take it with its key and CA: {reason}"
            found.append(TlsFault("cert_file", settings.cert_file, text))
    return [*found, *_expiry(settings, certificates, unix_ms)]


def warnings(settings: UplinkSettings, gateway: str) -> list[str]:
    """What is not wrong, and should not be so: who may read the key, whose certificate it is."""
    found: list[str] = []
    key, path = Path(settings.key_file), Path(settings.cert_file)
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(key.stat().st_mode) if settings.key_file else 0
        if mode & 0o007:
            found.append(f"{key} is open to everybody on this box ({mode:04o}): must be 0640")
    with contextlib.suppress(OSError, ValueError):
        names = _names(_certificates(path.read_bytes())[0])
        if names and gateway not in names:
            told = ", ".join(names)
            found.append(
                f"{path} is of {told}, and [gateway] id is {gateway}: a broker that goes by the "
                f"name in the certificate refuses our topics"
            )
    return found


def _names(certificate: x509.Certificate) -> list[str]:
    """Whose it is: common names, then alternative ones."""
    found = [
        str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]
    with contextlib.suppress(x509.ExtensionNotFound):
        kind = x509.SubjectAlternativeName
        others = certificate.extensions.get_extension_for_class(kind).value
        found += [str(one.value) for one in others]
    return list(dict.fromkeys(found))


def _expiry(
    settings: UplinkSettings, certificates: list[x509.Certificate] | None, unix_ms: int | None
) -> list[TlsFault]:
    if not certificates or unix_ms is None:
        return []
    text = _validity(certificates[0], unix_ms)
    return [TlsFault("cert_file", settings.cert_file, text)] if text else []


def certificate_not_after(path: str) -> int:
    """End of life of the first certificate in a PEM file, as Unix ms.

    Raises:
        ConfigError: the file is missing, unreadable or no certificate.
    """
    found: list[TlsFault] = []
    certificates = _load("cert_file", path, "a certificate", _certificates, found)
    if not certificates:
        raise ConfigError([Fault(Where(path, "", "", 1), found[0].text)])
    return _not_after(certificates[0])


def _load(
    key: str, path: str, wanted: str, read: Callable[[bytes], _T], found: list[TlsFault]
) -> _T | None:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        found.append(TlsFault(key, path, f"cannot be read: {error.strerror}"))
        return None
    try:
        return read(content)
    except (ValueError, TypeError):  # TypeError: the key is encrypted and there is no password
        blocks = ", ".join(_blocks(content)) or "no PEM block"
        found.append(TlsFault(key, path, f"holds {blocks}: must be {wanted} in PEM"))
        return None


def _blocks(content: bytes) -> list[str]:
    lines = (line.strip() for line in content.splitlines() if line.startswith(_BEGIN))
    return [line[len(_BEGIN) :].rstrip(b"-").decode("ascii", "replace") for line in lines]


def _certificates(content: bytes) -> list[x509.Certificate]:
    mark = b"-----END CERTIFICATE-----"
    parts = content.split(mark)[:-1]
    if not parts:
        raise ValueError
    return [x509.load_pem_x509_certificate(part + mark + b"\n") for part in parts]


def _private_key(content: bytes) -> bytes:
    """The public half of the private key, to compare."""
    key = serialization.load_pem_private_key(content, password=None)
    return _spki(key.public_key())


def _public(certificate: x509.Certificate) -> bytes:
    return _spki(certificate.public_key())


def _spki(key: _PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _not_after(certificate: x509.Certificate) -> int:
    return _unix_ms(certificate, "not_valid_after")


def _unix_ms(certificate: x509.Certificate, name: str) -> int:
    # cryptography 38 (Debian 12) has only the naive names, 42 and later deprecate them.
    at: dt.datetime | None = getattr(certificate, f"{name}_utc", None)
    if at is None:
        at = getattr(certificate, name).replace(tzinfo=dt.UTC)
    assert at is not None
    return int(at.timestamp() * 1000)


def _validity(certificate: x509.Certificate, unix_ms: int) -> str:
    if unix_ms > _not_after(certificate):
        return f"has expired on {rfc3339(_not_after(certificate))}: a valid one is needed"
    begins = _unix_ms(certificate, "not_valid_before")
    if unix_ms < begins:
        return f"is valid only from {rfc3339(begins)}: check the clock of this machine"
    return ""
