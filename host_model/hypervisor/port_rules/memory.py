"""Rules about a guest's memory: who sees which of it."""

from __future__ import annotations

from typing import Final

from pvinfo.units import PAGE_SIZE, GuestAddress

from ...promises import Broken, Rule, Rules, same
from .bench import BEYOND, LAST, RAM, Bench

__all__ = ("MEMORY_RULES",)


def _both_see_the_same_memory(bench: Bench) -> None:
    port, memory = bench.port, bench.memory
    same("size of RAM", memory.size, RAM)
    memory.write(GuestAddress(0x1FFE), b"guest")
    same("what the guest wrote across a page's end", port.read_guest(GuestAddress(0x1FFE), 5), b"guest")
    same("a write by the mediator", port.write_guest(GuestAddress(RAM - 4), b"host"), True)
    same("what the mediator wrote last in RAM", memory.read(GuestAddress(RAM - 4), 4), b"host")
    same("nothing read", port.read_guest(GuestAddress(0), 0), b"")


def _what_is_no_ram_is_refused_whole(bench: Bench) -> None:
    port, memory = bench.port, bench.memory
    before = memory.read(GuestAddress(LAST), PAGE_SIZE)
    for address in (RAM - 2, *BEYOND):
        same(f"reading 4 bytes at {address:#x}", port.read_guest(GuestAddress(address), 4), None)
        same(f"writing 4 bytes at {address:#x}", port.write_guest(GuestAddress(address), b"lost"), False)
        try:
            memory.read(GuestAddress(address), 4)
        except IndexError:
            continue
        raise Broken(f"a processor reads RAM at {address:#x}, where there is none")
    same("RAM before the end, after a write that left it", memory.read(GuestAddress(LAST), PAGE_SIZE), before)


def _a_page_can_be_looked_at(bench: Bench) -> None:
    port, memory = bench.port, bench.memory
    revision = port.memory_revision
    page = port.guest_page(GuestAddress(0x5000))
    if page is None:
        raise Broken("the page of RAM at 0x5000 cannot be looked at")
    memory.write(GuestAddress(0x5003), b"seen")
    same("a page's length", len(page), PAGE_SIZE)
    same("what the guest wrote", bytes(page[3:7]), b"seen")
    same("the revision, with all memory still there", port.memory_revision, revision)
    for address in BEYOND:
        same(f"the page at {address:#x}", port.guest_page(GuestAddress(address)), None)


MEMORY_RULES: Final[Rules[Bench]] = (
    Rule("guest and mediator see the same memory", _both_see_the_same_memory),
    Rule("what is no RAM is refused as a whole", _what_is_no_ram_is_refused_whole),
    Rule("a page can be looked at without a copy", _a_page_can_be_looked_at),
)
