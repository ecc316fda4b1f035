"""A reload's files, judged in another process: what comes back, and what may go wrong there."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.demo.pki import Pki
from gateway.events import ReloadAsked
from gateway.site.judge import SiteJudge
from gateway.site.load import load_site
from tests.fixtures.control_rig import write_safety
from tests.fixtures.daemon import Asset, Daemon
from tests.fixtures.deadline import DEADLINE_S
from tests.fixtures.hanging import pipe_in_place_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """site.toml of a good site with control."""
    daemon = Daemon(tmp_path, pki=Pki(tmp_path / "pki"), broker_port=1, assets=[Asset(20_000)])
    write_safety(tmp_path)
    return daemon.site


class Judging:
    """A judge on its thread, and what it posts."""

    def __init__(self, file: Path, **options: object) -> None:
        self.posted: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.judge = SiteJudge(file, post=self.posted.put, **options)  # type: ignore[arg-type]  # of a test
        self.thread = threading.Thread(target=self.judge.run)
        self.thread.start()

    def verdict(self) -> ReloadAsked:
        """The next one."""
        found = self.posted.get(timeout=DEADLINE_S)
        assert isinstance(found, ReloadAsked)
        return found

    def end(self) -> None:
        """Return when its thread has ended."""
        self.judge.close()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def judging(file: Path, **options: object) -> Iterator[Judging]:
    """Judge ``file``."""
    made = Judging(file, **options)
    try:
        yield made
    finally:
        made.end()


def test_a_good_site_comes_back_as_it_would_be_loaded_here(file: Path) -> None:
    with judging(file) as made:
        made.judge.ask()
        found = made.verdict()
    assert found.error == ""
    assert found.site is not None
    here = load_site(file)
    assert found.site.settings == here.settings
    assert found.site.maps == here.maps
    assert found.site.maps["bess-1"].digest == here.maps["bess-1"].digest
    assert found.site.safety is not None
    assert here.safety is not None
    assert found.site.safety.digest == here.safety.digest
    for kid in here.safety.trust.kids():
        theirs, ours = found.site.safety.trust.find(kid), here.safety.trust.find(kid)
        assert theirs is not None
        assert ours is not None
        assert theirs.public.export_public() == ours.public.export_public()


def test_faults_come_back_with_their_lines_those_of_safety_toml_with_the_site(file: Path) -> None:
    safety = file.with_name("safety.toml")
    safety.write_text(safety.read_text().replace("challenge_s = 1\n", "challenge_s = 999\n"))
    with judging(file) as made:
        made.judge.ask()
        found = made.verdict()
        assert found.site is not None
        assert found.site.safety is None
        assert {one.where.key for one in found.site.safety_faults} == {"challenge_s"}
        file.write_text(file.read_text().replace('id = "bess-1"', 'id = "no good"'))
        made.judge.ask()
        found = made.verdict()
    assert found.site is None
    assert f"{file}:" in found.error
    assert '"no good"' in found.error or "'no good'" in found.error


def test_a_file_that_cannot_be_read_to_its_end_is_given_up(file: Path) -> None:
    with judging(file, within_s=6.0) as made, pipe_in_place_of(file) as hangs:
        made.judge.ask()
        hangs()
        found = made.verdict()
        assert found.site is None
        assert "not judged within 6 s" in found.error


def test_what_is_asked_while_the_files_are_judged_is_one_more_judgement(file: Path) -> None:
    content = file.read_bytes()
    with judging(file) as made:
        with pipe_in_place_of(file) as hangs:
            made.judge.ask()
            for asked in (3, 0):
                end = hangs()
                for _ in range(asked):
                    made.judge.ask()
                os.write(end, content)
                os.close(end)
                assert made.verdict().site is not None
        made.judge.ask()
        assert made.verdict().site is not None
    assert made.posted.empty()


def test_a_judge_that_is_closed_ends_what_is_under_way_and_says_nothing(file: Path) -> None:
    with judging(file) as made, pipe_in_place_of(file) as hangs:
        made.judge.ask()
        hangs()
        made.end()
        assert made.posted.empty()


def test_where_no_process_can_be_started_the_reload_is_refused_and_the_judge_lives_on(
    file: Path,
) -> None:
    with judging(file, python=str(file.with_name("nothing"))) as made:
        for _ in range(2):
            made.judge.ask()
            found = made.verdict()
            assert found.site is None
            assert found.error == (
                "no process can be started to judge the files: No such file or directory"
            )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo first >&2\necho MemoryError >&2\nexit 3", "failed with 3: MemoryError"),
        ("kill -9 $$", "failed with -9"),
        ("echo what", "is garbled"),
        ("true", "is garbled"),
    ],
)
def test_a_process_that_fails_is_told_and_the_judge_lives_on(
    file: Path, tmp_path: Path, script: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with judging(file, python=str(python)) as made:
        for _ in range(2):
            made.judge.ask()
            found = made.verdict()
            assert found.site is None
            assert said in found.error
