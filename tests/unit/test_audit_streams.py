"""What real drivers put in rings passes: the kernel's, dword by dword, and all that the Python driver submits in a run."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from support.audit_rig import ROOTS, AuditRig, Space
from support.fake_engines import FakeEngine
from support.guest_machine import FakeMachine, pv_page

from guest_driver import Batch, GuestDriver
from guest_driver.emission import Emission
from guest_driver.workarounds import workarounds
from host_model.device.interrupts import Event
from host_model.mediator.audit.audit import Audited, CommandAudit
from host_model.mediator.refusal import Refused
from pvinfo.platform import ENGINES, Engine, platform_named
from pvinfo.units import PAGE_SIZE, GraphicsAddress, GuestAddress

DATA = Path(__file__).parent / "data"
OTHERS = (Engine.BCS0, Engine.VCS0, Engine.VECS0)
USER = {Engine.RCS0: Event.RCS_USER, Engine.BCS0: Event.BCS_USER, Engine.VCS0: Event.VCS0_USER, Engine.VECS0: Event.VECS_USER}
PIPE_CONTROL = 0x7A000004
PLATFORMS = ("bdw", "skl", "kbl", "cfl", "bxt")


@pytest.fixture(params=PLATFORMS)
def rig(request: pytest.FixtureRequest) -> AuditRig:
    return AuditRig(request.param)


# ---- the kernel's own, gt/gen8_engine_cs.c and what calls it ----


def null() -> list[int]:
    return [PIPE_CONTROL, 0, 0, 0, 0, 0]


def flush_render(invalidate: bool, flush: bool) -> list[int]:
    """gen8_emit_flush_rcs"""
    flags = 1 << 20
    flags |= 0x1000 | 0x1 | 0x20 | 0x80 if flush else 0
    flags |= 1 << 18 | 0xC1C | 1 << 14 | 1 << 21 if invalidate else 0
    return [PIPE_CONTROL, flags, 0xD0, 0, 0, 0]


def end_of_render_request(address: int, seqno: int) -> list[int]:
    """gen8_emit_fini_breadcrumb_rcs, as a guest of a mediator has it"""
    return [PIPE_CONTROL, 0x00141021, 0, 0, 0, 0, PIPE_CONTROL, 0x01104080, address, 0, seqno, 0, 0x01000000, 0x04000001, 0x02800000, 0]


def end_of_other_request(address: int, seqno: int) -> list[int]:
    return [0x13004002, address | 4, 0, seqno, 0x01000000, 0x04000001, 0x02800000, 0]


def start_of_request(address: int, seqno: int) -> list[int]:
    """gen8_emit_init_breadcrumb"""
    return [0x10400002, address, 0, seqno - 1, 0, 0x02800000]


def context_workarounds(rig: AuditRig) -> list[int]:
    """intel_engine_emit_ctx_wa: one load of them all, between two barriers"""
    platform = rig.vgpu.platform
    rows = list(workarounds("ctx", platform.name, platform.revision))
    load = [word for row in rows for word in (row.offset, row.masked_value)]
    barrier = null() + flush_render(True, True)
    return [*barrier, 0x11000000 | len(load) - 1, *load, 0, *barrier]


def test_a_request_of_the_render_engine_passes_as_it_is_but_for_its_interrupt(rig: AuditRig) -> None:
    seqno = rig.low.start + 0x5040
    batch = [0x04000001, 0x18800101, 0x00345000, 0xFFFF, 0x04000000, 0]
    words = null() + flush_render(True, False) + start_of_request(seqno, 7) + batch + end_of_render_request(seqno, 7)
    audited, patched = rig.ring(Engine.RCS0, words)
    assert audited == Audited(frozenset({Event.RCS_USER}), 1, (), ())
    place = words.index(0x01000000)
    assert patched == [*words[:place], 0, *words[place + 1 :]]


@pytest.mark.parametrize("engine", OTHERS)
def test_a_request_of_another_engine_passes_as_it_is_but_for_its_interrupt(rig: AuditRig, engine: Engine) -> None:
    seqno = rig.high.stop - 8
    flush = [0x13244002 | (0x80 if engine is Engine.VCS0 else 0), 0xD0, 0, 0]
    words = flush + start_of_request(seqno, 7) + [0x04000000, 0x18800101, 0x00345000, 0] + end_of_other_request(seqno, 7)
    audited, patched = rig.ring(engine, words)
    assert audited == Audited(frozenset({USER[engine]}), 1, (), ())
    place = words.index(0x01000000)
    assert patched == [*words[:place], 0, *words[place + 1 :]]


@pytest.mark.parametrize("inhibit", [False, True])
def test_the_work_arounds_of_a_context_pass(rig: AuditRig, inhibit: bool) -> None:
    words = context_workarounds(rig)
    assert rig.vgpu.platform.name == "bxt" or len(words) > 30
    _, patched = rig.ring(Engine.RCS0, words, inhibit=inhibit)
    assert patched == words


@pytest.mark.parametrize("platform", ["skl", "kbl", "cfl", "bxt"])
def test_caching_tables_loaded_by_the_ring_pass_and_are_remembered(platform: str) -> None:
    """As kernels before 5.3 do it."""
    rig = AuditRig(platform)
    for first, count in ((0xC800, 64), (0xCC00, 64), (0xB020, 32)):
        words = [0x11000000 | 2 * count - 1, *(word for number in range(count) for word in (first + 4 * number, 0x30 + number))]
        _, patched = rig.ring(Engine.RCS0, [*words, 0])
        assert patched == [*words, 0]
        assert [rig.vgpu.registers.read32(first + 4 * number) for number in range(count)] == [0x30 + number for number in range(count)]


def test_a_context_is_given_slices_by_a_store_to_its_image(rig: AuditRig) -> None:
    """gen8_emit_rpcs_config"""
    words = [0x10400002, rig.high.start + PAGE_SIZE + 4 * 0x43, 0, 0x80040444]
    assert rig.ring(Engine.RCS0, words)[1] == words


def golden_state(version: int) -> list[int]:
    """The kernel's batch of initial render state."""
    lines = (DATA / f"golden_state_gen{version}.tsv").read_text("ascii").splitlines()
    dwords = [0] * int(lines[0].split()[-4])
    for dword, value in (line.split("\t") for line in lines if line.startswith("0x")):
        dwords[int(dword, 16)] = int(value, 16)
    return dwords


