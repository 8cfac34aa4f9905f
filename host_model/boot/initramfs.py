"""The guest's whole file system: busybox, the driver's modules, and what the user adds."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from host_model.boot.cpio import (
    Entry,
    device_node,
    directory,
    regular_file,
    symlink,
    write_archive,
)
from host_model.boot.kvmgt import MEDIATOR_ARGUMENTS, MEDIATOR_MODULES
from host_model.boot.modules import (
    ModuleDirectory,
    decompress_module,
    module_arguments,
    module_name,
    vermagic,
)
from pvinfo.errors import SetupError, UsageError

__all__ = ("DRIVER", "AddedFile", "GuestImage", "build_image", "parse_added_file")

DRIVER: Final = "i915"
_DRIVER_ARGUMENTS: Final = ("i915.enable_guc=0",)
"""GuC submission is not mediated: execlists are what GVT-g shares out."""
_POST: Final = "post"
_SETTINGS: Final = "etc/host-model"


class AddedFile(NamedTuple):
    """A file of the host and where it stands in the guest; its permissions go with it."""

    source: Path
    guest_path: PurePosixPath


def parse_added_file(text: str) -> AddedFile:
    """``FILE:GUESTPATH`` as on the command line; a file name may itself hold colons.

    Raises:
        UsageError: there is no colon, or the guest path is not an absolute path of a file.
    """
    source, colon, guest_path = text.rpartition(":")
    path = PurePosixPath(guest_path)
    if not colon or not source or not path.is_absolute() or ".." in path.parts or path.name == "":
        raise UsageError(
            f"{text!r} is not FILE:GUESTPATH with an absolute GUESTPATH, such as ./probe:/bin/probe"
        )
    return AddedFile(Path(source), path)


class GuestImage(NamedTuple):
    """An initramfs, and the kernel arguments that go with it."""

    archive: bytes
    kernel_arguments: tuple[str, ...]


def build_image(
    busybox: Path,
    modules: ModuleDirectory,
    *,
    kernel_arguments: Sequence[str] = (),
    kernel_release: str | None = None,
    post: Path | None = None,
    added: Iterable[AddedFile] = (),
    virtualisation: str | None = None,
    compress: bool = False,
) -> GuestImage:
    """The image that boots, loads i915 with everything it needs, runs ``post`` and powers off.

    ``virtualisation`` is the module of the processor's half of KVM (``kvm-amd``); with it the machine
    loads the kernel's own mediator and tries what it offers. Arguments of modules (``i915.reset=0``) are handed over when the module is loaded.
    ``kernel_release`` is checked against the modules' own when given.

    Raises:
        SetupError: the kernel has no i915, the modules are for another kernel, or a file is missing.
        UsageError: an added file would stand where something else already does.
    """
    plan = modules.plan(DRIVER)
    mediator = () if virtualisation is None else (*MEDIATOR_MODULES, virtualisation)
    arguments = (*_DRIVER_ARGUMENTS, *(MEDIATOR_ARGUMENTS if mediator else ()), *kernel_arguments)
    entries = [regular_file("bin/busybox", busybox.read_bytes(), 0o755), symlink("bin/sh", "busybox")]
    insertions: list[str] = []
    mediator_files = [file for file in modules.plan(DRIVER, *mediator).files if file not in plan.files]
    for file in (*plan.files, *mediator_files):
        content = decompress_module(file)
        _check_release(file, content, kernel_release)
        name = module_name(file.name)
        path = f"lib/modules/{name}.ko"
        entries.append(regular_file(path, content))
        insertions.append(" ".join((f"/{path}", *module_arguments(arguments, name))))
    end = len(plan.files)
    start = end if DRIVER in plan.builtin else end - 1
    settings = [("dependencies", insertions[:start]), ("driver", insertions[start:end])]
    if mediator:
        settings.append(("mediator", insertions[end:]))
        entries.append(regular_file(f"{_SETTINGS}/kvmgt.sh", _script("kvmgt.sh")))
    for setting, lines in settings:
        text = "".join(f"{line}\n" for line in lines)
        entries.append(regular_file(f"{_SETTINGS}/{setting}", text.encode()))
    entries.append(regular_file("init", _script("init.sh"), 0o755))
    entries.append(regular_file("bin/gvt-screenshot", _script("gvt-screenshot.sh"), 0o755))
    # The console must be there before init can mount devtmpfs, or init has no standard output.
    entries.append(device_node("dev/console", 5, 1))
    entries.append(device_node("dev/null", 1, 3))
    if post is not None:
        entries.append(regular_file(_POST, _content_of(post, "--post"), 0o755))
    for item in added:
        entries.append(_added_entry(item, entries))
    archive = write_archive([*_parents(entries), *entries])
    if compress:
        archive = gzip.compress(archive, compresslevel=1, mtime=0)
    return GuestImage(archive, arguments)


def _script(name: str) -> bytes:
    return resources.files("host_model.boot").joinpath(name).read_bytes()


def _added_entry(item: AddedFile, others: Iterable[Entry]) -> Entry:
    name = str(item.guest_path.relative_to("/"))
    for other in (_POST, *(entry.name for entry in others)):
        if name == other or other.startswith(f"{name}/") or name.startswith(f"{other}/"):
            raise UsageError(
                f"--add: {item.source} cannot be {item.guest_path} in the guest, where /{other} is already"
            )
    content = _content_of(item.source, "--add")
    return regular_file(name, content, item.source.stat().st_mode & 0o777)


def _parents(entries: Iterable[Entry]) -> list[Entry]:
    """A directory entry for each directory that ``entries`` stand in, outermost first."""
    names = {str(parent) for entry in entries for parent in PurePosixPath(entry.name).parents}
    return [directory(name) for name in sorted(names - {"."})]


def _content_of(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{option}: {path} cannot be read: {error.strerror}") from error


def _check_release(file: Path, module: bytes, kernel_release: str | None) -> None:
    built_for = vermagic(module)
    if kernel_release and built_for and built_for != kernel_release:
        raise SetupError(
            f"{file} is for Linux {built_for}, the kernel is {kernel_release}: a module loads only "
            f"into the kernel it was built with; give the modules of that kernel by --modules or "
            f"$GVT_MODULES"
        )
