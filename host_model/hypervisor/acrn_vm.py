"""A user VM of ACRN's: its memory by regions of the service VM's, and the buffer of requests that its processors wait in.

Methods that ACRN has as hypercalls say so. The service VM's own part, which finds what is asked of whom, is :class:`ServiceModule`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, final

from pvinfo.acrn import (
    ACRN_IO_REQUEST,
    ACRN_MMIO_REQUEST,
    ACRN_MSI_ENTRY,
    ACRN_PCI_REQUEST,
    ACRN_PIO_REQUEST,
    CONFIG_ADDRESS_ENABLE,
    CONFIG_ADDRESS_PORT,
    CONFIG_DATA_PORT,
    IO_REQUEST_MAX,
    AcrnDirection,
    AcrnMmioRequest,
    AcrnPciRequest,
    AcrnPioRequest,
    AcrnRequestState,
    AcrnRequestType,
    AcrnVmMemmap,
)
from pvinfo.errors import StateError, UsageError
from pvinfo.pci import CONFIG_SIZE
from pvinfo.units import PAGE_MASK, PAGE_SIZE, GuestAddress, format_range

from .local import Ram
from .processors import Processors
from .trapped import GPU_DEVICE, TrapRange

__all__ = ("AcrnVm", "IoreqClient", "RegionPiece", "ServiceModule")

WRITABLE: Final = 2
"""Bit of a region's attributes. Source: linux:include/uapi/linux/acrn.h"""
READ_WRITE_EXECUTE_WRITE_BACK: Final = 0x47

_TYPE: Final = ACRN_IO_REQUEST.offset_of("type")
_POLLING: Final = ACRN_IO_REQUEST.offset_of("completion_polling")
_REQUEST: Final = ACRN_IO_REQUEST.offset_of("request")
_HANDLED: Final = ACRN_IO_REQUEST.offset_of("kernel_handled")
_PROCESSED: Final = ACRN_IO_REQUEST.offset_of("processed")
_PIO_VALUE: Final = ACRN_PIO_REQUEST.offset_of("value")
_MMIO_VALUE: Final = ACRN_MMIO_REQUEST.offset_of("value")


class RegionPiece(NamedTuple):
    """Bytes of the user VM that one region holds."""

    region: AcrnVmMemmap
    service_vm_pa: int
    size: int


class IoreqClient(Protocol):
    """Who answers for a device, in the service VM's kernel."""

    @property
    def range(self) -> TrapRange:
        """The addresses that it answers for."""

    def memory(self, address: int, size: int, value: int | None) -> int:
        """Answer an access to them."""

    def config(self, offset: int, size: int, value: int | None) -> int:
        """Answer an access to configuration space of its function."""


def _put(buffer: bytearray, at: int, value: int) -> None:
    buffer[at : at + 4] = value.to_bytes(4, "little")


def _get(buffer: bytearray, at: int) -> int:
    return int.from_bytes(buffer[at : at + 4], "little")


