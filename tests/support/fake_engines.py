"""Engines for the fake machine: they load what is submitted and walk its ring, nothing more.

Of the commands only those have an effect that end a request: stores of flushes and pipe controls to graphics memory,
and user interrupts. Batches are not entered. What is submitted is carried out while the clock runs, unless a test holds
the engine; a test may also say itself what the engine's events are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from pvinfo.context_image import STATE_OFFSET
from pvinfo.platform import ENGINES, Engine
from pvinfo.trace import Op

if TYPE_CHECKING:
    from .guest_machine import Access, FakeMachine

USER: Final = 1
SWITCH: Final = 1 << 8
ERROR: Final = 1 << 3
MASTER: Final = 0x44200
_GROUPS: Final = {"GT0": (0x44300, (0, 1)), "GT1": (0x44310, (2,)), "GT3": (0x44330, (6,))}
_MASTER_BIT: Final = {Engine.RCS0: 0, Engine.BCS0: 1, Engine.VCS0: 2, Engine.VECS0: 6}


class FakeEngine:
    """One engine."""

    def __init__(self, machine: FakeMachine, engine: Engine) -> None:
        self.machine = machine
        self.engine = engine
        self.base = ENGINES[engine].base
        self.held = False
        """Submissions are taken and not carried out."""
        self.silent = False
        """Nothing is done with a submission at all."""
        self._loaded: list[int] = []
        self.submissions: list[tuple[int, ...]] = []
        """Every submission, as it was written."""
        self._ports: list[tuple[int, int]] = []
        self._running: tuple[int, int] | None = None
        self._event = 5
        self.seqnos: list[tuple[int, int]] = []
        """What was reported, with its graphics address, in order."""

    # ---- registers ----

    def write_port(self, value: int) -> int:
        """A dword of a submission; a port reads as nothing."""
        self._loaded.append(value)
        if len(self._loaded) == 4:
            self.submissions.append(tuple(self._loaded))
            second_high, second_low, first_high, first_low = self._loaded
            self._loaded.clear()
            if not self.silent:
                self._load([(first_high, first_low), (second_high, second_low)])
        return 0

    def reset(self) -> None:
        self._loaded.clear()
        self._ports.clear()
        self._running = None
        self._event = 5

    # ---- memory ----

    def _physical(self, address: int) -> int:
        return self.machine.regs.table[address >> 12] & ~0xFFF | address & 0xFFF

    def dword(self, address: int) -> int:
        at = self._physical(address)
        return int.from_bytes(self.machine.memory.bytes[at : at + 4], "little")

    def store(self, address: int, value: int) -> None:
        at = self._physical(address)
        self.machine.memory.bytes[at : at + 4] = value.to_bytes(4, "little")

    # ---- events ----

    def tell(self, status: int, context_id: int, *, interrupt: bool = True) -> None:
        """Report an event."""
        page = self.machine.regs.stored[self.base + 0x80]
        self._event = (self._event + 1) % 6
        self.store(page + 0x40 + 8 * self._event, status)
        self.store(page + 0x44 + 8 * self._event, context_id)
        self.store(page + 0x7C, self._event)
        if interrupt:
            self.interrupt(SWITCH)

    def interrupt(self, events: int) -> None:
        """Raise events, as far as the engine's mask lets them through."""
        spec = ENGINES[self.engine]
        masked = self.machine.regs.stored.get(self.base + 0xA8, 0xFFFF_FFFF)
        group = 0x44300 + 0x10 * spec.interrupt_group
        latched = events << spec.interrupt_shift & ~masked & ~self.machine.regs.stored.get(group + 4, 0xFFFF_FFFF)
        if latched:
            self.machine.regs.stored[group + 8] = self.machine.regs.stored.get(group + 8, 0) | latched
            self.machine.engines.deliver()

    # ---- execution ----

    def _load(self, ports: list[tuple[int, int]]) -> None:
        ports = [port for port in ports if port[1] & 1]
        if self._running is not None and ports[0][1] & ~0xFFF == self._running[1] & ~0xFFF:
            self._ports = ports[1:]
            self._running = ports[0]
            self.tell(0x8002, ports[0][0])
        elif self._running is not None:
            self.tell(0x2, self._running[0])
            self._running, self._ports = ports[0], ports[1:]
        else:
            self._running, self._ports = ports[0], ports[1:]
            self.tell(0x1, ports[0][0])

    def run(self) -> None:
        """Carry out what there is, unless held."""
        while self._running is not None and not self.held:
            context_id, low = self._running
            if not self._walk(low & ~0xFFF):
                return
            if self._ports:
                self._running = self._ports.pop(0)
                self.tell(0x14, context_id)
            else:
                self._running = None
                self.tell(0x18, context_id)

    def _walk(self, image: int) -> bool:
        """From the ring's head to its tail; False when it has to wait."""
        state = image + STATE_OFFSET
        head, tail, start, control = (self.dword(state + 4 * dword) for dword in (5, 7, 9, 11))
        size = (control & 0x1F_F000) + 0x1000
        while head != tail:
            header = self.dword(start + head)
            words = [self.dword(start + (head + 4 * at) % size) for at in range(length_of(header))]
            if not self._execute(words):
                self.store(state + 4 * 5, head)
                return False
            head = (head + 4 * len(words)) % size
        self.store(state + 4 * 5, head)
        control_dword = self.dword(state + 4 * 3)
        self.store(state + 4 * 3, control_dword & ~1)
        return True

    def _execute(self, words: list[int]) -> bool:
        header = words[0]
        if header == 0x0100_0000:
            self.interrupt(USER)
        elif header >> 23 == 0x26 and header >> 14 & 3 == 1 and not header & 1 << 21:
            self._report(words[1] & ~7, words[3])
        elif header == 0x7A00_0004 and words[1] >> 14 & 3 == 1 and words[1] & 1 << 24:
            self._report(words[2], words[4])
        elif header >> 23 == 0x20:
            self.store(words[1], words[3])
        elif header >> 23 == 0x1C and self.dword(words[2]) != words[1]:
            return False
        return True

    def _report(self, address: int, value: int) -> None:
        self.store(address, value)
        self.seqnos.append((address, value))


