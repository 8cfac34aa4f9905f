"""The real guest: an unmodified Linux, booted in QEMU on our vGPU and judged by its own log.

Nobody here wrote the i915 driver that such a guest runs, which makes it the judge of everything
else. :func:`boot_guests` is the whole run; :func:`judge` reads any guest's log.
"""

from __future__ import annotations

from host_model.boot.guest_log import (
    Ballooning,
    Diagnosis,
    FrameBuffer,
    GuestReport,
    LogLine,
    MonitorReport,
    Stage,
    judge,
    parse_line,
)
from host_model.boot.host_side import HostFactory, HostRequest, HostSide, NoDevices, Picture, Ready
from host_model.boot.kvmgt import KvmgtReport, OfferedType, RegisterDifference
from host_model.boot.parts import GuestParts, QemuProgram, find_parts
from host_model.boot.qemu import Accelerator, GuestMachine, choose_accelerator, command_line
from host_model.boot.run import BootPlan, BootResult, GuestOutcome, boot_guests

__all__ = (
    "Accelerator",
    "Ballooning",
    "BootPlan",
    "BootResult",
    "Diagnosis",
    "FrameBuffer",
    "GuestMachine",
    "GuestOutcome",
    "GuestParts",
    "GuestReport",
    "HostFactory",
    "HostRequest",
    "HostSide",
    "KvmgtReport",
    "LogLine",
    "MonitorReport",
    "NoDevices",
    "OfferedType",
    "Picture",
    "QemuProgram",
    "Ready",
    "RegisterDifference",
    "Stage",
    "boot_guests",
    "choose_accelerator",
    "command_line",
    "find_parts",
    "judge",
    "parse_line",
)
