"""The global graphics translation table, as its owner writes it: one entry per page of graphics memory.

Entries are written one by one, 64 bits at a time, in rising order, and never read back; a write of 1 to the
flush control register then makes the GPU use them. Unbinding writes nothing: the old entries stay, valid.
Source: linux:drivers/gpu/drm/i915/gt/intel_ggtt.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.errors import DriverError
from pvinfo.gtt_entry import ENTRY_SIZE, GGTT_OFFSET, GgttEntry
from pvinfo.registers import FlushControl, GttRegisters
from pvinfo.units import PAGE_SIZE, BusAddress, GraphicsAddress, format_range, format_size

from .address_space import AddressSpace, Node, Placement
from .memory import Buffer, GuestPages
from .pci import PciFunction
from .refusal import Refusal, refuse
from .uncore import Uncore

__all__ = ("Binding", "Ggtt", "size_ggtt")

_ERROR_CAPTURE_PAGES: Final = 2
"""Kept for reading other pages through the aperture after a hang, at address 0 if possible."""


def size_ggtt(pci: PciFunction, uncore: Uncore) -> tuple[int, int]:
    """Size of the graphics address space and of the aperture over its beginning (``ggtt_probe_hw``).

    Raises: HostRefused when there is no aperture, or no table, or BAR0 does not hold the table.
    """
    _, mappable_end = pci.aperture()
    table = pci.gmch_control().ggtt_bytes
    if not table:
        refuse(Refusal.NO_GGTT, f"graphics control {int(pci.gmch_control()):#x}")
    if uncore.regs.size < GGTT_OFFSET + table:
        refuse(Refusal.NO_GGTT, f"a table of {format_size(table)} at {GGTT_OFFSET:#x} in a BAR0 of {format_size(uncore.regs.size)}")
    total = table // ENTRY_SIZE * PAGE_SIZE
    if mappable_end > total:
        uncore.log.error(
            "aperture-past-ggtt", f"the aperture of {format_size(mappable_end)} reaches behind the {format_size(total)} that the table covers"
        )
        mappable_end = total
    uncore.log.debug("ggtt", f"graphics memory of {format_size(total)}, {format_size(mappable_end)} of it mappable")
    return total, mappable_end


@final
class Binding:
    """A buffer at its place in graphics memory."""

    __slots__ = ("buffer", "guard", "node")

    def __init__(self, node: Node, buffer: Buffer, guard: int) -> None:
        self.node = node
        self.buffer = buffer
        self.guard = guard
        """Bytes of scratch on either side."""

    @property
    def address(self) -> GraphicsAddress:
        """Graphics address of the buffer's first byte."""
        return GraphicsAddress(self.node.start + self.guard)

    @property
    def size(self) -> int:
        """Bytes of the buffer."""
        return self.buffer.size

    def __repr__(self) -> str:
        return f"<Binding of {self.buffer.owner} to {format_range(self.address, self.address + self.size)}>"


