"""The other end of the control socket, for the command line."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from pathlib import Path


_AGAIN_S = 0.2


class NotRunningError(GatewayError):
    """Nobody answers on the control socket."""

    exit_code = 1


class SocketDeniedError(NotRunningError):
    """The control socket is there, and not for this user."""


def ask(
    path: Path, verb: str, arguments: dict[str, object] | None = None, *, wait_s: float = 6.0
) -> dict[str, Any]:
    """Ask the running daemon and return its answer.

    Where it has too many callers it is asked again, for ``wait_s``: one that is silent is hung up
    on sooner than that.

    Raises:
        SocketDeniedError: no right to talk to it.
        NotRunningError: no daemon.
    """
    question = json.dumps({"verb": verb, "arguments": arguments or {}}) + "\n"
    until_s = time.monotonic() + wait_s
    while True:
        answer = _ask(path, question.encode(), wait_s)
        if "busy" not in answer or time.monotonic() >= until_s:
            return answer
        time.sleep(_AGAIN_S)


def _ask(path: Path, question: bytes, wait_s: float) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(wait_s)
            connection.connect(str(path))
            # A server with too many callers says so and hangs up: its answer is still there.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(question)
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline() or b"{}")
                return answer
    except (FileNotFoundError, ConnectionRefusedError):
        text = f"no daemon answers on {path}: is bess-gateway running?"
    except PermissionError:
        text = f"{path}: permission denied: must be root or a member of group bess-operators"
        raise SocketDeniedError(text) from None
    except (OSError, ValueError) as error:
        text = f"{path}: {error}"
    raise NotRunningError(text)
