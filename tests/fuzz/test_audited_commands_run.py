"""What the audit accepts is executed by an engine of the GPU, and nothing but what is the guest's changes.

Graphics memory around the vGPU's slices, and the host's own between them, hold a pattern; registers note who writes them. The
engine and the audit must agree on every command's length and meaning: were it otherwise, something would run that nobody has looked at.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import product

import pytest
from support.audit_rig import ROOTS, AuditRig, Space, Spaces
from support.command_maker import BATCH_PAGES, BATCHES, OTHER_ROOT, STATUS, Maker
from support.gpu_rig import GpuRig, RigContext
from support.sample import sampled

from host_model.mediator.audit.audit import Audited, CommandAudit
from host_model.mediator.audit.registers import loadable_registers
from host_model.mediator.refusal import Refused
from host_model.mediator.resources import VgpuResources
from pvinfo.errors import ResourceExhausted
from pvinfo.platform import ENGINES, Engine
from pvinfo.units import PAGE_SIZE, GuestAddress

PLATFORMS = ("bdw", "skl")
SLICE_PAGES = 64
PAGES = 1024
LOW, HIGH = range(128 * PAGE_SIZE, 192 * PAGE_SIZE), range(512 * PAGE_SIZE, 576 * PAGE_SIZE)
HOSTS = 700
"""From this page on, graphics memory is the mediator's: contexts, rings and copies."""
CANARY = 0xA5
END = 0x05000000
INTERRUPT = 0x01000000


class _Buffer:
    """A host buffer in graphics memory of the bench; what stands behind the batch would hang the engine."""

    def __init__(self, ground: Ground, address: int, dwords: memoryview) -> None:
        self._ground = ground
        self.address = address
        self.dwords = dwords

    def release(self) -> None:
        self._ground.buffers.remove(self)


class Ground:
    """A vGPU's memory and the mediator's on the bench of one engine."""

    def __init__(self, platform: str, engine: Engine) -> None:
        self.platform_name = platform
        self.low, self.high = LOW, HIGH
        self.engine = engine
        self.bench = GpuRig(engine, platform, ggtt_pages=PAGES, ram_pages=8192)
        self._full = AuditRig(platform)
        self.resources = VgpuResources(LOW, HIGH, (0, 1, 2, 3))
        self.tables = Spaces()
        self.buffers: list[_Buffer] = []
        bench = self.bench
        self._pages: dict[int, int] = {}
        for page in range(8, HOSTS):
            self._pages[page] = bench.page()
            bench.entries[page] = self._pages[page] | 1
        self.space = self.tables.add(4, ROOTS, (0,))
        self.tables.add(4, OTHER_ROOT, (0,))
        self._start = bench._next_page
        self.registers = self._full.vgpu.registers
        for each in Engine:
            self._full.set_status_page(each, LOW.start + STATUS)
        self.audit: CommandAudit[Space] = CommandAudit(self, self)  # type: ignore[arg-type]
        self.canaries = [page for page in self._pages if not any(page * PAGE_SIZE in part for part in (LOW, HIGH))]

    def __getattr__(self, name: str) -> object:
        return getattr(self._full.vgpu, name)

    # ---- what the audit and the maker ask ----

    @property
    def ggtt(self) -> Ground:
        return self

    @property
    def port(self) -> Ground:
        return self

    def translate(self, address: int) -> GuestAddress | None:
        return GuestAddress(address) if address in LOW or address in HIGH else None

    def read_guest(self, address: GuestAddress, size: int) -> bytes:
        bench = self.bench
        return bench.ram.read(GuestAddress(self._pages[address >> 12] - bench.base | address & PAGE_SIZE - 1), size)

    def write(self, address: int, dwords: Sequence[int]) -> None:
        self.bench.poke(self._pages[address >> 12] | address & PAGE_SIZE - 1, *dwords)

    def allocate(self, size: int, owner: int) -> _Buffer:
        pages = (size + PAGE_SIZE - 1) // PAGE_SIZE
        if self.bench._next_graphics_page + pages > PAGES - 40:
            raise ResourceExhausted("graphics memory", pages, 0, "pages")
        address = self.bench.allocate(pages)
        place = self.bench.entries[address >> 12] & -PAGE_SIZE
        view = self.bench.memory.span(place, pages * PAGE_SIZE)  # type: ignore[arg-type]
        assert view is not None
        dwords = view.cast("I")
        dwords[:] = memoryview(array("I", [INTERRUPT] * len(dwords)))
        self.buffers.append(_Buffer(self, address, dwords))
        return self.buffers[-1]

    # ---- one stream ----

    def fresh(self) -> None:
        """The canaries as they were, the mediator's memory empty, a context's page tables over the slices."""
        bench = self.bench
        bench._next_page, bench._next_graphics_page = self._start, HOSTS
        for page in self._pages:
            bench.poke(self._pages[page], *[CANARY * 0x01010101] * 1024)
        bench.engine.reset()
        bench.registers.bytes[:] = bytes(len(bench.registers.bytes))
        bench.open(bench.engine)
        bench.bus.writes.clear()
        bench.told.clear()

    def context(self) -> RigContext:
        context = RigContext(self.bench, 0x20, ring_pages=4)
        for part in (LOW, HIGH):
            bus = self.bench.page(SLICE_PAGES)
            self.bench.poke(bus, *[END] * (1024 * SLICE_PAGES))
            context.tables.map(part.start, bus, pages=SLICE_PAGES)
        root = int(context.tables.root)
        for space in (self.space, self.tables.find(4, OTHER_ROOT)):
            assert space is not None
            space._shadow_roots = (root,)
        return context

    def changed(self) -> list[int]:
        """Pages that are not the vGPU's and do not hold the pattern any more."""
        whole = bytes([CANARY]) * PAGE_SIZE
        return [page for page in self.canaries if self.bench.ram.read(GuestAddress(self._pages[page] - self.bench.base), PAGE_SIZE) != whole]


