"""A queue that is damaged, not ours to use, or without room: said, set aside, never silent.

The backlog is made with the broker away, so that the damage hits what only the queue has.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from gateway.queue.rules.counters import sealed
from tests.fixtures import accounts, schemas
from tests.fixtures.daemon import Asset, Daemon
from tests.fixtures.disks import fill, small_disk
from tests.fixtures.rig import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.demo.pki import Pki

EX_IOERR = 74


def with_backlog(rig: Rig) -> Path:
    """Some was shipped, more waits; the daemon has stopped. Returns the queue's file."""
    rig.run()
    rig.broker.stop()
    rig.daemon.queue_when(lambda now: now["readings"] > 600, "no backlog")
    assert rig.daemon.stop() == 0
    return rig.daemon.state / "queue.db"


def goes_on_in_a_new_epoch(rig: Rig) -> None:
    """It starts, says what happened, ships what was saved, and everything from now on."""
    mark = len(rig.daemon.log)
    held = rig.sim.state()["events_confirmed"]
    rig.broker.start()
    rig.daemon.start()
    rig.daemon.logged("set aside as queue.db.", "a new epoch begins", after=mark)
    rig.daemon.up()
    rig.flows(more=200)
    assert len(rig.recorder.epochs) == 2
    assert list(rig.daemon.state.glob("queue.db.*-*")) or list(rig.daemon.state.glob("queue.db.2*"))
    told = rig.recorder.wait("event", lambda one: one["type"] == "queue", "an event of the queue")
    schemas.check(told)
    assert "set aside" in told["text"]
    # Nothing that was confirmed after the damage may be missing, and of what was confirmed
    # before it, whatever did not arrive is announced: no number is missing in silence.
    rig.recorder.until(lambda: rig.recorder.consumer.lost() == 0, "no silent hole")
    target = rig.sim.state()["events_recorded"]
    rig.sim.wait_until(lambda now: bool(now["events_confirmed"] >= target))
    sent, _ = accounts.sent_by(rig.sim)
    confirmed = sorted(one.n for one in sent if one.confirmed_ms is not None)
    assert len(confirmed) > held
    since = [one for one in sent if one.confirmed_ms is not None and one.n > max(confirmed[:held])]
    rig.recorder.until(
        lambda: not accounts.missing(since, rig.recorder.readings("bess-1")),
        "every event since the damage",
    )


