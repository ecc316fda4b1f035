"""Private keys in files: made for their owner alone, refused where others can read them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway.cloud.dispatcher.signing import ALGS, Signer, SigningKeyError, signer_from_pem
from gateway.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_signer(path: Path, kid: str) -> Signer:
    """The private key in ``path``, to sign as ``kid``.

    Raises:
        SigningKeyError: it cannot be read, others than its owner can read it, or it is no key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read(MAX_BYTES)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise SigningKeyError(message) from None
    if mode & _OTHERS:
        message = f"{path}: mode {mode:04o}: must be 0600 or less: chmod 600 {path}"
        raise SigningKeyError(message)
    try:
        return signer_from_pem(kid, pem)
    except SigningKeyError as error:
        message = f"{path}: {error}"
        raise SigningKeyError(message) from None


def make_key(path: Path, *, alg: str) -> Path:
    """Make a key: the private one into ``path`` (0600), the public one beside it; returns that.

    Nothing is overwritten.

    Raises:
        UsageError: a file is there, or cannot be made; ``alg`` is neither EdDSA nor ES256.
    """
    if alg not in ALGS:
        message = f"alg {alg!r}: must be one of {', '.join(ALGS)}"
        raise UsageError(message)
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if alg == "EdDSA"
        else ec.generate_private_key(ec.SECP256R1())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    beside = path.with_name(f"{path.name}.pub")
    for one in (path, beside):
        if os.path.lexists(one):
            message = f"{one}: exists: nothing is overwritten"
            raise UsageError(message)
    _write(path, private, mode=0o600)
    _write(beside, public, mode=0o644)
    return beside


def _write(path: Path, content: bytes, *, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except OSError as error:
        message = f"{path}: cannot be made: {error.strerror}"
        raise UsageError(message) from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