@final
class AcrnVm:
    """A user VM; its guest's memory (:class:`~pvinfo.bus.GuestMemory`) and traps (:class:`~.trapped.Traps`).

    ``polls``: the hypervisor looks for the answers itself, instead of being told of them.
    """

    def __init__(self, *, polls: bool = True) -> None:
        self.polls = polls
        self.processors = Processors(IO_REQUEST_MAX)
        self.buffer = bytearray(ACRN_IO_REQUEST.size * IO_REQUEST_MAX)
        for slot in range(IO_REQUEST_MAX):
            self.set_state(slot, AcrnRequestState.FREE)
        self.upcall: Callable[[], None] | None = None
        """The service VM's interrupt: a request is pending."""
        self.service_memory: Ram | None = None
        """The service VM's memory, from address :attr:`service_base` of it on."""
        self.service_base = 0
        self._regions: list[AcrnVmMemmap] = []
        self._finished: set[int] = set()
        self.on_revoke: Callable[[], None] | None = None
        """Called when a region has gone."""

    # ---- memory ----

    def set_memory_region(self, region: AcrnVmMemmap) -> None:
        """A hypercall: show a region of the service VM's memory to the user VM.

        Raises: UsageError for what is not whole pages of RAM, or overlaps another.
        """
        end = region.user_vm_pa + region.len
        where = format_range(region.user_vm_pa, end)
        if not region.len or (region.user_vm_pa | region.service_vm_pa | region.len) & PAGE_MASK:
            raise UsageError(f"memory region {where} at {region.service_vm_pa:#x} of the service VM: no whole pages")
        for known in self._regions:
            if region.user_vm_pa < known.user_vm_pa + known.len and known.user_vm_pa < end:
                raise UsageError(f"memory region {where}: {format_range(known.user_vm_pa, known.user_vm_pa + known.len)} is there")
        self._regions = sorted([*self._regions, region], key=lambda known: known.user_vm_pa)

    def delete_memory_region(self, user_vm_pa: int, length: int) -> None:
        """A hypercall: take away exactly one region. Raises: UsageError where there is none like it."""
        left = [known for known in self._regions if (known.user_vm_pa, known.len) != (user_vm_pa, length)]
        if len(left) == len(self._regions):
            raise UsageError(f"memory region {format_range(user_vm_pa, user_vm_pa + length)} is to go: there is none like it")
        self._regions = left
        if self.on_revoke is not None:
            self.on_revoke()

    def pieces(self, address: int, size: int) -> list[RegionPiece] | None:
        """The regions that hold ``size`` bytes, in order; None where one is missing."""
        found: list[RegionPiece] = []
        for region in self._regions:
            if size <= 0 or region.user_vm_pa > address:
                break
            offset = address - region.user_vm_pa
            if offset < region.len:
                piece = min(size, region.len - offset)
                found.append(RegionPiece(region, region.service_vm_pa + offset, piece))
                address += piece
                size -= piece
        return found if size <= 0 else None

    def writable_page(self, address: int) -> int | None:
        """Where in the service VM the page at ``address`` is, if it is writable RAM."""
        found = self.pieces(address & ~PAGE_MASK, PAGE_SIZE)
        return found[0].service_vm_pa if found and found[0].region.attr & WRITABLE else None

    def _service(self) -> Ram:
        if self.service_memory is None:
            raise StateError("an access to memory", "the service VM has none", "memory")
        return self.service_memory

    @property
    def size(self) -> int:
        return max((region.user_vm_pa + region.len for region in self._regions), default=0)

    def read(self, address: GuestAddress, size: int) -> bytes:
        found = self.pieces(address, size)
        if found is None:
            raise IndexError(f"{size} bytes at {address:#x}: no region of memory holds them")
        memory = self._service()
        return b"".join(memory.read(GuestAddress(piece.service_vm_pa - self.service_base), piece.size) for piece in found)

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        found = self.pieces(address, len(data))
        if found is None:
            raise IndexError(f"{len(data)} bytes at {address:#x}: no region of memory holds them")
        memory, done = self._service(), 0
        for region, at, size in found:
            if region.attr & WRITABLE:
                memory.write(GuestAddress(at - self.service_base), data[done : done + size])
            done += size

    # ---- requests ----

    def state(self, slot: int) -> AcrnRequestState:
        """Whose turn it is with a slot."""
        return AcrnRequestState(_get(self.buffer, slot * ACRN_IO_REQUEST.size + _PROCESSED))

    def set_state(self, slot: int, state: AcrnRequestState) -> None:
        """Hand a slot on."""
        _put(self.buffer, slot * ACRN_IO_REQUEST.size + _PROCESSED, state)

    def notify_request_finish(self, slot: int) -> None:
        """A hypercall: the answer is there, for a hypervisor that does not poll."""
        self._finished.add(slot)

    def _ask(self, slot: int, kind: AcrnRequestType, request: bytes) -> int:
        """Fill in a slot, and wait; where the slot begins, with the answer in it."""
        buffer, start = self.buffer, slot * ACRN_IO_REQUEST.size
        _put(buffer, start + _TYPE, kind)
        _put(buffer, start + _POLLING, self.polls)
        _put(buffer, start + _HANDLED, 0)
        buffer[start + _REQUEST : start + _REQUEST + len(request)] = request
        self._finished.discard(slot)
        self.set_state(slot, AcrnRequestState.PENDING)
        if self.upcall is not None:
            self.upcall()
        state = self.state(slot)
        if state is not AcrnRequestState.COMPLETE or (not self.polls and slot not in self._finished):
            raise StateError(f"processor {slot} goes on after its I/O request", state.name, "COMPLETE, and the hypervisor told unless it polls")
        self.set_state(slot, AcrnRequestState.FREE)
        return start + _REQUEST

    def _stop(self) -> int:
        slot = self.processors.stop()
        if slot is None:
            raise StateError("an access to a device", "all processors wait for one", "one of them running")
        return slot

    def memory(self, address: int, size: int, value: int | None) -> int:
        slot = self._stop()
        try:
            direction = AcrnDirection.READ if value is None else AcrnDirection.WRITE
            at = self._ask(slot, AcrnRequestType.MMIO, ACRN_MMIO_REQUEST.pack(AcrnMmioRequest(direction, 0, address, size, value or 0))) + _MMIO_VALUE
            return int.from_bytes(self.buffer[at : at + size], "little") if value is None else 0
        finally:
            self.processors.resume(slot)

    def config(self, offset: int, size: int, value: int | None) -> int:
        """By the two ports, as a processor does it: the address, then as many bytes of the dword as are wanted."""
        if offset < 0 or offset + size > CONFIG_SIZE:
            return (1 << 8 * size) - 1
        if (offset & 3) + size > 4:
            return sum(
                self.config(offset + at, 1, None if value is None else value >> 8 * at & 0xFF) << 8 * at for at in range(size)
            )
        slot = self._stop()
        try:
            # Bits 11:8 of the offset are where AMD and Linux have them. Source: linux:drivers/virt/acrn/ioreq.c
            register = CONFIG_ADDRESS_ENABLE | (offset & 0xF00) << 16 | GPU_DEVICE << 11 | offset & 0xFC
            self._port(slot, CONFIG_ADDRESS_PORT, 4, register)
            return self._port(slot, CONFIG_DATA_PORT + (offset & 3), size, value)
        finally:
            self.processors.resume(slot)

    def _port(self, slot: int, port: int, size: int, value: int | None) -> int:
        direction = AcrnDirection.READ if value is None else AcrnDirection.WRITE
        at = self._ask(slot, AcrnRequestType.PORTIO, ACRN_PIO_REQUEST.pack(AcrnPioRequest(direction, 0, port, size, value or 0))) + _PIO_VALUE
        return int.from_bytes(self.buffer[at : at + size], "little") if value is None else 0

    def inject_msi(self, entry: bytes) -> bool:
        """A hypercall: interrupt the guest, by an :data:`~pvinfo.acrn.ACRN_MSI_ENTRY`; False where the guest does not handle it."""
        address, data = ACRN_MSI_ENTRY.parse(entry)
        return self.processors.interrupt(address, data)


