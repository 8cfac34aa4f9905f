"""A domain of Xen's, as its device model and mediator know it: memory, event channels, and an ioreq server with its page.

Methods that Xen has as hypercalls say so. The domain's frames are not where a guest would guess: superpages were given to it
from the top of memory down, as Xen's allocator does, so a bus address is never the guest's address with something added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from pvinfo.errors import StateError, UsageError
from pvinfo.units import MIB, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, GuestAddress
from pvinfo.xen import IO_REQUEST, REQUESTS_PER_PAGE, IoRequest, IoRequestFlags, IoRequestState, IoRequestType, MemoryType, PciConfigAddress

from .local import Ram
from .pins import add_pins, remove_pins
from .processors import Processors
from .trapped import GPU_DEVICE, TrapRange, emulated_pieces
from .watches import pages_of

__all__ = ("EventChannels", "IoreqServer", "XenDomain")

_SUPERPAGE: Final = 2 * MIB
_SUPERPAGE_MASK: Final = _SUPERPAGE - 1
_FLAGS_OFFSET: Final = IO_REQUEST.offset_of("flags")
_DATA_OFFSET: Final = IO_REQUEST.offset_of("data")
_READY: Final = int(IoRequestState.READY)
_READ_BIT: Final = int(IoRequestFlags.of(read=True))
_STATE_MASK: Final = IoRequestFlags.state.mask
_PROCESSORS: Final = 8


@final
class EventChannels:
    """Pairs of ports: who notifies one end wakes the other. Source: xen:xen/include/public/event_channel.h"""

    def __init__(self) -> None:
        self._wake: dict[int, Callable[[], None]] = {}
        self._peer: dict[int, int] = {}

    def bind(self, wake: Callable[[], None], peer_wake: Callable[[], None]) -> tuple[int, int]:
        """A new pair; the ports of both ends."""
        first = 1 + len(self._wake)
        self._wake |= {first: wake, first + 1: peer_wake}
        self._peer |= {first: first + 1, first + 1: first}
        return first, first + 1

    def notify(self, port: int) -> None:
        """Wake the other end of ``port``. Raises: UsageError for a port that is not bound."""
        try:
            peer = self._peer[port]
        except KeyError:
            raise UsageError(f"event channel port {port} is not bound: there are {len(self._peer)}") from None
        self._wake[peer]()


@final
class IoreqServer:
    """Who answers for some addresses and one PCI function: the page of requests, and a port for each processor."""

    def __init__(self, processors: int, channels: EventChannels, handle: Callable[[int], None]) -> None:
        self.page = bytearray(PAGE_SIZE)
        self.channels = channels
        self.ranges: list[TrapRange] = []
        self.pci_devices: list[int] = []
        """Devices of bus 0, by number."""
        self.takes_writes = False
        """It has claimed the memory type IOREQ_SERVER for writes."""
        self._answered = [False] * processors
        self.ports: tuple[tuple[int, int], ...] = tuple(self._bind(number, handle) for number in range(processors))
        """For each processor, its own port and the server's."""

    def _bind(self, processor: int, handle: Callable[[int], None]) -> tuple[int, int]:
        def answered() -> None:
            self._answered[processor] = True

        return self.channels.bind(answered, lambda: handle(processor))

    def ask(self, processor: int, kind: IoRequestType, address: int, size: int, value: int | None) -> int:
        """What Xen does for a processor whose access is the server's: fill in its request, tell, wait, take the answer.

        Raises: StateError when the server has not answered: the processor would stand still for ever.
        """
        page, at = self.page, processor * IO_REQUEST.size
        own, theirs = self.ports[processor]
        flags = _READY | (_READ_BIT if value is None else 0)
        IO_REQUEST.pack_into(page, at, IoRequest(address, value or 0, 1, size, theirs, 0, flags, kind))
        self._answered[processor] = False
        self.channels.notify(own)
        state = page[at + _FLAGS_OFFSET] & _STATE_MASK
        if not self._answered[processor] or state != IoRequestState.RESPONSE_READY:
            raise StateError(f"processor {processor} goes on after its I/O request", IoRequestState(state).name, "RESPONSE_READY")
        page[at + _FLAGS_OFFSET] &= ~_STATE_MASK & 0xFF
        answer = int.from_bytes(page[at + _DATA_OFFSET : at + _DATA_OFFSET + 8], "little")
        return answer & ((1 << 8 * size) - 1) if value is None else 0

    def set_state(self, processor: int, state: IoRequestState) -> None:
        """What the server does."""
        at = processor * IO_REQUEST.size + _FLAGS_OFFSET
        self.page[at] = self.page[at] & ~_STATE_MASK & 0xFF | state

    def request(self, processor: int) -> IoRequest:
        """A processor's request as it stands in the page."""
        return IO_REQUEST.unpack_from(self.page, processor * IO_REQUEST.size)

    def answer(self, processor: int, data: int) -> None:
        """Put the answer there and wake the processor."""
        at = processor * IO_REQUEST.size + _DATA_OFFSET
        self.page[at : at + 8] = data.to_bytes(8, "little")
        self.set_state(processor, IoRequestState.RESPONSE_READY)
        self.channels.notify(self.ports[processor][1])

    def claims(self, address: int, size: int) -> bool:
        """The addresses are its own."""
        return any(known.start <= address and address + size <= known.end for known in self.ranges)


