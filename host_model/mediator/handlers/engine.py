"""A command streamer's own registers, as far as a guest may not do with them what it likes: modes, status page, what batches may touch.

Where this differs from the kernel's mediator, on purpose: errors in EIR are acknowledged by writing ones, as on hardware
(the kernel keeps what was written, and a guest then finds an error that nobody reported); every register that a
white-list slot covers must be on the list (the kernel looks at the first one only).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.platform import ENGINES
from pvinfo.registers.engine import (
    EngineError,
    EngineMode,
    EngineRegisters,
    ForceToNonpriv,
    FrontEndChicken,
)
from pvinfo.units import PAGE_MASK, PAGE_SIZE

from ..client_handlers.engine import engine_at
from ..failsafe import FailsafeReason
from . import GEN9, on_write

if TYPE_CHECKING:
    from ..vgpu import Vgpu

def _where(offset: int, name: str) -> str:
    return f"{engine_at(offset).value}.{name} ({offset:#x})"


def _set_by(value: int) -> int:
    """The bits that a masked write of ``value`` sets."""
    return value >> 16 & value & 0xFFFF


# ---- how it is driven ----

_PRIVILEGE_CHECK_DISABLE: Final = 1 << 0
"""Of RING_MODE; batches would run with the rights of the driver. Source: prm:skl:vol2c (GFX_MODE)"""
_HOST_ONLY_CFL: Final = 1 << 1
"""Of RING_MODE on Coffee Lake; the kernel keeps it from guests without naming it."""
_FOR_AWARE_GUESTS: Final = EngineMode.ppgtt_enable.mask | EngineMode.run_list_enable.mask


@on_write(EngineRegisters.mode)
def mode_written(vgpu: Vgpu, offset: int, value: EngineMode) -> int:
    """Enabling execlists opens the submission port. Some bits no guest may set, others only one that knows GVT-g."""
    forbidden = _PRIVILEGE_CHECK_DISABLE | (_HOST_ONLY_CFL if vgpu.platform.name == "cfl" else 0)
    if _set_by(value) & forbidden or (_set_by(value) & _FOR_AWARE_GUESTS and not vgpu.pv.guest_is_aware):
        vgpu.failsafe.enter(FailsafeReason.UNSUPPORTED_GUEST, _where(offset, "RING_MODE"), value)
    elif _set_by(value) & EngineMode.run_list_enable.mask:
        vgpu.submission.enable(engine_at(offset))
    return value & ~(forbidden | forbidden << 16)


_CHICKEN_HOST_ONLY: Final = FrontEndChicken.unsupported_3.mask | FrontEndChicken.unsupported_4.mask


@on_write(EngineRegisters.csfe_chicken1, platforms=GEN9)
def front_end_written(vgpu: Vgpu, offset: int, value: FrontEndChicken) -> int:
    if _set_by(value) & _CHICKEN_HOST_ONLY:
        vgpu.failsafe.enter(FailsafeReason.UNSUPPORTED_GUEST, _where(offset, "CSFE_CHICKEN1"), value)
    return value & ~(_CHICKEN_HOST_ONLY | _CHICKEN_HOST_ONLY << 16)


@on_write(EngineRegisters.hws_pga)
def status_page_written(vgpu: Vgpu, offset: int, value: int) -> int:
    """The mediator itself writes there, so the page must be the guest's."""
    if value and (value & PAGE_MASK or not vgpu.ggtt.owns(value, PAGE_SIZE)):
        vgpu.findings.fault(
            "status-page-outside-slice", _where(offset, "RING_HWS_PGA"),
            "the status page is no page of the vGPU's graphics memory; the write is dropped", value=value,
            nearest=vgpu.resources.owned,
        )  # fmt: skip
        return vgpu.registers.read32(offset)
    return value


# ---- what batches may touch ----

NONPRIV_WHITE_LIST: Final = frozenset(
    (
        0x0D80, 0x20EC, 0x2248, 0x2340, 0x2348, 0x2350, 0x2580, 0x2690, 0x2694, 0x2698, 0x2754, 0x28A0, 0x4DE0, 0x4DE4, 0x4DFC,
        0x7010, 0x7014, 0x7300, 0x7304, 0x7700, 0x7704, 0x7708, 0x770C, 0x83A8, 0xB110, 0xB118, 0xE100, 0xE18C, 0xE48C, 0xE5F4,
        0x64844,
    )  # fmt: skip
)
"""Registers that a guest may open to unprivileged batches."""

_UPPER_HALVES: Final = frozenset((0x2344, 0x234C, 0x2354))
"""The upper dwords of the 64-bit counters on the list; Coffee Lake's driver opens two counters whole, by one slot.
Source: linux:drivers/gpu/drm/i915/gt/intel_workarounds.c"""


def _may_be_opened(target: int, span: int) -> bool:
    """All of the ``4 ** span`` registers from ``target`` on are on the list, or the other half of one that is."""
    covered = range(target, target + 4 * 4**span, 4)
    return target in NONPRIV_WHITE_LIST and all(offset in NONPRIV_WHITE_LIST or offset in _UPPER_HALVES for offset in covered)


@on_write(EngineRegisters.force_to_nonpriv)
def white_list_written(vgpu: Vgpu, offset: int, value: ForceToNonpriv) -> int:
    target = value.address << 2
    filler = ENGINES[engine_at(offset)].base + EngineRegisters.nopid.offset
    if target == filler or _may_be_opened(target, value.span):
        return value
    vgpu.findings.fault(
        "nonpriv-register", _where(offset, "FORCE_TO_NONPRIV"),
        f"register {target:#x} may not be opened to unprivileged batches; the write is dropped", value=value,
        nearest=f"{min(NONPRIV_WHITE_LIST, key=lambda known: abs(known - target)):#x}",
    )  # fmt: skip
    return vgpu.registers.read32(offset)
