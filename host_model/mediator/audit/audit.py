"""The command audit of one vGPU.

A guest's rings and privileged batches are copied, the copies are audited and patched, and the copies run. What has no
privilege runs behind the page tables of its process, and is not looked at.

What the kernel's mediator refuses is refused, with the same consequence, and what it accepts is accepted, with these
differences. Each closes a way around the audit, unless it says otherwise:

* An address that is given to MI_FLUSH_DW in 5 dwords, or to PIPE_CONTROL for a depth count or a time stamp, is audited as that of
  any other write, and notifications are noted (the kernel looks at 4 dwords, and at immediates). MI_FLUSH_DW keeps its global bit when
  its index becomes an address (the kernel clears it). A store in core mode is audited for both cores (the kernel: for the second).
* An index needs a status page of the vGPU (the kernel takes whatever address it has).
* A page-table root is changed by a command that sets all of it, wherever it stands in the command, through three levels, too; other roots of
  four levels become 0 (the kernel knows one form, and lets every other write of a root pass unchanged).
* Registers of another engine are refused (the kernel's list knows no engines), and where engines change hands each by itself those
  that go with another engine's turn, or that its contexts keep, wherever they stand. So is MI_BATCH_BUFFER_END in a ring, which hardware ignores.
* PIPE_CONTROL's register write goes by the rules of MI_LOAD_REGISTER_IMM, and roots are refused there (the kernel looks at the list only). A
  register with a handler of the mediator's goes through it, flagged or not, and may not be loaded byte by byte.
* Commands have the length that hardware gives them: MFX_WAIT and MI_LOAD_SCAN_LINES_INCL are taken apart differently by the kernel.
  PIPE_CONTROL that writes has 6 dwords, MI_BATCH_BUFFER_START 3, MI_LOAD_REGISTER_IMM an odd number (the kernel reads beyond their ends).
* A command that goes on behind the tail is refused (the kernel stops with success).
* A privileged batch that is chained to, or started with a predicate, is copied and patched in its turn, each batch once however
  often it is started, with a limit for all of them (the kernel patches the wrong buffer, goes round and round in loops, and has no limit).
  A start with an offset to be added is refused, as is one in a context image.
* What a context restored with inhibit loads into a masked register is remembered bit by bit (of two of them, the kernel does not know that they are).
* A flip is shown in the register for the live surface, too, and is told of at once, as there is no vertical blank.
* Work-around batches may each be there without the other.

Blits have no address of the global table in them: they go through the page tables of the context, privileged or not. A shadow
context always has some, and so nothing there needs an audit.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, final

from pvinfo.commands.mi.batch import MiBatchBufferStart
from pvinfo.context_image import BATCH_BUFFER_END, RING_CONTEXT_DWORDS, context_image
from pvinfo.errors import ResourceExhausted
from pvinfo.platform import Engine
from pvinfo.units import PAGE_MASK, PAGE_SIZE

from ...device.interrupts import Event
from ..refusal import Consequence, Refused
from .needs import AuditedVgpu, GraphicsAllocator, HostBuffer, Tables, TablesOf
from .scan import Level, Scan
from .table import commands_of

__all__ = ("Audited", "AuditedWorkaround", "CommandAudit")

T = TypeVar("T", bound=Tables)

_START: Final = int(MiBatchBufferStart().header)


class Audited(NamedTuple, Generic[T]):
    """What work needs to run, besides itself. Whoever runs it gives all of it back."""

    events: frozenset[Event]
    """What the guest is to be told when the work is done."""
    requests: int
    """User interrupts in it: each ends a request."""
    batches: tuple[HostBuffer, ...]
    """Copies of batches, to be released."""
    tables: tuple[T, ...]
    """Address spaces that the work goes over to: each is pinned once and has a reference, to be given back in this order."""


class AuditedWorkaround(NamedTuple, Generic[T]):
    """The work-around batches of a render context, as they are to run. Whoever runs them gives all of it back."""

    indirect: HostBuffer | None
    """The batch in the middle of the restore; as long as the guest's."""
    per_context: HostBuffer | None
    """The batch at its end. It is one of :attr:`batches`."""
    events: frozenset[Event]
    batches: tuple[HostBuffer, ...]
    """All buffers, to be released."""
    tables: tuple[T, ...]


@final
class _Held(Generic[T]):
    """Address spaces that are kept for a piece of work."""

    def __init__(self, tables: TablesOf[T]) -> None:
        self._tables = tables
        self._by_roots: dict[tuple[int, tuple[int, ...]], T] = {}

    def hold(self, levels: int, roots: Sequence[int]) -> T | None:
        key = levels, tuple(roots)
        held = self._by_roots.get(key)
        if held is not None:
            return held
        if self._tables.find(levels, roots) is None:
            return None
        found = self._tables.acquire(levels, roots)
        try:
            self._tables.pin(found)
        except Refused:
            self._tables.release(found)
            raise
        self._by_roots[key] = found
        return found

    @property
    def held(self) -> tuple[T, ...]:
        return tuple(self._by_roots.values())

    def release(self) -> None:
        for tables in self.held:
            self._tables.unpin(tables)
            self._tables.release(tables)
        self._by_roots.clear()


