"""``audit verify``: everything that shows that somebody was at an audit log. Reads, never writes.

Three witnesses, each against what the one before cannot see: the chain (an edit, a removal, a
swap), the log's newest signed head (a tail cut off, a chain forged as a whole, up to that head),
and a head that was published earlier and kept elsewhere (the whole file replaced by an older one).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.audit.chain import START, ChainFinding, Head, Tampering, row_hash, verify_chain
from gateway.audit.device import HeadSignature, claims, opened
from gateway.audit.rows import digest
from gateway.clock import rfc3339
from gateway.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.x509 import Certificate

    from gateway.audit.chain import AuditRow
    from gateway.audit.reader import AuditReader
    from gateway.audit.rows import SignedHead

_DAY_MS = 86_400_000
KEEP_DAYS = 400
_SWAPS = 200  # edited rows among which swapped ones are looked for


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong."""

    kind: str  # edited removed reordered relinked truncated forged unsigned signature
    n: int  # of the row at which it shows
    text: str


@dataclass(slots=True)
class Examination:
    """What was read, and what is wrong with it."""

    rows: int = 0
    first: AuditRow | None = None
    last: AuditRow | None = None
    signed: HeadSignature | None = None  # the newest head whose signature holds
    published: HeadSignature | None = None
    notes: list[str] = field(default_factory=list)  # what could not be judged
    flaws: list[Flaw] = field(default_factory=list)

    def wrong(self, kind: str, n: int, text: str) -> None:
        """Note a flaw."""
        self.flaws.append(Flaw(kind, n, text))


def examine(
    log: AuditReader, *, certificate: Certificate, gateway: str, published: tuple[str, ...] = ()
) -> Examination:
    """Check a whole log.

    Args:
        log: open for reading.
        certificate: of the uplink.
        gateway: whose log it must be; "" where that is not known.
        published: signed heads that were kept elsewhere, compact JWS.

    Raises:
        sqlite3.Error: the file cannot be read to its end.
    """
    report = Examination()
    heads = log.signed()
    anchor = _mark(log, "anchor", report)
    ends = _mark(log, "head", report)
    newest = _newest(heads, ends, report, certificate=certificate, gateway=gateway)
    elsewhere = [_published(one, report, certificate, gateway) for one in published]
    wanted = {head.head.n for head in heads} | {one.head.n for one in elsewhere if one}
    hashes = {anchor.n: anchor.hash}
    findings = verify_chain(_walk(log, report, wanted, hashes), newest, anchor=anchor)
    _tell(findings, log, report)
    _judge_end(ends, anchor, report)
    for kept in heads:
        found = hashes.get(kept.head.n)
        if found is not None and found != kept.head.hash and kept.head != newest:
            text = f"row {kept.head.n} is not the one that was signed on {_day(kept.ts)}"
            report.wrong(Tampering.FORGED, kept.head.n, text)
    for one in elsewhere:
        if one is not None:
            _judge_published(one, anchor, hashes, report)
    if anchor.n:
        _judge_anchor(anchor, heads, report)
    report.flaws.sort(key=lambda flaw: flaw.n)
    return report


def _mark(log: AuditReader, name: str, report: Examination) -> Head:
    found = log.head(name)
    if found is None:
        report.wrong(Tampering.EDITED, 0, f"the log's mark {name!r} was changed or removed")
    return found or START


def _newest(
    heads: list[SignedHead],
    ends: Head,
    report: Examination,
    *,
    certificate: Certificate,
    gateway: str,
) -> Head:
    """The newest signed head, as its signature has it; the log's own where none is signed."""
    if not heads:
        text = "no head is signed: a chain that was rewritten as a whole would not be found"
        report.wrong("unsigned", ends.n, text)
        return ends
    kept = heads[-1]
    n = kept.head.n
    try:
        found = opened(kept.jws, certificate)
    except PayloadError as error:
        report.wrong("signature", n, f"signed head {n}: {error}")
        return kept.head
    if found.head != kept.head:
        report.wrong(Tampering.EDITED, n, f"signed head {n}: its columns are not what was signed")
    if gateway and found.gateway != gateway:
        text = f"signed head {n}: is of gateway {found.gateway!r} and not of {gateway!r}"
        report.wrong("signature", n, text)
    report.signed = found
    return found.head


