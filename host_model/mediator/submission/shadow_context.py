"""The shadow of a vGPU's contexts on one engine: what the GPU runs in their place.

Each vGPU has one shadow context and one shadow ring per engine, in the host's part of graphics memory, and its guest's
contexts run there one after the other. What a context keeps between two runs is copied in before and out after; where its ring
is, what it may execute and which page tables it has, the mediator says.

Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c (populate_shadow_context, update_guest_context)
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from pvinfo.context_image import RING_CONTEXT_DWORDS, STATE_PAGE
from pvinfo.execlist import ContextDescriptor
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import IndirectContext, PerContextBatch, RingControl
from pvinfo.units import PAGE_SIZE, GraphicsAddress

from ...gpu.context_layout import further_state, render_registers
from ..refusal import Refused
from .guest_context import ContextPages, ContextState, StateDwords

if TYPE_CHECKING:
    from ..audit.audit import AuditedWorkaround
    from ..hardware.graphics_memory import GraphicsBuffer, GraphicsMemory
    from ..shadow.ppgtt import ProcessTables
    from ..vgpu import Vgpu

__all__ = ("ShadowContext",)

_DWORDS: Final = PAGE_SIZE // 4
_FIRST_COPIED_OUT: Final = 52
"""Dword of the register state from which on a guest gets it back: what stands before is the mediator's.
Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c (update_guest_context)"""
_FIRST_ENGINE_PAGE: Final = 2
_ALL_ENABLED: Final = 0xFFFF0000
_LARGEST_RING: Final = 512 * PAGE_SIZE
"""Source: prm:skl:vol2c (RING_BUFFER_CTL)"""
_FIRST_RING: Final = 4 * PAGE_SIZE
_NO_TAIL_ROOM: Final = 8
"""Bytes that a full ring leaves free: head and tail that meet mean an empty one."""


@final
class ShadowContext:
    """The shadow on one engine of one vGPU."""

    def __init__(self, vgpu: Vgpu, engine: Engine, dwords: StateDwords, memory: GraphicsMemory) -> None:
        """Raises: ResourceExhausted when the host's part of graphics memory is used up."""
        self._vgpu = vgpu
        self._engine = engine
        self._at = dwords
        self._memory = memory
        self._image: GraphicsBuffer = memory.allocate(vgpu.platform.context_pages[engine] * PAGE_SIZE, vgpu.number)
        self._ring: GraphicsBuffer = memory.allocate(_FIRST_RING, vgpu.number)
        template = memoryview(dwords.image.fresh_page(ENGINES[engine].base)).cast("I")
        self._template = array("I", template[:RING_CONTEXT_DWORDS])
        further = further_state(dwords.image.end, render_registers(vgpu.platform.graphics_version) if engine is Engine.RCS0 else ())
        self._saved_header = further.header
        self._saved_masked = tuple(slot.dword for slot in further.slots if slot.masked)
        self._loaded: tuple[int, int, int] | None = None
        """Whose engine pages stand in the shadow: image, context id, and how often the guest had written its GGTT."""

    @property
    def state(self) -> memoryview:
        """The register state of the shadow image, in dwords."""
        return self._image.dwords[STATE_PAGE * _DWORDS : (STATE_PAGE + 1) * _DWORDS]

    @property
    def is_whole(self) -> bool:
        """Hardware has saved the image: all that it restores stands there."""
        place, header = self._saved_header
        return self.state[place] == header

    # ---- before the run ----

    def load(self, pages: ContextPages, context_id: int, state: ContextState) -> int:
        """Copy the guest's context in. Returns how many bytes that took. Raises: Refused when a page of it leads nowhere."""
        guest = pages.state()
        shadow, at = self.state, self._at
        shadow[RING_CONTEXT_DWORDS:] = guest[RING_CONTEXT_DWORDS:]
        shadow[:RING_CONTEXT_DWORDS] = memoryview(self._template)
        shadow[at.control] = state.control | _ALL_ENABLED
        shadow[at.timestamp] = guest[at.timestamp]
        for dword in at.masked:
            shadow[dword] = guest[dword] | _ALL_ENABLED  # else what another guest left would stay
        if self.is_whole:
            for dword in self._saved_masked:
                shadow[dword] |= _ALL_ENABLED
        key = (pages.address, context_id, self._vgpu.ggtt.entry_writes)
        if state.inhibited or key == self._loaded:
            return PAGE_SIZE
        self._loaded = None
        image = self._image.bytes
        for number in range(_FIRST_ENGINE_PAGE, pages.count):
            image[number * PAGE_SIZE : (number + 1) * PAGE_SIZE] = pages.page(number)
        self._loaded = key
        return pages.count * PAGE_SIZE

    def fill_ring(self, commands: Sequence[array[int]]) -> None:
        """Put what is to be executed into the ring. Raises: Refused when it is more than a ring holds."""
        wanted = 4 * sum(map(len, commands)) + _NO_TAIL_ROOM
        if wanted > len(self._ring.bytes):
            if wanted > _LARGEST_RING:
                raise Refused("ring-too-long", f"{self._engine.value} ring", f"{wanted} bytes of commands in one submission", value=wanted, nearest=f"{_LARGEST_RING} bytes")
            size = min(_LARGEST_RING, 1 << (wanted - 1).bit_length())
            larger = self._memory.allocate(size, self._vgpu.number)
            self._ring.release()
            self._ring = larger
        ring, end = self._ring.dwords, 0
        for part in commands:
            ring[end : end + len(part)] = memoryview(part)
            end += len(part)
        if end % 2:
            ring[end] = 0
            end += 1
        shadow, at = self.state, self._at
        shadow[at.start] = self._ring.address
        shadow[at.head] = 0
        shadow[at.tail] = 4 * end
        shadow[at.ring_control] = RingControl.of(enabled=1, length_pages=len(self._ring.bytes) // PAGE_SIZE - 1)

    def set_roots(self, roots: Sequence[int]) -> None:
        """The shadow tables that the context runs behind."""
        shadow = self.state
        for (low, high), root in zip(self._at.roots, roots, strict=False):
            shadow[low] = root & 0xFFFFFFFF
            shadow[high] = root >> 32

    def set_workaround(self, workaround: AuditedWorkaround[ProcessTables], state: ContextState) -> None:
        """The batches of the restore, as they were audited."""
        shadow, at = self.state, self._at
        if workaround.indirect is not None and state.indirect is not None:
            shadow[at.indirect] = IndirectContext(workaround.indirect.address | state.indirect[1] // 64)
            shadow[at.indirect_offset] = state.indirect_offset
        if workaround.per_context is not None:
            shadow[at.per_context] = PerContextBatch.of(workaround.per_context.address, valid=1)

    def descriptor(self, guest: ContextDescriptor) -> ContextDescriptor:
        """What to submit in place of the guest's own descriptor."""
        return ContextDescriptor.naming(
            GraphicsAddress(self._image.address), self._vgpu.number, addressing_mode=guest.addressing_mode, llc_coherent=guest.llc_coherent
        )

    # ---- after the run ----

    def store(self, pages: ContextPages, tail: int) -> None:
        """Copy the context back to its guest, its ring empty. Raises: Refused when a page of it leads nowhere."""
        guest, shadow, at = pages.state(), self.state, self._at
        guest[_FIRST_COPIED_OUT:] = shadow[_FIRST_COPIED_OUT:]
        guest[at.control] = shadow[at.control]
        guest[at.timestamp] = shadow[at.timestamp]
        guest[at.head] = tail
        image = self._image.bytes
        for number in range(_FIRST_ENGINE_PAGE, pages.count):
            pages.page(number)[:] = image[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]

    def forget(self) -> None:
        """What stands in the shadow is not to be relied on."""
        self._loaded = None

    def release(self) -> None:
        """Give its graphics memory back; nothing of it may be running."""
        self._image.release()
        self._ring.release()
