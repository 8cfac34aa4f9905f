"""The registers that go with the turn: which they are, what is saved, what is loaded, and what stays the host's."""

from __future__ import annotations

import random
import re

import pytest
from support.hardware_bench import Bench, MadeContext, Occupant

from host_model.gpu.context_layout import further_state, render_registers
from host_model.gpu.engine import Engine as GpuEngine
from host_model.mediator.hardware.switched_registers import SwitchedRegister, switched_registers
from pvinfo.commands import command_for
from pvinfo.errors import StateError
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.mocs import Mocs
from pvinfo.units import GuestAddress

NOOP, STORE_REGISTER = 0, 0x12400002
LOAD_REGISTER, BATCH_START_PPGTT, BATCH_END = 0x11000001, 0x18800101, 0x05000000
SLOTS, NOPID = range(0x24D0, 0x2500, 4), 0x2094
MOCS = {Engine.RCS0: 0xC800, Engine.VCS0: 0xC900, Engine.VECS0: 0xCB00, Engine.BCS0: 0xCC00}
L3_CONTROL = range(0xB020, 0xB0A0, 4)
RUN_LIST, STOP = 1 << 15, 1 << 8


def switched(bench: Bench) -> list[SwitchedRegister]:
    """What is exchanged on this GPU."""
    own = {engine.name for engine in bench.platform.engines}
    gen9 = bench.platform.graphics_version >= 9
    return [row for row in switched_registers(bench.platform.graphics_version) if row.engine in own and not (gen9 and row.in_context)]


def hardware_values(bench: Bench, rows: list[SwitchedRegister]) -> list[int]:
    return [bench.gpu.registers.read32(row.offset) & (0xFFFF if row.masked else 0xFFFFFFFF) & ~row.kept for row in rows]


def fill(occupant: Occupant, rows: list[SwitchedRegister], rng: random.Random) -> list[int]:
    """Give the registers of a vGPU random contents; what of them is to arrive."""
    arriving = []
    for row in rows:
        value = rng.getrandbits(32)
        occupant.registers.write32(row.offset, value)
        arriving.append(value & (0xFFFF if row.masked else 0xFFFFFFFF) & ~row.kept)
    return arriving


# ---- the lists ----


@pytest.mark.parametrize(
    ("version", "direct", "in_context", "others"),
    [(8, 15, 7, {"BCS0": 5}), (9, 28, 24, {"BCS0": 5, "VCS1": 1, "VECS0": 1})],
)
def test_the_lists_are_as_long_as_the_kernels(version: int, direct: int, in_context: int, others: dict[str, int]) -> None:
    """One register stands twice in the kernel's list for gen9, which has 29 of its kind."""
    rows = switched_registers(version)
    render = [row for row in rows if row.engine == "RCS0"]
    assert (sum(not row.in_context for row in render), sum(row.in_context for row in render)) == (direct, in_context)
    assert {engine: sum(row.engine == engine for row in rows) for engine in others} == others
    assert len(rows) == len({row.offset for row in rows}) == direct + in_context + sum(others.values())


def test_some_registers_are_as_the_kernel_has_them() -> None:
    gen8 = {row.offset: row for row in switched_registers(8)}
    gen9 = {row.offset: row for row in switched_registers(9)}
    assert {offset for offset, row in gen8.items() if row.in_context} == {0x20C0, 0x7000, 0x7004, 0x7008, 0x7010, 0x7300, 0x83A4}
    assert {offset for offset, row in gen9.items() if row.in_context and not row.masked} == {*range(0x4DE0, 0x4DF8, 4), 0x4DFC}
    assert {offset for offset, row in gen9.items() if row.masked and not row.in_context} == {
        0x229C, 0x20EC, 0x20D4, 0x20E4, 0x2229C, 0x2209C, 0x220C0, 0x22028, 0x1C028, 0x1A028,
    }  # fmt: skip
    assert {row.offset for row in gen9.values() if row.kept} == {0x229C, 0x2229C, 0x2209C}
    assert set(SLOTS) < set(gen8) and set(SLOTS) < set(gen9)