@final
class XenDomain:
    """A domain with fully virtualised processors.

    It is the guest's memory (:class:`~pvinfo.bus.GuestMemory`) and traps (:class:`~.trapped.Traps`), and the frames behind a
    GPU's bus (:class:`~host_model.memory.Backing`, by offset from its first frame).
    """

    def __init__(self, ram_size: int) -> None:
        self._ram = Ram(ram_size)
        self._last_superpage = (ram_size - 1) // _SUPERPAGE
        self._types: dict[int, MemoryType] = {}
        """Frames that are not RAM_RW."""
        self._gone: set[int] = set()
        """Frames that the domain has given back."""
        self._foreign_maps: dict[int, int] = {}
        """How often each frame is mapped by the device model's domain, by its machine offset."""
        self.processors = Processors(_PROCESSORS)
        self.channels = EventChannels()
        self._server: IoreqServer | None = None
        self.on_revoke: Callable[[int], None] | None = None
        """Called with a guest frame's number when it has gone."""

    # ---- frames ----

    def machine_offset(self, address: int) -> int:
        """Where the guest's ``address`` is among the domain's frames; the same the other way round."""
        return (self._last_superpage - address // _SUPERPAGE) * _SUPERPAGE | address & _SUPERPAGE_MASK

    def _is_ram(self, gfn: int) -> bool:
        return 0 <= gfn < self._ram.size >> PAGE_SHIFT and gfn not in self._gone

    def is_ram(self, address: int, size: int) -> bool:
        """All ``size`` bytes at a guest-physical address are the domain's RAM."""
        if address < 0 or address + size > self._ram.size:
            return False
        return not self._gone or self._gone.isdisjoint(pages_of(address, size))

    def mem_type(self, gfn: int) -> MemoryType:
        """A hypercall: what a frame is. Frames that the domain has not are a device's, as far as Xen knows."""
        return self._types.get(gfn, MemoryType.RAM_RW) if self._is_ram(gfn) else MemoryType.MMIO_DM

    def set_mem_type(self, gfn: int, wanted: MemoryType) -> None:
        """A hypercall: change what a frame is. Raises: UsageError for a change that Xen refuses."""
        now = self.mem_type(gfn)
        allowed = {
            MemoryType.RAM_RW: (MemoryType.RAM_RO, MemoryType.IOREQ_SERVER, MemoryType.RAM_RW),
            MemoryType.RAM_RO: (MemoryType.RAM_RW, MemoryType.RAM_RO), MemoryType.IOREQ_SERVER: (MemoryType.RAM_RW, MemoryType.IOREQ_SERVER),
        }  # fmt: skip
        if wanted not in allowed.get(now, ()):
            raise UsageError(f"frame {gfn:#x}: {now.name} cannot become {wanted.name}")
        if wanted is MemoryType.IOREQ_SERVER and (self._server is None or not self._server.takes_writes):
            raise UsageError(f"frame {gfn:#x}: no server has claimed IOREQ_SERVER")
        if wanted is MemoryType.RAM_RW:
            self._types.pop(gfn, None)
        else:
            self._types[gfn] = wanted

    def map_foreign(self, addresses: Sequence[int]) -> list[int | None]:
        """A hypercall: map frames of the domain, and keep them; their machine offsets, None where there is no writable RAM."""
        found = [
            self.machine_offset(address & ~PAGE_MASK)
            if self._is_ram(address >> PAGE_SHIFT) and self._types.get(address >> PAGE_SHIFT) is not MemoryType.RAM_RO else None
            for address in addresses
        ]  # fmt: skip
        add_pins(self._foreign_maps, (offset for offset in found if offset is not None))
        return found

    def unmap_foreign(self, offsets: Iterable[int]) -> None:
        """Undo one map of each; a frame that the domain has given back goes with its last."""
        remove_pins(self._foreign_maps, offsets)

    @property
    def foreign_frames(self) -> int:
        """Frames that are mapped."""
        return len(self._foreign_maps)

    def foreign_maps(self, offset: int) -> int:
        """How often a frame is mapped."""
        return self._foreign_maps.get(offset, 0)

    def decrease_reservation(self, gfn: int) -> None:
        """A hypercall of the guest's: give a frame back, as a balloon does. Raises: UsageError for a frame that it has not."""
        if not self._is_ram(gfn):
            raise UsageError(f"frame {gfn:#x} is to be given back: the domain has none there")
        self._gone.add(gfn)
        self._types.pop(gfn, None)
        if self.on_revoke is not None:
            self.on_revoke(gfn)

    # ---- Backing ----

    def page(self, offset: int, /) -> memoryview | None:
        address = self.machine_offset(offset)
        if not self._is_ram(address >> PAGE_SHIFT) and offset not in self._foreign_maps:
            return None
        return self._ram.page(address)

    def span(self, offset: int, size: int, /) -> memoryview | None:
        if (offset & _SUPERPAGE_MASK) + size > _SUPERPAGE or self._gone:
            return None
        return self._ram.span(self.machine_offset(offset), size)

    def frame(self, address: int) -> memoryview | None:
        """The RAM of the page at a guest-physical address, mapped."""
        gfn = address >> PAGE_SHIFT
        if not self._is_ram(gfn) or self._types.get(gfn) is MemoryType.RAM_RO:
            return None
        return self._ram.page(address & ~PAGE_MASK)

    # ---- GuestMemory: what a processor does ----

    @property
    def size(self) -> int:
        return self._ram.size

    def read(self, address: GuestAddress, size: int) -> bytes:
        if not self.is_ram(address, size):
            raise IndexError(f"{size} bytes at {address:#x}: not all of it is RAM of the domain")
        return self._ram.read(address, size)

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        if not self.is_ram(address, len(data)):
            raise IndexError(f"{len(data)} bytes at {address:#x}: not all of it is RAM of the domain")
        if not self._types or self._types.keys().isdisjoint(pages_of(address, len(data))):
            self._ram.write(address, data)
            return
        first, end = int(address), address + len(data)
        while first < end:
            last = min(end, (first | PAGE_MASK) + 1)
            self._write_page(first, data[first - address : last - address])
            first = last

    def _write_page(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """A store inside one page."""
        gfn = address >> PAGE_SHIFT
        if gfn not in self._types:
            self._ram.write(GuestAddress(address), data)
            return
        for at, size in emulated_pieces(address, len(data)):
            piece = data[at - address : at - address + size]
            # The type is looked up for each piece: whoever hears of one may watch the page no longer.
            kind = self._types.get(gfn)
            if kind is MemoryType.IOREQ_SERVER:
                self._forward(IoRequestType.COPY, at, size, int.from_bytes(piece, "little"))
            elif kind is None:
                self._ram.write(GuestAddress(at), piece)

    def store(self, address: GuestAddress, data: bytes) -> None:
        """A store through a foreign map: nobody is told."""
        self._ram.write(address, data)

    # ---- Traps ----

    def _forward(self, kind: IoRequestType, address: int, size: int, value: int | None) -> int:
        server = self._server
        if server is None:
            return (1 << 8 * size) - 1
        processor = self.processors.stop()
        if processor is None:
            raise StateError("an access to a device", "all processors wait for one", "one of them running")
        try:
            return server.ask(processor, kind, address, size, value)
        finally:
            self.processors.resume(processor)

    def memory(self, address: int, size: int, value: int | None) -> int:
        if self._server is None or not self._server.claims(address, size):
            return (1 << 8 * size) - 1
        return self._forward(IoRequestType.COPY, address, size, value)

    def config(self, offset: int, size: int, value: int | None) -> int:
        if self._server is None or GPU_DEVICE not in self._server.pci_devices:
            return (1 << 8 * size) - 1
        return self._forward(IoRequestType.PCI_CONFIG, PciConfigAddress(0, 0, GPU_DEVICE, 0, offset).packed, size, value)

    # ---- hypercalls of the device model ----

    def create_ioreq_server(self, handle: Callable[[int], None]) -> IoreqServer:
        """A hypercall: ``handle`` is called with the number of a processor whose request is ready. Raises: StateError for a second one."""
        if self._server is not None:
            raise StateError("a second ioreq server", "one is there", "none")
        self._server = IoreqServer(min(self.processors.count, REQUESTS_PER_PAGE), self.channels, handle)
        return self._server

    def map_mem_type_to_ioreq_server(self, *, writes: bool) -> None:
        """A hypercall: the server takes writes to frames of the type IOREQ_SERVER, or does no longer: such frames are RAM_RW then.

        Raises: StateError without a server.
        """
        if self._server is None:
            raise StateError("a memory type is claimed", "no ioreq server", "one")
        self._server.takes_writes = writes
        if not writes:
            self._types = {gfn: kind for gfn, kind in self._types.items() if kind is not MemoryType.IOREQ_SERVER}

    def destroy_ioreq_server(self) -> None:
        """A hypercall: from now on nobody answers, and nobody hears of writes."""
        if self._server is not None:
            self.map_mem_type_to_ioreq_server(writes=False)
            self._server = None

    def inject_msi(self, address: int, data: int) -> bool:
        """A hypercall: interrupt the guest as a device's message would; False where the guest does not handle it."""
        return self.processors.interrupt(address, data)
