"""The port to a machine of this process: many pages at a time, how often each is pinned, and who hears of what is written."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from host_model.hypervisor.base import NO_PAGE
from host_model.hypervisor.local import LocalPort, Ram
from host_model.memory import HostMemory
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

PAGES = 64


@pytest.fixture
def ram() -> Ram:
    return Ram(PAGES * PAGE_SIZE)


@pytest.fixture
def port(ram: Ram) -> LocalPort:
    return LocalPort(ram, HostMemory())


# ---- many pages ----


def test_pages_are_mapped_one_by_one_and_what_is_no_memory_is_left_out(port: LocalPort) -> None:
    base = port.map_guest_pages((0,))[0]
    assert port.map_guest_pages((0x3000, 0x40000, 0x3000, 1 << 45, 0x3F000)) == [base + 0x3000, NO_PAGE, base + 0x3000, NO_PAGE, base + 0x3F000]
    assert [port.pins(BusAddress(base + page)) for page in (0, 0x3000, 0x3FFF, 0x3F000, 0x4000, 0x40000)] == [1, 2, 2, 1, 0, 0]
    assert port.mapped_pages == 3
    assert port.map_guest_pages(()) == []


def test_pins_are_counted_as_one_would_count_them_by_hand(port: LocalPort) -> None:
    rng = random.Random(5)
    (base,) = port.map_guest_pages((0,))
    port.unmap_guest_page(BusAddress(base))
    expected: Counter[int] = Counter()
    for _ in range(200):
        pages = [rng.randrange(PAGES) << 12 for _ in range(rng.randrange(20))]
        if rng.randrange(2):
            assert port.map_guest_pages(pages) == [base + page for page in pages]
            expected.update(pages)
        else:
            port.unmap_guest_pages(base + page for page in pages)
            expected = +(expected - Counter(pages))
        assert {page: port.pins(BusAddress(base + page)) for page in range(0, PAGES << 12, PAGE_SIZE)} == {page: expected[page] for page in range(0, PAGES << 12, PAGE_SIZE)}
        assert port.mapped_pages == len(expected)


def test_pages_that_nobody_has_pinned_do_not_keep_others_from_being_let_go(port: LocalPort) -> None:
    first, second = port.map_guest_pages((0x1000, 0x2000))
    port.unmap_guest_pages((first, first, 0x1234000, second))
    assert port.mapped_pages == 0
    assert port.map_guest_page(GuestAddress(0x1000)) == first and port.pins(BusAddress(first)) == 1, "nothing is owed"


def test_a_page_can_be_looked_at_without_a_copy(ram: Ram, port: LocalPort) -> None:
    page = port.guest_page(GuestAddress(0x5000))
    assert page is not None and len(page) == PAGE_SIZE
    ram.write(GuestAddress(0x5003), b"seen")
    assert bytes(page[3:7]) == b"seen"
    assert port.guest_page(GuestAddress(PAGES << 12)) is None
    assert port.memory_revision == 0


# ---- writes ----


def test_who_watches_a_page_hears_of_each_write_that_touches_it(ram: Ram, port: LocalPort) -> None:
    assert port.can_track_writes
    heard: list[str] = []
    def first() -> None:
        heard.append("first")

    def second() -> None:
        heard.append("second")

    port.watch_page(GuestAddress(0x3000), first)
    port.watch_page(GuestAddress(0x5000), second)
    for address, size, expected in [
        (0x2FFF, 1, []), (0x2FFF, 2, ["first"]), (0x3000, 4, ["first"]), (0x3FFF, 1, ["first"]), (0x4000, 0x1000, []), (0x3FFF, 0x1002, ["first", "second"]),
        (0x3000, 0, []), (0, PAGES << 12, ["first", "second"]), (0x5FFF, 0, []), (0x6000, 0x1000, []),
    ]:  # fmt: skip
        heard.clear()
        ram.write(GuestAddress(address), bytes(size))
        assert sorted(heard) == expected, (address, size)
    heard.clear()
    assert port.write_guest(GuestAddress(0x3010), b"mediator") and heard == ["first"], "what the mediator writes for the guest is told, too"


def test_a_page_may_be_watched_for_several_reasons_and_each_ends_by_itself(ram: Ram, port: LocalPort) -> None:
    heard: list[int] = []
    watchers = [lambda: heard.append(0), lambda: heard.append(1), lambda: heard.append(2)]
    for watcher in watchers:
        port.watch_page(GuestAddress(0x3000), watcher)
    port.unwatch_page(GuestAddress(0x3000), watchers[1])
    port.unwatch_page(GuestAddress(0x3000), watchers[1])
    ram.write(GuestAddress(0x3000), b"x")
    assert heard == [0, 2]
    port.unwatch_page(GuestAddress(0x3000), watchers[0])
    port.unwatch_page(GuestAddress(0x3000), watchers[2])
    port.unwatch_page(GuestAddress(0x9000), watchers[2])
    ram.write(GuestAddress(0x3000), b"x")
    assert heard == [0, 2]


def test_a_watcher_may_end_its_watch_when_it_hears(ram: Ram, port: LocalPort) -> None:
    heard: list[str] = []

    def once() -> None:
        heard.append("once")
        port.unwatch_page(GuestAddress(0x3000), once)

    port.watch_page(GuestAddress(0x3000), once)
    port.watch_page(GuestAddress(0x3000), lambda: heard.append("always"))
    ram.write(GuestAddress(0), bytes(PAGES << 12))
    ram.write(GuestAddress(0x3000), b"x")
    assert heard == ["once", "always", "always"]


def test_what_a_device_writes_by_itself_is_not_told(ram: Ram, port: LocalPort) -> None:
    heard: list[str] = []
    port.watch_page(GuestAddress(0x3000), lambda: heard.append("write"))
    page = ram.page(0x3000)
    assert page is not None
    page[:4] = b"DMA!"
    assert ram.read(GuestAddress(0x3000), 4) == b"DMA!" and heard == []


def test_a_port_may_be_made_that_cannot_tell(ram: Ram) -> None:
    assert not LocalPort(ram, HostMemory(), track_writes=False).can_track_writes
