"""What the real driver puts in rings and batches is read from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvinfo.commands import build, command_for, walk
from pvinfo.commands.mi import (
    MI_FLUSH_DW,
    AluInstruction,
    AluOpcode,
    AluOperand,
    AluStep,
    BatchBufferStartHeader,
    FlushAddress,
    FlushDwHeader,
    FlushPostSync,
    MiBatchBufferStart,
    MiFlushDw,
    MiMath,
    MiStoreDwordImm,
    StoreAddress,
    StoreDataImmHeader,
)
from pvinfo.commands.pipe_control import PipeControl, PipeControlFlags, PipeControlPostSync
from pvinfo.execlist import SCRATCH_OFFSET
from pvinfo.platform import Engine

DATA = Path(__file__).parent / "data"

INVALIDATE = [0x7A000004, 0x00344C1C, 0xD0, 0, 0, 0]
SEQNO_ADDRESS, SEQNO = 0x00ABC100, 2
TAIL = [0x01000000, 0x04000001, 0x02800000, 0x00000000]
RENDER_REQUEST = [
    0x7A000004, 0, 0, 0, 0, 0,
    *INVALIDATE,
    0x11000003, 0x7014, 0x00010001, 0xE194, 0x80008000, 0x00000000,
    0x04000000, 0x18800001, 0x00123000, 0,
    0x7A000004, 0x00141021, 0, 0, 0, 0,
    0x7A000004, 0x01104080, SEQNO_ADDRESS, 0, SEQNO, 0,
    *TAIL,
]  # fmt: skip
OTHER_REQUEST = [0x13244002, 0xD0, 0, 0, 0x13004002, SEQNO_ADDRESS | 4, 0, SEQNO, *TAIL]
INITIAL_BREADCRUMB = [0x10400002, SEQNO_ADDRESS, 0, SEQNO - 1, 0x00000000, 0x02800000]


def names(engine: Engine, dwords: list[int]) -> list[str]:
    steps = list(walk(engine, dwords))
    assert sum(step.length for step in steps) == len(dwords)
    return [step.command.name if step.command else "?" for step in steps]


def dwords_of(data: bytes) -> list[int]:
    return list(memoryview(data).cast("I"))


def test_a_request_of_the_render_engine_is_read_command_by_command() -> None:
    assert names(Engine.RCS0, RENDER_REQUEST) == [
        "PIPE_CONTROL", "PIPE_CONTROL", "MI_LOAD_REGISTER_IMM", "MI_NOOP", "MI_ARB_ON_OFF", "MI_BATCH_BUFFER_START", "PIPE_CONTROL", "PIPE_CONTROL",
        "MI_USER_INTERRUPT", "MI_ARB_ON_OFF", "MI_ARB_CHECK", "MI_NOOP",
    ]  # fmt: skip


@pytest.mark.parametrize("engine", [Engine.BCS0, Engine.VCS0, Engine.VECS0])
def test_a_request_of_the_other_engines_is_read_command_by_command(engine: Engine) -> None:
    assert names(engine, INITIAL_BREADCRUMB + OTHER_REQUEST) == [
        "MI_STORE_DATA_IMM", "MI_NOOP", "MI_ARB_CHECK", "MI_FLUSH_DW", "MI_FLUSH_DW", "MI_USER_INTERRUPT", "MI_ARB_ON_OFF", "MI_ARB_CHECK", "MI_NOOP",
    ]  # fmt: skip


def test_the_flush_that_begins_a_request_is_built_dword_for_dword() -> None:
    header = FlushDwHeader.of(store_index=1, invalidate_tlb=1, post_sync=FlushPostSync.WRITE_IMMEDIATE)
    assert dwords_of(build(MiFlushDw(header, FlushAddress(SCRATCH_OFFSET)))) == [0x13244002, 0xD0, 0, 0]
    video = FlushDwHeader.of(header, invalidate_bsd=1)
    assert dwords_of(build(MiFlushDw(video, FlushAddress(SCRATCH_OFFSET))))[0] == 0x13244082


def test_a_breadcrumb_flush_is_read_field_by_field() -> None:
    data = b"".join(dword.to_bytes(4, "little") for dword in OTHER_REQUEST[4:8])
    record = MI_FLUSH_DW.decode(data).record
    assert isinstance(record, MiFlushDw)
    assert record.header.post_sync is FlushPostSync.WRITE_IMMEDIATE
    assert not record.header.store_index
    assert record.address.use_global_gtt
    assert record.address.address << 3 == SEQNO_ADDRESS
    assert record.value == SEQNO


def test_the_render_engines_flushes_are_built_dword_for_dword() -> None:
    flags = PipeControlFlags.of(
        cs_stall=1, invalidate_tlb=1, instruction_cache_invalidate=1, texture_cache_invalidate=1, vf_cache_invalidate=1, const_cache_invalidate=1,
        state_cache_invalidate=1, post_sync=PipeControlPostSync.WRITE_IMMEDIATE, store_index=1,
    )  # fmt: skip
    assert dwords_of(build(PipeControl(flags=flags, address=SCRATCH_OFFSET))) == INVALIDATE
    breadcrumb = PipeControlFlags.of(post_sync=PipeControlPostSync.WRITE_IMMEDIATE, use_global_gtt=1, flush_enable=1, cs_stall=1)
    assert dwords_of(build(PipeControl(flags=breadcrumb, address=SEQNO_ADDRESS, value=SEQNO))) == RENDER_REQUEST[28:34]


def test_the_first_breadcrumb_and_the_starts_of_batches_are_built_dword_for_dword() -> None:
    store = MiStoreDwordImm(StoreDataImmHeader.of(use_global_gtt=1), StoreAddress(SEQNO_ADDRESS), SEQNO - 1)
    assert dwords_of(build(store)) == INITIAL_BREADCRUMB[:4]
    assert dwords_of(build(MiBatchBufferStart(address=0x123000))) == [0x18800001, 0x00123000, 0]
    unprivileged = MiBatchBufferStart(BatchBufferStartHeader.of(ppgtt=1), 0xFFFF_8000_0000_1000)
    assert dwords_of(build(unprivileged)) == [0x18800101, 0x00001000, 0xFFFF8000]


def test_the_arithmetic_of_the_kernels_delay_is_built_dword_for_dword() -> None:
    steps = [
        (AluOpcode.LOAD, AluOperand.SRCA, AluOperand.R1), (AluOpcode.LOAD, AluOperand.SRCB, AluOperand.R0), (AluOpcode.SUB, 0, 0),
        (AluOpcode.STORE, AluOperand.R2, AluOperand.ACCU), (AluOpcode.STORE, AluOperand.R4, AluOperand.CF),
    ]  # fmt: skip
    tail = [AluStep(AluInstruction.of(opcode=opcode, operand1=first, operand2=second)) for opcode, first, second in steps]
    assert dwords_of(build(MiMath(), tail)) == [0x0D000004, 0x08008001, 0x08008400, 0x10100000, 0x18000831, 0x18001033]


def golden_state(version: int) -> list[int]:
    """The kernel's batch of initial render state."""
    lines = (DATA / f"golden_state_gen{version}.tsv").read_text("ascii").splitlines()
    dwords = [0] * int(lines[0].split()[-4])
    for dword, value in (line.split("\t") for line in lines if line.startswith("0x")):
        dwords[int(dword, 16)] = int(value, 16)
    return dwords


@pytest.mark.parametrize(("version", "length", "end", "commands"), [(8, 944, 873, 84), (9, 960, 885, 85)])
def test_the_kernels_initial_render_state_is_read_to_its_end(version: int, length: int, end: int, commands: int) -> None:
    dwords = golden_state(version)
    assert len(dwords) == length
    steps = []
    for step in walk(Engine.RCS0, dwords, graphics_version=version):
        assert step.command is not None, hex(dwords[step.at])
        steps.append((step.at, step.command.name))
        if step.command.name == "MI_BATCH_BUFFER_END":
            break
    assert steps[0] == (0, "PIPE_CONTROL")
    assert steps[-1] == (end, "MI_BATCH_BUFFER_END")
    assert len(steps) == commands
    assert "PIPELINE_SELECT" in [name for _, name in steps]
    assert not any(name.startswith("MI_") for _, name in steps[:-1])


def test_the_render_state_of_gen9_would_be_unknown_to_the_blitter() -> None:
    assert command_for(Engine.BCS0, golden_state(9)[0]) is None
