"""What many scenarios do or look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.vgpu import Vgpu
from pvinfo.page import PVINFO_BASE, VGT_IF
from pvinfo.registers import EngineRegisters, FenceRegister, ResetDomains, ResetRegisters

from ...driver import GuestDriver
from ...state import DriverState
from ..access import Access, AccessKind
from ..guest import Guest
from ..stage import Stage

__all__ = (
    "RESERVED_WORD",
    "check_no_ballooned_entry",
    "failsafe_reason",
    "fence_value",
    "field_path",
    "hardware_fence",
    "hardware_fences_in_use",
    "is_distrusted",
    "page_story",
    "pinned_pages",
    "probed",
    "render_ring",
)


RESERVED_WORD: Final = PVINFO_BASE + VGT_IF.offset_of("rsv5")
"""By writing here a guest says that what it was given is not enough for it."""


_REST_NS: Final = 1_000_000_000
"""What engines get to finish what the driver gave them at the start."""
_LAST_EVENTS_NS: Final = 20_000_000


def probed(stage: Stage, guest: Guest | None = None) -> GuestDriver:
    """A driver that has come to READY, and whose engines have come to rest: nothing of it goes on by itself any more."""
    guest = guest if guest is not None else stage.guest
    driver = guest.driver()
    driver.probe()
    stage.check(f"the driver of {guest.name} is", driver.state, DriverState.READY)
    driver.wait_idle(_REST_NS)
    guest.wait(_LAST_EVENTS_NS)  # a request is complete before its context is, and that is told a little later
    return driver


def field_path(access: Access) -> str:
    """The field of the PVINFO page that an access begins in."""
    field = VGT_IF.field_at(access.offset - PVINFO_BASE)
    return field.path if field is not None else f"+{access.offset - PVINFO_BASE:#x}"


def page_story(guest: Guest, kind: AccessKind) -> list[tuple[str, int]]:
    """Fields and widths, in bits, of the guest's reads or writes of the page, in order."""
    return [(field_path(access), 8 * access.size) for access in guest.page_accesses() if access.kind is kind]


def check_no_ballooned_entry(stage: Stage, guest: Guest) -> None:
    """No table entry outside the slices may ever be written."""
    stage.check(f"graphics pages outside its slices whose table entries {guest.name} wrote", guest.entries_written_outside(), [])


def is_distrusted(guest: Guest) -> bool:
    """Whether the guest's registers are plain storage: a reset request, which clears itself, would stay."""
    reset = ResetRegisters(guest.mmio)
    reset.gdrst = ResetDomains.of(render=1)
    stays = bool(reset.gdrst.render)
    reset.gdrst = ResetDomains(0)
    return stays


def failsafe_reason(vgpu: Vgpu) -> FailsafeReason | None:
    """Why the host distrusts the guest; None: it does not."""
    return vgpu.failsafe.reason


def fence_value(guest: Guest, number: int) -> int:
    """The 64 bits of a fence as the guest reads them."""
    fence = FenceRegister(guest.mmio, f"FENCE{number}")
    return fence.hi << 32 | fence.lo


def hardware_fence(number: int) -> Callable[[Vgpu], int]:
    """Look at the physical fence behind a vGPU's fence ``number``."""
    return lambda vgpu: vgpu.gpu.fences[vgpu.resources.fences[number]]


def hardware_fences_in_use(vgpu: Vgpu) -> int:
    """Of the whole GPU."""
    return sum(value & 1 for value in vgpu.gpu.fences)


def pinned_pages(vgpu: Vgpu) -> int:
    """Pages of the guest that the GPU may reach."""
    return vgpu.port.mapped_pages


def render_ring(guest: Guest) -> EngineRegisters:
    """The render engine's registers."""
    return EngineRegisters(guest.mmio, "RCS0")
