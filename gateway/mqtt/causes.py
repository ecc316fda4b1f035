"""Why there is no connection to the broker, in words that a technician can act on. Pure."""

from __future__ import annotations

import errno
import socket
import ssl

# X509_V_ERR_* of OpenSSL's x509_vfy.h, as SSLCertVerificationError.verify_code.
_EXPIRED, _NOT_YET = 10, 9
_UNKNOWN_CA = {2, 18, 19, 20, 21}
_WRONG_HOST = {62, 64}

_ALERTS = (  # OpenSSL's reason -> what the broker says about our certificate
    ("CERTIFICATE_EXPIRED", "it has expired"),
    ("UNKNOWN_CA", "it is signed by a CA that the broker does not know"),
    ("CERTIFICATE_REVOKED", "it is revoked"),
    ("CERTIFICATE_REQUIRED", "none was sent"),
    ("CERTIFICATE_UNKNOWN", "it cannot be verified"),
    ("UNSUPPORTED_CERTIFICATE", "its type is not accepted"),
    ("BAD_CERTIFICATE", "it is not valid"),
    ("DECRYPT_ERROR", "its signature does not verify"),
    ("ACCESS_DENIED", "it has no access"),
    ("HANDSHAKE_FAILURE", "the handshake failed"),
)
CLOSED = "closed the connection"  # without a word
PERHAPS_3_1_1 = ': perhaps it speaks MQTT 3.1.1 alone: set [uplink] protocol = "3.1.1"'
NO_QOS = "the broker takes QoS 0 only: it acknowledges nothing, so nothing could be shipped safely"
SHARED_ID = "two gateways share one id or certificate"
TOO_MUCH = frozenset({0x96, 0x97})  # Message rate too high, Quota exceeded
_REASONS = {  # MQTT 5, section 2.4; paho converts the return codes of 3.1.1 to these
    0x81: "malformed packet",
    0x82: "protocol error",
    0x84: 'it does not speak this MQTT version: set [uplink] protocol = "3.1.1"',
    0x85: "it does not accept our client id",
    0x86: "bad user name or password",
    0x87: "not authorized: our certificate's identity has no access",
    0x88: "it is unavailable",
    0x89: "it is busy",
    0x8A: "this client is banned",
    0x8B: "it is shutting down",
    0x8D: "it did not hear from us within the keep-alive",
    0x8E: f"another client connected with our id: {SHARED_ID}",
    0x93: "we sent more than its Receive Maximum",
    0x95: "a packet was larger than it takes",
    0x96: "we publish faster than it takes",
    0x97: "a quota is exceeded",
    0x98: "an administrator ended the connection",
    0x9A: "it keeps no retained messages: set [uplink] retain = false",
    0x9B: NO_QOS,
    0x9C: "it tells us to use another server",
    0x9D: "it has moved to another server",
    0x9F: "we connect too often",
}


class ResolverSilentError(OSError):
    """The resolver did not answer in time."""


def reason(code: int, name: str) -> str:
    """An MQTT reason code in words; ``name`` is the standard's, for codes not known here."""
    return _REASONS.get(code, f"{name} (0x{code:02X})")


def of_error(error: Exception, *, host: str, port: int) -> str:
    """What an exception from the socket or from TLS means."""
    where = f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error, where, host)
    if isinstance(error, ssl.SSLError):
        return _tls(error, where)
    if isinstance(error, ResolverSilentError):
        return f"DNS: no answer for {host} in time: are the name servers of this machine there?"
    if isinstance(error, socket.gaierror):
        return f"DNS: {host} cannot be resolved ({error.strerror})"
    return _socket(error, where)


def _socket(error: Exception, where: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refused the connection: no broker listens there"
    if isinstance(error, TimeoutError):
        return f"{where} does not answer"
    if isinstance(error, OSError) and error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return f"no route to {where}"
    if isinstance(error, ConnectionError):
        return f"{where} {CLOSED}"
    return f"{where}: {str(error) or type(error).__name__}"


def _verification(error: ssl.SSLCertVerificationError, where: str, host: str) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return f"the broker's certificate ({where}) has expired"
    if code == _NOT_YET:
        return f"the broker's certificate ({where}) is not valid yet: check this machine's clock"
    if code in _WRONG_HOST:
        return f"wrong host name: the broker's certificate ({where}) does not name {host}"
    if code in _UNKNOWN_CA:
        return f"unknown CA: the broker's certificate ({where}) is not signed by our ca_file"
    return f"the broker's certificate ({where}) is refused: {error.verify_message}"


def _tls(error: ssl.SSLError, where: str) -> str:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return f"{where} {CLOSED}"
    name = (error.reason or "").upper()
    if "ALERT" in name or name == "HANDSHAKE_FAILURE":
        for alert, meaning in _ALERTS:
            if alert in name:
                return f"the broker ({where}) refused our certificate: {meaning}"
    if "PROTOCOL" in name and "VERSION" in name:
        return f"{where} does not speak TLS 1.2 or later"
    if name in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}:
        return f"{where} does not speak TLS: is this the right port?"
    return f"TLS with {where} failed: {error.reason or error}"
