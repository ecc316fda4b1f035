"""The other end of the control socket, for the command line."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from pathlib import Path


class NotRunningError(GatewayError):
    """Nobody answers on the control socket."""

    exit_code = 1


class SocketDeniedError(NotRunningError):
    """The control socket is there, and not for this user."""


def ask(
    path: Path, verb: str, arguments: dict[str, object] | None = None, *, wait_s: float = 6.0
) -> dict[str, Any]:
    """Ask the running daemon and return its answer.

    Raises:
        SocketDeniedError: no right to talk to it.
        NotRunningError: no daemon.
    """
    question = json.dumps({"verb": verb, "arguments": arguments or {}}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(wait_s)
            connection.connect(str(path))
            # A server with too many callers says so and hangs up: its answer is still there.
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(question.encode())
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