@final
class Ggtt:
    """Graphics memory: which of it is free, and the table that backs it."""

    def __init__(self, uncore: Uncore, pages: GuestPages, total: int, mappable_end: int) -> None:
        self._uncore = uncore
        self._pages = pages
        self.space = AddressSpace("graphics memory", total)
        self.mappable_end = mappable_end
        """Length of the aperture: below it the processor can reach graphics memory."""
        self.pin_bias = PAGE_SIZE
        """Rings and contexts stay clear of everything below: a ring that wraps at address 0 may hang."""
        self.scratch = pages.allocate(1, "graphics memory's scratch page")
        self._scratch_entry = int(GgttEntry.pointing_to(BusAddress(self.scratch.address)))
        self.error_capture: Node | None = None
        self._bound: dict[Node, Binding] = {}
        self.entries_written = 0
        """Table entries written since the driver was loaded."""

    @property
    def total(self) -> int:
        """Bytes of graphics memory, owned or not."""
        return self.space.size

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What is bound, in the order it was bound."""
        return tuple(self._bound.values())

    # ---- the table ----

    def _write_entries(self, page: int, entries: list[int]) -> None:
        write = self._uncore.regs.write
        offset = GGTT_OFFSET + page * ENTRY_SIZE
        for entry in entries:
            write(offset, ENTRY_SIZE, entry)
            offset += ENTRY_SIZE
        self.entries_written += len(entries)

    def invalidate(self) -> None:
        """Make the GPU use the entries written so far."""
        self._uncore.write(GttRegisters.flush_control, FlushControl.enable.mask)

    def scratch_range(self, start: int, size: int) -> None:
        """Point ``[start, start + size)`` at the scratch page. Takes no effect before :meth:`invalidate`."""
        self._write_entries(start // PAGE_SIZE, [self._scratch_entry] * (size // PAGE_SIZE))

    def _write_binding(self, binding: Binding) -> None:
        guard = [self._scratch_entry] * (binding.guard // PAGE_SIZE)
        pages = [int(GgttEntry.pointing_to(BusAddress(page))) for page in binding.buffer.pages]
        rest = [self._scratch_entry] * (binding.node.size // PAGE_SIZE - len(guard) - len(pages))
        self._write_entries(binding.node.start // PAGE_SIZE, guard + pages + rest)
        self.invalidate()

    # ---- its use ----

    def reserve_error_capture(self) -> None:
        """Set two pages aside and point them at scratch: the first entries a host ever sees (``init_ggtt``).

        Without room for them the driver does without.
        """
        size = _ERROR_CAPTURE_PAGES * PAGE_SIZE
        try:
            if self.space.node_at(0) is None and self.space.node_at(size - PAGE_SIZE) is None:
                self.error_capture = self.space.reserve(0, size, "error capture")
            else:
                self.error_capture = self.space.insert(size, "error capture", Placement.LOW, end=self.mappable_end)
        except DriverError as error:
            self._uncore.log.debug("no-error-capture", str(error))
            return
        self.scratch_range(self.error_capture.start, size)

    def bind(
        self, buffer: Buffer, *, mappable: bool = False, above: int = 0, alignment: int = PAGE_SIZE, guard: int = 0
    ) -> Binding:
        """Give ``buffer`` a place and write its entries: as high as possible, or, when it must be ``mappable``, as low.

        ``above`` keeps it clear of the addresses below; ``guard`` bytes on either side point at scratch.

        Raises: DriverError when there is no room; UsageError for an alignment or guard that no place can have.
        """
        guard = (guard + alignment - 1) & -alignment
        node = self.space.insert(
            buffer.size + 2 * guard, buffer.owner, Placement.LOW if mappable else Placement.HIGH,
            alignment=alignment, start=above, end=self.mappable_end if mappable else None,
        )  # fmt: skip
        binding = Binding(node, buffer, guard)
        self._bound[node] = binding
        self._write_binding(binding)
        return binding

    def unbind(self, binding: Binding) -> None:
        """Give its place back. The table is left as it is. Raises: DriverError when it is not bound."""
        if self._bound.pop(binding.node, None) is None:
            raise DriverError(f"{binding!r} is not bound")
        self.space.remove(binding.node)

    def resume(self) -> None:
        """Write everything again: what is bound, in the order it was bound, then the error capture pages (``i915_ggtt_resume``)."""
        for binding in self._bound.values():
            self._write_binding(binding)
        if self.error_capture is not None:
            self.scratch_range(self.error_capture.start, self.error_capture.size)
        self.invalidate()

    def cleanup(self) -> None:
        """Give everything back but the balloons, which are not this table's (``ggtt_cleanup_hw``)."""
        for binding in self.bindings:
            self.unbind(binding)
        if self.error_capture is not None:
            self.space.remove(self.error_capture)
            self.error_capture = None
        self._pages.release(self.scratch)