@final
class ServiceModule:
    """The service VM's part, as its kernel has it: finds pending requests, and the client that each is for.

    Source: linux:drivers/virt/acrn/ioreq.c
    """

    def __init__(self, vm: AcrnVm) -> None:
        self._vm = vm
        self._config_address = 0
        self.clients: list[IoreqClient] = []
        vm.upcall = self._dispatch

    def _dispatch(self) -> None:
        vm = self._vm
        for slot in range(IO_REQUEST_MAX):
            if vm.state(slot) is AcrnRequestState.PENDING:
                self._serve(slot)

    def _serve(self, slot: int) -> None:
        vm = self._vm
        start = slot * ACRN_IO_REQUEST.size
        if _get(vm.buffer, start + _TYPE) == AcrnRequestType.PORTIO and self._configuration_port(start):
            self._complete(slot)
            return
        _put(vm.buffer, start + _HANDLED, 1)
        vm.set_state(slot, AcrnRequestState.PROCESSING)
        if _get(vm.buffer, start + _TYPE) == AcrnRequestType.MMIO:
            self._memory(start + _REQUEST)
        elif _get(vm.buffer, start + _TYPE) == AcrnRequestType.PCICFG:
            self._config(start + _REQUEST)
        self._complete(slot)

    def _complete(self, slot: int) -> None:
        polls = _get(self._vm.buffer, slot * ACRN_IO_REQUEST.size + _POLLING)
        self._vm.set_state(slot, AcrnRequestState.COMPLETE)
        if not polls:
            self._vm.notify_request_finish(slot)

    def _configuration_port(self, start: int) -> bool:
        """Whether a port's request is answered with this; an access to the data ports becomes one to configuration space."""
        buffer, at = self._vm.buffer, start + _REQUEST
        request = ACRN_PIO_REQUEST.unpack_from(buffer, at)
        address = self._config_address
        if request.address == CONFIG_ADDRESS_PORT:
            if request.direction == AcrnDirection.WRITE:
                self._config_address = request.value
            else:
                _put(buffer, at + _PIO_VALUE, address)
            return True
        if not CONFIG_DATA_PORT <= request.address < CONFIG_DATA_PORT + 4 or not address & CONFIG_ADDRESS_ENABLE:
            _put(buffer, at + _PIO_VALUE, 0xFFFFFFFF)
            return True
        register = (address & 0xFC) + (address >> 16 & 0xF00) + request.address - CONFIG_DATA_PORT
        config = AcrnPciRequest(
            request.direction, bytes(12), request.size, request.value, address >> 16 & 0xFF, address >> 11 & 0x1F, address >> 8 & 7, register
        )
        ACRN_PCI_REQUEST.pack_into(buffer, at, config)
        _put(buffer, start + _TYPE, AcrnRequestType.PCICFG)
        return False

    def _memory(self, at: int) -> None:
        request = ACRN_MMIO_REQUEST.unpack_from(self._vm.buffer, at)
        value = request.value if request.direction == AcrnDirection.WRITE else None
        end = request.address + request.size
        client = next((known for known in self.clients if known.range.start <= request.address and end <= known.range.end), None)
        answer = client.memory(request.address, request.size, value) if client is not None else (1 << 64) - 1
        if value is None:
            self._vm.buffer[at + _MMIO_VALUE : at + _MMIO_VALUE + 8] = answer.to_bytes(8, "little")

    def _config(self, at: int) -> None:
        request = ACRN_PCI_REQUEST.unpack_from(self._vm.buffer, at)
        value = request.value if request.direction == AcrnDirection.WRITE else None
        answer = 0xFFFFFFFF
        if self.clients and (request.bus, request.dev, request.func) == (0, GPU_DEVICE, 0):
            answer = self.clients[0].config(request.reg, request.size, value)
        if value is None:
            _put(self._vm.buffer, at + ACRN_PCI_REQUEST.offset_of("value"), answer)
