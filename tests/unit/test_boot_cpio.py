"""The initramfs archive: what the kernel's unpacker reads, byte for byte."""

from __future__ import annotations

import shutil
import stat
import subprocess

import pytest

from host_model.boot.cpio import Entry, device_node, directory, regular_file, symlink, write_archive
from pvinfo.errors import WireError
from support.newc import read_archive

TREE = (
    directory("bin"),
    regular_file("bin/busybox", b"\x7fELF" + bytes(9), 0o755),
    symlink("bin/sh", "busybox"),
    directory("dev", 0o700),
    device_node("dev/console", 5, 1),
    device_node("dev/sda", 8, 0, block=True),
    regular_file("empty", b""),
)


def test_the_first_header_has_the_golden_bytes() -> None:
    archive = write_archive([regular_file("init", b"#!/bin/sh\n", 0o755)])
    expected = (
        b"070701" b"00000001" b"000081ED" b"00000000" b"00000000" b"00000001" b"00000000"
        b"0000000A" b"00000000" b"00000000" b"00000000" b"00000000" b"00000005" b"00000000"
        b"init\0\0" b"#!/bin/sh\n\0\0"
    )
    assert archive[: len(expected)] == expected


def test_the_archive_ends_with_its_trailer_and_fills_a_block() -> None:
    archive = write_archive([])
    assert len(archive) == 512
    assert archive[110:121] == b"TRAILER!!!\0"
    assert archive[94:102] == b"0000000B"
    assert not any(archive[121:])


def test_what_is_written_is_read_back_in_order() -> None:
    assert tuple(read_archive(write_archive(TREE))) == TREE


def test_every_name_length_keeps_the_four_byte_alignment() -> None:
    entries = [regular_file("n" * length, b"d" * size) for length in range(1, 9) for size in range(5)]
    assert list(read_archive(write_archive(entries))) == entries


def test_the_same_tree_gives_the_same_bytes() -> None:
    assert write_archive(TREE) == write_archive(list(TREE))


@pytest.mark.skipif(shutil.which("cpio") is None, reason="there is no cpio program to compare with")
def test_the_cpio_program_lists_the_same_tree() -> None:
    result = subprocess.run(
        ["cpio", "-tv", "--numeric-uid-gid"], input=write_archive(TREE), capture_output=True, check=True
    )
    lines = result.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [stat.filemode(entry.mode) for entry in TREE]
    assert lines[1].endswith(" bin/busybox")
    assert lines[2].endswith(" bin/sh -> busybox")
    assert "5,   1" in lines[4]


def test_two_files_never_look_like_hard_links() -> None:
    archive = write_archive([regular_file(name, b"") for name in "abc"])
    assert [archive[n * 112 + 6 : n * 112 + 14] for n in range(3)] == [b"00000001", b"00000002", b"00000003"]


def test_a_file_too_large_for_the_format_is_refused() -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return 1 << 32

    with pytest.raises(WireError, match="init holds 4294967296 bytes; newc has 32 bits"):
        write_archive([Entry("init", 0o100644, Large())])