# ---- saving and loading ----


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_vgpu_finds_its_own_registers_at_its_turn(platform: str) -> None:
    rng = random.Random(f"turns {platform}")
    bench = Bench(platform)
    rows = switched(bench)
    occupants = [bench.occupant(number) for number in (1, 2, 3)]
    hosts = hardware_values(bench, rows)
    wanted = {occupant.number: fill(occupant, rows, rng) for occupant in occupants}
    for _ in range(20):
        occupant = rng.choice(occupants)
        bench.hardware.give(occupant)
        assert hardware_values(bench, rows) == wanted[occupant.number]
        # Its work changes some of them; that is found again at its next turn, and in its page meanwhile.
        for index in rng.sample(range(len(rows)), 5):
            row, value = rows[index], rng.getrandbits(16 if rows[index].masked else 32)
            bench.gpu.registers.write32(row.offset, value & ~row.kept | bench.gpu.registers.read32(row.offset) & row.kept)
            wanted[occupant.number][index] = value & ~row.kept
    bench.hardware.give(None)
    assert hardware_values(bench, rows) == hosts
    for occupant in occupants:
        got = [occupant.registers.read32(row.offset) & (0xFFFF if row.masked else 0xFFFFFFFF) & ~row.kept for row in rows]
        assert got == wanted[occupant.number]


@pytest.mark.parametrize("engine", ["RCS0", "BCS0"])
def test_what_the_hosts_own_commands_do_to_cache_control_is_its_own(engine: str) -> None:
    """Nobody audits them: a neighbour would be left with the host's entries, and the host with its neighbours'."""
    bench = Bench()
    host, guest = bench.occupant(0), bench.occupant(1)
    entries = [Mocs.entry.at(engine) + 4 * index for index in (0, 2, 5)]
    for number, occupant in enumerate((host, guest)):
        for entry in entries:
            occupant.registers.write32(entry, 0x10 + number)
    bench.hardware.give(host)
    bench.gpu.mmio.write32(entries[1], 0x3A)
    bench.hardware.give(guest)
    assert [bench.gpu.registers.read32(entry) for entry in entries] == [0x11, 0x11, 0x11]
    bench.hardware.give(host)
    assert [bench.gpu.registers.read32(entry) for entry in entries] == [0x10, 0x3A, 0x10]
    bench.gpu.mmio.write32(entries[1], 0x3B)
    host.registers.write32(entries[1], 0x2C)  # by its processor, after its commands
    bench.hardware.give(guest)
    bench.hardware.give(host)
    assert [bench.gpu.registers.read32(entry) for entry in entries] == [0x10, 0x2C, 0x10]


@pytest.mark.parametrize("platform", ["bdw", "skl"])
def test_a_masked_register_is_saved_without_its_enables(platform: str) -> None:
    bench = Bench(platform)
    occupant = bench.occupant(1)
    masked = [row for row in switched(bench) if row.masked and not row.kept]
    for row in masked:
        occupant.registers.write32(row.offset, 0xFFFF0000 | 0x0041)
    bench.hardware.give(occupant)
    assert {bench.gpu.registers.read32(row.offset) & 0xFFFF for row in masked} == {0x41}
    bench.hardware.give(None)
    assert {occupant.registers.read32(row.offset) for row in masked} == {0x41}


def test_registers_that_gen9_contexts_keep_are_left_to_them_and_gen8_has_them_loaded() -> None:
    for platform, loaded in (("skl", False), ("bdw", True)):
        bench = Bench(platform)
        occupant = bench.occupant(1)
        occupant.registers.write32(0x7300, 0x0808)
        bench.hardware.give(occupant)
        assert (bench.gpu.registers.read32(0x7300) & 0xFFFF == 0x0808) is loaded
        bench.gpu.mmio.write32(0x7300, 0xFFFF0404)
        bench.hardware.give(None)
        assert occupant.registers.read32(0x7300) == (0x0404 if loaded else 0x0808)


def test_what_a_guest_writes_while_it_has_the_gpu_reaches_the_hardware_and_is_not_lost() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    bench.hardware.give(first)
    first.registers.write32(SLOTS[0], 0x7014)
    assert bench.gpu.registers.read32(SLOTS[0]) == 0
    bench.hardware.give(first)
    assert bench.gpu.registers.read32(SLOTS[0]) == 0x7014
    first.registers.write32(SLOTS[1], 0x7300)  # and its turn ends before it has more work
    bench.hardware.give(second)
    assert [bench.gpu.registers.read32(slot) for slot in SLOTS[:2]] == [0, 0]
    assert [first.registers.read32(slot) for slot in SLOTS[:2]] == [0x7014, 0x7300]


