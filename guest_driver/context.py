"""A context on one engine: its image, its ring, its timeline, its address space, and what the engine is told of it.

The image is what the engine loads and saves. The driver prepares it, then touches three things only: the tail at each
submission, everything when a reset has lost it, and nothing while it runs.
Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c, linux:drivers/gpu/drm/i915/gt/intel_context.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.context_image import (
    CONTEXT_CONTROL_FIRST_RUN,
    CONTEXT_CONTROL_RESTORE,
    INDIRECT_CONTEXT_OFFSETS,
    STATE_OFFSET,
    ContextImage,
    context_image,
)
from pvinfo.errors import DriverError
from pvinfo.execlist import ContextDescriptor
from pvinfo.platform import ENGINES, Engine, Platform
from pvinfo.registers import IndirectContext, IndirectContextOffset, MiMode, PowerClockState, RingControl
from pvinfo.units import KIB, PAGE_SHIFT, PAGE_SIZE, GraphicsAddress

from .device_info import Topology
from .ggtt import Binding, Ggtt
from .memory import GuestPages
from .ppgtt import Ppgtt
from .ring import Ring
from .timeline import Timeline

if TYPE_CHECKING:
    from .streamer import Streamer

__all__ = ("BANNED", "CLIENT_RING", "KERNEL_RING", "Context", "ContextMaker", "bind_pages")

KERNEL_RING: Final = 4 * KIB
CLIENT_RING: Final = 16 * KIB
"""Lengths of rings. Source: linux:drivers/gpu/drm/i915/gem/i915_gem_context.c"""

BANNED: Final = "its context is banned: it has hung the engine too often"
"""Why requests of such a context fail."""

_LINE: Final = 64
_STOP_RING: Final = MiMode.stop_ring.mask
_ALWAYS_POWERED: Final = 2
"""Execution units of a subslice are switched off separately where it has more than these."""
_EU_PER_SUBSLICE: Final = 8
"""Asked for whatever of them the part has."""


def bind_pages(ggtt: Ggtt, pages: GuestPages, count: int, owner: str, *, above: int = 0) -> Binding:
    """Fresh pages, zeroed and bound as high as possible. Raises: DriverError when memory or graphics memory is used up."""
    buffer = pages.allocate(count, owner)
    try:
        return ggtt.bind(buffer, above=above)
    except DriverError:
        pages.release(buffer)
        raise


class ContextMaker(NamedTuple):
    """What is needed to make contexts, the same for all of one GT."""

    ggtt: Ggtt
    pages: GuestPages
    platform: Platform
    topology: Topology

    @property
    def power_clock_state(self) -> int:
        """What of the render engine a context wants powered: everything there is (``intel_sseu_make_rpcs``)."""
        if self.platform.graphics_version < 9:
            return 0
        slices = self.topology.slices.bit_count()
        subslices = self.topology.subslices.bit_count()
        state = PowerClockState(0)
        low_power = self.platform.name == "bxt"
        if not low_power and slices > 1:
            state = PowerClockState.of(state, enable=1, slice_count_enable=1, slice_count=slices)
        if low_power and slices * subslices > 1:
            state = PowerClockState.of(state, enable=1, subslice_count_enable=1, subslice_count=subslices)
        units = -(-self.topology.execution_units // (slices * subslices)) if slices and subslices else 0
        if units > _ALWAYS_POWERED:
            state = PowerClockState.of(state, enable=1, eu_min=_EU_PER_SUBSLICE, eu_max=_EU_PER_SUBSLICE)
        return state


@final
class Context:
    """One context. It stays bound from its making to its release."""

    def __init__(
        self, maker: ContextMaker, streamer: Streamer, owner: str, vm: Ppgtt,
        *, ring_bytes: int = KERNEL_RING, timeline: Binding | None = None, timeline_offset: int = 0, default_state: bytes | None = None,
    ) -> None:  # fmt: skip
        """Bind ring, timeline and image, in this order, and prepare the image (``intel_context_pin``).

        A ``timeline`` that is given is shared, not bound again, and its requests do not report their start. ``default_state``
        is a recorded image to start from; without one the engine keeps what state it has.

        Raises: DriverError when memory or graphics memory is used up.
        """
        self._maker = maker
        self.streamer = streamer
        self.engine: Engine = streamer.engine
        self.owner = owner
        """Whose context it is, in a word."""
        self.name = f"{owner} context of {self.engine.value}"
        self.vm = vm
        self._bindings: list[Binding] = []
        try:
            self.ring = Ring(self._bind(ring_bytes // PAGE_SIZE, "ring", above=maker.ggtt.pin_bias))
            page = timeline if timeline is not None else self._bind(1, "timeline")
            self.timeline = Timeline(page, timeline_offset, reports_start=timeline is None)
            self.image: Binding | None = self._bind(maker.platform.context_pages[self.engine], "image", above=maker.ggtt.pin_bias)
            """Per-process status page, register state, engine state; None once it was given back."""
        except DriverError:
            self.release()
            raise
        self._stays_pinned = timeline is not None
        self._layout: ContextImage = context_image(maker.platform.graphics_version, self.engine)
        self._tail_offset = self._layout.value_offset("tail")
        self.inflight = 0
        """How often it stands in the ports, loaded or about to be."""
        self.ccid = 0
        """The name under which the engine has it, while it is in flight."""
        self.force_restore = True
        """The engine must load the whole image at the next submission."""
        self.banned = False
        """Its requests fail from now on: it has hung the engine too often."""
        self.closed = False
        """Nobody has it any more; it goes when its last request is done."""
        self.hangs_ns: list[int] = []
        """When its requests have hung the engine."""
        if default_state is not None:
            self._start_from(default_state)
        else:
            self._write_registers(inhibit=True)
        self.update_registers(self.ring.tail)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    # ---- the image ----

    def _bound(self) -> Binding:
        assert self.image is not None, f"the image of {self.name} is in use after its release"
        return self.image

    def _values(self, *, inhibit: bool) -> dict[str, int]:
        """What is written when the image is made or made anew."""
        values = {"context_control": CONTEXT_CONTROL_FIRST_RUN if inhibit else CONTEXT_CONTROL_RESTORE, "ctx_timestamp": 0}
        if self._layout.has("bb_offset"):
            values["bb_offset"] = 0
        for number, table in enumerate(self.vm.page_directory_pointers):
            values[f"pdp_hi[{number}]"] = table >> 32
            values[f"pdp_lo[{number}]"] = table & 0xFFFF_FFFF
        batch = self.streamer.workaround_batch
        if batch is not None and self._layout.has("indirect_ctx"):
            length = self.streamer.workaround_bytes // _LINE
            values["indirect_ctx"] = IndirectContext.of(address=batch.address // _LINE, length=length)
            values["indirect_ctx_offset"] = IndirectContextOffset.of(offset=INDIRECT_CONTEXT_OFFSETS[self._maker.platform.graphics_version])
        return values

    def _write_registers(self, *, inhibit: bool) -> None:
        """Prepare the register state: anew, or over what is there (``lrc_init_regs``)."""
        buffer = self._bound().buffer
        base = ENGINES[self.engine].base
        values = self._values(inhibit=inhibit)
        if inhibit:
            page = memoryview(bytearray(self._layout.fresh_page(base, values.items()))).cast("I")
        else:
            page = memoryview(bytearray(buffer.read(STATE_OFFSET, PAGE_SIZE))).cast("I")
            for dword, content in self._layout.layout(base):
                page[dword] = content
            for name, value in values.items():
                page[self._layout.value_dword(name)] = value
        self._let_ring_run(page)
        buffer.write(STATE_OFFSET, page.tobytes())

    def _let_ring_run(self, page: memoryview) -> None:
        """The engine must not find itself stopped when it loads the image (``__reset_stop_ring``)."""
        if self._layout.has("mi_mode"):
            dword = self._layout.value_dword("mi_mode")
            page[dword] = page[dword] & ~_STOP_RING | _STOP_RING << 16

    def _start_from(self, default_state: bytes) -> None:
        """Copy a recorded image; its status page is left empty (``lrc_init_state``)."""
        buffer = self._bound().buffer
        buffer.write(PAGE_SIZE, memoryview(default_state)[PAGE_SIZE:])
        self._write_registers(inhibit=False)

    def read_image(self) -> bytes:
        """The whole image as it is now."""
        buffer = self._bound().buffer
        return buffer.read(0, buffer.size)

    def read_register(self, name: str) -> int:
        """A register of the image, by its name in the image's layout. Raises: UsageError when there is none."""
        return self._bound().buffer.read_dword(self._layout.value_offset(name))

    def update_registers(self, head: int) -> None:
        """Write what says where the ring is, with the engine to begin at ``head`` (``lrc_update_regs``)."""
        ring = self.ring
        values = {
            "start": int(ring.binding.address), "head": head, "tail": ring.tail,
            "control": int(RingControl.of(enabled=1, length_pages=(ring.size >> PAGE_SHIFT) - 1)),
        }  # fmt: skip
        if self.engine is Engine.RCS0:
            values["r_pwr_clk_state"] = self._maker.power_clock_state
        for name, value in values.items():
            self._bound().buffer.write_dword(self._layout.value_offset(name), value)
        self.force_restore = True

    def pin(self) -> None:
        """A request is made and none is left from before: the image is prepared as if new (``intel_context_pin``). The kernel's
        own contexts are always in use."""
        if not self._stays_pinned:
            self.update_registers(self.ring.tail)

    def restart(self, head: int, *, scrub: bool = False) -> None:
        """Have the engine begin at ``head`` after a reset; ``scrub``: the image may hold anything (``lrc_reset_regs``)."""
        if scrub:
            self._write_registers(inhibit=True)
        elif self._layout.has("mi_mode"):
            offset = self._layout.value_offset("mi_mode")
            mode = self._bound().buffer.read_dword(offset)
            self._bound().buffer.write_dword(offset, mode & ~_STOP_RING | _STOP_RING << 16)
        self.update_registers(head)

    def reset(self) -> None:
        """Make image and ring as new; nothing of it may be in flight (``lrc_reset``)."""
        self.ring.reset(self.ring.emit)
        self._write_registers(inhibit=True)
        self.update_registers(self.ring.tail)

    # ---- what the engine is told ----

    def descriptor(self) -> ContextDescriptor:
        """Where its image is and how to run it (``lrc_descriptor``)."""
        return ContextDescriptor.naming(
            GraphicsAddress(self._bound().address), self.ccid,
            addressing_mode=self.vm.addressing_mode, llc_coherent=self._maker.platform.graphics_version == 8,
        )  # fmt: skip

    def set_tail(self, tail: int) -> bool:
        """Have the engine run up to ``tail``; False when that is not ahead of where it was told before."""
        ring = self.ring
        before, ring.tail = ring.tail, tail
        self._bound().buffer.write_dword(self._tail_offset, tail)
        return ring.direction(tail, before) > 0

    # ---- the end ----

    def _bind(self, pages: int, what: str, *, above: int = 0) -> Binding:
        binding = bind_pages(self._maker.ggtt, self._maker.pages, pages, f"{what} of {self.name}", above=above)
        self._bindings.insert(0, binding)
        return binding

    def _drop(self, binding: Binding) -> None:
        self._bindings.remove(binding)
        self._maker.ggtt.unbind(binding)
        self._maker.pages.release(binding.buffer)

    def release_image(self) -> None:
        """Give the image back; ring and timeline stay until :meth:`release`."""
        if self.image is not None:
            self._drop(self.image)
            self.image = None

    def release(self) -> None:
        """Give everything back, what came last first. Nothing of it may be in flight."""
        for binding in tuple(self._bindings):
            self._drop(binding)
        self.image = None
