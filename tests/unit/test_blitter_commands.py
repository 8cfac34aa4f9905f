"""The commands of the 2D engine, held to a second opinion on all of memory, and to literal examples."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

import pytest
from support.blit_engine import COMMANDS, BlitEngine, Space
from support.blit_script import OPERANDS, SURFACES, BlitScript, ScatteredMemory, address, corner
from support.naive_blitter import NaiveBlitter
from support.sample import sampled

from host_model.gpu.address_space import FaultReason, TranslationFault
from host_model.gpu.blitter import drawing
from host_model.gpu.blitter.state import setup_state
from host_model.gpu.surface.tiling import TILE_X, TILE_Y
from host_model.gpu.commands.execution import Stop
from host_model.gpu.cost import command_cost
from pvinfo.registers.blitter import BlitterRegisters

if TYPE_CHECKING:
    from host_model.gpu.engine_state import EngineState


def describe(dwords: list[int]) -> str:
    return f"{COMMANDS[dwords[0] >> 22 & 0x7F].name}: {' '.join(f'{value:#x}' for value in dwords)}"


@pytest.mark.parametrize("seed", sampled(range(40), range(8)))
def test_random_commands_change_exactly_the_bytes_that_the_rules_say(seed: int) -> None:
    rng = random.Random(seed)
    memory = ScatteredMemory(rng)
    twin = ScatteredMemory(random.Random(seed))
    script = BlitScript(rng)
    engine, naive = BlitEngine(memory, script.swctrl), NaiveBlitter(twin, script.swctrl)
    assert memory.data == twin.data
    for _ in range(60):
        command = script.next()
        assert engine.execute(command) is None, (describe(command), engine.refused)
        naive.execute(command)
        assert memory.data == twin.data, describe(command)


@pytest.mark.parametrize(("strip", "band", "step", "rows"), [(1024, 256, 4, 8), (300, 100, 32, 3), (4096, 700, 8, 1000)])
def test_where_a_drawing_is_cut_into_strips_and_bands_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch, strip: int, band: int, step: int, rows: int
) -> None:
    for name, value in (("_STRIP_BYTES", strip), ("_SLOW_STRIP_BYTES", strip), ("_BAND_BYTES", band), ("_ROW_STEP", step), ("_STRIP_ROWS", rows)):
        monkeypatch.setattr(drawing, name, value)
    slices = 0
    for seed in range(100, 106):
        rng = random.Random(seed)
        memory = ScatteredMemory(rng)
        twin = ScatteredMemory(random.Random(seed))
        script = BlitScript(rng)
        engine, naive = BlitEngine(memory, script.swctrl), NaiveBlitter(twin, script.swctrl)
        for _ in range(60):
            command = script.next()
            assert engine.execute(command) is None
            naive.execute(command)
            assert memory.data == twin.data, describe(command)
        slices += engine.slices
    assert slices > 6 * 60


@pytest.mark.parametrize("band", [1, 1 << 18])
@pytest.mark.parametrize("swctrl", range(4))
def test_copies_of_many_rows_of_tiles_move_each_pixel_wherever_it_lies_in_its_tile(monkeypatch: pytest.MonkeyPatch, swctrl: int, band: int) -> None:
    """Surfaces of 512 or 1024 bytes across, tiled or not, to others or to themselves; bands of 32 rows, or all rows in one."""
    monkeypatch.setattr(drawing, "_BAND_BYTES", band)
    for seed in range(5):
        rng = random.Random(1000 * swctrl + seed)
        memory = ScatteredMemory(rng)
        twin = ScatteredMemory(random.Random(1000 * swctrl + seed))
        engine, naive = BlitEngine(memory, swctrl), NaiveBlitter(twin, swctrl)
        pitch, source_pitch = rng.choice((512, 1024)), rng.choice((512, 1024))
        tiled, source_tiled = rng.random() < 0.8, rng.random() < 0.8
        same = rng.random() < 0.3
        if same:
            source_pitch, source_tiled = pitch, tiled
            engine.registers[BlitterRegisters.software_control.offset >> 2] = naive.swctrl = swctrl & 1 | (swctrl & 1) << 1
        columns, rows = min(pitch, source_pitch) // 4, 65536 // max(pitch, source_pitch)
        step = rng.choice((1, 4, 128 if columns == 128 else 32))
        left, source_left = (rng.randrange(0, columns // 2 + 1, step) for _ in range(2))
        top, source_top = (rng.choice((0, 32, rng.randrange(20))) if rows > 64 else rng.randrange(8) for _ in range(2))
        width = rng.choice((columns - max(left, source_left), rng.randint(1, columns - max(left, source_left))))
        height = rows - max(top, source_top) - rng.choice((0, 0, rng.randrange(10)))
        command = [
            2 << 29 | 0x53 << 22 | 3 << 20 | source_tiled << 15 | tiled << 11 | 8,
            BPP_32 | 0xCC << 16 | (pitch // 4 if tiled else pitch), corner(left, top), corner(left + width, top + height), *address(SURFACES[0]),
            corner(source_left, source_top), source_pitch // 4 if source_tiled else source_pitch, *address(SURFACES[0] if same else SURFACES[1]),
        ]  # fmt: skip
        assert engine.execute(command) is None, engine.refused
        naive.execute(command)
        assert memory.data == twin.data, describe(command)


# ---- literal examples: a surface of 8 by 8 pixels of 8 bits at the first surface's base, pitch 16 ----

BASE = SURFACES[0]
PITCH = 16
BPP_32 = 3 << 24


def engine_with(fill: str = ".", tiling: int = 0) -> tuple[BlitEngine, ScatteredMemory]:
    memory = ScatteredMemory(random.Random(7))
    for offset in range(64 * PITCH):
        memory.put(BASE + offset, ord(fill))
    return BlitEngine(memory, tiling), memory


def picture(memory: ScatteredMemory, rows: int = 8, columns: int = 8, base: int = BASE, pitch: int = PITCH) -> list[str]:
    return ["".join(chr(memory.get(base + y * pitch + x)) for x in range(columns)) for y in range(rows)]


def draw_text_in(memory: ScatteredMemory, rows: list[str]) -> None:
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            memory.put(BASE + y * PITCH + x, ord(letter))


def xy(opcode: int, length: int, fields: int = 0) -> int:
    return 2 << 29 | opcode << 22 | fields | length - 2


def fill(rectangle: tuple[int, int, int, int], letter: str, *, clipped: bool = False, code: int = 0xF0) -> list[int]:
    left, top, right, bottom = rectangle
    return [xy(0x50, 7), clipped << 30 | code << 16 | PITCH, corner(left, top), corner(right, bottom), *address(BASE), ord(letter)]


def copy(rectangle: tuple[int, int, int, int], left: int, top: int, *, source: int = BASE) -> list[int]:
    return [
        xy(0x53, 10), 0xCC << 16 | PITCH, corner(*rectangle[:2]), corner(*rectangle[2:]), *address(BASE), corner(left, top), PITCH, *address(source),
    ]  # fmt: skip


def test_right_and_bottom_are_not_in_the_rectangle() -> None:
    engine, memory = engine_with()
    engine.execute(fill((1, 2, 4, 4), "#"))
    assert picture(memory, 5) == ["........", "........", ".###....", ".###....", "........"]


def test_what_is_left_of_the_surface_is_clipped_away_without_a_clip_rectangle() -> None:
    engine, memory = engine_with()
    engine.execute(fill((-3, -1, 2, 1), "#"))
    assert picture(memory, 2) == ["##......", "........"]


@pytest.mark.parametrize("rectangle", [(2, 2, 2, 5), (2, 2, 5, 2), (5, 2, 2, 5), (-4, -4, 0, 3), (4, 4, 3, 3)])
def test_an_empty_rectangle_draws_nothing_and_touches_no_page(rectangle: tuple[int, int, int, int]) -> None:
    engine, memory = engine_with()
    before = bytes(memory.data)
    command = fill(rectangle, "#")
    command[4:6] = address(0x6666_0000)
    assert engine.execute(command) is None
    assert memory.data == before


def test_the_clip_rectangle_holds_only_for_commands_that_ask_for_it() -> None:
    engine, memory = engine_with()
    engine.execute([xy(0x03, 3), corner(2, 1), corner(5, 3)])
    engine.execute(fill((0, 0, 8, 4), "#", clipped=True))
    assert picture(memory, 4) == ["........", "..###...", "..###...", "........"]
    engine.execute(fill((0, 0, 1, 1), "@"))
    assert picture(memory, 1) == ["@......."]


def test_a_clipped_copy_shows_the_part_of_the_source_that_belongs_there() -> None:
    engine, memory = engine_with()
    draw_text_in(memory, ["abcdefgh", "ijklmnop"])
    engine.execute([xy(0x03, 3), corner(2, 4), corner(4, 6)])
    command = copy((0, 4, 8, 6), 0, 0)
    command[1] |= 1 << 30
    engine.execute(command)
    assert picture(memory)[4:6] == ["..cd....", "..kl...."]


def test_a_negative_source_coordinate_leaves_out_as_many_pixels_of_the_destination() -> None:
    engine, memory = engine_with()
    draw_text_in(memory, ["abcdefgh", "ijklmnop"])
    engine.execute(copy((0, 3, 5, 6), -2, -1))
    assert picture(memory)[3:6] == [".....".ljust(8, "."), "..abc...", "..ijk..."]


@pytest.mark.parametrize(
    ("rectangle", "left", "top", "result"),
    [
        ((1, 0, 8, 1), 0, 0, ["aabcdefg", "ijklmnop", "qrstuvwx"]),
        ((0, 0, 7, 1), 1, 0, ["bcdefghh", "ijklmnop", "qrstuvwx"]),
        ((0, 1, 8, 3), 0, 0, ["abcdefgh", "abcdefgh", "ijklmnop"]),
        ((0, 0, 8, 2), 0, 1, ["ijklmnop", "qrstuvwx", "qrstuvwx"]),
        ((1, 1, 8, 3), 0, 0, ["abcdefgh", "iabcdefg", "qijklmno"]),
    ],
)
def test_a_copy_within_a_surface_moves_the_picture_whole(rectangle: tuple[int, int, int, int], left: int, top: int, result: list[str]) -> None:
    engine, memory = engine_with()
    draw_text_in(memory, ["abcdefgh", "ijklmnop", "qrstuvwx"])
    engine.execute(copy(rectangle, left, top))
    assert picture(memory, 3) == result


def test_a_scroll_by_another_base_smears_as_the_order_of_scan_lines_has_it() -> None:
    """The direction goes by equal bases; a driver that puts the shift into the base gets each line copied from the one before."""
    engine, memory = engine_with()
    draw_text_in(memory, ["abcdefgh", "ijklmnop", "qrstuvwx"])
    command = copy((0, 0, 8, 2), 0, 0)
    command[4:6] = address(BASE + PITCH)
    engine.execute(command)
    assert picture(memory, 3) == ["abcdefgh"] * 3


def test_a_scroll_of_rows_without_gaps_over_scattered_pages_moves_the_picture_whole() -> None:
    memory = ScatteredMemory(random.Random(12))
    engine = BlitEngine(memory)
    before = bytes(memory.get(BASE + offset) for offset in range(16 * 1024))
    pitch = 1024
    engine.execute([
        xy(0x53, 10, 3 << 20), BPP_32 | 0xCC << 16 | pitch, corner(0, 3), corner(256, 16), *address(BASE), corner(0, 0), pitch, *address(BASE),
    ])  # fmt: skip
    after = bytes(memory.get(BASE + offset) for offset in range(16 * 1024))
    assert after == before[: 3 * pitch] + before[: 13 * pitch]


def test_rows_on_top_of_each_other_are_drawn_one_after_the_other() -> None:
    engine, memory = engine_with("\x00")
    command = fill((0, 0, 4, 3), "A", code=0x5A)
    command[1] &= ~0xFFFF
    engine.execute(command)
    assert picture(memory, 1, 5) == ["AAAA\x00"]


@pytest.mark.parametrize(("mask", "result"), [(3, "11223344"), (2, "aabbcc44"), (1, "112233dd"), (0, "aabbccdd")])
def test_the_byte_mask_of_32_bits_chooses_alpha_and_colours(mask: int, result: str) -> None:
    engine, memory = engine_with()
    for number, value in enumerate(bytes.fromhex("aabbccdd")):
        memory.put(BASE + number, value)
    engine.execute([xy(0x50, 7, mask << 20), BPP_32 | 0xF0 << 16 | PITCH, 0, corner(1, 1), *address(BASE), 0x44332211])
    assert bytes(memory.get(BASE + number) for number in range(4)).hex() == result
    assert memory.get(BASE + 4) == ord(".")


def test_setup_holds_for_pixels_scan_lines_and_text_until_the_next() -> None:
    engine, memory = engine_with()
    letters = [ord("b"), ord("f")]
    engine.execute([xy(0x01, 10), 1 << 29 | 0xCC << 16 | PITCH, 0, corner(8, 8), *address(BASE), *letters, *address(OPERANDS)])
    glyph = int.from_bytes(bytes((0b1110_0000, 0b1010_0000)), "little")
    engine.execute([xy(0x31, 5, 1 << 16), corner(1, 0), corner(4, 2), glyph, 0])
    assert picture(memory, 2) == [".fff....", ".f.f...."]
    engine.execute([xy(0x31, 5), corner(5, 0), corner(8, 2), 0b1011_1100, 0])
    assert picture(memory, 2) == [".fff.f.f", ".f.f.fff"]
    engine.execute([xy(0x11, 10), 0xF0 << 16 | PITCH, 0, corner(8, 8), *address(BASE), *letters, 0x0000_8001, 0])
    engine.execute([xy(0x24, 2), corner(7, 7)])
    engine.execute([xy(0x25, 3), corner(0, 3), corner(8, 5)])
    assert picture(memory)[3:] == ["bbbbbbbb"] * 2 + ["........"] * 2 + [".......b"]
    engine.execute([xy(0x25, 3, 1 << 12 | 5 << 8), corner(0, 3), corner(8, 5)])
    assert picture(memory)[3:5] == ["bbbbbbfb", "bbbbbbbf"]


def test_what_setup_left_can_be_kept_with_a_context_and_taken_back() -> None:
    engine, memory = engine_with()
    engine.execute([xy(0x11, 10, 3 << 20), 1 << 31 | 0xF0 << 16 | PITCH, corner(1, 1), corner(7, 7), *address(BASE | 5 << 40), 65, 66, 3, 4])
    state = setup_state(cast("EngineState", engine))
    dwords = state.dwords()
    assert len(dwords) == 18 and max(dwords) < 1 << 32
    engine.execute([xy(0x01, 10), 0, 0, 0, *address(0), 0, 0, *address(OPERANDS)])
    assert state.pattern == OPERANDS
    state.load(dwords)
    assert setup_state(cast("EngineState", engine)) is state
    assert (state.destination, state.background, state.foreground, state.mono_pattern) == (BASE | 5 << 40, 65, 66, 4 << 32 | 3)
    assert (state.clip_top_left, state.clip_bottom_right, state.pattern) == (corner(1, 1), corner(7, 7), 0)


@pytest.mark.parametrize(("tiling", "columns"), [(0, "source X, destination X"), (1, "source Y"), (2, "destination Y"), (3, "both Y")])
def test_a_register_of_the_context_says_which_tiles_are_meant(tiling: int, columns: str) -> None:
    engine, memory = engine_with(tiling=tiling)
    target, source = (TILE_Y if tiling & 2 else TILE_X), (TILE_Y if tiling & 1 else TILE_X)
    pixel = bytes(memory.get(SURFACES[1] + source.offset(512 // 4 * 3 // source.run, 5) + 384 % source.run + number) for number in range(4))
    engine.execute([
        xy(0x53, 10, 3 << 20 | 1 << 15 | 1 << 11), BPP_32 | 0xCC << 16 | 1024 // 4, corner(40, 9), corner(41, 10), *address(BASE),
        corner(96, 5), 1024 // 4, *address(SURFACES[1]),
    ])  # fmt: skip
    row = 9 % target.height
    place = BASE + 9 // target.height * target.height * 1024 + target.offset(160 // target.run, row) + 160 % target.run
    assert bytes(memory.get(place + number) for number in range(4)) == pixel, columns


# ---- time, slices, faults ----


def test_a_large_drawing_is_done_in_slices_and_takes_time_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_STRIP_BYTES", 1600)
    engine, memory = engine_with()
    engine.execute([xy(0x50, 7, 3 << 20), BPP_32 | 0xF0 << 16 | 64, 0, corner(16, 100), *address(BASE), 0x41414141])
    assert engine.slices == 4
    assert engine.charged_ns == sum(command_cost(COMMANDS[0x50]).per_byte_ps * size // 1000 for size in (25 * 64,) * 4)
    assert all(memory.get(BASE + offset) == 0x41 for offset in range(6400))
    assert memory.get(BASE + 6400) != 0x41


class Hole(Space):
    """A space in which one page leads nowhere."""

    def __init__(self, memory: ScatteredMemory, page: int) -> None:
        super().__init__(memory)
        inner = memory.spans

        def spans(address: int, size: int, *, write: bool) -> list[memoryview]:
            if address < page + 4096 and page < address + size:
                raise TranslationFault(page, 0, FaultReason.NOT_PRESENT, global_table=False)
            return inner(address, size, write=write)

        self.spans = spans


def test_an_address_that_leads_nowhere_leaves_the_strip_as_it_was() -> None:
    engine, memory = engine_with()
    engine.ppgtt = Hole(memory, BASE + 0x3000)
    before = bytes(memory.data)
    with pytest.raises(TranslationFault, match="level 0"):
        engine.execute([xy(0x50, 7, 3 << 20), BPP_32 | 0xF0 << 16 | 256, 0, corner(64, 60), *address(BASE), 0])
    assert memory.data == before


def test_an_operand_that_the_raster_operation_does_not_read_need_not_be_there() -> None:
    engine, memory = engine_with()
    engine.ppgtt = Hole(memory, 0x6666_0000)
    nowhere = address(0x6666_0000)
    corners = [0, corner(2, 1)]
    control = 0x0F << 16 | PITCH
    assert engine.execute([xy(0x55, 12), control & ~0xFF0000 | 0x55 << 16, *corners, *address(BASE), PITCH, 0, *nowhere, *nowhere]) is None
    assert picture(memory, 1) == [chr(~ord(".") & 0xFF) * 2 + "......"]
    with pytest.raises(TranslationFault):
        engine.execute([xy(0x55, 12), control & ~0xFF0000 | 0xCC << 16, *corners, *address(BASE), PITCH, 0, *nowhere, *nowhere])
    with pytest.raises(TranslationFault):
        engine.execute([xy(0x51, 8), control, *corners, *address(BASE), *nowhere])


# ---- what the engine refuses ----


@pytest.mark.parametrize(
    ("rule", "dwords", "text"),
    [
        ("blt-tiled-base", [xy(0x50, 7, 1 << 11), 0xF0 << 16 | 128, 0, corner(1, 1), BASE | 0x80, 0, 0], "the destination at 0x100080 is tiled (X)"),
        ("blt-tiled-pitch", [xy(0x50, 7, 1 << 11), 0xF0 << 16 | 64, 0, corner(1, 1), BASE, 0, 0], "pitch of 256 bytes"),
        (
            "blt-negative-pitch", [xy(0x54, 10), 0xCC << 16 | 0xFFF0, 0, corner(1, 1), BASE, 0, OPERANDS, 0, 0, 0],
            "a pitch of -16 bytes",
        ),
        ("blt-immediate", [xy(0x72, 7), 0xF0 << 16 | PITCH, 0, corner(1, 1), BASE, 0, 0], "4 bytes of pattern: one of 8 bits has 64"),
        ("blt-immediate", [xy(0x71, 9), 0xCC << 16 | PITCH, 0, corner(1, 1), BASE, 0, 0, 0, 0], "1 dwords of pixels: the engine takes an even number"),
        ("blt-immediate", [xy(0x71, 10), 0xCC << 16 | PITCH, 0, corner(8, 8), BASE, 0, 0, 0, 0, 0], "8 bytes of pixels: the rectangle takes 15"),
        ("blt-key-mode", [xy(0x76, 10, 1 << 17), 0xF0 << 16 | PITCH, 0, corner(1, 1), BASE, 0, OPERANDS, 0, 0, 0], "compares the source's colours"),
        ("blt-fixed-pattern", [xy(0x59, 8, 6 << 15), 0xF0 << 16 | PITCH, 0, corner(1, 1), BASE, 0, 0, 0], "pattern 0x6"),
        ("blt-fast-copy-depth", [xy(0x42, 10), 2 << 24 | 64, 0, corner(1, 1), BASE, 0, 0, 64, BASE, 0], "colour depth 2"),
        ("blt-length", [xy(0x50, 8), 0xF0 << 16 | PITCH, 0, corner(1, 1), BASE, 0, 0, 0], "XY_COLOR_BLT of 8 dwords: it has 7"),
    ],
)  # fmt: skip
def test_an_encoding_that_means_nothing_stops_the_engine_and_writes_nothing(rule: str, dwords: list[int], text: str) -> None:
    engine, memory = engine_with()
    before = bytes(memory.data)
    assert engine.execute(dwords) is Stop.HANG
    [(found, said)] = engine.refused
    assert found == rule
    assert text in said
    assert memory.data == before


def test_a_transparent_solid_pattern_draws_no_pixel() -> None:
    engine, memory = engine_with()
    before = bytes(memory.data)
    for opcode, operands in ((0x57, [PITCH, 0, *address(BASE)]), (0x58, [*address(OPERANDS), 0, 0])):
        control = 1 << 31 | 1 << 28 | 0xF0 << 16 | PITCH
        assert engine.execute([xy(opcode, 14), control, 0, corner(4, 4), *address(BASE), *operands, 1, 2, 3, 4]) is None
    assert memory.data == before