def test_a_truncated_queue_is_set_aside_salvaged_and_replaced(tmp_path: Path, pki: Pki) -> None:
    with Rig(tmp_path, pki) as rig:
        file = with_backlog(rig)
        os.truncate(file, file.stat().st_size // 2)
        goes_on_in_a_new_epoch(rig)


def test_a_queue_overwritten_with_garbage_is_set_aside_and_replaced(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki) as rig:
        file = with_backlog(rig)
        with file.open("r+b") as database:
            database.write(os.urandom(file.stat().st_size))
        goes_on_in_a_new_epoch(rig)


def test_flipped_bytes_in_a_waiting_batch_are_caught_and_announced(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki) as rig:
        file = with_backlog(rig)
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            row = database.execute(
                "SELECT key, body, n FROM batch WHERE stream = 'telemetry' ORDER BY key LIMIT 1"
            ).fetchone()
            damaged = bytes([row[1][0] ^ 0xFF]) + row[1][1:]
            database.execute("UPDATE batch SET body = ? WHERE key = ?", (damaged, row[0]))
        rig.broker.start()
        rig.daemon.start()
        rig.daemon.up()
        gap = rig.recorder.wait("event", lambda one: one["type"] == "gap", "a gap")
        schemas.check(gap)
        assert gap["reason"] == "corrupt"
        assert gap["to"] - gap["from"] + 1 == row[2]
        rig.recorder.until(lambda: rig.recorder.consumer.lost() == 0, "no silent hole")
        assert rig.recorder.consumer.announced() == row[2]
        queue = rig.daemon.queue_when(lambda now: now["quarantined"] == 1, "no quarantine")
        assert queue["gaps"] >= 1
        assert len(rig.recorder.epochs) == 2  # one of each start


def test_a_queue_of_a_newer_gateway_is_refused_and_left_alone(tmp_path: Path, pki: Pki) -> None:
    with Daemon(tmp_path, pki=pki, broker_port=1, assets=[Asset(port=1)]) as daemon:
        daemon.start()
        assert daemon.stop() == 0
        file = daemon.state / "queue.db"
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(
                "UPDATE meta SET value = '99', crc = ? WHERE key = 'schema'",
                (sealed("schema", "99"),),
            )
        before = file.read_bytes()
        mark = len(daemon.log)
        daemon.launch()
        assert daemon.wait() == EX_IOERR
        said = daemon.log[mark:]
        assert f"{file}: schema version 99 was written by a newer gateway" in said
        assert "Traceback" not in said
        assert file.read_bytes() == before


def refused(tmp_path: Path, pki: Pki, state: Path) -> str:
    """What the daemon says when it refuses this state directory with exit 74."""
    daemon = Daemon(
        tmp_path / "daemon", pki=pki, broker_port=1, assets=[Asset(port=1)], state=state
    )
    with daemon:
        daemon.launch()
        assert daemon.wait() == EX_IOERR
        assert "Traceback" not in daemon.log
        return daemon.log


def test_a_read_only_disk_is_refused_by_name(tmp_path: Path, pki: Pki) -> None:
    with small_disk(tmp_path / "disk", mib=16, read_only=True) as folder:
        assert str(folder) in refused(tmp_path, pki, folder)


def test_a_state_directory_that_is_a_file_is_refused_by_name(tmp_path: Path, pki: Pki) -> None:
    place = tmp_path / "state"
    place.write_text("not a folder")
    assert str(place) in refused(tmp_path, pki, place)


def test_a_disk_that_fills_is_said_and_what_could_not_be_kept_is_announced(
    tmp_path: Path, pki: Pki
) -> None:
    """Filled by somebody else under load, with the broker away, then given room again.

    While nothing can be stored, nothing is durable: what the outstation forgot all the same must
    be announced, and the count of what was announced covers what is missing.
    """
    with small_disk(tmp_path / "disk", mib=32) as disk, Rig(tmp_path, pki, state=disk) as rig:
        rig.run()
        rig.broker.stop()
        rig.daemon.queue_when(lambda now: now["readings"] > 300, "no backlog")
        ballast = fill(disk, leave=0)
        said = f"{disk}/queue.db: telemetry is refused"
        rig.daemon.logged(f"queue: {said}")
        status = rig.daemon.status_when(
            lambda now: any(said in reason for reason in now["reasons"]), "not in the status"
        )
        assert not status["healthy"]
        rig.flow_of_the_outstation(more=200)
        assert rig.daemon.running
        ballast.unlink()
        rig.daemon.status_when(
            lambda now: not any(said in reason for reason in now["reasons"]), "it stays full"
        )
        rig.broker.start()
        rig.daemon.up()
        rig.flows(more=200)
        rig.recorder.until(lambda: rig.recorder.consumer.lost() == 0, "no silent hole")
        sent, _ = accounts.sent_by(rig.sim)
        confirmed = [one for one in sent if one.confirmed_ms is not None]
        announced = rig.recorder.consumer.announced()
        rig.recorder.until(
            lambda: len(accounts.missing(confirmed, rig.recorder.readings("bess-1"))) <= announced,
            f"all but the {announced} announced",
        )
        assert len(rig.recorder.epochs) == 1


@pytest.mark.parametrize("name", ["queue.db-wal", "queue.db"])
def test_an_empty_file_where_the_queue_should_be_is_no_obstacle(
    tmp_path: Path, pki: Pki, name: str
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / name).touch()
    with Rig(tmp_path, pki, state=state).run() as rig:
        rig.verdict(at_least=10)
