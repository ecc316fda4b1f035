"""SIGHUP while everything runs: assets come, change and go, and the daemon stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fixtures.rig import Rig

if TYPE_CHECKING:
    from gateway.demo.pki import Pki


def test_an_asset_that_takes_anothers_place_while_the_broker_is_up_does_not_end_the_daemon(
    tmp_path: Path, pki: Pki
) -> None:
    with Rig(tmp_path, pki, other=True) as rig:
        first, second = rig.assets
        rig.daemon.start().up()
        pid = rig.daemon.pid
        tasks = Path(f"/proc/{pid}/task")
        busy = len(list(tasks.iterdir()))
        third = replace(second, id="bess-3")
        rig.daemon.configure([first, third])
        rig.daemon.reload()
        rig.daemon.status_when(
            lambda now: "bess-3" in now["assets"] and now["assets"]["bess-3"]["session"]["up"],
            "the new session never came up",
        )
        changed = replace(third, dnp3={"event_poll_s": 0.5})
        for assets in ([first, changed], [first], [first, third]):  # faster than it can close
            rig.daemon.configure(assets)
            rig.daemon.reload()
        assert rig.daemon.up()["assets"].keys() == {"bess-1", "bess-3"}
        assert rig.daemon.pid == pid
        rig.daemon.configure([first])
        rig.daemon.reload()
        rig.daemon.until(  # opendnp3's own, and the watch
            lambda: len(list(tasks.iterdir())) <= busy - 2, "the threads of a battery that left"
        )
        assert rig.daemon.stop() == 0
