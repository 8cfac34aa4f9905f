"""ACRN's side: regions of memory, slots of the request buffer, ports that become configuration space."""

from __future__ import annotations

import pytest

from host_model.host import Host
from host_model.hypervisor.acrn import AcrnMachine
from host_model.hypervisor.acrn_vm import READ_WRITE_EXECUTE_WRITE_BACK, AcrnVm, ServiceModule
from host_model.hypervisor.trapped import TrapRange
from host_model.memory import HostMemory
from pvinfo.acrn import (
    ACRN_IO_REQUEST,
    ACRN_MMIO_REQUEST,
    ACRN_MSI_ENTRY,
    ACRN_PCI_REQUEST,
    ACRN_PIO_REQUEST,
    IO_REQUEST_MAX,
    AcrnMsiEntry,
    AcrnRequestState,
    AcrnRequestType,
    AcrnVmMemmap,
)
from pvinfo.errors import StateError, UsageError
from pvinfo.units import MIB, PAGE_SIZE, BusAddress, GuestAddress

DEVICE = 0x40_0000_0000


class Client:
    """Answers each access with where it was, and writes it down with the state of its slot."""

    range = TrapRange(DEVICE, DEVICE + 0x10000)

    def __init__(self, vm: AcrnVm) -> None:
        self.vm = vm
        self.asked: list[tuple[str, int, int, int | None]] = []
        self.states: list[AcrnRequestState] = []

    def memory(self, address: int, size: int, value: int | None) -> int:
        self.states.append(self.vm.state(0))
        self.asked.append(("memory", address - DEVICE, size, value))
        return 0x1122334455667788

    def config(self, offset: int, size: int, value: int | None) -> int:
        self.states.append(self.vm.state(0))
        self.asked.append(("config", offset, size, value))
        return 0x88776655 & ((1 << 8 * size) - 1)


@pytest.fixture(params=[True, False], ids=["polling", "told"])
def vm(request: pytest.FixtureRequest) -> AcrnVm:
    return AcrnVm(polls=bool(request.param))


@pytest.fixture
def client(vm: AcrnVm) -> Client:
    found = Client(vm)
    ServiceModule(vm).clients.append(found)
    return found


@pytest.fixture
def machine() -> AcrnMachine:
    return AcrnMachine(MIB, HostMemory())


# ---- records ----


def test_sixteen_slots_fill_the_page_and_their_parts_lie_where_linux_has_them() -> None:
    assert ACRN_IO_REQUEST.size * IO_REQUEST_MAX == PAGE_SIZE
    assert [ACRN_IO_REQUEST.offset_of(name) for name in ("completion_polling", "request", "kernel_handled", "processed")] == [4, 64, 132, 136]
    assert ACRN_PCI_REQUEST.offset_of("value") == ACRN_PIO_REQUEST.offset_of("value") == ACRN_MMIO_REQUEST.offset_of("value") == 24
    assert ACRN_PCI_REQUEST.offset_of("reg") == 40


# ---- requests ----


def test_a_slot_goes_from_free_by_processing_to_free_again(vm: AcrnVm, client: Client) -> None:
    assert {vm.state(slot) for slot in range(IO_REQUEST_MAX)} == {AcrnRequestState.FREE}
    assert vm.memory(DEVICE + 8, 8, None) == 0x1122334455667788
    assert vm.memory(DEVICE + 0x10, 2, None) == 0x7788
    assert vm.memory(DEVICE + 4, 4, 0xABCD) == 0
    assert client.asked == [("memory", 8, 8, None), ("memory", 0x10, 2, None), ("memory", 4, 4, 0xABCD)]
    assert client.states == [AcrnRequestState.PROCESSING] * 3 and vm.state(0) is AcrnRequestState.FREE
    slot = ACRN_IO_REQUEST.unpack_from(vm.buffer)
    assert (slot.type, slot.completion_polling, slot.kernel_handled) == (AcrnRequestType.MMIO, int(vm.polls), 1)


def test_an_address_that_no_client_answers_for_reads_all_ones(vm: AcrnVm, client: Client) -> None:
    assert vm.memory(DEVICE + 0xFFFC, 8, None) == (1 << 64) - 1 and vm.memory(0x1000, 4, None) == 0xFFFFFFFF
    vm.memory(0x1000, 4, 5)
    assert client.asked == []


def test_the_two_ports_become_one_access_to_configuration_space(vm: AcrnVm, client: Client) -> None:
    assert vm.config(0x10, 4, None) == 0x88776655
    assert vm.config(0x2E, 2, None) == 0x6655 and vm.config(0xF03, 1, None) == 0x55
    vm.config(4, 2, 7)
    assert client.asked == [("config", 0x10, 4, None), ("config", 0x2E, 2, None), ("config", 0xF03, 1, None), ("config", 4, 2, 7)]
    assert ACRN_IO_REQUEST.unpack_from(vm.buffer).type == AcrnRequestType.PCICFG
    request = ACRN_PCI_REQUEST.unpack_from(vm.buffer, ACRN_IO_REQUEST.offset_of("request"))
    assert (request.bus, request.dev, request.func, request.reg) == (0, 2, 0, 4)


def test_an_access_across_a_dword_of_configuration_space_is_one_of_bytes(vm: AcrnVm, client: Client) -> None:
    vm.config(3, 2, 0xBBAA)
    assert client.asked == [("config", 3, 1, 0xAA), ("config", 4, 1, 0xBB)]
    assert vm.config(3, 2, None) == 0x5555 and vm.config(4095, 2, None) == 0xFFFF and len(client.asked) == 4


