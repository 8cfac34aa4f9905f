"""The guard between the GPU and host memory: whose pages it lets through at whose turn, and what it tells of the others."""

from __future__ import annotations

import random

import pytest
from support.hardware_bench import Bench, MadeContext, Occupant

from host_model.isolation import GuardedMemory
from host_model.memory import HostMemory
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

STORE_DWORD, STORE_QWORD_GGTT = 0x10000002, 0x10400002
USER_INTERRUPT = 0x01000000


def test_the_hosts_own_pages_are_everybodys_and_those_kept_for_a_vgpu_are_its_own() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    common, first, second = memory.allocate_page(), memory.allocate(2, owner=1), memory.allocate(1, owner=2)
    reached = {}
    for owner in (0, 1, 2):
        way.owner = owner
        reached[owner] = [way.page(address) is not None for address in (common, first.address, second.address)]
    assert reached == {0: [True, False, False], 1: [True, True, False], 2: [True, False, True]}
    assert guard.violations == 4


def test_a_machines_page_is_reached_at_its_own_turn_while_it_is_pinned() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    mine, other = Occupant(1, memory), Occupant(2, memory)
    guard.machines.update({1: mine.port, 2: other.port})
    page = mine.pin(0x3000)
    assert way.page(page) is None, "it is nobody's turn"
    way.owner = 2
    assert way.page(page) is None
    way.owner = 1
    view = way.page(BusAddress(page + 0x123))
    assert view is not None and len(view) == PAGE_SIZE
    view[:4] = b"mine"
    assert mine.ram.read(GuestAddress(0x3000), 4) == b"mine"
    assert way.page(BusAddress(page + PAGE_SIZE)) is None, "the next page is not pinned"
    mine.port.unmap_guest_page(page)
    assert way.page(page) is None
    assert guard.violations == 4


def test_a_span_needs_every_page_of_it_and_is_refused_without_a_word() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    mine = Occupant(1, memory)
    guard.machines[1] = mine.port
    way.owner = 1
    pages = [mine.pin(0x4000 + at) for at in (0, 0x1000, 0x3000)]
    assert way.span(BusAddress(pages[0] + 0x800), 0x1800) is not None
    assert way.span(BusAddress(pages[0] + 0x800), 0x1801) is None
    assert way.span(pages[2], PAGE_SIZE) is not None
    block = memory.allocate(3, owner=1)
    neighbour = memory.allocate(1, owner=1)
    assert neighbour.address == block.address + 3 * PAGE_SIZE
    whole = way.span(block.address, 3 * PAGE_SIZE)
    assert whole is not None and whole.obj is block.bytes.obj
    assert way.span(block.address, 3 * PAGE_SIZE + 1) is None
    assert (guard.violations, len(guard.findings)) == (0, 0)


def test_a_violation_names_the_vgpu_the_address_and_whose_page_it_is() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    other = Occupant(2, memory)
    guard.machines[2] = other.port
    pinned, kept = other.pin(0x1000), memory.allocate_page(owner=2)
    way.owner = 1
    for address in (pinned + 4, pinned + 8, pinned + PAGE_SIZE, kept, kept + PAGE_SIZE):
        way.page(BusAddress(address))
    found = {finding.where: finding for finding in guard.findings.of_rule("isolation-violation")}
    assert set(found) == {f"vGPU 1, bus address {address:#x}" for address in (pinned, pinned + PAGE_SIZE, kept, kept + PAGE_SIZE)}
    texts = [found[f"vGPU 1, bus address {address:#x}"].text for address in (pinned, pinned + PAGE_SIZE, kept, kept + PAGE_SIZE)]
    wanted = ["pinned for vGPU 2", "a machine that is not pinned", "the host's for vGPU 2", "nobody has a page there"]
    assert all(want in text for want, text in zip(wanted, texts, strict=True)), texts
    first = found[f"vGPU 1, bus address {pinned:#x}"]
    assert (first.value, first.occurrences) == (pinned, 2)
    assert guard.violations == 5


def test_a_page_that_its_machine_has_lost_is_no_violation() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    mine = Occupant(1, memory)
    guard.machines[1] = mine.port
    way.owner = 1
    page = mine.pin(0x1000)
    memory.detach(BusAddress(page & ~0xFFFFFFFF))
    assert way.page(page) is None
    assert guard.violations == 0


def test_the_revision_changes_with_the_owner_and_with_memory_that_goes() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    seen = [way.revision]
    block = memory.allocate(1)
    assert way.revision == seen[0]
    way.owner = 1
    seen.append(way.revision)
    way.owner = 1
    seen.append(way.revision)
    memory.release(block)
    seen.append(way.revision)
    assert len(set(seen)) == 4


def test_the_aperture_is_checked_for_whose_processor_it_is_whatever_engines_do() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    kept = memory.allocate_page(owner=2)
    way = guard.engine(Engine.RCS0)
    way.owner = 2
    before = guard.revision, way.revision
    assert guard.page(kept) is None, "what is no engine works for the host"
    with guard.on_behalf_of(2):
        assert guard.page(kept) is not None
        with guard.on_behalf_of(1):
            assert guard.page(kept) is None
        assert guard.page(kept) is not None
    assert [(finding.vgpu, finding.where) for finding in guard.findings] == [(number, f"vGPU {number}, bus address {kept:#x}") for number in (0, 1)]
    assert (way.owner, (guard.revision, way.revision), guard.violations) == (2, before, 2)