def length_of(header: int) -> int:
    """Dwords of a command."""
    if header >> 29 == 0:
        return 1 if header >> 23 < 0x10 else (header & (0x3F if header >> 23 == 0x26 else 0xFF)) + 2
    if header >> 16 == 0x6904:
        return 1
    return (header & 0xFF) + 2


class FakeEngines:
    """All of them, and the interrupt line."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.by_name = {engine: FakeEngine(machine, engine) for engine in Engine}
        regs = machine.regs
        for engine in self.by_name.values():
            regs.rules[engine.base + 0x230] = engine.write_port
        regs.read_rules[MASTER] = self._master
        regs.rules[MASTER] = self._write_master
        self._reset_registers = regs.rules[0x941C]
        regs.rules[0x941C] = self._reset
        self._delivering = False
        self.spans: list[tuple[int, int]] = []
        """Accesses made while an interrupt was served: first and last."""

    def __getitem__(self, engine: Engine) -> FakeEngine:
        return self.by_name[engine]

    def __iter__(self) -> Iterator[FakeEngine]:
        return iter(self.by_name.values())

    def run(self) -> None:
        """Let every engine get on."""
        for engine in self:
            engine.run()

    def _reset(self, domains: int) -> int:
        for engine in self:
            if domains & (1 | 1 << ENGINES[engine.engine].reset_bit):
                engine.reset()
        return self._reset_registers(domains)

    def _levels(self) -> int:
        stored = self.machine.regs.stored
        levels = 0
        for engine, spec in ENGINES.items():
            group = 0x44300 + 0x10 * spec.interrupt_group
            if stored.get(group + 8, 0) & stored.get(group + 0xC, 0) & 0xFFFF << spec.interrupt_shift:
                levels |= 1 << _MASTER_BIT[engine]
        return levels

    def _master(self) -> int:
        return self._levels() | self.machine.regs.stored.get(MASTER, 0) & 0x8000_0000

    def _write_master(self, value: int) -> int:
        self.machine.regs.stored[MASTER] = value & 0x8000_0000
        if not self._delivering:
            self.deliver()
        return value & 0x8000_0000

    def deliver(self) -> None:
        """Send an interrupt if there is one to send."""
        regs = self.machine.regs
        while not self._delivering and regs.stored.get(MASTER, 0) & 0x8000_0000 and self._levels() and self.machine.gpu.handler is not None:
            self._delivering = True
            begin = len(regs.accesses)
            try:
                self.machine.gpu.handler()
            finally:
                self._delivering = False
                self.spans.append((begin, len(regs.accesses)))


PORTS: Final = frozenset(spec.base + 0x230 for spec in ENGINES.values())
MASKS: Final = {spec.base + 0xA8: 1 << spec.interrupt_shift for spec in ENGINES.values()}
POINTERS: Final = frozenset(spec.base + 0x3A0 for spec in ENGINES.values())


def without_submission(accesses: Iterable[Access], spans: Iterable[tuple[int, int]] = ()) -> list[Access]:
    """Named rule: what hands requests to engines and hears of their end is left out, as it is of the recordings: writes of
    ports, the interrupts, the looks at the event pointer, and the opening and closing of an engine's mask for waiters."""
    served = {number for begin, end in spans for number in range(begin, end)}
    kept: list[Access] = []
    opened: set[int] = set()
    written: set[int] = set()
    for number, access in enumerate(accesses):
        if access.op is Op.WRITE and access.offset in MASKS and not access.value & MASKS[access.offset]:
            opened.add(access.offset)
            continue
        if access.offset in opened and access.op in (Op.READ, Op.WRITE):
            if access.op is Op.WRITE:
                opened.discard(access.offset)
            continue
        if number in served or (access.op is Op.WRITE and access.offset in PORTS):
            continue
        if access.offset in POINTERS:
            if access.op is Op.READ and access.offset not in written:
                continue
            (written.add if access.op is Op.WRITE else written.discard)(access.offset)
        kept.append(access)
    return kept