def test_a_hypervisor_without_a_service_vm_says_that_nobody_answers() -> None:
    vm = AcrnVm()
    with pytest.raises(StateError, match="processor 0 goes on after its I/O request.*PENDING"):
        vm.memory(DEVICE, 4, None)


def test_one_that_does_not_poll_must_be_told() -> None:
    vm = AcrnVm(polls=False)
    vm.upcall = lambda: vm.set_state(0, AcrnRequestState.COMPLETE)
    with pytest.raises(StateError, match="the hypervisor told unless it polls"):
        vm.memory(DEVICE, 4, None)
    vm.polls = True
    assert vm.memory(DEVICE, 4, None) == 0


def test_the_handler_of_an_interrupt_waits_in_a_slot_of_its_own(vm: AcrnVm, client: Client) -> None:
    states: list[list[AcrnRequestState]] = []

    def handler() -> None:
        vm.memory(DEVICE + 4, 4, None)
        states.append([vm.state(slot) for slot in (0, 1)])

    vector = vm.processors.install(handler)
    inner = client.memory

    def memory(address: int, size: int, value: int | None) -> int:
        if value == 1:
            assert vm.inject_msi(ACRN_MSI_ENTRY.pack(AcrnMsiEntry(0xFEE00000, vector)))
        return inner(address, size, value)

    client.memory = memory  # type: ignore[method-assign]
    vm.memory(DEVICE, 4, 1)
    assert states == [[AcrnRequestState.PROCESSING, AcrnRequestState.FREE]] and [offset for _, offset, _, _ in client.asked] == [4, 0]


# ---- memory ----


def test_memory_is_where_the_service_vm_shows_it(machine: AcrnMachine) -> None:
    vm, port = machine.vm, machine.port
    vm.set_memory_region(AcrnVmMemmap(0, READ_WRITE_EXECUTE_WRITE_BACK, 16 * MIB, port.service_base + 0x8000, 0x2000))
    vm.write(GuestAddress(16 * MIB), b"twice")
    assert vm.read(GuestAddress(0x8000), 5) == b"twice"
    assert port.map_guest_pages((0x8000, 16 * MIB, 16 * MIB + 0x2000)) == [port.service_base + 0x8000, port.service_base + 0x8000, 0]
    assert port.pins(BusAddress(port.service_base + 0x8000)) == 2 and vm.size == 16 * MIB + 0x2000


def test_regions_side_by_side_are_read_and_written_across(machine: AcrnMachine) -> None:
    machine.vm.set_memory_region(AcrnVmMemmap(0, READ_WRITE_EXECUTE_WRITE_BACK, MIB, machine.port.service_base + 0x1000, 0x1000))
    assert machine.port.write_guest(GuestAddress(MIB - 2), b"both")
    assert machine.memory.read(GuestAddress(MIB - 2), 4) == b"both" and machine.memory.read(GuestAddress(0x1000), 2) == b"th"


def test_a_region_that_goes_is_no_memory_and_is_told(machine: AcrnMachine) -> None:
    revision = machine.port.memory_revision
    with pytest.raises(UsageError, match="is to go: there is none like it"):
        machine.vm.delete_memory_region(0, 0x1000)
    machine.vm.delete_memory_region(0, MIB)
    assert machine.port.memory_revision == revision + 1
    assert machine.port.guest_page(GuestAddress(0)) is None and machine.port.read_guest(GuestAddress(0), 4) is None
    with pytest.raises(IndexError, match="no region of memory holds them"):
        machine.memory.write(GuestAddress(0), b"x")


def test_regions_that_overlap_or_are_no_whole_pages_are_refused(machine: AcrnMachine) -> None:
    base = machine.port.service_base
    for start, at, length, said in ((MIB - 0x1000, base, 0x2000, "is there"), (MIB, base, 0x800, "no whole pages"), (MIB, base + 4, 0x1000, "no whole pages")):
        with pytest.raises(UsageError, match=said):
            machine.vm.set_memory_region(AcrnVmMemmap(0, READ_WRITE_EXECUTE_WRITE_BACK, start, at, length))


def test_a_region_without_the_right_to_write_is_not_given_to_the_gpu(machine: AcrnMachine) -> None:
    machine.vm.set_memory_region(AcrnVmMemmap(0, 0x41, MIB, machine.port.service_base, 0x1000))
    machine.vm.write(GuestAddress(MIB), b"dropped")
    assert machine.vm.read(GuestAddress(0), 7) == bytes(7) and not machine.port.write_guest(GuestAddress(MIB), b"no")
    assert machine.port.map_guest_page(GuestAddress(MIB)) is None and machine.port.guest_page(GuestAddress(MIB)) is None


def test_writes_cannot_be_watched(machine: AcrnMachine) -> None:
    assert not machine.port.can_track_writes
    for call in (machine.port.watch_page, machine.port.unwatch_page):
        with pytest.raises(StateError, match="one whose writes can be tracked"):
            call(GuestAddress(0), lambda: None)


def test_the_guest_of_a_vgpu_reads_its_page_by_requests() -> None:
    vgpu, machine = Host().plug(hypervisor="acrn", ram_size=4 * MIB)
    region = machine.gpu.bar(0)
    reads = vgpu.mmio.reads
    assert region is not None and region.read(0x78000, 8) == 0x4776544776544776 and vgpu.mmio.reads == reads + 1
    assert machine.gpu.config.read(0, 4) & 0xFFFF == 0x8086