def test_what_an_unprivileged_batch_may_touch_goes_with_the_turn() -> None:
    """Two vGPUs run the same batch; the register that one of them has opened is changed for that one alone."""
    bench = Bench()
    outcomes = {}
    for number, slot in ((1, 0x7014), (2, NOPID)):
        occupant = bench.occupant(number)
        for at in SLOTS:
            occupant.registers.write32(at, slot)
        context = MadeContext(bench, owner=number, context_id=0x20 + number)
        batch, result = bench.memory.allocate(1, number), bench.memory.allocate(1, number)
        batch.bytes.cast("I")[:4] = memoryview(b"".join(word.to_bytes(4, "little") for word in (LOAD_REGISTER, 0x7014, 0x00200020, BATCH_END))).cast("I")
        context.map(0x1000, batch.address)
        context.map(0x2000, result.address)
        bench.hardware.give(occupant)
        assert context.run(LOAD_REGISTER, 0x7014, 0xFFFF0000, BATCH_START_PPGTT, 0x1000, 0, 0x12000002, 0x7014, 0x2000, 0)
        outcomes[number] = result.bytes.cast("I")[0] & 0xFFFF
    assert outcomes == {1: 0x20, 2: 0}
    assert bench.guard.violations == 0


@pytest.mark.parametrize("engine", [Engine.RCS0, Engine.BCS0])
def test_no_guest_takes_the_engine_out_of_the_hosts_hands(engine: Engine) -> None:
    """Run lists off, interrupts to the micro-controller, batches unchecked, the engine stopped: none of it arrives."""
    bench = Bench()
    occupant = bench.occupant(1)
    base = ENGINES[engine].base
    occupant.registers.write32(base + 0x29C, 0x4003)
    occupant.registers.write32(base + 0x9C, STOP)
    bench.hardware.give(occupant)
    assert bench.gpu.registers.read32(base + 0x29C) & 0xC00B == RUN_LIST
    assert MadeContext(bench, engine, owner=1).run(NOOP, NOOP)
    bench.hardware.give(None)
    assert occupant.registers.read32(base + 0x29C) & 0xFFFF == 0x4003, "the guest finds what it wrote"
    assert occupant.registers.read32(base + 0x9C) == STOP


# ---- cache control ----


@pytest.mark.parametrize("platform", ["skl", "bxt"])
def test_cache_control_of_every_engine_and_the_l3_cache_goes_with_the_turn(platform: str) -> None:
    rng = random.Random(7)
    bench = Bench(platform)
    places = [*(first + 4 * index for first in MOCS.values() for index in range(64)), *L3_CONTROL]
    for place in places:
        bench.gpu.mmio.write32(place, 0)
    hosts = [bench.gpu.registers.read32(place) for place in places]
    tables = {}
    occupants = [bench.occupant(number) for number in (1, 2)]
    for occupant in occupants:
        tables[occupant.number] = [rng.choice((0x09, 0x38, 0x3B)) for _ in places]
        for place, value in zip(places, tables[occupant.number], strict=True):
            occupant.registers.write32(place, value)
    for occupant in (*occupants, *occupants):
        bench.hardware.give(occupant)
        assert [bench.gpu.registers.read32(place) for place in places] == tables[occupant.number]
    bench.hardware.give(None)
    assert [bench.gpu.registers.read32(place) for place in places] == hosts


def test_broadwell_has_no_such_tables() -> None:
    bench = Bench("bdw")
    occupant = bench.occupant(1)
    occupant.registers.write32(0xC900, 0x38)
    occupant.registers.write32(0xB020, 0x30)
    bench.hardware.give(occupant)
    assert (bench.gpu.registers.read32(0xC900), bench.gpu.registers.read32(0xB020)) == (0, 0)


def test_a_turn_that_changes_nothing_writes_nothing() -> None:
    bench = Bench()
    occupant = bench.occupant(1)
    bench.hardware.give(occupant)
    writes = bench.gpu.mmio.writes
    bench.hardware.give(occupant)
    assert bench.gpu.mmio.writes == writes


# ---- wholesale changes ----


def test_after_a_reset_of_the_vgpu_nothing_old_is_saved_over_what_it_holds_now() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    first.registers.write32(SLOTS[0], 0x7014)
    bench.hardware.give(first)
    first.registers.write32(SLOTS[0], 0)  # as its reset does
    bench.gpu.mmio.write32(0x20A0, 0x55)
    bench.hardware.stale(first)
    bench.hardware.give(second)
    assert (first.registers.read32(SLOTS[0]), first.registers.read32(0x20A0)) == (0, 0)
    bench.hardware.give(first)
    assert (bench.gpu.registers.read32(SLOTS[0]), bench.gpu.registers.read32(0x20A0)) == (0, 0)


