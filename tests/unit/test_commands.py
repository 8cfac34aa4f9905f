"""Every command is found by its header on the engines that have it, and is as long as hardware and the kernel's mediator say."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Annotated, NamedTuple

import pytest

from pvinfo.bits import Bits, flag, uint
from pvinfo.commands import (
    ALL_ENGINES,
    Audit,
    Client,
    Command,
    Form,
    Length,
    build,
    command_for,
    command_named,
    declared_commands,
    length_table,
    walk,
)
from pvinfo.commands.blt import BLT_COMMANDS
from pvinfo.commands.command import counted, fixed
from pvinfo.commands.mi import MI_COMMANDS, MI_LOAD_REGISTER_IMM, MI_STORE_DATA_IMM, MiLoadRegisterImm, MiStoreDwordImm, RegisterValue
from pvinfo.errors import LayoutError, UsageError
from pvinfo.platform import Engine
from pvinfo.wire import u16, u32

RENDER, BLITTER, VIDEO, ENHANCEMENT = Engine.RCS0, Engine.BCS0, Engine.VCS0, Engine.VECS0

# Opcode, engines (A all, R render, RB render and blitter), length, what the mediator does: the kernel's table of 40, in order.
LISTED_MI = """
00 MI_NOOP A 1 PASSED
01 MI_SET_PREDICATE A 1 PASSED
02 MI_USER_INTERRUPT A 1 USER_INTERRUPT
03 MI_WAIT_FOR_EVENT RB 1 WAIT_FOR_EVENT
04 MI_FLUSH A 1 PASSED
05 MI_ARB_CHECK A 1 PASSED
06 MI_RS_CONTROL R 1 PASSED
07 MI_REPORT_HEAD A 1 PASSED
08 MI_ARB_ON_OFF A 1 PASSED
09 MI_URB_ATOMIC_ALLOC R 1 PASSED
0a MI_BATCH_BUFFER_END A 1 BATCH_END
0b MI_SUSPEND_FLUSH A 1 PASSED
0c MI_PREDICATE R 1 PASSED
0d MI_TOPOLOGY_FILTER A 1 PASSED
0e MI_SET_APPID A 1 PASSED
0f MI_RS_CONTEXT R 1 PASSED
12 MI_LOAD_SCAN_LINES_INCL RB 2 PASSED
14 MI_DISPLAY_FLIP RB +8 DISPLAY_FLIP
16 MI_SEMAPHORE_MBOX A +8=3 PASSED
19 MI_URB_CLEAR R +8=2 PASSED
1a MI_MATH A +8 PASSED
1b MI_SEMAPHORE_SIGNAL A +8=2 PASSED
1c MI_SEMAPHORE_WAIT A +8=4 REFUSED
20 MI_STORE_DATA_IMM A +10 STORE_DATA_IMM
21 MI_STORE_DATA_INDEX A +8 REFUSED
22 MI_LOAD_REGISTER_IMM A +8 LOAD_REGISTER_IMM
23 MI_UPDATE_GTT A +10 REFUSED
24 MI_STORE_REGISTER_MEM A +8=4 REGISTER_MEMORY
26 MI_FLUSH_DW A +6 FLUSH_DW
27 MI_CLFLUSH A +10 REFUSED
28 MI_REPORT_PERF_COUNT A +6=4 REFUSED
29 MI_LOAD_REGISTER_MEM A +8=4 REGISTER_MEMORY
2a MI_LOAD_REGISTER_REG A +8=3 LOAD_REGISTER_REG
2b MI_RS_STORE_DATA_IMM R +8=4 PASSED
2c MI_LOAD_URB_MEM R +8=4 PASSED
2d MI_STORE_URB_MEM R +8 PASSED
2e MI_COPY_MEM_MEM A +8=5 REFUSED
2f MI_ATOMIC A +8 ATOMIC
31 MI_BATCH_BUFFER_START A +8 BATCH_START
36 MI_CONDITIONAL_BATCH_BUFFER_END A +8=4 REFUSED
"""
LISTED_BLT = (
    0x01, 0x03, 0x11, 0x24, 0x25, 0x26, 0x31, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77,
)  # fmt: skip
ENGINES = {"A": ALL_ENGINES, "R": frozenset({RENDER}), "RB": frozenset({RENDER, BLITTER})}


def words_of_length(command: Command[Bits]) -> str:
    length = command.audited_length
    only = f"={command.audited_lengths[0]}" if command.audited_lengths else ""
    return f"+{length.bits}{only}" if length.bits else str(length.added)


@pytest.mark.parametrize("row", LISTED_MI.strip().splitlines())
def test_the_mediators_table_of_streamer_commands_is_declared_row_by_row(row: str) -> None:
    opcode, name, engines, length, audit = row.split()
    command = command_named(name)
    assert command.match == int(opcode, 16) << 23
    assert command.engines == ENGINES[engines]
    assert words_of_length(command) == length
    assert command.audit is Audit[audit]


def test_the_mediator_lists_no_other_streamer_command() -> None:
    assert len(LISTED_MI.strip().splitlines()) == 40
    assert {command.name for command in MI_COMMANDS if not command.listed} == {"MI_SET_CONTEXT", "MI_LOAD_SCAN_LINES_EXCL"}


def test_the_mediator_lists_24_commands_of_the_blitter_and_looks_at_none_of_them() -> None:
    listed = [command for command in BLT_COMMANDS if command.listed]
    assert tuple(command.match >> 22 & 0x7F for command in listed) == LISTED_BLT
    assert len(listed) == 24
    assert {(command.audit, command.audited_length, command.engines) for command in listed} == {(Audit.PASSED, counted(8), frozenset({BLITTER}))}
    assert {command.name for command in BLT_COMMANDS if not command.listed} == {"COLOR_BLT", "SRC_COPY_BLT", "XY_FAST_COPY_BLT"}


# Pipeline and opcode of each group of the mediator's table, with how many commands it has on gen9.
GROUPS = {
    RENDER: {(0, 0): 1, (0, 1): 4, (1, 0): 1, (1, 1): 1, (2, 0): 6, (2, 1): 4, (3, 0): 78, (3, 1): 21, (3, 2): 1, (3, 3): 1},
    VIDEO: {(1, 0): 1, (2, 0): 12, (2, 1): 11, (2, 2): 5, (2, 3): 5, (2, 6): 3, (2, 7): 3},
    ENHANCEMENT: {(2, 4): 3},
}


@pytest.mark.parametrize("engine", GROUPS)
def test_pipeline_commands_are_as_many_in_each_group_as_the_mediator_lists(engine: Engine) -> None:
    listed = [c for c in declared_commands() if c.client is Client.PIPELINE and c.listed and engine in c.engines]
    assert Counter((c.match >> 27 & 3, c.match >> 24 & 7) for c in listed) == GROUPS[engine]


def test_the_mediator_lists_225_commands_on_gen9_and_one_less_on_gen8() -> None:
    assert [sum(c.listed and c.exists(version) for c in declared_commands()) for version in (9, 8)] == [225, 224]
    only_gen9 = [c.name for c in declared_commands() if c.listed and not c.exists(8)]
    assert only_gen9 == ["3DSTATE_COMPONENT_PACKING"]


# Sub-opcodes of the two big groups, and the lengths that are not counted by 8 bits.
GROUP_3_0 = {*range(0x04, 0x22), *range(0x23, 0x43), *range(0x43, 0x48), *range(0x49, 0x53), 0x55}
GROUP_3_1 = {0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x0A, 0x0B, 0x0C, *range(0x11, 0x1D)}


def test_3d_state_commands_have_the_sub_opcodes_and_lengths_that_the_mediator_lists() -> None:
    listed = {c.match >> 16 & 0x7FF: c for c in declared_commands() if c.match >> 27 == 0xF and c.listed}
    assert {key & 0xFF for key in listed if key >> 8 == 0} == GROUP_3_0
    assert {key & 0xFF for key in listed if key >> 8 == 1} == GROUP_3_1
    unusual = {c.name: c.length for c in listed.values() if c.length != counted(8)}
    assert unusual == {
        "3DSTATE_VF_STATISTICS": fixed(1), "3DSTATE_DX9_CONSTANTF_VS": counted(11), "3DSTATE_DX9_CONSTANTF_PS": counted(11),
        "3DSTATE_SO_DECL_LIST": counted(9), **{f"3DSTATE_BINDING_TABLE_EDIT_{stage}": counted(9) for stage in ("VS", "GS", "HS", "DS", "PS")},
    }  # fmt: skip


def test_hardware_and_mediator_differ_in_the_length_of_two_commands() -> None:
    differing = {c.name: (c.length, c.audited_length) for c in declared_commands() if c.length != c.audited_length}
    assert differing == {"MFX_WAIT": (fixed(1), counted(6)), "MI_LOAD_SCAN_LINES_INCL": (counted(6), fixed(2))}
    assert command_named("MFX_WAIT").audited_length.of(0x68000000) == 2


@pytest.mark.parametrize(
    ("engine", "header", "name", "dwords"),
    [
        (RENDER, 0x00000000, "MI_NOOP", 1), (VIDEO, 0x01000000, "MI_USER_INTERRUPT", 1), (BLITTER, 0x02800000, "MI_ARB_CHECK", 1),
        (RENDER, 0x04000001, "MI_ARB_ON_OFF", 1), (ENHANCEMENT, 0x05000000, "MI_BATCH_BUFFER_END", 1),
        (RENDER, 0x0E000002, "MI_SEMAPHORE_WAIT", 4), (RENDER, 0x10400002, "MI_STORE_DATA_IMM", 4), (RENDER, 0x10200003, "MI_STORE_DATA_IMM", 5),
        (BLITTER, 0x1100101B, "MI_LOAD_REGISTER_IMM", 29), (RENDER, 0x11001057, "MI_LOAD_REGISTER_IMM", 89),
        (RENDER, 0x12400002, "MI_STORE_REGISTER_MEM", 4), (BLITTER, 0x13244002, "MI_FLUSH_DW", 4), (VIDEO, 0x132440C2, "MI_FLUSH_DW", 4),
        (BLITTER, 0x13004003, "MI_FLUSH_DW", 5), (RENDER, 0x14C00002, "MI_LOAD_REGISTER_MEM", 4), (RENDER, 0x15000001, "MI_LOAD_REGISTER_REG", 3),
        (RENDER, 0x0D000004, "MI_MATH", 6), (RENDER, 0x18800001, "MI_BATCH_BUFFER_START", 3), (VIDEO, 0x18800101, "MI_BATCH_BUFFER_START", 3),
        (RENDER, 0x17840409, "MI_ATOMIC", 11), (RENDER, 0x1B200002, "MI_CONDITIONAL_BATCH_BUFFER_END", 4),
        (RENDER, 0x7A000004, "PIPE_CONTROL", 6), (RENDER, 0x69040300, "PIPELINE_SELECT", 1), (RENDER, 0x79170101, "3DSTATE_SO_DECL_LIST", 259),
        (RENDER, 0x61010011, "STATE_BASE_ADDRESS", 19), (RENDER, 0x7105000D, "GPGPU_WALKER", 15), (RENDER, 0x71000104, "MEDIA_OBJECT", 262),
        (VIDEO, 0x70000003, "MFX_PIPE_MODE_SELECT", 5), (VIDEO, 0x68000100, "MFX_WAIT", 1), (ENHANCEMENT, 0x74030002, "VEB_DI_IECP", 4),
        (BLITTER, 0x54300005, "XY_COLOR_BLT", 7), (BLITTER, 0x54F08808, "XY_SRC_COPY_BLT", 10), (BLITTER, 0x50802008, "XY_FAST_COPY_BLT", 10),
    ],
)  # fmt: skip
def test_headers_that_drivers_write_are_known_with_their_length(engine: Engine, header: int, name: str, dwords: int) -> None:
    command = command_for(engine, header)
    assert command is not None
    assert (command.name, command.length_of(header)) == (name, dwords)
    mask, added = length_table(engine)[header >> 16]
    assert (header & mask) + added == dwords


@pytest.mark.parametrize(
    ("engine", "header"),
    [
        (RENDER, 0x54300005), (BLITTER, 0x7A000004), (BLITTER, 0x70000003), (VIDEO, 0x03000000 | 0x06 << 23), (VIDEO, 0x01800000),
        (RENDER, 0x08000000), (RENDER, 0x20000000), (RENDER, 0xFFFFFFFF), (RENDER, 0x78480000), (ENHANCEMENT, 0x74080000), (BLITTER, 0x51000000),
    ],
)  # fmt: skip
def test_what_an_engine_does_not_have_is_no_command_of_it(engine: Engine, header: int) -> None:
    assert command_for(engine, header) is None
    assert length_table(engine)[header >> 16] == (0, 0)


def test_gen8_has_neither_the_fast_copy_nor_component_packing() -> None:
    assert command_for(BLITTER, 0x50800008, 8) is None
    assert command_for(RENDER, 0x78550003, 8) is None
    assert command_for(RENDER, 0x78550003, 9) is command_named("3DSTATE_COMPONENT_PACKING")


@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("engine", Engine)
def test_the_length_table_agrees_with_the_declarations_for_any_header(engine: Engine, version: int) -> None:
    random, table = Random(3), length_table(engine, version)
    fitting = [c for c in declared_commands() if engine in c.engines and c.exists(version)]
    for _ in range(2000):
        header = random.getrandbits(32)
        matching = [c for c in fitting if c.matches(header)]
        assert len(matching) <= 1
        assert command_for(engine, header, version) is (matching[0] if matching else None)
        mask, added = table[header >> 16]
        assert (header & mask) + added == (matching[0].length_of(header) if matching else 0)


def test_each_header_bit_pattern_belongs_to_one_command_per_engine() -> None:
    for engine in Engine:
        claimed = [(c.match, c.mask) for c in declared_commands() if engine in c.engines]
        assert len(set(claimed)) == len(claimed)


def test_every_command_says_what_it_does_and_where_it_is_from() -> None:
    for command in declared_commands():
        assert command.doc.endswith("."), command
        assert command.source.partition(":")[0] in ("linux", "prm", "intel-vaapi-driver"), command
        assert command.engines, command


def test_walking_stops_at_the_first_dword_that_begins_no_command() -> None:
    steps = list(walk(RENDER, [0, 0x11000001, 0x2358, 7, 0xFFFFFFFF, 0]))
    assert [(step.at, step.length, step.command.name if step.command else "") for step in steps] == [
        (0, 1, "MI_NOOP"), (1, 3, "MI_LOAD_REGISTER_IMM"), (4, 0, ""),
    ]  # fmt: skip


def test_walking_may_begin_and_end_inside_a_buffer() -> None:
    dwords = [0xFFFFFFFF, 0x02800000, 0x10400002, 0, 0, 0, 0x05000000]
    assert [(step.at, step.length) for step in walk(BLITTER, dwords, 1, 3)] == [(1, 1), (2, 4)]


# ---- building and reading ----


def test_a_command_is_built_from_a_record_with_opcode_and_length_filled_in() -> None:
    assert build(MiStoreDwordImm()) == bytes.fromhex("02000010") + bytes(12)
    assert MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(), [RegisterValue(0x2358, 5), RegisterValue(0x235C, 0)]) == bytes.fromhex(
        "03000011" "58230000" "05000000" "5c230000" "00000000"
    )


def test_a_row_of_registers_that_is_too_long_for_its_header_is_refused() -> None:
    pairs = [RegisterValue(0x2600, 0)] * 128
    assert len(MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(), pairs)) == 4 * 257
    with pytest.raises(UsageError, match=r"a command of 259 dwords: this one has bits 7:0 \+ 2 dwords"):
        MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(), [*pairs, RegisterValue(0x2604, 0)])


def test_a_record_of_another_command_a_tail_too_many_and_half_an_element_are_refused() -> None:
    with pytest.raises(UsageError, match=r"MI_LOAD_REGISTER_IMM from a MiStoreDwordImm: its forms are MiLoadRegisterImm"):
        MI_LOAD_REGISTER_IMM.build(MiStoreDwordImm())
    with pytest.raises(UsageError, match="MiStoreDwordImm with a tail: it has none"):
        build(MiStoreDwordImm(), bytes(4))
    with pytest.raises(UsageError, match="MiLoadRegisterImm of 8 bytes: it is 4 bytes and whole elements of its tail"):
        build(MiLoadRegisterImm(), bytes(4))
    with pytest.raises(UsageError, match="tuple is a form of no command"):
        build((1, 2))


def test_a_command_reads_back_what_was_built_and_shows_itself() -> None:
    decoded = MI_LOAD_REGISTER_IMM.decode(build(MiLoadRegisterImm(), [RegisterValue(0x2358, 5)]) + bytes(8))
    assert (decoded.length, decoded.tail) == (3, (RegisterValue(0x2358, 5),))
    assert str(decoded) == "MI_LOAD_REGISTER_IMM(header=length=0x1, opcode=0x22, (0x2358, 0x5))"
    assert str(command_named("MI_ARB_ON_OFF").decode(bytes.fromhex("01000004"))) == "MI_ARB_ON_OFF(enable, opcode=0x8)"


def test_a_length_that_no_form_has_is_read_as_a_header_alone() -> None:
    decoded = MI_STORE_DATA_IMM.decode(bytes.fromhex("04000010") + bytes(20))
    assert decoded.record is None
    assert str(decoded) == "MI_STORE_DATA_IMM(header=0x10000004, 6 dwords)"


def test_data_that_end_early_or_are_of_another_command_are_refused() -> None:
    with pytest.raises(UsageError, match="MI_STORE_DATA_IMM of 4 dwords: only 12 bytes are given"):
        MI_STORE_DATA_IMM.decode(bytes.fromhex("02000010") + bytes(8))
    with pytest.raises(UsageError, match="0x5000000 begins no MI_STORE_DATA_IMM, which has 0x10000000 under 0xff800000"):
        MI_STORE_DATA_IMM.decode(bytes.fromhex("00000005"))


@pytest.mark.parametrize("command", [c for c in declared_commands() if c.forms], ids=lambda c: c.name)
def test_every_form_is_built_and_read_back_whatever_its_fields_hold(command: Command[Bits]) -> None:
    random = Random(command.match)
    for form in command.forms:
        for elements in (0, 2) if form.tail is not None else (0,):
            data = bytearray(random.randbytes(form.codec.size + elements * (form.tail.size if form.tail else 0)))
            data[:4] = int(form.header).to_bytes(4, "little")
            if not form.fits(len(data) // 4) or len(data) < 8:
                continue
            data[:4] = (int(form.header) & ~command.length.mask | command.length.field(len(data) // 4)).to_bytes(4, "little")
            decoded = command.decode(data)
            assert decoded.record is not None
            assert command.build(decoded.record, decoded.tail) == data
            assert build(decoded.record, bytes(data[form.codec.size :])) == data


# ---- contradictory declarations ----


class DoorHeader(Bits):
    length = uint(0, 8, "dwords that follow the second one")
    open = flag(8, "it is open")


class Door(NamedTuple):
    header: Annotated[DoorHeader, u32("the command")] = DoorHeader(0x01000000)
    width: Annotated[int, u32("how wide")] = 0


class NoHeader(NamedTuple):
    width: Annotated[int, u32("how wide")] = 0


class HalfDoor(NamedTuple):
    header: Annotated[DoorHeader, u32("the command")] = DoorHeader(0x01000000)
    width: Annotated[int, u16("how wide")] = 0


def door(match: int = 0x01000000, length: Length = counted(8), header: type[Bits] = DoorHeader) -> Command[Bits]:
    return Command("DOOR", match, 0xFF800000, header, "Opens.", engines=ALL_ENGINES, length=length, forms=(Form(Door),), source="prm:skl:vol2a")


def test_a_declaration_makes_headers_with_named_fields() -> None:
    assert door().header(open=1) == 0x01000100
    assert door().header(5) == 0x01000003
    with pytest.raises(UsageError, match="a command of 300 dwords"):
        door().header(300)
    with pytest.raises(ValueError, match="DoorHeader has no field shut"):
        door().header(shut=1)


@pytest.mark.parametrize(
    ("match", "length", "header", "complaint"),
    [
        (0x02000000, counted(8), DoorHeader, "Door begins with 0x1000000, which is no header of DOOR"),
        (0x01000000, fixed(3), DoorHeader, "Door is 2 dwords long, but its header says 3"),
        (0x01000001, counted(8), DoorHeader, "0x1000001 under 0xff800000"),
        (0x01000000, counted(24), DoorHeader, "with its length in bits 0xffffff, is no header"),
        (0x01000000, counted(8), type("Window", (Bits,), {}), "begins with a DoorHeader, but DOOR has a Window"),
    ],
)
def test_a_form_that_contradicts_its_command_is_no_declaration(match: int, length: Length, header: type[Bits], complaint: str) -> None:
    with pytest.raises(LayoutError, match=complaint):
        door(match, length, header)


def test_a_form_begins_with_its_header_and_is_made_of_dwords() -> None:
    with pytest.raises(LayoutError, match="NoHeader is a form of a command: its first field is the header, with a default"):
        Form(NoHeader)
    with pytest.raises(LayoutError, match="HalfDoor is 6 bytes long, but commands are made of dwords"):
        Form(HalfDoor)
