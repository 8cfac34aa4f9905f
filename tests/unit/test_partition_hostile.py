"""A hostile driver on a partition: nobody audits what it does, and yet it reaches nothing but what is its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import cast

import pytest
from support.own_device import stores
from support.provisioned import PARTITION, Provisioned, provision
from support.scheduling import MS
from support.vgpu_rig import GuestContext, GuestRig, store, user_interrupt

from guest_driver import GuestDriver, Rectangle
from host_model.device.mmio.window import GTT_OFFSET
from host_model.host import Host, PluggedVgpu
from host_model.mediator.hardware.register_switch import registers_with
from host_model.mediator.hardware.switched_registers import switched_registers
from host_model.memory import WINDOW_SHIFT
from host_model.vfio.provisioning.partition import PartitionDevice
from pvinfo.context_image import context_image
from pvinfo.gtt_entry import FRAME_MASK_4K
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.engine import EngineRegisters, MiMode
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.registers.tracked import MMIO_SIZE, tracked_runs
from pvinfo.units import PAGE_SHIFT, PAGE_SIZE, BusAddress, GraphicsAddress, GuestAddress

PATIENCE_NS = 10_000_000_000
LOAD = 0x11000001
"""MI_LOAD_REGISTER_IMM of one register."""
STORE_GLOBAL = 0x10400002
STORE_REGISTER = 0x12000002
UPDATE_TABLE = 0x11800002
STORE_INDEX = 0x10800001


class PartitionRig(GuestRig):
    """A guest made by hand that uses of its device what every client has."""

    def __init__(self, here: Provisioned) -> None:
        super().__init__(here.host, cast(PluggedVgpu, (here.client, here.machine)))

    def at(self, address: int) -> GuestAddress:
        return GuestAddress(self.vgpu.mmio.read(GTT_OFFSET + (address >> PAGE_SHIFT) * 8, 8) & FRAME_MASK_4K | address & PAGE_SIZE - 1)


class Quarters:
    """A partition in hostile hands, and a vGPU with an honest driver."""

    def __init__(self, platform: str = "skl") -> None:
        self.host = Host(platform, patience_ns=5 * MS)
        self.here = provision(self.host, PARTITION)
        assert isinstance(self.here.client, PartitionDevice)
        self.partition = self.here.client
        self.plugged = self.host.plug()
        self.neighbour = GuestDriver(self.plugged.machine)
        self.neighbour.probe()
        self.rig = PartitionRig(self.here)
        self._contexts = 0

    def run(self, engine: Engine, *dwords: int, prepare: Callable[[GuestContext], None] | None = None) -> GuestContext:
        """A new context runs commands in its ring, for a while."""
        self._contexts += 1
        context = GuestContext(self.rig, self._contexts, engine)
        if prepare is not None:
            prepare(context)
        context.write(*dwords, *(0,) * (len(dwords) & 1))
        self.rig.submit(context)
        self.rig.wait()
        return context

    def heal(self, engine: Engine) -> None:
        """Its driver finds the engine hung, and resets it."""
        self.partition.mmio.write32(0x941C, 1 << ENGINES[engine].reset_bit)
        self.rig.enable(engine)

    def rules(self) -> set[str]:
        return {finding.rule for finding in self.partition.findings}

    def check_neighbour(self) -> None:
        for engine in Engine:
            target, request = stores(self.neighbour, engine, 0x77)
            request.wait(PATIENCE_NS)
            assert target.read_dword(0) == 0x77
        assert list(self.plugged.vgpu.findings) == [] and self.neighbour.log.complaints() == ()
        assert self.host.guard.violations == 0


def stores_of(*, at: int, value: int) -> tuple[int, ...]:
    return (STORE_GLOBAL, at & 0xFFFFFFFF, at >> 32, value)


def test_a_page_table_of_a_partition_leads_into_its_own_domain_whatever_it_says() -> None:
    """The same number is a page of the partition's user, of the neighbour, and of the host; it is the first of these."""
    quarters = Quarters()
    page = quarters.rig.page()
    quarters.run(Engine.BCS0, *store(0x40_0008, 0xABCD), prepare=lambda context: context.map(0x40_0000, page))
    assert quarters.rig.read32(page + 8) == 0xABCD
    before = quarters.plugged.machine.memory.read(GuestAddress(0), 1 << 20)
    for number in range(8):
        bus = number << WINDOW_SHIFT | 0x10_0000
        quarters.run(Engine.BCS0, *store(0x40_0000, 0xBAD), prepare=partial(GuestContext.map, address=0x40_0000, ram=bus))
        quarters.heal(Engine.BCS0)
    own = quarters.host.memory.allocate(1)
    quarters.run(Engine.BCS0, *store(0x40_0000, 0xBAD), prepare=lambda context: context.map(0x40_0000, own.address))
    assert not any(own.bytes)
    assert quarters.plugged.machine.memory.read(GuestAddress(0), 1 << 20) == before
    quarters.heal(Engine.BCS0)
    quarters.check_neighbour()


