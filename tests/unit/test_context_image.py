"""The register state of a context image stands as the kernel's tables and its mediator say."""

from __future__ import annotations

import pytest

from pvinfo.context_image import (
    BATCH_BUFFER_END,
    CONTEXT_CONTROL_FIRST_RUN,
    CONTEXT_CONTROL_RESTORE,
    INITIAL_VALUES,
    REGISTER_STATE,
    RING_CONTEXT_DWORDS,
    STATE_OFFSET,
    ContextImage,
    context_image,
)
from pvinfo.errors import UsageError
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.registers.engine import ContextControl, EngineRegisters

# Register offsets by dword, from the tables of intel_lrc.c: what each of the four layouts is, header by header.
RING = (0x244, 0x034, 0x030, 0x038, 0x03C, 0x168, 0x140, 0x110, 0x11C, 0x114, 0x118)
WORK_AROUND = (0x1C0, 0x1C4, 0x1C8)
ROOTS = (0x3A8, 0x28C, 0x288, 0x284, 0x280, 0x27C, 0x278, 0x274, 0x270)
ENGINE = (
    0x028, 0x09C, 0x0C0, 0x178, 0x17C, 0x358, 0x170, 0x150, 0x154, 0x158, 0x41C,
    0x600, 0x604, 0x608, 0x60C, 0x610, 0x614, 0x618, 0x61C, 0x620, 0x624, 0x628, 0x62C, 0x630, 0x634, 0x638, 0x63C,
    0x640, 0x644, 0x648, 0x64C, 0x650, 0x654, 0x658, 0x65C, 0x660, 0x664, 0x668, 0x66C, 0x670, 0x674, 0x678, 0x67C,
    0x068,
)  # fmt: skip
LAYOUTS = {
    (8, Engine.RCS0): [(0x01, 0x1100101B, RING + WORK_AROUND), (0x21, 0x11001011, ROOTS), (0x41, 0x11000001, (0x0C8,))],
    (8, Engine.BCS0): [(0x01, 0x11000015, RING), (0x21, 0x11000011, ROOTS), (0x41, 0x11000003, (0x200, 0x028))],
    (9, Engine.RCS0): [(0x01, 0x1100101B, RING + WORK_AROUND), (0x21, 0x11001011, ROOTS), (0x41, 0x11000001, (0x0C8,)), (0x51, 0x11001057, ENGINE)],
    (9, Engine.BCS0): [(0x01, 0x1100101B, RING + WORK_AROUND), (0x21, 0x11001011, ROOTS), (0x41, 0x11001001, (0x200,)), (0x51, 0x11001057, ENGINE)],
}
ENDS = {(8, Engine.RCS0): 0x44, (8, Engine.BCS0): 0x46, (9, Engine.RCS0): 0xAA, (9, Engine.BCS0): 0xAA}
BASES = {Engine.RCS0: 0x2000, Engine.BCS0: 0x22000, Engine.VCS0: 0x12000, Engine.VECS0: 0x1A000}


def expected_dwords(version: int, engine: Engine) -> dict[int, int]:
    dwords = {ENDS[version, engine]: BATCH_BUFFER_END}
    for start, header, offsets in LAYOUTS[version, engine]:
        dwords[start] = header
        for place, offset in enumerate(offsets):
            dwords[start + 1 + 2 * place] = BASES[engine] + offset
    return dwords


@pytest.mark.parametrize(("version", "engine"), LAYOUTS)
def test_a_fresh_page_has_headers_registers_and_end_where_the_kernel_puts_them(version: int, engine: Engine) -> None:
    page = memoryview(context_image(version, engine).fresh_page(BASES[engine])).cast("I")
    assert {dword: content for dword, content in enumerate(page) if content} == expected_dwords(version, engine)


@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("engine", [Engine.BCS0, Engine.VCS0, Engine.VECS0])
def test_all_engines_but_the_render_engine_share_a_layout_at_their_own_base(version: int, engine: Engine) -> None:
    image = context_image(version, engine)
    assert image.kind is context_image(version, Engine.BCS0).kind
    assert dict(image.layout(BASES[engine]))[image.value_dword("tail") - 1] == BASES[engine] + 0x30


