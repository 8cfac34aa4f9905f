"""The side-band interface: every access succeeds at once, on registers of the device's own.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (sbi_data_mmio_read, sbi_ctl_mmio_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.sbi import SbiControl, SbiOpcode, SidebandInterface

from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(SidebandInterface.control)
def access_started(device: RegisterDevice, offset: int, value: SbiControl) -> int:
    """Without busy the write starts nothing."""
    if value.busy:
        window = SidebandInterface(device.registers)
        register = window.address.register
        if value.opcode in (SbiOpcode.READ, SbiOpcode.IO_READ):
            window.data = device.sideband.read(int(value.destination), register)
        elif value.opcode in (SbiOpcode.WRITE, SbiOpcode.IO_WRITE):
            device.sideband.write(int(value.destination), register, window.data)
        else:
            device.findings.fault(
                "sideband-opcode", f"SBI_CTL_STAT ({offset:#x})", "the side-band interface reads and writes, nothing else; it fails",
                value=value, nearest=f"{SbiControl.of(value, opcode=SbiOpcode.READ):#x}",
            )  # fmt: skip
            return SbiControl.of(value, busy=False, failed=True)
    return SbiControl.of(value, busy=False, failed=False)
