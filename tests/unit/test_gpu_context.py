"""Context images: what a restore takes from them always, what only where it is not inhibited, and what a save leaves in them."""

from __future__ import annotations

import pytest
from support.gpu_rig import GpuRig, RigContext

from host_model.gpu.blitter.state import setup_state
from host_model.gpu.context import UNIT_STATE
from host_model.gpu.context_layout import render_registers
from pvinfo.context_image import STATE_OFFSET, context_image
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.engine import EngineRegisters

LRI = 0x11000001
SRM_GLOBAL = 0x12400002
SDI_GLOBAL = 0x10400002
BATCH_START = 0x18800101
BATCH_END = 0x05000000
SEMAPHORE_EQUAL = 0x0E40C002
ARB_CHECK = 0x02800000

EVERY = [(platform, engine) for platform in ("bdw", "skl") for engine in Engine]


def load(register: int, value: int) -> tuple[int, int, int]:
    return LRI, register, value


@pytest.mark.parametrize(("platform", "engine"), EVERY)
def test_the_saved_image_has_the_layout_that_drivers_know(platform: str, engine: Engine) -> None:
    rig = GpuRig(engine, platform)
    context = rig.execute(0)
    image = context_image(rig.platform.graphics_version, engine)
    page = memoryview(rig.ggtt.read(context.image + STATE_OFFSET, 4096)).cast("I")
    for dword, content in image.layout(ENGINES[engine].base):
        assert page[dword] == content, hex(dword)
    assert context.value("head") == context.tail
    assert context.value("context_control") == 0x000F0008


@pytest.mark.parametrize(("platform", "engine"), EVERY)
def test_what_software_decides_is_not_written_back(platform: str, engine: Engine) -> None:
    rig = GpuRig(engine, platform)
    context = RigContext(rig, 0x20, ring_pages=4)
    context.write(SDI_GLOBAL, rig.status_page + 0x100, 0, 1, SEMAPHORE_EQUAL, 7, rig.status_page + 0x200, 0)
    rig.submit(context)
    rig.run()
    context.set("tail", 0x1230)  # a driver adds work to a context that runs
    rig.ggtt.write32(rig.status_page + 0x200, 7)
    rig.run()
    assert rig.done
    assert context.value("tail") == 0x1230
    assert context.value("start") == context.ring
    assert context.value("control") == 0x3001


@pytest.mark.parametrize("inhibit", [True, False])
def test_an_inhibited_restore_loads_the_ring_and_the_roots_alone(inhibit: bool) -> None:
    rig = GpuRig(Engine.BCS0)
    registers = EngineRegisters(rig.registers, "BCS0")
    registers.gpr_lo[3] = 0x5555
    context = RigContext(rig, 0x20, inhibit=inhibit)
    context.set("gpr_lo[3]", 0x3333)
    context.set("swctrl", 0xFFFF0002)
    bus = context.map(0x1000)
    rig.execute(0x12000002, EngineRegisters.gpr_lo.at("BCS0") + 8 * 3, 0x1000, 0, 0x12000002, 0x22200, 0x1004, 0, context=context)
    assert rig.peek(bus, 2) == [0x5555 if inhibit else 0x3333, 2]


def test_masked_registers_of_the_image_change_only_what_they_enable() -> None:
    rig = GpuRig(Engine.VCS0)
    mode, instpm = EngineRegisters.mi_mode.at("VCS0"), EngineRegisters.instpm.at("VCS0")
    rig.registers.write32(instpm, 0x00F0)
    rig.registers.write32(mode, 0x4040)
    context = RigContext(rig, 0x20, inhibit=False)
    context.set("instpm", 0x0011_0001)
    context.set("mi_mode", 0x0100_0000)
    rig.execute(SRM_GLOBAL, instpm, rig.status_page + 0x300, 0, SRM_GLOBAL, mode, rig.status_page + 0x304, 0, context=context)
    assert rig.ggtt.read32(rig.status_page + 0x300) == 0x00E1
    assert rig.ggtt.read32(rig.status_page + 0x304) == 0x4040
    assert context.value("instpm") == 0xFFFF_00E1
    assert context.value("mi_mode") == 0xFFFF_4040


@pytest.mark.parametrize(("platform", "engine"), [("bdw", Engine.RCS0), *(("skl", engine) for engine in Engine)])
def test_each_context_keeps_its_own_general_purpose_registers(platform: str, engine: Engine) -> None:
    rig = GpuRig(engine, platform)
    first = EngineRegisters.gpr_lo.at(engine.name)
    contexts = [RigContext(rig, 0x20 * (number + 1)) for number in range(2)]
    for number, context in enumerate(contexts):
        rig.execute(*(dword for index in range(32) for dword in load(first + 4 * index, 0x1000 * (number + 1) + index)), context=context)
    for number, context in enumerate(contexts):
        reads = (dword for index in range(32) for dword in (SRM_GLOBAL, first + 4 * index, rig.status_page + 0x400 + 4 * index, 0))
        rig.execute(*reads, context=context)
        stored = [rig.ggtt.read32(rig.status_page + 0x400 + 4 * index) for index in range(32)]
        assert stored == [0x1000 * (number + 1) + index for index in range(32)]


