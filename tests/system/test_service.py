"""The installed gateway at work: data arrives, and nothing that happens to it loses any."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING

import pytest

from gateway.host.journal import MESSAGE_IDS
from tests.system.machines import ETC, STATE, UNIT, Machine
from tests.system.sites import ASSET, GATEWAY, Site, ask, main_pid, start, working

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_ID = "01JD8Q3V5W6X7Y8Z9A0B1C2D3E"


@pytest.fixture(autouse=True)
def _whole_afterwards(gateway: Machine, site: Site) -> Iterator[None]:
    """Each test leaves the machine as it found it, or the next one shows it."""
    yield
    site.configure(gateway)
    start(gateway)


def test_state_reaches_the_platform_over_mutual_tls(gateway: Machine, site: Site) -> None:
    gateway.until(lambda: site.cloud.state, "a state arrives")
    state = site.cloud.state
    assert state["gateway"] == GATEWAY
    assert state["asset"] == ASSET
    assert 0 <= state["chargePercentage"] <= 100
    assert site.cloud.birth["version"] == ask(gateway, "status")["version"]


def test_check_accepts_what_runs(gateway: Machine) -> None:
    assert "good" in gateway.run("bess-gateway", "check")


def test_status_line_says_what_the_gateway_is_doing(gateway: Machine) -> None:
    line = gateway.until(
        lambda: "1 of 1 sessions up" in (text := gateway.show("StatusText")) and text,
        "a status line",
    )
    assert "control off" in line
    assert "readings wait" in line
    assert "1 of 1 sessions up" in gateway.run("systemctl", "status", "--no-pager", UNIT)


def test_an_ordinary_user_is_told_whom_to_ask(gateway: Machine) -> None:
    ended = gateway.try_("runuser", "-u", "nobody", "--", "bess-gateway", "status")
    assert ended.returncode == 1
    assert "permission denied" in ended.stderr
    assert "group bess-operators" in ended.stderr


def test_an_operator_asks_and_acts_and_reads_no_key(gateway: Machine) -> None:
    gateway.sh("id oona >/dev/null 2>&1 || useradd --groups bess-operators oona")
    assert gateway.run("id", "-Gn", "oona").split() == ["oona", "bess-operators"]
    told = json.loads(_as("oona", gateway, "bess-gateway status --json"))
    assert told["assets"][ASSET]["session"]["up"]
    assert "chargePercentage" in _as("oona", gateway, "bess-gateway watch")
    assert f"{ETC}/site.toml: good" in _as("oona", gateway, "bess-gateway check")
    assert "a new chain" in _as("oona", gateway, "bess-gateway audit show")
    assert "chain    rows 1.." in _as("oona", gateway, "bess-gateway audit verify")
    # The map is right, so that there is nothing to clear; but the question is not refused.
    assert "must be root or in the group" not in _as("oona", gateway, f"bess-gateway reset {ASSET}")
    for secret in (f"{ETC}/tls/gateway.key", f"{STATE}/queue.db"):
        assert "Permission denied" in _as("oona", gateway, f"cat {secret}")


def test_a_viewer_looks_and_does_not_act(gateway: Machine) -> None:
    gateway.sh("id vera >/dev/null 2>&1 || useradd --groups bess-viewers vera")
    told = json.loads(_as("vera", gateway, "bess-gateway watch --json"))
    assert ASSET in told["glance"]
    refused = _as("vera", gateway, f"bess-gateway estop {ASSET}")
    assert "user vera: must be root or in the group bess-operators" in refused


def test_root_is_told_what_the_daemons_user_may_not_read(gateway: Machine) -> None:
    gateway.run("chmod", "0600", f"{ETC}/site.toml")
    gateway.run("chown", "root:root", f"{ETC}/site.toml")
    try:
        ended = gateway.try_("bess-gateway", "check")
        assert ended.returncode == 78
        assert "must be readable by the daemon's user" in ended.stderr
    finally:
        gateway.run("chmod", "0644", f"{ETC}/site.toml")
    assert "good" in gateway.run("bess-gateway", "check")


def test_the_daemons_own_group_may_ask_but_not_act(gateway: Machine) -> None:
    told = _as("bess-gateway", gateway, "bess-gateway status --json")
    assert json.loads(told)["assets"][ASSET]["session"]["up"]
    refused = _as("bess-gateway", gateway, f"bess-gateway reset {ASSET}")
    assert "user bess-gateway: must be root or in the group bess-operators" in refused


def test_journal_entries_carry_fields_and_their_explanation(gateway: Machine) -> None:
    (up, *_) = gateway.until(
        lambda: gateway.journal(f"MESSAGE_ID={MESSAGE_IDS['session-up']}"), "the session's entry"
    )
    assert up["ASSET"] == ASSET
    assert up["GATEWAY"] == GATEWAY
    assert up["SYSLOG_IDENTIFIER"] == "bess-gateway"
    assert up["PRIORITY"] == "6"
    match = f"MESSAGE_ID={MESSAGE_IDS['session-up']}"
    explained = gateway.run("journalctl", "-x", "--no-pager", match)
    assert f"The DNP3 session of {ASSET} is up" in explained
    assert "man:bess-gateway(8)" in explained


def test_a_command_is_refused_and_journalctl_tells_its_story(gateway: Machine, site: Site) -> None:
    pid = main_pid(gateway)
    claims = {"schema": "bess.command/1", "id": COMMAND_ID, "type": "idle", "params": {}}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    site.command(json.dumps({"payload": body, "signatures": []}).encode())
    (entry, *_) = gateway.until(
        lambda: gateway.journal(f"COMMAND_ID={COMMAND_ID}"), "the command's entry"
    )
    assert entry["MESSAGE_ID"] == MESSAGE_IDS["command-refused"]
    assert entry["ASSET"] == ASSET
    assert entry["PRIORITY"] == "4"
    assert main_pid(gateway) == pid


def test_nothing_is_logged_for_each_reading(gateway: Machine, site: Site) -> None:
    before = len(gateway.journal())
    site.more(gateway, 1000)
    assert len(gateway.journal()) - before < 20


def test_runs_unprivileged_with_its_state_closed_to_others(gateway: Machine) -> None:
    pid = main_pid(gateway)
    status = gateway.run("cat", f"/proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    owners = gateway.run("stat", "-c", "%a %U:%G", "/var/lib/bess-gateway", f"{ETC}/tls")
    assert owners.splitlines() == ["750 bess-gateway:bess-gateway", "750 root:bess-gateway"]
    files = gateway.run("find", "/var/lib/bess-gateway", "-type", "f", "-perm", "/007")
    assert files == ""


def test_a_broker_that_goes_away_costs_nothing(gateway: Machine, site: Site) -> None:
    with site.outage():
        gateway.until(lambda: not ask(gateway, "status")["broker"]["up"], "the loss is noticed")
        entries = gateway.journal(f"MESSAGE_ID={MESSAGE_IDS['broker-down']}")
        assert entries[-1]["PRIORITY"] == "4"
        assert gateway.try_("bess-gateway", "status").returncode == 1
        waiting = ask(gateway, "queue")["readings"]
        gateway.until(lambda: ask(gateway, "queue")["readings"] > waiting + 500, "the queue grows")
    gateway.until(lambda: working(gateway), "the broker is back")
    site.quiet(gateway)


def test_kill_9_under_load_loses_nothing(gateway: Machine, site: Site) -> None:
    for _ in range(5):
        site.more(gateway, 300)
        before = main_pid(gateway)
        gateway.run("systemctl", "kill", "--signal=KILL", UNIT)
        _until_restarted(gateway, before)
    site.more(gateway, 300)
    site.quiet(gateway)
    assert gateway.show("ActiveState") == "active"
    sent = site.sent()
    gateway.until(lambda: site.unseen(sent) == 0, "the platform has every event of the RTAC")
    assert site.rtac.state()["events_lost"] == 0


def test_a_full_disk_is_said_and_outlived(gateway: Machine, site: Site) -> None:
    gateway.sh(
        f"systemctl stop {UNIT}; mount -t tmpfs -o size=40m,mode=0750 tmpfs {STATE}; "
        f"chown bess-gateway:bess-gateway {STATE}; head -c 37M /dev/zero >{STATE}/ballast"
    )
    match = f"MESSAGE_ID={MESSAGE_IDS['store']}"
    before = len(gateway.journal(match))
    start(gateway)
    with site.outage():
        gateway.until(lambda: len(gateway.journal(match)) > before, "the journal says it")
        assert gateway.try_("bess-gateway", "status").returncode == 1
        pid = main_pid(gateway)
    gateway.sh(f"rm {STATE}/ballast")
    gateway.until(lambda: working(gateway), "broker and session are back")
    site.more(gateway, 500)
    assert main_pid(gateway) == pid
    site.quiet(gateway)  # what was refused is announced within 30 s; the queue goes with its disk
    gateway.sh(f"systemctl stop {UNIT}; umount {STATE}")


def test_what_the_full_disk_cost_was_announced(site: Site) -> None:
    assert site.lost() == 0


def test_a_frozen_process_is_ended_with_its_stacks_in_the_journal(gateway: Machine) -> None:
    before = main_pid(gateway)
    gateway.run("systemctl", "kill", "--signal=STOP", UNIT)
    _until_restarted(gateway, before)
    assert gateway.said("Watchdog timeout")
    assert gateway.said("Fatal Python error: Aborted")
    assert gateway.said('File "/usr/lib/bess-gateway/gateway/')


HANG = """\
import sys, threading, time
sys.path[:0] = ["/usr/lib/bess-gateway", "/usr/lib/bess-gateway/vendor",
                "/usr/lib/x86_64-linux-gnu/bess-gateway"]
