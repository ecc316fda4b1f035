"""More groups on a file: a POSIX access control list, as ``setfacl -m g:GROUP:rw`` writes them.

The bytes are the kernel's (``posix_acl_xattr.h``): a version, then entries sorted by tag.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ATTRIBUTE = "system.posix_acl_access"
READ_WRITE = 6
_VERSION = 2
_OWNER, _OWNING_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF  # the id of an entry that names no user and no group


def admit(path: Path, gids: Iterable[int]) -> None:
    """Let the groups ``gids`` read and write ``path`` beside those whom its mode admits.

    Raises:
        OSError: the file system keeps no such lists, or the caller does not own ``path``.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    owner, group, others = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    entries = (
        (_OWNER, owner, _NOBODY),
        (_OWNING_GROUP, group, _NOBODY),
        *((_GROUP, READ_WRITE, gid) for gid in sorted(set(gids))),
        (_MASK, group | READ_WRITE, _NOBODY),
        (_OTHERS, others, _NOBODY),
    )
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, ATTRIBUTE, struct.pack("<I", _VERSION) + packed)
