"""What a platform does with our messages: decode, drop duplicates, find gaps. Stands alone.

    consumer = Consumer()
    for message in consumer.take(topic, payload):      # whole messages, each record once
        for reading in readings(message):              # the rows of a telemetry message
            ...
    consumer.lost()                                    # 0, or something is wrong
    consumer.went_back()                               # [], or its store is an older one

The gateway sends a record again whenever it did not see the broker's acknowledgement, and records
never change, so (gateway, stream, epoch, seq) says whether one is new. Each start of the gateway
begins an epoch, and an event of type "epoch" says where the one before ended. Numbers that it gave
up on purpose are announced by an event of type "gap"; what is missing and not announced is lost.

A broker lets each gateway write below its own name alone. So the topic says who speaks, and a
payload that names another gateway is refused: who holds the key of one box speaks for that box.
"""

from gateway.consumer.consumer import Consumer, Key
from gateway.consumer.decoding import Reading, decode, decode_all, readings
from gateway.consumer.epochs import WentBack

__all__ = ["Consumer", "Key", "Reading", "WentBack", "decode", "decode_all", "readings"]
