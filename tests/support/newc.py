"""A strict reader of newc cpio archives, written apart from the product's writer to hold it against."""

from __future__ import annotations

from collections.abc import Iterator

from host_model.boot.cpio import Entry

FIELDS = (
    "inode", "mode", "uid", "gid", "links", "mtime", "size",
    "dev_major", "dev_minor", "rdev_major", "rdev_minor", "name_size", "checksum",
)  # fmt: skip
HEADER_SIZE = 6 + 8 * len(FIELDS)
DIGITS = frozenset(b"0123456789ABCDEF")


def read_archive(archive: bytes) -> Iterator[Entry]:
    """The entries up to the trailer. Raises: ValueError with the offset of whatever is not as the format says."""
    offset = 0
    inodes: set[int] = set()
    while True:
        header = archive[offset : offset + HEADER_SIZE]
        if len(header) < HEADER_SIZE:
            raise ValueError(f"{offset:#x}: {len(header)} bytes left of a header and no trailer seen")
        if header[:6] != b"070701":
            raise ValueError(f"{offset:#x}: magic {header[:6]!r}")
        if not DIGITS.issuperset(header[6:]):
            raise ValueError(f"{offset:#x}: not all hexadecimal: {header!r}")
        field = {name: int(header[6 + 8 * n : 14 + 8 * n], 16) for n, name in enumerate(FIELDS)}
        name_end = offset + HEADER_SIZE + field["name_size"]
        data_start = (name_end + 3) & ~3
        data_end = data_start + field["size"]
        after = (data_end + 3) & ~3
        if after > len(archive):
            raise ValueError(f"{offset:#x}: the entry ends at {after:#x}, the archive at {len(archive):#x}")
        name = archive[offset + HEADER_SIZE : name_end]
        if name[-1:] != b"\0" or b"\0" in name[:-1]:
            raise ValueError(f"{offset:#x}: name {name!r}")
        if any(archive[name_end:data_start]) or any(archive[data_end:after]):
            raise ValueError(f"{offset:#x}: padding is not zero")
        if any(field[zero] for zero in ("uid", "gid", "mtime", "dev_major", "dev_minor", "checksum")):
            raise ValueError(f"{offset:#x}: something of the machine that made it is in the header: {field}")
        if name == b"TRAILER!!!\0":
            if any(archive[after:]):
                raise ValueError(f"{after:#x}: something follows the trailer")
            return
        if field["inode"] in inodes:
            raise ValueError(f"{offset:#x}: inode {field['inode']} a second time makes a hard link")
        inodes.add(field["inode"])
        device = (field["rdev_major"], field["rdev_minor"])
        yield Entry(name[:-1].decode(), field["mode"], archive[data_start:data_end], device)
        offset = after
