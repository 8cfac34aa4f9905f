"""A hostile guest beside an honest one: registers, tables, contexts, rings and batches at random, and legal ones gone wrong.

Invariant: nothing is raised; the GPU never asks for a page that is not the guest's; what is pinned is what tables show; nothing
of the host's or of the other guest's changes, or is seen; no access and no slice does more than a bounded amount of work; the other
guest's work comes to what it comes to when it is alone; and after a device reset the guest's vGPU works honestly. A failure is made
small and printed as a test to paste below.
"""

from __future__ import annotations

import os
import random
import re
import time
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context

import pytest
from support.blit_script import SURFACES
from support.hostile.campaign import random_program
from support.hostile.driver import ACT_BYTES
from support.hostile.ground import BATCHES
from support.hostile.guest import HostileGuest, Outdated
from support.hostile.guest_campaign import GuestOutcome, campaigns, guest_campaign, guest_story
from support.hostile.intrusion import WAYS, global_command
from support.hostile.judge import Judge, Violation
from support.hostile.neighbour import Neighbour
from support.hostile.stage import Stage
from support.sample import sampled
from support.shrink import failure_of, hold

from host_model.hypervisor.local import LocalPort
from host_model.isolation import GuardedMemory
from host_model.mediator.audit.audit import Audited, CommandAudit
from host_model.mediator.audit.scan import Scan
from host_model.mediator.hardware.hardware import Hardware
from host_model.mediator.scheduler.turns import DEFAULT_SWITCHING
from host_model.mediator.shadow.ppgtt import ProcessTables, ShadowTables
from host_model.mediator.submission.shadow_context import ShadowContext
from host_model.mediator.vgpu import Vgpu
from pvinfo.execlist import Submission
from pvinfo.finding import FindingKind
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.units import PAGE_SIZE, GuestAddress

ACTS_PER_PROGRAM = 1000
"""Long enough for what is left of one job to get into the way of the next."""
SEEDS_OF_A_JOB = 10
"""How many a process is given at a time."""


def hold_guest(program: bytes, platform: str, switching: str = DEFAULT_SWITCHING) -> GuestOutcome:
    return hold(
        program, lambda some: guest_campaign(some, platform, switching), lambda small: guest_story(small, platform, switching),
        f"guest_campaign({{}}, {platform!r}, {switching!r})", ACT_BYTES, "a_hostile_guest_is_boring",
    )  # fmt: skip


@pytest.mark.parametrize("platform", sampled(PLATFORMS, {"bdw", "skl"}))
def test_a_few_hostile_guests_are_boring(platform: str) -> None:
    outcomes = [hold_guest(random_program(seed, 300), platform) for seed in range(2)]
    assert sum(outcome.acts for outcome in outcomes) == 600
    assert all(outcome.slices > 10 and outcome.pieces > 1 for outcome in outcomes), "the engines had something to do, for both"
    assert any(outcome.completed for outcome in outcomes) and any(outcome.failsafe for outcome in outcomes)
    assert any(outcome.moves for outcome in outcomes) and any("audit-address" in outcome.rules for outcome in outcomes)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_hostile_guest_is_boring_too_while_its_neighbour_has_another_engine(platform: str) -> None:
    outcomes = [hold_guest(random_program(seed, 200), platform, "engine") for seed in range(10, 12)]
    assert sum(outcome.acts for outcome in outcomes) == 400
    assert all(outcome.slices > 10 and outcome.pieces > 1 for outcome in outcomes) and any("audit-address" in outcome.rules for outcome in outcomes)