def test_each_render_context_keeps_the_header_that_its_own_parser_held() -> None:
    """One slice serves both contexts: what the first one's parser held last must not get into the second one's image."""
    rig = GpuRig(Engine.RCS0)
    first, second = RigContext(rig, 0x20, inhibit=False), RigContext(rig, 0x21, inhibit=False)
    command = load(0x2600, 7)
    first.write(0, *command)
    for _ in range(2):
        rig.submit(first, second)
        rig.run()
        assert (first.value("ipehr"), second.value("ipehr")) == (command[0], 0)


@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl"])
def test_a_render_context_keeps_its_workarounds_and_predicates(platform: str) -> None:
    rig = GpuRig(Engine.RCS0, platform)
    registers = render_registers(PLATFORMS[platform].graphics_version)
    rig.bus.masked = {offset for offset, masked in registers if masked}
    contexts = [RigContext(rig, 0x20 * (number + 1)) for number in range(2)]
    kept = [(offset, masked) for offset, masked in registers if offset != 0x209C]
    for number, context in enumerate(contexts):
        for offset, masked in kept:
            value = (offset >> 2) + number & 0xFFFF
            rig.execute(*load(offset, value | 0xFFFF0000 if masked else value), context=context)
    for number, context in enumerate(contexts):
        rig.execute(0, context=context)
        loaded = [rig.registers.read32(offset) & 0xFFFF for offset, _ in kept]
        assert loaded == [(offset >> 2) + number & 0xFFFF for offset, _ in kept]


def test_what_stands_behind_the_layout_is_made_of_loads_that_end() -> None:
    rig = GpuRig()
    context = rig.execute(0)
    page = memoryview(rig.ggtt.read(context.image + STATE_OFFSET, 4096)).cast("I")
    dword, names = 0, list[int]()
    while page[dword] != BATCH_END:
        if page[dword] == 0:
            dword += 1
            continue
        assert page[dword] & 0xFF800000 == 0x11000000, hex(dword)
        pairs = (page[dword] & 0xFF) + 1 >> 1
        names += page[dword + 1 : dword + 1 + 2 * pairs : 2].tolist()
        dword += 1 + 2 * pairs
    assert dword < 1024
    assert names[-1] == 0xE4F0
    assert 0x2244 in names and 0x267C in names and 0x7014 in names
    assert len(names) == len(set(names))


