"""Commands for engines that need not understand them: legal ones, legal ones with a dword changed, and any of the tables'."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Final

from pvinfo.commands import Command, declared_commands
from pvinfo.platform import ENGINES, Engine

from ..blit_script import SURFACES, BlitScript, corner
from ..blit_script import address as split
from .ground import BATCH_PAGES, BATCHES, LARGE_SPACE, SMALL_SPACE, Ground

__all__ = ("command_of", "corrupted", "entry", "number", "tireless")

_GLOBAL: Final = 1 << 22
_PAGE_ENDS: Final = (0, 0, 0, 8, 0x40, 0xFF8, 0xFFC, 0xFFE, 0xFF0, -4, -8, -16, 1)
_ENGINE_REGISTERS: Final = (
    0x28, 0x30, 0x34, 0x38, 0x3C, 0x50, 0x64, 0x80, 0x94, 0x98, 0x9C, 0xA8, 0xB0, 0xB4, 0xB8, 0xC0, 0xC8, 0xD0, 0x110, 0x140, 0x168, 0x1C0, 0x1C4,
    0x1C8, 0x200, 0x230, 0x230, 0x234, 0x244, 0x24C, 0x270, 0x274, 0x278, 0x29C, 0x358, 0x35C, 0x370, 0x3A0, 0x3A8, 0x400, 0x410, 0x418, 0x41C,
    0x4D0, 0x4D4, 0x600, 0x604, 0x608, 0x620, 0x678,
)  # fmt: skip
_OTHER_REGISTERS: Final = (
    0x941C, 0x4260, 0x4264, 0x426C, 0x4270, 0x101008, 0x4094, 0x4B10, 0x44200, 0x44304, 0x44308, 0x4430C, 0x100000, 0x100004, 0xA188, 0x22200,
    0x2580, 0x7000, 0x1FFFFC, 0x200000, 0x7FFFFC, 0x138124,
)  # fmt: skip


def number(rng: random.Random) -> int:
    """A dword as registers, headers and addresses take notice of one."""
    style = rng.randrange(16)
    if style < 4:
        return rng.getrandbits(32)
    if style < 6:
        return rng.randrange(16)
    if style < 7:
        return 0
    if style < 8:
        return 0xFFFFFFFF
    if style < 10:
        low = rng.getrandbits(16)
        return low << 16 | low
    if style < 12:
        return rng.getrandbits(20) << 12 | rng.randrange(2)
    if style < 14:
        return 1 << rng.randrange(32)
    return (BATCHES, 0x10_0000, 0x20_0000, 0x7C00_0001, 0x8000_0000, 0x7FFF_7FFF)[rng.randrange(6)]


def corrupted(rng: random.Random, dwords: list[int]) -> list[int]:
    """The same with one dword changed."""
    at = rng.randrange(len(dwords))
    style = rng.randrange(4)
    old = dwords[at]
    dwords[at] = (old ^ 1 << rng.randrange(32), number(rng), old + (4, 8, -4, 1, -1, 0x1000)[rng.randrange(6)] & 0xFFFFFFFF, ~old & 0xFFFFFFFF)[style]
    return dwords


def address(rng: random.Random, ground: Ground) -> tuple[int, int]:
    """Where a command reads or writes: mostly memory that is there, often at the edge of a page."""
    style = rng.randrange(8)
    if style == 0:
        return rng.getrandbits(32), rng.getrandbits((0, 4, 16, 32)[rng.randrange(4)])
    place = ground.addresses[rng.randrange(len(ground.addresses))] + _PAGE_ENDS[rng.randrange(len(_PAGE_ENDS))]
    if style == 1:
        place += rng.getrandbits(16)
    return place & 0xFFFFFFFF, place >> 32 & 0xFFFFFFFF


def register(rng: random.Random, engine: Engine) -> int:
    """A register: of the engine itself, of another one, or elsewhere."""
    style = rng.randrange(8)
    if style < 4:
        return ENGINES[engine].base + _ENGINE_REGISTERS[rng.randrange(len(_ENGINE_REGISTERS))]
    if style == 4:
        return (0x2000, 0x12000, 0x1A000, 0x22000)[rng.randrange(4)] + _ENGINE_REGISTERS[rng.randrange(len(_ENGINE_REGISTERS))]
    if style == 5:
        return _OTHER_REGISTERS[rng.randrange(len(_OTHER_REGISTERS))]
    if style == 6:
        return ENGINES[engine].base + 0x600 + 4 * rng.randrange(32)
    return rng.getrandbits(23) & ~3


def legal(rng: random.Random, engine: Engine, ground: Ground) -> list[int]:
    """A command that a driver or a program of its may well give."""
    kind = rng.randrange(32 if engine is Engine.BCS0 else 23)
    if kind == 0:
        return [0x10000002 | rng.randrange(2) * _GLOBAL, *address(rng, ground), number(rng)]
    if kind == 1:
        return [0x10200003 | rng.randrange(2) * _GLOBAL, *address(rng, ground), number(rng), number(rng)]
    if kind == 2:
        pairs = rng.randrange(1, 4)
        return [0x11000000 | 2 * pairs - 1, *(value for _ in range(pairs) for value in (register(rng, engine), number(rng)))]
    if kind == 3:
        return [0x14800002 | rng.randrange(2) * _GLOBAL, register(rng, engine), *address(rng, ground)]
    if kind == 4:
        return [0x12000002 | rng.randrange(2) * _GLOBAL, register(rng, engine), *address(rng, ground)]
    if kind == 5:
        return [0x15000001, register(rng, engine), register(rng, engine)]
    if kind == 6:
        steps = [(0x08008000 | rng.randrange(16), 0x08008400 | rng.randrange(16), 0x10000000 + rng.randrange(5) * 0x100000, 0x18000031 | rng.randrange(16) << 10)[
            rng.randrange(4)] for _ in range(rng.randrange(1, 9))]  # fmt: skip
        return [0x0D000000 | len(steps) - 1, *steps]
    if kind == 7:
        return [0x17000003 | rng.randrange(4) << 21, *address(rng, ground), *address(rng, ground)]
    if kind == 8:
        operation = rng.randrange(16) | rng.randrange(3) << 5
        if rng.randrange(2):
            return [0x17840009 | operation << 8, *address(rng, ground), *(number(rng) for _ in range(8))]
        return [0x17800001 | operation << 8 | rng.randrange(2) << 16, *address(rng, ground)]
    if kind == 9:
        return [0x0E000002 | rng.randrange(2) << 15 | rng.randrange(6) << 12, number(rng), *address(rng, ground)]
    if kind == 10:
        return [0x0D800000 | rng.randrange(5) << 15, rng.randrange(1, 13) << 5]
    if kind < 14:
        level = rng.choice((0, 0, _GLOBAL))
        return [0x18800101 | level, BATCHES + rng.randrange(BATCH_PAGES) * 0x1000, 0]
    if kind == 14:
        return [0x18800001, ground.batches[rng.randrange(BATCH_PAGES)].graphics, 0]
    if kind == 15:
        return [0x1B200002 | rng.randrange(2) * _GLOBAL, number(rng), *address(rng, ground)]
    if kind == 16:
        if engine is Engine.RCS0:
            flags = (0x4000, 0xC000, 0x8000, 0x104000, 0x40000, 0x800000, 0x204000)[rng.randrange(7)] | rng.randrange(2) << 24
            return [0x7A000004, flags, *address(rng, ground), number(rng), number(rng)]
        return [0x13004003 | rng.randrange(4) << 14 | rng.randrange(2) << 21, *address(rng, ground), number(rng), number(rng)]
    if kind == 17:
        return [0x01000000]
    if kind == 18:
        return [(0x03800000, 0x02800000, 0x04000000, 0x04000001, 0x00400123)[rng.randrange(5)]]
    if kind == 19:
        return [0x05000000]
    if kind == 20:
        return [0x06000000 | rng.getrandbits(8), 0x00800000 | rng.randrange(16)]
    if kind == 21:
        return [0x11800001, rng.randrange(0x10_0000) << 12, *entry(rng, ground)]
    return surface_blit(rng, script_of(rng)) if engine is Engine.BCS0 else [0]


def script_of(rng: random.Random) -> BlitScript:
    """Commands for the blitter, one of which, given away, has set it up."""
    script = BlitScript(rng)
    script.next()
    return script


def surface_blit(rng: random.Random, script: BlitScript) -> list[int]:
    """A drawing, or a copy of whole tiles between surfaces that lie alike."""
    if rng.randrange(6):
        return script.next()
    tiling, newer, depth = rng.randrange(4), rng.randrange(4), (0, 1, 3, 4, 5)[rng.randrange(5)]
    width, pitch = rng.choice((64, 128, 256, 512)), rng.choice((128, 256, 512, 1024))
    left = width * rng.randrange(2)
    bases = [SURFACES[rng.randrange(3)], SURFACES[rng.randrange(3)]]
    return [
        2 << 29 | 0x42 << 22 | tiling << 20 | tiling << 13 | 8, newer << 30 | depth << 24 | pitch // (4 if tiling else 1),
        corner(left, 0), corner(left + width, rng.choice((8, 32, 64, 33))), *split(bases[0]), corner(left, 0), pitch // (4 if tiling else 1), *split(bases[1]),
    ]  # fmt: skip


def entry(rng: random.Random, ground: Ground) -> tuple[int, int]:
    """An entry of the global table."""
    bus = ground.entries[rng.randrange(len(ground.entries))][1] if rng.randrange(4) else rng.getrandbits(46)
    return bus & 0xFFFFFFFF, bus >> 32


def blit(rng: random.Random) -> list[int]:
    """A drawing of any size: huge, negative, wrapping, on rows that overlap each other."""
    if not rng.randrange(24):
        return boundless(rng)
    dwords = script_of(rng).next()
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(1, len(dwords))
        style = rng.randrange(6)
        if style == 0:
            dwords[at] = 0x7FFF7FFF
        elif style == 1:
            dwords[at] = rng.getrandbits(16) << 16 | rng.getrandbits(16)
        elif style == 2:
            dwords[at] &= 0xFFFF0000  # no pitch, where it is one
        elif style == 3:
            dwords[at] = rng.randrange(0x40) << 24 | 0xCC0000 | rng.randrange(0x200)
        else:
            dwords[at] = number(rng)
    return dwords


def boundless(rng: random.Random) -> list[int]:
    """A fill or a copy as large as commands can say, in a space that has memory everywhere."""
    opcode, length = ((0x50, 7), (0x53, 10), (0x42, 10), (0x55, 12))[rng.randrange(4)]
    depth = rng.randrange(4)
    bases = [(LARGE_SPACE, SMALL_SPACE)[rng.randrange(2)] + (0, 0, 0x1_0000, 0x1234)[rng.randrange(4)] for _ in range(2)]
    pitches = [(0x7FFC, 0x7F00, 0x1000, 0x8100, 0, 0x200)[rng.randrange(6)] for _ in range(2)]
    tiled = rng.choice((0, 0, 1 << 11, 1 << 15 | 1 << 11)) if opcode != 0x42 else rng.randrange(4) << 20 | rng.randrange(4) << 13
    last = corner(rng.choice((0x7FFF, 0x4000, 64)), rng.choice((0x7FFF, 0x4000)))
    control = rng.randrange(4) << 30 | depth << 24 | rng.choice((0xF0, 0xCC, 0xCC, 0x5A, 0xB8)) << 16 | pitches[0]
    source = [0, pitches[1]] if opcode != 0x55 else [pitches[1], 0]
    body = [number(rng)] if opcode == 0x50 else [*source, *split(bases[1]), *(split(LARGE_SPACE) if opcode == 0x55 else [])]
    return [2 << 29 | opcode << 22 | (3 << 20 if opcode != 0x42 else 0) | tiled | length - 2, control, 0, last, *split(bases[0]), *body]


def tireless(rng: random.Random, engine: Engine, ground: Ground, *, privileged: bool) -> list[int]:
    """Work that never fails, on memory that comes and goes; with privilege, by way of the global table."""
    if privileged:
        return [0x10400002, ground.distant(rng.randrange(16)).graphics + 4 * rng.randrange(1024), 0, number(rng)]
    far = split(SURFACES[2] + 8 * rng.randrange(0x2000))
    near = split(SURFACES[0] + 8 * rng.randrange(0x2000))
    kind = rng.randrange(6 if engine is Engine.BCS0 else 4)
    if kind == 0:
        return [0x10000002, *far, number(rng)]
    if kind == 1:
        return [0x17800501, *far]
    if kind == 2:
        return [0x17000003, *near, *far]
    if kind == 3:
        return [0x0D000003, 0x08008000, 0x08008401, 0x10000000, 0x18000031]
    bases = [split(SURFACES[2]), split(SURFACES[0])]
    rng.shuffle(bases)
    return [2 << 29 | 0x42 << 22 | 8, 3 << 24 | 256, 0, corner(64, 1 + rng.randrange(200)), *bases[0], 0, 256, *bases[1]]


@cache
def commands_of(engine: Engine, graphics_version: int) -> tuple[Command[Any], ...]:
    return tuple(command for command in declared_commands() if engine in command.engines and command.exists(graphics_version))


def declared(rng: random.Random, engine: Engine, ground: Ground) -> list[int]:
    """Any command that the tables have for the engine, of a length that it may have or one that it may not, with any body."""
    known = commands_of(engine, ground.platform.graphics_version)
    command = known[rng.randrange(len(known))]
    header = command.match | rng.getrandbits(32) & ~command.mask & (rng.getrandbits(32) if rng.randrange(2) else 0xFFFFFFFF)
    if rng.randrange(3) and command.length.bits:
        dwords = command.forms[rng.randrange(len(command.forms))].dwords if command.forms else rng.randrange(1, 12)
        header = header & ~command.length.mask | max(dwords - command.length.added, 0) & command.length.mask
    body: list[int] = []
    wanted = min(command.length_of(header), 64) - 1
    while len(body) < wanted:
        style = rng.randrange(4)
        if style == 0:
            body += address(rng, ground)
        elif style == 1:
            body.append(register(rng, engine))
        else:
            body.append(number(rng))
    return [header, *body]


def command_of(rng: random.Random, engine: Engine, ground: Ground) -> list[int]:
    """One command, half of the time a legal one with something changed."""
    style = rng.randrange(16)
    if style < 5:
        return legal(rng, engine, ground)
    if style < 11:
        return corrupted(rng, legal(rng, engine, ground))
    if style < 13 and engine is Engine.BCS0:
        return blit(rng)
    if style < 15:
        return declared(rng, engine, ground)
    return [number(rng) for _ in range(rng.randrange(1, 5))]
