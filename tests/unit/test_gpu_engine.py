"""An engine at work: its ring, batches, translations, other engines, and garbage."""

from __future__ import annotations

import random

import pytest
from support.engine_commands import (
    BATCH_END,
    BATCH_START,
    LRI,
    PRIVILEGED,
    SDI,
    SECOND_LEVEL,
    SEMAPHORE_EQUAL,
    SIGNAL,
    SIGNAL_WAIT,
    mark,
    stored,
)
from support.gpu_rig import READ_ONLY, GpuRig, RigContext

from host_model.gpu.engine import Activity
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters, RingControl


# ---- buffers ----


def test_a_ring_goes_on_at_its_start_and_a_command_may_lie_across_the_end() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(*[0] * 1020)
    rig.submit(context)
    rig.run()
    rig.execute(0, 0, *mark(rig, 0x100, 0x77), context=context)
    assert stored(rig, 0x100) == 0x77
    assert context.value("head") == 8 | 1 << 21
    assert rig.engine.buffers.wraps == 1


def test_a_command_may_lie_across_pages_that_are_not_neighbours() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    low, _, high, data = rig.page(), rig.page(), rig.page(), rig.page()
    context.tables.map(0x10000, low)
    context.tables.map(0x11000, high)
    context.tables.map(0x20000, data)
    rig.poke(low + 0xFF4, SDI, 0x20010, 0)
    rig.poke(high, 0x1234, SDI, 0x20014, 0, 0x5678, BATCH_END)
    rig.execute(BATCH_START, 0x10FF4, 0, context=context)
    assert rig.peek(data + 0x10, 2) == [0x1234, 0x5678]


def test_batches_come_back_from_the_second_level_and_are_replaced_by_a_chained_one() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000)
    context.batch(0x10000, SDI, 0x1000, 0, 1, BATCH_START | SECOND_LEVEL, 0x20000, 0, SDI, 0x1004, 0, 2, BATCH_START, 0x30000, 0, SDI, 0x1008, 0, 99)
    context.batch(0x20000, SDI, 0x100C, 0, 3, BATCH_START | SECOND_LEVEL, 0x40000, 0, SDI, 0x1008, 0, 98)
    context.batch(0x30000, SDI, 0x1010, 0, 4, BATCH_END)
    context.batch(0x40000, SDI, 0x1014, 0, 5, BATCH_END)
    context.write(BATCH_START, 0x10000, 0, *mark(rig, 0x100, 6))
    rig.submit(context)
    rig.run()
    assert rig.peek(data, 6) == [1, 2, 0, 3, 4, 5]
    assert stored(rig, 0x100) == 6


def test_a_batch_of_the_global_table_is_privileged_and_one_of_a_process_is_not() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.batch(0x10000, *mark(rig, 0x100, 1), PRIVILEGED, 0x5000, 0, BATCH_END)
    context.batch(0x5000, *mark(rig, 0x104, 1), BATCH_END)  # still without privilege: found in the process's space
    batch = rig.allocate(1)
    for index, dword in enumerate((*mark(rig, 0x108, 1), BATCH_END)):
        rig.ggtt.write32(batch + 4 * index, dword)
    rig.execute(BATCH_START, 0x10000, 0, PRIVILEGED, batch, 0, context=context)
    assert [stored(rig, place) for place in (0x100, 0x104, 0x108)] == [0, 0, 1]
    assert rig.register(EngineRegisters.esr.offset) == 4
    assert rig.register(EngineRegisters.eir.offset) == 0  # masked by the driver
    assert rig.done


def test_a_batch_end_in_the_ring_ends_nothing() -> None:
    rig = GpuRig(Engine.BCS0)
    rig.execute(BATCH_END, 0, *mark(rig, 0x100, 1))
    assert stored(rig, 0x100) == 1 and rig.done


def test_addresses_of_batches_may_be_sign_extended() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.batch(0xFFFF_FFFF_E000, *[0] * 4, BATCH_END)
    data = context.map(0x8000_0000_0000)
    rig.execute(BATCH_START, 0xFFFFE000, 0xFFFFFFFF, SDI, 0, 0xFFFF8000, 5, context=context)
    assert rig.done and rig.peek(data) == [5]


def test_a_descriptor_without_privilege_bit_uses_the_global_table_for_everything() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(SDI, rig.status_page + 0x100, 0, 8)
    rig.submit(context.descriptor(privilege=0))
    rig.run()
    assert stored(rig, 0x100) == 8


def test_batch_commands_that_are_rewritten_are_executed_as_rewritten() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000)
    context.batch(0x2000, SDI, 0x2018, 0, BATCH_END, 0, 0, SDI, 0x1000, 0, 1, BATCH_END)
    rig.execute(BATCH_START, 0x2000, 0, context=context)
    assert rig.peek(data) == [0] and rig.done


# ---- translations ----


def test_a_table_rewritten_under_load_takes_effect_with_the_flush_that_drops_translations() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    old, new = context.map(0x1000), rig.page()
    table = context.tables.table(0x1000, 0)
    context.map(0x2000)
    context.tables.map(0x9000, table)
    rewrite = (SDI, 0x9008, 0, new & 0xFFFFFFFF | 3, SDI, 0x900C, 0, new >> 32)
    rig.execute(SDI, 0x1000, 0, 1, *rewrite, SDI, 0x1004, 0, 2, 0x13044002, 0x2000, 0, 0, SDI, 0x1008, 0, 3, context=context)
    assert rig.peek(old, 3) == [1, 2, 0]
    assert rig.peek(new, 3) == [0, 0, 3]


