"""The walk through commands: one look-up for each, and a check where the command asks for one.

A *check* looks at a command, patches it where it must, and says where the next one begins. It may read past the end of
what is walked; the walk finds out.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol, final

from pvinfo.commands import command_for
from pvinfo.commands.mi.batch import BatchBufferStartHeader
from pvinfo.errors import ResourceExhausted
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.units import MIB, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, GraphicsAddress, format_size

from ...device.interrupts import Event
from ..refusal import Consequence, Refused
from .needs import GraphicsAllocator, HostBuffer, ScannedVgpu, Tables

__all__ = ("BATCH_LIMIT", "OPERAND_LIMIT", "Check", "Commands", "Flow", "Level", "LoadRule", "Scan", "Spaces")

BATCH_LIMIT: Final = 2 * MIB
"""Bytes of privileged batches that one piece of work may have, each counted in whole pages. The kernel's mediator has no limit."""
OPERAND_LIMIT: Final = 36 * MIB
"""Bytes that a command may reach. Source: linux:drivers/gpu/drm/i915/gvt/gvt.c (max_surface_size)"""
_KNOWN_PAGES: Final = 1024
_COMES_BACK: Final = BatchBufferStartHeader.second_level.mask | BatchBufferStartHeader.predicate.mask
"""Of a start from within a batch: what stands behind it may run, too."""
_USER: Final = {
    Engine.RCS0: Event.RCS_USER,
    Engine.BCS0: Event.BCS_USER,
    Engine.VCS0: Event.VCS0_USER,
    Engine.VECS0: Event.VECS_USER,
}
_NOTIFY: Final = {
    Engine.RCS0: Event.RCS_NOTIFY,
    Engine.BCS0: Event.BCS_NOTIFY,
    Engine.VCS0: Event.VCS0_NOTIFY,
    Engine.VECS0: Event.VECS_NOTIFY,
}


class Level(Enum):
    """What kind of buffer is walked, in words."""

    RING = "ring"
    BATCH = "batch"
    SECOND = "second-level batch"
    INDIRECT = "work-around batch"
    IMAGE = "context image"


class Flow(Enum):
    """What a command means for where a batch ends."""

    START = "another batch starts"
    END = "the batch ends"


Check = Callable[["Scan", memoryview, int, int], int]
"""``check(scan, dwords, at, header)`` looks at the command at index ``at`` and gives the index behind it. Raises: Refused."""
LoadRule = Callable[["Scan", memoryview, int, int, int], None]
"""``rule(scan, dwords, at, register, value)`` looks at a register that the command at ``at`` is to load: its name and its value
stand at two other indices. Raises: Refused."""


class Commands(NamedTuple):
    """What one engine is allowed to be told."""

    table: tuple[tuple[int, int, Check | None], ...]
    """By bits 31:16 of a header: mask and addend of the length, and the check. Without one, the command is as it should be."""
    unknown: Check
    """The check of what is no command."""
    flow: dict[int, Flow]
    """By bits 31:16 of a header, the commands at which a batch may end."""
    loads: dict[int, LoadRule | None]
    """Registers that may be loaded; None: with what they like."""
    inhibited_loads: dict[int, LoadRule | None]
    """The same in a context that is restored with inhibit."""
    plain_loads: frozenset[int]
    """Those that may be loaded with what they like."""
    plain_inhibited_loads: frozenset[int]
    memory: frozenset[int]
    """Registers that may be stored to memory and loaded from it."""
    copied: frozenset[int]
    """Registers that may be copied from and to."""


class Spaces(Protocol):
    """The address spaces that a piece of work goes over to."""

    def hold(self, levels: int, roots: Sequence[int]) -> Tables | None:
        """The space with those roots, kept until the work is over; None where the guest has announced none. Raises: Refused."""


def _linear(base: int) -> Callable[[int], int]:
    return lambda index: base + 4 * index


class _Batch(NamedTuple):
    """A copied batch that has not been walked yet."""

    level: Level
    dwords: memoryview
    address: int