@pytest.mark.parametrize(("platform", "engine"), sampled(product(PLATFORMS, Engine), {("bdw", Engine.BCS0), ("skl", Engine.RCS0)}))
def test_what_was_audited_is_what_runs(platform: str, engine: Engine) -> None:
    run(platform, engine, seed=1, streams=12)


@pytest.mark.fuzz
@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("platform", PLATFORMS)
def test_much_that_was_audited_is_what_runs(platform: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    run(platform, engine, request.config.getoption("--fuzz-seed"), request.config.getoption("--fuzz-acts") // 400)


def run(platform: str, engine: Engine, seed: int, streams: int) -> None:
    ground, rng = Ground(platform, engine), random.Random(f"runs {platform} {engine.value} {seed}")
    bench = ground.bench
    maker = Maker(ground, engine, rng)
    allowed = loadable_registers(engine, bench.platform)
    roots = range(ENGINES[engine].base + 0x270, ENGINES[engine].base + 0x290)
    ends: Counter[str] = Counter()
    for number in range(streams):
        ground.fresh()
        context = ground.context()
        root = int(context.tables.root)
        words, audited = accepted_stream(ground, maker)
        script = f"{platform} {engine.value} seed {seed} stream {number}: {[hex(word) for word in words]}"
        bench.execute(*words, context=context)
        for _ in range(20):
            bench.run()
        ends[bench.engine.activity.name] += 1
        assert not ground.changed(), script
        touched = {offset for offset, _ in bench.bus.writes}
        assert touched <= allowed - set(roots), f"{script}: {[hex(offset) for offset in touched - allowed]}"
        assert bench.engine.process_space.roots[0] == root, script
        assert "user" not in bench.told, f"{script}: an interrupt of the guest's, or one from behind a batch"
        rules = {finding.rule for finding in bench.findings}
        assert not rules & {"illegal-command", "ring-ends-in-command"}, f"{script}: {rules}"
        for batch in audited.batches:
            batch.release()
        for space in audited.tables:
            ground.tables.unpin(space)
            ground.tables.release(space)
    assert ends["IDLE"] >= streams // 3, ends


def accepted_stream(ground: Ground, maker: Maker) -> tuple[array[int], Audited[Space]]:
    """The next stream that is not refused, as it was patched."""
    while True:
        maker.lay_batches()
        words = array("I", maker.mutated(maker.stream(maker.rng.randrange(1, 8))))
        try:
            return words, ground.audit.ring(ground.engine, memoryview(words), lambda index: 4 * index, ground.space, inhibit=False)
        except Refused:
            continue


def test_the_bench_notices_what_leaves_a_slice() -> None:
    """A store beyond the slice, unaudited, and an interrupt of its own."""
    ground = Ground("skl", Engine.RCS0)
    ground.fresh()
    context = ground.context()
    ground.bench.execute(0x10400002, LOW.stop, 0, 1, 0x01000000, 0x11000001, 0x2030, 5, context=context)
    assert ground.changed() == [LOW.stop >> 12]
    assert ground.bench.told.count("user") == 1 and (0x2030, 5) in ground.bench.bus.writes
    assert BATCH_PAGES * PAGE_SIZE + BATCHES < len(LOW)