def test_values_stand_where_the_mediator_reads_them() -> None:
    image = context_image(9, Engine.RCS0)
    offsets = {
        "context_control": 12, "head": 20, "tail": 28, "start": 36, "control": 44, "bbaddr_udw": 52, "bbaddr": 60, "bbstate": 68,
        "sbbaddr_udw": 76, "sbbaddr": 84, "sbbstate": 92, "bb_per_ctx_ptr": 100, "indirect_ctx": 108, "indirect_ctx_offset": 116,
        "ctx_timestamp": 140, "pdp_hi[3]": 148, "pdp_lo[3]": 156, "pdp_hi[2]": 164, "pdp_lo[2]": 172, "pdp_hi[1]": 180, "pdp_lo[1]": 188,
        "pdp_hi[0]": 196, "pdp_lo[0]": 204,
    }  # fmt: skip
    assert {name: image.value_offset(name) - STATE_OFFSET for name in offsets} == offsets
    assert image.value_offset("head") == 0x1014
    assert context_image(9, Engine.BCS0).value_offset("swctrl") == STATE_OFFSET + 0x10C
    assert RING_CONTEXT_DWORDS * 4 == 320


def test_values_stand_where_the_kernel_writes_them() -> None:
    image = context_image(9, Engine.RCS0)
    assert [image.value_dword(name) for name in ("mi_mode", "bb_offset", "gpr_lo[0]", "r_pwr_clk_state", "pdp_lo[0]")] == [0x55, 0x65, 0x69, 0x43, 0x33]
    assert not context_image(8, Engine.BCS0).has("indirect_ctx")
    assert not context_image(8, Engine.RCS0).has("mi_mode")


def test_a_register_outside_the_layout_is_refused_with_those_inside() -> None:
    with pytest.raises(UsageError, match=r"gen8 other engines has no mi_mode; it has context_control, head, tail"):
        context_image(8, Engine.VCS0).value_dword("mi_mode")


def test_a_fresh_page_takes_values_by_name() -> None:
    image = context_image(9, Engine.VECS0)
    page = memoryview(image.fresh_page(0x1A000, [("context_control", CONTEXT_CONTROL_FIRST_RUN), ("tail", 0x58)])).cast("I")
    assert (page[3], page[7]) == (0x000F0009, 0x58)
    with pytest.raises(UsageError, match="a register of the image is a dword"):
        image.fresh_page(0x1A000, [("start", 1 << 32)])


def test_first_run_and_restore_differ_in_the_inhibit_bit_alone() -> None:
    assert ContextControl(CONTEXT_CONTROL_FIRST_RUN).restore_inhibit
    assert CONTEXT_CONTROL_FIRST_RUN ^ CONTEXT_CONTROL_RESTORE == 1


def test_no_other_graphics_version_has_an_image() -> None:
    with pytest.raises(UsageError, match="graphics version 11; there are 8, 9"):
        context_image(11, Engine.RCS0)
    assert {platform.graphics_version for platform in PLATFORMS.values()} == {8, 9}


def test_register_names_are_those_of_the_engines_registers() -> None:
    declared = {}
    for register in EngineRegisters.registers:
        for element in range(register.count):
            name = f"{register.name}[{element}]" if register.count > 1 else register.name
            declared[name] = register.offset + element * register.stride
    undeclared = {"swctrl", "pr_ctr_ctl", "pr_ctr_thrsh", "bb_start_addr_udw", "bb_start_addr", "bb_add_diff", "mi_predicate_result_1"}
    for row in REGISTER_STATE:
        assert row.name in undeclared or declared[row.name] == row.offset, row


def test_every_initial_value_names_registers_of_a_layout() -> None:
    names = {row.name.partition("[")[0] for row in REGISTER_STATE}
    for value in INITIAL_VALUES:
        assert {name.strip().partition("[")[0] for name in value.register.split(",")} <= names


def test_save_and_restore_loop_over_every_value() -> None:
    image = ContextImage(context_image(8, Engine.BCS0).kind)
    assert image.pairs[:3] == ((3, 0x244), (5, 0x34), (7, 0x30))
    assert image.pairs[-1] == (0x45, 0x28)
    assert len(image.pairs) == 11 + 9 + 2
