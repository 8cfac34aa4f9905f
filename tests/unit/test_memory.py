"""Host memory: the windows of the bus, long pieces of them, and what tells a device that pages have gone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.vfio_wire import memfd

from host_model.hypervisor.local import Ram
from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.memory import WINDOW_SHIFT, HostMemory
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress
from pvinfo.vfio_user import DmaMap, DmaMapFlags


def test_a_span_is_one_view_of_all_its_pages_and_writes_through() -> None:
    memory, ram = HostMemory(), Ram(8 * PAGE_SIZE)
    base = memory.attach(ram)
    span = memory.span(BusAddress(base + 0x1800), 2 * PAGE_SIZE)
    assert span is not None and len(span) == 2 * PAGE_SIZE
    span[0x7FF:0x802] = b"abc"
    assert ram.read(GuestAddress(0x1FFF), 3) == b"abc"


@pytest.mark.parametrize(
    ("offset", "size"), [(7 * PAGE_SIZE, PAGE_SIZE + 1), (8 * PAGE_SIZE, 1), ((1 << WINDOW_SHIFT) - 4, 8)], ids=["over the end", "behind it", "into the next window"]
)
def test_a_span_that_is_not_all_there_is_none(offset: int, size: int) -> None:
    memory = HostMemory()
    base = memory.attach(Ram(8 * PAGE_SIZE))
    assert memory.span(BusAddress(base + offset), size) is None


def test_the_hosts_own_pages_are_pieces_of_their_own() -> None:
    memory = HostMemory()
    first, second = memory.allocate_page(), memory.allocate_page()
    assert second == first + PAGE_SIZE
    assert memory.span(first, PAGE_SIZE) is not None
    assert memory.span(first, PAGE_SIZE + 1) is None


def test_a_window_without_memory_has_neither_pages_nor_spans() -> None:
    memory = HostMemory()
    assert memory.page(BusAddress(5 << WINDOW_SHIFT)) is None
    assert memory.span(BusAddress(5 << WINDOW_SHIFT), 4) is None


def test_the_revision_changes_when_memory_goes_and_not_when_it_comes() -> None:
    memory = HostMemory()
    before = memory.revision
    base = memory.attach(Ram(PAGE_SIZE))
    assert memory.revision == before
    memory.detach(base)
    assert memory.revision != before


# ---- memory of another process ----


@pytest.fixture
def shared() -> Iterator[tuple[HostMemory, VfioUserPort]]:
    """Four pages of a machine behind a socket, at guest-physical address 0x10000."""
    memory = HostMemory()
    port = VfioUserPort(memory)
    fd = memfd(4 * PAGE_SIZE)
    port.map(DmaMap(32, DmaMapFlags(3), 0, 0x10000, 4 * PAGE_SIZE), fd)
    os.close(fd)
    yield memory, port
    port.close()


def test_a_span_of_pinned_memory_needs_every_page_of_it_pinned(shared: tuple[HostMemory, VfioUserPort]) -> None:
    memory, port = shared
    first = port.map_guest_page(GuestAddress(0x10000))
    assert first is not None
    assert memory.span(first, PAGE_SIZE) is not None
    assert memory.span(first, PAGE_SIZE + 1) is None
    port.map_guest_page(GuestAddress(0x11000))
    assert memory.span(BusAddress(first + 8), PAGE_SIZE) is not None


def test_unpinning_and_unmapping_change_the_revision(shared: tuple[HostMemory, VfioUserPort]) -> None:
    memory, port = shared
    page = port.map_guest_page(GuestAddress(0x10000))
    assert page is not None and port.map_guest_page(GuestAddress(0x10000)) == page
    revisions = [memory.revision]
    port.unmap_guest_page(page)  # still pinned once
    assert memory.revision == revisions[0]
    port.unmap_guest_page(page)
    revisions.append(memory.revision)
    port.unmap(0x10000, 4 * PAGE_SIZE)
    revisions.append(memory.revision)
    assert len(set(revisions)) == 3
