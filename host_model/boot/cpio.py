"""The ``newc`` cpio archive: the only file system the kernel can unpack before it has one.

Archives are deterministic: no owner, no clock, inode numbers in order of appearance; the same
entries give the same bytes. The reader is strict on purpose: it is what the tests hold the writer
against, and what refuses a user's broken archive before a guest kernel silently skips it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pvinfo.errors import WireError

__all__ = (
    "MAGIC",
    "TRAILER",
    "Entry",
    "device_node",
    "directory",
    "read_archive",
    "regular_file",
    "symlink",
    "write_archive",
)

MAGIC: Final = b"070701"
"""Source: linux:Documentation/driver-api/early-userspace/buffer-format.rst"""

TRAILER: Final = "TRAILER!!!"
_ALIGNMENT: Final = 4
_HEX_FIELDS: Final = (
    "inode",
    "mode",
    "uid",
    "gid",
    "links",
    "mtime",
    "size",
    "dev_major",
    "dev_minor",
    "rdev_major",
    "rdev_minor",
    "name_size",
    "checksum",
)
_HEADER_SIZE: Final = len(MAGIC) + 8 * len(_HEX_FIELDS)
_HEX_DIGITS: Final = frozenset(b"0123456789abcdefABCDEF")
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
        0,
        0,
        2 if stat.S_ISDIR(entry.mode) else 1,
        0,
        len(entry.data),
        0,
        0,
        *entry.device,
        len(name),
        0,
    )
    archive += MAGIC + b"".join(b"%08X" % value for value in values) + name
    archive += bytes(-len(archive) % _ALIGNMENT)
    archive += entry.data
    archive += bytes(-len(archive) % _ALIGNMENT)


def read_archive(archive: bytes) -> Iterator[Entry]:
    """The entries of an uncompressed archive up to its trailer.

    Raises:
        WireError: a wrong magic, a field that is no hexadecimal number, an entry that is cut short,
            or an archive without a trailer.
    """
    offset = 0
    while True:
        header = archive[offset : offset + _HEADER_SIZE]
        if len(header) < _HEADER_SIZE:
            rule = f"{len(header)} bytes left of a {_HEADER_SIZE}-byte header; no {TRAILER} was seen"
            raise WireError("cpio", "", offset, rule)
        if not header.startswith(MAGIC):
            rule = f"is {header[:6]!r}, a newc header starts with {MAGIC!r}"
            raise WireError("cpio", "magic", offset, rule)
        fields = {
            name: _hexadecimal(header, offset, name, len(MAGIC) + 8 * place)
            for place, name in enumerate(_HEX_FIELDS)
        }
        name_end = offset + _HEADER_SIZE + fields["name_size"]
        data_start = name_end + -name_end % _ALIGNMENT
        data_end = data_start + fields["size"]
        if data_end > len(archive):
            rule = f"the entry ends at byte {data_end:#x}, the archive at {len(archive):#x}"
            raise WireError("cpio", "size", offset, rule)
        name = _name(archive[offset + _HEADER_SIZE : name_end], offset)
        if name == TRAILER:
            return
        yield Entry(
            name,
            fields["mode"],
            archive[data_start:data_end],
            (fields["rdev_major"], fields["rdev_minor"]),
        )
        offset = data_end + -data_end % _ALIGNMENT


def _name(stored: bytes, offset: int) -> str:
    if not stored.endswith(b"\0"):
        raise WireError("cpio", "name", offset, f"{stored!r} does not end with a zero byte")
    try:
        return stored[:-1].decode()
    except UnicodeDecodeError:
        raise WireError("cpio", "name", offset, f"{stored!r} is not UTF-8") from None


def _hexadecimal(header: bytes, offset: int, name: str, start: int) -> int:
    digits = header[start : start + 8]
    if not _HEX_DIGITS.issuperset(digits):
        rule = f"is {digits!r}, not eight hexadecimal digits"
        raise WireError("cpio", name, offset + start, rule)
    return int(digits, 16)
