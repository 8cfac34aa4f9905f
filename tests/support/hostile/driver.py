"""The driver: a program of acts, each a byte that says what and seven that say how.

Any bytes are a program, as in :mod:`support.byte_script`, so that a failing one can be cut down. Half of what the driver
does is what an honest one does, with one field wrong.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, final

from host_model.device.mmio.policy import MmioPolicy
from host_model.gpu.policy import policy_for
from pvinfo.execlist import Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.registers.interrupt import INTERRUPT_GROUPS
from pvinfo.units import PAGE_SIZE

from ..byte_script import ENGINE_OFFSETS, GT_OFFSETS, REGION_EDGES
from .commands import command_of, corrupted, entry, number, tireless
from .ground import BATCH_PAGES, CONTEXTS, RING_SIZE
from .machine import WatchedDevice, WatchedGpu

__all__ = ("ACT_BYTES", "HostileDriver", "HostileHostDriver")

ACT_BYTES: Final = 8
_GTT: Final = 0x80_0000
_MASTER: Final = 0x44200
_GDRST: Final = 0x941C
_SIZES: Final = (4, 4, 4, 4, 4, 8, 2, 1)
_IMAGE_FIELDS: Final = (
    "context_control", "head", "tail", "start", "control", "bbaddr_udw", "bbaddr", "bbstate", "sbbaddr_udw", "sbbaddr", "sbbstate",
    "bb_per_ctx_ptr", "indirect_ctx", "indirect_ctx_offset", "ctx_timestamp", "pdp_lo[0]", "pdp_hi[0]", "pdp_lo[1]", "pdp_lo[3]", "swctrl",
    "mi_mode", "bb_offset", "gpr_lo[0]", "gpr_hi[1]",
)  # fmt: skip
_ENTRY_BITS: Final = (1, 2, 1 << 7, 1 << 11, 1 << 12, 1 << 16, 1 << 21, 1 << 30, 1 << 38, 1 << 45, 1 << 52, 1 << 63)


def _by_handler(handlers: Mapping[int, Callable[..., int]]) -> list[list[int]]:
    """Registers that one handler serves, together: else a page of a thousand dwords leaves nothing for the others."""
    found: dict[Callable[..., int], list[int]] = {}
    for offset in sorted(handlers):
        found.setdefault(handlers[offset], []).append(offset)
    return list(found.values())


class HostileDriver(ABC):
    """Does a program's acts to a device. ``said`` is told each step in words, if anybody listens."""

    def __init__(self, device: WatchedDevice, policy: MmioPolicy, said: Callable[[str], None] | None = None) -> None:
        self.device = device
        self.ground = device.ground
        self.engines = device.ground.platform.engines
        self.acts = 0
        self._said = said
        self._rng = random.Random(0)
        self._ring_ends = {(engine, context): 0 for engine in self.engines for context in range(CONTEXTS)}
        self._batch_ends = [0] * BATCH_PAGES
        self._answer = 0
        self._answering = False
        self._handled = _by_handler({offset: handler for offset, (handler, _) in policy.handlers.writes.items()})
        self._handled_reads = _by_handler(policy.handlers.reads)
        self._table = [act for weight, act in self.kinds() for _ in range(weight)]
        assert len(self._table) == 256
        device.gpu.on_interrupt(self._interrupted)

    def kinds(self) -> tuple[tuple[int, Callable[[], None]], ...]:
        """What it does, and how often of 256 times."""
        return (
            (14, self._read), (34, self._write), (12, self._write_table), (6, self._configure), (8, self._use_aperture), (6, self._fence),
            (16, self._poke), (8, self._image), (36, self._command), (18, self._submit), (34, self._wait), (10, self._recover), (38, self._job), (6, self._toil),
            (2, self._reset), (4, self._plug), (2, self._repair), (2, self._choose_answer),
        )  # fmt: skip

    def begin(self) -> None:
        """What an honest driver does first."""
        self._say("set up")
        self.ground.lay_tables()
        for engine in self.engines:
            for context in range(CONTEXTS):
                self._fresh_context(engine, context)
        table = self.device.gpu.ggtt
        for page, bus in self.ground.entries:
            table.guest_write(8 * page, 8, bus)
        config = self.device.gpu.config
        config.write(0x04, 2, 0x0006)
        msi = config.msi_capability
        assert msi is not None
        config.write(msi + 2, 2, 1)
        for base in INTERRUPT_GROUPS.values():
            self.device.write(base + 4, 4, 0)
            self.device.write(base + 12, 4, 0xFFFFFFFF)
        self.device.write(_MASTER, 4, 1 << 31)
        for engine in self.engines:
            self._resume(engine)

    def act(self, code: bytes) -> None:
        """One act."""
        self.acts += 1
        self._rng.seed(int.from_bytes(code[1:], "little"))
        self._table[code[0]]()

    def run(self, script: bytes) -> None:
        """A program; a last act that is cut off is filled up with zeros."""
        for at in range(0, len(script), ACT_BYTES):
            self.act(script[at : at + ACT_BYTES].ljust(ACT_BYTES, b"\0"))

    def _say(self, words: str) -> None:
        if self._said is not None:
            self._said(words)

    # ---- choices ----

    def _engine(self) -> Engine:
        # The engine with the most to do gets the most to do.
        return self.engines[(0, 1, 1, 1, 2, 3, 0, 1)[self._rng.randrange(8)]]

    def _context(self) -> tuple[Engine, int]:
        return self._engine(), self._rng.randrange(CONTEXTS)

    # ---- registers ----

    def _register(self, handled: list[list[int]]) -> tuple[int, int]:
        """Offset and width."""
        rng = self._rng
        style = rng.randrange(16)
        size = _SIZES[rng.randrange(8)]
        if style < 5:
            offset = ENGINES[self._engine()].base + ENGINE_OFFSETS[rng.randrange(len(ENGINE_OFFSETS))]
        elif style < 8:
            offsets = handled[rng.randrange(len(handled))]
            offset = offsets[rng.randrange(len(offsets))]
        elif style < 10:
            groups = tuple(INTERRUPT_GROUPS.values())
            offset = groups[rng.randrange(len(groups))] + 4 * rng.randrange(4) if rng.randrange(4) else _MASTER
        elif style < 12:
            offset = GT_OFFSETS[rng.randrange(len(GT_OFFSETS))]
        elif style == 12:
            offset = REGION_EDGES[rng.randrange(len(REGION_EDGES))]
        elif style == 13:
            return rng.randrange(0x20_0000 + 8), size
        elif style == 14:
            return rng.randrange(0x100_0000), size
        else:
            offset = rng.randrange(0x8_0000) * 4
        return offset + (0, 0, 0, 0, 0, 1, 2, 3)[rng.randrange(8)], size

    def _read(self) -> None:
        offset, size = self._register(self._handled_reads)
        self._say(f"read {size} at {offset:#x}")
        self.device.read(offset, size)

    def _write(self) -> None:
        offset, size = self._register(self._handled)
        value = number(self._rng) | (number(self._rng) << 32 if size == 8 else 0)
        value &= (1 << 8 * size) - 1
        self._say(f"write {size} at {offset:#x} := {value:#x}")
        self.device.write(offset, size, value)

    def _write_table(self) -> None:
        """An entry of the global table: the right one, a wrong one, half of one, or just past the end."""
        rng = self._rng
        low, high = entry(rng, self.ground)
        page, bus = self.ground.entries[rng.randrange(len(self.ground.entries))]
        style = rng.randrange(8)
        offset, size, value = _GTT + 8 * page, 8, bus
        if style == 0:
            value = low | high << 32
        elif style == 1:
            value ^= _ENTRY_BITS[rng.randrange(len(_ENTRY_BITS))]
        elif style == 2:
            offset, size, value = offset + 4 * rng.randrange(2), 4, number(rng)
        elif style == 3:
            offset = _GTT + 8 * rng.randrange(0x4_0008)
        elif style == 4:
            offset, size = offset + rng.randrange(8), _SIZES[rng.randrange(8)]
        value &= (1 << 8 * size) - 1
        self._say(f"table: {size} at {offset:#x} := {value:#x}")
        self.device.write(offset, size, value)
        if not rng.randrange(4):
            self.device.read(offset, size)

    def _configure(self) -> None:
        rng = self._rng
        msi = self.device.gpu.config.msi_capability or 0
        places = (0x04, 0x04, 0x05, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x30, 0x3C, 0x50, 0x52, 0x5C, 0xD4, 0xE8, 0xFFC, 0xFFF, msi, msi + 2, msi + 4)
        offset = places[rng.randrange(len(places))] if rng.randrange(4) else rng.randrange(0x1010)
        size = (1, 2, 4, 4)[rng.randrange(4)]
        if rng.randrange(3):
            value = number(rng) & (1 << 8 * size) - 1
            self._say(f"config write {size} at {offset:#x} := {value:#x}")
            self.device.gpu.config.write(offset, size, value)
        else:
            self._say(f"config read {size} at {offset:#x}")
            self.device.read_config(offset, size)

    def _use_aperture(self) -> None:
        rng = self._rng
        style = rng.randrange(4)
        if style == 0:
            offset = rng.randrange(self.device.gpu.aperture.size)
        elif style == 1:
            offset = self.device.gpu.aperture.size - rng.randrange(16)
        else:
            offset = self.ground.entries[rng.randrange(len(self.ground.entries))][0] * PAGE_SIZE + (0, 4, 0xFFC, 0xFF9, 0xFFF, 0x20F)[rng.randrange(6)]
        size = (4, 4, 8, 2, 1)[rng.randrange(5)]
        if rng.randrange(2):
            value = (number(rng) | number(rng) << 32) & (1 << 8 * size) - 1
            self._say(f"aperture write {size} at {offset:#x} := {value:#x}")
            self.device.write_aperture(offset, size, value)
        else:
            self._say(f"aperture read {size} at {offset:#x}")
            self.device.read_aperture(offset, size)

    def _fence(self) -> None:
        rng = self._rng
        first = self.ground.entries[rng.randrange(len(self.ground.entries))][0] * PAGE_SIZE
        pages, pitch = 1 << rng.randrange(8), rng.choice((0, 1, 3, 4, 7, 0x7FF, rng.getrandbits(11)))
        dwords = [first | rng.randrange(2) << 1 | 1, first + pages * PAGE_SIZE | pitch]
        if rng.randrange(2):
            dwords = corrupted(rng, dwords)
        offset = FENCE_BASE + 8 * rng.randrange(33)
        self._say(f"fence at {offset:#x} := {dwords[0]:#x} {dwords[1]:#x}")
        self.device.write(offset, 4, dwords[0])
        self.device.write(offset + 4, 4, dwords[1])

    # ---- memory ----

    def _store(self, bus: int, dwords: list[int]) -> None:
        self._say(f"memory at {bus:#x} := {' '.join(f'{dword:#x}' for dword in dwords)}")
        self.ground.memory.poke(bus, b"".join([dword.to_bytes(4, "little") for dword in dwords]))

    def _poke(self) -> None:
        """Page tables, mostly: entries that lead back, too far, to pages of the wrong size, nowhere."""
        rng = self._rng
        style = rng.randrange(8)
        tables = self.ground.tables
        table = tables[rng.randrange(len(tables))]
        if style == 0:
            page, _ = self.ground.entries[rng.randrange(len(self.ground.entries))]
            bus = dict(self.ground.entries)[page] & ~1
            self._store(bus + 4 * rng.randrange(1024), [number(rng)])
            return
        if style < 4:
            bus, value = rng.choice(self.ground.table_entries())
            if style > 1:
                value ^= _ENTRY_BITS[rng.randrange(len(_ENTRY_BITS))]
        elif style < 6:
            bus = table.bus + 8 * (0, 0, 1, 16, 32, 256, 511, rng.randrange(512))[rng.randrange(8)]
            value = tables[rng.randrange(len(tables))].bus | 3 | (0, 0, 0, 1 << 7, 1 << 11)[rng.randrange(5)]
        elif style == 6:
            bus = table.bus + 8 * rng.randrange(512)
            value = self.ground.entries[rng.randrange(len(self.ground.entries))][1] | rng.randrange(4)
        else:
            bus, value = table.bus + 8 * rng.randrange(512), rng.getrandbits(64)
        self._store(bus, [value & 0xFFFFFFFF, value >> 32])

    def _fresh_context(self, engine: Engine, context: int, changed: dict[str, int] | None = None) -> None:
        self.ground.lay_image(engine, context, changed)
        self._ring_ends[engine, context] = 0

    def _image(self) -> None:
        """A context made anew, or a field of its image changed where it may be running."""
        rng = self._rng
        engine, context = self._context()
        values = self.ground.image_values(engine, context)
        field = _IMAGE_FIELDS[rng.randrange(len(_IMAGE_FIELDS))]
        value = (values.get(field, 0) ^ 1 << rng.randrange(32)) if rng.randrange(2) else number(rng)
        if field in ("bbaddr", "sbbaddr", "bb_per_ctx_ptr", "indirect_ctx") and rng.randrange(2):
            value = (self.ground.batches[rng.randrange(BATCH_PAGES)].graphics | 1) + rng.randrange(8) * 64
        self._say(f"image of context {context} of {engine.value} with {field} := {value:#x}")
        if rng.randrange(2):
            self._fresh_context(engine, context, {field: value})
        else:
            page = self.ground.image(engine, context).bus + PAGE_SIZE
            self._store(page + 4 * rng.randrange(0x100) if rng.randrange(4) == 0 else page + 4 * rng.randrange(0x30), [value])

    def _command(self) -> None:
        """One more command, in a ring or in a batch."""
        rng = self._rng
        engine, context = self._context()
        dwords = command_of(rng, engine, self.ground)
        if rng.randrange(5) < 3:
            if len(dwords) % 2:
                dwords.append(0)
            self._append(engine, context, dwords)
            if rng.randrange(4):
                self._set_tail(engine, context)
            return
        batch = rng.randrange(BATCH_PAGES)
        at = self._batch_ends[batch]
        if at + 4 * len(dwords) + 12 > PAGE_SIZE:
            at = 0
        self._batch_ends[batch] = at + 4 * len(dwords)
        last = rng.randrange(8)
        if last < 5:
            dwords.append(0x05000000)
        elif last == 5:
            dwords += [0x18800101, 0x1_0000 + 0x1000 * batch, 0]
        self._store(self.ground.batches[batch].bus + at, dwords)

    def _append(self, engine: Engine, context: int, dwords: list[int]) -> None:
        """Behind what is in the ring, and on from its beginning where that is its end."""
        ring, at = self.ground.ring(engine, context).bus, self._ring_ends[engine, context]
        first = (RING_SIZE - at) // 4
        for place, part in ((at, dwords[:first]), (0, dwords[first:])):
            if part:
                self._store(ring + place, part)
        self._ring_ends[engine, context] = (at + 4 * len(dwords)) % RING_SIZE

    def _set_tail(self, engine: Engine, context: int) -> None:
        self._store(self.ground.image(engine, context).bus + PAGE_SIZE + 4 * 0x07, [self._ring_ends[engine, context]])

    @abstractmethod
    def _plug(self) -> None:
        """Memory goes, memory comes."""

    @abstractmethod
    def _plug_in(self) -> None:
        """All memory is there."""

    def _repair(self) -> None:
        """Everything laid out anew, but for the engines."""
        self._lay_out()

    def _lay_out(self) -> None:
        self._say("lay out everything anew")
        self._plug_in()
        self.ground.lay_tables()
        for page, bus in self.ground.entries:
            self.device.gpu.ggtt.guest_write(8 * page, 8, bus)
        self.device.gpu.config.write(0x04, 2, 0x0006)
        self.device.write(_MASTER, 4, 1 << 31)

    # ---- engines ----

    def _resume(self, engine: Engine, wrong: random.Random | None = None) -> None:
        """What makes an engine take submissions, perhaps with a value wrong."""
        base = ENGINES[engine].base
        steps = [
            (EngineRegisters.mode.offset, 0x80008000), (EngineRegisters.mi_mode.offset, 0x01000000),
            (EngineRegisters.hws_pga.offset, self.ground.status_pages[engine].graphics), (EngineRegisters.imr.offset, 0),
            (EngineRegisters.emr.offset, 0xFFFFFFFE),
        ]  # fmt: skip
        values = [value for _, value in steps]
        if wrong is not None:
            values = corrupted(wrong, values)
        for (offset, _), value in zip(steps, values, strict=True):
            self._say(f"write 4 at {base + offset:#x} := {value:#x}")
            self.device.write(base + offset, 4, value)

    def _recover(self) -> None:
        """An engine reset the way drivers do it, and set up again with fresh contexts."""
        rng = self._rng
        engine = self._engine()
        base = ENGINES[engine].base
        self._say(f"reset {engine.value}")
        self.device.write(base + EngineRegisters.reset_ctl.offset, 4, 0x00010001)
        self.device.write(_GDRST, 4, 1 << ENGINES[engine].reset_bit)
        self.device.write(base + EngineRegisters.reset_ctl.offset, 4, 0x00010000)
        self._resume(engine, rng if not rng.randrange(4) else None)
        for context in range(CONTEXTS):
            self._fresh_context(engine, context)

    def _reset(self) -> None:
        if self._rng.randrange(2):
            self._say("function-level reset")
            self.device.gpu.reset()
        else:
            self._say("reset of the whole GT")
            self.device.write(_GDRST, 4, 1)
        for engine in self.engines:
            if self._rng.randrange(4):
                self._resume(engine)

    def _submit(self) -> None:
        """Four dwords to the submission port: one context or two, perhaps a wrong dword, perhaps one too few."""
        rng = self._rng
        engine = self._engine()
        self._submit_to(engine, rng, (0, 0, 1, 1, 2)[rng.randrange(5)])

    def _submit_to(self, engine: Engine, rng: random.Random, context: int) -> None:
        contexts = (0, 0, 1, 1, 2)
        first = self.ground.descriptor(engine, context, force_restore=rng.randrange(2), privilege=int(rng.randrange(6) > 0))
        second = self.ground.descriptor(engine, contexts[rng.randrange(5)]) if rng.randrange(2) else None
        dwords = list(Submission.loading(first, second))
        style = rng.randrange(16)
        if style < 4:
            dwords = corrupted(rng, dwords)
        elif style == 4:
            dwords = dwords[rng.randrange(2) :]
        self._say(f"submit to {engine.value}: {' '.join(f'{dword:#x}' for dword in dwords)}")
        for dword in dwords:
            self.device.write(EngineRegisters.elsp.at(engine.name), 4, dword)

    def _job(self) -> None:
        """Honest work from the ground up, with one thing wrong in it, or nothing."""
        rng = self._rng
        engine = self._engine()
        context = rng.randrange(CONTEXTS)
        if rng.randrange(4):
            self.device.write(_GDRST, 4, 1 << ENGINES[engine].reset_bit)
            self._resume(engine)
            if not rng.randrange(4):
                self._lay_out()
        changed: dict[str, int] = {}
        style = rng.randrange(8)
        if style < 2:
            changed[_IMAGE_FIELDS[rng.randrange(len(_IMAGE_FIELDS))]] = number(rng)
        elif style == 2:
            place = self.ground.batches[rng.randrange(BATCH_PAGES)].graphics
            changed = {"indirect_ctx": place | rng.randrange(1, 4), "bb_per_ctx_ptr": self.ground.batches[rng.randrange(BATCH_PAGES)].graphics | 1}
        elif style == 3:
            changed = {"bbaddr": 0x1_0001 + 0x1000 * rng.randrange(BATCH_PAGES), "bbstate": 1 << 5 * rng.randrange(2)}
        start = 8 * rng.randrange(RING_SIZE // 8) if not rng.randrange(4) else 0
        changed = {"head": start} | changed
        self._say(f"context {context} of {engine.value} anew with {changed}")
        self._fresh_context(engine, context, changed)
        self._ring_ends[engine, context] = start
        batch = rng.randrange(BATCH_PAGES)
        inside = [dword for _ in range(rng.randrange(1, 6)) for dword in command_of(rng, engine, self.ground)]
        # Perhaps it goes round, so that it is still at work when something is taken away from it.
        last = [0x18800101, 0x1_0000 + 0x1000 * batch, 0] if not rng.randrange(4) else [0x05000000]
        self._store(self.ground.batches[batch].bus, [*inside[:1000], *last])
        ring = self._batch_start(batch) if rng.randrange(4) else []
        for _ in range(self._spoilt_commands()):
            ring += command_of(rng, engine, self.ground)
        ring += [0x01000000, 0] if len(ring) % 2 == 0 else [0x01000000]
        self._append(engine, context, ring[: RING_SIZE // 8])
        self._set_tail(engine, context)
        self._submit_to(engine, rng, context)
        for _ in range(rng.randrange(1, 4)):
            self.device.step()
        if not rng.randrange(8):
            self._plug()
            self.device.step()
            self.device.step()

    def _batch_start(self, batch: int) -> list[int]:
        """What leads from the ring of a job to its batch."""
        return [0x18800101, 0x1_0000 + 0x1000 * batch, 0, 0]

    def _spoilt_commands(self) -> int:
        """How many of them stand in the ring of a job."""
        return self._rng.randrange(4)

    def _toil(self) -> None:
        """Honest work that goes round for ever, and memory that is taken away from under it."""
        rng = self._rng
        engine = self._engine()
        self.device.write(_GDRST, 4, 1 << ENGINES[engine].reset_bit)
        self._lay_out()
        self._resume(engine)
        self._fresh_context(engine, 0)
        privileged = not rng.randrange(3)
        start = [0x18800001, self.ground.batches[0].graphics, 0] if privileged else [0x18800101, 0x1_0000, 0]
        work = [dword for _ in range(rng.randrange(1, 8)) for dword in tireless(rng, engine, self.ground, privileged=privileged)]
        self._store(self.ground.batches[0].bus, [*work, *start])
        self._append(engine, 0, [*start, 0])
        self._set_tail(engine, 0)
        self._submit_to(engine, rng, 0)
        for act in (self._wait, self._plug, self._wait):
            act()

    def _wait(self) -> None:
        count = (1, 1, 2, 3, 4, 8)[self._rng.randrange(6)]
        self._say(f"wait for {count} instants")
        for _ in range(count):
            self.device.step()

    # ---- interrupts ----

    def _choose_answer(self) -> None:
        self._answer = self._rng.randrange(6)
        self._say(f"answer interrupts in way {self._answer}")

    def _interrupted(self) -> None:
        """An interrupt came, in the midst of whatever is going on. The handler is not interrupted itself."""
        if self._answering:
            return
        self._answering = True
        try:
            self._answer_interrupt()
        finally:
            self._answering = False

    def _answer_interrupt(self) -> None:
        gpu = self.device.gpu
        answer = self._answer
        if answer == 0:
            return
        mmio = gpu.mmio
        mmio.write(_MASTER, 4, 0)
        for base in INTERRUPT_GROUPS.values():
            pending = mmio.read(base + 8, 4)
            if pending and answer != 1:
                mmio.write(base + 8, 4, pending)
        if answer == 3:
            mmio.write(_GDRST, 4, 0x1E)
        elif answer == 4:
            gpu.reset()
        elif answer == 5:
            for engine in self.engines:
                for dword in Submission.loading(self.ground.descriptor(engine, 0)):
                    mmio.write(EngineRegisters.elsp.at(engine.name), 4, dword)
        mmio.write(_MASTER, 4, 1 << 31)

    # ---- afterwards ----

    def end(self) -> None:
        """From now on nobody answers interrupts."""
        self._answer = 2
        self._plug_in()


@final
class HostileHostDriver(HostileDriver):
    """One to whom the physical GPU belongs, and under whom memory comes and goes."""

    def __init__(self, device: WatchedGpu, said: Callable[[str], None] | None = None) -> None:
        self._physical = device
        super().__init__(device, policy_for(device.ground.platform.name), said)

    def _plug(self) -> None:
        rng, device = self._rng, self._physical
        window = (device.far, device.far, device.large, device.rom)[rng.randrange(4)]
        if window.plugged is not None:
            self._say(f"unplug {window.base:#x}")
            device.memory.unplug(window)
        if rng.randrange(3):
            self._say(f"plug {window.base:#x}")
            if window.plugged is None:
                window.plug()

    def _plug_in(self) -> None:
        for window in self._physical.memory.windows:
            if window.plugged is None:
                window.plug()
