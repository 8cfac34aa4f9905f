"""The virtual machine of a guest as data, and the QEMU command line that makes it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from host_model.boot.parts import QemuProgram

__all__ = (
    "GPU_SLOT",
    "KERNEL_ARGUMENTS",
    "Accelerator",
    "GuestMachine",
    "choose_accelerator",
    "command_line",
    "virtualisation_module",
)

GPU_SLOT: Final = "02.0"
"""Where an integrated GPU sits on bus 0: early quirks and Windows drivers look nowhere else."""

KERNEL_ARGUMENTS: Final = (
    "console=ttyS0",
    "console_msg_format=syslog",  # the level in front of each line: a warning is known as one
    "printk.devkmsg=on",  # no limit on how fast init may write its markers
    "loglevel=7",
    "panic=-1",  # a panic ends QEMU at once, by way of -no-reboot
)

OPREGION_ITEM: Final = "etc/igd-opregion"
"""What SeaBIOS looks for: it puts the content into reserved memory, and the address into ASLS of Intel's display controller."""

_REPLY_TIMEOUT_MS: Final = 60_000
"""A reply that comes later kills the device for good, so it is far beyond any pause of the host."""


class Accelerator(Enum):
    """What runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


class GuestMachine(NamedTuple):
    """One guest's machine.

    ``console`` receives the kernel's log and ``post_output`` what the post script prints; both are
    named pipes whose reader is there before QEMU starts. ``gpu_socket`` is the vfio-user socket of
    its GPU; None leaves the slot empty. ``virtualisation`` lets the guest run guests of its own.
    ``opregion`` is a file that the firmware puts into the guest's memory, to tell the driver which displays there are.
    ``answers`` is a named pipe, open for writing, with what the host answers the guest on the post script's port.
    """

    kernel: Path
    initramfs: Path
    kernel_arguments: Sequence[str]
    memory_mib: int
    accelerator: Accelerator
    console: Path
    post_output: Path
    gpu_socket: Path | None
    virtualisation: bool = False
    opregion: Path | None = None
    answers: Path | None = None


def command_line(qemu: QemuProgram, machine: GuestMachine) -> list[str]:
    """The arguments of the QEMU process, program first.

    Guest memory is a shared memfd, so that the device side can map it: with any other backend the
    GPU would see either nothing or zeros.
    """
    size = f"{machine.memory_mib}M"
    answers = "" if machine.answers is None else f",input-path={_escaped(machine.answers)}"
    command = [
        str(qemu.path),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-machine", f"q35,memory-backend=ram,accel={machine.accelerator.value}"),
        *("-cpu", _processor(machine), "-m", size),
        *("-object", f"memory-backend-memfd,id=ram,size={size},share=on"),
        *("-vga", "none", "-display", "none"),
        *("-chardev", f"file,id=console,path={_escaped(machine.console)}"),
        *("-serial", "chardev:console"),
        *("-chardev", f"file,id=post,path={_escaped(machine.post_output)}{answers}"),
        *("-serial", "chardev:post"),
        *("-kernel", str(machine.kernel), "-initrd", str(machine.initramfs)),
        *("-append", " ".join((*KERNEL_ARGUMENTS, *machine.kernel_arguments))),
    ]
    if machine.gpu_socket is not None:
        device = {
            "driver": "vfio-user-pci",
            "id": "gpu",
            "addr": GPU_SLOT,
            "rombar": 0,
            "x-msg-timeout": _REPLY_TIMEOUT_MS,
            "socket": {"type": "unix", "path": str(machine.gpu_socket)},
        }
        command += ["-device", json.dumps(device)]
    if machine.opregion is not None:
        command += ["-fw_cfg", f"name={OPREGION_ITEM},file={_escaped(machine.opregion)}"]
    if qemu.exits_with_parent:
        command += ["-run-with", "exit-with-parent=on"]
    return command


def _processor(machine: GuestMachine) -> str:
    """KVM hands on what the host's processor has; the emulated one has SVM for those who ask.

    It also claims string instructions that move bytes as fast as words. Linux believes it and copies with nothing else, but
    each byte is an access of its own: out of a served BAR, a message.
    """
    if machine.accelerator is Accelerator.KVM:
        return "max"
    return "max,-erms,-fsrm,+svm" if machine.virtualisation else "max,-erms,-fsrm"


def _escaped(path: Path) -> str:
    """``path`` inside a comma-separated option, where a comma is written twice."""
    return str(path).replace(",", ",,")


_KVM_DEVICE: Final = Path("/dev/kvm")
_CPU_INFO: Final = Path("/proc/cpuinfo")
_HARDWARE_VIRTUALISATION: Final = {"vmx", "svm"}
_KVM_CREATE_VM: Final = 0xAE01
"""Source: linux:include/uapi/linux/kvm.h"""


def choose_accelerator(device: Path = _KVM_DEVICE, cpu_info: Path = _CPU_INFO) -> Accelerator:
    """KVM when this user can really run a guest with it, else TCG.

    The device node alone proves nothing: a container may have one that refuses every call, and a
    virtual machine one whose KVM has no hardware below it and stops at the first instruction that
    it cannot emulate.
    """
    try:
        if _HARDWARE_VIRTUALISATION.isdisjoint(cpu_info.read_text().split()):
            return Accelerator.TCG
        with device.open("r+b", buffering=0) as kvm:
            machine = fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
    except OSError:
        return Accelerator.TCG
    with open(machine, "rb", buffering=0):
        return Accelerator.KVM


def virtualisation_module(accelerator: Accelerator, cpu_info: Path = _CPU_INFO) -> str:
    """The processor's half of KVM that a guest with ``virtualisation`` can load."""
    if accelerator is Accelerator.KVM and "vmx" in cpu_info.read_text().split():
        return "kvm-intel"
    return "kvm-amd"
