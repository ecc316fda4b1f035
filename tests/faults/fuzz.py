"""The fuzzers. Each runs for some seconds from a seed and returns what it did, or raises.

python -m tests.faults.fuzz dnp3|mqtt|toml|maps|decode SECONDS [SEED]
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from gateway import consumer
from gateway.demo.pki import Pki
from gateway.effects import Publish
from gateway.errors import ConfigError, PayloadError
from gateway.events import BrokerDown, BrokerUp, PublishRefused, ThreadFault
from gateway.site.load import load_site
from gateway.site.maps import load_map
from gateway.streams import Gap, Row, Stream
from gateway.uplink.messages import notice_batch, wire
from gateway.uplink.telemetry import Telemetry
from tests.faults.hostile import Hostile
from tests.fixtures.brokers import CONNACK, TAKEN, FakeBroker, Inbox, packets, session, site, suback
from tests.fixtures.daemon import ROOT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

GROWTH = 96 << 20  # bytes that a process may grow while it is fuzzed
LATE_S = 60.0
STALLED_S = 2.0  # without a PUBACK; 60 as shipped
BACKED_OFF_S = 180.0  # after that many refusals the next attempt is up to a minute away, twice


def dnp3(seconds: float, seed: int) -> str:
    """A hostile outstation, then a polite one: the session must come up again."""
    with contextlib.ExitStack() as stack:
        outstations = [stack.enter_context(Hostile(seed * 10 + at)) for at in range(4)]
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fuzzed_master"]
            + [str(one.port) for one in outstations],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            first, last = _report(child), _report(child)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                last = _report(child)
                assert last["rss"] < first["rss"] + GROWTH, f"it grows: {first} to {last}"
            for one in outstations:
                one.polite = True
            end = time.monotonic() + LATE_S
            polls = last["polls"]
            while last["polls"] < polls + 5:
                last = _report(child)
                assert time.monotonic() < end, f"never came back: {last}"
            child.stdin.close()
            assert child.wait(30) == 0
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        grown = (last["rss"] - first["rss"]) >> 20
        return (
            f"{sum(one.said for one in outstations)} answers,"
            f" {sum(one.connections for one in outstations)} connections, {last['ups']} times up,"
            f" {last['points']} points, {last['batches']} batches; RSS +{grown} MiB"
        )


def _report(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, f"the master ended with {child.wait(30)}"
    said: dict[str, Any] = json.loads(line)
    assert not said["fault"], said
    return said


def mqtt(seconds: float, seed: int) -> str:
    """A broker that sends what is not MQTT; then it behaves, and a message must reach it.

    It keeps a connection that it had spoilt: the session has to leave that one by itself.
    """
    spoiler = _Spoiler(random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        pki, inbox = Pki(Path(folder)), Inbox()
        with (
            FakeBroker(pki, spoiler.serve) as broker,
            session(site(pki, broker.port), inbox, stalled_s=STALLED_S) as client,
        ):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with contextlib.suppress(AssertionError):  # until the keep-alive ends it
                    inbox.wait(object)
                if any(isinstance(each, BrokerUp) for each in inbox.seen) and spoiler.rng.randrange(
                    4
                ):
                    client.publish(_message(1))
                _no_faults(inbox)
                inbox.seen.clear()
            spoiler.good, token = True, 1
            end = time.monotonic() + BACKED_OFF_S
            while not spoiler.answered:
                assert time.monotonic() < end, f"never came back: {inbox.seen}"
                token += 1
                client.publish(_message(token))
                if _outcome(inbox, token) is PublishRefused:  # not connected
                    with contextlib.suppress(AssertionError):
                        inbox.wait(BrokerUp)
            _no_faults(inbox)
    return f"{spoiler.said} packets, {spoiler.connections} connections"


class _Spoiler:
    """The broker, packet by packet; ``good`` from then on."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.good = False
        self.answered = False  # a PUBLISH, while good
        self.said = self.connections = 0

    def serve(self, connection: ssl.SSLSocket) -> None:
        """Answer until the end of a connection."""
        self.connections += 1
        for kind, body in packets(connection):
            self.said += 1
            if kind == 1:
                self._say(connection, CONNACK, most=0.95)
            elif kind == 3 and self.good:
                at = 2 + int.from_bytes(body[:2], "big")
                connection.sendall(b"\x40\x02" + body[at : at + 2])
                self.answered = True
            elif kind == 8:
                self._say(connection, suback(body), most=0.95)
                if not self.good:
                    for _ in range(self.rng.randrange(30)):
                        self._say(connection, b"", most=0.0)
                    if self.rng.random() < 0.8:  # else half a packet may wait for more
                        return
            elif kind == 12:
                connection.sendall(b"\xd0\x00")

    def _say(self, connection: ssl.SSLSocket, answer: bytes, *, most: float) -> None:
        said = self.good or self.rng.random() < most
        connection.sendall(answer if said else _packet(self.rng))
        self.said += 1


def _message(token: int) -> Publish:
    return Publish(token, "bess/v1/gw-17/status", b"{}", qos=1, retain=False)


def _outcome(inbox: Inbox, token: int) -> type:
    """What became of a message; the session ends a connection on which nothing moves."""

    def settles(event: object) -> bool:
        own = isinstance(event, (*TAKEN, PublishRefused)) and event.token == token
        return own or isinstance(event, BrokerDown)

    return type(inbox.wait(object, settles))


def _no_faults(inbox: Inbox) -> None:
    faults = [each for each in inbox.seen if isinstance(each, ThreadFault)]
    assert not faults, faults


