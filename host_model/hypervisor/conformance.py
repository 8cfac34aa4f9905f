"""Whether a hypervisor's machines keep what :mod:`.base` promises the mediator.

For who brings one: ``check_port(YourMachine)`` in a test of yours; or, where your package is installed with its entry point,
``pytest --pyargs host_model.hypervisor.conformance``, which checks every hypervisor that can be chosen by name.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol, final

from pvinfo.bus import GuestMemory, PciDevice, Region
from pvinfo.errors import ConformanceError
from pvinfo.units import MIB, PAGE_SIZE, BusAddress, GuestAddress

from ..memory import HostMemory
from .base import NO_PAGE, Hypervisor, HypervisorPort, VirtualMachine
from .registry import known_hypervisors, machine_of

__all__ = ("Conformance", "check_port")

_RAM: Final = 4 * MIB
_LAST: Final = _RAM - PAGE_SIZE
_BEYOND: Final = (_RAM, _RAM + PAGE_SIZE, 1 << 45)


class Conformance(NamedTuple):
    """What was looked at."""

    held: tuple[str, ...]
    """Rules that hold."""
    not_asked: tuple[str, ...]
    """Rules about what the port says it cannot do."""


class _Broken(Exception):
    """A rule does not hold; the text is what was seen."""


def _same(what: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise _Broken(f"{what}: {seen!r}, not {wanted!r}")


class _Bench:
    """A machine under test, and the memory behind the GPU's bus."""

    def __init__(self, factory: Hypervisor) -> None:
        self.factory = factory
        self.host_memory = HostMemory()
        self.machine: VirtualMachine = factory(_RAM, self.host_memory)
        self.port: HypervisorPort = self.machine.port
        self.memory: GuestMemory = self.machine.memory

    def mapped(self, address: int) -> BusAddress:
        bus = self.port.map_guest_page(GuestAddress(address))
        if bus is None:
            raise _Broken(f"the page of RAM at {address:#x} is not mapped")
        return bus

    def page(self, bus: int) -> memoryview:
        page = self.host_memory.page(BusAddress(bus))
        if page is None:
            raise _Broken(f"the GPU finds no memory at bus address {bus:#x}")
        return page


# ---- memory ----


def _both_see_the_same_memory(bench: _Bench) -> None:
    port, memory = bench.port, bench.memory
    _same("size of RAM", memory.size, _RAM)
    memory.write(GuestAddress(0x1FFE), b"guest")
    _same("what the guest wrote across a page's end", port.read_guest(GuestAddress(0x1FFE), 5), b"guest")
    _same("a write by the mediator", port.write_guest(GuestAddress(_RAM - 4), b"host"), True)
    _same("what the mediator wrote last in RAM", memory.read(GuestAddress(_RAM - 4), 4), b"host")
    _same("nothing read", port.read_guest(GuestAddress(0), 0), b"")


def _what_is_no_ram_is_refused_whole(bench: _Bench) -> None:
    port, memory = bench.port, bench.memory
    before = memory.read(GuestAddress(_LAST), PAGE_SIZE)
    for address in (_RAM - 2, *_BEYOND):
        _same(f"reading 4 bytes at {address:#x}", port.read_guest(GuestAddress(address), 4), None)
        _same(f"writing 4 bytes at {address:#x}", port.write_guest(GuestAddress(address), b"lost"), False)
        try:
            memory.read(GuestAddress(address), 4)
        except IndexError:
            continue
        raise _Broken(f"a processor reads RAM at {address:#x}, where there is none")
    _same("RAM before the end, after a write that left it", memory.read(GuestAddress(_LAST), PAGE_SIZE), before)


def _a_page_can_be_looked_at(bench: _Bench) -> None:
    port, memory = bench.port, bench.memory
    revision = port.memory_revision
    page = port.guest_page(GuestAddress(0x5000))
    if page is None:
        raise _Broken("the page of RAM at 0x5000 cannot be looked at")
    memory.write(GuestAddress(0x5003), b"seen")
    _same("a page's length", len(page), PAGE_SIZE)
    _same("what the guest wrote", bytes(page[3:7]), b"seen")
    _same("the revision, with all memory still there", port.memory_revision, revision)
    for address in _BEYOND:
        _same(f"the page at {address:#x}", port.guest_page(GuestAddress(address)), None)