def test_after_a_reset_at_its_own_turn_everything_is_loaded_anew() -> None:
    bench = Bench()
    occupant = bench.occupant(1)
    occupant.registers.write32(0x20A0, 7)
    bench.hardware.give(occupant)
    bench.gpu.mmio.write32(0x20A0, 0x55)
    bench.hardware.stale(occupant)
    bench.hardware.give(occupant)
    assert bench.gpu.registers.read32(0x20A0) == 7


def test_a_vgpu_that_has_not_the_gpu_may_change_as_it_likes() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    bench.hardware.give(first)
    bench.gpu.mmio.write32(0x20A0, 0x55)
    bench.hardware.stale(second)
    bench.hardware.give(second)
    assert first.registers.read32(0x20A0) == 0x55


def test_what_an_engine_loses_in_its_reset_is_loaded_before_the_next_work_and_not_saved() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    for offset, value in ((0x2229C, 0x0200), (0x24D0, 0x7014), (0x20A0, 9)):
        first.registers.write32(offset, value)
    bench.hardware.give(first)
    bench.hardware.engines[Engine.BCS0].reset()
    bench.hardware.engines[Engine.RCS0].reset()
    assert bench.gpu.registers.read32(0x2229C) & 0xFFFF == RUN_LIST
    bench.hardware.give(first)
    assert [bench.gpu.registers.read32(offset) for offset in (0x2229C, 0x24D0, 0x20A0)] == [RUN_LIST | 0x0200, 0x7014, 9]
    bench.hardware.engines[Engine.BCS0].reset()
    bench.hardware.give(second)
    assert first.registers.read32(0x2229C) == 0x0200


# ---- whose turn it is ----


def engines_of(bench: Bench) -> list[tuple[Engine, GpuEngine]]:
    return [(name, bench.gpu.engines[name]) for name in bench.platform.engines]


def test_the_guard_and_the_findings_know_whose_turn_it_is() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    seen = []
    for vgpu in (first, second, second, None, None):
        bench.hardware.give(vgpu)
        ((holder, owner, blamed),) = {(bench.hardware.holder(name), bench.guard.engine(name).owner, engine.works_for) for name, engine in engines_of(bench)}
        seen.append((holder, owner, blamed, bench.hardware.turns))
    assert seen == [(1, 1, 1, 1), (2, 2, 2, 2), (2, 2, 2, 2), (0, 0, 0, 3), (0, 0, 0, 3)]


def test_the_turn_does_not_go_on_under_a_running_context() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    bench.hardware.give(first)
    context = MadeContext(bench, Engine.BCS0, owner=1)
    context.write(NOOP, NOOP)
    bench.hardware.engines[Engine.BCS0].submit(context.descriptor, lambda: None)
    for wanted, name in ((second, "2"), (None, "the host")):
        with pytest.raises(StateError, match=f"giving bcs0 from vGPU 1 to {name} needs state idle, but the state is busy"):
            bench.hardware.give(wanted)
    bench.hardware.give(first)  # more work of its own, for another engine
    assert bench.hardware.holder(Engine.BCS0) == 1
    bench.run()
    bench.hardware.give(second)
    assert bench.hardware.holder(Engine.BCS0) == 2


def test_nothing_stays_of_a_vgpu_that_has_gone() -> None:
    bench = Bench()
    gone, rows = bench.occupant(1), switched(bench)
    hosts = hardware_values(bench, rows)
    fill(gone, rows, random.Random(3))
    before = bytes(gone.registers.bytes)
    bench.hardware.give(gone)
    bench.hardware.owe_invalidation(1, Engine.RCS0)
    bench.hardware.forget(gone)
    assert ({bench.hardware.holder(name) for name in Engine}, set(bench.guard.owners.values()), bench.guard.machines) == ({0}, {0}, {})
    assert hardware_values(bench, rows) == hosts
    assert gone.registers.bytes == before, "it is not saved to"
    successor = bench.occupant(1)
    bench.hardware.give(successor)
    assert bench.guard.machines == {1: successor.port}
    page = gone.pin(0x1000)
    assert bench.guard.engine(Engine.RCS0).page(page) is None


# ---- translations ----


def rewritten_table(bench: Bench, occupant: Occupant, engine: Engine) -> MadeContext:
    """A context whose table leads elsewhere by now than the engine remembers."""
    context = MadeContext(bench, engine, owner=occupant.number)
    context.map(0x1000, occupant.pin(0x1000))
    bench.hardware.give(occupant)
    assert context.run(0x10000002, 0x1000, 0, 1)
    context.map(0x1000, occupant.pin(0x2000))
    return context


