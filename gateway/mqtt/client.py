"""What every paho client of ours has in common: its callbacks, its logger, its subscriptions.

What a reader would get wrong: with ``on_socket_register_write`` set, paho 2.2 writes on its network
thread alone. Otherwise it writes on the publishing thread too, and two threads in one TLS socket
corrupt it; and ``connect`` writes at once, so that a broker that has refused our certificate
answers with a reset that swallows its reason.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from paho.mqtt.subscribeoptions import SubscribeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import paho.mqtt.client as paho
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

FILTERS = 8  # of one SUBSCRIBE: what AWS IoT Core takes
CONNECT_S = 10.0  # each: TCP, TLS, CONNACK, SUBACK


class HiddenError(logging.Handler):
    """Keeps the exception that paho logs and hides, such as the TLS alert after a handshake."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the first exception among what is logged."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.error = next((one for one in arguments if isinstance(one, Exception)), self.error)


class Callbacks(Protocol):
    """What paho calls, inside its locks and on its network thread."""

    def on_connect(
        self, client: paho.Client, _u: object, _f: object, code: ReasonCode, p: Properties | None
    ) -> None:
        """CONNACK came."""
        ...

    def on_subscribe(
        self, client: paho.Client, _u: object, _mid: int, codes: list[ReasonCode], _p: object
    ) -> None:
        """SUBACK came."""
        ...

    def on_publish(self, _c: object, _u: object, mid: int, code: ReasonCode, _p: object) -> None:
        """PUBACK came."""
        ...

    def on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        """PUBLISH came."""
        ...

    def on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, code: ReasonCode, _p: object
    ) -> None:
        """The connection ended."""
        ...


def attach(client: paho.Client, owner: Callbacks, hidden: HiddenError) -> None:
    """Have ``client`` call ``owner``, log to ``hidden``, and write on its network thread alone."""
    logger = logging.Logger(__name__, logging.ERROR)  # noqa: LOG001 - this connection's alone
    logger.addHandler(hidden)
    client.enable_logger(logger)
    client.connect_timeout = CONNECT_S
    client.on_connect = owner.on_connect
    client.on_subscribe = owner.on_subscribe
    client.on_publish = owner.on_publish
    client.on_message = owner.on_message
    client.on_disconnect = owner.on_disconnect
    client.on_socket_register_write = _nothing


def detach(client: paho.Client) -> None:
    """Let ``client`` go.

    paho closes its own pair of sockets in __del__: without the callbacks that refer to its owner
    this happens when it is dropped, and not at some later garbage collection.
    """
    client.on_connect = client.on_subscribe = client.on_publish = None
    client.on_message = client.on_disconnect = client.on_socket_register_write = None


def parts(topics: Mapping[str, int]) -> list[dict[str, int]]:
    """``topics`` in steps of as many as one SUBSCRIBE may name on every broker."""
    pairs = list(topics.items())
    return [dict(pairs[at : at + FILTERS]) for at in range(0, len(pairs), FILTERS)]


def subscribe(client: paho.Client, topics: Mapping[str, int], *, v5: bool, retained: bool) -> None:
    """Subscribe to ``topics`` (with their QoS), all in one SUBSCRIBE: no more than ``FILTERS``.

    Args:
        client: connected.
        topics: filters.
        v5: it speaks MQTT 5.
        retained: MQTT 5 alone: messages keep their retain flag as published.
    """
    if v5:
        client.subscribe(
            [
                (topic, SubscribeOptions(qos=qos, retainAsPublished=retained))
                for topic, qos in topics.items()
            ]
        )
    else:
        client.subscribe(list(topics.items()))


def _nothing(*_: object) -> None:
    """Keeps paho from writing on the publishing thread."""