def test_roots_loaded_by_the_ring_are_walked_from_then_on() -> None:
    rig = GpuRig(Engine.BCS0)
    contexts = [RigContext(rig, 0x20), RigContext(rig, 0x40)]
    data = [context.map(0x1000) for context in contexts]
    root = contexts[1].tables.root
    low, high = (EngineRegisters.pdp_lo.at("BCS0"), EngineRegisters.pdp_hi.at("BCS0"))
    rig.execute(SDI, 0x1000, 0, 1, LRI + 2, high, root >> 32, low, root & 0xFFFFFFFF, SDI, 0x1000, 0, 2, context=contexts[0])
    assert [rig.peek(bus)[0] for bus in data] == [1, 2]
    assert contexts[0].value("pdp_lo[0]") == root & 0xFFFFFFFF


def test_a_32_bit_context_takes_all_four_roots() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    for index in range(4):
        directory = context.tables.table(index << 30, 1)
        context.set(f"pdp_lo[{index}]", directory & 0xFFFFFFFF)
        context.set(f"pdp_hi[{index}]", directory >> 32)
    data = context.map(3 << 30)
    context.write(SDI, 3 << 30, 0, 4)
    rig.submit(context.descriptor(addressing_mode=1))
    rig.run()
    assert rig.peek(data) == [4]


def test_a_write_to_a_page_that_may_only_be_read_is_lost_and_noted_and_execution_goes_on() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000, flags=READ_ONLY)
    rig.execute(SDI, 0x1000, 0, 1, *mark(rig, 0x100, 2), context=context)
    assert (rig.peek(data), stored(rig, 0x100)) == ([0], 2)
    assert rig.register(EngineRegisters.esr.offset) == 4


# ---- two engines ----


def test_a_semaphore_between_engines() -> None:
    rig = GpuRig(Engine.RCS0)
    copy = rig.add_engine(Engine.BCS0)
    rig.open(copy)
    waiting = RigContext(rig, 0x20)
    waiting.write(SEMAPHORE_EQUAL, 5, rig.status_page + 0x200, 0, *mark(rig, 0x204, 6))
    rig.submit(waiting)
    rig.run(100_000)
    assert rig.told.count("wait_semaphore") == 1
    assert RingControl(rig.register(EngineRegisters.control.offset)).wait_semaphore
    name, rig.name, rig.engine = rig.name, Engine.BCS0, copy
    signalling = RigContext(rig, 0x40)
    signalling.write(*mark(rig, 0x200, 5))
    rig.submit(signalling)
    rig.run(100_000)
    assert name is Engine.RCS0 and stored(rig, 0x204) == 6


def test_a_wait_for_a_signal_looks_when_it_is_signalled_and_not_before() -> None:
    rig = GpuRig(Engine.RCS0)
    copy = rig.add_engine(Engine.BCS0)
    rig.open(copy)
    engines = {Engine.RCS0: rig.engine, Engine.BCS0: copy}
    for engine in engines.values():
        engine.connect(engines)
    waiting = RigContext(rig, 0x20)
    waiting.write(SIGNAL_WAIT, 5, rig.status_page + 0x200, 0, *mark(rig, 0x204, 6))
    rig.submit(waiting)
    rig.run()
    assert rig.clock.next_deadline_ns() is None
    rig.ggtt.write32(rig.status_page + 0x200, 5)
    rig.run()
    assert stored(rig, 0x204) == 0
    rig.name, rig.engine = Engine.BCS0, copy
    other, right = RigContext(rig, 0x40), RigContext(rig, 0x60)
    other.write(SIGNAL, 0x99)
    right.write(SIGNAL, 0x20)
    rig.submit(other)
    rig.run()
    assert stored(rig, 0x204) == 0
    rig.submit(right)
    rig.run()
    assert stored(rig, 0x204) == 6


# ---- garbage ----


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("seed", range(3))
def test_random_rings_batches_and_images_are_lived_through(engine: Engine, seed: int) -> None:
    rng = random.Random(seed * 7 + ENGINES[engine].base)
    rig = GpuRig(engine, rng.choice(("bdw", "skl")), ram_pages=512, ggtt_pages=256)
    base = ENGINES[engine].base

    def dword() -> int:
        kind = rng.random()
        if kind < 0.45:
            return rng.randrange(0x40) << 23 | rng.getrandbits(23) & rng.choice((0x7FFFFF, 0x7F00FF, 0x00000F))
        if kind < 0.6:
            return rng.choice((rig.status_page, 0x1000, 0x2000, 0, base + 4 * rng.randrange(0x200)))
        if kind < 0.7:
            return rng.randrange(8) << 29 | rng.getrandbits(29)
        return rng.choice((0, 0, 1, rng.getrandbits(32)))

    hung = 0
    status_entry = rig.entries[rig.status_page >> 12]
    for round_ in range(40):
        rig.entries[rig.status_page >> 12] = status_entry  # commands with privilege may have rewritten it
        context = RigContext(rig, 0x20 + 0x20 * (round_ % 3))
        context.batch(0x1000, *(dword() for _ in range(200)))
        context.batch(0x2000, *(dword() for _ in range(200)))
        context.write(*(dword() for _ in range(200)))
        if rng.random() < 0.2:
            context.set(rng.choice(("head", "tail", "control", "start", "context_control", "pdp_lo[0]", "bbaddr", "sbbaddr")), rng.getrandbits(32))
        rig.submit(context)
        rig.run(200_000)
        if rng.random() < 0.3:
            rig.submit(context.descriptor(force_restore=rng.randrange(2)))
            rig.run(200_000)
        hung += rig.engine.activity is Activity.HUNG
        if not rig.done:
            rig.engine.reset()
        rig.open(rig.engine)
        rig.start_over(2)
    assert hung > 10
    rig.entries[rig.status_page >> 12] = status_entry
    rig.execute(*mark(rig, 0x100, 1), context=RigContext(rig, 0x80))
    assert stored(rig, 0x100) == 1
