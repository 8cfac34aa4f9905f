"""What a user brings to a boot: found in a fixed order, and refused with the way out."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from host_model.boot.parts import check_busybox, examine_qemu, find_parts, kernel_release
from pvinfo.errors import SetupError

HELP = "QEMU emulator version 11.1.3 (Debian)"
RUN_WITH = "-run-with [async-teardown=on|off][,exit-with-parent=on|off]"


def qemu_program(path: Path, devices: str = 'name "vfio-user-pci", bus PCI', usage: str = HELP) -> Path:
    path.write_text(
        f"#!/bin/sh\ncase \"$*\" in\n'-device help') echo '{devices}';;\n-help) echo '{usage}';;\nesac\n"
    )
    path.chmod(0o755)
    return path


def elf_program(*segments: int, machine: int = 62, kind: bytes = b"\x02\x01") -> bytes:
    header = bytearray(64)
    header[:6] = b"\x7fELF" + kind
    struct.pack_into("<H", header, 18, machine)
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, len(segments))
    return bytes(header) + b"".join(struct.pack("<I52x", segment) for segment in segments)


LOADED = 1
INTERPRETER = 3


def kernel_image(release: str | None = "6.12.1-amd64 (builder@host) #1") -> bytes:
    image = bytearray(0x600)
    image[0x202:0x206] = b"HdrS"
    if release is not None:
        struct.pack_into("<H", image, 0x20E, 0x300)
        image[0x500 : 0x500 + len(release)] = release.encode()
    return bytes(image)


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, str]:
    qemu = qemu_program(tmp_path / "qemu")
    (tmp_path / "vmlinuz").write_bytes(kernel_image())
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/modules.dep").write_text("i915.ko:\n")
    (tmp_path / "busybox").write_bytes(elf_program(LOADED))
    return {
        "qemu": str(qemu),
        "kernel": str(tmp_path / "vmlinuz"),
        "modules": str(tmp_path / "modules"),
        "busybox": str(tmp_path / "busybox"),
    }


def test_the_arguments_come_before_the_environment(parts: dict[str, str]) -> None:
    environment = {f"GVT_{name.upper()}": "/nowhere" for name in parts}
    found = find_parts(**parts, environment=environment)
    assert str(found.qemu.path) == parts["qemu"]
    assert str(found.kernel) == parts["kernel"]
    assert str(found.modules.path) == parts["modules"]
    assert str(found.busybox) == parts["busybox"]


def test_the_environment_comes_before_the_machine(parts: dict[str, str], tmp_path: Path) -> None:
    installed = tmp_path / "bin"
    installed.mkdir()
    qemu_program(installed / "qemu-system-x86_64", usage="QEMU emulator version 10.1.0")
    environment = {f"GVT_{name.upper()}": value for name, value in parts.items()}
    environment["PATH"] = str(installed)
    assert find_parts(environment=environment).qemu.version == "11.1.3"
    del environment["GVT_QEMU"]
    found = find_parts(environment=environment).qemu
    assert (found.path, found.version) == (installed / "qemu-system-x86_64", "10.1.0")


@pytest.mark.parametrize(
    ("part", "installed"),
    [
        ("qemu", "qemu-system-x86_64 on PATH"),
        ("kernel", "/boot/vmlinuz-0.0-none"),
        ("busybox", "busybox on PATH"),
    ],
)
def test_a_missing_part_is_refused_with_every_way_to_give_it(
    parts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, installed: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="0.0-none"))
    del parts[part]
    with pytest.raises(SetupError) as caught:
        find_parts(**parts, environment={"PATH": str(tmp_path / "nothing")})
    assert f"comes from --{part}, else $GVT_{part.upper()}, else {installed}" in str(caught.value)


@pytest.mark.parametrize("part", ["qemu", "kernel", "busybox"])
def test_a_part_that_is_given_and_not_there_is_not_replaced_by_another(
    parts: dict[str, str], part: str
) -> None:
    with pytest.raises(SetupError, match=f"^--{part}: /nowhere is not a file; .* else .GVT_"):
        find_parts(**{**parts, part: "/nowhere"}, environment={})
    del parts[part]
    with pytest.raises(SetupError, match=f"^.GVT_{part.upper()}: /nowhere is not a file"):
        find_parts(**parts, environment={f"GVT_{part.upper()}": "/nowhere"})


def test_missing_modules_are_refused_with_every_way_to_give_them(
    parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="0.0-none"))
    del parts["modules"]
    with pytest.raises(SetupError) as caught:
        find_parts(**parts, environment={})
    assert "/lib/modules/0.0-none is not a directory" in str(caught.value)
    assert "--modules, else $GVT_MODULES, else /lib/modules/0.0-none" in str(caught.value)


def test_a_qemu_without_vfio_user_is_refused_with_its_version(tmp_path: Path) -> None:
    old = qemu_program(tmp_path / "qemu", 'name "vfio-pci", bus PCI', "QEMU emulator version 7.2.22")
    with pytest.raises(SetupError) as caught:
        examine_qemu(old)
    assert f"{old} is QEMU 7.2.22 without the device vfio-user-pci" in str(caught.value)
    assert "10.1" in str(caught.value)


def test_a_qemu_says_whether_it_can_end_with_its_parent(tmp_path: Path) -> None:
    assert not examine_qemu(qemu_program(tmp_path / "a")).exits_with_parent
    assert examine_qemu(qemu_program(tmp_path / "b", usage=f"{HELP} {RUN_WITH}")).exits_with_parent


def failing(path: Path) -> None:
    path.write_text("#!/bin/sh\necho cannot load a library >&2\nexit 127\n")
    path.chmod(0o755)


def not_a_program(path: Path) -> None:
    path.write_text("text")


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (failing, "ends with status 127: cannot load a library"),
        (not_a_program, "does not run: .*Permission denied"),
    ],
)
def test_a_qemu_that_does_not_run_is_refused(
    tmp_path: Path, make: Callable[[Path], None], rule: str
) -> None:
    make(tmp_path / "qemu")
    with pytest.raises(SetupError, match=f"{re.escape(str(tmp_path / 'qemu'))} -help {rule}"):
        examine_qemu(tmp_path / "qemu")


@pytest.mark.parametrize(
    ("program", "rule"),
    [
        (b"#!/bin/sh\n", "is not a 64-bit ELF program"),
        (b"\x7fELF\x02\x01", "is not a 64-bit ELF program"),
        (elf_program(LOADED, kind=b"\x01\x01"), "is not a 64-bit ELF program"),
        (elf_program(LOADED, machine=183), "is for ELF machine 183, the guest runs 62"),
        (elf_program(LOADED, INTERPRETER), "linked dynamically .* --busybox or .GVT_BUSYBOX"),
        (elf_program()[:54] + bytes(10), "its program headers have 0 bytes, 64-bit ELF has 56"),
        (elf_program(LOADED, LOADED)[:70], "its program headers end at 0xb0, the file before"),
    ],
)
def test_a_busybox_that_cannot_run_alone_is_refused(tmp_path: Path, program: bytes, rule: str) -> None:
    (tmp_path / "busybox").write_bytes(program)
    with pytest.raises(SetupError, match=rule):
        check_busybox(tmp_path / "busybox")


def test_a_static_busybox_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(elf_program(LOADED, LOADED))
    check_busybox(tmp_path / "busybox")


def test_the_kernel_image_says_its_release(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(kernel_image())
    assert kernel_release(tmp_path / "vmlinuz") == "6.12.1-amd64"
    (tmp_path / "vmlinuz").write_bytes(kernel_image(None))
    assert kernel_release(tmp_path / "vmlinuz") is None


@pytest.mark.parametrize("image", [b"", b"\x7fELF" * 300, bytes(0x600)])
def test_a_file_that_is_no_boot_image_is_refused(tmp_path: Path, image: bytes) -> None:
    (tmp_path / "vmlinuz").write_bytes(image)
    with pytest.raises(SetupError, match="vmlinuz is no x86 boot image .* no HdrS at byte 0x202"):
        kernel_release(tmp_path / "vmlinuz")
