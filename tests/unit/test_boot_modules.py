"""Kernel modules: the order that brings a driver up, and the files behind it."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host_model.boot.modules import (
    ModuleDirectory,
    decompress_module,
    module_arguments,
    module_name,
    split_arguments,
    vermagic,
)
from pvinfo.errors import SetupError, UsageError


def module_directory(path: Path, dependencies: str, builtin: str = "") -> ModuleDirectory:
    path.mkdir(parents=True, exist_ok=True)
    (path / "modules.dep").write_text(dependencies)
    if builtin:
        (path / "modules.builtin").write_text(builtin)
    return ModuleDirectory(path)


def names(directory: ModuleDirectory, *wanted: str) -> list[str]:
    return [module_name(file.name) for file in directory.plan(*wanted).files]


# As depmod writes it: every module that is needed, the one to load first at the end.
REAL_ORDER = """\
kernel/drivers/video/video.ko.xz: kernel/drivers/wmi.ko.xz
kernel/drivers/wmi.ko.xz:
kernel/drm/drm.ko.xz:
kernel/drm/drm_kms_helper.ko.xz: kernel/drm/drm.ko.xz
kernel/drm/i915/i915.ko.xz: kernel/drm/drm_kms_helper.ko.xz kernel/drm/drm.ko.xz \
kernel/drivers/video/video.ko.xz kernel/drivers/wmi.ko.xz
"""


def test_a_driver_comes_after_everything_it_needs(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, REAL_ORDER)
    assert names(directory, "i915") == ["wmi", "video", "drm", "drm_kms_helper", "i915"]
    assert directory.plan("i915").files[-1] == tmp_path / "kernel/drm/i915/i915.ko.xz"


def test_two_modules_share_what_both_need(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, REAL_ORDER)
    assert names(directory, "video", "drm-kms-helper", "i915") == ["wmi", "video", "drm", "drm_kms_helper", "i915"]


def test_a_list_that_names_only_direct_needs_is_followed_too(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, "a.ko: b.ko\nb.ko: c.ko\nc.ko:\n")
    assert names(directory, "a") == ["c", "b", "a"]


def test_dash_and_underscore_name_the_same_module(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, "rc-core.ko.xz:\ncec.ko: rc_core.ko.xz\n")
    assert names(directory, "cec") == ["rc_core", "cec"]
    assert names(directory, "rc_core") == names(directory, "rc-core") == ["rc_core"]


def test_a_builtin_module_needs_no_file(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, "i915.ko: drm.ko\n", "kernel/drm/drm.ko\nkernel/kvm.ko\n")
    assert names(directory, "i915") == ["i915"]
    assert directory.plan("i915").builtin == frozenset()
    assert directory.plan("kvm", "i915").builtin == {"kvm"}


def test_a_kernel_without_the_driver_is_refused_with_the_rule(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, "drm.ko:\n")
    with pytest.raises(SetupError) as caught:
        directory.plan("i915")
    assert f"no module i915 in {tmp_path}" in str(caught.value)
    assert "neither modules.dep nor modules.builtin lists it" in str(caught.value)


def test_modules_that_need_each_other_are_named(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, "i915.ko: a.ko\na.ko: b.ko\nb.ko: c.ko\nc.ko: a.ko\n")
    with pytest.raises(SetupError, match=r"in a circle \(a -> b -> c -> a\)"):
        directory.plan("i915")


def test_a_need_without_a_line_is_named(tmp_path: Path) -> None:
    directory = module_directory(tmp_path, "i915.ko: lost.ko\n")
    with pytest.raises(SetupError, match="i915 needs lost, which has no line of its own"):
        directory.plan("i915")


def test_a_damaged_list_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"modules\.dep:2: 'drm' is not FILE: NEEDED-FILES"):
        module_directory(tmp_path, "a.ko:\ndrm\n")


def test_the_directory_above_will_do_while_it_holds_one_kernel(tmp_path: Path) -> None:
    module_directory(tmp_path / "6.12.1", "i915.ko:\n")
    assert ModuleDirectory(tmp_path).path == tmp_path / "6.12.1"
    module_directory(tmp_path / "6.1.0", "i915.ko:\n")
    with pytest.raises(SetupError, match=r"several kernels \(6\.1\.0, 6\.12\.1\); give one"):
        ModuleDirectory(tmp_path)


def test_a_directory_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"has no modules\.dep"):
        ModuleDirectory(tmp_path)
    with pytest.raises(SetupError, match="is not a directory"):
        ModuleDirectory(tmp_path / "nowhere")


MODULE = b"\x7fELF" + bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("suffix", "compressed"),
    [(".ko", MODULE), (".ko.xz", lzma.compress(MODULE)), (".ko.gz", gzip.compress(MODULE))],
)
def test_a_module_file_yields_its_object(tmp_path: Path, suffix: str, compressed: bytes) -> None:
    file = tmp_path / f"i915{suffix}"
    file.write_bytes(compressed)
    assert decompress_module(file) == MODULE


@pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd program to compress with")
def test_a_zstandard_module_yields_its_object(tmp_path: Path) -> None:
    file = tmp_path / "i915.ko.zst"
    file.write_bytes(subprocess.run(["zstd", "-qc"], input=MODULE, capture_output=True, check=True).stdout)
    assert decompress_module(file) == MODULE


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has its own decoder")
def test_zstandard_without_a_decoder_names_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "i915.ko.zst"
    file.write_bytes(b"\x28\xb5\x2f\xfd")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"Python 3\.14 \(compression\.zstd\) or a zstd program on PATH"):
        decompress_module(file)


@pytest.mark.parametrize("suffix", [".ko.xz", ".ko.gz"])
def test_a_damaged_module_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"i915{suffix}"
    file.write_bytes(b"not compressed at all")
    with pytest.raises(SetupError, match=r"i915\.ko\.\w+: the compressed module is damaged"):
        decompress_module(file)


def test_a_listed_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"i915\.ko: listed in modules\.dep but No such file"):
        decompress_module(tmp_path / "i915.ko")


def test_a_file_that_is_no_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i915.so").touch()
    with pytest.raises(UsageError, match="is not a kernel module"):
        decompress_module(tmp_path / "i915.so")


def test_the_kernel_a_module_was_built_for_is_read_from_it() -> None:
    section = b"\0license=GPL\0vermagic=6.12.107-amd64 SMP preempt mod_unload \0name=i915\0"
    assert vermagic(MODULE + section) == "6.12.107-amd64"
    assert vermagic(MODULE) is None


def test_kernel_arguments_are_split_as_the_kernel_does() -> None:
    assert split_arguments('a=1  i915.x="two words" quiet "whole thing"=2') == [
        "a=1",
        'i915.x="two words"',
        "quiet",
        '"whole thing"=2',
    ]
    assert split_arguments("") == []


def test_a_module_is_given_its_own_arguments_only() -> None:
    words = ["quiet", "i915.reset=0", "drm.debug=4", "i915=off", "a=i915.no=1", "i915.", "i915.modeset"]
    assert module_arguments(words, "i915") == ["reset=0", "modeset"]
    assert module_arguments(words, "drm") == ["debug=4"]
    assert module_arguments(["drm-kms-helper.poll=0"], "drm_kms_helper") == ["poll=0"]
