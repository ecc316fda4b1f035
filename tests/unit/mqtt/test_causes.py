from __future__ import annotations

import errno
import socket
import ssl

import pytest

from gateway.mqtt.causes import of_error, reason


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "as OpenSSL says it"
    return error


def tls(name: str) -> ssl.SSLError:
    error = ssl.SSLError(1, name)
    error.reason = name
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(), "mqtt.site:8883 refused the connection: no broker listens"),
        (socket.gaierror(-2, "Name or service not known"), "DNS: mqtt.site cannot be resolved"),
        (TimeoutError(), "mqtt.site:8883 does not answer"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route to mqtt.site:8883"),
        (ConnectionResetError(), "mqtt.site:8883 closed the connection"),
        (OSError("odd"), "mqtt.site:8883: odd"),
        (ValueError(), "mqtt.site:8883: ValueError"),
        (verification(10), "the broker's certificate (mqtt.site:8883) has expired"),
        (verification(9), "is not valid yet: check this machine's clock"),
        (verification(62), "wrong host name: the broker's certificate"),
        (verification(20), "unknown CA: the broker's certificate"),
        (verification(19), "unknown CA: the broker's certificate"),
        (verification(23), "is refused: as OpenSSL says it"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), "refused our certificate: it is signed by a CA"),
        (tls("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "refused our certificate: it has expired"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "refused our certificate: none was sent"),
        (tls("WRONG_VERSION_NUMBER"), "does not speak TLS: is this the right port?"),
        (tls("TLSV1_ALERT_PROTOCOL_VERSION"), "does not speak TLS 1.2 or later"),
        (tls("SOMETHING"), "TLS with mqtt.site:8883 failed: SOMETHING"),
        (ssl.SSLEOFError(8, "EOF"), "mqtt.site:8883 closed the connection"),
    ],
)
def test_a_technician_reads_what_is_wrong(error: Exception, cause: str) -> None:
    assert cause in of_error(error, host="mqtt.site", port=8883)


def test_a_take_over_by_another_client_is_named() -> None:
    assert "two gateways share one id" in reason(0x8E, "Session taken over")


def test_an_unknown_reason_keeps_its_name_and_number() -> None:
    assert reason(0xA2, "Wildcard subscriptions not supported") == (
        "Wildcard subscriptions not supported (0xA2)"
    )
