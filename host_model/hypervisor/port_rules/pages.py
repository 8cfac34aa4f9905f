"""Rules about pages that the GPU reaches: mapped, counted, and gone with their machine."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

from ...promises import Broken, Rule, Rules, same
from ..base import NO_PAGE
from .bench import BEYOND, LAST, RAM, Bench

__all__ = ("PAGE_RULES",)


def _a_mapped_page_is_the_guests(bench: Bench) -> None:
    port, memory = bench.port, bench.memory
    for address in (0, 0x7000, LAST):
        bus = bench.mapped(address)
        same(f"the bus address of {address:#x} inside its page", bus % PAGE_SIZE, 0)
        if bus == NO_PAGE:
            raise Broken(f"the bus address of {address:#x} is the one that stands for no page")
        memory.write(GuestAddress(address + 8), b"cpu")
        page = bench.page(bus)
        same(f"what the GPU sees of {address:#x}", bytes(page[8:11]), b"cpu")
        page[PAGE_SIZE - 3 :] = b"gpu"
        same(f"what the GPU wrote at the end of {address:#x}", memory.read(GuestAddress(address + PAGE_SIZE - 3), 3), b"gpu")
        same(f"the page of {address + 5:#x}", port.map_guest_page(GuestAddress(address + 5)), bus)
    for address in BEYOND:
        same(f"mapping {address:#x}", port.map_guest_page(GuestAddress(address)), None)


def _pins_are_counted(bench: Bench) -> None:
    port = bench.port
    rng = random.Random(6)
    expected: Counter[int] = Counter()
    known: dict[int, int] = {}
    for _ in range(100):
        pages = [rng.randrange(32) * PAGE_SIZE for _ in range(rng.randrange(12))]
        if rng.randrange(2):
            found = port.map_guest_pages(pages)
            known |= zip(pages, found, strict=True)
            expected.update(pages)
        else:
            port.unmap_guest_pages([known[page] for page in pages if page in known])
            expected = +(expected - Counter(page for page in pages if page in known))
        for page, bus in known.items():
            same(f"pins of the page at {page:#x}", port.pins(BusAddress(bus + 0xFFF)), expected[page])
        same("pages that are pinned", port.mapped_pages, len(expected))


def _many_pages_are_as_each(bench: Bench) -> None:
    port = bench.port
    single = [bench.mapped(address) for address in (0x3000, LAST)]
    same("several pages, some of which are no RAM", port.map_guest_pages((0x3000, RAM, 0x3000, 1 << 45, LAST)), [single[0], NO_PAGE, single[0], NO_PAGE, single[1]])
    same("no pages", port.map_guest_pages(()), [])
    same("pins of a page that was named three times in all", port.pins(single[0]), 3)


def _unknown_bus_addresses_are_passed_over(bench: Bench) -> None:
    port = bench.port
    first = bench.mapped(0x1000)
    port.unmap_guest_pages((first, first, 0x1234000, 1 << 45))
    port.unmap_guest_page(BusAddress(0x5678000))
    same("pages that are pinned", port.mapped_pages, 0)
    same("pins after one more map: nothing is owed", port.pins(bench.mapped(0x1000)), 1)


def _machines_have_no_page_in_common(bench: Bench) -> None:
    other = bench.factory(RAM, bench.host_memory)
    pages = range(0, RAM, PAGE_SIZE)
    common = set(bench.port.map_guest_pages(pages)) & set(other.port.map_guest_pages(pages))
    same("bus addresses that two machines have", len(common), 0)
    same("different bus addresses of a machine's pages", bench.port.mapped_pages, len(pages))
    other.close()


def _what_is_gone_is_out_of_reach(bench: Bench) -> None:
    bus = bench.mapped(0x4000)
    bench.page(bus)
    revision = bench.host_memory.revision
    bench.machine.close()
    same("memory behind the bus address of a machine that is gone", bench.host_memory.page(bus), None)
    if bench.host_memory.revision == revision:
        raise Broken("the machine is gone, and who keeps pages of it does not learn of that")


PAGE_RULES: Final[Rules[Bench]] = (
    Rule("a mapped page is the guest's own", _a_mapped_page_is_the_guests),
    Rule("pins are counted", _pins_are_counted),
    Rule("many pages are mapped as each by itself", _many_pages_are_as_each),
    Rule("unknown bus addresses are passed over", _unknown_bus_addresses_are_passed_over),
    Rule("two machines have no page in common", _machines_have_no_page_in_common),
    Rule("what is gone is out of the GPU's reach", _what_is_gone_is_out_of_reach),
)