def test_what_one_client_has_looked_up_is_not_the_next_ones() -> None:
    """Two partitions whose page tables hold the same numbers, each in its turn."""
    host = Host()
    rigs = [PartitionRig(provision(host, PARTITION)) for _ in range(2)]
    contexts, pages = [], []
    for rig in rigs:
        context = GuestContext(rig, 1)
        pages.append(rig.page())
        context.map(0x40_0000, pages[-1])
        contexts.append(context)
    assert contexts[0].root == contexts[1].root and pages[0] == pages[1]
    for turn in range(4):
        rig, context = rigs[turn & 1], contexts[turn & 1]
        context.write(*store(0x40_0000 + 4 * turn, 0x100 + turn))
        rig.submit(context)
        rig.wait()
    assert [[rig.read32(page + 4 * turn) for turn in range(4)] for rig, page in zip(rigs, pages, strict=True)] == [[0x100, 0, 0x102, 0], [0, 0x101, 0, 0x103]]
    assert host.guard.violations == 0


@pytest.mark.parametrize("engine", list(Engine))
def test_graphics_memory_of_others_is_out_of_reach_of_its_rings(engine: Engine) -> None:
    quarters = Quarters()
    target, request = stores(quarters.neighbour, Engine.BCS0, 5)
    request.wait(PATIENCE_NS)
    vgpu, host = quarters.plugged.vgpu, quarters.host
    places = [int(vgpu.resources.low.start), int(vgpu.resources.high.start), int(quarters.partition.resources.low.stop), PAGE_SIZE]
    places += [host.gpu.registers.read32(ENGINES[each].base + EngineRegisters.hws_pga.offset) for each in Engine]
    table = bytes(host.gpu.ggtt.entries)
    memory = quarters.plugged.machine.memory.read(GuestAddress(0), 8 << 20)
    entries = host.gpu.ggtt.entries
    pages = {place: host.memory.page(BusAddress(entries[place >> PAGE_SHIFT] & FRAME_MASK_4K)) for place in places}
    seen = {place: bytes(page) for place, page in pages.items() if page is not None}
    for place in places:
        quarters.run(engine, *stores_of(at=place + 0x3C0, value=0xBAD))
        quarters.heal(engine)
    assert {place: bytes(page) for place, page in pages.items() if page is not None and place not in places[-len(Engine) :]} == {
        place: page for place, page in seen.items() if place not in places[-len(Engine) :]
    }
    for place in places[-len(Engine) :]:
        page = pages[place]
        assert page is not None and page.cast("I")[0x3C0 >> 2] != 0xBAD
    assert quarters.plugged.machine.memory.read(GuestAddress(0), 8 << 20) == memory
    own = int(quarters.partition.resources.low.start) >> PAGE_SHIFT
    quarters.run(engine, UPDATE_TABLE, int(vgpu.resources.low.start), 0xBAD003, 0)
    quarters.run(engine, UPDATE_TABLE, own << PAGE_SHIFT, 0xBAD003, 0)
    outside = slice(8 * (int(quarters.partition.resources.low.stop) >> PAGE_SHIFT), None)
    assert bytes(host.gpu.ggtt.entries)[outside] == table[outside]
    assert entries[own] >> WINDOW_SHIFT == quarters.partition.port.base >> WINDOW_SHIFT
    assert target.read_dword(0) == 5
    quarters.heal(engine)
    quarters.check_neighbour()


def test_an_image_or_a_ring_outside_its_part_is_not_run() -> None:
    quarters = Quarters()
    elsewhere = int(quarters.plugged.vgpu.resources.low.start)
    quarters.run(Engine.BCS0, *store(0, 1), prepare=lambda context: context.set("start", elsewhere))
    quarters.heal(Engine.BCS0)

    context = GuestContext(quarters.rig, 99)
    context.image = GraphicsAddress(elsewhere)
    quarters.rig.submit(context)
    quarters.rig.wait()
    quarters.heal(Engine.BCS0)
    quarters.check_neighbour()


