"""What a guest gets when it calls the firmware: a software SCI, with the call in the OpRegion's second mailbox.

A vGPU has no firmware behind it. The mediator answers in its place, in the guest's own copy of the OpRegion: questions for what
there is to call, with nothing; every call, with a failure. Either way the call is done when the write of SWSCI is. (The kernel's
mediator leaves a failed call marked as under way, and the guest waits until it gives up.)

Source: linux:drivers/gpu/drm/i915/gvt/opregion.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.opregion.region import OPREGION, ExitStatus, SoftwareSciCommand, SoftwareSciFunction
from pvinfo.pci import ASLS, SWSCI, SwsciControl
from pvinfo.units import GuestAddress

if TYPE_CHECKING:
    from .vgpu import Vgpu

__all__ = ("software_sci",)

_WHERE: Final = f"config+{SWSCI:#x}"
_SCIC: Final = OPREGION.offset_of("swsci.scic")
_PARM: Final = OPREGION.offset_of("swsci.parm")

_QUESTIONS: Final = {
    (SoftwareSciFunction.GET_BIOS_DATA, 0),
    (SoftwareSciFunction.GET_BIOS_DATA, 1),
    (SoftwareSciFunction.SYSTEM_BIOS_CALLBACKS, 0),
}
"""Function and sub-function of those who ask which calls there are, and which callbacks are wanted."""


def software_sci(vgpu: Vgpu, value: int) -> None:
    """The guest of ``vgpu`` has written ``value`` to SWSCI."""
    control = SwsciControl(value)
    if not control.sci_select:
        if control.trigger:
            vgpu.findings.note("software-smi", _WHERE, "the guest calls the firmware by an SMI; nothing answers it", value=value)
        return
    if not control.trigger or SwsciControl(vgpu.config.read(SWSCI, 2)).trigger:
        return
    base = vgpu.config.read(ASLS, 4)
    if not base:
        vgpu.findings.note("software-sci", _WHERE, "a software SCI without an OpRegion; nothing answers it", value=value)
        return
    call = vgpu.port.read_guest(GuestAddress(base + _SCIC), 4)
    if call is None:
        _unreachable(vgpu, base)
        return
    command = SoftwareSciCommand(int.from_bytes(call, "little"))
    if (command.function, command.sub_function) in _QUESTIONS:
        answered = vgpu.port.write_guest(GuestAddress(base + _SCIC), bytes(_PARM + 4 - _SCIC))
    else:
        vgpu.findings.note(
            "software-sci-call", _WHERE,
            f"firmware function {int(command.function)}, sub-function {command.sub_function}: a vGPU has none; the call fails",
            value=int(command),
        )  # fmt: skip
        failed = SoftwareSciCommand.of(command, indicator=False, exit_status=ExitStatus.FAILURE)
        answered = vgpu.port.write_guest(GuestAddress(base + _SCIC), failed.to_bytes(4, "little"))
    if not answered:
        _unreachable(vgpu, base)


def _unreachable(vgpu: Vgpu, base: int) -> None:
    vgpu.findings.fault(
        "opregion-unreachable", f"config+{ASLS:#x}", "a software SCI, but the OpRegion is not in memory that can be read and written;"
        " nothing answers it", value=base,
    )  # fmt: skip