def _packet(rng: random.Random) -> bytes:
    way = rng.random()
    if way < 0.2:
        return rng.randbytes(rng.choice((1, 2, 10, 200)))
    topic = rng.choice(
        (b"bess/v1/gw-17/bess-1/cmd", b"bess/v1/gw-17/hb/down", b"", rng.randbytes(9))
    )
    body = len(topic).to_bytes(2, "big") + topic + rng.randbytes(rng.choice((0, 2, 3, 50)))
    if way < 0.3:
        body += bytes(rng.choice((17_000, 20_000)))
    head = rng.choice((0x30, 0x32, 0x34, 0x3D, 0x40, 0x20, 0x90, 0xD0, 0xE0, rng.randrange(256)))
    size, length = len(body), b""
    if way > 0.9:
        size = rng.choice((0, 1, size + 5, 268_435_455))
    while True:
        size, digit = size >> 7, size & 0x7F
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([head]) + length + body


WORDS = (
    *(b"[", b"]", b"[[", b"]]", b"=", b'"', b"'''", b"\n", b"#", b"\\", b"\x00", b"\xff", b"nan"),
    *(b"inf", b"-1", b"1e999", b"0x", b"9" * 40, b"true", b"1979-05-27", b"{}", b"[[asset]]"),
    *(b"re:(", b"*", b"\xc2\xa0", b"\xed\xa0\x80", b"''", b"extends", b"remove", b"scale = 0"),
)


def _mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    octets = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(octets) + 1)
        way = rng.randrange(6)
        if way == 0:
            octets[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            del octets[at : at + rng.choice((1, 3, 30))]
        elif way == 2:
            octets[at:at] = rng.choice(WORDS)
        elif way == 3:
            other = rng.choice(seeds)
            begin = rng.randrange(len(other))
            octets[at:at] = other[begin : begin + rng.randrange(120)]
        elif way == 4:
            octets[at : at + rng.randrange(8)] = rng.choice(WORDS)
        else:  # swap two lines
            lines = bytes(octets).split(b"\n")
            one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[one], lines[two] = lines[two], lines[one]
            octets = bytearray(b"\n".join(lines))
    return bytes(octets)


def _files(seconds: float, seed: int, seeds: list[bytes], read: Callable[[Path], object]) -> str:
    rng, done, accepted = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzzed.toml"
        tls = path.parent / "tls"  # as etc/site.toml.example names them
        tls.mkdir()
        pki = Pki(tls)
        for made, name in zip(
            (pki.ca, *pki.client("gw")), ("ca.pem", "gateway.pem", "gateway.key"), strict=True
        ):
            made.replace(tls / name)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            octets = _mutate(rng, seeds)
            path.write_bytes(octets)
            began = time.monotonic()
            try:
                read(path)
                accepted += 1
            except ConfigError:
                pass
            except BaseException:
                Path("/tmp/fuzzed.toml").write_bytes(octets)
                raise
            took = time.monotonic() - began
            assert took < 20, f"{took:.0f} s for {octets!r}"
            done += 1
    return f"{done} files, {accepted} accepted"


def toml(seconds: float, seed: int) -> str:
    """Spoilt site.toml files: ``ConfigError`` or a site, nothing else, and soon."""
    return _files(seconds, seed, [path.read_bytes() for path in _examples("site")], load_site)


def maps(seconds: float, seed: int) -> str:
    """Spoilt points maps: the same."""
    return _files(seconds, seed, [path.read_bytes() for path in _examples("map")], load_map)


def _examples(kind: str) -> list[Path]:
    folder = ROOT / {"site": "etc", "map": "pointmaps"}[kind]
    found = [path for path in folder.rglob("*.toml*") if path.is_file()]
    assert found, folder
    return sorted(found)


def decode(seconds: float, seed: int) -> str:
    """Spoilt messages: a platform's decoder says ``PayloadError`` or reads them."""
    rng, done, taken = random.Random(seed), 0, 0
    readings = [
        (
            f"AI{index}",
            rng.uniform(-1e9, 1e9),
            1,
            1_700_000_000_000,
            1_700_000_000_000,
            "synced",
            True,
        )
        for index in range(80)
    ]
    telemetry = Telemetry("bess-1", "gw-17", "sha256:0")
    batches = [
        *telemetry.take(readings, mono_s=0.0),  # type: ignore[arg-type]  # plain tuples will do
        *telemetry.take(readings[:3], mono_s=0.0),  # type: ignore[arg-type]  # the same
        notice_batch(Gap(Stream.TELEMETRY, "bess-1", 1, 9, "quota"), 0, gateway="gw-17"),
    ]
    seeds = [
        wire(Row(1, at * 100 + 1, batch, "01J"), published_ms=0, backfill=False)
        for at, batch in enumerate(batches)
    ]
    seeds += [zstandard.compress(each) for each in seeds if each[:1] == b"{"]
    words = [zstandard.decompress(seeds[0])] if seeds[0][:1] != b"{" else seeds[:1]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        payload = _mutate(rng, seeds + words)
        if rng.random() < 0.3:
            payload = zstandard.compress(payload)
        reader = consumer.Consumer()
        try:
            for message in reader.take("bess/v1/gw-17/x", payload):
                if message["schema"] == "bess.telemetry/1":
                    list(consumer.readings(message))
            reader.lost()
            taken += 1
        except PayloadError:
            pass
        except BaseException:
            Path("/tmp/fuzzed.payload").write_bytes(payload)
            raise
        done += 1
    return f"{done} payloads, {taken} taken"


ALL: dict[str, Callable[[float, int], str]] = {
    "dnp3": dnp3,
    "mqtt": mqtt,
    "toml": toml,
    "maps": maps,
    "decode": decode,
}


def main() -> None:
    """Run one and say what it did."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    print(f"| {name} | {seconds:.0f} s | {ALL[name](seconds, seed)} |", flush=True)


if __name__ == "__main__":
    main()
