"""The command audit once more: slow, written down from the kernel's tables, with nothing of the product in it but names of engines.

It says of a stream of dwords which rule refuses it, if any does. Each command is taken apart by hand; registers and
commands are found by looking through lists.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c, linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pvinfo.platform import Engine

__all__ = ("BASES", "RESTORED", "STATIC_ACCESS", "NaiveAudit", "NaiveCommand", "naive_command", "static_access")

BASES: Final = {Engine.RCS0: 0x2000, Engine.BCS0: 0x22000, Engine.VCS0: 0x12000, Engine.VECS0: 0x1A000}
_BLOCKS: Final = (*BASES.values(), 0x1C000)

ALL, R, RB, B, V, E = "all", "render", "render and blitter", "blitter", "video", "enhancement"
_ON: Final = {
    ALL: set(Engine), R: {Engine.RCS0}, RB: {Engine.RCS0, Engine.BCS0}, B: {Engine.BCS0}, V: {Engine.VCS0}, E: {Engine.VECS0},
}  # fmt: skip

# opcode, name, engines, bits of the length (0: always one dword), the only length (0: any), what is done
_MI: Final = (
    (0x00, "NOOP", ALL, 0, 1, "pass"), (0x01, "SET_PREDICATE", ALL, 0, 1, "pass"), (0x02, "USER_INTERRUPT", ALL, 0, 1, "user interrupt"),
    (0x03, "WAIT_FOR_EVENT", RB, 0, 1, "wait"), (0x04, "FLUSH", ALL, 0, 1, "pass"), (0x05, "ARB_CHECK", ALL, 0, 1, "pass"),
    (0x06, "RS_CONTROL", R, 0, 1, "pass"), (0x07, "REPORT_HEAD", ALL, 0, 1, "pass"), (0x08, "ARB_ON_OFF", ALL, 0, 1, "pass"),
    (0x09, "URB_ATOMIC_ALLOC", R, 0, 1, "pass"), (0x0A, "BATCH_BUFFER_END", ALL, 0, 1, "end"), (0x0B, "SUSPEND_FLUSH", ALL, 0, 1, "pass"),
    (0x0C, "PREDICATE", R, 0, 1, "pass"), (0x0D, "TOPOLOGY_FILTER", ALL, 0, 1, "pass"), (0x0E, "SET_APPID", ALL, 0, 1, "pass"),
    (0x0F, "RS_CONTEXT", R, 0, 1, "pass"), (0x12, "LOAD_SCAN_LINES_INCL", RB, 6, 0, "pass"), (0x14, "DISPLAY_FLIP", RB, 8, 0, "flip"),
    (0x16, "SEMAPHORE_MBOX", ALL, 8, 3, "pass"), (0x19, "URB_CLEAR", R, 8, 2, "pass"), (0x1A, "MATH", ALL, 8, 0, "pass"),
    (0x1B, "SEMAPHORE_SIGNAL", ALL, 8, 2, "pass"), (0x1C, "SEMAPHORE_WAIT", ALL, 8, 4, "never"), (0x20, "STORE_DATA_IMM", ALL, 10, 0, "store"),
    (0x21, "STORE_DATA_INDEX", ALL, 8, 0, "never"), (0x22, "LOAD_REGISTER_IMM", ALL, 8, 0, "load"), (0x23, "UPDATE_GTT", ALL, 10, 0, "never"),
    (0x24, "STORE_REGISTER_MEM", ALL, 8, 4, "register memory"), (0x26, "FLUSH_DW", ALL, 6, 0, "flush"), (0x27, "CLFLUSH", ALL, 10, 0, "never"),
    (0x28, "REPORT_PERF_COUNT", ALL, 6, 4, "never"), (0x29, "LOAD_REGISTER_MEM", ALL, 8, 4, "register memory"),
    (0x2A, "LOAD_REGISTER_REG", ALL, 8, 3, "register register"), (0x2B, "RS_STORE_DATA_IMM", R, 8, 4, "pass"),
    (0x2C, "LOAD_URB_MEM", R, 8, 4, "pass"), (0x2D, "STORE_URM_MEM", R, 8, 0, "pass"), (0x2E, "OP_2E", ALL, 8, 5, "never"),
    (0x2F, "OP_2F", ALL, 8, 0, "atomic"), (0x31, "BATCH_BUFFER_START", ALL, 8, 0, "start"),
    (0x36, "CONDITIONAL_BATCH_BUFFER_END", ALL, 8, 4, "never"),
)  # fmt: skip
_BLITS: Final = (
    0x01, 0x03, 0x11, 0x24, 0x25, 0x26, 0x31, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77,
)  # fmt: skip


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


# engines, pipeline, opcode, sub-opcodes, bits of the length (0: one dword), first graphics version
_PIPELINES: Final = (
    (R, 0, 0, (0x03,), 8, 8), (R, 0, 1, (0x01, 0x02, 0x04), 8, 8), (R, 0, 1, (0x03,), 3, 8), (R, 1, 0, (0x0B,), 0, 8), (R, 1, 1, (0x04,), 0, 8),
    (R, 2, 0, _span(0, 5), 16, 8), (R, 2, 1, (0x00, 0x02, 0x03), 16, 8), (R, 2, 1, (0x05,), 8, 8),
    (R, 3, 0, (*_span(0x04, 0x0A), *_span(0x0C, 0x21), *_span(0x23, 0x38), *_span(0x3B, 0x42), *_span(0x49, 0x52)), 8, 8),
    (R, 3, 0, (0x0B,), 0, 8), (R, 3, 0, (0x39, 0x3A), 11, 8), (R, 3, 0, _span(0x43, 0x47), 9, 8), (R, 3, 0, (0x55,), 8, 9),
    (R, 3, 1, (0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x0A, 0x0B, 0x0C, *_span(0x11, 0x16), *_span(0x18, 0x1C)), 8, 8), (R, 3, 1, (0x17,), 9, 8),
    (R, 3, 3, (0x00,), 8, 8),
    (V, 1, 0, (0x00,), 0, 8),
    (V, 2, 0, (*_span(0x00, 0x08), 0x29, 0x48, 0x4A), 12, 8),
    (V, 2, 1, (*_span(0x00, 0x05), *_span(0x25, 0x28), 0x49), 12, 8),
    (V, 2, 2, (0x01, 0x02, 0x20, 0x21, 0x28), 12, 8), (V, 2, 3, (0x00, 0x01, 0x28, 0x43, 0x49), 12, 8),
    (V, 2, 6, (0x00, 0x08, 0x09), 16, 8), (V, 2, 7, (0x00, 0x02, 0x28), 12, 8),
    (E, 2, 4, (0x00, 0x02, 0x03), 12, 8),
)  # fmt: skip


class NaiveCommand(NamedTuple):
    """A command that the mediator lists."""

    name: str
    length_bits: int
    only_length: int
    done: str

    def length(self, header: int) -> int:
        return (header & ((1 << self.length_bits) - 1)) + 2 if self.length_bits else 1


def naive_command(engine: Engine, version: int, header: int) -> NaiveCommand | None:
    """What begins with ``header`` on ``engine``; None for what is not listed there."""
    client = header >> 29
    if client == 0:
        for opcode, name, engines, bits, only, done in _MI:
            if header >> 23 & 0x3F == opcode and engine in _ON[engines]:
                return NaiveCommand(name, bits, only, done)
    elif client == 2 and engine is Engine.BCS0:
        for blit in _BLITS:
            if header >> 22 & 0x7F == blit:
                return NaiveCommand(f"blit {blit:#x}", 8, 0, "pass")
    elif client == 3:
        pipeline, group, sub = header >> 27 & 3, header >> 24 & 7, header >> 16 & 0xFF
        if (pipeline, group, sub) == (3, 2, 0) and engine is Engine.RCS0:
            return NaiveCommand("PIPE_CONTROL", 8, 0, "pipe control")
        for engines, of_pipeline, of_group, subs, bits, since in _PIPELINES:
            if engine in _ON[engines] and (pipeline, group) == (of_pipeline, of_group) and sub in subs and version >= since:
                return NaiveCommand(f"pipeline {pipeline}.{group}.{sub:#x}", bits, 0, "pass")
    return None


# ---- registers ----

STATIC_ACCESS: Final = {
    "relative": "28 40 44 9c c0 134 178 17c 244 270+20 29c 358 35c",
    "relative gen9": "d4",
    "relative bxt": "600+40",
    "all": """2088 2090 20a0 20dc 20e4 2120 2124 2148 215c 2180 21f0 2220 2290+8 2300+8 2308+8 2310+8 2318+8 2320+8 2328+8 2330+8 2338+8 2340+8 2348+8
        2350+8 2420 2430 2434 2438 243c 2470 24d0+30 2580 4030 4090 4094 4180 4280 4380 5200+20 5240+20 5280+10 7000 7004 7008 7010 7014 7018 7300 9030
        940c 9430 b118 e100 e180 e184 e188 e194 e220 e230 e240 e260 e270 e280 e2a0 e2b0 e2c0 e4f0 e4f4 12198 12220 22200 22220 120000 120008""",
    "bdw": "2248 83a4 8430 b100 b10c b1c0 b1f0",
    "gen9": "20e0 20ec 4ab0 4ddc 4de0 4de4 4de8 4dec 4df0 4df4 5588 7304 b004 b020+80 b11c c800+7f8 e4cc",
    "kbl": "4ab8",
    "cfl": "4ab8",
    "bxt": "20d8 2248 7034 b100",
}
"""Registers that commands may touch on a host whose default contexts are not known; +n: so many bytes."""


RESTORED: Final = {
    0x20C0, 0x7004, 0x7008, 0x7000, 0x7010, 0x7300, 0x83A4, 0x2580, 0x7014, 0xE100, 0xE180, 0xE184, 0xE188, 0xE194, 0xE4F0, 0x7304, 0x20D8,
    0x4DE0, 0x4DE4, 0x4DE8, 0x4DEC, 0x4DF0, 0x4DF4, 0x4DFC,
}  # fmt: skip
"""On gen9, registers that the mediator itself loads for a context that is restored with inhibit.
Source: linux:drivers/gpu/drm/i915/gvt/mmio_context.c"""


def _offsets(text: str) -> set[int]:
    found: set[int] = set()
    for word in text.split():
        first, _, size = word.partition("+")
        found.update(range(int(first, 16), int(first, 16) + (int(size, 16) if size else 4), 4))
    return found


def static_access(platform: str) -> set[int]:
    """The kernel's list for a platform."""
    version = 8 if platform == "bdw" else 9
    keys = ["all", platform] + (["gen9"] if version == 9 else [])
    relative = ["relative", f"relative {platform}"] + (["relative gen9"] if version == 9 else [])
    found = set().union(*(_offsets(STATIC_ACCESS.get(key, "")) for key in keys))
    for base in BASES.values():
        found.update(base + offset for key in relative for offset in _offsets(STATIC_ACCESS.get(key, "")))
    return found


