"""The ``newc`` cpio archive: the only file system the kernel can unpack before it has one.

Archives are deterministic: no owner, no clock, inode numbers in order of appearance; the same
entries give the same bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import Final, NamedTuple

from pvinfo.errors import WireError

__all__ = (
    "MAGIC",
    "TRAILER",
    "Entry",
    "device_node",
    "directory",
    "regular_file",
    "symlink",
    "write_archive",
)

MAGIC: Final = b"070701"
"""Source: linux:Documentation/driver-api/early-userspace/buffer-format.rst"""

TRAILER: Final = "TRAILER!!!"
_ALIGNMENT: Final = 4
_BLOCK: Final = 512


class Entry(NamedTuple):
    """One file of an archive: ``name`` without a leading slash, ``mode`` with its type bits.

    ``data`` is a regular file's content or a symbolic link's target; ``device`` is the major and
    minor number of a device node.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str, permissions: int = 0o755) -> Entry:
    """A directory; the kernel makes no missing parents, so each one needs an entry of its own."""
    return Entry(name, stat.S_IFDIR | permissions)


def regular_file(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    """A regular file holding ``data``."""
    return Entry(name, stat.S_IFREG | permissions, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link; ``target`` is stored as it is, without a terminating zero byte."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def device_node(name: str, major: int, minor: int, *, block: bool = False) -> Entry:
    """A character device node, or a block device node."""
    kind = stat.S_IFBLK if block else stat.S_IFCHR
    return Entry(name, kind | 0o600, device=(major, minor))


def write_archive(entries: Iterable[Entry]) -> bytes:
    """The archive of ``entries`` in the order given, closed by its trailer and padded to a block.

    Raises:
        WireError: an entry that the format cannot hold, such as a file of 4 GiB.
    """
    archive = bytearray()
    for inode, entry in enumerate(entries, start=1):
        _append(archive, entry, inode)
    _append(archive, Entry(TRAILER, 0), 0)
    archive += bytes(-len(archive) % _BLOCK)
    return bytes(archive)


def _append(archive: bytearray, entry: Entry, inode: int) -> None:
    name = entry.name.encode() + b"\0"
    if len(entry.data) > 0xFFFF_FFFF:
        rule = f"{entry.name} holds {len(entry.data)} bytes; newc has 32 bits for a size"
        raise WireError("cpio", "size", len(archive), rule)
    values = (
        inode,
        entry.mode,
        0,  # owner
        0,  # group
        2 if stat.S_ISDIR(entry.mode) else 1,
        0,  # time of modification
        len(entry.data),
        0,  # device that the file is on, major and minor
        0,
        *entry.device,
        len(name),
        0,  # checksum, which only the crc variant has
    )
    archive += MAGIC + b"".join(b"%08X" % value for value in values) + name
    archive += bytes(-len(archive) % _ALIGNMENT)
    archive += entry.data
    archive += bytes(-len(archive) % _ALIGNMENT)
