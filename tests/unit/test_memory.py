"""Host memory: the windows of the bus, long pieces of them, and what tells a device that pages have gone."""

from __future__ import annotations

import pytest

from host_model.hypervisor.local import Ram
from host_model.memory import WINDOW_SHIFT, HostMemory
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress


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