def _published(
    token: str, report: Examination, certificate: Certificate, gateway: str
) -> HeadSignature | None:
    try:
        found = opened(token, certificate)
    except PayloadError as error:
        report.wrong("signature", 0, f"the published head: {error}")
        return None
    if gateway and found.gateway != gateway:
        text = f"the published head is of gateway {found.gateway!r} and not of {gateway!r}"
        report.wrong("signature", found.head.n, text)
        return None
    report.published = found
    return found


def _walk(
    log: AuditReader, report: Examination, wanted: set[int], hashes: dict[int, str]
) -> Iterator[AuditRow]:
    for row, body in log.chain():
        report.rows += 1
        report.first = report.first or row
        report.last = row
        if row.n in wanted:
            hashes[row.n] = row.hash
        if digest(body) != row.payload:
            text = f"the text of row {row.n} is not what was recorded"
            report.wrong(Tampering.EDITED, row.n, text)
        yield row


def _tell(findings: tuple[ChainFinding, ...], log: AuditReader, report: Examination) -> None:
    """The chain's findings; rows that only changed places are called so."""
    edited = [one.n for one in findings if one.kind is Tampering.EDITED][:_SWAPS]
    rows = {n: row for n in edited if (row := log.row(n)) is not None}
    moved = {
        n: other
        for n, row in rows.items()
        for other in edited
        if other != n and row_hash(replace(row, n=other)) == row.hash
    }
    for one in findings:
        if one.kind is Tampering.EDITED and one.n in moved:
            text = f"row {one.n} was written as row {moved[one.n]}: rows changed places"
            report.wrong(Tampering.REORDERED, one.n, text)
        else:
            report.wrong(one.kind, one.n, one.text)


def _judge_end(ends: Head, anchor: Head, report: Examination) -> None:
    """The last row against the log's own head, which is not signed."""
    last = anchor if report.last is None else Head(report.last.n, report.last.hash)
    told = {(flaw.kind, flaw.n) for flaw in report.flaws}
    if last.n < ends.n and (Tampering.TRUNCATED, last.n) not in told:
        text = f"ends at row {last.n}: the log's own head is row {ends.n}"
        report.wrong(Tampering.TRUNCATED, last.n, text)
    elif last.n > ends.n:
        text = f"row {last.n} was not written by the log: its own head is row {ends.n}"
        report.wrong(Tampering.FORGED, last.n, text)
    elif last.n == ends.n and last.hash != ends.hash:
        text = f"row {last.n} is not the one that the log's own head names"
        report.wrong(Tampering.FORGED, last.n, text)


def _judge_published(
    one: HeadSignature, anchor: Head, hashes: dict[int, str], report: Examination
) -> None:
    n, last = one.head.n, anchor.n if report.last is None else report.last.n
    if n < anchor.n:
        text = f"the published head, row {n}, is older than the log, which begins at {anchor.n + 1}"
        report.notes.append(text)
    elif n > last:
        text = f"ends at row {last}: row {n} was published on {_day(one.ts)}"
        report.wrong(Tampering.TRUNCATED, last, text)
    elif hashes.get(n, one.head.hash) != one.head.hash:
        text = f"row {n} is not the one that was published on {_day(one.ts)}"
        report.wrong(Tampering.FORGED, n, text)


def _judge_anchor(anchor: Head, heads: list[SignedHead], report: Examination) -> None:
    """Rows may only be gone up to a signed head, and 400 days after it."""
    kept = next((one for one in heads if one.head == anchor), None)
    try:
        said = None if kept is None else claims(kept.jws)
    except PayloadError:
        said = None
    if said is None or said.head != anchor:
        text = f"rows up to {anchor.n} are gone, and no signed head stands for them"
        report.wrong(Tampering.REMOVED, anchor.n, text)
        return
    newest_ms = report.signed.ts if report.signed else said.ts
    days = (newest_ms - said.ts) // _DAY_MS
    if report.signed and days < KEEP_DAYS:
        text = f"rows up to {anchor.n} are gone after {days} days: {KEEP_DAYS} are kept"
        report.wrong(Tampering.REMOVED, anchor.n, text)


def _day(ts: int) -> str:
    return f"{rfc3339(ts)[:19]}Z"
