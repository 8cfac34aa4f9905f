"""Kernel modules as a distribution installs them: who needs whom, and the bytes behind ``.ko.xz``.

A module directory is what ``/lib/modules/VERSION`` is: ``modules.dep`` says which files each module
needs, ``modules.builtin`` which modules are part of the kernel image and need no file.
"""

from __future__ import annotations

import importlib
import lzma
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pvinfo.errors import SetupError, UsageError

__all__ = (
    "ModuleDirectory",
    "ModulePlan",
    "decompress_module",
    "module_arguments",
    "module_name",
    "split_arguments",
    "vermagic",
)

_SUFFIXES: Final = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")


def module_name(path: str) -> str:
    """The name a module has once loaded: ``rc_core`` for ``kernel/drivers/media/rc/rc-core.ko.xz``.

    The kernel takes ``-`` and ``_`` for the same letter.
    """
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")


def split_arguments(text: str) -> list[str]:
    """The words of a kernel command line; a part in double quotes may hold spaces."""
    return re.findall(r'(?:"[^"]*"|[^\s"])+', text)


def module_arguments(words: Iterable[str], module: str) -> list[str]:
    """Those kernel arguments that are a module's: ``debug=4`` for ``drm.debug=4`` and ``drm``.

    The kernel hands them to what is built in only; for a module file, loading it means handing them
    over, as modprobe does.
    """
    return [
        argument
        for owner, dot, argument in (word.partition(".") for word in words)
        if dot and argument and "=" not in owner and module_name(owner) == module_name(module)
    ]


class ModulePlan(NamedTuple):
    """What it takes to have some modules in the kernel.

    ``files`` are the module files below the directory in the order in which to load them;
    ``builtin`` are the wanted modules that the kernel already has in it.
    """

    files: tuple[Path, ...]
    builtin: frozenset[str]


class ModuleDirectory:
    """The modules of one kernel version, found by name.

    ``directory`` is the one with ``modules.dep`` in it, or one (``/lib/modules``) with a single
    such directory below it.

    Raises:
        SetupError: there is no such directory, no ``modules.dep`` in it, or more than one below.
    """

    def __init__(self, directory: Path) -> None:
        self.path: Final = _with_dependency_list(directory)
        self._dependencies: Final = self._read_dependencies()
        self._builtin: Final = self._read_builtin()

    def plan(self, *wanted: str) -> ModulePlan:
        """The files that bring the ``wanted`` modules, each after everything it needs.

        Raises:
            SetupError: a module that this kernel does not have, or modules that need each other.
        """
        order: list[str] = []
        builtin: set[str] = set()
        for name in map(module_name, wanted):
            if name in self._dependencies:
                self._visit(name, order, ())
            elif name in self._builtin:
                builtin.add(name)
            else:
                raise SetupError(
                    f"no module {name} in {self.path}: neither modules.dep nor modules.builtin "
                    f"lists it, so the kernel was built or installed without it; give a kernel "
                    f"that has it, with its modules"
                )
        files = tuple(self.path / self._dependencies[name][0] for name in order)
        return ModulePlan(files, frozenset(builtin))

    def _visit(self, name: str, order: list[str], path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise SetupError(
                f"{self.path / 'modules.dep'}: modules need each other in a circle ({circle}); "
                f"run depmod again"
            )
        if name in order or name in self._builtin:
            return
        if name not in self._dependencies:
            raise SetupError(
                f"{self.path / 'modules.dep'}: {path[-1]} needs {name}, which has no line of its "
                f"own; run depmod again"
            )
        _file, needed = self._dependencies[name]
        for other in reversed(needed):
            self._visit(other, order, (*path, name))
        order.append(name)

    def _read_dependencies(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        dependencies: dict[str, tuple[str, tuple[str, ...]]] = {}
        listing = self.path / "modules.dep"
        for number, line in enumerate(listing.read_text().splitlines(), start=1):
            file, colon, needed = line.partition(":")
            if not colon:
                if line.strip():
                    raise SetupError(f"{listing}:{number}: {line!r} is not FILE: NEEDED-FILES")
                continue
            names = tuple(module_name(other) for other in needed.split())
            dependencies[module_name(file)] = (file.strip(), names)
        return dependencies

    def _read_builtin(self) -> frozenset[str]:
        listing = self.path / "modules.builtin"
        if not listing.is_file():
            return frozenset()
        return frozenset(module_name(line) for line in listing.read_text().splitlines() if line)


def _with_dependency_list(directory: Path) -> Path:
    rule = "a module directory, like /lib/modules/VERSION, has a modules.dep (depmod writes it)"
    if not directory.is_dir():
        raise SetupError(f"{directory} is not a directory; {rule}")
    if (directory / "modules.dep").is_file():
        return directory
    below = sorted(path.parent for path in directory.glob("*/modules.dep"))
    if not below:
        raise SetupError(f"{directory} has no modules.dep; {rule}")
    if len(below) > 1:
        names = ", ".join(path.name for path in below)
        raise SetupError(f"{directory} has the modules of several kernels ({names}); give one")
    return below[0]


def decompress_module(path: Path) -> bytes:
    """The ELF object in a module file; busybox in the guest may not know the compression.

    Raises:
        SetupError: the file is missing, corrupt, or compressed in a way that needs a newer Python
            or a program that is not there.
        UsageError: it is not a module file by its name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SetupError(
            f"{path}: listed in modules.dep but {error.strerror}; the kernel's module package is "
            f"not complete"
        ) from error
    try:
        if path.name.endswith(".ko"):
            return data
        if path.name.endswith(".ko.xz"):
            return lzma.decompress(data)
        if path.name.endswith(".ko.gz"):
            return zlib.decompress(data, wbits=zlib.MAX_WBITS | 16)
        if path.name.endswith(".ko.zst"):
            return _decompress_zstd(path, data)
    except (lzma.LZMAError, zlib.error) as error:
        raise SetupError(f"{path}: the compressed module is damaged ({error})") from error
    raise UsageError(f"{path} is not a kernel module: its name ends with none of {_SUFFIXES}")


def _decompress_zstd(path: Path, data: bytes) -> bytes:
    """By Python's own decoder (from 3.14), else by the ``zstd`` program."""
    try:
        decoder = importlib.import_module("compression.zstd")
    except ModuleNotFoundError:
        pass
    else:
        try:
            unpacked: bytes = decoder.decompress(data)
        except decoder.ZstdError as error:
            raise SetupError(f"{path}: the compressed module is damaged ({error})") from error
        return unpacked
    program = shutil.which("zstd")
    if program is None:
        raise SetupError(
            f"{path}: Zstandard needs Python 3.14 (compression.zstd) or a zstd program on PATH; "
            f"neither is here"
        )
    result = subprocess.run([program, "-dcq"], input=data, capture_output=True, check=False)
    if result.returncode:
        raise SetupError(
            f"{path}: the compressed module is damaged ({result.stderr.decode().strip()})"
        )
    return result.stdout


def vermagic(module: bytes) -> str | None:
    """The kernel version an unpacked module was built for, as its ``.modinfo`` section says."""
    start = module.find(b"vermagic=")
    if start < 0:
        return None
    words = module[start + len(b"vermagic=") :].split(b"\0", 1)[0].split(b" ", 1)
    return words[0].decode("ascii", "replace")
