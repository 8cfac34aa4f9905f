"""The batch builder, dword by dword."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from guest_driver import Batch, BlitSurface, PipelineChoice, Rectangle, alu
from host_model.gpu.commands.execution import HANDLERS
from host_model.gpu.commands.table import command_table
from pvinfo.commands import command_for, declared_commands
from pvinfo.commands.blt import FastCopyTiling
from pvinfo.commands.mi import (
    AluOpcode,
    AluOperand,
    AtomicOpcode,
    FlushPostSync,
    PredicateCompare,
    PredicateMode,
    SemaphoreCompare,
    SemaphoreTarget,
    WaitForEventHeader,
)
from pvinfo.commands.pipe_control import PipeControlPostSync
from pvinfo.errors import StateError, UsageError
from pvinfo.platform import Engine

A: Final = 0x1_2345_6000
LINEAR: Final = BlitSurface(A, 4096)
TILED: Final = BlitSurface(A + 0x10_0000, 4096, 16, tiled=True)
BYTES: Final = BlitSurface(A, 64, 8)
AREA: Final = Rectangle(1, 2, 30, 40)


def words(build: Callable[[Batch], None]) -> tuple[int, ...]:
    batch = Batch()
    build(batch)
    return batch.words


FLOW: Final[dict[str, tuple[Callable[[Batch], None], tuple[int, ...]]]] = {
    "nothing": (lambda b: b.noop(), (0,)),
    "nothing, numbered": (lambda b: b.noop(0x2ABCD), (0x0042_ABCD,)),
    "interrupt": (lambda b: b.user_interrupt(), (0x0100_0000,)),
    "arbitration point": (lambda b: b.arb_check(), (0x0280_0000,)),
    "arbitration on": (lambda b: b.arb_on_off(enable=True), (0x0400_0001,)),
    "arbitration off": (lambda b: b.arb_on_off(enable=False), (0x0400_0000,)),
    "head report": (lambda b: b.report_head(), (0x0380_0000,)),
    "batch": (lambda b: b.batch_start(A), (0x1880_0101, 0x2345_6000, 1)),
    "batch of the global table": (lambda b: b.batch_start(0x1000, privileged=True), (0x1880_0001, 0x1000, 0)),
    "second level batch": (
        lambda b: b.batch_start(A, second_level=True, predicate=True, add_offset=True), (0x18C1_8101, 0x2345_6000, 1)
    ),
    "end": (lambda b: b.batch_end(), (0x0500_0000,)),
    "conditional end": (lambda b: b.conditional_end(A, 7), (0x1B20_0002, 7, 0x2345_6000, 1)),
    "masked conditional end": (lambda b: b.conditional_end(0x2000, 7, use_global_gtt=True, mask=True), (0x1B68_0002, 7, 0x2000, 0)),
    "semaphore": (lambda b: b.semaphore_wait(A, 5), (0x0E00_9002, 5, 0x2345_6000, 1)),
    "signalled semaphore": (
        lambda b: b.semaphore_wait(0x1000, 5, SemaphoreCompare.NOT_EQUAL, poll=False, use_global_gtt=True), (0x0E40_5002, 5, 0x1000, 0)
    ),
    "semaphore in a register": (
        lambda b: b.semaphore_wait(0x2600, 5, SemaphoreCompare.EQUAL, register_poll=True), (0x0E01_C002, 5, 0x2600, 0)
    ),
    "signal": (lambda b: b.semaphore_signal(SemaphoreTarget.BCS0, 0x20), (0x0D81_0000, 0x20)),
    "signal after what came before": (lambda b: b.semaphore_signal(SemaphoreTarget.VCS0, 0x40, post_sync=True), (0x0DA0_8000, 0x40)),
    "predicate": (lambda b: b.predicate(PredicateCompare.SOURCES_EQUAL), (0x0600_0082,)),
    "predicated commands": (lambda b: b.set_predicate(PredicateMode.ALWAYS), (0x0080_000F,)),
}  # fmt: skip

RARE: Final[dict[str, tuple[Callable[[Batch], None], tuple[int, ...]]]] = {
    "wait for display": (lambda b: b.wait_for_event(WaitForEventHeader.of(pipe_a_vblank=1, pipe_c_scan_line=1)), (0x0180_4008,)),
    "old flush": (lambda b: b.flush(read_flush=True, no_write_flush=True), (0x0200_0005,)),
    "flush that waits": (lambda b: b.suspend_flush(suspend=True), (0x0580_0001,)),
    "one kind of primitive": (lambda b: b.topology_filter(4), (0x0680_0004,)),
    "protected content": (lambda b: b.set_appid(5, transcode=True), (0x0700_0085,)),
    "lines of the cache": (lambda b: b.clflush(A, 2), (0x1380_0005, 0x2345_6000, 1, 0, 0, 0, 0)),
    "counters": (lambda b: b.report_perf_count(A, 7, use_global_gtt=True), (0x1400_0002, 0x2345_6001, 1, 7)),
}  # fmt: skip

MEMORY: Final[dict[str, tuple[Callable[[Batch], None], tuple[int, ...]]]] = {
    "dword": (lambda b: b.store_dword(A, 0xDEAD_BEEF), (0x1000_0002, 0x2345_6000, 1, 0xDEAD_BEEF)),
    "dword by the global table": (lambda b: b.store_dword(0x1000, 1, use_global_gtt=True), (0x1040_0002, 0x1000, 0, 1)),
    "quadword": (lambda b: b.store_qword(A, 0x1122_3344_5566_7788), (0x1020_0003, 0x2345_6000, 1, 0x5566_7788, 0x1122_3344)),
    "dword in the status page": (lambda b: b.store_dword_index(0x40, 3), (0x10A0_0001, 0x40, 3)),
    "dword in the engine's status page": (lambda b: b.store_dword_index(0x40, 3, per_process=False), (0x1080_0001, 0x40, 3)),
    "quadword in the status page": (lambda b: b.store_qword_index(0x40, 0x1_0000_0003), (0x10A0_0002, 0x40, 3, 1)),
    "copied dword": (lambda b: b.copy_dword(A, A + 0x1000), (0x1700_0003, 0x2345_6000, 1, 0x2345_7000, 1)),
    "dword copied by the global table": (
        lambda b: b.copy_dword(A, 0x1000, destination_global_gtt=True, source_global_gtt=True), (0x1760_0003, 0x2345_6000, 1, 0x1000, 0)
    ),
    "atomic with registers": (lambda b: b.atomic(AtomicOpcode.ADD, A), (0x1780_0701, 0x2345_6000, 1)),
    "atomic that returns": (
        lambda b: b.atomic(AtomicOpcode.ADD, A, 3, 4, return_data=True, cs_stall=True),
        (0x1787_0709, 0x2345_6000, 1, 3, 4, 0, 0, 0, 0, 0, 0),
    ),
    "atomic on a quadword": (
        lambda b: b.atomic(AtomicOpcode.QWORD_UNSIGNED_MAX, 0x1008, 0x1_0000_0003, 4, use_global_gtt=True),
        (0x17CC_2C09, 0x1008, 0, 3, 4, 1, 0, 0, 0, 0, 0),
    ),
    "entries of the global table": (
        lambda b: b.update_gtt(0x1_0000, [0x1234_5001, 0x1_1234_6001]), (0x1180_0004, 0x1_0000, 0x1234_5001, 0, 0x1234_6001, 1)
    ),
}  # fmt: skip

REGISTERS: Final[dict[str, tuple[Callable[[Batch], None], tuple[int, ...]]]] = {
    "loads": (lambda b: b.load_register_imm((0x2600, 1), (0x2604, 2)), (0x1100_0003, 0x2600, 1, 0x2604, 2)),
    "posted load": (lambda b: b.load_register_imm((0x2600, 1), force_posted=True), (0x1100_1001, 0x2600, 1)),
    "store": (lambda b: b.store_register(0x2358, A), (0x1200_0002, 0x2358, 0x2345_6000, 1)),
    "predicated store": (lambda b: b.store_register(0x2358, 0x1000, use_global_gtt=True, predicate=True), (0x1260_0002, 0x2358, 0x1000, 0)),
    "load from memory": (lambda b: b.load_register_mem(0x2600, A), (0x1480_0002, 0x2600, 0x2345_6000, 1)),
    "load that is not waited for": (
        lambda b: b.load_register_mem(0x2600, 0x1000, use_global_gtt=True, asynchronous=True), (0x14E0_0002, 0x2600, 0x1000, 0)
    ),
    "copied register": (lambda b: b.load_register_reg(0x2608, 0x2600), (0x1500_0001, 0x2600, 0x2608)),
    "sum of two registers": (
        lambda b: b.math((
            alu(AluOpcode.LOAD, AluOperand.SRCA, AluOperand.R1), alu(AluOpcode.LOAD, AluOperand.SRCB, AluOperand.R2),
            alu(AluOpcode.ADD), alu(AluOpcode.STORE, AluOperand.R3, AluOperand.ACCU),
        )),
        (0x0D00_0003, 0x0800_8001, 0x0800_8402, 0x1000_0000, 0x1800_0C31),
    ),
}  # fmt: skip

FLUSHES: Final[dict[str, tuple[Callable[[Batch], None], tuple[int, ...]]]] = {
    "flush": (lambda b: b.flush_dw(), (0x1300_0002, 0, 0, 0)),
    "flush that writes and drops": (
        lambda b: b.flush_dw(
            A, 9, post_sync=FlushPostSync.WRITE_IMMEDIATE, use_global_gtt=True, notify=True, invalidate_tlb=True, invalidate_bsd=True, flush_llc=True
        ),
        (0x1304_4382, 0x2345_6004, 1, 9),
    ),
    "flush that writes a quadword": (
        lambda b: b.flush_dw(0x40, 0x1_0000_0002, qword=True, store_index=True, post_sync=FlushPostSync.WRITE_IMMEDIATE),
        (0x1320_4003, 0x40, 0, 2, 1),
    ),
    "pipe control": (lambda b: b.pipe_control(), (0x7A00_0004, 0, 0, 0, 0, 0)),
    "pipe control that flushes and writes": (
        lambda b: b.pipe_control(
            A, 0x1_0000_0002, post_sync=PipeControlPostSync.WRITE_IMMEDIATE, cs_stall=True, flush_render=True, flush_data=True
        ),
        (0x7A00_0004, 1 << 20 | 1 << 14 | 1 << 12 | 1 << 5 | 1, 0x2345_6000, 1, 2, 1),
    ),
    "pipe control that drops": (
        lambda b: b.pipe_control(invalidate=True, stall_at_scoreboard=True, depth_stall=True, flush_l3=True, flush_enable=True, notify=True),
        (0x7A00_0004, 1 << 27 | 1 << 18 | 1 << 13 | 1 << 11 | 1 << 10 | 1 << 8 | 1 << 7 | 0x1E, 0, 0, 0, 0),
    ),
    "pipe control that writes a register": (
        lambda b: b.pipe_control(0x2600, 1, mmio_write=True, post_sync=PipeControlPostSync.WRITE_IMMEDIATE),
        (0x7A00_0004, 1 << 23 | 1 << 14, 0x2600, 0, 1, 0),
    ),
    "pipeline": (lambda b: b.pipeline_select(PipelineChoice.GPGPU), (0x6904_0302,)),
    "pipeline on gen8": (lambda b: b.pipeline_select(PipelineChoice.MEDIA, masked=False), (0x6904_0001,)),
    "stage that is off": (lambda b: b.pipeline_command("3DSTATE_VS", (0,) * 8), (0x7810_0007, *(0,) * 8)),
}  # fmt: skip

CORNERS: Final = (0x0002_0001, 0x002A_001F)
BLITS: Final[dict[str, tuple[Callable[[Batch], None], tuple[int, ...]]]] = {
    "fill": (lambda b: b.xy_color_blt(LINEAR, AREA, 0x1122_3344), (0x5430_0005, 0x03F0_1000, *CORNERS, 0x2345_6000, 1, 0x1122_3344)),
    "clipped fill of a tiled surface": (
        lambda b: b.xy_color_blt(TILED, AREA, 0x1122, raster_operation=0x5A, clipping=True),
        (0x5400_0805, 0x415A_0400, *CORNERS, 0x2355_6000, 1, 0x1122),
    ),
    "copy": (
        lambda b: b.xy_src_copy_blt(LINEAR, AREA, TILED, 5, 6),
        (0x54F0_8008, 0x03CC_1000, *CORNERS, 0x2345_6000, 1, 0x0006_0005, 0x400, 0x2355_6000, 1),
    ),
    "fast copy": (
        lambda b: b.xy_fast_copy_blt(
            LINEAR, Rectangle(4, 2, 32, 40), BlitSurface(A, 1024, 32, tiled=True), 8, 6, source_tiling=FastCopyTiling.Y
        ),
        (0x50A0_0008, 0x0300_1000, 0x0002_0004, 0x002A_0024, 0x2345_6000, 1, 0x0006_0008, 0x100, 0x2345_6000, 1),
    ),
    "linear fill": (lambda b: b.color_blt(LINEAR, 64, 8, 0xFF), (0x5030_0004, 0x03F0_1000, 0x0008_0040, 0x2345_6000, 1, 0xFF)),
    "linear copy from right to left": (
        lambda b: b.src_copy_blt(LINEAR, 64, 8, BlitSurface(A + 8192, 256), backwards=True),
        (0x50F0_0006, 0x43CC_1000, 0x0008_0040, 0x2345_6000, 1, 0x100, 0x2345_8000, 1),
    ),
    "setup": (
        lambda b: b.xy_setup_blt(LINEAR, foreground=1, background=2, pattern=0x4000, clip=AREA),
        (0x4070_0008, 0x43F0_1000, *CORNERS, 0x2345_6000, 1, 2, 1, 0x4000, 0),
    ),
    "setup of scan lines": (
        lambda b: b.xy_setup_mono_pattern_sl_blt(LINEAR, 0x8040_2010_0804_0201, foreground=1, background=2, transparent=True),
        (0x4470_0008, 0x13F0_1000, 0, 0, 0x2345_6000, 1, 2, 1, 0x0804_0201, 0x8040_2010),
    ),
    "clipping rectangle": (lambda b: b.xy_setup_clip_blt(AREA), (0x40C0_0001, *CORNERS)),
    "pixel left of the surface": (lambda b: b.xy_pixel_blt(-1, 5), (0x4900_0000, 0x0005_FFFF)),
    "scan lines": (lambda b: b.xy_scanlines_blt(AREA, seed=(3, 5)), (0x4940_3501, *CORNERS)),
    "text": (lambda b: b.xy_text_blt(AREA, 0x5000, byte_packed=True), (0x4981_0003, *CORNERS, 0x5000, 0)),
    "text in the command": (lambda b: b.xy_text_immediate_blt(AREA, b"\1\2\3"), (0x4C40_0003, *CORNERS, 0x0003_0201, 0)),
    "pattern": (
        lambda b: b.xy_pat_blt(LINEAR, AREA, 0x4040, seed=(1, 2)), (0x5470_1206, 0x03F0_1000, *CORNERS, 0x2345_6000, 1, 0x4040, 0)
    ),
    "pattern in the command": (
        lambda b: b.xy_pat_blt_immediate(BYTES, AREA, bytes(range(64))),
        (0x5C80_0014, 0x00F0_0040, *CORNERS, 0x2345_6000, 1, *(0x0302_0100 + 0x0404_0404 * at for at in range(16))),
    ),
    "pattern of bits": (
        lambda b: b.xy_mono_pat_blt(LINEAR, AREA, 0x0102_0304_0506_0708, 1, 2, transparent=True),
        (0x54B0_0008, 0x13F0_1000, *CORNERS, 0x2345_6000, 1, 2, 1, 0x0506_0708, 0x0102_0304),
    ),
    "pattern of the blitter's own": (
        lambda b: b.xy_mono_pat_fixed_blt(LINEAR, AREA, 9, 1, 2), (0x5674_8006, 0x03F0_1000, *CORNERS, 0x2345_6000, 1, 2, 1)
    ),
    "bits": (
        lambda b: b.xy_mono_src_copy_blt(LINEAR, AREA, 0x5000, 1, 2, first_bit=3, transparent=True),
        (0x5536_0008, 0x23CC_1000, *CORNERS, 0x2345_6000, 1, 0x5000, 0, 2, 1),
    ),
    "bits in the command": (
        lambda b: b.xy_mono_src_copy_immediate_blt(LINEAR, AREA, b"\xff", 1, 2), (0x5C70_0008, 0x03CC_1000, *CORNERS, 0x2345_6000, 1, 2, 1, 0xFF, 0)
    ),
    "copy with a key": (
        lambda b: b.xy_src_copy_chroma_blt(LINEAR, AREA, LINEAR, 0, 0, (1, 2), 2),
        (0x5CF4_000A, 0x03CC_1000, *CORNERS, 0x2345_6000, 1, 0, 0x1000, 0x2345_6000, 1, 1, 2),
    ),
    "everything": (
        lambda b: b.xy_full_blt(LINEAR, AREA, LINEAR, 3, 4, 0x4000, 0xCA),
        (0x5570_000A, 0x03CA_1000, *CORNERS, 0x2345_6000, 1, 0x1000, 0x0004_0003, 0x2345_6000, 1, 0x4000, 0),
    ),
    "pattern with a key": (
        lambda b: b.xy_pat_chroma_blt(LINEAR, AREA, 0x4040, (1, 2), 1),
        (0x5DB2_0008, 0x03F0_1000, *CORNERS, 0x2345_6000, 1, 0x4040, 0, 1, 2),
    ),
    "pattern with a key in the command": (
        lambda b: b.xy_pat_chroma_blt_immediate(BYTES, AREA, bytes(64), (1, 2), 1),
        (0x5DC2_0016, 0x00F0_0040, *CORNERS, 0x2345_6000, 1, 1, 2, *(0,) * 16),
    ),
    "everything with the pattern in the command": (
        lambda b: b.xy_full_immediate_pattern_blt(BYTES, AREA, BYTES, 3, 4, bytes(64), 0xCA),
        (0x5D00_0018, 0x00CA_0040, *CORNERS, 0x2345_6000, 1, 0x40, 0x0004_0003, 0x2345_6000, 1, *(0,) * 16),
    ),
    "everything with a pattern of bits": (
        lambda b: b.xy_full_mono_pattern_blt(LINEAR, AREA, LINEAR, 3, 4, 0x1122_3344_5566_7788, 1, 2, 0xCA, transparent=True),
        (0x55F0_000C, 0x13CA_1000, *CORNERS, 0x2345_6000, 1, 0x1000, 0x0004_0003, 0x2345_6000, 1, 2, 1, 0x5566_7788, 0x1122_3344),
    ),
    "everything with bits": (
        lambda b: b.xy_full_mono_src_blt(LINEAR, AREA, 0x5000, 1, 2, 0x4040, 0xCA, first_bit=1, transparent=True),
        (0x55B2_000A, 0x23CA_1000, *CORNERS, 0x2345_6000, 1, 0x5000, 0, 2, 1, 0x4040, 0),
    ),
    "everything with bits and the pattern in the command": (
        lambda b: b.xy_full_mono_src_immediate_pattern_blt(BYTES, AREA, 0x5000, 1, 2, bytes(64), 0xCA),
        (0x5D40_0018, 0x00CA_0040, *CORNERS, 0x2345_6000, 1, 0x5000, 0, 2, 1, *(0,) * 16),
    ),
    "everything with bits and a pattern of bits": (
        lambda b: b.xy_full_mono_pattern_mono_src_blt(
            LINEAR, AREA, 0x5000, 1, 2, 0x1122_3344_5566_7788, 3, 4, 0xCA, transparent=True, pattern_transparent=True, seed=(1, 2)
        ),
        (0x5630_120C, 0x33CA_1000, *CORNERS, 0x2345_6000, 1, 0x5000, 0, 2, 1, 4, 3, 0x5566_7788, 0x1122_3344),
    ),
    "Y tiles": (lambda b: b.blitter_tiling(destination_y=True), (0x1300_0002, 0, 0, 0, 0x1100_0001, 0x2_2200, 0x0003_0002)),
}  # fmt: skip

EVERY: Final = {**FLOW, **RARE, **MEMORY, **REGISTERS, **FLUSHES, **BLITS}


@pytest.mark.parametrize("name", EVERY)
def test_each_method_writes_its_command(name: str) -> None:
    build, expected = EVERY[name]
    assert [f"{word:#010x}" for word in words(build)] == [f"{word:#010x}" for word in expected]


def test_a_batch_is_its_commands_one_after_the_other() -> None:
    batch = Batch()
    batch.store_dword(0x1_0000, 7)
    assert (len(batch), batch.position) == (4, 16)
    batch.batch_end()
    assert batch.bytes == bytes.fromhex("02000010 00000100 00000000 07000000 00000005")
    assert tuple(batch) == batch.words


def test_alignment_is_by_commands_that_do_nothing() -> None:
    batch = Batch()
    batch.batch_end()
    batch.align()
    assert batch.words == (0x0500_0000, 0)
    batch.align(64)
    assert len(batch) == 16
    batch.align(64)
    assert len(batch) == 16


def test_a_batch_that_knows_its_address_can_be_jumped_into() -> None:
    batch = Batch(0xFFFF_8000_0000_0000)
    batch.noop()
    assert batch.here == 0xFFFF_8000_0000_0004
    batch.batch_start(batch.here)
    assert batch.words == (0, 0x1880_0101, 4, 0xFFFF_8000)
    with pytest.raises(StateError, match="the address of a command"):
        Batch().here  # noqa: B018


def test_dwords_can_be_written_as_they_are_and_again() -> None:
    batch = Batch()
    batch.raw((1, 2, 3))
    batch.rewrite(4, (7,))
    assert batch.words == (1, 7, 3)
    for position in (-4, 2, 12):
        with pytest.raises(UsageError, match=f"1 dwords at byte {position}: there are 3 dwords"):
            batch.rewrite(position, (0,))
    with pytest.raises(UsageError, match="3 bytes: commands are made of dwords"):
        batch.add(b"abc")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: b.store_dword(1 << 48, 0), "0x1000000000000 is no virtual address"),
        (lambda b: b.store_dword(0x8000_0000_0000 | 1 << 63, 0), "is no virtual address"),
        (lambda b: b.store_dword(-4, 0), "is no virtual address"),
        (lambda b: b.store_dword(0x1002, 0), "0x1002 is not a multiple of 4"),
        (lambda b: b.store_qword(0x1004, 0), "0x1004 is not a multiple of 8"),
        (lambda b: b.flush_dw(0x1004), "0x1004 is not a multiple of 8"),
        (lambda b: b.atomic(AtomicOpcode.QWORD_ADD, 0x1004), "0x1004 is not a multiple of 8"),
        (lambda b: b.update_gtt(0x1800, [0]), "0x1800 is not a multiple of 4096"),
        (lambda b: b.load_register_imm(), "0 registers to load with one command: it takes 1 to 126"),
        (lambda b: b.load_register_imm(*((0x2600, 0),) * 127), "127 registers to load"),
        (lambda b: b.load_register_imm((0x2601, 0)), "0x2601 is no register"),
        (lambda b: b.load_register_mem(0x80_0000, 0x1000), "0x800000 is no register"),
        (lambda b: b.clflush(A, 512), "512 lines to flush with one command: it takes 1 to 511"),
        (lambda b: b.clflush(A + 32), "is not a multiple of 64"),
        (lambda b: b.math(()), "0 steps of arithmetic in one command: it takes 1 to 64"),
        (lambda b: b.math((alu(AluOpcode.NOOP),) * 65), "65 steps of arithmetic"),
        (lambda b: b.pipeline_command("3DSTATE_NONE"), "no pipeline command 3DSTATE_NONE of rcs0"),
        (lambda b: b.raw((0, 1 << 32)), "0x100000000 is no dword"),
        (lambda b: b.store_dword_index(0x1000, 0), "byte 0x1000 of a status page: there are 4096, in steps of 4"),
        (lambda b: b.store_qword_index(4, 0), "byte 0x4 of a status page: there are 4096, in steps of 8"),
        (lambda b: b.atomic(AtomicOpcode.ADD, 0x1000, 1 << 32), "operands 0x100000000 and 0x0 of ADD, which works on a dword"),
        (lambda b: b.xy_pixel_blt(0x8000, 0), "pixel 32768, 0: coordinates have 16 bits, signed"),
        (lambda b: b.xy_color_blt(BlitSurface(A, 0x8000), AREA, 0), "a pitch of 32768 bytes"),
        (lambda b: b.xy_color_blt(BlitSurface(A, 4098, tiled=True), AREA, 0), "a pitch of 4098 bytes"),
        (lambda b: b.xy_color_blt(BlitSurface(A, 4096, 24), AREA, 0), "24 bits to a pixel"),
        (lambda b: b.xy_color_blt(LINEAR, AREA, 0, raster_operation=0x100), "raster operation 0x100"),
        (lambda b: b.xy_fast_copy_blt(BlitSurface(A, 4096, 24), AREA, LINEAR, 0, 0), "24 bits to a pixel: there are 8, 16, 32, 64, 128"),
        (lambda b: b.xy_pat_blt(LINEAR, AREA, 0x4020), "0x4020 is not a multiple of 64"),
    ],
)  # fmt: skip
def test_what_no_command_can_carry_is_refused_and_leaves_the_batch_as_it_was(build: Callable[[Batch], None], message: str) -> None:
    batch = Batch()
    batch.noop()
    with pytest.raises(UsageError, match=message):
        build(batch)
    assert batch.words == (0,)


def test_a_pipeline_command_has_the_length_that_it_has() -> None:
    with pytest.raises(UsageError, match="PIPELINE_SELECT of 2 dwords"):
        Batch().pipeline_command("PIPELINE_SELECT", (0,))


@pytest.mark.parametrize(
    "build",
    [
        lambda b: b.store_dword(0x1000, 1 << 32), lambda b: b.store_dword(0x1000, -1), lambda b: b.noop(1 << 22),
        lambda b: b.color_blt(LINEAR, 1 << 16, 1, 0), lambda b: b.xy_setup_clip_blt(Rectangle(-1, 0, 3, 3)),
        lambda b: b.xy_text_immediate_blt(AREA, bytes(4096)),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused_and_leave_the_batch_as_it_was(build: Callable[[Batch], None]) -> None:
    batch = Batch()
    batch.noop()
    with pytest.raises(ValueError, match="fit|this one has"):
        build(batch)
    assert batch.words == (0,)


# ---- all of them ----

OF_OTHER_HARDWARE: Final = {"MI_SEMAPHORE_MBOX"}
"""Commands that engines take, and that mean something on hardware before gen8 only."""
NO_COMMANDS: Final = {"add", "raw", "rewrite", "align", "blitter_tiling", "pipeline_command"}
"""Methods that are not named after a command."""


def names_of(words: tuple[int, ...]) -> set[str]:
    return {command.name for engine in Engine if (command := command_for(engine, words[0])) is not None}


def test_there_is_a_method_for_every_command_that_engines_execute() -> None:
    assert callable(command_table), "imported, and with it all that registers what engines execute"
    built = set[str]().union(*(names_of(words(build)) for build, _ in EVERY.values()))
    assert set(HANDLERS) - built == OF_OTHER_HARDWARE


def test_every_method_says_first_which_command_it_is() -> None:
    methods = {name: method for name, method in vars_of(Batch).items() if not name.startswith("_")}
    commands = {name: (method.__doc__ or "").partition(":")[0] for name, method in methods.items() if name not in NO_COMMANDS}
    assert {name: text for name, text in commands.items() if command_of(text) is None} == {"pipe_control_exactly": "PIPE_CONTROL with exactly these ``flags``."}


def vars_of(kind: type) -> dict[str, Callable[..., None]]:
    """Methods that return nothing, its own and those it has inherited."""
    return {
        name: member for base in reversed(kind.__mro__) for name, member in vars(base).items()
        if callable(member) and getattr(member, "__annotations__", {}).get("return") == "None"
    }  # fmt: skip


def command_of(text: str) -> str | None:
    return text if text in {command.name for command in declared_commands()} else None