def shown(host: Host) -> bytes:
    return bytes(host.gpu.registers.bytes)


@pytest.mark.parametrize(("engine", "platform"), [(Engine.RCS0, "bdw"), (Engine.RCS0, "skl"), (Engine.RCS0, "cfl"), (Engine.BCS0, "bxt")])
def test_no_register_but_those_whose_turn_it_is_changes_by_loads_of_its_rings(engine: Engine, platform: str) -> None:
    quarters = Quarters(platform)
    host, system = quarters.host, PLATFORMS[platform]
    offsets = {offset for run in tracked_runs(platform) for offset in run.offsets()}
    offsets |= {FENCE_BASE + 4 * number for number in range(64)} | {0x44200, 0x941C, 0x101008, 0x70180, 0x4208, MMIO_SIZE, MMIO_SIZE + 4}
    offsets |= {ENGINES[each].base + register.offset for each in Engine for register in EngineRegisters.registers}
    base = ENGINES[engine].base
    quarters.run(engine, *store(0, 0))
    quarters.heal(engine)
    before = shown(host)
    rows = sorted(offsets)
    for at in range(0, len(rows), 250):
        dwords = [dword for offset in rows[at : at + 250] for dword in (LOAD, offset, 0xFFFFFFFF)]
        quarters.run(engine, *dwords)
        quarters.heal(engine)
    after = shown(host)
    changed = {offset for offset in range(0, MMIO_SIZE, 4) if before[offset : offset + 4] != after[offset : offset + 4]}
    own = registers_with(system, engine) | {base + register.offset for register in context_image(system.graphics_version, engine).registers}
    assert {offset for offset in changed - own if offset & ~0xFFF != base} == set()
    assert "function-register" in quarters.rules()
    assert not host.gpu.registers.read32(base + EngineRegisters.mi_mode.offset) & MiMode.stop_ring.mask
    quarters.check_neighbour()
    page = quarters.plugged.vgpu.registers
    for row in switched_registers(system.graphics_version):
        if row.engine == engine.name and not row.in_context:
            mask = (0xFFFF if row.masked else 0xFFFFFFFF) & ~row.kept
            assert host.gpu.registers.read32(row.offset) & mask == page.read32(row.offset) & mask, f"{row.offset:#x}"
    for offset in registers_with(system, engine):
        if 0xC800 <= offset < 0xD000:
            assert host.gpu.registers.read32(offset) == page.read32(offset)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_keeps_an_engine_in_the_hosts_hands_is_never_loaded(platform: str) -> None:
    quarters = Quarters(platform)
    function = quarters.host.mediator.hardware.functions[quarters.partition.number]
    hosts = ("hws_pga", "mode", "imr", "emr", "eir", "hwstam", "elsp", "reset_ctl", "force_to_nonpriv", "context_status_ptr", "execlist_status_lo")
    for engine in Engine:
        for name in hosts:
            assert function.loads(engine, getattr(EngineRegisters, name).at(engine.name), 0xFFFFFFFF) is None, name
        for other in set(Engine) - {engine}:
            assert function.loads(engine, EngineRegisters.instpm.at(other.name), 0xFFFFFFFF) is None
        mode = function.loads(engine, EngineRegisters.mi_mode.at(engine.name), 0xFFFFFFFF)
        assert mode is None or not mode >> 16 & MiMode.stop_ring.mask


def test_cache_control_that_a_partitions_ring_loads_is_its_own() -> None:
    quarters = Quarters()
    quarters.check_neighbour()
    held = []
    quarters.run(Engine.RCS0, LOAD, 0xC800, 0x35, 0)
    assert quarters.partition.registers.read32(0xC800) == 0x35
    for _ in range(2):
        quarters.check_neighbour()
        stores(quarters.neighbour, Engine.RCS0, 1)[1].wait(PATIENCE_NS)
        held.append(quarters.host.gpu.registers.read32(0xC800))
        quarters.run(Engine.RCS0, *user_interrupt())
        held.append(quarters.host.gpu.registers.read32(0xC800))
    theirs = quarters.plugged.vgpu.registers.read32(0xC800)
    assert held == [theirs, 0x35] * 2 and theirs != 0x35
    assert "function-register" not in quarters.rules()