@pytest.mark.fuzz
def test_many_hostile_guests_are_boring(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    count = max(request.config.getoption("--fuzz-guest-acts") // (ACTS_PER_PROGRAM * len(PLATFORMS)), 1)
    first = request.config.getoption("--fuzz-seed")
    processes = min(os.cpu_count() or 1, 8)
    begun = time.perf_counter()
    jobs = [(platform, range(at, min(at + SEEDS_OF_A_JOB, first + count))) for at in range(first, first + count, SEEDS_OF_A_JOB) for platform in PLATFORMS]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        results = list(zip(jobs, pool.map(partial(campaigns, ACTS_PER_PROGRAM), *zip(*jobs, strict=True)), strict=True))
    seconds = time.perf_counter() - begun
    outcomes = [outcome for _, (done, _) in results for outcome in done]
    acts, slices, commands, completed, failsafe, pieces, moves = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("acts", "slices", "commands", "completed", "failsafe", "pieces", "moves")
    )
    rules = frozenset[str]().union(*(outcome.rules for outcome in outcomes))
    with capsys.disabled():
        print(
            f"\n{acts} acts of {len(outcomes)} hostile guests on {', '.join(PLATFORMS)}, seeds {first} to {first + count - 1}, in {seconds:.0f} s "
            f"by {processes} processes ({acts / seconds:.0f} a second): {completed} contexts completed, {failsafe} times in failsafe mode, {slices} slices, "
            f"{commands} commands, findings of {len(rules)} rules, at most {max(outcome.most_pins for outcome in outcomes)} pages pinned "
            f"and {max(outcome.most_looks for outcome in outcomes)} looks at memory in a slice; {moves} pages moved between two pieces of work; {pieces} pieces of work of their neighbours"
        )  # fmt: skip
    for (platform, _), (_, failed) in results:
        for seed in failed:
            hold_guest(random_program(seed, ACTS_PER_PROGRAM), platform)
    assert acts == count * len(PLATFORMS) * ACTS_PER_PROGRAM


@pytest.mark.parametrize("first", sampled(range(4), {0}))
def test_the_same_program_does_the_same(first: int) -> None:
    program = bytes((first,)) + random_program(40 + first, 150)
    assert guest_campaign(program) == guest_campaign(program)


def test_a_program_cut_off_in_the_middle_of_an_act_is_still_a_program() -> None:
    assert guest_campaign(random_program(7, 3)[:-5]).acts == 3


# ---- what would be found ----


class Scene:
    """A hostile guest that knows what it wants, on one engine, and the judge."""

    def __init__(self, *, track_writes: bool = True) -> None:
        self.stage = Stage(PLATFORMS["skl"], track_writes=track_writes)
        HostileGuest(self.stage.honest).begin()
        neighbour = Neighbour(self.stage.honest)
        neighbour.go_on()
        neighbour.finish()
        self.device = self.stage.hostile
        self.guest = HostileGuest(self.device)
        self.guest.begin()
        self.ground = self.device.ground
        self.judge = Judge(self.stage, neighbour)
        self.judge.look_closely()

    def store(self, bus: int, *dwords: int) -> None:
        self.ground.memory.poke(bus, b"".join(dword.to_bytes(4, "little") for dword in dwords))

    def submit(self, engine: Engine, *ring: int) -> None:
        """Hand over a context with these commands, an even number of dwords."""
        self.store(self.ground.ring(engine, 0).bus, *ring)
        self.store(self.ground.image(engine, 0).bus + PAGE_SIZE + 4 * 7, 4 * len(ring))
        for dword in Submission.loading(self.ground.descriptor(engine, 0)):
            self.device.write(EngineRegisters.elsp.at(engine.name), 4, dword)

    def go_on(self, instants: int = 12) -> None:
        for _ in range(instants):
            self.device.step()

    @property
    def others(self) -> int:
        """Graphics address of a page of the other guest's."""
        return self.stage.honest.ground.near(100).graphics

    @property
    def hosts(self) -> int:
        """Graphics address of a status page of the host's."""
        return self.stage.host.gpu.registers.read32(EngineRegisters.hws_pga.at("VCS0"))

    def verdict(self) -> str:
        """What the judge says."""
        try:
            self.judge.look_closely()
        except Violation as violation:
            return str(violation)
        return "nothing"


_STORE_GLOBAL, _COPY_GLOBAL = 0x10400002, 0x17600003


def _write_to(place: Callable[[Scene], int]) -> str:
    scene = Scene()
    scene.submit(Engine.VCS0, _STORE_GLOBAL, place(scene) + 0x800, 0, 0xBAD)
    scene.go_on()
    return scene.verdict()


def _without_address_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scan, "audit_address", lambda *what: None)


