"""A machine for the guest driver alone: no host in it, only a register file with the few rules that a probe meets.

Everything is stored but what RULES says; every access of BAR0 and of configuration space is kept in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from guest_driver import GuestDriver
from pvinfo.gtt_entry import GGTT_OFFSET
from pvinfo.page import PVINFO_BASE, VGT_IF, VGT_MAGIC, AvailableResources, GraphicsRange, VgtIf
from pvinfo.pci import CONFIG_HEADER, BaseAddress, ClassCode, Command, ConfigHeader, HeaderType, IoBaseAddress, RomAddress, Status
from pvinfo.platform import ENGINES, platform_named
from pvinfo.trace import Op, TraceRow
from pvinfo.units import MIB, GuestAddress

from .fake_engines import FakeEngines, without_submission

MSI_AT: Final = 0x90
CAPABILITIES: Final = 0x1C
GT_END: Final = 0x44200
"""A reset of the GT leaves the registers from here on alone."""
FORCEWAKE: Final = {0xA278: 0xD84, 0xA188: 0x130044, 0xA270: 0xD88}
"""Request and acknowledge of the power domains render, gt and media."""
ENGINE_BASES: Final = tuple(spec.base for spec in ENGINES.values())


class FakeClock:
    """Time passes when the driver waits."""

    def __init__(self) -> None:
        self.now = 0
        self.while_waiting: Callable[[], None] | None = None
        """Called whenever time has passed."""

    def now_ns(self) -> int:
        return self.now

    def wait_ns(self, duration_ns: int) -> None:
        assert duration_ns > 0, "a wait of no length never ends"
        self.now += duration_ns
        if self.while_waiting is not None:
            self.while_waiting()


class FakeMemory:
    """RAM from address 0."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = bytearray(size)

    def read(self, address: GuestAddress, size: int) -> bytes:
        if address < 0 or address + size > self.size:
            raise IndexError(address)
        return bytes(self.bytes[address : address + size])

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        if address < 0 or address + len(data) > self.size:
            raise IndexError(address)
        self.bytes[address : address + len(data)] = data

    def quadword(self, address: int) -> int:
        return int.from_bytes(self.bytes[address : address + 8], "little")


def pv_page(
    *, mappable: tuple[int, int] = (0, 64 * MIB), nonmappable: tuple[int, int] = (256 * MIB, 384 * MIB),
    fences: int = 4, capabilities: int = CAPABILITIES, version: int = 1, magic: int = VGT_MAGIC,
) -> bytes:  # fmt: skip
    """The host's half of a PVINFO page; the default is what the recorded probes were offered."""
    empty = VGT_IF.unpack_from(bytes(VGT_IF.size))
    offer = AvailableResources(GraphicsRange(*mappable), GraphicsRange(*nonmappable), fences, bytes(12))
    page: VgtIf = empty._replace(magic=magic, version_major=version, vgt_id=1, vgt_caps=capabilities, avail_rs=offer)
    return VGT_IF.pack(page)


class Access(NamedTuple):
    """One access, as a trace row without time and repetition."""

    op: Op
    size: int
    offset: int
    value: int


