"""The guest's machine as QEMU is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host_model.boot.parts import QemuProgram
from host_model.boot.qemu import Accelerator, GuestMachine, choose_accelerator, command_line, virtualisation_module

QEMU = QemuProgram(Path("/opt/qemu"), "11.1.3", True)

MACHINE = GuestMachine(
    kernel=Path("/boot/vmlinuz"),
    initramfs=Path("/run/gvt/initramfs"),
    kernel_arguments=("i915.enable_guc=0", "drm.debug=4"),
    memory_mib=2048,
    accelerator=Accelerator.TCG,
    console=Path("/run/gvt/console0"),
    post_output=Path("/run/gvt/post0"),
    gpu_socket=Path("/run/gvt/gpu0"),
)


def value_of(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_the_gpu_sits_where_an_integrated_gpu_does_with_a_patient_timeout() -> None:
    device = json.loads(value_of(command_line(QEMU, MACHINE), "-device"))
    assert device == {
        "driver": "vfio-user-pci",
        "id": "gpu",
        "addr": "02.0",
        "rombar": 0,
        "x-msg-timeout": 60000,
        "socket": {"type": "unix", "path": "/run/gvt/gpu0"},
    }


def test_guest_memory_is_shared_so_that_the_gpu_can_map_it() -> None:
    command = command_line(QEMU, MACHINE)
    assert value_of(command, "-object") == "memory-backend-memfd,id=ram,size=2048M,share=on"
    assert value_of(command, "-machine") == "q35,memory-backend=ram,accel=tcg"
    assert value_of(command, "-m") == "2048M"


def test_the_machine_has_nothing_that_was_not_asked_for() -> None:
    command = command_line(QEMU, MACHINE)
    assert command[0] == "/opt/qemu"
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(command)
    assert (value_of(command, "-vga"), value_of(command, "-display")) == ("none", "none")


def test_the_kernel_speaks_with_levels_and_ends_at_a_panic_then_come_the_users_words() -> None:
    words = value_of(command_line(QEMU, MACHINE), "-append").split()
    assert words[:1] == ["console=ttyS0"]
    assert {"panic=-1", "console_msg_format=syslog", "printk.devkmsg=on"} <= set(words)
    assert words[-2:] == ["i915.enable_guc=0", "drm.debug=4"]


def test_the_log_and_the_post_output_leave_by_different_ports() -> None:
    command = command_line(QEMU, MACHINE)
    ports = [command[place + 1] for place, word in enumerate(command) if word == "-serial"]
    assert ports == ["chardev:console", "chardev:post"]
    assert "file,id=console,path=/run/gvt/console0" in command
    assert "file,id=post,path=/run/gvt/post0" in command


def test_what_the_host_answers_comes_in_where_the_post_output_leaves() -> None:
    command = command_line(QEMU, MACHINE._replace(answers=Path("/run/gvt/a,b/answers0")))
    assert "file,id=post,path=/run/gvt/post0,input-path=/run/gvt/a,,b/answers0" in command


def test_a_comma_in_a_path_does_not_end_the_option() -> None:
    machine = MACHINE._replace(console=Path("/tmp/a,b/console0"))
    assert "file,id=console,path=/tmp/a,,b/console0" in command_line(QEMU, machine)


def test_the_firmware_gets_an_opregion_by_the_name_that_it_looks_for_only_if_there_is_one() -> None:
    assert "-fw_cfg" not in command_line(QEMU, MACHINE)
    machine = MACHINE._replace(opregion=Path("/run/g,vt/opregion0"))
    assert value_of(command_line(QEMU, machine), "-fw_cfg") == "name=etc/igd-opregion,file=/run/g,,vt/opregion0"


def test_without_a_socket_the_slot_stays_empty() -> None:
    assert "-device" not in command_line(QEMU, MACHINE._replace(gpu_socket=None))


def test_qemu_is_asked_to_end_with_us_when_it_can() -> None:
    assert value_of(command_line(QEMU, MACHINE), "-run-with") == "exit-with-parent=on"
    assert "-run-with" not in command_line(QEMU._replace(exits_with_parent=False), MACHINE)


@pytest.mark.parametrize("flags", ["vmx", "svm"])
def test_a_kvm_device_that_refuses_is_not_used(tmp_path: Path, flags: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} sse\n")
    (tmp_path / "kvm").touch()
    assert choose_accelerator(tmp_path / "kvm", tmp_path / "cpuinfo") is Accelerator.TCG
    assert choose_accelerator(tmp_path / "none", tmp_path / "cpuinfo") is Accelerator.TCG


def test_without_hardware_virtualisation_kvm_is_not_even_asked(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu hypervisor sse\n")
    assert choose_accelerator(tmp_path / "none", tmp_path / "cpuinfo") is Accelerator.TCG
    assert choose_accelerator(tmp_path / "none", tmp_path / "missing") is Accelerator.TCG


def test_a_machine_that_runs_guests_of_its_own_gets_an_emulated_svm() -> None:
    machine = MACHINE._replace(virtualisation=True)
    assert "svm" not in value_of(command_line(QEMU, MACHINE), "-cpu")
    assert value_of(command_line(QEMU, machine), "-cpu") == f"{value_of(command_line(QEMU, MACHINE), '-cpu')},+svm"
    assert value_of(command_line(QEMU, machine._replace(accelerator=Accelerator.KVM)), "-cpu") == "max"


def test_an_emulated_processor_does_not_boast_of_copying_bytes_fast() -> None:
    """It would be taken at its word, and copy out of the aperture byte by byte, each of them a message."""
    assert value_of(command_line(QEMU, MACHINE), "-cpu") == "max,-erms,-fsrm"
    assert value_of(command_line(QEMU, MACHINE._replace(accelerator=Accelerator.KVM)), "-cpu") == "max"


def test_the_half_of_kvm_is_that_of_the_processor_the_machine_sees(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu vmx sse\n")
    assert virtualisation_module(Accelerator.KVM, tmp_path / "cpuinfo") == "kvm-intel"
    assert virtualisation_module(Accelerator.TCG, tmp_path / "cpuinfo") == "kvm-amd"
    (tmp_path / "cpuinfo").write_text("flags : fpu svm sse\n")
    assert virtualisation_module(Accelerator.KVM, tmp_path / "cpuinfo") == "kvm-amd"
