"""What ``audit show`` and ``audit verify`` print, 80 columns wide, and the same as JSON. Pure."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from gateway.clock import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.audit.chain import AuditRow
    from gateway.audit.device import HeadSignature
    from gateway.audit.examine import Examination

WIDTH = 80
_LINES = 3  # of a row's text
_FLAWS = 100  # a chain that was cut into pieces has as many flaws as rows


def rows(found: Sequence[tuple[AuditRow, bytes]]) -> list[str]:
    """A line a row, and its text below it."""
    width = max((len(str(row.n)) for row, _ in found), default=1)
    lines = [] if found else ["no rows"]
    for row, body in found:
        words = [rfc3339(row.ts), row.event, row.asset or "-", row.actor]
        line = f"{row.n:>{width}}  {_plain('  '.join(words))}"
        lines.append(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}\u2026")
        lines += _lines(body, indent=width + 2)
    return lines


def _lines(body: bytes, *, indent: int) -> list[str]:
    text = _plain(body.decode("utf-8", "replace"))
    lines = textwrap.wrap(text, WIDTH - indent, break_on_hyphens=False) or [""]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1][: WIDTH - indent - 2]} \u2026"]
    return [" " * indent + line for line in lines]


def row_json(row: AuditRow, body: bytes) -> dict[str, Any]:
    """A row for programs; its text as JSON where it is some."""
    text = body.decode("utf-8", "replace")
    try:
        payload: object = json.loads(text)
    except (ValueError, RecursionError):
        payload = text
    return {
        "n": row.n,
        "at": rfc3339(row.ts),
        "monoMs": row.mono,
        "actor": row.actor,
        "event": row.event,
        "asset": row.asset or None,
        "payload": payload,
        "sha256": row.payload,
        "prev": row.prev,
        "hash": row.hash,
    }


def report(found: Examination) -> list[str]:
    """What was read, what could not be judged, a line a finding, the verdict last."""
    lines = ["chain    empty"]
    if found.first is not None and found.last is not None:
        span = f"{rfc3339(found.first.ts)} to {rfc3339(found.last.ts)}"
        rows_ = f"chain    rows {found.first.n}..{found.last.n}"
        lines = [f"{rows_}, {span}"] if len(rows_) < WIDTH - 55 else [rows_, f"{'':9}{span}"]
    for name, head in (("signed", found.signed), ("kept", found.published)):
        if head is not None:
            lines.append(f"{name:<9}row {head.head.n}, {rfc3339(head.ts)}")
    for note in found.notes:
        lines += textwrap.wrap(f"note     {note}", WIDTH, subsequent_indent=" " * 9)
    flaws = found.flaws[:_FLAWS]
    width = max((len(str(flaw.n)) for flaw in flaws), default=1)
    for flaw in flaws:
        start = f"row {flaw.n:<{width}}  {flaw.kind:<11}"
        text = _plain(f"{start}{flaw.text}")
        lines += textwrap.wrap(text, WIDTH, subsequent_indent=" " * len(start))
    count = len(found.flaws)
    if count > _FLAWS:
        lines.append(f"and {count - _FLAWS} more")
    verdict = "clean" if not count else f"{count} finding{'s' if count > 1 else ''}"
    return [*lines, f"result   {verdict}"]


def report_json(found: Examination) -> dict[str, Any]:
    """The report for programs, every finding in it."""
    return {
        "clean": not found.flaws,
        "rows": found.rows,
        "first": _place(found.first),
        "last": _place(found.last),
        "signed": _signature(found.signed),
        "published": _signature(found.published),
        "notes": found.notes,
        "findings": [
            {"row": flaw.n, "kind": str(flaw.kind), "text": flaw.text} for flaw in found.flaws
        ],
    }


def _place(row: AuditRow | None) -> dict[str, Any] | None:
    return None if row is None else {"n": row.n, "hash": row.hash, "at": rfc3339(row.ts)}


def _signature(head: HeadSignature | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {"n": head.head.n, "hash": head.head.hash, "at": rfc3339(head.ts)}


def _plain(text: str) -> str:
    """Names come from the wire: nothing of them reaches the terminal but what can be printed."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
