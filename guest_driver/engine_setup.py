"""What an engine needs in memory before it can be given work, bound into graphics memory in the driver's order.

Per engine: the status page, for the render engine a batch of work-arounds, and the kernel's own context (ring,
then image). Each further context has a ring, a timeline page of its own, and an image.
Source: linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c, linux:drivers/gpu/drm/i915/gt/intel_lrc.c,
linux:drivers/gpu/drm/i915/gt/intel_context.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.platform import Engine
from pvinfo.registers import CONTEXT_STATUS_ENTRIES, ContextStatusPointer, EngineRegisters
from pvinfo.units import KIB, PAGE_SIZE

from .ggtt import Binding, Ggtt
from .memory import GuestPages
from .uncore import Uncore

__all__ = ("HWSP_KERNEL_SEQNO", "HWSP_MIGRATE_SEQNO", "ContextObjects", "EngineSetup", "bind_pages")

_HWSP_CSB: Final = 0x40
"""First of the six context status events in the status page."""
_HWSP_CSB_WRITE: Final = 0x7C
"""Number of the newest of them."""
HWSP_KERNEL_SEQNO: Final = 0x100
"""Where requests of the kernel's own context report that they are done."""
HWSP_MIGRATE_SEQNO: Final = 0x108
"""Where requests of the migration context do, in the copy engine's status page."""

_KERNEL_RING: Final = 4 * KIB
_NEWEST_AT_RESET: Final = CONTEXT_STATUS_ENTRIES - 1
"""The hardware's first event after a reset is number 0."""


def bind_pages(ggtt: Ggtt, pages: GuestPages, count: int, owner: str, *, above: int = 0) -> Binding:
    """Fresh pages, zeroed and bound as high as possible. Raises: DriverError when memory or graphics memory is used up."""
    return ggtt.bind(pages.allocate(count, owner), above=above)


@final
class ContextObjects:
    """The objects of one context: what is pinned while it may run."""

    def __init__(
        self, ggtt: Ggtt, pages: GuestPages, engine: Engine, owner: str, image_pages: int,
        *, ring_bytes: int = _KERNEL_RING, timeline: Binding | None = None, timeline_offset: int = 0,
    ) -> None:  # fmt: skip
        """Bind ring, timeline and image, in this order; a ``timeline`` that is given is shared, not bound again.

        Raises: DriverError when memory or graphics memory is used up.
        """
        self._ggtt = ggtt
        self._pages = pages
        self.engine = engine
        self.owner = owner
        """Whose context it is, in words."""
        bias = ggtt.pin_bias
        self.ring = bind_pages(ggtt, pages, ring_bytes // PAGE_SIZE, f"ring of {owner}", above=bias)
        self._own_timeline = timeline is None
        self.timeline = timeline if timeline is not None else bind_pages(ggtt, pages, 1, f"timeline of {owner}")
        self.timeline_offset = timeline_offset
        """Byte in the timeline's page where its requests report."""
        self.image: Binding | None = bind_pages(ggtt, pages, image_pages, f"image of {owner}", above=bias)
        """Register state and per-process status page; None once it was given back."""

    def _drop(self, binding: Binding) -> None:
        self._ggtt.unbind(binding)
        self._pages.release(binding.buffer)

    def release_image(self) -> None:
        """Give the image back; ring and timeline stay until :meth:`release`."""
        if self.image is not None:
            self._drop(self.image)
            self.image = None

    def release(self) -> None:
        """Give everything back."""
        self.release_image()
        self._drop(self.ring)
        if self._own_timeline:
            self._drop(self.timeline)


@final
class EngineSetup:
    """One engine's objects."""

    def __init__(self, uncore: Uncore, ggtt: Ggtt, pages: GuestPages, engine: Engine) -> None:
        """Bind them (``engine_setup_common``, ``intel_execlists_submission_setup``, ``engine_init_common``).

        Raises: DriverError when memory or graphics memory is used up.
        """
        self._uncore = uncore
        self._ggtt = ggtt
        self._pages = pages
        self.engine = engine
        name = engine.value
        self.status_page = bind_pages(ggtt, pages, 1, f"status page of {name}")
        self.workaround_batch: Binding | None = None
        """The batch inside the render engine's context restores. Empty until this driver submits work: then it matters."""
        if engine is Engine.RCS0:
            self.workaround_batch = bind_pages(ggtt, pages, 1, f"work-around batch of {name}")
        self.kernel_context = ContextObjects(
            ggtt, pages, engine, f"kernel context of {name}", uncore.platform.context_pages[engine],
            timeline=self.status_page, timeline_offset=HWSP_KERNEL_SEQNO,
        )  # fmt: skip

    def reset_event_pointers(self) -> None:
        """Agree with the hardware that the next context status event is number 0 (``reset_csb_pointers``)."""
        uncore, name = self._uncore, self.engine.name
        number = ContextStatusPointer.of(write_pointer=_NEWEST_AT_RESET, read_pointer=_NEWEST_AT_RESET)
        page = self.status_page.buffer
        uncore.write(EngineRegisters.context_status_ptr, 0xFFFF << 16 | number, name)
        uncore.read(EngineRegisters.context_status_ptr, name)
        page.write_dword(_HWSP_CSB_WRITE, _NEWEST_AT_RESET)
        page.write(_HWSP_CSB, b"\xff" * 8 * CONTEXT_STATUS_ENTRIES)
        uncore.write(EngineRegisters.context_status_ptr, 0xFFFF << 16 | number, name)
        uncore.read(EngineRegisters.context_status_ptr, name)

    def release(self) -> None:
        """Give everything back, after no more reports are written to the status page (``execlists_release``)."""
        self.kernel_context.release()
        self._uncore.write(EngineRegisters.hwstam, 0xFFFF_FFFF, self.engine.name)
        for binding in (self.status_page, self.workaround_batch):
            if binding is not None:
                self._ggtt.unbind(binding)
                self._pages.release(binding.buffer)
