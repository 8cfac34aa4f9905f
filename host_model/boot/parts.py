"""The parts of a real guest that a user brings: QEMU, a kernel, its modules, a busybox.

Each is looked for in the same order: the argument, the ``GVT_`` variable, then where a Linux
installation keeps it. What is missing or unusable is a :class:`pvinfo.errors.SetupError` that says
every way to give it.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from host_model.boot.modules import ModuleDirectory
from pvinfo.errors import SetupError

__all__ = (
    "OLDEST_QEMU",
    "GuestParts",
    "QemuProgram",
    "check_busybox",
    "examine_qemu",
    "find_parts",
    "kernel_release",
)

OLDEST_QEMU: Final = "10.1"
"""The first QEMU with a vfio-user client. Source: qemu:docs/system/devices/vfio-user.rst"""

_DEVICE: Final = "vfio-user-pci"
_PROBE_TIMEOUT_S: Final = 30


class QemuProgram(NamedTuple):
    """A QEMU that can attach a vfio-user device.

    ``exits_with_parent`` tells whether it can be asked to end when we do, even if we are killed.
    """

    path: Path
    version: str
    exits_with_parent: bool


class GuestParts(NamedTuple):
    """Everything a guest is made of, each part checked."""

    qemu: QemuProgram
    kernel: Path
    modules: ModuleDirectory
    busybox: Path


def find_parts(
    qemu: str | None = None,
    kernel: str | None = None,
    modules: str | None = None,
    busybox: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> GuestParts:
    """The four parts, from the arguments, else the environment, else the machine.

    Raises:
        SetupError: a part is missing or cannot be used.
    """
    release = os.uname().release
    search_path = environment.get("PATH")
    kernel_path = _find_file(
        "a Linux kernel image",
        ("--kernel", kernel),
        ("GVT_KERNEL", environment),
        f"/boot/vmlinuz-{release}",
        f"/boot/vmlinuz-{release}",
    )
    busybox_path = _find_file(
        "a static busybox",
        ("--busybox", busybox),
        ("GVT_BUSYBOX", environment),
        shutil.which("busybox", path=search_path),
        "busybox on PATH",
    )
    qemu_path = _find_file(
        f"a QEMU ({OLDEST_QEMU} or newer)",
        ("--qemu", qemu),
        ("GVT_QEMU", environment),
        shutil.which("qemu-system-x86_64", path=search_path),
        "qemu-system-x86_64 on PATH",
    )
    check_busybox(busybox_path)
    return GuestParts(
        examine_qemu(qemu_path),
        kernel_path,
        _find_modules(modules or environment.get("GVT_MODULES"), f"/lib/modules/{release}"),
        busybox_path,
    )


def _find_modules(given: str | None, installed: str) -> ModuleDirectory:
    try:
        return ModuleDirectory(Path(given or installed))
    except SetupError as error:
        raise SetupError(
            f"{error}; the kernel's modules come from --modules, else $GVT_MODULES, else {installed}"
        ) from error


def _find_file(
    what: str,
    argument: tuple[str, str | None],
    variable: tuple[str, Mapping[str, str]],
    installed: str | None,
    installed_as: str,
) -> Path:
    option, given = argument
    name, environment = variable
    ways = f"{what} comes from {option}, else ${name}, else {installed_as}"
    for source, value in ((option, given), (f"${name}", environment.get(name))):
        if value:
            path = Path(value)
            if not path.is_file():
                raise SetupError(f"{source}: {value} is not a file; {ways}")
            if not os.access(path, os.R_OK):
                raise SetupError(f"{source}: {value} may not be read by this user; {ways}")
            return path
    if installed is None or not Path(installed).is_file():
        raise SetupError(f"none of them is there: {ways}")
    if not os.access(installed, os.R_OK):
        raise SetupError(f"{installed} may not be read by this user (many systems keep it for root); {ways}")
    return Path(installed)


def examine_qemu(path: Path) -> QemuProgram:
    """What ``path`` says it is and can do, by its own help texts.

    Raises:
        SetupError: it does not run, or has no vfio-user client.
    """
    usage = _output_of(path, "-help")
    found = re.search(r"version (\S+)", usage)
    version = found[1] if found else "of unknown version"
    if f'"{_DEVICE}"' not in _output_of(path, "-device", "help"):
        raise SetupError(
            f"{path} is QEMU {version} without the device {_DEVICE}: it came with QEMU "
            f"{OLDEST_QEMU} and needs a build for Linux with vfio-user; give another by --qemu or "
            f"$GVT_QEMU"
        )
    return QemuProgram(path, version, "exit-with-parent" in usage)


def _output_of(program: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{program} {' '.join(arguments)} does not run: {error}") from error
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip()
        raise SetupError(
            f"{program} {' '.join(arguments)} ends with status {result.returncode}: {said}"
        )
    return result.stdout.decode(errors="replace")


_ELF_MAGIC: Final = b"\x7fELF"
_ELF_64_LITTLE: Final = b"\x02\x01"
_MACHINE_X86_64: Final = 62
_PROGRAM_HEADER_SIZE: Final = 56
_PROGRAM_INTERPRETER: Final = 3


def check_busybox(path: Path) -> None:
    """Refuses a busybox that cannot run in an initramfs that holds nothing but itself.

    Raises:
        SetupError: not an x86-64 ELF program, or one that asks for a dynamic linker.
    """
    program = path.read_bytes()
    if program[:6] != _ELF_MAGIC + _ELF_64_LITTLE or len(program) < 64:
        raise SetupError(f"{path} is not a 64-bit ELF program; the guest needs a busybox for x86-64")
    (machine,) = struct.unpack_from("<H", program, 18)
    if machine != _MACHINE_X86_64:
        raise SetupError(f"{path} is for ELF machine {machine}, the guest runs {_MACHINE_X86_64} (x86-64)")
    (headers,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    if size != _PROGRAM_HEADER_SIZE:
        raise SetupError(f"{path}: its program headers have {size} bytes, 64-bit ELF has {_PROGRAM_HEADER_SIZE}")
    for offset in range(headers, headers + size * count, size):
        if offset + 4 > len(program):
            raise SetupError(f"{path}: its program headers end at {headers + size * count:#x}, the file before")
        if struct.unpack_from("<I", program, offset)[0] == _PROGRAM_INTERPRETER:
            raise SetupError(
                f"{path} is linked dynamically (it names a program interpreter), and the guest has "
                f"no libraries: give a static one by --busybox or $GVT_BUSYBOX (Debian: "
                f"busybox-static)"
            )


_SETUP_MAGIC: Final = b"HdrS"
_SETUP_MAGIC_OFFSET: Final = 0x202
_VERSION_POINTER_OFFSET: Final = 0x20E
_VERSION_POINTER_BASE: Final = 0x200


def kernel_release(path: Path) -> str | None:
    """The release an x86 kernel image says it is (``6.12.0-amd64``), None when it says nothing.

    Raises:
        SetupError: the image is no x86 boot image.

    Source: linux:Documentation/arch/x86/boot.rst
    """
    image = path.read_bytes()
    if image[_SETUP_MAGIC_OFFSET : _SETUP_MAGIC_OFFSET + 4] != _SETUP_MAGIC:
        raise SetupError(f"{path} is no x86 boot image (bzImage, vmlinuz): no HdrS at byte 0x202")
    (pointer,) = struct.unpack_from("<H", image, _VERSION_POINTER_OFFSET)
    if not pointer:
        return None
    text = image[pointer + _VERSION_POINTER_BASE :][:256].split(b"\0", 1)[0]
    words = text.decode("ascii", "replace").split()
    return words[0] if words else None
