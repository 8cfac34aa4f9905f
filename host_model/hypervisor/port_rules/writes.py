"""Rules for ports that notice what a guest writes."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pvinfo.units import PAGE_SIZE, GuestAddress

from ...promises import Rule, Rules, same
from .bench import Bench

__all__ = ("WATCHING_RULES",)


def _a_watched_page_tells_of_each_write(bench: Bench) -> None:
    port, memory = bench.port, bench.memory
    heard: Counter[str] = Counter()
    seen: list[bytes] = []

    def first() -> None:
        heard["first"] += 1
        seen.append(memory.read(GuestAddress(0x3000), 8))

    def second() -> None:
        heard["second"] += 1

    port.watch_page(GuestAddress(0x3000), first)
    port.watch_page(GuestAddress(0x5000), second)
    for address, size, expected in (
        (0x2FFF, 1, set[str]()), (0x2FFF, 2, {"first"}), (0x3008, 8, {"first"}), (0x3FFF, 1, {"first"}), (0x4000, PAGE_SIZE, set()),
        (0x3FFF, 0x1002, {"first", "second"}), (0x6000, PAGE_SIZE, set()), (0x2000, 4 * PAGE_SIZE, {"first", "second"}),
    ):  # fmt: skip
        heard.clear()
        data = bytes(range(1, 256)) * (size // 255 + 1)
        memory.write(GuestAddress(address), data[:size])
        same(f"who hears of {size} bytes at {address:#x}", set(heard), expected)
        same(f"{size} bytes at {address:#x}", memory.read(GuestAddress(address), size), data[:size])
    memory.write(GuestAddress(0x3000), b"8 bytes.")
    same("what stands there when a write is told", seen[-1], b"8 bytes.")
    heard.clear()
    port.write_guest(GuestAddress(0x3010), b"mediator")
    same("who hears of the mediator's write", set(heard), {"first"})
    heard.clear()
    bench.page(bench.mapped(0x3000))[:4] = b"DMA!"
    same("who hears of the GPU's write", set(heard), set())


def _each_watch_ends_by_itself(bench: Bench) -> None:
    port, memory = bench.port, bench.memory
    heard: list[str] = []

    def always() -> None:
        heard.append("always")

    def once() -> None:
        heard.append("once")
        port.unwatch_page(GuestAddress(0x3000), once)

    port.watch_page(GuestAddress(0x3000), once)
    port.watch_page(GuestAddress(0x3000), always)
    memory.write(GuestAddress(0x3000), b"x")
    same("who heard of a first write", sorted(heard), ["always", "once"])
    memory.write(GuestAddress(0x3000), b"y")
    same("who heard of two writes", sorted(heard), ["always", "always", "once"])
    port.unwatch_page(GuestAddress(0x3000), once)
    port.unwatch_page(GuestAddress(0x3000), always)
    port.unwatch_page(GuestAddress(0x9000), always)
    memory.write(GuestAddress(0x3000), b"z" * 16)
    same("who heard after all have ended", len(heard), 3)
    same("what was written then", memory.read(GuestAddress(0x3000), 16), b"z" * 16)


WATCHING_RULES: Final[Rules[Bench]] = (
    Rule("a watched page tells of each write", _a_watched_page_tells_of_each_write),
    Rule("each watch ends by itself", _each_watch_ends_by_itself),
)