def test_addresses_that_nobody_checks_are_found_by_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _write_to(lambda scene: scene.others) == "nothing"
    _without_address_check(monkeypatch)
    assert _write_to(lambda scene: scene.others).startswith("1 isolation violations: vGPU 1, bus address ")


def test_without_a_guard_they_are_found_in_the_other_guests_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_address_check(monkeypatch)
    monkeypatch.setattr(GuardedMemory, "may_have", lambda *what: True)
    assert _write_to(lambda scene: scene.others) == "the other guest's memory has changed"


def test_what_is_written_to_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _write_to(lambda scene: scene.hosts) == "nothing"
    _without_address_check(monkeypatch)
    assert re.fullmatch("the host's own memory at 0x[0-9a-f]+ has changed", _write_to(lambda scene: scene.hosts))


def test_what_is_read_of_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(scene: Scene) -> str:
        own = scene.ground.near(100).graphics
        ring = [word for at in (0, 4) for word in (_COPY_GLOBAL, own + at, 0, scene.hosts + 0x800 + at, 0)]
        scene.submit(Engine.VCS0, *ring)
        scene.go_on()
        return scene.verdict()

    assert read(Scene()) == "nothing"
    monkeypatch.setattr(CommandAudit, "ring", lambda *what, **how: Audited(frozenset(), 0, (), ()))
    assert read(Scene()) == "in the guest's memory stands what only others have"


def test_a_ring_that_runs_where_its_guest_may_rewrite_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def rewrite(scene: Scene) -> str:
        scene.submit(Engine.VCS0, _STORE_GLOBAL, scene.ground.near(100).graphics, 0, 1)
        scene.store(scene.ground.ring(Engine.VCS0, 0).bus + 4, scene.others)
        scene.go_on()
        return scene.verdict()

    assert rewrite(Scene()) == "nothing"
    fill_ring = ShadowContext.fill_ring

    def from_guest(shadow: ShadowContext, commands: Sequence[array[int]]) -> None:
        fill_ring(shadow, commands)
        vgpu, dwords = shadow._vgpu, shadow._at
        state = vgpu.port.guest_page(GuestAddress(_image(vgpu) + PAGE_SIZE))
        assert state is not None
        page = state.cast("I")
        for dword in (dwords.start, dwords.head, dwords.tail, dwords.ring_control):
            shadow.state[dword] = page[dword]

    def _image(vgpu: Vgpu) -> int:
        return scene.ground.image(Engine.VCS0, 0).bus if vgpu is scene.device.vgpu else scene.stage.honest.ground.image(Engine.RCS0, 0).bus

    scene = Scene()
    monkeypatch.setattr(ShadowContext, "fill_ring", from_guest)
    assert rewrite(scene).startswith("1 isolation violations: vGPU 1, bus address ")


def test_pins_that_are_forgotten_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    monkeypatch.setattr(LocalPort, "unmap_guest_pages", lambda port, addresses: None)
    page, bus = scene.ground.entries[0]
    scene.device.vgpu.ggtt.guest_write(8 * page, 8, bus + PAGE_SIZE)
    assert scene.verdict().endswith("the page at 0x100000 1 times, by the tables 0 times")


def test_entries_of_others_that_are_written_are_found() -> None:
    scene = Scene()
    scene.stage.host.gpu.ggtt.entries[scene.others >> 12] ^= 1 << 20
    assert scene.verdict() == "an entry of the other guest's part of the hardware's table has changed"


def test_commands_that_reach_what_is_others_are_refused_for_that_alone() -> None:
    scene = Scene()
    vgpu, rng = scene.device.vgpu, random.Random(1)
    for engine, way in product(scene.ground.platform.engines, range(WAYS)):
        own = scene.ground.near(120)
        dwords = global_command(way, rng, engine, own.graphics)
        scene.submit(engine, *dwords, *[0] * (len(dwords) % 2))
        scene.go_on(40)
        assert not list(vgpu.findings) and any(scene.ground.memory.peek(own.bus, 8)), f"{engine.value} writes to its own memory in way {way}"
        scene.store(own.bus, 0, 0)
        scene.guest._reset_engine(engine)
        scene.guest._resume(engine)
        scene.guest._fresh_context(engine, 0)
    scene.guest._neighbour = scene.judge._neighbour
    for _ in range(100):
        entered = vgpu.failsafe.entered
        scene.guest._intrude()
        assert vgpu.failsafe.entered == entered + 1
        vgpu.reset()
        scene.guest.begin()
    assert {finding.rule for finding in vgpu.findings} == {"audit-address", "failsafe"}
    assert scene.verdict() == "nothing"


