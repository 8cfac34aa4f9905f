"""The guest's image: what the init script will find in it."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest

from host_model.boot.cpio import Entry
from host_model.boot.initramfs import AddedFile, build_image, parse_added_file
from host_model.boot.modules import ModuleDirectory
from pvinfo.errors import SetupError, UsageError
from support.newc import read_archive

RELEASE = "6.12.1-amd64"


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    path = tmp_path / "busybox"
    path.write_bytes(b"static busybox")
    return path


def module_directory(path: Path, dependencies: str, builtin: str = "") -> ModuleDirectory:
    path.mkdir()
    (path / "modules.dep").write_text(dependencies)
    (path / "modules.builtin").write_text(builtin)
    for line in dependencies.splitlines():
        file = path / line.partition(":")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"{file.name}\0vermagic={RELEASE} SMP \0".encode())
    return ModuleDirectory(path)


@pytest.fixture
def modules(tmp_path: Path) -> ModuleDirectory:
    return module_directory(tmp_path / "modules", "kernel/rc-core.ko:\nkernel/i915.ko: kernel/rc-core.ko\n")


def tree(archive: bytes) -> dict[str, Entry]:
    return {entry.name: entry for entry in read_archive(archive)}


def test_the_image_holds_what_init_needs(busybox: Path, modules: ModuleDirectory) -> None:
    files = tree(build_image(busybox, modules).archive)
    assert set(files) == {
        "bin",
        "bin/busybox",
        "bin/gvt-screenshot",
        "bin/sh",
        "dev",
        "dev/console",
        "dev/null",
        "etc",
        "etc/host-model",
        "etc/host-model/dependencies",
        "etc/host-model/driver",
        "init",
        "lib",
        "lib/modules",
        "lib/modules/i915.ko",
        "lib/modules/rc_core.ko",
    }
    assert files["bin/busybox"].data == b"static busybox"
    assert files["bin/sh"].data == b"busybox"
    assert files["dev/console"].device == (5, 1)
    assert stat.S_IMODE(files["init"].mode) == 0o755
    assert files["init"].data.startswith(b"#!/bin/sh\n")
    assert files["lib/modules/i915.ko"].data.startswith(b"i915.ko\0")


def test_every_directory_stands_before_what_is_in_it(busybox: Path, modules: ModuleDirectory) -> None:
    added = [AddedFile(busybox, parse_added_file("x:/a/b/c").guest_path)]
    seen: set[str] = {""}
    for entry in read_archive(build_image(busybox, modules, added=added).archive):
        assert entry.name.rpartition("/")[0] in seen
        seen.add(entry.name)
    assert {"a", "a/b", "a/b/c"} <= seen


def test_modules_are_listed_in_load_order_with_their_arguments(
    busybox: Path, modules: ModuleDirectory
) -> None:
    arguments = ["rc_core.debug=1", "i915.reset=0", "i915.enable_guc=2", "quiet"]
    image = build_image(busybox, modules, kernel_arguments=arguments)
    files = tree(image.archive)
    assert files["etc/host-model/dependencies"].data == b"/lib/modules/rc_core.ko debug=1\n"
    assert files["etc/host-model/driver"].data == (
        b"/lib/modules/i915.ko enable_guc=0 reset=0 enable_guc=2\n"
    )
    assert image.kernel_arguments == ("i915.enable_guc=0", *arguments)


MEDIATED = """\
kernel/irqbypass.ko:
kernel/i915.ko:
kernel/vfio.ko:
kernel/mdev.ko:
kernel/kvm.ko: kernel/irqbypass.ko
kernel/kvm-amd.ko: kernel/kvm.ko
kernel/kvm-intel.ko: kernel/kvm.ko
kernel/kvmgt.ko: kernel/mdev.ko kernel/vfio.ko kernel/i915.ko kernel/kvm.ko
kernel/vfio_iommu_type1.ko: kernel/vfio.ko
kernel/vfio-pci.ko: kernel/vfio.ko
"""


@pytest.mark.parametrize(("virtualisation", "name"), [("kvm-amd", "kvm_amd"), ("kvm-intel", "kvm_intel")])
def test_a_mediating_host_loads_the_mediator_after_the_driver_and_what_that_needs_once(
    tmp_path: Path, busybox: Path, virtualisation: str, name: str
) -> None:
    directory = module_directory(tmp_path / "m", MEDIATED)
    arguments = ["kvmgt.debug=1"]
    image = build_image(busybox, directory, kernel_arguments=arguments, virtualisation=virtualisation)
    files = tree(image.archive)
    assert files["etc/host-model/dependencies"].data == b""
    assert files["etc/host-model/driver"].data == b"/lib/modules/i915.ko enable_guc=0 enable_gvt=1\n"
    order = ["vfio", "mdev", "irqbypass", "kvm", "kvmgt debug=1", "vfio_iommu_type1", "vfio_pci", name]
    lines = [f"/lib/modules/{word.replace(' ', '.ko ') if ' ' in word else word + '.ko'}\n" for word in order]
    assert files["etc/host-model/mediator"].data.decode() == "".join(lines)
    assert b"mdev_supported_types" in files["etc/host-model/kvmgt.sh"].data
    assert image.kernel_arguments == ("i915.enable_guc=0", "i915.enable_gvt=1", *arguments)


def test_a_kernel_without_the_mediator_is_refused_before_the_boot(busybox: Path, modules: ModuleDirectory) -> None:
    with pytest.raises(SetupError, match="no module vfio in "):
        build_image(busybox, modules, virtualisation="kvm-amd")


def test_a_builtin_driver_has_nothing_to_load(tmp_path: Path, busybox: Path) -> None:
    directory = module_directory(tmp_path / "m", "", "kernel/i915.ko\n")
    image = build_image(busybox, directory)
    files = tree(image.archive)
    assert files["etc/host-model/dependencies"].data == b""
    assert files["etc/host-model/driver"].data == b""
    assert image.kernel_arguments == ("i915.enable_guc=0",)


def test_the_post_script_and_added_files_keep_their_content_and_permissions(
    tmp_path: Path, busybox: Path, modules: ModuleDirectory
) -> None:
    script = tmp_path / "script"
    script.write_text("exit 3\n")
    script.chmod(0o600)
    probe = tmp_path / "probe:1"
    probe.write_bytes(b"\x7fELF")
    probe.chmod(0o711)
    added = [parse_added_file(f"{probe}:/usr/bin/probe")]
    files = tree(build_image(busybox, modules, post=script, added=added).archive)
    assert files["post"].data == b"exit 3\n"
    assert stat.S_IMODE(files["post"].mode) == 0o755
    assert files["usr/bin/probe"].data == b"\x7fELF"
    assert stat.S_IMODE(files["usr/bin/probe"].mode) == 0o711


def test_the_same_parts_give_the_same_image_packed_or_not(busybox: Path, modules: ModuleDirectory) -> None:
    plain = build_image(busybox, modules).archive
    packed = build_image(busybox, modules, compress=True).archive
    assert build_image(busybox, modules).archive == plain
    assert build_image(busybox, modules, compress=True).archive == packed
    assert gzip.decompress(packed) == plain


def test_modules_of_another_kernel_are_refused_before_the_boot(
    busybox: Path, modules: ModuleDirectory
) -> None:
    build_image(busybox, modules, kernel_release=RELEASE)
    with pytest.raises(SetupError, match=r"rc-core\.ko is for Linux 6\.12\.1-amd64, the kernel is 6\.1\.0"):
        build_image(busybox, modules, kernel_release="6.1.0")


@pytest.mark.parametrize(
    "text", ["", "file", ":/bin/x", "file:bin/x", "file:/", "file:/a/../../x", "file:"]
)
def test_an_added_file_without_a_proper_guest_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not FILE:GUESTPATH"):
        parse_added_file(text)


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/init", "/init"),
        ("/post", "/post"),
        ("/bin/sh", "/bin/sh"),
        ("/etc", "/etc/host-model/dependencies"),
        ("/init/x", "/init"),
        ("/a/b", "/a/b"),
        ("/a", "/a/b"),
    ],
)
def test_an_added_file_may_not_stand_where_something_is_already(
    busybox: Path, modules: ModuleDirectory, path: str, other: str
) -> None:
    added = [parse_added_file(f"{busybox}:{text}") for text in ("/a/b", path)]
    with pytest.raises(UsageError, match=f"cannot be {path} in the guest, where {other} is already"):
        build_image(busybox, modules, added=added)


@pytest.mark.parametrize("option", ["--post", "--add"])
def test_a_file_that_is_not_there_is_named_with_its_option(
    tmp_path: Path, busybox: Path, modules: ModuleDirectory, option: str
) -> None:
    lost = tmp_path / "lost"
    with pytest.raises(SetupError, match=f"{option}: {lost} cannot be read: No such file"):
        if option == "--post":
            build_image(busybox, modules, post=lost)
        else:
            build_image(busybox, modules, added=[parse_added_file(f"{lost}:/lost")])
