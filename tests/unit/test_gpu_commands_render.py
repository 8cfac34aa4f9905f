"""Commands of the render engine's pipeline: every form of PIPE_CONTROL, and what is passed over."""

from __future__ import annotations

import pytest
from support.gpu_rig import GpuRig, RigContext

from pvinfo.commands.pipe_control import PIPE_CONTROL, PipeControl, PipeControlFlags
from pvinfo.finding import FindingKind
from pvinfo.platform import Engine
from pvinfo.registers.engine import EngineRegisters

DATA = 0x10000
BATCH_START, BATCH_END = 0x18800101, 0x05000000


def words(*commands: bytes) -> list[int]:
    return memoryview(b"".join(commands)).cast("I").tolist()


def flush(address: int = 0, value: int = 0, **flags: int) -> bytes:
    return PIPE_CONTROL.build(PipeControl(flags=PipeControlFlags.of(**flags), address=address, value=value))


def test_every_post_sync_write() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    data = context.map(DATA)
    rig.registers.write32(0x2350, 0x99)
    rig.registers.write32(0x2354, 0x1)
    rig.execute(
        *words(
            flush(rig.status_page + 0x300, 0x1_0000_0002, post_sync=1, use_global_gtt=1, cs_stall=1),
            flush(DATA, 0x3_0000_0004, post_sync=1),
            flush(0xD0, 5, post_sync=1, store_index=1),
            flush(DATA + 8, post_sync=2),
            flush(DATA + 16, post_sync=3),
            flush(DATA + 24, 6),
        ),
        context=context,
    )
    assert rig.done
    assert rig.ggtt.read64(rig.status_page + 0x300) == 0x1_0000_0002
    assert rig.ggtt.read64(context.image + 0xD0) == 5
    low, high, depth, depth_high, stamp, _, nothing = rig.peek(data, 7)
    assert (low, high, depth, depth_high, nothing) == (4, 3, 0x99, 1, 0)
    assert stamp > 0


def test_the_immediate_may_go_to_a_register() -> None:
    rig = GpuRig(Engine.RCS0)
    rig.execute(*words(flush(0x7018, 0x55, mmio_write=1)))
    assert rig.bus.writes == [(0x7018, 0x55)]


def test_notification_comes_after_the_write() -> None:
    rig = GpuRig(Engine.RCS0)
    seen: list[int] = []
    rig.engine._interrupt = lambda event: seen.append(rig.ggtt.read32(rig.status_page + 0x300)) if event == 1 << 4 else None
    rig.execute(*words(flush(rig.status_page + 0x300, 7, post_sync=1, use_global_gtt=1, notify=1)))
    assert seen == [7]


def test_without_privilege_neither_the_global_table_nor_a_register_is_written() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    data = context.map(DATA)
    commands = flush(rig.status_page + 0x300, 1, post_sync=1, use_global_gtt=1), flush(0x7018, 2, mmio_write=1), flush(DATA, 3, post_sync=1)
    context.batch(0x40000, *words(*commands), BATCH_END)
    rig.execute(BATCH_START, 0x40000, 0, context=context)
    assert (rig.ggtt.read32(rig.status_page + 0x300), rig.bus.writes, rig.peek(data)) == (0, [], [3])
    assert rig.register(EngineRegisters.esr.offset) == 4


def test_a_flush_that_drops_translations_makes_a_rewritten_table_count() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    old, new = context.map(DATA), rig.page()
    rig.execute(0x10000002, DATA, 0, 1, context=context)
    context.tables.map(DATA, new)
    rig.execute(0x10000002, DATA, 0, 2, *words(flush(invalidate_tlb=1, cs_stall=1)), 0x10000002, DATA, 0, 3, context=context)
    assert (rig.peek(old), rig.peek(new)) == ([2], [3])


@pytest.mark.parametrize(
    ("engine", "command", "length", "name"),
    [
        (Engine.RCS0, 0x7B000005, 7, "3DPRIMITIVE"), (Engine.RCS0, 0x7105000D, 15, "GPGPU_WALKER"), (Engine.VECS0, 0x74030002, 4, "VEB_DI_IECP"),
        (Engine.BCS0, 0x0A000001, 3, "MI_DISPLAY_FLIP"),
    ],
)  # fmt: skip
def test_work_that_is_not_done_takes_its_length_and_is_said_once_for_each_kind(engine: Engine, command: int, length: int, name: str) -> None:
    rig = GpuRig(engine)
    rig.execute(*[command, *[0xFFFFFFFF] * (length - 1)] * 3, 0x10400002, rig.status_page + 0x300, 0, 1)
    assert rig.done and rig.ggtt.read32(rig.status_page + 0x300) == 1
    (finding,) = rig.findings
    assert (finding.kind, finding.rule, finding.where) == (FindingKind.NOTE, "command-not-executed", f"{engine.value} {name}")
    assert (finding.occurrences, rig.engine.commands) == (1, 4 if length * 3 % 2 == 0 else 5)


@pytest.mark.parametrize(
    ("engine", "command", "length"),
    [
        (Engine.RCS0, 0x69040300, 1), (Engine.RCS0, 0x79170101, 259), (Engine.RCS0, 0x61010011, 19), (Engine.RCS0, 0x70000007, 9),
        (Engine.VCS0, 0x70000003, 5), (Engine.VECS0, 0x74000002, 4),
    ],
)  # fmt: skip
def test_state_for_such_work_is_passed_over_by_its_length(engine: Engine, command: int, length: int) -> None:
    rig = GpuRig(engine)
    rig.execute(*[command, *[0xFFFFFFFF] * (length - 1)] * 2, 0x10400002, rig.status_page + 0x300, 0, 1)
    assert rig.done and rig.ggtt.read32(rig.status_page + 0x300) == 1
    (finding,) = rig.findings
    assert (finding.kind, finding.rule, finding.occurrences) == (FindingKind.NOTE, "pipeline-state", 1)


def test_a_row_of_draws_can_be_left_between_them() -> None:
    rig = GpuRig(Engine.RCS0)
    rig.watch_events()
    drawing, other = RigContext(rig, 0x20, ring_pages=8), RigContext(rig, 0x40)
    drawing.write(*[0x7B000005, 0, 0, 0, 0, 0, 0] * 1000)
    other.write(0x10400002, rig.status_page + 0x300, 0, 1)
    rig.submit(drawing)
    rig.run(1_000_000)
    rig.submit(other, drawing)
    rig.run(100_000)
    assert rig.ggtt.read32(rig.status_page + 0x300) == 1
    assert rig.events() == [(1, 0x20), (2, 0x20), (0x14, 0x40)]
    rig.run(30_000_000)
    assert rig.done and drawing.value("head") == drawing.tail


def test_draws_take_time_and_let_others_have_their_turn() -> None:
    rig = GpuRig(Engine.RCS0)
    told: list[int] = []
    rig.engine._interrupt = lambda event: told.append(rig.clock.now_ns()) if event == 1 else None
    rig.execute(*[0x7B000005, 0, 0, 0, 0, 0, 0] * 100, 0x01000000)
    assert told and 100 * 20_000 < told[0] < 100 * 21_000