# ---- pages for the GPU ----


def _a_mapped_page_is_the_guests(bench: _Bench) -> None:
    port, memory = bench.port, bench.memory
    for address in (0, 0x7000, _LAST):
        bus = bench.mapped(address)
        _same(f"the bus address of {address:#x} inside its page", bus % PAGE_SIZE, 0)
        if bus == NO_PAGE:
            raise _Broken(f"the bus address of {address:#x} is the one that stands for no page")
        memory.write(GuestAddress(address + 8), b"cpu")
        page = bench.page(bus)
        _same(f"what the GPU sees of {address:#x}", bytes(page[8:11]), b"cpu")
        page[PAGE_SIZE - 3 :] = b"gpu"
        _same(f"what the GPU wrote at the end of {address:#x}", memory.read(GuestAddress(address + PAGE_SIZE - 3), 3), b"gpu")
        _same(f"the page of {address + 5:#x}", port.map_guest_page(GuestAddress(address + 5)), bus)
    for address in _BEYOND:
        _same(f"mapping {address:#x}", port.map_guest_page(GuestAddress(address)), None)


def _pins_are_counted(bench: _Bench) -> None:
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
            _same(f"pins of the page at {page:#x}", port.pins(BusAddress(bus + 0xFFF)), expected[page])
        _same("pages that are pinned", port.mapped_pages, len(expected))


def _many_pages_are_as_each(bench: _Bench) -> None:
    port = bench.port
    single = [bench.mapped(address) for address in (0x3000, _LAST)]
    _same("several pages, some of which are no RAM", port.map_guest_pages((0x3000, _RAM, 0x3000, 1 << 45, _LAST)), [single[0], NO_PAGE, single[0], NO_PAGE, single[1]])
    _same("no pages", port.map_guest_pages(()), [])
    _same("pins of a page that was named three times in all", port.pins(single[0]), 3)


def _unknown_bus_addresses_are_passed_over(bench: _Bench) -> None:
    port = bench.port
    first = bench.mapped(0x1000)
    port.unmap_guest_pages((first, first, 0x1234000, 1 << 45))
    port.unmap_guest_page(BusAddress(0x5678000))
    _same("pages that are pinned", port.mapped_pages, 0)
    _same("pins after one more map: nothing is owed", port.pins(bench.mapped(0x1000)), 1)


def _machines_have_no_page_in_common(bench: _Bench) -> None:
    other = bench.factory(_RAM, bench.host_memory)
    pages = range(0, _RAM, PAGE_SIZE)
    common = set(bench.port.map_guest_pages(pages)) & set(other.port.map_guest_pages(pages))
    _same("bus addresses that two machines have", len(common), 0)
    _same("different bus addresses of a machine's pages", bench.port.mapped_pages, len(pages))
    other.close()


def _what_is_gone_is_out_of_reach(bench: _Bench) -> None:
    bus = bench.mapped(0x4000)
    bench.page(bus)
    revision = bench.host_memory.revision
    bench.machine.close()
    _same("memory behind the bus address of a machine that is gone", bench.host_memory.page(bus), None)
    if bench.host_memory.revision == revision:
        raise _Broken("the machine is gone, and who keeps pages of it does not learn of that")


# ---- writes ----


def _a_watched_page_tells_of_each_write(bench: _Bench) -> None:
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
        _same(f"who hears of {size} bytes at {address:#x}", set(heard), expected)
        _same(f"{size} bytes at {address:#x}", memory.read(GuestAddress(address), size), data[:size])
    memory.write(GuestAddress(0x3000), b"8 bytes.")
    _same("what stands there when a write is told", seen[-1], b"8 bytes.")
    heard.clear()
    port.write_guest(GuestAddress(0x3010), b"mediator")
    _same("who hears of the mediator's write", set(heard), {"first"})
    heard.clear()
    bench.page(bench.mapped(0x3000))[:4] = b"DMA!"
    _same("who hears of the GPU's write", set(heard), set())


