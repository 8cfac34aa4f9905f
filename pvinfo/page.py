"""The PVINFO page: 4 KiB at MMIO 0x78000 through which host and guest know each other.

The lower half is written by the host and read by the guest, the upper half the other way round. The record is
the declaration; :class:`PvInfo` gives the same fields as registers, for either side.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Annotated, Final, NamedTuple, TypeVar

from .register import Access, Register, RegisterBlock
from .units import PAGE_SIZE
from .wire import Codec, array, nested, reserved, u16, u32, u64

__all__ = (
    "PVINFO_BASE",
    "PVINFO_SIZE",
    "VGT_IF",
    "VGT_MAGIC",
    "VGT_VERSION_MAJOR",
    "VGT_VERSION_MINOR",
    "AvailableResources",
    "Capability",
    "GraphicsRange",
    "PageRoot",
    "PvInfo",
    "VgtIf",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_pvinfo.h"

PVINFO_BASE: Final = 0x78000
PVINFO_SIZE: Final = 0x1000
VGT_MAGIC: Final = 0x4776544776544776
"""``vGTvGTvG`` in ASCII, least significant byte first."""
VGT_VERSION_MAJOR: Final = 1
VGT_VERSION_MINOR: Final = 0


class Capability(IntFlag):
    """What the host can do (``vgt_caps``)."""

    FULL_PPGTT = 1 << 2
    HWSP_EMULATION = 1 << 3
    HUGE_GTT = 1 << 4


CAPABILITY_DOC: Final[dict[Capability, str]] = {
    Capability.FULL_PPGTT: "the host shadows 4-level per-process page tables; without it a guest of this age refuses to run",
    Capability.HWSP_EMULATION: "the host writes execlist status into the guest's hardware status page; without it a guest with execlists refuses to run",
    Capability.HUGE_GTT: "the host shadows 64 KiB and larger entries; without it the guest uses 4 KiB pages only",
}


class GraphicsRange(NamedTuple):
    """A slice of graphics memory that belongs to this vGPU."""

    base: Annotated[int, u32("first graphics address of the slice", unit="bytes")]
    size: Annotated[int, u32("length of the slice", unit="bytes")]


class AvailableResources(NamedTuple):
    """The vGPU's share of the GPU."""

    mappable_gmadr: Annotated[GraphicsRange, nested("the slice that the processor reaches through BAR2, the aperture")]
    nonmappable_gmadr: Annotated[GraphicsRange, nested("the slice that only the GPU reaches")]
    fence_num: Annotated[int, u32("fence registers of the vGPU, numbered from 0", unit="registers")]
    rsv2: Annotated[bytes, reserved(3 * 4)]


class PageRoot(NamedTuple):
    """One root pointer of a per-process page table."""

    lo: Annotated[int, u32("guest-physical address, bits 31:0")]
    hi: Annotated[int, u32("guest-physical address, bits 63:32")]


class VgtIf(NamedTuple):
    """The kernel's ``struct vgt_if``, whole."""

    magic: Annotated[int, u64("0x4776544776544776 (ASCII vGTvGTvG): a GVT-g host is here")]
    version_major: Annotated[int, u16("1; a guest refuses 0")]
    version_minor: Annotated[int, u16("0; no guest reads it")]
    vgt_id: Annotated[int, u32("number of the vGPU, from 1")]
    vgt_caps: Annotated[int, u32("capabilities of the host, see Capability")]
    rsv1: Annotated[bytes, reserved(11 * 4)]
    avail_rs: Annotated[AvailableResources, nested("what of the GPU belongs to this vGPU")]
    rsv3: Annotated[bytes, reserved((0x200 - 24) * 4)]
    rsv4: Annotated[bytes, reserved(4)]
    display_ready: Annotated[int, u32("1 once the guest's display driver is up; the host then shows its screen")]
    rsv5: Annotated[bytes, reserved(4 * 4, "reserved; a guest that writes here reports a lack of resources and loses its host's trust")]
    g2v_notify: Annotated[int, u32("the guest's message to the host, see Notification")]
    rsv6: Annotated[bytes, reserved(5 * 4)]
    cursor_x_hot: Annotated[int, u32("hot spot of the cursor from its left edge; all ones: never set", unit="pixels")]
    cursor_y_hot: Annotated[int, u32("hot spot of the cursor from its upper edge; all ones: never set", unit="pixels")]
    pdp: Annotated[tuple[PageRoot, ...], array(4, "page-table roots that a notification speaks of: all four for 3 levels, the first for 4")]
    execlist_context_descriptor_lo: Annotated[int, u32("descriptor of the context that a notification speaks of, bits 31:0")]
    execlist_context_descriptor_hi: Annotated[int, u32("descriptor of the context that a notification speaks of, bits 63:32")]
    rsv7: Annotated[bytes, reserved((0x200 - 24) * 4)]


VGT_IF: Final = Codec(VgtIf, doc="the PVINFO page, at offset 0x78000 of BAR0", source=SOURCE, size=PAGE_SIZE)

V = TypeVar("V", bound=int)


def _dword(path: str, value_type: type[V], access: Access, *, emulated: bool = True) -> Register[V]:
    """The register that shows field ``path`` of the record."""
    field = VGT_IF.field(path)
    return Register(field.offset, value_type, field.doc, access, unit=field.unit, emulated=emulated, kernel_name=f"vgtif_reg({path})")


class PvInfo(RegisterBlock, bases={"": PVINFO_BASE}, source=SOURCE):
    """The page's fields as registers. ``magic`` and the version are narrower or wider than a dword and are read
    with their own width: ``VGT_IF.offset_of("magic")``."""

    vgt_id = _dword("vgt_id", int, Access.READ_ONLY)
    vgt_caps = _dword("vgt_caps", Capability, Access.READ_ONLY)
    mappable_base = _dword("avail_rs.mappable_gmadr.base", int, Access.READ_ONLY)
    mappable_size = _dword("avail_rs.mappable_gmadr.size", int, Access.READ_ONLY)
    nonmappable_base = _dword("avail_rs.nonmappable_gmadr.base", int, Access.READ_ONLY)
    nonmappable_size = _dword("avail_rs.nonmappable_gmadr.size", int, Access.READ_ONLY)
    fence_num = _dword("avail_rs.fence_num", int, Access.READ_ONLY)
    display_ready = _dword("display_ready", int, Access.READ_WRITE)
    g2v_notify = _dword("g2v_notify", int, Access.READ_WRITE)
    cursor_x_hot = _dword("cursor_x_hot", int, Access.READ_WRITE)
    cursor_y_hot = _dword("cursor_y_hot", int, Access.READ_WRITE)
    pdp0_lo = _dword("pdp.0.lo", int, Access.READ_WRITE)
    pdp0_hi = _dword("pdp.0.hi", int, Access.READ_WRITE)
    pdp1_lo = _dword("pdp.1.lo", int, Access.READ_WRITE)
    pdp1_hi = _dword("pdp.1.hi", int, Access.READ_WRITE)
    pdp2_lo = _dword("pdp.2.lo", int, Access.READ_WRITE)
    pdp2_hi = _dword("pdp.2.hi", int, Access.READ_WRITE)
    pdp3_lo = _dword("pdp.3.lo", int, Access.READ_WRITE)
    pdp3_hi = _dword("pdp.3.hi", int, Access.READ_WRITE)
    execlist_context_descriptor_lo = _dword("execlist_context_descriptor_lo", int, Access.READ_WRITE)
    execlist_context_descriptor_hi = _dword("execlist_context_descriptor_hi", int, Access.READ_WRITE)
