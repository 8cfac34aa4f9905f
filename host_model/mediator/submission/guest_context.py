"""A guest's context image: where its pages are, and what its register state says of the work to do.

The image is the guest's memory: it may change, or go, between any two looks. So every look finds the pages anew, and what
decides anything is read once.

Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c (intel_vgpu_create_workload)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.context_image import STATE_PAGE, context_image
from pvinfo.execlist import AddressingMode, ContextDescriptor
from pvinfo.platform import Engine, Platform
from pvinfo.registers.engine import ContextControl, IndirectContext, PerContextBatch, RingControl, RingHead, RingTail
from pvinfo.units import PAGE_SIZE, GraphicsAddress

from ...gpu.context_layout import MASKED_NAMES
from ..refusal import Refused

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("ContextPages", "ContextState", "StateDwords", "read_state")

_ROOTS: Final[dict[int, int]] = {AddressingMode.LEGACY_32_BIT: 4, AddressingMode.LEGACY_64_BIT: 1}
"""Page table roots by addressing mode. Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c (prepare_mm)"""
LEVELS: Final = {1: 4, 4: 3}
"""Levels of page tables by the number of their roots."""
_INHIBIT: Final = ContextControl.restore_inhibit.mask


class StateDwords:
    """Dwords of the register state that the mediator reads and writes, for one engine."""

    def __init__(self, platform: Platform, engine: Engine) -> None:
        image = context_image(platform.graphics_version, engine)
        self.image = image
        self.control = image.value_dword("context_control")
        self.head = image.value_dword("head")
        self.tail = image.value_dword("tail")
        self.start = image.value_dword("start")
        self.ring_control = image.value_dword("control")
        self.timestamp = image.value_dword("ctx_timestamp")
        self.roots = tuple((image.value_dword(f"pdp_lo[{n}]"), image.value_dword(f"pdp_hi[{n}]")) for n in range(4))
        self.has_workarounds = image.has("indirect_ctx")
        self.indirect = image.value_dword("indirect_ctx") if self.has_workarounds else 0
        self.indirect_offset = image.value_dword("indirect_ctx_offset") if self.has_workarounds else 0
        self.per_context = image.value_dword("bb_per_ctx_ptr") if self.has_workarounds else 0
        self.masked = tuple(register.value_dword for register in image.registers if register.name in MASKED_NAMES)
        """Registers of which a write must enable each bit."""


class ContextState(NamedTuple):
    """What the register state said when the work was submitted."""

    head: int
    tail: int
    start: int
    size: int
    control: int
    """``context_control``."""
    roots: tuple[int, ...]
    indirect: tuple[int, int] | None
    """Graphics address and bytes of the work-around batch in the middle of the restore."""
    indirect_offset: int
    per_context: int | None
    """Graphics address of the one at its end."""

    @property
    def inhibited(self) -> bool:
        """The context has no engine state yet."""
        return bool(self.control & _INHIBIT)

    @property
    def levels(self) -> int:
        """Of page tables."""
        return LEVELS[len(self.roots)]


@final
class ContextPages:
    """The pages of one guest context, by way of the guest's GGTT."""

    def __init__(self, vgpu: Vgpu, engine: Engine, descriptor: ContextDescriptor) -> None:
        self._vgpu = vgpu
        self._engine = engine
        self.address = descriptor.image
        self.count = vgpu.platform.context_pages[engine]

    def page(self, number: int) -> memoryview:
        """Page ``number`` of the image, in bytes. Raises: Refused when the guest has no memory there."""
        address = GraphicsAddress(self.address + number * PAGE_SIZE)
        page = self._vgpu.ggtt.page(address)
        if page is None:
            raise Refused(
                "context-unreachable", f"{self._engine.value} context image {self.address:#x}",
                f"page {number} of the image, at {address:#x}, leads to no memory of the guest", value=address,
                nearest=self._vgpu.resources.owned,
            )  # fmt: skip
        return page

    def state(self) -> memoryview:
        """The register state, in dwords. Raises: Refused."""
        return self.page(STATE_PAGE).cast("I")


def read_state(vgpu: Vgpu, engine: Engine, descriptor: ContextDescriptor, dwords: StateDwords, page: memoryview) -> ContextState:
    """Read the register state in ``page``, and judge it. Raises: Refused."""
    where = f"{engine.value} context image {descriptor.image:#x}"
    start, ring_control = page[dwords.start] & ~(PAGE_SIZE - 1), page[dwords.ring_control]
    size = (RingControl(ring_control).length_pages + 1) * PAGE_SIZE
    head, tail = page[dwords.head] & RingHead.address.mask, page[dwords.tail] & RingTail.address.mask
    if page[dwords.start] % PAGE_SIZE or not vgpu.ggtt.owns(start, size):
        raise Refused(
            "ring-outside-slice", where, f"a ring of {size:#x} bytes at {page[dwords.start]:#x} is not in the vGPU's graphics memory, or at no page",
            value=page[dwords.start], nearest=vgpu.resources.owned,
        )  # fmt: skip
    if head >= size or tail >= size:
        raise Refused(
            "ring-position", where, f"head {head:#x} or tail {tail:#x} lies beyond the ring of {size:#x} bytes",
            value=head if head >= size else tail, nearest=f"below {size:#x}",
        )  # fmt: skip
    mode = int(descriptor.addressing_mode)
    if mode not in _ROOTS:
        raise Refused("addressing-mode", where, f"addressing mode {mode} is not mediated", value=descriptor.low, nearest="mode 3 (or 1)")
    roots = tuple(page[low] | page[high] << 32 for low, high in dwords.roots[: _ROOTS[mode]])
    indirect = per_context = None
    if dwords.has_workarounds:
        indirect = _indirect(vgpu, where, IndirectContext(page[dwords.indirect]))
        per_context = _per_context(vgpu, where, PerContextBatch(page[dwords.per_context]))
    return ContextState(
        head, tail, start, size, page[dwords.control], roots, indirect,
        page[dwords.indirect_offset] if dwords.has_workarounds else 0, per_context,
    )  # fmt: skip


def _indirect(vgpu: Vgpu, where: str, register: IndirectContext) -> tuple[int, int] | None:
    address, size = register & IndirectContext.address.mask, 64 * register.length
    if not size:
        return None
    if not vgpu.ggtt.owns(address, size):
        raise _outside(vgpu, where, "indirect-context batch", address, size)
    return address, size


def _per_context(vgpu: Vgpu, where: str, register: PerContextBatch) -> int | None:
    if not register.valid:
        return None
    address = register & PerContextBatch.address.mask
    if not vgpu.ggtt.owns(address, 64):
        raise _outside(vgpu, where, "per-context batch", address, 64)
    return address


def _outside(vgpu: Vgpu, where: str, what: str, address: int, size: int) -> Refused:
    return Refused(
        "workaround-outside-slice", where, f"the {what}, {size} bytes at {address:#x}, is not in the vGPU's graphics memory",
        value=address, nearest=vgpu.resources.owned,
    )  # fmt: skip