@final
class CommandAudit(Generic[T]):
    """The audit of one vGPU's commands; ``memory`` is where copies go. ``alone``: while one engine works for the vGPU, others may
    work for another one."""

    def __init__(self, vgpu: AuditedVgpu[T], memory: GraphicsAllocator, *, alone: bool = False) -> None:
        self._vgpu = vgpu
        self._memory = memory
        self._alone = alone

    def _scan(self, engine: Engine, spaces: _Held[T], ppgtt: T | None, *, inhibit: bool) -> Scan:
        platform = self._vgpu.platform
        commands = commands_of(engine, platform.name, alone=self._alone)
        return Scan(self._vgpu, self._memory, engine, platform.graphics_version, commands, spaces, ppgtt, inhibit=inhibit)

    def ring(self, engine: Engine, dwords: memoryview, address: Callable[[int], int], tables: T, *, inhibit: bool) -> Audited[T]:
        """Audit what stands in a ring between head and tail, and patch it in place.

        ``dwords`` are a copy that is the mediator's alone, in one piece, and what will run; ``address`` says where in the guest's ring a
        dword stands, for findings. ``tables`` is the address space of the context, ``inhibit`` whether the guest inhibits its restore.

        Raises: Refused, with nothing kept.
        """
        spaces = _Held(self._vgpu.tables)
        scan = self._scan(engine, spaces, tables, inhibit=inhibit)
        try:
            scan.walk(Level.RING, dwords, address)
        except BaseException:
            scan.release()
            spaces.release()
            raise
        return Audited(scan.events, scan.user_interrupts, tuple(scan.batches), spaces.held)

    def image(self, engine: Engine, dwords: memoryview, *, inhibit: bool) -> None:
        """Audit the engine's own registers in a shadow context: ``dwords`` begin with its register state, page 1 of the image.

        Of a context that is restored with inhibit nothing of that is loaded. Raises: Refused.
        """
        end = context_image(self._vgpu.platform.graphics_version, engine).end
        if inhibit or (end < RING_CONTEXT_DWORDS and dwords[end] == BATCH_BUFFER_END):
            return
        spaces = _Held(self._vgpu.tables)
        used = len(dwords.tobytes().rstrip(b"\0")) + 3 >> 2
        self._scan(engine, spaces, None, inhibit=False).walk(Level.IMAGE, dwords, lambda index: 4 * index, RING_CONTEXT_DWORDS, used)

    def workaround(
        self, indirect: tuple[int, int] | None, per_context: int | None, tables: T | None = None, *, inhibit: bool = False
    ) -> AuditedWorkaround[T]:
        """Copy and audit the batches that a render context runs when it is loaded.

        ``indirect`` is graphics address and bytes of the batch in the middle of the restore, ``per_context`` the address of the one at
        its end; ``tables`` and ``inhibit`` are as of :meth:`ring`. What the batches load where the restore is inhibited is remembered,
        so that it is not undone by what the mediator then loads ahead of the ring. Raises: Refused, with nothing kept.
        """
        spaces = _Held(self._vgpu.tables)
        scan = self._scan(Engine.RCS0, spaces, tables, inhibit=inhibit)
        try:
            first = self._indirect(scan, *indirect) if indirect is not None and indirect[1] else None
            last = self._per_context(scan, per_context) if per_context is not None else None
        except BaseException:
            scan.release()
            spaces.release()
            raise
        return AuditedWorkaround(first, last, scan.events, tuple(scan.batches), spaces.held)

    def _indirect(self, scan: Scan, address: int, size: int) -> HostBuffer:
        where = f"{Engine.RCS0.value} indirect context {address:#x}"
        if address & PAGE_MASK:
            raise Refused("audit-workaround", where, "the batch does not begin with a page", value=address, nearest=f"{address & ~PAGE_MASK:#x}")
        try:
            buffer = self._memory.allocate(size, self._vgpu.number)
        except ResourceExhausted as error:
            raise Refused("audit-host-memory", where, f"the host has no room for a copy of the batch: {error}", value=address) from None
        scan.batches.append(buffer)
        dwords = buffer.dwords[: size >> 2]
        content = dwords.cast("B")
        for at in range(0, size, PAGE_SIZE):
            page = scan.read(address + at, min(PAGE_SIZE, size - at))
            if page is None:
                raise Refused(
                    "audit-batch-address", where, f"the batch reaches {address + at:#x}, where the vGPU has no memory", value=address,
                    nearest=scan.vgpu.resources.owned, consequence=Consequence.FAILSAFE,
                )  # fmt: skip
            content[at : at + len(page)] = page
        scan.walk(Level.INDIRECT, dwords, lambda index: address + 4 * index)
        return buffer

    def _per_context(self, scan: Scan, address: int) -> HostBuffer:
        start = memoryview(array("I", (_START, address & 0xFFFFFFFF, address >> 32)))
        scan.walk(Level.INDIRECT, start, lambda index: address)
        return next(batch for batch in scan.batches if batch.address == start[1] | start[2] << 32)