def reached(occupant: Occupant) -> tuple[int, int]:
    first, second = (occupant.ram.read(GuestAddress(address), 4) for address in (0x1000, 0x2000))
    return int.from_bytes(first, "little"), int.from_bytes(second, "little")


@pytest.mark.parametrize("engine", list(Engine))
def test_an_invalidation_that_a_guest_asked_for_is_done_when_it_is_given_the_gpu(engine: Engine) -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    context = rewritten_table(bench, first, engine)
    bench.hardware.owe_invalidation(2, engine)
    bench.hardware.give(first)
    assert context.run(0x10000002, 0x1000, 0, 2)
    assert reached(first) == (2, 0), "it is another vGPU that has asked"
    bench.hardware.owe_invalidation(1, engine)
    bench.hardware.give(first)
    assert context.run(0x10000002, 0x1000, 0, 3)
    assert reached(first) == (2, 3)
    writes = bench.gpu.mmio.writes
    bench.hardware.give(first)
    assert bench.gpu.mmio.writes == writes, "once"
    assert second.number == 2


def test_the_mediator_has_every_engine_forget_its_translations() -> None:
    bench = Bench()
    occupants = {engine: bench.occupant(number) for number, engine in enumerate(bench.platform.engines, 1)}
    contexts = {}
    for engine, occupant in occupants.items():
        contexts[engine] = rewritten_table(bench, occupant, engine)
    for engine, occupant in occupants.items():
        bench.hardware.give(occupant)
        bench.hardware.invalidate_translations()
        assert contexts[engine].run(0x10000002, 0x1000, 0, 5)
        assert reached(occupant) == (1, 5)


# ---- contexts without state ----


def decoded(dwords: list[int], engine: Engine) -> list[tuple[str, list[int]]]:
    """The commands, by name, with their dwords."""
    found, at = [], 0
    while at < len(dwords):
        command = command_for(engine, dwords[at], 9)
        assert command is not None
        length = command.length_of(dwords[at])
        found.append((command.name, dwords[at : at + length]))
        at += length
    return [entry for entry in found if entry[0] != "MI_NOOP"]


def test_a_context_without_state_is_given_the_vgpus_registers_first() -> None:
    bench = Bench()
    occupant = bench.occupant(1)
    for row in switched_registers(9):
        occupant.registers.write32(row.offset, row.offset & 0xFFFF)
    for place in (*range(0xC800, 0xC900, 4), *L3_CONTROL):
        occupant.registers.write32(place, place ^ 0xFFFFFFFF)
    dwords = bench.hardware.inhibited_preamble(occupant, Engine.RCS0)
    assert len(dwords) % 2 == 0
    commands = decoded(dwords, Engine.RCS0)
    assert [name for name, _ in commands] == [
        "MI_ARB_ON_OFF", "PIPE_CONTROL", "PIPE_CONTROL", "MI_LOAD_REGISTER_IMM", "PIPE_CONTROL", "PIPE_CONTROL",
        "MI_LOAD_REGISTER_IMM", "MI_LOAD_REGISTER_IMM", "MI_LOAD_REGISTER_IMM", "MI_ARB_ON_OFF",
    ]  # fmt: skip
    assert (commands[0][1], commands[-1][1]) == ([0x04000000], [0x04000001])
    barrier = [0x7A000004, 0, 0, 0, 0, 0], [0x7A000004, 0x00345CBD, 0xD0, 0, 0, 0]
    assert (commands[1][1], commands[2][1]) == barrier == (commands[4][1], commands[5][1])
    registers, streamer, control, l3 = (words for name, words in commands if name == "MI_LOAD_REGISTER_IMM")
    loads = dict(zip(registers[1::2], registers[2::2], strict=True))
    wanted = {row.offset: row.offset & 0xFFFF | (0xFFFF0000 if row.masked else 0) for row in switched_registers(9) if row.in_context}
    assert loads == wanted and len(loads) == 24
    others = [slot.register * 4 for slot in further_state(0, render_registers(9)).slots if slot.register * 4 not in wanted]
    assert dict(zip(streamer[1::2], streamer[2::2], strict=True)) == streamers_own(0x2000, {0x2028: 0xFFFF0000}) | dict.fromkeys(others, 0)
    assert (control[0], l3[0]) == (0x11000000 | 2 * 64 - 1, 0x11000000 | 2 * 32 - 1)
    assert control[1:] == [word for place in range(0xC800, 0xC900, 4) for word in (place, place ^ 0xFFFFFFFF)]
    assert l3[1:] == [word for place in L3_CONTROL for word in (place, place ^ 0xFFFFFFFF)]