def test_registers_that_are_not_its_own_cannot_be_looked_at() -> None:
    quarters = Quarters()
    page = quarters.rig.page()
    quarters.host.gpu.registers.write32(0x70180, 0x1234)
    quarters.run(
        Engine.RCS0, STORE_REGISTER, 0x70180, 0x40_0000, 0, STORE_REGISTER, 0x2600, 0x40_0004, 0, prepare=lambda context: context.map(0x40_0000, page)
    )
    assert quarters.rig.read32(page) == 0
    assert [finding.value for finding in quarters.partition.findings.of_rule("function-register")] == [None]


def test_an_image_that_stops_its_engine_stops_nobody_elses() -> None:

    def stopping(context: GuestContext, name: str) -> None:
        context.set(name, 0xFFFFFFFF)
        context.set("context_control", 0x00090008)

    quarters = Quarters()
    for engine in (Engine.BCS0, Engine.RCS0):
        layout = context_image(9, engine)
        name = next(register.name for register in layout.registers if register.offset == EngineRegisters.mi_mode.offset)
        quarters.run(engine, *user_interrupt(), prepare=partial(stopping, name=name))
        quarters.check_neighbour()
        quarters.heal(engine)


def test_the_engines_status_page_of_a_partition_is_its_own() -> None:
    quarters = Quarters()
    quarters.run(Engine.BCS0, STORE_INDEX, 0x800, 0x5A)
    page = quarters.rig.at(quarters.rig.status[Engine.BCS0])
    assert quarters.rig.read32(page + 0x800) == 0x5A
    quarters.check_neighbour()


@pytest.mark.parametrize("seed", range(6))
def test_a_neighbours_pictures_are_those_it_has_alone(seed: int) -> None:
    def pictures(quarters: Quarters, between: Callable[[], None]) -> list[bytes]:
        rng = random.Random(5)
        driver = quarters.neighbour
        canvas = driver.create_surface(64, 64)
        driver.fill(canvas, 0).wait(PATIENCE_NS)
        found = []
        for _ in range(12):
            between()
            driver.fill(canvas, rng.randrange(1 << 24), Rectangle(rng.randrange(32), rng.randrange(32), 1 + rng.randrange(30), 1 + rng.randrange(30))).wait(PATIENCE_NS)
            found.append(canvas.read(0, canvas.size))
        assert driver.log.complaints() == () and list(quarters.plugged.vgpu.findings) == []
        return found

    alone = pictures(Quarters(), lambda: None)
    quarters, rng = Quarters(), random.Random(seed)
    registers = [offset for run in tracked_runs("skl") for offset in run.offsets()]
    low = quarters.partition.resources.low

    def act() -> None:
        engine = rng.choice(list(Engine))
        dwords: list[int] = []
        for _ in range(rng.randrange(1, 40)):
            address = rng.choice((rng.randrange(1 << 32), rng.randrange(low.start, low.stop), int(quarters.plugged.vgpu.resources.low.start) + 0x1000)) & ~3
            dwords += rng.choice((
                (LOAD, rng.choice(registers), rng.getrandbits(32)), (*stores_of(at=address, value=rng.getrandbits(32)),), store(address, rng.getrandbits(32)),
                (UPDATE_TABLE, address & ~0xFFF, rng.getrandbits(32), rng.getrandbits(14)), (0x01000000,), (rng.getrandbits(32),),
                (STORE_REGISTER | 1 << 22, rng.choice(registers), address, 0), (STORE_INDEX, rng.randrange(1024) * 4, rng.getrandbits(32)),
            ))  # fmt: skip

        def scribble(context: GuestContext) -> None:
            context.map(rng.randrange(1 << 20) << 12, rng.randrange(1 << 34) << 12)
            if rng.random() < 0.3:
                context.set(rng.choice([register.name for register in context.layout.registers]), rng.getrandbits(32))

        if quarters.rig._next_page > 32 << 20:
            return
        quarters.run(engine, *dwords, prepare=scribble)
        for _ in range(8):
            quarters.partition.mmio.write(rng.choice((rng.choice(registers), GTT_OFFSET + 8 * rng.randrange(1 << 20))), 4, rng.getrandbits(32))
        if rng.random() < 0.6:
            quarters.heal(engine)

    assert pictures(quarters, act) == alone
    assert quarters.host.guard.violations == 0 and len(quarters.rules()) > 2
