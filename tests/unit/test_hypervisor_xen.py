"""Xen's side: frames and their types, foreign maps, requests in the shared page, and processors that wait."""

from __future__ import annotations

import pytest

from host_model.host import Host
from host_model.hypervisor.processors import Processors, message
from host_model.hypervisor.trapped import emulated_pieces
from host_model.hypervisor.xen import XenMachine
from host_model.hypervisor.xen_domain import EventChannels, XenDomain
from host_model.memory import HostMemory
from pvinfo.errors import StateError, UsageError
from pvinfo.units import GIB, MIB, PAGE_SIZE, BusAddress, GuestAddress
from pvinfo.xen import IO_REQUEST, REQUESTS_PER_PAGE, IoRequest, IoRequestFlags, IoRequestState, IoRequestType, MemoryType, PciConfigAddress

RAM = 5 * MIB
BAR0 = 256 * GIB


@pytest.fixture
def host_memory() -> HostMemory:
    return HostMemory()


@pytest.fixture
def machine(host_memory: HostMemory) -> XenMachine:
    return XenMachine(RAM, host_memory)


# ---- records ----


def test_a_request_lies_in_the_page_as_xen_lays_it_out() -> None:
    request = IoRequest(0xF000_0000, 0x1122, 1, 4, 9, 0, IoRequestFlags.of(state=IoRequestState.READY, read=True), IoRequestType.COPY)
    data = IO_REQUEST.pack(request)
    assert data.hex() == "000000f000000000" "2211000000000000" "01000000" "04000000" "09000000" "0000" "21" "01"
    assert (len(data), REQUESTS_PER_PAGE, IO_REQUEST.offset_of("flags")) == (32, 128, 30)


def test_a_register_of_configuration_space_is_packed_with_segment_bus_device_and_function() -> None:
    address = PciConfigAddress(1, 2, 31, 7, 0xFFC)
    assert address.packed == 0x0001_02FF_0000_0FFC and PciConfigAddress.unpack(address.packed) == address


# ---- frames ----


def test_bus_addresses_follow_the_domains_superpages_from_the_top_down(machine: XenMachine) -> None:
    pages = machine.port.map_guest_pages((0, 0x1000, 2 * MIB, 4 * MIB))
    base = pages[3]
    assert [page - base for page in pages] == [4 * MIB, 4 * MIB + 0x1000, 2 * MIB, 0]
    assert machine.domain.foreign_frames == 4


def test_a_span_of_frames_is_one_piece_inside_a_superpage_only(machine: XenMachine, host_memory: HostMemory) -> None:
    first, second = machine.port.map_guest_pages((0x1FF000, 0x200000))
    machine.memory.write(GuestAddress(0x1FF000), b"end")
    whole = host_memory.span(BusAddress(first), PAGE_SIZE)
    assert whole is not None and bytes(whole[:3]) == b"end"
    assert host_memory.span(BusAddress(first), 2 * PAGE_SIZE) is None and second < first


def test_a_frame_that_was_given_back_stays_for_who_has_mapped_it(machine: XenMachine, host_memory: HostMemory) -> None:
    port, domain = machine.port, machine.domain
    kept = port.map_guest_page(GuestAddress(0x3000))
    assert kept is not None
    domain.write(GuestAddress(0x3000), b"kept")
    revision = port.memory_revision
    for gfn in (3, 4):
        domain.decrease_reservation(gfn)
    page = host_memory.page(kept)
    assert page is not None and bytes(page[:4]) == b"kept" and port.memory_revision == revision + 2
    assert port.map_guest_pages((0x3000, 0x4000)) == [0, 0] and port.guest_page(GuestAddress(0x3000)) is None
    assert port.read_guest(GuestAddress(0x2FFE), 4) is None and not port.write_guest(GuestAddress(0x4000), b"x")
    with pytest.raises(IndexError, match="4 bytes at 0x4000"):
        domain.read(GuestAddress(0x4000), 4)
    port.unmap_guest_page(kept)
    assert host_memory.page(kept) is None
    with pytest.raises(UsageError, match="frame 0x3 is to be given back"):
        domain.decrease_reservation(3)


def test_frames_change_their_type_only_as_xen_allows(machine: XenMachine) -> None:
    domain = machine.domain
    domain.set_mem_type(5, MemoryType.RAM_RO)
    for gfn, wanted in ((5, MemoryType.IOREQ_SERVER), (6, MemoryType.MMIO_DM), (6, MemoryType.UNUSED), (RAM >> 12, MemoryType.RAM_RW)):
        with pytest.raises(UsageError, match="cannot become"):
            domain.set_mem_type(gfn, wanted)
    domain.write(GuestAddress(0x5000), b"dropped")
    assert domain.read(GuestAddress(0x5000), 7) == bytes(7) and not machine.port.write_guest(GuestAddress(0x5000), b"no")
    assert machine.port.map_guest_page(GuestAddress(0x5000)) is None
    fresh = XenDomain(MIB)
    with pytest.raises(UsageError, match="no server has claimed IOREQ_SERVER"):
        fresh.set_mem_type(1, MemoryType.IOREQ_SERVER)
    with pytest.raises(StateError, match="no ioreq server"):
        fresh.map_mem_type_to_ioreq_server(writes=True)


# ---- writes that are watched ----


