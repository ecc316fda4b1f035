"""The wall clock and the disk of a daemon as the bench wants them: shim.c, compiled and told."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Self

SOURCE = Path(__file__).with_name("shim.c")
LACKS = "" if shutil.which("gcc") else "needs gcc"


class Shim:
    """Loaded into every process that is started with ``env``."""

    def __init__(self, folder: Path) -> None:
        library, told = folder / "shim.so", folder / "shim.told"
        command = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        told.write_bytes(bytes(16))
        self.env = {"LD_PRELOAD": str(library), "SHIM_FILE": str(told)}
        with told.open("r+b") as file:
            self._told = mmap.mmap(file.fileno(), 16)

    def jump(self, seconds: float) -> None:
        """Let the wall clock be off by so much from now on; 0 puts it right."""
        self._told[0:8] = struct.pack("<q", round(seconds * 1e9))

    def stall(self, seconds: float) -> None:
        """Let every sync take so much longer from now on."""
        self._told[8:16] = struct.pack("<q", round(seconds * 1e9))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._told.close()
