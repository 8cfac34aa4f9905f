"""The dwords of commands mean what the manual and the kernel say, at the places they say."""

from __future__ import annotations

import pytest

from pvinfo.bits import Bits
from pvinfo.commands import command_named
from pvinfo.commands.blt import (
    BLT_COMMANDS,
    ColorDepth,
    Control,
    FastControl,
    FastCopyDepth,
    FastCopyTiling,
    FastHeader,
    FixedHeader,
    FixedPattern,
    FullHeader,
    KeyMode,
    KeySourceHeader,
    MaskedHeader,
    MonoHeader,
    SourceHeader,
    TextHeader,
    TiledHeader,
)
from pvinfo.commands.mi import (
    MI_COMMANDS,
    AtomicHeader,
    AtomicOpcode,
    AtomicSize,
    BatchBufferStartHeader,
    ConditionalEndHeader,
    DisplayFlipHeader,
    FlushDwHeader,
    LoadRegisterImmHeader,
    MiAtomicInline,
    NoopHeader,
    SemaphoreCompare,
    SemaphoreSignalHeader,
    SemaphoreTarget,
    SemaphoreWaitHeader,
    StoreDataImmHeader,
    StoreRegisterMemHeader,
    WaitForEventHeader,
)
from pvinfo.commands.pipe_control import PipeControlFlags

# Fields by dword of each 2D command, 64-bit addresses at their lower half. A + says that immediate data follow.
BLITS = {
    "XY_SETUP_BLT": "header control clip_top_left clip_bottom_right destination - background foreground pattern -",
    "XY_SETUP_CLIP_BLT": "header clip_top_left clip_bottom_right",
    "XY_SETUP_MONO_PATTERN_SL_BLT": "header control clip_top_left clip_bottom_right destination - background foreground pattern -",
    "XY_PIXEL_BLT": "header top_left",
    "XY_SCANLINES_BLT": "header top_left bottom_right",
    "XY_TEXT_BLT": "header top_left bottom_right source -",
    "XY_TEXT_IMMEDIATE_BLT": "header top_left bottom_right +",
    "COLOR_BLT": "header control size destination - color",
    "XY_FAST_COPY_BLT": "header control top_left bottom_right destination - source_top_left source_pitch source -",
    "SRC_COPY_BLT": "header control size destination - source_pitch source -",
    "XY_COLOR_BLT": "header control top_left bottom_right destination - color",
    "XY_PAT_BLT": "header control top_left bottom_right destination - pattern -",
    "XY_MONO_PAT_BLT": "header control top_left bottom_right destination - background foreground pattern -",
    "XY_SRC_COPY_BLT": "header control top_left bottom_right destination - source_top_left source_pitch source -",
    "XY_MONO_SRC_COPY_BLT": "header control top_left bottom_right destination - source - background foreground",
    "XY_FULL_BLT": "header control top_left bottom_right destination - source_pitch source_top_left source - pattern -",
    "XY_FULL_MONO_SRC_BLT": "header control top_left bottom_right destination - source - background foreground pattern -",
    "XY_FULL_MONO_PATTERN_BLT": "header control top_left bottom_right destination - source_pitch source_top_left source - pattern_background pattern_foreground pattern -",
    "XY_FULL_MONO_PATTERN_MONO_SRC_BLT": "header control top_left bottom_right destination - source - background foreground pattern_background pattern_foreground pattern -",
    "XY_MONO_PAT_FIXED_BLT": "header control top_left bottom_right destination - background foreground",
    "XY_MONO_SRC_COPY_IMMEDIATE_BLT": "header control top_left bottom_right destination - background foreground +",
    "XY_PAT_BLT_IMMEDIATE": "header control top_left bottom_right destination - +",
    "XY_SRC_COPY_CHROMA_BLT": "header control top_left bottom_right destination - source_top_left source_pitch source - key_low key_high",
    "XY_FULL_IMMEDIATE_PATTERN_BLT": "header control top_left bottom_right destination - source_pitch source_top_left source - +",
    "XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT": "header control top_left bottom_right destination - source - background foreground +",
    "XY_PAT_CHROMA_BLT": "header control top_left bottom_right destination - pattern - key_low key_high",
    "XY_PAT_CHROMA_BLT_IMMEDIATE": "header control top_left bottom_right destination - key_low key_high +",
}  # fmt: skip


