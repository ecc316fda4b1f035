"""The gateway in a network namespace of its own: one cable to the broker, one to the RTACs.

A cable that is cut is a link whose other end is down: nothing is answered, no FIN, no RST, and the
gateway's own interface stays up without a carrier, as with a switch that lost its power.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Self


def lacks() -> str:
    """Why there can be no namespace here; "" if there can."""
    if os.geteuid():
        return "needs root for a network namespace"
    if not shutil.which("ip") or not shutil.which("nsenter"):
        return "needs iproute2 and util-linux"
    name = f"bgtry{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return "the kernel gives no network namespace"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return ""


@dataclass
class Cable:
    """A veth pair; ``here`` is our address, the gateway has the next one."""

    here: str
    there: str
    near: str  # our interface

    def cut(self) -> None:
        """From now on nothing comes through."""
        _ip("link", "set", self.near, "down")

    def mend(self) -> None:
        """Everything comes through again."""
        _ip("link", "set", self.near, "up")


@dataclass
class Namespace:
    """Where the gateway lives; a context manager."""

    name: str = field(default_factory=lambda: f"bg{os.getpid()}")
    uplink: Cable = field(init=False)
    field_: Cable = field(init=False)

    def __post_init__(self) -> None:
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        part = os.getpid() % 250
        self.uplink = self._cable("u", f"10.213.{part}", 1)
        self.field_ = self._cable("f", f"10.213.{part}", 5)

    def _cable(self, letter: str, network: str, at: int) -> Cable:
        cable = Cable(f"{network}.{at}", f"{network}.{at + 1}", f"{self.name}{letter}0")
        far = f"{self.name}{letter}1"
        _ip("link", "add", cable.near, "type", "veth", "peer", "name", far, "netns", self.name)
        _ip("addr", "add", f"{cable.here}/30", "dev", cable.near)
        _ip("-n", self.name, "addr", "add", f"{cable.there}/30", "dev", far)
        _ip("link", "set", cable.near, "up")
        _ip("-n", self.name, "link", "set", far, "up")
        return cable

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that is to run inside."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for cable in (self.uplink, self.field_):
            subprocess.run(["ip", "link", "del", cable.near], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