def test_the_initial_render_state_runs_from_a_copy_that_ends_where_it_ends(rig: AuditRig) -> None:
    state = golden_state(rig.vgpu.platform.graphics_version)
    end = state.index(0x05000000) + 1
    address = rig.place(rig.high.start + 0x40000, state)
    audited, patched = rig.ring(Engine.RCS0, [0x04000000, 0x18800001, address & 0xFFFFFFFF, 0])
    (copy,) = audited.batches
    assert patched == [0x04000000, 0x18800001, copy.address, 0]
    assert list(copy.dwords[:end]) == state[:end] and not any(copy.dwords[end:])


def coherent_lines(scratch: int) -> list[int]:
    """gen8_emit_flush_coherentl3_wa"""
    return [
        0x12400002, 0xB118, scratch + 256, 0, 0x11000001, 0xB118, 0x40600000,
        PIPE_CONTROL, 0x00100020, 0, 0, 0, 0, 0x14C00002, 0xB118, scratch + 256, 0,
    ]  # fmt: skip


def test_the_batch_inside_restores_passes_unchanged(rig: AuditRig) -> None:
    """gen8_init_indirectctx_bb and gen9_init_indirectctx_bb"""
    scratch = rig.high.start + 0x7000
    words = [0x04000000, *coherent_lines(scratch), PIPE_CONTROL, 0x08304000, 0xD0, 0, 0, 0]
    if rig.vgpu.platform.graphics_version == 9:
        words += [0x11000005, 0x7014, 0x10000000, 0x2088, 0x00020002, 0x2090, 0x10001000, 0, 0x70050004, 0x80000000, 0x777000, 0, 0, 0]
    words.append(0x04000001)
    words += [0] * (-len(words) % 16)
    address = rig.place(rig.low.start + 0x8000, words)
    audited = rig.audit.workaround((address, 4 * len(words)), None)
    assert audited.indirect is not None and audited.per_context is None and audited.batches == (audited.indirect,)
    assert list(audited.indirect.dwords[: len(words)]) == words
    rig.give_back(audited)


def test_three_levels_of_tables_are_exchanged_by_one_load(rig: AuditRig) -> None:
    """emit_pdps"""
    guest, shadow = (0x1000, 0x2000, 0x3_0000_3000, 0x4000), (0xA000, 0x5_0000_B000, 0xC000, 0xD000)
    space = rig.spaces.add(3, guest, shadow)
    for engine in rig.vgpu.platform.engines:
        base = ENGINES[engine].base + 0x270
        names = [base + 8 * n + 4 * high for n in (3, 2, 1, 0) for high in (1, 0)]

        def load(roots: tuple[int, ...], names: list[int] = names, base: int = base) -> list[int]:
            return [0x1100100F, *(word for name in names for word in (name, roots[name - base >> 3] >> 32 * (name >> 2 & 1) & 0xFFFFFFFF))]

        audited, patched = rig.ring(engine, [0x04000000, 0, *load(guest), 0x04000001], space=space)
        assert patched == [0x04000000, 0, *load(shadow), 0x04000001]
        assert audited.tables == (space,)
        rig.give_back(audited)


def test_page_tables_written_by_the_blitters_ring_pass_as_they_stand(rig: AuditRig) -> None:
    """emit_pte, emit_copy and emit_clear of gen8, whose addresses are those of the process."""
    entries = [0x10200000 | 2 * 4 + 1, 0x00600000, 0, *(word for page in range(4) for word in (0x5000 + PAGE_SIZE * page | 3, 0))]
    copy = [0x54C00000 | 8, 0x03CC1000, 0, 0x00100400, 0x00800000, 0, 0, 0x1000, 0, 0]
    clear = [0x54000000 | 3 << 20 | 5, 0x03F01000, 0, 0x00100400, 0, 0, 0xDEADBEEF]
    words = [0x04000001, 0, *entries, 0, 0x13244002, 0xD0, 0, 0, *copy, *clear, 0]
    assert rig.ring(Engine.BCS0, words)[1] == words