def test_each_engine_is_let_to_the_pages_of_its_own_vgpu() -> None:
    memory = HostMemory()
    guard = GuardedMemory(memory)
    ways = {1: guard.engine(Engine.RCS0), 2: guard.engine(Engine.BCS0)}
    assert guard.engine(Engine.RCS0) is ways[1] and guard.owners == {Engine.RCS0: 0, Engine.BCS0: 0}
    kept = {number: memory.allocate_page(owner=number) for number in ways}
    before = ways[2].revision
    ways[1].owner = 1
    assert ways[2].revision == before, "what another engine keeps is not dropped"
    ways[2].owner = 2
    assert guard.owners == {Engine.RCS0: 1, Engine.BCS0: 2}
    assert {number: [way.page(kept[whose]) is not None for whose in kept] for number, way in ways.items()} == {1: [True, False], 2: [False, True]}
    assert guard.span(kept[1], 4) is None and ways[1].span(kept[1], 4) is not None
    texts = {finding.vgpu: finding.text for finding in guard.findings}
    assert {number: text.partition(",")[0] for number, text in texts.items()} == {1: "the GPU's rcs0", 2: "the GPU's bcs0"}


# ---- with the GPU behind it ----


@pytest.mark.parametrize("engine", [Engine.RCS0, Engine.BCS0])
def test_a_table_that_points_at_anothers_page_gets_it_no_byte(engine: Engine) -> None:
    bench = Bench()
    mine, other = bench.occupant(1), bench.occupant(2)
    secret = other.pin(0x5000)
    other.ram.write(GuestAddress(0x5000), b"\xaa" * PAGE_SIZE)
    bench.hardware.give(other)
    bench.hardware.give(mine)
    context = MadeContext(bench, engine, owner=1)
    context.map(0x1000, mine.pin(0x1000))
    context.map(0x2000, secret)
    assert not context.run(STORE_DWORD, 0x1000, 0, 0x11, STORE_DWORD, 0x2000, 0, 0x22, STORE_DWORD, 0x1004, 0, 0x33)
    assert other.ram.read(GuestAddress(0x5000), PAGE_SIZE) == b"\xaa" * PAGE_SIZE
    assert mine.ram.read(GuestAddress(0x1000), 8) == b"\x11\0\0\0\0\0\0\0", "what came before was done"
    assert bench.guard.violations == 1
    (finding,) = bench.gpu.findings.of_rule("isolation-violation")
    assert (finding.vgpu, finding.value, finding.where) == (1, secret, f"vGPU 1, bus address {secret:#x}")


def test_a_page_that_was_reached_is_out_of_reach_at_the_next_ones_turn() -> None:
    """Each engine keeps what it has looked up; the same context at another's turn must not profit from that."""
    bench = Bench()
    mine, other = bench.occupant(1), bench.occupant(2)
    context = MadeContext(bench)  # the host's own pages, so that only the target is in question
    context.map(0x1000, mine.pin(0x1000))
    bench.hardware.give(mine)
    assert context.run(STORE_DWORD, 0x1000, 0, 0x11)
    assert context.run(STORE_DWORD, 0x1004, 0, 0x22)
    bench.hardware.give(other)
    assert not context.run(STORE_DWORD, 0x1008, 0, 0x33)
    assert mine.ram.read(GuestAddress(0x1000), 12) == b"\x11\0\0\0\x22\0\0\0\0\0\0\0"
    assert bench.guard.violations == 1


def test_the_global_table_is_checked_at_each_turn_as_well() -> None:
    bench = Bench()
    mine, other = bench.occupant(1), bench.occupant(2)
    page = mine.pin(0x1000)
    slice_page = 0x9000  # of the aperture, times 4 KiB
    bench.gpu.ggtt.entries[slice_page] = page | 1
    address = slice_page << 12
    context = MadeContext(bench)
    bench.hardware.give(mine)
    assert context.run(STORE_QWORD_GGTT, address, 0, 0x44)
    bench.hardware.give(other)
    assert not context.run(STORE_QWORD_GGTT, address + 4, 0, 0x55)
    assert mine.ram.read(GuestAddress(0x1000), 8) == b"\x44\0\0\0\0\0\0\0"


def test_stolen_memory_stands_in_front_of_the_guard_as_of_any_memory() -> None:
    bench = Bench()
    page = bench.gpu.memory.page(BusAddress(0x7C00_0000))
    assert page is not None and not page.readonly
    assert bench.guard.violations == 0


def test_no_random_address_is_reached_that_is_not_its_owners() -> None:
    rng = random.Random(20260)
    memory = HostMemory()
    guard = GuardedMemory(memory)
    way = guard.engine(Engine.RCS0)
    machines = {number: Occupant(number, memory) for number in (1, 2, 3)}
    guard.machines.update({number: machine.port for number, machine in machines.items()})
    allowed: dict[int, set[int]] = {number: set() for number in (0, 1, 2, 3)}
    for _ in range(60):
        owner = rng.choice((0, 1, 2, 3))
        block = memory.allocate(rng.randint(1, 4), owner)
        pages = {int(block.address) + at * PAGE_SIZE for at in range(block.pages)}
        for number in allowed if owner == 0 else (owner,):
            allowed[number] |= pages
    for number, machine in machines.items():
        for at in rng.sample(range(64), 20):
            allowed[number].add(int(machine.pin(at * PAGE_SIZE)))
    everything = sorted(set().union(*allowed.values()))
    violations = 0
    for _ in range(3000):
        way.owner = owner = rng.choice((0, 1, 2, 3))
        address = rng.choice(everything) + rng.choice((-PAGE_SIZE, 0, 0, 0, PAGE_SIZE))
        size = rng.choice((1, 64, PAGE_SIZE, 2 * PAGE_SIZE))
        page = way.page(BusAddress(address + rng.randrange(PAGE_SIZE)))
        assert (page is not None) == (address in allowed[owner])
        violations += page is None
        if way.span(BusAddress(address), size) is not None:
            assert set(range(address, address + size, PAGE_SIZE)) <= allowed[owner]
    assert guard.violations == violations > 100
