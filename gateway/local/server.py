"""The control socket: one JSON line in, one JSON line out, answered by the core.

It belongs to the daemon's group, which may also read the uplink's key. People are in one of two
others instead, operators or viewers: an access control list lets those in here, and they read
nothing else. A viewer looks and does not act.

Who asks is what the kernel says (SO_PEERCRED), never what the line says. Nothing is decided here:
the core sees user and role and answers; ``report`` alone is answered by a process of its own.
"""

from __future__ import annotations

import contextlib
import grp
import itertools
import json
import logging
import os
import pwd
import queue
import socketserver
import struct
import threading
import time
from socket import SO_PEERCRED, SOL_SOCKET, socket
from typing import TYPE_CHECKING, Any

from gateway.errors import StoreError
from gateway.events import LocalAsked
from gateway.host import threads
from gateway.local import acl

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.events import Post
    from gateway.local.reports import Reports

log = logging.getLogger(__name__)

OPERATORS = "bess-operators"
VIEWERS = "bess-viewers"
ANSWER_S = 5.0  # the core answers in microseconds; longer means that it is stuck
MAX_LINE = 65_536
MAX_CALLERS = 16  # connections, each with a thread; a line says so to the next one
QUESTION_S = (
    5.0  # for one question, from the connection or the answer before; then it is hung up on
)


class Server:
    """Listens on a Unix socket; every question becomes ``LocalAsked``."""

    def __init__(self, path: Path, *, post: Post, reports: Reports) -> None:
        self._path = path
        self._post = post
        self._reports = reports
        self._tokens = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, object]]] = {}
        self._listener: _Listener | None = None

    def start(self) -> None:
        """Listen; our group may connect, and the operators' group where the box has one.

        Raises:
            StoreError: the path cannot be bound; says which and why.
        """
        try:
            self._path.unlink(missing_ok=True)
            self._listener = _Listener(str(self._path), self)
            self._path.chmod(0o660)
            _admit_people(self._path)
        except OSError as error:
            text = f"{self._path}: the control socket cannot be made: {error.strerror or error}"
            raise StoreError(text) from None
        threads.start("local", self._listener.serve_forever, post=self._post)

    def answer(self, token: int, body: dict[str, object]) -> None:
        """Carry the core's answer back to whoever asked; late answers are dropped."""
        if (box := self._waiting.pop(token, None)) is not None:
            box.put(body)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._path.unlink(missing_ok=True)

    def ask(self, line: bytes, *, user: str, operator: bool) -> dict[str, object]:
        """Put one question to the core and wait for its answer."""
        try:
            question: Any = json.loads(line)
            verb, arguments = question["verb"], question.get("arguments", {})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {"error": 'must be one JSON object a line: {"verb": "status", "arguments": {}}'}
        if not isinstance(verb, str) or not isinstance(arguments, dict):
            return {"error": "verb must be a string, arguments an object"}
        if verb == "report":
            return self._reports.report(arguments)
        token, box = next(self._tokens), queue.SimpleQueue[dict[str, object]]()
        self._waiting[token] = box
        self._post(LocalAsked(token, verb, arguments, user, operator))
        try:
            return box.get(timeout=ANSWER_S)
        except queue.Empty:
            self._waiting.pop(token, None)
            return {"error": f"the core did not answer within {ANSWER_S:g} s"}


class _Listener(socketserver.ThreadingUnixStreamServer):
    """One thread a caller, and no thread for one too many."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # a full one fails a caller's connect at once (EAGAIN)

    def __init__(self, path: str, server: Server) -> None:
        super().__init__(path, _Conversation)
        self.server_of_ours = server
        self.callers = threading.BoundedSemaphore(MAX_CALLERS)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        if not self.callers.acquire(blocking=False):
            self._hang_up(request, f"{MAX_CALLERS} callers are connected: must be fewer")
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError as error:  # there can be no thread more
            self.callers.release()
            self._hang_up(request, f"cannot be answered now: {error}")

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.callers.release()

    def _hang_up(self, request: socket, why: str) -> None:
        request.setblocking(False)  # noqa: FBT003 - its only argument
        with contextlib.suppress(OSError):
            request.sendall(_line({"error": why, "busy": True}))
        self.shutdown_request(request)


class _Conversation(socketserver.BaseRequestHandler):
    server: _Listener
    request: socket

    def handle(self) -> None:
        user, operator = _peer(self.request.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
        self._unread = b""
        try:
            while line := self._question():
                body = self.server.server_of_ours.ask(line, user=user, operator=operator)
                self.request.settimeout(QUESTION_S)
                self.request.sendall(_line(body))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            log.debug("a caller on the control socket left before its answer, or said nothing")

    def _question(self) -> bytes:
        """One line, or what there is of it at the caller's end; b"" where that is nothing.

        Raises:
            TimeoutError: it was not complete in time, however many bytes kept coming.
        """
        until_s = time.monotonic() + QUESTION_S
        while b"\n" not in self._unread and len(self._unread) < MAX_LINE:
            self.request.settimeout(max(0.001, until_s - time.monotonic()))
            more = self.request.recv(MAX_LINE)
            if not more:
                break
            self._unread += more
            if time.monotonic() >= until_s:
                raise TimeoutError
        line, end, self._unread = self._unread.partition(b"\n")
        return line + end


def _line(body: dict[str, object]) -> bytes:
    text = json.dumps(body, separators=(",", ":"), default=lambda one: one())
    return text.encode() + b"\n"


def _admit_people(path: Path) -> None:
    gids = []
    for name in (OPERATORS, VIEWERS):
        with contextlib.suppress(KeyError):  # not an installed box
            gids.append(grp.getgrnam(name).gr_gid)
    if not gids:
        return
    try:
        acl.admit(path, gids)
    except OSError as error:
        text = "%s: groups %s and %s cannot connect: %s"
        log.warning(text, path, OPERATORS, VIEWERS, error.strerror or error)


def _peer(credentials: bytes) -> tuple[str, bool]:
    """Name of the calling user, and whether it may act.

    Where nothing is installed there are no operators: whoever runs the daemon is one.
    """
    _pid, uid, gid = struct.unpack("3i", credentials)
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    if uid == 0:
        return user, True
    try:
        operators = grp.getgrnam(OPERATORS)
    except KeyError:
        return user, uid == os.geteuid()
    return user, gid == operators.gr_gid or user in operators.gr_mem