def test_the_fast_copy_is_refused_as_the_kernels_mediator_refuses_it() -> None:
    words = [0x50800008, 0x03001000, 0, 0x00100400, 0, 0, 0, 0x1000, 0, 0]
    refused = AuditRig("skl").refusal(Engine.BCS0, words)
    assert refused.rule == "audit-command-unknown" and "XY_FAST_COPY_BLT" in refused.text


# ---- the Python driver, from probe to the end of its work ----


class _Table:
    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def translate(self, address: int) -> GuestAddress | None:
        entry = self._machine.regs.table.get(address >> 12, 0)
        return GuestAddress(entry & ~0xFFF | address & 0xFFF) if entry & 1 else None


class _Port:
    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def read_guest(self, address: GuestAddress, size: int) -> bytes:
        return self._machine.memory.read(address, size)


class _Guest:
    """The rig's vGPU, its memory that of a fake machine."""

    def __init__(self, rig: AuditRig, machine: FakeMachine) -> None:
        self._rig = rig
        self.tables = rig.spaces
        self.ggtt = _Table(machine)
        self.port = _Port(machine)

    def __getattr__(self, name: str) -> object:
        return getattr(self._rig.vgpu, name)


class _Watch:
    """Audits everything that a driver hands over, as it does."""

    def __init__(self, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rig = AuditRig(platform)
        part, rig = platform_named(platform), self.rig
        page = pv_page(mappable=(rig.low.start, len(rig.low)), nonmappable=(rig.high.start, len(rig.high)))
        self.machine = FakeMachine(page, platform=platform, running=True)
        self._part = part
        self._audit: CommandAudit[Space] = CommandAudit(_Guest(rig, self.machine), rig.store)  # type: ignore[arg-type]
        self.rings: dict[Engine, int] = dict.fromkeys(part.engines, 0)
        self.batches = self.workarounds = self.images = 0
        load = FakeEngine._load

        def watched(engine: FakeEngine, ports: list[tuple[int, int]]) -> None:
            for _, low in ports:
                if low & 1:
                    self._handed_over(engine, low & ~0xFFF)
            load(engine, ports)

        monkeypatch.setattr(FakeEngine, "_load", watched)

    def _handed_over(self, engine: FakeEngine, image: int) -> None:
        state = [engine.dword(image + PAGE_SIZE + 4 * dword) for dword in range(1024)]
        head, tail, start, control = (state[dword] for dword in (5, 7, 9, 11))
        size = (control & 0x1FF000) + PAGE_SIZE
        words = array("I", (engine.dword(start + (head + at) % size) for at in range(0, (tail - head) % size, 4)))
        inhibit = bool(state[3] & 1)
        audited = self._audit.ring(
            engine.engine, memoryview(words), lambda index: start + (head + 4 * index) % size, self.rig.space, inhibit=inhibit
        )
        assert audited.events <= {USER[engine.engine]}
        self.rings[engine.engine] += 1
        self.batches += len(audited.batches)
        self.rig.give_back(audited)
        self._audit.image(engine.engine, memoryview(array("I", state)), inhibit=inhibit)
        self.images += not inhibit
        if engine.engine is Engine.RCS0 and state[0x1B] & 0x3F:
            workaround = self._audit.workaround((state[0x1B] & ~0xFFF, 64 * (state[0x1B] & 0x3F)), None)
            self.workarounds += 1
            self.rig.give_back(workaround)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_nothing_that_the_python_driver_submits_is_refused(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = _Watch(platform, monkeypatch)
    driver = GuestDriver(watch.machine)
    driver.probe()
    for engine in driver.gt.engines:
        target = driver.create_buffer(PAGE_SIZE)
        batch = Batch()
        batch.store_dword(target.gpu_address, 1)
        driver.submit(engine, batch).wait(1_000_000_000)
        driver.submit(engine, batch).wait(1_000_000_000)
    assert all(count >= 4 for count in watch.rings.values()), watch.rings
    assert watch.batches >= 1, "the initial render state"
    assert watch.workarounds >= 3 and watch.images >= 1
    assert not watch.rig.store.live and not watch.rig.spaces.kept


def test_the_rings_of_a_driver_on_a_bare_gpu_are_refused_for_their_semaphores() -> None:
    rig = AuditRig("skl")
    emission = Emission(
        rig.vgpu.platform, rig.vgpu.platform.revision, Engine.BCS0, GraphicsAddress(rig.low.start), semaphores=True, preemption=True
    )
    words, _ = emission.fini_breadcrumb(GraphicsAddress(rig.low.start + 0x100), 3)
    with pytest.raises(Refused, match="MI_SEMAPHORE_WAIT is refused"):
        rig.ring(Engine.BCS0, words)
    assert ROOTS == rig.space.roots