def streamers_own(base: int, modes: dict[int, int]) -> dict[int, int]:
    """What a context keeps of its streamer: cleared, but for the modes."""
    return {base + offset: 0 for offset in (0x170, 0x150, 0x154, 0x158, 0x41C, *range(0x600, 0x680, 4))} | modes


@pytest.mark.parametrize("engine", [Engine.BCS0, Engine.VCS0, Engine.VECS0])
def test_on_other_engines_only_the_streamer_keeps_anything(engine: Engine) -> None:
    bench = Bench()
    occupant, base = bench.occupant(1), ENGINES[engine].base
    occupant.registers.write32(base + 0x28, 0x0110)
    occupant.registers.write32(base + 0xC0, 0x0020)
    dwords = bench.hardware.inhibited_preamble(occupant, engine)
    assert (dwords[:2], dwords[-2:]) == ([0x04000000, 0], [0x04000001, 0])
    ((_, load),) = decoded(dwords[2:-2], engine)
    assert dict(zip(load[1::2], load[2::2], strict=True)) == streamers_own(base, {base + 0x28: 0xFFFF0110, base + 0xC0: 0xFFFF0020})


@pytest.mark.parametrize("engine", [Engine.RCS0, Engine.BCS0, Engine.VCS0, Engine.VECS0])
def test_a_new_context_finds_nothing_of_what_another_guest_reckoned_with(engine: Engine) -> None:
    bench = Bench()
    base, found = ENGINES[engine].base, []
    for number in (1, 2):
        occupant = bench.occupant(number)
        context = MadeContext(bench, engine=engine, owner=number, context_id=0x20 + number)
        bench.hardware.give(occupant)
        result = bench.memory.allocate(1, number)
        context.map(0x3000, result.address)
        stores = [word for at, offset in enumerate((0x600, 0x67C, 0x28)) for word in (0x12000002, base + offset, 0x3000 + 4 * at, 0)]
        secrets = [0x11000005, base + 0x600, 0x5EC2E7, base + 0x67C, 0x5EC2E8, base + 0x28, 0x00100010] if number == 1 else []
        assert context.run(*bench.hardware.inhibited_preamble(occupant, engine), *secrets, *stores)
        first, last, codes = result.bytes.cast("I")[:3].tolist()
        found.append((first, last, codes & 0xFFFF))
    assert found == [(0x5EC2E7, 0x5EC2E8, 0x10), (0, 0, 0)]


def test_on_gen8_the_render_engine_alone_has_anything_to_clear() -> None:
    bench = Bench("bdw")
    dwords = {engine: bench.hardware.inhibited_preamble(bench.occupant(1), engine) for engine in bench.platform.engines}
    assert [engine for engine, words in dwords.items() if words] == [Engine.RCS0]
    words = dwords[Engine.RCS0]
    loaded = dict(zip(words[3:-3:2], words[4:-3:2], strict=True))
    assert set(range(0x2600, 0x2680, 4)) <= set(loaded) and set(loaded.values()) == {0}
    assert len(words) % 2 == 0


def test_the_preamble_is_executed_and_what_it_loads_stays_with_the_context() -> None:
    """Two vGPUs take turns; each one's context finds its own register again without another word of the mediator."""
    bench = Bench()
    occupants = bench.occupant(1), bench.occupant(2)
    contexts = []
    for occupant, value in zip(occupants, (0x0100, 0x0200), strict=True):
        occupant.registers.write32(0x7300, value)
        context = MadeContext(bench, owner=occupant.number, context_id=0x20 + occupant.number)
        bench.hardware.give(occupant)
        assert context.run(*bench.hardware.inhibited_preamble(occupant, Engine.RCS0))
        contexts.append(context)
    values = []
    for occupant, context in zip(occupants, contexts, strict=True):
        bench.hardware.give(occupant)
        context.write(NOOP, NOOP)
        result = bench.memory.allocate(1, occupant.number)
        context.map(0x3000, result.address)
        assert context.run(0x12000002, 0x7300, 0x3000, 0)
        values.append(result.bytes.cast("I")[0] & 0xFFFF)
    assert values == [0x0100, 0x0200]
    assert bench.rules() == set()
