"""2D commands in the buffers of an engine: page tables, slices, contexts, errors."""

from __future__ import annotations

import pytest
from support.blit_script import address, corner
from support.gpu_rig import GpuRig, RigContext

from host_model.gpu.blitter import drawing
from host_model.gpu.engine import Activity
from pvinfo.platform import Engine
from pvinfo.registers.blitter import BlitterRegisters, BlitterTiling
from pvinfo.units import PAGE_SIZE

LRI = 0x11000001
BATCH_START, BATCH_END = 0x18800101, 0x05000000
BATCH, TARGET, SOURCE = 0x10000, 0x100000, 0x1_0020_0000
BPP_32 = 3 << 24
COPY, COLOR = 0xCC << 16, 0xF0 << 16
BOTH_CHANNELS = 3 << 20


def header(opcode: int, length: int, fields: int = BOTH_CHANNELS) -> int:
    return 2 << 29 | opcode << 22 | fields | length - 2


def fill(pitch: int, width: int, height: int, color: int) -> list[int]:
    return [header(0x50, 7), BPP_32 | COLOR | pitch, 0, corner(width, height), *address(TARGET), color]


@pytest.fixture
def rig() -> GpuRig:
    return GpuRig(Engine.BCS0)


def test_a_batch_fills_a_surface_whose_pages_are_not_neighbours(rig: GpuRig) -> None:
    context = RigContext(rig, 0x20)
    pages = [context.map(TARGET + number * PAGE_SIZE) for number in (3, 1, 0, 2)]
    context.batch(BATCH, *fill(1024, 256, 16, 0xAABBCCDD), BATCH_END)
    rig.execute(BATCH_START, BATCH, 0, context=context)
    for page in pages:
        assert rig.peek(page, 1024) == [0xAABBCCDD] * 1024
    assert rig.done
    assert list(rig.findings) == []


def test_the_ring_reaches_the_contexts_own_addresses_too(rig: GpuRig) -> None:
    context = RigContext(rig, 0x20)
    target, source = context.map(TARGET), context.map(SOURCE)
    rig.poke(source, *range(1024))
    rig.execute(header(0x42, 10, 0), BPP_32 | PAGE_SIZE, 0, corner(1024, 1), *address(TARGET), 0, PAGE_SIZE, *address(SOURCE), context=context)
    assert rig.peek(target, 1024) == list(range(1024))


def test_a_register_makes_tiles_y_tiles_under_its_mask(rig: GpuRig) -> None:
    register = BlitterRegisters.software_control.offset
    rig.bus.masked.add(register)
    context = RigContext(rig, 0x20)
    target, source = context.map(TARGET), context.map(SOURCE)
    rig.poke(source, *range(1024))
    y = BlitterTiling.destination_y.mask
    copy = [header(0x53, 10, BOTH_CHANNELS | 1 << 11), BPP_32 | COPY | 128 // 4, 0, corner(32, 32), *address(TARGET), 0, 128, *address(SOURCE)]
    rig.execute(LRI, register, y << 16 | y, *copy, context=context)
    tiled = rig.peek(target, 1024)
    assert tiled[:8] == [0, 1, 2, 3, 32, 33, 34, 35]
    assert tiled[128:132] == [4, 5, 6, 7]


def test_a_long_drawing_takes_many_slices_and_the_commands_behind_it_wait(rig: GpuRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_STRIP_BYTES", 2 * PAGE_SIZE)
    context = RigContext(rig, 0x20)
    target = context.map(TARGET, 64)
    rig.execute(*fill(1024, 256, 256, 7), *fill(1024, 1, 1, 9), context=context)
    assert rig.peek(target, 64 * 1024) == [9] + [7] * (64 * 1024 - 1)


def test_each_context_finds_its_setup_again(rig: GpuRig) -> None:
    contexts = []
    for number, color in ((0x20, 1), (0x40, 2)):
        context = RigContext(rig, number)
        page = context.map(TARGET)
        rig.execute(header(0x01, 10), BPP_32 | COLOR | 64, 0, corner(8, 8), *address(TARGET), color, 0, *address(0), context=context)
        contexts.append((context, page, color))
    for context, page, color in contexts:
        rig.execute(header(0x24, 2, 0), corner(3, 0), context=context)
        assert rig.peek(page, 5) == [0, 0, 0, color, 0]


def test_a_surface_that_leads_nowhere_hangs_the_engine_with_nothing_drawn(rig: GpuRig) -> None:
    context = RigContext(rig, 0x20)
    target = context.map(TARGET)
    context.write(*fill(1024, 256, 8, 7))
    rig.submit(context)
    rig.run()
    assert rig.engine.activity is Activity.HUNG
    assert rig.peek(target, 1024) == [0] * 1024


def test_a_command_that_means_nothing_hangs_the_engine_and_says_why(rig: GpuRig) -> None:
    context = RigContext(rig, 0x20)
    target = context.map(TARGET)
    context.write(header(0x50, 7, BOTH_CHANNELS | 1 << 11), BPP_32 | COLOR | 128, 0, corner(1, 1), *address(TARGET + 64), 7)
    rig.submit(context)
    rig.run()
    assert rig.engine.activity is Activity.HUNG
    [finding] = rig.findings.of_rule("blt-tiled-base")
    assert finding.text.startswith("XY_COLOR_BLT: the destination at 0x100040 is tiled (X): its base is a multiple of 0x1000")
    assert rig.peek(target, 1024) == [0] * 1024