def test_writes_to_a_watched_frame_come_as_requests_of_at_most_eight_bytes(machine: XenMachine) -> None:
    domain, port = machine.domain, machine.port
    heard: list[bytes] = []
    asked: list[tuple[int, int]] = []
    ask = machine._answer

    def answer(request: IoRequest) -> int:
        asked.append((request.addr, request.size))
        return ask(request)

    machine._answer = answer  # type: ignore[method-assign]

    def changed() -> None:
        heard.append(domain.read(GuestAddress(0x3000), 4))

    port.watch_page(GuestAddress(0x3000), changed)
    assert domain.mem_type(3) is MemoryType.IOREQ_SERVER
    domain.write(GuestAddress(0x2FFE), b"__table entry")
    assert asked == [(0x3000, 8), (0x3008, 2), (0x300A, 1)]
    assert heard == [b"tabl"] * 3 and domain.read(GuestAddress(0x2FFE), 13) == b"__table entry"
    port.unwatch_page(GuestAddress(0x3000), changed)
    domain.write(GuestAddress(0x3000), b"quiet")
    assert domain.mem_type(3) is MemoryType.RAM_RW and len(asked) == 3


def test_without_the_claim_to_the_type_watched_frames_are_plain_ram_again(machine: XenMachine) -> None:
    heard: list[str] = []
    machine.port.watch_page(GuestAddress(0x3000), lambda: heard.append("write"))
    machine.domain.map_mem_type_to_ioreq_server(writes=False)
    machine.memory.write(GuestAddress(0x3000), b"x")
    assert heard == [] and machine.domain.mem_type(3) is MemoryType.RAM_RW


# ---- requests ----


def test_an_access_lives_through_the_states_of_a_request() -> None:
    domain = XenDomain(MIB)
    seen: list[tuple[IoRequestState, IoRequest]] = []

    def handle(processor: int) -> None:
        request = server.request(processor)
        seen.append((IoRequestState(IoRequestFlags(request.flags).state), request))
        server.set_state(processor, IoRequestState.IN_PROCESS)
        server.answer(processor, 0x1_CAFE_F00D)

    server = domain.create_ioreq_server(handle)
    server.pci_devices.append(2)
    assert domain.config(0x10, 4, None) == 0xCAFEF00D, "as many bytes as were asked for"
    state, request = seen[0]
    assert (state, request.addr, request.size, request.vp_eport) == (IoRequestState.READY, 0x10_0000_0010, 4, server.ports[0][1])
    assert IoRequestFlags(server.request(0).flags).state == IoRequestState.NONE
    assert domain.memory(BAR0, 4, None) == 0xFFFFFFFF and len(seen) == 1, "nobody has claimed the address"
    with pytest.raises(StateError, match="a second ioreq server"):
        domain.create_ioreq_server(handle)


def test_a_server_that_does_not_answer_is_named_with_the_state_it_left() -> None:
    domain = XenDomain(MIB)
    server = domain.create_ioreq_server(lambda processor: server.set_state(processor, IoRequestState.IN_PROCESS))
    server.pci_devices.append(2)
    with pytest.raises(StateError, match="processor 0 goes on after its I/O request.*IN_PROCESS"):
        domain.config(0, 4, None)


def test_the_guest_of_a_vgpu_reads_its_page_by_requests() -> None:
    vgpu, machine = Host().plug(hypervisor="xen", ram_size=4 * MIB)
    region = machine.gpu.bar(0)
    reads = vgpu.mmio.reads
    assert region is not None and region.read(0x78000, 8) == 0x4776544776544776 and vgpu.mmio.reads == reads + 1
    assert machine.gpu.config.read(0, 4) & 0xFFFF == 0x8086
    assert region.read(region.size, 4) == 0xFFFFFFFF


def test_accesses_are_cut_to_powers_of_two_that_stay_in_a_page() -> None:
    assert list(emulated_pieces(0x1000, 8)) == [(0x1000, 8)]
    assert list(emulated_pieces(0x1004, 8)) == [(0x1004, 8)]
    assert list(emulated_pieces(0x0FFD, 8)) == [(0x0FFD, 2), (0x0FFF, 1), (0x1000, 4), (0x1004, 1)]
    assert list(emulated_pieces(0x2000, 0)) == []


# ---- processors and channels ----


def test_an_interrupt_waits_while_all_processors_do_and_is_then_one() -> None:
    processors = Processors(2)
    heard: list[str] = []
    vector = processors.install(lambda: heard.append("interrupt"))
    assert [processors.stop(), processors.stop(), processors.stop()] == [0, 1, None]
    assert processors.interrupt(*message(0, vector)) and processors.interrupt(*message(0, vector)) and heard == []
    processors.resume(1)
    assert heard == ["interrupt"]
    processors.resume(0)
    assert heard == ["interrupt"] and not processors.interrupt(*message(0, vector + 1)) and not processors.interrupt(0x1000, vector)


def test_a_vector_that_is_handled_no_longer_is_pending_no_longer() -> None:
    processors = Processors(1)
    heard: list[str] = []
    vector = processors.install(lambda: heard.append("interrupt"))
    processors.stop()
    processors.interrupt(*message(0, vector))
    processors.remove(vector)
    processors.resume(0)
    assert heard == []


def test_event_channels_wake_the_other_end() -> None:
    channels, heard = EventChannels(), list[str]()
    own, theirs = channels.bind(lambda: heard.append("own"), lambda: heard.append("theirs"))
    channels.notify(own)
    channels.notify(theirs)
    assert heard == ["theirs", "own"]
    with pytest.raises(UsageError, match="port 9 is not bound"):
        channels.notify(9)


def test_more_ram_than_a_device_reaches_is_refused(host_memory: HostMemory) -> None:
    with pytest.raises(UsageError, match="512 GiB of RAM: a device reaches 256 GiB at most"):
        XenMachine(512 * GIB, host_memory)