class FakeRegisters:
    """BAR0."""

    size = 16 * MIB

    def __init__(self, page: bytes | None, registers: dict[int, int]) -> None:
        self.stored = dict(registers)
        self.power_on = dict(registers)
        self.forgets_at_reset = False
        """A reset of the GT gives the registers below the interrupts the values they had when the machine was made."""
        self.pcode_replies: dict[int, int] = {}
        """What the firmware answers, by command."""
        if page is not None:
            for offset in range(0, len(page), 4):
                self.stored[PVINFO_BASE + offset] = int.from_bytes(page[offset : offset + 4], "little")
        self.table: dict[int, int] = {}
        """Global table entries, by number."""
        self.accesses: list[Access] = []
        self.stuck: set[int] = set()
        """Offsets that ignore their rule: what is written is simply stored."""
        self.rules: dict[int, Callable[[int], int]] = {}
        """Offset → what is stored, given what is written."""
        self.read_rules: dict[int, Callable[[], int]] = {}
        self.after_write: Callable[[int], None] | None = None
        self._make_rules()

    def _make_rules(self) -> None:
        for base in ENGINE_BASES:
            self.rules[base + 0xD0] = lambda value: 3 if value & 0x1_0001 == 0x1_0001 else 0
            self.rules[base + 0x9C] = lambda value: 0x300 if value & 0x100 else 0
            self.rules[base + 0x3A0] = lambda value: value & 0xFFFF
            self.rules[base + 0xB0] = lambda value: 0
        self.rules[0x941C] = self._reset
        self.stored.setdefault(0xC000, 1)
        self.rules[0x138124] = self._ask_firmware
        for group in (*range(0x44300, 0x44340, 0x10), 0x44400, 0x44410, 0x44420, 0x44440, 0x44460, 0x444E0, 0xC4000):
            self.rules[group + 8] = lambda value, at=group + 8: self.stored.get(at, 0) & ~value  # type: ignore[misc]
        self.rules[0x64834] = self.rules[0x64838] = lambda value: 0
        for request, acknowledge in FORCEWAKE.items():
            self.rules[request] = lambda value, ack=acknowledge: self._wake(value, ack)  # type: ignore[misc]

    def _wake(self, request: int, acknowledge: int) -> int:
        mask = request >> 16
        self.stored[acknowledge] = self.stored.get(acknowledge, 0) & ~mask | request & mask
        return 0

    def _reset(self, domains: int) -> int:
        if self.forgets_at_reset and domains & 1:
            for offset in [offset for offset in self.stored if offset < GT_END and offset != 0xC000]:
                self.stored[offset] = self.power_on.get(offset, 0)
        return 0

    def _ask_firmware(self, request: int) -> int:
        self.stored[0x138128] = self.pcode_replies.get(request & 0xFF, self.peek(0x138128))
        return 0

    def _note(self, op: Op, size: int, offset: int, value: int) -> None:
        self.accesses.append(Access(op, size, offset, value))

    def peek(self, offset: int) -> int:
        return self.stored.get(offset, 0)

    def read32(self, offset: int, /) -> int:
        rule = self.read_rules.get(offset)
        value = rule() if rule is not None else self.stored.get(offset, 0)
        self._note(Op.READ, 4, offset, value)
        return value

    def write32(self, offset: int, value: int, /) -> None:
        assert 0 <= value < 1 << 32, f"{value:#x} is no dword"
        self._note(Op.WRITE, 4, offset, value)
        rule = None if offset in self.stuck else self.rules.get(offset)
        self.stored[offset] = value if rule is None else rule(value)
        if self.after_write is not None:
            self.after_write(offset)

    def read(self, offset: int, size: int) -> int:
        if size == 4:
            return self.read32(offset)
        dwords = self.stored.get(offset & ~3, 0) | self.stored.get((offset & ~3) + 4, 0) << 32
        value = dwords >> 8 * (offset & 3) & ((1 << 8 * size) - 1)
        self._note(Op.READ, size, offset, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        if offset >= GGTT_OFFSET:
            assert size == 8, "the driver writes whole entries"
            self._note(Op.GGTT_WRITE, 8, offset - GGTT_OFFSET, value)
            self.table[(offset - GGTT_OFFSET) // 8] = value
        else:
            assert size == 4, "the driver writes registers as dwords"
            self.write32(offset, value)


class FakeAperture:
    """BAR2: only its length matters here."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        return

    def read32(self, offset: int, /) -> int:
        return 0

    def write32(self, offset: int, value: int, /) -> None:
        return


class FakeConfig:
    """Configuration space with sizeable base address registers and a message capability."""

    def __init__(self, device_id: int, revision: int, bars: dict[int, tuple[int, int]], gmch: int) -> None:
        """``bars``: number of the lower register → length, form bits."""
        header = ConfigHeader(
            0x8086, device_id, Command(0), Status.of(capabilities=1), ClassCode.of(base_class=3, revision=revision),
            0, 0, HeaderType(0), 0, BaseAddress(0), 0, BaseAddress(0), 0, IoBaseAddress(0), 0, 0, 0x8086, 0x2015,
            RomAddress(0), MSI_AT, bytes(7), 0xFF, 1, 0, 0,
        )  # fmt: skip
        self.bytes = bytearray(256)
        self.bytes[:64] = CONFIG_HEADER.pack(header)
        self.bytes[0x50:0x52] = gmch.to_bytes(2, "little")
        self.bytes[MSI_AT : MSI_AT + 2] = bytes((5, 0))
        self.mask = bytearray(256)
        self.mask[0x04:0x06] = (0x507).to_bytes(2, "little")
        self.mask[0x0D] = 0xFF
        self.mask[MSI_AT + 2 : MSI_AT + 10] = (0x71).to_bytes(2, "little") + b"\xff" * 6
        for number, (size, form) in bars.items():
            at = 0x10 + 4 * number
            width = 8 if form & 4 else 4
            self.mask[at : at + width] = (-size & (1 << 8 * width) - 1).to_bytes(width, "little")
            self.bytes[at] = form
        self.accesses: list[Access] = []

    def read(self, offset: int, size: int) -> int:
        value = int.from_bytes(self.bytes[offset : offset + size], "little")
        self.accesses.append(Access(Op.CONFIG_READ, size, offset, value))
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self.accesses.append(Access(Op.CONFIG_WRITE, size, offset, value))
        for number, byte in enumerate(value.to_bytes(size, "little")):
            mask = self.mask[offset + number]
            self.bytes[offset + number] = self.bytes[offset + number] & ~mask | byte & mask


class FakeGpu:
    """A register file that can be plugged in."""

    def __init__(self, config: FakeConfig, registers: FakeRegisters | None, aperture: FakeAperture | None) -> None:
        self.config = config
        self.registers = registers
        self.aperture = aperture
        self.handler: Callable[[], None] | None = None

    def bar(self, index: int) -> FakeRegisters | FakeAperture | None:
        return {0: self.registers, 2: self.aperture}.get(index)

    def reset(self) -> None:
        raise AssertionError("the driver does not reset the function")

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self.handler = handler


class FakeMachine:
    """The register file, RAM and a clock."""

    def __init__(
        self, page: bytes | None = None, *, platform: str = "skl", revision: int | None = None, device_id: int | None = None,
        aperture: int = 256 * MIB, gmch: int = 0xC0, memory: int = 20 * MIB, registers: dict[int, int] | None = None,
        bars: Iterable[int] = (0, 2), running: bool = False,
    ) -> None:  # fmt: skip
        """``running``: its engines carry out what is submitted."""
        part = platform_named(platform)
        forms = {0: (FakeRegisters.size, 0x4), 2: (aperture, 0xC)}
        config = FakeConfig(
            part.device_id if device_id is None else device_id, part.revision if revision is None else revision,
            {number: forms[number] for number in bars}, gmch,
        )  # fmt: skip
        self.regs = FakeRegisters(page, {0x9120: 0x0280_0000, **(registers or {})})
        self.gpu = FakeGpu(config, self.regs if 0 in bars else None, FakeAperture(aperture) if 2 in bars else None)
        self.memory = FakeMemory(memory)
        self.clock = FakeClock()
        self._engines = FakeEngines(self) if running else None
        if self._engines is not None:
            self.clock.while_waiting = self._engines.run

    @property
    def engines(self) -> FakeEngines:
        """The engines of a machine that has some."""
        assert self._engines is not None
        return self._engines

    def accesses(self) -> list[Access]:
        """Every access but those that hand requests over and hear of their end."""
        return without_submission(self.regs.accesses, self._engines.spans if self._engines is not None else ())

    def vgpu_accesses(self) -> list[Access]:
        """What a host learns of the guest by the contract: the page, the fences, the global table and its flushes."""
        return [access for access in self.regs.accesses if speaks_to_host(access)]


def speaks_to_host(access: Access) -> bool:
    """Whether an access belongs to the contract between guest and host."""
    if access.op is Op.GGTT_WRITE:
        return True
    if access.op not in (Op.READ, Op.WRITE):
        return False
    return PVINFO_BASE <= access.offset < PVINFO_BASE + 0x1000 or 0x100000 <= access.offset < 0x100100 or access.offset == 0x101008


def accesses_of(rows: Iterable[TraceRow]) -> list[Access]:
    """The accesses of a recorded trace, runs unfolded."""
    return [Access(row.op, row.size, row.offset, row.value) for row in rows for _ in range(row.repeat)]


def without_addresses(accesses: Iterable[Access]) -> list[Access]:
    """Named rule: where an object lies in the guest's RAM is the guest's own business. Of a table entry only its
    flags count, of a page-table root only that it is one; places in graphics memory do count."""
    cleaned = []
    for access in accesses:
        if access.op is Op.GGTT_WRITE:
            access = access._replace(value=access.value & 0xFFF)
        elif access.op is Op.WRITE and access.offset in (0x78838, 0x7883C):
            access = access._replace(value=access.value & 0xFFF)
        cleaned.append(access)
    return cleaned


def with_driver(platform: str = "skl", *, native: bool = False, memory: int = 20 * MIB) -> tuple[FakeMachine, GuestDriver]:
    """A machine whose engines run, vGPU or bare, and a driver that has come to READY on it."""
    machine = FakeMachine(None if native else pv_page(), platform=platform, running=True, memory=memory)
    driver = GuestDriver(machine)
    driver.probe()
    return machine, driver
