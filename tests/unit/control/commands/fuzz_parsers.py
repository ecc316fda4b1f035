"""Coverage-guided fuzzing of everything that reads bytes from the broker.

Run: ``PYTHONPATH=. python tests/unit/control/commands/fuzz_parsers.py -max_total_time=600``,
with atheris installed. An exception is a finding, and so is an admission that nobody signed.
"""

from __future__ import annotations

import json
import sys

import atheris  # type: ignore[import-untyped]  # no types; only where somebody fuzzes

with atheris.instrument_imports(include=["gateway.control", "gateway.config.truststore"]):
    from gateway.control.commands.command import Command, parse_command
    from gateway.control.commands.heartbeat import verify_heartbeat
    from gateway.control.commands.reasons import Rejected
    from gateway.control.commands.register import Register
    from gateway.control.commands.verify import admit

from tests.fixtures.commands import (
    NOW,
    OPS,
    SESSION,
    b64,
    claims,
    context,
    heartbeat,
    signed,
    trust,
)

CONTEXT, TRUST = context(), trust()
SEEDS = [signed(claims()), heartbeat(), json.dumps(claims()).encode()]


def one(raw: bytes) -> None:
    """Feed ``raw`` to every reader, by the first byte."""
    if not raw:
        return
    way, rest = raw[0] % 4, raw[1:]
    if way == 0:
        found = admit(rest, CONTEXT, Register(), NOW, retained=False)
        assert isinstance(found, Rejected) or rest in SEEDS, "admitted what nobody signed"
    elif way == 1:
        parsed = parse_command(rest)
        assert isinstance(parsed, Command | Rejected)
    elif way == 2:
        beat = verify_heartbeat(rest, TRUST, NOW, gateway="gw-17", session=SESSION, retained=False)
        assert isinstance(beat, Rejected) or rest in SEEDS, "took what nobody signed"
    else:
        header = {"alg": OPS.alg, "kid": OPS.kid, "typ": "bess-command+jws"}
        half = {"protected": b64(json.dumps(header).encode()), "signature": b64(rest[:64])}
        raw = json.dumps({"payload": b64(rest[64:]), "signatures": [half]}).encode()
        assert isinstance(admit(raw, CONTEXT, Register(), NOW, retained=False), Rejected)


if __name__ == "__main__":
    for seed in SEEDS:
        for way in range(4):
            one(bytes([way]) + seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
