"""How a guest and its host get to know each other, step by step: the order that the real driver keeps.

Places are given by their declarations, so that offsets and widths cannot drift from the page.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ("HANDSHAKE", "HANDSHAKE_SOURCES", "Step")

HANDSHAKE_SOURCES: Final = (
    "linux:drivers/gpu/drm/i915/i915_vgpu.c",
    "linux:drivers/gpu/drm/i915/gt/intel_ggtt_fencing.c",
    "linux:drivers/gpu/drm/i915/gt/gen8_ppgtt.c",
    "linux:drivers/gpu/drm/i915/gvt/handlers.c",
)


class Step(NamedTuple):
    """One step; ``fields`` are dotted paths in the PVINFO page, accessed each in its own width."""

    who: str
    act: str
    fields: tuple[str, ...]
    text: str
    refusal: str = ""


HANDSHAKE: Final = (
    Step("host", "fill", (), "Before the guest starts, the page holds magic, version, capabilities, the two ranges and the fence count; the rest is zero, the cursor hot spot all ones."),
    Step(
        "guest", "read", ("magic",),
        "Is there a GVT-g host at all? Any read of the page also tells the host that this guest knows GVT-g; one that enables execlists or page tables without it is put in failsafe mode.",
        "Any other value: the driver goes on as on bare metal.",
    ),
    Step("guest", "read", ("version_major",), "Which edition of the contract? The minor number is not read.", "0: the driver says that the version does not match and goes on as on bare metal."),
    Step(
        "guest", "read", ("vgt_caps",), "What can the host do? Kept for the life of the device.",
        "Without FULL_PPGTT, or without HWSP_EMULATION where execlists are used: the probe fails. Without HUGE_GTT: 4 KiB pages only.",
    ),
    Step("guest", "read", ("avail_rs.fence_num",), "How many fence registers? Each is then cleared: low half, high half, low half."),
    Step(
        "guest", "read",
        ("avail_rs.mappable_gmadr.base", "avail_rs.mappable_gmadr.size", "avail_rs.nonmappable_gmadr.base", "avail_rs.nonmappable_gmadr.size"),
        "Which graphics memory is its own? All the rest is reserved (ballooned) so that its allocator never hands it out: first what lies between aperture and upper range, then above the upper range, below the lower, between lower range and aperture's end.",
        "A lower range that ends beyond the aperture, an upper one that begins inside it or ends beyond the table: the probe fails.",
    ),
    Step("guest", "write", ("pdp.0.lo", "pdp.0.hi"), "For each address space it makes: where is the root of its page table?"),
    Step("guest", "write", ("g2v_notify",), "PPGTT_L4_PAGE_TABLE_CREATE: the host starts to shadow that table."),
    Step("guest", "write", ("display_ready",), "1, just before the device is registered: the host shows the guest's screen from now on. Nothing clears it, not even an unload."),
    Step("guest", "write", ("pdp.0.lo", "pdp.0.hi", "g2v_notify"), "PPGTT_L4_PAGE_TABLE_DESTROY, before the memory of a page table is reused: the host drops its shadow."),
)  # fmt: skip