# ---- tables that are not looked at again ----


_STORE = 0x10000002


def _without_invalidation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hardware, "invalidate_translations", lambda hardware: None)


def _without_second_look(monkeypatch: pytest.MonkeyPatch, *, unless_told: bool = False) -> None:
    """A space that was brought up to date once stays as it is; ``unless_told``: where the port does not tell which tables were written."""
    is_current = ShadowTables._is_current

    def is_current_for_ever(tables: ShadowTables, space: ProcessTables) -> bool:
        if unless_told and tables._store.watches:
            return is_current(tables, space)
        return space.shadowed and space.structure >= 0

    monkeypatch.setattr(ShadowTables, "_is_current", is_current_for_ever)


def test_translations_that_outlive_their_tables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def let_go(scene: Scene) -> str:
        """A batch stores to a page for ever, which is then taken out of the tables while another engine uses them."""
        ground = scene.ground
        place = ground.first.bus + 8 * (SURFACES[0] // PAGE_SIZE)
        entry = dict(ground.table_entries())[place]
        scene.store(place, 0x26_0000 | 3, 0)  # nothing else leads there
        scene.store(ground.batches[0].bus, _STORE, SURFACES[0], 0, 7, 0x18800101, BATCHES, 0)
        scene.submit(Engine.VCS0, 0x18800101, BATCHES, 0, 0)
        scene.go_on()
        scene.store(place, entry & 0xFFFFFFFF, entry >> 32)
        scene.submit(Engine.VECS0, 0, 0)
        scene.go_on(150)
        return scene.verdict()

    assert let_go(Scene()) == "nothing"
    _without_invalidation(monkeypatch)
    assert let_go(Scene()) == "vcs0 keeps a translation to the guest's page 0x260000, which is not pinned any more"


@pytest.mark.parametrize("track_writes", [True, False])
def test_tables_that_are_never_looked_at_again_are_found(monkeypatch: pytest.MonkeyPatch, track_writes: bool) -> None:
    def move_pages() -> HostileGuest:
        guest = Scene(track_writes=track_writes).guest
        for _ in range(8):
            guest._move_page()
        return guest

    assert move_pages().moves == 8
    _without_second_look(monkeypatch, unless_told=not track_writes)
    with pytest.raises(Outdated, match="did not write to the page to which its tables lead"):
        move_pages()


# ---- what random programs notice ----


def _what_is_noticed(first: int) -> set[str]:
    """Kinds of failure of a few programs that begin with one byte, which decides on the port."""
    failures = (failure_of(guest_campaign, bytes((first,)) + random_program(seed, 400)) for seed in range(4))
    return {type(failure).__name__ for failure in failures if failure is not None}


@pytest.mark.full
def test_random_programs_notice_nothing_where_nothing_is_wrong() -> None:
    assert _what_is_noticed(4) == _what_is_noticed(5) == set()


def test_random_programs_notice_addresses_that_nobody_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_address_check(monkeypatch)
    assert _what_is_noticed(4) == {"Violation"}


def test_random_programs_notice_translations_that_outlive_their_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_invalidation(monkeypatch)
    assert _what_is_noticed(4) in ({"Violation"}, {"Outdated"}, {"Violation", "Outdated"})  # whether the engine uses them again before the judge looks


@pytest.mark.full
@pytest.mark.parametrize(("first", "unless_told"), [(4, False), (5, False), (5, True)])
def test_random_programs_notice_tables_that_are_never_looked_at_again(monkeypatch: pytest.MonkeyPatch, first: int, unless_told: bool) -> None:
    _without_second_look(monkeypatch, unless_told=unless_told)
    assert "Outdated" in _what_is_noticed(first)