def _each_watch_ends_by_itself(bench: _Bench) -> None:
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
    _same("who heard of a first write", sorted(heard), ["always", "once"])
    memory.write(GuestAddress(0x3000), b"y")
    _same("who heard of two writes", sorted(heard), ["always", "always", "once"])
    port.unwatch_page(GuestAddress(0x3000), once)
    port.unwatch_page(GuestAddress(0x3000), always)
    port.unwatch_page(GuestAddress(0x9000), always)
    memory.write(GuestAddress(0x3000), b"z" * 16)
    _same("who heard after all have ended", len(heard), 3)
    _same("what was written then", memory.read(GuestAddress(0x3000), 16), b"z" * 16)


# ---- the device ----


@final
class _Probe:
    """A device that writes down its accesses; a :class:`~pvinfo.bus.PciDevice`, its own configuration space, and its own window."""

    size = 16 * MIB

    def __init__(self, port: HypervisorPort) -> None:
        self._port = port
        self.bytes: dict[int, int] = {}
        self.order: list[int] = []
        self.reads = 0
        self.interrupts_at: int | None = None

    @property
    def config(self) -> _ProbeConfig:
        return _ProbeConfig(self)

    def bar(self, index: int) -> Region | None:
        return self if index == 0 else None

    def reset(self) -> None:
        self.bytes.clear()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._port.connect_msi(handler)

    def load(self, offset: int, size: int) -> int:
        return sum(self.bytes.get(offset + at, 0) << 8 * at for at in range(size))

    def store(self, offset: int, size: int, value: int) -> None:
        for at in range(size):
            self.bytes[offset + at] = value >> 8 * at & 0xFF

    def read(self, offset: int, size: int) -> int:
        self.reads += size
        return self.load(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.order.append(offset)
        self.store(offset, size, value)
        if offset == self.interrupts_at:
            self._port.inject_msi()

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


@final
class _ProbeConfig:
    """Its configuration space, apart from its registers."""

    def __init__(self, probe: _Probe) -> None:
        self._probe = probe

    def read(self, offset: int, size: int) -> int:
        return self._probe.load(offset - 4096, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._probe.store(offset - 4096, size, value)


def _plugged(bench: _Bench) -> tuple[_Probe, PciDevice, Region]:
    probe = _Probe(bench.port)
    device = bench.machine.plug(probe)
    region = device.bar(0)
    if region is None:
        raise _Broken("the guest finds no registers")
    _same("the size of the registers' window", region.size, probe.size)
    return probe, device, region


def _accesses_reach_the_device_once(bench: _Bench) -> None:
    probe, device, region = _plugged(bench)
    for offset, size in ((0, 4), (0x10, 1), (0x22, 2), (0x30, 8), (0x41, 1), (0x1000, 4), (16 * MIB - 8, 8)):
        value = int.from_bytes(bytes(range(0x81, 0x81 + size)), "little")
        region.write(offset, size, value)
        _same(f"{size} bytes at {offset:#x} in the device", probe.load(offset, size), value)
        reads = probe.reads
        _same(f"{size} bytes read at {offset:#x}", region.read(offset, size), value)
        _same(f"bytes that the device was asked for at {offset:#x}", probe.reads - reads, size)
    region.write32(0x2000, 0xDEADBEEF)
    _same("a dword", region.read32(0x2000), 0xDEADBEEF)
    places = [offset & ~7 for offset in probe.order]
    seen = [place for place, last in zip(places, [-1, *places], strict=False) if place != last]
    _same("the order of the writes", seen, [0, 0x10, 0x20, 0x30, 0x40, 0x1000, 16 * MIB - 8, 0x2000])
    for offset, size in ((0, 4), (0x10, 2), (0x13, 1), (0x104, 4), (4092, 4)):
        value = int.from_bytes(bytes(range(0x91, 0x91 + size)), "little")
        device.config.write(offset, size, value)
        _same(f"{size} bytes of configuration space at {offset:#x}", device.config.read(offset, size), value)
        _same(f"{size} bytes of configuration space at {offset:#x} in the device", probe.config.read(offset, size), value)


def _interrupts_go_to_who_listens(bench: _Bench) -> None:
    port = bench.port
    heard: list[str] = []
    _same("an interrupt while nobody listens", port.inject_msi(), False)
    port.connect_msi(lambda: heard.append("first"))
    _same("an interrupt", port.inject_msi(), True)
    port.connect_msi(lambda: heard.append("second"))
    port.inject_msi()
    port.connect_msi(None)
    _same("an interrupt when nobody listens any more", port.inject_msi(), False)
    _same("who was interrupted", heard, ["first", "second"])


def _a_guest_may_be_interrupted_by_its_own_access(bench: _Bench) -> None:
    probe, device, region = _plugged(bench)
    heard: list[int] = []

    def handler() -> None:
        region.write32(0x200, 7)
        heard.append(region.read32(0x200))

    device.on_interrupt(handler)
    probe.interrupts_at = 0x100
    region.write32(0x100, 1)
    region.write32(0x100, 2)
    _same("what the handler read of the device", heard, [7, 7])
    _same("what was written meanwhile", region.read32(0x100), 2)


_RULES: Final[Sequence[tuple[str, Callable[[_Bench], None]]]] = (
    ("guest and mediator see the same memory", _both_see_the_same_memory),
    ("what is no RAM is refused as a whole", _what_is_no_ram_is_refused_whole),
    ("a page can be looked at without a copy", _a_page_can_be_looked_at),
    ("a mapped page is the guest's own", _a_mapped_page_is_the_guests),
    ("pins are counted", _pins_are_counted),
    ("many pages are mapped as each by itself", _many_pages_are_as_each),
    ("unknown bus addresses are passed over", _unknown_bus_addresses_are_passed_over),
    ("two machines have no page in common", _machines_have_no_page_in_common),
    ("what is gone is out of the GPU's reach", _what_is_gone_is_out_of_reach),
    ("accesses reach the device once, and in order", _accesses_reach_the_device_once),
    ("interrupts go to who listens", _interrupts_go_to_who_listens),
    ("a guest may be interrupted by its own access", _a_guest_may_be_interrupted_by_its_own_access),
)
_RULES_OF_WATCHING: Final[Sequence[tuple[str, Callable[[_Bench], None]]]] = (
    ("a watched page tells of each write", _a_watched_page_tells_of_each_write),
    ("each watch ends by itself", _each_watch_ends_by_itself),
)


def check_port(factory: Hypervisor) -> Conformance:
    """Look whether machines that ``factory`` makes keep what ports promise; each rule on a machine of its own.

    Raises: ConformanceError that names each rule that is broken, and what was seen.
    """
    watches = factory(_RAM, HostMemory()).port.can_track_writes
    rules = (*_RULES, *(_RULES_OF_WATCHING if watches else ()))
    broken = []
    for name, rule in rules:
        try:
            rule(_Bench(factory))
        except _Broken as seen:
            broken.append(f"{name} ({seen})")
        except Exception as error:  # a port that raises breaks its promise as well
            broken.append(f"{name} ({type(error).__name__}: {error})")
    if broken:
        raise ConformanceError(tuple(broken))
    return Conformance(tuple(name for name, _ in rules), () if watches else tuple(name for name, _ in _RULES_OF_WATCHING))


# ---- for pytest ----


class _Parametrizable(Protocol):
    def parametrize(self, argnames: str, argvalues: Sequence[str], /) -> None: ...


def pytest_generate_tests(metafunc: _Parametrizable) -> None:
    """Check each hypervisor that can be chosen by name."""
    metafunc.parametrize("hypervisor", known_hypervisors())


def test_the_port_keeps_what_ports_promise(hypervisor: str) -> None:
    """What pytest calls."""
    check_port(partial(machine_of, hypervisor))
