"""Commands at random: mostly legal ones, with addresses and registers at the edges of what is allowed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pvinfo.platform import Engine

from .audit_rig import ROOTS, context_registers
from .naive_audit import BASES, naive_command, static_access

__all__ = ("BATCHES", "BATCH_PAGES", "OTHER_ROOT", "STATUS", "THREE_LEVELS", "Ground", "Maker")

STATUS: Final = 0x3000
"""Offset of the status page in the low slice."""
BATCHES: Final = 0x10000
"""Offset of the pages in which batches stand."""
BATCH_PAGES: Final = 8
OTHER_ROOT: Final = (0x77_7000,)
"""Besides that of the context, a root that was announced."""
THREE_LEVELS: Final = tuple(range(0x1000, 0x5000, 0x1000))
"""Roots of a space of three levels."""


_OPCODES: Final = (
    0x01, 0x02, 0x04, 0x05, 0x07, 0x08, 0x0B, 0x0C, 0x0D, 0x0E, 0x06, 0x12, 0x16, 0x19, 0x1A, 0x1B, 0x2B, 0x2C, 0x2D, 0x0A,
)  # fmt: skip
"""Commands that are not looked into, and the end of batches."""


class Ground(Protocol):
    """What commands are made for."""

    @property
    def platform_name(self) -> str: ...
    @property
    def low(self) -> range: ...
    @property
    def high(self) -> range: ...

    def write(self, address: int, dwords: Sequence[int]) -> None:
        """Store dwords at a graphics address."""


class Maker:
    """Makes commands for one engine that are nearly legal, and now and then spoils them."""

    def __init__(self, rig: Ground, engine: Engine, rng: random.Random) -> None:
        self.rig = rig
        self.engine = engine
        self.rng = rng
        platform = rig.platform_name
        self.version = 8 if platform == "bdw" else 9
        self.base = BASES[engine]
        self.registers = sorted(static_access(platform) | context_registers(platform))
        self.own = [
            register for register in self.registers
            if register & ~0xFFF not in set(BASES.values()) - {self.base} and register not in range(self.base + 0x270, self.base + 0x290)
        ]
        self.kinds: list[Callable[[], list[int]]] = [
            self.noop, self.plain, self.pipeline, self.store, self.atomic, self.flush, self.flush, self.pipe_control, self.pipe_control, self.load, self.load,
            self.register_memory, self.wait, self.start, self.start,
        ]
        self.kinds *= 3
        self.kinds += [self.flip, self.register_register, self.root]  # fmt: skip

    def address(self) -> int:
        rng = self.rng
        part = rng.choice((self.rig.low, self.rig.high))
        if self.likely():
            return rng.choice((part.start, part.stop - 64, part.start + rng.randrange(0, 1 << 20, 4)))
        edge = rng.choice((part.start, part.stop, part.start + STATUS, part.start + BATCHES, 0x1000, rng.randrange(1 << 48)))
        return max(edge + rng.choice((-64, -16, -12, -8, -4, -1, 0, 0, 0, 0, 4, 8, 64)), 0)

    def likely(self) -> bool:
        return self.rng.random() < 0.9

    def pair(self, address: int) -> list[int]:
        return [address & 0xFFFFFFFF, address >> 32 | self.rng.choice((0, 0, 0, 0xABCD0000))]

    def register(self) -> int:
        rng = self.rng
        if self.likely():
            return rng.choice(self.own)
        return rng.choice((rng.choice(self.registers), rng.randrange(0, 1 << 23, 4), self.base + 0x270 + rng.randrange(0, 0x20, 4)))

    def value(self) -> int:
        return self.rng.choice((0, 1, 2, 3, 0xFFFFFFFF, 0x10001, 0x80008, self.rng.getrandbits(32), ROOTS[0] & 0xFFFFFFFF))

    def noop(self) -> list[int]:
        return [0] * self.rng.randrange(1, 4)

    def plain(self) -> list[int]:
        opcode = self.rng.choice((0x01, 0x02, 0x05, 0x08, 0x07) if self.likely() else _OPCODES)
        header = opcode << 23 | self.rng.choice((0, 0, 1, 2, self.rng.getrandbits(6)))
        command = naive_command(self.engine, self.version, header)
        return [header, *(self.value() for _ in range(command.length(header) - 1 if command is not None else 0))]

    def pipeline(self) -> list[int]:
        for _ in range(400):
            header = self.rng.choice((2, 3, 3)) << 29 | self.rng.getrandbits(13) << 16 | self.rng.randrange(8)
            command = naive_command(self.engine, self.version, header)
            if command is not None and command.done == "pass":
                return [header, *(self.value() for _ in range(command.length(header) - 1))]
        return []

    def store(self) -> list[int]:
        qword = self.rng.random() < 0.4
        header = 0x20 << 23 | qword << 21 | (self.rng.random() < 0.8) << 22 | (3 if qword else 2)
        low, high = self.pair(self.address())
        return [header, low & ~1 | (self.rng.random() < 0.2), high, *(self.value() for _ in range(1 + qword))]

    def atomic(self) -> list[int]:
        inline = self.rng.random() < 0.5
        header = 0x2F << 23 | (self.rng.random() < 0.8) << 22 | inline << 18 | self.rng.randrange(4) << 19 | 7 << 8 | (9 if inline else 1)
        return [header, *self.pair(self.address()), *(self.value() for _ in range(8 if inline else 0))]

    def flush(self) -> list[int]:
        long, index = self.rng.random() < 0.3, self.rng.random() < 0.3
        header = 0x26 << 23 | self.rng.choice((0, 1, 3)) << 14 | index << 21 | self.rng.getrandbits(1) << 8 | (3 if long else 2)
        low, high = self.pair(self.rng.choice((0, 0xD0, 0xFF8, 0xFFC, 0x1000) if not self.likely() else (0xD0,)) if index else self.address())
        return [header, low & ~4 | (self.rng.random() < 0.7) << 2, high, *(self.value() for _ in range(1 + long))]

    def pipe_control(self) -> list[int]:
        index, register = self.rng.random() < 0.3, self.rng.random() < 0.2
        flags = self.rng.randrange(4) << 14 | index << 21 | register << 23 | (self.rng.random() < 0.6) << 24 | self.rng.getrandbits(1) << 8 | 1 << 20
        place = self.register() if register else self.rng.choice((0, 0xD0, 0xFF8, 0xFFC, 0x1000) if not self.likely() else (0xD0,)) if index else self.address()
        return [0x7A000004, flags, *self.pair(place), self.value(), self.value()]

    def load(self) -> list[int]:
        count = self.rng.choice((1, 1, 2, 3, 8))
        header = 0x22 << 23 | 2 * count - 1 | (self.rng.random() < 0.02) << self.rng.randrange(8, 12)
        return [header, *(word for _ in range(count) for word in (self.register(), self.value()))]

    def root(self) -> list[int]:
        levels, roots = self.rng.choice(((4, ROOTS), (4, OTHER_ROOT), (4, (0x123000,)), (3, THREE_LEVELS)))
        pairs = [(self.base + 0x270 + 8 * n + 4 * high, root >> 32 * high & 0xFFFFFFFF) for n, root in enumerate(roots) for high in (1, 0)]
        self.rng.shuffle(pairs)
        if self.rng.random() < 0.2:
            pairs.pop()
        if self.rng.random() < 0.2:
            pairs.append((self.register(), self.value()))
        return [0x22 << 23 | max(2 * len(pairs) - 1, 0), *(word for pair in pairs for word in pair)]

    def register_memory(self) -> list[int]:
        header = self.rng.choice((0x24, 0x29)) << 23 | (self.rng.random() < 0.6) << 22 | 2
        return [header, 0xB118 if self.likely() else self.rng.choice((0x21F0, 0x20C0, self.register())), *self.pair(self.address())]

    def register_register(self) -> list[int]:
        return [0x2A << 23 | 1, self.rng.choice((0x215C, 0x215C, self.register())), self.rng.choice((0x215C, 0x215C, self.register()))]

    def flip(self) -> list[int]:
        stereo = self.rng.random() < 0.2
        code = self.rng.choice((0, 0, self.rng.randrange(8) << 19, self.rng.randrange(32) << 8))
        return [0x14 << 23 | code | (2 if stereo else 1), self.value(), self.rng.getrandbits(20) << 12 | (2 if stereo else self.rng.randrange(2)), *[0] * stereo]

    def wait(self) -> list[int]:
        return [0x03 << 23 | self.rng.getrandbits(22)]

    def start(self) -> list[int]:
        rng = self.rng
        header = 0x31 << 23 | (rng.random() < 0.4) << 8 | (rng.random() < 0.3) << 22 | (rng.random() < 0.2) << 15 | (rng.random() < 0.03) << 16 | 1
        batch = self.rig.low.start + BATCHES + rng.randrange(BATCH_PAGES) * 0x1000 + rng.choice((0, 0, 0, 0xFF0))
        return [header, *self.pair(batch if self.likely() else self.address())]

    def stream(self, commands: int) -> list[int]:
        return [word for _ in range(commands) for word in self.rng.choice(self.kinds)()]

    def mutated(self, words: list[int]) -> list[int]:
        """With a bit, a dword or the end changed, now and then."""
        rng = self.rng
        if words and rng.random() < 0.25:
            kind = rng.randrange(4)
            at = rng.randrange(len(words))
            if kind == 0:
                words[at] ^= 1 << rng.randrange(32)
            elif kind == 1:
                words[at] = rng.getrandbits(32)
            elif kind == 2:
                del words[at:]
            else:
                del words[at]
        return words

    def lay_batches(self) -> None:
        """Fill the pages that starts lead to."""
        for page in range(BATCH_PAGES):
            words = self.mutated(self.stream(self.rng.randrange(6)))
            if self.rng.random() < 0.9:
                words += self.rng.choice(([0x0A << 23], self.start() + [0x0A << 23]))
            words = words[:1024]
            self.rig.write(self.rig.low.start + BATCHES + 0x1000 * page, words + [0] * (1024 - len(words)))