from gateway import core

handle, begun = core.Core.handle, []

def never_return(*arguments, **named):
    begun.append(time.monotonic())
    if begun[-1] - begun[0] > 5:  # it has told systemd by then that it is ready
        threading.Event().wait()
    return handle(*arguments, **named)

core.Core.handle = never_return
from gateway.cli.main import main
sys.exit(main(["run"]))
"""


def test_a_core_that_never_returns_is_ended_with_its_stack_in_the_journal(
    gateway: Machine,
) -> None:
    gateway.write("/srv/hang.py", HANG)
    drop_in = "/run/systemd/system/bess-gateway.service.d/hang.conf"
    gateway.write(drop_in, "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I /srv/hang.py\n")
    gateway.sh(f"systemctl daemon-reload; systemctl restart {UNIT}")
    gateway.until(lambda: gateway.said("in never_return"), "its stack is in the journal")
    gateway.sh(f"rm {drop_in}; systemctl daemon-reload; systemctl restart {UNIT}")
    gateway.until(lambda: working(gateway), "it works again")


def test_a_good_reload_is_taken_without_a_restart(gateway: Machine, site: Site) -> None:
    pid = main_pid(gateway)
    gateway.write(f"{ETC}/site.toml", site.toml(max_size="128MiB"))
    cursor = _now()
    gateway.run("systemctl", "reload", UNIT)
    gateway.until(lambda: gateway.said("reloaded", f"--since=@{cursor}"), "the journal says it")
    assert main_pid(gateway) == pid
    site.more(gateway)


def test_a_bad_reload_keeps_the_old_settings_and_says_so(gateway: Machine, site: Site) -> None:
    pid = main_pid(gateway)
    gateway.write(f"{ETC}/site.toml", site.toml().replace("port =", "prot ="))
    cursor = _now()
    gateway.run("systemctl", "reload", UNIT)
    (entry, *_) = gateway.until(
        lambda: gateway.said("refused", f"--since=@{cursor}"), "the journal says it"
    )
    assert entry["PRIORITY"] == "3"
    assert entry["MESSAGE_ID"] == MESSAGE_IDS["reload"]
    assert "prot" in entry["MESSAGE"]
    gateway.until(lambda: "refused" in gateway.show("StatusText"), "systemd is told, too")
    assert main_pid(gateway) == pid
    site.more(gateway)


def test_a_stop_ends_in_time_with_exit_code_0(gateway: Machine) -> None:
    gateway.run("systemctl", "stop", UNIT)
    assert gateway.show("Result") == "success"
    assert gateway.show("ExecMainStatus") == "0"
    assert gateway.said("stopped: SIGTERM")


def test_the_key_can_be_roots_alone_when_systemd_hands_it_over(
    gateway: Machine, site: Site
) -> None:
    gateway.run("systemctl", "stop", UNIT)
    toml = site.toml().replace('key_file = "tls/gateway.key"', 'credential = "uplink-key"')
    gateway.write(f"{ETC}/site.toml", toml)
    gateway.sh(f"chown root:root {ETC}/tls/gateway.key; chmod 0600 {ETC}/tls/gateway.key")
    drop_in = "/run/systemd/system/bess-gateway.service.d/key.conf"
    gateway.write(drop_in, f"[Service]\nLoadCredential=uplink-key:{ETC}/tls/gateway.key\n")
    gateway.run("systemctl", "daemon-reload")
    start(gateway)
    gateway.sh(f"systemctl stop {UNIT}; rm {drop_in}; systemctl daemon-reload")


def test_an_allow_list_lets_the_site_through(gateway: Machine, site: Site) -> None:
    drop_in = "/run/systemd/system/bess-gateway.service.d/ip-allow.conf"
    made = gateway.run("/usr/lib/bess-gateway/ip-allow")
    assert "IPAddressDeny=any" in made
    assert "IPAddressAllow=127.0.0.1" in made
    gateway.write(drop_in, made)
    gateway.sh(f"systemctl daemon-reload; systemctl restart {UNIT}")
    gateway.until(lambda: working(gateway), "it works under its allow list")
    site.more(gateway)
    score = gateway.run("systemd-analyze", "security", UNIT, "--no-pager")
    assert _exposure(score) <= 1.2
    gateway.sh(f"rm {drop_in}; systemctl daemon-reload; systemctl restart {UNIT}")


def test_the_unit_is_closed_and_without_faults(gateway: Machine) -> None:
    # The machines have no man-db, so that Documentation= cannot be looked up.
    verified = gateway.try_("systemd-analyze", "verify", "--man=no", UNIT)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert _exposure(gateway.run("systemd-analyze", "security", UNIT, "--no-pager")) <= 1.2


def _until_restarted(gateway: Machine, before: str) -> None:
    gateway.until(
        lambda: gateway.show("MainPID") not in ("0", before) and working(gateway),
        "systemd has started it again",
    )


def _as(user: str, gateway: Machine, command: str) -> str:
    """What a user is told, on both outputs, whatever comes of the command."""
    ended = gateway.try_("runuser", "-u", user, "--", "sh", "-c", f"{command} 2>&1")
    return ended.stdout


def _exposure(report: str) -> float:
    line = next(one for one in report.splitlines() if "Overall exposure level" in one)
    return float(line.partition(":")[2].split()[0])


def _now() -> int:
    return int(time.time())
