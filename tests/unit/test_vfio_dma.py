"""DMA through type1 containers and iommufd: what is mapped, what is pinned, and who is told when it goes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from host_model.hypervisor.base import NO_PAGE
from host_model.hypervisor.local import Ram
from host_model.memory import HostMemory
from host_model.vfio.dma.access import Access
from host_model.vfio.dma.iommu import DirectBus, Iommu
from host_model.vfio.dma.iommufd import IommufdContext
from host_model.vfio.dma.port import DmaPort
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.dma.user_memory import UserMemory
from pvinfo.errors import ResourceExhausted, StateError, UsageError
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

PAGES = 64
SIZE = PAGES * PAGE_SIZE


def memory_of(host: HostMemory) -> UserMemory:
    return UserMemory(Ram(SIZE), host)


def keep(iova: int, size: int) -> None:
    """A device that lets go of nothing."""


# ---- a mapping ----


@pytest.mark.parametrize(
    ("iova", "size", "offset", "rule"),
    [
        (0x800, 0x1000, 0, "whole 4 KiB pages"),
        (0, 0x1800, 0, "whole 4 KiB pages"),
        (0, 0, 0, "whole 4 KiB pages"),
        (0, 0x1000, 0x10, "whole 4 KiB pages"),
        ((1 << 64) - 0x1000, 0x2000, 0, "addresses end at"),
        (0, SIZE, 0x1000, "of memory that has 0x40000 bytes"),
        (0x4000, 0x3000, 0, r"\[0x6000, 0x8000\) .* is mapped already"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_numbers_and_the_rule(iova: int, size: int, offset: int, rule: str) -> None:
    memory = memory_of(HostMemory())
    container = Type1Container()
    container.map(0x6000, 0x2000, memory)
    with pytest.raises(UsageError, match=rule):
        container.map(iova, size, memory, offset)
    assert [(known.iova, known.size) for known in container.space] == [(0x6000, 0x2000)]


def test_a_container_unmaps_whole_mappings_and_nothing_is_no_error_but_iommufd_says_so() -> None:
    memory = memory_of(HostMemory())
    container, ioas = Type1Container(), IommufdContext().create_ioas()
    for iova in (0x10000, 0x14000):
        container.map(iova, 0x4000, memory)
        ioas.map(0x4000, memory, at=iova)
    for unmap in (container.unmap, ioas.unmap):
        with pytest.raises(UsageError, match=r"would split \[0x10000, 0x14000\)"):
            unmap(0x11000, 0x7000)
    assert container.unmap(0x20000, 0x1000) == 0
    with pytest.raises(UsageError, match=r"\[0x20000, 0x21000\).*nothing is mapped there"):
        ioas.unmap(0x20000, 0x1000)
    assert container.unmap(0xF000, 0x20000) == ioas.unmap(0xF000, 0x20000) == 0x8000


def test_a_container_takes_no_more_mappings_than_its_limit() -> None:
    memory = memory_of(HostMemory())
    container = Type1Container("box", limit=2)
    container.map(0, 0x1000, memory)
    container.map(0x1000, 0x1000, memory)
    with pytest.raises(ResourceExhausted, match="mappings of box.*of 2; its user has 2"):
        container.map(0x2000, 0x1000, memory)


def test_iommufd_places_what_has_no_address_in_the_lowest_hole_that_is_allowed() -> None:
    memory = memory_of(HostMemory())
    ioas = IommufdContext().create_ioas()
    assert ioas.map(0x2000, memory) == 0
    ioas.map(0x1000, memory, at=0x3000)
    assert [ioas.map(0x2000, memory), ioas.map(0x1000, memory)] == [0x4000, 0x2000]
    ioas.allow([range(0x5000, 0x9000)])
    assert ioas.map(0x3000, memory) == 0x6000
    with pytest.raises(ResourceExhausted, match="addresses of IOAS 1: 1 pages wanted, 0 pages left"):
        ioas.map(0x1000, memory)
    with pytest.raises(UsageError, match="whole 4 KiB pages"):
        ioas.allow([range(0x5000, 0x5800)])


def test_a_copied_mapping_is_the_same_memory_and_never_more_writable() -> None:
    memory = memory_of(HostMemory())
    context = IommufdContext()
    first, second = context.create_ioas(), context.create_ioas()
    first.map(0x4000, memory, 0x8000, at=0x100000, writable=False)
    assert second.copy(first, 0x101000, 0x2000, at=0x7000) == 0x7000
    access = context.create_access("device", keep)
    context.attach(access, second)
    memory.ram.write(GuestAddress(0x9FFE), b"abcd")
    assert access.read(0x7FFE, 4) == b"abcd"
    assert not access.write(0x7000, b"x")
    assert access.pin(0x7000) is None
    assert access.pin(0x7000, writable=False) == [memory.base + 0x9000]
    with pytest.raises(UsageError, match="not all in one mapping"):
        second.copy(first, 0x103000, 0x2000)
    access.unpin(0x7000)


# ---- devices ----


def test_reads_and_writes_cross_mappings_and_are_all_or_nothing() -> None:
    host = HostMemory()
    low, high = memory_of(host), memory_of(host)
    container = Type1Container()
    container.map(0x1000, 0x1000, high, 0x5000)
    container.map(0x2000, 0x1000, low, 0x3000)
    access = container.add_device("device", keep)
    assert access.write(0x1FFE, b"wxyz")
    assert high.ram.read(GuestAddress(0x5FFE), 2) == b"wx" and low.ram.read(GuestAddress(0x3000), 2) == b"yz"
    assert access.read(0x1FFE, 4) == b"wxyz"
    assert not access.write(0x2FFE, b"abcd") and access.read(0x2FFE, 4) is None
    assert low.ram.read(GuestAddress(0x3FFE), 2) == bytes(2), "nothing was stored"


def test_pinning_a_range_is_all_or_nothing() -> None:
    memory = memory_of(HostMemory())
    container = Type1Container()
    container.map(0, 0x3000, memory)
    access = container.add_device("device", keep)
    assert access.pin(0x1000, 3) is None
    assert (access.pinned_pages, memory.pinned_pages) == (0, 0)
    assert access.pin(0, 3) == [memory.base, memory.base + 0x1000, memory.base + 0x2000]
    with pytest.raises(StateError, match=r"unpinning 0x3000 for device needs state pinned"):
        access.unpin(0x1000, 3)
    assert access.pinned_pages == 3
    access.unpin(0, 3)
    assert memory.pinned_pages == 0


@pytest.mark.parametrize("way", ["unmap", "unmap_all", "detach", "replace"])
def test_a_device_that_keeps_a_page_though_it_was_told_stops_what_would_take_it(way: str) -> None:
    memory = memory_of(HostMemory())
    context = IommufdContext()
    ioas, other = context.create_ioas(), context.create_ioas()
    ioas.map(0x4000, memory, at=0)
    access = context.create_access("stubborn", keep)
    context.attach(access, ioas)
    access.pin(0x1000)
    acts: dict[str, Callable[[], object]] = {
        "unmap": lambda: ioas.unmap(0, 0x4000), "unmap_all": ioas.unmap_all,
        "detach": lambda: context.detach(access), "replace": lambda: context.replace(access, other),
    }  # fmt: skip
    with pytest.raises(StateError, match="stubborn keeps 1 pages pinned though it was told"):
        acts[way]()
    assert access.space is ioas.space and len(ioas.space) == 1 and memory.pins(0x1000) == 1
    access.unpin(0x1000)
    acts[way]()
    assert memory.pinned_pages == 0


def test_a_device_may_not_pin_out_of_a_range_while_that_is_taken_away() -> None:
    memory = memory_of(HostMemory())
    container = Type1Container()
    container.map(0, 0x4000, memory)
    refused: list[str] = []

    def greedy(iova: int, size: int) -> None:
        with pytest.raises(StateError) as error:
            access.pin(0x3000)
        refused.append(error.value.state)

    access = container.add_device("greedy", greedy)
    assert container.unmap(0, 0x4000) == 0x4000
    assert refused == ["the range is being unmapped"]


def test_each_device_of_a_space_is_told_of_what_goes_and_no_other() -> None:
    memory = memory_of(HostMemory())
    context = IommufdContext()
    ioas, other = context.create_ioas(), context.create_ioas()
    told: list[tuple[str, int, int]] = []
    for name, space in (("a", ioas), ("b", ioas), ("c", other)):
        context.attach(context.create_access(name, lambda iova, size, name=name: told.append((name, iova, size))), space)  # type: ignore[misc]
    ioas.map(0x2000, memory, at=0x8000)
    ioas.map(0x1000, memory, at=0xB000)
    ioas.unmap(0x8000, 0x4000)
    assert told == [("a", 0x8000, 0x2000), ("b", 0x8000, 0x2000), ("a", 0xB000, 0x1000), ("b", 0xB000, 0x1000)]


def test_strangers_and_things_in_use_are_named() -> None:
    memory = memory_of(HostMemory())
    context, foreign = IommufdContext(), IommufdContext()
    ioas = context.create_ioas()
    access, stranger = context.create_access("ours", keep), foreign.create_access("theirs", keep)
    with pytest.raises(UsageError, match="theirs is not bound to this context: ours"):
        context.attach(stranger, ioas)
    with pytest.raises(UsageError, match="IOAS 1 is none of this context's: it has none"):
        foreign.attach(stranger, ioas)
    with pytest.raises(StateError, match="reading memory for ours needs state attached.*is detached"):
        access.read(0, 4)
    context.attach(access, ioas)
    with pytest.raises(StateError, match="destroying IOAS 1.*in use by ours"):
        context.destroy_ioas(ioas)
    container = Type1Container("box")
    device = container.add_device("device", keep)
    with pytest.raises(UsageError, match="ours is no device of box: device"):
        container.remove_device(access)
    with pytest.raises(StateError, match="closing box.*in use by device"):
        container.close()
    container.remove_device(device)
    container.close()
    with pytest.raises(StateError, match="mapping memory needs state an open container"):
        container.map(0, 0x1000, memory)


# ---- counts, against a model that keeps everything in plain sets ----


@pytest.mark.parametrize("seed", range(6))
def test_pins_of_a_random_history_are_as_counted_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    memory = memory_of(HostMemory())
    context = IommufdContext()
    spaces = [context.create_ioas(), context.create_ioas()]
    mapped: list[dict[int, int]] = [{}, {}]
    """Offset into memory of each page, by address; for each space."""
    where: int | None = None
    pins: Counter[int] = Counter()
    held: list[int] = []
    """Addresses in the order pinned."""

    def let_go(iova: int, size: int) -> None:
        for page in [page for page in held if iova <= page < iova + size]:
            access.unpin(page)
            held.remove(page)
            pins[page] -= 1

    access: Access = context.create_access("device", let_go)
    for _ in range(600):
        act = rng.randrange(7)
        which = rng.randrange(2)
        iova, pages = rng.randrange(48) << 12, rng.randrange(1, 6)
        span = range(iova, iova + pages * PAGE_SIZE, PAGE_SIZE)
        if act == 0:
            offset = rng.randrange(PAGES - pages) << 12
            if any(page in mapped[which] for page in span):
                with pytest.raises(UsageError):
                    spaces[which].map(len(span) << 12, memory, offset, at=iova)
            else:
                spaces[which].map(len(span) << 12, memory, offset, at=iova)
                mapped[which].update({page: offset + page - iova for page in span})
        elif act == 1:
            known = [each for each in spaces[which].space if each.iova <= iova < each.end]
            if known:
                spaces[which].unmap(known[0].iova, known[0].size)
                for page in range(known[0].iova, known[0].end, PAGE_SIZE):
                    del mapped[which][page]
        elif act == 2 and where is None:
            context.attach(access, spaces[which])
            where = which
        elif act == 3 and where is not None:
            context.replace(access, spaces[which])
            where = which
        elif act == 4 and where is not None and rng.randrange(4) == 0:
            context.detach(access)
            where = None
        elif act == 5:
            if where is None:
                with pytest.raises(StateError):
                    access.pin(iova, pages)
            elif all(page in mapped[where] for page in span):
                assert access.pin(iova, pages) == [memory.base + mapped[where][page] for page in span]
                held += span
                pins.update(span)
            else:
                assert access.pin(iova, pages) is None
        elif act == 6 and held:
            page = rng.choice(held)
            access.unpin(page)
            held.remove(page)
            pins[page] -= 1
        pins = +pins
        assert {page: access.pins(page) for page in range(0, 60 << 12, PAGE_SIZE) if access.pins(page)} == dict(pins)
        by_memory: Counter[int] = Counter()
        for page, count in pins.items():
            assert where is not None
            by_memory[mapped[where][page]] += count
        assert {page: memory.pins(page) for page in range(0, SIZE, PAGE_SIZE) if memory.pins(page)} == dict(by_memory)
    context.destroy_access(access)
    assert memory.pinned_pages == 0


# ---- the port ----


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_port_whose_memory_comes_and_goes_pins_each_page_once_and_reuses_no_address(seed: int, translated: bool) -> None:
    rng = random.Random(seed)
    host = HostMemory()
    memory = memory_of(host)
    iommu = Iommu(host)
    port = DmaPort(host, iommu if translated else DirectBus(host))
    container = Type1Container()
    port.connect(container.add_device("vGPU", port.unmapped))
    there: set[int] = set()
    wanted: Counter[int] = Counter()
    """How often the mediator has each bus address."""
    page_at: dict[int, int] = {}
    """Guest page behind each bus address."""
    alive: set[int] = set()
    for _ in range(800):
        act, page = rng.randrange(4), rng.randrange(16) << 12
        if act == 0 and page not in there:
            container.map(page, PAGE_SIZE, memory, page)
            there.add(page)
        elif act == 1 and page in there:
            assert container.unmap(page, PAGE_SIZE) == PAGE_SIZE
            there.discard(page)
            alive -= {bus for bus in alive if page_at[bus] == page}
        elif act == 2:
            bus = port.map_guest_pages([page])[0]
            assert (bus != NO_PAGE) == (page in there)
            if bus:
                assert page_at.get(bus) in (None, page), "an address that is still held leads to no other page"
                page_at[bus] = page
                wanted[bus] += 1
                alive.add(bus)
        elif wanted:
            bus = rng.choice(sorted(wanted))
            port.unmap_guest_page(BusAddress(bus))
            wanted[bus] -= 1
            wanted = +wanted
            if bus not in wanted:
                alive.discard(bus)
                del page_at[bus]
        assert port.mapped_pages == memory.pinned_pages == len(alive)
        assert {offset for offset in range(0, SIZE, PAGE_SIZE) if memory.pins(offset)} == {page_at[bus] for bus in alive}
        assert port.lost_pages == len(wanted) - len(alive)
        for bus in wanted:
            assert port.pins(BusAddress(bus)) == wanted[bus]
            assert (host.page(BusAddress(bus)) is not None) == (bus in alive)
    port.unmap_guest_pages(list(wanted.elements()))
    assert (port.mapped_pages, port.lost_pages, memory.pinned_pages, iommu.reserved_pages) == (0, 0, 0, 0)


def test_a_page_that_was_taken_back_but_is_pinned_for_another_device_is_no_business_of_the_first() -> None:
    host = HostMemory()
    memory = memory_of(host)
    ports = [DmaPort(host, DirectBus(host)) for _ in range(2)]
    containers = [Type1Container() for _ in range(2)]
    for port, container in zip(ports, containers, strict=True):
        container.map(0, 0x1000, memory)
        port.connect(container.add_device("vGPU", port.unmapped))
    (first,), (second,) = (port.map_guest_pages([0]) for port in ports)
    assert first == second == memory.base
    containers[0].unmap(0, 0x1000)
    assert [port.pins(BusAddress(first)) for port in ports] == [0, 1]
    ports[1].unmap_guest_page(BusAddress(first))
    assert host.page(BusAddress(first)) is None


def test_two_guest_pages_that_are_one_page_of_the_host_are_both_let_go() -> None:
    host = HostMemory()
    memory = memory_of(host)
    port, container = DmaPort(host, DirectBus(host)), Type1Container()
    port.connect(container.add_device("vGPU", port.unmapped))
    container.map(0x1000, 0x1000, memory)
    container.map(0x2000, 0x1000, memory)
    buses = port.map_guest_pages([0x1000, 0x2000])
    assert buses == [memory.base, memory.base] and memory.pins(0) == 2
    container.unmap(0x1000, 0x1000)
    assert memory.pins(0) == 1 and port.pins(BusAddress(buses[0])) == 2 and port.lost_pages == 0
    port.unmap_guest_pages(buses)
    assert (memory.pinned_pages, port.mapped_pages) == (0, 0)


def test_a_port_that_is_not_bound_has_no_memory() -> None:
    host = HostMemory()
    port = DmaPort(host, DirectBus(host))
    assert port.read_guest(GuestAddress(0), 4) is None and not port.write_guest(GuestAddress(0), b"x")
    assert port.map_guest_pages([0]) == [NO_PAGE] and port.guest_page(GuestAddress(0)) is None
    with pytest.raises(StateError, match="watching a guest page"):
        port.watch_page(GuestAddress(0), lambda: None)


def test_the_end_of_memory_and_of_an_iommu_wait_for_what_is_pinned() -> None:
    host = HostMemory()
    memory, iommu = memory_of(host), Iommu(host)
    port, container = DmaPort(host, iommu), Type1Container()
    port.connect(container.add_device("vGPU", port.unmapped))
    container.map(0, SIZE, memory)
    (bus,) = port.map_guest_pages([0])
    with pytest.raises(StateError, match="1 pages pinned"):
        memory.close()
    with pytest.raises(StateError, match="1 addresses given out"):
        iommu.close()
    port.unmap_guest_page(BusAddress(bus))
    memory.close()
    iommu.close()
    assert host.page(BusAddress(bus)) is None


def test_an_address_behind_an_iommu_that_was_given_back_is_not_the_next_to_be_given_out() -> None:
    host = HostMemory()
    memory, iommu = memory_of(host), Iommu(host)
    (page,) = memory.pin([0])
    given = [iommu.reserve(page)]
    for _ in range(3):
        iommu.release(given[-1])
        given.append(iommu.reserve(page))
    assert [address - iommu.base for address in given] == [0x1000, 0x2000, 0x3000, 0x4000]
    assert [host.page(address) is not None for address in given] == [False, False, False, True]


def test_a_piece_behind_an_iommu_is_one_piece_only_where_the_hosts_pages_are() -> None:
    host = HostMemory()
    memory, iommu = memory_of(host), Iommu(host)
    hosts = memory.pin([0x3000, 0x4000, 0x8000])
    first, second, third = (iommu.reserve(page) for page in hosts)
    assert (second - first, third - second) == (PAGE_SIZE, PAGE_SIZE)
    memory.ram.write(GuestAddress(0x3FFE), b"1234")
    span = host.span(BusAddress(first + 0xFFE), 4)
    assert span is not None and bytes(span) == b"1234"
    assert host.span(BusAddress(second), 2 * PAGE_SIZE) is None
    iommu.cut(second)
    assert host.page(second) is None and iommu.faults == 1
    with pytest.raises(StateError, match="releasing bus address"):
        iommu.release(BusAddress(third + PAGE_SIZE))