# ---- the audit ----


class _No(Exception):
    """The rule that refuses."""


class NaiveAudit:
    """The audit of one engine's streams."""

    def __init__(
        self, platform: str, engine: Engine, context_registers: set[int], slices: Sequence[range], read_dword: Callable[[int], int | None],
        *, status_page: int, levels: int = 4, roots: Sequence[tuple[int, ...]] = (), batch_pages: int = 512, inhibit: bool = False,
    ) -> None:  # fmt: skip
        self.platform = platform
        self.version = 8 if platform == "bdw" else 9
        self.engine = engine
        self.base = BASES[engine]
        self.access = static_access(platform) | context_registers
        self.slices = slices
        self.read_dword = read_dword
        self.status_page = status_page
        self.levels = levels
        self.roots = list(roots)
        self.batch_pages = batch_pages
        self.inhibit = inhibit
        self.user = False
        self.notify = False
        self._copied: dict[tuple[int, str], None] = {}

    def why_not(self, dwords: Sequence[int], level: str = "ring") -> str | None:
        """The rule that refuses the stream; None where it passes."""
        try:
            waiting: list[tuple[Sequence[int], str]] = [(dwords, level)]
            while waiting:
                waiting += self._stream(*waiting.pop(0))
        except _No as no:
            return str(no)
        return None

    def _stream(self, dwords: Sequence[int], level: str) -> list[tuple[Sequence[int], str]]:
        batches: list[tuple[Sequence[int], str]] = []
        at = 0
        while at < len(dwords):
            command = naive_command(self.engine, self.version, dwords[at])
            if command is None:
                raise _No("audit-command-unknown")
            if command.done == "never":
                raise _No("audit-command-refused")
            length = command.length(dwords[at])
            if command.only_length and length != command.only_length:
                raise _No("audit-length")
            words = list(dwords[at : at + length])
            cut = len(words) < length
            words += [0] * (max(length, 6) - len(words))
            if command.done == "end":
                if level == "ring":
                    raise _No("audit-batch-end")
                break
            self._command(command, words, length, level, cut, batches)
            if cut:
                raise _No("audit-past-end")
            at += length
        return batches

    def _command(self, command: NaiveCommand, words: list[int], length: int, level: str, cut: bool, batches: list[tuple[Sequence[int], str]]) -> None:
        done = command.done
        if done == "user interrupt":
            self.user = True
        elif done == "store" and words[0] >> 22 & 1:
            if length != (5 if words[0] >> 21 & 1 else 4):
                raise _No("audit-length")
            self._needs_all(cut)
            copies = 2 if words[1] & 1 else 1
            self._owned(words[1] & 0xFFFFFFFC | (words[2] & 0xFFFF) << 32, copies * 4 * (length - 3))
        elif done == "atomic" and words[0] >> 22 & 1:
            if length != (11 if words[0] >> 18 & 1 else 3):
                raise _No("audit-length")
            self._needs_all(cut)
            self._owned(words[1] & 0xFFFFFFFC | (words[2] & 0xFFFF) << 32, (4, 8, 16, 32)[words[0] >> 19 & 3])
        elif done == "flush":
            self._flush(words, length, cut)
        elif done == "pipe control":
            self._pipe_control(words, length, cut)
        elif done == "load":
            self._load(words, length, cut)
        elif done == "register memory":
            self._needs_all(cut)
            allowed = {0xB118, 0x21F0} | ({0x20C0} if self.platform == "bdw" else set())
            self._used(words[1] & 0x7FFFFC, allowed)
            if words[0] >> 22 & 1:
                self._owned(words[2] & 0xFFFFFFFC | (words[3] & 0xFFFF) << 32, 4)
        elif done == "register register":
            self._needs_all(cut)
            for word in words[1:3]:
                self._used(word & 0x7FFFFC, {0x215C} if self.platform == "bdw" else set())
        elif done == "flip":
            self._flip(words, length, cut)
        elif done == "start":
            self._start(words, length, level, cut, batches)

    @staticmethod
    def _needs_all(cut: bool) -> None:
        if cut:
            raise _No("audit-past-end")

    def _owned(self, address: int, size: int) -> None:
        for part in self.slices:
            if all(place in part for place in (address, address + size - 1)):
                return
        raise _No("audit-address")

    def _post_sync(self, address: int, by_index: bool) -> None:
        if by_index:
            if address >= 4096:
                raise _No("audit-index")
            address = self.status_page
        self._owned(address, 8)

    def _flush(self, words: list[int], length: int, cut: bool) -> None:
        if length not in (4, 5):
            raise _No("audit-length")
        self._needs_all(cut)
        if words[0] >> 14 & 3 and words[1] >> 2 & 1:
            self._post_sync(words[1] & 0xFFFFFFF8 | (words[2] & 0xFFFF) << 32, bool(words[0] >> 21 & 1))
        self.notify = self.notify or bool(words[0] >> 8 & 1)

    def _pipe_control(self, words: list[int], length: int, cut: bool) -> None:
        self._needs_all(cut)
        flags = words[1]
        to_register = bool(flags >> 23 & 1)
        to_global = bool(flags >> 24 & 1) and flags >> 14 & 3 != 0
        if (to_register or to_global) and length != 6:
            raise _No("audit-length")
        if to_register:
            register = words[2] & 0x7FFFFC
            self._accessible(register)
            if self._is_root(register):
                raise _No("audit-root")
            self._value(register, words[4])
        elif to_global:
            self._post_sync(words[2] & 0xFFFFFFF8 | (words[3] & 0xFFFF) << 32, bool(flags >> 21 & 1))
        self.notify = self.notify or bool(flags >> 8 & 1)

    # ---- registers ----

    def _accessible(self, register: int) -> None:
        block = register & ~0xFFF
        if register not in self.access or (block in _BLOCKS and block != self.base):
            raise _No("audit-register")
        if self.platform == "bdw" and self.engine is not Engine.RCS0 and register >= 0x40000:
            raise _No("audit-register")

    def _used(self, register: int, allowed: set[int]) -> None:
        self._accessible(register)
        if register not in allowed:
            raise _No("audit-register-use")

    def _is_root(self, register: int) -> bool:
        return self.base + 0x270 <= register < self.base + 0x290

    def _value(self, register: int, value: int) -> None:
        if register == 0x4DF4 and self.version == 9 and value & 3 == 1:
            raise _No("audit-sparse-table")

    def _looked_at(self, register: int) -> bool:
        """The mediator has its own idea of what the register holds."""
        return (
            self._is_root(register)
            or register == self.base + 0x29C
            or 0x24D0 <= register < 0x2500
            or (self.version == 9 and self.inhibit and register in RESTORED)
            or (self.version == 9 and (register in (0x4DF4, self.base + 0xD4) or 0xC800 <= register <= 0xCFF8 or 0xB020 <= register <= 0xB0A0))
        )

    def _load(self, words: list[int], length: int, cut: bool) -> None:
        if length % 2 == 0:
            raise _No("audit-length")
        registers = [word & 0x7FFFFC for word in words[1:length:2]]
        if cut:
            self._needs_all(cut)
        done_roots = False
        for number, register in enumerate(registers):
            self._accessible(register)
            if words[0] >> 8 & 0xF and self._looked_at(register):
                raise _No("audit-register-bytes")
            if self._is_root(register) and not done_roots:
                done_roots = True
                self._roots(registers, words)
            self._value(register, words[2 * number + 2])

    def _roots(self, registers: list[int], words: list[int]) -> None:
        given = {}
        for number, register in enumerate(registers):
            if self._is_root(register):
                given[(register - self.base - 0x270) // 4] = words[2 * number + 2]
        wanted = range(2) if self.levels == 4 else range(8)
        if not any(half in given for half in wanted):
            return
        if not all(half in given for half in wanted):
            raise _No("audit-root")
        roots = tuple(given[half] + (given[half + 1] << 32) for half in wanted[::2])
        if roots not in self.roots:
            raise _No("audit-root")

    # ---- display and batches ----

    def _flip(self, words: list[int], length: int, cut: bool) -> None:
        if length < 3:
            raise _No("audit-length")
        self._needs_all(cut)
        if length != (4 if words[2] & 3 == 2 else 3):
            raise _No("audit-length")
        if (words[0] >> 8 & 0x1F != 0) if self.version == 9 else (words[0] >> 19 & 7 > 5):
            raise _No("audit-flip")

    def _start(self, words: list[int], length: int, level: str, cut: bool, batches: list[tuple[Sequence[int], str]]) -> None:
        second, global_table = bool(words[0] >> 22 & 1), not words[0] >> 8 & 1
        if length != 3:
            raise _No("audit-length")
        if level in ("second", "image") or (second and level != "batch"):
            raise _No("audit-batch-level")
        if not global_table:
            return
        if words[0] >> 16 & 1:
            raise _No("audit-batch-offset")
        self._needs_all(cut)
        address = words[1] & 0xFFFFFFFC | (words[2] & 0xFFFF) << 32
        target = "second" if second else "batch"
        if (address, target) not in self._copied:
            self._copied[address, target] = None
            batches.append((self._batch(address), target))

    def _batch(self, address: int) -> list[int]:
        """Dword by dword up to the command that ends it."""
        words: list[int] = []
        at = 0
        while True:
            header = self._dword(words, address, at)
            command = naive_command(self.engine, self.version, header)
            length = command.length(header) if command is not None else 1
            last = command is None or command.done == "end" or (command.done == "start" and not header >> 22 & 1 and not header >> 15 & 1)
            at += length
            if last:
                self._dword(words, address, at - 1)
                return words[:at]

    def _dword(self, words: list[int], address: int, index: int) -> int:
        while len(words) <= index:
            place = address + 4 * len(words)
            if not words or not place & 0xFFF:
                self.batch_pages -= 1
                if self.batch_pages < 0:
                    raise _No("audit-batch-size")
            dword = self.read_dword(place)
            if dword is None:
                raise _No("audit-batch-address")
            words.append(dword)
        return words[index]