@pytest.mark.parametrize("name", BLITS)
def test_a_2d_command_has_its_fields_in_the_manuals_order(name: str) -> None:
    fields = BLITS[name].removesuffix(" +").split()
    form = command_named(name).forms[0]
    assert form.dwords == len(fields)
    assert {field.path: field.offset // 4 for field in form.codec.fields} == {field: place for place, field in enumerate(fields) if field != "-"}
    assert (form.tail is not None) == BLITS[name].endswith("+")


def test_every_2d_command_is_held_to_the_manual() -> None:
    assert [command.name for command in BLT_COMMANDS] == list(BLITS)


# Of the kernel's mediator: which operand of each command is an address, every address being one operand of two dwords.
ADDRESSES = {
    "XY_SETUP_BLT": (4, 7), "XY_SETUP_CLIP_BLT": (), "XY_SETUP_MONO_PATTERN_SL_BLT": (4,), "XY_PIXEL_BLT": (), "XY_SCANLINES_BLT": (),
    "XY_TEXT_BLT": (3,), "XY_TEXT_IMMEDIATE_BLT": (), "XY_COLOR_BLT": (4,), "XY_PAT_BLT": (4, 5), "XY_MONO_PAT_BLT": (4,),
    "XY_SRC_COPY_BLT": (4, 7), "XY_MONO_SRC_COPY_BLT": (4, 5), "XY_FULL_MONO_SRC_BLT": (4, 5, 8), "XY_FULL_MONO_PATTERN_BLT": (4, 7),
    "XY_FULL_MONO_PATTERN_MONO_SRC_BLT": (4, 5), "XY_MONO_PAT_FIXED_BLT": (4,), "XY_MONO_SRC_COPY_IMMEDIATE_BLT": (4,), "XY_PAT_BLT_IMMEDIATE": (4,),
    "XY_SRC_COPY_CHROMA_BLT": (4, 7), "XY_FULL_IMMEDIATE_PATTERN_BLT": (4, 7), "XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT": (4, 5),
    "XY_PAT_CHROMA_BLT": (4, 5), "XY_PAT_CHROMA_BLT_IMMEDIATE": (4,),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
def test_addresses_of_2d_commands_are_the_operands_that_the_kernels_mediator_marks(name: str) -> None:
    fields = command_named(name).forms[0].codec.fields
    immediate = [path for path in ("pattern",) if "MONO_PAT" in name]  # a pattern of bits stands in the command: 8 bytes, but no address
    found = tuple(place for place, field in enumerate(fields) if field.size == 8 and field.path not in immediate)
    assert found == ADDRESSES[name]


@pytest.mark.parametrize(
    ("header", "fields", "bits"),
    [
        (TiledHeader, {"destination_tiled": 1}, 1 << 11),
        (MaskedHeader, {"write_rgb": 1, "write_alpha": 1}, 3 << 20),
        (SourceHeader, {"source_tiled": 1}, 1 << 15),
        (FullHeader, {"pattern_seed_x": 7, "pattern_seed_y": 5, "source_tiled": 1}, 7 << 12 | 5 << 8 | 1 << 15),
        (FixedHeader, {"fixed_pattern": FixedPattern.WALKING_ZERO}, 11 << 15),
        (KeySourceHeader, {"key_mode": KeyMode.DESTINATION}, 7 << 17),
        (MonoHeader, {"first_bit": 6}, 6 << 17),
        (TextHeader, {"byte_packed": 1}, 1 << 16),
        (FastHeader, {"source_tiling": FastCopyTiling.Y, "destination_tiling": FastCopyTiling.X}, 2 << 20 | 1 << 13),
        (Control, {"depth": ColorDepth.BPP_32, "raster_operation": 0xCC, "pitch": 0x1E00, "clipping": 1}, 0x43CC1E00),
        (Control, {"solid_pattern": 1, "mono_source_transparent": 1, "mono_pattern_transparent": 1}, 0xB0000000),
        (FastControl, {"depth": FastCopyDepth.BPP_32, "pitch": 0x400, "source_yf": 1}, 0x83000400),
        (NoopHeader, {"write_identification": 1, "identification": 0x123}, 0x00400123),
        (BatchBufferStartHeader, {"ppgtt": 1, "second_level": 1, "predicate": 1, "resource_streamer": 1}, 1 << 8 | 1 << 22 | 1 << 15 | 1 << 10),
        (SemaphoreWaitHeader, {"compare": SemaphoreCompare.EQUAL, "poll": 1, "register_poll": 1}, 4 << 12 | 1 << 15 | 1 << 16),
        (SemaphoreSignalHeader, {"target": SemaphoreTarget.VECS0}, 3 << 15),
        (ConditionalEndHeader, {"compare": 1, "use_global_gtt": 1}, 1 << 21 | 1 << 22),
        (StoreDataImmHeader, {"store_qword": 1, "use_global_gtt": 1}, 3 << 21),
        (LoadRegisterImmHeader, {"force_posted": 1, "byte_write_disable": 15}, 1 << 12 | 15 << 8),
        (StoreRegisterMemHeader, {"use_global_gtt": 1, "predicate": 1}, 3 << 21),
        (FlushDwHeader, {"notify": 1, "flush_llc": 1, "protected_memory": 1}, 1 << 8 | 1 << 9 | 1 << 22),
        (AtomicHeader, {"operation": AtomicOpcode.MOVE, "size": AtomicSize.QWORD, "cs_stall": 1, "inline_data": 1}, 4 << 8 | 1 << 19 | 1 << 17 | 1 << 18),
        (WaitForEventHeader, {"plane_a_flip": 1, "sprite_a_flip": 1, "plane_b_flip": 1, "sprite_b_flip": 1, "plane_c_flip": 1, "sprite_c_flip": 1}, 0x108606),
        (DisplayFlipHeader, {"plane_gen9": 9}, 9 << 8),
        (DisplayFlipHeader, {"plane_gen8": 5}, 5 << 19),
        (PipeControlFlags, {"flush_l3": 1, "mmio_write": 1, "notify": 1, "generic_media_state_clear": 1}, 1 << 27 | 1 << 23 | 1 << 8 | 1 << 16),
    ],
)  # fmt: skip
def test_named_bits_are_the_manuals(header: type[Bits], fields: dict[str, int], bits: int) -> None:
    assert header.of(**fields) == bits


def test_atomic_operations_on_quadwords_are_those_on_dwords_at_0x20() -> None:
    members = AtomicOpcode.__members__
    dword = {name: value for name, value in members.items() if "WORD" not in name}
    assert {f"QWORD_{name}": value + 0x20 for name, value in dword.items()} == {name: value for name, value in members.items() if name.startswith("QWORD")}
    assert (dword["ADD"], dword["COMPARE_AND_WRITE"], members["OCTWORD_COMPARE_AND_WRITE"]) == (7, 14, 0x4E)


def test_inline_operands_of_an_atomic_alternate_dword_by_dword() -> None:
    record = MiAtomicInline.of(AtomicHeader.of(operation=AtomicOpcode.OCTWORD_COMPARE_AND_WRITE), 0x1000, 0x4_0000_0003_0000_0002_0000_0001, 0xB)
    assert tuple(record)[2:] == (1, 0xB, 2, 0, 3, 0, 4, 0)
    assert record.header.inline_data


# Dwords of each form of the streamer's commands; a + where elements follow.
FORMS = {
    "MI_LOAD_SCAN_LINES_INCL": [2], "MI_LOAD_SCAN_LINES_EXCL": [2], "MI_DISPLAY_FLIP": [3, 4], "MI_SEMAPHORE_MBOX": [3], "MI_SET_CONTEXT": [2],
    "MI_URB_CLEAR": [2], "MI_MATH": ["1+1"], "MI_SEMAPHORE_SIGNAL": [2], "MI_SEMAPHORE_WAIT": [4], "MI_STORE_DATA_IMM": [4, 5],
    "MI_STORE_DATA_INDEX": [3, 4], "MI_LOAD_REGISTER_IMM": ["1+2"], "MI_UPDATE_GTT": ["2+2"], "MI_STORE_REGISTER_MEM": [4], "MI_FLUSH_DW": [4, 5],
    "MI_CLFLUSH": ["3+1"], "MI_REPORT_PERF_COUNT": [4], "MI_LOAD_REGISTER_MEM": [4], "MI_LOAD_REGISTER_REG": [3], "MI_RS_STORE_DATA_IMM": [4],
    "MI_LOAD_URB_MEM": [4], "MI_STORE_URB_MEM": [4], "MI_COPY_MEM_MEM": [5], "MI_ATOMIC": [3, 11], "MI_BATCH_BUFFER_START": [3],
    "MI_CONDITIONAL_BATCH_BUFFER_END": [4],
}  # fmt: skip


def test_streamer_commands_of_more_than_a_dword_have_the_forms_of_gen8_and_later() -> None:
    found = {
        command.name: [f"{form.dwords}+{form.tail.size // 4}" if form.tail is not None else form.dwords for form in command.forms]
        for command in MI_COMMANDS
        if command.forms
    }
    assert found == FORMS


def test_lengths_that_the_mediator_insists_on_are_those_of_the_forms() -> None:
    for command in MI_COMMANDS:
        assert all(command.form_of(dwords) is not None for dwords in command.audited_lengths), command