@final
class Scan:
    """The audit of one piece of work on one engine."""

    __slots__ = (
        "_address", "_copies", "_pages_left", "_queue", "batches", "commands", "engine", "graphics_version", "inhibit", "level", "loads",
        "memory", "notification", "pages", "plain_loads", "ppgtt", "spaces", "user_interrupts", "vgpu",
    )  # fmt: skip

    def __init__(
        self, vgpu: ScannedVgpu, memory: GraphicsAllocator, engine: Engine, graphics_version: int, commands: Commands, spaces: Spaces,
        ppgtt: Tables | None, *, inhibit: bool,
    ) -> None:  # fmt: skip
        self.vgpu = vgpu
        self.memory = memory
        self.engine = engine
        self.graphics_version = graphics_version
        self.commands = commands
        self.spaces = spaces
        self.ppgtt = ppgtt
        """The address space of the context; None where no context runs."""
        self.inhibit = inhibit
        self.loads = commands.inhibited_loads if inhibit else commands.loads
        self.plain_loads = commands.plain_inhibited_loads if inhibit else commands.plain_loads
        self.user_interrupts = 0
        """How often the guest has its engine interrupt it; it is told once, when the work is done."""
        self.notification = False
        """The same for the event of a flush."""
        self.batches: list[HostBuffer] = []
        """Copies that the work runs from."""
        self.pages: set[int] = set()
        """Pages found to be the vGPU's."""
        self.level = Level.RING
        self._address: Callable[[int], int] = lambda index: 4 * index
        self._queue: deque[_Batch] = deque()
        self._copies: dict[tuple[int, Level], int] = {}
        self._pages_left = BATCH_LIMIT // PAGE_SIZE

    @property
    def events(self) -> frozenset[Event]:
        """What the guest is to be told when the work is done."""
        told = ((self.user_interrupts, _USER), (self.notification, _NOTIFY))
        return frozenset(events[self.engine] for wanted, events in told if wanted)

    # ---- the walk ----

    def walk(self, level: Level, dwords: memoryview, address: Callable[[int], int], start: int = 0, stop: int | None = None) -> None:
        """Audit ``dwords`` from ``start`` on, then every batch that is started from there. From ``stop`` on, there are only zeroes.

        Raises: Refused.
        """
        self._walk(level, dwords, address, start, len(dwords) if stop is None else stop)
        while self._queue:
            batch = self._queue.popleft()
            self._walk(batch.level, batch.dwords, _linear(batch.address), 0, len(batch.dwords))

    def _walk(self, level: Level, dwords: memoryview, address: Callable[[int], int], start: int, stop: int) -> None:
        self.level = level
        self._address = address
        table = self.commands.table
        at, end, header = start, len(dwords), 0
        try:
            while at < stop:
                header = dwords[at]
                mask, added, check = table[header >> 16]
                if check is None:
                    at += (header & mask) + added
                else:
                    at = check(self, dwords, at, header)
        except IndexError:
            mask, added, _ = table[header >> 16]
            if at + (header & mask) + added <= end:
                raise
            at = end + 1
        if at > end:
            last = self._last_command(dwords, start)
            raise self.refusal(
                "audit-past-end", dwords, last, f"the {level.value} ends in the middle of a command", nearest="whole commands", consequence=Consequence.FLUSH
            )

    def _last_command(self, dwords: memoryview, start: int) -> int:
        """Where the command begins that reaches up to the end, or beyond."""
        table = self.commands.table
        last = at = start
        while at < len(dwords):
            last = at
            mask, added, _ = table[dwords[at] >> 16]
            at += (dwords[at] & mask) + added
        return last

    # ---- batches ----

    def copy(self, dwords: memoryview, at: int, address: int, level: Level) -> int:
        """Copy the privileged batch at ``address`` that the command at ``at`` starts, and give the copy's address. Raises: Refused."""
        known = self._copies.get((address, level))
        if known is not None:
            return known
        content = self._read_batch(dwords, at, address)
        try:
            buffer = self.memory.allocate(4 * len(content), self.vgpu.number)
        except ResourceExhausted as error:
            raise self.refusal(
                "audit-host-memory", dwords, at, f"the host has no room for a copy of the batch: {error}", consequence=Consequence.FLUSH
            ) from None
        self.batches.append(buffer)
        view = buffer.dwords[: len(content)]
        view[:] = memoryview(content)
        self._copies[address, level] = buffer.address
        self._queue.append(_Batch(level, view, address))
        return buffer.address

    def read(self, address: int, size: int) -> bytes | None:
        """Guest memory at a graphics address, within one page; None where there is none."""
        place = self.vgpu.ggtt.translate(GraphicsAddress(address))
        return None if place is None else self.vgpu.port.read_guest(place, size)

    def _read_batch(self, dwords: memoryview, at: int, address: int) -> array[int]:
        """The dwords of a batch up to its end, each read from the guest once."""
        content: array[int] = array("I")
        table, flow, unknown = self.commands.table, self.commands.flow, self.commands.unknown
        here, there, ended = 0, 0, False
        while not ended:
            if here >= there:
                there = self._read_on(content, dwords, at, address, here)
            header = content[here]
            mask, added, check = table[header >> 16]
            here += (header & mask) + added
            kind = flow.get(header >> 16)
            ended = kind is Flow.END or (kind is Flow.START and not header & _COMES_BACK) or check is unknown
        self._read_on(content, dwords, at, address, here - 1)
        del content[here:]
        return content

    def _read_on(self, content: array[int], dwords: memoryview, at: int, address: int, index: int) -> int:
        """Read a batch, page by page, until ``index`` is there; how much there is then."""
        while index >= len(content):
            place = address + 4 * len(content)
            size = PAGE_SIZE - (place & PAGE_MASK)
            self._pages_left -= 1
            if self._pages_left < 0:
                raise self.refusal(
                    "audit-batch-size", dwords, at, f"the privileged batches of one submission have more than {format_size(BATCH_LIMIT)}",
                    value=address & 0xFFFFFFFF, nearest=f"at most {format_size(BATCH_LIMIT)}", consequence=Consequence.FLUSH,
                )  # fmt: skip
            page = self.read(place, size)
            if page is None:
                raise self.refusal(
                    "audit-batch-address", dwords, at, f"a privileged batch reaches {place:#x}, where the vGPU has no memory",
                    value=address & 0xFFFFFFFF, nearest=self.vgpu.resources.owned,
                )  # fmt: skip
            content.frombytes(page)
        return len(content)

    # ---- addresses ----

    def audit_address(self, dwords: memoryview, at: int, operand: int, address: int, size: int) -> None:
        """Refuse unless ``size`` bytes at ``address`` of the global table, named by the dword at ``operand``, are the vGPU's, in one of its slices."""
        if size > OPERAND_LIMIT:
            raise self.refusal(
                "audit-address", dwords, at, f"the command reaches {size} bytes", value=dwords[operand], nearest=f"at most {format_size(OPERAND_LIMIT)}"
            )
        end = address + (size or 1)
        low, high = self.vgpu.resources.low, self.vgpu.resources.high
        if not (low.start <= address and end <= low.stop or high.start <= address and end <= high.stop):
            raise self.refusal(
                "audit-address", dwords, at, f"{size} bytes at {address:#x} of the global table are not the vGPU's", value=dwords[operand],
                nearest=self.vgpu.resources.owned,
            )  # fmt: skip
        if len(self.pages) >= _KNOWN_PAGES:
            self.pages.clear()
        self.pages.add(address >> PAGE_SHIFT)

    def in_status_page(self, dwords: memoryview, at: int, operand: int, offset: int) -> int:
        """The graphics address of ``offset``, which the dword at ``operand`` names, in the engine's status page. Raises: Refused."""
        if offset >= PAGE_SIZE:
            raise self.refusal(
                "audit-index", dwords, at, f"an index of {offset:#x}: the status page has {PAGE_SIZE:#x} bytes", value=dwords[operand],
                nearest=f"below {PAGE_SIZE:#x}",
            )  # fmt: skip
        page = self.vgpu.registers.read32(ENGINES[self.engine].base + EngineRegisters.hws_pga.offset) & ~PAGE_MASK
        self.audit_address(dwords, at, operand, page, PAGE_SIZE)
        return page + offset

    # ---- refusals ----

    def name_of(self, header: int) -> str:
        """The command that begins with ``header``, in words."""
        command = command_for(self.engine, header, self.graphics_version)
        return command.name if command is not None else "no command"

    def refusal(
        self, rule: str, dwords: memoryview, at: int, text: str, *, value: int | None = None, nearest: str = "",
        consequence: Consequence = Consequence.FAILSAFE,
    ) -> Refused:  # fmt: skip
        """What to raise because of the command at ``at``; ``value`` is the offending dword, by default the header."""
        header = dwords[at]
        where = f"{self.engine.value} {self.level.value} {self._address(at):#x} {self.name_of(header)}"
        return Refused(rule, where, text, value=header if value is None else value, nearest=nearest, consequence=consequence)

    def release(self) -> None:
        """Nothing of the work will run."""
        for buffer in self.batches:
            buffer.release()
        self.batches.clear()
