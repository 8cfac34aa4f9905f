"""The mailbox to the power control unit: commands that a guest may give are answered as real firmware answers them, at once.

Nothing a guest asks reaches the host's firmware: the replies are constants, or come from what the guest is shown elsewhere.
Where this differs from the kernel's mediator, on purpose: a command that is not known fails as firmware would fail it (the
kernel reports success without doing anything), and the request to switch memory frequency scaling off is granted.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (mailbox_write)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pvinfo.registers.gt import GtFrequency
from pvinfo.registers.pcode import Pcode, PcodeCommand, PcodeError, PcodeMailbox

from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_LATENCY: Final = (0x1E1A1100, 0x61514B3D)
"""Memory latencies of levels 0 to 3 and 4 to 7, a byte each in microseconds."""
_LATENCY_BXT: Final = (0x16080707, 0x16161616)
_DONE: Final = 1
"""Bit 0 of a reply: the change that was asked for has been prepared."""
_RATIO_MASK: Final = 0xFF00


def _latency(device: RegisterDevice, data: int) -> int:
    levels = _LATENCY_BXT if device.platform.name == "bxt" else _LATENCY
    return levels[1 if data else 0]


def _granted(device: RegisterDevice, data: int) -> int:
    return _DONE


def _unchanged(device: RegisterDevice, data: int) -> int:
    return data


def _nothing(device: RegisterDevice, data: int) -> int:
    return 0


def _efficient_frequency(device: RegisterDevice, data: int) -> int:
    """The guaranteed frequency; both are bits 15:8."""
    return GtFrequency(device.registers).state_cap & _RATIO_MASK


_Reply = Callable[["RegisterDevice", int], int]

_EVERYWHERE: Final[dict[int, _Reply]] = {
    PcodeCommand.READ_RC6VIDS: lambda device, data: data | _DONE,
    PcodeCommand.WRITE_MIN_FREQ_TABLE: _unchanged,
    PcodeCommand.READ_MIN_FREQ_TABLE: _nothing,
    PcodeCommand.READ_OC_PARAMS: _nothing,
    PcodeCommand.DE_WRITE_FREQ_REQ: _unchanged,
    PcodeCommand.DYNAMIC_DUTY_CYCLE_CONTROL: _efficient_frequency,
}
_GEN8: Final[dict[int, _Reply]] = {
    PcodeCommand.READ_D_COMP: _nothing,
    PcodeCommand.WRITE_D_COMP: _unchanged,
    PcodeCommand.DISPLAY_FREQ_CHANGE_REQ: _unchanged,
    PcodeCommand.DISPLAY_IPS_CONTROL: _unchanged,
}
_GEN9: Final[dict[int, _Reply]] = {
    PcodeCommand.READ_MEM_LATENCY: _latency,
    PcodeCommand.CDCLK_CONTROL: _granted,
    PcodeCommand.SAGV_CONTROL: _granted,
}
_REPLIES: Final = {8: {**_EVERYWHERE, **_GEN8}, 9: {**_EVERYWHERE, **_GEN9}}
"""What each generation's firmware can be asked."""
_ERROR_MASK: Final = 0xFF


@on_write(Pcode.mailbox)
def command_given(device: RegisterDevice, offset: int, value: PcodeMailbox) -> int:
    """Without busy the write starts nothing."""
    if not value.busy:
        return value
    pcode = Pcode(device.registers)
    reply = _REPLIES[device.platform.graphics_version].get(int(value.command))
    error = PcodeError.SUCCESS
    if reply is None:
        error = PcodeError.ILLEGAL_COMMAND
        device.findings.note(
            "pcode-command", f"PCODE_MAILBOX ({offset:#x}) command {int(value.command):#x}",
            f"the power control unit of a {device.platform.title} GPU knows no such command; it fails with error {int(error)}", value=value,
        )  # fmt: skip
    else:
        pcode.data = reply(device, pcode.data)
    return value & ~(PcodeMailbox.busy.mask | _ERROR_MASK) | error