def test_the_head_is_saved_with_the_times_it_came_round() -> None:
    rig = GpuRig(Engine.VECS0)
    context = RigContext(rig, 0x20)
    for _ in range(9):
        context.write(*[0] * 250)
        rig.submit(context)
        rig.run()
    assert rig.done
    assert context.value("head") == 9 * 250 * 4 % 4096 | (9 * 250 * 4 // 4096) << 21


def test_a_context_left_inside_a_batch_goes_on_there() -> None:
    rig = GpuRig(Engine.RCS0)
    spinner = RigContext(rig, 0x20)
    data = spinner.map(0x10000)
    spinner.batch(0x30000, 0x0E00C002, 7, 0x10000, 0, 0x10000002, 0x10004, 0, 2, BATCH_END)
    spinner.batch(0x20000, BATCH_START | 1 << 22, 0x30000, 0, 0x10000002, 0x10008, 0, 3, BATCH_END)
    spinner.write(BATCH_START, 0x20000, 0, SDI_GLOBAL, rig.status_page + 0x100, 0, 4)
    other = RigContext(rig, 0x40)
    other.write(SDI_GLOBAL, rig.status_page + 0x104, 0, 5)
    rig.submit(spinner)
    rig.run()
    rig.submit(other)
    rig.run()
    assert rig.ggtt.read32(rig.status_page + 0x104) == 5
    assert (spinner.value("bbaddr"), spinner.value("bbaddr_udw"), spinner.value("bbstate")) == (0x2000C | 1, 0, 0x20)
    assert (spinner.value("sbbaddr"), spinner.value("sbbstate")) == (0x30000 | 1, 0x20)
    rig.poke(data, 7)
    rig.submit(spinner)
    rig.run()
    assert rig.peek(data, 3) == [7, 2, 3]
    assert rig.ggtt.read32(rig.status_page + 0x100) == 4
    assert (spinner.value("bbaddr"), spinner.value("sbbaddr")) == (0, 0)


def test_a_contexts_time_counts_on_where_the_image_has_it_and_only_while_it_runs() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.set("ctx_timestamp", 0xFFFFFFF0)
    runtime = EngineRegisters.ctx_timestamp.at("BCS0")
    rig.execute(SEMAPHORE_EQUAL, 0, rig.status_page + 0x200, 0, SRM_GLOBAL, runtime, rig.status_page + 0x100, 0, context=context)
    inside, saved = rig.ggtt.read32(rig.status_page + 0x100), context.value("ctx_timestamp")
    assert 0 < inside + 0x10 & 0xFFFFFFFF < 100_000  # the counter came round
    assert 0 <= saved - inside < 100_000
    rig.run(50_000_000)
    rig.execute(0, context=context)
    assert 0 < context.value("ctx_timestamp") - saved < 100_000


def test_save_inhibit_leaves_the_engines_part_of_the_image_alone() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.set("context_control", 0x000F_000D)
    context.set("gpr_lo[0]", 0x77)
    rig.execute(*load(EngineRegisters.gpr_lo.at("BCS0"), 0x88), context=context)
    assert context.value("gpr_lo[0]") == 0x77
    assert context.value("head") == context.tail


def test_work_around_batches_run_before_the_ring_at_every_restore() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    count = rig.status_page + 0x100
    increment = (0x17C00001 | 0x05 << 8, count, 0)
    indirect, per_context = rig.allocate(1), rig.allocate(1)
    for index, dword in enumerate((0x04000000, *increment, *increment, 0x04000001)):
        rig.ggtt.write32(indirect + 4 * index, dword)
    for index, dword in enumerate((*increment, BATCH_END, *increment)):
        rig.ggtt.write32(per_context + 4 * index, dword)
    rig.ggtt.write32(indirect + 64, 0xFFFFFFFF)  # behind the batch's one line
    context.set("indirect_ctx", indirect | 1)
    context.set("indirect_ctx_offset", 0x26 << 6)
    context.set("bb_per_ctx_ptr", per_context | 1)
    rig.execute(SRM_GLOBAL, EngineRegisters.start.at("RCS0"), rig.status_page + 0x104, 0, context=context)
    assert rig.ggtt.read32(count) == 3
    assert rig.ggtt.read32(count + 4) == context.ring
    rig.execute(0, context=context)
    assert rig.ggtt.read32(count) == 6
    assert list(rig.findings) == []


@pytest.mark.parametrize(("name", "value"), [("head", 0x1000), ("tail", 0x2008), ("control", 0x1)])
def test_a_ring_that_does_not_hold_its_head_and_tail_hangs_the_engine(name: str, value: int) -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20, ring_pages=2)
    context.write(*[0] * 1026)
    context.set(name, value if name != "head" else 0x2000)
    rig.submit(context)
    rig.run()
    assert not rig.done
    assert [finding.rule for finding in rig.findings] == ["context-not-runnable"]


def test_a_ring_that_is_not_enabled_is_taken_for_empty() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(SDI_GLOBAL, rig.status_page + 0x100, 0, 1)
    context.set("control", 0)
    rig.submit(context)
    rig.run()
    assert rig.done and rig.ggtt.read32(rig.status_page + 0x100) == 0
    assert [finding.rule for finding in rig.findings] == ["ring-disabled"]


def test_the_copy_engines_setup_is_kept_with_its_context() -> None:
    rig = GpuRig(Engine.BCS0)
    setup = setup_state(rig.engine)
    contexts = [RigContext(rig, 0x20), RigContext(rig, 0x40)]
    for number, context in enumerate(contexts):
        rig.execute(SEMAPHORE_EQUAL, 0, rig.status_page + 0x200, 0, context=context)
        assert setup.foreground == 0  # a first run begins with nothing
        context.write(SEMAPHORE_EQUAL, 1, rig.status_page + 0x200, 0)
        rig.submit(context)
        rig.run()
        setup.foreground, setup.pattern = 0x1000 + number, 0xABCD_0000_0000 + number
        rig.ggtt.write32(rig.status_page + 0x200, 1)
        rig.run()
        rig.ggtt.write32(rig.status_page + 0x200, 0)
    for number, context in enumerate(contexts):
        rig.execute(0, context=context)
        assert (setup.foreground, setup.pattern) == (0x1000 + number, 0xABCD_0000_0000 + number)
    rig.ggtt.write32(contexts[0].image + STATE_OFFSET + 4 * UNIT_STATE, 0xB17_0003)
    rig.execute(0, context=contexts[0])
    assert setup.foreground == 0
